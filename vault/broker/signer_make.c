/* Keys for the log on a token: made, and taken away again. */
#include "vault/broker/signer.h"

#include "vault/audit/logkey_token.h"
#include "vault/base/encode.h"
#include "vault/broker/module_internal.h"
#include "vault/broker/rotate.h"

#include <sodium.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

/* In the store: "<CKA_ID in hex> <URI of the token>", or nothing. */
#define PENDING "log_key_making"
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
    cv_message_free(&reply);
    return s;
}

enum cv_status cv_signer_pending(struct cv_broker *b, const char *uri,
                                 const struct cv_signer_key *key,
                                 struct cv_err *err)
{
    struct cv_buf text;
    enum cv_status s;

    cv_buf_init(&text, NULL, CV_LIMIT_TOKEN_URI + 64);
    if (uri != NULL) {
        cv_buf_add_format(&text, "%s %s", key->id, uri);
    }
    s = cv_buf_status(&text, "the log's key", err);
    if (s == CV_OK) {
        s = cv_store_meta_put(b->vault->store, PENDING, cv_buf_text(&text),
                              err);
    }
    cv_buf_wipe(&text);
    return s;
}

enum cv_status cv_signer_forget(struct cv_store *store, struct cv_err *err)
{
    struct cv_buf text;
    enum cv_status s;

    cv_buf_init(&text, NULL, CV_LIMIT_TOKEN_URI + 64);
    s = cv_store_meta_get(store, PENDING, &text, err);
    if (s == CV_OK && text.len > 0) {
        s = cv_store_meta_put(store, PENDING, "", err);
    }
    cv_buf_wipe(&text);
    if (s == CV_NOT_FOUND) {
        cv_err_init(err);
        s = CV_OK;
    }
    return s;
}

/* Is `id` (hex) the one in a URI that cv_uri_add_key wrote ("id=%AB%CD")? */
static bool has_id(const char *uri, const char *id)
{
    const char *at = strstr(uri, "id=%");
    size_t i = 0;

    if (at == NULL) {
        return false;
    }
    for (at += 3; at[0] == '%' && id[i] != '\0'; at += 3, i += 2) {
        if (strncasecmp(at + 1, id + i, 2) != 0) {
            return false;
        }
    }
    return id[i] == '\0' && at[0] != '%';
}

/* CV_OK: `is` is known. A key is destroyed for a `false`: what could not be
 * read is no such answer. */
static enum cv_status has_key(struct cv_vault *v, bool next, const char *id,
                              bool *is, struct cv_err *err)
{
    const struct cv_note_key *key = next ? &v->next_key : &v->log_key;
    struct cv_buf uri;
    struct cv_err why;
    enum cv_status s;

    cv_err_init(&why);
    cv_buf_init(&uri, NULL, CV_LIMIT_TOKEN_URI + 1);
    s = cv_logkey_token_uri(v->dir, next, key, &uri, &why);
    *is = s == CV_OK && has_id(cv_buf_text(&uri), id);
    cv_buf_wipe(&uri);
    if (s != CV_OK && s != CV_NOT_FOUND) {
        *err = why;
        return s;
    }
    return CV_OK;
}

/* What the store says of it counts too: audit/log.key may be gone. */
static enum cv_status is_stored(struct cv_vault *v, const char *id, bool *is,
                                struct cv_err *err)
{
    struct cv_buf uri;
    struct cv_err why;
    enum cv_status s;

    cv_err_init(&why);
    cv_buf_init(&uri, NULL, CV_LIMIT_TOKEN_URI + 1);
    s = cv_store_meta_get(v->store, CV_ROTATE_TOKEN, &uri, &why);
    *is = s == CV_OK && has_id(cv_buf_text(&uri), id);
    cv_buf_wipe(&uri);
    if (s != CV_OK && s != CV_NOT_FOUND) {
        *err = why;
        return s;
    }
    return CV_OK;
}

static enum cv_status is_used(struct cv_vault *v, const char *id, bool *is,
                              struct cv_err *err)
{
    enum cv_status s = has_key(v, false, id, is, err);

    if (s == CV_OK && !*is && v->rotating) {
        s = has_key(v, true, id, is, err);
    }
    if (s == CV_OK && !*is) {
        s = is_stored(v, id, is, err);
    }
    return s;
}

/* "<id> <uri>", as it is written; an empty `id`: there is none. */
static enum cv_status read_row(struct cv_store *store, char id[33],
                               struct cv_buf *uri, struct cv_err *err)
{
    struct cv_buf text;
    struct cv_err why;
    const char *blank;
    enum cv_status s;

    cv_err_init(&why);
    id[0] = '\0';
    cv_buf_init(&text, NULL, CV_LIMIT_TOKEN_URI + 64);
    s = cv_store_meta_get(store, PENDING, &text, &why);
    blank = s == CV_OK ? strchr(cv_buf_text(&text), ' ') : NULL;
    if (blank != NULL && blank - cv_buf_text(&text) < 33) {
        memcpy(id, cv_buf_text(&text), (size_t)(blank - cv_buf_text(&text)));
        id[blank - cv_buf_text(&text)] = '\0';
        cv_buf_add_str(uri, blank + 1);
    }
    cv_buf_wipe(&text);
    if (s != CV_OK && s != CV_NOT_FOUND) {
        *err = why;
        return s;
    }
    return CV_OK;
}

enum cv_status cv_signer_settle(struct cv_vault *v, struct cv_err *err)
{
    struct cv_buf uri;
    char id[33];
    bool is = false;
    enum cv_status s;

    cv_buf_init(&uri, NULL, CV_LIMIT_TOKEN_URI + 1);
    s = read_row(v->store, id, &uri, err);
    cv_buf_wipe(&uri);
    if (s == CV_OK && id[0] != '\0') {
        s = is_stored(v, id, &is, err);
    }
    return s == CV_OK && is ? cv_store_meta_put(v->store, PENDING, "", err) : s;
}

/* Entered. What is pending, or nothing where there is none, or it is used. */
static enum cv_status read_pending(struct cv_broker *b,
                                   struct cv_signer_key *out,
                                   struct cv_buf *uri, struct cv_err *err)
{
    bool used = false;
    enum cv_status s;

    cv_signer_name(b->vault->log_key.name, out);
    s = read_row(b->vault->store, out->id, uri, err);
    if (s == CV_OK && out->id[0] != '\0') {
        s = is_used(b->vault, out->id, &used, err);
    }
    if (s == CV_OK && used) {
        s = cv_signer_pending(b, NULL, NULL, err);
    }
    if (s != CV_OK || used) {
        out->id[0] = '\0';
    }
    return s;
}

static void tell(struct cv_broker *b, const char *uri, enum cv_status s)
{
    cJSON *details = cJSON_CreateObject();

    (void)cv_json_add_str(details, "method", "AuditKeyRotate");
    (void)cv_json_add_str(details, "token", uri);
    cv_broker_event(b, "admin", s, details);
    cJSON_Delete(details);
}

void cv_signer_clean(struct cv_broker *b)
{
    struct cv_signer_key key;
    struct cv_module_token token;
    struct cv_buf uri;
    struct cv_err err;
    enum cv_status s;

    cv_err_init(&err);
    cv_buf_init(&uri, NULL, CV_LIMIT_TOKEN_URI + 1);
    if (b->vault == NULL || cv_broker_enter(b, &err) != CV_OK) {
        return;
    }
    s = read_pending(b, &key, &uri, &err);
    if (s == CV_OK && key.id[0] != '\0' &&
        cv_module_token(b, cv_buf_text(&uri), &token, NULL, &err) == CV_OK &&
        token.logged_in) {
        s = cv_signer_undo(b, cv_buf_text(&uri), &key, &err);
        if (s == CV_OK) {
            s = cv_signer_pending(b, NULL, NULL, &err);
        }
        tell(b, cv_buf_text(&uri), s);
    }
    cv_broker_leave(b);
    cv_buf_wipe(&uri);
}
