/* When a call to the cloud is repeated, and after how long.
 *
 * Repeated: connections refused or reset before an answer, names that do not
 * resolve, time-outs, 429 in every form, 500, 502, 503, 504. Nothing else: a
 * 401 under AK/SK least of all, since a few wrong signatures lock the key. Four
 * attempts; the wait is half of min(30 s, 500 ms * 2^n) and as much again at
 * random ("equal jitter"), after 429 at least 2 s; what the server asks for by
 * Retry-After stands instead, up to 120 s. A wait that would pass the limit of
 * the whole is not begun.
 *
 * Pure: time and chance are inputs. */
#ifndef CERTVAULT_FETCH_RETRY_H
#define CERTVAULT_FETCH_RETRY_H

#include <stdbool.h>
#include <stdint.h>

#define CV_RETRY_ATTEMPTS 4
#define CV_RETRY_AFTER_MAX_S 120

/* How an attempt ended. */
enum cv_retry_end {
    CV_RETRY_ANSWERED,  /* with `status` */
    CV_RETRY_UNREACHED, /* refused or reset before an answer, no such name */
    CV_RETRY_TIMED_OUT, /* no answer began in time */
    CV_RETRY_FINAL      /* TLS, cut short, refused by us: not repeated */
};

struct cv_retry {
    unsigned attempts;  /* that have ended */
    int64_t started_ms; /* on any clock that only runs forward */
    int64_t limit_ms;   /* for all attempts and waits together */
};

void cv_retry_begin(struct cv_retry *r, int64_t now_ms, int64_t limit_ms);

/* An attempt ended. True: repeat after *wait_ms. `retry_after_s` is negative
 * where the server did not say; `chance` is any random number. */
bool cv_retry_next(struct cv_retry *r, enum cv_retry_end end, long status,
                   double retry_after_s, int64_t now_ms, uint32_t chance,
                   int64_t *wait_ms);

/* Retry-After: seconds with or without a fraction, or an HTTP date (RFC 9110
 * section 10.2.3), seen at `now_s`. Between 0 and 120; negative where `value`
 * is NULL or neither. */
double cv_retry_after(const char *value, int64_t now_s);

/* An HTTP date (RFC 9110 section 5.6.7, IMF-fixdate alone). -1: none. */
int64_t cv_retry_date(const char *value);

#endif
