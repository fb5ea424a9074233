#include "tests/unit/policy_test.h"

/* A rule that is right, for what is put behind it. */
#define RULE                                                      \
    "- name: a\n  effect: permit\n  subjects: {users: [alice]}\n" \
    "  actions: [use]\n"
#define FORBID                                                    \
    "- name: a\n  effect: forbid\n  subjects: {users: [alice]}\n" \
    "  actions: [use]\n"

static const char whole[] =
    "apiVersion: certvault/v1\n"
    "kind: Policy\n"
    "metadata: {name: prod, version: 7}\n"
    "rules:\n"
    "- name: sre-use-prod\n"
    "  effect: permit\n"
    "  subjects: {users: [alice], groups: [sre], uids: [1001]}\n"
    "  actions: [use, list, show]\n"
    "  entries: {names: [\"prod-*\"], labels: {env: prod}, provenance: [born, "
    "unwrapped]}\n"
    "  when: {reason: required, ticket: \"OPS-[0-9]+\", hours: "
    "\"08:00-18:00\", days: [mon, tue, wed, thu, fri], timezone: "
    "Europe/Berlin,\n"
    "         contexts: [internal, externalTLSVerify], mode: [service], tty: "
    "required}\n"
    "  grant: {max_duration: 8h, read_only: true, verbs: [get, list, watch], "
    "namespaces: [payments], resources: [\"pods\", \"pods/log\"], record: "
    "writes}\n"
    "- {name: nobody-exports, effect: forbid, subjects: {users: [\"*\"]}, "
    "actions: [export]}\n";

static void takes_the_whole_schema(void **state)
{
    (void)state;
    struct cv_policy *p = policy_of(whole);
    assert_string_equal(cv_policy_name(p), "prod");
    assert_int_equal(cv_policy_version(p), 7);
    assert_int_equal(cv_policy_rules(p), 2);
    cJSON *about = cv_policy_describe(p);
    struct cv_buf b;
    cv_buf_init(&b, NULL, CV_KIB(4));
    cv_json_write(about, CV_JSON_COMPACT, &b);
    char wanted[256];
    (void)snprintf(wanted, sizeof(wanted),
                   "{\"name\":\"prod\",\"version\":7,\"sha256\":\"%s\","
                   "\"rules\":2}",
                   cv_policy_sha256(p));
    assert_string_equal(cv_buf_text(&b), wanted);
    cv_buf_wipe(&b);
    cJSON_Delete(about);
    about = cv_policy_names(p);
    cv_json_write(about, CV_JSON_COMPACT, &b);
    cJSON_Delete(about);
    about = cv_policy_zones(p);
    cv_json_write(about, CV_JSON_COMPACT, &b);
    assert_string_equal(
        cv_buf_text(&b),
        "{\"users\":[\"alice\"],\"groups\":[\"sre\"]}[\"Europe/Berlin\"]");
    cJSON_Delete(about);
    cv_buf_wipe(&b);
    cv_policy_free(p);
    cv_policy_free(NULL);
}

static void tells_the_digest(void **state)
{
    (void)state;
    static const char text[] =
        HEAD "- {name: a, effect: permit, subjects: {uids: [1]}, actions: "
             "[\"*\"]}\n";
    struct cv_policy *p;
    assert_int_equal(cv_policy_parse(bytes_of(text), &p, NULL, NULL), CV_OK);
    /* printf '...' | sha256sum */
    assert_string_equal(
        cv_policy_sha256(p),
        "6037d98631f740d3582e2dbdf616f563afdf74d92bd0791734e88e6b6553920c");
    cv_policy_free(p);
}

static const struct {
    const char *text;
    unsigned line;
    unsigned column;
    const char *says;
    const char *hint;
} refused[] = {
    /* H80: empty, unknown field, duplicate rule, version 2^63 */
    {"", 0, 0, "", ""},
    {"# nothing\n", 0, 0, "", ""},
    {"rules", 1, 1, "must be a mapping", ""},
    {"[]\n", 1, 1, "must be a mapping", ""},
    {"kind: Policy\n", 1, 1, "lacks \"apiVersion\"", ""},
    {"apiVersion: certvault/v2\nkind: Policy\nmetadata: {name: a, version: 1}\n"
     "rules:\n" RULE,
     1, 13, "apiVersion cannot be \"certvault/v2\"", "certvault/v1"},
    {"apiVersion: certvault/v1\nkind: PolicyTest\nmetadata: {name: a, version: "
     "1}\nrules:\n" RULE,
     2, 7, "kind cannot be", "Policy"},
    {"apiVersion: certvault/v1\nkind: Policy\nmetadata: {name: "
     "a}\nrules:\n" RULE,
     3, 11, "metadata lacks \"version\"", ""},
    {"apiVersion: certvault/v1\nkind: Policy\nmetadata: {version: 1}\n"
     "rules:\n" RULE,
     3, 11, "metadata lacks \"name\"", ""},
    {"apiVersion: certvault/v1\nkind: Policy\nmetadata: {name: a, version: 1, "
     "expires: 2026-01-01}\nrules:\n" RULE,
     3, 33, "metadata has an unknown key \"expires\"", "name, version"},
    {"apiVersion: certvault/v1\nkind: Policy\nmetadata: {name: a b, version: "
     "1}\nrules:\n" RULE,
     3, 18, "not a name", "letters"},
    {"apiVersion: certvault/v1\nkind: Policy\nmetadata: {name: a, version: "
     "-1}\nrules:\n" RULE,
     3, 30, "from 0 to 9007199254740992", ""},
    {"apiVersion: certvault/v1\nkind: Policy\nmetadata: {name: a, version: "
     "9223372036854775808}\nrules:\n" RULE,
     3, 30, "whole number", ""},
    {"apiVersion: certvault/v1\nkind: Policy\nmetadata: {name: a, version: "
     "1.5}\nrules:\n" RULE,
     3, 30, "whole number", ""},
    {"apiVersion: certvault/v1\nkind: Policy\nmetadata: {name: a, version: "
     "\"1\"}\nrules:\n" RULE,
     3, 30, "whole number", ""},
    {"apiVersion: certvault/v1\nkind: Policy\nmetadata: {name: a, version: 1}\n"
     "rules: []\n",
     4, 8, "rules is an empty list", ""},
    {"apiVersion: certvault/v1\nkind: Policy\nmetadata: {name: a, version: 1}\n"
     "rules: {}\n",
     4, 8, "rules must be a list", ""},
    {"apiVersion: certvault/v1\nkind: Policy\nmetadata: {name: a, version: 1}\n"
     "rules:\n",
     4, 7, "rules must be a list", ""},
    {HEAD RULE RULE, 9, 3, "already called \"a\"", ""},
    {HEAD "- 5\n", 5, 3, "a rule must be a mapping", ""},
    {HEAD "- {name: a}\n", 5, 3, "a rule lacks \"effect\"", ""},
    {HEAD "- {effect: permit, subjects: {uids: [1]}, actions: [use]}\n", 5, 3,
     "a rule lacks \"name\"", ""},
    {HEAD "- {name: a, effect: permit, actions: [use]}\n", 5, 3,
     "a rule lacks \"subjects\"", ""},
    {HEAD "- {name: a, effect: permit, subjects: {uids: [1]}}\n", 5, 3,
     "a rule lacks \"actions\"", ""},
    {HEAD "- {name: \"a b\", effect: permit}\n", 5, 3, "lacks \"subjects\"",
     ""},
    {HEAD "- {name: \"a b\", effect: permit, subjects: {uids: [1]}, actions: "
          "[use]}\n",
     5, 10, "not a rule's name", "letters"},
    {HEAD "- {name: 5, effect: permit, subjects: {uids: [1]}, actions: "
          "[use]}\n",
     5, 10, "name must be a text", "put it in quotes"},
    {HEAD "- {name: a, effect: allow, subjects: {uids: [1]}, actions: [use]}\n",
     5, 21, "rule \"a\": effect cannot be \"allow\"", "permit, forbid"},
    {HEAD RULE "  wen: {tty: required}\n", 9, 3,
     "a rule has an unknown key \"wen\"", "did you mean \"when\"?"},
    {HEAD RULE "  effect: permit\n", 9, 3, "", ""},
    /* what this version does not do must not be taken as if it did not matter
     */
    {HEAD RULE "  require: {approvals: {count: 2}}\n", 9, 24,
     "require.approvals lacks \"from\"", ""},
    {HEAD RULE "  limit: {count: 5}\n", 9, 10,
     "limit has \"count\" without \"per\"", "per: 1h"},
    {HEAD FORBID "  grant: {max_duration: 1h}\n", 9, 3,
     "a forbid has no \"grant\"", "permit"},
    {HEAD FORBID "  limit: {count: 5}\n", 9, 3, "a forbid has no \"limit\"",
     ""},
    {HEAD FORBID "  require: {}\n", 9, 3, "a forbid has no \"require\"", ""},
    /* subjects */
    {HEAD "- {name: a, effect: permit, subjects: {}, actions: [use]}\n", 5, 39,
     "subjects names nobody", "users: [\"*\"]"},
    {HEAD "- {name: a, effect: permit, subjects: {users: []}, actions: "
          "[use]}\n",
     5, 47, "users is an empty list", "leave"},
    {HEAD "- {name: a, effect: permit, subjects: {users: alice}, actions: "
          "[use]}\n",
     5, 47, "users must be a list", ""},
    {HEAD "- {name: a, effect: permit, subjects: {users: [5]}, actions: "
          "[use]}\n",
     5, 48, "users must be a text", "quotes"},
    {HEAD "- {name: a, effect: permit, subjects: {users: [\"al*\"]}, actions: "
          "[use]}\n",
     5, 48, "names, not patterns", "everyone"},
    {HEAD "- {name: a, effect: permit, subjects: {users: [\"\"]}, actions: "
          "[use]}\n",
     5, 48, "users is empty", ""},
    {HEAD "- {name: a, effect: permit, subjects: {users: [\"a\\tb\"]}, "
          "actions: [use]}\n",
     5, 48, "", ""},
    {HEAD "- {name: a, effect: permit, subjects: {groups: [\"*\"]}, actions: "
          "[use]}\n",
     5, 49, "names, not patterns", "everyone"},
    {HEAD "- {name: a, effect: permit, subjects: {group: [x]}, actions: "
          "[use]}\n",
     5, 40, "unknown key \"group\"", "did you mean \"groups\"?"},
    {HEAD "- {name: a, effect: permit, subjects: {uids: [x]}, actions: "
          "[use]}\n",
     5, 47, "a uid must be a whole number", ""},
    /* H81 */
    {HEAD "- {name: a, effect: permit, subjects: {uids: [-1]}, actions: "
          "[use]}\n",
     5, 47, "from 0 to 4294967293", ""},
    {HEAD "- {name: a, effect: permit, subjects: {uids: [4294967294]}, "
          "actions: [use]}\n",
     5, 47, "from 0 to 4294967293", ""},
    {HEAD "- {name: a, effect: permit, subjects: {uids: [4294967295]}, "
          "actions: [use]}\n",
     5, 47, "from 0 to 4294967293", ""},
    {HEAD "- {name: a, effect: permit, subjects: {uids: [65534]}, actions: "
          "[use]}\n",
     5, 47, "always denied", ""},
    /* actions */
    {HEAD "- {name: a, effect: permit, subjects: {uids: [1]}, actions: []}\n",
     5, 61, "actions is an empty list", ""},
    {HEAD "- {name: a, effect: permit, subjects: {uids: [1]}, actions: [exec]}"
          "\n",
     5, 62, "actions cannot be \"exec\"", ""},
    {HEAD "- {name: a, effect: permit, subjects: {uids: [1]}, actions: "
          "[exprot]}\n",
     5, 62, "actions cannot be \"exprot\"", "did you mean \"export\"?"},
    {HEAD "- {name: a, effect: permit, subjects: {uids: [1]}, actions: use}\n",
     5, 61, "actions must be a list", ""},
    {HEAD "- {name: a, effect: permit, subjects: {uids: [1]}, actions: "
          "[\"aud*\"]}\n",
     5, 62, "actions cannot be \"aud*\"", ""},
    {HEAD "- {name: a, effect: permit, subjects: {uids: [1]}, actions: "
          "[none]}\n",
     5, 62, "actions cannot be \"none\"", ""},
    /* entries */
    {HEAD RULE "  entries: {}\n", 9, 12, "entries is empty", "leave it out"},
    {HEAD RULE "  entries:\n", 9, 11, "entries must be a mapping", ""},
    {HEAD RULE "  entries: {name: [x]}\n", 9, 13, "unknown key \"name\"",
     "did you mean \"names\"?"},
    {HEAD RULE "  entries: {names: [x], name: [x]}\n", 9, 25,
     "unknown key \"name\"", "did you mean \"names\"?"},
    {HEAD RULE "  entries: {names: []}\n", 9, 20, "empty list", ""},
    {HEAD RULE "  entries: {names: [\"a b\"]}\n", 9, 21,
     "this pattern can match nothing", "letters"},
    {HEAD RULE "  entries: {names: [\"prod-[ab]\"]}\n", 9, 21,
     "this pattern can match nothing", ""},
    {HEAD RULE "  entries: {names: [\"pr\xc3\xb6"
               "d\"]}\n",
     9, 21, "this pattern can match nothing", ""},
    {HEAD RULE "  entries: {labels: {}}\n", 9, 21, "labels must be a mapping",
     ""},
    {HEAD RULE "  entries: {labels: [env]}\n", 9, 21,
     "labels must be a mapping", ""},
    {HEAD RULE "  entries: {labels: {\"a b\": x}}\n", 9, 22,
     "no label has such a key", ""},
    {HEAD RULE "  entries: {labels: {env: 5}}\n", 9, 27, "must be a text",
     "quotes"},
    {HEAD RULE "  entries: {labels: {env: true}}\n", 9, 27, "must be a text",
     "quotes"},
    {HEAD RULE "  entries: {labels: {env: \"a b\"}}\n", 9, 27,
     "can match nothing", ""},
    {HEAD RULE "  entries: {provenance: [made]}\n", 9, 26,
     "provenance cannot be \"made\"", "born"},
    {HEAD RULE "  entries: {leaky: false}\n", 9, 20, "can only be true",
     "leave it out"},
    {HEAD RULE "  entries: {leaky: \"true\"}\n", 9, 20, "true or false", ""},
    /* when */
    {HEAD RULE "  when: {reason: yes}\n", 9, 18, "reason cannot be \"yes\"",
     "required"},
    {HEAD RULE "  when: {reason: true}\n", 9, 18, "reason must be a text", ""},
    {HEAD RULE "  when: {tty: no}\n", 9, 15, "tty cannot be \"no\"",
     "required"},
    {HEAD RULE "  when: {hour: \"08:00-18:00\"}\n", 9, 10,
     "when has an unknown key \"hour\"", "did you mean \"hours\"?"},
    {HEAD RULE "  when: {hours: \"8:00-18:00\"}\n", 9, 17,
     "must be like \"08:00-18:00\"", ""},
    {HEAD RULE "  when: {hours: \"08:00-18:60\"}\n", 9, 17, "must be like", ""},
    {HEAD RULE "  when: {hours: \"08:00-24:01\"}\n", 9, 17, "must be like", ""},
    {HEAD RULE "  when: {hours: \"24:00-08:00\"}\n", 9, 17, "must be like", ""},
    {HEAD RULE "  when: {hours: \"08:00 18:00\"}\n", 9, 17, "must be like", ""},
    {HEAD RULE "  when: {hours: \"08:00-18:00 \"}\n", 9, 17, "must be like",
     ""},
    {HEAD RULE "  when: {hours: \"0a:00-18:00\"}\n", 9, 17, "must be like", ""},
    {HEAD RULE "  when: {hours: \"08:00-08:00\"}\n", 9, 17,
     "end when they begin", "00:00-24:00"},
    {HEAD RULE "  when: {days: [monday]}\n", 9, 17, "days cannot be \"monday\"",
     "mon, tue"},
    {HEAD RULE "  when: {days: mon}\n", 9, 16, "days must be a list", ""},
    {HEAD RULE "  when: {days: [mon], timezone: ../../etc/passwd}\n", 9, 33,
     "not the name of a time zone", "UTC"},
    {HEAD RULE "  when: {days: [mon], timezone: /etc/passwd}\n", 9, 33,
     "not the name of a time zone", ""},
    {HEAD RULE "  when: {contexts: [\"int*\"]}\n", 9, 21, "names, not patterns",
     ""},
    {HEAD RULE "  when: {contexts: []}\n", 9, 20, "empty list", ""},
    {HEAD RULE "  when: {mode: [daemon]}\n", 9, 17, "mode cannot be \"daemon\"",
     "service"},
    {HEAD RULE "  when: {ticket: 5}\n", 9, 18, "ticket must be a text", ""},
    {HEAD RULE "  when: {ticket: \"(OPS\"}\n", 9, 18,
     "ticket: expression, character 5: a group is not closed", ""},
    {HEAD RULE "  when: {ticket: '(a)\\1'}\n", 9, 18, "back-references", ""},
    {HEAD RULE "  when: {ticket: '(a{255}){255}'}\n", 9, 18, "too big", ""},
    {HEAD RULE "  when: []\n", 9, 9, "when must be a mapping", ""},
    /* grant */
    {HEAD RULE "  grant: {max_duration: 8}\n", 9, 25, "such as 90s", ""},
    {HEAD RULE "  grant: {max_duration: \"8\"}\n", 9, 25, "such as 90s", ""},
    {HEAD RULE "  grant: {max_duration: 0s}\n", 9, 25, "such as 90s", ""},
    {HEAD RULE "  grant: {max_duration: -1h}\n", 9, 25, "such as 90s", ""},
    {HEAD RULE "  grant: {max_duration: 101000d}\n", 9, 25, "such as 90s", ""},
    {HEAD RULE "  grant: {read_only: 1}\n", 9, 22, "true or false", ""},
    {HEAD RULE "  grant: {read_only: yes}\n", 9, 22, "true or false", ""},
    {HEAD RULE "  grant: {record: none}\n", 9, 19, "record cannot be \"none\"",
     "off"},
    {HEAD RULE "  grant: {verbs: get}\n", 9, 18, "verbs must be a list", ""},
    {HEAD RULE "  grant: {verbs: []}\n", 9, 18, "empty list", ""},
    {HEAD RULE "  grant: {verbs: [get, fly]}\n", 9, 24,
     "verbs cannot be \"fly\"", "there are: get, list, watch, create"},
    {HEAD RULE "  grant: {verbs: [lst]}\n", 9, 19, "verbs cannot be \"lst\"",
     "did you mean \"list\"?"},
    {HEAD RULE "  grant: {verbs: [exec]}\n", 9, 19, "verbs cannot be",
     "exec needs \"create\""},
    {HEAD RULE "  grant: {verbs: [attach]}\n", 9, 19, "verbs cannot be",
     "attach needs \"create\""},
    {HEAD RULE "  grant: {verbs: [portforward]}\n", 9, 19, "verbs cannot be",
     "portforward needs \"create\""},
    {HEAD RULE "  grant: {verbs: [proxy]}\n", 9, 19, "verbs cannot be",
     "proxy needs \"create\""},
    {HEAD RULE "  grant: {namespaces: [5]}\n", 9, 24, "must be a text", ""},
    {HEAD RULE "  grant: {verb: [get]}\n", 9, 11, "unknown key \"verb\"",
     "did you mean \"verbs\"?"},
    /* what the reader of YAML refuses comes through with its place */
    {HEAD RULE "  when: &x {tty: required}\n", 9, 9, "line 9, column 9", ""},
    {HEAD RULE "\twhen: {}\n", 9, 1, "", ""},
};

static void refuses(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(refused) / sizeof(refused[0]); i++) {
        struct cv_policy *p = (struct cv_policy *)1;
        struct cv_policy_notes notes = {0};
        struct cv_err err;
        cv_err_init(&err);
        enum cv_status st =
            cv_policy_parse(bytes_of(refused[i].text), &p, &notes, &err);
        if (st != CV_INVALID || p != NULL)
            fail_msg("taken: %s", refused[i].text);
        if (strstr(err.text, refused[i].says) == NULL ||
            strstr(err.hint, refused[i].hint) == NULL)
            fail_msg("%s(%s)\n%s", err.text, err.hint, refused[i].text);
        if (refused[i].line == 0)
            continue;
        char place[64];
        (void)snprintf(place, sizeof(place),
                       "line %u, column %u: ", notes.error_line,
                       notes.error_column);
        if (notes.error_line != refused[i].line ||
            notes.error_column != refused[i].column ||
            strncmp(err.text, place, strlen(place)) != 0)
            fail_msg("%u:%u: %s\n%s", notes.error_line, notes.error_column,
                     err.text, refused[i].text);
    }
}

/* What is in force stays so: a verb that nothing has permits nothing. */
static void takes_what_was_applied_before(void **state)
{
    static const char text[] = HEAD RULE "  grant: {verbs: [get, fly, exec]}\n";
    struct cv_policy_notes notes = {0};
    struct cv_policy *p;
    (void)state;
    assert_int_equal(cv_policy_parse(bytes_of(text), &p, NULL, NULL), CV_OK);
    cv_policy_free(p);
    assert_int_equal(cv_policy_parse(bytes_of(text), &p, &notes, NULL),
                     CV_INVALID);
}

/* A text is made of `n` rules, the last one with `tail` behind it. */
static char *many_rules(size_t n, const char *rule_fmt)
{
    struct cv_buf b;
    cv_buf_init(&b, NULL, CV_MIB(64));
    cv_buf_add_str(&b, HEAD);
    for (size_t i = 0; i < n; i++) {
        cv_buf_add_format(&b, "- {name: r%zu, ", i);
        cv_buf_add_str(&b, rule_fmt);
        cv_buf_add_str(&b, "}\n");
    }
    char *out = strdup(cv_buf_text(&b));
    cv_buf_wipe(&b);
    return out;
}

static void check_many(size_t n, const char *rule, const char *says)
{
    struct cv_policy *p;
    struct cv_err err;
    cv_err_init(&err);
    char *text = many_rules(n, rule);
    enum cv_status st = cv_policy_parse(bytes_of(text), &p, NULL, &err);
    if (says == NULL)
        assert_int_equal(st, CV_OK);
    else
        assert_int_equal(st, CV_INVALID);
    if (says != NULL && strstr(err.text, says) == NULL)
        fail_msg("%s", err.text);
    cv_policy_free(p);
    free(text);
}

static void has_ceilings(void **state)
{
    (void)state;
    static const char plain[] =
        "effect: permit, subjects: {uids: [1]}, actions: [use]";
    static const char usual[] =
        "effect: permit, subjects: {groups: [sre], users: [alice]}, actions: "
        "[use, list, show], entries: {names: [\"prod-*\"], labels: {env: "
        "prod}}, when: {reason: required}";
    check_many(10000, plain, NULL);
    check_many(CV_LIMIT_RULES, usual, NULL);
    check_many(CV_LIMIT_RULES, plain, NULL);
    check_many(CV_LIMIT_RULES + 1, plain, "over the limit of 20000");
    check_many(1030,
               "effect: permit, subjects: {uids: [1]}, actions: [use], when: "
               "{ticket: '(a{255}){4}bcd'}",
               "too big together");
    check_many(1020,
               "effect: permit, subjects: {uids: [1]}, actions: [use], when: "
               "{ticket: '(a{255}){4}bcd'}",
               NULL);
    /* 10 MB */
    char *big = malloc(10000000 + 1);
    struct cv_policy *p;
    struct cv_err err;
    cv_err_init(&err);
    memset(big, '#', 10000000);
    big[10000000] = '\0';
    assert_int_equal(cv_policy_parse(bytes_of(big), &p, NULL, &err),
                     CV_INVALID);
    assert_non_null(strstr(err.text, "over the limit"));
    free(big);
}

static void limits_items(void **state)
{
    (void)state;
    struct cv_buf b;
    struct cv_policy *p;
    for (size_t n = 1024; n <= 1025; n++) {
        cv_buf_init(&b, NULL, CV_MIB(1));
        cv_buf_add_str(&b, HEAD "- name: a\n  effect: permit\n  actions: "
                                "[use]\n  subjects:\n    uids:\n");
        for (size_t i = 0; i < n; i++)
            cv_buf_add_format(&b, "    - %zu\n", i);
        enum cv_status st =
            cv_policy_parse(bytes_of(cv_buf_text(&b)), &p, NULL, NULL);
        assert_int_equal(st, n == 1024 ? CV_OK : CV_INVALID);
        cv_policy_free(p);
        cv_buf_wipe(&b);
    }
    /* A glob of 256 bytes, and one more. */
    for (size_t n = 256; n <= 257; n++) {
        cv_buf_init(&b, NULL, CV_MIB(1));
        cv_buf_add_str(&b, HEAD RULE "  entries: {names: [\"");
        for (size_t i = 0; i < n; i++)
            cv_buf_add_char(&b, '*');
        cv_buf_add_str(&b, "\"]}\n");
        enum cv_status st =
            cv_policy_parse(bytes_of(cv_buf_text(&b)), &p, NULL, NULL);
        assert_int_equal(st, n == 256 ? CV_OK : CV_INVALID);
        cv_policy_free(p);
        cv_buf_wipe(&b);
    }
}

static void limits_zones(void **state)
{
    (void)state;
    struct cv_buf b;
    struct cv_policy *p;
    for (size_t n = 64; n <= 65; n++) {
        cv_buf_init(&b, NULL, CV_MIB(1));
        cv_buf_add_str(&b, HEAD);
        for (size_t i = 0; i < n; i++)
            cv_buf_add_format(&b,
                              "- {name: r%zu, effect: permit, subjects: {uids: "
                              "[1]}, actions: [use], when: {days: [mon], "
                              "timezone: Zone/Z%zu}}\n",
                              i, i);
        enum cv_status st =
            cv_policy_parse(bytes_of(cv_buf_text(&b)), &p, NULL, NULL);
        assert_int_equal(st, n == 64 ? CV_OK : CV_INVALID);
        cv_policy_free(p);
        cv_buf_wipe(&b);
    }
}

static const struct {
    const char *rules;
    const char *warning; /* NULL: none */
} warned[] = {
    {RULE, "no rule permits policy.apply"},
    {"- {name: a, effect: permit, subjects: {uids: [1]}, actions: "
     "[policy.apply]}\n",
     NULL},
    {"- {name: a, effect: permit, subjects: {uids: [1]}, actions: [\"*\"]}\n",
     NULL},
    {"- {name: a, effect: forbid, subjects: {uids: [1]}, actions: [\"*\"]}\n",
     "no rule permits policy.apply"},
    {"- {name: a, effect: permit, subjects: {uids: [1]}, actions: [\"*\"], "
     "entries: {labels: {env: prod, team: x}}}\n",
     "any one of its labels is enough"},
    {"- {name: a, effect: permit, subjects: {uids: [1]}, actions: [\"*\"], "
     "entries: {labels: {env: prod}}}\n",
     NULL},
    {"- {name: b, effect: permit, subjects: {uids: [1]}, actions: [\"*\"]}\n"
     "- {name: a, effect: forbid, subjects: {uids: [1]}, actions: [use], when: "
     "{reason: required}}\n",
     "forbids only requests that give a reason"},
    {"- {name: b, effect: permit, subjects: {uids: [1]}, actions: [\"*\"]}\n"
     "- {name: a, effect: forbid, subjects: {uids: [1]}, actions: [use], when: "
     "{ticket: x}}\n",
     "forbids only requests with such a ticket"},
    {"- {name: b, effect: permit, subjects: {uids: [1]}, actions: [\"*\"]}\n"
     "- {name: a, effect: forbid, subjects: {uids: [1]}, actions: [use], when: "
     "{tty: required}}\n",
     "forbids only requests from a terminal"},
    {"- {name: a, effect: permit, subjects: {uids: [1]}, actions: [\"*\"], "
     "when: {timezone: UTC}}\n",
     "changes nothing"},
};

static void warns(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(warned) / sizeof(warned[0]); i++) {
        char text[1024];
        struct cv_policy_notes notes = {0};
        struct cv_policy *p;
        (void)snprintf(text, sizeof(text), HEAD "%s", warned[i].rules);
        assert_int_equal(cv_policy_parse(bytes_of(text), &p, &notes, NULL),
                         CV_OK);
        assert_int_equal(notes.n_warnings, warned[i].warning == NULL ? 0 : 1);
        if (warned[i].warning != NULL &&
            strstr(notes.warnings[0].text, warned[i].warning) == NULL)
            fail_msg("%s", notes.warnings[0].text);
        cv_policy_free(p);
    }
}

static void keeps_the_first_warnings(void **state)
{
    (void)state;
    struct cv_policy_notes *notes = calloc(1, sizeof(*notes));
    struct cv_policy *p;
    char *text = many_rules(40, "effect: permit, subjects: {uids: [1]}, "
                                "actions: [\"*\"], when: {timezone: UTC}");
    assert_int_equal(cv_policy_parse(bytes_of(text), &p, notes, NULL), CV_OK);
    assert_int_equal(notes->n_warnings, 40);
    assert_int_equal(notes->warnings[0].line, 5);
    assert_non_null(
        strstr(notes->warnings[CV_POLICY_NOTES - 1].text, "\"r31\""));
    cv_policy_free(p);
    free(text);
    free(notes);
}

static void shows_the_place(void **state)
{
    (void)state;
    static const char text[] = "a: 1\nbc: [x, y]\n";
    struct cv_buf b;
    cv_buf_init(&b, NULL, CV_KIB(4));
    cv_policy_render(bytes_of(text), 2, 5, &b);
    assert_non_null(strstr(cv_buf_text(&b), "2 | bc: [x, y]\n"));
    const char *caret = strchr(cv_buf_text(&b), '^');
    assert_non_null(caret);
    cv_buf_wipe(&b);
    cv_policy_render(bytes_of(text), 0, 0, &b);
    assert_int_equal(b.len, 0);
    cv_buf_wipe(&b);
}

static void takes_json(void **state)
{
    (void)state;
    static const char text[] =
        "{\"apiVersion\": \"certvault/v1\", \"kind\": \"Policy\", \"metadata\":"
        " {\"name\": \"j\", \"version\": 9007199254740992}, \"rules\": [{"
        "\"name\": \"a\", \"effect\": \"permit\", \"subjects\": {\"uids\": "
        "[0]}, \"actions\": [\"*\"]}]}";
    struct cv_policy *p;
    assert_int_equal(cv_policy_parse(bytes_of(text), &p, NULL, NULL), CV_OK);
    assert_true(cv_policy_version(p) == INT64_C(9007199254740992));
    cv_policy_free(p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(takes_the_whole_schema),
        cmocka_unit_test(tells_the_digest),
        cmocka_unit_test(refuses),
        cmocka_unit_test(takes_what_was_applied_before),
        cmocka_unit_test(has_ceilings),
        cmocka_unit_test(limits_items),
        cmocka_unit_test(limits_zones),
        cmocka_unit_test(warns),
        cmocka_unit_test(keeps_the_first_warnings),
        cmocka_unit_test(shows_the_place),
        cmocka_unit_test(takes_json),
    };
    return cmocka_run_group_tests(tests, start, NULL);
}
