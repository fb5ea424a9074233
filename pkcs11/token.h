/* Tokens: what is in the slots of a module.
 *
 * What a token says of itself is hostile: texts are cut to their fields,
 * cleaned for a terminal, numbers bounded. */
#ifndef CERTVAULT_PKCS11_TOKEN_H
#define CERTVAULT_PKCS11_TOKEN_H

#include "pkcs11/module.h"

struct cv_token_info {
    CK_SLOT_ID slot; /* valid until the module is reloaded or a card moves */
    /* The fields as they came: what URIs are matched with. */
    CK_TOKEN_INFO raw;
    /* C strings, cleaned (cv_module_text). */
    char label[33], manufacturer[33], model[17], serial[17];
    char slot_description[65];
    bool initialized;     /* CKF_TOKEN_INITIALIZED */
    bool login_required;  /* CKF_LOGIN_REQUIRED */
    bool protected_path;  /* CKF_PROTECTED_AUTHENTICATION_PATH: a PIN pad */
    bool write_protected; /* CKF_WRITE_PROTECTED */
    bool has_rng;         /* CKF_RNG */
    bool removable;       /* CKF_REMOVABLE_DEVICE of the slot */
    struct {
        bool initialized;   /* CKF_USER_PIN_INITIALIZED */
        bool count_low;     /* a wrong PIN was given since the last right one */
        bool final_try;     /* the next wrong one locks it */
        bool locked;        /* CKF_USER_PIN_LOCKED */
        bool to_be_changed; /* CKF_USER_PIN_TO_BE_CHANGED */
        unsigned min, max;  /* length in bytes; max 0: the token does not say */
    } pin;
};

/* The tokens that are present, at most CV_LIMIT_TOKENS of them, in the order of
 * their slots; `uri` NULL: all, else those that it fits. `*n` is what was
 * written to `out` (room for `max`). A slot whose token does not answer is left
 * out. CV_UNAVAILABLE: the module does not list its slots. Blocks as long as
 * the module does. */
CV_MUST_USE enum cv_status cv_token_list(const struct cv_module *module,
                                         const struct cv_uri *uri,
                                         struct cv_token_info *out, size_t max,
                                         size_t *n, struct cv_err *err);

/* The one token that `uri` fits. CV_NOT_FOUND (none), CV_INVALID (several: the
 * hint names serial=), CV_UNAVAILABLE. */
CV_MUST_USE enum cv_status cv_token_find(const struct cv_module *module,
                                         const struct cv_uri *uri,
                                         struct cv_token_info *out,
                                         struct cv_err *err);

/* Reads the info of `slot` again: the flags of the PIN change with each login.
 * CV_UNAVAILABLE and as cv_rv_status. */
CV_MUST_USE enum cv_status cv_token_read(const struct cv_module *module,
                                         CK_SLOT_ID slot,
                                         struct cv_token_info *out,
                                         struct cv_err *err);

/* Are these the same token (manufacturer, model, serial, label, by the raw
 * fields)? */
bool cv_token_same(const struct cv_token_info *a,
                   const struct cv_token_info *b);

/* What a token's PIN is remembered under: "manufacturer|model|serial" of the
 * cleaned texts, with '|', '%' and control characters percent-encoded. A token
 * that is initialised anew gets another serial number in most modules. */
#define CV_TOKEN_IDENTITY_LEN 256
const char *cv_token_identity(const struct cv_token_info *token,
                              char out[CV_TOKEN_IDENTITY_LEN]);

/* Does the token have this mechanism with all of `flags` (CKF_SIGN ...)? `info`
 * may be NULL. A module that fails to answer has it not. */
bool cv_token_has(const struct cv_module *module, CK_SLOT_ID slot,
                  CK_MECHANISM_TYPE type, CK_FLAGS flags,
                  CK_MECHANISM_INFO *info);

/* All mechanisms, at most `max`. CV_UNAVAILABLE and as cv_rv_status. */
CV_MUST_USE enum cv_status cv_token_mechanisms(const struct cv_module *module,
                                               CK_SLOT_ID slot,
                                               CK_MECHANISM_TYPE *out,
                                               size_t max, size_t *n,
                                               struct cv_err *err);

#endif
