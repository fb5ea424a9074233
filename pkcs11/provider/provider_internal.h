/* What the provider's parts share. */
#ifndef CERTVAULT_PKCS11_PROVIDER_INTERNAL_H
#define CERTVAULT_PKCS11_PROVIDER_INTERNAL_H

#include "pkcs11/provider/provider.h"

#include <openssl/core.h>
#include <openssl/evp.h>
#include <stdatomic.h>

#define CV_PROVIDER_NAME "certvault"

/* The import parameter that carries a struct cv_provider_made: this process's
 * own word for "make this key", which no encoding can say. */
#define CV_PROVIDER_PARAM "certvault-made"

enum cv_provider_kind { CV_PROVIDER_RSA, CV_PROVIDER_EC, CV_PROVIDER_ED25519 };

/* The provider's side of libcrypto's handle. */
struct cv_provider_side {
    /* The default provider alone: public keys and digests are its work, and it
     * must not find ours by mistake. */
    OSSL_LIB_CTX *plain;
};

/* A key: a public one of the plain context, and, unless it was imported from
 * a certificate to be compared, who signs for it. */
struct cv_provider_data {
    atomic_uint held;
    struct cv_provider_side *side;
    enum cv_provider_kind kind;
    EVP_PKEY *public;
    cv_provider_sign *sign; /* NULL: public only */
    void *context;
};

/* What CV_PROVIDER_PARAM carries (the struct's bytes). */
struct cv_provider_made {
    EVP_PKEY *public; /* taken over by reference */
    cv_provider_sign *sign;
    void *context;
};

/* One way to sign. */
struct cv_provider_algorithm {
    const char *name; /* TLS's */
    enum cv_provider_kind kind;
    const char *group;  /* EC: libcrypto's name; else NULL */
    const char *digest; /* NULL: none */
    int digest_len;     /* bytes; PSS: the salt's as well */
    bool pss;
    struct cv_bytes identifier; /* DER AlgorithmIdentifier */
};

/* A reference more, one less. */
struct cv_provider_data *cv_provider_data_hold(struct cv_provider_data *d);
void cv_provider_data_free(struct cv_provider_data *d);

/* The algorithm for this key with that digest (libcrypto's name in any
 * spelling; NULL or "": the key's own) and padding; NULL where there is none.
 */
const struct cv_provider_algorithm *
cv_provider_find_algorithm(const struct cv_provider_data *key,
                           const char *digest, bool pss);

/* The key's own digest: "SHA384" for P-384; "" for Ed25519. */
const char *cv_provider_own_digest(const struct cv_provider_data *key);

/* Is it of a kind that there are algorithms for? */
bool cv_provider_is_used(EVP_PKEY *public, enum cv_provider_kind *kind);

/* What `data` is for, told by how it begins; NULL: nothing that is signed. */
const char *cv_provider_purpose(struct cv_bytes data);

/* What libcrypto asks us for: tables of functions. */
extern const OSSL_ALGORITHM cv_provider_keymgmts[];
extern const OSSL_ALGORITHM cv_provider_signatures[];

#endif
