/* The backup's bytes, on their way into the stage. */
#include "vault/broker/restore_internal.h"

#include "vault/base/file.h"
#include "vault/base/limits.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define HEADER 8 /* of a frame: length u32le, CRC-32C u32le */

static enum cv_status close_part(struct cv_restore *r, struct cv_err *err)
{
    enum cv_status s = CV_OK;

    if (r->out != -1 && fsync(r->out) != 0) {
        s = cv_fail_errno(err, CV_IO, "cannot write %s",
                          cv_archive_path(r->part));
    }
    cv_file_close(&r->out);
    return s;
}

static enum cv_status read_small(struct cv_restore *r, const char *path,
                                 struct cv_buf *out, struct cv_err *err)
{
    int fd = -1;
    enum cv_status s = cv_file_open(r->stage, path, O_RDONLY, &fd, err);

    if (s == CV_OK) {
        s = cv_file_read(fd, path, out, err);
    }
    cv_file_close(&fd);
    return s;
}

/* Key and checkpoint are there before the log comes. */
static enum cv_status read_keys(struct cv_restore *r, struct cv_err *err)
{
    struct cv_buf note;
    enum cv_status s = cv_logkey_read(r->stage, &r->key, err);

    cv_buf_init(&note, NULL, CV_LIMIT_NOTE);
    if (s == CV_OK && r->head.sizes[CV_ARCHIVE_CHECKPOINT] > 0) {
        s = read_small(r, cv_archive_path(CV_ARCHIVE_CHECKPOINT), &note, err);
        if (s == CV_OK) {
            s = cv_checkpoint_open(cv_buf_bytes(&note), &r->key, &r->checkpoint,
                                   err);
        }
    }
    cv_buf_wipe(&note);
    if (s == CV_OK && r->checkpoint.size > r->head.leaves) {
        s = cv_fail(err, CV_INTEGRITY,
                    "the backup's log is shorter than its checkpoint");
    }
    /* Else it can have been left out by who has not the log's key. */
    if (s == CV_OK && r->gone.tree.size > 0 &&
        r->checkpoint.size <= r->gone.seq) {
        s = cv_fail(err, CV_INTEGRITY,
                    "no checkpoint of the backup is over the record that says "
                    "what is archived");
    }
    return s == CV_OK || s == CV_IO ? s : cv_pass(err, CV_INTEGRITY);
}

/* Where the tree is as large as what was signed or is there: is it the same? */
static void meet(struct cv_restore *r)
{
    const struct cv_tree *gone = &r->existing_gone.tree;
    uint8_t own[CV_TREE_HASH], there[CV_TREE_HASH];

    cv_restore_kept_meet(r);
    if (r->existing == NULL) {
        return;
    }
    if (r->tree.size == gone->size && gone->size > 0) {
        r->differs = r->differs || memcmp(r->tree.nodes, gone->nodes,
                                          gone->n * (size_t)CV_TREE_HASH) != 0;
    }
    if (r->tree.size == cv_log_size(r->existing->log)) {
        cv_tree_root(&r->tree, own);
        cv_tree_root(cv_log_tree(r->existing->log), there);
        r->differs = r->differs || memcmp(own, there, sizeof(own)) != 0;
    }
}

static enum cv_status begin_hashes(struct cv_restore *r, struct cv_err *err)
{
    struct cv_buf text;
    enum cv_status s;

    cv_buf_init(&text, NULL, CV_LIMIT_NOTE);
    s = read_small(r, cv_archive_path(CV_ARCHIVE_ARCHIVED), &text, err);
    if (s == CV_OK) {
        s = cv_archived_parse(cv_buf_bytes(&text), &r->gone, err);
    }
    cv_buf_wipe(&text);
    if (s == CV_OK) {
        s = cv_restore_kept_read(r, err);
    }
    if (s == CV_OK && !r->o->dry_run) {
        s = cv_tiles_open_empty(r->stage, &r->tiles, err);
    }
    return s;
}

static enum cv_status take_hashes(struct cv_restore *r, struct cv_bytes bytes,
                                  struct cv_err *err)
{
    enum cv_status s = CV_OK;

    for (size_t at = 0; s == CV_OK && bytes.len - at >= CV_TREE_HASH;
         at += CV_TREE_HASH) {
        cv_tree_append(&r->tree, bytes.data + at);
        meet(r);
        if (r->tiles != NULL) {
            s = cv_tiles_add_hash(r->tiles, bytes.data + at, err);
        }
    }
    return s;
}

static enum cv_status end_hashes(struct cv_restore *r, struct cv_err *err)
{
    enum cv_status s = CV_OK;

    r->compared = r->gone.offset;
    if (r->head.sizes[CV_ARCHIVE_HASHES] != r->gone.tree.size * CV_TREE_HASH ||
        r->tree.size != r->gone.tree.size ||
        memcmp(r->tree.nodes, r->gone.tree.nodes,
               r->gone.tree.n * (size_t)CV_TREE_HASH) != 0) {
        return cv_fail(err, CV_INTEGRITY,
                       "the backup's hashes are not of the records that it "
                       "says are archived");
    }
    if (r->tiles != NULL) {
        s = cv_tiles_end_hashes(r->tiles, r->gone.offset, err);
    }
    cv_tiles_free(r->tiles);
    r->tiles = NULL;
    return s;
}

/* All that the log goes by is there; where the log is empty, too. */
static enum cv_status begin_log(struct cv_restore *r, struct cv_err *err)
{
    enum cv_status s = end_hashes(r, err);

    if (s == CV_OK) {
        s = cv_restore_kept_read(r, err);
    }
    return s == CV_OK ? read_keys(r, err) : s;
}

static enum cv_status begin_part(struct cv_restore *r,
                                 enum cv_archive_part part, struct cv_err *err)
{
    enum cv_status s = close_part(r, err);

    r->part = part;
    if (s == CV_OK && part == CV_ARCHIVE_HASHES) {
        return begin_hashes(r, err);
    }
    if (s == CV_OK && part == CV_ARCHIVE_LOG) {
        s = begin_log(r, err);
    }
    if (s != CV_OK || (part == CV_ARCHIVE_LOG && r->o->dry_run)) {
        return s;
    }
    s = cv_file_open(r->stage, cv_archive_path(part),
                     O_WRONLY | O_CREAT | O_EXCL, &r->out, err);
    /* Records lie where they lay. */
    if (s == CV_OK && part == CV_ARCHIVE_LOG && r->gone.offset > 0 &&
        lseek(r->out, (off_t)r->gone.offset, SEEK_SET) < 0) {
        s = cv_fail_errno(err, CV_IO, "cannot write audit/log");
    }
    return s;
}

static uint32_t u32le(const uint8_t *p)
{
    return (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 |
           (uint32_t)p[3] << 24;
}

static void add_leaf(struct cv_restore *r, struct cv_bytes record)
{
    uint8_t hash[CV_TREE_HASH];

    /* Where there is none of that number, no checkpoint is over it. */
    if (r->gone.tree.size > 0 && r->tree.size == r->gone.seq &&
        !cv_archived_is_told(&r->gone, record)) {
        r->wrong = "no record says that what was before its beginning is "
                   "archived";
        return;
    }
    if (r->gone.tree.size > 0) {
        cv_archived_watch_take(&r->watch, &r->gone, record);
    }
    cv_tree_leaf(record, hash);
    cv_tree_append(&r->tree, hash);
    meet(r);
    cv_log_policy_raise(&r->policy, record);
    if (r->tree.size == r->checkpoint.size) {
        cv_tree_root(&r->tree, hash);
        if (memcmp(hash, r->checkpoint.root, sizeof(hash)) != 0) {
            r->wrong = "its checkpoint is of another log";
        }
    }
}

/* The log's frames, into the tree; that each is canonical, numbered and chained
 * the log itself checks when it is opened. */
static enum cv_status walk(struct cv_restore *r, struct cv_bytes bytes,
                           struct cv_err *err)
{
    size_t at = 0;

    cv_buf_add(&r->frames, bytes.data, bytes.len);
    while (r->frames.len - at >= HEADER && r->wrong == NULL) {
        const uint8_t *frame = r->frames.data + at;
        uint32_t len = u32le(frame);

        if (len == 0 || len > CV_LIMIT_LEAF) {
            r->wrong = "a frame has no length";
        } else if (r->frames.len - at < HEADER + len) {
            break;
        } else {
            add_leaf(r, (struct cv_bytes){frame + HEADER, len});
            at += HEADER + len;
        }
    }
    cv_buf_drop(&r->frames, at);
    return cv_buf_status(&r->frames, "the backup's log", err);
}

/* Against the log that is there, as far as both go. */
static enum cv_status compare(struct cv_restore *r, struct cv_bytes bytes,
                              struct cv_err *err)
{
    uint64_t end = r->existing == NULL ? 0 : cv_log_bytes(r->existing->log);
    uint8_t room[4096];
    size_t at = 0;

    while (at < bytes.len && r->compared < end && !r->differs) {
        uint64_t left = end - r->compared;
        size_t len =
            bytes.len - at < sizeof(room) ? bytes.len - at : sizeof(room);
        ssize_t n;

        len = left < len ? (size_t)left : len;
        /* What is archived there is compared by its hashes. */
        if (r->compared < r->existing_gone.offset) {
            left = r->existing_gone.offset - r->compared;
            len = left < len ? (size_t)left : len;
            r->compared += len;
            at += len;
            continue;
        }
        n = pread(r->existing_log, room, len, (off_t)r->compared);
        if (n <= 0) {
            return cv_fail_errno(err, CV_IO,
                                 "cannot read the log that is "
                                 "there");
        }
        r->differs = memcmp(room, bytes.data + at, (size_t)n) != 0;
        r->compared += (uint64_t)n;
        at += (size_t)n;
    }
    return CV_OK;
}

static enum cv_status each(void *context, enum cv_archive_part part,
                           struct cv_bytes bytes, struct cv_err *err)
{
    struct cv_restore *r = context;
    enum cv_status s = CV_OK;

    if (part != r->part) {
        s = begin_part(r, part, err);
    }
    if (s == CV_OK && r->out != -1) {
        s = cv_file_write(r->out, bytes, cv_archive_path(part), err);
    }
    if (s == CV_OK && part == CV_ARCHIVE_HASHES) {
        return take_hashes(r, bytes, err);
    }
    if (s == CV_OK && part == CV_ARCHIVE_LOG) {
        s = compare(r, bytes, err);
        if (s == CV_OK) {
            s = walk(r, bytes, err);
        }
    }
    return s;
}

/* A backup that ends before the log that is there begins. */
static void judge_old(struct cv_restore *r)
{
    struct cv_tiles_reader *reader;
    struct cv_proof_source source;
    uint8_t root[CV_TREE_HASH];

    if (r->existing == NULL || r->head.leaves >= r->existing_gone.tree.size) {
        return;
    }
    reader = calloc(1, sizeof(*reader));
    r->differs = true;
    if (reader != NULL) {
        reader->vault = r->o->dir;
        source = cv_tiles_source(reader);
        r->differs =
            cv_tiles_size(r->o->dir, &reader->size, NULL) != CV_OK ||
            cv_proof_root(&source, r->head.leaves, root, NULL) != CV_OK ||
            memcmp(root, r->head.root, sizeof(root)) != 0;
    }
    free(reader);
}

/* What there is no record of cannot be taken for one. */
static enum cv_status judge(struct cv_restore *r, struct cv_err *err)
{
    uint8_t root[CV_TREE_HASH];
    enum cv_status s;

    cv_tree_root(&r->tree, root);
    if (r->wrong == NULL &&
        (r->frames.len > 0 || r->tree.size != r->head.leaves ||
         memcmp(root, r->head.root, sizeof(root)) != 0)) {
        r->wrong = "it is not the one that the head describes";
    }
    if (r->wrong == NULL && r->gone.tree.size > 0 &&
        !cv_archived_watch_is_good(&r->watch, &r->gone, &r->key)) {
        r->wrong = "what says that records are archived is not signed by the "
                   "log's key";
    }
    if (r->wrong == NULL) {
        s = cv_restore_kept_judge(r, err);
        if (s != CV_OK) {
            return s;
        }
    }
    if (r->wrong == NULL) {
        judge_old(r);
        return CV_OK;
    }
    s = cv_fail(err, CV_INTEGRITY, "the backup's log does not verify: %s",
                r->wrong);
    cv_err_hint(err, "take another backup");
    return s;
}

enum cv_status cv_restore_read(struct cv_restore *r, struct cv_err *err)
{
    enum cv_status s;

    cv_buf_init(&r->frames, NULL, CV_MIB(1));
    cv_tree_init(&r->tree);
    r->policy.version = -1;
    r->out = -1;
    r->part = CV_ARCHIVE_PARTS;
    s = cv_archive_read(r->o->file, &r->head, NULL, each, r, r->digest, err);
    if (s == CV_OK) {
        s = close_part(r, err);
    }
    cv_file_close(&r->out);
    if (s == CV_OK && r->head.sizes[CV_ARCHIVE_LOG] == 0) {
        s = begin_log(r, err);
    }
    if (s == CV_OK) {
        s = judge(r, err);
    }
    cv_restore_kept_free(r);
    cv_archived_watch_free(&r->watch);
    cv_buf_wipe(&r->frames);
    cv_tiles_free(r->tiles);
    r->tiles = NULL;
    return s;
}
