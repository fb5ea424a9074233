/* The users of a kubeconfig: who has a client key, and is it good? */
#ifndef CERTVAULT_KUBECONFIG_KUBE_USER_INTERNAL_H
#define CERTVAULT_KUBECONFIG_KUBE_USER_INTERNAL_H

#include "vault/kubeconfig/certificate.h"
#include "vault/kubeconfig/kube_file_internal.h"
#include "vault/kubeconfig/private_key.h"

struct cv_kube_user {
    bool has_key;
    const char *why; /* no key: what is left alone */
    bool named;      /* a context names it */
    bool wanted;     /* one that was asked for does */
    struct cv_private_key key;
    struct cv_certificate_list chain;
    struct cv_certificate leaf;
};

/* Refuses a user that names a file. */
CV_MUST_USE enum cv_status
cv_kube_user_check_files(const struct cv_kube_file_list *users, size_t i,
                         struct cv_err *err);

/* Reads user `i` by the rules of kubeconfig.h. */
CV_MUST_USE enum cv_status
cv_kube_user_read(struct cv_arena *arena, const struct cv_kube_file_list *users,
                  size_t i, int64_t now_s, struct cv_kube_user *out,
                  struct cv_err *err);

/* Reads the key of user `i` alone. */
CV_MUST_USE enum cv_status
cv_kube_user_key(struct cv_arena *arena, const struct cv_kube_file_list *users,
                 size_t i, struct cv_private_key *out, struct cv_err *err);

/* The bytes of a base64 member (of a user or a cluster); none where it is
 * absent. */
CV_MUST_USE enum cv_status cv_kube_user_data(struct cv_arena *arena,
                                             const struct cv_kube_file_list *in,
                                             size_t i, const char *key,
                                             struct cv_bytes *out,
                                             struct cv_err *err);

#endif
