#include "policy/posix_internal.h"

#include <string.h>

#define DAY_S 86400
#define AGE_S (INT64_C(146097) * DAY_S) /* 400 years */
#define YEAR_S (AGE_S / 400)            /* on average */

struct reader {
    const char *at;
    const char *end;
};

static bool skip(struct reader *r, char c)
{
    if (r->at == r->end || *r->at != c)
        return false;
    r->at++;
    return true;
}

static bool is_letter(char c)
{
    return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z');
}

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

/* Three or more letters, or <...> with letters, digits and signs. */
static bool read_name(struct reader *r)
{
    bool quoted = skip(r, '<');
    const char *start = r->at;
    while (r->at < r->end &&
           (is_letter(*r->at) ||
            (quoted && (is_digit(*r->at) || *r->at == '+' || *r->at == '-'))))
        r->at++;
    return r->at - start >= 3 && (!quoted || skip(r, '>'));
}

static bool read_number(struct reader *r, int least, int most, int *out)
{
    int n = 0;
    const char *start = r->at;
    while (r->at < r->end && is_digit(*r->at) && r->at - start < 4)
        n = n * 10 + (*r->at++ - '0');
    *out = n;
    return r->at > start && n >= least && n <= most;
}

/* [+-]h[h][:mm[:ss]] in seconds. */
static bool read_time(struct reader *r, int most_hours, int32_t *out)
{
    int h;
    int m = 0;
    int s = 0;
    bool minus = skip(r, '-');
    if (!minus)
        (void)skip(r, '+');
    if (!read_number(r, 0, most_hours, &h))
        return false;
    if (skip(r, ':')) {
        if (!read_number(r, 0, 59, &m))
            return false;
        if (skip(r, ':') && !read_number(r, 0, 59, &s))
            return false;
    }
    *out = (h * 60 + m) * 60 + s;
    if (minus)
        *out = -*out;
    return true;
}

static bool read_date(struct reader *r, struct cv_posix_date *d)
{
    d->time_s = 2 * 3600;
    if (skip(r, 'M')) {
        d->form = CV_POSIX_MONTH;
        if (!read_number(r, 1, 12, &d->month) || !skip(r, '.') ||
            !read_number(r, 1, 5, &d->week) || !skip(r, '.') ||
            !read_number(r, 0, 6, &d->day))
            return false;
    } else if (skip(r, 'J')) {
        d->form = CV_POSIX_JULIAN;
        if (!read_number(r, 1, 365, &d->day))
            return false;
    } else {
        d->form = CV_POSIX_DAY;
        if (!read_number(r, 0, 365, &d->day))
            return false;
    }
    return !skip(r, '/') || read_time(r, 167, &d->time_s);
}

bool cv_posix_parse(const char *text, size_t len, struct cv_posix *out)
{
    struct reader r = {text, text + len};
    memset(out, 0, sizeof(*out));
    /* POSIX counts west of Greenwich. */
    if (!read_name(&r) || !read_time(&r, 24, &out->standard_s))
        return false;
    out->standard_s = -out->standard_s;
    if (r.at == r.end)
        return true;
    out->has_summer = true;
    if (!read_name(&r))
        return false;
    out->summer_s = out->standard_s + 3600;
    if (r.at < r.end && *r.at != ',') {
        if (!read_time(&r, 24, &out->summer_s))
            return false;
        out->summer_s = -out->summer_s;
    }
    return skip(&r, ',') && read_date(&r, &out->begins) && skip(&r, ',') &&
           read_date(&r, &out->ends) && r.at == r.end;
}

static bool is_leap(int64_t year)
{
    return (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
}

/* Days from 1970-01-01 to 1 January of `year` (1 or later). */
static int64_t year_day(int64_t year)
{
    int64_t y = year - 1;
    return y * 365 + y / 4 - y / 100 + y / 400 - 719162;
}

/* Days from 1970 to that date in `year`. */
static int64_t date_day(const struct cv_posix_date *d, int64_t year)
{
    static const int before[] = {0,   31,  59,  90,  120, 151, 181,
                                 212, 243, 273, 304, 334, 365};
    int64_t first = year_day(year);
    bool leap = is_leap(year);
    if (d->form == CV_POSIX_DAY)
        return first + d->day;
    if (d->form == CV_POSIX_JULIAN)
        return first + d->day - 1 + (leap && d->day >= 60 ? 1 : 0);
    int64_t month = first + before[d->month - 1];
    int64_t next = first + before[d->month];
    if (leap && d->month > 2)
        month++;
    if (leap && d->month >= 2)
        next++;
    int64_t weekday = ((month + 4) % 7 + 7) % 7; /* 1970-01-01: Thursday */
    int64_t day = month + (d->day - weekday + 7) % 7 + 7 * (d->week - 1);
    return day >= next ? day - 7 : day;
}

int32_t cv_posix_offset(const struct cv_posix *p, int64_t t)
{
    if (!p->has_summer)
        return p->standard_s;
    /* The calendar comes again after 400 years, weekdays too. */
    t = t % AGE_S + AGE_S;
    /* Or, about New Year, the one beside it. */
    int64_t year = 1970 + t / YEAR_S;
    int64_t best = INT64_MIN;
    int32_t offset = p->standard_s;
    /* The change that lies last before `t`. A time of day may reach a week
     * into the next year or the one before. Where both fall together summer
     * time goes on. */
    for (int64_t y = year - 2; y <= year + 1; y++) {
        int64_t ends =
            date_day(&p->ends, y) * DAY_S + p->ends.time_s - p->summer_s;
        int64_t begins =
            date_day(&p->begins, y) * DAY_S + p->begins.time_s - p->standard_s;
        if (ends <= t && ends > best) {
            best = ends;
            offset = p->standard_s;
        }
        if (begins <= t && begins >= best) {
            best = begins;
            offset = p->summer_s;
        }
    }
    return offset;
}
