#include "pkcs11/login.h"

#include "pkcs11/session_internal.h"

#include <stdio.h>
#include <string.h>

static CK_FUNCTION_LIST *functions(const struct cv_session_pool *pool)
{
    return cv_module_functions(cv_session_module(pool));
}

/* What is known of the tries left, for a state line. */
static const char *tries_left(const struct cv_token_info *token)
{
    if (token->pin.locked) {
        return "no try is left";
    }
    if (token->pin.final_try) {
        return "one try is left";
    }
    if (token->pin.count_low) {
        return "few tries are left; the token does not tell how many";
    }
    return "the token does not tell how many tries are left";
}

enum cv_status cv_login_allowed(const struct cv_token_info *token,
                                unsigned flags, struct cv_err *err)
{
    if (token->pin.locked) {
        cv_fail(err, CV_LOCKED, "the PIN of the token \"%s\" is locked",
                token->label);
        cv_err_state(err, "%s", tries_left(token));
        cv_err_hint(err, "unlock it with the tool of the token's vendor "
                         "(PUK, SO PIN)");
        return CV_LOCKED;
    }
    if (token->pin.final_try) {
        cv_fail(err, CV_LOCKED,
                "the next wrong PIN would lock the token \"%s\"", token->label);
        cv_err_state(err, "%s; certvault does not spend it", tries_left(token));
        cv_err_hint(err, "log in once with the tool of the token's vendor, "
                         "which gives the tries back");
        return CV_LOCKED;
    }
    if (token->pin.count_low && (flags & CV_LOGIN_HUMAN) == 0) {
        cv_fail(err, CV_LOCKED,
                "the last PIN that the token \"%s\" was given was wrong",
                token->label);
        cv_err_state(err, "%s", tries_left(token));
        cv_err_hint(err, "log in yourself with `certvault token login`");
        return CV_LOCKED;
    }
    if (token->initialized && !token->pin.initialized &&
        token->login_required) {
        cv_fail(err, CV_LOCKED, "the token \"%s\" has no user PIN yet",
                token->label);
        cv_err_hint(err, "set one with the tool of the token's vendor");
        return CV_LOCKED;
    }
    return CV_OK;
}

/* A PIN that cannot be right costs nothing when it is not sent. */
static enum cv_status check_pin(const struct cv_token_info *token,
                                struct cv_bytes pin, const char *which,
                                struct cv_err *err)
{
    if (pin.len == 0) {
        return cv_fail(err, CV_INVALID, "the %s is empty", which);
    }
    if (pin.len > CV_LIMIT_PIN ||
        (token->pin.max != 0 &&
         (pin.len < token->pin.min || pin.len > token->pin.max))) {
        cv_fail(err, CV_INVALID, "the %s has not %u to %u bytes", which,
                token->pin.min,
                token->pin.max == 0 ? CV_LIMIT_PIN : token->pin.max);
        cv_err_state(err, "it was not tried");
        return CV_INVALID;
    }
    return CV_OK;
}

/* Reads the flags anew. Where that fails, what they were does no harm. */
static void read_flags(struct cv_session_pool *pool)
{
    enum cv_status status = cv_session_refresh(pool, NULL);

    (void)status;
}

/* Is this an answer to a PIN (and not a failure on the way)? */
static bool is_about_pin(CK_RV rv)
{
    return rv == CKR_PIN_INCORRECT || rv == CKR_PIN_INVALID ||
           rv == CKR_PIN_LEN_RANGE || rv == CKR_PIN_LOCKED ||
           rv == CKR_PIN_EXPIRED;
}

/* Tells of a login that failed. The flags are read once more, for the tries
 * that are left now. */
static enum cv_status tell(struct cv_session_pool *pool, CK_RV rv,
                           const char *call, struct cv_err *err)
{
    const struct cv_token_info *token = cv_session_token(pool);
    enum cv_status status = cv_rv_fail(err, rv, call);

    cv_session_forget_pin(pool);
    pool->recover = cv_rv_escalate(rv, CV_RV_NONE);
    if (!is_about_pin(rv)) {
        cv_err_state(err, "nobody is logged in; whether a try was spent is "
                          "not known");
        return status;
    }
    read_flags(pool);
    pool->recover = cv_rv_escalate(rv, CV_RV_NONE);
    if (status == CV_AUTH) {
        cv_fail_native(err, CV_AUTH, CV_DOMAIN_PKCS11, (long)rv,
                       "the PIN of the token \"%s\" was wrong", token->label);
        cv_err_hint(err, "it is not tried again; with the right one, log in "
                         "with `certvault token login`");
    }
    cv_err_state(err, "%s", tries_left(token));
    return status;
}

/* The interface takes a pointer that is not const; nothing writes there. */
static CK_UTF8CHAR *as_argument(struct cv_bytes pin)
{
    union {
        const uint8_t *ours;
        CK_UTF8CHAR *theirs;
    } pointer = {pin.data};

    return pointer.theirs;
}

/* Both kinds of C_Login that there are here. */
static CK_RV c_login(struct cv_session_pool *pool, CK_SESSION_HANDLE session,
                     CK_USER_TYPE user, struct cv_bytes pin)
{
    if (cv_session_token(pool)->protected_path) {
        pin = (struct cv_bytes){NULL, 0};
    }
    return functions(pool)->C_Login(session, user, as_argument(pin), pin.len);
}

/* Everything that can be refused without a try. */
static enum cv_status before(const struct cv_token_info *token,
                             struct cv_bytes pin, const char *which,
                             unsigned flags, struct cv_err *err)
{
    enum cv_status status = cv_login_allowed(token, flags, err);

    if (status != CV_OK || token->protected_path) {
        return status;
    }
    if (pin.data == NULL) {
        return cv_fail(err, CV_INVALID,
                       "the token \"%s\" has no PIN pad, a PIN is wanted",
                       token->label);
    }
    return check_pin(token, pin, which, err);
}

/* With a session: the one C_Login. */
static enum cv_status log_in(struct cv_session_pool *pool,
                             CK_SESSION_HANDLE session, struct cv_bytes pin,
                             unsigned flags, struct cv_err *err)
{
    enum cv_status status;
    bool user = false;
    CK_RV rv;

    status = cv_session_state(pool, session, &user, err);
    if (status != CV_OK || (user && !pool->want_pin)) {
        return status;
    }
    status = before(cv_session_token(pool), pin, "PIN", flags, err);
    if (status != CV_OK) {
        return status;
    }
    if (user) {
        /* A key asked for the PIN at its use and none was kept; the only way
         * to know that one is right is to log in with it. */
        (void)functions(pool)->C_Logout(session);
    }
    rv = c_login(pool, session, CKU_USER, pin);
    if (rv == CKR_USER_ALREADY_LOGGED_IN) {
        return CV_OK;
    }
    if (rv != CKR_OK) {
        return tell(pool, rv, "C_Login", err);
    }
    if (pin.len != 0 && (pool->want_pin || (flags & CV_LOGIN_KEEP) != 0)) {
        cv_session_keep_pin(pool, pin);
    }
    return CV_OK;
}

enum cv_status cv_login_user(struct cv_session_pool *pool, struct cv_bytes pin,
                             unsigned flags, struct cv_err *err)
{
    CK_SESSION_HANDLE session = CK_INVALID_HANDLE;
    enum cv_status status;

    status = cv_session_refresh(pool, err);
    if (status == CV_OK) {
        status = cv_session_take(pool, 0, &session, err);
    }
    if (status != CV_OK) {
        return status;
    }
    status = log_in(pool, session, pin, flags, err);
    cv_session_give(pool, session, false);
    if (status == CV_OK) {
        pool->recover = CV_RV_NONE;
        pool->refused = false;
        read_flags(pool);
    }
    return status;
}

enum cv_status cv_login_out(struct cv_session_pool *pool, struct cv_err *err)
{
    CK_SESSION_HANDLE session = CK_INVALID_HANDLE;
    enum cv_status status;
    CK_RV rv;

    cv_session_forget_pin(pool);
    status = cv_session_take(pool, 0, &session, err);
    if (status != CV_OK) {
        return status;
    }
    rv = functions(pool)->C_Logout(session);
    cv_session_give(pool, session, false);
    if (rv != CKR_OK && rv != CKR_USER_NOT_LOGGED_IN) {
        return cv_rv_fail(err, rv, "C_Logout");
    }
    return CV_OK;
}

bool cv_login_kept(const struct cv_session_pool *pool)
{
    return pool->pin.data != NULL || cv_session_token(pool)->protected_path;
}

bool cv_login_wanted(const struct cv_session_pool *pool)
{
    return pool->want_pin && !cv_login_kept(pool);
}

bool cv_login_refused(const struct cv_session_pool *pool)
{
    return pool->refused;
}

enum cv_status cv_login_for_use(struct cv_session_pool *pool,
                                CK_SESSION_HANDLE session, struct cv_err *err)
{
    const struct cv_token_info *token = cv_session_token(pool);
    struct cv_token_info now;
    enum cv_status status;
    CK_RV rv;

    if (!cv_login_kept(pool)) {
        pool->want_pin = true;
        pool->recover = CV_RV_RELOGIN;
        cv_fail(err, CV_LOCKED,
                "this key of the token \"%s\" wants the PIN at every use",
                token->label);
        cv_err_hint(err, "log in with `certvault token login`");
        return CV_LOCKED;
    }
    /* Not cv_session_refresh: it might close the session that signs. */
    status = cv_token_read(cv_session_module(pool), token->slot, &now, err);
    if (status == CV_OK) {
        status = cv_login_allowed(&now, 0, err);
    }
    if (status != CV_OK) {
        return status;
    }
    rv = c_login(pool, session, CKU_CONTEXT_SPECIFIC, pool->pin);
    /* Some modules have the attribute and do not mean it. */
    if (rv == CKR_OK || rv == CKR_USER_ALREADY_LOGGED_IN ||
        rv == CKR_USER_TYPE_INVALID) {
        return CV_OK;
    }
    cv_session_forget_pin(pool);
    pool->want_pin = true;
    status = cv_rv_fail(err, rv, "C_Login (for this use)");
    if (is_about_pin(rv)) {
        pool->refused = true;
        cv_err_state(err, "%s", tries_left(&now));
    }
    /* Whatever it was: the work is not done again with a second C_Login. */
    pool->recover = cv_rv_escalate(rv, CV_RV_RETRY);
    return status;
}

enum cv_status cv_login_change_pin(struct cv_session_pool *pool,
                                   struct cv_bytes old_pin,
                                   struct cv_bytes new_pin, struct cv_err *err)
{
    CK_SESSION_HANDLE session = CK_INVALID_HANDLE;
    enum cv_status status;
    CK_RV rv;

    status = cv_session_refresh(pool, err);
    if (status == CV_OK) {
        status = before(cv_session_token(pool), old_pin, "old PIN",
                        CV_LOGIN_HUMAN, err);
    }
    if (status == CV_OK && cv_session_token(pool)->protected_path) {
        old_pin = new_pin = (struct cv_bytes){NULL, 0};
    } else if (status == CV_OK) {
        status =
            new_pin.data == NULL
                ? cv_fail(err, CV_INVALID, "the new PIN is empty")
                : check_pin(cv_session_token(pool), new_pin, "new PIN", err);
    }
    if (status == CV_OK) {
        status = cv_session_take(pool, CV_SESSION_RW, &session, err);
    }
    if (status != CV_OK) {
        return status;
    }
    rv = functions(pool)->C_SetPIN(session, as_argument(old_pin), old_pin.len,
                                   as_argument(new_pin), new_pin.len);
    cv_session_give(pool, session, false);
    cv_session_forget_pin(pool);
    if (rv != CKR_OK) {
        return tell(pool, rv, "C_SetPIN", err);
    }
    read_flags(pool);
    return CV_OK;
}
