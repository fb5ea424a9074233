#include "tests/unit/tls_rig.h"

#include "vault/base/limits.h"
#include "vault/seal/purpose.h"

#include <netinet/in.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>
#include <openssl/x509v3.h>
#include <poll.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

const char *const tls_rig_kinds[TLS_RIG_KINDS] = {
    "rsa2048", "rsa4096", "p256", "p384", "p521", "ed25519"};

static EVP_PKEY *generate(const char *kind)
{
    if (strncmp(kind, "rsa", 3) == 0) {
        return EVP_PKEY_Q_keygen(NULL, NULL, "RSA",
                                 (size_t)strtoul(kind + 3, NULL, 10));
    }
    if (strcmp(kind, "ed25519") == 0) {
        return EVP_PKEY_Q_keygen(NULL, NULL, "ED25519");
    }
    return EVP_PKEY_Q_keygen(NULL, NULL, "EC",
                             strcmp(kind, "p256") == 0   ? "P-256"
                             : strcmp(kind, "p384") == 0 ? "P-384"
                             : strcmp(kind, "p521") == 0 ? "P-521"
                                                         : kind);
}

EVP_PKEY *tls_rig_key(const char *kind, bool other)
{
    static struct {
        const char *kind;
        EVP_PKEY *keys[2];
    } made[16];

    for (size_t i = 0; i < 16; i++) {
        if (made[i].kind == NULL) {
            made[i].kind = kind;
        }
        if (strcmp(made[i].kind, kind) == 0) {
            EVP_PKEY **key = &made[i].keys[other ? 1 : 0];

            if (*key == NULL) {
                *key = generate(kind);
            }
            assert_non_null(*key);
            return *key;
        }
    }
    fail_msg("too many kinds");
    return NULL;
}

static void add_extension(X509 *x, X509 *issuer, int nid, const char *value)
{
    X509V3_CTX ctx;
    X509_EXTENSION *e;

    if (value == NULL) {
        return;
    }
    X509V3_set_ctx(&ctx, issuer, x, NULL, NULL, 0);
    e = X509V3_EXT_nconf_nid(NULL, &ctx, nid, value);
    assert_non_null(e);
    assert_int_equal(X509_add_ext(x, e, -1), 1);
    X509_EXTENSION_free(e);
}

void tls_rig_make(const struct tls_rig_wish *wish, struct tls_rig_id *out)
{
    static long serial = 1000;
    bool dated = wish->from_s != 0 || wish->to_s != 0;
    const char *cn = wish->cn != NULL ? wish->cn : "test";
    EVP_PKEY *signer;
    X509 *x = X509_new();
    X509_NAME *name = X509_get_subject_name(x);
    unsigned char *spki = NULL;
    int len;

    memset(out, 0, sizeof(*out));
    out->key = tls_rig_key(wish->kind, wish->other);
    out->certificate = x;
    signer = wish->issuer != NULL ? wish->issuer->key : out->key;
    X509_set_version(x, X509_VERSION_3);
    ASN1_INTEGER_set(X509_get_serialNumber(x), ++serial);
    X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC,
                               (const unsigned char *)cn, -1, -1, 0);
    X509_set_issuer_name(x,
                         wish->issuer != NULL
                             ? X509_get_subject_name(wish->issuer->certificate)
                             : name);
    X509_gmtime_adj(X509_getm_notBefore(x), dated ? wish->from_s : -3600);
    X509_gmtime_adj(X509_getm_notAfter(x), dated ? wish->to_s : 3600);
    X509_set_pubkey(x, out->key);
    add_extension(x, x, NID_basic_constraints,
                  wish->ca ? "critical,CA:TRUE" : "CA:FALSE");
    add_extension(x, x, NID_subject_alt_name, wish->san);
    add_extension(x, x, NID_ext_key_usage, wish->eku);
    assert_true(
        X509_sign(x, signer,
                  EVP_PKEY_is_a(signer, "ED25519") ? NULL : EVP_sha256()) > 0);
    len = i2d_PUBKEY(out->key, &spki);
    assert_true(len > 0);
    out->spki = malloc((size_t)len);
    memcpy(out->spki, spki, (size_t)len);
    out->spki_len = (size_t)len;
    OPENSSL_free(spki);
}

void tls_rig_free(struct tls_rig_id *id)
{
    X509_free(id->certificate);
    free(id->spki);
    memset(id, 0, sizeof(*id));
}

static char *text_of(BIO *b)
{
    char *data = NULL;
    long len = BIO_get_mem_data(b, &data);
    char *text = strndup(data, (size_t)len);

    BIO_free(b);
    return text;
}

char *tls_rig_pem(const struct tls_rig_id *id)
{
    BIO *b = BIO_new(BIO_s_mem());

    assert_int_equal(PEM_write_bio_X509(b, id->certificate), 1);
    return text_of(b);
}

char *tls_rig_key_pem(const struct tls_rig_id *id)
{
    BIO *b = BIO_new(BIO_s_mem());

    assert_int_equal(
        PEM_write_bio_PrivateKey(b, id->key, NULL, NULL, 0, NULL, NULL), 1);
    return text_of(b);
}

int tls_rig_listen(char *url, size_t url_len)
{
    struct sockaddr_in at = {.sin_family = AF_INET,
                             .sin_addr = {htonl(INADDR_LOOPBACK)}};
    socklen_t len = sizeof(at);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    assert_true(fd >= 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&at, sizeof(at)), 0);
    assert_int_equal(listen(fd, 64), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&at, &len), 0);
    if (url != NULL) {
        (void)snprintf(url, url_len, "https://127.0.0.1:%d",
                       ntohs(at.sin_port));
    }
    return fd;
}

bool tls_rig_wait(SSL *ssl, int fd, char *byte)
{
    for (;;) {
        struct pollfd p = {fd, POLLIN, 0};
        int got = SSL_read(ssl, byte, 1);

        if (got == 1) {
            return true;
        }
        if (SSL_get_error(ssl, got) != SSL_ERROR_WANT_READ) {
            return false;
        }
        assert_int_equal(poll(&p, 1, 60000), 1);
    }
}

void tls_rig_signer(const struct tls_rig_id *id, struct tls_rig_signer *out)
{
    memset(out, 0, sizeof(*out));
    out->key = id->key;
    out->spki = id->spki;
    out->spki_len = id->spki_len;
}

bool tls_rig_sign_with(EVP_PKEY *key, const char *algorithm,
                       struct cv_bytes data, struct cv_buf *out)
{
    const char *digest = strstr(algorithm, "sha256")   ? "SHA256"
                         : strstr(algorithm, "sha384") ? "SHA384"
                         : strstr(algorithm, "sha512") ? "SHA512"
                                                       : NULL;
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    EVP_PKEY_CTX *how = NULL;
    uint8_t signature[CV_LIMIT_SIGNATURE];
    size_t len = sizeof(signature);
    bool ok;

    ok = EVP_DigestSignInit_ex(ctx, &how, digest, NULL, NULL, key, NULL) == 1;
    if (ok && strncmp(algorithm, "rsa_pss", 7) == 0) {
        ok = EVP_PKEY_CTX_set_rsa_padding(how, RSA_PKCS1_PSS_PADDING) == 1 &&
             EVP_PKEY_CTX_set_rsa_pss_saltlen(how, RSA_PSS_SALTLEN_DIGEST) == 1;
    }
    ok = ok && EVP_DigestSign(ctx, signature, &len, data.data, data.len) == 1;
    EVP_MD_CTX_free(ctx);
    if (ok) {
        cv_buf_add(out, signature, len);
    }
    return ok;
}

enum cv_status tls_rig_sign(void *context, const char *purpose,
                            const char *algorithm, struct cv_bytes data,
                            struct cv_buf *signature, struct cv_err *err)
{
    struct tls_rig_signer *s = context;
    uint8_t digest[CV_BOX_DIGEST_LEN];
    struct cv_err why;

    atomic_fetch_add(&s->asked, 1);
    (void)snprintf(s->purpose, sizeof(s->purpose), "%s", purpose);
    (void)snprintf(s->algorithm, sizeof(s->algorithm), "%s", algorithm);
    if (s->fail != CV_OK) {
        return cv_fail(err, s->fail, "the signer says no");
    }
    (void)crypto_hash_sha256(digest, s->spki, s->spki_len);
    cv_err_init(&why);
    if (cv_purpose_check(purpose, algorithm, data, digest, &why) != CV_OK) {
        return cv_fail(err, CV_FAILED, "purpose %s, algorithm %s: %s", purpose,
                       algorithm, why.text);
    }
    if (!tls_rig_sign_with(s->key, algorithm, data, signature)) {
        return cv_fail(err, CV_INTERNAL, "libcrypto does not sign");
    }
    signature->len -= (size_t)s->trim;
    return CV_OK;
}
