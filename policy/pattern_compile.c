#include "policy/pattern_internal.h"

#include "vault/base/limits.h"

#include <stdlib.h>
#include <string.h>

/* Recursive descent over the text, straight into code. A stretch of code that
 * stands for one atom is self-contained, so a repeat wraps or copies it. */
struct maker {
    const char *text;
    size_t len;
    size_t at;
    unsigned depth;
    struct cv_err *err;
    size_t n;
    struct cv_pattern_step steps[CV_PATTERN_SIZE];
    size_t n_classes;
    uint8_t classes[CV_PATTERN_CLASSES][32];
};

static enum cv_status refuse(struct maker *m, const char *why)
{
    return cv_fail(m->err, CV_INVALID, "expression, character %zu: %s",
                   m->at + 1, why);
}

static enum cv_status too_big(struct maker *m)
{
    return refuse(m, "the expression becomes too big; repeat less");
}

static bool more(const struct maker *m)
{
    return m->at < m->len;
}

/* The NUL behind the text is no character of it: none is looked for. */
static char peek(const struct maker *m)
{
    return m->text[m->at];
}

/* Makes room for one step at `where` and fills it. */
static enum cv_status insert(struct maker *m, size_t where,
                             enum cv_pattern_op op, uint8_t c, ptrdiff_t x,
                             ptrdiff_t y)
{
    if (m->n == CV_PATTERN_SIZE)
        return too_big(m);
    memmove(&m->steps[where + 1], &m->steps[where],
            (m->n - where) * sizeof(m->steps[0]));
    m->steps[where] =
        (struct cv_pattern_step){(uint8_t)op, c, (int16_t)x, (int16_t)y};
    m->n++;
    return CV_OK;
}

/* A step that takes a byte. */
static enum cv_status emit_byte(struct maker *m, enum cv_pattern_op op,
                                uint8_t c)
{
    return insert(m, m->n, op, c, 0, 0);
}

/* One that says where to go on. */
static enum cv_status emit_way(struct maker *m, enum cv_pattern_op op,
                               ptrdiff_t x, ptrdiff_t y)
{
    return insert(m, m->n, op, 0, x, y);
}

static void class_set(uint8_t bits[32], unsigned from, unsigned to)
{
    for (unsigned b = from; b <= to; b++)
        bits[b >> 3] = (uint8_t)(bits[b >> 3] | 1U << (b & 7));
}

/* [:name:] in the C locale; false when there is no such class. */
static bool class_named(uint8_t bits[32], const char *name, size_t len)
{
    static const struct {
        const char *name;
        const char *ranges; /* pairs of first and last */
    } known[] = {
        {"alnum", "09AZaz"},   {"alpha", "AZaz"},
        {"blank", "\t\t  "},   {"cntrl", "\1\37\177\177"},
        {"digit", "09"},       {"graph", "!~"},
        {"lower", "az"},       {"print", " ~"},
        {"punct", "!/:@[`{~"}, {"space", "\t\r  "},
        {"upper", "AZ"},       {"xdigit", "09AFaf"},
    };
    for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++) {
        if (strlen(known[i].name) != len ||
            memcmp(known[i].name, name, len) != 0)
            continue;
        for (const char *r = known[i].ranges; *r != '\0'; r += 2)
            class_set(bits, (uint8_t)r[0], (uint8_t)r[1]);
        return true;
    }
    return false;
}

/* Behind "[:"; leaves the place behind ":]". */
static enum cv_status parse_named(struct maker *m, uint8_t bits[32])
{
    const char *name = m->text + m->at + 2;
    size_t len = strcspn(name, ":");
    if (strncmp(name + len, ":]", 2) != 0 || !class_named(bits, name, len))
        return refuse(m, "no such class; there are [:digit:], [:alpha:] and "
                         "the others of POSIX");
    m->at += 2 + len + 2;
    return CV_OK;
}

/* One member of a bracket expression: a class, a character, a range. */
static enum cv_status parse_member(struct maker *m, uint8_t bits[32])
{
    char c = peek(m);
    char next = m->text[m->at + 1];
    if (c == '[' && next == ':')
        return parse_named(m, bits);
    if (c == '[' && (next == '.' || next == '='))
        return refuse(m, "collating elements are not taken");
    if (c == '\\')
        return refuse(m, "a backslash means nothing in brackets; leave it out");
    m->at++;
    char last = c;
    if (peek(m) == '-' && m->at + 1 < m->len && m->text[m->at + 1] != ']') {
        last = m->text[m->at + 1];
        if (last == '[' || last == '\\' || last < c)
            return refuse(m, "this range goes nowhere");
        m->at += 2;
    }
    class_set(bits, (uint8_t)c, (uint8_t)last);
    return CV_OK;
}

static enum cv_status parse_class(struct maker *m)
{
    if (m->n_classes == CV_PATTERN_CLASSES)
        return refuse(m, "too many bracket expressions");
    uint8_t *bits = m->classes[m->n_classes];
    memset(bits, 0, 32);
    m->at++;
    bool negated = peek(m) == '^';
    if (negated)
        m->at++;
    bool first = true;
    while (first || peek(m) != ']') {
        if (!more(m))
            return refuse(m, "a bracket is not closed");
        first = false;
        enum cv_status st = parse_member(m, bits);
        if (st != CV_OK)
            return st;
    }
    m->at++;
    for (size_t i = 0; negated && i < 32; i++)
        bits[i] = (uint8_t)~bits[i];
    return emit_byte(m, CV_PATTERN_CLASS, (uint8_t)m->n_classes++);
}

static enum cv_status parse_escape(struct maker *m)
{
    m->at++;
    char c = peek(m);
    if (c >= '1' && c <= '9')
        return refuse(m, "back-references are not taken");
    if (!more(m) || strchr("^.[]$()|*+?{}\\/-\"#&,:;=@_~!% ", c) == NULL)
        return refuse(m, "a backslash stands only before punctuation; write "
                         "[0-9] for a digit");
    m->at++;
    return emit_byte(m, CV_PATTERN_CHAR, (uint8_t)c);
}

static enum cv_status parse_alternatives(struct maker *m);

static enum cv_status parse_group(struct maker *m)
{
    if (m->depth == CV_PATTERN_DEPTH)
        return refuse(m, "groups lie too deep in one another");
    m->depth++;
    m->at++;
    enum cv_status st = parse_alternatives(m);
    if (st != CV_OK)
        return st;
    if (peek(m) != ')')
        return refuse(m, "a group is not closed");
    m->at++;
    m->depth--;
    return CV_OK;
}

/* *is_anchor: what was parsed cannot be repeated. */
static enum cv_status parse_atom(struct maker *m, bool *is_anchor)
{
    char c = peek(m);
    *is_anchor = c == '^' || c == '$';
    switch (c) {
    case '(':
        return parse_group(m);
    case '[':
        return parse_class(m);
    case '\\':
        return parse_escape(m);
    case '*':
    case '+':
    case '?':
    case '{':
        return refuse(m, "there is nothing to repeat");
    case '.':
        m->at++;
        return emit_byte(m, CV_PATTERN_ANY, 0);
    case '^':
        m->at++;
        return emit_way(m, CV_PATTERN_BEGIN, 1, 0);
    case '$':
        m->at++;
        return emit_way(m, CV_PATTERN_END, 1, 0);
    default:
        m->at++;
        return emit_byte(m, CV_PATTERN_CHAR, (uint8_t)c);
    }
}

static bool parse_count(struct maker *m, unsigned *out)
{
    if (peek(m) < '0' || peek(m) > '9')
        return false;
    unsigned n = 0;
    while (peek(m) >= '0' && peek(m) <= '9' && n <= CV_PATTERN_REPEAT)
        n = n * 10 + (unsigned)(m->text[m->at++] - '0');
    *out = n;
    return n <= CV_PATTERN_REPEAT;
}

/* {m}, {m,}, {m,n}; *most is 0 with *endless. */
static enum cv_status parse_bounds(struct maker *m, unsigned *least,
                                   unsigned *most, bool *endless)
{
    static const char wrong[] = "a repeat is {m}, {m,} or {m,n}, up to 255";
    m->at++;
    if (!parse_count(m, least))
        return refuse(m, wrong);
    *most = *least;
    *endless = false;
    if (peek(m) == ',') {
        m->at++;
        *endless = peek(m) == '}';
        if (!*endless && !parse_count(m, most))
            return refuse(m, wrong);
    }
    if (peek(m) != '}' || *most < *least)
        return refuse(m, wrong);
    m->at++;
    return CV_OK;
}

static enum cv_status
append_copy(struct maker *m, const struct cv_pattern_step *code, size_t len)
{
    if (m->n + len > CV_PATTERN_SIZE)
        return too_big(m);
    memcpy(&m->steps[m->n], code, len * sizeof(*code));
    m->n += len;
    return CV_OK;
}

/* What lies from `start` on, `least` to `most` times. The copies that may be
 * missing each begin with a split to the end of all. */
static enum cv_status repeat(struct maker *m, size_t start, unsigned least,
                             unsigned most, bool endless)
{
    struct cv_pattern_step code[CV_PATTERN_SIZE];
    size_t len = m->n - start;
    enum cv_status st = CV_OK;
    memcpy(code, &m->steps[start], len * sizeof(*code));
    m->n = start;
    for (unsigned i = 0; i < least && st == CV_OK; i++)
        st = append_copy(m, code, len);
    if (st != CV_OK)
        return st;
    if (endless) {
        ptrdiff_t l = (ptrdiff_t)len;
        if (least > 0)
            return emit_way(m, CV_PATTERN_SPLIT, -l, 1);
        st = emit_way(m, CV_PATTERN_SPLIT, 1, l + 2);
        if (st == CV_OK)
            st = append_copy(m, code, len);
        return st == CV_OK ? emit_way(m, CV_PATTERN_JUMP, -l - 1, 0) : st;
    }
    for (size_t left = most - least; left > 0 && st == CV_OK; left--) {
        st = emit_way(m, CV_PATTERN_SPLIT, 1, (ptrdiff_t)(left * (len + 1)));
        if (st == CV_OK)
            st = append_copy(m, code, len);
    }
    return st;
}

static enum cv_status parse_repeat(struct maker *m, size_t start)
{
    unsigned least = 0;
    unsigned most = 0;
    bool endless = true;
    switch (peek(m)) {
    case '*':
        m->at++;
        break;
    case '+':
        m->at++;
        least = 1;
        break;
    case '?':
        m->at++;
        most = 1;
        endless = false;
        break;
    default: {
        enum cv_status st = parse_bounds(m, &least, &most, &endless);
        if (st != CV_OK)
            return st;
    }
    }
    return repeat(m, start, least, most, endless);
}

static bool at_repeat(const struct maker *m)
{
    return more(m) && strchr("*+?{", peek(m)) != NULL;
}

static enum cv_status parse_branch(struct maker *m)
{
    size_t first = m->at;
    while (more(m) && peek(m) != '|' && peek(m) != ')') {
        size_t start = m->n;
        bool anchor;
        enum cv_status st = parse_atom(m, &anchor);
        if (st == CV_OK && !anchor && at_repeat(m))
            st = parse_repeat(m, start);
        if (st != CV_OK)
            return st;
        if (at_repeat(m))
            return refuse(m, "this cannot be repeated (again)");
    }
    return m->at == first ? refuse(m, "something is missing here") : CV_OK;
}

static enum cv_status parse_alternatives(struct maker *m)
{
    size_t jumps[CV_LIMIT_PATTERN];
    size_t n = 0;
    for (;;) {
        size_t start = m->n;
        enum cv_status st = parse_branch(m);
        if (st != CV_OK)
            return st;
        if (peek(m) != '|' || n == CV_LIMIT_PATTERN)
            break;
        m->at++;
        ptrdiff_t len = (ptrdiff_t)(m->n - start);
        st = insert(m, start, CV_PATTERN_SPLIT, 0, 1, len + 2);
        jumps[n++] = m->n;
        if (st == CV_OK)
            st = emit_way(m, CV_PATTERN_JUMP, 0, 0);
        if (st != CV_OK)
            return st;
    }
    while (n > 0) {
        n--;
        m->steps[jumps[n]].x = (int16_t)(m->n - jumps[n]);
    }
    return CV_OK;
}

static enum cv_status finish(const struct maker *m, struct cv_pattern **out)
{
    struct cv_pattern *p = malloc(sizeof(*p) + m->n * sizeof(p->steps[0]));
    uint8_t(*classes)[32] = malloc((m->n_classes + 1) * sizeof(*classes));
    if (p == NULL || classes == NULL) {
        free(p);
        free(classes);
        return cv_fail(m->err, CV_INTERNAL, "no memory for an expression");
    }
    p->n = m->n;
    p->classes = classes;
    memcpy(classes, m->classes, m->n_classes * sizeof(*classes));
    memcpy(p->steps, m->steps, m->n * sizeof(p->steps[0]));
    *out = p;
    return CV_OK;
}

enum cv_status cv_pattern_compile(const char *text, struct cv_pattern **out,
                                  struct cv_err *err)
{
    struct maker m;
    *out = NULL;
    m.text = text;
    m.len = strlen(text);
    m.at = 0;
    m.depth = 0;
    m.err = err;
    m.n = 0;
    m.n_classes = 0;
    if (m.len > CV_LIMIT_PATTERN)
        return cv_fail(err, CV_INVALID, "expression: over %d characters",
                       CV_LIMIT_PATTERN);
    for (; m.at < m.len; m.at++) {
        if (text[m.at] < ' ' || text[m.at] > '~')
            return refuse(&m, "only printable ASCII is taken");
    }
    m.at = 0;
    enum cv_status st = parse_alternatives(&m);
    if (st != CV_OK)
        return st;
    if (more(&m))
        return refuse(&m, "a group is closed that was not opened");
    st = emit_way(&m, CV_PATTERN_DONE, 0, 0);
    return st == CV_OK ? finish(&m, out) : st;
}
