/* The members of a leaf that the log itself goes by. */
#ifndef CERTVAULT_AUDIT_RECORD_INTERNAL_H
#define CERTVAULT_AUDIT_RECORD_INTERNAL_H

#include "vault/audit/canon_internal.h"
#include "vault/audit/tree.h"

/* Texts are borrowed from the leaf, as spelt there; len 0: not there. */
struct cv_record {
    struct cv_canon all;
    uint64_t seq;
    uint8_t prev[CV_TREE_HASH];
    struct cv_bytes op;
    struct cv_bytes phase;
    struct cv_bytes action;
    struct cv_bytes time;
    struct cv_bytes decision;
    struct cv_bytes outcome;
    struct cv_bytes boot;
    struct cv_bytes mono; /* the number */
};

/* Reads a leaf. NULL when all is well; else what is wrong, a literal: its form
 * is not canonical, its version not known, a member missing or of a wrong
 * type. */
const char *cv_record_read(struct cv_bytes leaf, struct cv_record *out);

/* As cv_record_read, and that it is leaf `seq` and follows the one whose hash
 * is `prev` (NULL: not looked at). */
const char *cv_record_follow(struct cv_bytes leaf, uint64_t seq,
                             const uint8_t prev[CV_TREE_HASH],
                             struct cv_record *out);

/* A decision that policy or a freeze denied. What was refused for another
 * reason (a name that is not there, or is taken) is a `deny` too, and no
 * denial: its `error` is another word. `busy` is policy's where it names its
 * rules: approvals are missing, or a limit is reached. */
bool cv_record_is_denied(const struct cv_record *record);

/* Is the text (as spelt) this word? */
bool cv_record_is(struct cv_bytes text, const char *word);

#endif
