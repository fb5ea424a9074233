/* What a person typed, checked before anything is opened or asked. All fail
 * with CV_USAGE and name the flag, not the value. */
#ifndef CERTVAULT_CLI_CHECK_H
#define CERTVAULT_CLI_CHECK_H

#include "cli/args.h"
#include "vault/base/json.h"

#include <stdint.h>

/* An entry's name. */
CV_MUST_USE enum cv_status cv_check_name(const char *text, struct cv_err *err);

/* The name that new entries get; may hold {context} and, with `file`, {file}.
 */
CV_MUST_USE enum cv_status cv_check_template(const char *text, bool file,
                                             struct cv_err *err);

/* A project's id: 32 lower-case hex digits. NULL is fine. */
CV_MUST_USE enum cv_status cv_check_project(const char *text,
                                            struct cv_err *err);

/* A cluster's id: a UUID, 8-4-4-4-12 hex digits. NULL is fine. */
CV_MUST_USE enum cv_status cv_check_cluster(const char *text,
                                            struct cv_err *err);

/* A region's name: letters, digits, - and _, at most 64. NULL is fine. */
CV_MUST_USE enum cv_status cv_check_region(const char *text,
                                           struct cv_err *err);

/* Text of at most `max` bytes that may be shown. NULL is fine. */
CV_MUST_USE enum cv_status cv_check_shown(const char *text, const char *flag,
                                          size_t max, struct cv_err *err);

/* A URL or host and port: printable ASCII without blanks, no user in it. NULL
 * is fine. */
CV_MUST_USE enum cv_status cv_check_url(const char *text, const char *flag,
                                        struct cv_err *err);

/* Whole days: 1 to 1827, or -1. "30", "30d", "48h". */
CV_MUST_USE enum cv_status cv_check_days(const char *text, int64_t *days,
                                         struct cv_err *err);

/* The highest number of a record that may be typed. */
#define CV_CHECK_SEQ_MAX INT64_C(999999999999999)

/* A number from `min` to `max`. */
CV_MUST_USE enum cv_status cv_check_number(const char *text, const char *flag,
                                           int64_t min, int64_t max,
                                           int64_t *out, struct cv_err *err);

/* TIME: RFC 3339, a date, or (with `ago`) a duration before `now_s`. */
CV_MUST_USE enum cv_status cv_check_time(const char *text, const char *flag,
                                         bool ago, int64_t now_s,
                                         int64_t *out_s, struct cv_err *err);

/* One of `words`, parted by '|'. */
CV_MUST_USE enum cv_status cv_check_word(const char *text, const char *flag,
                                         const char *words, struct cv_err *err);

/* Puts "K=V" into `labels` (an object); with `bare`, "K" alone too, as null. A
 * key given twice is refused. */
CV_MUST_USE enum cv_status cv_check_label(const char *text, cJSON *labels,
                                          bool bare, struct cv_err *err);

/* All values of --label as an object; *out is the caller's. */
CV_MUST_USE enum cv_status cv_check_labels(const struct cv_args *args,
                                           bool bare, cJSON **out,
                                           struct cv_err *err);

/* A key as `audit key` prints it: one line end (LF or CRLF) that came with it
 * out of a file is no part of it. In `room`, or the text itself where that has
 * none, or is too long to be a key. NULL is fine. */
#define CV_CHECK_VKEY 512
const char *cv_check_vkey(const char *text, char room[CV_CHECK_VKEY]);

#endif
