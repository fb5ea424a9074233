/* Finds the rules that may be about a subject and an entry, so that a decision
 * takes as long in a policy of 10,000 rules as in one of ten.
 *
 * A rule is filed under each pair of (one of its subjects, one of its places).
 * A subject is a uid, a gid or everyone. A place is what narrows its entries
 * most: the whole of a name, the part of a glob before its first wildcard, a
 * label with its value; or anywhere. A request looks under each of its own
 * subjects and places. What it finds is compared in full; what it does not
 * find cannot match. */
#ifndef CERTVAULT_POLICY_INDEX_INTERNAL_H
#define CERTVAULT_POLICY_INDEX_INTERNAL_H

#include "policy/policy_internal.h"

/* Files the rules of `policy`, whose all_uids and all_gids are known. NULL when
 * memory is gone. */
struct cv_index *cv_index_new(const struct cv_policy *policy);
void cv_index_free(struct cv_index *index);

/* Calls `visit` with the number of each rule that may match; a rule may come
 * more than once. */
typedef void (*cv_index_visit)(void *arg, uint32_t rule);
void cv_index_look(const struct cv_index *index,
                   const struct cv_decide_subject *subject,
                   const struct cv_decide_entry *entry, cv_index_visit visit,
                   void *arg);

#endif
