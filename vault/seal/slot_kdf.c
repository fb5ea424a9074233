#include "vault/seal/seal_internal.h"
#include "vault/seal/slot_internal.h"

_Static_assert(SLOT_SALT_LEN == crypto_pwhash_SALTBYTES, "Argon2id's salt");
_Static_assert(SLOT_SALT_LEN == crypto_generichash_blake2b_SALTBYTES,
               "BLAKE2b's salt");

/* Sixteen bytes of BLAKE2b's own parameter block, so that the key is of use
 * here alone. */
static const uint8_t personal[crypto_generichash_blake2b_PERSONALBYTES + 1] =
    "certvault slot 1";

bool cv_slot_kdf_allowed(const struct cv_slot_cost *cost)
{
    return cost->passes >= 1 && cost->passes <= CV_SLOT_PASSES_MAX &&
           cost->memory_kib >= CV_SLOT_MEMORY_KIB_MIN &&
           cost->memory_kib <= CV_SLOT_MEMORY_KIB_MAX &&
           cost->passes * cost->memory_kib <= CV_SLOT_WORK_KIB_MAX;
}

static enum cv_status from_passphrase(struct cv_bytes pass,
                                      const struct slot_kdf *kdf, uint8_t *kek,
                                      struct cv_err *err)
{
    if (pass.len == 0 || pass.len > CV_LIMIT_PASSPHRASE) {
        return cv_fail(err, CV_INVALID, "a passphrase has 1 to %d bytes",
                       CV_LIMIT_PASSPHRASE);
    }
    if (crypto_pwhash(kek, SLOT_KEK_LEN, (const char *)pass.data, pass.len,
                      kdf->salt, (unsigned long long)kdf->cost.passes,
                      (size_t)kdf->cost.memory_kib * 1024,
                      crypto_pwhash_ALG_ARGON2ID13) != 0) {
        (void)cv_fail_errno(err, CV_UNAVAILABLE,
                            "checking a passphrase takes %lld MiB of memory, "
                            "which cannot be had",
                            (long long)kdf->cost.memory_kib / 1024);
        cv_err_hint(err, "raise the memory limit or stop something else");
        return CV_UNAVAILABLE;
    }
    return CV_OK;
}

/* For what has its entropy already: files, credentials, recovery codes, what a
 * token gives. */
static void from_random(struct cv_bytes secret, const struct slot_kdf *kdf,
                        uint8_t *kek)
{
    (void)crypto_generichash_blake2b_salt_personal(
        kek, SLOT_KEK_LEN, secret.data, secret.len, NULL, 0, kdf->salt,
        personal);
}

enum cv_status cv_slot_kdf_run(const struct cv_slot_secret *secret,
                               const struct slot_kdf *kdf,
                               struct cv_arena *arena, const uint8_t **kek,
                               struct cv_err *err)
{
    uint8_t *out = cv_arena_alloc(arena, SLOT_KEK_LEN, err);
    struct cv_bytes bytes = secret->bytes;
    enum cv_status s = CV_OK;

    if (out == NULL) {
        return seal_failed(err);
    }
    *kek = out;
    if (secret->kind == CV_SLOT_PASSPHRASE) {
        return from_passphrase(bytes, kdf, out, err);
    }
    if (secret->kind == CV_SLOT_RECOVERY) {
        s = cv_slot_code_read(bytes, arena, &bytes, err);
    } else if (secret->kind == CV_SLOT_TOKEN) {
        s = bytes.len == CV_LIMIT_KEY_FILE_MIN
                ? CV_OK
                : cv_fail(err, CV_INVALID, "a token gives %d bytes",
                          CV_LIMIT_KEY_FILE_MIN);
    } else if (bytes.len < CV_LIMIT_KEY_FILE_MIN ||
               bytes.len > CV_LIMIT_KEY_FILE) {
        s = cv_fail(err, CV_INVALID, "a key %s has %d to %d bytes",
                    secret->kind == CV_SLOT_FILE ? "file" : "credential",
                    CV_LIMIT_KEY_FILE_MIN, CV_LIMIT_KEY_FILE);
    }
    if (s == CV_OK) {
        from_random(bytes, kdf, out);
    }
    return s;
}
