/* The sealed vault as the token process holds it: its id, its box key and, as
 * long as it is unlocked, the key's secret half, in an arena of its own.
 *
 * A keyring is made locked. cv_keyring_create or cv_keyring_open unlock it,
 * cv_keyring_lock wipes the secret. What needs the secret fails with CV_LOCKED
 * meanwhile. Threads: one at a time. */
#ifndef CERTVAULT_SEAL_KEYRING_H
#define CERTVAULT_SEAL_KEYRING_H

#include "vault/seal/hop.h"
#include "vault/seal/slot.h"

struct cv_keyring;

/* A sealed key and what it belongs to; all borrowed. */
struct cv_keyring_sealed {
    struct cv_box_binding binding;
    struct cv_bytes certificate; /* PEM, leaf first */
    struct cv_bytes sealed;
};

/* *out is a locked keyring, NULL on failure (CV_INTERNAL: memory). */
CV_MUST_USE enum cv_status cv_keyring_new(struct cv_keyring **out,
                                          struct cv_err *err);

/* Locks and frees; NULL is fine. */
void cv_keyring_free(struct cv_keyring *ring);

/* The local hop's certificates, which go with the lock; made when they are
 * first asked for, open or not. NULL on failure. */
struct cv_hop *cv_keyring_hop(struct cv_keyring *ring, struct cv_err *err);

/* Makes a new box key for the vault `vault_id` and keeps it open; its public
 * half is copied to `public_key`. CV_EXISTS: one is open already; what arenas
 * fail with. */
CV_MUST_USE enum cv_status
cv_keyring_create(struct cv_keyring *ring,
                  const uint8_t vault_id[CV_BOX_ID_LEN],
                  uint8_t public_key[CV_BOX_KEY_LEN], struct cv_err *err);

/* Opens the box key of `vault_id`, whose public half is `public_key`, by the
 * first of `slots` (an array of records) that has `secret`'s kind and that it
 * fits; *slot_id is that record's id, borrowed from `slots`. `scratch`, for
 * what the secret becomes on the way, is best the arena that it came in. Fails
 * as cv_slot_open does: a slot that cannot be read does not keep another from
 * being tried, but is told (CV_INTEGRITY) when none opened. CV_AUTH: none
 * opened, or there is none of this kind. A secret of kind CV_SLOT_TOKEN is
 * sealed to the key of cv_keyring_target. What was open before stays open on
 * failure and is replaced on success. */
CV_MUST_USE enum cv_status
cv_keyring_open(struct cv_keyring *ring, const uint8_t vault_id[CV_BOX_ID_LEN],
                const uint8_t public_key[CV_BOX_KEY_LEN], const cJSON *slots,
                const struct cv_slot_secret *secret, struct cv_arena *scratch,
                const char **slot_id, struct cv_err *err);

/* A new one-use key (target.h), kept here; its public half. What is sealed to
 * it is the secret of kind CV_SLOT_TOKEN that the next cv_keyring_open takes,
 * which uses it up. What arenas fail with. */
CV_MUST_USE enum cv_status cv_keyring_target(struct cv_keyring *ring,
                                             uint8_t public_key[CV_BOX_KEY_LEN],
                                             struct cv_err *err);

/* Wipes the secret half. */
void cv_keyring_lock(struct cv_keyring *ring);

bool cv_keyring_is_open(const struct cv_keyring *ring);

/* A slot record (see cv_slot_wrap) that lets `secret` open what is open now.
 * head->vault_id is filled in here. CV_LOCKED; what cv_slot_wrap fails
 * with. */
CV_MUST_USE enum cv_status cv_keyring_wrap(struct cv_keyring *ring,
                                           struct cv_slot_head *head,
                                           const struct cv_slot_secret *secret,
                                           cJSON **record, struct cv_err *err);

/* As cv_keyring_wrap, with a recovery code made here, in `arena`. */
CV_MUST_USE enum cv_status
cv_keyring_recovery(struct cv_keyring *ring, const char *id,
                    struct cv_arena *arena, cJSON **record,
                    struct cv_bytes *code, struct cv_err *err);

/* Opens a sealed key and checks that it belongs to its entry and certificate
 * (cv_box_open, cv_match_key) and, where `digest` is not NULL, that
 * cv_box_digest of it is that. CV_LOCKED; CV_INTEGRITY. */
CV_MUST_USE enum cv_status
cv_keyring_check(struct cv_keyring *ring, const struct cv_keyring_sealed *key,
                 const uint8_t digest[CV_BOX_DIGEST_LEN], struct cv_err *err);

/* As cv_keyring_check, and gives the key as PEM (PKCS#8) in `arena`. */
CV_MUST_USE enum cv_status
cv_keyring_export(struct cv_keyring *ring, const struct cv_keyring_sealed *key,
                  struct cv_arena *arena, struct cv_bytes *pem,
                  struct cv_err *err);

/* As cv_keyring_check, and signs `data` for `purpose` by `algorithm`
 * (cv_purpose_check, cv_keysign_data); the signature is appended to `out`. */
CV_MUST_USE enum cv_status
cv_keyring_sign(struct cv_keyring *ring, const struct cv_keyring_sealed *key,
                const char *purpose, const char *algorithm,
                struct cv_bytes data, struct cv_buf *out, struct cv_err *err);

/* The key itself (PKCS#8 DER, in `arena`), checked as by cv_keyring_check. */
CV_MUST_USE enum cv_status cv_keyring_key(struct cv_keyring *ring,
                                          const struct cv_keyring_sealed *key,
                                          struct cv_arena *arena,
                                          struct cv_bytes *key_der,
                                          struct cv_err *err);

/* Opens what cv_box_seal made for the open vault and for `binding` (its
 * vault_id is filled in) and that is no entry's key: no certificate says what
 * it is, so the caller must. *out is in `arena`. CV_LOCKED; CV_INTEGRITY. */
CV_MUST_USE enum cv_status
cv_keyring_unseal(struct cv_keyring *ring, struct cv_box_binding *binding,
                  struct cv_bytes sealed, struct cv_arena *arena,
                  struct cv_bytes *out, struct cv_err *err);

/* Seals a key that was made here to the open vault; binding->vault_id is filled
 * in. As cv_box_seal; CV_LOCKED. */
CV_MUST_USE enum cv_status
cv_keyring_seal(struct cv_keyring *ring, struct cv_box_binding *binding,
                struct cv_bytes key_der, struct cv_arena *scratch,
                struct cv_buf *out, struct cv_err *err);

#endif
