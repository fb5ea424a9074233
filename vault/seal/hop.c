#include "vault/seal/hop.h"

#include "vault/base/limits.h"
#include "vault/seal/hop_internal.h"

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* PKCS#8 of a P-256 key is 138 bytes. */
#define KEY_MAX 192
/* Enough for CV_LIMIT_GRANTS keys and the client CA's. */
#define ARENA_MAX (CV_LIMIT_GRANTS * KEY_MAX + CV_KIB(16))

/* One grant's certificate. Its key is a place in the arena, which is used again
 * once it was wiped. */
struct minted {
    char grant[CV_HOP_GRANT_LEN + 1]; /* "": free */
    uint8_t *key;                     /* KEY_MAX bytes */
    size_t key_len;
    char *certificate;
};

struct cv_hop {
    struct cv_arena *arena;
    struct cv_bytes ca_key; /* empty: none yet */
    struct cv_buf ca;       /* PEM */
    struct minted *minted;
    size_t n;
};

static enum cv_status no_memory(struct cv_err *err)
{
    return cv_fail(err, CV_INTERNAL, "memory is gone");
}

enum cv_status cv_hop_new(struct cv_hop **out, struct cv_err *err)
{
    struct cv_hop *hop = calloc(1, sizeof(*hop));
    enum cv_status s;

    *out = NULL;
    if (hop == NULL) {
        return no_memory(err);
    }
    cv_buf_init(&hop->ca, NULL, CV_KIB(8));
    hop->minted = calloc(CV_LIMIT_GRANTS, sizeof(*hop->minted));
    s = hop->minted != NULL ? cv_arena_new(ARENA_MAX, &hop->arena, err)
                            : no_memory(err);
    if (s != CV_OK) {
        cv_hop_free(hop);
        return s;
    }
    *out = hop;
    return CV_OK;
}

static void wipe(struct minted *m)
{
    if (m->key != NULL) {
        sodium_memzero(m->key, KEY_MAX);
    }
    free(m->certificate);
    m->certificate = NULL;
    m->key_len = 0;
    m->grant[0] = '\0';
}

void cv_hop_forget(struct cv_hop *hop, const char *grant)
{
    for (size_t i = 0; i < hop->n; i++) {
        if (grant == NULL || strcmp(hop->minted[i].grant, grant) == 0) {
            wipe(&hop->minted[i]);
        }
    }
}

void cv_hop_free(struct cv_hop *hop)
{
    if (hop == NULL) {
        return;
    }
    if (hop->minted != NULL) {
        cv_hop_forget(hop, NULL);
    }
    free(hop->minted);
    cv_buf_wipe(&hop->ca);
    cv_arena_free(hop->arena);
    free(hop);
}

/* The key as PKCS#8 DER, at `out` (`size` bytes). */
static enum cv_status write_key(EVP_PKEY *key, uint8_t *out, size_t size,
                                size_t *len, struct cv_err *err)
{
    PKCS8_PRIV_KEY_INFO *info = EVP_PKEY2PKCS8(key);
    int n = info != NULL ? i2d_PKCS8_PRIV_KEY_INFO(info, NULL) : -1;
    unsigned char *at = out;
    enum cv_status s = CV_OK;

    if (n <= 0 || (size_t)n > size || i2d_PKCS8_PRIV_KEY_INFO(info, &at) != n) {
        s = cv_fail(err, CV_INTERNAL, "libcrypto does not write a key");
    } else {
        *len = (size_t)n;
    }
    PKCS8_PRIV_KEY_INFO_free(info);
    return s;
}

static enum cv_status keep_key(EVP_PKEY *key, struct cv_arena *arena,
                               struct cv_bytes *out, struct cv_err *err)
{
    uint8_t *place = cv_arena_alloc(arena, KEY_MAX, err);
    size_t len = 0;
    enum cv_status s;

    if (place == NULL) {
        return err != NULL ? err->status : CV_INTERNAL;
    }
    s = write_key(key, place, KEY_MAX, &len, err);
    *out = (struct cv_bytes){place, len};
    return s;
}

enum cv_status cv_hop_make_ca(int64_t now_s, struct cv_arena *arena,
                              struct cv_hop_pair *out, struct cv_err *err)
{
    const struct hop_spec spec = {
        .cn = "certvault hop server CA",
        .from_s = now_s - HOP_BACKDATE_S,
        .until_s = now_s + CV_HOP_CA_S,
        .extensions = cv_hop_cert_server_ca,
    };
    EVP_PKEY *key = NULL;
    enum cv_status s;

    out->key_der = (struct cv_bytes){NULL, 0};
    cv_buf_init(&out->certificate, NULL, CV_KIB(8));
    s = cv_hop_cert_key(&key, err);
    if (s == CV_OK) {
        s = cv_hop_cert_make(&spec, key, NULL, key, &out->certificate, err);
    }
    if (s == CV_OK) {
        s = keep_key(key, arena, &out->key_der, err);
    }
    EVP_PKEY_free(key);
    return s;
}

static EVP_PKEY *read_key(struct cv_bytes der)
{
    const unsigned char *p = der.data;
    PKCS8_PRIV_KEY_INFO *info =
        d2i_PKCS8_PRIV_KEY_INFO(NULL, &p, (long)der.len);
    EVP_PKEY *key = info != NULL ? EVP_PKCS82PKEY(info) : NULL;

    PKCS8_PRIV_KEY_INFO_free(info);
    ERR_clear_error();
    return key;
}

static X509 *read_certificate(struct cv_bytes pem)
{
    BIO *bio = BIO_new_mem_buf(pem.data, (int)pem.len);
    X509 *x = bio != NULL ? PEM_read_bio_X509(bio, NULL, NULL, NULL) : NULL;

    BIO_free(bio);
    ERR_clear_error();
    return x;
}

enum cv_status cv_hop_spki(struct cv_bytes key_der,
                           uint8_t out[CV_BOX_DIGEST_LEN], struct cv_err *err)
{
    EVP_PKEY *key = read_key(key_der);
    unsigned char *der = NULL;
    int n = key != NULL ? i2d_PUBKEY(key, &der) : -1;
    enum cv_status s = CV_OK;

    if (n <= 0) {
        s = cv_fail(err, CV_INTEGRITY, "libcrypto does not read the key");
    } else {
        (void)crypto_hash_sha256(out, der, (unsigned long long)n);
    }
    OPENSSL_free(der);
    EVP_PKEY_free(key);
    return s;
}

enum cv_status cv_hop_make_server(struct cv_bytes ca_pem,
                                  struct cv_bytes ca_key, int64_t now_s,
                                  struct cv_arena *arena,
                                  struct cv_hop_pair *out, struct cv_err *err)
{
    struct hop_spec spec = {
        .cn = "certvault relay",
        .from_s = now_s - HOP_BACKDATE_S,
        .until_s = now_s + CV_HOP_SERVER_S,
        .extensions = cv_hop_cert_server,
    };
    X509 *ca = read_certificate(ca_pem);
    EVP_PKEY *issuer = read_key(ca_key), *key = NULL;
    int64_t ends_s = 0;
    enum cv_status s = CV_OK;

    out->key_der = (struct cv_bytes){NULL, 0};
    cv_buf_init(&out->certificate, NULL, CV_KIB(8));
    if (ca == NULL || issuer == NULL || !cv_hop_cert_end(ca, &ends_s)) {
        s = cv_fail(err, CV_INTEGRITY, "the relay's CA cannot be read");
    } else if (ends_s <= now_s) {
        s = cv_fail(err, CV_EXPIRED, "the relay's CA has ended");
    }
    spec.until_s = ends_s < spec.until_s ? ends_s : spec.until_s;
    if (s == CV_OK) {
        s = cv_hop_cert_key(&key, err);
    }
    if (s == CV_OK) {
        s = cv_hop_cert_make(&spec, key, ca, issuer, &out->certificate, err);
    }
    if (s == CV_OK) {
        s = keep_key(key, arena, &out->key_der, err);
    }
    EVP_PKEY_free(key);
    EVP_PKEY_free(issuer);
    X509_free(ca);
    return s;
}

enum cv_status cv_hop_client_ca(struct cv_hop *hop, int64_t now_s,
                                const char **pem, struct cv_err *err)
{
    const struct hop_spec spec = {
        .cn = "certvault hop client CA",
        .from_s = now_s - HOP_BACKDATE_S,
        .until_s = now_s + CV_HOP_CA_S,
        .extensions = cv_hop_cert_client_ca,
    };
    EVP_PKEY *key = NULL;
    enum cv_status s = CV_OK;

    if (hop->ca_key.len == 0) {
        cv_buf_wipe(&hop->ca);
        s = cv_hop_cert_key(&key, err);
        if (s == CV_OK) {
            s = cv_hop_cert_make(&spec, key, NULL, key, &hop->ca, err);
        }
        if (s == CV_OK) {
            s = keep_key(key, hop->arena, &hop->ca_key, err);
        }
        EVP_PKEY_free(key);
    }
    *pem = s == CV_OK ? cv_buf_text(&hop->ca) : NULL;
    return s;
}

static bool is_grant(const char *id)
{
    return strlen(id) == CV_HOP_GRANT_LEN &&
           strspn(id, "0123456789abcdef") == CV_HOP_GRANT_LEN;
}

/* The one that the grant has, or a free one; NULL: there is none. */
static struct minted *find(struct cv_hop *hop, const char *grant)
{
    struct minted *open = NULL;

    for (size_t i = 0; i < hop->n; i++) {
        if (strcmp(hop->minted[i].grant, grant) == 0) {
            return &hop->minted[i];
        }
        if (hop->minted[i].grant[0] == '\0') {
            open = &hop->minted[i];
        }
    }
    if (open == NULL && hop->n < CV_LIMIT_GRANTS) {
        open = &hop->minted[hop->n++];
    }
    return open;
}

static enum cv_status mint(struct cv_hop *hop, struct minted *m,
                           const struct cv_hop_wish *wish, int64_t now_s,
                           struct cv_err *err)
{
    char cn[32], uri[sizeof(CV_HOP_URI) + CV_HOP_GRANT_LEN];
    const struct hop_spec spec = {
        .cn = cn,
        .description = wish->entry,
        .uri = uri,
        .from_s = now_s - HOP_BACKDATE_S,
        .until_s = wish->not_after_s,
        .extensions = cv_hop_cert_client,
    };
    X509 *ca = read_certificate(cv_buf_bytes(&hop->ca));
    EVP_PKEY *issuer = read_key(hop->ca_key), *key = NULL;
    struct cv_buf pem;
    enum cv_status s;

    (void)snprintf(cn, sizeof(cn), "uid:%lld", (long long)wish->uid);
    (void)snprintf(uri, sizeof(uri), CV_HOP_URI "%s", wish->grant);
    cv_buf_init(&pem, NULL, CV_KIB(8));
    s = ca != NULL && issuer != NULL
            ? cv_hop_cert_key(&key, err)
            : cv_fail(err, CV_INTERNAL, "the client CA cannot be read");
    if (s == CV_OK) {
        s = cv_hop_cert_make(&spec, key, ca, issuer, &pem, err);
    }
    if (s == CV_OK && m->key == NULL) {
        m->key = cv_arena_alloc(hop->arena, KEY_MAX, err);
        s = m->key != NULL ? CV_OK : no_memory(err);
    }
    if (s == CV_OK) {
        s = write_key(key, m->key, KEY_MAX, &m->key_len, err);
    }
    m->certificate = s == CV_OK ? strdup(cv_buf_text(&pem)) : NULL;
    if (s == CV_OK && m->certificate == NULL) {
        s = no_memory(err);
    }
    cv_buf_wipe(&pem);
    EVP_PKEY_free(key);
    EVP_PKEY_free(issuer);
    X509_free(ca);
    return s;
}

enum cv_status cv_hop_mint(struct cv_hop *hop, const struct cv_hop_wish *wish,
                           int64_t now_s, struct cv_bytes *key_der,
                           const char **certificate, struct cv_err *err)
{
    struct minted *m;
    enum cv_status s = CV_OK;

    *key_der = (struct cv_bytes){NULL, 0};
    *certificate = NULL;
    if (!is_grant(wish->grant) || wish->uid < 0 || wish->uid > UINT32_MAX ||
        wish->entry[0] == '\0' || strlen(wish->entry) > CV_LIMIT_NAME ||
        wish->not_after_s <= now_s || wish->not_after_s > now_s + CV_HOP_CA_S) {
        return cv_fail(err, CV_INVALID,
                       "this is nothing to make a certificate of");
    }
    if (hop->ca_key.len == 0) {
        return cv_fail(err, CV_NOT_FOUND, "there is no client CA yet");
    }
    m = find(hop, wish->grant);
    if (m == NULL) {
        return cv_fail(err, CV_BUSY, "there are %d grants already",
                       CV_LIMIT_GRANTS);
    }
    if (m->grant[0] == '\0') {
        s = mint(hop, m, wish, now_s, err);
        if (s != CV_OK) {
            wipe(m);
            return s;
        }
        memcpy(m->grant, wish->grant, sizeof(m->grant));
    }
    *key_der = (struct cv_bytes){m->key, m->key_len};
    *certificate = m->certificate;
    return CV_OK;
}
