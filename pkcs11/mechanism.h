/* Mechanisms: which a token lists, for what, and what they are called. That a
 * mechanism is listed does not mean that it works (SoftHSM lists
 * CKM_AES_CBC_PAD for unwrapping and refuses it). */
#ifndef CERTVAULT_PKCS11_MECHANISM_H
#define CERTVAULT_PKCS11_MECHANISM_H

#include "pkcs11/rv.h"
#include "vault/base/json.h"

/* Numbers that older headers do not have. */
#define CV_MECHANISM_AES_KWP 0x210BUL /* PKCS #11 3.0: CKM_AES_KEY_WRAP_KWP */

#define CV_MECHANISM_MAX 512

/* The slot of a session; false when the module does not tell. */
bool cv_mechanism_slot(CK_FUNCTION_LIST *functions, CK_SESSION_HANDLE session,
                       CK_SLOT_ID *slot);

/* Does the session's token list `type` with all of `flags` (CKF_SIGN, ...)?
 * `info`, which may be NULL, is filled when it does. A module that does not
 * answer has it not. */
bool cv_mechanism_has(CK_FUNCTION_LIST *functions, CK_SESSION_HANDLE session,
                      CK_MECHANISM_TYPE type, CK_FLAGS flags,
                      CK_MECHANISM_INFO *info);

/* Writes the token's mechanisms to `out`, at most `max`, in its order; *n is
 * how many. More than `max`: the first ones. As cv_rv_fail. */
CV_MUST_USE enum cv_status cv_mechanism_list(CK_FUNCTION_LIST *functions,
                                             CK_SESSION_HANDLE session,
                                             CK_MECHANISM_TYPE *out, size_t max,
                                             size_t *n, struct cv_err *err);

/* "CKM_ECDSA"; "CKM_0x80000123" for one that has no name here. The text is a
 * literal or in `room`. */
#define CV_MECHANISM_NAME_LEN 40
const char *cv_mechanism_name(CK_MECHANISM_TYPE type,
                              char room[CV_MECHANISM_NAME_LEN]);

/* The flags that are set, as an array of words ("sign", "unwrap", "hw"), made
 * where cv_json_use says; NULL: memory is gone. */
cJSON *cv_mechanism_flags(CK_FLAGS flags);

#endif
