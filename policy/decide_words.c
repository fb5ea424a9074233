#include "policy/decide_internal.h"

#include <string.h>

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
    if (words.len > 0)
        cv_err_hint(err, "%s", cv_buf_text(&words));
    cv_buf_wipe(&words);
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
        cv_err_hint(err, "`certvault policy explain` shows the rules");
        break;
    case CV_DECIDE_UNMET:
        unmet(result, cv_buf_text(&what), err);
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
        cv_err_hint(err, "`certvault policy explain` shows the rules; who may "
                         "apply a policy can add one");
        break;
    }
    cv_buf_wipe(&what);
    cv_buf_wipe(&rules);
    return CV_DENIED;
}
