/* The whole way of a key into a token, distrust included: made, looked for,
 * examined, its certificates put beside it; or nothing. */
#ifndef CERTVAULT_PKCS11_IMPORT_H
#define CERTVAULT_PKCS11_IMPORT_H

#include "pkcs11/create.h"
#include "pkcs11/examine.h"
#include "pkcs11/generate.h"

struct cv_import_order {
    struct cv_create_key key;
    struct cv_bytes certificates; /* PEM, leaf first */
    struct cv_bytes ca;           /* PEM; may be empty */
    bool allow_leaky;
    struct cv_session_pool *pool; /* as in struct cv_examine_order */
};

struct cv_import_result {
    enum cv_create_way way; /* cv_import_key alone */
    struct cv_findings findings;
    struct cv_notes notes;
};

/* Takes `order->key` into the token (read/write session, logged in), with its
 * public key and certificates. *out is filled as far as it came, on failure
 * too. Whatever fails: what was made is destroyed, and the error's state says
 * that it was, or what is still there. CV_DENIED: the token lets the key out
 * and that is not allowed; CV_INTEGRITY: the key is not what it should be, or
 * is not the leaf's; else as cv_create_key and cv_examine_key. */
CV_MUST_USE enum cv_status
cv_import_key(CK_FUNCTION_LIST *functions, CK_SESSION_HANDLE session,
              const struct cv_import_order *order, struct cv_arena *arena,
              struct cv_import_result *out, struct cv_err *err);

/* The same for a key made on the token (cv_generate_key), which has no
 * certificate yet. `spki` gets the public key's DER. */
CV_MUST_USE enum cv_status
cv_import_generate(CK_FUNCTION_LIST *functions, CK_SESSION_HANDLE session,
                   const struct cv_generate_order *order, bool allow_leaky,
                   struct cv_session_pool *pool, struct cv_buf *spki,
                   struct cv_import_result *out, struct cv_err *err);

#endif
