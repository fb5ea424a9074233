#include "pkcs11/session.h"

#include "pkcs11/session_internal.h"

#include <stdlib.h>
#include <string.h>

#define SLOTS CV_LIMIT_TOKEN_SESSIONS

static CK_FUNCTION_LIST *functions(const struct cv_session_pool *pool)
{
    return cv_module_functions(pool->module);
}

void cv_session_forget_pin(struct cv_session_pool *pool)
{
    cv_arena_free(pool->pin_arena);
    pool->pin_arena = NULL;
    pool->pin = (struct cv_bytes){NULL, 0};
}

void cv_session_keep_pin(struct cv_session_pool *pool, struct cv_bytes pin)
{
    char *copy = NULL;

    cv_session_forget_pin(pool);
    if (cv_arena_new(CV_KIB(4), &pool->pin_arena, NULL) == CV_OK) {
        copy = cv_arena_copy(pool->pin_arena, pin.data, pin.len, NULL);
    }
    if (copy == NULL) {
        cv_session_forget_pin(pool);
        return;
    }
    pool->pin = (struct cv_bytes){(const uint8_t *)copy, pin.len};
    pool->want_pin = false;
}

static void close_slot(struct cv_session_pool *pool, struct cv_session_slot *s)
{
    if (s->open) {
        (void)functions(pool)->C_CloseSession(s->handle);
    }
    memset(s, 0, sizeof(*s));
}

static void close_all(struct cv_session_pool *pool)
{
    for (size_t i = 0; i < SLOTS; i++) {
        close_slot(pool, &pool->slots[i]);
    }
    memset(pool->proofs, 0, sizeof(pool->proofs));
    cv_session_forget_pin(pool);
}

/* After a reload of the module the numbers mean nothing, or something else. */
static void drop_stale(struct cv_session_pool *pool)
{
    uint64_t now = cv_module_generation(pool->module);

    if (pool->generation != now) {
        memset(pool->slots, 0, sizeof(pool->slots));
        memset(pool->proofs, 0, sizeof(pool->proofs));
        cv_session_forget_pin(pool);
        pool->generation = now;
    }
}

enum cv_status cv_session_pool_new(struct cv_module *module,
                                   const struct cv_uri *uri,
                                   struct cv_session_pool **out,
                                   struct cv_err *err)
{
    struct cv_session_pool *pool = calloc(1, sizeof(*pool));
    enum cv_status status;

    *out = NULL;
    if (pool == NULL) {
        return cv_fail(err, CV_INTERNAL, "memory is gone");
    }
    pool->module = module;
    pool->generation = cv_module_generation(module);
    status = cv_token_find(module, uri, &pool->token, err);
    if (status != CV_OK) {
        free(pool);
        return status;
    }
    *out = pool;
    return CV_OK;
}

void cv_session_pool_free(struct cv_session_pool *pool)
{
    if (pool == NULL) {
        return;
    }
    drop_stale(pool);
    close_all(pool);
    free(pool);
}

struct cv_module *cv_session_module(const struct cv_session_pool *pool)
{
    return pool->module;
}

const struct cv_token_info *cv_session_token(const struct cv_session_pool *pool)
{
    return &pool->token;
}

enum cv_rv_recover cv_session_recover(const struct cv_session_pool *pool)
{
    return pool->recover;
}

void cv_session_note(struct cv_session_pool *pool, const struct cv_err *err,
                     enum cv_rv_recover tried)
{
    CK_RV rv = cv_rv_of(err);

    if (rv != CKR_OK) {
        pool->recover = cv_module_is_started(pool->module)
                            ? cv_rv_escalate(rv, tried)
                            : CV_RV_RESTART;
    }
}

/* Looks for the pool's token in all slots. */
static enum cv_status find_again(struct cv_session_pool *pool,
                                 struct cv_err *err)
{
    struct cv_token_info *all = calloc(CV_LIMIT_TOKENS, sizeof(*all));
    size_t n = 0;
    enum cv_status status;

    if (all == NULL) {
        return cv_fail(err, CV_INTERNAL, "memory is gone");
    }
    status = cv_token_list(pool->module, NULL, all, CV_LIMIT_TOKENS, &n, err);
    if (status != CV_OK) {
        cv_session_note(pool, err, CV_RV_RETRY);
        free(all);
        return status;
    }
    status = CV_UNAVAILABLE;
    for (size_t i = 0; i < n && status != CV_OK; i++) {
        if (cv_token_same(&all[i], &pool->token)) {
            pool->token = all[i];
            status = CV_OK;
        }
    }
    free(all);
    if (status != CV_OK) {
        cv_fail(err, status, "the token \"%s\" (serial %s) is not there",
                pool->token.label, pool->token.serial);
        cv_err_hint(err, "put it back; `certvault token list` shows what is "
                         "there");
    }
    return status;
}

enum cv_status cv_session_refresh(struct cv_session_pool *pool,
                                  struct cv_err *err)
{
    struct cv_token_info now;
    struct cv_err own;
    enum cv_status status;
    CK_SLOT_ID slot;

    drop_stale(pool);
    cv_err_init(&own);
    status = cv_token_read(pool->module, pool->token.slot, &now, &own);
    if (status == CV_OK && cv_token_same(&now, &pool->token)) {
        pool->token = now;
        return CV_OK;
    }
    pool->recover = CV_RV_GIVE_UP;
    if (status != CV_OK) {
        cv_session_note(pool, &own, CV_RV_RETRY);
    }
    slot = pool->token.slot;
    status = find_again(pool, err);
    if (status != CV_OK || pool->token.slot != slot) {
        /* Gone, or somewhere else: what was opened there is dead. */
        close_all(pool);
    }
    if (status == CV_OK) {
        pool->recover = CV_RV_NONE;
    }
    return status;
}

static enum cv_status open_slot(struct cv_session_pool *pool,
                                struct cv_session_slot *s, bool rw,
                                struct cv_err *err)
{
    CK_SESSION_HANDLE handle = CK_INVALID_HANDLE;
    CK_FLAGS flags = CKF_SERIAL_SESSION | (rw ? CKF_RW_SESSION : 0);
    CK_RV rv;

    rv = functions(pool)->C_OpenSession(pool->token.slot, flags, NULL, NULL,
                                        &handle);
    if (rv == CKR_OK && handle == CK_INVALID_HANDLE) {
        rv = CKR_GENERAL_ERROR;
    }
    if (rv != CKR_OK) {
        return cv_rv_fail(err, rv, "C_OpenSession");
    }
    *s = (struct cv_session_slot){handle, true, false, rw};
    return CV_OK;
}

/* The first slot that is open and idle (`open`), or not open. A read/write
 * session serves readers too. */
static struct cv_session_slot *pick(struct cv_session_pool *pool, bool open,
                                    bool rw)
{
    for (size_t i = 0; i < SLOTS; i++) {
        struct cv_session_slot *s = &pool->slots[i];

        if (s->open == open && !s->busy && (!open || !rw || s->rw)) {
            return s;
        }
    }
    return NULL;
}

enum cv_status cv_session_state(struct cv_session_pool *pool,
                                CK_SESSION_HANDLE session, bool *user,
                                struct cv_err *err)
{
    CK_SESSION_INFO info;
    CK_RV rv;

    memset(&info, 0, sizeof(info));
    *user = false;
    rv = functions(pool)->C_GetSessionInfo(session, &info);
    if (rv != CKR_OK) {
        return cv_rv_fail(err, rv, "C_GetSessionInfo");
    }
    *user = info.state == CKS_RO_USER_FUNCTIONS ||
            info.state == CKS_RW_USER_FUNCTIONS;
    return CV_OK;
}

/* An idle session or a new one, not yet looked at. */
static enum cv_status some_session(struct cv_session_pool *pool, bool rw,
                                   struct cv_session_slot **out,
                                   struct cv_err *err)
{
    struct cv_session_slot *s = pick(pool, true, rw);
    enum cv_status status;

    *out = s;
    if (s != NULL) {
        return CV_OK;
    }
    s = pick(pool, false, rw);
    if (s == NULL) {
        s = pick(pool, true, false); /* idle, but of the wrong kind */
        if (s == NULL) {
            return cv_fail(err, CV_BUSY, "all %d sessions are in use", SLOTS);
        }
        close_slot(pool, s);
    }
    *out = s;
    /* Seldom, so it may cost a look at who is in the slot by now. */
    status = cv_session_refresh(pool, err);
    return status == CV_OK ? open_slot(pool, s, rw, err) : status;
}

static enum cv_status not_logged_in(struct cv_session_pool *pool,
                                    struct cv_err *err)
{
    pool->recover = CV_RV_RELOGIN;
    cv_fail(err, CV_LOCKED, "nobody is logged in to the token \"%s\"",
            pool->token.label);
    cv_err_hint(err, "log in with `certvault token login`");
    return CV_LOCKED;
}

/* Closing the last session ends the login, so another is opened first. */
static void replace(struct cv_session_pool *pool, struct cv_session_slot *s)
{
    struct cv_session_slot *other = NULL;
    size_t open = 0;

    for (size_t i = 0; i < SLOTS; i++) {
        open += pool->slots[i].open ? 1 : 0;
    }
    if (open == 1) {
        other = pick(pool, false, s->rw);
        if (other != NULL) {
            (void)open_slot(pool, other, s->rw, NULL);
        }
    }
    close_slot(pool, s);
}

/* A session that answers, and where it matters holds a login. */
static enum cv_status take_once(struct cv_session_pool *pool, unsigned flags,
                                struct cv_session_slot **out,
                                struct cv_err *err)
{
    bool rw = (flags & CV_SESSION_RW) != 0;
    enum cv_status status = CV_OK;

    /* Sessions that are dead go first; they may all be. */
    for (size_t i = 0; i <= SLOTS; i++) {
        bool user = true;

        status = some_session(pool, rw, out, err);
        if (status != CV_OK) {
            return status;
        }
        if ((flags & CV_SESSION_USER) == 0 || !pool->token.login_required) {
            return CV_OK;
        }
        status = cv_session_state(pool, (*out)->handle, &user, err);
        if (status == CV_OK) {
            return user ? CV_OK : not_logged_in(pool, err);
        }
        replace(pool, *out);
    }
    return status;
}

/* The device left and what was opened with it is dead. */
static bool is_gone(CK_RV rv)
{
    return rv == CKR_DEVICE_REMOVED || rv == CKR_TOKEN_NOT_PRESENT ||
           rv == CKR_TOKEN_NOT_RECOGNIZED || rv == CKR_SLOT_ID_INVALID;
}

/* After an answer that asks for a retry. */
static enum cv_status mend(struct cv_session_pool *pool, CK_RV rv,
                           struct cv_err *err)
{
    if (is_gone(rv)) {
        close_all(pool);
    }
    return cv_session_refresh(pool, err);
}

enum cv_status cv_session_take(struct cv_session_pool *pool, unsigned flags,
                               CK_SESSION_HANDLE *out, struct cv_err *err)
{
    struct cv_session_slot *s = NULL;
    struct cv_err own;
    enum cv_status status;
    CK_RV rv;

    *out = CK_INVALID_HANDLE;
    drop_stale(pool);
    pool->recover = CV_RV_NONE;
    cv_err_init(&own);
    status = take_once(pool, flags, &s, &own);
    rv = cv_rv_of(&own);
    if (status != CV_OK && cv_rv_recover(rv) == CV_RV_RETRY) {
        cv_err_init(&own);
        status = mend(pool, rv, &own);
        if (status == CV_OK) {
            pool->recover = CV_RV_NONE;
            status = take_once(pool, flags, &s, &own);
            cv_session_note(pool, &own, CV_RV_RETRY);
        }
    } else {
        cv_session_note(pool, &own, CV_RV_NONE);
    }
    if (status != CV_OK) {
        if (err != NULL) {
            *err = own;
        }
        return cv_pass(err, status);
    }
    s->busy = true;
    *out = s->handle;
    return CV_OK;
}

void cv_session_give(struct cv_session_pool *pool, CK_SESSION_HANDLE session,
                     bool broken)
{
    for (size_t i = 0; i < SLOTS; i++) {
        struct cv_session_slot *s = &pool->slots[i];

        if (s->open && s->busy && s->handle == session) {
            s->busy = false;
            if (broken) {
                replace(pool, s);
            }
            return;
        }
    }
}

/* The token says that nobody is logged in, whatever the module thinks: without
 * a logout the module would refuse the next login as one too many. */
static void note_logout(struct cv_session_pool *pool, CK_SESSION_HANDLE session)
{
    (void)functions(pool)->C_Logout(session);
    cv_session_forget_pin(pool);
}

/* One go. `own` was emptied. */
static enum cv_status work_once(struct cv_session_pool *pool, unsigned flags,
                                cv_session_work *work, void *context,
                                struct cv_err *own)
{
    CK_SESSION_HANDLE session = CK_INVALID_HANDLE;
    enum cv_status status = cv_session_take(pool, flags, &session, own);

    if (status != CV_OK) {
        return status;
    }
    status = work(functions(pool), session, context, own);
    if (status == CV_OK) {
        cv_session_give(pool, session, false);
        return CV_OK;
    }
    if (cv_rv_of(own) == CKR_USER_NOT_LOGGED_IN) {
        note_logout(pool, session);
    }
    /* An operation may have been left active, whatever the failure was. */
    cv_session_give(pool, session, status != CV_NOT_FOUND);
    return status;
}

/* What is not found on a token that is not there is not lost. */
static enum cv_status not_found(struct cv_session_pool *pool,
                                struct cv_err *own)
{
    struct cv_err why;

    cv_err_init(&why);
    if (cv_session_refresh(pool, &why) == CV_OK) {
        return CV_NOT_FOUND;
    }
    *own = why;
    return CV_UNAVAILABLE;
}

enum cv_status cv_session_do(struct cv_session_pool *pool, unsigned flags,
                             cv_session_work *work, void *context,
                             struct cv_err *err)
{
    struct cv_err own;
    enum cv_status status;
    enum cv_rv_recover tried = CV_RV_NONE;
    CK_RV rv;

    cv_err_init(&own);
    status = work_once(pool, flags, work, context, &own);
    rv = cv_rv_of(&own);
    if (status != CV_OK && cv_rv_recover(rv) == CV_RV_RETRY &&
        pool->recover == CV_RV_NONE && (flags & CV_SESSION_ONCE) == 0) {
        tried = CV_RV_RETRY;
        cv_err_init(&own);
        status = mend(pool, rv, &own);
        if (status == CV_OK) {
            pool->recover = CV_RV_NONE;
            status = work_once(pool, flags, work, context, &own);
        }
    }
    if (status == CV_NOT_FOUND) {
        status = not_found(pool, &own);
    }
    if (status == CV_OK) {
        pool->recover = CV_RV_NONE;
        return CV_OK;
    }
    if (pool->recover == CV_RV_NONE) {
        cv_session_note(pool, &own, tried);
    }
    if (err != NULL) {
        *err = own;
    }
    return cv_pass(err, status);
}

bool cv_session_logged_in(struct cv_session_pool *pool)
{
    CK_SESSION_HANDLE session = CK_INVALID_HANDLE;

    if (cv_session_take(pool, CV_SESSION_USER, &session, NULL) != CV_OK) {
        return false;
    }
    cv_session_give(pool, session, false);
    return true;
}
