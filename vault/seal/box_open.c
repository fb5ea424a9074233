/* The opening half; box.c is the other. */
#include "vault/seal/box_internal.h"
#include "vault/seal/seal_internal.h"

#include <string.h>

/* What is common to all that is wrong inside: it was sealed to this vault by
 * someone who held its public key, only not as it should be. */
static enum cv_status broken(struct cv_err *err, const char *what)
{
    (void)cv_fail(err, CV_INTEGRITY, "the sealed key %s", what);
    cv_err_hint(err, "restore the vault from a backup, or fetch the "
                     "certificate anew");
    return CV_INTEGRITY;
}

static uint32_t read_u32(const uint8_t *p)
{
    return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 |
           p[3];
}

/* Checks an opened frame of `len` bytes; *key_der then points into it. */
static enum cv_status read_frame(const uint8_t *f, size_t len,
                                 const struct cv_box_binding *binding,
                                 struct cv_bytes *key_der, struct cv_err *err)
{
    size_t n = 0;

    if (len % BOX_BLOCK != 0 || sodium_unpad(&n, f, len, BOX_BLOCK) != 0 ||
        n < BOX_AT_KEY) {
        return broken(err, "is not padded as it should be");
    }
    if (sodium_memcmp(f, BOX_MAGIC, BOX_MAGIC_LEN) != 0) {
        return broken(err, "holds something else than a key");
    }
    if (sodium_memcmp(f + BOX_AT_VAULT, binding->vault_id, CV_BOX_ID_LEN) !=
        0) {
        return broken(err, "was made for another vault");
    }
    if (sodium_memcmp(f + BOX_AT_ENTRY, binding->entry_id, CV_BOX_ID_LEN) !=
        0) {
        return broken(err, "was made for another entry");
    }
    if (sodium_memcmp(f + BOX_AT_SPKI, binding->spki_sha256,
                      CV_BOX_DIGEST_LEN) != 0) {
        return broken(err, "was made for another certificate");
    }
    n -= BOX_AT_KEY;
    if (n == 0 || n > CV_LIMIT_KEY_DER || read_u32(f + BOX_AT_LEN) != n) {
        return broken(err, "has a length that does not fit");
    }
    key_der->data = f + BOX_AT_KEY;
    key_der->len = n;
    return CV_OK;
}

enum cv_status cv_box_open(const struct cv_box_pair *pair,
                           const struct cv_box_binding *binding,
                           struct cv_bytes sealed, struct cv_arena *arena,
                           struct cv_bytes *key_der, struct cv_err *err)
{
    struct cv_bytes found = {NULL, 0};
    enum cv_status s;
    uint8_t *f;
    size_t len;

    *key_der = found;
    if (sealed.len == 0) {
        return broken(err, "is empty");
    }
    if (sealed.data[0] != BOX_VERSION) {
        (void)cv_fail(err, CV_INTEGRITY,
                      "the sealed key has format version %u, which is not "
                      "known here",
                      sealed.data[0]);
        cv_err_hint(err, "a newer certvault may have made it");
        return CV_INTEGRITY;
    }
    if (sealed.len <= 1 + crypto_box_SEALBYTES ||
        sealed.len > 1 + crypto_box_SEALBYTES + BOX_FRAME_MAX) {
        return broken(err, "has a length that none has");
    }
    len = sealed.len - 1 - crypto_box_SEALBYTES;
    f = cv_arena_alloc(arena, len, err);
    if (f == NULL) {
        return seal_failed(err);
    }
    if (crypto_box_seal_open(f, sealed.data + 1, sealed.len - 1,
                             pair->public_key, pair->secret_key) != 0) {
        return broken(err, "does not open: it was changed, or sealed to "
                           "another vault");
    }
    s = read_frame(f, len, binding, &found, err);
    if (s != CV_OK) {
        sodium_memzero(f, len);
        return s;
    }
    *key_der = found;
    return CV_OK;
}
