/* Sessions with one token: a bounded pool, and doing work in one so that what
 * can be mended is mended.
 *
 * A pool belongs to one token, found by URI and from then on known by
 * manufacturer, model, serial and label: a card that is pulled and put back,
 * into another slot even, is the same; another card in the same slot is not.
 *
 * Login state is the module's, per process and token: as long as one session
 * is open it stays, so the pool keeps one. What the pool never does by itself
 * is to send a PIN (pkcs11/login.h).
 *
 * Threads: one. */
#ifndef CERTVAULT_PKCS11_SESSION_H
#define CERTVAULT_PKCS11_SESSION_H

#include "pkcs11/token.h"

struct cv_session_pool;

/* Finds the token that `uri` means and makes an empty pool. `module` is
 * borrowed and must outlive it. *out is NULL on failure: as cv_token_find. */
CV_MUST_USE enum cv_status cv_session_pool_new(struct cv_module *module,
                                               const struct cv_uri *uri,
                                               struct cv_session_pool **out,
                                               struct cv_err *err);

/* Closes all sessions (and so logs out); wipes what was kept. NULL is fine. */
void cv_session_pool_free(struct cv_session_pool *pool);

struct cv_module *cv_session_module(const struct cv_session_pool *pool);

/* As last read; cv_session_refresh reads it again, and finds the token again
 * where it moved to another slot. CV_UNAVAILABLE: it is not there. */
const struct cv_token_info *
cv_session_token(const struct cv_session_pool *pool);
CV_MUST_USE enum cv_status cv_session_refresh(struct cv_session_pool *pool,
                                              struct cv_err *err);

/* Does the module hold a user's login for this token now? Asks it
 * (C_GetSessionInfo); opens a session if there is none. A token that needs no
 * login counts as logged in. */
bool cv_session_logged_in(struct cv_session_pool *pool);

/* Work in one session. It must not close the session, must leave no operation
 * active when it fails, must find its objects itself (handles do not live
 * longer than a session) and reports an answer of the module with cv_rv_fail,
 * so that it is known what can be done about it. It may be called twice, so
 * what it makes must be undone or found again. */
typedef enum cv_status cv_session_work(CK_FUNCTION_LIST *functions,
                                       CK_SESSION_HANDLE session, void *context,
                                       struct cv_err *err);

enum cv_session_flags {
    CV_SESSION_RW = 1,   /* a read/write session */
    CV_SESSION_USER = 2, /* the user must be logged in: else CV_LOCKED before
                            any work, without asking for a PIN */
    CV_SESSION_ONCE = 4  /* never a second time: work that must not be
                            repeated */
};

/* Does `work` in a session of the pool. Where it fails with an answer that
 * cv_rv_recover calls RETRY, the session is thrown away (all sessions of the
 * pool, when the token was gone), the token found again, and the work done once
 * more, if the module still holds the login or none is wanted. What is left to
 * do after that is cv_session_recover's answer. Statuses: the work's; CV_LOCKED
 * (login wanted), CV_UNAVAILABLE. */
CV_MUST_USE enum cv_status cv_session_do(struct cv_session_pool *pool,
                                         unsigned flags, cv_session_work *work,
                                         void *context, struct cv_err *err);

/* What the last failure of this pool asks for: RELOGIN, RELOAD (the caller
 * calls cv_module_reload), RESTART (the process should end), NONE. */
enum cv_rv_recover cv_session_recover(const struct cv_session_pool *pool);

/* A session for a caller that does several things in one, e.g. attacks; given
 * back with `broken` when an answer made it doubtful, it is closed. */
CV_MUST_USE enum cv_status cv_session_take(struct cv_session_pool *pool,
                                           unsigned flags,
                                           CK_SESSION_HANDLE *out,
                                           struct cv_err *err);
void cv_session_give(struct cv_session_pool *pool, CK_SESSION_HANDLE session,
                     bool broken);

#endif
