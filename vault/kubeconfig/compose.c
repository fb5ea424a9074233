#include "vault/kubeconfig/compose.h"

#include "vault/base/limits.h"
#include "vault/kubeconfig/identity_internal.h"
#include "vault/kubeconfig/kube_cluster_internal.h"
#include "vault/kubeconfig/kube_file_internal.h"
#include "vault/kubeconfig/kube_room_internal.h"
#include "vault/kubeconfig/server_url.h"

#include <openssl/evp.h>
#include <openssl/x509.h>
#include <string.h>

#define ONLY_CONTEXT "default"

/* What kind of key the certificate is for. */
static enum cv_status read_key(struct cv_identity *id, struct cv_err *err)
{
    const unsigned char *p = id->leaf.spki.data;
    EVP_PKEY *key = d2i_PUBKEY(NULL, &p, (long)id->leaf.spki.len);
    unsigned n = 0;
    enum cv_status s = CV_OK;

    if (key == NULL) {
        return cv_fail(err, CV_INVALID,
                       "the certificate's public key cannot be read");
    }
    switch (EVP_PKEY_get_base_id(key)) {
    case EVP_PKEY_RSA:
        id->key.type = "RSA";
        break;
    case EVP_PKEY_EC:
        id->key.type = "EC";
        break;
    case EVP_PKEY_ED25519:
        id->key.type = "ED25519";
        break;
    default:
        s = cv_fail(err, CV_INVALID,
                    "the certificate is for a kind of key that is not taken");
    }
    id->key.bits = EVP_PKEY_get_bits(key);
    EVP_PKEY_free(key);
    id->key.spki = id->leaf.spki;
    if (s == CV_OK &&
        EVP_Digest(id->leaf.spki.data, id->leaf.spki.len, id->key.spki_sha256,
                   &n, EVP_sha256(), NULL) != 1) {
        s = cv_fail(err, CV_INTERNAL, "memory is gone");
    }
    return s;
}

static enum cv_status read_certificate(struct cv_arena *arena,
                                       const struct cv_compose_parts *parts,
                                       struct cv_identity *id,
                                       struct cv_err *err)
{
    enum cv_status s = cv_certificate_list_read(
        arena, parts->certificate, CV_LIMIT_CHAIN, &id->leaf, &id->chain, err);

    if (s == CV_OK) {
        s = cv_certificate_check_client(&id->leaf, parts->now_s, err);
    }
    return s == CV_OK ? read_key(id, err) : s;
}

static enum cv_status make_room(struct cv_arena *arena, size_t n,
                                struct cv_identity *id, struct cv_err *err)
{
    if (n == 0 || n > CV_LIMIT_CONTEXTS) {
        return cv_fail(err, CV_INVALID, "the kubeconfig names %zu clusters", n);
    }
    id->contexts = cv_arena_alloc(arena, n * sizeof(*id->contexts), err);
    return id->contexts != NULL ? CV_OK : cv_kube_room_failed(err);
}

static enum cv_status by_server(struct cv_arena *arena,
                                const struct cv_compose_parts *parts,
                                struct cv_identity *id, struct cv_err *err)
{
    struct cv_certificate_list list = {.n = 0};
    enum cv_status s = make_room(arena, 1, id, err);

    if (s == CV_OK && parts->server == NULL) {
        s = cv_fail(err, CV_USAGE, "a cluster is wanted, or a server");
    }
    if (s == CV_OK) {
        s = cv_server_url_parse(parts->server, NULL, err);
    }
    if (s == CV_OK && parts->ca.len > 0) {
        s = cv_certificate_list_read(arena, parts->ca, CV_LIMIT_CA_SET, NULL,
                                     &list, err);
        if (s != CV_OK) {
            cv_err_prefix(err, "the cluster's CA");
        }
    }
    if (s == CV_OK) {
        s = cv_certificate_set(&list, id->ca_set, err);
    }
    if (s == CV_OK) {
        id->contexts[id->n_contexts++] = (struct cv_identity_context){
            .name = ONLY_CONTEXT,
            .cluster = ONLY_CONTEXT,
            .server = parts->server,
            .ca_pem = list.pem,
            .verify = list.n > 0,
        };
    }
    return s;
}

/* Adds cluster `i` under `name`; the first with a CA decides the set. */
static enum cv_status add(struct cv_arena *arena,
                          const struct cv_kube_file *file, size_t i,
                          const char *name, const char *namespace_name,
                          bool *has_ca, struct cv_identity *id,
                          struct cv_err *err)
{
    struct cv_kube_cluster cluster = {.read = false};
    enum cv_status s =
        cv_kube_cluster_read(arena, &file->clusters, i, &cluster, err);

    if (s != CV_OK) {
        return s;
    }
    if (cluster.ca_pem != NULL && *has_ca &&
        memcmp(id->ca_set, cluster.ca_set, sizeof(id->ca_set)) != 0) {
        s = cv_fail(err, CV_INVALID,
                    "the kubeconfig has clusters of several "
                    "CAs: one entry is for one");
        cv_err_hint(err, "kubectl config view --minify --flatten --raw "
                         "--context NAME gives the one that is meant");
        return s;
    }
    if (cluster.ca_pem != NULL || id->n_contexts == 0) {
        memcpy(id->ca_set, cluster.ca_set, sizeof(id->ca_set));
        *has_ca = cluster.ca_pem != NULL;
    }
    id->contexts[id->n_contexts++] = (struct cv_identity_context){
        .name = name,
        .cluster = file->clusters.items[i].name,
        .server = cluster.server,
        .ca_pem = cluster.ca_pem,
        .tls_server_name = cluster.tls_server_name,
        .namespace_name = namespace_name,
        .verify = cluster.ca_pem != NULL,
        .insecure = cluster.insecure,
    };
    return CV_OK;
}

static enum cv_status add_context(struct cv_arena *arena,
                                  const struct cv_kube_file *file, size_t i,
                                  bool *has_ca, struct cv_identity *id,
                                  struct cv_err *err)
{
    const char *cluster = NULL, *space = NULL;
    size_t at;
    enum cv_status s =
        cv_kube_file_text(arena, &file->contexts, i, "cluster", &cluster, err);

    if (s == CV_OK) {
        s = cv_kube_file_text(arena, &file->contexts, i, "namespace", &space,
                              err);
    }
    if (s != CV_OK) {
        return s;
    }
    at = cluster != NULL ? cv_kube_file_find(&file->clusters, cluster)
                         : file->clusters.n;
    if (at == file->clusters.n) {
        return cv_kube_file_refuse(&file->contexts, i, "cluster",
                                   "there is no such cluster", err);
    }
    if (space != NULL && cv_kube_file_name_fault(space) != NULL) {
        return cv_kube_file_refuse(&file->contexts, i, "namespace",
                                   "not a namespace's name", err);
    }
    return add(arena, file, at, file->contexts.items[i].name, space, has_ca, id,
               err);
}

static enum cv_status by_file(struct cv_arena *arena,
                              const struct cv_compose_parts *parts,
                              const char **current, struct cv_identity *id,
                              struct cv_err *err)
{
    struct cv_kube_file file;
    bool has_ca = false, contexts;
    enum cv_status s = cv_kube_file_parse(arena, parts->clusters, &file, err);

    if (s != CV_OK) {
        return s;
    }
    *current = file.current;
    contexts = file.contexts.n > 0;
    s = make_room(arena, contexts ? file.contexts.n : file.clusters.n, id, err);
    for (size_t i = 0; s == CV_OK && i < file.clusters.n; i++) {
        s = cv_kube_cluster_check_files(&file.clusters, i, err);
    }
    for (size_t i = 0; s == CV_OK && contexts && i < file.contexts.n; i++) {
        s = add_context(arena, &file, i, &has_ca, id, err);
    }
    for (size_t i = 0; s == CV_OK && !contexts && i < file.clusters.n; i++) {
        s = add(arena, &file, i, file.clusters.items[i].name, NULL, &has_ca, id,
                err);
    }
    return s;
}

static enum cv_status add_notes(struct cv_arena *arena, struct cv_identity *id,
                                struct cv_err *err)
{
    enum cv_status s = CV_OK;

    if (id->leaf.masters) {
        s = cv_identity_note(arena, id, err,
                             "the certificate is in group system:masters: "
                             "nothing on the cluster is barred to it");
    }
    for (size_t i = 0; s == CV_OK && i < id->n_contexts; i++) {
        if (!id->contexts[i].verify) {
            s = cv_identity_note(arena, id, err,
                                 "context \"%s\" does not verify its server",
                                 id->contexts[i].name);
        }
    }
    return s;
}

enum cv_status cv_compose_identity(struct cv_arena *arena,
                                   const struct cv_compose_parts *parts,
                                   struct cv_identity *out, struct cv_err *err)
{
    const char *current = NULL;
    enum cv_status s;

    memset(out, 0, sizeof(*out));
    s = read_certificate(arena, parts, out, err);
    if (s == CV_OK) {
        s = parts->clusters.len > 0 ? by_file(arena, parts, &current, out, err)
                                    : by_server(arena, parts, out, err);
    }
    if (s == CV_OK) {
        cv_identity_choose(out, current);
        cv_identity_name(out, 0);
        s = add_notes(arena, out, err);
    }
    return s;
}
