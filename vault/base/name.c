#include "vault/base/name.h"

#include "vault/base/limits.h"
#include "vault/base/utf8.h"

#include <string.h>

#define BASE64_RUN 40

static bool is_alnum(char c)
{
    return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') ||
           (c >= 'a' && c <= 'z');
}

static bool is_name_char(char c)
{
    return is_alnum(c) || c == '.' || c == '_' || c == '/' || c == '-';
}

/* All of it name characters, at most `max` of them? */
static bool is_word(const char *text, size_t max)
{
    size_t n = 0;
    while (n <= max && is_name_char(text[n])) {
        n++;
    }
    return n <= max && text[n] == '\0';
}

enum cv_status cv_name_check(const char *name, struct cv_err *err)
{
    if (name == NULL || !is_alnum(name[0]) || !is_word(name, CV_LIMIT_NAME)) {
        return cv_fail(err, CV_INVALID,
                       "a name begins with a letter or digit and has letters, "
                       "digits, '.', '_', '/' and '-', at most %d",
                       CV_LIMIT_NAME);
    }
    if (strstr(name, "..") != NULL || strstr(name, "//") != NULL) {
        return cv_fail(err, CV_INVALID, "a name has no \"..\" and no \"//\"");
    }
    return CV_OK;
}

enum cv_status cv_name_check_label(const char *key, const char *value,
                                   struct cv_err *err)
{
    if (key == NULL || !is_alnum(key[0]) || !is_word(key, CV_LIMIT_LABEL)) {
        return cv_fail(err, CV_INVALID,
                       "a label's key begins with a letter or digit and has "
                       "letters, digits, '.', '_', '/' and '-', at most %d",
                       CV_LIMIT_LABEL);
    }
    if (value == NULL || !is_word(value, CV_LIMIT_LABEL)) {
        return cv_fail(err, CV_INVALID,
                       "a label's value has letters, digits, '.', '_', '/' and "
                       "'-', at most %d",
                       CV_LIMIT_LABEL);
    }
    return CV_OK;
}

static bool looks_secret(const char *text)
{
    if (strstr(text, "-----BEGIN") != NULL ||
        strstr(text, "-----END") != NULL) {
        return true;
    }
    size_t run = 0;
    for (const char *p = text; *p != '\0'; p++) {
        bool base64 = is_alnum(*p) || *p == '+' || *p == '/' || *p == '=';
        run = base64 ? run + 1 : 0;
        if (run >= BASE64_RUN) {
            return true;
        }
    }
    return false;
}

enum cv_status cv_name_check_words(const char *text, size_t max,
                                   const char *what, struct cv_err *err)
{
    if (text == NULL) {
        return cv_fail(err, CV_INVALID, "%s: missing", what);
    }
    size_t len = strnlen(text, max + 1);
    if (len > max) {
        return cv_fail(err, CV_INVALID, "%s: more than %zu bytes", what, max);
    }
    struct cv_bytes bytes = {(const uint8_t *)text, len};
    if (!cv_name_is_printable(bytes)) {
        return cv_fail(err, CV_INVALID, "%s: not printable UTF-8", what);
    }
    if (looks_secret(text)) {
        return cv_fail(err, CV_INVALID,
                       "%s: looks like a key or a token (PEM, or %d base64 "
                       "characters in a row)",
                       what, BASE64_RUN);
    }
    return CV_OK;
}

bool cv_name_is_printable(struct cv_bytes text)
{
    for (size_t i = 0; i < text.len;) {
        uint32_t point = 0;
        size_t n = cv_utf8_next(text.data + i, text.len - i, &point);
        if (n == 0 || !cv_utf8_is_shown(point)) {
            return false;
        }
        i += n;
    }
    return true;
}

bool cv_name_glob(const char *pattern, const char *text)
{
    /* Where the last star stood, and how much of the text it takes so far:
     * going back further is never needed. */
    const char *star = NULL;
    const char *taken = text;
    while (*text != '\0') {
        if (*pattern == '*') {
            star = pattern++;
            taken = text;
        } else if (*pattern == '?' || *pattern == *text) {
            pattern++;
            text++;
        } else if (star != NULL) {
            pattern = star + 1;
            text = ++taken;
        } else {
            return false;
        }
    }
    while (*pattern == '*') {
        pattern++;
    }
    return *pattern == '\0';
}
