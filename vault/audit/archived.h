/* Where the log begins. The oldest records may have been taken out of it
 * (`audit archive`): their frames went to a file of the caller's, their bytes
 * off the disk, and what they left behind is in audit/archived:
 *
 *     {"digest":"hex","frontier":{"offset":..,"prev":"base64",
 *      "range":["base64",..],"size":N},"opening":"hex","seq":S,
 *      "signature":"base64","until":"RFC 3339","v":2} LF
 *
 * canonical. The first N records are archived, N a multiple of 256: `range` is
 * the compact range over them, `prev` the last one's hash, `until` the latest
 * time that one of them has, `digest` SHA-256 of the file that the last of them
 * went to, `seq` the record that says so. That has SHA-256 of `opening`, 32
 * random bytes which are nowhere before this file is: where it was not written
 * nobody can write it later, though the record be there and signed. `signature`
 * is the log's key's, under all of the rest but `seq` (cv_archived_statement);
 * the record has it too. So who has not the key can neither add such a record
 * nor write this file, whoever signs a checkpoint over it then. It has no name
 * until it is whole; one that was cut off right at the rename is removed by
 * whoever opens the log for writing, before anything else (cv_archived_forget).
 *
 * Nothing moves: a record stays at its offset, and before `offset` the log's
 * file has a hole (fallocate), whose bytes nobody reads. So there is one
 * moment at which it happens, the rename that puts audit/archived in its place:
 * before it nothing is archived, after it everything is, whatever of the hole
 * is there already; cv_archived_finish makes the rest. Before it a leaf is
 * durable that says the same (action admin, phase event, details.method
 * ArchiveEnd), and so is a checkpoint over that leaf: `audit verify` wants it
 * at `seq` among the records that are signed, and no log is opened for writing
 * whose checkpoint ends before it, or where what says so is not signed by the
 * key that the log had then. Before that leaf come those that carry the changes
 * of the log's key which are archived (carried.h).
 *
 * Hash tiles and checkpoints stay; entry bundles of archived records go.
 * Blocking: files. Writing: the caller holds the vault's lock. */
#ifndef CERTVAULT_AUDIT_ARCHIVED_H
#define CERTVAULT_AUDIT_ARCHIVED_H

#include "vault/audit/carried.h"
#include "vault/audit/query.h"
#include "vault/audit/rotation.h"
#include "vault/audit/tree.h"
#include "vault/base/buf.h"

#include <sodium.h>

#define CV_ARCHIVED_PATH "audit/archived"
#define CV_ARCHIVED_EVERY 256 /* a tile: N is a multiple of it */
#define CV_ARCHIVED_METHOD "ArchiveEnd"
#define CV_ARCHIVED_OPENING 32
#define CV_ARCHIVED_SIGNATURE 92 /* base64 of a key's id and 64 bytes */

struct cv_archived {
    struct cv_tree tree; /* over them; size 0: none are */
    uint64_t offset;     /* where the first record that is left begins */
    uint64_t seq;        /* of the leaf that says so */
    uint8_t prev[CV_TREE_HASH];
    char until[32];
    char digest[2 * crypto_hash_sha256_BYTES + 1];
    uint8_t opening[CV_ARCHIVED_OPENING];
    char signature[CV_ARCHIVED_SIGNATURE + 1];
};

/* Draws the opening; and what the record has of it, in hex. */
void cv_archived_draw(struct cv_archived *a);
void cv_archived_commitment(const struct cv_archived *a,
                            char out[2 * crypto_hash_sha256_BYTES + 1]);

/* Appends what the log's key signs, as a note (note.h): the line "certvault log
 * archive", and in a line each the log's origin, the number of records, base64
 * of the root over them and of the last one's hash, the offset, digest, until,
 * commitment. After cv_archived_draw. */
void cv_archived_statement(const struct cv_archived *a, const char *origin,
                           struct cv_buf *out);

/* Takes the signature line that `key` made under it. CV_INTEGRITY: it is none,
 * or not that key's. */
CV_MUST_USE enum cv_status cv_archived_take_line(struct cv_archived *a,
                                                 const struct cv_note_key *key,
                                                 const char *line,
                                                 struct cv_err *err);
bool cv_archived_is_signed_by(const struct cv_archived *a,
                              const struct cv_note_key *key);

/* Was it signed by the key that the log had when its record was written? Each
 * leaf from the log's beginning on is given to it, then the log's key of now;
 * zero it first. */
struct cv_archived_watch {
    struct cv_rotation_chain chain;
    bool told;  /* the record was there, */
    size_t at;  /* and so many keys were known then */
    bool wrong; /* a change of keys that is none */
};
void cv_archived_watch_take(struct cv_archived_watch *w,
                            const struct cv_archived *a, struct cv_bytes leaf);
bool cv_archived_watch_is_good(const struct cv_archived_watch *w,
                               const struct cv_archived *a,
                               const struct cv_note_key *now);
void cv_archived_watch_free(struct cv_archived_watch *w);

/* The same of the log that is there, whose last checkpoint is `last`: reads it
 * where the key of now is not the one that signed. What it finds out is kept
 * (audit/archived.places), so that only the first one after a change of keys
 * reads all of it. The caller holds the vault's lock. CV_INTEGRITY, CV_IO. */
CV_MUST_USE enum cv_status cv_archived_check(int vault,
                                             const struct cv_archived *a,
                                             const struct cv_note_key *now,
                                             const struct cv_checkpoint *last,
                                             struct cv_err *err);

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
    struct cv_carried changes; /* of the log's key, that are among them */
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
void cv_archived_copy_free(struct cv_archived_copy *c);

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
