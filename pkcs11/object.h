/* Objects on a token: finding them, and the public key behind one.
 *
 * A handle is good for one piece of work in one session. What identifies a key
 * is CKA_ID together with its public key; a label identifies nothing. */
#ifndef CERTVAULT_PKCS11_OBJECT_H
#define CERTVAULT_PKCS11_OBJECT_H

#include "pkcs11/attribute.h"

/* What to look for; members that are zero or NULL do not narrow it. */
struct cv_object_filter {
    bool by_class;
    CK_OBJECT_CLASS class;
    struct cv_bytes id;    /* CKA_ID; data NULL: any */
    struct cv_bytes label; /* CKA_LABEL; data NULL: any */
    struct cv_bytes value; /* CKA_VALUE; data NULL: any */
    bool token_only;       /* CKA_TOKEN=TRUE */
};

/* Writes at most `max` handles to `out`; `*n` is how many. Each one is looked
 * at again (class, id and label are compared here), because modules were seen
 * to pass over a part of a template. More than `max` matching objects are
 * CV_INVALID. No operation is left active. */
CV_MUST_USE enum cv_status cv_object_find(CK_FUNCTION_LIST *functions,
                                          CK_SESSION_HANDLE session,
                                          const struct cv_object_filter *filter,
                                          CK_OBJECT_HANDLE *out, size_t max,
                                          size_t *n, struct cv_err *err);

/* Finds the one private key with this CKA_ID whose public key is `spki` (DER
 * SubjectPublicKeyInfo). Where a private key does not tell its public key (EC
 * keys do not), the public-key object or certificate with the same CKA_ID
 * does, if there is exactly one answer among them; where there is none, a
 * single key is taken at its id's word and *proven is false: the signature must
 * then be checked against `spki`, which cv_sign_data always does.
 * CV_NOT_FOUND: none. CV_INTEGRITY: several that could be meant, or the only
 * one has another public key. */
CV_MUST_USE enum cv_status
cv_object_find_private(CK_FUNCTION_LIST *functions, CK_SESSION_HANDLE session,
                       struct cv_bytes id, struct cv_bytes spki,
                       CK_OBJECT_HANDLE *out, bool *proven, struct cv_err *err);

/* Appends the DER SubjectPublicKeyInfo of a public key, of a private key that
 * tells it (RSA's CKA_MODULUS and CKA_PUBLIC_EXPONENT, CKA_PUBLIC_KEY_INFO), or
 * of a certificate. What comes out was parsed by libcrypto and written anew, so
 * that equal keys give equal bytes. CV_NOT_FOUND (it does not tell),
 * CV_INTEGRITY (it is no public key), CV_INVALID (a type or curve that
 * certvault does not use). */
CV_MUST_USE enum cv_status cv_object_spki(struct cv_attribute_place at,
                                          struct cv_buf *out,
                                          struct cv_err *err);

/* As above for a private key, with what lies beside it under the same CKA_ID:
 * the public key object, then the certificate. CV_INTEGRITY where they differ.
 */
CV_MUST_USE enum cv_status cv_object_spki_beside(struct cv_attribute_place at,
                                                 struct cv_buf *out,
                                                 struct cv_err *err);

/* The key's kind as certvault tells it: "rsa", "ec-p256", "ec-p384", "ec-p521",
 * "ed25519" and its size in bits, out of a DER SubjectPublicKeyInfo.
 * CV_INVALID: another one. */
CV_MUST_USE enum cv_status cv_object_kind(struct cv_bytes spki,
                                          const char **kind, unsigned *bits,
                                          struct cv_err *err);

/* "private-key", "public-key", "secret-key", "certificate", "data"; "other". */
const char *cv_object_class_name(CK_OBJECT_CLASS class);

/* Puts a DER certificate on the token (CKO_CERTIFICATE, CKC_X_509, CKA_TOKEN,
 * not private), unless the same bytes are there already: then *out is that one
 * and *made is false. It is read back and compared; what does not compare is
 * destroyed again. `id` {NULL, 0}: none (a CA's). Statuses: as cv_rv_status,
 * CV_INTEGRITY (what came back differs), CV_INVALID (not a certificate). */
CV_MUST_USE enum cv_status cv_object_put_certificate(
    CK_FUNCTION_LIST *functions, CK_SESSION_HANDLE session, struct cv_bytes id,
    const char *label, struct cv_bytes der, CK_OBJECT_HANDLE *out, bool *made,
    struct cv_err *err);

/* Appends the DER of the certificate with this CKA_ID whose public key is
 * `spki`. CV_NOT_FOUND; CV_INTEGRITY: only such with another key. */
CV_MUST_USE enum cv_status cv_object_get_certificate(
    CK_FUNCTION_LIST *functions, CK_SESSION_HANDLE session, struct cv_bytes id,
    struct cv_bytes spki, struct cv_buf *out, struct cv_err *err);

#endif
