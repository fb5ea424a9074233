/* Where the log begins. The oldest records may have been taken out of it
 * (`audit archive`): their frames went to a file of the caller's, their bytes
 * off the disk, and what they left behind is in audit/archived:
 *
 *     {"digest":"hex","frontier":{"offset":..,"prev":"base64",
 *      "range":["base64",..],"size":N},"opening":"hex","seq":S,
 *      "until":"RFC 3339","v":2} LF
 *
 * canonical. The first N records are archived, N a multiple of 256: `range` is
 * the compact range over them, `prev` the last one's hash, `until` the latest
 * time that one of them has, `digest` SHA-256 of the file that the last of them
 * went to, `seq` the record that says so. That has SHA-256 of `opening`, 32
 * random bytes which are nowhere before this file is: where it was not written
 * nobody can write it later, though the record be there and signed. (v 1 has no
 * opening, nor has its record.) It has no name until it is whole; one that
 * was cut off right at the rename is removed by whoever opens the log for
 * writing, before anything else (cv_archived_forget).
 *
 * Nothing moves: a record stays at its offset, and before `offset` the log's
 * file has a hole (fallocate), whose bytes nobody reads. So there is one
 * moment at which it happens, the rename that puts audit/archived in its place:
 * before it nothing is archived, after it everything is, whatever of the hole
 * is there already; cv_archived_finish makes the rest. Before it a leaf is
 * durable that says the same (action admin, phase event, details.method
 * ArchiveEnd), and so is a checkpoint over that leaf: `audit verify` wants it
 * at `seq` among the records that are signed, and no log is opened for writing
 * whose checkpoint ends before it. So none can be left out by writing this
 * file, nor by who adds such a leaf without the log's key.
 *
 * Hash tiles and checkpoints stay; entry bundles of archived records go.
 * Blocking: files. Writing: the caller holds the vault's lock. */
#ifndef CERTVAULT_AUDIT_ARCHIVED_H
#define CERTVAULT_AUDIT_ARCHIVED_H

#include "vault/audit/query.h"
#include "vault/audit/tree.h"
#include "vault/base/buf.h"

#include <sodium.h>

#define CV_ARCHIVED_PATH "audit/archived"
#define CV_ARCHIVED_EVERY 256 /* a tile: N is a multiple of it */
#define CV_ARCHIVED_METHOD "ArchiveEnd"
#define CV_ARCHIVED_OPENING 32

struct cv_archived {
    struct cv_tree tree; /* over them; size 0: none are */
    uint64_t offset;     /* where the first record that is left begins */
    uint64_t seq;        /* of the leaf that says so */
    uint8_t prev[CV_TREE_HASH];
    char until[32];
    char digest[2 * crypto_hash_sha256_BYTES + 1];
    bool has_opening;
    uint8_t opening[CV_ARCHIVED_OPENING];
};

/* Draws the opening; and what the record has of it, in hex. False: the record
 * has nothing of it (v 1). */
void cv_archived_draw(struct cv_archived *a);
bool cv_archived_commitment(const struct cv_archived *a,
                            char out[2 * crypto_hash_sha256_BYTES + 1]);

/* CV_OK also where nothing is archived: *out is then zero. CV_INTEGRITY (not of
 * the form above), CV_CONFIG, CV_IO. */
CV_MUST_USE enum cv_status cv_archived_read(int vault, struct cv_archived *out,
                                            struct cv_err *err);

/* The same out of `text`, which came from elsewhere; and its text. */
CV_MUST_USE enum cv_status cv_archived_parse(struct cv_bytes text,
                                             struct cv_archived *out,
                                             struct cv_err *err);
CV_MUST_USE enum cv_status cv_archived_text(const struct cv_archived *a,
                                            struct cv_buf *out,
                                            struct cv_err *err);

/* Is this leaf the record that says all of that? */
bool cv_archived_is_told(const struct cv_archived *a, struct cv_bytes leaf);

/* That record `seq` is in an archive, not in the log: CV_NOT_FOUND, always. */
enum cv_status cv_archived_refuse(const struct cv_archived *a, uint64_t seq,
                                  struct cv_err *err);

/* Copying what is to be archived: from what is archived already up to (without)
 * record `before`. `now` grows into what audit/archived will say. */
struct cv_archived_copy {
    int vault;       /* borrowed */
    uint64_t first;  /* the record that it began with */
    uint64_t before; /* a multiple of CV_ARCHIVED_EVERY */
    struct cv_query_cursor at;
    struct cv_archived now;
    char latest[32]; /* the latest time, as they have it: now.until is capped */
    crypto_hash_sha256_state sha;
};
CV_MUST_USE enum cv_status cv_archived_copy_begin(int vault, uint64_t before,
                                                  struct cv_archived_copy *c,
                                                  struct cv_err *err);

/* Appends the next frames, as they lie in the log, as many as `out` has room
 * for (at least one); none when it is done. Each is checked as `audit verify`
 * would. CV_INTEGRITY, CV_IO. */
CV_MUST_USE enum cv_status cv_archived_copy_next(struct cv_archived_copy *c,
                                                 struct cv_buf *out,
                                                 struct cv_err *err);
bool cv_archived_copy_is_done(const struct cv_archived_copy *c);

/* After the last piece: fills in the digest. */
void cv_archived_copy_end(struct cv_archived_copy *c);

/* Can holes be made in the log's file? CV_CONFIG: this file system has none. */
CV_MUST_USE enum cv_status cv_archived_can(int vault, struct cv_err *err);

/* The moment: puts audit/archived in its place, durably. The leaf that says so
 * and a checkpoint over it must be durable. CV_IO: it may have happened, which
 * cv_archived_read tells. */
CV_MUST_USE enum cv_status
cv_archived_write(int vault, const struct cv_archived *a, struct cv_err *err);

/* Takes away what an archive that was cut off before its moment left: a file
 * that says where the log would begin, with the opening in it. */
void cv_archived_forget(int vault);

/* Takes away what is archived and still there: bytes of the log, entry bundles.
 * What is gone stays gone: it may be done again at any time. Cheap when there
 * is nothing to do. CV_IO. */
CV_MUST_USE enum cv_status cv_archived_finish(int vault, struct cv_err *err);

/* Are bytes of archived records still in the log's file? */
bool cv_archived_is_left(int fd, const struct cv_archived *a);

#endif
