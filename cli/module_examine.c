/* Mechanisms, Examine: what a key is good for. */
#include "cli/module_methods_internal.h"
#include "pkcs11/examine.h"
#include "pkcs11/mechanism.h"
#include "vault/base/limits.h"

static enum cv_status no_memory(struct cv_err *err)
{
    return cv_fail(err, CV_INTERNAL, "memory is gone");
}

static enum cv_status add_mechanism(const struct cv_module *module,
                                    CK_SLOT_ID slot, CK_MECHANISM_TYPE type,
                                    cJSON *out, struct cv_err *err)
{
    char room[CV_MECHANISM_NAME_LEN];
    CK_MECHANISM_INFO info = {0, 0, 0};
    cJSON *item = cJSON_CreateObject();

    (void)cv_token_has(module, slot, type, 0, &info);
    if (!cv_json_add_str(item, "name", cv_mechanism_name(type, room)) ||
        !cv_json_add_int(item, "min", (int64_t)(info.ulMinKeySize % 1000000)) ||
        !cv_json_add_int(item, "max", (int64_t)(info.ulMaxKeySize % 1000000)) ||
        !cv_json_add_item(item, "flags", cv_mechanism_flags(info.flags)) ||
        !cJSON_AddItemToArray(out, item)) {
        cJSON_Delete(item);
        return no_memory(err);
    }
    return CV_OK;
}

CV_MODULE_METHOD(examine_mechanisms)
{
    struct cv_module_face *face = context;
    struct cv_module_face_token *token;
    CK_MECHANISM_TYPE all[CV_LIMIT_TOKEN_MECHANISMS];
    CK_SLOT_ID slot = 0;
    size_t n = 0;
    cJSON *out =
        cJSON_AddArrayToObject(cv_reply_parameters(reply), "mechanisms");
    enum cv_status s =
        cv_module_read_token(face, parameters, "Mechanisms", &token, err);

    if (s == CV_OK) {
        slot = cv_session_token(token->pool)->slot;
        s = cv_module_face_failed(face, NULL,
                                  cv_token_mechanisms(face->module, slot, all,
                                                      CV_LIMIT_TOKEN_MECHANISMS,
                                                      &n, err),
                                  reply, err);
    }
    for (size_t i = 0; s == CV_OK && i < n; i++) {
        s = add_mechanism(face->module, slot, all[i], out, err);
    }
    return s;
}

struct looking {
    struct cv_module_read_key read;
    struct cv_examine_order order;
    struct cv_findings findings;
};

static enum cv_status examine_work(CK_FUNCTION_LIST *functions,
                                   CK_SESSION_HANDLE session, void *context,
                                   struct cv_err *err)
{
    struct looking *l = context;
    CK_OBJECT_HANDLE key;
    bool proven;
    enum cv_status s =
        cv_object_find_private(functions, session, l->read.key.id,
                               l->read.key.spki, &key, &proven, err);

    return s == CV_OK ? cv_examine_key(functions, session, key, &l->order,
                                       &l->findings, err)
                      : s;
}

CV_MODULE_METHOD(examine_key)
{
    struct cv_module_face *face = context;
    struct cv_module_face_token *token;
    struct looking l = {.order = {.mode = CV_EXAMINE_ADOPTED}};
    const cJSON *key = NULL;
    const struct cv_json_field fields[] = {
        {"key", CV_JSON_OBJECT, true, &key, 0},
    };
    const char *kind = NULL;
    unsigned bits = 0;
    struct cv_arena *arena = NULL;
    cJSON *out = cv_reply_parameters(reply);
    enum cv_status s = cv_json_read(parameters, "Examine",
                                    CV_MODULE_FIELDS(fields), true, err);

    if (s == CV_OK) {
        s = cv_arena_new(CV_MODULE_ARENA, &arena, err);
    }
    if (s == CV_OK) {
        s = cv_module_read_key(key, arena, &l.read, err);
    }
    if (s == CV_OK) {
        s = cv_object_kind(l.read.key.spki, &kind, &bits, err);
    }
    if (s == CV_OK) {
        s = cv_module_face_token(face, l.read.token, &token, err);
    }
    if (s == CV_OK) {
        l.order.spki = l.read.key.spki;
        l.order.pool = token->pool;
        s = cv_module_face_do(face, token, CV_SESSION_USER, examine_work, &l,
                              reply, err);
    }
    if (s == CV_OK &&
        (!cv_json_add_item(out, "findings", cv_examine_json(&l.findings)) ||
         !cv_json_add_str(out, "key_type", kind) ||
         !cv_json_add_int(out, "bits", (int64_t)bits))) {
        s = no_memory(err);
    }
    cv_arena_free(arena);
    return s;
}
