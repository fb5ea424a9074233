/* Texts of the cloud's answers: made fit to be shown, and its times. */
#ifndef CERTVAULT_FETCH_API_INTERNAL_H
#define CERTVAULT_FETCH_API_INTERNAL_H

#include "vault/base/buf.h"
#include "vault/base/clock.h"
#include "vault/fetch/api_error.h"

#define CV_API_TIME_LEN 48
/* The gateway refuses more than 15 minutes; the answer took its time too. */
#define CV_API_SKEW_S 840

/* Writes `text` to `out`: secrets of `masks` (NULL: none) and what looks like
 * one become "[...]", control characters blanks, runs of blanks one; what
 * follows "canonicalRequest:" goes. `text` is changed. */
void cv_api_text_clean(struct cv_buf *text,
                       const struct cv_api_error_masks *masks, char *out,
                       size_t out_len);

/* Does `text` hold a secret of `masks` (NULL: none)? */
bool cv_api_text_repeats(const char *text,
                         const struct cv_api_error_masks *masks);

/* A time as the cloud's services write it: RFC 3339 with any fraction,
 * "2020-02-02 08:12:40.124294439 +0000 UTC", "20261122T040506Z". Seconds since
 * 1970; -1: none of them. */
int64_t cv_api_text_time(const char *text);

#endif
