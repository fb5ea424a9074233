#include "policy/decide_internal.h"
#include "policy/offer_internal.h"

#include <string.h>

enum cv_status cv_decide_status(enum cv_decide_cause cause)
{
    switch (cause) {
    case CV_DECIDE_PERMITTED:
        return CV_OK;
    case CV_DECIDE_LIMITED:
    case CV_DECIDE_APPROVALS:
        return CV_BUSY;
    default:
        return CV_DENIED;
    }
}

/* "to export prod-a" */
static void say_request(const struct cv_decide_request *r, struct cv_buf *out)
{
    char shown[CV_LIMIT_NAME + 1];
    cv_buf_add_str(out, cv_action_name(r->action));
    if (r->entry == NULL || r->entry->name == NULL)
        return;
    cv_err_quote(shown, sizeof(shown), r->entry->name, strlen(r->entry->name));
    cv_buf_add_format(out, " of \"%s\"", shown);
}

static void say_rules(const struct cv_decide_result *result, struct cv_buf *out)
{
    cv_buf_add_str(out, result->n_rules == 1 ? "rule" : "rules");
    for (size_t i = 0; i < result->n_rules && i < 3; i++)
        cv_buf_add_format(out, "%s \"%s\"", i > 0 ? "," : "", result->rules[i]);
    if (result->n_rules > 3)
        cv_buf_add_format(out, " and others");
}

static void unmet(const struct cv_decide_result *result, const char *what,
                  struct cv_err *err)
{
    struct cv_buf words;
    cv_buf_init(&words, NULL, CV_KIB(4));
    cv_rule_words(result->near, result->failed, &words);
    (void)cv_fail(err, CV_DENIED, "%s is denied: %s (rule \"%s\")", what,
                  cv_buf_text(&words), result->near->name);
    cv_buf_wipe(&words);
    cv_rule_advice(result->near, result->failed, &words);
    cv_err_hint(err, "%s", cv_buf_text(&words));
    cv_buf_wipe(&words);
}

/* What does not wait for anybody. */
static void say_glass(const struct cv_decide_result *result, struct cv_buf *out)
{
    if (result->glass_there)
        cv_buf_add_str(out, "in an emergency --break-glass with --reason goes "
                            "ahead and is told at once; ");
}

/* Limits and approvals. */
static void not_now(const struct cv_decide_request *request,
                    const struct cv_decide_result *result, const char *what,
                    struct cv_err *err)
{
    struct cv_buf words;
    struct cv_buf advice;
    struct cv_offer_facts facts;
    cv_buf_init(&words, NULL, CV_KIB(64));
    cv_buf_init(&advice, NULL, CV_MIB(1));
    cv_offer_look(result->near, request, &facts);
    if (result->cause == CV_DECIDE_APPROVALS) {
        cv_buf_add_str(&advice, "--wait waits for them; ");
        say_glass(result, &advice);
        cv_offer_approval_words(result->near, result->approvals_had, &words);
        cv_offer_approval_advice(result->near, &advice);
    } else {
        cv_offer_limit_words(result->near, &facts, &words);
        say_glass(result, &advice);
        cv_offer_limit_advice(&facts, &advice);
    }
    (void)cv_fail(err, CV_BUSY, "%s must wait: %s (rule \"%s\")", what,
                  cv_buf_text(&words), result->near->name);
    err->retry_after_s = (double)result->retry_s;
    cv_err_hint(err, "%s", cv_buf_text(&advice));
    cv_buf_wipe(&words);
    cv_buf_wipe(&advice);
}

/* Who may not read the policy is sent to nobody who would show it. */
static void say_where(const struct cv_decide_request *request, const char *then,
                      struct cv_err *err)
{
    if (request->action == CV_ACTION_POLICY_READ) {
        cv_err_hint(err, "%s",
                    then[0] != '\0' ? then
                                    : "who may apply a policy can change that");
    } else {
        cv_err_hint(err, "`certvault policy explain` shows the rules%s%s",
                    then[0] != '\0' ? "; " : "", then);
    }
}

enum cv_status cv_decide_words(const struct cv_decide_request *request,
                               const struct cv_decide_result *result,
                               struct cv_err *err)
{
    struct cv_buf what;
    struct cv_buf rules;
    cv_buf_init(&what, NULL, CV_KIB(1));
    cv_buf_init(&rules, NULL, CV_KIB(1));
    say_request(request, &what);
    switch (result->cause) {
    case CV_DECIDE_FORBIDDEN:
        say_rules(result, &rules);
        (void)cv_fail(err, CV_DENIED, "%s is forbidden by %s",
                      cv_buf_text(&what), cv_buf_text(&rules));
        say_where(request, "", err);
        break;
    case CV_DECIDE_UNMET:
        unmet(result, cv_buf_text(&what), err);
        break;
    case CV_DECIDE_LIMITED:
    case CV_DECIDE_APPROVALS:
        not_now(request, result, cv_buf_text(&what), err);
        break;
    case CV_DECIDE_NO_COUNTS:
        (void)cv_fail(err, CV_DENIED,
                      "%s is denied: how often rule \"%s\" was used is not "
                      "known",
                      cv_buf_text(&what), result->near->name);
        break;
    case CV_DECIDE_BAD_INPUT:
        (void)cv_fail(err, CV_DENIED, "%s is denied: %s", cv_buf_text(&what),
                      result->what);
        break;
    case CV_DECIDE_NOT_READY:
        (void)cv_fail(err, CV_DENIED,
                      "%s is denied: the policy's names and time zones are not "
                      "resolved",
                      cv_buf_text(&what));
        cv_err_hint(err, "apply the policy again");
        break;
    default:
        (void)cv_fail(err, CV_DENIED, "no rule permits %s", cv_buf_text(&what));
        say_where(request, "who may apply a policy can add one", err);
        break;
    }
    cv_buf_wipe(&what);
    cv_buf_wipe(&rules);
    return cv_decide_status(result->cause);
}
