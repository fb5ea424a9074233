/* What the parts of key slots (slot.c, slot_record.c, slot_kdf.c, slot_code.c)
 * say to each other. */
#ifndef CERTVAULT_SEAL_SLOT_INTERNAL_H
#define CERTVAULT_SEAL_SLOT_INTERNAL_H

#include "vault/base/limits.h"
#include "vault/seal/slot.h"

#include <sodium.h>

#define SLOT_VERSION 1
#define SLOT_SALT_LEN 16
#define SLOT_NONCE_LEN crypto_aead_xchacha20poly1305_ietf_NPUBBYTES
#define SLOT_TAG_LEN crypto_aead_xchacha20poly1305_ietf_ABYTES
#define SLOT_BOX_LEN (CV_BOX_KEY_LEN + SLOT_TAG_LEN)
#define SLOT_KEK_LEN crypto_aead_xchacha20poly1305_ietf_KEYBYTES
#define SLOT_RECORD_MAX CV_KIB(16) /* a record's canonical form */

/* How a secret becomes the key that opens a record. */
struct slot_kdf {
    struct cv_slot_cost cost; /* passphrase only */
    uint8_t salt[SLOT_SALT_LEN];
};

/* A record that was read. Texts are borrowed from it. */
struct slot_record {
    enum cv_slot_kind kind;
    const char *id;
    const char *created;
    const char *path;
    const char *name;
    const cJSON *token;
    struct slot_kdf kdf;
    uint8_t nonce[SLOT_NONCE_LEN];
    uint8_t box[SLOT_BOX_LEN];
};

/* Reads a record strictly, and its sum. CV_INTEGRITY. */
CV_MUST_USE enum cv_status cv_slot_record_read(const cJSON *json,
                                               struct slot_record *out,
                                               struct cv_err *err);

/* Makes a record of all but nonce, box and sum. NULL: memory is gone. */
cJSON *cv_slot_record_new(const struct slot_record *r);

/* Adds nonce, box and sum. CV_INTERNAL. */
CV_MUST_USE enum cv_status cv_slot_record_finish(cJSON *json,
                                                 const struct slot_record *r,
                                                 struct cv_err *err);

/* Appends what the encryption authenticates: all of a record but nonce, box and
 * sum, and what it is for, as canonical JSON. CV_INTERNAL. */
CV_MUST_USE enum cv_status
cv_slot_record_header(const cJSON *json, const uint8_t vault_id[CV_BOX_ID_LEN],
                      const uint8_t public_key[CV_BOX_KEY_LEN],
                      struct cv_buf *out, struct cv_err *err);

/* Are a new record's parts well formed? CV_INVALID. */
CV_MUST_USE enum cv_status cv_slot_record_check(const struct slot_record *r,
                                                struct cv_err *err);

/* The key that `secret` gives, SLOT_KEK_LEN bytes in `arena`. CV_INVALID: the
 * secret cannot be one of its kind; CV_UNAVAILABLE: no memory for Argon2id. */
CV_MUST_USE enum cv_status cv_slot_kdf_run(const struct cv_slot_secret *secret,
                                           const struct slot_kdf *kdf,
                                           struct cv_arena *arena,
                                           const uint8_t **kek,
                                           struct cv_err *err);

/* Does a record or a caller ask for costs that are allowed? */
bool cv_slot_kdf_allowed(const struct cv_slot_cost *cost);

/* A recovery code as it was typed, in its one form: SLOT_CODE_LEN upper-case
 * symbols, in `arena`. CV_INVALID. */
#define SLOT_CODE_LEN 35
CV_MUST_USE enum cv_status cv_slot_code_read(struct cv_bytes typed,
                                             struct cv_arena *arena,
                                             struct cv_bytes *out,
                                             struct cv_err *err);

#endif
