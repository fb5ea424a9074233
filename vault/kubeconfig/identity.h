/* A client identity: what one entry of a vault is made of.
 *
 * One identity is one (client key, CA set): contexts of users with the same key
 * whose clusters have the same CA certificates belong together; contexts whose
 * cluster has no CA join the first identity with their key, else make one of
 * their own. Names in a kubeconfig ("user", "internal") never identify. */
#ifndef CERTVAULT_KUBECONFIG_IDENTITY_H
#define CERTVAULT_KUBECONFIG_IDENTITY_H

#include "vault/base/json.h"
#include "vault/kubeconfig/certificate.h"
#include "vault/kubeconfig/private_key.h"

#define CV_IDENTITY_SUFFIX_MAX 64

struct cv_identity_context {
    const char *name;            /* printable UTF-8 */
    const char *cluster;         /* its cluster's name */
    const char *server;          /* checked by cv_server_url_parse */
    const char *ca_pem;          /* NULL: none */
    const char *tls_server_name; /* NULL: the host of `server` */
    const char *namespace_name;  /* NULL: none */
    bool verify;                 /* true "ca"; false "none" */
    bool insecure;               /* the file says not to verify */
    bool is_default;             /* exactly one of an identity's */
};

struct cv_identity {
    char suffix[CV_IDENTITY_SUFFIX_MAX + 1]; /* [A-Za-z0-9][A-Za-z0-9._-]*, no
                                                ".."; unique in its file */
    struct cv_private_key key;
    struct cv_certificate leaf;
    struct cv_certificate_list chain; /* leaf first */
    uint8_t ca_set[32];
    struct cv_identity_context *contexts;
    size_t n_contexts;  /* at least 1, at most CV_LIMIT_CONTEXTS */
    const char **notes; /* printable; worth telling, nothing is wrong */
    size_t n_notes;
};

/* The members of Identity (io.certvault.Broker.varlink) but for `sealed` and
 * `entry_id`; `digest` is the hex SHA-256 of the key as PKCS#8 DER. No secret
 * is in it. Made where cv_json_use says; NULL when memory is gone. */
cJSON *cv_identity_to_json(const struct cv_identity *identity);

#endif
