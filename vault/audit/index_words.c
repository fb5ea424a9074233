/* What a leaf is listed under. */
#include "vault/audit/index_internal.h"

#include <string.h>

static const char *const digits = "0123456789abcdef";

bool cv_index_is_release(struct cv_bytes action)
{
    static const char *const words[] = {"use", "sign.raw", "export", "issue"};

    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++) {
        if (cv_record_is(action, words[i])) {
            return true;
        }
    }
    return false;
}

/* FNV-1a, stirred; ops are random. */
struct cv_index_term cv_index_op(struct cv_bytes op)
{
    static char names[CV_INDEX_BUCKETS][2];
    uint64_t h = UINT64_C(0xcbf29ce484222325);
    char *name;

    for (size_t i = 0; i < op.len; i++) {
        h = (h ^ op.data[i]) * UINT64_C(0x100000001b3);
    }
    h ^= h >> 32;
    h *= UINT64_C(0x9e3779b97f4a7c15);
    name = names[h >> 56];
    name[0] = digits[h >> 60];
    name[1] = digits[(h >> 56) & 15];
    return (struct cv_index_term){
        CV_INDEX_OP, {(const uint8_t *)name, 2}, (uint32_t)h};
}

size_t cv_index_terms(const struct cv_record *r,
                      struct cv_index_term terms[CV_INDEX_TERMS])
{
    struct cv_canon actor;
    size_t n = 0;

    terms[n++] = (struct cv_index_term){
        CV_INDEX_ENTRY, cv_canon_string(cv_canon_get(&r->all, "entry")), 0};
    terms[n++] = (struct cv_index_term){
        CV_INDEX_ENTRY_ID, cv_canon_string(cv_canon_get(&r->all, "entry_id")),
        0};
    terms[n++] = (struct cv_index_term){CV_INDEX_ACTION, r->action, 0};
    terms[n++] = (struct cv_index_term){
        CV_INDEX_OUTCOME, r->outcome.len > 0 ? r->outcome : r->decision, 0};
    if (cv_canon_scan(cv_canon_get(&r->all, "actor"), &actor)) {
        terms[n++] = (struct cv_index_term){
            CV_INDEX_USER, cv_canon_string(cv_canon_get(&actor, "user")), 0};
        terms[n++] = (struct cv_index_term){CV_INDEX_UID,
                                            cv_canon_get(&actor, "uid"), 0};
    }
    if (cv_record_is(r->phase, "outcome") && cv_index_is_release(r->action)) {
        terms[n++] = cv_index_op(r->op);
    }
    for (size_t i = 0; i < n;) {
        if (terms[i].text.len == 0) {
            terms[i] = terms[--n];
        } else {
            i++;
        }
    }
    return n;
}
