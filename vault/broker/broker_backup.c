/* Backup, BackupRead, BackupEnd: a copy of the vault at one moment.
 *
 * Under the vault's lock the store is copied into a file without a name and the
 * log's length is noted; the log only grows, so what lies below that length can
 * be read at leisure, piece by piece, while others are served. The record says
 * "ok" only when the caller has read its copy back and names its digest. */
#include "vault/broker/backup_internal.h"

#include "vault/audit/archived.h"
#include "vault/audit/checkpoint.h"
#include "vault/audit/kept.h"
#include "vault/audit/logkey_token.h"
#include "vault/audit/tiles.h"
#include "vault/base/clock.h"
#include "vault/base/encode.h"
#include "vault/base/file.h"
#include "vault/broker/archive.h"
#include "vault/store/store_copy.h"

#include <errno.h>
#include <fcntl.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

struct cv_backup {
    struct cv_caller *caller;
    struct cv_ask ask;
    char reason[CV_LIMIT_REASON + 1], ticket[CV_LIMIT_TICKET + 1];
    struct cv_archive_head head;
    struct cv_buf front; /* all before the store */
    int vault;           /* borrowed */
    int store;           /* a file without a name */
    int kept;            /* checkpoints of before; -1: there are none */
    int log;
    uint64_t log_at; /* where it begins: before, it is archived */
    struct cv_tiles_reader *hashes; /* of what is archived; NULL: nothing is */
    uint64_t at, total;
    int64_t asked_ms;
    crypto_hash_sha256_state sha;
    uint8_t digest[CV_ARCHIVE_DIGEST];
    bool whole; /* all of it was read, `digest` is its digest */
};

void cv_backup_drop(struct cv_broker *b)
{
    struct cv_backup *k = b->backup;

    if (k != NULL) {
        cv_file_close(&k->store);
        cv_file_close(&k->kept);
        cv_file_close(&k->log);
        cv_buf_wipe(&k->front);
        free(k->hashes);
        free(k);
        b->backup = NULL;
    }
}

static cJSON *details_of(const struct cv_backup *k, const char *because)
{
    cJSON *details = cJSON_CreateObject();

    (void)cv_json_add_str(details, "method", "Backup");
    (void)cv_json_add_int(details, "leaves", (int64_t)k->head.leaves);
    (void)cv_json_add_int(details, "bytes", (int64_t)k->total);
    (void)cv_json_add_str(details, "because", because);
    if (because == NULL) {
        (void)cv_json_add_hex(details, "digest",
                              (struct cv_bytes){k->digest, sizeof(k->digest)});
    }
    return details;
}

/* Tells how it ended, and lets go of it. */
static void end(struct cv_broker *b, enum cv_status s, const char *because)
{
    struct cv_backup *k = b->backup;
    cJSON *details = details_of(k, because);

    cv_ask_outcome_now(&k->ask, s, details);
    cJSON_Delete(details);
    cv_backup_drop(b);
}

void cv_backup_left(struct cv_broker *b, struct cv_caller *caller)
{
    struct cv_caller *before = b->caller;

    if (b->backup != NULL && b->backup->caller == caller) {
        b->caller = caller;
        end(b, CV_FAILED, "its reader left before it was verified");
        b->caller = before;
    }
}

/* The log's key, sealed to the vault. Not entered. */
static enum cv_status seal_log_key(struct cv_broker *b, const char *log,
                                   struct cv_buf *out, struct cv_err *err)
{
    const char *sealed = NULL;
    const struct cv_json_field fields[] = {
        {"sealed", CV_JSON_STRING, true, &sealed, 2 * CV_LIMIT_SEALED},
    };
    struct cv_message reply = {0};
    struct cv_arena *arena = NULL, *before;
    struct cv_bytes seed;
    cJSON *p;
    enum cv_status s = cv_arena_new(CV_KIB(64), &arena, err);

    if (s == CV_OK) {
        s = cv_logkey_read_seed(b->vault->dir, &b->vault->log_key, arena, &seed,
                                err);
    }
    if (s == CV_OK) {
        before = cv_json_use(arena);
        p = cJSON_CreateObject();
        if (!cv_json_add_str(p, "vault_id", b->vault->id) ||
            !cv_json_add_str(p, "public_key", b->vault->public_key) ||
            !cv_json_add_str(p, "log", log) ||
            !cv_json_add_base64(p, "secret", seed)) {
            s = cv_fail(err, CV_INTERNAL, "memory is gone");
        } else {
            s = cv_broker_token(b, "LogSeal", p, CV_CLIENT_SECRET_IN, &reply,
                                err);
        }
        (void)cv_json_use(before);
    }
    cv_arena_free(arena);
    if (s == CV_OK) {
        s = cv_json_read(reply.tree, "LogSeal", fields, 1, true, err);
    }
    if (s == CV_OK) {
        s = cv_decode_base64(sealed, strlen(sealed), false, "the sealed key",
                             out, err);
    }
    cv_message_free(&reply);
    return s;
}

/* A file of the vault, whole. */
static enum cv_status read_file(struct cv_broker *b, const char *name,
                                struct cv_buf *out, struct cv_err *err)
{
    int fd = -1;
    enum cv_status s = cv_file_open(b->vault->dir, name, O_RDONLY, &fd, err);

    if (s == CV_OK) {
        s = cv_file_read(fd, name, out, err);
    }
    cv_file_close(&fd);
    return s;
}

/* What stands before the store but for the head. */
struct front {
    struct cv_buf parts[CV_ARCHIVE_STORE];
};

static void front_init(struct front *f)
{
    for (int i = 0; i < CV_ARCHIVE_STORE; i++) {
        cv_buf_init(&f->parts[i], NULL, CV_LIMIT_NOTE);
    }
}

static void front_wipe(struct front *f)
{
    for (int i = 0; i < CV_ARCHIVE_STORE; i++) {
        cv_buf_wipe(&f->parts[i]);
    }
}

/* Then the backup holds no key of the log: the store says where it is. */
static bool is_on_token(struct cv_broker *b)
{
    struct cv_buf uri;
    bool is;

    cv_buf_init(&uri, NULL, CV_LIMIT_TOKEN_URI + 1);
    is = cv_logkey_token_uri(b->vault->dir, false, &b->vault->log_key, &uri,
                             NULL) == CV_OK;
    cv_buf_wipe(&uri);
    return is;
}

/* Not entered: the token process is asked. */
static enum cv_status read_keys(struct cv_broker *b, struct front *f,
                                struct cv_err *err)
{
    struct cv_buf *key = &f->parts[CV_ARCHIVE_KEY];
    struct cv_buf *sealed = &f->parts[CV_ARCHIVE_SEALED];
    enum cv_status s;

    cv_note_key_text(&b->vault->log_key, key);
    s = cv_buf_status(key, "the log's key", err);
    if (s == CV_OK) {
        s = read_file(b, CV_BACKUP_SEALED_KEY, sealed, NULL);
        if (s == CV_NOT_FOUND) {
            s = is_on_token(b) ? CV_OK
                               : seal_log_key(b, cv_buf_text(key), sealed, err);
        } else if (s != CV_OK) {
            s = cv_fail(err, s, "cannot read %s", CV_BACKUP_SEALED_KEY);
        }
    }
    cv_buf_add_char(key, '\n');
    return s == CV_OK ? cv_buf_status(key, "the log's key", err) : s;
}

static enum cv_status read_checkpoint(struct cv_broker *b, struct front *f,
                                      struct cv_err *err)
{
    struct cv_checkpoint last;
    enum cv_status s =
        cv_checkpoint_read(b->vault->dir, &b->vault->log_key, &last,
                           &f->parts[CV_ARCHIVE_CHECKPOINT], NULL, err);

    return s == CV_NOT_FOUND ? CV_OK : s;
}

/* What says where the log begins, and a reader of the hashes before that. */
static enum cv_status read_archived(struct cv_broker *b, struct front *f,
                                    struct cv_backup *k, struct cv_err *err)
{
    struct cv_archived gone;
    enum cv_status s = cv_archived_read(b->vault->dir, &gone, err);

    if (s != CV_OK || gone.tree.size == 0) {
        return s;
    }
    k->log_at = gone.offset;
    k->head.sizes[CV_ARCHIVE_HASHES] = gone.tree.size * CV_TREE_HASH;
    k->hashes = calloc(1, sizeof(*k->hashes));
    if (k->hashes == NULL) {
        return cv_fail(err, CV_INTERNAL, "memory is gone");
    }
    k->hashes->vault = b->vault->dir;
    k->hashes->size = gone.tree.size;
    return cv_archived_text(&gone, &f->parts[CV_ARCHIVE_ARCHIVED], err);
}

/* They are appended to: what is there now stays. */
static enum cv_status open_kept(struct cv_broker *b, struct cv_backup *k,
                                struct cv_err *err)
{
    struct cv_err why;
    struct stat st;
    enum cv_status s;

    cv_err_init(&why);
    s = cv_file_open(b->vault->dir, CV_KEPT_PATH, O_RDONLY, &k->kept, &why);
    if (s == CV_NOT_FOUND) {
        return CV_OK;
    }
    if (s != CV_OK) {
        *err = why;
        return s;
    }
    if (fstat(k->kept, &st) != 0) {
        return cv_fail_errno(err, CV_IO, "cannot look at %s", CV_KEPT_PATH);
    }
    k->head.sizes[CV_ARCHIVE_KEPT] = (uint64_t)st.st_size;
    return CV_OK;
}

static void fill_head(struct cv_broker *b, const struct front *f,
                      struct cv_archive_head *head, uint64_t log_at)
{
    const struct cv_tree *tree = cv_log_tree(b->vault->log);

    (void)snprintf(head->vault_id, sizeof(head->vault_id), "%s", b->vault->id);
    (void)snprintf(head->program, sizeof(head->program), "%s", CV_VERSION);
    head->created_s = cv_clock_now_s();
    head->leaves = cv_log_size(b->vault->log);
    cv_tree_root(tree, head->root);
    for (int i = 0; i < CV_ARCHIVE_STORE; i++) {
        head->sizes[i] = f->parts[i].len;
    }
    head->sizes[CV_ARCHIVE_LOG] = cv_log_bytes(b->vault->log) - log_at;
}

/* Entered, the decision durable: everything as it is at this moment. */
static enum cv_status snapshot(struct cv_broker *b, struct front *f,
                               struct cv_backup *k, struct cv_err *err)
{
    enum cv_status s = cv_store_check(b->vault->store, err);

    if (s != CV_OK) {
        cv_err_hint(err, "the store is damaged: a backup of it would be too. "
                         "Keep the backups that you have");
        return s;
    }
    s = read_checkpoint(b, f, err);
    if (s == CV_OK) {
        s = read_archived(b, f, k, err);
    }
    if (s == CV_OK) {
        k->store =
            openat(b->vault->dir, ".", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
        s = k->store < 0 ? cv_fail_errno(err, CV_IO, "cannot copy the store")
                         : cv_store_copy(b->vault->store, k->store,
                                         &k->head.sizes[CV_ARCHIVE_STORE], err);
    }
    if (s == CV_OK) {
        s = open_kept(b, k, err);
    }
    if (s == CV_OK) {
        s = cv_file_open(b->vault->dir, "audit/log", O_RDONLY, &k->log, err);
    }
    if (s == CV_OK) {
        fill_head(b, f, &k->head, k->log_at);
        cv_archive_write_head(&k->head, &k->front);
        for (int i = 0; i < CV_ARCHIVE_STORE; i++) {
            cv_buf_add(&k->front, f->parts[i].data, f->parts[i].len);
        }
        s = cv_buf_status(&k->front, "the backup", err);
    }
    k->total = cv_archive_size(&k->head);
    return s;
}

static struct cv_backup *backup_new(const struct cv_ask *ask)
{
    struct cv_backup *k = calloc(1, sizeof(*k));

    if (k == NULL) {
        return NULL;
    }
    k->caller = ask->broker->caller;
    k->ask = *ask;
    k->ask.parameters = NULL;
    if (ask->reason != NULL) {
        (void)snprintf(k->reason, sizeof(k->reason), "%s", ask->reason);
        k->ask.reason = k->reason;
    }
    if (ask->ticket != NULL) {
        (void)snprintf(k->ticket, sizeof(k->ticket), "%s", ask->ticket);
        k->ask.ticket = k->ticket;
    }
    k->vault = ask->broker->vault->dir;
    k->store = k->kept = k->log = -1;
    k->asked_ms = cv_clock_boot_ms();
    cv_buf_init(&k->front, NULL, CV_MIB(1));
    (void)crypto_hash_sha256_init(&k->sha);
    return k;
}

/* Entered. */
static enum cv_status begin(struct cv_broker *b, struct cv_ask *ask,
                            struct front *f, struct cv_err *err)
{
    cJSON *details = cJSON_CreateObject();
    enum cv_status s = CV_OK;

    (void)cv_json_add_str(details, "method", "Backup");
    if (b->vault->rotating) { /* one of its two keys would not be in it */
        s = cv_fail(err, CV_BUSY, "the log's key is being changed");
        cv_err_hint(err, "certvault audit checkpoint ends that");
    }
    if (s == CV_OK) {
        s = cv_ask_decide(ask, NULL, details, err);
    }
    if (s == CV_OK) {
        s = cv_broker_commit(b, err);
    }
    if (s == CV_OK) {
        b->backup = backup_new(ask);
        s = b->backup != NULL ? snapshot(b, f, b->backup, err)
                              : cv_fail(err, CV_INTERNAL, "memory is gone");
        if (s != CV_OK) {
            cv_backup_drop(b);
            if (cv_ask_outcome(ask, s, details, NULL) == CV_OK) {
                (void)!cv_broker_commit(b, NULL);
            }
        }
    }
    cJSON_Delete(details);
    return s;
}

bool cv_backup_is_read(const struct cv_broker *b)
{
    return b->backup != NULL && cv_clock_boot_ms() - b->backup->asked_ms <=
                                    (int64_t)CV_LIMIT_BACKUP_IDLE_S * 1000;
}

static enum cv_status only_one(struct cv_broker *b, struct cv_err *err)
{
    enum cv_status s;

    if (b->backup == NULL) {
        return CV_OK;
    }
    if (b->backup->caller == b->caller ||
        cv_clock_boot_ms() - b->backup->asked_ms >
            (int64_t)CV_LIMIT_BACKUP_IDLE_S * 1000) {
        end(b, CV_FAILED, "another was begun in its place");
        return CV_OK;
    }
    s = cv_fail(err, CV_BUSY, "another backup is being written");
    cv_err_hint(err, "try again when it is done");
    return s;
}

CV_BROKER_METHOD(backup)
{
    struct cv_broker *b = context;
    const struct cv_json_field fields[] = {CV_BROKER_ASK_FIELDS};
    cJSON *out = cv_reply_parameters(reply);
    struct front f;
    struct cv_ask ask;
    enum cv_status s = cv_ask_begin(b, CV_ACTION_ADMIN, parameters, &ask, err);

    front_init(&f);
    if (s == CV_OK) {
        s = cv_json_read(parameters, "Backup", CV_BROKER_FIELDS(fields), true,
                         err);
    }
    /* Nobody's backup ends for who may make none, and no key is touched. */
    if (s == CV_OK && b->vault != NULL) {
        s = cv_broker_enter(b, err);
        if (s == CV_OK) {
            s = cv_ask_check(&ask, NULL, NULL, err);
            cv_broker_leave(b);
        }
    }
    if (s == CV_OK) {
        s = only_one(b, err);
    }
    if (s == CV_OK && b->vault != NULL) {
        s = read_keys(b, &f, err);
    }
    if (s == CV_OK) {
        s = cv_broker_enter(b, err);
        if (s == CV_OK) {
            s = begin(b, &ask, &f, err);
            cv_broker_leave(b);
        }
    }
    front_wipe(&f);
    if (s != CV_OK) {
        cv_ask_refused(&ask, err);
        return s;
    }
    (void)cv_json_add_int(out, "size", (int64_t)b->backup->total);
    (void)cv_json_add_int(out, "leaves", (int64_t)b->backup->head.leaves);
    (void)cv_json_add_str(out, "vault_id", b->vault->id);
    (void)cv_json_add_int(out, "audit_seq", ask.seq);
    return CV_OK;
}

/* `len` bytes of a file from `at` on, all of which must be there. */
static enum cv_status take(int fd, uint64_t at, size_t len, struct cv_buf *out,
                           struct cv_err *err)
{
    uint8_t *room = cv_buf_room(out, len);
    size_t done = 0;

    while (room != NULL && done < len) {
        ssize_t n = pread(fd, room + done, len - done, (off_t)(at + done));

        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n <= 0) {
            return n < 0 ? cv_fail_errno(err, CV_IO, "cannot read the vault")
                         : cv_fail(err, CV_IO,
                                   "the vault became shorter while "
                                   "it was read");
        }
        done += (size_t)n;
    }
    cv_buf_took(out, room != NULL ? len : 0);
    return cv_buf_status(out, "a piece of the backup", err);
}

/* Hashes of the archived records, from byte `at` of them on: out of the tiles,
 * which do not change any more. */
static enum cv_status take_hashes(struct cv_backup *k, uint64_t at, size_t len,
                                  struct cv_buf *out, struct cv_err *err)
{
    struct cv_proof_source source = cv_tiles_source(k->hashes);
    enum cv_status s = CV_OK;

    for (; s == CV_OK && len > 0; at += CV_TREE_HASH, len -= CV_TREE_HASH) {
        uint8_t hash[CV_TREE_HASH];

        s = source.subtree(source.context, 0, at / CV_TREE_HASH, hash, err);
        if (s == CV_OK) {
            cv_buf_add(out, hash, sizeof(hash));
        }
    }
    return s == CV_OK ? cv_buf_status(out, "a piece of the backup", err) : s;
}

/* Another broker may have archived records since: then what was read last may
 * be of the hole. */
static enum cv_status still_there(const struct cv_backup *k, struct cv_err *err)
{
    struct cv_archived gone;
    enum cv_status s = cv_archived_read(k->vault, &gone, err);

    if (s == CV_OK && gone.offset != k->log_at) {
        s = cv_fail(err, CV_BUSY,
                    "records were archived while the backup read "
                    "them");
        cv_err_hint(err, "run it again");
    }
    return s;
}

static size_t least(uint64_t left)
{
    return left < CV_LIMIT_BACKUP_STEP ? (size_t)left : CV_LIMIT_BACKUP_STEP;
}

/* The bytes that come next; none at the end. */
static enum cv_status next(struct cv_backup *k, struct cv_buf *out,
                           struct cv_err *err)
{
    const uint64_t store = k->front.len;
    const uint64_t kept = store + k->head.sizes[CV_ARCHIVE_STORE];
    const uint64_t hashes = kept + k->head.sizes[CV_ARCHIVE_KEPT];
    const uint64_t log = hashes + k->head.sizes[CV_ARCHIVE_HASHES];
    const uint64_t last = log + k->head.sizes[CV_ARCHIVE_LOG];
    enum cv_status s = CV_OK;

    if (k->at < store) {
        cv_buf_add(out, k->front.data + k->at, least(store - k->at));
    } else if (k->at < kept) {
        s = take(k->store, k->at - store, least(kept - k->at), out, err);
    } else if (k->at < hashes) {
        s = take(k->kept, k->at - kept, least(hashes - k->at), out, err);
    } else if (k->at < log) {
        s = take_hashes(k, k->at - hashes, least(log - k->at), out, err);
    } else if (k->at < last) {
        s = take(k->log, k->log_at + k->at - log, least(last - k->at), out,
                 err);
        s = s == CV_OK ? still_there(k, err) : s;
    } else if (!k->whole) {
        k->whole = true;
        (void)crypto_hash_sha256_final(&k->sha, k->digest);
        cv_buf_add(out, k->digest, sizeof(k->digest));
    }
    if (s == CV_OK && !k->whole) {
        (void)crypto_hash_sha256_update(&k->sha, out->data, out->len);
    }
    k->at += out->len;
    return s == CV_OK ? cv_buf_status(out, "a piece of the backup", err) : s;
}

static enum cv_status has_begun(struct cv_broker *b, struct cv_err *err)
{
    if (b->backup == NULL || b->backup->caller != b->caller) {
        return cv_fail(err, CV_INVALID, "no backup was begun here");
    }
    b->backup->asked_ms = cv_clock_boot_ms();
    return CV_OK;
}

CV_BROKER_METHOD(backup_read)
{
    struct cv_broker *b = context;
    int64_t at = -1;
    const struct cv_json_field fields[] = {
        {"at", CV_JSON_INT, true, &at, 0},
    };
    struct cv_buf piece;
    enum cv_status s = cv_json_read(parameters, "BackupRead",
                                    CV_BROKER_FIELDS(fields), true, err);

    if (s == CV_OK) {
        s = has_begun(b, err);
    }
    if (s == CV_OK && (at < 0 || (uint64_t)at != b->backup->at)) {
        s = cv_fail(err, CV_INVALID,
                    "a backup is read from its beginning to "
                    "its end");
    }
    if (s != CV_OK) {
        return s;
    }
    cv_buf_init(&piece, NULL, CV_LIMIT_BACKUP_STEP);
    s = next(b->backup, &piece, err);
    if (s == CV_OK && !cv_json_add_base64(cv_reply_parameters(reply), "data",
                                          cv_buf_bytes(&piece))) {
        s = cv_fail(err, CV_INTERNAL, "memory is gone");
    }
    cv_buf_wipe(&piece);
    if (s != CV_OK) {
        end(b, s, "it could not be read");
    }
    return s;
}

CV_BROKER_METHOD(backup_end)
{
    struct cv_broker *b = context;
    const char *hex = NULL;
    const struct cv_json_field fields[] = {
        {"digest", CV_JSON_STRING, true, &hex, 2 * CV_ARCHIVE_DIGEST},
    };
    uint8_t digest[CV_ARCHIVE_DIGEST];
    enum cv_status s = cv_json_read(parameters, "BackupEnd",
                                    CV_BROKER_FIELDS(fields), true, err);

    (void)reply;
    if (s == CV_OK) {
        s = has_begun(b, err);
    }
    if (s == CV_OK) {
        s = cv_decode_hex_exact(hex, "the digest", digest, sizeof(digest), err);
    }
    if (s != CV_OK) {
        return s;
    }
    if (!b->backup->whole ||
        memcmp(digest, b->backup->digest, sizeof(digest)) != 0) {
        end(b, CV_INTEGRITY, "what was read back is not what was sent");
        return cv_fail(err, CV_INTEGRITY,
                       "what was read back is not what was sent");
    }
    end(b, CV_OK, NULL);
    return CV_OK;
}

/* The seed that LogOpen gave, back into its file. */
static enum cv_status put_log_key(struct cv_broker *b,
                                  const struct cv_message *reply,
                                  struct cv_err *err)
{
    const char *secret = NULL;
    const struct cv_json_field fields[] = {
        {"secret", CV_JSON_STRING, true, &secret, 64},
    };
    struct cv_arena *arena = NULL;
    struct cv_buf seed;
    enum cv_status s =
        cv_json_read(reply->tree, "LogOpen", fields, 1, true, err);

    if (s == CV_OK) {
        s = cv_arena_new(CV_KIB(64), &arena, err);
    }
    if (s != CV_OK) {
        return s;
    }
    cv_buf_init(&seed, arena, CV_LOGKEY_SEED);
    s = cv_decode_base64(secret, strlen(secret), false, "the log's key", &seed,
                         err);
    if (s == CV_OK) {
        s = cv_logkey_restore(b->vault->dir, &b->vault->log_key,
                              cv_buf_bytes(&seed), err);
    }
    cv_arena_free(arena);
    return s;
}

static enum cv_status open_log_key(struct cv_broker *b,
                                   const struct cv_buf *sealed,
                                   struct cv_err *err)
{
    struct cv_message reply = {0};
    struct cv_buf log;
    cJSON *p = cJSON_CreateObject();
    enum cv_status s;

    cv_buf_init(&log, NULL, CV_LIMIT_NOTE);
    cv_note_key_text(&b->vault->log_key, &log);
    if (!cv_json_add_str(p, "log", cv_buf_text(&log)) ||
        !cv_json_add_base64(p, "sealed", cv_buf_bytes(sealed))) {
        cJSON_Delete(p);
        s = cv_fail(err, CV_INTERNAL, "memory is gone");
    } else {
        s = cv_broker_token(b, "LogOpen", p, CV_CLIENT_SECRET_OUT, &reply, err);
    }
    if (s == CV_OK) {
        s = put_log_key(b, &reply, err);
    }
    cv_message_free(&reply);
    cv_buf_wipe(&log);
    return s;
}

bool cv_backup_is_log_key_sealed(const struct cv_broker *b)
{
    return faccessat(b->vault->dir, CV_BACKUP_SEALED_KEY, F_OK, 0) == 0;
}

void cv_backup_open_log_key(struct cv_broker *b)
{
    cJSON *details;
    struct cv_buf sealed;
    struct cv_err err;
    enum cv_status s;

    cv_err_init(&err);
    cv_buf_init(&sealed, NULL, CV_LIMIT_SEALED);
    s = read_file(b, CV_BACKUP_SEALED_KEY, &sealed, &err);
    if (s == CV_NOT_FOUND) {
        cv_buf_wipe(&sealed);
        return;
    }
    if (s == CV_OK) {
        s = open_log_key(b, &sealed, &err);
    }
    cv_buf_wipe(&sealed);
    if (s == CV_OK || s == CV_EXISTS) {
        s = CV_OK;
        (void)unlinkat(b->vault->dir, CV_BACKUP_SEALED_KEY, 0);
    }
    details = cJSON_CreateObject();
    (void)cv_json_add_str(details, "method", "LogOpen");
    cv_broker_event(b, "admin", s, details);
    cJSON_Delete(details);
}
