#include "vault/kubeconfig/kubeconfig.h"

#include "vault/base/limits.h"
#include "vault/kubeconfig/identity_internal.h"
#include "vault/kubeconfig/kube_cluster_internal.h"
#include "vault/kubeconfig/kube_file_internal.h"
#include "vault/kubeconfig/kube_room_internal.h"
#include "vault/kubeconfig/kube_user_internal.h"

#include <stdio.h>
#include <string.h>

/* A context and what it came to. */
struct use {
    size_t user;    /* index; `users.n`: it names none */
    size_t cluster; /* index */
    const char *namespace_name;
    bool wanted;
    size_t identity; /* index, where `wanted` */
};

/* One (key, CA set). */
struct group {
    size_t user; /* whose certificate it is */
    uint8_t ca_set[32];
    size_t n_contexts;
    bool two_certificates;
};

struct reading {
    struct cv_arena *arena;
    const struct cv_kubeconfig_want *want;
    struct cv_kube_file file;
    struct cv_kube_user *users;
    struct cv_kube_cluster *clusters;
    struct use *uses;
    struct group *groups;
    size_t n_groups;
    struct cv_kubeconfig *out;
    struct cv_err *err;
};

static enum cv_status make_room(struct reading *r)
{
    const struct cv_kube_file *f = &r->file;
    r->users =
        cv_arena_alloc(r->arena, (f->users.n + 1) * sizeof(*r->users), r->err);
    r->clusters =
        r->users == NULL
            ? NULL
            : cv_arena_alloc(
                  r->arena, (f->clusters.n + 1) * sizeof(*r->clusters), r->err);
    r->uses =
        r->clusters == NULL
            ? NULL
            : cv_arena_alloc(r->arena, (f->contexts.n + 1) * sizeof(*r->uses),
                             r->err);
    r->groups =
        r->uses == NULL
            ? NULL
            : cv_arena_alloc(r->arena, CV_LIMIT_BATCH * sizeof(*r->groups),
                             r->err);
    return r->groups != NULL ? CV_OK : cv_kube_room_failed(r->err);
}

static enum cv_status check_files(struct reading *r)
{
    enum cv_status st = CV_OK;
    for (size_t i = 0; st == CV_OK && i < r->file.clusters.n; i++) {
        st = cv_kube_cluster_check_files(&r->file.clusters, i, r->err);
    }
    for (size_t i = 0; st == CV_OK && i < r->file.users.n; i++) {
        st = cv_kube_user_check_files(&r->file.users, i, r->err);
    }
    return st;
}

static enum cv_status read_users(struct reading *r)
{
    enum cv_status st = CV_OK;
    if (r->file.users.n == 0) {
        return cv_fail(r->err, CV_INVALID, "the kubeconfig names no user");
    }
    for (size_t i = 0; st == CV_OK && i < r->file.users.n; i++) {
        st = cv_kube_user_read(r->arena, &r->file.users, i, r->want->now_s,
                               &r->users[i], r->err);
    }
    return st;
}

/* Resolves context `i`; its cluster is looked at only where a key goes there.
 */
static enum cv_status read_context(struct reading *r, size_t i)
{
    const struct cv_kube_file_list *list = &r->file.contexts;
    struct use *use = &r->uses[i];
    const char *user = NULL;
    const char *cluster = NULL;
    use->user = r->file.users.n;
    enum cv_status st =
        cv_kube_file_text(r->arena, list, i, "user", &user, r->err);
    if (st != CV_OK || user == NULL) {
        return st;
    }
    use->user = cv_kube_file_find(&r->file.users, user);
    if (use->user == r->file.users.n) {
        return cv_kube_file_refuse(list, i, "user", "there is no such user",
                                   r->err);
    }
    r->users[use->user].named = true;
    if (!r->users[use->user].has_key) {
        return CV_OK;
    }
    st = cv_kube_file_text(r->arena, list, i, "cluster", &cluster, r->err);
    if (st != CV_OK) {
        return st;
    }
    use->cluster = cluster != NULL
                       ? cv_kube_file_find(&r->file.clusters, cluster)
                       : r->file.clusters.n;
    if (use->cluster == r->file.clusters.n) {
        return cv_kube_file_refuse(list, i, "cluster",
                                   "there is no such cluster", r->err);
    }
    st = cv_kube_file_text(r->arena, list, i, "namespace", &use->namespace_name,
                           r->err);
    if (st == CV_OK && use->namespace_name != NULL &&
        cv_kube_file_name_fault(use->namespace_name) != NULL) {
        st = cv_kube_file_refuse(list, i, "namespace", "not a namespace's name",
                                 r->err);
    }
    use->wanted = st == CV_OK && r->want->n_contexts == 0;
    return st == CV_OK && !r->clusters[use->cluster].read
               ? cv_kube_cluster_read(r->arena, &r->file.clusters, use->cluster,
                                      &r->clusters[use->cluster], r->err)
               : st;
}

static enum cv_status read_contexts(struct reading *r)
{
    enum cv_status st = CV_OK;
    for (size_t i = 0; st == CV_OK && i < r->file.contexts.n; i++) {
        st = read_context(r, i);
    }
    for (size_t i = 0; st == CV_OK && i < r->want->n_contexts; i++) {
        const char *name = r->want->contexts[i];
        size_t context = cv_kube_file_find(&r->file.contexts, name);
        char quoted[80];
        if (context == r->file.contexts.n) {
            return cv_fail(
                r->err, CV_NOT_FOUND, "the kubeconfig has no context %s",
                cv_err_quote(quoted, sizeof(quoted), name, strlen(name)));
        }
        struct use *use = &r->uses[context];
        use->wanted =
            use->user < r->file.users.n && r->users[use->user].has_key;
    }
    return st;
}

static bool same_key(const struct reading *r, size_t a, size_t b)
{
    return a == b || memcmp(r->users[a].key.spki_sha256,
                            r->users[b].key.spki_sha256, 32) == 0;
}

/* The group that `use` belongs to; n_groups where there is none yet. */
static size_t find_group(const struct reading *r, const struct use *use,
                         bool any_ca)
{
    const struct cv_kube_cluster *cluster = &r->clusters[use->cluster];
    size_t i = 0;
    while (i < r->n_groups && !(same_key(r, r->groups[i].user, use->user) &&
                                (any_ca || memcmp(r->groups[i].ca_set,
                                                  cluster->ca_set, 32) == 0))) {
        i++;
    }
    return i;
}

static enum cv_status join(struct reading *r, struct use *use)
{
    const struct cv_kube_cluster *cluster = &r->clusters[use->cluster];
    use->identity = find_group(r, use, cluster->ca_pem == NULL);
    struct group *group = &r->groups[use->identity];
    if (use->identity == r->n_groups) {
        if (r->n_groups == CV_LIMIT_BATCH) {
            return cv_fail(r->err, CV_INVALID,
                           "more than %d client identities in one kubeconfig",
                           CV_LIMIT_BATCH);
        }
        r->n_groups++;
        group->user = use->user;
        memcpy(group->ca_set, cluster->ca_set, sizeof(group->ca_set));
    }
    const struct cv_certificate *had = &r->users[group->user].leaf;
    const struct cv_certificate *has = &r->users[use->user].leaf;
    if (!cv_bytes_equal(had->der, has->der)) {
        group->two_certificates = true;
        group->user =
            has->not_after_s > had->not_after_s ? use->user : group->user;
    }
    if (++group->n_contexts > CV_LIMIT_CONTEXTS) {
        return cv_fail(r->err, CV_INVALID,
                       "more than %d contexts for one client key",
                       CV_LIMIT_CONTEXTS);
    }
    return CV_OK;
}

/* Contexts with a CA make the groups, those without look for one then. */
static enum cv_status group_contexts(struct reading *r)
{
    enum cv_status st = CV_OK;
    for (int pass = 0; pass < 2; pass++) {
        for (size_t i = 0; st == CV_OK && i < r->file.contexts.n; i++) {
            struct use *use = &r->uses[i];
            if (use->wanted &&
                (r->clusters[use->cluster].ca_pem == NULL) == (pass == 1)) {
                st = join(r, use);
            }
        }
    }
    return st;
}

static void add_context(struct reading *r, size_t i)
{
    const struct use *use = &r->uses[i];
    r->users[use->user].wanted = true;
    const struct cv_kube_cluster *cluster = &r->clusters[use->cluster];
    struct cv_identity *id = &r->out->identities[use->identity];
    id->contexts[id->n_contexts++] = (struct cv_identity_context){
        .name = r->file.contexts.items[i].name,
        .cluster = r->file.clusters.items[use->cluster].name,
        .server = cluster->server,
        .ca_pem = cluster->ca_pem,
        .tls_server_name = cluster->tls_server_name,
        .namespace_name = use->namespace_name,
        .verify = cluster->ca_pem != NULL,
        .insecure = cluster->insecure,
    };
}

static enum cv_status make_identities(struct reading *r)
{
    struct cv_kubeconfig *out = r->out;
    out->identities = cv_arena_alloc(
        r->arena, (r->n_groups + 1) * sizeof(*out->identities), r->err);
    if (out->identities == NULL) {
        return cv_kube_room_failed(r->err);
    }
    out->n_identities = r->n_groups;
    for (size_t i = 0; i < r->n_groups; i++) {
        const struct group *group = &r->groups[i];
        struct cv_identity *id = &out->identities[i];
        id->key = r->users[group->user].key;
        id->leaf = r->users[group->user].leaf;
        id->chain = r->users[group->user].chain;
        memcpy(id->ca_set, group->ca_set, sizeof(id->ca_set));
        id->contexts = cv_arena_alloc(
            r->arena, group->n_contexts * sizeof(*id->contexts), r->err);
        if (id->contexts == NULL) {
            return cv_kube_room_failed(r->err);
        }
    }
    for (size_t i = 0; i < r->file.contexts.n; i++) {
        if (r->uses[i].wanted) {
            add_context(r, i);
        }
    }
    return CV_OK;
}

static enum cv_status note_contexts(struct reading *r)
{
    enum cv_status st = CV_OK;
    for (size_t i = 0; st == CV_OK && i < r->file.contexts.n; i++) {
        const struct use *use = &r->uses[i];
        const struct cv_kube_cluster *cluster = &r->clusters[use->cluster];
        if (use->wanted && cluster->ca_pem == NULL) {
            st = cv_identity_note(
                r->arena, &r->out->identities[use->identity], r->err,
                cluster->insecure
                    ? "context \"%s\" does not verify its server"
                    : "context \"%s\" names no CA: its server is taken as not "
                      "verified",
                r->file.contexts.items[i].name);
        }
    }
    return st;
}

static enum cv_status finish_identities(struct reading *r)
{
    enum cv_status st = CV_OK;
    for (size_t i = 0; st == CV_OK && i < r->n_groups; i++) {
        struct cv_identity *id = &r->out->identities[i];
        cv_identity_choose(id, r->file.current);
        cv_identity_name(r->out->identities, i);
        if (id->leaf.masters) {
            st = cv_identity_note(r->arena, id, r->err,
                                  "the certificate is in group "
                                  "system:masters: nothing on the cluster is "
                                  "barred to it");
        }
        if (st == CV_OK && r->groups[i].two_certificates) {
            st = cv_identity_note(r->arena, id, r->err,
                                  "the key has more than one certificate; the "
                                  "one that lasts longest is taken");
        }
    }
    return st == CV_OK ? note_contexts(r) : st;
}

/* Why user `i` is left alone; NULL where it is not. */
static const char *left_why(const struct reading *r, size_t i)
{
    const struct cv_kube_user *user = &r->users[i];
    if (!user->has_key) {
        return user->why;
    }
    if (user->wanted) {
        return NULL;
    }
    return user->named ? "not among the contexts asked for"
                       : "no context uses its key";
}

static enum cv_status tell_left(struct reading *r)
{
    struct cv_kubeconfig *out = r->out;
    out->left = cv_arena_alloc(
        r->arena, (r->file.users.n + 1) * sizeof(*out->left), r->err);
    if (out->left == NULL) {
        return cv_kube_room_failed(r->err);
    }
    for (size_t i = 0; i < r->file.users.n; i++) {
        const char *why = left_why(r, i);
        if (why != NULL) {
            out->left[out->n_left++] =
                (struct cv_kubeconfig_left){r->file.users.items[i].name, why};
        }
    }
    return CV_OK;
}

static enum cv_status tell_file(struct reading *r)
{
    struct cv_kubeconfig *out = r->out;
    static const char dangling[] =
        "current-context names no context; passed over";
    out->notes = cv_arena_alloc(r->arena, sizeof(*out->notes), r->err);
    if (out->notes == NULL) {
        return cv_kube_room_failed(r->err);
    }
    if (r->file.current != NULL &&
        cv_kube_file_find(&r->file.contexts, r->file.current) ==
            r->file.contexts.n) {
        out->notes[out->n_notes++] = dangling;
    }
    return CV_OK;
}

static enum cv_status nothing(const struct reading *r)
{
    char user[80];
    const struct cv_kubeconfig_left *left = &r->out->left[0];
    enum cv_status st = cv_fail(
        r->err, CV_INVALID,
        "the kubeconfig holds no client key to take; user %s%s: %s",
        cv_err_quote(user, sizeof(user), left->user, strlen(left->user)),
        r->out->n_left > 1 ? " and others" : "", left->why);
    cv_err_hint(r->err, "users with a token, password or exec stay in their "
                        "file; nothing of theirs is stored or run");
    return st;
}

static enum cv_status read_all(struct reading *r)
{
    enum cv_status (*const steps[])(struct reading *) = {
        make_room,         check_files,    read_users,
        read_contexts,     group_contexts, make_identities,
        finish_identities, tell_left,      tell_file};
    enum cv_status st = CV_OK;
    for (size_t i = 0; st == CV_OK && i < sizeof(steps) / sizeof(steps[0]);
         i++) {
        st = steps[i](r);
    }
    return st == CV_OK && r->n_groups == 0 ? nothing(r) : st;
}

enum cv_status cv_kubeconfig_read(struct cv_arena *arena, struct cv_bytes text,
                                  const struct cv_kubeconfig_want *want,
                                  struct cv_kubeconfig **out,
                                  struct cv_err *err)
{
    struct reading r = {.arena = arena, .want = want, .err = err};
    *out = NULL;
    if (text.len > CV_LIMIT_KUBECONFIG) {
        return cv_fail(err, CV_INVALID,
                       "the kubeconfig is larger than %zu bytes",
                       CV_LIMIT_KUBECONFIG);
    }
    enum cv_status st = cv_kube_file_parse(arena, text, &r.file, err);
    if (st != CV_OK) {
        return st;
    }
    r.out = cv_arena_alloc(arena, sizeof(*r.out), err);
    if (r.out == NULL) {
        return cv_kube_room_failed(err);
    }
    st = read_all(&r);
    if (st == CV_OK) {
        *out = r.out;
    }
    return st;
}
