/* Who may do what at all: a policy looked at as a whole, not for one request.
 *
 * A decision (decide.h) is about one moment: this reason, this ticket, this
 * hour. A review asks another question: could alice ever export prod-a, and on
 * what terms? Here rules are matched by subject, action, entry and mode alone;
 * whatever else they ask for is kept as the terms of the answer. So two
 * policies compare without guessing at reasons and hours, and no rule is missed
 * that works on Sundays only.
 *
 *     cv_compare_new     a policy that is resolved, and how the broker runs
 *     cv_compare_look    who, and with which entry ...
 *     cv_compare_may     ... may do this? Then, of that answer:
 *     cv_compare_rules, cv_compare_words, cv_compare_same
 *
 * Nothing here reads files or clocks. A struct cv_compare belongs to one
 * thread; its policy must outlive it. */
#ifndef CERTVAULT_POLICY_COMPARE_H
#define CERTVAULT_POLICY_COMPARE_H

#include "policy/decide.h"

#include "vault/base/buf.h"

enum cv_compare_may {
    CV_COMPARE_NO = 0,
    CV_COMPARE_IF, /* on terms: a reason, some hours, an approval, a limit */
    CV_COMPARE_YES
};

/* "no", "if", "yes". */
const char *cv_compare_may_name(enum cv_compare_may may);

struct cv_compare;

/* CV_INVALID: the policy is not resolved. CV_INTERNAL: memory. *out is NULL on
 * failure. */
CV_MUST_USE enum cv_status cv_compare_new(const struct cv_policy *policy,
                                          enum cv_decide_mode mode,
                                          struct cv_compare **out,
                                          struct cv_err *err);

/* NULL is fine. */
void cv_compare_free(struct cv_compare *c);

/* Who is asked about (by number, not by_name) and with which entry (NULL: an
 * action without one). Borrowed until the next look. */
void cv_compare_look(struct cv_compare *c, const struct cv_decide_subject *who,
                     const struct cv_decide_entry *entry);

/* May who was looked for do this? Allocates nothing. */
enum cv_compare_may cv_compare_may(struct cv_compare *c, enum cv_action action);

/* The names of the rules that the last answer rests on: offers and conditional
 * forbids, or the forbids that forbid always. Borrowed from the policy; returns
 * how many of them there are, of which the first `max` are put into `names`. */
size_t cv_compare_rules(const struct cv_compare *c, const char **names,
                        size_t max);

/* Appends the terms of the last answer: "with a reason, 08:00-18:00 UTC; or
 * 2 approvals of leads, at most 2h". Nothing where there are none. */
void cv_compare_words(const struct cv_compare *c, struct cv_buf *out);

/* Did both (about two policies) answer the same, terms included? Names of rules
 * do not count. */
bool cv_compare_same(const struct cv_compare *a, const struct cv_compare *b);

/* A number that no rule of these policies mentions as a uid or gid: stands for
 * anybody else. `policies` are resolved. */
uint32_t cv_compare_nobody(const struct cv_policy *const *policies, size_t n);

/* The uids and gids that rules mention, each once and rising. `out` has room
 * for `max`; returns how many there are, max + 1 where they are more. */
size_t cv_compare_uids(const struct cv_policy *policy, uid_t *out, size_t max);
size_t cv_compare_gids(const struct cv_policy *policy, gid_t *out, size_t max);

/* Which rules are new, gone or not as they were: texts of two policies that
 * cv_policy_parse took. *out (the caller's to delete) is
 *     {"added": [name...], "removed": [...], "changed": [...]}
 * in the order of the texts. The same list in another order is a change; where
 * a rule stands is none. CV_INVALID, CV_INTERNAL. */
CV_MUST_USE enum cv_status cv_compare_texts(struct cv_bytes old,
                                            struct cv_bytes new, cJSON **out,
                                            struct cv_err *err);

#endif
