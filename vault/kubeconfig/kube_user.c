#include "vault/kubeconfig/kube_user_internal.h"

#include "vault/base/encode.h"
#include "vault/base/limits.h"
#include "vault/kubeconfig/kube_room_internal.h"

#include <string.h>

#define KEY "client-key-data"
#define CERTIFICATE "client-certificate-data"

/* Other ways to say who one is, and what they are called. */
static const struct {
    const char *key;
    const char *what;
} others[] = {
    {"token", "token"},
    {"username", "password"},
    {"password", "password"},
    {"exec", "exec"},
    {"auth-provider", "auth-provider"},
};

#define OTHERS (sizeof(others) / sizeof(others[0]))

enum cv_status cv_kube_user_check_files(const struct cv_kube_file_list *users,
                                        size_t i, struct cv_err *err)
{
    static const char *const files[] = {"client-key", "client-certificate",
                                        "tokenFile"};
    for (size_t k = 0; k < sizeof(files) / sizeof(files[0]); k++) {
        if (cv_kube_file_has(users, i, files[k])) {
            enum cv_status st = cv_kube_file_refuse(
                users, i, files[k], "it names a file; none is opened", err);
            cv_err_hint(err, "put the contents into the kubeconfig, as with: "
                             "kubectl config view --flatten --raw");
            return st;
        }
    }
    return CV_OK;
}

/* The names of the other credentials there are; NULL for none. */
static enum cv_status others_of(struct cv_arena *arena,
                                const struct cv_kube_file_list *users, size_t i,
                                const char **why, size_t *first,
                                struct cv_err *err)
{
    struct cv_buf b;
    cv_buf_init(&b, arena, 128);
    const char *last = "";
    *first = OTHERS;
    for (size_t k = 0; k < OTHERS; k++) {
        if (cv_kube_file_has(users, i, others[k].key) &&
            strcmp(last, others[k].what) != 0) {
            *first = *first == OTHERS ? k : *first;
            cv_buf_add_str(&b, b.len > 0 ? ", " : "");
            cv_buf_add_str(&b, others[k].what);
            last = others[k].what;
        }
    }
    *why = b.len > 0 ? cv_buf_text(&b) : NULL;
    return cv_buf_status(&b, "a user", err);
}

/* What a key must not stand beside. */
static enum cv_status check_alone(const struct cv_kube_file_list *users,
                                  size_t i, size_t first, struct cv_err *err)
{
    static const char *const as[] = {"as", "as-uid", "as-groups",
                                     "as-user-extra"};
    if (first < OTHERS) {
        return cv_kube_file_refuse(users, i, others[first].key,
                                   "another credential beside the client key",
                                   err);
    }
    for (size_t k = 0; k < sizeof(as) / sizeof(as[0]); k++) {
        if (cv_kube_file_has(users, i, as[k])) {
            return cv_kube_file_refuse(users, i, as[k],
                                       "impersonation is not taken", err);
        }
    }
    static const char *const both[] = {KEY, CERTIFICATE};
    for (size_t k = 0; k < 2; k++) {
        if (!cv_kube_file_has(users, i, both[k])) {
            return cv_kube_file_refuse(
                users, i, both[k], "missing, but its other half is there", err);
        }
    }
    return CV_OK;
}

enum cv_status cv_kube_user_data(struct cv_arena *arena,
                                 const struct cv_kube_file_list *in, size_t i,
                                 const char *key, struct cv_bytes *out,
                                 struct cv_err *err)
{
    const char *text = NULL;
    *out = (struct cv_bytes){NULL, 0};
    enum cv_status st = cv_kube_file_text(arena, in, i, key, &text, err);
    if (st != CV_OK || text == NULL) {
        return st;
    }
    struct cv_buf data;
    cv_buf_init(&data, arena, CV_LIMIT_PEM);
    st = cv_decode_base64(text, strlen(text), true, "its value", &data, err);
    if (st != CV_OK) {
        cv_kube_file_prefix(in, i, key, err);
    }
    *out = cv_buf_bytes(&data);
    return st;
}

enum cv_status cv_kube_user_key(struct cv_arena *arena,
                                const struct cv_kube_file_list *users, size_t i,
                                struct cv_private_key *out, struct cv_err *err)
{
    struct cv_bytes pem;
    enum cv_status st = cv_kube_user_data(arena, users, i, KEY, &pem, err);
    if (st != CV_OK) {
        return st;
    }
    st = cv_private_key_read(arena, pem, out, err);
    if (st != CV_OK) {
        cv_kube_file_prefix(users, i, KEY, err);
    }
    return st;
}

static enum cv_status read_chain(struct cv_arena *arena,
                                 const struct cv_kube_file_list *users,
                                 size_t i, int64_t now_s,
                                 struct cv_kube_user *out, struct cv_err *err)
{
    struct cv_bytes pem;
    enum cv_status st =
        cv_kube_user_data(arena, users, i, CERTIFICATE, &pem, err);
    if (st != CV_OK) {
        return st;
    }
    st = cv_certificate_list_read(arena, pem, CV_LIMIT_CHAIN, &out->leaf,
                                  &out->chain, err);
    if (st == CV_OK) {
        st = cv_certificate_check_client(&out->leaf, now_s, err);
    }
    if (st != CV_OK) {
        cv_kube_file_prefix(users, i, CERTIFICATE, err);
    }
    return st;
}

enum cv_status cv_kube_user_read(struct cv_arena *arena,
                                 const struct cv_kube_file_list *users,
                                 size_t i, int64_t now_s,
                                 struct cv_kube_user *out, struct cv_err *err)
{
    size_t first = 0;
    enum cv_status st = others_of(arena, users, i, &out->why, &first, err);
    if (st != CV_OK) {
        return st;
    }
    out->has_key = cv_kube_file_has(users, i, KEY) ||
                   cv_kube_file_has(users, i, CERTIFICATE);
    if (!out->has_key) {
        out->why = out->why != NULL ? out->why : "no credentials";
        return CV_OK;
    }
    st = check_alone(users, i, first, err);
    if (st == CV_OK) {
        st = cv_kube_user_key(arena, users, i, &out->key, err);
    }
    if (st == CV_OK) {
        st = read_chain(arena, users, i, now_s, out, err);
    }
    /* One public key has one form here, so bytes tell. */
    if (st == CV_OK && !cv_bytes_equal(out->key.spki, out->leaf.spki)) {
        st = cv_kube_file_refuse(users, i, KEY,
                                 "it is not the certificate's key", err);
    }
    return st;
}
