#include "vault/seal/purpose.h"

#include "vault/base/limits.h"
#include "vault/seal/keyder_internal.h"

#include <sodium.h>
#include <string.h>

#define TLS13_BLANKS 64
#define TLS13_CONTEXT "TLS 1.3, client CertificateVerify"
#define CHALLENGE_MIN 32
#define CHALLENGE_MAX 4096

/* TLS handshake types (RFC 5246 7.4) */
#define CLIENT_HELLO 1
#define SERVER_HELLO 2
#define CLIENT_KEY_EXCHANGE 16

static bool is_tls13(struct cv_bytes data,
                     const uint8_t spki[CV_BOX_DIGEST_LEN])
{
    /* The context's own NUL is the one that follows it. */
    const size_t head = TLS13_BLANKS + sizeof(TLS13_CONTEXT);
    size_t i;

    (void)spki;
    if (data.len != head + 32 && data.len != head + 48) {
        return false;
    }
    for (i = 0; i < TLS13_BLANKS; i++) {
        if (data.data[i] != ' ') {
            return false;
        }
    }
    return memcmp(data.data + i, TLS13_CONTEXT, sizeof(TLS13_CONTEXT)) == 0;
}

/* Takes one handshake message: its type, -1 where there is no whole one. */
static int take_handshake(struct cv_bytes *from, struct cv_bytes *body)
{
    const uint8_t *p = from->data;
    int type;

    if (from->len < 4) {
        return -1;
    }
    type = p[0];
    body->data = p + 4;
    body->len = (size_t)p[1] << 16 | (size_t)p[2] << 8 | p[3];
    if (body->len > from->len - 4) {
        return -1;
    }
    from->data += 4 + body->len;
    from->len -= 4 + body->len;
    return type;
}

static bool is_tls12(struct cv_bytes data,
                     const uint8_t spki[CV_BOX_DIGEST_LEN])
{
    struct cv_bytes body;
    int last;

    (void)spki;
    /* legacy_version, random, a session id's length */
    if (take_handshake(&data, &body) != CLIENT_HELLO || body.len < 35 ||
        body.data[0] != 3 || take_handshake(&data, &body) != SERVER_HELLO ||
        body.len < 35 || body.data[0] != 3) {
        return false;
    }
    do {
        last = take_handshake(&data, &body);
    } while (last != -1 && last != CLIENT_KEY_EXCHANGE);
    return last == CLIENT_KEY_EXCHANGE && data.len == 0;
}

static bool is_csr(struct cv_bytes data, const uint8_t spki[CV_BOX_DIGEST_LEN])
{
    struct cv_bytes info, whole, skipped;
    uint8_t digest[CV_BOX_DIGEST_LEN];

    if (!cv_keyder_take(&data, DER_SEQUENCE, &info) || data.len != 0 ||
        !cv_keyder_take_small(&info, 0) ||
        !cv_keyder_take(&info, DER_SEQUENCE, &skipped) ||
        !cv_keyder_take_whole(&info, DER_SEQUENCE, &whole) ||
        !cv_keyder_take(&info, DER_CONTEXT(0), &skipped) || info.len != 0) {
        return false;
    }
    (void)crypto_hash_sha256(digest, whole.data, whole.len);
    return sodium_memcmp(digest, spki, sizeof(digest)) == 0;
}

static bool is_challenge(struct cv_bytes data,
                         const uint8_t spki[CV_BOX_DIGEST_LEN])
{
    const size_t head = sizeof(CV_PURPOSE_CHALLENGE);

    (void)spki;
    return data.len >= head + CHALLENGE_MIN &&
           data.len <= head + CHALLENGE_MAX &&
           memcmp(data.data, CV_PURPOSE_CHALLENGE, head) == 0;
}

static const struct purpose {
    const char *name;
    bool (*fits)(struct cv_bytes data, const uint8_t spki[CV_BOX_DIGEST_LEN]);
    bool pkcs1; /* RSA with PKCS#1 v1.5 padding may sign it */
    const char *what;
} purposes[] = {
    {"tls13-client", is_tls13, false, "a TLS 1.3 client's CertificateVerify"},
    {"tls12-client", is_tls12, true,
     "a TLS 1.2 handshake up to ClientKeyExchange"},
    {"csr", is_csr, true, "a certificate request for this key"},
    {"challenge", is_challenge, true, "a certvault challenge"},
};

static const char *const algorithms[] = {
    "rsa_pkcs1_sha256",       "rsa_pkcs1_sha384",
    "rsa_pkcs1_sha512",       "rsa_pss_rsae_sha256",
    "rsa_pss_rsae_sha384",    "rsa_pss_rsae_sha512",
    "ecdsa_secp256r1_sha256", "ecdsa_secp384r1_sha384",
    "ecdsa_secp521r1_sha512", "ed25519",
};

static bool is_algorithm(const char *name)
{
    for (size_t i = 0; i < sizeof(algorithms) / sizeof(algorithms[0]); i++) {
        if (strcmp(algorithms[i], name) == 0) {
            return true;
        }
    }
    return false;
}

static const struct purpose *find(const char *name)
{
    for (size_t i = 0; i < sizeof(purposes) / sizeof(purposes[0]); i++) {
        if (strcmp(purposes[i].name, name) == 0) {
            return &purposes[i];
        }
    }
    return NULL;
}

enum cv_status cv_purpose_check(const char *purpose, const char *algorithm,
                                struct cv_bytes data,
                                const uint8_t spki_sha256[CV_BOX_DIGEST_LEN],
                                struct cv_err *err)
{
    const struct purpose *p = find(purpose);
    enum cv_status s;

    if (p == NULL) {
        s = cv_fail(err, CV_INVALID, "keys are not used for that");
        cv_err_hint(err, "tls13-client, tls12-client, csr or challenge");
        return s;
    }
    if (!is_algorithm(algorithm)) {
        return cv_fail(err, CV_INVALID, "no such signature algorithm");
    }
    if (!p->pkcs1 && strncmp(algorithm, "rsa_pkcs1_", 10) == 0) {
        return cv_fail(err, CV_INVALID,
                       "TLS 1.3 does not sign with PKCS#1 v1.5 padding");
    }
    if (data.len > CV_LIMIT_SIGN_DATA || !p->fits(data, spki_sha256)) {
        s = cv_fail(err, CV_INVALID, "what is to be signed is not %s", p->what);
        cv_err_state(err, "nothing was signed");
        return s;
    }
    return CV_OK;
}
