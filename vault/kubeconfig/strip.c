#include "vault/kubeconfig/strip.h"

#include "vault/base/json.h"
#include "vault/base/limits.h"
#include "vault/kubeconfig/kube_file_internal.h"
#include "vault/kubeconfig/kube_room_internal.h"
#include "vault/kubeconfig/kube_user_internal.h"
#include "vault/kubeconfig/strip_internal.h"
#include "vault/yaml/yaml.h"

#include <string.h>

#define KEY "client-key-data"
#define CERTIFICATE "client-certificate-data"

bool cv_strip_is_dropped(const char *key)
{
    return strcmp(key, KEY) == 0 || strcmp(key, CERTIFICATE) == 0;
}

struct stripping {
    struct cv_arena *arena;
    struct cv_kube_file file;
    const uint8_t (*spki_sha256)[32];
    size_t n;
    bool *drop;  /* a user each */
    bool *found; /* a digest each */
    struct cv_strip_result result;
    struct cv_err *err;
};

static enum cv_status judge_user(struct stripping *s, size_t i)
{
    struct cv_private_key key;
    if (!cv_kube_file_has(&s->file.users, i, KEY)) {
        return CV_OK;
    }
    enum cv_status st =
        cv_kube_user_key(s->arena, &s->file.users, i, &key, s->err);
    if (st != CV_OK) {
        return st;
    }
    for (size_t k = 0; k < s->n; k++) {
        if (memcmp(key.spki_sha256, s->spki_sha256[k], 32) == 0) {
            s->drop[i] = true;
            s->found[k] = true;
        }
    }
    s->result.removed += s->drop[i];
    s->result.left += !s->drop[i];
    return CV_OK;
}

static enum cv_status judge(struct stripping *s)
{
    s->drop = cv_arena_alloc(s->arena, s->file.users.n + 1, s->err);
    s->found =
        s->drop != NULL ? cv_arena_alloc(s->arena, s->n + 1, s->err) : NULL;
    if (s->found == NULL) {
        return cv_kube_room_failed(s->err);
    }
    enum cv_status st = CV_OK;
    for (size_t i = 0; st == CV_OK && i < s->file.users.n; i++) {
        st = judge_user(s, i);
    }
    for (size_t k = 0; st == CV_OK && k < s->n; k++) {
        if (!s->found[k]) {
            st = cv_fail(s->err, CV_NOT_FOUND,
                         "the kubeconfig no longer holds key %zu of %zu", k + 1,
                         s->n);
        }
    }
    return st;
}

/* Takes the members out of the tree that was read. */
static void drop_members(struct stripping *s, cJSON *root)
{
    size_t i = 0;
    cJSON *users = cJSON_GetObjectItemCaseSensitive(root, "users");
    for (cJSON *c = users != NULL ? users->child : NULL; c != NULL;
         c = c->next, i++) {
        cJSON *user = cJSON_GetObjectItemCaseSensitive(c, "user");
        if (i < s->file.users.n && s->drop[i]) {
            cJSON_DeleteItemFromObjectCaseSensitive(user, KEY);
            cJSON_DeleteItemFromObjectCaseSensitive(user, CERTIFICATE);
        }
    }
}

/* The same values in the same order? Not deeper than CV_LIMIT_JSON_DEPTH. */
static bool same_tree(const cJSON *a, const cJSON *b)
{
    if (((unsigned)a->type & 0xff) != ((unsigned)b->type & 0xff)) {
        return false;
    }
    if (cJSON_IsString(a) && strcmp(a->valuestring, b->valuestring) != 0) {
        return false;
    }
    if (cJSON_IsNumber(a) && !(a->valuedouble >= b->valuedouble &&
                               a->valuedouble <= b->valuedouble)) {
        return false;
    }
    const cJSON *x = a->child;
    const cJSON *y = b->child;
    for (; x != NULL && y != NULL; x = x->next, y = y->next) {
        if ((x->string != NULL && strcmp(x->string, y->string) != 0) ||
            !same_tree(x, y)) {
            return false;
        }
    }
    return x == NULL && y == NULL;
}

/* Is `written` the document `wanted`? */
static bool reads_as(struct stripping *s, struct cv_bytes written,
                     const cJSON *wanted)
{
    cJSON *tree = NULL;
    return cv_yaml_parse(s->arena, written, &tree, NULL, NULL, NULL) == CV_OK &&
           same_tree(wanted, tree);
}

static enum cv_status write_json(struct stripping *s, const cJSON *tree,
                                 struct cv_buf *out)
{
    cv_json_write(tree, CV_JSON_PRETTY, out);
    cv_buf_add_char(out, '\n');
    return cv_buf_status(out, "the new kubeconfig", s->err);
}

static enum cv_status rewrite(struct stripping *s, struct cv_bytes text,
                              struct cv_buf *out)
{
    cJSON *tree = NULL;
    enum cv_status st =
        cv_yaml_parse(s->arena, text, &tree, NULL, NULL, s->err);
    if (st != CV_OK) {
        return st;
    }
    drop_members(s, tree);
    bool json = cv_yaml_is_json(text);
    /* The second try is for a text with escapes that must stay escapes. */
    for (int i = 0; st == CV_OK && i < (json ? 1 : 2); i++) {
        struct cv_buf written;
        cv_buf_init(&written, s->arena, out->ceiling);
        st = json ? write_json(s, tree, &written)
                  : cv_strip_yaml(text, s->drop, s->file.users.n, i == 0,
                                  &written, s->err);
        if (st == CV_OK && reads_as(s, cv_buf_bytes(&written), tree)) {
            cv_buf_add(out, written.data, written.len);
            return cv_buf_status(out, "the new kubeconfig", s->err);
        }
    }
    return st != CV_OK ? st
                       : cv_fail(s->err, CV_INTERNAL,
                                 "the kubeconfig would not be the same when "
                                 "rewritten");
}

enum cv_status cv_strip_keys(struct cv_arena *arena, struct cv_bytes text,
                             const uint8_t (*spki_sha256)[32], size_t n,
                             struct cv_buf *out, struct cv_strip_result *result,
                             struct cv_err *err)
{
    struct stripping s = {
        .arena = arena, .spki_sha256 = spki_sha256, .n = n, .err = err};
    memset(result, 0, sizeof(*result));
    if (text.len > CV_LIMIT_KUBECONFIG) {
        return cv_fail(err, CV_INVALID,
                       "the kubeconfig is larger than %zu bytes",
                       CV_LIMIT_KUBECONFIG);
    }
    enum cv_status st = cv_kube_file_parse(arena, text, &s.file, err);
    if (st == CV_OK) {
        st = judge(&s);
    }
    if (st == CV_OK) {
        st = rewrite(&s, text, out);
    }
    if (st == CV_OK) {
        *result = s.result;
    }
    return st;
}
