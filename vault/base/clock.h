/* Time. Tests and policy take time as an input; these are where it comes
 * from. */
#ifndef CERTVAULT_BASE_CLOCK_H
#define CERTVAULT_BASE_CLOCK_H

#include "vault/base/err.h"

#include <stdbool.h>

#define CV_CLOCK_TEXT_LEN 32

/* Wall time, seconds since 1970 (UTC). */
int64_t cv_clock_now_s(void);

/* CLOCK_BOOTTIME in milliseconds: goes on while the machine sleeps and is not
 * moved by anyone who sets the clock. */
int64_t cv_clock_boot_ms(void);

/* The kernel's boot id, 36 characters; "unknown" where it cannot be read. The
 * answer is read once and kept (cv_process_begin does, so that it is known
 * inside a sandbox). */
const char *cv_clock_boot_id(void);

/* RFC 3339 in UTC with seconds: 2026-11-22T05:31:00Z. A time outside the years
 * 0 to 9999 becomes the nearest end of them. Returns `out`. */
const char *cv_clock_format(int64_t t_s, char out[CV_CLOCK_TEXT_LEN]);

/* RFC 3339 with any offset, or a date (00:00 UTC). A fraction of a second is
 * read and dropped; a leap second is the second after it. CV_INVALID for
 * anything else. */
CV_MUST_USE enum cv_status cv_clock_parse(const char *text, int64_t *out_s,
                                          struct cv_err *err);

/* DURATION of the command line: 90s 15m 8h 30d. A bare number is days where
 * `bare_days`, else refused (CV_USAGE, as is all that is not a duration).
 * Seconds; never negative; at most 100 years of 365.25 days. */
CV_MUST_USE enum cv_status cv_clock_parse_duration(const char *text,
                                                   bool bare_days,
                                                   int64_t *out_s,
                                                   struct cv_err *err);

#endif
