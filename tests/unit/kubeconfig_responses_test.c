/* Every sample answer of the cloud's clustercert call does what its `expect`
 * says. */
#include "tests/unit/kubeconfig_test.h"

#include "vault/kubeconfig/kubeconfig.h"

#include <sodium.h>
#include <time.h>

/* What the read must be refused with; those not named here are taken. */
static const struct {
    const char *file;
    enum cv_status status;
    const char *part; /* of the error */
} refused[] = {
    {"10-expired-cert.json", CV_EXPIRED,
     "users[0].user.client-certificate-data: the certificate expired at "
     "2021-01-31T00:00:00Z"},
    {"11-key-mismatch.json", CV_INVALID,
     "users[0].user.client-key-data: it is not the certificate's key"},
    {"12-bad-base64.json", CV_INVALID,
     "users[0].user.client-key-data: its value: not base64"},
    {"13-no-users.json", CV_INVALID, "names no user"},
    {"15-encrypted-key.json", CV_INVALID,
     "users[0].user.client-key-data: the key is encrypted"},
    {"17-truncated.json", CV_INVALID, ""},
};

static const char *const taken[] = {
    "01-internal-rsa2048-pkcs1.json",
    "02-three-contexts-rsa2048-pkcs1.json",
    "03-three-contexts-rsa3072-pkcs8.json",
    "04-internal-ec-p256-sec1-prefs-string.json",
    "05-three-contexts-ec-p384-pkcs8.json",
    "06-chain-of-two.json",
    "07-autopilot-rsa4096.json",
    "08-agency-unknown-fields-reordered.json",
    "09-internal-ec-p521-params.json",
    "14-base64-wrapped.json",
};

/* The one whose `expect` leaves a choice: a note, not a refusal. */
static const char dangling[] = "16-dangling-current-context.json";

static cJSON *read_response(const char *name)
{
    char path[128];
    (void)snprintf(path, sizeof(path), "cce/responses/%s", name);
    return read_json(path);
}

/* The answer's bytes, as they would come. */
static struct cv_buf body_of(const cJSON *response)
{
    struct cv_buf b;
    cv_buf_init(&b, NULL, CV_MIB(1));
    const cJSON *body = cJSON_GetObjectItemCaseSensitive(response, "body");
    if (body != NULL) {
        cv_json_write(body, CV_JSON_COMPACT, &b);
    } else {
        cv_buf_add_str(&b, member(response, "body_text"));
    }
    assert_int_equal(b.status, CV_OK);
    return b;
}

/* "RSA-2048" or "EC P-256", as the samples write it. */
static void assert_type(const struct cv_private_key *key, const char *expected)
{
    char type[32];
    (void)snprintf(type, sizeof(type), "%s%s%d", key->type,
                   strcmp(key->type, "EC") == 0 ? " P-" : "-", key->bits);
    assert_string_equal(type, expected);
}

static void assert_hex(struct cv_bytes bytes, const char *expected)
{
    struct cv_buf hex;
    cv_buf_init(&hex, NULL, 256);
    cv_encode_hex(bytes, &hex);
    assert_string_equal(cv_buf_text(&hex), expected);
    cv_buf_wipe(&hex);
}

/* "Nov 22 04:10:40 2026 GMT" */
static void assert_time(int64_t t, const char *expected)
{
    char text[40];
    struct tm tm;
    time_t seconds = (time_t)t;
    assert_non_null(gmtime_r(&seconds, &tm));
    assert_true(strftime(text, sizeof(text), "%b %e %H:%M:%S %Y GMT", &tm) > 0);
    assert_string_equal(text, expected);
}

static void assert_leaf_digest(const struct cv_identity *id,
                               const char *expected)
{
    uint8_t set[32];
    uint8_t leaf[32];
    struct cv_certificate_list one = {id->chain.der, 1, NULL};
    struct cv_buf twice;
    /* The set of one certificate is the digest of its digest. */
    assert_int_equal(cv_certificate_set(&one, set, NULL), CV_OK);
    assert_int_equal(cv_decode_hex_exact(expected, "leaf", leaf, 32, NULL),
                     CV_OK);
    cv_buf_init(&twice, NULL, 32);
    cv_buf_add(&twice, leaf, 32);
    uint8_t again[32];
    crypto_hash_sha256(again, twice.data, twice.len);
    assert_memory_equal(set, again, 32);
    cv_buf_wipe(&twice);
}

static void assert_expected(const struct cv_kubeconfig *k, const cJSON *expect)
{
    const struct cv_identity *id = &k->identities[0];
    const cJSON *contexts = cJSON_GetObjectItem(expect, "contexts");
    assert_int_equal(k->n_identities, 1);
    assert_int_equal(k->n_left, 0);
    assert_int_equal(id->n_contexts, cJSON_GetArraySize(contexts));
    for (size_t i = 0; i < id->n_contexts; i++) {
        const char *name = id->contexts[i].name;
        assert_string_equal(name,
                            cJSON_GetArrayItem(contexts, (int)i)->valuestring);
        bool ca = strcmp(name, "external") != 0;
        assert_int_equal(id->contexts[i].verify, ca);
        assert_int_equal(id->contexts[i].ca_pem != NULL, ca);
        const char *best =
            id->n_contexts == 3 ? "externalTLSVerify" : "internal";
        assert_int_equal(id->contexts[i].is_default, strcmp(name, best) == 0);
    }
    assert_type(&id->key, member(expect, "key_type"));
    assert_int_equal(id->chain.n,
                     cJSON_GetObjectItem(expect, "chain_length")->valueint);
    struct cv_bytes spki = {id->key.spki_sha256, 32};
    assert_hex(spki, member(expect, "leaf_spki_sha256"));
    assert_leaf_digest(id, member(expect, "leaf_sha256"));
    assert_string_equal(id->leaf.serial, member(expect, "leaf_serial"));
    assert_string_equal(id->leaf.subject, member(expect, "leaf_subject"));
    assert_string_equal(id->leaf.issuer, member(expect, "leaf_issuer"));
    assert_time(id->leaf.not_before_s, member(expect, "leaf_not_before"));
    assert_time(id->leaf.not_after_s, member(expect, "leaf_not_after"));
    assert_int_equal(id->leaf.n_groups, 1);
    assert_int_equal(id->leaf.masters,
                     strcmp(id->leaf.groups[0], "system:masters") == 0);
}

static void test_taken(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(taken); i++) {
        struct cv_err e;
        struct cv_kubeconfig_want want = {.now_s = test_now()};
        struct cv_kubeconfig *k = NULL;
        struct cv_arena *arena = new_arena();
        cJSON *response = read_response(taken[i]);
        struct cv_buf body = body_of(response);
        cv_err_init(&e);
        print_message("%s\n", taken[i]);
        assert_ok(cv_kubeconfig_read(arena, cv_buf_bytes(&body), &want, &k, &e),
                  &e);
        assert_expected(k, cJSON_GetObjectItem(response, "expect"));
        assert_int_equal(k->n_notes, 0);
        cv_buf_wipe(&body);
        cJSON_Delete(response);
        cv_arena_free(arena);
    }
}

static void test_refused(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(refused); i++) {
        struct cv_err e;
        struct cv_kubeconfig_want want = {.now_s = test_now()};
        struct cv_kubeconfig *k = NULL;
        struct cv_arena *arena = new_arena();
        cJSON *response = read_response(refused[i].file);
        struct cv_buf body = body_of(response);
        cv_err_init(&e);
        assert_refused(
            cv_kubeconfig_read(arena, cv_buf_bytes(&body), &want, &k, &e),
            refused[i].status, &e, refused[i].part);
        assert_null(k);
        cv_buf_wipe(&body);
        cJSON_Delete(response);
        cv_arena_free(arena);
    }
}

static void test_dangling(void **state)
{
    (void)state;
    struct cv_err e;
    struct cv_kubeconfig_want want = {.now_s = test_now()};
    struct cv_kubeconfig *k = NULL;
    struct cv_arena *arena = new_arena();
    cJSON *response = read_response(dangling);
    struct cv_buf body = body_of(response);
    cv_err_init(&e);
    assert_ok(cv_kubeconfig_read(arena, cv_buf_bytes(&body), &want, &k, &e),
              &e);
    assert_int_equal(k->n_identities, 1);
    assert_int_equal(k->n_notes, 1);
    assert_non_null(strstr(k->notes[0], "current-context"));
    assert_true(k->identities[0].contexts[2].is_default);
    cv_buf_wipe(&body);
    cJSON_Delete(response);
    cv_arena_free(arena);
}

/* No sample with a kubeconfig is left out above. */
static void test_complete(void **state)
{
    (void)state;
    size_t n = 0;
    cJSON *index = read_json("cce/responses/index.json");
    const cJSON *entry = NULL;
    cJSON_ArrayForEach(entry, index)
    {
        n += member(entry, "file")[0] < '2';
    }
    assert_int_equal(n, COUNT(taken) + 1 + COUNT(refused));
    cJSON_Delete(index);
}

/* The identity as other programs get it. */
static void test_json(void **state)
{
    (void)state;
    struct cv_err e;
    struct cv_kubeconfig_want want = {.now_s = test_now()};
    struct cv_kubeconfig *k = NULL;
    struct cv_arena *arena = new_arena();
    cJSON *response = read_response(taken[1]);
    struct cv_buf body = body_of(response);
    cv_err_init(&e);
    assert_ok(cv_kubeconfig_read(arena, cv_buf_bytes(&body), &want, &k, &e),
              &e);
    cJSON *json = cv_identity_to_json(&k->identities[0]);
    const cJSON *expect = cJSON_GetObjectItem(response, "expect");
    const cJSON *key = cJSON_GetObjectItem(json, "key");
    const cJSON *leaf = cJSON_GetObjectItem(json, "certificate");
    const cJSON *contexts = cJSON_GetObjectItem(json, "contexts");
    assert_string_equal(member(json, "suffix"), "internal");
    assert_string_equal(member(key, "type"), "RSA");
    assert_string_equal(member(key, "spki_sha256"),
                        member(expect, "leaf_spki_sha256"));
    assert_int_equal(cJSON_GetObjectItem(key, "bits")->valueint, 2048);
    assert_string_equal(member(leaf, "not_after"), "2031-11-22T04:10:40Z");
    assert_string_equal(
        cJSON_GetArrayItem(cJSON_GetObjectItem(leaf, "groups"), 0)->valuestring,
        "system:masters");
    assert_int_equal(cJSON_GetArraySize(contexts), 3);
    const cJSON *external = cJSON_GetArrayItem(contexts, 1);
    assert_string_equal(member(external, "name"), "external");
    assert_string_equal(member(external, "cluster"), "externalCluster");
    assert_string_equal(member(external, "server"),
                        "https://203.0.113.25:5443");
    assert_string_equal(member(external, "verify"), "none");
    assert_null(cJSON_GetObjectItem(external, "ca"));
    assert_int_equal(strlen(member(json, "digest")), 64);
    assert_int_equal(strlen(member(json, "ca_set")), 64);
    /* Told: system:masters, and the context that verifies nothing. */
    assert_int_equal(cJSON_GetArraySize(cJSON_GetObjectItem(json, "notes")), 2);

    /* Nothing of the key is in it. */
    struct cv_buf text;
    cv_buf_init(&text, NULL, CV_MIB(1));
    cv_json_write(json, CV_JSON_COMPACT, &text);
    assert_null(strstr(cv_buf_text(&text), "PRIVATE"));
    cv_buf_wipe(&text);
    cJSON_Delete(json);
    cv_buf_wipe(&body);
    cJSON_Delete(response);
    cv_arena_free(arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_taken),    cmocka_unit_test(test_refused),
        cmocka_unit_test(test_dangling), cmocka_unit_test(test_complete),
        cmocka_unit_test(test_json),
    };
    return cmocka_run_group_tests(tests, setup, NULL);
}
