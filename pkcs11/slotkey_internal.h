/* What the two halves of a token's slot agree on. */
#ifndef CERTVAULT_PKCS11_SLOTKEY_INTERNAL_H
#define CERTVAULT_PKCS11_SLOTKEY_INTERNAL_H

#include "pkcs11/slotkey.h"
#include "vault/base/limits.h"

#include <openssl/evp.h>

#define SLOTKEY_RSA_BITS_MIN 2048
#define SLOTKEY_RSA_BITS_MAX 4096
#define SLOTKEY_POINT_MAX 97 /* P-384 */
#define SLOTKEY_INFO "certvault token slot 1"

/* A public key that slots may rest on; NULL (and `err`): it is none. */
EVP_PKEY *cv_slotkey_public(struct cv_bytes spki, struct cv_err *err);

/* Does `form` go with this key? */
bool cv_slotkey_fits(const EVP_PKEY *key, enum cv_slotkey_form form);

/* The key's own point (0x04, x, y), SLOTKEY_POINT_MAX bytes of room; 0: none.
 */
size_t cv_slotkey_point(const EVP_PKEY *key, uint8_t *out);

/* The secret out of what both sides of an ECDH know: HKDF-SHA256 of `shared`,
 * salt: SHA-256 of the point used once and of the token's, info
 * SLOTKEY_INFO. `out` is CV_SLOTKEY_SECRET_LEN bytes. */
bool cv_slotkey_kdf(struct cv_bytes shared, struct cv_bytes once,
                    struct cv_bytes own, uint8_t *out);

#endif
