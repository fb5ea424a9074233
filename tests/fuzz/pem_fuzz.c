/* PEM and DER. The first byte says what the rest is: a text with a key (k) or
 * certificates (c), or the DER of a PKCS#8 key (K) or a certificate (C). What
 * is taken is written again and must be taken as the same; libcrypto agrees. */
#include "vault/base/json.h"
#include "vault/base/limits.h"
#include "vault/kubeconfig/certificate.h"
#include "vault/kubeconfig/pem.h"
#include "vault/kubeconfig/private_key.h"

#include <openssl/evp.h>
#include <openssl/x509.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_key(struct cv_arena *arena, const struct cv_private_key *key)
{
    struct cv_private_key again;
    struct cv_buf pem;
    cv_buf_init(&pem, arena, CV_LIMIT_PEM);
    cv_pem_write("PRIVATE KEY", key->pkcs8, &pem);
    if (cv_private_key_read(arena, cv_buf_bytes(&pem), &again, NULL) != CV_OK ||
        !cv_bytes_equal(again.pkcs8, key->pkcs8)) {
        abort();
    }
    const uint8_t *p = key->pkcs8.data;
    EVP_PKEY *pkey = d2i_AutoPrivateKey(NULL, &p, (long)key->pkcs8.len);
    uint8_t *spki = NULL;
    int len = pkey != NULL ? i2d_PUBKEY(pkey, &spki) : -1;
    if (len < 0 || (size_t)len != key->spki.len ||
        memcmp(spki, key->spki.data, key->spki.len) != 0) {
        abort();
    }
    OPENSSL_free(spki);
    EVP_PKEY_free(pkey);
}

static void try_certificate(struct cv_arena *arena, struct cv_bytes der)
{
    struct cv_certificate c;
    if (cv_certificate_read(arena, der, &c, NULL) != CV_OK) {
        return;
    }
    for (const char *p = c.subject; *p != '\0'; p++) {
        if (*p < ' ' || *p > '~') {
            abort();
        }
    }
    if (strlen(c.issuer) > CV_CERTIFICATE_NAME_MAX + 3) {
        abort();
    }
    (void)!cv_certificate_check_client(&c, 1811808000, NULL);
}

static void try_list(struct cv_arena *arena, struct cv_bytes text)
{
    struct cv_certificate_list list;
    struct cv_certificate_list again;
    uint8_t a[32];
    uint8_t b[32];
    if (cv_certificate_list_read(arena, text, CV_LIMIT_CHAIN, NULL, &list,
                                 NULL) != CV_OK) {
        return;
    }
    struct cv_bytes pem = {(const uint8_t *)list.pem, strlen(list.pem)};
    if (cv_certificate_list_read(arena, pem, CV_LIMIT_CHAIN, NULL, &again,
                                 NULL) != CV_OK ||
        cv_certificate_set(&list, a, NULL) != CV_OK ||
        cv_certificate_set(&again, b, NULL) != CV_OK ||
        memcmp(a, b, sizeof(a)) != 0 || strcmp(list.pem, again.pem) != 0) {
        abort();
    }
    for (size_t i = 0; i < list.n; i++) {
        try_certificate(arena, list.der[i]);
    }
}

static void try_one(struct cv_arena *arena, char kind, struct cv_bytes rest)
{
    struct cv_private_key key;
    switch (kind) {
    case 'k':
        if (cv_private_key_read(arena, rest, &key, NULL) == CV_OK) {
            check_key(arena, &key);
        }
        break;
    case 'K':
        if (cv_private_key_from_pkcs8(arena, rest, &key, NULL) == CV_OK) {
            check_key(arena, &key);
        }
        break;
    case 'c':
        try_list(arena, rest);
        break;
    case 'C':
        try_certificate(arena, rest);
        break;
    default:
        break;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static bool started;
    if (!started) {
        cv_arena_allow_unlocked();
        if (cv_arena_start(NULL) != CV_OK) {
            abort();
        }
        cv_json_start();
        started = true;
    }
    struct cv_arena *arena = NULL;
    if (size == 0) {
        return 0;
    }
    if (cv_arena_new(CV_LIMIT_SECRET_ARENA, &arena, NULL) != CV_OK) {
        abort();
    }
    try_one(arena, (char)data[0], (struct cv_bytes){data + 1, size - 1});
    cv_arena_free(arena);
    return 0;
}
