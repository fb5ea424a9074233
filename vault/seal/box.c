/* The sealing half; box_open.c is the other. */
#include "vault/seal/box.h"

#include "vault/seal/box_internal.h"
#include "vault/seal/seal_internal.h"

#include <string.h>

_Static_assert(CV_BOX_DIGEST_LEN == crypto_hash_sha256_BYTES, "SHA-256");

/* The padded frame, in `scratch`; its length in *len. NULL on failure. */
static uint8_t *frame(const struct cv_box_binding *binding,
                      struct cv_bytes key_der, struct cv_arena *scratch,
                      size_t *len, struct cv_err *err)
{
    size_t n = BOX_AT_KEY + key_der.len;
    size_t room = n / BOX_BLOCK * BOX_BLOCK + BOX_BLOCK;
    uint8_t *f = cv_arena_alloc(scratch, room, err);

    if (f == NULL) {
        return NULL;
    }
    memcpy(f, BOX_MAGIC, BOX_MAGIC_LEN);
    memcpy(f + BOX_AT_VAULT, binding->vault_id, CV_BOX_ID_LEN);
    memcpy(f + BOX_AT_ENTRY, binding->entry_id, CV_BOX_ID_LEN);
    memcpy(f + BOX_AT_SPKI, binding->spki_sha256, CV_BOX_DIGEST_LEN);
    f[BOX_AT_LEN] = (uint8_t)(key_der.len >> 24);
    f[BOX_AT_LEN + 1] = (uint8_t)(key_der.len >> 16);
    f[BOX_AT_LEN + 2] = (uint8_t)(key_der.len >> 8);
    f[BOX_AT_LEN + 3] = (uint8_t)key_der.len;
    memcpy(f + BOX_AT_KEY, key_der.data, key_der.len);
    if (sodium_pad(len, f, n, BOX_BLOCK, room) != 0) {
        (void)cv_fail(err, CV_INTERNAL, "a frame could not be padded");
        return NULL;
    }
    return f;
}

enum cv_status cv_box_seal(const uint8_t public_key[CV_BOX_KEY_LEN],
                           const struct cv_box_binding *binding,
                           struct cv_bytes key_der, struct cv_arena *scratch,
                           struct cv_buf *out, struct cv_err *err)
{
    uint8_t *f, *to, unusable;
    size_t len = 0;

    if (key_der.len == 0 || key_der.len > CV_LIMIT_KEY_DER) {
        return cv_fail(err, CV_INVALID,
                       "a key of %zu bytes cannot be sealed (1 to %zu)",
                       key_der.len, CV_LIMIT_KEY_DER);
    }
    f = frame(binding, key_der, scratch, &len, err);
    if (f == NULL) {
        return seal_failed(err);
    }
    to = cv_buf_room(out, 1 + crypto_box_SEALBYTES + len);
    if (to == NULL) {
        return cv_buf_status(out, "the sealed key", err);
    }
    to[0] = BOX_VERSION;
    unusable = crypto_box_seal(to + 1, f, len, public_key) != 0;
    sodium_memzero(f, len);
    if (unusable) {
        return cv_fail(err, CV_INVALID,
                       "the vault's public key cannot be sealed to");
    }
    cv_buf_took(out, 1 + crypto_box_SEALBYTES + len);
    return CV_OK;
}

void cv_box_digest(struct cv_bytes key_der, uint8_t out[CV_BOX_DIGEST_LEN])
{
    (void)crypto_hash_sha256(out, key_der.data, key_der.len);
}
