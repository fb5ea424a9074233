/* vault/broker/sshsig.h: signatures of Ed25519 keys and of security keys,
 * composed here from OpenSSH's PROTOCOL.sshsig and PROTOCOL.u2f; every byte of
 * one counts. What ssh-keygen itself makes is in scenario/test_approvals.py. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "vault/base/encode.h"
#include "vault/base/json.h"
#include "vault/broker/sshsig.h"

#include <sodium.h>
#include <string.h>

static const char text[] = "certvault-approval/v1\n{}\n";

struct made {
    struct cv_policy_key key;
    unsigned char secret[crypto_sign_SECRETKEYBYTES];
    const char *space, *hash;
    unsigned char flags;
};

static void put(struct cv_buf *out, const void *data, size_t len)
{
    const uint8_t size[4] = {0, 0, (uint8_t)(len >> 8), (uint8_t)len};

    cv_buf_add(out, size, 4);
    cv_buf_add(out, data, len);
}

static void put_text(struct cv_buf *out, const char *t)
{
    put(out, t, strlen(t));
}

static const char *type_of(const struct made *m)
{
    return m->key.application != NULL ? "sk-ssh-ed25519@openssh.com"
                                      : "ssh-ed25519";
}

/* What the key signs. */
static void signed_data(const struct made *m, struct cv_buf *out)
{
    static const unsigned char counter[4] = {0, 0, 0, 7};
    unsigned char hash[crypto_hash_sha512_BYTES];
    struct cv_buf data;

    cv_buf_init(&data, NULL, 4096);
    cv_buf_add_str(&data, "SSHSIG");
    put_text(&data, m->space);
    put_text(&data, "");
    put_text(&data, m->hash);
    (void)crypto_hash_sha512(hash, (const unsigned char *)text, strlen(text));
    put(&data, hash, sizeof(hash));
    if (m->key.application == NULL) {
        cv_buf_add(out, data.data, data.len);
    } else {
        (void)crypto_hash_sha256(hash,
                                 (const unsigned char *)m->key.application,
                                 strlen(m->key.application));
        cv_buf_add(out, hash, crypto_hash_sha256_BYTES);
        cv_buf_add(out, &m->flags, 1);
        cv_buf_add(out, counter, 4);
        (void)crypto_hash_sha256(hash, data.data, data.len);
        cv_buf_add(out, hash, crypto_hash_sha256_BYTES);
    }
    cv_buf_wipe(&data);
}

/* The blob beneath the armour. */
static void compose(const struct made *m, struct cv_buf *out)
{
    static const unsigned char version[4] = {0, 0, 0, 1},
                               counter[4] = {0, 0, 0, 7};
    unsigned char signature[crypto_sign_BYTES];
    struct cv_buf data, part;

    cv_buf_init(&data, NULL, 4096);
    cv_buf_init(&part, NULL, 4096);
    cv_buf_add_str(out, "SSHSIG");
    cv_buf_add(out, version, 4);
    put_text(&part, type_of(m));
    put(&part, m->key.ed25519, 32);
    if (m->key.application != NULL) {
        put_text(&part, m->key.application);
    }
    put(out, part.data, part.len);
    put_text(out, m->space);
    put_text(out, "");
    put_text(out, m->hash);
    signed_data(m, &data);
    (void)crypto_sign_detached(signature, NULL, data.data, data.len, m->secret);
    cv_buf_wipe(&part);
    cv_buf_init(&part, NULL, 4096);
    put_text(&part, type_of(m));
    put(&part, signature, sizeof(signature));
    if (m->key.application != NULL) {
        cv_buf_add(&part, &m->flags, 1);
        cv_buf_add(&part, counter, 4);
    }
    put(out, part.data, part.len);
    cv_buf_wipe(&part);
    cv_buf_wipe(&data);
}

static enum cv_status check(struct cv_bytes blob, const struct made *m)
{
    struct cv_policy_key keys[2];
    struct cv_buf armoured;
    size_t which = 9;
    enum cv_status s;

    memset(keys, 0, sizeof(keys));
    keys[1] = m->key;
    cv_buf_init(&armoured, NULL, 8192);
    cv_buf_add_str(&armoured, "-----BEGIN SSH SIGNATURE-----\n");
    cv_encode_base64(blob, &armoured);
    cv_buf_add_str(&armoured, "\n-----END SSH SIGNATURE-----\n");
    s = cv_sshsig_verify(cv_buf_text(&armoured),
                         (struct cv_bytes){(const uint8_t *)text, strlen(text)},
                         keys, 2, &which, NULL);
    assert_int_equal(which, s == CV_OK ? 1 : which);
    cv_buf_wipe(&armoured);
    return s;
}

static struct made make(const char *application)
{
    struct made m = {.space = CV_SSHSIG_NAMESPACE,
                     .hash = "sha512",
                     .flags = 1,
                     .key = {.application = application}};

    (void)crypto_sign_keypair(m.key.ed25519, m.secret);
    return m;
}

static enum cv_status check_made(const struct made *m)
{
    struct cv_buf blob;
    enum cv_status s;

    cv_buf_init(&blob, NULL, 4096);
    compose(m, &blob);
    s = check(cv_buf_bytes(&blob), m);
    cv_buf_wipe(&blob);
    return s;
}

static void both_kinds(void **state)
{
    struct made plain = make(NULL), sk = make("ssh:");

    (void)state;
    assert_int_equal(check_made(&plain), CV_OK);
    assert_int_equal(check_made(&sk), CV_OK);
    sk.flags = 5; /* verified too */
    assert_int_equal(check_made(&sk), CV_OK);
    sk.flags = 4; /* not touched */
    assert_int_equal(check_made(&sk), CV_DENIED);
    plain.space = "file";
    assert_int_equal(check_made(&plain), CV_DENIED);
    plain.space = CV_SSHSIG_NAMESPACE;
    plain.hash = "md5";
    assert_int_equal(check_made(&plain), CV_DENIED);
}

/* The key of a security key is not the same key without one. */
static void keys_are_not_mixed_up(void **state)
{
    struct made sk = make("ssh:"), other = sk;
    struct cv_buf blob;

    (void)state;
    cv_buf_init(&blob, NULL, 4096);
    compose(&sk, &blob);
    other.key.application = "ssh:else";
    assert_int_equal(check(cv_buf_bytes(&blob), &other), CV_DENIED);
    other.key.application = NULL;
    assert_int_equal(check(cv_buf_bytes(&blob), &other), CV_DENIED);
    cv_buf_wipe(&blob);
}

static void every_byte_counts(void **state)
{
    struct made all[] = {make(NULL), make("ssh:")};

    (void)state;
    for (size_t k = 0; k < 2; k++) {
        struct cv_buf blob;

        cv_buf_init(&blob, NULL, 4096);
        compose(&all[k], &blob);
        for (size_t i = 0; i < blob.len; i++) {
            blob.data[i] ^= 1;
            assert_int_equal(check(cv_buf_bytes(&blob), &all[k]), CV_DENIED);
            blob.data[i] ^= 1;
            assert_int_equal(check((struct cv_bytes){blob.data, i}, &all[k]),
                             CV_DENIED);
        }
        assert_int_equal(check(cv_buf_bytes(&blob), &all[k]), CV_OK);
        cv_buf_wipe(&blob);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(both_kinds),
        cmocka_unit_test(keys_are_not_mixed_up),
        cmocka_unit_test(every_byte_counts),
    };

    if (sodium_init() < 0) {
        return 1;
    }
    return cmocka_run_group_tests(tests, NULL, NULL);
}
