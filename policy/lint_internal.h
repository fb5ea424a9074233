/* Does one rule cover another? */
#ifndef CERTVAULT_POLICY_LINT_INTERNAL_H
#define CERTVAULT_POLICY_LINT_INTERNAL_H

#include "policy/policy_internal.h"

/* Does every text that glob `a` matches match glob `b` too? Never says so where
 * it is not; may miss it in odd cases ("?*" and "*?" are the same). */
bool cv_lint_cover_glob(const char *a, const char *b);

/* Is whatever `a` is about (subjects, actions, entries) something that `b` is
 * about? Never says so where it is not. */
bool cv_lint_cover_scope(const struct cv_rule *a, const struct cv_rule *b);

/* Gives the permit `b` at least what `a` gives, once both match? */
bool cv_lint_cover_grant(const struct cv_rule *a, const struct cv_rule *b);

#endif
