/* Private keys and certificates as they come out of a box and the store: the
 * input is two bytes of length, a PKCS#8 key, a certificate (DER). Where they
 * match, libcrypto must be able to read the key and find the same. */
#include "vault/base/encode.h"
#include "vault/base/limits.h"
#include "vault/seal/keyform_internal.h"
#include "vault/seal/match.h"

#include <openssl/evp.h>
#include <openssl/x509.h>
#include <sodium.h>
#include <stdlib.h>

static void armour(struct cv_bytes der, struct cv_buf *out)
{
    cv_buf_init(out, NULL, CV_LIMIT_PEM);
    cv_buf_add_str(out, "-----BEGIN CERTIFICATE-----\n");
    cv_encode_base64(der, out);
    cv_buf_add_str(out, "\n-----END CERTIFICATE-----\n");
}

static void must_agree(struct cv_bytes key, struct cv_bytes spki)
{
    const unsigned char *k = key.data, *s = spki.data;
    EVP_PKEY *private_key = d2i_AutoPrivateKey(NULL, &k, (long)key.len);
    EVP_PKEY *public_key = d2i_PUBKEY(NULL, &s, (long)spki.len);

    if (private_key == NULL || public_key == NULL ||
        EVP_PKEY_eq(private_key, public_key) != 1) {
        abort();
    }
    EVP_PKEY_free(private_key);
    EVP_PKEY_free(public_key);
}

static void pem_of(struct cv_bytes key)
{
    struct cv_arena *arena = NULL;
    struct cv_bytes pem;

    if (cv_arena_new(CV_MIB(1), &arena, NULL) != CV_OK) {
        abort();
    }
    if (cv_match_pem(key, arena, &pem, NULL) == CV_OK &&
        pem.data[pem.len - 1] != '\n') {
        abort();
    }
    cv_arena_free(arena);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static bool started;
    uint8_t digest[CV_BOX_DIGEST_LEN] = {0};
    struct cv_bytes key, cert, spki = {NULL, 0};
    struct cv_buf pem;
    struct cv_err err;

    if (!started) {
        if (cv_arena_start(NULL) != CV_OK || cv_match_start(NULL) != CV_OK) {
            abort();
        }
        started = true;
    }
    if (size < 2) {
        return 0;
    }
    key.len = (size_t)data[0] << 8 | data[1];
    key.data = data + 2;
    if (key.len > size - 2) {
        key.len = size - 2;
    }
    cert.data = key.data + key.len;
    cert.len = size - 2 - key.len;
    if (cv_keyform_spki(cert, &spki)) {
        (void)crypto_hash_sha256(digest, spki.data, spki.len);
    }
    armour(cert, &pem);
    cv_err_init(&err);
    if (cv_match_key(key, cv_buf_bytes(&pem), digest, &err) == CV_OK) {
        must_agree(key, spki);
    } else if (err.text[0] == '\0') {
        abort();
    }
    pem_of(key);
    cv_buf_wipe(&pem);
    return 0;
}
