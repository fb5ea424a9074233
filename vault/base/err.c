#include "vault/base/err.h"

#include "vault/base/utf8.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

static const struct {
    const char *name;
    int exit_code;
} statuses[CV_STATUS_COUNT] = {
    [CV_OK] = {"ok", 0},
    [CV_FAILED] = {"failed", 1},
    [CV_INTERNAL] = {"internal", 1},
    [CV_USAGE] = {"usage", 64},
    [CV_INVALID] = {"invalid", 65},
    [CV_EXISTS] = {"exists", 65},
    [CV_EXPIRED] = {"expired", 65},
    [CV_NOT_FOUND] = {"not-found", 66},
    [CV_UNAVAILABLE] = {"unavailable", 69},
    [CV_LOCKED] = {"locked", 69},
    [CV_AUTH] = {"auth", 69},
    [CV_INTEGRITY] = {"integrity", 70},
    [CV_IO] = {"io", 74},
    [CV_BUSY] = {"busy", 75},
    [CV_REMOTE] = {"remote", 76},
    [CV_DENIED] = {"denied", 77},
    [CV_CONFIG] = {"config", 78},
    [CV_INTERRUPTED] = {"interrupted", 130},
};

/* Is all that is left the beginning of a character? */
static bool is_cut(const uint8_t *p, size_t left)
{
    size_t whole = p[0] >= 0xf0 ? 4 : p[0] >= 0xe0 ? 3 : 2;
    if (p[0] < 0xc2 || p[0] > 0xf4 || left >= whole) {
        return false;
    }
    for (size_t i = 1; i < left; i++) {
        if ((p[i] & 0xc0) != 0x80) {
            return false;
        }
    }
    return true;
}

/* Makes a text one line of valid UTF-8 that a terminal may show. What snprintf
 * cut in the middle of a character ends before it. */
static void clean(char *text)
{
    uint8_t *p = (uint8_t *)text;
    size_t left = strlen(text);
    while (left > 0) {
        uint32_t point = 0;
        size_t n = cv_utf8_next(p, left, &point);
        if (n == 0 && is_cut(p, left)) {
            *p = '\0';
            return;
        }
        if (n == 0) {
            n = 1;
            *p = '?';
        } else if (!cv_utf8_is_shown(point)) {
            memset(p, '?', n);
        }
        p += n;
        left -= n;
    }
}

static CV_PRINTF(3, 0) void put(char *out, size_t size, const char *fmt,
                                va_list args)
{
    if (vsnprintf(out, size, fmt, args) < 0) {
        out[0] = '\0';
    }
    clean(out);
}

void cv_err_init(struct cv_err *e)
{
    if (e != NULL) {
        memset(e, 0, sizeof(*e));
        e->audit_seq = -1;
        e->retry_after_s = -1;
    }
}

static void begin(struct cv_err *e, enum cv_status status,
                  enum cv_domain domain, long native, const char *file,
                  int line)
{
    cv_err_init(e);
    e->status = status;
    e->domain = domain;
    e->native = native;
    e->frames[0] = (struct cv_err_frame){file, line};
    e->n_frames = 1;
}

enum cv_status cv_err_set(struct cv_err *e, enum cv_status status,
                          enum cv_domain domain, long native, const char *file,
                          int line, const char *fmt, ...)
{
    if (e == NULL) {
        return status;
    }
    /* The arguments may be texts of `e` itself. */
    char text[CV_ERR_TEXT_LEN];
    va_list args;
    va_start(args, fmt);
    put(text, sizeof(text), fmt, args);
    va_end(args);
    begin(e, status, domain, native, file, line);
    memcpy(e->text, text, sizeof(text));
    return status;
}

enum cv_status cv_err_set_errno(struct cv_err *e, enum cv_status status,
                                const char *file, int line, const char *fmt,
                                ...)
{
    int number = errno;
    if (e == NULL) {
        return status;
    }
    char text[CV_ERR_TEXT_LEN];
    va_list args;
    va_start(args, fmt);
    put(text, sizeof(text), fmt, args);
    va_end(args);
    begin(e, status, CV_DOMAIN_ERRNO, number, file, line);
    char why[128];
    const char *reason = strerror_r(number, why, sizeof(why));
    /* The reason is worth more than the end of a long text. */
    size_t room = sizeof(e->text) - strlen(reason) - 3;
    if (snprintf(e->text, sizeof(e->text), "%.*s: %s", (int)room, text,
                 reason) < 0) {
        e->text[0] = '\0';
    }
    clean(e->text);
    errno = number;
    return status;
}

enum cv_status cv_err_frame(struct cv_err *e, enum cv_status status,
                            const char *file, int line)
{
    if (e != NULL && status != CV_OK && e->n_frames < CV_ERR_FRAMES) {
        e->frames[e->n_frames++] = (struct cv_err_frame){file, line};
    }
    return status;
}

void cv_err_hint(struct cv_err *e, const char *fmt, ...)
{
    if (e == NULL) {
        return;
    }
    char text[CV_ERR_HINT_LEN];
    va_list args;
    va_start(args, fmt);
    put(text, sizeof(text), fmt, args);
    va_end(args);
    memcpy(e->hint, text, sizeof(text));
}

void cv_err_state(struct cv_err *e, const char *fmt, ...)
{
    if (e == NULL) {
        return;
    }
    char text[CV_ERR_STATE_LEN];
    va_list args;
    va_start(args, fmt);
    put(text, sizeof(text), fmt, args);
    va_end(args);
    memcpy(e->state, text, sizeof(text));
}

void cv_err_prefix(struct cv_err *e, const char *fmt, ...)
{
    if (e == NULL) {
        return;
    }
    char before[CV_ERR_TEXT_LEN];
    va_list args;
    va_start(args, fmt);
    put(before, sizeof(before), fmt, args);
    va_end(args);
    char after[CV_ERR_TEXT_LEN];
    memcpy(after, e->text, sizeof(after));
    if (snprintf(e->text, sizeof(e->text), "%.*s: %s", CV_ERR_TEXT_LEN / 2,
                 before, after) < 0) {
        e->text[0] = '\0';
    }
    clean(e->text);
}

int cv_err_exit_code(enum cv_status status)
{
    if ((unsigned)status >= CV_STATUS_COUNT) {
        return 1;
    }
    return statuses[status].exit_code;
}

const char *cv_err_code_name(enum cv_status status)
{
    if ((unsigned)status >= CV_STATUS_COUNT) {
        return statuses[CV_INTERNAL].name;
    }
    return statuses[status].name;
}

enum cv_status cv_err_from_code_name(const char *word)
{
    for (unsigned i = CV_FAILED; word != NULL && i < CV_STATUS_COUNT; i++) {
        if (strcmp(word, statuses[i].name) == 0) {
            return (enum cv_status)i;
        }
    }
    return CV_INTERNAL;
}

const char *cv_err_quote(char *out, size_t out_len, const char *text,
                         size_t len)
{
    if (out_len == 0) {
        return "";
    }
    size_t n = len < out_len - 1 ? len : out_len - 1;
    for (size_t i = 0; i < n; i++) {
        out[i] = text[i] >= 0x20 && text[i] < 0x7f ? text[i] : '?';
    }
    if (n < len) {
        for (size_t i = n; i > 0 && n - i < 3; i--) {
            out[i - 1] = '.';
        }
    }
    out[n] = '\0';
    return out;
}
