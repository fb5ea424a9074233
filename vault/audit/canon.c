#include "vault/audit/canon_internal.h"

#include <string.h>

#define INTEGER_MAX UINT64_C(9007199254740991)

/* Everything below is made one function, in which a scan's place is kept in
 * registers: through memory each step would wait for the one before it. It is
 * made twice, for texts whose quotes are known and for all others. */
#define INLINE __attribute__((always_inline)) inline

struct scan {
    const uint8_t *p;
    const uint8_t *end;
    bool marked; /* a constant */
    const uint8_t *text;
    const uint16_t *mark; /* where the next quote is */
    const uint16_t *mark_end;
    size_t depth;
    const uint8_t *value; /* where the top object's member begins */
    struct cv_canon *out;
};

static INLINE int peek(const struct scan *s)
{
    return s->p < s->end ? *s->p : -1;
}

static INLINE bool take(struct scan *s, char c)
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

#if defined(__SSE2__)

#include <emmintrin.h>

/* Passes over what is printable ASCII but for quote and backslash, sixteen
 * bytes at a time; where less than that is left, one by one does. */
static INLINE void skip_plain(struct scan *s)
{
    const __m128i quote = _mm_set1_epi8('"'), slash = _mm_set1_epi8('\\');
    const __m128i blank = _mm_set1_epi8(' '), del = _mm_set1_epi8(0x7f);

    while (s->end - s->p >= 16) {
        __m128i c = _mm_loadu_si128((const __m128i *)(const void *)s->p);
        /* Signed: what is beyond ASCII is less than a blank, too. */
        __m128i stop = _mm_or_si128(
            _mm_or_si128(_mm_cmpeq_epi8(c, quote), _mm_cmpeq_epi8(c, slash)),
            _mm_or_si128(_mm_cmplt_epi8(c, blank), _mm_cmpeq_epi8(c, del)));
        unsigned mask = (unsigned)_mm_movemask_epi8(stop);

        if (mask != 0) {
            s->p += __builtin_ctz(mask);
            return;
        }
        s->p += 16;
    }
}

#else

static INLINE void skip_plain(struct scan *s)
{
    (void)s;
}

#endif

/* The same where quotes are known: nothing in between needs a look. */
static INLINE bool skip_marked(struct scan *s)
{
    if (s->mark_end - s->mark < 2) {
        return false;
    }
    s->p = s->text + s->mark[1] + 1;
    s->mark += 2;
    return true;
}

/* Behind the opening quote, to behind the closing one. */
static INLINE bool skip_string(struct scan *s)
{
    if (s->marked) {
        return skip_marked(s);
    }
    skip_plain(s);
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

static INLINE bool skip_number(struct scan *s)
{
    const uint8_t *from = s->p;
    uint64_t value;

    while (s->p < s->end && *s->p >= '0' && *s->p <= '9') {
        s->p++;
    }
    return cv_canon_uint((struct cv_bytes){from, (size_t)(s->p - from)},
                         &value);
}

static INLINE bool skip_word(struct scan *s, const char *word)
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

/* The first eight bytes, the first of them the highest. */
static INLINE uint64_t word_of(struct cv_bytes key, const uint8_t *end)
{
    uint64_t word = 0;

    if (key.len == 0) {
        return 0;
    }
    if (end - key.data >= 8) {
        memcpy(&word, key.data, 8);
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
        word = __builtin_bswap64(word);
#endif
        return key.len >= 8 ? word : word & ~(UINT64_MAX >> 8 * key.len);
    }
    for (size_t i = 0; i < 8; i++) {
        word = word << 8 | (i < key.len ? key.data[i] : 0);
    }
    return word;
}

/* Does `key` come behind the level's last one? */
static INLINE bool rises(const struct cv_canon_level *level,
                         struct cv_bytes key, uint64_t word)
{
    return level->key.data == NULL || level->word < word ||
           (level->word == word && compare(level->key, key) < 0);
}

/* To the quote that a key ends with, which has no escapes. */
static INLINE bool skip_key(struct scan *s)
{
    if (s->marked) {
        bool good = skip_marked(s);

        s->p -= good;
        return good;
    }
    skip_plain(s);
    while (s->p < s->end && *s->p >= 0x20 && *s->p < 0x7f && *s->p != '"' &&
           *s->p != '\\') {
        s->p++;
    }
    return true;
}

/* A member of the object itself: its value begins here. What was written a
 * moment ago is not read again, which would have to wait for it. */
static INLINE bool note_member(struct scan *s, struct cv_bytes key,
                               uint64_t word)
{
    struct cv_canon_member *m = &s->out->members[s->out->n];

    if (s->out->n == CV_CANON_MEMBERS) {
        return false;
    }
    m->key = key;
    m->word = word;
    m->value.data = s->value = s->p;
    return true;
}

/* ... and has ended. */
static INLINE void end_member(struct scan *s)
{
    s->out->members[s->out->n++].value.len = (size_t)(s->p - s->value);
}

/* A member's key and colon. */
static INLINE bool read_key(struct scan *s)
{
    struct cv_canon_level *level = &s->out->levels[s->depth - 1];
    struct cv_bytes key;
    uint64_t word;

    if (!take(s, '"')) {
        return false;
    }
    key.data = s->p;
    if (!skip_key(s)) {
        return false;
    }
    key.len = (size_t)(s->p - key.data);
    word = word_of(key, s->end);
    if (!take(s, '"') || !take(s, ':') || !rises(level, key, word)) {
        return false;
    }
    level->key = key;
    level->word = word;
    return s->depth > 1 || note_member(s, key, word);
}

static INLINE bool open_level(struct scan *s, bool object)
{
    if (s->depth == CV_LIMIT_JSON_DEPTH) {
        return false;
    }
    s->p++;
    s->out->levels[s->depth++] = (struct cv_canon_level){object, {NULL, 0}, 0};
    return true;
}

/* A value that holds no others. */
static INLINE bool skip_scalar(struct scan *s)
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

/* A value ended: closes what ends with it and goes on to the next one. False
 * where the text is not right; *done where it ended. */
static INLINE bool after_value(struct scan *s, bool *done)
{
    for (;;) {
        struct cv_canon_level *level;

        if (s->depth == 0) {
            *done = true;
            return s->p == s->end;
        }
        if (s->depth == 1) {
            end_member(s);
        }
        level = &s->out->levels[s->depth - 1];
        if (take(s, ',')) {
            return !level->object || read_key(s);
        }
        if (!take(s, level->object ? '}' : ']')) {
            return false;
        }
        s->depth--;
    }
}

static INLINE bool scan(struct scan s)
{
    bool done = false;

    s.out->n = 0;
    if (peek(&s) != '{') {
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

bool cv_canon_scan_plain(struct cv_bytes text, struct cv_canon *out)
{
    const struct scan s = {
        .p = text.data, .end = text.data + text.len, .out = out};

    out->n = 0;
    return text.len > 0 && scan(s);
}

bool cv_canon_scan(struct cv_bytes text, struct cv_canon *out)
{
    size_t n = text.len == 0 || text.len > CV_LIMIT_LEAF
                   ? CV_CANON_ODD
                   : cv_canon_marks(text, out->marks);

    if (n != CV_CANON_ODD) {
        const struct scan s = {.p = text.data,
                               .end = text.data + text.len,
                               .marked = true,
                               .text = text.data,
                               .mark = out->marks,
                               .mark_end = out->marks + n,
                               .out = out};

        return scan(s);
    }
    return cv_canon_scan_plain(text, out);
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
