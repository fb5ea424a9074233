/* Logging in, without ever burning a PIN.
 *
 * The rules: one C_Login per call, never a second one by itself. The flags of
 * the token are read right before it: a locked PIN and a final try are refused
 * for everyone, a low count for automation, and there is no way around it. A
 * PIN that failed is wiped and not tried again by this process. An empty PIN is
 * refused before it reaches a module: some take it as a question whether
 * somebody is logged in. Whoever calls this writes the attempt down first, on
 * disk: tokens exist whose flags always say that all is well. */
#ifndef CERTVAULT_PKCS11_LOGIN_H
#define CERTVAULT_PKCS11_LOGIN_H

#include "pkcs11/session.h"

enum cv_login_flags {
    CV_LOGIN_HUMAN = 1, /* typed by a person just now, for this token */
    CV_LOGIN_KEEP = 2,  /* keep it in locked memory, for keys that want it with
                           every signature (CKA_ALWAYS_AUTHENTICATE) */
};

/* May a PIN be tried on this token now? Reads nothing; `token` is what was read
 * last. CV_LOCKED: PIN locked, final try, count low and not human, PIN not
 * set; the text says how many tries are known to be left, or that the token
 * does not tell. */
CV_MUST_USE enum cv_status cv_login_allowed(const struct cv_token_info *token,
                                            unsigned flags, struct cv_err *err);

/* Logs the user in. `pin` {NULL, 0}: on the token's PIN pad, which it must have
 * (a token that has one and gets a PIN anyway is asked by its pad). CV_OK also
 * where the user is logged in already: then no PIN was tried, and none is kept.
 * CV_AUTH (wrong PIN; the state says what is known of the tries left),
 * CV_LOCKED (as above, or locked by this try), CV_INVALID (PIN empty or of a
 * length that the token does not take: not tried), CV_UNAVAILABLE. Blocks as
 * long as the token does; with a PIN pad, until the person is done. */
CV_MUST_USE enum cv_status cv_login_user(struct cv_session_pool *pool,
                                         struct cv_bytes pin, unsigned flags,
                                         struct cv_err *err);

/* C_Logout; what was kept is wiped. CV_OK where nobody was logged in. */
CV_MUST_USE enum cv_status cv_login_out(struct cv_session_pool *pool,
                                        struct cv_err *err);

/* The login that a key with CKA_ALWAYS_AUTHENTICATE wants between C_SignInit
 * and C_Sign, with the PIN that was kept or on the PIN pad. CV_LOCKED: none was
 * kept. A failure wipes what was kept. */
CV_MUST_USE enum cv_status cv_login_for_use(struct cv_session_pool *pool,
                                            CK_SESSION_HANDLE session,
                                            struct cv_err *err);

/* Is a PIN kept (or a PIN pad there), so that cv_login_for_use can work? */
bool cv_login_kept(const struct cv_session_pool *pool);

/* Did a key ask for the PIN while none was kept? Then it signs again only after
 * another cv_login_user, whoever is logged in. */
bool cv_login_wanted(const struct cv_session_pool *pool);

/* Was the PIN of the last cv_login_for_use wrong, and none right since? The
 * caller writes it down like any other wrong one. */
bool cv_login_refused(const struct cv_session_pool *pool);

/* Changes the user's PIN: one C_SetPIN, under the rules of cv_login_user with
 * CV_LOGIN_HUMAN (a wrong old PIN burns a try like a login). {NULL, 0} twice:
 * on the PIN pad. What was kept is wiped. CV_AUTH, CV_LOCKED, CV_INVALID (the
 * new one is empty or of a wrong length, or too weak), CV_UNAVAILABLE. */
CV_MUST_USE enum cv_status cv_login_change_pin(struct cv_session_pool *pool,
                                               struct cv_bytes old_pin,
                                               struct cv_bytes new_pin,
                                               struct cv_err *err);

#endif
