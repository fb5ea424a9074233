/* The comparison of keys and certificates beside libcrypto's own: keys made
 * here, certificates made here, and what EVP_PKEY_eq says of each pair. */
#include "tests/unit/seal_test.h"

#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509.h>

#define MAX_PAIRS 16

struct pair {
    EVP_PKEY *key;
    struct cv_bytes der, pem;
    uint8_t digest[CV_BOX_DIGEST_LEN];
};

struct set {
    struct cv_arena *arena;
    struct pair pairs[MAX_PAIRS];
    size_t n;
};

static struct cv_bytes take_bio(struct cv_arena *arena, BIO *bio)
{
    char *data = NULL;
    long len = BIO_get_mem_data(bio, &data);
    struct cv_bytes out = {
        (const uint8_t *)cv_arena_copy(arena, data, (size_t)len, NULL),
        (size_t)len};

    assert_non_null(out.data);
    BIO_free(bio);
    return out;
}

/* A self-signed certificate of `key`, in PEM. */
static struct cv_bytes certify(struct cv_arena *arena, EVP_PKEY *key)
{
    X509 *x = X509_new();
    BIO *bio = BIO_new(BIO_s_mem());
    const EVP_MD *md =
        EVP_PKEY_get_id(key) == EVP_PKEY_ED25519 ? NULL : EVP_sha256();

    assert_true(X509_set_version(x, 2));
    assert_true(ASN1_INTEGER_set(X509_get_serialNumber(x), 7));
    assert_non_null(X509_gmtime_adj(X509_getm_notBefore(x), 0));
    assert_non_null(X509_gmtime_adj(X509_getm_notAfter(x), 86400));
    assert_true(X509_NAME_add_entry_by_txt(
        X509_get_subject_name(x), "CN", MBSTRING_ASC,
        (const unsigned char *)"someone", -1, -1, 0));
    assert_true(X509_set_issuer_name(x, X509_get_subject_name(x)));
    assert_true(X509_set_pubkey(x, key));
    assert_true(X509_sign(x, key, md) > 0);
    assert_true(PEM_write_bio_X509(bio, x));
    X509_free(x);
    return take_bio(arena, bio);
}

static void add(struct set *set, EVP_PKEY *key)
{
    struct pair *p = &set->pairs[set->n++];
    BIO *bio = BIO_new(BIO_s_mem());
    unsigned char *spki = NULL;
    int len;

    assert_true(set->n <= MAX_PAIRS);
    assert_non_null(key);
    p->key = key;
    assert_true(i2d_PKCS8PrivateKey_bio(bio, key, NULL, NULL, 0, NULL, NULL));
    p->der = take_bio(set->arena, bio);
    p->pem = certify(set->arena, key);
    len = i2d_PUBKEY(key, &spki);
    assert_true(len > 0);
    (void)crypto_hash_sha256(p->digest, spki, (size_t)len);
    OPENSSL_free(spki);
}

static void make_set(struct set *set)
{
    static const char *const curves[] = {"P-256", "P-384", "P-521"};
    size_t i, again;

    memset(set, 0, sizeof(*set));
    set->arena = new_arena();
    for (again = 0; again < 2; again++) {
        add(set, EVP_PKEY_Q_keygen(NULL, NULL, "RSA", (size_t)2048));
        for (i = 0; i < 3; i++) {
            add(set, EVP_PKEY_Q_keygen(NULL, NULL, "EC", curves[i]));
        }
        add(set, EVP_PKEY_Q_keygen(NULL, NULL, "ED25519"));
    }
    add(set, EVP_PKEY_Q_keygen(NULL, NULL, "RSA", (size_t)3072));
}

static void free_set(struct set *set)
{
    size_t i;

    for (i = 0; i < set->n; i++) {
        EVP_PKEY_free(set->pairs[i].key);
    }
    cv_arena_free(set->arena);
}

static void test_every_pair(void **state)
{
    struct cv_err e;
    struct set set;
    size_t i, j;

    (void)state;
    make_set(&set);
    for (i = 0; i < set.n; i++) {
        for (j = 0; j < set.n; j++) {
            const struct pair *a = &set.pairs[i], *b = &set.pairs[j];
            bool same = EVP_PKEY_eq(a->key, b->key) == 1;

            cv_err_init(&e);
            assert_int_equal(same, i == j);
            assert_int_equal(cv_match_key(a->der, b->pem, b->digest, &e),
                             same ? CV_OK : CV_INTEGRITY);
        }
    }
    free_set(&set);
}

static void test_digest_must_fit(void **state)
{
    struct cv_err e;
    struct set set;
    size_t i;

    (void)state;
    make_set(&set);
    for (i = 0; i < CV_BOX_DIGEST_LEN; i++) {
        struct pair *p = &set.pairs[1];

        cv_err_init(&e);
        p->digest[i] ^= 0x40;
        assert_int_equal(cv_match_key(p->der, p->pem, p->digest, &e),
                         CV_INTEGRITY);
        p->digest[i] ^= 0x40;
    }
    free_set(&set);
}

/* Was everything put back? */
static bool still_the_key(const struct pair *p, struct cv_bytes der)
{
    const unsigned char *at = der.data;
    EVP_PKEY *key = d2i_AutoPrivateKey(NULL, &at, (long)der.len);
    bool same = key != NULL && EVP_PKEY_eq(key, p->key) == 1;

    EVP_PKEY_free(key);
    return same;
}

static void test_every_byte_of_a_key(void **state)
{
    struct cv_err e;
    struct set set;
    size_t i, j;

    (void)state;
    make_set(&set);
    for (i = 0; i < 5; i++) {
        struct pair *p = &set.pairs[i];
        uint8_t *der = cv_arena_alloc(set.arena, p->der.len, NULL);
        struct cv_bytes changed = {der, p->der.len};
        size_t passed = 0;

        memcpy(der, p->der.data, p->der.len);
        for (j = 0; j < p->der.len; j++) {
            const uint8_t bit = (uint8_t)(1U << (j % 8));

            der[j] ^= bit;
            cv_err_init(&e);
            if (cv_match_key(changed, p->pem, p->digest, &e) == CV_OK) {
                passed++;
            }
            der[j] ^= bit;
        }
        assert_int_equal(passed, 0);
        assert_true(still_the_key(p, changed));
    }
    free_set(&set);
}

/* The PEM is what libcrypto would have written, to the byte. */
static void test_pem(void **state)
{
    struct cv_bytes pem, want;
    struct cv_err e;
    struct set set;
    size_t i;

    (void)state;
    make_set(&set);
    for (i = 0; i < set.n; i++) {
        BIO *bio = BIO_new(BIO_s_mem());

        cv_err_init(&e);
        assert_true(PEM_write_bio_PKCS8PrivateKey(bio, set.pairs[i].key, NULL,
                                                  NULL, 0, NULL, NULL));
        want = take_bio(set.arena, bio);
        assert_ok(cv_match_pem(set.pairs[i].der, set.arena, &pem, &e), &e);
        assert_true(cv_bytes_equal(pem, want));
        assert_true(cv_arena_owns(set.arena, pem.data));
        assert_int_equal(pem.data[pem.len], 0);
    }
    free_set(&set);
}

/* Lines at and about their full length. */
static void test_pem_lines(void **state)
{
    struct cv_arena *arena = new_arena();
    uint8_t der[193];
    struct cv_bytes pem;
    struct cv_err e;
    size_t n;

    (void)state;
    cv_err_init(&e);
    randombytes_buf(der, sizeof(der));
    for (n = 1; n <= sizeof(der); n++) {
        struct cv_bytes key = {der, n};
        const char *at, *end;

        assert_ok(cv_match_pem(key, arena, &pem, &e), &e);
        at = (const char *)pem.data + strlen("-----BEGIN PRIVATE KEY-----\n");
        end = strstr(at, "-----END PRIVATE KEY-----\n");
        assert_int_equal((const uint8_t *)end - pem.data,
                         pem.len - strlen("-----END PRIVATE KEY-----\n"));
        assert_int_equal(end - at, (n + 2) / 3 * 4 + (n + 47) / 48);
        while (at < end) {
            size_t line = strcspn(at, "\n");

            assert_true(line > 0 && line <= 64);
            assert_true(line == 64 || at + line + 1 == end);
            at += line + 1;
        }
    }
    cv_arena_free(arena);
}

static void test_pem_needs_room(void **state)
{
    static const uint8_t der[1000];
    struct cv_arena *small = NULL;
    struct cv_bytes pem;
    struct cv_err e;

    (void)state;
    cv_err_init(&e);
    assert_int_equal(cv_arena_new(512, &small, NULL), CV_OK);
    assert_int_equal(cv_match_pem(BYTES(der), small, &pem, &e), CV_INVALID);
    assert_null(pem.data);
    cv_arena_free(small);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_pair),
        cmocka_unit_test(test_digest_must_fit),
        cmocka_unit_test(test_every_byte_of_a_key),
        cmocka_unit_test(test_pem),
        cmocka_unit_test(test_pem_lines),
        cmocka_unit_test(test_pem_needs_room),
    };

    return cmocka_run_group_tests(tests, setup, NULL);
}
