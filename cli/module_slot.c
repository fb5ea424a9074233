/* SlotKey, UnwrapSlot: a token's key opens the vault. */
#include "cli/module_methods_internal.h"
#include "pkcs11/slotkey.h"
#include "vault/base/encode.h"
#include "vault/base/limits.h"

#include <sodium.h>
#include <string.h>

/* What a key that was made for a slot is called. */
#define LABEL "certvault:slot"

static enum cv_status no_memory(struct cv_err *err)
{
    return cv_fail(err, CV_INTERNAL, "memory is gone");
}

/* A key that opens a slot of the vault: made here where the URI names a token
 * alone, else the one that it names. */
struct slot {
    const struct cv_uri *uri;
    bool make;
    uint8_t new_id[16];
    struct cv_arena *arena;
    struct cv_buf id, spki;
    enum cv_slotkey_form form;
    struct cv_notes notes;
};

static enum cv_status make_work(CK_FUNCTION_LIST *functions,
                                CK_SESSION_HANDLE session, void *context,
                                struct cv_err *err)
{
    struct slot *t = context;

    return cv_slotkey_make(functions, session, cv_buf_bytes(&t->id), LABEL,
                           t->arena, &t->spki, &t->form, &t->notes, err);
}

static enum cv_status choose_work(CK_FUNCTION_LIST *functions,
                                  CK_SESSION_HANDLE session, void *context,
                                  struct cv_err *err)
{
    struct slot *t = context;
    struct cv_attribute_place at = {functions, session, 0};
    enum cv_status s;

    cv_buf_wipe(&t->id);
    cv_buf_wipe(&t->spki);
    s = cv_module_objects_private(t->uri, &at, &t->id, err);
    if (s == CV_OK) {
        s = cv_object_spki_beside(at, &t->spki, err);
    }
    return s == CV_OK ? cv_slotkey_choose(functions, session, at.object,
                                          cv_buf_bytes(&t->spki), t->arena,
                                          &t->form, err)
                      : s;
}

static enum cv_status tell_slot(const struct slot *t,
                                const struct cv_module_face_token *token,
                                struct cv_reply *reply, struct cv_err *err)
{
    cJSON *out = cv_reply_parameters(reply);
    struct cv_buf uri;
    enum cv_status s;

    cv_buf_init(&uri, NULL, CV_LIMIT_TOKEN_URI);
    cv_uri_add_key(cv_session_token(token->pool), cv_buf_bytes(&t->id),
                   t->make ? LABEL : NULL, &uri);
    s = cv_buf_status(&uri, "the key's URI", err);
    if (s == CV_OK &&
        (!cv_json_add_str(out, "uri", cv_buf_text(&uri)) ||
         !cv_json_add_base64(out, "spki", cv_buf_bytes(&t->spki)) ||
         !cv_json_add_str(out, "form", cv_slotkey_form_name(t->form)) ||
         !cv_json_add_bool(out, "made", t->make) ||
         !cv_json_add_item(out, "notes", cv_notes_json(&t->notes)))) {
        s = no_memory(err);
    }
    cv_buf_wipe(&uri);
    return s;
}

static enum cv_status slot_key(struct cv_module_face *face, const char *uri,
                               struct slot *t, struct cv_reply *reply,
                               struct cv_err *err)
{
    struct cv_module_face_token *token;
    enum cv_status s = cv_module_face_token(face, uri, &token, err);

    t->make =
        cv_uri_id(t->uri).data == NULL && cv_uri_label(t->uri).data == NULL;
    if (s == CV_OK && t->make) {
        randombytes_buf(t->new_id, sizeof(t->new_id));
        cv_buf_add(&t->id, t->new_id, sizeof(t->new_id));
    }
    if (s == CV_OK) {
        s = cv_module_face_do(face, token,
                              t->make ? CV_SESSION_RW | CV_SESSION_USER |
                                            CV_SESSION_ONCE
                                      : CV_SESSION_USER,
                              t->make ? make_work : choose_work, t, reply, err);
    }
    return s == CV_OK ? tell_slot(t, token, reply, err) : s;
}

CV_MODULE_METHOD(slot_make)
{
    struct cv_module_face *face = context;
    const char *uri = NULL;
    struct cv_uri *parsed = NULL;
    struct slot t = {.arena = NULL};
    const struct cv_json_field fields[] = {
        {"uri", CV_JSON_STRING, true, &uri, CV_LIMIT_TOKEN_URI},
    };
    enum cv_status s = cv_json_read(parameters, "SlotKey",
                                    CV_MODULE_FIELDS(fields), true, err);

    cv_buf_init(&t.id, NULL, CV_LIMIT_TOKEN_ID);
    cv_buf_init(&t.spki, NULL, CV_LIMIT_KEY_DER);
    if (s == CV_OK) {
        s = cv_uri_parse(uri, &parsed, err);
    }
    if (s == CV_OK) {
        t.uri = parsed;
        s = cv_arena_new(CV_MODULE_ARENA, &t.arena, err);
    }
    if (s == CV_OK) {
        s = slot_key(face, uri, &t, reply, err);
    }
    cv_buf_wipe(&t.id);
    cv_buf_wipe(&t.spki);
    cv_arena_free(t.arena);
    cv_uri_free(parsed);
    return s;
}

struct opening {
    struct cv_module_read_key read;
    struct cv_slotkey_sealed sealed;
    struct cv_arena *arena;
    struct cv_bytes secret;
};

static enum cv_status open_slot_work(CK_FUNCTION_LIST *functions,
                                     CK_SESSION_HANDLE session, void *context,
                                     struct cv_err *err)
{
    struct opening *o = context;
    CK_OBJECT_HANDLE key;
    bool proven;
    enum cv_status s =
        cv_object_find_private(functions, session, o->read.key.id,
                               o->read.key.spki, &key, &proven, err);

    return s == CV_OK
               ? cv_slotkey_open(functions, session, key, o->read.key.spki,
                                 &o->sealed, o->arena, &o->secret, err)
               : s;
}

/* {"form", "data"} of the slot's record; its other members are not ours. */
static enum cv_status read_record(const cJSON *record, struct opening *o,
                                  struct cv_err *err)
{
    const char *form = NULL, *text = NULL;
    const struct cv_json_field fields[] = {
        {"form", CV_JSON_STRING, true, &form, 32},
        {"data", CV_JSON_STRING, true, &text, CV_SLOTKEY_DATA_MAX / 3 * 4 + 8},
    };
    struct cv_bytes data;
    enum cv_status s =
        cv_json_read(record, "the slot", CV_MODULE_FIELDS(fields), false, err);

    if (s == CV_OK) {
        s = cv_slotkey_form_read(form, &o->sealed.form, err);
    }
    if (s == CV_OK) {
        s = cv_module_read_base64(text, "the slot", CV_SLOTKEY_DATA_MAX,
                                  o->arena, &data, err);
    }
    if (s == CV_OK) {
        memcpy(o->sealed.data, data.data, data.len);
        o->sealed.len = data.len;
    }
    return s;
}

static enum cv_status hand_over(struct opening *o, const char *to,
                                struct cv_reply *reply, struct cv_err *err)
{
    uint8_t target[CV_BOX_KEY_LEN];
    struct cv_buf sealed;
    enum cv_status s =
        cv_decode_base64_exact(to, "the target", target, sizeof(target), err);

    cv_buf_init(&sealed, NULL, CV_LIMIT_SEALED);
    if (s == CV_OK) {
        s = cv_target_seal(target, o->secret, &sealed, err);
    }
    if (s == CV_OK && !cv_json_add_base64(cv_reply_parameters(reply), "sealed",
                                          cv_buf_bytes(&sealed))) {
        s = no_memory(err);
    }
    cv_buf_wipe(&sealed);
    return s;
}

CV_MODULE_METHOD(slot_open)
{
    struct cv_module_face *face = context;
    struct cv_module_face_token *token;
    struct opening o = {.arena = NULL};
    const cJSON *key = NULL, *record = NULL;
    const char *to = NULL;
    const struct cv_json_field fields[] = {
        {"key", CV_JSON_OBJECT, true, &key, 0},
        {"record", CV_JSON_OBJECT, true, &record, 0},
        {"to", CV_JSON_STRING, true, &to, 64},
    };
    enum cv_status s = cv_json_read(parameters, "UnwrapSlot",
                                    CV_MODULE_FIELDS(fields), true, err);

    if (s == CV_OK) {
        s = cv_arena_new(CV_MODULE_ARENA, &o.arena, err);
    }
    if (s == CV_OK) {
        s = cv_module_read_key(key, o.arena, &o.read, err);
    }
    if (s == CV_OK) {
        s = read_record(record, &o, err);
    }
    if (s == CV_OK) {
        s = cv_module_face_token(face, o.read.token, &token, err);
    }
    if (s == CV_OK) {
        s = cv_module_face_do(face, token, CV_SESSION_USER, open_slot_work, &o,
                              reply, err);
    }
    if (s == CV_OK) {
        s = hand_over(&o, to, reply, err);
    }
    cv_arena_free(o.arena);
    return s;
}
