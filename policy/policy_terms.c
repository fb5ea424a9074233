#include "policy/policy_internal.h"

unsigned cv_policy_uses(const struct cv_policy *policy)
{
    return policy->uses;
}

int64_t cv_policy_anchor_age(const struct cv_policy *policy)
{
    return policy->anchor_age_s;
}

int64_t cv_policy_longest_per_s(const struct cv_policy *policy)
{
    return policy->longest_per_s;
}

const struct cv_rule *cv_policy_permit(const struct cv_policy *policy,
                                       const char *name)
{
    size_t at =
        name != NULL ? cv_pool_find(&policy->names, name) : CV_TEXTS_NONE;
    /* Rules are numbered as their names are. */
    if (at == CV_TEXTS_NONE || policy->rules[at].forbid)
        return NULL;
    return &policy->rules[at];
}

const struct cv_policy_limit *cv_policy_limit_of(const struct cv_policy *policy,
                                                 const char *rule)
{
    const struct cv_rule *r = cv_policy_permit(policy, rule);
    return r != NULL ? &r->limit : NULL;
}

const struct cv_policy_require *
cv_policy_require_of(const struct cv_policy *policy, const char *rule)
{
    const struct cv_rule *r = cv_policy_permit(policy, rule);
    return r != NULL ? &r->require : NULL;
}

size_t cv_policy_keys(const struct cv_policy *policy, uid_t uid,
                      const struct cv_policy_key **out)
{
    *out = NULL;
    for (size_t i = 0; policy->resolved && i < policy->n_signers; i++) {
        const struct cv_signer *s = &policy->signers[i];
        if (s->known && s->uid == uid) {
            *out = &policy->keys[s->first];
            return s->n;
        }
    }
    return 0;
}
