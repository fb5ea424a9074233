/* What may be signed: the four forms, each cut short at every byte and changed
 * at every byte that the form fixes; none of them passes for another. */
#include "tests/unit/seal_test.h"

#include "vault/seal/purpose.h"

#define ECDSA "ecdsa_secp256r1_sha256"

struct sample {
    const char *purpose;
    uint8_t data[512];
    size_t len;
    size_t fixed; /* bytes at its begin that may have one value alone */
};

static uint8_t spki_digest[CV_BOX_DIGEST_LEN];

static void add(struct sample *s, const void *data, size_t len)
{
    assert_true(s->len + len <= sizeof(s->data));
    memcpy(s->data + s->len, data, len);
    s->len += len;
}

static void add_message(struct sample *s, uint8_t type, size_t len)
{
    const uint8_t head[] = {type, 0, 0, (uint8_t)len};
    uint8_t body[64] = {3, 3};

    add(s, head, sizeof(head));
    add(s, body, len);
}

static void make_samples(struct sample all[4])
{
    static const char blanks[] = "                                            "
                                 "                    ";
    static const char context[] = "TLS 1.3, client CertificateVerify";
    static const uint8_t spki[] = {0x30, 5, 0x06, 1, 42, 0x05, 0};
    static const uint8_t head[] = {0x30, 0, 0x02, 1, 0, 0x30, 0};
    static const uint8_t tail[] = {0xa0, 0};
    uint8_t noise[48];

    memset(all, 0, 4 * sizeof(*all));
    randombytes_buf(noise, sizeof(noise));
    all[0].purpose = "tls13-client";
    add(&all[0], blanks, 64);
    add(&all[0], context, sizeof(context));
    all[0].fixed = all[0].len;
    add(&all[0], noise, 48);
    all[1].purpose = "tls12-client";
    add_message(&all[1], 1, 40);
    add_message(&all[1], 2, 40);
    add_message(&all[1], 14, 0);
    add_message(&all[1], 16, 33);
    all[1].fixed = 5;
    all[2].purpose = "csr";
    add(&all[2], head, sizeof(head));
    add(&all[2], spki, sizeof(spki));
    add(&all[2], tail, sizeof(tail));
    all[2].data[1] = (uint8_t)(all[2].len - 2);
    all[2].fixed = all[2].len;
    (void)crypto_hash_sha256(spki_digest, spki, sizeof(spki));
    all[3].purpose = "challenge";
    add(&all[3], CV_PURPOSE_CHALLENGE, sizeof(CV_PURPOSE_CHALLENGE));
    all[3].fixed = all[3].len;
    add(&all[3], noise, 32);
}

static enum cv_status check(const char *purpose, const char *algorithm,
                            const uint8_t *data, size_t len)
{
    /* In a block of its own, so that a byte read behind its end is seen. */
    uint8_t *copy = malloc(len > 0 ? len : 1);
    enum cv_status s;

    assert_non_null(copy);
    memcpy(copy, data, len);
    s = cv_purpose_check(purpose, algorithm, (struct cv_bytes){copy, len},
                         spki_digest, NULL);
    free(copy);
    return s;
}

static void test_forms(void **state)
{
    struct sample all[4];

    (void)state;
    make_samples(all);
    for (size_t i = 0; i < 4; i++) {
        for (size_t k = 0; k < 4; k++) {
            assert_int_equal(
                check(all[k].purpose, ECDSA, all[i].data, all[i].len),
                i == k ? CV_OK : CV_INVALID);
        }
    }
}

static void test_cut_short(void **state)
{
    struct sample all[4];

    (void)state;
    make_samples(all);
    for (size_t i = 0; i < 4; i++) {
        for (size_t len = 0; len < all[i].len; len++) {
            /* A transcript's hash of 32 bytes is one too. */
            bool good = i == 0 && len == all[i].fixed + 32;

            assert_int_equal(check(all[i].purpose, ECDSA, all[i].data, len),
                             good ? CV_OK : CV_INVALID);
        }
        all[i].data[all[i].len] = 0;
        assert_int_equal(
            check(all[i].purpose, ECDSA, all[i].data, all[i].len + 1),
            i == 3 ? CV_OK : CV_INVALID);
    }
}

static void test_changed(void **state)
{
    struct sample all[4];

    (void)state;
    make_samples(all);
    for (size_t i = 0; i < 4; i++) {
        for (size_t at = 0; at < all[i].fixed; at++) {
            all[i].data[at] ^= 0x10;
            assert_int_equal(
                check(all[i].purpose, ECDSA, all[i].data, all[i].len),
                CV_INVALID);
            all[i].data[at] ^= 0x10;
        }
    }
}

static void test_words(void **state)
{
    struct sample all[4];

    (void)state;
    make_samples(all);
    for (size_t i = 0; i < 4; i++) {
        struct sample *s = &all[i];

        assert_int_equal(check(s->purpose, "rsa_pkcs1_sha256", s->data, s->len),
                         i == 0 ? CV_INVALID : CV_OK);
        assert_int_equal(check(s->purpose, "ed25519", s->data, s->len), CV_OK);
        assert_int_equal(check(s->purpose, "", s->data, s->len), CV_INVALID);
        assert_int_equal(check(s->purpose, "none", s->data, s->len),
                         CV_INVALID);
        assert_int_equal(check("", ECDSA, s->data, s->len), CV_INVALID);
        assert_int_equal(check("raw", ECDSA, s->data, s->len), CV_INVALID);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_forms),
        cmocka_unit_test(test_cut_short),
        cmocka_unit_test(test_changed),
        cmocka_unit_test(test_words),
    };

    return cmocka_run_group_tests(tests, setup, NULL);
}
