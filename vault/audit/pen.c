#include "vault/audit/pen_internal.h"

#include "vault/base/utf8.h"

#include <string.h>

#define INTEGER_MAX UINT64_C(9007199254740991)
/* An escape takes three bytes for one of UTF-8 at most: six for two, twelve for
 * four; and two for a quote. */
#define SWELLS 3

void cv_pen_begin(struct cv_pen *pen, struct cv_buf *out)
{
    memset(pen, 0, sizeof *pen);
    pen->out = out;
}

void cv_pen_end(struct cv_pen *pen)
{
    if (pen->at != NULL) {
        cv_buf_took(pen->out,
                    (size_t)(pen->at - (pen->out->data + pen->out->len)));
    }
}

void cv_pen_refuse(struct cv_pen *pen)
{
    if (pen->wrong == NULL) {
        pen->wrong = pen->key == NULL ? "" : pen->key;
    }
}

/* Room for `len` bytes more; false: a failure stuck. */
static bool has_room(struct cv_pen *pen, size_t len)
{
    if (pen->at != NULL && (size_t)(pen->end - pen->at) > len) {
        return true;
    }
    cv_pen_end(pen);
    pen->at = cv_buf_room(pen->out, len);
    pen->end = pen->at == NULL ? NULL : pen->out->data + pen->out->size;
    return pen->at != NULL;
}

/* Room for `len` bytes of a value or a key, behind the comma that may be due.
 * NULL: there is none. The caller puts pen->at behind what it wrote. */
static uint8_t *begin(struct cv_pen *pen, size_t len)
{
    if (!has_room(pen, len + 1)) {
        return NULL;
    }
    if (pen->comma) {
        *pen->at++ = ',';
    }
    pen->comma = true;
    return pen->at;
}

void cv_pen_open(struct cv_pen *pen, char bracket)
{
    uint8_t *p = begin(pen, 1);

    if (p != NULL) {
        *p++ = (uint8_t)bracket;
        pen->at = p;
        pen->comma = false;
    }
}

void cv_pen_close(struct cv_pen *pen, char bracket)
{
    if (has_room(pen, 1)) {
        *pen->at++ = (uint8_t)bracket;
        pen->comma = true;
    }
}

void cv_pen_inner_key(struct cv_pen *pen, const char *key)
{
    size_t len = strlen(key);
    uint8_t *p = begin(pen, len + 3);

    if (p != NULL) {
        *p++ = '"';
        memcpy(p, key, len);
        p += len;
        *p++ = '"';
        *p++ = ':';
        pen->at = p;
        pen->comma = false;
    }
}

void cv_pen_key(struct cv_pen *pen, const char *key)
{
    pen->key = key;
    cv_pen_inner_key(pen, key);
}

static uint8_t *put_unit(uint8_t *p, uint32_t unit)
{
    static const char hex[] = "0123456789abcdef";

    *p++ = '\\';
    *p++ = 'u';
    for (int shift = 12; shift >= 0; shift -= 4) {
        *p++ = (uint8_t)hex[unit >> shift & 15];
    }
    return p;
}

/* What is no plain character: a quote, a backslash, or beyond ASCII. */
static uint8_t *put_point(uint8_t *p, uint32_t point)
{
    if (point < 0x80) {
        *p++ = '\\';
        *p++ = (uint8_t)point;
        return p;
    }
    if (point > 0xffff) {
        p = put_unit(p, 0xd800 + ((point - 0x10000) >> 10));
        return put_unit(p, 0xdc00 + ((point - 0x10000) & 0x3ff));
    }
    return put_unit(p, point);
}

static bool is_plain(uint8_t c)
{
    return c >= 0x20 && c < 0x7f && c != '"' && c != '\\';
}

/* The characters between the quotes; NULL where one may not be in a leaf. */
static uint8_t *put_text(uint8_t *p, const uint8_t *text, size_t len)
{
    while (len > 0) {
        uint32_t point = 0;
        size_t n = 1;

        if (is_plain(*text)) {
            *p++ = *text;
        } else {
            n = cv_utf8_next(text, len, &point);
            if (n == 0 || point < 0x20 || point == 0x7f) {
                return NULL;
            }
            p = put_point(p, point);
        }
        text += n;
        len -= n;
    }
    return p;
}

void cv_pen_text(struct cv_pen *pen, const char *text, size_t max)
{
    size_t len = text == NULL ? 0 : strnlen(text, max + 1);
    uint8_t *p;

    if (text == NULL || len > max) {
        cv_pen_refuse(pen);
        return;
    }
    p = begin(pen, SWELLS * len + 2);
    if (p == NULL) {
        return;
    }
    *p++ = '"';
    p = put_text(p, (const uint8_t *)text, len);
    if (p == NULL) {
        cv_pen_refuse(pen);
        return;
    }
    *p++ = '"';
    pen->at = p;
}

void cv_pen_word(struct cv_pen *pen, const char *word)
{
    size_t len = strlen(word);
    uint8_t *p = begin(pen, len + 2);

    if (p != NULL) {
        *p++ = '"';
        memcpy(p, word, len);
        p += len;
        *p++ = '"';
        pen->at = p;
    }
}

void cv_pen_hex(struct cv_pen *pen, const char *text, size_t digits)
{
    unsigned bad = 0;

    if (text == NULL || strnlen(text, digits + 1) != digits) {
        cv_pen_refuse(pen);
        return;
    }
    for (size_t i = 0; i < digits; i++) {
        uint8_t c = (uint8_t)text[i];

        bad |= (uint8_t)(c - '0') > 9 && (uint8_t)(c - 'a') > 5;
    }
    if (bad != 0) {
        cv_pen_refuse(pen);
        return;
    }
    cv_pen_word(pen, text);
}

void cv_pen_base64(struct cv_pen *pen, struct cv_bytes data)
{
    static const char digits[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    uint8_t *p = begin(pen, (data.len + 2) / 3 * 4 + 2);

    if (p == NULL) {
        return;
    }
    *p++ = '"';
    for (size_t i = 0; i < data.len; i += 3) {
        size_t left = data.len - i;
        uint32_t bits = (uint32_t)data.data[i] << 16 |
                        (left > 1 ? (uint32_t)data.data[i + 1] << 8 : 0) |
                        (left > 2 ? (uint32_t)data.data[i + 2] : 0);

        *p++ = (uint8_t)digits[bits >> 18];
        *p++ = (uint8_t)digits[bits >> 12 & 63];
        *p++ = left > 1 ? (uint8_t)digits[bits >> 6 & 63] : '=';
        *p++ = left > 2 ? (uint8_t)digits[bits & 63] : '=';
    }
    *p++ = '"';
    pen->at = p;
}

void cv_pen_uint(struct cv_pen *pen, uint64_t value)
{
    uint8_t digits[20];
    size_t n = 0;
    uint8_t *p;

    if (value > INTEGER_MAX) {
        cv_pen_refuse(pen);
        return;
    }
    do {
        digits[n++] = (uint8_t)('0' + value % 10);
        value /= 10;
    } while (value > 0);
    p = begin(pen, n);
    if (p == NULL) {
        return;
    }
    while (n > 0) {
        *p++ = digits[--n];
    }
    pen->at = p;
}

void cv_pen_bool(struct cv_pen *pen, bool value)
{
    const char *word = value ? "true" : "false";
    size_t len = strlen(word);
    uint8_t *p = begin(pen, len);

    if (p != NULL) {
        memcpy(p, word, len);
        pen->at = p + len;
    }
}
