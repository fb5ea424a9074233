/* The record's form: read, checked, made. */
#include "vault/base/clock.h"
#include "vault/base/encode.h"
#include "vault/seal/slot_internal.h"

#include <string.h>

#define FORMAT "certvault key slot"
#define ARGON2ID "argon2id"
#define BLAKE2B "blake2b"

/* The sum tells a damaged record from a wrong secret; it keeps out nobody. */
#define SUM_LEN 8
#define SUM_TEXT_LEN (2 * SUM_LEN)

/* [A-Za-z0-9._-], 1 to `max`. */
static bool is_word(const char *text, size_t max)
{
    size_t n = strspn(text, "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
                            "abcdefghijklmnopqrstuvwxyz0123456789._-");

    return n > 0 && n <= max && text[n] == '\0';
}

static bool is_time(const char *text)
{
    char again[CV_CLOCK_TEXT_LEN];
    int64_t t;

    return cv_clock_parse(text, &t, NULL) == CV_OK &&
           strcmp(cv_clock_format(t, again), text) == 0;
}

/* What a token needs to give the secret back; all of it texts. */
static enum cv_status check_token(const cJSON *token, struct cv_err *err)
{
    const char *uri = NULL, *spki = NULL, *form = NULL, *data = NULL;
    const struct cv_json_field fields[] = {
        {"uri", CV_JSON_STRING, true, &uri, CV_LIMIT_URL},
        {"spki", CV_JSON_STRING, true, &spki, CV_SLOT_SPKI_MAX},
        {"form", CV_JSON_STRING, true, &form, CV_SLOT_FORM_MAX},
        {"data", CV_JSON_STRING, true, &data, CV_SLOT_DATA_MAX},
    };
    enum cv_status s =
        cv_json_read(token, "a key slot's token", fields,
                     sizeof(fields) / sizeof(fields[0]), true, err);

    if (s == CV_OK &&
        (strncmp(uri, "pkcs11:", 7) != 0 || !is_word(form, CV_SLOT_FORM_MAX))) {
        s = cv_fail(err, CV_INVALID, "a key slot's token is not well formed");
    }
    return s;
}

enum cv_status cv_slot_record_check(const struct slot_record *r,
                                    struct cv_err *err)
{
    bool file = r->kind == CV_SLOT_FILE;
    bool credential = r->kind == CV_SLOT_CREDENTIAL;

    if (r->id == NULL || !is_word(r->id, CV_SLOT_ID_MAX)) {
        return cv_fail(err, CV_INVALID, "a key slot's id is not well formed");
    }
    if (file != (r->path != NULL) ||
        (file && (r->path[0] != '/' || strlen(r->path) > CV_SLOT_PATH_MAX))) {
        return cv_fail(err, CV_INVALID,
                       "a key slot names an absolute path if it is of kind "
                       "file, and only then");
    }
    if (credential != (r->name != NULL) ||
        (credential && !is_word(r->name, CV_SLOT_NAME_MAX))) {
        return cv_fail(err, CV_INVALID,
                       "a key slot names a credential if it is of that kind, "
                       "and only then");
    }
    if ((r->kind == CV_SLOT_TOKEN) != (r->token != NULL)) {
        return cv_fail(err, CV_INVALID,
                       "a key slot names a token if it is of that kind, and "
                       "only then");
    }
    if (r->token != NULL) {
        enum cv_status s = check_token(r->token, err);

        if (s != CV_OK) {
            return s;
        }
    }
    if (!is_time(r->created)) {
        return cv_fail(err, CV_INVALID, "a key slot's time is not well formed");
    }
    if (r->kind == CV_SLOT_PASSPHRASE && !cv_slot_kdf_allowed(&r->kdf.cost)) {
        return cv_fail(err, CV_INVALID,
                       "a key slot asks for more or less of Argon2id than is "
                       "allowed");
    }
    return CV_OK;
}

/* A copy of `json` without the members that are not part of `what` is made of:
 * the heap's, whatever is in use. NULL: memory is gone. */
static cJSON *copy_without(const cJSON *json, const char *const *keys)
{
    cJSON *copy = cJSON_Duplicate(json, true);

    for (; copy != NULL && *keys != NULL; keys++) {
        cJSON_DeleteItemFromObjectCaseSensitive(copy, *keys);
    }
    return copy;
}

static bool sum(const cJSON *json, char out[SUM_TEXT_LEN + 1])
{
    static const char *const without[] = {"sum", NULL};
    struct cv_arena *before = cv_json_use(NULL);
    cJSON *copy = copy_without(json, without);
    uint8_t digest[crypto_hash_sha256_BYTES];
    struct cv_buf text;
    bool ok;

    cv_buf_init(&text, NULL, SLOT_RECORD_MAX);
    if (copy != NULL) {
        cv_json_write(copy, CV_JSON_CANONICAL, &text);
    }
    ok = copy != NULL && text.status == CV_OK;
    if (ok) {
        (void)crypto_hash_sha256(digest, text.data, text.len);
        (void)sodium_bin2hex(out, SUM_TEXT_LEN + 1, digest, SUM_LEN);
    }
    cv_buf_wipe(&text);
    cJSON_Delete(copy);
    (void)cv_json_use(before);
    return ok;
}

static enum cv_status read_kdf(const cJSON *json, enum cv_slot_kind kind,
                               struct slot_kdf *out, struct cv_err *err)
{
    const bool pass = kind == CV_SLOT_PASSPHRASE;
    const char *alg = NULL, *salt = NULL;
    const struct cv_json_field fields[] = {
        {"alg", CV_JSON_STRING, true, &alg, 16},
        {"salt", CV_JSON_STRING, true, &salt, 64},
        {"passes", CV_JSON_INT, true, &out->cost.passes, 0},
        {"memory_kib", CV_JSON_INT, true, &out->cost.memory_kib, 0},
    };
    enum cv_status s =
        cv_json_read(json, "a key slot's kdf", fields, pass ? 4 : 2, true, err);

    if (s == CV_OK && strcmp(alg, pass ? ARGON2ID : BLAKE2B) != 0) {
        s = cv_fail(err, CV_INVALID,
                    "a key slot's key derivation is not known here");
    }
    if (s == CV_OK) {
        s = cv_decode_base64_exact(salt, "a key slot's salt", out->salt,
                                   sizeof(out->salt), err);
    }
    return s;
}

/* Text by text; what is wrong is CV_INVALID here. */
static enum cv_status read_members(const cJSON *json, struct slot_record *out,
                                   const char **written_sum, struct cv_err *err)
{
    const char *kind = NULL, *nonce = NULL, *box = NULL;
    const cJSON *kdf = NULL;
    int64_t version = 0;
    const struct cv_json_field fields[] = {
        {"v", CV_JSON_INT, true, &version, 0},
        {"id", CV_JSON_STRING, true, &out->id, CV_SLOT_ID_MAX},
        {"kind", CV_JSON_STRING, true, &kind, 16},
        {"created", CV_JSON_STRING, true, &out->created, CV_CLOCK_TEXT_LEN},
        {"path", CV_JSON_STRING, false, &out->path, CV_SLOT_PATH_MAX},
        {"name", CV_JSON_STRING, false, &out->name, CV_SLOT_NAME_MAX},
        {"token", CV_JSON_OBJECT, false, &out->token, 0},
        {"kdf", CV_JSON_OBJECT, true, &kdf, 0},
        {"nonce", CV_JSON_STRING, true, &nonce, 64},
        {"box", CV_JSON_STRING, true, &box, 128},
        {"sum", CV_JSON_STRING, true, written_sum, SUM_TEXT_LEN},
    };
    const cJSON *v = cJSON_GetObjectItemCaseSensitive(json, "v");
    enum cv_status s;

    if (cJSON_IsNumber(v) && v->valuedouble != SLOT_VERSION) {
        (void)cv_fail(err, CV_INVALID,
                      "a key slot has a format version that is not known "
                      "here");
        cv_err_hint(err, "a newer certvault may have made it");
        return CV_INVALID;
    }
    s = cv_json_read(json, "a key slot", fields,
                     sizeof(fields) / sizeof(fields[0]), true, err);
    if (s != CV_OK || (s = cv_slot_kind_read(kind, &out->kind, err)) != CV_OK ||
        (s = read_kdf(kdf, out->kind, &out->kdf, err)) != CV_OK ||
        (s = cv_decode_base64_exact(nonce, "a key slot's nonce", out->nonce,
                                    sizeof(out->nonce), err)) != CV_OK ||
        (s = cv_decode_base64_exact(box, "a key slot's box", out->box,
                                    sizeof(out->box), err)) != CV_OK) {
        return s;
    }
    return cv_slot_record_check(out, err);
}

enum cv_status cv_slot_record_read(const cJSON *json, struct slot_record *out,
                                   struct cv_err *err)
{
    const char *written = NULL;
    char found[SUM_TEXT_LEN + 1];
    enum cv_status s;

    memset(out, 0, sizeof(*out));
    if (!cJSON_IsObject(json)) {
        return cv_fail(err, CV_INTEGRITY, "a key slot is not an object");
    }
    s = read_members(json, out, &written, err);
    if (s == CV_INVALID) {
        /* it is the vault's own record: not someone's bad input */
        if (err != NULL) {
            err->status = CV_INTEGRITY;
        }
        return CV_INTEGRITY;
    }
    if (s != CV_OK) {
        return s;
    }
    if (!sum(json, found)) {
        return cv_fail(err, CV_INTERNAL, "memory is gone");
    }
    if (strcmp(found, written) != 0) {
        (void)cv_fail(err, CV_INTEGRITY, "key slot %s is damaged", out->id);
        cv_err_hint(err, "open the vault by another slot, or restore it from "
                         "a backup");
        return CV_INTEGRITY;
    }
    return CV_OK;
}

static cJSON *new_kdf(const struct slot_record *r)
{
    const struct cv_bytes salt = {r->kdf.salt, sizeof(r->kdf.salt)};
    const bool pass = r->kind == CV_SLOT_PASSPHRASE;
    cJSON *kdf = cJSON_CreateObject();
    bool ok = kdf != NULL &&
              cv_json_add_str(kdf, "alg", pass ? ARGON2ID : BLAKE2B) &&
              cv_json_add_base64(kdf, "salt", salt);

    if (ok && pass) {
        ok = cv_json_add_int(kdf, "passes", r->kdf.cost.passes) &&
             cv_json_add_int(kdf, "memory_kib", r->kdf.cost.memory_kib);
    }
    if (!ok) {
        cJSON_Delete(kdf);
        return NULL;
    }
    return kdf;
}

cJSON *cv_slot_record_new(const struct slot_record *r)
{
    cJSON *kdf = new_kdf(r), *json = cJSON_CreateObject();

    if (kdf == NULL || json == NULL ||
        !cv_json_add_int(json, "v", SLOT_VERSION) ||
        !cv_json_add_str(json, "id", r->id) ||
        !cv_json_add_str(json, "kind", cv_slot_kind_name(r->kind)) ||
        !cv_json_add_str(json, "created", r->created) ||
        !cv_json_add_str(json, "path", r->path) ||
        !cv_json_add_str(json, "name", r->name) ||
        (r->token != NULL &&
         !cv_json_add_item(json, "token", cJSON_Duplicate(r->token, true)))) {
        cJSON_Delete(kdf);
        cJSON_Delete(json);
        return NULL;
    }
    if (!cv_json_add_item(json, "kdf", kdf)) {
        cJSON_Delete(json);
        return NULL;
    }
    return json;
}

enum cv_status cv_slot_record_finish(cJSON *json, const struct slot_record *r,
                                     struct cv_err *err)
{
    const struct cv_bytes nonce = {r->nonce, sizeof(r->nonce)};
    const struct cv_bytes box = {r->box, sizeof(r->box)};
    char text[SUM_TEXT_LEN + 1];

    if (!cv_json_add_base64(json, "nonce", nonce) ||
        !cv_json_add_base64(json, "box", box) || !sum(json, text) ||
        !cv_json_add_str(json, "sum", text)) {
        return cv_fail(err, CV_INTERNAL, "memory is gone");
    }
    return CV_OK;
}

enum cv_status cv_slot_record_header(const cJSON *json,
                                     const uint8_t vault_id[CV_BOX_ID_LEN],
                                     const uint8_t public_key[CV_BOX_KEY_LEN],
                                     struct cv_buf *out, struct cv_err *err)
{
    static const char *const without[] = {"nonce", "box", "sum", NULL};
    const struct cv_bytes vault = {vault_id, CV_BOX_ID_LEN};
    const struct cv_bytes key = {public_key, CV_BOX_KEY_LEN};
    struct cv_arena *before = cv_json_use(NULL);
    cJSON *header = copy_without(json, without);
    bool ok = header != NULL && cv_json_add_str(header, "format", FORMAT) &&
              cv_json_add_hex(header, "vault_id", vault) &&
              cv_json_add_base64(header, "public_key", key);

    if (ok) {
        cv_json_write(header, CV_JSON_CANONICAL, out);
    }
    cJSON_Delete(header);
    (void)cv_json_use(before);
    if (!ok) {
        return cv_fail(err, CV_INTERNAL, "memory is gone");
    }
    return cv_buf_status(out, "a key slot", err);
}
