#include "cli/token_methods.h"

#include "cli/token_methods_internal.h"
#include "cli/token_slot.h"
#include "vault/base/encode.h"
#include "vault/base/limits.h"
#include "vault/seal/note_sign.h"
#include "vault/wire/interface.h"

#include <string.h>

#define BASE64_LEN(n) (((n) + 2) / 3 * 4)
/* The longest secret that any method takes. */
#define SECRET_MAX CV_LIMIT_KEY_FILE
/* What one call decodes and opens. */
#define CALL_ARENA CV_MIB(1)
#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

static enum cv_status no_memory(struct cv_err *err)
{
    return cv_fail(err, CV_INTERNAL, "memory is gone");
}

/* Decodes into `arena`. */
static enum cv_status decode(const char *text, const char *what,
                             struct cv_arena *arena, struct cv_bytes *out,
                             struct cv_err *err)
{
    struct cv_buf buf;
    enum cv_status s;

    cv_buf_init(&buf, arena, CV_LIMIT_SEALED);
    s = cv_decode_base64(text, strlen(text), false, what, &buf, err);
    *out = cv_buf_bytes(&buf);
    return s;
}

/* A SlotSecret. */
struct given {
    struct cv_slot_secret secret;
    const char *path;
    const char *name;
    const cJSON *token; /* a new slot's: {uri, spki, form} */
};

/* `out->secret.bytes` stay empty where a token is to give them. */
static enum cv_status read_secret(const cJSON *key, struct cv_arena *arena,
                                  struct given *out, struct cv_err *err)
{
    const char *kind = NULL, *secret = NULL;
    const struct cv_json_field fields[] = {
        {"kind", CV_JSON_STRING, true, &kind, 16},
        {"secret", CV_JSON_STRING, false, &secret, BASE64_LEN(SECRET_MAX)},
        {"path", CV_JSON_STRING, false, &out->path, CV_SLOT_PATH_MAX},
        {"name", CV_JSON_STRING, false, &out->name, CV_SLOT_NAME_MAX},
        {"token", CV_JSON_OBJECT, false, &out->token, 0},
    };
    enum cv_status s =
        cv_json_read(key, "the secret", fields, COUNT(fields), true, err);

    if (s == CV_OK) {
        s = cv_slot_kind_read(kind, &out->secret.kind, err);
    }
    if (s == CV_OK && (secret == NULL) != (out->token != NULL)) {
        s = cv_fail(err, CV_INVALID,
                    "a slot is opened by a secret or by a "
                    "token");
    }
    if (s == CV_OK && secret != NULL) {
        s = decode(secret, "the secret", arena, &out->secret.bytes, err);
    }
    return s;
}

static enum cv_status create(void *context, const cJSON *parameters,
                             struct cv_reply *reply, struct cv_err *err)
{
    uint8_t vault_id[CV_BOX_ID_LEN], public_key[CV_BOX_KEY_LEN];
    const struct cv_bytes key = {public_key, sizeof(public_key)};
    const char *id = NULL;
    const struct cv_json_field fields[] = {
        {"vault_id", CV_JSON_STRING, true, &id, 0},
    };
    enum cv_status s =
        cv_json_read(parameters, "Create", fields, COUNT(fields), true, err);

    if (s == CV_OK) {
        s = cv_decode_hex_exact(id, "the vault id", vault_id, sizeof(vault_id),
                                err);
    }
    if (s == CV_OK) {
        s = cv_keyring_create(context, vault_id, public_key, err);
    }
    if (s == CV_OK &&
        !cv_json_add_base64(cv_reply_parameters(reply), "public_key", key)) {
        cv_keyring_lock(context);
        s = no_memory(err);
    }
    return s;
}

static enum cv_status open_box(void *context, const cJSON *parameters,
                               struct cv_reply *reply, struct cv_err *err)
{
    uint8_t vault_id[CV_BOX_ID_LEN], public_key[CV_BOX_KEY_LEN];
    const char *id = NULL, *key = NULL, *slot_id = NULL;
    const cJSON *slots = NULL, *secret = NULL;
    const struct cv_json_field fields[] = {
        {"vault_id", CV_JSON_STRING, true, &id, 0},
        {"public_key", CV_JSON_STRING, true, &key, 0},
        {"slots", CV_JSON_ARRAY, true, &slots, 0},
        {"key", CV_JSON_OBJECT, true, &secret, 0},
    };
    struct cv_arena *arena = NULL;
    struct given given = {0};
    enum cv_status s =
        cv_json_read(parameters, "Open", fields, COUNT(fields), true, err);

    if (s != CV_OK ||
        (s = cv_decode_hex_exact(id, "the vault id", vault_id, sizeof(vault_id),
                                 err)) != CV_OK ||
        (s = cv_decode_base64_exact(key, "the vault's public key", public_key,
                                    sizeof(public_key), err)) != CV_OK ||
        (s = cv_arena_new(CALL_ARENA, &arena, err)) != CV_OK) {
        return s;
    }
    s = read_secret(secret, arena, &given, err);
    if (s == CV_OK) {
        s = cv_keyring_open(context, vault_id, public_key, slots, &given.secret,
                            arena, &slot_id, err);
    }
    cv_arena_free(arena);
    if (s == CV_OK &&
        !cv_json_add_str(cv_reply_parameters(reply), "slot_id", slot_id)) {
        s = no_memory(err);
    }
    return s;
}

static enum cv_status wrap(void *context, const cJSON *parameters,
                           struct cv_reply *reply, struct cv_err *err)
{
    const cJSON *secret = NULL;
    struct cv_slot_head head = {0};
    const struct cv_json_field fields[] = {
        {"id", CV_JSON_STRING, true, &head.id, CV_SLOT_ID_MAX},
        {"key", CV_JSON_OBJECT, true, &secret, 0},
    };
    struct cv_arena *arena = NULL;
    struct given given = {0};
    cJSON *record = NULL, *token = NULL;
    enum cv_status s =
        cv_json_read(parameters, "Wrap", fields, COUNT(fields), true, err);

    if (s != CV_OK || (s = cv_arena_new(CALL_ARENA, &arena, err)) != CV_OK) {
        return s;
    }
    s = read_secret(secret, arena, &given, err);
    head.path = given.path;
    head.name = given.name;
    if (s == CV_OK && given.token != NULL) {
        s = cv_token_slot_seal(given.token, arena, &token, &given.secret.bytes,
                               err);
        head.token = token;
    }
    if (s == CV_OK) {
        s = cv_keyring_wrap(context, &head, &given.secret, &record, err);
    }
    cJSON_Delete(token);
    cv_arena_free(arena);
    if (s == CV_OK &&
        !cv_json_add_item(cv_reply_parameters(reply), "slot", record)) {
        s = no_memory(err);
    }
    return s;
}

static enum cv_status target(void *context, const cJSON *parameters,
                             struct cv_reply *reply, struct cv_err *err)
{
    uint8_t public_key[CV_BOX_KEY_LEN];
    const struct cv_bytes key = {public_key, sizeof(public_key)};
    enum cv_status s = cv_json_read(parameters, "Target", NULL, 0, true, err);

    if (s == CV_OK) {
        s = cv_keyring_target(context, public_key, err);
    }
    if (s == CV_OK &&
        !cv_json_add_base64(cv_reply_parameters(reply), "public_key", key)) {
        s = no_memory(err);
    }
    return s;
}

static enum cv_status recovery(void *context, const cJSON *parameters,
                               struct cv_reply *reply, struct cv_err *err)
{
    const char *id = NULL;
    const struct cv_json_field fields[] = {
        {"id", CV_JSON_STRING, true, &id, CV_SLOT_ID_MAX},
    };
    cJSON *out = cv_reply_parameters(reply), *record = NULL;
    struct cv_bytes code;
    enum cv_status s =
        cv_json_read(parameters, "Recovery", fields, COUNT(fields), true, err);

    if (s == CV_OK) {
        s = cv_keyring_recovery(context, id, cv_reply_arena(reply), &record,
                                &code, err);
    }
    if (s == CV_OK && (!cv_json_add_item(out, "slot", record) ||
                       !cv_json_add_base64(out, "secret", code))) {
        s = no_memory(err);
    }
    return s;
}

enum cv_status cv_token_methods_sealed(const cJSON *json,
                                       struct cv_arena *arena,
                                       struct cv_keyring_sealed *out,
                                       struct cv_err *err)
{
    const char *vault = NULL, *entry = NULL, *spki = NULL, *sealed = NULL,
               *certificate = NULL;
    const struct cv_json_field fields[] = {
        {"vault_id", CV_JSON_STRING, true, &vault, 0},
        {"entry_id", CV_JSON_STRING, true, &entry, 0},
        {"spki_sha256", CV_JSON_STRING, true, &spki, 0},
        {"certificate", CV_JSON_TEXT, true, &certificate, CV_LIMIT_PEM},
        {"sealed", CV_JSON_STRING, true, &sealed, BASE64_LEN(CV_LIMIT_SEALED)},
    };
    struct cv_box_binding *b = &out->binding;
    enum cv_status s =
        cv_json_read(json, "the sealed key", fields, COUNT(fields), true, err);

    if (s != CV_OK ||
        (s = cv_decode_hex_exact(vault, "the vault id", b->vault_id,
                                 sizeof(b->vault_id), err)) != CV_OK ||
        (s = cv_decode_hex_exact(entry, "the entry id", b->entry_id,
                                 sizeof(b->entry_id), err)) != CV_OK ||
        (s = cv_decode_hex_exact(spki, "the public key's digest",
                                 b->spki_sha256, sizeof(b->spki_sha256),
                                 err)) != CV_OK) {
        return s;
    }
    out->certificate.data = (const uint8_t *)certificate;
    out->certificate.len = strlen(certificate);
    return decode(sealed, "the sealed key", arena, &out->sealed, err);
}

static enum cv_status check(void *context, const cJSON *parameters,
                            struct cv_reply *reply, struct cv_err *err)
{
    uint8_t digest[CV_BOX_DIGEST_LEN];
    const char *hex = NULL;
    const cJSON *key = NULL;
    const struct cv_json_field fields[] = {
        {"key", CV_JSON_OBJECT, true, &key, 0},
        {"digest", CV_JSON_STRING, false, &hex, 0},
    };
    struct cv_keyring_sealed sealed = {0};
    struct cv_arena *arena = NULL;
    enum cv_status s =
        cv_json_read(parameters, "Check", fields, COUNT(fields), true, err);

    (void)reply;
    if (s == CV_OK && hex != NULL) {
        s = cv_decode_hex_exact(hex, "the key's digest", digest, sizeof(digest),
                                err);
    }
    if (s == CV_OK) {
        s = cv_arena_new(CALL_ARENA, &arena, err);
    }
    if (s == CV_OK) {
        s = cv_token_methods_sealed(key, arena, &sealed, err);
    }
    if (s == CV_OK) {
        s = cv_keyring_check(context, &sealed, hex != NULL ? digest : NULL,
                             err);
    }
    cv_arena_free(arena);
    return s;
}

static enum cv_status export_key(void *context, const cJSON *parameters,
                                 struct cv_reply *reply, struct cv_err *err)
{
    const cJSON *key = NULL;
    const struct cv_json_field fields[] = {
        {"key", CV_JSON_OBJECT, true, &key, 0},
    };
    struct cv_arena *arena = cv_reply_arena(reply);
    struct cv_keyring_sealed sealed = {0};
    struct cv_bytes pem;
    enum cv_status s =
        cv_json_read(parameters, "Export", fields, COUNT(fields), true, err);

    if (s == CV_OK) {
        s = cv_token_methods_sealed(key, arena, &sealed, err);
    }
    if (s == CV_OK) {
        s = cv_keyring_export(context, &sealed, arena, &pem, err);
    }
    if (s == CV_OK &&
        !cv_json_add_base64(cv_reply_parameters(reply), "secret", pem)) {
        s = no_memory(err);
    }
    return s;
}

static enum cv_status sign(void *context, const cJSON *parameters,
                           struct cv_reply *reply, struct cv_err *err)
{
    const char *purpose = NULL, *algorithm = NULL, *base64 = NULL;
    const cJSON *key = NULL;
    const struct cv_json_field fields[] = {
        {"key", CV_JSON_OBJECT, true, &key, 0},
        {"purpose", CV_JSON_STRING, true, &purpose, 32},
        {"algorithm", CV_JSON_STRING, true, &algorithm, 32},
        {"data", CV_JSON_STRING, true, &base64, BASE64_LEN(CV_LIMIT_SIGN_DATA)},
    };
    struct cv_keyring_sealed sealed = {0};
    struct cv_arena *arena = NULL;
    struct cv_buf data, signature;
    enum cv_status s =
        cv_json_read(parameters, "Sign", fields, COUNT(fields), true, err);

    cv_buf_init(&data, NULL, CV_LIMIT_SIGN_DATA);
    cv_buf_init(&signature, NULL, CV_KIB(4));
    if (s == CV_OK) {
        s = cv_arena_new(CALL_ARENA, &arena, err);
    }
    if (s == CV_OK) {
        s = cv_token_methods_sealed(key, arena, &sealed, err);
    }
    if (s == CV_OK) {
        s = cv_decode_base64(base64, strlen(base64), false,
                             "what is to be signed", &data, err);
    }
    if (s == CV_OK) {
        s = cv_keyring_sign(context, &sealed, purpose, algorithm,
                            cv_buf_bytes(&data), &signature, err);
    }
    if (s == CV_OK &&
        !cv_json_add_base64(cv_reply_parameters(reply), "signature",
                            cv_buf_bytes(&signature))) {
        s = no_memory(err);
    }
    cv_buf_wipe(&signature);
    cv_buf_wipe(&data);
    cv_arena_free(arena);
    return s;
}

static enum cv_status sign_note(void *context, const cJSON *parameters,
                                struct cv_reply *reply, struct cv_err *err)
{
    const char *name = NULL, *secret = NULL, *text = NULL;
    const struct cv_json_field fields[] = {
        {"name", CV_JSON_STRING, true, &name, CV_LIMIT_HOST},
        {"secret", CV_JSON_STRING, true, &secret, BASE64_LEN(SECRET_MAX)},
        {"text", CV_JSON_TEXT, true, &text, CV_LIMIT_NOTE},
    };
    struct cv_arena *arena = NULL;
    struct cv_bytes seed = {NULL, 0}, body;
    struct cv_buf line;
    enum cv_status s =
        cv_json_read(parameters, "SignNote", fields, COUNT(fields), true, err);

    (void)context;
    cv_buf_init(&line, NULL, CV_KIB(1));
    if (s == CV_OK) {
        s = cv_arena_new(CALL_ARENA, &arena, err);
    }
    if (s == CV_OK) {
        s = decode(secret, "the seed", arena, &seed, err);
    }
    if (s == CV_OK) {
        body.data = (const uint8_t *)text;
        body.len = strlen(text);
        s = cv_note_sign_line(name, seed, body, &line, err);
    }
    cv_arena_free(arena);
    if (s == CV_OK && !cv_json_add_str(cv_reply_parameters(reply), "line",
                                       cv_buf_text(&line))) {
        s = no_memory(err);
    }
    cv_buf_wipe(&line);
    return s;
}

static enum cv_status lock(void *context, const cJSON *parameters,
                           struct cv_reply *reply, struct cv_err *err)
{
    enum cv_status s = cv_json_read(parameters, "Lock", NULL, 0, true, err);

    (void)reply;
    if (s == CV_OK) {
        cv_keyring_lock(context);
    }
    return s;
}

static const struct cv_method methods[] = {
    {"Create", create, false},
    {"Open", open_box, false},
    {"Target", target, false},
    {"Wrap", wrap, false},
    {"Recovery", recovery, true},
    {"Check", check, false},
    {"Export", export_key, true},
    {"Sign", sign, false},
    {"SignNote", sign_note, false},
    {"LogSeal", cv_token_log_seal, false},
    {"LogOpen", cv_token_log_open, true},
    {"Lock", lock, false},
    {"HopCreate", cv_token_hop_create, false},
    {"HopServe", cv_token_hop_serve, true},
    {"HopMint", cv_token_hop_mint, true},
    {"HopPublic", cv_token_hop_public, false},
    {"HopForget", cv_token_hop_forget, false},
};

const struct cv_interface cv_token_methods = {
    CV_INTERFACE_TOKEN, cv_interface_token, methods, COUNT(methods)};
