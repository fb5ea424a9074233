/* What a PKCS#11 module answers: names of CK_RV numbers, the status that each
 * stands for, and what can be done about it.
 *
 * Source: PKCS#11 2.40 (base 5), and what modules were seen to answer when a
 * card was pulled or a daemon under them died. */
#ifndef CERTVAULT_PKCS11_RV_H
#define CERTVAULT_PKCS11_RV_H

#include "vault/base/err.h"

#include <p11-kit/pkcs11.h>
#include <stdbool.h>

/* What the next step is after an answer that is not CKR_OK. Each includes
 * those before it: what asks for RELOAD is not mended by RETRY. */
enum cv_rv_recover {
    CV_RV_NONE = 0, /* the call itself was wrong or refused */
    CV_RV_RETRY,    /* throw the session away, find the key again, try once */
    CV_RV_RELOGIN,  /* somebody must log in again; the session is gone or not */
    CV_RV_RELOAD,   /* C_Finalize and C_Initialize */
    CV_RV_RESTART,  /* a new process: this module will not come back in ours */
    CV_RV_GIVE_UP   /* nothing helps until a human does something: no token in
                       the reader, PIN locked */
};

/* "CKR_PIN_INCORRECT", a literal; "CKR_VENDOR_DEFINED" for a vendor's own
 * number, "CKR_?" for one that the standard does not have. */
const char *cv_rv_name(CK_RV rv);

/* The number of a name as above (CKR_OK's too); false where there is none. */
bool cv_rv_from_name(const char *name, CK_RV *rv);

/* The status that `rv` stands for: CV_OK for CKR_OK; CV_AUTH (PIN wrong),
 * CV_LOCKED (not logged in), CV_DENIED (sensitive, unextractable, function or
 * action not permitted), CV_INVALID (the token does not take this value,
 * mechanism or size), CV_UNAVAILABLE (everything else of a module: 69),
 * CV_INTERNAL (memory is gone). */
enum cv_status cv_rv_status(CK_RV rv);

/* What to do first about `rv`. A first CKR_GENERAL_ERROR is a RETRY; what to
 * do when the retry failed too is cv_rv_escalate's answer. */
enum cv_rv_recover cv_rv_recover(CK_RV rv);

/* What is left when a retry (RETRY tried) or a reload (RELOAD tried) ended
 * with `rv` again. */
enum cv_rv_recover cv_rv_escalate(CK_RV rv, enum cv_rv_recover tried);

/* The word on the wire: "none", "retry", "relogin", "reload", "restart",
 * "give-up"; a literal. */
const char *cv_rv_recover_word(enum cv_rv_recover recover);

/* Fills `err` for `rv`, the answer of `call` ("C_Sign"), and returns its
 * status: CKR_OK is a programming error and becomes CV_INTERNAL. The text names
 * call, CKR_ name and number; the native number is `rv`; a hint is set where
 * one is known. */
#define cv_rv_fail(err, rv, call) \
    cv_rv_set((err), (rv), (call), __FILE__, __LINE__)
enum cv_status cv_rv_set(struct cv_err *err, CK_RV rv, const char *call,
                         const char *file, int line);

/* The CK_RV of an error that cv_rv_fail filled; CKR_OK where it is another. */
CK_RV cv_rv_of(const struct cv_err *err);

#endif
