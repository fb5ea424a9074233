#include "vault/audit/record_internal.h"

#include "vault/audit/leaf.h"

#include <string.h>

#define PREV_LEN 44 /* base64 of a hash */
#define TIME_LEN 20 /* 2026-11-22T05:31:00Z */

bool cv_record_is(struct cv_bytes text, const char *word)
{
    size_t len = strlen(word);

    return text.len == len && memcmp(text.data, word, len) == 0;
}

/* What a digit of base64 stands for, and one; 0: it is none. */
/* clang-format off */
static const uint8_t six_bits[256] = {
    ['A'] = 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18,
    19, 20, 21, 22, 23, 24, 25, 26,
    ['a'] = 27, 28, 29, 30, 31, 32, 33, 34, 35, 36, 37, 38, 39, 40, 41, 42,
    43, 44, 45, 46, 47, 48, 49, 50, 51, 52,
    ['0'] = 53, 54, 55, 56, 57, 58, 59, 60, 61, 62,
    ['+'] = 63, ['/'] = 64};
/* clang-format on */

/* The one spelling of a hash in base64, in one pass: the record is public, and
 * of a million of them each is read. */
static bool read_prev(struct cv_bytes text, uint8_t out[CV_TREE_HASH])
{
    const uint8_t *p = text.data;
    unsigned bad = 0;
    uint32_t bits;

    if (text.len != PREV_LEN || p[PREV_LEN - 1] != '=') {
        return false;
    }
    for (size_t i = 0; i < CV_TREE_HASH / 3; i++, p += 4) {
        uint8_t a = six_bits[p[0]], b = six_bits[p[1]], c = six_bits[p[2]],
                d = six_bits[p[3]];

        bad |= (a == 0) | (b == 0) | (c == 0) | (d == 0);
        bits = (a - 1U) << 18 | (b - 1U) << 12 | (c - 1U) << 6 | (d - 1U);
        out[3 * i] = (uint8_t)(bits >> 16);
        out[3 * i + 1] = (uint8_t)(bits >> 8);
        out[3 * i + 2] = (uint8_t)bits;
    }
    bad |=
        (six_bits[p[0]] == 0) | (six_bits[p[1]] == 0) | (six_bits[p[2]] == 0);
    bits = (six_bits[p[0]] - 1U) << 12 | (six_bits[p[1]] - 1U) << 6 |
           (six_bits[p[2]] - 1U);
    out[CV_TREE_HASH - 2] = (uint8_t)(bits >> 10);
    out[CV_TREE_HASH - 1] = (uint8_t)(bits >> 2);
    return bad == 0 && (bits & 3) == 0;
}

/* Values of the members that a record is read for. */
struct found {
    struct cv_bytes action, boot, decision, mono_ms, op, outcome, phase, prev,
        seq, time, v;
};

/* A key of up to eight bytes as canon_internal.h makes a word of it. */
#define WORD(a, b, c, d, e, f, g, h)                                   \
    ((uint64_t)(a) << 56 | (uint64_t)(b) << 48 | (uint64_t)(c) << 40 | \
     (uint64_t)(d) << 32 | (uint64_t)(e) << 24 | (uint64_t)(f) << 16 | \
     (uint64_t)(g) << 8 | (uint64_t)(h))
#define WANT(member, ...)                                 \
    {                                                     \
        WORD(__VA_ARGS__), offsetof(struct found, member) \
    }

/* Both the members and what is wanted are in order: one walk finds all. A key
 * has no NUL, so equal words of up to eight bytes are equal keys. */
static void find(const struct cv_canon *all, struct found *out)
{
    /* clang-format off */
    static const struct {
        uint64_t word;
        size_t offset;
    } wants[] = {
        WANT(action, 'a', 'c', 't', 'i', 'o', 'n', 0, 0),
        WANT(boot, 'b', 'o', 'o', 't', 0, 0, 0, 0),
        WANT(decision, 'd', 'e', 'c', 'i', 's', 'i', 'o', 'n'),
        WANT(mono_ms, 'm', 'o', 'n', 'o', '_', 'm', 's', 0),
        WANT(op, 'o', 'p', 0, 0, 0, 0, 0, 0),
        WANT(outcome, 'o', 'u', 't', 'c', 'o', 'm', 'e', 0),
        WANT(phase, 'p', 'h', 'a', 's', 'e', 0, 0, 0),
        WANT(prev, 'p', 'r', 'e', 'v', 0, 0, 0, 0),
        WANT(seq, 's', 'e', 'q', 0, 0, 0, 0, 0),
        WANT(time, 't', 'i', 'm', 'e', 0, 0, 0, 0),
        WANT(v, 'v', 0, 0, 0, 0, 0, 0, 0),
    };
    /* clang-format on */
    const size_t n = sizeof wants / sizeof wants[0];
    size_t w = 0;

    memset(out, 0, sizeof *out);
    for (size_t i = 0; i < all->n && w < n; i++) {
        const struct cv_canon_member *m = &all->members[i];

        while (w < n && wants[w].word < m->word) {
            w++;
        }
        if (w < n && wants[w].word == m->word && m->key.len <= 8) {
            memcpy((char *)out + wants[w++].offset, &m->value, sizeof m->value);
        }
    }
}

/* RFC 3339 in UTC with seconds, so that times compare as texts. */
static bool is_time(struct cv_bytes text)
{
    static const char form[] = "dddd-dd-ddTdd:dd:ddZ";
    unsigned bad = 0;

    if (text.len != TIME_LEN) {
        return false;
    }
    for (size_t i = 0; i < TIME_LEN; i++) {
        uint8_t c = text.data[i];

        bad |= form[i] == 'd' ? (uint8_t)(c - '0') > 9 : c != (uint8_t)form[i];
    }
    return bad == 0;
}

/* What must be there in each phase. */
static const char *check_phase(const struct cv_record *r)
{
    if (cv_record_is(r->phase, "decision")) {
        return cv_record_is(r->decision, "permit") ||
                       cv_record_is(r->decision, "deny")
                   ? NULL
                   : "a decision that is neither permit nor deny";
    }
    if (cv_record_is(r->phase, "outcome")) {
        return r->outcome.len > 0 ? NULL : "an outcome without outcome";
    }
    return cv_record_is(r->phase, "event") ? NULL : "phase is not known";
}

static void take_texts(const struct found *f, struct cv_record *out)
{
    out->op = cv_canon_string(f->op);
    out->phase = cv_canon_string(f->phase);
    out->action = cv_canon_string(f->action);
    out->time = cv_canon_string(f->time);
    out->decision = cv_canon_string(f->decision);
    out->outcome = cv_canon_string(f->outcome);
    out->boot = cv_canon_string(f->boot);
    out->mono = f->mono_ms;
}

const char *cv_record_read(struct cv_bytes leaf, struct cv_record *out)
{
    struct found f;
    uint64_t version = 0;

    memset(&out->seq, 0, sizeof *out - offsetof(struct cv_record, seq));
    if (!cv_canon_scan(leaf, &out->all)) {
        return "not canonical JSON";
    }
    find(&out->all, &f);
    if (!cv_canon_uint(f.v, &version) || version != CV_LEAF_VERSION) {
        return "a record version that is not known";
    }
    if (!cv_canon_uint(f.seq, &out->seq)) {
        return "seq is missing or no number";
    }
    if (!read_prev(cv_canon_string(f.prev), out->prev)) {
        return "prev is missing or no hash";
    }
    take_texts(&f, out);
    if (out->op.len == 0 || out->action.len == 0) {
        return "op or action is missing";
    }
    if (!is_time(out->time)) {
        return "time is missing or no time";
    }
    return check_phase(out);
}

const char *cv_record_follow(struct cv_bytes leaf, uint64_t seq,
                             const uint8_t prev[CV_TREE_HASH],
                             struct cv_record *out)
{
    const char *wrong = cv_record_read(leaf, out);

    if (wrong != NULL) {
        return wrong;
    }
    if (out->seq != seq) {
        return "seq is not its place in the log";
    }
    if (prev != NULL && memcmp(out->prev, prev, CV_TREE_HASH) != 0) {
        return "prev is not the hash of the record before it";
    }
    return NULL;
}
