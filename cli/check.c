#include "cli/check.h"

#include "cli/days.h"
#include "vault/base/clock.h"
#include "vault/base/limits.h"
#include "vault/base/name.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

#define REGION_MAX 64
#define DIGITS_MAX 15

static const char hex_digits[] = "0123456789abcdefABCDEF";

/* What checks of the wire call invalid is a usage error when it was typed. */
static enum cv_status as_usage(enum cv_status s, struct cv_err *err)
{
    if (s == CV_INVALID) {
        if (err != NULL) {
            err->status = CV_USAGE;
        }
        return CV_USAGE;
    }
    return s;
}

enum cv_status cv_check_name(const char *text, struct cv_err *err)
{
    return as_usage(cv_name_check(text, err), err);
}

enum cv_status cv_check_template(const char *text, bool file,
                                 struct cv_err *err)
{
    /* What stands for a name must be one once its holes are filled. */
    char filled[CV_LIMIT_NAME + 2];
    size_t n = 0;

    while (*text != '\0' && n < sizeof(filled) - 1) {
        if (strncmp(text, "{context}", 9) == 0) {
            text += 9;
            filled[n++] = 'c';
        } else if (file && strncmp(text, "{file}", 6) == 0) {
            text += 6;
            filled[n++] = 'f';
        } else {
            filled[n++] = *text++;
        }
    }
    filled[n] = '\0';
    return cv_check_name(filled, err);
}

enum cv_status cv_check_project(const char *text, struct cv_err *err)
{
    if (text != NULL &&
        (strlen(text) != 32 || strspn(text, "0123456789abcdef") != 32)) {
        return cv_fail(err, CV_USAGE,
                       "--project-id takes 32 lower-case hex digits");
    }
    return CV_OK;
}

enum cv_status cv_check_cluster(const char *text, struct cv_err *err)
{
    static const size_t parts[] = {8, 4, 4, 4, 12};
    const char *p = text;
    bool ok = true;

    if (text == NULL) {
        return CV_OK;
    }
    for (size_t i = 0; ok && i < 5; i++) {
        ok = strspn(p, hex_digits) == parts[i] &&
             p[parts[i]] == (i < 4 ? '-' : '\0');
        p += ok ? parts[i] + 1 : 0;
    }
    if (!ok) {
        return cv_fail(err, CV_USAGE,
                       "--cluster-id takes a UUID (8-4-4-4-12 hex digits)");
    }
    return CV_OK;
}

enum cv_status cv_check_region(const char *text, struct cv_err *err)
{
    size_t len = text ? strlen(text) : 1;

    if (text != NULL &&
        (len == 0 || len > REGION_MAX || !isalnum((unsigned char)text[0]) ||
         strspn(text, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
                      "0123456789-_") != len)) {
        return cv_fail(err, CV_USAGE,
                       "--region takes letters, digits, - and _");
    }
    return CV_OK;
}

enum cv_status cv_check_shown(const char *text, const char *flag, size_t max,
                              struct cv_err *err)
{
    size_t len = text ? strlen(text) : 0;

    if (text == NULL) {
        return CV_OK;
    }
    if (len == 0 || len > max ||
        !cv_name_is_printable((struct cv_bytes){(const uint8_t *)text, len})) {
        return cv_fail(err, CV_USAGE,
                       "--%s takes 1 to %zu bytes of printable text", flag,
                       max);
    }
    return CV_OK;
}

enum cv_status cv_check_url(const char *text, const char *flag,
                            struct cv_err *err)
{
    size_t len = text ? strlen(text) : 0;
    bool ok = len > 0 && len <= CV_LIMIT_URL;

    if (text == NULL) {
        return CV_OK;
    }
    for (size_t i = 0; i < len && ok; i++) {
        ok = text[i] > ' ' && text[i] < 0x7f && text[i] != '@' &&
             text[i] != '"' && text[i] != '\\';
    }
    if (!ok) {
        return cv_fail(err, CV_USAGE,
                       "--%s takes a URL without user, blanks or control "
                       "characters",
                       flag);
    }
    return CV_OK;
}

enum cv_status cv_check_days(const char *text, int64_t *days,
                             struct cv_err *err)
{
    enum cv_status s;

    if (cv_days_read(text, days)) {
        return CV_OK;
    }
    s = cv_fail(err, CV_USAGE, "--duration takes 1 to %d days, or -1",
                CV_DAYS_MAX);
    cv_err_hint(err, "for less than a day: --expire-at TIME");
    return s;
}

enum cv_status cv_check_number(const char *text, const char *flag, int64_t min,
                               int64_t max, int64_t *out, struct cv_err *err)
{
    size_t len = strlen(text);
    int64_t n = 0;

    if (len > 0 && len <= DIGITS_MAX && strspn(text, "0123456789") == len) {
        for (size_t i = 0; i < len; i++) {
            n = n * 10 + (text[i] - '0');
        }
        if (n >= min && n <= max) {
            *out = n;
            return CV_OK;
        }
    }
    return cv_fail(err, CV_USAGE, "%s takes a number from %lld to %lld", flag,
                   (long long)min, (long long)max);
}

enum cv_status cv_check_time(const char *text, const char *flag, bool ago,
                             int64_t now_s, int64_t *out_s, struct cv_err *err)
{
    int64_t seconds = 0;
    enum cv_status s;

    if (cv_clock_parse(text, out_s, NULL) == CV_OK) {
        return CV_OK;
    }
    if (ago && cv_clock_parse_duration(text, false, &seconds, NULL) == CV_OK) {
        *out_s = now_s - seconds;
        return CV_OK;
    }
    s = cv_fail(err, CV_USAGE, "--%s takes a time", flag);
    cv_err_hint(err, "2026-11-22T08:00:00Z, 2026-11-22%s",
                ago ? ", or how long ago: 90s 15m 8h 30d" : "");
    return s;
}

enum cv_status cv_check_word(const char *text, const char *flag,
                             const char *words, struct cv_err *err)
{
    const char *p = words;
    size_t len = strlen(text);
    enum cv_status s;

    for (;;) {
        size_t n = strcspn(p, "|");

        if (n == len && strncmp(p, text, n) == 0) {
            return CV_OK;
        }
        if (p[n] == '\0') {
            break;
        }
        p += n + 1;
    }
    s = cv_fail(err, CV_USAGE, "--%s does not know that word", flag);
    cv_err_hint(err, "one of %s", words);
    return s;
}

enum cv_status cv_check_label(const char *text, cJSON *labels, bool bare,
                              struct cv_err *err)
{
    const char *equal = strchr(text, '=');
    size_t len = equal ? (size_t)(equal - text) : strlen(text);
    char key[CV_LIMIT_LABEL + 1];
    enum cv_status s;

    if (len == 0 || len >= sizeof(key) || (equal == NULL && !bare)) {
        return cv_fail(err, CV_USAGE,
                       "a label is K=V, its key at most %d "
                       "bytes",
                       CV_LIMIT_LABEL);
    }
    memcpy(key, text, len);
    key[len] = '\0';
    s = as_usage(cv_name_check_label(key, equal ? equal + 1 : "", err), err);
    if (s != CV_OK) {
        return s;
    }
    if (cJSON_GetObjectItemCaseSensitive(labels, key) != NULL) {
        return cv_fail(err, CV_USAGE, "label %s is given twice", key);
    }
    if (!cv_json_add_item(labels, key,
                          equal ? cJSON_CreateString(equal + 1)
                                : cJSON_CreateNull())) {
        return cv_fail(err, CV_INTERNAL, "memory is gone");
    }
    return CV_OK;
}

enum cv_status cv_check_labels(const struct cv_args *args, bool bare,
                               cJSON **out, struct cv_err *err)
{
    enum cv_status s = CV_OK;
    const char *value;
    size_t at = 0;

    *out = cJSON_CreateObject();
    if (*out == NULL) {
        return cv_fail(err, CV_INTERNAL, "memory is gone");
    }
    while (s == CV_OK && (value = cv_args_next(args, "label", &at)) != NULL) {
        s = cv_check_label(value, *out, bare, err);
    }
    if (s == CV_OK && cJSON_GetArraySize(*out) > CV_LIMIT_LABELS) {
        s = cv_fail(err, CV_USAGE, "more than %d labels", CV_LIMIT_LABELS);
    }
    if (s != CV_OK) {
        cJSON_Delete(*out);
        *out = NULL;
    }
    return s;
}

const char *cv_check_vkey(const char *text, char room[CV_CHECK_VKEY])
{
    size_t len = text != NULL ? strlen(text) : 0;

    if (len == 0 || len >= CV_CHECK_VKEY || text[len - 1] != '\n') {
        return text;
    }
    len -= len > 1 && text[len - 2] == '\r' ? 2 : 1;
    memcpy(room, text, len);
    room[len] = '\0';
    return room;
}
