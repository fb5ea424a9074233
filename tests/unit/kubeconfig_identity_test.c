/* From users, clusters and contexts to identities. */
#include "tests/unit/kubeconfig_template.h"

#include "vault/yaml/yaml.h"

#include <sodium.h>

#define TWO_USERS                                           \
    GOOD_USER "- name: v\n  user: {client-key-data: @K4@, " \
              "client-certificate-data: @C4@}\n"

/* What a kubeconfig comes to, in one line: each identity as
 * SUFFIX(KEY): CONTEXT/CLUSTER[!][*] ...; ! not verified, * the default; then
 * those left alone, as -USER: WHY. */
static void describe(const struct cv_kubeconfig *k, struct cv_buf *out)
{
    for (size_t i = 0; i < k->n_identities; i++) {
        const struct cv_identity *id = &k->identities[i];
        cv_buf_add_format(out, "%s(%s):", id->suffix, id->key.type);
        for (size_t c = 0; c < id->n_contexts; c++) {
            const struct cv_identity_context *context = &id->contexts[c];
            cv_buf_add_format(out, " %s/%s%s%s", context->name,
                              context->cluster, context->verify ? "" : "!",
                              context->is_default ? "*" : "");
        }
        cv_buf_add_str(out, "; ");
    }
    for (size_t i = 0; i < k->n_left; i++) {
        cv_buf_add_format(out, "-%s: %s; ", k->left[i].user, k->left[i].why);
    }
}

static const struct {
    const char *text;
    const char *expected;
} cases[] = {
    {GOOD_CLUSTER GOOD_USER GOOD_CONTEXT, "x(RSA): x/c*; "},
    /* two keys, one CA */
    {GOOD_CLUSTER TWO_USERS GOOD_CONTEXT
     "- name: y\n  context: {cluster: c, user: v}\n",
     "x(RSA): x/c*; y(EC): y/c*; "},
    /* one key, two CAs */
    {GOOD_CLUSTER "- name: d\n  cluster: {server: 'https://b', "
                  "certificate-authority-data: @A4@}\n" GOOD_USER GOOD_CONTEXT
                  "- name: y\n  context: {cluster: d, user: u}\n",
     "x(RSA): x/c*; y(RSA): y/d*; "},
    /* one key, one CA, two clusters and two users with that key */
    {GOOD_CLUSTER
     "- name: d\n  cluster: {server: 'https://b', certificate-authority-data: "
     "@A1@}\n" GOOD_USER
     "- name: v\n  user: {client-key-data: @K1@, client-certificate-data: "
     "@C1@}\n" GOOD_CONTEXT "- name: y\n  context: {cluster: d, user: v}\n",
     "x(RSA): x/c* y/d; "},
    /* one without a CA joins, also when it comes first */
    {GOOD_CLUSTER "- name: d\n  cluster: {server: 'https://b', "
                  "insecure-skip-tls-verify: true}\n" GOOD_USER
                  "contexts:\n- name: y\n  context: {cluster: d, user: u}\n"
                  "- name: x\n  context: {cluster: c, user: u}\n",
     "y(RSA): y/d! x/c*; "},
    /* alone it makes its own */
    {"clusters:\n- name: d\n  cluster: {server: 'https://b'}\n" GOOD_USER
     "contexts:\n- name: y\n  context: {cluster: d, user: u}\n",
     "y(RSA): y/d!*; "},
    /* with another key it joins nothing */
    {GOOD_CLUSTER
     "- name: d\n  cluster: {server: 'https://b'}\n" TWO_USERS GOOD_CONTEXT
     "- name: y\n  context: {cluster: d, user: v}\n",
     "x(RSA): x/c*; y(EC): y/d!*; "},
    /* the default */
    {GOOD_CLUSTER GOOD_USER GOOD_CONTEXT
     "- name: y\n  context: {cluster: c, user: u}\ncurrent-context: y\n",
     "x(RSA): x/c y/c*; "},
    {GOOD_CLUSTER GOOD_USER GOOD_CONTEXT
     "- name: internal\n  context: {cluster: c, user: u}\ncurrent-context: x\n",
     "x(RSA): x/c internal/c*; "},
    {GOOD_CLUSTER GOOD_USER
     "contexts:\n- name: internal\n  context: {cluster: c, user: u}\n"
     "- name: externalTLSVerify\n  context: {cluster: c, user: u}\n"
     "current-context: internal\n",
     "internal(RSA): internal/c externalTLSVerify/c*; "},
    {GOOD_CLUSTER "- name: d\n  cluster: {server: 'https://b'}\n" GOOD_USER
                  "contexts:\n- name: internal\n  context: {cluster: d, user: "
                  "u}\n- name: y\n  context: {cluster: c, user: u}\n",
     "internal(RSA): internal/d! y/c*; "},
    /* left alone */
    {GOOD_CLUSTER TWO_USERS
     "- name: t\n  user: {token: x, exec: {command: y}}\n"
     "- name: p\n  user: {username: x, password: y}\n"
     "- name: a\n  user: {auth-provider: {name: y}}\n"
     "- name: n\n"
     "- name: 5\n  user: {}\n" GOOD_CONTEXT
     "- name: y\n  context: {cluster: c, user: t}\n",
     "x(RSA): x/c*; -v: no context uses its key; -t: token, exec; -p: "
     "password; -a: auth-provider; -n: no credentials; -5: no credentials; "},
    /* suffixes differ and are safe */
    {GOOD_CLUSTER "- name: d\n  cluster: {server: 'https://b', "
                  "certificate-authority-data: @A4@}\n" TWO_USERS
                  "contexts:\n- name: a/b\n  context: {cluster: c, user: u}\n"
                  "- name: a b\n  context: {cluster: d, user: u}\n"
                  "- name: a-b-2\n  context: {cluster: c, user: v}\n"
                  "- name: a..b--\n  context: {cluster: d, user: v}\n",
     "a-b(RSA): a/b/c*; a-b-2(RSA): a b/d*; a-b-2-2(EC): a-b-2/c*; "
     "a.-b(EC): a..b--/d*; "},
};

static void test_cases(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct cv_err e;
        struct cv_buf out;
        struct cv_kubeconfig *k = NULL;
        struct cv_arena *arena = new_arena();
        cv_buf_init(&out, NULL, CV_KIB(4));
        assert_ok(read_template(arena, cases[i].text, &k, &e), &e);
        describe(k, &out);
        assert_string_equal(cv_buf_text(&out), cases[i].expected);
        cv_buf_wipe(&out);
        cv_arena_free(arena);
    }
}

/* Only the contexts asked for. */
static void test_wanted(void **state)
{
    (void)state;
    static const char text[] =
        GOOD_CLUSTER TWO_USERS "- name: t\n  user: {token: x}\n" GOOD_CONTEXT
                               "- name: y\n  context: {cluster: c, user: v}\n"
                               "- name: z\n  context: {cluster: c, user: t}\n"
                               "- name: w\n  context: {cluster: c, user: v}\n";
    static const struct {
        const char *names[3];
        enum cv_status wanted;
        const char *expected;
    } tries[] = {
        {{"x"},
         CV_OK,
         "x(RSA): x/c*; -v: not among the contexts asked for; -t: token; "},
        {{"w", "x"}, CV_OK, "x(RSA): x/c*; w(EC): w/c*; -t: token; "},
        {{"y", "y"},
         CV_OK,
         "y(EC): y/c*; -u: not among the contexts asked for; -t: token; "},
        {{"y", "gone"}, CV_NOT_FOUND, "no context gone"},
        {{"\033[2J"}, CV_NOT_FOUND, "no context ?[2J"},
        {{"z"}, CV_INVALID, "no client key to take"},
    };
    struct cv_buf source = expand(text);
    for (size_t i = 0; i < COUNT(tries); i++) {
        struct cv_err e;
        struct cv_buf out;
        struct cv_kubeconfig_want want = {.now_s = test_now(),
                                          .contexts = tries[i].names};
        struct cv_kubeconfig *k = NULL;
        struct cv_arena *arena = new_arena();
        while (want.n_contexts < 3 && tries[i].names[want.n_contexts] != NULL) {
            want.n_contexts++;
        }
        cv_err_init(&e);
        cv_buf_init(&out, NULL, CV_KIB(4));
        enum cv_status st =
            cv_kubeconfig_read(arena, cv_buf_bytes(&source), &want, &k, &e);
        if (tries[i].wanted == CV_OK) {
            assert_ok(st, &e);
            describe(k, &out);
            assert_string_equal(cv_buf_text(&out), tries[i].expected);
        } else {
            assert_refused(st, tries[i].wanted, &e, tries[i].expected);
        }
        cv_buf_wipe(&out);
        cv_arena_free(arena);
    }
    cv_buf_wipe(&source);
}

/* H29: the same names from two clusters are two identities; the same key and
 * CA are one whatever the names and addresses. */
static void test_same(void **state)
{
    (void)state;
    struct cv_err e;
    struct cv_kubeconfig *a = NULL;
    struct cv_kubeconfig *b = NULL;
    struct cv_kubeconfig *c = NULL;
    struct cv_arena *arena = new_arena();
    assert_ok(read_template(arena, GOOD_CLUSTER GOOD_USER GOOD_CONTEXT, &a, &e),
              &e);
    assert_ok(
        read_template(arena,
                      "clusters:\n- name: c\n  cluster: {server: "
                      "'https://a.example', certificate-authority-data: @A4@}\n"
                      "users:\n- name: u\n  user: {client-key-data: @K4@, "
                      "client-certificate-data: @C4@}\n" GOOD_CONTEXT,
                      &b, &e),
        &e);
    assert_ok(read_template(
                  arena,
                  "clusters:\n- name: cc\n  cluster: {server: "
                  "'https://b.example', certificate-authority-data: @A1@}\n"
                  "users:\n- name: uu\n  user: {client-key-data: @K1@, "
                  "client-certificate-data: @C1@}\n"
                  "contexts:\n- name: xx\n  context: {cluster: cc, user: uu}\n",
                  &c, &e),
              &e);
    const struct cv_identity *x = &a->identities[0];
    const struct cv_identity *y = &b->identities[0];
    const struct cv_identity *z = &c->identities[0];
    assert_memory_not_equal(x->key.spki_sha256, y->key.spki_sha256, 32);
    assert_memory_not_equal(x->ca_set, y->ca_set, 32);
    assert_memory_equal(x->key.spki_sha256, z->key.spki_sha256, 32);
    assert_memory_equal(x->ca_set, z->ca_set, 32);
    assert_memory_equal(x->key.digest, z->key.digest, 32);
    cv_arena_free(arena);
}

/* Appends CA certificates of the samples as one bundle in base64. */
static void add_bundle(struct cv_buf *out, const char *numbers)
{
    struct cv_buf pem;
    cv_buf_init(&pem, NULL, CV_KIB(64));
    for (const char *p = numbers; *p != '\0'; p++) {
        struct cv_buf one;
        cv_buf_init(&one, NULL, CV_KIB(64));
        add_sample(&one, 'A', *p);
        assert_int_equal(
            cv_decode_base64(cv_buf_text(&one), one.len, true, "", &pem, NULL),
            CV_OK);
        cv_buf_wipe(&one);
    }
    cv_encode_base64(cv_buf_bytes(&pem), out);
    cv_buf_wipe(&pem);
}

/* A CA set is one whatever the order and number of its certificates; without
 * any it is the hash of nothing. */
static void test_ca_sets(void **state)
{
    (void)state;
    static const char *const bundles[] = {"14", "41", "1441", "1", "4", ""};
    uint8_t sets[COUNT(bundles)][32];
    for (size_t i = 0; i < COUNT(bundles); i++) {
        struct cv_err e;
        struct cv_kubeconfig *k = NULL;
        struct cv_arena *arena = new_arena();
        struct cv_buf text;
        cv_buf_init(&text, NULL, CV_KIB(256));
        cv_buf_add_str(&text, "clusters:\n- name: c\n  cluster: {server: "
                              "'https://a', certificate-authority-data: ");
        cv_buf_add_str(&text, bundles[i][0] == '\0' ? "''" : "");
        add_bundle(&text, bundles[i]);
        cv_buf_add_str(&text, "}\n" GOOD_USER GOOD_CONTEXT);
        assert_ok(read_template(arena, cv_buf_text(&text), &k, &e), &e);
        memcpy(sets[i], k->identities[0].ca_set, 32);
        cv_buf_wipe(&text);
        cv_arena_free(arena);
    }
    uint8_t nothing[32];
    crypto_hash_sha256(nothing, NULL, 0);
    assert_memory_equal(sets[0], sets[1], 32);
    assert_memory_equal(sets[0], sets[2], 32);
    assert_memory_not_equal(sets[0], sets[3], 32);
    assert_memory_not_equal(sets[3], sets[4], 32);
    assert_memory_equal(sets[5], nothing, 32);
}

/* More contexts than an entry takes; as many as it does. */
static void test_limits(void **state)
{
    (void)state;
    for (unsigned n = CV_LIMIT_CONTEXTS; n <= CV_LIMIT_CONTEXTS + 1; n++) {
        struct cv_err e;
        struct cv_kubeconfig *k = NULL;
        struct cv_arena *arena = new_arena();
        struct cv_buf text;
        cv_buf_init(&text, NULL, CV_KIB(256));
        cv_buf_add_str(&text, GOOD_CLUSTER GOOD_USER "contexts:\n");
        for (unsigned i = 0; i < n; i++) {
            cv_buf_add_format(
                &text, "- name: x%u\n  context: {cluster: c, user: u}\n", i);
        }
        enum cv_status st = read_template(arena, cv_buf_text(&text), &k, &e);
        if (n == CV_LIMIT_CONTEXTS) {
            assert_ok(st, &e);
            assert_int_equal(k->identities[0].n_contexts, n);
        } else {
            assert_refused(st, CV_INVALID, &e, "more than 64 contexts");
        }
        cv_buf_wipe(&text);
        cv_arena_free(arena);
    }
}

/* As many identities as one message takes, and one more: one key, and clusters
 * whose CA sets are different choices of ten certificates. */
static void test_many(void **state)
{
    (void)state;
    cJSON *file = read_json("kubeconfig/certificates.json");
    const cJSON *list = cJSON_GetObjectItem(file, "cases");
    for (unsigned n = CV_LIMIT_BATCH; n <= CV_LIMIT_BATCH + 1; n++) {
        struct cv_err e;
        struct cv_kubeconfig *k = NULL;
        struct cv_buf text;
        struct cv_arena *arena = new_arena();
        cv_buf_init(&text, NULL, CV_MIB(8));
        cv_buf_add_str(&text, GOOD_USER "clusters:\n");
        for (unsigned i = 1; i <= n; i++) {
            struct cv_buf pem;
            cv_buf_init(&pem, NULL, CV_KIB(256));
            for (int bit = 0; bit < 10; bit++) {
                const cJSON *c = cJSON_GetArrayItem(list, bit);
                cv_buf_add_str(&pem, (i >> bit & 1) ? member(c, "pem") : "");
            }
            cv_buf_add_format(&text,
                              "- name: c%u\n  cluster: {server: "
                              "'https://a', certificate-authority-data: ",
                              i);
            cv_encode_base64(cv_buf_bytes(&pem), &text);
            cv_buf_add_str(&text, "}\n");
            cv_buf_wipe(&pem);
        }
        cv_buf_add_str(&text, "contexts:\n");
        for (unsigned i = 1; i <= n; i++) {
            cv_buf_add_format(
                &text, "- name: x\\%u\n  context: {cluster: c%u, user: u}\n",
                i % 2 == 0 ? i : 1000 + i, i);
        }
        enum cv_status st = read_template(arena, cv_buf_text(&text), &k, &e);
        if (n == CV_LIMIT_BATCH) {
            assert_ok(st, &e);
            assert_int_equal(k->n_identities, n);
        } else {
            assert_refused(st, CV_INVALID, &e, "more than 500 client");
        }
        cv_buf_wipe(&text);
        cv_arena_free(arena);
    }
    cJSON_Delete(file);
}

/* A key with two certificates: the one that lasts longer is kept, whatever the
 * order, and that is told. */
static void test_two_certificates(void **state)
{
    (void)state;
    cJSON *file = read_json("kubeconfig/certificates.json");
    const cJSON *pair[2] = {NULL, NULL};
    const cJSON *c = NULL;
    cJSON_ArrayForEach(c, cJSON_GetObjectItem(file, "cases"))
    {
        pair[0] = strcmp(member(c, "name"), "plain") == 0 ? c : pair[0];
        pair[1] = strcmp(member(c, "name"), "to 2049") == 0 ? c : pair[1];
    }
    for (size_t first = 0; first < 2; first++) {
        struct cv_err e;
        struct cv_buf text;
        struct cv_kubeconfig *k = NULL;
        char time[CV_CLOCK_TEXT_LEN];
        struct cv_arena *arena = new_arena();
        cv_buf_init(&text, NULL, CV_KIB(64));
        cv_buf_add_str(&text, GOOD_CLUSTER "users:\n");
        for (size_t i = 0; i < 2; i++) {
            cv_buf_add_format(&text,
                              "- name: u%zu\n  user: {client-key-data: ", i);
            cv_encode_base64(TEXT(member(file, "key")), &text);
            cv_buf_add_str(&text, ", client-certificate-data: ");
            cv_encode_base64(TEXT(member(pair[(first + i) % 2], "pem")), &text);
            cv_buf_add_str(&text, "}\n");
        }
        cv_buf_add_str(&text,
                       "contexts:\n- name: x\n  context: {cluster: c, user: "
                       "u0}\n- name: y\n  context: {cluster: c, user: u1}\n");
        assert_ok(read_template(arena, cv_buf_text(&text), &k, &e), &e);
        const struct cv_identity *id = &k->identities[0];
        assert_int_equal(k->n_identities, 1);
        assert_int_equal(id->n_contexts, 2);
        assert_string_equal(cv_clock_format(id->leaf.not_after_s, time),
                            "2049-12-31T23:59:59Z");
        assert_memory_equal(id->leaf.der.data, id->chain.der[0].data,
                            id->leaf.der.len);
        assert_int_equal(id->n_notes, 2);
        assert_non_null(strstr(id->notes[1], "more than one certificate"));
        cv_buf_wipe(&text);
        cv_arena_free(arena);
    }
    cJSON_Delete(file);
}

/* What is worth telling is told where it belongs. */
static void test_notes(void **state)
{
    (void)state;
    struct cv_err e;
    struct cv_kubeconfig *k = NULL;
    struct cv_arena *arena = new_arena();
    assert_ok(
        read_template(arena,
                      GOOD_CLUSTER
                      "- name: d\n  cluster: {server: 'https://b', "
                      "insecure-skip-tls-verify: true}\n"
                      "- name: e\n  cluster: {server: 'https://e'}\n" GOOD_USER
                          GOOD_CONTEXT
                      "- name: y\n  context: {cluster: d, user: u}\n"
                      "- name: z\n  context: {cluster: e, user: u}\n"
                      "current-context: gone\n",
                      &k, &e),
        &e);
    const struct cv_identity *id = &k->identities[0];
    assert_int_equal(id->n_notes, 3);
    assert_non_null(strstr(id->notes[0], "system:masters"));
    assert_string_equal(id->notes[1],
                        "context \"y\" does not verify its server");
    assert_string_equal(id->notes[2], "context \"z\" names no CA: its server "
                                      "is taken as not verified");
    assert_int_equal(k->n_notes, 1);
    assert_non_null(strstr(k->notes[0], "current-context"));
    cv_arena_free(arena);
}

/* JSON and YAML of one document come to the same. */
static void test_json(void **state)
{
    (void)state;
    struct cv_err e;
    struct cv_kubeconfig *k[2] = {NULL, NULL};
    struct cv_buf out[2];
    struct cv_arena *arena = new_arena();
    cJSON *tree = NULL;
    struct cv_buf yaml = expand(GOOD_CLUSTER GOOD_USER GOOD_CONTEXT);
    struct cv_kubeconfig_want want = {.now_s = test_now()};
    cv_err_init(&e);
    assert_ok(cv_yaml_parse(NULL, cv_buf_bytes(&yaml), &tree, NULL, NULL, &e),
              &e);
    struct cv_buf json;
    cv_buf_init(&json, NULL, CV_MIB(1));
    cv_buf_add_str(&json, " \r\n");
    cv_json_write(tree, CV_JSON_PRETTY, &json);
    assert_ok(cv_kubeconfig_read(arena, cv_buf_bytes(&yaml), &want, &k[0], &e),
              &e);
    assert_ok(cv_kubeconfig_read(arena, cv_buf_bytes(&json), &want, &k[1], &e),
              &e);
    for (size_t i = 0; i < 2; i++) {
        cv_buf_init(&out[i], NULL, CV_MIB(1));
        cJSON *o = cv_identity_to_json(&k[i]->identities[0]);
        assert_non_null(o);
        cv_json_write(o, CV_JSON_CANONICAL, &out[i]);
        cJSON_Delete(o);
    }
    assert_string_equal(cv_buf_text(&out[0]), cv_buf_text(&out[1]));
    cv_buf_wipe(&out[0]);
    cv_buf_wipe(&out[1]);
    cv_buf_wipe(&yaml);
    cv_buf_wipe(&json);
    cJSON_Delete(tree);
    cv_arena_free(arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_cases),  cmocka_unit_test(test_wanted),
        cmocka_unit_test(test_same),   cmocka_unit_test(test_ca_sets),
        cmocka_unit_test(test_limits), cmocka_unit_test(test_many),
        cmocka_unit_test(test_notes),  cmocka_unit_test(test_two_certificates),
        cmocka_unit_test(test_json),
    };
    return cmocka_run_group_tests(tests, setup, NULL);
}
