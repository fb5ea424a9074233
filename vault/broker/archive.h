/* The form of a backup (docs/formats.md, "Backup"): a head that says how long
 * each part is, the parts one behind the other, and SHA-256 over all of it.
 *
 * A form of our own rather than tar: its parts are a closed list in a fixed
 * order, so there is no name to be checked, no link, no mode and no second
 * spelling, and the strict reader is this one file. Nothing in it depends on
 * the store's schema: the store is a part like any other.
 *
 * Streaming: memory does not grow with the parts. Blocking: files. */
#ifndef CERTVAULT_BROKER_ARCHIVE_H
#define CERTVAULT_BROKER_ARCHIVE_H

#include "vault/audit/tree.h"
#include "vault/base/buf.h"

#define CV_ARCHIVE_MAGIC "certvault-backup"
#define CV_ARCHIVE_MAGIC_LEN 16
#define CV_ARCHIVE_VERSION 1
#define CV_ARCHIVE_VERSION_ARCHIVED 2 /* with the parts that say so */
#define CV_ARCHIVE_VERSION_KEPT 3     /* with the checkpoints of before, too */
#define CV_ARCHIVE_DIGEST 32          /* SHA-256 */
#define CV_ARCHIVE_ID 32              /* hex digits of a vault's id */
#define CV_ARCHIVE_PROGRAM 32

/* In the order in which they lie in the file: what the longer ones are checked
 * by comes first. */
enum cv_archive_part {
    CV_ARCHIVE_KEY,        /* audit/key.pub */
    CV_ARCHIVE_SEALED,     /* audit/log.key.sealed; length 0: the log's key is
                              on a token, and the store says which */
    CV_ARCHIVE_CHECKPOINT, /* audit/checkpoint; length 0: there was none */
    CV_ARCHIVE_ARCHIVED,   /* audit/archived; length 0: nothing is archived */
    CV_ARCHIVE_STORE,      /* vault.db */
    CV_ARCHIVE_KEPT,       /* audit/checkpoints; length 0: none were kept */
    CV_ARCHIVE_HASHES,     /* of the archived records, 32 bytes each */
    CV_ARCHIVE_LOG,        /* audit/log, from where it begins */
    CV_ARCHIVE_PARTS
};

struct cv_archive_head {
    char vault_id[CV_ARCHIVE_ID + 1];
    char program[CV_ARCHIVE_PROGRAM + 1]; /* the version that made it */
    int64_t created_s;
    uint64_t leaves; /* of the log */
    uint8_t root[CV_TREE_HASH];
    uint64_t sizes[CV_ARCHIVE_PARTS];
};

/* The path of a part beneath the vault's folder, a literal. */
const char *cv_archive_path(enum cv_archive_part part);

/* Appends what stands before the first part. Failures stick to `out`. */
void cv_archive_write_head(const struct cv_archive_head *head,
                           struct cv_buf *out);

/* How long the whole file is. */
uint64_t cv_archive_size(const struct cv_archive_head *head);

/* Called with the bytes of each part, in order; anything but CV_OK ends the
 * reading and is handed on. Nothing that it was given is known to be right
 * before cv_archive_read says so. */
typedef enum cv_status cv_archive_each(void *context, enum cv_archive_part part,
                                       struct cv_bytes bytes,
                                       struct cv_err *err);

/* Reads all of `fd`, from its beginning to its end. `begun` (may be NULL) is
 * called once the head is read, `each` (may be NULL) with the parts. On CV_OK
 * every byte is what was written, and `digest` is the file's own.
 * CV_INVALID: no backup at all; CV_INTEGRITY: cut short, longer than it says,
 * changed, or of a form that this program does not know (with a hint); CV_IO.
 */
CV_MUST_USE enum cv_status
cv_archive_read(int fd, struct cv_archive_head *head,
                enum cv_status (*begun)(void *context, struct cv_err *err),
                cv_archive_each *each, void *context,
                uint8_t digest[CV_ARCHIVE_DIGEST], struct cv_err *err);

#endif
