/* Keys, certificates and signers for tests that speak TLS: made anew in every
 * run, with libcrypto's default context. */
#ifndef CERTVAULT_TESTS_UNIT_TLS_RIG_H
#define CERTVAULT_TESTS_UNIT_TLS_RIG_H

#include "pkcs11/provider/provider.h"

#include <openssl/evp.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>
#include <stdatomic.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

/* "rsa2048", "rsa4096", "p256", "p384", "p521", "ed25519" */
#define TLS_RIG_KINDS 6
extern const char *const tls_rig_kinds[TLS_RIG_KINDS];

/* A key pair of its kind; each process makes two of a kind (`other`). */
EVP_PKEY *tls_rig_key(const char *kind, bool other);

struct tls_rig_id {
    EVP_PKEY *key; /* borrowed */
    X509 *certificate;
    uint8_t *spki; /* DER */
    size_t spki_len;
};

/* What a certificate is to say. */
struct tls_rig_wish {
    const char *kind;
    bool other;      /* the second key of the kind */
    const char *san; /* "DNS:localhost,IP:127.0.0.1"; NULL: none */
    const char *eku; /* "serverAuth", NULL: none */
    bool ca;
    const struct tls_rig_id *issuer; /* NULL: itself */
    long from_s, to_s;               /* from now; both 0: an hour either way */
    const char *cn;                  /* NULL: "test" */
};

void tls_rig_make(const struct tls_rig_wish *wish, struct tls_rig_id *out);
void tls_rig_free(struct tls_rig_id *id);

/* The certificate's (or the private key's) PEM; free() it. */
char *tls_rig_pem(const struct tls_rig_id *id);
char *tls_rig_key_pem(const struct tls_rig_id *id);

/* A listening socket on a free port of 127.0.0.1, and its https:// address
 * (`url` may be NULL). */
int tls_rig_listen(char *url, size_t url_len);

/* Reads one byte from a connection that does not block, waiting for it. False:
 * there is none any more; libssl's queue may have the reason. */
bool tls_rig_wait(SSL *ssl, int fd, char *byte);

/* A signer that has the private key; says what it was asked. */
struct tls_rig_signer {
    EVP_PKEY *key;
    const uint8_t *spki;
    size_t spki_len;
    atomic_int asked;
    char purpose[32], algorithm[32]; /* of the last ask (one thread) */
    enum cv_status fail;             /* not CV_OK: refuse */
    int trim;                        /* cut so many bytes off the signature */
};

void tls_rig_signer(const struct tls_rig_id *id, struct tls_rig_signer *out);

/* A cv_provider_sign; `context` is a struct tls_rig_signer. Fails the test
 * where what it is asked has not the form of the purpose. */
enum cv_status tls_rig_sign(void *context, const char *purpose,
                            const char *algorithm, struct cv_bytes data,
                            struct cv_buf *signature, struct cv_err *err);

/* Signs with a key of libcrypto's, by TLS's name. */
bool tls_rig_sign_with(EVP_PKEY *key, const char *algorithm,
                       struct cv_bytes data, struct cv_buf *out);

#endif
