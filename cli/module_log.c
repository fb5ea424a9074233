/* LogKey, LogSign: a token's key signs the log. */
#include "cli/module_methods_internal.h"
#include "pkcs11/import.h"
#include "vault/base/encode.h"
#include "vault/base/limits.h"
#include "vault/seal/note_sign.h"

#include <string.h>

#define ALGORITHM "ed25519"
#define PUBLIC_LEN 32
#define SIGNATURE_LEN 64

/* SubjectPublicKeyInfo of an Ed25519 key, up to the key (RFC 8410). */
static const uint8_t spki_head[] = {0x30, 0x2a, 0x30, 0x05, 0x06, 0x03,
                                    0x2b, 0x65, 0x70, 0x03, 0x21, 0x00};

static enum cv_status no_memory(struct cv_err *err)
{
    return cv_fail(err, CV_INTERNAL, "memory is gone");
}

/* A key for the log: made here where the URI names a token alone, else the one
 * that it names. */
struct log_key {
    const struct cv_uri *uri;
    struct cv_session_pool *pool;
    bool make;
    const char *label;
    struct cv_bytes new_id;
    struct cv_buf id, spki;
    struct cv_import_result made;
};

static enum cv_status make_work(CK_FUNCTION_LIST *functions,
                                CK_SESSION_HANDLE session, void *context,
                                struct cv_err *err)
{
    struct log_key *k = context;
    const struct cv_generate_order order = {ALGORITHM, CV_GENERATE_SIGN,
                                            k->new_id, k->label};

    cv_buf_add(&k->id, k->new_id.data, k->new_id.len);
    return cv_import_generate(functions, session, &order, false, k->pool,
                              &k->spki, &k->made, err);
}

static void distrust(struct cv_attribute_place at, struct cv_notes *notes)
{
    bool extractable = true, sensitive = false;

    if (cv_attribute_bool(at, CKA_EXTRACTABLE, &extractable, NULL) != CV_OK ||
        cv_attribute_bool(at, CKA_SENSITIVE, &sensitive, NULL) != CV_OK ||
        extractable || !sensitive) {
        cv_notes_add(notes, "the token may let this key out: it is worth no "
                            "more than the token's PIN");
    }
}

/* It signs what no log is, and the signature is checked. */
static enum cv_status try_work(CK_FUNCTION_LIST *functions,
                               CK_SESSION_HANDLE session, void *context,
                               struct cv_err *err)
{
    static const char text[] = "certvault log key test\n";
    struct log_key *k = context;
    struct cv_attribute_place at = {functions, session, 0};
    struct cv_buf signature;
    const char *kind = "";
    unsigned bits = 0;
    enum cv_status s;

    cv_buf_wipe(&k->id);
    cv_buf_wipe(&k->spki);
    k->made.notes = (struct cv_notes){0};
    s = cv_module_objects_private(k->uri, &at, &k->id, err);
    if (s == CV_OK) {
        s = cv_object_spki_beside(at, &k->spki, err);
    }
    if (s == CV_OK) {
        s = cv_object_kind(cv_buf_bytes(&k->spki), &kind, &bits, err);
    }
    if (s == CV_OK && strcmp(kind, ALGORITHM) != 0) {
        s = cv_fail(err, CV_INVALID,
                    "the log is signed with Ed25519, and this is a key of "
                    "another kind (%s)",
                    kind);
        cv_err_hint(err, "name the token alone, and a key is made there");
    }
    if (s != CV_OK) {
        return s;
    }
    distrust(at, &k->made.notes);
    cv_buf_init(&signature, NULL, CV_LIMIT_SIGNATURE);
    s = cv_sign_data(k->pool, session, at.object, cv_buf_bytes(&k->spki),
                     ALGORITHM, cv_module_read_text(text), &signature, err);
    cv_buf_wipe(&signature);
    return s;
}

/* As the store of entries has them too: one that only a module's path shows
 * says so. */
static void add_uri(const struct cv_module_face *face,
                    const struct cv_token_info *info, const struct log_key *k,
                    struct cv_buf *out)
{
    const char *query;
    struct cv_buf token;

    cv_buf_init(&token, NULL, CV_LIMIT_TOKEN_URI);
    cv_module_face_uri(face, info, &token);
    cv_uri_add_key(info, cv_buf_bytes(&k->id), k->make ? k->label : NULL, out);
    query = strchr(cv_buf_text(&token), '?');
    cv_buf_add_str(out, query != NULL ? query : "");
    cv_buf_wipe(&token);
}

static enum cv_status tell(const struct cv_module_face *face,
                           const struct log_key *k, struct cv_reply *reply,
                           struct cv_err *err)
{
    cJSON *out = cv_reply_parameters(reply);
    struct cv_bytes key = cv_buf_bytes(&k->spki);
    struct cv_buf uri;
    enum cv_status s;

    if (key.len != sizeof(spki_head) + PUBLIC_LEN ||
        memcmp(key.data, spki_head, sizeof(spki_head)) != 0) {
        return cv_fail(err, CV_INTEGRITY,
                       "the token's public key is not Ed25519's");
    }
    key.data += sizeof(spki_head);
    key.len -= sizeof(spki_head);
    cv_buf_init(&uri, NULL, CV_LIMIT_TOKEN_URI);
    add_uri(face, cv_session_token(k->pool), k, &uri);
    s = cv_buf_status(&uri, "the key's URI", err);
    if (s == CV_OK &&
        (!cv_json_add_str(out, "uri", cv_buf_text(&uri)) ||
         !cv_json_add_base64(out, "public_key", key) ||
         !cv_json_add_bool(out, "made", k->make) ||
         !cv_json_add_item(out, "notes", cv_notes_json(&k->made.notes)))) {
        s = no_memory(err);
    }
    cv_buf_wipe(&uri);
    return s;
}

static enum cv_status log_key(struct cv_module_face *face, const char *uri,
                              struct log_key *k, struct cv_reply *reply,
                              struct cv_err *err)
{
    struct cv_module_face_token *token;
    enum cv_status s = cv_module_face_token(face, uri, &token, err);

    if (s != CV_OK) {
        return s;
    }
    k->pool = token->pool;
    k->make =
        cv_uri_id(k->uri).data == NULL && cv_uri_label(k->uri).data == NULL;
    s = cv_module_face_do(face, token,
                          k->make ? CV_SESSION_RW | CV_SESSION_USER |
                                        CV_SESSION_ONCE
                                  : CV_SESSION_USER,
                          k->make ? make_work : try_work, k, reply, err);
    return s == CV_OK ? tell(face, k, reply, err) : s;
}

CV_MODULE_METHOD(log_key)
{
    struct cv_module_face *face = context;
    const char *uri = NULL, *id = NULL;
    struct cv_uri *parsed = NULL;
    struct log_key k = {.label = NULL};
    const struct cv_json_field fields[] = {
        {"uri", CV_JSON_STRING, true, &uri, CV_LIMIT_TOKEN_URI},
        {"id", CV_JSON_STRING, true, &id, 2 * CV_LIMIT_TOKEN_ID},
        {"label", CV_JSON_STRING, true, &k.label, 0},
    };
    struct cv_arena *arena = NULL;
    enum cv_status s =
        cv_json_read(parameters, "LogKey", CV_MODULE_FIELDS(fields), true, err);

    cv_buf_init(&k.id, NULL, CV_LIMIT_TOKEN_ID);
    cv_buf_init(&k.spki, NULL, CV_LIMIT_KEY_DER);
    if (s == CV_OK) {
        s = cv_uri_parse(uri, &parsed, err);
    }
    if (s == CV_OK) {
        k.uri = parsed;
        s = cv_arena_new(CV_MODULE_ARENA, &arena, err);
    }
    if (s == CV_OK) {
        s = cv_module_read_id(id, arena, &k.new_id, err);
    }
    if (s == CV_OK) {
        s = log_key(face, uri, &k, reply, err);
    }
    cv_arena_free(arena);
    cv_buf_wipe(&k.id);
    cv_buf_wipe(&k.spki);
    cv_uri_free(parsed);
    return s;
}

/* The one key that is the log's, or none. */
static enum cv_status sign(struct cv_module_face *face, const char *uri,
                           struct cv_bytes public_key, struct cv_bytes text,
                           struct cv_buf *signature, struct cv_reply *reply,
                           struct cv_err *err)
{
    uint8_t spki[sizeof(spki_head) + PUBLIC_LEN];
    struct cv_sign_key key = {.spki = {spki, sizeof(spki)}};
    struct cv_module_face_token *token;
    struct cv_uri *parsed = NULL;
    enum cv_status s = cv_uri_parse(uri, &parsed, err);

    memcpy(spki, spki_head, sizeof(spki_head));
    memcpy(spki + sizeof(spki_head), public_key.data, PUBLIC_LEN);
    if (s == CV_OK) {
        key.id = cv_uri_id(parsed);
        s = key.id.data != NULL ? cv_module_face_token(face, uri, &token, err)
                                : cv_fail(err, CV_INVALID,
                                          "the URI of the log's key has no id");
    }
    if (s == CV_OK) {
        s = cv_module_face_failed(
            face, token,
            cv_sign(token->pool, &key, ALGORITHM, text, signature, err), reply,
            err);
    }
    cv_uri_free(parsed);
    if (s == CV_OK && signature->len != SIGNATURE_LEN) {
        s = cv_fail(err, CV_INTEGRITY, "the token's signature is no Ed25519's");
    }
    return s;
}

CV_MODULE_METHOD(log_sign)
{
    const char *uri = NULL, *key = NULL, *text = NULL;
    const struct cv_json_field fields[] = {
        {"uri", CV_JSON_STRING, true, &uri, CV_LIMIT_TOKEN_URI},
        {"public_key", CV_JSON_STRING, true, &key, 64},
        {"text", CV_JSON_TEXT, true, &text, CV_LIMIT_NOTE},
    };
    uint8_t public_key[PUBLIC_LEN];
    struct cv_buf signature;
    enum cv_status s = cv_json_read(parameters, "LogSign",
                                    CV_MODULE_FIELDS(fields), true, err);

    cv_buf_init(&signature, NULL, CV_LIMIT_SIGNATURE);
    if (s == CV_OK) {
        s = cv_decode_base64_exact(key, "the log's key", public_key,
                                   sizeof(public_key), err);
    }
    if (s == CV_OK) {
        s = cv_note_sign_check(cv_module_read_text(text), err);
    }
    if (s == CV_OK) {
        s = sign(context, uri, (struct cv_bytes){public_key, PUBLIC_LEN},
                 cv_module_read_text(text), &signature, reply, err);
    }
    if (s == CV_OK &&
        !cv_json_add_base64(cv_reply_parameters(reply), "signature",
                            cv_buf_bytes(&signature))) {
        s = no_memory(err);
    }
    cv_buf_wipe(&signature);
    return s;
}
