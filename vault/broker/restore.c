#include "vault/broker/restore_internal.h"

#include "vault/base/clock.h"
#include "vault/base/encode.h"
#include "vault/base/file.h"
#include "vault/base/json.h"
#include "vault/base/limits.h"
#include "vault/broker/place.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#define SEALED_KEY "audit/log.key.sealed"

static enum cv_status in_use(struct cv_err *err)
{
    enum cv_status s =
        cv_fail(err, CV_BUSY, "another broker has this vault open");

    cv_err_state(err, "nothing was changed");
    cv_err_hint(err, "end it (certvault agent stop, or the service) and "
                     "restore again");
    return s;
}

/* What is there must be a vault that can be read: only then can it be said
 * what a restore would lose. */
static enum cv_status open_existing(struct cv_restore *r, struct cv_err *err)
{
    enum cv_status s =
        cv_vault_open(r->o->folder, fcntl(r->o->dir, F_DUPFD_CLOEXEC, 3), NULL,
                      &r->existing, err);

    if (s == CV_OK && flock(r->existing->service, LOCK_EX | LOCK_NB) == -1) {
        return in_use(err);
    }
    if (s == CV_OK) {
        s = cv_archived_read(r->o->dir, &r->existing_gone, err);
    }
    if (s == CV_OK) {
        s = cv_file_open(r->o->dir, "audit/log", O_RDONLY, &r->existing_log,
                         err);
    }
    if (s == CV_INTEGRITY) {
        cv_err_prefix(err, "the vault that is there");
        cv_err_state(err, "nothing was changed");
        cv_err_hint(err,
                    "move %s away (do not delete it: its record may be "
                    "newer) and restore into its place",
                    r->o->folder);
    }
    return s;
}

/* The vault that is in the folder, or none. */
static enum cv_status look_around(struct cv_restore *r, struct cv_err *err)
{
    struct cv_err why;
    enum cv_status s;

    cv_err_init(&why);
    if (cv_place_is_ready(r->o->dir)) {
        s = cv_fail(err, CV_BUSY, "a restore into this folder is not finished");
        cv_err_hint(err, "certvault status finishes it");
        return s;
    }
    s = cv_vault_is_free(r->o->dir, &why);
    if (s == CV_OK) {
        s = cv_file_open(r->o->dir, "service", O_RDWR | O_CREAT, &r->service,
                         err);
        if (s == CV_OK && flock(r->service, LOCK_EX | LOCK_NB) == -1) {
            cv_file_close(&r->service);
            s = in_use(err);
        }
        /* An `init` may have ended meanwhile. */
        if (s == CV_OK && cv_vault_is_free(r->o->dir, &why) != CV_OK) {
            cv_file_close(&r->service);
            s = in_use(err);
        }
        return s;
    }
    if (s == CV_EXISTS) {
        return open_existing(r, err);
    }
    *err = why;
    return s;
}

static const char *target_of(const struct cv_restore *r)
{
    uint64_t size;

    if (r->existing == NULL) {
        return "new";
    }
    size = cv_log_size(r->existing->log);
    return r->differs               ? "apart"
           : size == r->head.leaves ? "same"
           : size < r->head.leaves  ? "ahead"
                                    : "behind";
}

static bool loses(const struct cv_restore *r)
{
    return r->existing != NULL &&
           (r->differs || cv_log_size(r->existing->log) > r->head.leaves);
}

uint64_t cv_restore_texts_lost(const struct cv_restore *r)
{
    const uint64_t from = r->existing_gone.tree.size;
    uint64_t before = r->gone.tree.size;

    if (r->existing == NULL || r->differs) {
        return 0;
    }
    if (before > cv_log_size(r->existing->log)) {
        before = cv_log_size(r->existing->log);
    }
    return before > from ? before - from : 0;
}

static enum cv_status check_same_vault(const struct cv_restore *r,
                                       struct cv_err *err)
{
    enum cv_status s;

    if (r->existing == NULL || strcmp(r->existing->id, r->head.vault_id) == 0) {
        return CV_OK;
    }
    s = cv_fail(err, CV_INVALID,
                "this is a backup of the vault %s, and the one in %s is %s",
                r->head.vault_id, r->o->folder, r->existing->id);
    cv_err_state(err, "nothing was changed");
    cv_err_hint(err, "another folder: certvault --vault DIR restore FILE");
    return s;
}

/* The backup was made behind an archive that the vault here has not made. */
static enum cv_status check_texts(const struct cv_restore *r,
                                  struct cv_err *err)
{
    const uint64_t n = cv_restore_texts_lost(r);
    enum cv_status s;

    if (n == 0) {
        return CV_OK;
    }
    s = cv_fail(err, CV_INTEGRITY,
                "the vault that is there has %llu records, from %llu on, of "
                "which the backup has hashes alone: they were archived",
                (unsigned long long)n,
                (unsigned long long)r->existing_gone.tree.size);
    cv_err_state(err, "nothing was changed");
    cv_err_hint(err, "--accept-rollback, if it is to be; the record that is "
                     "there is kept beside the new one (audit.replaced-N)");
    return s;
}

static enum cv_status check_rollback(const struct cv_restore *r,
                                     struct cv_err *err)
{
    enum cv_status s;

    if (r->o->accept_rollback) {
        return CV_OK;
    }
    if (!loses(r)) {
        return check_texts(r, err);
    }
    s = r->differs
            ? cv_fail(err, CV_INTEGRITY,
                      "the vault that is there has a record that the backup "
                      "does not have, and the other way round: both went on")
            : cv_fail(err, CV_INTEGRITY,
                      "the backup is older than the vault that is there, by "
                      "%llu records",
                      (unsigned long long)(cv_log_size(r->existing->log) -
                                           r->head.leaves));
    cv_err_state(err, "nothing was changed");
    cv_err_hint(err, "--accept-rollback, if it is to be; the record that is "
                     "given up is kept beside the new one");
    return s;
}

/* The log's key is there already in the clear: it need not be opened again. */
static enum cv_status take_key_over(struct cv_restore *r, struct cv_err *err)
{
    struct cv_arena *arena = NULL;
    struct cv_bytes seed;
    enum cv_status s = CV_OK;

    if (r->existing == NULL) {
        return CV_OK;
    }
    s = cv_arena_new(CV_KIB(64), &arena, err);
    if (s != CV_OK) {
        return s;
    }
    if (cv_logkey_read_seed(r->o->dir, &r->key, arena, &seed, NULL) == CV_OK) {
        s = cv_logkey_restore(r->stage, &r->key, seed, err);
        if (s == CV_OK) {
            (void)unlinkat(r->stage, SEALED_KEY, 0);
        }
    }
    cv_arena_free(arena);
    return s;
}

static cJSON *about_of(const struct cv_restore *r)
{
    cJSON *about = cJSON_CreateObject();
    char when[CV_CLOCK_TEXT_LEN];

    (void)cv_json_add_str(about, "vault_id", r->head.vault_id);
    (void)cv_json_add_str(about, "created",
                          cv_clock_format(r->head.created_s, when));
    (void)cv_json_add_str(about, "program", r->head.program);
    (void)cv_json_add_hex(about, "digest",
                          (struct cv_bytes){r->digest, sizeof(r->digest)});
    (void)cv_json_add_int(about, "size", (int64_t)cv_archive_size(&r->head));
    (void)cv_json_add_int(about, "leaves", (int64_t)r->head.leaves);
    return about;
}

/* Reads and checks; what it says is true also where it refuses. */
static enum cv_status examine(struct cv_restore *r, cJSON *report,
                              struct cv_err *err)
{
    cJSON *about;
    enum cv_status s = cv_restore_read(r, err);

    if (s != CV_OK) {
        return s;
    }
    about = about_of(r);
    (void)cv_json_add_item(report, "backup", about);
    s = check_same_vault(r, err);
    if (s == CV_OK) {
        s = cv_restore_store(r, report, about, err);
    }
    if (s == CV_OK) {
        (void)cv_json_add_str(report, "target", target_of(r));
        (void)cv_json_add_int(
            report, "leaves_lost",
            loses(r) && !r->differs
                ? (int64_t)(cv_log_size(r->existing->log) - r->head.leaves)
                : 0);
        (void)cv_json_add_int(report, "texts_lost",
                              (int64_t)cv_restore_texts_lost(r));
        (void)cv_json_add_int(report, "unfinished", (int64_t)r->unfinished);
        (void)cv_json_add_int(report, "requests_closed", (int64_t)r->requests);
        s = check_rollback(r, err);
    }
    return s;
}

static enum cv_status run(struct cv_restore *r, cJSON *report,
                          struct cv_err *err)
{
    enum cv_status s = look_around(r, err);

    if (s == CV_OK) {
        s = cv_place_begin(r->o->dir, &r->stage, err);
    }
    if (s == CV_OK) {
        s = examine(r, report, err);
    }
    if (s == CV_OK) {
        s = cv_restore_decide(r, err);
    }
    if (s == CV_OK && !r->o->dry_run) {
        s = take_key_over(r, err);
        if (s == CV_OK) {
            s = cv_restore_record(r, err);
        }
        if (s == CV_OK) {
            s = cv_place_commit(r->o->dir, r->stage, err);
        }
    }
    (void)cv_json_add_bool(report, "restored", s == CV_OK && !r->o->dry_run);
    return s;
}

enum cv_status cv_restore_run(const struct cv_restore_options *o,
                              cJSON **report, struct cv_err *err)
{
    struct cv_restore *r = calloc(1, sizeof(*r));
    struct cv_err own;
    enum cv_status s;

    if (err == NULL) {
        cv_err_init(&own);
        err = &own;
    }
    *report = r != NULL ? cJSON_CreateObject() : NULL;
    if (*report == NULL) {
        free(r);
        return cv_fail(err, CV_INTERNAL, "memory is gone");
    }
    r->o = o;
    r->stage = r->out = r->existing_log = r->service = -1;
    (void)snprintf(r->stage_path, sizeof(r->stage_path), "%s/%s", o->folder,
                   CV_PLACE_STAGE);
    s = run(r, *report, err);
    cv_file_close(&r->stage);
    if (s != CV_OK || o->dry_run) {
        cv_place_drop(o->dir);
        if (r->service != -1) {
            (void)unlinkat(o->dir, "service", 0); /* as it was */
        }
    }
    if (s != CV_OK && err->state[0] == '\0') {
        cv_err_state(err, "nothing was changed");
    }
    cv_file_close(&r->service);
    cv_file_close(&r->existing_log);
    cv_vault_close(r->existing);
    free(r);
    return s;
}
