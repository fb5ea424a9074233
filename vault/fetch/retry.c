#include "vault/fetch/retry.h"

#include <ctype.h>
#include <string.h>
#include <time.h>

#define BASE_MS 500
#define CAP_MS 30000
#define THROTTLED_MS 2000

void cv_retry_begin(struct cv_retry *r, int64_t now_ms, int64_t limit_ms)
{
    r->attempts = 0;
    r->started_ms = now_ms;
    r->limit_ms = limit_ms;
}

static bool may_repeat(enum cv_retry_end end, long status)
{
    if (end != CV_RETRY_ANSWERED) {
        return end != CV_RETRY_FINAL;
    }
    return status == 429 || status == 500 || status == 502 || status == 503 ||
           status == 504;
}

static int64_t backoff_ms(unsigned attempts, uint32_t chance)
{
    int64_t whole = BASE_MS;

    for (unsigned i = 1; i < attempts && whole < CAP_MS; i++) {
        whole *= 2;
    }
    whole = whole > CAP_MS ? CAP_MS : whole;
    return whole / 2 + (int64_t)(chance % (uint32_t)(whole / 2 + 1));
}

bool cv_retry_next(struct cv_retry *r, enum cv_retry_end end, long status,
                   double retry_after_s, int64_t now_ms, uint32_t chance,
                   int64_t *wait_ms)
{
    *wait_ms = 0;
    r->attempts++;
    if (!may_repeat(end, status) || r->attempts >= CV_RETRY_ATTEMPTS) {
        return false;
    }
    *wait_ms = backoff_ms(r->attempts, chance);
    if (end == CV_RETRY_ANSWERED && retry_after_s >= 0) {
        if (retry_after_s > CV_RETRY_AFTER_MAX_S) {
            retry_after_s = CV_RETRY_AFTER_MAX_S;
        }
        *wait_ms = (int64_t)(retry_after_s * 1000.0 + 0.999);
    } else if (status == 429 && *wait_ms < THROTTLED_MS) {
        *wait_ms = THROTTLED_MS;
    }
    return now_ms - r->started_ms + *wait_ms < r->limit_ms;
}

/* Digits, at most eight, then a fraction. True when that is all there is. */
static bool read_seconds(const char *p, double *out)
{
    double value = 0, unit = 1;
    unsigned digits = 0;

    while (isdigit((unsigned char)*p) && digits++ < 8) {
        value = value * 10 + (*p++ - '0');
    }
    if (digits == 0) {
        return false;
    }
    if (*p == '.') {
        p++;
        while (isdigit((unsigned char)*p)) {
            unit /= 10;
            value += unit * (*p++ - '0');
        }
    }
    *out = value;
    return *p == '\0';
}

int64_t cv_retry_date(const char *value)
{
    struct tm tm;
    const char *end;
    time_t t;

    memset(&tm, 0, sizeof(tm));
    if (value == NULL) {
        return -1;
    }
    end = strptime(value, "%a, %d %b %Y %H:%M:%S GMT", &tm);
    if (end == NULL || *end != '\0') {
        return -1;
    }
    t = timegm(&tm);
    return t < 0 ? -1 : (int64_t)t;
}

double cv_retry_after(const char *value, int64_t now_s)
{
    double seconds = -1;
    int64_t date;

    if (value == NULL) {
        return -1;
    }
    if (!read_seconds(value, &seconds)) {
        date = cv_retry_date(value);
        if (date < 0) {
            return -1;
        }
        seconds = date > now_s ? (double)(date - now_s) : 0;
    }
    return seconds > CV_RETRY_AFTER_MAX_S ? CV_RETRY_AFTER_MAX_S : seconds;
}
