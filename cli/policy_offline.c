#include "cli/policy_offline.h"

#include "policy/policy.h"
#include "vault/audit/notekey.h"
#include "vault/base/encode.h"
#include "vault/base/limits.h"

#include <string.h>

#define FIELDS(table) (table), sizeof(table) / sizeof((table)[0])

static struct cv_bytes bytes_of(const char *text)
{
    return (struct cv_bytes){(const uint8_t *)text, strlen(text)};
}

CV_POLICY_OFFLINE(key)
{
    const char *name = NULL;
    const struct cv_json_field fields[] = {
        {"name", CV_JSON_STRING, true, &name, CV_NOTE_NAME},
    };
    cJSON *out = cv_reply_parameters(reply);
    struct cv_note_key key;
    struct cv_buf secret, vkey;
    enum cv_status s =
        cv_json_read(parameters, "PolicyKey", FIELDS(fields), true, err);

    (void)context;
    cv_buf_init(&secret, cv_reply_arena(reply), CV_NOTEKEY_FILE);
    cv_buf_init(&vkey, NULL, CV_NOTEKEY_FILE);
    if (s == CV_OK) {
        s = cv_notekey_make(name, &secret, &key, err);
    }
    if (s == CV_OK) {
        cv_note_key_text(&key, &vkey);
        s = cv_buf_status(&vkey, "the verifier key", err);
    }
    if (s == CV_OK && (!cv_json_add_str(out, "vkey", cv_buf_text(&vkey)) ||
                       !cv_json_add_base64(out, "secret",
                                           cv_buf_bytes(&secret)))) {
        s = cv_fail(err, CV_INTERNAL, "memory is gone");
    }
    cv_buf_wipe(&vkey);
    return s;
}

/* The text that is signed: docs/policy.md, "Signed policies". */
static enum cv_status text_of(const char *vault_id,
                              const struct cv_policy *policy,
                              struct cv_buf *out, struct cv_err *err)
{
    uint8_t hash[32];
    enum cv_status s = cv_decode_hex_exact(
        cv_policy_sha256(policy), "the digest", hash, sizeof(hash), err);

    if (s == CV_OK) {
        cv_buf_add_format(out, "certvault-policy/v1 %s\n%lld\n", vault_id,
                          (long long)cv_policy_version(policy));
        cv_encode_base64((struct cv_bytes){hash, sizeof(hash)}, out);
        cv_buf_add_char(out, '\n');
        s = cv_buf_status(out, "what is signed", err);
    }
    return s;
}

/* What is to be signed of a policy: not secret, so that a long policy need not
 * lie in memory that is locked. */
CV_POLICY_OFFLINE(note)
{
    const char *text = NULL, *vault_id = NULL;
    const struct cv_json_field fields[] = {
        {"text", CV_JSON_TEXT, true, &text, CV_LIMIT_POLICY},
        {"vault_id", CV_JSON_STRING, true, &vault_id, 64},
    };
    cJSON *out = cv_reply_parameters(reply);
    struct cv_policy_notes notes = {0};
    struct cv_policy *policy = NULL;
    struct cv_buf wanted;
    enum cv_status s =
        cv_json_read(parameters, "PolicyNote", FIELDS(fields), true, err);

    (void)context;
    cv_buf_init(&wanted, NULL, CV_KIB(1));
    if (s == CV_OK && (strlen(vault_id) != 32 ||
                       strspn(vault_id, "0123456789abcdef") != 32)) {
        s = cv_fail(err, CV_USAGE, "a vault's id is 32 hex digits");
    }
    if (s == CV_OK) {
        s = cv_policy_parse(bytes_of(text), &policy, &notes, err);
    }
    if (s == CV_OK) {
        s = text_of(vault_id, policy, &wanted, err);
    }
    if (s == CV_OK && (!cv_json_add_str(out, "text", cv_buf_text(&wanted)) ||
                       !cv_json_add_item(out, "policy",
                                         cv_policy_describe(policy)))) {
        s = cv_fail(err, CV_INTERNAL, "memory is gone");
    }
    cv_policy_free(policy);
    cv_buf_wipe(&wanted);
    return s;
}

CV_POLICY_OFFLINE(sign)
{
    const char *text = NULL, *secret = NULL;
    const struct cv_json_field fields[] = {
        {"text", CV_JSON_TEXT, true, &text, CV_KIB(1)},
        {"secret", CV_JSON_STRING, true, &secret, 2 * CV_NOTEKEY_FILE},
    };
    struct cv_arena *arena = cv_reply_arena(reply);
    cJSON *out = cv_reply_parameters(reply);
    struct cv_note_key key;
    struct cv_buf file, note;
    enum cv_status s =
        cv_json_read(parameters, "PolicySign", FIELDS(fields), true, err);

    (void)context;
    cv_buf_init(&file, arena, CV_NOTEKEY_FILE + 2);
    cv_buf_init(&note, NULL, CV_LIMIT_NOTE);
    if (s == CV_OK) {
        s = cv_decode_base64(secret, strlen(secret), false, "the key", &file,
                             err);
    }
    if (s == CV_OK) {
        s = cv_notekey_sign(cv_buf_bytes(&file), arena, bytes_of(text), &note,
                            &key, err);
    }
    if (s == CV_OK && (!cv_json_add_str(out, "note", cv_buf_text(&note)) ||
                       !cv_json_add_str(out, "signer", key.name))) {
        s = cv_fail(err, CV_INTERNAL, "memory is gone");
    }
    cv_buf_wipe(&note);
    return s;
}
