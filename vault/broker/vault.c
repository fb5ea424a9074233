#include "vault/broker/vault.h"
#include "vault/broker/rotate.h"

#include "vault/audit/logkey_token.h"
#include "vault/base/file.h"
#include "vault/base/limits.h"
#include "vault/broker/place.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define MARKER "initialising"
#define META_TOKEN "token"
#define LOCK_WAIT_MS 10000
#define HOLD_TRIES 100  /* 20 ms apart */
#define CLAIM_TRIES 500 /* 20 ms apart */

static bool exists(int dir, const char *name)
{
    struct stat st;

    return fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) == 0;
}

static struct cv_vault *vault_new(const char *folder, int dir,
                                  struct cv_err *err)
{
    struct cv_vault *v = calloc(1, sizeof(*v));

    if (v == NULL || strlen(folder) >= sizeof(v->folder)) {
        (void)cv_fail(err, CV_INTERNAL, "memory is gone");
        free(v);
        (void)close(dir);
        return NULL;
    }
    memcpy(v->folder, folder, strlen(folder) + 1);
    v->dir = dir;
    v->lock = v->service = -1;
    return v;
}

void cv_vault_close(struct cv_vault *v)
{
    if (v == NULL) {
        return;
    }
    cv_vault_leave(v);
    if (v->stays && v->log != NULL && cv_log_alive(v->log) &&
        cv_vault_enter(v, NULL) == CV_OK) {
        (void)!cv_log_trim(v->log, NULL);
        cv_vault_leave(v);
    }
    cv_log_close(v->log);
    cv_store_close(v->store);
    cv_file_close(&v->lock);
    cv_file_close(&v->service);
    cv_file_close(&v->dir);
    free(v);
}

/* The service names its socket in the file that it locks, so that others can
 * say where to go. */
static enum cv_status service_held(struct cv_vault *v, struct cv_err *err)
{
    struct cv_buf path;
    enum cv_status s;

    cv_buf_init(&path, NULL, PATH_MAX);
    if (cv_file_read(v->service, "the service's socket", &path, NULL) !=
        CV_OK) {
        cv_buf_wipe(&path);
    }
    s = cv_fail(err, CV_BUSY, "the service holds this vault");
    if (path.len > 0) {
        cv_err_hint(err, "use --broker unix:%s", cv_buf_text(&path));
    }
    cv_buf_wipe(&path);
    return s;
}

/* A command's own broker is gone in a moment: a service waits for those. */
static bool try_lock(int fd, int how)
{
    const struct timespec pause = {0, 20 * 1000 * 1000};

    for (int i = 0; i < HOLD_TRIES; i++) {
        if (flock(fd, how | LOCK_NB) == 0) {
            return true;
        }
        /* Another service stays; none waits for it. */
        if (how == LOCK_SH || flock(fd, LOCK_SH | LOCK_NB) == -1) {
            return false;
        }
        (void)flock(fd, LOCK_UN);
        (void)nanosleep(&pause, NULL);
    }
    return false;
}

static enum cv_status hold(struct cv_vault *v, const char *socket_path,
                           struct cv_err *err)
{
    int how = socket_path != NULL ? LOCK_EX : LOCK_SH;
    enum cv_status s =
        cv_file_open(v->dir, "service", O_RDWR | O_CREAT, &v->service, err);

    if (s != CV_OK) {
        return s;
    }
    if (!try_lock(v->service, how)) {
        if (socket_path == NULL || flock(v->service, LOCK_SH | LOCK_NB) == -1) {
            return service_held(v, err);
        }
        s = cv_fail(err, CV_BUSY, "another broker has this vault open");
        cv_err_hint(err, "end the agent or command that uses it and start the "
                         "service again");
        return s;
    }
    if (socket_path == NULL) {
        return CV_OK;
    }
    if (ftruncate(v->service, 0) == -1) {
        return cv_fail_errno(err, CV_IO, "cannot write the vault's lock");
    }
    return cv_file_write(
        v->service,
        (struct cv_bytes){(const uint8_t *)socket_path, strlen(socket_path)},
        "the vault's lock", err);
}

enum cv_status cv_vault_enter(struct cv_vault *v, struct cv_err *err)
{
    bool tight = false;
    enum cv_status s;

    if (v->entered) {
        return cv_fail(err, CV_INTERNAL, "the vault's lock is held already");
    }
    s = cv_file_lock(v->lock, LOCK_WAIT_MS, "the vault's lock", err);
    if (s != CV_OK) {
        return s;
    }
    v->entered = true;
    if (v->log != NULL && !cv_log_alive(v->log)) {
        tight = cv_log_is_tight(v->log);
        if (cv_log_size(v->log) > v->known.size) {
            v->known = *cv_log_tree(v->log);
        }
        cv_log_close(v->log);
        v->log = NULL;
    }
    s = v->log == NULL ? cv_log_open_again(v->dir, &v->known, &v->log, err)
                       : cv_log_refresh(v->log, err);
    if (s == CV_OK && v->stays) {
        cv_log_stay(v->log);
    }
    if (s == CV_OK && tight) {
        cv_log_set_tight(v->log, true);
    }
    if (s == CV_OK) {
        s = cv_rotate_look(v, err);
    }
    if (s != CV_OK) {
        cv_vault_leave(v);
    }
    return s;
}

void cv_vault_stay(struct cv_vault *v)
{
    v->stays = true;
}

void cv_vault_leave(struct cv_vault *v)
{
    if (v->entered) {
        if (v->log != NULL) {
            cv_log_discard(v->log);
        }
        (void)flock(v->lock, LOCK_UN);
        v->entered = false;
    }
}

static enum cv_status not_found(const char *folder, struct cv_err *err)
{
    enum cv_status s =
        cv_fail(err, CV_NOT_FOUND, "there is no vault in %s", folder);

    cv_err_hint(err, "make one: certvault init");
    return s;
}

enum cv_status cv_vault_is_free(int dir, struct cv_err *err)
{
    bool store = exists(dir, "vault.db");
    bool log = exists(dir, "audit/log");
    enum cv_status s;

    if (exists(dir, CV_PLACE_READY)) {
        return cv_fail(err, CV_EXISTS, "there is a vault here already");
    }
    if (exists(dir, CV_VAULT_DESTROYED)) {
        s = cv_fail(err, CV_EXISTS,
                    "the record of a vault that was destroyed is here");
        cv_err_hint(err, "use another folder, or move this one away");
        return s;
    }
    if (exists(dir, MARKER) || (!store && !log)) {
        return CV_OK;
    }
    /* An `init` may have ended since the first look. */
    if (store || exists(dir, "vault.db")) {
        return cv_fail(err, CV_EXISTS, "there is a vault here already");
    }
    s = cv_fail(err, CV_INTEGRITY,
                "the vault's log is here, its store (vault.db) is not");
    cv_err_state(err, "nothing was changed");
    cv_err_hint(err, "restore vault.db from a backup, or move the folder away");
    return s;
}

/* The store names the log's key: a store and a log of two vaults do not go
 * together, however whole each is. */
static enum cv_status check_log_key(struct cv_vault *v, struct cv_err *err)
{
    struct cv_buf stored, own;
    enum cv_status s;

    cv_buf_init(&stored, NULL, CV_LIMIT_NOTE);
    cv_buf_init(&own, NULL, CV_LIMIT_NOTE);
    cv_note_key_text(&v->log_key, &own);
    s = cv_store_meta_get(v->store, "log_key", &stored, err);
    if (s == CV_OK && strcmp(cv_buf_text(&stored), cv_buf_text(&own)) != 0) {
        s = cv_fail(err, CV_INTEGRITY,
                    "vault.db and the audit log are of two different vaults");
        cv_err_state(err, "nothing was changed");
        cv_err_hint(err, "put back the one that belongs here, from a backup of "
                         "the whole folder");
    }
    cv_buf_wipe(&stored);
    cv_buf_wipe(&own);
    return s;
}

/* Where keys go, as init was told; most vaults were told nothing. */
static enum cv_status read_token(struct cv_vault *v, struct cv_err *err)
{
    struct cv_buf text;
    struct cv_err why;
    enum cv_status s;

    cv_err_init(&why);
    cv_buf_init(&text, NULL, sizeof(v->token_uri) - 1);
    s = cv_store_meta_get(v->store, META_TOKEN, &text, &why);
    if (s == CV_OK) {
        (void)snprintf(v->token_uri, sizeof(v->token_uri), "%s",
                       cv_buf_text(&text));
    } else if (s == CV_NOT_FOUND) {
        s = CV_OK;
    } else {
        *err = why;
    }
    cv_buf_wipe(&text);
    return s;
}

static enum cv_status read_facts(struct cv_vault *v, struct cv_err *err)
{
    struct cv_buf text;
    enum cv_status s;

    cv_buf_init(&text, NULL, sizeof(v->public_key) - 1);
    s = cv_store_meta_get(v->store, "public_key", &text, err);
    if (s == CV_OK) {
        (void)snprintf(v->public_key, sizeof(v->public_key), "%s",
                       cv_buf_text(&text));
        (void)snprintf(v->id, sizeof(v->id), "%s", cv_store_vault_id(v->store));
        s = cv_logkey_read(v->dir, &v->log_key, err);
    }
    if (s == CV_OK) {
        s = read_token(v, err);
    }
    cv_buf_wipe(&text);
    return s == CV_NOT_FOUND
               ? cv_fail(err, CV_INTEGRITY, "the vault is not complete")
               : s;
}

enum cv_status cv_vault_was_destroyed(int dir, const char *folder,
                                      struct cv_err *err)
{
    enum cv_status s;

    if (!exists(dir, CV_VAULT_DESTROYED)) {
        return CV_OK;
    }
    s = cv_fail(err, CV_NOT_FOUND,
                "the vault in %s was destroyed; its record is what is left",
                folder);
    cv_err_hint(err, "certvault audit verify reads it; another vault wants "
                     "another folder");
    return s;
}

static void overwrite(int dir, const char *name)
{
    static const uint8_t zeros[16384];
    struct stat st;
    int fd = -1;

    if (cv_file_open(dir, name, O_WRONLY, &fd, NULL) != CV_OK) {
        return;
    }
    if (fstat(fd, &st) == 0) {
        for (off_t at = 0; at < st.st_size; at += (off_t)sizeof(zeros)) {
            off_t left = st.st_size - at;
            size_t len =
                left < (off_t)sizeof(zeros) ? (size_t)left : sizeof(zeros);

            if (pwrite(fd, zeros, len, at) != (ssize_t)len) {
                break;
            }
        }
        (void)fdatasync(fd);
    }
    cv_file_close(&fd);
}

/* The records that restores put aside keep the key that signed them. */
static void overwrite_replaced(int dir)
{
    for (int i = 1; i <= 9999; i++) {
        char name[48];

        (void)snprintf(name, sizeof(name), "audit.replaced-%d", i);
        if (!exists(dir, name)) {
            return;
        }
        (void)snprintf(name, sizeof(name), "audit.replaced-%d/log.key", i);
        overwrite(dir, name);
        (void)unlinkat(dir, name, 0);
    }
}

void cv_vault_end(int dir)
{
    struct cv_buf text;
    int fd = -1;
    bool with_record;

    cv_buf_init(&text, NULL, 64);
    if (cv_file_open(dir, CV_VAULT_DESTROYED, O_RDONLY, &fd, NULL) == CV_OK) {
        (void)!cv_file_read(fd, CV_VAULT_DESTROYED, &text, NULL);
    }
    cv_file_close(&fd);
    with_record =
        strcmp(cv_buf_text(&text), CV_VAULT_DESTROYED_WITH_RECORD) == 0;
    cv_buf_wipe(&text);
    overwrite(dir, "vault.db");
    overwrite(dir, "vault.db-wal");
    overwrite(dir, "audit/log.key");
    overwrite(dir, "audit/log.key.next");
    overwrite_replaced(dir);
    cv_place_clear(dir, with_record);
    (void)!cv_file_sync_folder(dir, NULL);
    if (with_record && !exists(dir, "vault.db") && !exists(dir, "audit")) {
        (void)unlinkat(dir, "lock", 0);
        (void)unlinkat(dir, "service", 0);
        (void)unlinkat(dir, CV_VAULT_DESTROYED, 0);
        (void)!cv_file_sync_folder(dir, NULL);
    }
}

/* What was begun when the marker was made is ended. */
static enum cv_status finish_destroy(int dir, const char *folder,
                                     struct cv_err *err)
{
    int service = -1;
    enum cv_status s = cv_vault_was_destroyed(dir, folder, err);

    if (s != CV_OK &&
        (exists(dir, "vault.db") || exists(dir, "audit/log.key") ||
         exists(dir, "vault.db-wal")) &&
        cv_file_open(dir, "service", O_RDWR | O_CREAT, &service, NULL) ==
            CV_OK) {
        if (flock(service, LOCK_EX | LOCK_NB) == 0) {
            cv_vault_end(dir);
        }
        cv_file_close(&service);
    }
    return s;
}

/* What a restore wrote is the vault; it only has to be put in its place. */
static enum cv_status finish_restore(int dir, struct cv_err *err)
{
    int service = -1;
    enum cv_status s;

    if (!cv_place_is_ready(dir) && !exists(dir, CV_PLACE_STAGE)) {
        return CV_OK;
    }
    s = cv_file_open(dir, "service", O_RDWR | O_CREAT, &service, err);
    /* One that was cut off is nobody's; one that goes on holds the lock. */
    if (s == CV_OK && !cv_place_is_ready(dir)) {
        if (flock(service, LOCK_EX | LOCK_NB) == 0) {
            cv_place_drop(dir);
        }
        cv_file_close(&service);
        return CV_OK;
    }
    if (s == CV_OK) {
        s = cv_file_lock(service, LOCK_WAIT_MS, "the vault", err);
    }
    /* Another may have done it meanwhile. */
    if (s == CV_OK && cv_place_is_ready(dir)) {
        s = cv_place_finish(dir, err);
    }
    cv_file_close(&service);
    return s;
}

enum cv_status cv_vault_open(const char *folder, int dir,
                             const char *socket_path, struct cv_vault **out,
                             struct cv_err *err)
{
    struct cv_vault *v;
    enum cv_status s = finish_destroy(dir, folder, err);

    *out = NULL;
    if (s == CV_OK) {
        s = finish_restore(dir, err);
    }
    if (s != CV_OK) {
        (void)close(dir);
        return s;
    }
    s = cv_vault_is_free(dir, err);
    if (s == CV_OK || s == CV_INTEGRITY) {
        (void)close(dir);
        return s == CV_OK ? not_found(folder, err) : s;
    }
    v = vault_new(folder, dir, err);
    if (v == NULL) {
        return CV_INTERNAL;
    }
    s = cv_file_open(dir, "lock", O_RDWR | O_CREAT, &v->lock, err);
    if (s == CV_OK) {
        s = hold(v, socket_path, err);
    }
    if (s == CV_OK) {
        s = cv_store_open(folder, dir, &v->store, err);
    }
    if (s == CV_OK) {
        s = read_facts(v, err);
    }
    if (s == CV_OK) {
        s = cv_vault_enter(v, err);
    }
    if (s == CV_OK) { /* behind a change of keys that is finished there */
        s = check_log_key(v, err);
        cv_vault_leave(v);
    }
    if (s != CV_OK) {
        cv_vault_close(v);
        return s;
    }
    *out = v;
    return CV_OK;
}

/* Is the file that is open still the one of this name? Who held it before may
 * have removed it. */
static bool is_named(int dir, const char *name, int fd)
{
    struct stat named, open_one;

    return fstatat(dir, name, &named, AT_SYMLINK_NOFOLLOW) == 0 &&
           fstat(fd, &open_one) == 0 && named.st_dev == open_one.st_dev &&
           named.st_ino == open_one.st_ino;
}

static enum cv_status at_work(struct cv_err *err)
{
    enum cv_status s = cv_fail(err, CV_EXISTS,
                               "another init, or a restore, is at work in "
                               "this folder");

    cv_err_hint(err, "certvault status shows what it made, once it is done");
    return s;
}

/* *claim stays -1 where another has it. */
static enum cv_status try_claim(int dir, int *claim, struct cv_err *err)
{
    enum cv_status s =
        cv_file_open(dir, "service", O_RDWR | O_CREAT, claim, err);

    if (s != CV_OK) {
        return s;
    }
    if (flock(*claim, LOCK_EX | LOCK_NB) == -1) {
        if (errno != EWOULDBLOCK && errno != EINTR) {
            s = cv_fail_errno(err, CV_IO, "cannot take the vault's folder");
        }
        cv_file_close(claim);
    } else if (!is_named(dir, "service", *claim)) {
        cv_file_close(claim);
    }
    return s;
}

enum cv_status cv_vault_claim(int dir, int *claim, struct cv_err *err)
{
    const struct timespec pause = {0, 20 * 1000 * 1000};
    enum cv_status s = CV_OK;

    *claim = -1;
    for (int i = 0; i < CLAIM_TRIES; i++) {
        s = cv_vault_is_free(dir, err);
        if (s == CV_OK) {
            s = try_claim(dir, claim, err);
        }
        if (s != CV_OK) {
            return s;
        }
        if (*claim != -1) {
            s = cv_vault_is_free(dir, err); /* made since the first look? */
            if (s != CV_OK) {
                cv_file_close(claim);
            }
            return s;
        }
        (void)nanosleep(&pause, NULL);
    }
    return at_work(err);
}

void cv_vault_unclaim(int dir, int *claim)
{
    if (*claim != -1) {
        (void)unlinkat(dir, "service", 0);
        cv_file_close(claim);
    }
}

/* What an interrupted `init` may have left. */
static void remove_leftovers(int dir)
{
    static const char *const names[] = {
        "vault.db",    "vault.db-wal",     "vault.db-shm",
        "audit/log",   "audit/log.key",    "audit/key.pub",
        "audit/state", "audit/checkpoint", "audit/log.key.next",
    };

    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        (void)unlinkat(dir, names[i], 0);
    }
    cv_place_drop(dir);
}

static enum cv_status make_log_key(struct cv_vault *v,
                                   const struct cv_vault_plan *plan,
                                   struct cv_err *err)
{
    if (plan->log_key == NULL) {
        return cv_logkey_create(v->dir, plan->log_origin, &v->log_key, err);
    }
    v->log_key = *plan->log_key;
    return cv_logkey_token_create(v->dir, &v->log_key, plan->log_key_uri, err);
}

enum cv_status cv_vault_create(const char *folder, int dir,
                               const struct cv_vault_plan *plan, int claim,
                               struct cv_vault **out, struct cv_err *err)
{
    struct cv_vault *v = vault_new(folder, dir, err);
    enum cv_status s;

    *out = NULL;
    if (v == NULL) {
        cv_file_close(&claim);
        return CV_INTERNAL;
    }
    v->service = claim;
    s = cv_file_replace(dir, MARKER, (struct cv_bytes){NULL, 0}, 0600, err);
    if (s == CV_OK) {
        remove_leftovers(dir);
        s = cv_file_open(dir, "lock", O_RDWR | O_CREAT, &v->lock, err);
    }
    if (s == CV_OK) {
        s = make_log_key(v, plan, err);
    }
    if (s == CV_OK) {
        s = cv_log_open(dir, CV_LOG_CREATE, &v->log, err);
    }
    if (s == CV_OK) {
        s = cv_store_create(folder, dir, plan->id, &v->store, err);
    }
    if (s == CV_OK) {
        s = cv_store_meta_put(v->store, "public_key", plan->public_key, err);
    }
    if (s == CV_OK && plan->token_uri != NULL) {
        s = cv_store_meta_put(v->store, META_TOKEN, plan->token_uri, err);
        (void)snprintf(v->token_uri, sizeof(v->token_uri), "%s",
                       plan->token_uri);
    }
    if (s == CV_OK) {
        s = cv_rotate_store(v, &v->log_key, err);
    }
    if (s != CV_OK) {
        cv_vault_close(v);
        return s;
    }
    (void)snprintf(v->id, sizeof(v->id), "%s", plan->id);
    (void)snprintf(v->public_key, sizeof(v->public_key), "%s",
                   plan->public_key);
    *out = v;
    return CV_OK;
}

enum cv_status cv_vault_settle(struct cv_vault *v, bool *there,
                               struct cv_err *err)
{
    enum cv_status s;

    /* From here on it is held as any other broker holds a vault: before it is
     * seen, so that nobody finds it held by one alone. */
    s = flock(v->service, LOCK_SH | LOCK_NB) == 0 &&
                unlinkat(v->dir, MARKER, 0) == 0
            ? cv_file_sync_folder(v->dir, err)
            : cv_fail_errno(err, CV_IO, "cannot end the vault's making");
    *there = !exists(v->dir, MARKER);
    return s;
}
