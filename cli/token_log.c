/* LogSeal and LogOpen of io.certvault.Token: the key that signs the log, as
 * backups hold it. It is sealed like an entry's, bound to the vault and to its
 * own public half; its entry id is zero, which no entry has. */
#include "cli/token_methods_internal.h"

#include "vault/base/encode.h"
#include "vault/base/limits.h"

#include <sodium.h>
#include <string.h>

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))
#define BASE64_LEN(n) (((n) + 2) / 3 * 4)
#define SECRET_MAX 64
#define CALL_ARENA CV_KIB(256)

static void bind(const char *log, struct cv_box_binding *binding)
{
    memset(binding->entry_id, 0, sizeof(binding->entry_id));
    (void)crypto_hash_sha256(binding->spki_sha256, (const uint8_t *)log,
                             strlen(log));
}

static enum cv_status seal(const uint8_t public_key[CV_BOX_KEY_LEN],
                           const struct cv_box_binding *binding,
                           const char *secret, struct cv_arena *arena,
                           struct cv_reply *reply, struct cv_err *err)
{
    struct cv_buf bytes, sealed;
    enum cv_status s;

    cv_buf_init(&bytes, arena, SECRET_MAX);
    cv_buf_init(&sealed, NULL, CV_LIMIT_SEALED);
    s = cv_decode_base64(secret, strlen(secret), false, "the log's key", &bytes,
                         err);
    if (s == CV_OK) {
        s = cv_box_seal(public_key, binding, cv_buf_bytes(&bytes), arena,
                        &sealed, err);
    }
    if (s == CV_OK && !cv_json_add_base64(cv_reply_parameters(reply), "sealed",
                                          cv_buf_bytes(&sealed))) {
        s = cv_fail(err, CV_INTERNAL, "memory is gone");
    }
    cv_buf_wipe(&sealed);
    return s;
}

CV_TOKEN_LOG(seal)
{
    uint8_t public_key[CV_BOX_KEY_LEN];
    const char *id = NULL, *key = NULL, *log = NULL, *secret = NULL;
    const struct cv_json_field fields[] = {
        {"vault_id", CV_JSON_STRING, true, &id, 0},
        {"public_key", CV_JSON_STRING, true, &key, 0},
        {"log", CV_JSON_STRING, true, &log, 0},
        {"secret", CV_JSON_STRING, true, &secret, BASE64_LEN(SECRET_MAX)},
    };
    struct cv_box_binding binding;
    struct cv_arena *arena = NULL;
    enum cv_status s =
        cv_json_read(parameters, "LogSeal", fields, COUNT(fields), true, err);

    (void)context;
    if (s != CV_OK ||
        (s = cv_decode_hex_exact(id, "the vault id", binding.vault_id,
                                 sizeof(binding.vault_id), err)) != CV_OK ||
        (s = cv_decode_base64_exact(key, "the vault's public key", public_key,
                                    sizeof(public_key), err)) != CV_OK ||
        (s = cv_arena_new(CALL_ARENA, &arena, err)) != CV_OK) {
        return s;
    }
    bind(log, &binding);
    s = seal(public_key, &binding, secret, arena, reply, err);
    cv_arena_free(arena);
    return s;
}

CV_TOKEN_LOG(open)
{
    const char *log = NULL, *base64 = NULL;
    const struct cv_json_field fields[] = {
        {"log", CV_JSON_STRING, true, &log, 0},
        {"sealed", CV_JSON_STRING, true, &base64, BASE64_LEN(CV_LIMIT_SEALED)},
    };
    struct cv_box_binding binding;
    struct cv_bytes secret;
    struct cv_buf sealed;
    enum cv_status s =
        cv_json_read(parameters, "LogOpen", fields, COUNT(fields), true, err);

    if (s != CV_OK) {
        return s;
    }
    cv_buf_init(&sealed, NULL, CV_LIMIT_SEALED);
    s = cv_decode_base64(base64, strlen(base64), false, "the sealed key",
                         &sealed, err);
    if (s == CV_OK) {
        bind(log, &binding);
        s = cv_keyring_unseal(context, &binding, cv_buf_bytes(&sealed),
                              cv_reply_arena(reply), &secret, err);
    }
    if (s == CV_OK &&
        !cv_json_add_base64(cv_reply_parameters(reply), "secret", secret)) {
        s = cv_fail(err, CV_INTERNAL, "memory is gone");
    }
    cv_buf_wipe(&sealed);
    return s;
}
