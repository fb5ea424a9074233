/* `policy test`, to the word: tests/data/policy/cases.txt. */
#include "tests/unit/policy_blocks.h"

/* 127 characters. */
#define TEN "abcdefghij"
#define LONG TEN TEN TEN TEN TEN TEN TEN TEN TEN TEN TEN TEN "klmnopq"

static const char rules[] = HEAD
    "- {name: plain, effect: permit, subjects: {users: [alice]}, actions: "
    "[use, show], entries: {names: [\"prod-*\"]}}\n"
    "- {name: label, effect: permit, subjects: {users: [carol]}, actions: "
    "[show], entries: {labels: {env: prod}}}\n"
    "- {name: group, effect: permit, subjects: {groups: [sre]}, actions: "
    "[use]}\n"
    "- {name: born, effect: permit, subjects: {users: [erin]}, actions: "
    "[export], entries: {provenance: [born]}}\n"
    "- {name: leak, effect: permit, subjects: {users: [erin]}, actions: "
    "[import], entries: {leaky: true}}\n"
    "- {name: limited, effect: permit, subjects: {users: [frank]}, actions: "
    "[use], limit: {count: 5, per: 1h, sessions: 2}}\n"
    "- {name: consent, effect: permit, subjects: {users: [gina]}, actions: "
    "[use], require: {approvals: {count: 2, from: {groups: [leads]}, signed: "
    "true}}}\n"
    "- {name: glass, effect: permit, subjects: {users: [hal]}, actions: [use], "
    "break_glass: true}\n"
    "- {name: usual, effect: permit, subjects: {users: [hal]}, actions: [use], "
    "when: {ticket: x}}\n"
    "- {name: terms, effect: permit, subjects: {users: [ina]}, actions: [use], "
    "when: {reason: required, ticket: \"OPS-[0-9]+\", hours: \"08:00-18:00\", "
    "days: [mon], timezone: Europe/Berlin, contexts: [internal], mode: "
    "[agent], tty: required}, grant: {max_duration: 2h}}\n"
    "- {name: " LONG ", effect: permit, subjects: {users: [kim]}, actions: "
    "[use]}\n"
    "- {name: anchored, effect: permit, subjects: {users: [jan]}, actions: "
    "[use], when: {anchor_age: 1h}}\n"
    "- {name: lister, effect: permit, subjects: {users: [lena]}, actions: "
    "[list], entries: {names: [\"prod-*\"]}}\n"
    "- {name: no, effect: forbid, subjects: {users: [bob]}, actions: "
    "[\"*\"]}\n";

static struct cv_policy *policy;

static void add_text(struct cv_buf *out, const cJSON *item, const char *key)
{
    const char *text =
        cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(item, key));
    if (text != NULL)
        cv_buf_add_format(out, " %s=%s", key, text);
}

static int number_of(const cJSON *o, const char *key)
{
    const cJSON *item = cJSON_GetObjectItemCaseSensitive(o, key);
    assert_true(cJSON_IsNumber(item));
    return (int)item->valuedouble;
}

static void add_results(const cJSON *out, struct cv_buf *answer)
{
    static const char *const keys[] = {"name", "user",  "action", "entry",
                                       "got",  "offer", "wait",   "because"};
    const cJSON *item;
    cv_buf_add_format(answer, "%d of %d passed, %d failed\n",
                      number_of(out, "passed"), number_of(out, "total"),
                      number_of(out, "failed"));
    cJSON_ArrayForEach(item, cJSON_GetObjectItemCaseSensitive(out, "items"))
    {
        cv_buf_add_format(
            answer, "%d, line %d, %s:", number_of(item, "index"),
            number_of(item, "line"),
            cJSON_IsTrue(cJSON_GetObjectItemCaseSensitive(item, "ok"))
                ? "ok"
                : "not ok");
        for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++)
            add_text(answer, item, keys[i]);
        cv_buf_add_char(answer, '\n');
    }
}

static void ask(const char *question, struct cv_buf *answer)
{
    static struct cv_policy_notes notes;
    struct cv_buf text;
    struct cv_err err;
    cJSON *out;
    cv_err_init(&err);
    memset(&notes, 0, sizeof(notes));
    cv_buf_init(&text, NULL, CV_MIB(1));
    cv_buf_add_str(&text,
                   "apiVersion: certvault/v1\nkind: PolicyTest\ncases:\n");
    cv_buf_add_str(&text, question);
    enum cv_status st = cv_cases_run(policy, cv_buf_bytes(&text), MONDAY_10,
                                     &out, &notes, &err);
    if (st == CV_OK) {
        add_results(out, answer);
    } else {
        assert_int_equal(st, CV_INVALID);
        assert_null(out);
        cv_buf_add_format(answer, "%u:%u %s\n", notes.error_line,
                          notes.error_column, err.text);
        if (err.hint[0] != '\0')
            cv_buf_add_format(answer, "hint: %s\n", err.hint);
    }
    cJSON_Delete(out);
    cv_buf_wipe(&text);
}

static void runs_cases(void **state)
{
    (void)state;
    policy = policy_of(rules);
    blocks_ask("cases.txt", 91, ask);
    cv_policy_free(policy);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(runs_cases),
    };
    return cmocka_run_group_tests(tests, start, NULL);
}
