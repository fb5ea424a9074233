/* Keys for the log on a token: made, and taken away again. */
#include "vault/broker/signer.h"

#include "vault/base/encode.h"
#include "vault/broker/module_internal.h"

#include <sodium.h>
#include <stdio.h>
#include <string.h>

#define LABEL "certvault:log:"

static enum cv_status no_memory(struct cv_err *err)
{
    return cv_fail(err, CV_INTERNAL, "memory is gone");
}

void cv_signer_name(const char *origin, struct cv_signer_key *out)
{
    uint8_t id[16];

    memset(out, 0, sizeof(*out));
    randombytes_buf(id, sizeof(id));
    (void)sodium_bin2hex(out->id, sizeof(out->id), id, sizeof(id));
    (void)snprintf(out->label, sizeof(out->label), LABEL "%s", origin);
}

enum cv_status cv_signer_make(struct cv_broker *b, const char *uri,
                              const char *origin, struct cv_signer_key *out,
                              struct cv_err *err)
{
    const char *given = NULL, *public_key = NULL;
    const cJSON *notes = NULL;
    const struct cv_json_field fields[] = {
        {"uri", CV_JSON_STRING, true, &given, CV_LIMIT_TOKEN_URI},
        {"public_key", CV_JSON_STRING, true, &public_key, 64},
        {"made", CV_JSON_BOOL, true, &out->made, 0},
        {"notes", CV_JSON_ARRAY, false, &notes, 0},
    };
    uint8_t bytes[32];
    struct cv_message reply = {0};
    cJSON *p = cJSON_CreateObject();
    enum cv_status s;

    if (!cv_json_add_str(p, "uri", uri) || !cv_json_add_str(p, "id", out->id) ||
        !cv_json_add_str(p, "label", out->label)) {
        cJSON_Delete(p);
        return no_memory(err);
    }
    s = cv_module_call(b, uri, "LogKey", p, 0, &reply, err);
    if (s == CV_OK) {
        s = cv_json_read(reply.tree, "LogKey", CV_BROKER_FIELDS(fields), true,
                         err);
    }
    if (s == CV_OK) {
        s = cv_decode_base64_exact(public_key, "the log's key", bytes,
                                   sizeof(bytes), err);
    }
    if (s == CV_OK) {
        (void)snprintf(out->uri, sizeof(out->uri), "%s", given);
        s = cv_note_key_make(origin, CV_NOTE_ED25519, bytes, &out->key, err);
    }
    cv_message_free(&reply);
    return s;
}

enum cv_status cv_signer_undo(struct cv_broker *b, const char *uri,
                              const struct cv_signer_key *key,
                              struct cv_err *err)
{
    int64_t n = 0;
    const struct cv_json_field fields[] = {
        {"destroyed", CV_JSON_INT, true, &n, 0},
    };
    struct cv_message reply = {0};
    cJSON *p = cJSON_CreateObject();
    enum cv_status s;

    if (!cv_json_add_str(p, "token", uri) ||
        !cv_json_add_str(p, "id", key->id) ||
        !cv_json_add_str(p, "label", key->label)) {
        cJSON_Delete(p);
        return no_memory(err);
    }
    s = cv_module_call(b, uri, "Destroy", p, 0, &reply, err);
    if (s == CV_OK) {
        s = cv_json_read(reply.tree, "Destroy", CV_BROKER_FIELDS(fields), true,
                         err);
    }
    cv_message_free(&reply);
    return s;
}
