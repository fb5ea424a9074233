#include "policy/decide_internal.h"

#include "vault/base/name.h"

#include <string.h>

/* The last second that RFC 3339 can write. */
#define LAST_S INT64_C(253402300799)
#define LONGEST_S (INT64_C(100) * 366 * 86400)

static const char *name_flaw(const struct cv_decide_subject *who)
{
    if (who->user == NULL || who->user[0] == '\0')
        return "the request names no user";
    if (who->n_groups > CV_DECIDE_GROUPS ||
        (who->n_groups > 0 && who->groups == NULL))
        return "the request has too many groups";
    for (size_t i = 0; i < who->n_groups; i++) {
        if (who->groups[i] == NULL)
            return "the request has a group without a name";
    }
    return NULL;
}

/* What stands for nobody is nobody, whatever a policy says: (uid_t)-1, -2, and
 * the number that the kernel shows for a user that it cannot map. Groups that
 * it cannot map are common beside good ones; they match no rule (resolving
 * gives no name that number but nogroup's). */
bool cv_decide_is_somebody(const struct cv_decide_subject *who)
{
    return who->by_name || (who->uid <= CV_POLICY_UID_LAST &&
                            who->uid != CV_POLICY_UID_OVERFLOW);
}

static const char *number_flaw(const struct cv_decide_subject *who)
{
    if (!cv_decide_is_somebody(who))
        return "the caller's uid stands for nobody";
    if (who->gid > CV_POLICY_UID_LAST)
        return "the caller's gid stands for no group";
    if (who->n_gids > CV_DECIDE_GROUPS ||
        (who->n_gids > 0 && who->gids == NULL))
        return "the caller has too many groups";
    for (size_t i = 0; i < who->n_gids; i++) {
        if (who->gids[i] > CV_POLICY_UID_LAST)
            return "the caller has a gid that stands for no group";
    }
    return NULL;
}

const char *cv_decide_entry_flaw(const struct cv_decide_entry *entry,
                                 bool by_name)
{
    if (entry->name == NULL || cv_name_check(entry->name, NULL) != CV_OK)
        return "the entry's name is not a name";
    if (entry->n_labels > CV_LIMIT_LABELS ||
        (entry->n_labels > 0 && (entry->keys == NULL || entry->values == NULL)))
        return "the entry has too many labels";
    for (size_t i = 0; i < entry->n_labels; i++) {
        if (entry->keys[i] == NULL || entry->values[i] == NULL)
            return "the entry has a label without a value";
    }
    if (entry->provenance == NULL)
        return by_name ? NULL : "the key's provenance is not known";
    if (cv_policy_provenance(entry->provenance) == CV_PROVENANCE_NONE)
        return "the key's provenance is none that is known";
    return NULL;
}

static const char *words_flaw(const struct cv_decide_request *r)
{
    if (r->reason != NULL && strlen(r->reason) > CV_LIMIT_REASON)
        return "the reason is too long";
    if (r->ticket != NULL && strlen(r->ticket) > CV_LIMIT_TICKET)
        return "the ticket is too long";
    if (r->n_contexts > CV_LIMIT_CONTEXTS ||
        (r->n_contexts > 0 && r->contexts == NULL))
        return "there are too many contexts";
    for (size_t i = 0; i < r->n_contexts; i++) {
        if (r->contexts[i] == NULL)
            return "there is a context without a name";
    }
    return NULL;
}

const char *cv_decide_approval_flaw(const struct cv_decide_approval *a,
                                    bool by_name)
{
    if (by_name && (a->user == NULL || a->user[0] == '\0'))
        return "an approval names no user";
    if (a->n_gids > CV_DECIDE_GROUPS || a->n_groups > CV_DECIDE_GROUPS ||
        (a->n_gids > 0 && a->gids == NULL) ||
        (a->n_groups > 0 && a->groups == NULL))
        return "an approver has too many groups";
    for (size_t i = 0; i < a->n_groups; i++) {
        if (a->groups[i] == NULL)
            return "an approver has a group without a name";
    }
    return NULL;
}

static const char *approvals_flaw(const struct cv_decide_request *r)
{
    const char *flaw = NULL;
    if (r->n_approvals > CV_DECIDE_APPROVALS_MOST ||
        (r->n_approvals > 0 && r->approvals == NULL))
        return "there are too many approvals";
    for (size_t i = 0; i < r->n_approvals && flaw == NULL; i++)
        flaw = cv_decide_approval_flaw(&r->approvals[i], r->subject.by_name);
    return flaw;
}

const char *cv_decide_flaw(const struct cv_decide_request *r)
{
    if (r->action <= CV_ACTION_NONE || r->action >= CV_ACTION_COUNT)
        return "the action is none that is known";
    const char *flaw =
        r->subject.by_name ? name_flaw(&r->subject) : number_flaw(&r->subject);
    if (flaw == NULL && r->entry != NULL)
        flaw = cv_decide_entry_flaw(r->entry, r->subject.by_name);
    if (flaw == NULL)
        flaw = words_flaw(r);
    if (flaw == NULL)
        flaw = approvals_flaw(r);
    if (flaw != NULL)
        return flaw;
    if (r->mode < CV_DECIDE_MODE_EXEC || r->mode > CV_DECIDE_MODE_SERVICE)
        return "the broker's mode is not known";
    if (r->now_s < 0 || r->now_s > LAST_S)
        return "the time is not known";
    if (r->duration_s < 0 || r->duration_s > LONGEST_S)
        return "the duration makes no sense";
    return NULL;
}
