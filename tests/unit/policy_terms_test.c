/* limit, require, break_glass and keys: reading, resolving, telling. */
#include "tests/unit/policy_test.h"

#include "vault/base/encode.h"

#define PERMIT                                                           \
    "- {name: p, effect: permit, subjects: {users: [alice]}, actions: [" \
    "use]}\n"
#define RULE                                                                 \
    "- name: p\n  effect: permit\n  subjects: {users: [alice]}\n  actions: " \
    "[use]\n"
#define FROM "from: {groups: [leads]}"
/* Keys of bytes 0 to 31 and 1 to 32; the last is a card's, "ssh:". */
#define KEY0                                                                 \
    "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAABAgMEBQYHCAkKCwwNDg8QERITFBUWFx" \
    "gZGhscHR4f"
#define BLOB1                                                                \
    "AAAAGnNrLXNzaC1lZDI1NTE5QG9wZW5zc2guY29tAAAAIAECAwQFBgcICQoLDA0ODxAREh" \
    "MUFRYXGBkaGxwdHh8gAAAABHNzaDo="
#define KEY1 "sk-ssh-ed25519@openssh.com " BLOB1

static struct cv_policy *parsed(const char *text, struct cv_policy_notes *notes)
{
    struct cv_policy *p;
    struct cv_err err;
    cv_err_init(&err);
    if (cv_policy_parse(bytes_of(text), &p, notes, &err) != CV_OK)
        fail_msg("%s\n%s", err.text, text);
    return p;
}

static void knows_what_it_uses(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        unsigned uses;
        int64_t per_s;
    } cases[] = {
        {HEAD RULE, 0, 0},
        {HEAD RULE "  limit: {count: 1, per: 90s}\n", CV_POLICY_USES_LIMITS,
         90},
        {HEAD RULE "  limit: {sessions: 1}\n", CV_POLICY_USES_SESSIONS, 0},
        {HEAD RULE "  limit: {count: 100000, per: 366d, sessions: 1024}\n",
         CV_POLICY_USES_LIMITS | CV_POLICY_USES_SESSIONS, 366 * 86400},
        {HEAD RULE "  require: {approvals: {count: 1, " FROM "}}\n",
         CV_POLICY_USES_APPROVALS, 0},
        {HEAD RULE "  require: {approvals: {count: 32, signed: true, " FROM
                   "}}\n",
         CV_POLICY_USES_APPROVALS, 0},
        {HEAD RULE "  break_glass: true\n", CV_POLICY_USES_BREAK_GLASS, 0},
        {HEAD "- {name: a, effect: permit, subjects: {uids: [1]}, actions: "
              "[use], limit: {count: 1, per: 2h}}\n"
              "- {name: b, effect: permit, subjects: {uids: [1]}, actions: "
              "[use], limit: {count: 1, per: 1h}}\n",
         CV_POLICY_USES_LIMITS, 7200},
        {HEAD "- {name: a, effect: permit, subjects: {uids: [1]}, actions: "
              "[use], limit: {count: 1, per: 1h}}\n"
              "- {name: b, effect: permit, subjects: {uids: [1]}, actions: "
              "[use], limit: {count: 1, per: 2h}, break_glass: true}\n",
         CV_POLICY_USES_LIMITS | CV_POLICY_USES_BREAK_GLASS, 7200},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct cv_policy *p = parsed(cases[i].text, NULL);
        if (cv_policy_uses(p) != cases[i].uses ||
            cv_policy_longest_per_s(p) != cases[i].per_s)
            fail_msg("%u %lld: %s", cv_policy_uses(p),
                     (long long)cv_policy_longest_per_s(p), cases[i].text);
        cv_policy_free(p);
    }
}

static const struct {
    const char *text;
    unsigned line, column;
    const char *says;
    const char *hint;
} refused[] = {
    {HEAD RULE "  limit: 5\n", 9, 10, "limit must be a mapping", ""},
    {HEAD RULE "  limit: {}\n", 9, 10, "limit is empty", "sessions: 3"},
    {HEAD RULE "  limit: {count: 5}\n", 9, 10,
     "limit has \"count\" without \"per\"", "{count: 5, per: 1h}"},
    {HEAD RULE "  limit: {per: 1h}\n", 9, 10,
     "limit has \"per\" without \"count\"", "{count: 5, per: 1h}"},
    {HEAD RULE "  limit: {count: 0, per: 1h}\n", 9, 18,
     "limit.count must be a whole number from 1 to 100000", ""},
    {HEAD RULE "  limit: {count: 100001, per: 1h}\n", 9, 18, "limit.count", ""},
    {HEAD RULE "  limit: {count: five, per: 1h}\n", 9, 18, "limit.count", ""},
    {HEAD RULE "  limit: {count: 5, per: 3600}\n", 9, 26,
     "limit.per must be a duration", ""},
    {HEAD RULE "  limit: {count: 5, per: 367d}\n", 9, 26,
     "limit.per is longer than 366 days", ""},
    {HEAD RULE "  limit: {sessions: 0}\n", 9, 21,
     "limit.sessions must be a whole number from 1 to 1024", ""},
    {HEAD RULE "  limit: {sessions: 1025}\n", 9, 21, "limit.sessions", ""},
    {HEAD RULE "  limit: {session: 3}\n", 9, 11, "unknown key \"session\"",
     "did you mean \"sessions\"?"},
    {HEAD RULE "  require: {}\n", 9, 12, "require lacks \"approvals\"", ""},
    {HEAD RULE "  require: 2\n", 9, 12, "require must be a mapping", ""},
    {HEAD RULE "  require: {approval: {}}\n", 9, 13, "unknown key",
     "did you mean \"approvals\"?"},
    {HEAD RULE "  require: {approvals: 2}\n", 9, 24,
     "require.approvals must be a mapping", ""},
    {HEAD RULE "  require: {approvals: {" FROM "}}\n", 9, 24,
     "require.approvals lacks \"count\"", ""},
    {HEAD RULE "  require: {approvals: {count: 0, " FROM "}}\n", 9, 32,
     "approvals.count must be a whole number from 1 to 32", ""},
    {HEAD RULE "  require: {approvals: {count: 33, " FROM "}}\n", 9, 32,
     "approvals.count", ""},
    {HEAD RULE "  require: {approvals: {count: 1, from: {}}}\n", 9, 41,
     "from names nobody", "everyone"},
    {HEAD RULE "  require: {approvals: {count: 1, from: [bob]}}\n", 9, 41,
     "from must be a mapping", ""},
    {HEAD RULE "  require: {approvals: {count: 1, from: {user: [bob]}}}\n", 9,
     42, "from has an unknown key \"user\"", "did you mean \"users\"?"},
    {HEAD RULE "  require: {approvals: {count: 1, from: {uids: [65534]}}}\n", 9,
     49, "always denied", ""},
    {HEAD RULE "  require: {approvals: {count: 1, signed: yes, " FROM "}}\n", 9,
     43, "signed must be true or false", ""},
    {HEAD RULE "  break_glass: false\n", 9, 16, "break_glass can only be true",
     "leave it out"},
    {HEAD RULE "  break_glass: 1\n", 9, 16, "break_glass must be true or false",
     ""},
    {HEAD RULE "  brake_glass: true\n", 9, 3, "unknown key \"brake_glass\"",
     "did you mean \"break_glass\"?"},
    {HEAD "- {name: f, effect: forbid, subjects: {uids: [1]}, actions: [use], "
          "break_glass: true}\n",
     5, 68, "a forbid has no \"break_glass\"", "permit"},
    {HEAD "- {name: f, effect: forbid, subjects: {uids: [1]}, actions: [use], "
          "limit: {sessions: 1}}\n",
     5, 68, "a forbid has no \"limit\"", "permit"},
    {HEAD "- {name: f, effect: forbid, subjects: {uids: [1]}, actions: [use], "
          "require: {}}\n",
     5, 68, "a forbid has no \"require\"", "permit"},
    /* keys */
    {HEAD PERMIT "keys: []\n", 6, 7, "keys must be a mapping", ""},
    {HEAD PERMIT "keys: {}\n", 6, 7, "keys must be a mapping", ""},
    {HEAD PERMIT "keys: {alice: []}\n", 6, 15, "keys is an empty list", ""},
    {HEAD PERMIT "keys: {alice: " KEY0 "}\n", 6, 15, "keys must be a list", ""},
    {HEAD PERMIT "keys: {alice: [5]}\n", 6, 16, "a key must be a text", ""},
    {HEAD PERMIT "keys: {\"*\": [" KEY0 "]}\n", 6, 8,
     "keys: no user has such a name", ""},
    {HEAD PERMIT "keys: {\"a?\": [" KEY0 "]}\n", 6, 8, "no user has such", ""},
    {HEAD PERMIT "keys: {\"\": [" KEY0 "]}\n", 6, 8, "no user has such", ""},
    {HEAD PERMIT "keys: {alice: [ssh-rsa AAAA]}\n", 6, 16,
     "keys: this is not a public key that can sign approvals", ".pub"},
    {HEAD PERMIT "keys: {alice: [ssh-ed25519]}\n", 6, 16, "not a public key",
     ""},
    {HEAD PERMIT "keys: {alice: [\"ssh-ed25519 \"]}\n", 6, 16,
     "not a public key", ""},
    {HEAD PERMIT "keys: {alice: [ssh-ed25519 AAAA]}\n", 6, 16,
     "not a public key", ""},
    {HEAD PERMIT "keys: {alice: [ssh-ed25519 AAAAAA==]}\n", 6, 16,
     "not a public key", ""},
    {HEAD PERMIT "keys: {alice: [ssh-ed25519 " BLOB1 "]}\n", 6, 16,
     "not a public key", ""},
    {HEAD PERMIT "keys: {alice: ['no-pty " KEY0 "']}\n", 6, 16,
     "not a public key", ""},
    {HEAD PERMIT "keys: {alice: [" KEY0 "f]}\n", 6, 16, "not a public key", ""},
    /* a byte more, a byte less, an empty application */
    {HEAD PERMIT "keys: {alice: [ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAABAgMEB"
                 "QYHCAkKCwwNDg8QERITFBUWFxgZGhscHR4fAA==]}\n",
     6, 16, "not a public key", ""},
    {HEAD PERMIT "keys: {alice: [ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAHwABAgMEB"
                 "QYHCAkKCwwNDg8QERITFBUWFxgZGhscHR4=]}\n",
     6, 16, "not a public key", ""},
    {HEAD PERMIT "keys: {alice: [ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAABAgMEB"
                 "QYHCAkKCwwNDg8QERITFBUWFxgZGhscHR4=]}\n",
     6, 16, "not a public key", ""},
    {HEAD PERMIT "keys: {alice: [sk-ssh-ed25519@openssh.com AAAAGnNrLXNzaC1lZD"
                 "I1NTE5QG9wZW5zc2guY29tAAAAIAECAwQFBgcICQoLDA0ODxAREhMUFRYXGB"
                 "kaGxwdHh8gAAAAAA==]}\n",
     6, 16, "not a public key", ""},
    {HEAD PERMIT "keys: {alice: [sk-ssh-ed25519@openssh.com AAAAGnNrLXNzaC1lZD"
                 "I1NTE5QG9wZW5zc2guY29tAAAAIAECAwQFBgcICQoLDA0ODxAREhMUFRYXGB"
                 "kaGxwdHh8g]}\n",
     6, 16, "not a public key", ""},
    {HEAD PERMIT "keys: {alice: [" KEY0 "], bob: ['" KEY0 " x']}\n", 6, 105,
     "keys: another user has this key", ""},
    {HEAD PERMIT "keys:\n  alice: [" KEY0 "]\n  bob: [" KEY1
                 "]\n  carol: [" KEY1 "]\n",
     9, 11, "keys: another user has this key", ""},
    {HEAD PERMIT "kees: {alice: [" KEY0 "]}\n", 6, 1, "unknown key \"kees\"",
     "did you mean \"keys\"?"},
};

static void refuses(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(refused) / sizeof(refused[0]); i++) {
        struct cv_policy *p;
        struct cv_policy_notes notes = {0};
        struct cv_err err;
        cv_err_init(&err);
        if (cv_policy_parse(bytes_of(refused[i].text), &p, &notes, &err) !=
            CV_INVALID)
            fail_msg("taken: %s", refused[i].text);
        assert_null(p);
        if (strstr(err.text, refused[i].says) == NULL ||
            strstr(err.hint, refused[i].hint) == NULL ||
            notes.error_line != refused[i].line ||
            notes.error_column != refused[i].column)
            fail_msg("%u:%u %s / %s\n%s", notes.error_line, notes.error_column,
                     err.text, err.hint, refused[i].text);
    }
}

/* 4,096 keys, and not one more; the same key twice is the same key. */
static void has_a_ceiling(void **state)
{
    (void)state;
    struct cv_buf b;
    for (size_t n = 4096; n <= 4097; n++) {
        struct cv_policy *p;
        struct cv_err err;
        cv_err_init(&err);
        cv_buf_init(&b, NULL, CV_MIB(4));
        cv_buf_add_str(&b, HEAD PERMIT "keys:\n");
        for (size_t i = 0; i < n; i++) {
            if (i % 1000 == 0)
                cv_buf_add_format(&b, "  u%zu:\n", i);
            /* Each user has a key of its own, a thousand times. */
            cv_buf_add_format(&b,
                              "  - ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAABAg"
                              "MEBQYHCAkKCwwNDg8QERITFBUWFxgZGhscHR%zu4\n",
                              i / 1000);
        }
        enum cv_status st = cv_policy_parse(cv_buf_bytes(&b), &p, NULL, &err);
        if (n == 4096) {
            if (st != CV_OK)
                fail_msg("%s", err.text);
        } else {
            assert_int_equal(st, CV_INVALID);
            assert_non_null(
                strstr(err.text, "4097 keys, over the limit of 4096"));
        }
        cv_policy_free(p);
        cv_buf_wipe(&b);
    }
}

#define NOBODY "approvals from fewer users: nobody can use it"

static void check_warning(const char *text, const char *says)
{
    struct cv_policy_notes notes = {0};
    struct cv_policy *p = parsed(text, &notes);
    bool found = false;
    for (size_t i = 0; i < notes.n_warnings; i++)
        found = found || strstr(notes.warnings[i].text,
                                says != NULL ? says : NOBODY) != NULL;
    for (size_t i = 0; found && i < notes.n_warnings; i++)
        assert_true(notes.warnings[i].line == 9 || notes.warnings[i].line == 0);
    if (found != (says != NULL))
        fail_msg("%zu: %s", notes.n_warnings, text);
    cv_policy_free(p);
}

static void warns(void **state)
{
    (void)state;
#define WANTS(n, from) \
    HEAD RULE "  require: {approvals: {count: " n ", from: {" from "}}}\n"
    check_warning(WANTS("2", "users: [bob]"), "rule \"p\" wants 2 " NOBODY);
    check_warning(WANTS("3", "users: [bob], uids: [7]"), NOBODY);
    check_warning(WANTS("2", "users: [bob], uids: [7]"), NULL);
    check_warning(WANTS("2", "users: [\"*\"]"), NULL);
    check_warning(WANTS("2", "groups: [leads]"), NULL);
}

static cJSON *json_of(const char *text)
{
    cJSON *o = NULL;
    if (cv_json_parse(NULL, bytes_of(text), &o, NULL) != CV_OK)
        fail_msg("not JSON: %s", text);
    return o;
}

static const char asking[] = HEAD RULE
    "  require: {approvals: {count: 1, from: {users: [bob, carol], groups: "
    "[leads]}}}\n"
    "keys: {dora: [" KEY0 "]}\n";

static void resolves(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        const char *says;   /* NULL: taken */
        const char *warned; /* NULL: not */
    } cases[] = {
        {"{\"users\":{\"alice\":1,\"bob\":2,\"carol\":3,\"dora\":4},\"groups\":"
         "{\"leads\":5},\"zones\":{}}",
         NULL, NULL},
        {"{\"users\":{\"alice\":null,\"bob\":2,\"carol\":3,\"dora\":4},"
         "\"groups\":{\"leads\":5},\"zones\":{}}",
         NULL, "rule \"p\": user \"alice\" is nobody"},
        {"{\"users\":{\"alice\":1,\"bob\":2,\"carol\":3,\"dora\":null},"
         "\"groups\":{\"leads\":5},\"zones\":{}}",
         NULL, "keys: user \"dora\" is nobody"},
        {"{\"users\":{\"alice\":1,\"bob\":2,\"carol\":3,\"dora\":65534},"
         "\"groups\":{\"leads\":5},\"zones\":{}}",
         NULL, "keys: user \"dora\" is nobody"},
        {"{\"users\":{\"alice\":1,\"bob\":2,\"carol\":null,\"dora\":4},"
         "\"groups\":{\"leads\":5},\"zones\":{}}",
         "line 5: rule \"p\" wants approvals from a user that is not there: "
         "\"carol\"",
         NULL},
        {"{\"users\":{\"alice\":1,\"bob\":65534,\"carol\":3,\"dora\":4},"
         "\"groups\":{\"leads\":5},\"zones\":{}}",
         "wants approvals from a user that is not there: \"bob\"", NULL},
        {"{\"users\":{\"alice\":1,\"bob\":2,\"carol\":3,\"dora\":4},\"groups\":"
         "{\"leads\":null},\"zones\":{}}",
         "wants approvals from a group that is not there: \"leads\"", NULL},
        {"{\"users\":{\"alice\":1,\"bob\":2,\"carol\":3,\"dora\":4},\"groups\":"
         "{\"leads\":65534},\"zones\":{}}",
         "wants approvals from a group that is not there: \"leads\"", NULL},
        {"{\"users\":{\"alice\":1,\"bob\":2,\"carol\":3},\"groups\":{\"leads\":"
         "5},\"zones\":{}}",
         "lacks names in \"users\"", NULL},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct cv_policy_notes notes = {0};
        struct cv_err err;
        struct cv_policy *p = parsed(asking, NULL);
        cJSON *resolution = json_of(cases[i].text);
        cv_err_init(&err);
        enum cv_status st = cv_policy_resolve(p, resolution, &notes, &err);
        if (st != (cases[i].says == NULL ? CV_OK : CV_INVALID) ||
            (cases[i].says != NULL &&
             strstr(err.text, cases[i].says) == NULL) ||
            notes.n_warnings != (cases[i].warned != NULL ? 1 : 0) ||
            (cases[i].warned != NULL &&
             strstr(notes.warnings[0].text, cases[i].warned) == NULL))
            fail_msg("%d %s, %zu %s: %s", (int)st, err.text, notes.n_warnings,
                     notes.warnings[0].text, cases[i].text);
        if (cases[i].says != NULL && cases[i].says[0] == 'l' &&
            cases[i].says[1] == 'i') {
            assert_int_equal(notes.error_line, 5);
            assert_int_equal(notes.error_column, 1);
        }
        if (cases[i].warned != NULL)
            assert_int_equal(notes.warnings[0].line,
                             cases[i].warned[0] == 'k' ? 10 : 5);
        cJSON_Delete(resolution);
        cv_policy_free(p);
    }
}

/* What failed leaves nothing behind: it can be resolved again. */
static void resolves_again(void **state)
{
    (void)state;
    struct cv_policy *p = parsed(asking, NULL);
    const struct cv_policy_key *keys;
    cJSON *bad = json_of("{\"users\":{\"alice\":1,\"bob\":2,\"carol\":null,"
                         "\"dora\":4},\"groups\":{\"leads\":5},\"zones\":{}}");
    cJSON *good = json_of("{\"users\":{\"alice\":1,\"bob\":2,\"carol\":3,"
                          "\"dora\":4},\"groups\":{\"leads\":5},\"zones\":{}}");
    struct cv_decide_approval a = {.uid = 2};
    assert_int_equal(cv_policy_resolve(p, bad, NULL, NULL), CV_INVALID);
    assert_false(cv_decide_may_approve(p, "p", &a));
    assert_int_equal(cv_policy_keys(p, 4, &keys), 0);
    assert_null(keys);
    assert_int_equal(cv_policy_resolve(p, good, NULL, NULL), CV_OK);
    assert_true(cv_decide_may_approve(p, "p", &a));
    a.uid = 3;
    assert_true(cv_decide_may_approve(p, "p", &a));
    a.uid = 0;
    assert_false(cv_decide_may_approve(p, "p", &a));
    a.uid = 4;
    assert_false(cv_decide_may_approve(p, "p", &a));
    a.gid = 5;
    assert_true(cv_decide_may_approve(p, "p", &a));
    assert_int_equal(cv_policy_keys(p, 4, &keys), 1);
    cJSON_Delete(bad);
    cJSON_Delete(good);
    cv_policy_free(p);
}

static void has_keys(void **state)
{
    (void)state;
    struct cv_policy *p =
        policy_of(HEAD PERMIT
                  "keys:\n  bob: ['" KEY0 " bob at desk']\n  carol:\n  - " KEY1
                  "\n  - ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIP/+/fz7+vn49/b"
                  "19PPy8fDv7u3s6+rp6Ofm5eTj4uHg\n  zora: [ssh-ed25519 AAAAC3"
                  "NzaC1lZDI1NTE5AAAAICAhIiMkJSYnKCkqKywtLi8wMTIzNDU2Nzg5Ojs8"
                  "PT4/]\n");
    const struct cv_policy_key *k;
    cJSON *names = cv_policy_names(p);
    struct cv_buf b;
    cv_buf_init(&b, NULL, CV_KIB(4));
    cv_json_write(names, CV_JSON_COMPACT, &b);
    assert_string_equal(cv_buf_text(&b),
                        "{\"users\":[\"alice\",\"bob\",\"carol\",\"zora\"],"
                        "\"groups\":[]}");
    cv_buf_wipe(&b);
    cJSON_Delete(names);
    assert_int_equal(cv_policy_keys(p, 1001, &k), 0);
    assert_null(k);
    assert_int_equal(cv_policy_keys(p, 0, &k), 0); /* zora is nobody */
    assert_int_equal(cv_policy_keys(p, 1002, &k), 1);
    assert_string_equal(k[0].user, "bob");
    assert_string_equal(k[0].line, KEY0 " bob at desk");
    assert_null(k[0].application);
    assert_int_equal(k[0].ed25519[0], 0);
    assert_int_equal(k[0].ed25519[31], 31);
    assert_int_equal(cv_policy_keys(p, 1003, &k), 2);
    assert_string_equal(k[0].user, "carol");
    assert_string_equal(k[0].application, "ssh:");
    assert_int_equal(k[0].ed25519[0], 1);
    assert_int_equal(k[0].ed25519[31], 32);
    assert_null(k[1].application);
    assert_int_equal(k[1].ed25519[0], 255);
    cv_policy_free(p);
}

static void add_string(struct cv_buf *out, unsigned top, const char *text,
                       size_t len)
{
    const uint8_t size[] = {(uint8_t)(top >> 8), (uint8_t)top,
                            (uint8_t)(len >> 8), (uint8_t)len};
    cv_buf_add(out, size, sizeof(size));
    cv_buf_add(out, text, len);
}

/* A card's key whose application has `len` bytes; `top` goes into the upper
 * bytes of the lengths of its type, key and application. */
static enum cv_status read_card(const unsigned top[3], size_t len, char fill)
{
    static const char card[] = "sk-ssh-ed25519@openssh.com";
    static char application[700];
    struct cv_buf blob;
    struct cv_buf text;
    struct cv_policy *p;
    memset(application, fill, sizeof(application));
    cv_buf_init(&blob, NULL, CV_KIB(2));
    cv_buf_init(&text, NULL, CV_KIB(4));
    add_string(&blob, top[0], card, strlen(card));
    add_string(&blob, top[1], application, 32);
    add_string(&blob, top[2], application, len);
    cv_buf_add_format(&text, HEAD PERMIT "keys: {alice: [\"%s ", card);
    cv_encode_base64(cv_buf_bytes(&blob), &text);
    cv_buf_add_str(&text, "\"]}\n");
    enum cv_status st = cv_policy_parse(cv_buf_bytes(&text), &p, NULL, NULL);
    if (st == CV_OK) {
        const struct cv_policy_key *k;
        cJSON *resolution = resolution_of(p);
        assert_int_equal(cv_policy_resolve(p, resolution, NULL, NULL), CV_OK);
        assert_int_equal(cv_policy_keys(p, 1001, &k), 1);
        assert_int_equal(strlen(k->application), len);
        cJSON_Delete(resolution);
    }
    cv_policy_free(p);
    cv_buf_wipe(&blob);
    cv_buf_wipe(&text);
    return st;
}

/* Lengths are four bytes each. */
static void reads_lengths(void **state)
{
    (void)state;
    static const unsigned none[3] = {0, 0, 0};
    assert_int_equal(read_card(none, 1, 'a'), CV_OK);
    assert_int_equal(read_card(none, 255, 'a'), CV_OK);
    assert_int_equal(read_card(none, 256, 'a'), CV_OK);
    assert_int_equal(read_card(none, 600, 'a'), CV_OK);
    assert_int_equal(read_card(none, 0, 'a'), CV_INVALID);
    assert_int_equal(read_card(none, 4, '\n'), CV_INVALID);
    for (size_t i = 0; i < 3; i++) {
        for (unsigned bit = 0; bit < 16; bit++) {
            unsigned top[3] = {0, 0, 0};
            top[i] = 1U << bit;
            assert_int_equal(read_card(top, 4, 'a'), CV_INVALID);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(knows_what_it_uses), cmocka_unit_test(refuses),
        cmocka_unit_test(has_a_ceiling),      cmocka_unit_test(warns),
        cmocka_unit_test(resolves),           cmocka_unit_test(resolves_again),
        cmocka_unit_test(has_keys),           cmocka_unit_test(reads_lengths),
    };
    return cmocka_run_group_tests(tests, start, NULL);
}
