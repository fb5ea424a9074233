/* What a rule asks for and gives, in words that are the same for rules that are
 * the same. */
#ifndef CERTVAULT_POLICY_COMPARE_INTERNAL_H
#define CERTVAULT_POLICY_COMPARE_INTERNAL_H

#include "policy/rule_internal.h"

/* Appends what must hold beside subject, action, entry and mode; nothing where
 * nothing must. */
void cv_compare_terms_when(const struct cv_rule *rule, struct cv_buf *out);

/* Appends what it gives where that is not the default. */
void cv_compare_terms_grant(const struct cv_rule *rule, struct cv_buf *out);

#endif
