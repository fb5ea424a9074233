/* Frames of audit/log, read one after the other.
 *
 * Read with pread into a buffer, never mapped: a writer may cut a torn tail off
 * while somebody reads, and a mapping would then kill the reader. */
#ifndef CERTVAULT_AUDIT_WAL_INTERNAL_H
#define CERTVAULT_AUDIT_WAL_INTERNAL_H

#include "vault/base/buf.h"
#include "vault/base/limits.h"

#include <stdbool.h>

#define CV_WAL_HEADER 8 /* length u32le, CRC-32C u32le */
/* A process that stays keeps zeros ahead, up to a multiple of this. */
#define CV_WAL_STEP CV_KIB(64)

enum cv_wal_kind {
    CV_WAL_FRAME, /* whole, and its CRC is right */
    CV_WAL_END,   /* nothing more, or zeros ahead */
    CV_WAL_CRC,   /* whole, but its CRC is wrong */
    CV_WAL_SHORT, /* goes on behind the end */
    CV_WAL_LENGTH /* a length that no frame has */
};

struct cv_wal {
    int fd;          /* borrowed */
    uint64_t offset; /* of the next frame */
    uint64_t end;    /* of the file, as far as it is read */
    uint8_t *buffer;
    uint64_t buffer_at; /* offset of its first byte */
    size_t buffer_len;
};

/* Reads from `offset` up to `end`. CV_INTERNAL: memory. */
CV_MUST_USE enum cv_status cv_wal_init(struct cv_wal *wal, int fd,
                                       uint64_t offset, uint64_t end,
                                       struct cv_err *err);
void cv_wal_wipe(struct cv_wal *wal);

/* Goes on elsewhere, or with another end: what was buffered is forgotten. */
void cv_wal_seek(struct cv_wal *wal, uint64_t offset, uint64_t end);

/* The next frame. A writer may be at work: what does not read as one is read
 * again, until it does not change any more. For CV_WAL_FRAME and CV_WAL_CRC
 * *record is borrowed until the next call and the offset moves behind it; for
 * the others the offset stays. CV_IO. A file that became shorter ends where it
 * ends now. */
CV_MUST_USE enum cv_status cv_wal_next(struct cv_wal *wal,
                                       enum cv_wal_kind *kind,
                                       struct cv_bytes *record,
                                       struct cv_err *err);

/* Is what begins at `offset`, told as `kind`, the rest of a write that a crash
 * cut off? Only if its frame is short and what there is of it could be its
 * beginning, or it is zero from some 512-byte boundary to the end of the file
 * (docs/formats.md). CV_IO. */
CV_MUST_USE enum cv_status cv_wal_is_torn(struct cv_wal *wal, uint64_t offset,
                                          enum cv_wal_kind kind, bool *torn,
                                          struct cv_err *err);

/* Appends a frame, whose record is written where it will lie: begin tells where
 * the frame begins, and all that is appended then is its record, until end puts
 * length and CRC before it. After a failure that stuck to `out` there is none
 * (data NULL), and end does nothing. */
size_t cv_wal_begin(struct cv_buf *out);
struct cv_bytes cv_wal_record(const struct cv_buf *out, size_t frame);
void cv_wal_end(struct cv_buf *out, size_t frame);

#endif
