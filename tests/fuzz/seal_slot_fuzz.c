/* Key slot records, with a sum that fits (anyone can make one), opened with a
 * secret that opens the first seed of this folder; and recovery codes as they
 * may be typed. Whatever opens must give the vault's own key. */
#include "vault/seal/slot_internal.h"

#include <stdlib.h>
#include <string.h>

/* tests/unit/seal_vectors.py draws these from names. */
static const uint8_t file[32] = {
    0x3e, 0x7f, 0x18, 0x03, 0xa7, 0x26, 0x39, 0x6f, 0x0a, 0x0b, 0x02,
    0x7d, 0x41, 0xfd, 0x59, 0xc9, 0x04, 0x15, 0x52, 0xc9, 0xec, 0xf3,
    0x16, 0x7a, 0x5f, 0xe6, 0x33, 0x72, 0x4b, 0xa5, 0x4f, 0x82};
static const uint8_t vault_id[CV_BOX_ID_LEN] = {
    0xc5, 0x0f, 0x2b, 0xc0, 0x7c, 0x39, 0x45, 0x68,
    0xbe, 0xe5, 0xd2, 0xb2, 0x54, 0xcc, 0x53, 0x67};
static const uint8_t public_key[CV_BOX_KEY_LEN] = {
    0x27, 0x48, 0x22, 0x0b, 0x54, 0x3f, 0x72, 0xee, 0x6a, 0x87, 0xff,
    0xe1, 0xcf, 0xa8, 0x06, 0xc4, 0x95, 0xde, 0x07, 0xdd, 0x20, 0x7c,
    0x16, 0x2d, 0x8b, 0x86, 0x4e, 0xf1, 0xe9, 0x23, 0x58, 0x59};
static const uint8_t secret_key[CV_BOX_KEY_LEN] = {
    0xd0, 0x81, 0x43, 0xc7, 0xe5, 0xb4, 0xb8, 0x70, 0x56, 0x2a, 0x98,
    0x8a, 0x65, 0xe3, 0xaf, 0x32, 0x64, 0xb8, 0x62, 0xec, 0xa2, 0x49,
    0xe9, 0x7d, 0x1e, 0x02, 0xcc, 0x15, 0x03, 0xa7, 0x3a, 0x57};

static void fit_sum(cJSON *record)
{
    uint8_t digest[crypto_hash_sha256_BYTES];
    char hex[17];
    struct cv_buf text;

    cJSON_DeleteItemFromObjectCaseSensitive(record, "sum");
    cv_buf_init(&text, NULL, SLOT_RECORD_MAX);
    cv_json_write(record, CV_JSON_CANONICAL, &text);
    if (text.status == CV_OK) {
        (void)crypto_hash_sha256(digest, text.data, text.len);
        (void)sodium_bin2hex(hex, sizeof(hex), digest, 8);
        if (!cv_json_add_str(record, "sum", hex)) {
            abort();
        }
    }
    cv_buf_wipe(&text);
}

static void open_record(const cJSON *record, struct cv_arena *arena)
{
    struct cv_slot_secret secret = {CV_SLOT_FILE, {file, sizeof(file)}};
    enum cv_slot_kind kind = CV_SLOT_KIND_COUNT;
    const char *id = NULL;
    struct cv_box_pair pair;
    struct cv_err err;

    cv_err_init(&err);
    if (cv_slot_read(record, &kind, &id, &err) != CV_OK) {
        if (err.status != CV_INTEGRITY || err.text[0] == '\0') {
            abort();
        }
        return;
    }
    if (id == NULL || id[0] == '\0' || kind == CV_SLOT_PASSPHRASE) {
        return; /* Argon2id is not what is looked for here */
    }
    secret.kind = kind;
    if (cv_slot_open(record, vault_id, public_key, &secret, arena, &pair,
                     &err) == CV_OK &&
        memcmp(pair.secret_key, secret_key, CV_BOX_KEY_LEN) != 0) {
        abort();
    }
}

static void read_code(struct cv_bytes typed, struct cv_arena *arena)
{
    struct cv_bytes once, twice;

    if (cv_slot_code_read(typed, arena, &once, NULL) == CV_OK &&
        (cv_slot_code_read(once, arena, &twice, NULL) != CV_OK ||
         !cv_bytes_equal(once, twice))) {
        abort();
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct cv_bytes text = {data, size};
    static bool started;
    struct cv_arena *arena = NULL;
    cJSON *json = NULL;

    if (!started) {
        if (cv_arena_start(NULL) != CV_OK) {
            abort();
        }
        cv_json_start();
        started = true;
    }
    if (cv_arena_new(CV_MIB(1), &arena, NULL) != CV_OK) {
        abort();
    }
    if (cv_json_parse(NULL, text, &json, NULL) == CV_OK) {
        open_record(json, arena);
        if (cJSON_IsObject(json)) {
            fit_sum(json);
            open_record(json, arena);
        }
        cJSON_Delete(json);
    }
    read_code(text, arena);
    cv_arena_free(arena);
    return 0;
}
