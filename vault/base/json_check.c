/* The strict walk over JSON text, before cJSON sees it. It builds nothing, and
 * the stack of open containers is an array, so that no input can make it
 * recurse.
 *
 * Keys are compared as they decode, in one hash table for the document that
 * holds hashes (keyed, so that nobody can choose keys that collide) and places
 * in the text, never the keys. */
#include "vault/base/base_internal.h"
#include "vault/base/limits.h"
#include "vault/base/utf8.h"

#include <math.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>

#define NUMBER_MAX 32 /* characters */
#define INTEGER_MAX 9007199254740992LL
#define FEW_SLOTS 64
#define BLOCK_POINTS 14

struct slot {
    uint64_t hash;
    uint32_t object; /* from 1; 0: free */
    uint32_t start;  /* of the key, behind its quote */
};

struct container {
    uint32_t object; /* 0: an array */
};

struct check {
    const uint8_t *text;
    size_t len;
    size_t at;
    const char *why; /* the failure */
    bool no_memory;
    unsigned values;
    uint32_t objects;
    unsigned depth;
    struct container open[CV_LIMIT_JSON_DEPTH];
    struct slot *slots;
    size_t n_slots; /* a power of two */
    size_t n_keys;
    struct slot few[FEW_SLOTS];
    uint8_t key[crypto_shorthash_KEYBYTES];
};

enum step { STEP_FAIL, STEP_VALUE, STEP_DONE };

static bool refuse(struct check *c, const char *why)
{
    c->why = why;
    return false;
}

static int peek(const struct check *c)
{
    return c->at < c->len ? c->text[c->at] : -1;
}

static void skip_blanks(struct check *c)
{
    for (int b = peek(c); b == ' ' || b == '\t' || b == '\n' || b == '\r';
         b = peek(c)) {
        c->at++;
    }
}

static int hex_value(uint8_t b)
{
    if (b >= '0' && b <= '9') {
        return b - '0';
    }
    b |= 0x20;
    return b >= 'a' && b <= 'f' ? b - 'a' + 10 : -1;
}

/* The four digits of \uXXXX at `p`; -1 where they are not that. */
static int32_t read_hex4(const uint8_t *p)
{
    int32_t value = 0;
    for (int i = 0; i < 4; i++) {
        int digit = hex_value(p[i]);
        if (digit < 0) {
            return -1;
        }
        value = value * 16 + digit;
    }
    return value;
}

/* Reads the escape at `p` (`len` bytes from its backslash on). Returns the
 * bytes it takes; 0 where it is none, or NUL, or half of a pair. */
static size_t read_escape(const uint8_t *p, size_t len, uint32_t *point)
{
    static const char names[] = "\"\\/bfnrt";
    static const char values[] = "\"\\/\b\f\n\r\t";
    if (len < 2) {
        return 0;
    }
    const char *name = p[1] == '\0' ? NULL : strchr(names, p[1]);
    if (name != NULL) {
        *point = (uint8_t)values[name - names];
        return 2;
    }
    int32_t high = p[1] == 'u' && len >= 6 ? read_hex4(p + 2) : -1;
    if (high <= 0) {
        return 0;
    }
    *point = (uint32_t)high;
    if (high < 0xd800 || high > 0xdfff) {
        return 6;
    }
    int32_t low = -1;
    if (high < 0xdc00 && len >= 12 && p[6] == '\\' && p[7] == 'u') {
        low = read_hex4(p + 8);
    }
    if (low < 0xdc00 || low > 0xdfff) {
        return 0;
    }
    *point =
        0x10000U + (((uint32_t)high & 0x3ffU) << 10) + ((uint32_t)low & 0x3ffU);
    return 12;
}

/* A character that stands for itself, and for which nothing else is looked at:
 * most are. */
static inline bool is_plain(uint8_t b)
{
    return b >= 0x20 && b < 0x80 && b != '"' && b != '\\';
}

/* One character of a string. Returns the bytes it takes, 0 where it is bad. */
static size_t read_point(const uint8_t *p, size_t len, uint32_t *point)
{
    if (len > 0 && is_plain(p[0])) {
        *point = p[0];
        return 1;
    }
    if (len > 0 && p[0] == '\\') {
        return read_escape(p, len, point);
    }
    size_t n = cv_utf8_next(p, len, point);
    return n > 0 && *point < 0x20 ? 0 : n;
}

/* From the opening quote to behind the closing one. */
static bool check_string(struct check *c)
{
    c->at++;
    for (;;) {
        while (c->at < c->len && is_plain(c->text[c->at])) {
            c->at++;
        }
        int b = peek(c);
        if (b == '"') {
            c->at++;
            return true;
        }
        if (b < 0) {
            return refuse(c, "a string without an end");
        }
        /* In a text that holds JSON every fourth byte or so is one. */
        if (b == '\\' && c->len - c->at > 1 && c->text[c->at + 1] == '"') {
            c->at += 2;
            continue;
        }
        uint32_t point = 0;
        size_t n = read_point(c->text + c->at, c->len - c->at, &point);
        if (n == 0) {
            return refuse(c, "a character or escape that strings must not "
                             "hold");
        }
        c->at += n;
    }
}

/* Chains keyed hashes over blocks of code points, so that a key of any length
 * needs no copy of it. */
static uint64_t hash_key(const struct check *c, uint32_t object, size_t start)
{
    uint64_t hash = object;
    uint32_t block[2 + BLOCK_POINTS];
    size_t n = 0;
    const uint8_t *p = c->text + start;
    for (;;) {
        bool end = *p == '"';
        if (!end) {
            p += read_point(p, (size_t)(c->text + c->len - p), &block[2 + n]);
            n++;
        }
        if (end || n == BLOCK_POINTS) {
            memcpy(block, &hash, sizeof(hash));
            crypto_shorthash((unsigned char *)&hash, (unsigned char *)block,
                             (2 + n) * sizeof(block[0]), c->key);
            n = 0;
        }
        if (end) {
            sodium_memzero(block, sizeof(block));
            return hash;
        }
    }
}

static bool same_key(const struct check *c, size_t a, size_t b)
{
    const uint8_t *end = c->text + c->len;
    const uint8_t *p = c->text + a;
    const uint8_t *q = c->text + b;
    while (*p != '"' && *q != '"') {
        uint32_t x = 0;
        uint32_t y = 0;
        p += read_point(p, (size_t)(end - p), &x);
        q += read_point(q, (size_t)(end - q), &y);
        if (x != y) {
            return false;
        }
    }
    return *p == *q;
}

/* The slot that holds this key, or the free one where it belongs. */
static struct slot *find_slot(const struct check *c, struct slot wanted)
{
    size_t i = wanted.hash & (c->n_slots - 1);
    for (;; i = (i + 1) & (c->n_slots - 1)) {
        struct slot *s = &c->slots[i];
        if (s->object == 0 ||
            (s->hash == wanted.hash && s->object == wanted.object &&
             same_key(c, s->start, wanted.start))) {
            return s;
        }
    }
}

static void free_slots(struct check *c)
{
    if (c->slots != c->few) {
        free(c->slots);
    }
}

static bool grow_slots(struct check *c)
{
    struct slot *old = c->slots;
    size_t n_old = c->n_slots;
    struct slot *larger = calloc(n_old * 2, sizeof(*larger));
    if (larger == NULL) {
        c->no_memory = true;
        return refuse(c, "out of memory");
    }
    c->slots = larger;
    c->n_slots = n_old * 2;
    for (size_t i = 0; i < n_old; i++) {
        if (old[i].object == 0) {
            continue;
        }
        /* No two of them are the same, so a free place will do. */
        size_t at = old[i].hash & (c->n_slots - 1);
        while (larger[at].object != 0) {
            at = (at + 1) & (c->n_slots - 1);
        }
        larger[at] = old[i];
    }
    if (old != c->few) {
        free(old);
    }
    return true;
}

/* Drawn once for each thread: nobody who writes documents can learn it, and a
 * call of the system for each document is what many small ones would pay. */
static void take_key(uint8_t key[crypto_shorthash_KEYBYTES])
{
    static _Thread_local uint8_t own[crypto_shorthash_KEYBYTES];
    static _Thread_local bool drawn;

    if (!drawn) {
        randombytes_buf(own, sizeof(own));
        drawn = true;
    }
    memcpy(key, own, sizeof(own));
}

/* Notes a key of the innermost object; false where it has it already. */
static bool note_key(struct check *c, size_t start)
{
    if (c->n_keys == 0) {
        take_key(c->key);
    }
    if (c->n_keys * 2 >= c->n_slots && !grow_slots(c)) {
        return false;
    }
    uint32_t object = c->open[c->depth - 1].object;
    struct slot wanted = {hash_key(c, object, start), object, (uint32_t)start};
    struct slot *s = find_slot(c, wanted);
    if (s->object != 0) {
        c->at = start - 1;
        return refuse(c, "a key that the object has already");
    }
    *s = wanted;
    c->n_keys++;
    return true;
}

/* A key and its colon, up to the value. */
static bool check_key(struct check *c)
{
    if (peek(c) != '"') {
        return refuse(c, "no key");
    }
    size_t start = c->at + 1;
    if (!check_string(c) || !note_key(c, start)) {
        return false;
    }
    skip_blanks(c);
    if (peek(c) != ':') {
        return refuse(c, "no colon behind a key");
    }
    c->at++;
    skip_blanks(c);
    return true;
}

static size_t skip_digits(struct check *c)
{
    size_t start = c->at;
    while (peek(c) >= '0' && peek(c) <= '9') {
        c->at++;
    }
    return c->at - start;
}

/* Is the number `text` (checked to be one) within reach? */
static bool in_range(const char *text, bool integer)
{
    if (integer) {
        bool minus = *text == '-';
        /* 16 digits, the most that can be, fit. */
        size_t n = strlen(text + minus);
        return n < 16 ||
               (n == 16 && strtoll(text + minus, NULL, 10) <= INTEGER_MAX);
    }
    /* What has a fraction or an exponent is rounded when read: the limit
     * itself might have been above it. */
    double value = strtod(text, NULL);
    return isfinite(value) && fabs(value) < (double)INTEGER_MAX;
}

/* -?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)? */
static bool check_number(struct check *c)
{
    size_t start = c->at;
    bool integer = true;
    c->at += peek(c) == '-';
    bool zero = peek(c) == '0';
    size_t n = skip_digits(c);
    bool ok = n == 1 || (n > 1 && !zero);
    if (ok && peek(c) == '.') {
        integer = false;
        c->at++;
        ok = skip_digits(c) > 0;
    }
    if (ok && (peek(c) == 'e' || peek(c) == 'E')) {
        integer = false;
        c->at++;
        c->at += peek(c) == '+' || peek(c) == '-';
        ok = skip_digits(c) > 0;
    }
    if (!ok) {
        return refuse(c, "not a number");
    }
    char text[NUMBER_MAX + 1];
    size_t len = c->at - start;
    if (len > NUMBER_MAX) {
        c->at = start;
        return refuse(c, "a number of too many digits");
    }
    memcpy(text, c->text + start, len);
    text[len] = '\0';
    ok = in_range(text, integer);
    sodium_memzero(text, sizeof(text));
    if (!ok) {
        c->at = start;
        return refuse(c, "a number outside -2^53 to 2^53");
    }
    return true;
}

static bool check_word(struct check *c, const char *word)
{
    size_t len = strlen(word);
    if (c->len - c->at < len || memcmp(c->text + c->at, word, len) != 0) {
        return refuse(c, "not a value");
    }
    c->at += len;
    return true;
}

static bool check_scalar(struct check *c)
{
    switch (peek(c)) {
    case '"':
        return check_string(c);
    case 't':
        return check_word(c, "true");
    case 'f':
        return check_word(c, "false");
    case 'n':
        return check_word(c, "null");
    case '-':
    case '0':
    case '1':
    case '2':
    case '3':
    case '4':
    case '5':
    case '6':
    case '7':
    case '8':
    case '9':
        return check_number(c);
    default:
        return refuse(c, "not a value");
    }
}

/* Opens a container; STEP_VALUE where its first value comes next. */
static enum step open_container(struct check *c, bool object)
{
    if (c->depth == CV_LIMIT_JSON_DEPTH) {
        refuse(c, "too deep");
        return STEP_FAIL;
    }
    c->at++;
    c->open[c->depth].object = object ? ++c->objects : 0;
    c->depth++;
    skip_blanks(c);
    if (peek(c) == (object ? '}' : ']')) {
        c->at++;
        c->depth--;
        return STEP_DONE;
    }
    return !object || check_key(c) ? STEP_VALUE : STEP_FAIL;
}

static enum step begin_value(struct check *c)
{
    if (++c->values > CV_LIMIT_JSON_MEMBERS) {
        refuse(c, "too many values");
        return STEP_FAIL;
    }
    int b = peek(c);
    if (b == '{' || b == '[') {
        return open_container(c, b == '{');
    }
    return check_scalar(c) ? STEP_DONE : STEP_FAIL;
}

/* Behind a value: closes what ends here; STEP_VALUE where a comma leads on. */
static enum step end_value(struct check *c)
{
    for (;;) {
        skip_blanks(c);
        if (c->depth == 0) {
            return STEP_DONE;
        }
        bool object = c->open[c->depth - 1].object != 0;
        int b = peek(c);
        if (b == ',') {
            c->at++;
            skip_blanks(c);
            return !object || check_key(c) ? STEP_VALUE : STEP_FAIL;
        }
        if (b != (object ? '}' : ']')) {
            refuse(c, "no comma or end behind a value");
            return STEP_FAIL;
        }
        c->at++;
        c->depth--;
    }
}

static bool check_document(struct check *c)
{
    enum step step = STEP_VALUE;
    skip_blanks(c);
    while (step == STEP_VALUE) {
        step = begin_value(c);
        if (step == STEP_DONE) {
            step = end_value(c);
        }
    }
    if (step == STEP_DONE && c->at < c->len) {
        return refuse(c, "something behind the document");
    }
    return step == STEP_DONE;
}

enum cv_status cv_json_check_text(struct cv_bytes text, struct cv_err *err)
{
    if (text.len > CV_MIB(1024)) {
        return cv_fail(err, CV_INVALID, "not valid JSON: too long");
    }
    struct check c = {.text = text.data, .len = text.len};
    c.slots = c.few;
    c.n_slots = FEW_SLOTS;
    bool ok = check_document(&c);
    free_slots(&c);
    if (ok) {
        return CV_OK;
    }
    if (c.no_memory) {
        return cv_fail(err, CV_INTERNAL, "out of memory");
    }
    return cv_fail(err, CV_INVALID, "not valid JSON: %s (at byte %zu)", c.why,
                   c.at);
}
