#include "vault/audit/archived.h"

#include "vault/audit/index.h"
#include "vault/audit/query_internal.h"
#include "vault/audit/record_internal.h"
#include "vault/audit/state_internal.h"
#include "vault/audit/tiles_internal.h"
#include "vault/audit/wal_internal.h"
#include "vault/base/clock.h"
#include "vault/base/encode.h"
#include "vault/base/file.h"
#include "vault/base/json.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define FILE_MAX CV_KIB(16)
#define PIECE CV_KIB(256)
#define LOG_PATH "audit/log"
#define DRAFT "audit/.archived.tmp"

static enum cv_status damaged(struct cv_err *err)
{
    cv_fail(err, CV_INTEGRITY, "%s is damaged", CV_ARCHIVED_PATH);
    cv_err_hint(err, "it says where the log begins, and cannot be made again: "
                     "put it back from a copy of the vault's folder, or "
                     "restore a backup");
    return CV_INTEGRITY;
}

static bool is_hex(const char *text)
{
    return strlen(text) == 2 * crypto_hash_sha256_BYTES &&
           strspn(text, "0123456789abcdef") == strlen(text);
}

void cv_archived_draw(struct cv_archived *a)
{
    randombytes_buf(a->opening, sizeof a->opening);
}

void cv_archived_commitment(const struct cv_archived *a,
                            char out[2 * crypto_hash_sha256_BYTES + 1])
{
    uint8_t digest[crypto_hash_sha256_BYTES];

    (void)crypto_hash_sha256(digest, a->opening, sizeof a->opening);
    (void)sodium_bin2hex(out, 2 * sizeof digest + 1, digest, sizeof digest);
}

static bool read_all(const cJSON *root, struct cv_archived *out)
{
    const char *digest = NULL, *until = NULL, *opening = NULL,
               *signature = NULL;
    const cJSON *frontier = NULL;
    int64_t seq = -1, version = 0;
    const struct cv_json_field fields[] = {
        {"digest", CV_JSON_STRING, true, &digest, 0},
        {"frontier", CV_JSON_OBJECT, true, &frontier, 0},
        {"opening", CV_JSON_STRING, true, &opening, 2 * CV_ARCHIVED_OPENING},
        {"seq", CV_JSON_INT, true, &seq, 0},
        {"signature", CV_JSON_STRING, true, &signature, CV_ARCHIVED_SIGNATURE},
        {"until", CV_JSON_STRING, true, &until, sizeof out->until - 1},
        {"v", CV_JSON_INT, true, &version, 0},
    };
    struct cv_frontier f = {0};

    if (cv_json_read(root, CV_ARCHIVED_PATH, fields, 7, true, NULL) != CV_OK ||
        version != 2 || strlen(signature) != CV_ARCHIVED_SIGNATURE ||
        cv_decode_hex_exact(opening, "the opening", out->opening,
                            sizeof out->opening, NULL) != CV_OK ||
        !is_hex(digest) || !cv_state_read_frontier(frontier, &f) ||
        f.tree.size % CV_ARCHIVED_EVERY != 0 || seq < 0 ||
        (uint64_t)seq < f.tree.size) {
        return false;
    }
    out->tree = f.tree;
    out->offset = f.offset;
    out->seq = (uint64_t)seq;
    memcpy(out->prev, f.prev, sizeof out->prev);
    (void)snprintf(out->until, sizeof out->until, "%s", until);
    (void)snprintf(out->digest, sizeof out->digest, "%s", digest);
    (void)snprintf(out->signature, sizeof out->signature, "%s", signature);
    return true;
}

enum cv_status cv_archived_text(const struct cv_archived *a, struct cv_buf *out,
                                struct cv_err *err)
{
    struct cv_frontier f = {.tree = a->tree, .offset = a->offset};
    cJSON *root = cJSON_CreateObject();
    bool ok;

    memcpy(f.prev, a->prev, sizeof f.prev);
    ok = cv_json_add_str(root, "digest", a->digest) &&
         cv_json_add_item(root, "frontier", cv_state_frontier(&f)) &&
         cv_json_add_hex(root, "opening",
                         (struct cv_bytes){a->opening, sizeof a->opening}) &&
         cv_json_add_int(root, "seq", (int64_t)a->seq) &&
         cv_json_add_str(root, "signature", a->signature) &&
         cv_json_add_str(root, "until", a->until) &&
         cv_json_add_int(root, "v", 2);
    if (ok) {
        cv_json_write(root, CV_JSON_CANONICAL, out);
        cv_buf_add_char(out, '\n');
    }
    cJSON_Delete(root);
    return ok ? cv_buf_status(out, CV_ARCHIVED_PATH, err)
              : cv_fail(err, CV_INTERNAL, "out of memory");
}

/* What is read must be what would be written: one spelling, so that no byte of
 * it can be another. */
enum cv_status cv_archived_parse(struct cv_bytes text, struct cv_archived *out,
                                 struct cv_err *err)
{
    cJSON *root = NULL;
    struct cv_buf again;
    bool good;

    memset(out, 0, sizeof *out);
    cv_buf_init(&again, NULL, FILE_MAX);
    good =
        cv_json_parse(NULL, text, &root, NULL) == CV_OK &&
        read_all(root, out) && cv_archived_text(out, &again, NULL) == CV_OK &&
        again.len == text.len && memcmp(again.data, text.data, text.len) == 0;
    cv_buf_wipe(&again);
    cJSON_Delete(root);
    if (!good) {
        memset(out, 0, sizeof *out);
        return damaged(err);
    }
    return CV_OK;
}

enum cv_status cv_archived_read(int vault, struct cv_archived *out,
                                struct cv_err *err)
{
    struct cv_buf text;
    struct cv_err why;
    int fd = -1;
    enum cv_status status;

    memset(out, 0, sizeof *out);
    cv_err_init(&why);
    status = cv_file_open(vault, CV_ARCHIVED_PATH, O_RDONLY, &fd, &why);
    if (status == CV_NOT_FOUND) {
        return CV_OK;
    }
    cv_buf_init(&text, NULL, FILE_MAX);
    if (status == CV_OK) {
        status = cv_file_read(fd, CV_ARCHIVED_PATH, &text, &why);
    }
    cv_file_close(&fd);
    if (status == CV_OK || status == CV_INVALID) {
        status = cv_archived_parse(cv_buf_bytes(&text), out, &why);
    }
    cv_buf_wipe(&text);
    if (status != CV_OK && err != NULL) {
        *err = why;
    }
    return status;
}

static bool is_text(struct cv_bytes text, const char *want)
{
    return text.len == strlen(want) &&
           (text.len == 0 || memcmp(text.data, want, text.len) == 0);
}

static bool is_said(const struct cv_canon *details, const char *key,
                    const char *want)
{
    return is_text(cv_canon_string(cv_canon_get(details, key)), want);
}

bool cv_archived_is_told(const struct cv_archived *a, struct cv_bytes leaf)
{
    struct cv_record record;
    struct cv_canon details;
    struct cv_bytes said;
    char commitment[2 * crypto_hash_sha256_BYTES + 1];
    uint64_t size = 0;

    cv_archived_commitment(a, commitment);
    if (a->tree.size == 0 || cv_record_read(leaf, &record) != NULL ||
        record.seq != a->seq || !cv_record_is(record.action, "admin")) {
        return false;
    }
    said = cv_canon_get(&record.all, "details");
    return said.len > 0 && cv_canon_scan(said, &details) &&
           is_said(&details, "method", CV_ARCHIVED_METHOD) &&
           cv_canon_uint(cv_canon_get(&details, "size"), &size) &&
           size == a->tree.size && is_said(&details, "digest", a->digest) &&
           is_said(&details, "until", a->until) &&
           is_said(&details, "commitment", commitment) &&
           is_said(&details, "signature", a->signature);
}

enum cv_status cv_archived_refuse(const struct cv_archived *a, uint64_t seq,
                                  struct cv_err *err)
{
    cv_fail(err, CV_NOT_FOUND, "record %llu is archived",
            (unsigned long long)seq);
    cv_err_state(err,
                 "the log begins with record %llu; the archive that ends "
                 "before it has the SHA-256 %s",
                 (unsigned long long)a->tree.size, a->digest);
    cv_err_hint(err, "give that file, or the one before it that has the "
                     "record: --archive FILE");
    return CV_NOT_FOUND;
}

/* ---- copying ---- */

enum cv_status cv_archived_copy_begin(int vault, uint64_t before,
                                      struct cv_archived_copy *c,
                                      struct cv_err *err)
{
    enum cv_status status;

    memset(c, 0, sizeof *c);
    status = cv_archived_read(vault, &c->now, err);
    c->vault = vault;
    c->before = before;
    c->first = c->now.tree.size;
    c->at = (struct cv_query_cursor){c->now.offset, c->first};
    (void)crypto_hash_sha256_init(&c->sha);
    return status;
}

struct piece {
    struct cv_archived_copy *c;
    struct cv_buf *out;
    size_t most;
};

/* Most of them change no key. */
static enum cv_status take_change(struct cv_archived_copy *c,
                                  struct cv_bytes leaf, struct cv_err *err)
{
    enum cv_status status = cv_carried_take(&c->changes, leaf, err);

    if (status == CV_INTEGRITY) {
        cv_err_hint(err, "run `certvault audit verify`");
    }
    return status == CV_NOT_FOUND ? CV_OK : status;
}

static enum cv_status copy_one(void *ctx, const struct cv_query_cursor *at,
                               struct cv_bytes leaf, struct cv_err *err)
{
    const struct piece *p = ctx;
    struct cv_archived *now = &p->c->now;
    struct cv_record record;
    const char *wrong;
    enum cv_status status;
    size_t frame;

    /* Else what comes next is behind what another has archived. */
    if (at->seq != now->tree.size) {
        return cv_fail(err, CV_BUSY, "records were archived meanwhile");
    }
    if (at->seq == p->c->before ||
        p->out->len + CV_WAL_HEADER + leaf.len > p->most) {
        return CV_QUERY_STOP;
    }
    wrong = cv_record_follow(leaf, at->seq, now->prev, &record);
    if (wrong != NULL) {
        cv_fail(err, CV_INTEGRITY, "audit/log, record %llu at byte %llu: %s",
                (unsigned long long)at->seq, (unsigned long long)at->offset,
                wrong);
        cv_err_hint(err, "run `certvault audit verify`");
        return CV_INTEGRITY;
    }
    frame = cv_wal_begin(p->out);
    cv_buf_add(p->out, leaf.data, leaf.len);
    cv_wal_end(p->out, frame);
    cv_tree_leaf(leaf, now->prev);
    cv_tree_append(&now->tree, now->prev);
    now->offset = at->offset + CV_WAL_HEADER + leaf.len;
    if (record.time.len < sizeof now->until &&
        strncmp(now->until, (const char *)record.time.data, record.time.len) <
            0) {
        memcpy(now->until, record.time.data, record.time.len);
        now->until[record.time.len] = '\0';
    }
    status = take_change(p->c, leaf, err);
    return status == CV_OK
               ? cv_buf_status(p->out, "a piece of the archive", err)
               : status;
}

bool cv_archived_copy_is_done(const struct cv_archived_copy *c)
{
    return c->at.seq == c->before;
}

enum cv_status cv_archived_copy_next(struct cv_archived_copy *c,
                                     struct cv_buf *out, struct cv_err *err)
{
    struct piece p = {c, out, out->ceiling};
    enum cv_status status = CV_OK;

    if (!cv_archived_copy_is_done(c)) {
        status = cv_query_scan(c->vault, &c->at, copy_one, &p, err);
        if (status == CV_OK && !cv_archived_copy_is_done(c)) {
            return cv_fail(err, CV_INTEGRITY, "the log became shorter");
        }
    }
    if (status == CV_QUERY_STOP) {
        status = CV_OK;
    }
    if (status == CV_OK) {
        (void)crypto_hash_sha256_update(&c->sha, out->data, out->len);
    }
    return status;
}

/* `until` is what limits go by. A clock that was ahead once would hold them up
 * until then; nothing can have happened later than now. */
static void cap(char until[32])
{
    char now[CV_CLOCK_TEXT_LEN];

    (void)cv_clock_format(cv_clock_now_s(), now);
    if (strcmp(until, now) > 0) {
        (void)snprintf(until, 32, "%s", now);
    }
}

void cv_archived_copy_end(struct cv_archived_copy *c)
{
    uint8_t digest[crypto_hash_sha256_BYTES];

    memcpy(c->latest, c->now.until, sizeof c->latest);
    cap(c->now.until);

    (void)crypto_hash_sha256_final(&c->sha, digest);
    (void)sodium_bin2hex(c->now.digest, sizeof c->now.digest, digest,
                         sizeof digest);
}

void cv_archived_copy_free(struct cv_archived_copy *c)
{
    cv_carried_free(&c->changes);
}

/* ---- the cut ---- */

static uint64_t block_of(int fd)
{
    struct stat st;

    return fstat(fd, &st) == 0 && st.st_blksize > 0 ? (uint64_t)st.st_blksize
                                                    : 4096;
}

static enum cv_status punch(int fd, uint64_t len)
{
    return fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0,
                     (off_t)len) == 0
               ? CV_OK
               : CV_IO;
}

enum cv_status cv_archived_can(int vault, struct cv_err *err)
{
    int fd = openat(vault, "audit", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
    bool can = fd >= 0 && ftruncate(fd, 8192) == 0 && punch(fd, 4096) == CV_OK;

    cv_file_close(&fd);
    if (can) {
        return CV_OK;
    }
    cv_fail(err, CV_CONFIG,
            "the vault's file system cannot give back a part of a file");
    cv_err_state(err, "nothing was archived");
    cv_err_hint(err, "ext4, xfs, btrfs and tmpfs can");
    return CV_CONFIG;
}

/* What takes records away must not outlive what says that they are archived:
 * the one who put it there may have been cut off before its name was durable.
 */
static enum cv_status sync_name(int vault, struct cv_err *err)
{
    int fd = openat(vault, "audit", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    enum cv_status status;

    if (fd < 0) {
        return cv_fail_errno(err, CV_IO, "cannot open audit");
    }
    status = cv_file_sync_folder(fd, err);
    cv_file_close(&fd);
    return status;
}

void cv_archived_forget(int vault)
{
    struct stat st;

    if (fstatat(vault, DRAFT, &st, AT_SYMLINK_NOFOLLOW) == 0 &&
        unlinkat(vault, DRAFT, 0) == 0) {
        (void)!sync_name(vault, NULL);
    }
}

/* It has no name until it is whole, and then one that whoever opens the log
 * looks for: the opening is in it. */
static enum cv_status put_draft(int vault, int fd, struct cv_err *err)
{
    char path[64];

    (void)snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    cv_archived_forget(vault);
    if (fsync(fd) != 0 ||
        linkat(AT_FDCWD, path, vault, DRAFT, AT_SYMLINK_FOLLOW) != 0) {
        return cv_fail_errno(err, CV_IO, "cannot write %s", CV_ARCHIVED_PATH);
    }
    if (renameat(vault, DRAFT, vault, CV_ARCHIVED_PATH) != 0) {
        (void)cv_fail_errno(err, CV_IO, "cannot put %s in place",
                            CV_ARCHIVED_PATH);
        cv_archived_forget(vault);
        return CV_IO;
    }
    return sync_name(vault, err);
}

enum cv_status cv_archived_write(int vault, const struct cv_archived *a,
                                 struct cv_err *err)
{
    struct cv_buf text;
    int fd = -1;
    enum cv_status status;

    cv_buf_init(&text, NULL, FILE_MAX);
    status = cv_archived_text(a, &text, err);
    if (status == CV_OK) {
        status = cv_file_stage(vault, CV_ARCHIVED_PATH, cv_buf_bytes(&text),
                               0600, &fd, err);
    }
    if (status == CV_OK && fd < 0) {
        status = cv_fail(err, CV_CONFIG,
                         "the vault's file system has no files without a name");
    }
    if (status == CV_OK) {
        status = put_draft(vault, fd, err);
    }
    cv_file_close(&fd);
    cv_buf_wipe(&text);
    return status;
}

/* Are there bytes of them still? *room: blocks below the offset, whatever they
 * hold (a copy that kept no holes has zeros there). Of the last block a part
 * may be the log's own: it stays. */
static bool look_below(int fd, const struct cv_archived *a, bool *room)
{
    const uint64_t blocks = a->offset - a->offset % block_of(fd);
    uint8_t *piece = malloc(PIECE);
    bool left = piece == NULL; /* taken away unseen: they are archived */
    uint64_t at = 0;
    off_t data;

    *room = left;
    while (!left && (data = lseek(fd, (off_t)at, SEEK_DATA)) >= 0 &&
           (uint64_t)data < a->offset) {
        uint64_t there = a->offset - (uint64_t)data;
        ssize_t n =
            pread(fd, piece, there < PIECE ? (size_t)there : PIECE, data);

        *room = *room || (uint64_t)data < blocks;
        left = n < 0 || (n > 0 && sodium_is_zero(piece, (size_t)n) == 0);
        if (n <= 0) {
            break;
        }
        at = (uint64_t)data + (uint64_t)n;
    }
    free(piece);
    return left;
}

bool cv_archived_is_left(int fd, const struct cv_archived *a)
{
    bool room;

    return look_below(fd, a, &room);
}

/* They go from the first on: where the last one is gone, all are. */
static bool has_bundles(int vault, const struct cv_archived *a)
{
    char path[CV_TILES_PATH];
    struct stat st;

    cv_tiles_path(-1, a->tree.size / CV_TILE_WIDTH - 1, CV_TILE_WIDTH, path);
    return fstatat(vault, path, &st, AT_SYMLINK_NOFOLLOW) == 0;
}

/* The folders that the first `n` lay in: one for each thousand. */
static enum cv_status sync_bundles(int vault, uint64_t n, struct cv_err *err)
{
    enum cv_status status = CV_OK;

    for (uint64_t i = 0; status == CV_OK && i < n; i += 1000) {
        char path[CV_TILES_PATH];
        int fd;

        cv_tiles_path(-1, i, CV_TILE_WIDTH, path);
        *strrchr(path, '/') = '\0';
        fd = openat(vault, path,
                    O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        if (fd < 0 && errno == ENOENT) {
            continue; /* restored, it never had any */
        }
        status = fd >= 0 ? cv_file_sync_folder(fd, err)
                         : cv_fail_errno(err, CV_IO, "cannot open %s", path);
        cv_file_close(&fd);
    }
    return status;
}

static enum cv_status drop_bundles(int vault, const struct cv_archived *a,
                                   struct cv_err *err)
{
    const uint64_t n = a->tree.size / CV_TILE_WIDTH;
    char path[CV_TILES_PATH];
    enum cv_status status = CV_OK;

    for (uint64_t i = 0; i < n; i++) {
        cv_tiles_path(-1, i, CV_TILE_WIDTH, path);
        /* The last one goes when the others will stay gone. */
        if (i + 1 == n) {
            status = sync_bundles(vault, n, err);
        }
        if (status != CV_OK) {
            return status;
        }
        if (unlinkat(vault, path, 0) != 0 && errno != ENOENT) {
            return cv_fail_errno(err, CV_IO, "cannot remove %s", path);
        }
    }
    return CV_OK;
}

/* An index of what is archived goes first, while both are known to be there. */
static enum cv_status finish(int vault, const struct cv_archived *a,
                             struct cv_err *err)
{
    bool bytes = false, room = false, bundles = has_bundles(vault, a);
    int fd = -1;
    enum cv_status status = cv_file_open(vault, LOG_PATH, O_RDWR, &fd, err);

    if (status == CV_OK) {
        bytes = look_below(fd, a, &room);
    }
    /* Else every command would read all these zeros again. */
    if (status == CV_OK && !bytes && room) {
        (void)!punch(fd, a->offset);
    }
    if (status == CV_OK && (bytes || bundles)) {
        status = sync_name(vault, err);
    }
    if (status == CV_OK && (bytes || bundles)) {
        status = cv_index_remove(vault, err);
    }
    if (status == CV_OK && bytes &&
        (punch(fd, a->offset) != CV_OK || fsync(fd) != 0)) {
        status = cv_fail_errno(err, CV_IO, "cannot give back a part of %s",
                               LOG_PATH);
    }
    cv_file_close(&fd);
    return status == CV_OK && bundles ? drop_bundles(vault, a, err) : status;
}

enum cv_status cv_archived_finish(int vault, struct cv_err *err)
{
    struct cv_archived a;
    enum cv_status status = cv_archived_read(vault, &a, err);

    return status == CV_OK && a.tree.size > 0 ? finish(vault, &a, err) : status;
}
