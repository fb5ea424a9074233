/* Key slots: how a secret that someone has opens the vault's box key.
 *
 * A slot is a record (a JSON object, nothing in it secret) that holds the box
 * key's secret half, encrypted under a key made from one secret: a passphrase
 * (Argon2id), a key file or a systemd credential (32 to 4,096 bytes, BLAKE2b),
 * a recovery code made by cv_slot_code_make, or 32 bytes that a token's key
 * gives back (pkcs11/slotkey.h). Everything in a record, and
 * the vault and public key it is for, is authenticated: a record that was
 * changed, or taken from another vault, opens nothing. The format is in
 * docs/formats.md, "Key slots".
 *
 * A vault has up to CV_LIMIT_SLOTS of them; any one opens it. */
#ifndef CERTVAULT_SEAL_SLOT_H
#define CERTVAULT_SEAL_SLOT_H

#include "vault/base/json.h"
#include "vault/seal/box.h"

enum cv_slot_kind {
    CV_SLOT_PASSPHRASE, /* "passphrase" */
    CV_SLOT_FILE,       /* "file": the record names its path */
    CV_SLOT_CREDENTIAL, /* "credential": the record names it */
    CV_SLOT_RECOVERY,   /* "recovery" */
    CV_SLOT_TOKEN,      /* "token": the record says which key of which token
                           gives the secret back */
    CV_SLOT_KIND_COUNT
};

/* The word of a kind, a literal; and back (CV_INVALID: none of them). */
const char *cv_slot_kind_name(enum cv_slot_kind kind);
CV_MUST_USE enum cv_status
cv_slot_kind_read(const char *word, enum cv_slot_kind *out, struct cv_err *err);

/* A secret as someone gave it; the bytes are borrowed, from an arena. */
struct cv_slot_secret {
    enum cv_slot_kind kind;
    struct cv_bytes bytes;
};

/* What Argon2id costs. */
struct cv_slot_cost {
    int64_t passes;
    int64_t memory_kib;
};
/* libsodium's "moderate": about half a second. */
#define CV_SLOT_PASSES 3
#define CV_SLOT_MEMORY_KIB (256 * 1024)
/* What a record may ask for: it is read before anything in it can be
 * trusted. passes * memory is bounded too, at that of libsodium's
 * "sensitive". */
#define CV_SLOT_PASSES_MAX 16
#define CV_SLOT_MEMORY_KIB_MIN (8 * 1024)
#define CV_SLOT_MEMORY_KIB_MAX (1024 * 1024)
#define CV_SLOT_WORK_KIB_MAX (4 * 1024 * 1024)

/* What a new record says of itself. Texts are borrowed. */
struct cv_slot_head {
    uint8_t vault_id[CV_BOX_ID_LEN];
    const char *id;     /* 1 to 64 of [A-Za-z0-9._-] */
    const char *path;   /* kind file: absolute; else NULL */
    const char *name;   /* kind credential: [A-Za-z0-9._-]; else NULL */
    const cJSON *token; /* kind token: {uri, spki, form, data}, texts; else
                           NULL; borrowed */
    int64_t created_s;  /* seconds since 1970; 0: now */
    const struct cv_slot_cost *cost; /* passphrase; NULL: the default */
};

#define CV_SLOT_ID_MAX 64
#define CV_SLOT_PATH_MAX 4096
#define CV_SLOT_NAME_MAX 255
#define CV_SLOT_SPKI_MAX 1024 /* of a token's key, in base64 */
#define CV_SLOT_FORM_MAX 32
#define CV_SLOT_DATA_MAX                                 \
    1024 /* what the token turns into the secret, base64 \
          */

/* Makes a record by which `secret` opens `pair`. On success *record is a cJSON
 * object made where cv_json_use says (on the heap: the caller deletes it). On
 * failure it is NULL. CV_INVALID: the secret is empty or has a length or form
 * that its kind forbids, or the head is wrong; CV_UNAVAILABLE: no memory for
 * Argon2id. A passphrase takes half a second. */
CV_MUST_USE enum cv_status cv_slot_wrap(const struct cv_slot_head *head,
                                        const struct cv_slot_secret *secret,
                                        const struct cv_box_pair *pair,
                                        cJSON **record, struct cv_err *err);

/* Opens the box key by one record. `public_key` is the vault's. On success
 * pair->secret_key is in `arena`; on failure NULL. What the secret became on
 * the way is in `arena` too: free that soon. CV_AUTH: the secret does not
 * open it (or the record was changed by someone who knew how). CV_INTEGRITY:
 * the record is malformed or damaged, or holds another box key than the
 * vault's. CV_INVALID: the secret is of another kind, or cannot be one of its
 * kind (a mistyped recovery code is told by its check characters).
 * CV_UNAVAILABLE: no memory for Argon2id. A passphrase takes half a second. */
CV_MUST_USE enum cv_status
cv_slot_open(const cJSON *record, const uint8_t vault_id[CV_BOX_ID_LEN],
             const uint8_t public_key[CV_BOX_KEY_LEN],
             const struct cv_slot_secret *secret, struct cv_arena *arena,
             struct cv_box_pair *pair, struct cv_err *err);

/* Reads a record without opening it: that its form is right and it is not
 * damaged, of which kind it is, and its id (borrowed from the record).
 * CV_INTEGRITY. */
CV_MUST_USE enum cv_status cv_slot_read(const cJSON *record,
                                        enum cv_slot_kind *kind,
                                        const char **id, struct cv_err *err);

/* Makes a recovery code in `arena`: 165 random bits and two check characters
 * in Crockford's base32, seven groups of five. When read back, case, blanks
 * and dashes do not matter, O is 0, I and L are 1. */
CV_MUST_USE enum cv_status cv_slot_code_make(struct cv_arena *arena,
                                             struct cv_bytes *code,
                                             struct cv_err *err);

#endif
