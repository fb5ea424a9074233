/* Findings, to the word: tests/data/policy/lint.txt. */
#include "policy/lint.h"

#include "tests/unit/policy_blocks.h"

/* Names that nobody has here begin with "no-". */
static void collect_unknown(cJSON *unknown, const cJSON *names,
                            const char *kind)
{
    cJSON *list = cJSON_AddArrayToObject(unknown, kind);
    const cJSON *item;
    cJSON_ArrayForEach(item, cJSON_GetObjectItemCaseSensitive(names, kind))
    {
        if (strncmp(item->valuestring, "no-", 3) == 0)
            assert_true(cJSON_AddItemToArray(
                list, cJSON_CreateString(item->valuestring)));
    }
}

static const char *text_of(const cJSON *item, const char *key)
{
    const char *text =
        cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(item, key));
    return text != NULL ? text : "-";
}

static cJSON *lint(const char *text)
{
    struct cv_policy *policy = NULL;
    struct cv_err err;
    cJSON *out = NULL;
    cv_err_init(&err);
    if (cv_policy_parse(bytes_of(text), &policy, NULL, &err) != CV_OK)
        fail_msg("%s\n%s", err.text, text);
    cJSON *names = cv_policy_names(policy);
    cJSON *unknown = cJSON_CreateObject();
    collect_unknown(unknown, names, "users");
    collect_unknown(unknown, names, "groups");
    assert_true(cv_json_add_item(names, "zones", cv_policy_zones(policy)));
    collect_unknown(unknown, names, "zones");
    assert_int_equal(cv_lint_run(policy, unknown, &out, NULL), CV_OK);
    cJSON_Delete(unknown);
    cJSON_Delete(names);
    cv_policy_free(policy);
    return out;
}

static int count_of(const cJSON *found, const char *key)
{
    const cJSON *item = cJSON_GetObjectItemCaseSensitive(found, key);
    assert_true(cJSON_IsNumber(item));
    return (int)item->valuedouble;
}

static void ask(const char *question, struct cv_buf *answer)
{
    struct cv_buf text;
    const cJSON *item;
    cv_buf_init(&text, NULL, CV_MIB(1));
    cv_buf_add_str(&text, HEAD);
    cv_buf_add_str(&text, question);
    cJSON *found = lint(cv_buf_text(&text));
    cJSON_ArrayForEach(item, cJSON_GetObjectItemCaseSensitive(found, "items"))
    {
        cv_buf_add_format(
            answer, "%d %s %s %s: %s (%s)\n",
            (int)cJSON_GetObjectItemCaseSensitive(item, "line")->valuedouble,
            text_of(item, "severity"), text_of(item, "code"),
            text_of(item, "rule"), text_of(item, "text"),
            text_of(item, "hint"));
    }
    cv_buf_add_format(answer, "%d errors, %d warnings, %d omitted\n",
                      count_of(found, "errors"), count_of(found, "warnings"),
                      count_of(found, "omitted"));
    cJSON_Delete(found);
    cv_buf_wipe(&text);
}

static void finds_to_the_word(void **state)
{
    (void)state;
    blocks_ask("lint.txt", 40, ask);
}

/* `n` rules that all say the same; the last is about an export. */
static char *many(size_t n)
{
    struct cv_buf text;
    cv_buf_init(&text, NULL, CV_MIB(4));
    cv_buf_add_str(&text, HEAD);
    for (size_t i = 0; i < n; i++)
        cv_buf_add_format(&text,
                          "- {name: r%zu, effect: permit, subjects: {uids: "
                          "[%zu]}, actions: [policy.apply]}\n",
                          i, i == n - 1 ? 1 : i + 1);
    char *copy = strdup(cv_buf_text(&text));
    cv_buf_wipe(&text);
    return copy;
}

/* Rules are held against the first thousand, and that is said. */
static void looks_at_so_many(void **state)
{
    static const struct {
        size_t rules, items;
    } sizes[] = {{999, 1}, {1000, 1}, {1001, 2}};
    (void)state;
    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        char *text = many(sizes[i].rules);
        cJSON *found = lint(text);
        const cJSON *items = cJSON_GetObjectItemCaseSensitive(found, "items");
        const cJSON *first = cJSON_GetArrayItem(items, 0);
        const cJSON *last = cJSON_GetArrayItem(items, (int)sizes[i].items - 1);
        assert_int_equal(cJSON_GetArraySize(items), sizes[i].items);
        assert_string_equal(text_of(first, "text"),
                            "rule \"r0\" (line 5) permits all of this already");
        if (sizes[i].items == 2)
            assert_string_equal(text_of(last, "text"),
                                "rules were held against the first 1000 alone");
        cJSON_Delete(found);
        free(text);
    }
}

/* Beyond a thousand findings are counted alone. */
static void tells_so_many(void **state)
{
    struct cv_buf text;
    (void)state;
    cv_buf_init(&text, NULL, CV_MIB(4));
    cv_buf_add_str(&text, HEAD);
    for (size_t i = 0; i < 1002; i++)
        cv_buf_add_format(&text,
                          "- {name: r%zu, effect: forbid, subjects: {uids: "
                          "[%zu]}, actions: [admin], entries: {names: [a]}}\n",
                          i, i + 1);
    cJSON *found = lint(cv_buf_text(&text));
    const cJSON *items = cJSON_GetObjectItemCaseSensitive(found, "items");
    assert_int_equal(cJSON_GetArraySize(items), CV_LINT_FINDINGS);
    assert_int_equal(count_of(found, "errors"), 1003);
    assert_int_equal(count_of(found, "warnings"), 0);
    assert_int_equal(count_of(found, "omitted"), 4);
    cJSON_Delete(found);
    cv_buf_wipe(&text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(finds_to_the_word),
        cmocka_unit_test(looks_at_so_many),
        cmocka_unit_test(tells_so_many),
    };
    return cmocka_run_group_tests(tests, start, NULL);
}
