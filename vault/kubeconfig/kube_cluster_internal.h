/* The clusters of a kubeconfig that a client key is for. */
#ifndef CERTVAULT_KUBECONFIG_KUBE_CLUSTER_INTERNAL_H
#define CERTVAULT_KUBECONFIG_KUBE_CLUSTER_INTERNAL_H

#include "vault/kubeconfig/certificate.h"
#include "vault/kubeconfig/kube_file_internal.h"

struct cv_kube_cluster {
    bool read; /* the rest is filled */
    const char *server;
    const char *tls_server_name; /* NULL: none */
    bool insecure;               /* the file says not to verify */
    const char *ca_pem;          /* NULL: none */
    uint8_t ca_set[32];
};

/* Refuses a cluster that names a file. */
CV_MUST_USE enum cv_status
cv_kube_cluster_check_files(const struct cv_kube_file_list *clusters, size_t i,
                            struct cv_err *err);

/* Reads cluster `i` by the rules of kubeconfig.h. */
CV_MUST_USE enum cv_status
cv_kube_cluster_read(struct cv_arena *arena,
                     const struct cv_kube_file_list *clusters, size_t i,
                     struct cv_kube_cluster *out, struct cv_err *err);

#endif
