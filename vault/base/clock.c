#include "vault/base/clock.h"

#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define DAY_S 86400
#define FIRST_S (-62167219200LL)    /* 0000-01-01T00:00:00Z */
#define LAST_S 253402300799LL       /* 9999-12-31T23:59:59Z */
#define LONGEST_S (36525LL * DAY_S) /* 100 years */

int64_t cv_clock_now_s(void)
{
    struct timespec t;
    clock_gettime(CLOCK_REALTIME, &t);
    return t.tv_sec;
}

int64_t cv_clock_boot_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_BOOTTIME, &t);
    return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

static char boot_id[37];
static pthread_once_t boot_id_once = PTHREAD_ONCE_INIT;

static void read_boot_id(void)
{
    int fd = open("/proc/sys/kernel/random/boot_id", O_RDONLY | O_CLOEXEC);
    ssize_t n = -1;
    if (fd >= 0) {
        n = read(fd, boot_id, sizeof(boot_id) - 1);
        close(fd);
    }
    if (n != 36 || strspn(boot_id, "0123456789abcdef-") != 36) {
        memcpy(boot_id, "unknown", sizeof("unknown"));
    }
}

const char *cv_clock_boot_id(void)
{
    pthread_once(&boot_id_once, read_boot_id);
    return boot_id;
}

/* `n` digits of a number that is not negative. */
static char *put_digits(char *p, unsigned n, int value)
{
    for (unsigned i = n; i > 0; i--) {
        p[i - 1] = (char)('0' + value % 10);
        value /= 10;
    }
    return p + n;
}

/* By hand: each record of the audit log has a time, and printf would take a
 * tenth of what appending one does. */
const char *cv_clock_format(int64_t t_s, char out[CV_CLOCK_TEXT_LEN])
{
    int64_t inside = t_s < FIRST_S ? FIRST_S : t_s > LAST_S ? LAST_S : t_s;
    time_t when = (time_t)inside;
    struct tm tm;
    memset(&tm, 0, sizeof(tm));
    gmtime_r(&when, &tm);
    char *p = put_digits(out, 4, tm.tm_year + 1900);
    *p++ = '-';
    p = put_digits(p, 2, tm.tm_mon + 1);
    *p++ = '-';
    p = put_digits(p, 2, tm.tm_mday);
    *p++ = 'T';
    p = put_digits(p, 2, tm.tm_hour);
    *p++ = ':';
    p = put_digits(p, 2, tm.tm_min);
    *p++ = ':';
    p = put_digits(p, 2, tm.tm_sec);
    *p++ = 'Z';
    *p = '\0';
    return out;
}

/* Reads exactly `n` digits at *p and moves on; false where there are fewer, or
 * the number is above `most`. */
static bool digits(const char **p, unsigned n, int most, int *out)
{
    int value = 0;
    for (unsigned i = 0; i < n; i++) {
        char c = (*p)[i];
        if (c < '0' || c > '9') {
            return false;
        }
        value = value * 10 + (c - '0');
    }
    *p += n;
    *out = value;
    return value <= most;
}

static bool literal(const char **p, char c)
{
    if (**p != c) {
        return false;
    }
    (*p)++;
    return true;
}

static bool parse_date(const char **p, struct tm *tm)
{
    static const int days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    int year = 0;
    int month = 0;
    if (!digits(p, 4, 9999, &year) || !literal(p, '-') ||
        !digits(p, 2, 12, &month) || month < 1 || !literal(p, '-') ||
        !digits(p, 2, 31, &tm->tm_mday) || tm->tm_mday < 1) {
        return false;
    }
    bool leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
    tm->tm_year = year - 1900;
    tm->tm_mon = month - 1;
    return tm->tm_mday <= days[month - 1] + (leap && month == 2);
}

static bool parse_fraction(const char **p)
{
    if (!literal(p, '.')) {
        return true;
    }
    size_t n = strspn(*p, "0123456789");
    *p += n;
    return n > 0;
}

/* Z or +hh:mm, as seconds east of Greenwich. */
static bool parse_offset(const char **p, int *seconds)
{
    *seconds = 0;
    if (literal(p, 'Z') || literal(p, 'z')) {
        return true;
    }
    int sign = **p == '-' ? -1 : 1;
    int hours = 0;
    int minutes = 0;
    if ((!literal(p, '+') && !literal(p, '-')) || !digits(p, 2, 23, &hours) ||
        !literal(p, ':') || !digits(p, 2, 59, &minutes)) {
        return false;
    }
    *seconds = sign * (hours * 3600 + minutes * 60);
    return true;
}

static bool parse_time(const char **p, struct tm *tm, int *offset)
{
    return (literal(p, 'T') || literal(p, 't')) &&
           digits(p, 2, 23, &tm->tm_hour) && literal(p, ':') &&
           digits(p, 2, 59, &tm->tm_min) && literal(p, ':') &&
           digits(p, 2, 60, &tm->tm_sec) && parse_fraction(p) &&
           parse_offset(p, offset);
}

enum cv_status cv_clock_parse(const char *text, int64_t *out_s,
                              struct cv_err *err)
{
    const char *p = text == NULL ? "" : text;
    struct tm tm;
    memset(&tm, 0, sizeof(tm));
    int offset = 0;
    bool ok = parse_date(&p, &tm) &&
              (*p == '\0' || (parse_time(&p, &tm, &offset) && *p == '\0'));
    bool leap = tm.tm_sec == 60; /* timegm changes it */
    int64_t t = ok ? (int64_t)timegm(&tm) - offset : 0;
    /* Leap seconds come at the end of a UTC day only. */
    if (!ok || (leap && t % DAY_S != 0)) {
        return cv_fail(err, CV_INVALID,
                       "not a time (RFC 3339, such as 2026-11-22T05:31:00Z)");
    }
    *out_s = t;
    return CV_OK;
}

static int64_t unit_s(const char *unit, bool bare_days)
{
    if (strcmp(unit, "s") == 0) {
        return 1;
    }
    if (strcmp(unit, "m") == 0) {
        return 60;
    }
    if (strcmp(unit, "h") == 0) {
        return 3600;
    }
    if (strcmp(unit, "d") == 0 || (bare_days && *unit == '\0')) {
        return DAY_S;
    }
    return 0;
}

enum cv_status cv_clock_parse_duration(const char *text, bool bare_days,
                                       int64_t *out_s, struct cv_err *err)
{
    const char *p = text == NULL ? "" : text;
    size_t n = strspn(p, "0123456789");
    int64_t value = 0;
    /* Ten digits hold 100 years of seconds. */
    for (size_t i = 0; i < n && n <= 10; i++) {
        value = value * 10 + (p[i] - '0');
    }
    int64_t unit = unit_s(p + n, bare_days);
    if (n == 0 || unit == 0) {
        return cv_fail(err, CV_USAGE,
                       "not a duration (such as 90s, 15m, 8h, "
                       "30d)");
    }
    if (n > 10 || value > LONGEST_S / unit) {
        return cv_fail(err, CV_USAGE, "a duration of more than 100 years");
    }
    *out_s = value * unit;
    return CV_OK;
}
