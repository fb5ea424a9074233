/* Why a decision is what it is, for people and for scripts. */
#ifndef CERTVAULT_POLICY_EXPLAIN_H
#define CERTVAULT_POLICY_EXPLAIN_H

#include "policy/decide.h"

/* Rules shown; of a longer policy only those that are about this subject and
 * action, and "omitted" counts the others. */
#define CV_EXPLAIN_RULES 1000

/* Decides and explains. *out is the caller's to delete, NULL on failure:
 *
 *     {"decision": "permit" | "deny",
 *      "offer": "rule name",       where permitted, or waiting for approvals
 *      "condition": "...",            only where the offer has a limit of which
 *                                     it is not known how far it is used
 *      "why": "...", "hint": "...",                    only where denied
 *      "wait": "limit" | "approvals", "retry_after": s,   denied for now only
 *      "rules": [{"name", "effect", "matched": bool, "because",
 *                 "limit": {"count", "per", "used", "sessions", "live"}}],
 *      "obligations": {...},                         {} where nothing is
 * offered "omitted": count}                               only where rules are
 *
 * What request->counts does not know of limits is no reason to deny: where
 * nothing else permits it is taken as not used, and `condition` says so. A
 * rule's `limit` is there where it has one and matches; `used` and `live` only
 * where they are known.
 *
 * Rules are in the order of the policy. CV_INTERNAL: memory. A denial is CV_OK
 * here. */
CV_MUST_USE enum cv_status
cv_explain_make(const struct cv_policy *policy,
                const struct cv_decide_request *request, cJSON **out,
                struct cv_err *err);

/* What a permit obliges to: {"max_duration": seconds, "duration": seconds,
 * "read_only": bool, "record": "writes", "verbs": [...], "namespaces": [...],
 * "resources": [...], "approvals": {"count", "from": {"users"?, "groups"?,
 * "uids"?}, "signed": bool}, "limit": {"count"?, "per"?: seconds, "sessions"?},
 * "break_glass": true}; lists and what follows them only where given. NULL when
 * memory is gone. */
cJSON *cv_explain_obligations(const struct cv_decide_result *result);

/* An explanation as lines of text for a terminal. */
void cv_explain_words(const cJSON *explanation, struct cv_buf *out);

#endif
