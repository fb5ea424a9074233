#include "vault/audit/record_internal.h"

#include "vault/audit/leaf.h"

#include <sodium.h>
#include <string.h>

#define PREV_LEN 44 /* base64 of a hash */
#define TIME_LEN 20 /* 2026-11-22T05:31:00Z */

bool cv_record_is(struct cv_bytes text, const char *word)
{
    size_t len = strlen(word);

    return text.len == len && memcmp(text.data, word, len) == 0;
}

static struct cv_bytes string_of(const struct cv_record *r, const char *key)
{
    return cv_canon_string(cv_canon_get(&r->all, key));
}

static bool read_prev(const struct cv_record *r, uint8_t out[CV_TREE_HASH])
{
    struct cv_bytes text = string_of(r, "prev");
    size_t len = 0;

    return text.len == PREV_LEN &&
           sodium_base642bin(out, CV_TREE_HASH, (const char *)text.data,
                             text.len, NULL, &len, NULL,
                             sodium_base64_VARIANT_ORIGINAL) == 0 &&
           len == CV_TREE_HASH;
}

/* RFC 3339 in UTC with seconds, so that times compare as texts. */
static bool is_time(struct cv_bytes text)
{
    static const char form[] = "dddd-dd-ddTdd:dd:ddZ";

    if (text.len != TIME_LEN) {
        return false;
    }
    for (size_t i = 0; i < TIME_LEN; i++) {
        uint8_t c = text.data[i];

        if (form[i] == 'd' ? c < '0' || c > '9' : c != (uint8_t)form[i]) {
            return false;
        }
    }
    return true;
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

const char *cv_record_read(struct cv_bytes leaf, struct cv_record *out)
{
    uint64_t version = 0;

    memset(&out->seq, 0, sizeof *out - offsetof(struct cv_record, seq));
    if (!cv_canon_scan(leaf, &out->all)) {
        return "not canonical JSON";
    }
    if (!cv_canon_uint(cv_canon_get(&out->all, "v"), &version) ||
        version != CV_LEAF_VERSION) {
        return "a record version that is not known";
    }
    if (!cv_canon_uint(cv_canon_get(&out->all, "seq"), &out->seq)) {
        return "seq is missing or no number";
    }
    if (!read_prev(out, out->prev)) {
        return "prev is missing or no hash";
    }
    out->op = string_of(out, "op");
    out->phase = string_of(out, "phase");
    out->action = string_of(out, "action");
    out->time = string_of(out, "time");
    out->decision = string_of(out, "decision");
    out->outcome = string_of(out, "outcome");
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
