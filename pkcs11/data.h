/* Data objects (CKO_DATA) of ours on a token: public ones, found by their
 * label, so that they can be read, and where the token lets that be written,
 * without a PIN.
 *
 * Threads: as pkcs11/object.h. */
#ifndef CERTVAULT_PKCS11_DATA_H
#define CERTVAULT_PKCS11_DATA_H

#include "pkcs11/object.h"

/* What such objects are of, and how the labels of checkpoints begin. */
#define CV_DATA_APPLICATION "certvault"
#define CV_DATA_ANCHOR "certvault:anchor:"

/* Appends the value of each data object on the token with this label to `out`,
 * each with a line feed behind it; nothing where there is none. CV_INVALID
 * (more than CV_LIMIT_TOKEN_KEYS of them, too long), and as cv_rv_fail. */
CV_MUST_USE enum cv_status cv_data_read(CK_FUNCTION_LIST *functions,
                                        CK_SESSION_HANDLE session,
                                        const char *label, struct cv_buf *out,
                                        struct cv_err *err);

/* Makes `value` that of the one data object with this label: changed in its
 * place, or, where the token does not do that, put beside the old one, which is
 * destroyed then. Read/write session. It is read back. CV_INTEGRITY (what came
 * back differs), and as cv_rv_fail. */
CV_MUST_USE enum cv_status
cv_data_write(CK_FUNCTION_LIST *functions, CK_SESSION_HANDLE session,
              const char *label, struct cv_bytes value, struct cv_err *err);

/* Is this object a checkpoint of a log? */
bool cv_data_is_anchor(struct cv_attribute_place at);

#endif
