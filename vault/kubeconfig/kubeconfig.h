/* Kubeconfigs, YAML or JSON, as clouds answer them and as files hold them.
 *
 * cv_kubeconfig_read takes a text apart into client identities with their keys,
 * or refuses the whole of it. Nothing that it names is opened or run.
 *
 * Users. With client-key-data and client-certificate-data: an identity, if a
 * context names the user. With a token, a user name or password, exec or
 * auth-provider instead, with nothing at all, or with a key that no context
 * names: left alone and told of in `left`; nothing of theirs is kept.
 *
 * Refused (CV_INVALID unless said otherwise; the text names the field, as in
 * `users[0].user.client-key-data`, never a value):
 *   - a text that is neither strict YAML nor strict JSON (vault/yaml/yaml.h),
 *     another kind or apiVersion than Config, v1 where these are given
 *   - a file reference in any user or cluster: client-key, client-certificate,
 *     tokenFile, certificate-authority
 *   - key or certificate beside another credential in one user, or one of them
 *     without the other; impersonation (as, as-uid, as-groups, as-user-extra)
 *     beside a key
 *   - base64, PEM, key or certificate not as private_key.h and certificate.h
 *     want them; a key that is not the certificate's; CV_EXPIRED for a
 *     certificate whose time is over
 *   - in a cluster that a key's context names: a server not as server_url.h
 *     wants it, insecure-skip-tls-verify beside a CA, proxy-url, a
 *     tls-server-name that is no name
 *   - names that are empty, over CV_KUBECONFIG_NAME_MAX bytes, not printable,
 *     or given twice in one list; contexts of a user or cluster that is not
 *     there; more than CV_LIMIT_KUBECONFIG_ITEMS of a kind, CV_LIMIT_BATCH
 *     identities, CV_LIMIT_CONTEXTS contexts of one
 *   - no identity at all: CV_INVALID, saying what was left alone
 * Passed over: unknown fields, preferences, extensions, disable-compression. A
 * current-context that names no context is passed over with a note. */
#ifndef CERTVAULT_KUBECONFIG_KUBECONFIG_H
#define CERTVAULT_KUBECONFIG_KUBECONFIG_H

#include "vault/kubeconfig/identity.h"

#define CV_KUBECONFIG_NAME_MAX 512

/* What is asked for. */
struct cv_kubeconfig_want {
    int64_t now_s;               /* validity is judged at this time */
    const char *const *contexts; /* only these; NULL: all */
    size_t n_contexts;
};

struct cv_kubeconfig_left {
    const char *user; /* its name */
    const char *why;  /* "token", "password", "exec", "auth-provider", "no
                         credentials", "no context uses its key", "not among
                         the contexts asked for"; several with ", " */
};

struct cv_kubeconfig {
    struct cv_identity *identities; /* in the order of their contexts */
    size_t n_identities;            /* at least 1 */
    struct cv_kubeconfig_left *left;
    size_t n_left;
    const char **notes; /* of the whole file; those of an identity are there */
    size_t n_notes;
};

/* Reads `text`. Everything in *out lives in `arena`, which holds secrets from
 * then on, also on failure. CV_INVALID and CV_EXPIRED as above; CV_NOT_FOUND
 * for a context asked for that is not in it; CV_UNAVAILABLE and CV_INTERNAL as
 * cv_arena_alloc. *out is NULL on failure. */
CV_MUST_USE enum cv_status
cv_kubeconfig_read(struct cv_arena *arena, struct cv_bytes text,
                   const struct cv_kubeconfig_want *want,
                   struct cv_kubeconfig **out, struct cv_err *err);

#endif
