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

bool cv_record_is_denied(const struct cv_record *record)
{
    struct cv_bytes error =
        cv_canon_string(cv_canon_get(&record->all, "error"));

    if (!cv_record_is(record->decision, "deny")) {
        return false;
    }
    if (cv_record_is(error, "busy")) {
        return cv_canon_get(&record->all, "rules").len > strlen("[]");
    }
    return error.len == 0 || cv_record_is(error, "denied");
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

/* Of what is no digit, bits beyond the six are set. */
static inline uint32_t digit(uint8_t c)
{
    return six_bits[c] - 1U;
}

/* The one spelling of a hash in base64, in one pass: the record is public, and
 * of a million of them each is read. */
static bool read_prev(struct cv_bytes text, uint8_t out[CV_TREE_HASH])
{
    const uint8_t *p = text.data;
    uint32_t all = 0, a, b, c;

    if (text.len != PREV_LEN || p[PREV_LEN - 1] != '=') {
        return false;
    }
    for (size_t i = 0; i < CV_TREE_HASH / 3; i++, p += 4) {
        uint32_t d = digit(p[3]), bits;

        a = digit(p[0]);
        b = digit(p[1]);
        c = digit(p[2]);
        all |= a | b | c | d;
        bits = a << 18 | b << 12 | c << 6 | d;
        out[3 * i] = (uint8_t)(bits >> 16);
        out[3 * i + 1] = (uint8_t)(bits >> 8);
        out[3 * i + 2] = (uint8_t)bits;
    }
    a = digit(p[0]);
    b = digit(p[1]);
    c = digit(p[2]);
    out[CV_TREE_HASH - 2] = (uint8_t)(a << 2 | b >> 4);
    out[CV_TREE_HASH - 1] = (uint8_t)(b << 4 | c >> 2);
    return (all | a | b | c) < 64 && (c & 3) == 0;
}

/* The members that a record is read for, in the order of their keys. */
enum want {
    ACTION,
    BOOT,
    DECISION,
    MONO_MS,
    OP,
    OUTCOME,
    PHASE,
    PREV,
    SEQ,
    TIME,
    V,
    WANTS
};

/* A key of up to eight bytes as canon_internal.h makes a word of it. */
#define WORD(a, b, c, d, e, f, g, h)                                   \
    ((uint64_t)(a) << 56 | (uint64_t)(b) << 48 | (uint64_t)(c) << 40 | \
     (uint64_t)(d) << 32 | (uint64_t)(e) << 24 | (uint64_t)(f) << 16 | \
     (uint64_t)(g) << 8 | (uint64_t)(h))

/* Both the members and what is wanted are in order: one walk finds all. A key
 * has no NUL, so equal words of up to eight bytes are equal keys; one that is
 * longer comes behind. */
static void find(const struct cv_canon *all, struct cv_bytes found[WANTS])
{
    static const uint64_t wants[WANTS] = {
        [ACTION] = WORD('a', 'c', 't', 'i', 'o', 'n', 0, 0),
        [BOOT] = WORD('b', 'o', 'o', 't', 0, 0, 0, 0),
        [DECISION] = WORD('d', 'e', 'c', 'i', 's', 'i', 'o', 'n'),
        [MONO_MS] = WORD('m', 'o', 'n', 'o', '_', 'm', 's', 0),
        [OP] = WORD('o', 'p', 0, 0, 0, 0, 0, 0),
        [OUTCOME] = WORD('o', 'u', 't', 'c', 'o', 'm', 'e', 0),
        [PHASE] = WORD('p', 'h', 'a', 's', 'e', 0, 0, 0),
        [PREV] = WORD('p', 'r', 'e', 'v', 0, 0, 0, 0),
        [SEQ] = WORD('s', 'e', 'q', 0, 0, 0, 0, 0),
        [TIME] = WORD('t', 'i', 'm', 'e', 0, 0, 0, 0),
        [V] = WORD('v', 0, 0, 0, 0, 0, 0, 0),
    };
    const struct cv_canon_member *m = all->members, *end = m + all->n;

    for (size_t w = 0; w < WANTS; w++) {
        while (m < end && m->word < wants[w]) {
            m++;
        }
        if (m < end && m->word == wants[w] && m->key.len <= 8) {
            found[w] = m->value;
        } else {
            found[w].data = NULL;
            found[w].len = 0;
        }
    }
}

/* Are these eight of that form, where a `0` stands for any digit? By words: a
 * digit's high half is 3, also when 6 is added. */
static bool is_form(const uint8_t *p, const char form[8])
{
    uint64_t text, want, fixed = 0, high;

    memcpy(&text, p, sizeof text);
    memcpy(&want, form, sizeof want);
    for (int i = 0; i < 64; i += 8) {
        fixed |= (want >> i & 0xff) == '0' ? 0 : UINT64_C(0xff) << i;
    }
    high = text & ~fixed & UINT64_C(0xf0f0f0f0f0f0f0f0);
    return (text & fixed) == (want & fixed) &&
           high == (~fixed & UINT64_C(0x3030303030303030)) &&
           (((text & ~fixed & UINT64_C(0x0f0f0f0f0f0f0f0f)) +
             UINT64_C(0x0606060606060606)) &
            UINT64_C(0xf0f0f0f0f0f0f0f0)) == 0;
}

/* RFC 3339 in UTC with seconds, so that times compare as texts. */
static bool is_time(struct cv_bytes text)
{
    return text.len == TIME_LEN && is_form(text.data, "0000-00-") &&
           is_form(text.data + 8, "00T00:00") &&
           is_form(text.data + TIME_LEN - 8, "0:00:00Z");
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

static void take_texts(const struct cv_bytes f[WANTS], struct cv_record *out)
{
    out->op = cv_canon_string(f[OP]);
    out->phase = cv_canon_string(f[PHASE]);
    out->action = cv_canon_string(f[ACTION]);
    out->time = cv_canon_string(f[TIME]);
    out->decision = cv_canon_string(f[DECISION]);
    out->outcome = cv_canon_string(f[OUTCOME]);
    out->boot = cv_canon_string(f[BOOT]);
    out->mono = f[MONO_MS];
}

static void blank(struct cv_record *out)
{
    memset(&out->seq, 0, sizeof *out - offsetof(struct cv_record, seq));
}

const char *cv_record_read(struct cv_bytes leaf, struct cv_record *out)
{
    struct cv_bytes f[WANTS];
    uint64_t version = 0;

    if (!cv_canon_scan(leaf, &out->all)) {
        blank(out);
        return "not canonical JSON";
    }
    find(&out->all, f);
    if (!cv_canon_uint(f[V], &version) || version != CV_LEAF_VERSION) {
        blank(out);
        return "a record version that is not known";
    }
    if (!cv_canon_uint(f[SEQ], &out->seq)) {
        blank(out);
        return "seq is missing or no number";
    }
    if (!read_prev(cv_canon_string(f[PREV]), out->prev)) {
        blank(out);
        return "prev is missing or no hash";
    }
    take_texts(f, out);
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
