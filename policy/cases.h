/* `policy test`: a file of cases, each with what it expects.
 *
 *     apiVersion: certvault/v1
 *     kind: PolicyTest
 *     cases:
 *     - {user: alice, groups: [sre], action: use, entry: {name: prod-a,
 *        labels: {env: prod}}, reason: "INC 12", at: 2026-11-23T10:00:00Z,
 *        expect: permit}
 *
 * Further keys of a case: ticket, name (shown), context, mode (service where
 * not given), tty, duration, read_only, anchor_age; of its entry: provenance,
 * leaky. For what rules ask beside conditions: break_glass, approvals ([{user,
 * groups, signed}]), used and sessions ({rule: how often this user used it,
 * within its `per`; how many of its grants live}; 0 where not given). To expect
 * more: offer (the rule that is taken, or waits for approvals), wait (limit,
 * approvals: denied for now only). */
#ifndef CERTVAULT_POLICY_CASES_H
#define CERTVAULT_POLICY_CASES_H

#include "policy/decide.h"

/* Runs them against `policy` (its zones must be set). A case without `at` is at
 * `now_s`. On success *out (the caller deletes it) is
 *
 *     {"total": n, "passed": n, "failed": n,
 *      "items": [{"index": from 1, "line", "name"?, "user", "action", "entry"?,
 *                 "expect", "got", "ok": bool, "offer"?, "wait"?,
 *                 "because"}]}
 *
 * and the status CV_OK, also when cases fail: the caller looks at "failed"
 * (exit code 1). CV_INVALID: the file is not one of cases; place in `notes`.
 * CV_INTERNAL: memory. */
CV_MUST_USE enum cv_status cv_cases_run(const struct cv_policy *policy,
                                        struct cv_bytes text, int64_t now_s,
                                        cJSON **out,
                                        struct cv_policy_notes *notes,
                                        struct cv_err *err);

#endif
