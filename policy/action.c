#include "policy/action.h"

#include <string.h>

static const char *const names[CV_ACTION_COUNT] = {
    [CV_ACTION_NONE] = "none",
    [CV_ACTION_FETCH] = "fetch",
    [CV_ACTION_FETCH_SERVICE] = "fetch.service",
    [CV_ACTION_IMPORT] = "import",
    [CV_ACTION_LIST] = "list",
    [CV_ACTION_SHOW] = "show",
    [CV_ACTION_USE] = "use",
    [CV_ACTION_SIGN_RAW] = "sign.raw",
    [CV_ACTION_EXPORT] = "export",
    [CV_ACTION_ISSUE] = "issue",
    [CV_ACTION_RENEW] = "renew",
    [CV_ACTION_ROTATE] = "rotate",
    [CV_ACTION_REVOKE] = "revoke",
    [CV_ACTION_REMOVE] = "remove",
    [CV_ACTION_EDIT] = "edit",
    [CV_ACTION_APPROVE] = "approve",
    [CV_ACTION_AUDIT_READ] = "audit.read",
    [CV_ACTION_POLICY_READ] = "policy.read",
    [CV_ACTION_POLICY_APPLY] = "policy.apply",
    [CV_ACTION_ADMIN] = "admin",
};

const char *cv_action_name(enum cv_action action)
{
    if ((unsigned)action >= CV_ACTION_COUNT)
        return names[CV_ACTION_NONE];
    return names[action];
}

enum cv_action cv_action_from_name(const char *word)
{
    for (unsigned a = 1; word != NULL && a < CV_ACTION_COUNT; a++) {
        if (strcmp(names[a], word) == 0)
            return (enum cv_action)a;
    }
    return CV_ACTION_NONE;
}
