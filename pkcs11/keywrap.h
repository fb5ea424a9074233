/* AES key wrap in software, by libcrypto: what the token's own wrapping is
 * compared with, and what a key goes into a token in.
 *
 * All of it is secret and lives in the caller's arena. Nothing blocks. */
#ifndef CERTVAULT_PKCS11_KEYWRAP_H
#define CERTVAULT_PKCS11_KEYWRAP_H

#include "vault/base/arena.h"

#define CV_KEYWRAP_KEY_LEN 32 /* AES-256 */

enum cv_keywrap_form {
    CV_KEYWRAP_PLAIN,  /* RFC 3394 (CKM_AES_KEY_WRAP); what goes in is padded
                          with zeros to a multiple of 8 */
    CV_KEYWRAP_PADDED, /* RFC 5649 (CKM_AES_KEY_WRAP_PAD in SoftHSM, KWP) */
    CV_KEYWRAP_PKCS7,  /* RFC 3394 of what PKCS #7 padded to 8: NSS's reading
                          of CKM_AES_KEY_WRAP_PAD */
    CV_KEYWRAP_CBC,    /* AES-CBC with PKCS #7 padding, an IV of zeros */
    CV_KEYWRAP_FORMS
};

/* Wraps `plain` under `key` (CV_KEYWRAP_KEY_LEN bytes). *out is in `arena`.
 * CV_INVALID: it is empty or longer than CV_LIMIT_KEY_DER; CV_INTERNAL. */
CV_MUST_USE enum cv_status
cv_keywrap_wrap(enum cv_keywrap_form form, const uint8_t *key,
                struct cv_bytes plain, struct cv_arena *arena,
                struct cv_bytes *out, struct cv_err *err);

/* Opens what a token wrapped. *out is in `arena`; with CV_KEYWRAP_PLAIN it may
 * end in zeros. False: it is not that form under that key (or memory is
 * gone). */
bool cv_keywrap_unwrap(enum cv_keywrap_form form, const uint8_t *key,
                       struct cv_bytes wrapped, struct cv_arena *arena,
                       struct cv_bytes *out);

/* CV_KEYWRAP_KEY_LEN random bytes in `arena`; NULL: as cv_arena_alloc. */
CV_MUST_USE uint8_t *cv_keywrap_key(struct cv_arena *arena, struct cv_err *err);

#endif
