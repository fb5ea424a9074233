/* Hostile kubeconfigs (H14 to H32) and client certificates (H36 to H38). H33
 * to H35 are in kubeconfig_key_test.c, H18 and H19 in yaml_parse_test.c too. */
#include "tests/unit/kubeconfig_template.h"

#define USER(members) \
    GOOD_CLUSTER "users:\n- name: u\n  user: {" members "}\n" GOOD_CONTEXT
#define PAIR "client-key-data: @K1@, client-certificate-data: @C1@"
#define CLUSTER(members) \
    "clusters:\n- name: c\n  cluster: {" members "}\n" GOOD_USER GOOD_CONTEXT
#define MORE_USERS(members) GOOD_USER "- name: v\n  user: {" members "}\n"
#define KEY "users[0].user.client-key-data: "
#define CERT "users[0].user.client-certificate-data: "
#define CA "clusters[0].cluster.certificate-authority-data: "

static const struct {
    const char *text, *part;
} refused[] = {
    /* H14 */
    {GOOD_CLUSTER GOOD_CONTEXT
     "users:\n- name: u\n  user:\n    client-key-data: @K4@\n"
     "    client-certificate-data: @C1@\n    client-key-data: @K1@\n",
     "given before"},
    {GOOD_CLUSTER GOOD_CONTEXT
     "users:\n- name: u\n  user:\n    client-key-data: @K1@\n"
     "    client-certificate-data: @C1@\n"
     "    \"client\\u002dkey-data\": @K4@\n",
     "given before"},
    {USER(PAIR ", \"client-key-data\\0\": x"), "NUL"},
    {"{\"users\": [], \"users\": []}", ""},
    {"{\"users\": [], \"user\\u0073\": []}", ""},
    {"{\"users\\u0000\": []}", ""},
    /* H17, H18 */
    {"\xef\xbb\xbf" GOOD_CLUSTER, "byte order mark"},
    {GOOD_CLUSTER GOOD_USER GOOD_CONTEXT "---\n" GOOD_CLUSTER,
     "second document"},
    {"base: &b {name: x}\n" GOOD_CLUSTER, "anchor"},
    {"users: *u\n", "alias"},
    {"users: !!python/object:x []\n", "tag"},
    {"users:\n- <<: {name: u}\n", "merge"},
    {"{\"kind\": \"Config\"} {}", ""},
    /* shape */
    {"", "no document"},
    {"[]", "not a kubeconfig"},
    {"hello", "not a kubeconfig"},
    {"{}", "names no user"},
    {"kind: Secret\n" GOOD_CLUSTER GOOD_USER GOOD_CONTEXT, "kind: "},
    {"apiVersion: v2\n" GOOD_CLUSTER GOOD_USER GOOD_CONTEXT, "apiVersion: "},
    {"kind: 1\n" GOOD_CLUSTER GOOD_USER GOOD_CONTEXT, "kind: "},
    {"users: {}\n", "users: must be a list"},
    {"users: [u]\n", "users[0]: must be an object"},
    {"users:\n- name: u\n  user: [a]\n", "users[0].user: must be an object"},
    {"current-context: [a]\n" GOOD_CLUSTER GOOD_USER GOOD_CONTEXT,
     "current-context: must be a text"},
    /* H19: literal strings are not what they look like */
    {CLUSTER("server: 'https://a.example', insecure-skip-tls-verify: yes"),
     "clusters[0].cluster.insecure-skip-tls-verify: must be true or false"},
    {CLUSTER("server: 'https://a.example', insecure-skip-tls-verify: 'true'"),
     "clusters[0].cluster.insecure-skip-tls-verify: must be true or false"},
    /* H20, H21, H25: beside a key */
    {USER(PAIR ", exec: {command: ./x, args: ['$(id)'], env: []}"),
     "users[0].user.exec: another credential"},
    {USER(PAIR ", auth-provider: {name: gcp, config: {cmd-path: /bin/sh}}"),
     "users[0].user.auth-provider: another credential"},
    {USER(PAIR ", token: abc"), "users[0].user.token: another credential"},
    {USER(PAIR ", username: abc"),
     "users[0].user.username: another credential"},
    {USER(PAIR ", password: abc"),
     "users[0].user.password: another credential"},
    {USER("client-certificate-data: @C1@, token: abc"),
     "users[0].user.token: another credential"},
    /* H20, H21: alone; there is nothing else */
    {USER("exec: {command: ./x}"), "no client key to take; user u: exec"},
    {USER("auth-provider: {name: gcp}"), "user u: auth-provider"},
    {USER("token: abc"), "user u: token"},
    {USER("username: a, password: b"), "user u: password"},
    {USER(""), "user u: no credentials"},
    /* H22: anywhere, whatever else there is */
    {USER("client-key: /etc/shadow, client-certificate-data: @C1@"),
     "users[0].user.client-key: it names a file"},
    {USER(PAIR ", client-key: /etc/shadow"),
     "users[0].user.client-key: it names a file"},
    {USER(PAIR ", client-certificate: x.pem"),
     "users[0].user.client-certificate: it names a file"},
    {USER("tokenFile: /var/run/token"),
     "users[0].user.tokenFile: it names a file"},
    {GOOD_CLUSTER MORE_USERS("tokenFile: /dev/stdin") GOOD_CONTEXT,
     "users[1].user.tokenFile: it names a file"},
    {CLUSTER("server: 'https://a', certificate-authority: ../../x"),
     "clusters[0].cluster.certificate-authority: it names a file"},
    {GOOD_CLUSTER "- name: d\n  cluster: {certificate-authority: "
                  "/tmp/fifo}\n" GOOD_USER GOOD_CONTEXT,
     "clusters[1].cluster.certificate-authority: it names a file"},
    /* H23 */
    {CLUSTER("server: 'https://a', insecure-skip-tls-verify: true, "
             "certificate-authority-data: @A1@"),
     "insecure-skip-tls-verify: the cluster has a CA"},
    /* H24 */
    {CLUSTER("server: 'https://a', proxy-url: 'http://b:3128'"),
     "clusters[0].cluster.proxy-url: "},
    {CLUSTER("server: 'https://a', tls-server-name: 'https://b'"),
     "clusters[0].cluster.tls-server-name: "},
    {CLUSTER("server: 'https://a', tls-server-name: [b]"),
     "clusters[0].cluster.tls-server-name: must be a text"},
    {USER(PAIR ", as: admin"), "users[0].user.as: impersonation"},
    {USER(PAIR ", as-groups: ['system:masters']"),
     "users[0].user.as-groups: impersonation"},
    {USER(PAIR ", as-uid: x"), "users[0].user.as-uid: impersonation"},
    {USER(PAIR ", as-user-extra: {a: [b]}"),
     "users[0].user.as-user-extra: impersonation"},
    /* H26: see kubeconfig_server_url_test.c */
    {CLUSTER("server: 'http://a'"), "clusters[0].cluster.server: "},
    {CLUSTER("server: 'https://u:p@a'"), "user information"},
    {CLUSTER("server: unix:/run/x"), "clusters[0].cluster.server: "},
    {CLUSTER("server: 'https://169.254.169.254'"), "link-local"},
    {CLUSTER("server: 'https://a:0'"), "port"},
    {CLUSTER("certificate-authority-data: @A1@"),
     "clusters[0].cluster.server: missing"},
    {CLUSTER("server: ''"), "clusters[0].cluster.server: missing"},
    {CLUSTER("server: [a]"), "clusters[0].cluster.server: must be a text"},
    /* H27 */
    {GOOD_CLUSTER "users: []\n" GOOD_CONTEXT, "names no user"},
    {GOOD_CLUSTER GOOD_CONTEXT, "names no user"},
    {GOOD_CLUSTER GOOD_USER GOOD_CONTEXT
     "- name: y\n  context: {cluster: c, user: gone}\n",
     "contexts[1].context.user: there is no such user"},
    {GOOD_CLUSTER GOOD_USER GOOD_CONTEXT
     "- name: y\n  context: {cluster: gone, user: u}\n",
     "contexts[1].context.cluster: there is no such cluster"},
    {GOOD_CLUSTER GOOD_USER GOOD_CONTEXT "- name: y\n  context: {user: u}\n",
     "contexts[1].context.cluster: there is no such cluster"},
    {GOOD_CLUSTER GOOD_USER, "user u: no context uses its key"},
    {GOOD_CLUSTER MORE_USERS("client-key-data: @K4@, "
                             "client-certificate-data: @C1@") GOOD_CONTEXT,
     "users[1].user.client-key-data: it is not the certificate's key"},
    {GOOD_CLUSTER GOOD_USER "- name: u\n  user: {}\n" GOOD_CONTEXT,
     "users[1].name: it was given before"},
    {GOOD_CLUSTER
     "- name: c\n  cluster: {server: 'https://b'}\n" GOOD_USER GOOD_CONTEXT,
     "clusters[1].name: it was given before"},
    {GOOD_CLUSTER GOOD_USER GOOD_CONTEXT
     "- name: x\n  context: {cluster: c, user: u}\n",
     "contexts[1].name: it was given before"},
    /* H28 */
    {GOOD_CLUSTER GOOD_USER "contexts:\n- name: ''\n", "contexts[0].name: "
                                                       "missing"},
    {GOOD_CLUSTER GOOD_USER "contexts:\n- context: {}\n",
     "contexts[0].name: missing"},
    {GOOD_CLUSTER GOOD_USER "contexts:\n- name: \"a\\nb\"\n",
     "contexts[0].name: holds characters"},
    {GOOD_CLUSTER GOOD_USER "contexts:\n- name: \"\\e[2J\"\n",
     "contexts[0].name: holds characters"},
    {GOOD_CLUSTER GOOD_USER "contexts:\n- name: \"\\e]52;c;aGk=\\a\"\n",
     "contexts[0].name: holds characters"},
    {GOOD_CLUSTER GOOD_USER "contexts:\n- name: \"a\\u202eb\"\n",
     "contexts[0].name: holds characters"},
    {GOOD_CLUSTER GOOD_USER "contexts:\n- name: \"a\\0\"\n", "NUL"},
    {GOOD_CLUSTER GOOD_USER "contexts:\n- name: true\n",
     "contexts[0].name: must be a text"},
    {GOOD_CLUSTER GOOD_USER
     "contexts:\n- name: x\n  context: {cluster: c, user: u, namespace: "
     "\"\\e[2J\"}\n",
     "contexts[0].context.namespace: "},
    /* H31 */
    {USER("client-key-data: 'LS0tLS1C*RUdJTg==', client-certificate-data: "
          "@C1@"),
     KEY "its value: not base64"},
    {USER("client-key-data: LS0tLS1CRUdJT_-=, client-certificate-data: @C1@"),
     KEY "its value: not base64"},
    {USER("client-key-data: LS0tLS1CRUdJTh==, client-certificate-data: @C1@"),
     KEY "its value: not base64"},
    {USER("client-key-data: LS0tLS1CRUdJTg, client-certificate-data: @C1@"),
     KEY "its value: not base64"},
    {USER("client-key-data: 'LS0tLS1CRUdJTg==x', client-certificate-data: "
          "@C1@"),
     KEY "its value: not base64"},
    {USER("client-key-data: VEZNd2RFeFRNVU5TVldSS1ZHYzlQUT09, "
          "client-certificate-data: @C1@"),
     KEY "no PEM block"},
    {USER("client-key-data: {a: b}, client-certificate-data: @C1@"),
     KEY "must be a text"},
    /* H32 */
    {USER("client-key-data: @K4@, client-certificate-data: @C1@"),
     KEY "it is not the certificate's key"},
    {USER("client-key-data: @K1@, client-certificate-data: @C4@"),
     KEY "it is not the certificate's key"},
    {USER("client-certificate-data: @C1@"), KEY "missing"},
    {USER("client-key-data: @K1@"), CERT "missing"},
    {USER("client-key-data: @C1@, client-certificate-data: @C1@"),
     KEY "the PEM block is no private key"},
    {USER("client-key-data: @K1@, client-certificate-data: @K1@"),
     CERT "PEM block 1 is no certificate"},
    {USER("client-key-data: @K1@, client-certificate-data: @A1@"),
     CERT "the certificate is a CA's"},
    {CLUSTER("server: 'https://a', certificate-authority-data: @K1@"),
     CA "PEM block 1 is no certificate"},
    {CLUSTER("server: 'https://a', certificate-authority-data: aGVsbG8="),
     CA "no PEM block"},
    {CLUSTER("server: 'https://a', certificate-authority-data: '*'"),
     CA "its value: not base64"},
};

static void test_refused(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(refused); i++) {
        struct cv_err e;
        struct cv_kubeconfig *k = NULL;
        struct cv_arena *arena = new_arena();
        enum cv_status st = read_template(arena, refused[i].text, &k, &e);
        if (st == CV_OK) {
            print_error("taken: %s\n", refused[i].text);
        }
        assert_refused(st, CV_INVALID, &e, refused[i].part);
        assert_null(k);
        cv_arena_free(arena);
    }
}

/* What looks alike and is taken. */
static const char *const taken[] = {
    GOOD_CLUSTER GOOD_USER GOOD_CONTEXT,
    "kind: Config\napiVersion: v1\npreferences: ''\nextensions:\n- {name: a, "
    "extension: {b: 1}}\n" GOOD_CLUSTER GOOD_USER GOOD_CONTEXT,
    USER(PAIR ", token: '', exec: null, username: '', as-groups: [], "
              "client-key: '', extensions: {a: b}"),
    CLUSTER("server: 'https://a', insecure-skip-tls-verify: true"),
    CLUSTER("server: 'https://a', disable-compression: true, proxy-url: '', "
            "certificate-authority-data: @A1@, insecure-skip-tls-verify: "
            "false, tls-server-name: kubernetes"),
    GOOD_CLUSTER MORE_USERS("exec: {command: ./x}") GOOD_CONTEXT,
    GOOD_CLUSTER MORE_USERS("token: x, as: admin") GOOD_CONTEXT,
    /* a cluster that no client key goes to is nobody's business here */
    GOOD_CLUSTER
    "- name: d\n  cluster: {server: 'http://b', proxy-url: x}\n" MORE_USERS(
        "token: x") GOOD_CONTEXT
    "- name: y\n  context: {cluster: d, user: v}\n"
    "- name: z\n  context: {cluster: gone, user: v}\n"
    "- name: nobody\n  context: {cluster: gone}\n"
    "- name: nothing\n",
    /* H28: told as they are, used for nothing */
    GOOD_CLUSTER GOOD_USER "contexts:\n- name: ../../x\n"
                           "  context: {cluster: c, user: u}\n",
    GOOD_CLUSTER GOOD_USER "contexts:\n- name: '-rf'\n"
                           "  context: {cluster: c, user: u}\n",
    GOOD_CLUSTER GOOD_USER "contexts:\n- name: .\n"
                           "  context: {cluster: c, user: u}\n",
    GOOD_CLUSTER GOOD_USER "contexts:\n- name: '=cmd|x'\n"
                           "  context: {cluster: c, user: u}\n",
    GOOD_CLUSTER GOOD_USER "contexts:\n- name: no\n"
                           "  context: {cluster: c, user: u}\n",
    GOOD_CLUSTER GOOD_USER "contexts:\n- name: 017\n"
                           "  context: {cluster: c, user: u}\n",
    GOOD_CLUSTER GOOD_USER "contexts:\n- name: 17\n"
                           "  context: {cluster: c, user: u}\n",
    GOOD_CLUSTER GOOD_USER "contexts:\n- name: \xd0\x96\n"
                           "  context: {cluster: c, user: u}\n",
};

static const char *const suffixes[] = {"x",  "rf",  "context", "cmd-x",
                                       "no", "017", "17",      "context"};

static void test_taken(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(taken); i++) {
        struct cv_err e;
        struct cv_kubeconfig *k = NULL;
        struct cv_arena *arena = new_arena();
        assert_ok(read_template(arena, taken[i], &k, &e), &e);
        assert_int_equal(k->n_identities, 1);
        size_t named = COUNT(taken) - COUNT(suffixes);
        assert_string_equal(k->identities[0].suffix,
                            i < named ? "x" : suffixes[i - named]);
        cv_arena_free(arena);
    }
}

/* A kubeconfig around a key and a certificate in PEM. */
static enum cv_status read_pair(struct cv_arena *arena, const char *key,
                                const char *certificate,
                                struct cv_kubeconfig **out, struct cv_err *e)
{
    struct cv_kubeconfig_want want = {.now_s = test_now()};
    struct cv_buf text;
    cv_err_init(e);
    cv_buf_init(&text, NULL, CV_MIB(1));
    cv_buf_add_str(&text, "clusters:\n- name: c\n  cluster: {server: "
                          "'https://a', insecure-skip-tls-verify: true}\n"
                          "users:\n- name: u\n  user:\n    client-key-data: ");
    cv_encode_base64(TEXT(key), &text);
    cv_buf_add_str(&text, "\n    client-certificate-data: ");
    cv_encode_base64(TEXT(certificate), &text);
    cv_buf_add_str(&text, "\n" GOOD_CONTEXT);
    enum cv_status st =
        cv_kubeconfig_read(arena, cv_buf_bytes(&text), &want, out, e);
    cv_buf_wipe(&text);
    return st;
}

static void assert_text(const cJSON *wanted, const char *key, const char *text)
{
    const cJSON *m = cJSON_GetObjectItemCaseSensitive(wanted, key);
    if (m != NULL) {
        assert_string_equal(text, m->valuestring);
    }
}

static void assert_facts(const cJSON *wanted, const struct cv_identity *id)
{
    char time[CV_CLOCK_TEXT_LEN];
    const struct cv_certificate *leaf = &id->leaf;
    assert_text(wanted, "subject", leaf->subject);
    assert_text(wanted, "issuer", leaf->issuer);
    assert_text(wanted, "serial", leaf->serial);
    assert_text(wanted, "not_before",
                cv_clock_format(leaf->not_before_s, time));
    assert_text(wanted, "not_after", cv_clock_format(leaf->not_after_s, time));
    const cJSON *chain = cJSON_GetObjectItem(wanted, "chain");
    assert_int_equal(id->chain.n, chain != NULL ? chain->valueint : 1);
    if (cJSON_HasObjectItem(wanted, "cut")) {
        assert_int_equal(strlen(leaf->subject), CV_CERTIFICATE_NAME_MAX + 3);
    }
    const cJSON *groups = cJSON_GetObjectItem(wanted, "groups");
    if (groups != NULL) {
        bool masters = false;
        assert_int_equal(leaf->n_groups, cJSON_GetArraySize(groups));
        for (size_t i = 0; i < leaf->n_groups; i++) {
            assert_string_equal(
                leaf->groups[i],
                cJSON_GetArrayItem(groups, (int)i)->valuestring);
            masters |= strcmp(leaf->groups[i], "system:masters") == 0;
        }
        assert_int_equal(leaf->masters, masters);
    }
    /* Nothing in it can do harm on a terminal. */
    for (const char *p = leaf->subject; *p != '\0'; p++) {
        assert_true(*p >= ' ' && *p <= '~');
    }
}

/* H36, H37, H38 and what of H30, H32, H34 is about certificates. */
static void test_certificates(void **state)
{
    (void)state;
    size_t n[2] = {0, 0};
    cJSON *file = read_json("kubeconfig/certificates.json");
    const cJSON *c = NULL;
    cJSON_ArrayForEach(c, cJSON_GetObjectItem(file, "cases"))
    {
        struct cv_err e;
        struct cv_kubeconfig *k = NULL;
        struct cv_arena *arena = new_arena();
        enum cv_status st =
            read_pair(arena, member(file, "key"), member(c, "pem"), &k, &e);
        bool bad = cJSON_HasObjectItem(c, "refused");
        if (bad != (st != CV_OK)) {
            print_error("%s\n", member(c, "name"));
        }
        if (bad) {
            bool expired = cJSON_HasObjectItem(c, "status");
            assert_refused(st, expired ? CV_EXPIRED : CV_INVALID, &e,
                           member(c, "refused"));
            assert_non_null(strstr(e.text, "users[0].user.client-"));
        } else {
            assert_ok(st, &e);
            assert_facts(c, &k->identities[0]);
        }
        n[bad]++;
        cv_arena_free(arena);
    }
    assert_true(n[0] > 20);
    assert_true(n[1] > 45);
    cJSON_Delete(file);
}

/* Validity is judged at the time given, to the second. */
static void test_validity(void **state)
{
    (void)state;
    static const struct {
        const char *now;
        enum cv_status wanted;
    } times[] = {
        /* 2026-11-22T04:10:40Z to 2031-11-22T04:10:40Z */
        {"2026-11-22T03:55:39Z", CV_INVALID},
        {"2026-11-22T03:55:40Z", CV_OK},
        {"2031-11-22T04:10:40Z", CV_OK},
        {"2031-11-22T04:10:41Z", CV_EXPIRED},
    };
    struct cv_buf text = expand(GOOD_CLUSTER GOOD_USER GOOD_CONTEXT);
    for (size_t i = 0; i < COUNT(times); i++) {
        struct cv_kubeconfig_want want = {.now_s = 0};
        struct cv_kubeconfig *k = NULL;
        struct cv_arena *arena = new_arena();
        assert_int_equal(cv_clock_parse(times[i].now, &want.now_s, NULL),
                         CV_OK);
        assert_int_equal(
            cv_kubeconfig_read(arena, cv_buf_bytes(&text), &want, &k, NULL),
            times[i].wanted);
        cv_arena_free(arena);
    }
    cv_buf_wipe(&text);
}

/* H15, H28 and the limits: large in one way each. */
static void test_large(void **state)
{
    (void)state;
    static const struct {
        const char *head, *unit;
        size_t n;
        const char *tail, *part;
    } shapes[] = {
        {"{\"users\": ", "[", 3000000, "", ""},
        {"users: ", "[", 3000000, "", "nested too deeply"},
        {"users:\n", "- {name: a}\n", 20001, "", "users: more than 20000"},
        {"contexts:\n- name: ", "a", 4096, "\n", "contexts[0].name: too long"},
        {"contexts:\n- name: ", "a", 513, "\n", "contexts[0].name: too long"},
        {"contexts:\n- name: ", "a", 512, "\n", "names no user"},
        {"a: ", "x", 4194302, "", "the kubeconfig is larger than"},
        {"{\"a\": \"", "x", 4194304, "\"}", "the kubeconfig is larger than"},
        {GOOD_CLUSTER GOOD_CONTEXT
         "users:\n- name: u\n  user:\n    client-certificate-data: @C1@\n"
         "    client-key-data: ",
         "QUFB", 200000, "\n", "users[0].user.client-key-data: "},
    };
    for (size_t i = 0; i < COUNT(shapes); i++) {
        struct cv_err e;
        struct cv_kubeconfig_want want = {.now_s = test_now()};
        struct cv_kubeconfig *k = NULL;
        struct cv_arena *arena = new_arena();
        struct cv_buf text = expand(shapes[i].head);
        cv_err_init(&e);
        for (size_t n = 0; n < shapes[i].n; n++) {
            cv_buf_add_str(&text, shapes[i].unit);
        }
        cv_buf_add_str(&text, shapes[i].tail);
        int64_t start = cv_clock_boot_ms();
        assert_refused(
            cv_kubeconfig_read(arena, cv_buf_bytes(&text), &want, &k, &e),
            CV_INVALID, &e, shapes[i].part);
        assert_true(cv_clock_boot_ms() - start < 60000);
        cv_buf_wipe(&text);
        cv_arena_free(arena);
    }
}

/* No value is in an error, whatever is wrong with it. */
static void test_silent(void **state)
{
    (void)state;
    static const char *const texts[] = {
        USER("client-key-data: SECRET*, client-certificate-data: @C1@"),
        USER("client-key-data: U0VDUkVU, client-certificate-data: @C1@"),
        USER(PAIR ", token: SECRET"),
        USER(PAIR ", password: SECRET"),
        USER("client-key: SECRET"),
        CLUSTER("server: 'https://SECRET@a'"),
        CLUSTER("server: 'SECRET'"),
        USER("token: SECRET, exec: {command: SECRET}"),
        "users: [SECRET]",
        "kind: SECRET",
        GOOD_CLUSTER GOOD_USER "contexts:\n- name: x\n"
                               "  context: {cluster: SECRET, user: u}\n",
    };
    for (size_t i = 0; i < COUNT(texts); i++) {
        struct cv_err e;
        struct cv_kubeconfig *k = NULL;
        struct cv_arena *arena = new_arena();
        assert_int_equal(read_template(arena, texts[i], &k, &e), CV_INVALID);
        assert_null(strstr(e.text, "SECRET"));
        assert_null(strstr(e.hint, "SECRET"));
        assert_null(strstr(e.state, "SECRET"));
        cv_arena_free(arena);
    }
}

/* An arena that is too small is an error like others; a NULL error is fine. */
static void test_small_arena(void **state)
{
    (void)state;
    struct cv_buf text = expand(GOOD_CLUSTER GOOD_USER GOOD_CONTEXT);
    bool taken_once = false;
    for (size_t size = 64; size < CV_KIB(512); size += size / 4) {
        struct cv_kubeconfig_want want = {.now_s = test_now()};
        struct cv_kubeconfig *k = NULL;
        struct cv_arena *arena = NULL;
        assert_int_equal(cv_arena_new(size, &arena, NULL), CV_OK);
        struct cv_err e;
        cv_err_init(&e);
        enum cv_status st = cv_kubeconfig_read(
            arena, cv_buf_bytes(&text), &want, &k, size % 2 == 0 ? &e : NULL);
        assert_int_equal(st == CV_OK, k != NULL);
        taken_once |= st == CV_OK;
        cv_arena_free(arena);
    }
    assert_true(taken_once);
    cv_buf_wipe(&text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_refused),      cmocka_unit_test(test_taken),
        cmocka_unit_test(test_certificates), cmocka_unit_test(test_validity),
        cmocka_unit_test(test_large),        cmocka_unit_test(test_silent),
        cmocka_unit_test(test_small_arena),
    };
    return cmocka_run_group_tests(tests, setup, NULL);
}
