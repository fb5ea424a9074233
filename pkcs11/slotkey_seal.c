/* The public half of a token's slot: all that is needed to make one. */
#include "pkcs11/slotkey_internal.h"

#include <openssl/core_names.h>
#include <openssl/kdf.h>
#include <openssl/rand.h>
#include <openssl/rsa.h>
#include <openssl/x509.h>
#include <string.h>

#define SHA256_LEN 32

static const char *const form_names[CV_SLOTKEY_FORMS] = {
    "rsa-oaep-sha256", "rsa-oaep-sha1", "ecdh-hkdf-sha256"};

const char *cv_slotkey_form_name(enum cv_slotkey_form form)
{
    return form_names[form];
}

enum cv_status cv_slotkey_form_read(const char *word, enum cv_slotkey_form *out,
                                    struct cv_err *err)
{
    int i;

    for (i = 0; i < CV_SLOTKEY_FORMS; i++) {
        if (strcmp(word, form_names[i]) == 0) {
            *out = (enum cv_slotkey_form)i;
            return CV_OK;
        }
    }
    return cv_fail(err, CV_INVALID,
                   "the slot rests on a token in a way that is not known here");
}

static bool is_curve(const EVP_PKEY *key)
{
    char group[64] = "";
    size_t len = 0;

    return EVP_PKEY_is_a(key, "EC") &&
           EVP_PKEY_get_group_name(key, group, sizeof(group), &len) == 1 &&
           (strcmp(group, "prime256v1") == 0 ||
            strcmp(group, "secp384r1") == 0);
}

bool cv_slotkey_fits(const EVP_PKEY *key, enum cv_slotkey_form form)
{
    int bits = EVP_PKEY_get_bits(key);

    if (form == CV_SLOTKEY_ECDH) {
        return is_curve(key);
    }
    return EVP_PKEY_is_a(key, "RSA") && bits >= SLOTKEY_RSA_BITS_MIN &&
           bits <= SLOTKEY_RSA_BITS_MAX;
}

EVP_PKEY *cv_slotkey_public(struct cv_bytes spki, struct cv_err *err)
{
    const unsigned char *at = spki.data;
    EVP_PKEY *key = NULL;

    if (spki.len > 0 && spki.len <= CV_LIMIT_KEY_DER) {
        key = d2i_PUBKEY(NULL, &at, (long)spki.len);
    }
    if (key == NULL || (!cv_slotkey_fits(key, CV_SLOTKEY_ECDH) &&
                        !cv_slotkey_fits(key, CV_SLOTKEY_OAEP_SHA256))) {
        EVP_PKEY_free(key);
        (void)cv_fail(err, CV_INVALID,
                      "a slot rests on an RSA key of %d to %d bits, P-256 or "
                      "P-384, and this is none",
                      SLOTKEY_RSA_BITS_MIN, SLOTKEY_RSA_BITS_MAX);
        return NULL;
    }
    return key;
}

size_t cv_slotkey_point(const EVP_PKEY *key, uint8_t *out)
{
    size_t len = 0;

    return EVP_PKEY_get_octet_string_param(key,
                                           OSSL_PKEY_PARAM_ENCODED_PUBLIC_KEY,
                                           out, SLOTKEY_POINT_MAX, &len) == 1 &&
                   len > 0 && out[0] == 0x04
               ? len
               : 0;
}

static bool salt_of(struct cv_bytes once, struct cv_bytes own,
                    uint8_t out[SHA256_LEN])
{
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    bool ok = ctx != NULL && EVP_DigestInit_ex(ctx, EVP_sha256(), NULL) == 1 &&
              EVP_DigestUpdate(ctx, once.data, once.len) == 1 &&
              EVP_DigestUpdate(ctx, own.data, own.len) == 1 &&
              EVP_DigestFinal_ex(ctx, out, NULL) == 1;

    EVP_MD_CTX_free(ctx);
    return ok;
}

bool cv_slotkey_kdf(struct cv_bytes shared, struct cv_bytes once,
                    struct cv_bytes own, uint8_t *out)
{
    EVP_KDF *kdf = EVP_KDF_fetch(NULL, "HKDF", NULL);
    EVP_KDF_CTX *ctx = kdf != NULL ? EVP_KDF_CTX_new(kdf) : NULL;
    char digest[] = "SHA256", info[] = SLOTKEY_INFO;
    uint8_t salt[SHA256_LEN];
    bool ok = ctx != NULL && salt_of(once, own, salt);

    if (ok) {
        OSSL_PARAM params[] = {
            OSSL_PARAM_construct_utf8_string(OSSL_KDF_PARAM_DIGEST, digest, 0),
            OSSL_PARAM_construct_octet_string(
                OSSL_KDF_PARAM_KEY, (void *)(uintptr_t)shared.data, shared.len),
            OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_SALT, salt,
                                              sizeof(salt)),
            OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_INFO, info,
                                              sizeof(info) - 1),
            OSSL_PARAM_construct_end()};

        ok = EVP_KDF_derive(ctx, out, CV_SLOTKEY_SECRET_LEN, params) == 1;
    }
    EVP_KDF_CTX_free(ctx);
    EVP_KDF_free(kdf);
    return ok;
}

static bool seal_rsa(EVP_PKEY *key, enum cv_slotkey_form form, uint8_t *secret,
                     struct cv_slotkey_sealed *out)
{
    const char *digest = form == CV_SLOTKEY_OAEP_SHA1 ? "SHA1" : "SHA256";
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_pkey(NULL, key, NULL);
    bool ok;

    out->len = sizeof(out->data);
    ok = RAND_priv_bytes(secret, CV_SLOTKEY_SECRET_LEN) == 1 && ctx != NULL &&
         EVP_PKEY_encrypt_init(ctx) > 0 &&
         EVP_PKEY_CTX_set_rsa_padding(ctx, RSA_PKCS1_OAEP_PADDING) > 0 &&
         EVP_PKEY_CTX_set_rsa_oaep_md_name(ctx, digest, NULL) > 0 &&
         EVP_PKEY_CTX_set_rsa_mgf1_md_name(ctx, digest, NULL) > 0 &&
         EVP_PKEY_encrypt(ctx, out->data, &out->len, secret,
                          CV_SLOTKEY_SECRET_LEN) > 0;
    EVP_PKEY_CTX_free(ctx);
    return ok;
}

/* A key used once agrees with the token's. */
static bool seal_ec(EVP_PKEY *key, struct cv_arena *arena, uint8_t *secret,
                    struct cv_slotkey_sealed *out)
{
    uint8_t *shared = cv_arena_alloc(arena, SLOTKEY_POINT_MAX, NULL);
    EVP_PKEY_CTX *make = EVP_PKEY_CTX_new_from_pkey(NULL, key, NULL);
    EVP_PKEY_CTX *agree = NULL;
    uint8_t own[SLOTKEY_POINT_MAX];
    size_t own_len = cv_slotkey_point(key, own), len = SLOTKEY_POINT_MAX;
    EVP_PKEY *once = NULL;
    bool ok;

    ok = shared != NULL && own_len > 0 && make != NULL &&
         EVP_PKEY_keygen_init(make) > 0 && EVP_PKEY_keygen(make, &once) > 0;
    if (ok) {
        agree = EVP_PKEY_CTX_new_from_pkey(NULL, once, NULL);
        out->len = cv_slotkey_point(once, out->data);
        ok = out->len == own_len && agree != NULL &&
             EVP_PKEY_derive_init(agree) > 0 &&
             EVP_PKEY_derive_set_peer(agree, key) > 0 &&
             EVP_PKEY_derive(agree, shared, &len) > 0 &&
             cv_slotkey_kdf((struct cv_bytes){shared, len},
                            (struct cv_bytes){out->data, out->len},
                            (struct cv_bytes){own, own_len}, secret);
    }
    EVP_PKEY_CTX_free(agree);
    EVP_PKEY_CTX_free(make);
    EVP_PKEY_free(once);
    return ok;
}

enum cv_status cv_slotkey_seal(struct cv_bytes spki, enum cv_slotkey_form form,
                               struct cv_arena *arena,
                               struct cv_slotkey_sealed *out,
                               struct cv_bytes *secret, struct cv_err *err)
{
    uint8_t *bytes = cv_arena_alloc(arena, CV_SLOTKEY_SECRET_LEN, err);
    EVP_PKEY *key;
    enum cv_status s = CV_OK;

    memset(out, 0, sizeof(*out));
    *secret = (struct cv_bytes){NULL, 0};
    if (bytes == NULL) {
        return err != NULL ? err->status : CV_INTERNAL;
    }
    key = cv_slotkey_public(spki, err);
    if (key == NULL) {
        return CV_INVALID;
    }
    out->form = form;
    if (!cv_slotkey_fits(key, form)) {
        s = cv_fail(err, CV_INVALID, "%s does not go with such a key",
                    form_names[form]);
    } else if (form == CV_SLOTKEY_ECDH ? !seal_ec(key, arena, bytes, out)
                                       : !seal_rsa(key, form, bytes, out)) {
        s = cv_fail(err, CV_INTERNAL,
                    "libcrypto does not seal to the token's key");
    }
    EVP_PKEY_free(key);
    if (s == CV_OK) {
        *secret = (struct cv_bytes){bytes, CV_SLOTKEY_SECRET_LEN};
    }
    return s;
}
