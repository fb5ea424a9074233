#include "cli/module_face.h"

#include "vault/base/limits.h"
#include "vault/base/sandbox.h"

#include <stdlib.h>
#include <string.h>

static enum cv_status no_memory(struct cv_err *err)
{
    return cv_fail(err, CV_INTERNAL, "memory is gone");
}

enum cv_status cv_module_face_new(int config_fd, struct cv_module_face **out,
                                  struct cv_err *err)
{
    struct cv_module_face *face = calloc(1, sizeof(*face));
    enum cv_status s;

    *out = NULL;
    if (face == NULL) {
        return no_memory(err);
    }
    s = cv_module_config_read(config_fd, &face->config, err);
    if (s != CV_OK) {
        cv_module_face_free(face);
        return s;
    }
    cv_err_init(&face->unlisted);
    /* Whoever asks is told. */
    (void)!cv_module_list_new(cv_module_config_options(face->config),
                              &face->list, &face->unlisted);
    *out = face;
    return CV_OK;
}

enum cv_status cv_module_face_listed(const struct cv_module_face *face,
                                     struct cv_err *err)
{
    if (face->list == NULL && err != NULL) {
        *err = face->unlisted;
    }
    return face->list != NULL ? CV_OK : face->unlisted.status;
}

static void token_free(struct cv_module_face_token *token)
{
    cv_module_face_keep(token, (struct cv_bytes){NULL, 0});
    cv_session_pool_free(token->pool);
    free(token);
}

void cv_module_face_free(struct cv_module_face *face)
{
    if (face == NULL) {
        return;
    }
    for (size_t i = 0; i < face->n_tokens; i++) {
        token_free(face->tokens[i]);
    }
    cv_target_free(face->target);
    cv_module_free(face->module);
    cv_module_list_free(face->list);
    cv_module_config_free(face->config);
    free(face);
}

enum cv_status cv_module_face_load(struct cv_module_face *face,
                                   const char *name, const char *uri,
                                   struct cv_err *err)
{
    const struct cv_module_entry *entry = NULL;
    struct cv_uri *parsed = NULL;
    enum cv_status s = CV_OK;

    if (face->module != NULL) {
        return cv_fail(err, CV_INTERNAL, "a module is loaded already");
    }
    s = cv_module_face_listed(face, err);
    if (s == CV_OK && uri != NULL) {
        s = cv_uri_parse(uri, &parsed, err);
    }
    if (s == CV_OK) {
        s = cv_module_list_select(face->list, name, parsed, &entry, err);
    }
    if (s == CV_OK) {
        s = cv_module_config_apply(face->config, entry->name, err);
    }
    if (s == CV_OK) {
        s = cv_module_load(face->list, entry, &face->module, err);
    }
    cv_uri_free(parsed);
    return s == CV_OK ? cv_sandbox_enter(CV_SANDBOX_MODULE, NULL, 0, NULL, err)
                      : s;
}

struct cv_module_face_token *
cv_module_face_used(const struct cv_module_face *face,
                    const struct cv_token_info *info)
{
    for (size_t i = 0; i < face->n_tokens; i++) {
        if (cv_token_same(cv_session_token(face->tokens[i]->pool), info)) {
            return face->tokens[i];
        }
    }
    return NULL;
}

static enum cv_status add_token(struct cv_module_face *face,
                                const struct cv_uri *uri,
                                struct cv_module_face_token **out,
                                struct cv_err *err)
{
    struct cv_module_face_token *token;
    enum cv_status s;

    if (face->n_tokens == CV_LIMIT_TOKENS) {
        return cv_fail(err, CV_UNAVAILABLE, "more than %d tokens were used",
                       CV_LIMIT_TOKENS);
    }
    token = calloc(1, sizeof(*token));
    if (token == NULL) {
        return no_memory(err);
    }
    s = cv_session_pool_new(face->module, uri, &token->pool, err);
    if (s != CV_OK) {
        free(token);
        return s;
    }
    face->tokens[face->n_tokens++] = *out = token;
    return CV_OK;
}

enum cv_status cv_module_face_token(struct cv_module_face *face,
                                    const char *uri,
                                    struct cv_module_face_token **out,
                                    struct cv_err *err)
{
    struct cv_token_info info;
    struct cv_uri *parsed = NULL;
    enum cv_status s;

    *out = NULL;
    if (face->module == NULL) {
        return cv_fail(err, CV_INTERNAL, "no module is loaded");
    }
    s = cv_uri_parse(uri, &parsed, err);
    if (s == CV_OK) {
        s = cv_token_find(face->module, parsed, &info, err);
    }
    /* It was there a moment ago, or nobody would have asked here; and its keys
     * are not gone because it is. */
    if (s == CV_NOT_FOUND) {
        s = CV_UNAVAILABLE;
        if (err != NULL) {
            err->status = s;
        }
    }
    if (s == CV_OK) {
        *out = cv_module_face_used(face, &info);
        s = *out != NULL ? CV_OK : add_token(face, parsed, out, err);
    }
    cv_uri_free(parsed);
    return s;
}

void cv_module_face_keep(struct cv_module_face_token *token,
                         struct cv_bytes pin)
{
    struct cv_arena *arena = NULL;
    char *copy = NULL;

    if (pin.data != NULL && pin.len > 0 &&
        cv_arena_new(CV_KIB(16), &arena, NULL) == CV_OK) {
        copy = cv_arena_copy(arena, pin.data, pin.len, NULL);
    }
    if (copy == NULL) {
        cv_arena_free(arena);
        arena = NULL;
    }
    cv_arena_free(token->arena);
    token->arena = arena;
    token->pin =
        (struct cv_bytes){(const uint8_t *)copy, copy != NULL ? pin.len : 0};
}

enum cv_status cv_module_face_failed(struct cv_module_face *face,
                                     const struct cv_module_face_token *token,
                                     enum cv_status status,
                                     struct cv_reply *reply, struct cv_err *err)
{
    enum cv_rv_recover what = CV_RV_NONE;
    char identity[CV_TOKEN_IDENTITY_LEN];
    struct cv_err reloading;

    /* Not a login of its own, and a wrong PIN all the same. */
    if (status != CV_OK && token != NULL && cv_rv_of(err) != CKR_OK &&
        cv_login_refused(token->pool)) {
        (void)cv_json_add_str(
            cv_reply_failure(reply), "refused",
            cv_token_identity(cv_session_token(token->pool), identity));
    }
    /* These say something about the request, not about the module. */
    if (status == CV_OK || status == CV_USAGE || status == CV_INVALID ||
        status == CV_EXISTS || status == CV_INTEGRITY ||
        status == CV_INTERNAL) {
        return status;
    }
    what = token != NULL ? cv_session_recover(token->pool)
                         : cv_rv_recover(cv_rv_of(err));
    if (what == CV_RV_RELOAD || (token == NULL && what == CV_RV_RETRY)) {
        cv_err_init(&reloading);
        /* Started anew so shortly before: that did not help. */
        what = cv_module_reload(face->module, &reloading) == CV_OK
                   ? CV_RV_RELOGIN
                   : CV_RV_RESTART;
    }
    if (what != CV_RV_NONE) {
        (void)cv_json_add_str(cv_reply_failure(reply), "recover",
                              cv_rv_recover_word(what));
    }
    return status;
}

enum cv_status cv_module_face_do(struct cv_module_face *face,
                                 struct cv_module_face_token *token,
                                 unsigned flags, cv_session_work *work,
                                 void *context, struct cv_reply *reply,
                                 struct cv_err *err)
{
    return cv_module_face_failed(
        face, token, cv_session_do(token->pool, flags, work, context, err),
        reply, err);
}

static void add_escaped(struct cv_buf *out, const char *text)
{
    static const char plain[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~/";

    for (; *text != '\0'; text++) {
        if (strchr(plain, *text) != NULL) {
            cv_buf_add_char(out, *text);
        } else {
            cv_buf_add_format(out, "%%%02X", (unsigned char)*text);
        }
    }
}

void cv_module_face_uri(const struct cv_module_face *face,
                        const struct cv_token_info *info, struct cv_buf *out)
{
    const struct cv_module_entry *entry = cv_module_entry(face->module);

    cv_uri_add_token(info, out);
    if (entry->source == CV_MODULE_PATH) {
        cv_buf_add_str(out, "?module-path=");
        add_escaped(out, entry->real);
    }
}
