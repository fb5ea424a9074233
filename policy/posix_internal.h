/* A zone's rule for the future: the footer of a TZif file, a POSIX TZ string
 * (RFC 9636 section 3.3.1). */
#ifndef CERTVAULT_POLICY_POSIX_INTERNAL_H
#define CERTVAULT_POLICY_POSIX_INTERNAL_H

#include "policy/zone.h"

enum cv_posix_form {
    CV_POSIX_MONTH,  /* Mm.w.d: weekday d of week w of month m */
    CV_POSIX_JULIAN, /* Jn: 1 to 365, no 29 February */
    CV_POSIX_DAY     /* n: 0 to 365 */
};

struct cv_posix_date {
    enum cv_posix_form form;
    int month; /* 1 to 12 */
    int week;  /* 1 to 5; 5: the last */
    int day;   /* weekday (0: Sunday), or day of the year */
    int32_t time_s;
};

struct cv_posix {
    bool has_summer;
    int32_t standard_s; /* ahead of UTC */
    int32_t summer_s;
    struct cv_posix_date begins; /* of summer time, in standard time */
    struct cv_posix_date ends;   /* in summer time */
};

/* Reads `len` characters. False where that is no such string. */
bool cv_posix_parse(const char *text, size_t len, struct cv_posix *out);

/* Seconds ahead of UTC at `t`. */
int32_t cv_posix_offset(const struct cv_posix *p, int64_t t);

#endif
