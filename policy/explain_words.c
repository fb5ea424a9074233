#include "policy/explain.h"

static const char *text_of(const cJSON *o, const char *key)
{
    const cJSON *item = cJSON_GetObjectItemCaseSensitive(o, key);
    return cJSON_IsString(item) ? item->valuestring : NULL;
}

static void say_rule(const cJSON *rule, struct cv_buf *out)
{
    const char *name = text_of(rule, "name");
    const char *effect = text_of(rule, "effect");
    const char *because = text_of(rule, "because");
    bool matched =
        cJSON_IsTrue(cJSON_GetObjectItemCaseSensitive(rule, "matched"));
    if (name == NULL || effect == NULL || because == NULL)
        return;
    cv_buf_add_format(out, "  %s %s %s: %s\n", matched ? "*" : "-", effect,
                      name, because);
}

static void say_obligations(const cJSON *o, struct cv_buf *out)
{
    const cJSON *item;
    cJSON_ArrayForEach(item, o)
    {
        cv_buf_add_format(out, "  %s: ", item->string);
        if (cJSON_IsNumber(item))
            cv_buf_add_format(out, "%.0f s", item->valuedouble);
        else if (!cJSON_IsString(item))
            cv_json_write(item, CV_JSON_COMPACT, out);
        else
            cv_buf_add_str(out, item->valuestring);
        cv_buf_add_char(out, '\n');
    }
}

void cv_explain_words(const cJSON *explanation, struct cv_buf *out)
{
    const char *decision = text_of(explanation, "decision");
    const char *offer = text_of(explanation, "offer");
    const char *why = text_of(explanation, "why");
    const char *hint = text_of(explanation, "hint");
    const char *condition = text_of(explanation, "condition");
    const cJSON *obligations =
        cJSON_GetObjectItemCaseSensitive(explanation, "obligations");
    const cJSON *omitted =
        cJSON_GetObjectItemCaseSensitive(explanation, "omitted");
    const cJSON *rule;
    cv_buf_add_str(out, decision != NULL ? decision : "deny");
    if (offer != NULL && why == NULL)
        cv_buf_add_format(out, " by rule %s", offer);
    if (condition != NULL && why == NULL)
        cv_buf_add_format(out, ", if %s", condition);
    if (why != NULL)
        cv_buf_add_format(out, ": %s", why);
    cv_buf_add_char(out, '\n');
    if (hint != NULL)
        cv_buf_add_format(out, "hint: %s\n", hint);
    cv_buf_add_str(out, "rules (* matches):\n");
    cJSON_ArrayForEach(rule,
                       cJSON_GetObjectItemCaseSensitive(explanation, "rules"))
        say_rule(rule, out);
    if (cJSON_IsNumber(omitted))
        cv_buf_add_format(out, "  and %.0f that are about others\n",
                          omitted->valuedouble);
    if (cJSON_IsObject(obligations) && obligations->child != NULL) {
        cv_buf_add_str(out, why == NULL ? "granted:\n" : "would be granted:\n");
        say_obligations(obligations, out);
    }
}
