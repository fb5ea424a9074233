#include "vault/audit/canon_internal.h"

#include "vault/base/limits.h"

#include <string.h>

#define INTEGER_MAX UINT64_C(9007199254740991)

struct level {
    bool object;
    struct cv_bytes key; /* the last one */
};

struct scan {
    const uint8_t *p;
    const uint8_t *end;
    size_t depth;
    struct level levels[CV_LIMIT_JSON_DEPTH];
    const uint8_t *value; /* where the top object's member begins */
    struct cv_canon *out;
};

static int peek(const struct scan *s)
{
    return s->p < s->end ? *s->p : -1;
}

static bool take(struct scan *s, char c)
{
    if (peek(s) != c) {
        return false;
    }
    s->p++;
    return true;
}

static int hex_digit(uint8_t c)
{
    if (c >= '0' && c <= '9') {
        return c - '0';
    }
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* The four digits behind \u; -1: not there. */
static int32_t read_unit(struct scan *s)
{
    int32_t unit = 0;

    if (s->end - s->p < 4) {
        return -1;
    }
    for (int i = 0; i < 4; i++) {
        int digit = hex_digit(*s->p++);

        if (digit < 0) {
            return -1;
        }
        unit = unit << 4 | digit;
    }
    return unit;
}

/* What is behind a backslash. Only what has no shorter spelling may be \u:
 * controls without a letter of their own, and all beyond ASCII. */
static bool skip_escape(struct scan *s)
{
    int32_t unit;
    int c = peek(s);

    if (c <= 0) {
        return false;
    }
    s->p++;
    if (c != 'u') {
        return strchr("\"\\bfnrt", c) != NULL;
    }
    unit = read_unit(s);
    if (unit < 0x20) {
        return unit > 0 && strchr("\b\f\n\r\t", unit) == NULL;
    }
    if (unit < 0x80 || (unit >= 0xdc00 && unit <= 0xdfff)) {
        return false;
    }
    if (unit < 0xd800 || unit > 0xdbff) {
        return true;
    }
    if (!take(s, '\\') || !take(s, 'u')) {
        return false;
    }
    unit = read_unit(s);
    return unit >= 0xdc00 && unit <= 0xdfff;
}

/* Behind the opening quote, to behind the closing one. */
static bool skip_string(struct scan *s)
{
    while (s->p < s->end) {
        uint8_t c = *s->p++;

        if (c == '"') {
            return true;
        }
        if (c < 0x20 || c >= 0x7f) {
            return false;
        }
        if (c == '\\' && !skip_escape(s)) {
            return false;
        }
    }
    return false;
}

static bool skip_number(struct scan *s)
{
    const uint8_t *from = s->p;
    uint64_t value;

    while (s->p < s->end && *s->p >= '0' && *s->p <= '9') {
        s->p++;
    }
    return cv_canon_uint((struct cv_bytes){from, (size_t)(s->p - from)},
                         &value);
}

static bool skip_word(struct scan *s, const char *word)
{
    size_t len = strlen(word);

    if ((size_t)(s->end - s->p) < len || memcmp(s->p, word, len) != 0) {
        return false;
    }
    s->p += len;
    return true;
}

static int compare(struct cv_bytes a, struct cv_bytes b)
{
    size_t len = a.len < b.len ? a.len : b.len;
    int order = len == 0 ? 0 : memcmp(a.data, b.data, len);

    return order != 0 ? order : (a.len > b.len) - (a.len < b.len);
}

/* A member's key and colon. */
static bool read_key(struct scan *s)
{
    struct level *level = &s->levels[s->depth - 1];
    struct cv_bytes key;

    if (!take(s, '"')) {
        return false;
    }
    key.data = s->p;
    while (s->p < s->end && *s->p >= 0x20 && *s->p < 0x7f && *s->p != '"' &&
           *s->p != '\\') {
        s->p++;
    }
    key.len = (size_t)(s->p - key.data);
    if (!take(s, '"') || !take(s, ':') ||
        (level->key.data != NULL && compare(level->key, key) >= 0)) {
        return false;
    }
    level->key = key;
    if (s->depth == 1) {
        s->value = s->p;
    }
    return true;
}

static bool open_level(struct scan *s, bool object)
{
    if (s->depth == CV_LIMIT_JSON_DEPTH) {
        return false;
    }
    s->p++;
    s->levels[s->depth++] = (struct level){object, {NULL, 0}};
    return true;
}

/* A value that holds no others. */
static bool skip_scalar(struct scan *s)
{
    switch (peek(s)) {
    case '"':
        s->p++;
        return skip_string(s);
    case 't':
        return skip_word(s, "true");
    case 'f':
        return skip_word(s, "false");
    default:
        return skip_number(s);
    }
}

static bool note_member(struct scan *s)
{
    struct cv_canon *o = s->out;

    if (s->depth != 1) {
        return true;
    }
    if (o->n == CV_CANON_MEMBERS) {
        return false;
    }
    o->members[o->n++] = (struct cv_canon_member){
        s->levels[0].key, {s->value, (size_t)(s->p - s->value)}};
    return true;
}

/* A value ended: closes what ends with it and goes on to the next one. False
 * where the text is not right; *done where it ended. */
static bool after_value(struct scan *s, bool *done)
{
    for (;;) {
        struct level *level;

        if (s->depth == 0) {
            *done = true;
            return s->p == s->end;
        }
        if (!note_member(s)) {
            return false;
        }
        level = &s->levels[s->depth - 1];
        if (take(s, ',')) {
            return !level->object || read_key(s);
        }
        if (!take(s, level->object ? '}' : ']')) {
            return false;
        }
        s->depth--;
    }
}

bool cv_canon_scan(struct cv_bytes text, struct cv_canon *out)
{
    struct scan s = {.p = text.data, .end = text.data + text.len, .out = out};
    bool done = false;

    out->n = 0;
    if (text.len == 0 || peek(&s) != '{') {
        return false;
    }
    while (!done) {
        int c = peek(&s);

        if (c == '{' || c == '[') {
            if (!open_level(&s, c == '{')) {
                return false;
            }
            if (!take(&s, c == '{' ? '}' : ']')) {
                if (c == '{' && !read_key(&s)) {
                    return false;
                }
                continue;
            }
            s.depth--;
        } else if (!skip_scalar(&s)) {
            return false;
        }
        if (!after_value(&s, &done)) {
            return false;
        }
    }
    return true;
}

struct cv_bytes cv_canon_get(const struct cv_canon *object, const char *key)
{
    struct cv_bytes want = {(const uint8_t *)key, strlen(key)};
    size_t from = 0, to = object->n;

    while (from < to) { /* they are in order */
        size_t middle = from + (to - from) / 2;
        int order = compare(object->members[middle].key, want);

        if (order == 0) {
            return object->members[middle].value;
        }
        if (order < 0) {
            from = middle + 1;
        } else {
            to = middle;
        }
    }
    return (struct cv_bytes){NULL, 0};
}

struct cv_bytes cv_canon_string(struct cv_bytes value)
{
    if (value.len < 2 || value.data[0] != '"') {
        return (struct cv_bytes){NULL, 0};
    }
    return (struct cv_bytes){value.data + 1, value.len - 2};
}

bool cv_canon_uint(struct cv_bytes value, uint64_t *out)
{
    uint64_t n = 0;

    if (value.len == 0 || value.len > 16 ||
        (value.data[0] == '0' && value.len > 1)) {
        return false;
    }
    for (size_t i = 0; i < value.len; i++) {
        if (value.data[i] < '0' || value.data[i] > '9') {
            return false;
        }
        n = n * 10 + (value.data[i] - '0');
    }
    *out = n;
    return n <= INTEGER_MAX;
}
