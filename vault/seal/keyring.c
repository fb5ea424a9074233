#include "vault/seal/keyring.h"

#include "vault/base/limits.h"
#include "vault/seal/keysign.h"
#include "vault/seal/match.h"
#include "vault/seal/purpose.h"
#include "vault/seal/seal_internal.h"
#include "vault/seal/target.h"

#include <sodium.h>
#include <stdlib.h>
#include <string.h>

/* All that an opened key and its PEM take, twice over. */
#define CHECK_ARENA (8 * CV_LIMIT_KEY_DER)

struct cv_keyring {
    uint8_t vault_id[CV_BOX_ID_LEN];
    struct cv_box_pair pair;
    struct cv_arena *arena;   /* holds pair.secret_key alone; NULL: locked */
    struct cv_target *target; /* NULL: none is waiting */
    struct cv_hop *hop;       /* NULL: not asked for yet */
};

enum cv_status cv_keyring_new(struct cv_keyring **out, struct cv_err *err)
{
    *out = calloc(1, sizeof(**out));
    if (*out == NULL) {
        return cv_fail(err, CV_INTERNAL, "memory is gone");
    }
    return CV_OK;
}

void cv_keyring_lock(struct cv_keyring *ring)
{
    cv_arena_free(ring->arena);
    cv_target_free(ring->target);
    cv_hop_free(ring->hop);
    memset(ring, 0, sizeof(*ring));
}

void cv_keyring_free(struct cv_keyring *ring)
{
    if (ring != NULL) {
        cv_keyring_lock(ring);
        free(ring);
    }
}

bool cv_keyring_is_open(const struct cv_keyring *ring)
{
    return ring->arena != NULL;
}

struct cv_hop *cv_keyring_hop(struct cv_keyring *ring, struct cv_err *err)
{
    if (ring->hop == NULL) {
        (void)!cv_hop_new(&ring->hop, err);
    }
    return ring->hop;
}

/* Replaces what is open by `pair`, whose secret half is in `arena`, which the
 * ring takes. */
static void take_over(struct cv_keyring *ring,
                      const uint8_t vault_id[CV_BOX_ID_LEN],
                      const struct cv_box_pair *pair, struct cv_arena *arena)
{
    struct cv_hop *hop = ring->hop; /* it stays: nothing was locked */

    ring->hop = NULL;
    cv_keyring_lock(ring);
    ring->hop = hop;
    memcpy(ring->vault_id, vault_id, CV_BOX_ID_LEN);
    ring->pair = *pair;
    ring->arena = arena;
}

static enum cv_status must_be_open(const struct cv_keyring *ring,
                                   struct cv_err *err)
{
    if (cv_keyring_is_open(ring)) {
        return CV_OK;
    }
    (void)cv_fail(err, CV_LOCKED, "the vault is locked");
    cv_err_hint(err, "unlock it first");
    return CV_LOCKED;
}

enum cv_status cv_keyring_create(struct cv_keyring *ring,
                                 const uint8_t vault_id[CV_BOX_ID_LEN],
                                 uint8_t public_key[CV_BOX_KEY_LEN],
                                 struct cv_err *err)
{
    struct cv_arena *arena = NULL;
    struct cv_box_pair pair;
    enum cv_status s;
    uint8_t *secret;

    if (cv_keyring_is_open(ring)) {
        return cv_fail(err, CV_EXISTS, "a vault is open here already");
    }
    s = cv_arena_new(CV_KIB(4), &arena, err);
    if (s != CV_OK) {
        return s;
    }
    secret = cv_arena_alloc(arena, CV_BOX_KEY_LEN, err);
    if (secret == NULL) {
        cv_arena_free(arena);
        return seal_failed(err);
    }
    (void)crypto_box_keypair(pair.public_key, secret);
    pair.secret_key = secret;
    memcpy(public_key, pair.public_key, CV_BOX_KEY_LEN);
    take_over(ring, vault_id, &pair, arena);
    return CV_OK;
}

static enum cv_status none_opened(enum cv_slot_kind kind, bool any,
                                  struct cv_err *err)
{
    static const char *const nouns[CV_SLOT_KIND_COUNT] = {
        [CV_SLOT_PASSPHRASE] = "passphrase",
        [CV_SLOT_FILE] = "key file",
        [CV_SLOT_CREDENTIAL] = "credential",
        [CV_SLOT_RECOVERY] = "recovery code",
        [CV_SLOT_TOKEN] = "token",
    };

    if (any) {
        (void)cv_fail(err, CV_AUTH, "the %s opens none of the vault's slots",
                      nouns[kind]);
        cv_err_hint(err, "try again, or open the vault by another slot "
                         "(`certvault slot list` names them)");
    } else {
        (void)cv_fail(err, CV_AUTH, "the vault has no key slot of kind %s",
                      cv_slot_kind_name(kind));
        cv_err_hint(err, "`certvault slot list` names those that it has");
    }
    return CV_AUTH;
}

/* Tries the slots of the secret's kind in turn. *slot is the one that opened;
 * failures other than "wrong secret" of a single slot are kept in `worst`. */
static enum cv_status
try_slots(const cJSON *slots, const uint8_t vault_id[CV_BOX_ID_LEN],
          const uint8_t public_key[CV_BOX_KEY_LEN],
          const struct cv_slot_secret *secret, struct cv_arena *arena,
          struct cv_box_pair *pair, const char **slot_id, struct cv_err *err)
{
    enum cv_status s = CV_AUTH, bad = CV_OK;
    struct cv_err why, first;
    const cJSON *record;
    bool any = false;
    size_t n = 0;

    cv_err_init(&first);
    cJSON_ArrayForEach(record, slots)
    {
        enum cv_slot_kind kind = CV_SLOT_KIND_COUNT;

        cv_err_init(&why);
        if (++n > CV_LIMIT_SLOTS) {
            return cv_fail(err, CV_INTEGRITY,
                           "the vault has more than %d key slots",
                           CV_LIMIT_SLOTS);
        }
        s = cv_slot_read(record, &kind, slot_id, &why);
        if (s == CV_OK && kind != secret->kind) {
            continue;
        }
        any = any || s == CV_OK;
        if (s == CV_OK) {
            s = cv_slot_open(record, vault_id, public_key, secret, arena, pair,
                             &why);
        }
        if (s == CV_OK) {
            return CV_OK;
        }
        if (s != CV_AUTH && bad == CV_OK) {
            bad = s;
            first = why;
        }
        if (s != CV_AUTH && s != CV_INTEGRITY) {
            break; /* the secret itself, or memory: no slot will differ */
        }
    }
    *slot_id = NULL;
    if (bad != CV_OK) {
        if (err != NULL) {
            *err = first;
        }
        return bad;
    }
    return none_opened(secret->kind, any, err);
}

enum cv_status cv_keyring_target(struct cv_keyring *ring,
                                 uint8_t public_key[CV_BOX_KEY_LEN],
                                 struct cv_err *err)
{
    enum cv_status s;

    cv_target_free(ring->target);
    s = cv_target_new(&ring->target, err);
    if (s == CV_OK) {
        memcpy(public_key, cv_target_pair(ring->target)->public_key,
               CV_BOX_KEY_LEN);
    }
    return s;
}

/* What a token gave back came sealed to the key that waits here. */
static enum cv_status unseal(struct cv_keyring *ring,
                             struct cv_slot_secret *secret,
                             struct cv_arena *arena, struct cv_err *err)
{
    enum cv_status s;

    if (secret->kind != CV_SLOT_TOKEN) {
        return CV_OK;
    }
    if (ring->target == NULL) {
        return cv_fail(err, CV_INVALID, "no key waits for a token's secret");
    }
    s = cv_target_open(ring->target, secret->bytes, arena, &secret->bytes, err);
    cv_target_free(ring->target);
    ring->target = NULL;
    return s;
}

enum cv_status
cv_keyring_open(struct cv_keyring *ring, const uint8_t vault_id[CV_BOX_ID_LEN],
                const uint8_t public_key[CV_BOX_KEY_LEN], const cJSON *slots,
                const struct cv_slot_secret *secret, struct cv_arena *scratch,
                const char **slot_id, struct cv_err *err)
{
    struct cv_slot_secret bare = *secret;
    struct cv_arena *arena = NULL;
    struct cv_box_pair pair;
    enum cv_status s;

    *slot_id = NULL;
    s = unseal(ring, &bare, scratch, err);
    if (s == CV_OK) {
        s = try_slots(slots, vault_id, public_key, &bare, scratch, &pair,
                      slot_id, err);
    }
    if (s != CV_OK || (s = cv_arena_new(CV_KIB(4), &arena, err)) != CV_OK) {
        return s;
    }
    pair.secret_key = (const uint8_t *)cv_arena_copy(arena, pair.secret_key,
                                                     CV_BOX_KEY_LEN, err);
    if (pair.secret_key == NULL) {
        cv_arena_free(arena);
        return seal_failed(err);
    }
    take_over(ring, vault_id, &pair, arena);
    return CV_OK;
}

enum cv_status cv_keyring_wrap(struct cv_keyring *ring,
                               struct cv_slot_head *head,
                               const struct cv_slot_secret *secret,
                               cJSON **record, struct cv_err *err)
{
    enum cv_status s = must_be_open(ring, err);

    *record = NULL;
    if (s != CV_OK) {
        return s;
    }
    memcpy(head->vault_id, ring->vault_id, CV_BOX_ID_LEN);
    return cv_slot_wrap(head, secret, &ring->pair, record, err);
}

enum cv_status cv_keyring_recovery(struct cv_keyring *ring, const char *id,
                                   struct cv_arena *arena, cJSON **record,
                                   struct cv_bytes *code, struct cv_err *err)
{
    struct cv_slot_secret secret = {.kind = CV_SLOT_RECOVERY};
    struct cv_slot_head head = {.id = id};
    enum cv_status s = must_be_open(ring, err);

    *record = NULL;
    *code = secret.bytes;
    if (s == CV_OK) {
        s = cv_slot_code_make(arena, &secret.bytes, err);
    }
    if (s == CV_OK) {
        s = cv_keyring_wrap(ring, &head, &secret, record, err);
    }
    if (s == CV_OK) {
        *code = secret.bytes;
    }
    return s;
}

/* Opens a sealed key into `arena` and checks all that must hold. */
static enum cv_status open_key(struct cv_keyring *ring,
                               const struct cv_keyring_sealed *key,
                               struct cv_arena *arena, struct cv_bytes *der,
                               struct cv_err *err)
{
    enum cv_status s = must_be_open(ring, err);

    if (s != CV_OK) {
        return s;
    }
    if (sodium_memcmp(key->binding.vault_id, ring->vault_id, CV_BOX_ID_LEN) !=
        0) {
        return cv_fail(err, CV_INTEGRITY,
                       "the key belongs to another vault than the open one");
    }
    s = cv_box_open(&ring->pair, &key->binding, key->sealed, arena, der, err);
    if (s == CV_OK) {
        s = cv_match_key(*der, key->certificate, key->binding.spki_sha256, err);
    }
    return s;
}

enum cv_status cv_keyring_check(struct cv_keyring *ring,
                                const struct cv_keyring_sealed *key,
                                const uint8_t digest[CV_BOX_DIGEST_LEN],
                                struct cv_err *err)
{
    uint8_t found[CV_BOX_DIGEST_LEN];
    struct cv_arena *arena = NULL;
    struct cv_bytes der = {NULL, 0};
    enum cv_status s = cv_arena_new(CHECK_ARENA, &arena, err);

    if (s == CV_OK) {
        s = open_key(ring, key, arena, &der, err);
    }
    if (s == CV_OK && digest != NULL) {
        cv_box_digest(der, found);
        if (sodium_memcmp(found, digest, sizeof(found)) != 0) {
            s = cv_fail(err, CV_INTEGRITY,
                        "the sealed key is not the one that was read");
        }
    }
    cv_arena_free(arena);
    return s;
}

enum cv_status cv_keyring_export(struct cv_keyring *ring,
                                 const struct cv_keyring_sealed *key,
                                 struct cv_arena *arena, struct cv_bytes *pem,
                                 struct cv_err *err)
{
    struct cv_bytes der = {NULL, 0};
    enum cv_status s = open_key(ring, key, arena, &der, err);

    pem->data = NULL;
    pem->len = 0;
    return s == CV_OK ? cv_match_pem(der, arena, pem, err) : s;
}

enum cv_status cv_keyring_sign(struct cv_keyring *ring,
                               const struct cv_keyring_sealed *key,
                               const char *purpose, const char *algorithm,
                               struct cv_bytes data, struct cv_buf *out,
                               struct cv_err *err)
{
    struct cv_arena *arena = NULL;
    struct cv_bytes der = {NULL, 0};
    enum cv_status s = cv_purpose_check(purpose, algorithm, data,
                                        key->binding.spki_sha256, err);

    if (s == CV_OK) {
        s = cv_arena_new(CHECK_ARENA, &arena, err);
    }
    if (s == CV_OK) {
        s = open_key(ring, key, arena, &der, err);
    }
    if (s == CV_OK) {
        s = cv_keysign_data(der, algorithm, data, out, err);
    }
    cv_arena_free(arena);
    return s;
}

enum cv_status cv_keyring_key(struct cv_keyring *ring,
                              const struct cv_keyring_sealed *key,
                              struct cv_arena *arena, struct cv_bytes *key_der,
                              struct cv_err *err)
{
    return open_key(ring, key, arena, key_der, err);
}

enum cv_status cv_keyring_seal(struct cv_keyring *ring,
                               struct cv_box_binding *binding,
                               struct cv_bytes key_der,
                               struct cv_arena *scratch, struct cv_buf *out,
                               struct cv_err *err)
{
    enum cv_status s = must_be_open(ring, err);

    if (s == CV_OK) {
        memcpy(binding->vault_id, ring->vault_id, CV_BOX_ID_LEN);
        s = cv_box_seal(ring->pair.public_key, binding, key_der, scratch, out,
                        err);
    }
    return s;
}

enum cv_status cv_keyring_unseal(struct cv_keyring *ring,
                                 struct cv_box_binding *binding,
                                 struct cv_bytes sealed, struct cv_arena *arena,
                                 struct cv_bytes *out, struct cv_err *err)
{
    enum cv_status s = must_be_open(ring, err);

    *out = (struct cv_bytes){NULL, 0};
    if (s == CV_OK) {
        memcpy(binding->vault_id, ring->vault_id, CV_BOX_ID_LEN);
        s = cv_box_open(&ring->pair, binding, sealed, arena, out, err);
    }
    return s;
}
