/* vault/seal/hop.h: the local hop's certificates, read again by libcrypto's
 * own verifier. */
#include "tests/unit/seal_test.h"

#include "vault/base/limits.h"
#include "vault/seal/hop.h"
#include "vault/seal/keyring.h"
#include "vault/seal/match.h"

#include <openssl/pem.h>
#include <openssl/x509v3.h>

#define NOW ((int64_t)1800000000)
#define DAY ((int64_t)86400)
#define GRANT "00112233445566778899aabbccddeeff"
#define OTHER "10112233445566778899aabbccddeeff"

static X509 *parse(const char *pem)
{
    BIO *bio = BIO_new_mem_buf(pem, -1);
    X509 *x = PEM_read_bio_X509(bio, NULL, NULL, NULL);

    BIO_free(bio);
    assert_non_null(x);
    return x;
}

/* Verifies `leaf` under `ca` for `purpose` at `when`. */
static bool verifies(const char *ca, const char *leaf, int purpose,
                     int64_t when, const char *ip, const char *host)
{
    X509_STORE *store = X509_STORE_new();
    X509_STORE_CTX *ctx = X509_STORE_CTX_new();
    X509 *root = parse(ca), *x = parse(leaf);
    X509_VERIFY_PARAM *param;
    bool ok;

    assert_int_equal(X509_STORE_add_cert(store, root), 1);
    assert_int_equal(X509_STORE_CTX_init(ctx, store, x, NULL), 1);
    param = X509_STORE_CTX_get0_param(ctx);
    X509_VERIFY_PARAM_set_flags(param, X509_V_FLAG_X509_STRICT);
    X509_VERIFY_PARAM_set_purpose(param, purpose);
    X509_VERIFY_PARAM_set_time(param, (time_t)when);
    if (ip != NULL) {
        assert_int_equal(X509_VERIFY_PARAM_set1_ip_asc(param, ip), 1);
    }
    if (host != NULL) {
        assert_int_equal(X509_VERIFY_PARAM_set1_host(param, host, 0), 1);
    }
    ok = X509_verify_cert(ctx) == 1;
    X509_free(x);
    X509_free(root);
    X509_STORE_CTX_free(ctx);
    X509_STORE_free(store);
    return ok;
}

struct made {
    struct cv_arena *arena;
    struct cv_hop_pair ca, server;
};

static void make(struct made *m)
{
    struct cv_err e;

    cv_err_init(&e);
    m->arena = new_arena();
    assert_ok(cv_hop_make_ca(NOW, m->arena, &m->ca, &e), &e);
    assert_ok(cv_hop_make_server(cv_buf_bytes(&m->ca.certificate),
                                 m->ca.key_der, NOW, m->arena, &m->server, &e),
              &e);
}

static void unmake(struct made *m)
{
    cv_buf_wipe(&m->ca.certificate);
    cv_buf_wipe(&m->server.certificate);
    cv_arena_free(m->arena);
}

static void test_server(void **state)
{
    struct made m;
    const char *ca, *leaf;
    struct cv_err e;
    uint8_t spki[CV_BOX_DIGEST_LEN];

    (void)state;
    cv_err_init(&e);
    make(&m);
    ca = cv_buf_text(&m.ca.certificate);
    leaf = cv_buf_text(&m.server.certificate);
    assert_true(
        verifies(ca, leaf, X509_PURPOSE_SSL_SERVER, NOW, "127.0.0.1", NULL));
    assert_true(
        verifies(ca, leaf, X509_PURPOSE_SSL_SERVER, NOW, NULL, "localhost"));
    assert_false(
        verifies(ca, leaf, X509_PURPOSE_SSL_SERVER, NOW, "127.0.0.2", NULL));
    assert_false(verifies(ca, leaf, X509_PURPOSE_SSL_CLIENT, NOW, NULL, NULL));
    assert_true(verifies(ca, leaf, X509_PURPOSE_SSL_SERVER, NOW + 29 * DAY,
                         NULL, NULL));
    assert_false(verifies(ca, leaf, X509_PURPOSE_SSL_SERVER, NOW + 31 * DAY,
                          NULL, NULL));
    /* The key is sealed like an entry's: it must pass as one. */
    assert_ok(cv_hop_spki(m.ca.key_der, spki, &e), &e);
    assert_ok(
        cv_match_key(m.ca.key_der, cv_buf_bytes(&m.ca.certificate), spki, &e),
        &e);
    unmake(&m);
}

/* The CA in kubeconfigs vouches for nothing but this hop. */
static void test_ca_is_bound(void **state)
{
    struct made m;
    X509 *ca;
    NAME_CONSTRAINTS *names;
    int critical = 0;

    (void)state;
    make(&m);
    ca = parse(cv_buf_text(&m.ca.certificate));
    names = X509_get_ext_d2i(ca, NID_name_constraints, &critical, NULL);
    assert_non_null(names);
    assert_int_equal(critical, 1);
    assert_int_equal(sk_GENERAL_SUBTREE_num(names->permittedSubtrees), 2);
    assert_int_equal(X509_get_pathlen(ca), 0);
    NAME_CONSTRAINTS_free(names);
    X509_free(ca);
    unmake(&m);
}

static void test_server_ends_with_its_ca(void **state)
{
    struct cv_hop_pair late;
    struct made m;
    struct cv_err e;
    int64_t end = NOW + CV_HOP_CA_S;

    (void)state;
    cv_err_init(&e);
    make(&m);
    assert_ok(cv_hop_make_server(cv_buf_bytes(&m.ca.certificate), m.ca.key_der,
                                 end - DAY, m.arena, &late, &e),
              &e);
    assert_false(verifies(cv_buf_text(&m.ca.certificate),
                          cv_buf_text(&late.certificate),
                          X509_PURPOSE_SSL_SERVER, end + DAY, NULL, NULL));
    cv_buf_wipe(&late.certificate);
    assert_int_equal(cv_hop_make_server(cv_buf_bytes(&m.ca.certificate),
                                        m.ca.key_der, end + 1, m.arena, &late,
                                        &e),
                     CV_EXPIRED);
    cv_buf_wipe(&late.certificate);
    unmake(&m);
}

static struct cv_hop_wish wish(const char *grant)
{
    return (struct cv_hop_wish){grant, 1000, "prod-a", NOW + 600};
}

static void test_client(void **state)
{
    struct cv_hop_wish w = wish(GRANT);
    const char *ca, *one, *again;
    char first[4096];
    struct cv_hop *hop;
    struct cv_bytes key, key_again;
    struct cv_err e;
    X509 *x;
    char name[256];
    GENERAL_NAMES *san;

    (void)state;
    cv_err_init(&e);
    assert_ok(cv_hop_new(&hop, &e), &e);
    assert_int_equal(cv_hop_mint(hop, &w, NOW, &key, &one, &e), CV_NOT_FOUND);
    assert_ok(cv_hop_client_ca(hop, NOW, &ca, &e), &e);
    assert_ok(cv_hop_mint(hop, &w, NOW, &key, &one, &e), &e);
    assert_true(verifies(ca, one, X509_PURPOSE_SSL_CLIENT, NOW, NULL, NULL));
    assert_false(verifies(ca, one, X509_PURPOSE_SSL_SERVER, NOW, NULL, NULL));
    assert_false(
        verifies(ca, one, X509_PURPOSE_SSL_CLIENT, NOW + 601, NULL, NULL));
    x = parse(one);
    (void)X509_NAME_oneline(X509_get_subject_name(x), name, sizeof(name));
    assert_string_equal(name,
                        "/O=certvault hop/CN=uid:1000/description=prod-a");
    san = X509_get_ext_d2i(x, NID_subject_alt_name, NULL, NULL);
    assert_int_equal(sk_GENERAL_NAME_num(san), 1);
    assert_string_equal(
        (const char *)ASN1_STRING_get0_data(
            sk_GENERAL_NAME_value(san, 0)->d.uniformResourceIdentifier),
        "certvault:grant:" GRANT);
    GENERAL_NAMES_free(san);
    X509_free(x);
    (void)snprintf(first, sizeof(first), "%s", one);
    assert_ok(cv_hop_mint(hop, &w, NOW + 5, &key_again, &again, &e), &e);
    assert_string_equal(again, first);
    assert_int_equal(key.len, key_again.len);
    assert_memory_equal(key.data, key_again.data, key.len);
    /* Forgotten: another key. */
    cv_hop_forget(hop, OTHER);
    cv_hop_forget(hop, GRANT);
    assert_ok(cv_hop_mint(hop, &w, NOW, &key, &one, &e), &e);
    assert_string_not_equal(one, first);
    cv_hop_free(hop);
}

static void test_wishes(void **state)
{
    struct cv_hop_wish bad[] = {wish(GRANT), wish(GRANT), wish(GRANT),
                                wish(GRANT), wish(GRANT)};
    struct cv_hop *hop;
    struct cv_bytes key;
    const char *pem;
    struct cv_err e;

    (void)state;
    cv_err_init(&e);
    bad[0].grant = "0011";
    bad[1].grant = "00112233445566778899aabbccddeefG";
    bad[2].uid = -1;
    bad[3].entry = "";
    bad[4].not_after_s = NOW;
    assert_ok(cv_hop_new(&hop, &e), &e);
    assert_ok(cv_hop_client_ca(hop, NOW, &pem, &e), &e);
    for (size_t i = 0; i < 5; i++) {
        assert_int_equal(cv_hop_mint(hop, &bad[i], NOW, &key, &pem, &e),
                         CV_INVALID);
        assert_null(pem);
        assert_null(key.data);
    }
    cv_hop_free(hop);
}

/* As many as there can be, twice over: places are used again. */
static void test_many(void **state)
{
    char grant[33];
    struct cv_hop_wish w = wish(grant);
    struct cv_hop *hop;
    struct cv_bytes key;
    const char *pem;
    struct cv_err e;

    (void)state;
    cv_err_init(&e);
    assert_ok(cv_hop_new(&hop, &e), &e);
    assert_ok(cv_hop_client_ca(hop, NOW, &pem, &e), &e);
    for (unsigned i = 0; i < CV_LIMIT_GRANTS; i++) {
        (void)snprintf(grant, sizeof(grant), "%032x", i);
        assert_ok(cv_hop_mint(hop, &w, NOW, &key, &pem, &e), &e);
    }
    (void)snprintf(grant, sizeof(grant), "%032x", CV_LIMIT_GRANTS);
    assert_int_equal(cv_hop_mint(hop, &w, NOW, &key, &pem, &e), CV_BUSY);
    cv_hop_forget(hop, NULL);
    for (unsigned i = 0; i < 64; i++) {
        (void)snprintf(grant, sizeof(grant), "%032x", i + 5000);
        assert_ok(cv_hop_mint(hop, &w, NOW, &key, &pem, &e), &e);
    }
    cv_hop_free(hop);
}

/* Without cv_match_start: a verifier finds its digests by name. */
static int start(void **state)
{
    struct cv_err e;

    (void)state;
    cv_err_init(&e);
    if (cv_arena_start(&e) != CV_OK) {
        return -1;
    }
    cv_json_start();
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_server),
        cmocka_unit_test(test_ca_is_bound),
        cmocka_unit_test(test_server_ends_with_its_ca),
        cmocka_unit_test(test_client),
        cmocka_unit_test(test_wishes),
        cmocka_unit_test(test_many),
    };

    return cmocka_run_group_tests(tests, start, NULL);
}
