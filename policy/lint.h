/* What is wrong with a policy that is well formed: rules that never work, rules
 * that add nothing, rules that give more than somebody is likely to mean.
 *
 * Looked at are rules alone, no users, no entries: a finding holds whatever
 * entries there are. Nothing here reads files. */
#ifndef CERTVAULT_POLICY_LINT_H
#define CERTVAULT_POLICY_LINT_H

#include "policy/policy.h"

/* Findings that are told; the others are counted. */
#define CV_LINT_FINDINGS 1000

/* Looks through a policy. `unknown` (may be NULL) is {"users": [...], "groups":
 * [...], "zones": [...]}: names that nobody has on this host, and time zones
 * that it does not have. Each may be left out. *out, the caller's to delete:
 *     {"items": [{"code", "severity": "error" | "warning" | "info", "line",
 *                 "rule"?, "text", "hint"?}],
 *      "omitted": count, "errors": count, "warnings": count}
 * in the order of the policy. Codes: never, shadowed, redundant, broad,
 * unresolved, lockout. CV_INTERNAL: memory. */
CV_MUST_USE enum cv_status cv_lint_run(const struct cv_policy *policy,
                                       const cJSON *unknown, cJSON **out,
                                       struct cv_err *err);

#endif
