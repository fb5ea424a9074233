/* The fixed list of what can be asked for (docs/policy.md, "Actions"). */
#ifndef CERTVAULT_POLICY_ACTION_H
#define CERTVAULT_POLICY_ACTION_H

#include <stddef.h>
#include <stdint.h>

/* The numbers are not stored anywhere: words are. */
enum cv_action {
    CV_ACTION_NONE = 0, /* no action: never permitted */
    CV_ACTION_FETCH,
    CV_ACTION_FETCH_SERVICE,
    CV_ACTION_IMPORT,
    CV_ACTION_LIST,
    CV_ACTION_SHOW,
    CV_ACTION_USE,
    CV_ACTION_SIGN_RAW,
    CV_ACTION_EXPORT,
    CV_ACTION_ISSUE,
    CV_ACTION_RENEW,
    CV_ACTION_ROTATE,
    CV_ACTION_REVOKE,
    CV_ACTION_REMOVE,
    CV_ACTION_EDIT,
    CV_ACTION_APPROVE,
    CV_ACTION_AUDIT_READ,
    CV_ACTION_POLICY_READ,
    CV_ACTION_POLICY_APPLY,
    CV_ACTION_ADMIN,
    CV_ACTION_COUNT
};

/* The word of an action ("audit.read"), a literal; "none" for anything that is
 * not an action. */
const char *cv_action_name(enum cv_action action);

/* And back: CV_ACTION_NONE for NULL or a word that is none of them ("*" is a
 * policy's, not an action). */
enum cv_action cv_action_from_name(const char *word);

#endif
