/* What an interrupted import left on a token.
 *
 * A half-made object may have neither label nor id (SoftHSM writes an object
 * attribute by attribute), so it cannot be looked for by what we would have
 * called it. Instead the intent of a change holds a snapshot: a digest of each
 * object that is there before. What is there afterwards, and is neither in the
 * snapshot nor known, is debris: reported first, destroyed when a person or the
 * journal says so.
 *
 * The digest of an object is SHA-256 over those of CKA_CLASS, CKA_KEY_TYPE,
 * CKA_LABEL, CKA_ID, CKA_CERTIFICATE_TYPE, CKA_MODULUS, CKA_PUBLIC_EXPONENT,
 * CKA_EC_PARAMS, CKA_EC_POINT, CKA_APPLICATION, CKA_OBJECT_ID and, of
 * certificates, CKA_VALUE which the token lets be read: type (4 bytes,
 * big-endian), length (4 bytes; ffffffff: not told), value. It is the same in
 * each session and process, as long as nobody changes the object. Objects that
 * have nothing of their own have the same digest: they are counted. */
#ifndef CERTVAULT_PKCS11_DEBRIS_H
#define CERTVAULT_PKCS11_DEBRIS_H

#include "pkcs11/object.h"
#include "vault/base/json.h"

#define CV_DEBRIS_DIGEST_LEN 65 /* 64 hex digits, or 63 and "?", and a NUL */

/* An array of the digests of all token objects that the session sees (log in
 * first), made where cv_json_use says; the same digest as often as there are
 * such objects. *out is NULL on failure. CV_INVALID: more than
 * CV_LIMIT_TOKEN_OBJECTS; else as cv_rv_fail. */
CV_MUST_USE enum cv_status cv_debris_snapshot(CK_FUNCTION_LIST *functions,
                                              CK_SESSION_HANDLE session,
                                              cJSON **out, struct cv_err *err);

/* Lists what is not in `snapshot` (an array as above) and whose CKA_ID is not,
 * and does not begin with, one of `known` (an array of objects with a member
 * "id", hex, at least 8 bytes; NULL: none): an array of objects
 *     {"digest", "class", "label", "id", "key_type" or absent, "readable",
 *      "ambiguous"}
 * class: "private-key", "public-key", "secret-key", "certificate", "data",
 * "other", "unknown" (it does not tell). readable: the token told class and,
 * of a key, its type. ambiguous: an object that looks the same was there
 * before, and which of them is new cannot be told; then the digest's last digit
 * is "?", and cv_debris_destroy refuses it. CV_INVALID: snapshot or known are
 * not that; else as cv_debris_snapshot. */
CV_MUST_USE enum cv_status cv_debris_list(CK_FUNCTION_LIST *functions,
                                          CK_SESSION_HANDLE session,
                                          const cJSON *snapshot,
                                          const cJSON *known, cJSON **out,
                                          struct cv_err *err);

/* Destroys one object with this digest (of several that look the same, one) and
 * sees that it is gone. CV_NOT_FOUND: there is none; CV_INVALID: not a digest;
 * CV_INTEGRITY: ambiguous, or the token said yes and it is still there. */
CV_MUST_USE enum cv_status cv_debris_destroy(CK_FUNCTION_LIST *functions,
                                             CK_SESSION_HANDLE session,
                                             const char *digest,
                                             struct cv_err *err);

#endif
