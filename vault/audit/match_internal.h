/* Does a leaf match a filter? The filter's texts are first spelt as a leaf
 * spells them, so that no leaf needs to be decoded. */
#ifndef CERTVAULT_AUDIT_MATCH_INTERNAL_H
#define CERTVAULT_AUDIT_MATCH_INTERNAL_H

#include "vault/audit/query.h"
#include "vault/audit/record_internal.h"
#include "vault/base/clock.h"

struct cv_match {
    struct cv_buf actor; /* spelt, as are these; empty: any */
    struct cv_buf action;
    struct cv_buf entry;
    struct cv_buf entry_id;
    struct cv_buf outcome;
    enum { CV_MATCH_DENY, CV_MATCH_DENIED, CV_MATCH_REFUSED } deny; /* which */
    bool has_uid; /* the actor is a number */
    uint64_t uid;
    char since[CV_CLOCK_TEXT_LEN]; /* "": any */
    char until[CV_CLOCK_TEXT_LEN];
};

/* CV_INVALID: a text that no leaf can hold, a time beyond year 9999. */
CV_MUST_USE enum cv_status cv_match_init(struct cv_match *match,
                                         const struct cv_query_filter *filter,
                                         struct cv_err *err);
void cv_match_wipe(struct cv_match *match);

/* Can these bytes match at all? Cheap: a search for one text. */
bool cv_match_maybe(const struct cv_match *match, struct cv_bytes leaf);

/* Is `text` (as spelt in a leaf) what the filter's text, which may be a glob,
 * says? False where that is empty. */
bool cv_match_like(const struct cv_buf *spelt, struct cv_bytes text);

bool cv_match_record(const struct cv_match *match,
                     const struct cv_record *record);

#endif
