/* The scan that all questions to the log are made of. */
#ifndef CERTVAULT_AUDIT_QUERY_INTERNAL_H
#define CERTVAULT_AUDIT_QUERY_INTERNAL_H

#include "vault/audit/query.h"
#include "vault/audit/record_internal.h"

/* What a callback returns to end a scan without an error; never leaves the
 * folder. */
#define CV_QUERY_STOP CV_STATUS_COUNT

/* Most places that are kept for a limit; a larger limit is none. */
#define CV_QUERY_RING 1000000

typedef enum cv_status cv_query_scan_fn(void *ctx,
                                        const struct cv_query_cursor *at,
                                        struct cv_bytes leaf,
                                        struct cv_err *err);

/* Calls `fn` for each whole frame from *at on, or from where the log begins
 * (archived.h) if that is behind it; *at moves behind each that `fn` took.
 * CV_NOT_FOUND, CV_INTEGRITY (CRC, frames), CV_IO, CV_BUSY (what it
 * reads was archived meanwhile), or what `fn` returned. */
CV_MUST_USE enum cv_status cv_query_scan(int vault, struct cv_query_cursor *at,
                                         cv_query_scan_fn *fn, void *ctx,
                                         struct cv_err *err);

/* Reads single leaves of the log, in whatever order; zero it first. */
struct cv_query_reader {
    int fd;
    uint8_t *buffer;
    uint64_t at; /* where its bytes are from */
    size_t len;
};
CV_MUST_USE enum cv_status cv_query_reader_open(int vault,
                                                struct cv_query_reader *reader,
                                                struct cv_err *err);
void cv_query_reader_close(struct cv_query_reader *reader);
/* The leaf of the frame there, borrowed until the next call; checked as by a
 * scan. CV_INTEGRITY: there is none. */
CV_MUST_USE enum cv_status
cv_query_reader_leaf(struct cv_query_reader *reader,
                     const struct cv_query_cursor *at, struct cv_bytes *leaf,
                     struct cv_record *record, struct cv_err *err);

/* The index names what is not so. CV_INTEGRITY. */
CV_MUST_USE enum cv_status cv_query_lied(struct cv_err *err);

/* Reads the leaf: its form and its number. CV_INTEGRITY. */
CV_MUST_USE enum cv_status cv_query_check(const struct cv_query_cursor *at,
                                          struct cv_bytes leaf,
                                          struct cv_record *record,
                                          struct cv_err *err);

#endif
