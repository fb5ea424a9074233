#include "vault/seal/slot.h"

#include "vault/base/clock.h"
#include "vault/seal/seal_internal.h"
#include "vault/seal/slot_internal.h"

#include <string.h>

#define SCRATCH CV_KIB(64)

static const char *const kinds[CV_SLOT_KIND_COUNT] = {
    [CV_SLOT_PASSPHRASE] = "passphrase", [CV_SLOT_FILE] = "file",
    [CV_SLOT_CREDENTIAL] = "credential", [CV_SLOT_RECOVERY] = "recovery",
    [CV_SLOT_TOKEN] = "token",
};

const char *cv_slot_kind_name(enum cv_slot_kind kind)
{
    return (size_t)kind < CV_SLOT_KIND_COUNT ? kinds[kind] : "unknown";
}

enum cv_status cv_slot_kind_read(const char *word, enum cv_slot_kind *out,
                                 struct cv_err *err)
{
    size_t i;

    for (i = 0; i < CV_SLOT_KIND_COUNT; i++) {
        if (strcmp(word, kinds[i]) == 0) {
            *out = (enum cv_slot_kind)i;
            return CV_OK;
        }
    }
    return cv_fail(err, CV_INVALID,
                   "a key slot is of kind passphrase, file, credential, "
                   "recovery or token");
}

enum cv_status cv_slot_read(const cJSON *record, enum cv_slot_kind *kind,
                            const char **id, struct cv_err *err)
{
    struct slot_record r;
    enum cv_status s = cv_slot_record_read(record, &r, err);

    if (s == CV_OK) {
        *kind = r.kind;
        *id = r.id;
    }
    return s;
}

/* The record's parts as the head says, with a salt and a nonce of its own. */
static void begin(const struct cv_slot_head *head, enum cv_slot_kind kind,
                  char created[CV_CLOCK_TEXT_LEN], struct slot_record *r)
{
    int64_t t = head->created_s != 0 ? head->created_s : cv_clock_now_s();

    memset(r, 0, sizeof(*r));
    r->kind = kind;
    r->id = head->id;
    r->created = cv_clock_format(t, created);
    r->path = head->path;
    r->name = head->name;
    r->token = head->token;
    r->kdf.cost.passes = CV_SLOT_PASSES;
    r->kdf.cost.memory_kib = CV_SLOT_MEMORY_KIB;
    if (head->cost != NULL) {
        r->kdf.cost = *head->cost;
    }
    randombytes_buf(r->kdf.salt, sizeof(r->kdf.salt));
    randombytes_buf(r->nonce, sizeof(r->nonce));
}

/* Encrypts the box key's secret half into r->box. */
static enum cv_status encrypt(const cJSON *json,
                              const struct cv_slot_head *head,
                              const struct cv_box_pair *pair,
                              const uint8_t *kek, struct slot_record *r,
                              struct cv_err *err)
{
    struct cv_buf header;
    enum cv_status s;

    cv_buf_init(&header, NULL, SLOT_RECORD_MAX);
    s = cv_slot_record_header(json, head->vault_id, pair->public_key, &header,
                              err);
    if (s == CV_OK) {
        (void)crypto_aead_xchacha20poly1305_ietf_encrypt(
            r->box, NULL, pair->secret_key, CV_BOX_KEY_LEN, header.data,
            header.len, NULL, r->nonce, kek);
    }
    cv_buf_wipe(&header);
    return s;
}

enum cv_status cv_slot_wrap(const struct cv_slot_head *head,
                            const struct cv_slot_secret *secret,
                            const struct cv_box_pair *pair, cJSON **record,
                            struct cv_err *err)
{
    char created[CV_CLOCK_TEXT_LEN];
    struct cv_arena *scratch = NULL;
    const uint8_t *kek = NULL;
    struct slot_record r;
    enum cv_status s;
    cJSON *json = NULL;

    *record = NULL;
    begin(head, secret->kind, created, &r);
    if ((s = cv_slot_record_check(&r, err)) != CV_OK ||
        (s = cv_arena_new(SCRATCH, &scratch, err)) != CV_OK ||
        (s = cv_slot_kdf_run(secret, &r.kdf, scratch, &kek, err)) != CV_OK) {
        goto done;
    }
    json = cv_slot_record_new(&r);
    if (json == NULL) {
        s = cv_fail(err, CV_INTERNAL, "memory is gone");
        goto done;
    }
    s = encrypt(json, head, pair, kek, &r, err);
    if (s == CV_OK) {
        s = cv_slot_record_finish(json, &r, err);
    }
done:
    cv_arena_free(scratch);
    if (s != CV_OK) {
        cJSON_Delete(json);
        return s;
    }
    *record = json;
    return CV_OK;
}

static enum cv_status wrong_secret(enum cv_slot_kind kind, struct cv_err *err)
{
    static const char *const texts[CV_SLOT_KIND_COUNT] = {
        [CV_SLOT_PASSPHRASE] = "the passphrase does not open this key slot",
        [CV_SLOT_FILE] = "the key file does not open this key slot",
        [CV_SLOT_CREDENTIAL] = "the credential does not open this key slot",
        [CV_SLOT_RECOVERY] = "the recovery code does not open this key slot",
        [CV_SLOT_TOKEN] = "what the token gave does not open this key slot",
    };

    return cv_fail(err, CV_AUTH, "%s", texts[kind]);
}

/* Decrypts into `arena` and checks that it is the vault's box key. */
static enum cv_status decrypt(const cJSON *record, const struct slot_record *r,
                              const uint8_t vault_id[CV_BOX_ID_LEN],
                              const uint8_t *kek, struct cv_arena *arena,
                              struct cv_box_pair *pair, struct cv_err *err)
{
    uint8_t *secret = cv_arena_alloc(arena, CV_BOX_KEY_LEN, err);
    uint8_t found[CV_BOX_KEY_LEN];
    struct cv_buf header;
    enum cv_status s;

    if (secret == NULL) {
        return seal_failed(err);
    }
    cv_buf_init(&header, NULL, SLOT_RECORD_MAX);
    s = cv_slot_record_header(record, vault_id, pair->public_key, &header, err);
    if (s == CV_OK && crypto_aead_xchacha20poly1305_ietf_decrypt(
                          secret, NULL, NULL, r->box, sizeof(r->box),
                          header.data, header.len, r->nonce, kek) != 0) {
        s = wrong_secret(r->kind, err);
    }
    cv_buf_wipe(&header);
    if (s == CV_OK &&
        (crypto_scalarmult_base(found, secret) != 0 ||
         sodium_memcmp(found, pair->public_key, sizeof(found)) != 0)) {
        sodium_memzero(secret, CV_BOX_KEY_LEN);
        s = cv_fail(err, CV_INTEGRITY,
                    "key slot %s holds another key than the vault's", r->id);
    }
    if (s == CV_OK) {
        pair->secret_key = secret;
    }
    return s;
}

enum cv_status cv_slot_open(const cJSON *record,
                            const uint8_t vault_id[CV_BOX_ID_LEN],
                            const uint8_t public_key[CV_BOX_KEY_LEN],
                            const struct cv_slot_secret *secret,
                            struct cv_arena *arena, struct cv_box_pair *pair,
                            struct cv_err *err)
{
    const uint8_t *kek = NULL;
    struct slot_record r;
    enum cv_status s = cv_slot_record_read(record, &r, err);

    memcpy(pair->public_key, public_key, CV_BOX_KEY_LEN);
    pair->secret_key = NULL;
    if (s != CV_OK) {
        return s;
    }
    if (r.kind != secret->kind) {
        return cv_fail(err, CV_INVALID, "key slot %s is of kind %s, not %s",
                       r.id, cv_slot_kind_name(r.kind),
                       cv_slot_kind_name(secret->kind));
    }
    s = cv_slot_kdf_run(secret, &r.kdf, arena, &kek, err);
    if (s == CV_OK) {
        s = decrypt(record, &r, vault_id, kek, arena, pair, err);
    }
    return s;
}
