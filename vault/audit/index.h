/* The index of the log: audit/index.db, an SQLite database of names and
 * offsets, so that a question about one entry need not read every record.
 *
 * It is derived from audit/log, can be deleted at any time, and is never
 * believed: a question takes from it where to look, reads each leaf in the log
 * and matches it again (query.h, `indexed`). Sums over all that it holds find
 * what was changed or lost in it by accident or by hand; they need no secret,
 * so whoever may write the vault's folder could forge them: cv_index_check, a
 * part of `audit verify`, holds the whole of it against the log.
 * Format: docs/formats.md, "Index".
 *
 * Blocking: files. Another process may work on it at the same time. */
#ifndef CERTVAULT_AUDIT_INDEX_H
#define CERTVAULT_AUDIT_INDEX_H

#include "vault/base/err.h"

#include <stdbool.h>
#include <stdint.h>

#define CV_INDEX_STEP 8192 /* leaves that one cv_index_update takes in */

enum cv_index_state {
    CV_INDEX_ABSENT,  /* there is none */
    CV_INDEX_READY,   /* it can be used */
    CV_INDEX_NEWER,   /* of a newer certvault: neither used nor touched */
    CV_INDEX_BUSY,    /* another process writes, or the file cannot be read */
    CV_INDEX_FOREIGN, /* of another log, or of another state of this one */
    CV_INDEX_DAMAGED  /* no index of ours, or its sums are wrong */
};

struct cv_index_told {
    enum cv_index_state state; /* as it was found */
    uint64_t size;             /* leaves that it has now */
    bool done;                 /* it has all that the log has, or cannot */
};

/* Takes up to CV_INDEX_STEP further leaves into the index of the vault whose
 * folder is `vault`; makes it where it is absent, and anew where it is foreign
 * or damaged. A log that is at most `slack` bytes longer than what the index
 * has is well enough indexed: nothing is written then. What cannot be written
 * is no failure: then questions read the log itself. CV_INTEGRITY: the log is
 * damaged. CV_IO: it cannot be read. */
CV_MUST_USE enum cv_status cv_index_update(int vault, uint64_t slack,
                                           struct cv_index_told *out,
                                           struct cv_err *err);

/* Removes it. CV_IO. */
CV_MUST_USE enum cv_status cv_index_remove(int vault, struct cv_err *err);

/* Holds all of it against the log. CV_OK also where there is none, or it is not
 * to be looked at (newer, busy); CV_INTEGRITY with the hint `audit rebuild`
 * where it differs; CV_IO. Changes nothing. */
CV_MUST_USE enum cv_status cv_index_check(int vault, struct cv_err *err);

#endif
