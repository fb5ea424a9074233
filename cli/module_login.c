/* Login, Relogin, Logout, ChangePin. The broker wrote the attempt down before
 * it sent the order. */
#include "cli/module_methods_internal.h"
#include "vault/base/limits.h"

#include <string.h>

#define SECRET_MAX ((CV_LIMIT_PASSPHRASE + 2) / 3 * 4)

/* Did the token see a PIN? Told unless that is certain. */
static enum cv_status tell_tried(struct cv_module_face *face, enum cv_status s,
                                 struct cv_reply *reply, struct cv_err *err)
{
    bool untried =
        s == CV_INVALID ||
        ((s == CV_LOCKED || s == CV_UNAVAILABLE) && cv_rv_of(err) == CKR_OK);

    if (s != CV_OK) {
        (void)cv_json_add_bool(cv_reply_failure(reply), "tried", !untried);
    }
    return cv_module_face_failed(face, NULL, s, reply, err);
}

/* Is this an answer to a PIN, and not a failure on the way to the token? */
static bool is_about_pin(CK_RV rv)
{
    return rv == CKR_PIN_INCORRECT || rv == CKR_PIN_INVALID ||
           rv == CKR_PIN_LEN_RANGE || rv == CKR_PIN_LOCKED ||
           rv == CKR_PIN_EXPIRED;
}

/* Before the token was asked anything. */
static enum cv_status untried(enum cv_status s, struct cv_reply *reply)
{
    if (s != CV_OK) {
        (void)cv_json_add_bool(cv_reply_failure(reply), "tried", false);
    }
    return s;
}

/* A PIN, base64; NULL: it is typed on the reader. */
static enum cv_status read_pin(const char *secret, struct cv_reply *reply,
                               struct cv_bytes *pin, struct cv_err *err)
{
    *pin = (struct cv_bytes){NULL, 0};
    return secret == NULL
               ? CV_OK
               : cv_module_read_base64(secret, "the PIN", CV_LIMIT_PASSPHRASE,
                                       cv_reply_arena(reply), pin, err);
}

CV_MODULE_METHOD(login_user)
{
    struct cv_module_face *face = context;
    struct cv_module_face_token *token = NULL;
    const char *uri = NULL, *secret = NULL;
    bool human = false;
    const struct cv_json_field fields[] = {
        {"token", CV_JSON_STRING, true, &uri, CV_LIMIT_TOKEN_URI},
        {"secret", CV_JSON_STRING, false, &secret, SECRET_MAX},
        {"human", CV_JSON_BOOL, true, &human, 0},
    };
    struct cv_bytes pin;
    enum cv_status s =
        cv_json_read(parameters, "Login", CV_MODULE_FIELDS(fields), true, err);

    if (s == CV_OK) {
        s = read_pin(secret, reply, &pin, err);
    }
    if (s == CV_OK) {
        s = cv_module_face_token(face, uri, &token, err);
    }
    if (s != CV_OK) {
        return untried(s, reply);
    }
    s = cv_login_user(token->pool, pin,
                      CV_LOGIN_KEEP | (human ? CV_LOGIN_HUMAN : 0U), err);
    /* A login that was there already says nothing about this PIN. */
    if (s != CV_OK || cv_login_kept(token->pool)) {
        cv_module_face_keep(token,
                            s == CV_OK ? pin : (struct cv_bytes){NULL, 0});
    }
    return tell_tried(face, s, reply, err);
}

CV_MODULE_METHOD(login_again)
{
    struct cv_module_face *face = context;
    struct cv_module_face_token *token;
    enum cv_status s =
        cv_module_read_token(face, parameters, "Relogin", &token, err);

    if (s == CV_OK && (token->pin.len == 0 || cv_login_refused(token->pool))) {
        s = cv_fail(err, CV_LOCKED, "no PIN is held for this token");
    }
    if (s != CV_OK) {
        return untried(s, reply);
    }
    s = cv_login_user(token->pool, token->pin, CV_LOGIN_KEEP, err);
    if (s == CV_OK) {
        return s;
    }
    cv_module_face_keep(token, (struct cv_bytes){NULL, 0});
    if (is_about_pin(cv_rv_of(err))) {
        return tell_tried(face, s, reply, err);
    }
    /* A reader that was torn down under the module. The PIN was right before,
     * and it is not held any longer: what comes next is a person's or a file's,
     * and counts. */
    if (cv_rv_of(err) != CKR_OK) {
        (void)cv_json_add_str(cv_reply_failure(reply), "recover",
                              cv_rv_recover_word(CV_RV_RESTART));
    }
    return untried(s, reply);
}

CV_MODULE_METHOD(login_out)
{
    struct cv_module_face *face = context;
    struct cv_module_face_token *token;
    enum cv_status s =
        cv_module_read_token(face, parameters, "Logout", &token, err);

    if (s != CV_OK) {
        return s;
    }
    cv_module_face_keep(token, (struct cv_bytes){NULL, 0});
    return cv_module_face_failed(face, NULL, cv_login_out(token->pool, err),
                                 reply, err);
}

static enum cv_status read_half(const cJSON *half, struct cv_reply *reply,
                                struct cv_bytes *pin, struct cv_err *err)
{
    const char *secret = NULL;
    const struct cv_json_field fields[] = {
        {"secret", CV_JSON_STRING, false, &secret, SECRET_MAX},
    };
    enum cv_status s =
        cv_json_read(half, "the PIN", CV_MODULE_FIELDS(fields), true, err);

    return s == CV_OK ? read_pin(secret, reply, pin, err) : s;
}

CV_MODULE_METHOD(login_change_pin)
{
    struct cv_module_face *face = context;
    struct cv_module_face_token *token = NULL;
    const char *uri = NULL;
    const cJSON *old_half = NULL, *new_half = NULL;
    const struct cv_json_field fields[] = {
        {"token", CV_JSON_STRING, true, &uri, CV_LIMIT_TOKEN_URI},
        {"old", CV_JSON_OBJECT, true, &old_half, 0},
        {"new", CV_JSON_OBJECT, true, &new_half, 0},
    };
    struct cv_bytes old_pin, new_pin;
    enum cv_status s = cv_json_read(parameters, "ChangePin",
                                    CV_MODULE_FIELDS(fields), true, err);

    if (s == CV_OK) {
        s = read_half(old_half, reply, &old_pin, err);
    }
    if (s == CV_OK) {
        s = read_half(new_half, reply, &new_pin, err);
    }
    if (s == CV_OK) {
        s = cv_module_face_token(face, uri, &token, err);
    }
    if (s != CV_OK) {
        return untried(s, reply);
    }
    s = cv_login_change_pin(token->pool, old_pin, new_pin, err);
    cv_module_face_keep(token, s == CV_OK && token->pin.len > 0
                                   ? new_pin
                                   : (struct cv_bytes){NULL, 0});
    return tell_tried(face, s, reply, err);
}
