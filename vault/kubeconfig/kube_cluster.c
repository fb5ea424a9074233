#include "vault/kubeconfig/kube_cluster_internal.h"

#include "vault/base/limits.h"
#include "vault/kubeconfig/kube_user_internal.h"
#include "vault/kubeconfig/server_url.h"

#define CA "certificate-authority-data"
#define SKIP "insecure-skip-tls-verify"

enum cv_status
cv_kube_cluster_check_files(const struct cv_kube_file_list *clusters, size_t i,
                            struct cv_err *err)
{
    static const char key[] = "certificate-authority";
    if (!cv_kube_file_has(clusters, i, key)) {
        return CV_OK;
    }
    enum cv_status st = cv_kube_file_refuse(
        clusters, i, key, "it names a file; none is opened", err);
    cv_err_hint(err, "put the contents into the kubeconfig, as with: kubectl "
                     "config view --flatten --raw");
    return st;
}

static enum cv_status read_ca(struct cv_arena *arena,
                              const struct cv_kube_file_list *clusters,
                              size_t i, struct cv_kube_cluster *out,
                              struct cv_err *err)
{
    struct cv_certificate_list list = {.n = 0};
    struct cv_bytes pem;
    enum cv_status st = cv_kube_user_data(arena, clusters, i, CA, &pem, err);
    if (st != CV_OK) {
        return st;
    }
    if (cv_kube_file_has(clusters, i, CA)) {
        st = cv_certificate_list_read(arena, pem, CV_LIMIT_CA_SET, NULL, &list,
                                      err);
        if (st != CV_OK) {
            cv_kube_file_prefix(clusters, i, CA, err);
            return st;
        }
        out->ca_pem = list.pem;
    }
    return cv_certificate_set(&list, out->ca_set, err);
}

static enum cv_status read_skip(const struct cv_kube_file_list *clusters,
                                size_t i, struct cv_kube_cluster *out,
                                struct cv_err *err)
{
    const cJSON *skip =
        cJSON_GetObjectItemCaseSensitive(clusters->items[i].body, SKIP);
    if (skip != NULL && !cJSON_IsNull(skip) && !cJSON_IsBool(skip)) {
        return cv_kube_file_refuse(clusters, i, SKIP, "must be true or false",
                                   err);
    }
    out->insecure = cJSON_IsTrue(skip);
    if (out->insecure && out->ca_pem != NULL) {
        return cv_kube_file_refuse(clusters, i, SKIP,
                                   "the cluster has a CA, yet is not verified",
                                   err);
    }
    return CV_OK;
}

static enum cv_status read_server(struct cv_arena *arena,
                                  const struct cv_kube_file_list *clusters,
                                  size_t i, struct cv_kube_cluster *out,
                                  struct cv_err *err)
{
    enum cv_status st =
        cv_kube_file_text(arena, clusters, i, "server", &out->server, err);
    if (st != CV_OK) {
        return st;
    }
    if (out->server == NULL) {
        return cv_kube_file_refuse(clusters, i, "server", "missing", err);
    }
    st = cv_server_url_parse(out->server, NULL, err);
    if (st != CV_OK) {
        cv_kube_file_prefix(clusters, i, "server", err);
    }
    return st;
}

static enum cv_status read_tls_name(struct cv_arena *arena,
                                    const struct cv_kube_file_list *clusters,
                                    size_t i, struct cv_kube_cluster *out,
                                    struct cv_err *err)
{
    static const char key[] = "tls-server-name";
    enum cv_status st =
        cv_kube_file_text(arena, clusters, i, key, &out->tls_server_name, err);
    if (st == CV_OK && out->tls_server_name != NULL) {
        st = cv_server_url_check_name(out->tls_server_name, err);
        if (st != CV_OK) {
            cv_kube_file_prefix(clusters, i, key, err);
        }
    }
    return st;
}

enum cv_status cv_kube_cluster_read(struct cv_arena *arena,
                                    const struct cv_kube_file_list *clusters,
                                    size_t i, struct cv_kube_cluster *out,
                                    struct cv_err *err)
{
    if (cv_kube_file_has(clusters, i, "proxy-url")) {
        return cv_kube_file_refuse(clusters, i, "proxy-url",
                                   "proxies are not taken", err);
    }
    enum cv_status st = read_server(arena, clusters, i, out, err);
    if (st == CV_OK) {
        st = read_tls_name(arena, clusters, i, out, err);
    }
    if (st == CV_OK) {
        st = read_ca(arena, clusters, i, out, err);
    }
    if (st == CV_OK) {
        st = read_skip(clusters, i, out, err);
    }
    out->read = st == CV_OK;
    return st;
}
