/* A key that is born on the token and never was anywhere else. */
#ifndef CERTVAULT_PKCS11_GENERATE_H
#define CERTVAULT_PKCS11_GENERATE_H

#include "pkcs11/notes.h"
#include "pkcs11/object.h"

enum cv_generate_purpose {
    CV_GENERATE_SIGN, /* the safe template of create.h */
    CV_GENERATE_SLOT  /* the same, but it decrypts (RSA) or derives (EC) and
                         does not sign: for slotkey.h */
};

struct cv_generate_order {
    const char *algorithm; /* "p256", "p384", "rsa2048", "rsa3072",
                              "rsa4096", "ed25519" (SIGN alone) */
    enum cv_generate_purpose purpose;
    struct cv_bytes id; /* CKA_ID of both halves */
    const char *label;
};

/* Makes the pair (read/write session, logged in), both halves on the token. On
 * success *handle is the private key and its DER SubjectPublicKeyInfo was
 * appended to `spki`. Blocks as long as the token takes: minutes for RSA on a
 * slow card. On failure nothing of that id is left, or the error's state says
 * so. CV_EXISTS: the id is in use; CV_INVALID: not an algorithm, or the token
 * has no mechanism for it (named); CV_INTEGRITY: the token said yes and has no
 * such key; else as cv_rv_fail. */
CV_MUST_USE enum cv_status
cv_generate_key(CK_FUNCTION_LIST *functions, CK_SESSION_HANDLE session,
                const struct cv_generate_order *order, struct cv_buf *spki,
                CK_OBJECT_HANDLE *handle, struct cv_notes *notes,
                struct cv_err *err);

#endif
