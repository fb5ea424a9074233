/* Objects, FindKey: what is on a token. */
#include "cli/module_methods_internal.h"
#include "vault/base/encode.h"
#include "vault/base/limits.h"
#include "vault/seal/box.h"

#include <stdlib.h>
#include <string.h>

static enum cv_status no_memory(struct cv_err *err)
{
    return cv_fail(err, CV_INTERNAL, "memory is gone");
}

static const struct {
    CK_ATTRIBUTE_TYPE type;
    const char *name;
} flags[] = {
    {CKA_PRIVATE, "private"},
    {CKA_SENSITIVE, "sensitive"},
    {CKA_EXTRACTABLE, "extractable"},
    {CKA_ALWAYS_SENSITIVE, "always_sensitive"},
    {CKA_NEVER_EXTRACTABLE, "never_extractable"},
    {CKA_LOCAL, "local"},
    {CKA_MODIFIABLE, "modifiable"},
    {CKA_COPYABLE, "copyable"},
    {CKA_SIGN, "sign"},
    {CKA_DECRYPT, "decrypt"},
    {CKA_UNWRAP, "unwrap"},
    {CKA_WRAP, "wrap"},
    {CKA_DERIVE, "derive"},
    {CKA_ALWAYS_AUTHENTICATE, "always_authenticate"},
    {CKA_TRUSTED, "trusted"},
};

/* Texts of a token go to a terminal some day. */
static bool add_text(cJSON *o, const char *key, struct cv_attribute_place at,
                     CK_ATTRIBUTE_TYPE type)
{
    char text[CV_LIMIT_TOKEN_ID + 1] = "";
    struct cv_buf value;
    bool ok;

    cv_buf_init(&value, NULL, CV_LIMIT_ATTRIBUTE);
    if (cv_attribute_read(at, type, &value, NULL) == CV_OK && value.len > 0) {
        (void)cv_module_text(text, value.data,
                             value.len < CV_LIMIT_TOKEN_ID ? value.len
                                                           : CV_LIMIT_TOKEN_ID);
    }
    cv_buf_wipe(&value);
    ok = cv_json_add_str(o, key, text);
    return ok;
}

static bool add_id(cJSON *o, struct cv_attribute_place at)
{
    struct cv_buf value;
    bool ok;

    cv_buf_init(&value, NULL, CV_LIMIT_TOKEN_ID);
    if (cv_attribute_read(at, CKA_ID, &value, NULL) != CV_OK) {
        cv_buf_wipe(&value);
    }
    ok = cv_json_add_hex(o, "id", cv_buf_bytes(&value));
    cv_buf_wipe(&value);
    return ok;
}

static bool add_flags(cJSON *o, struct cv_attribute_place at)
{
    cJSON *all = cJSON_AddObjectToObject(o, "attributes");

    for (size_t i = 0; i < sizeof(flags) / sizeof(flags[0]); i++) {
        bool value;

        if (cv_attribute_bool(at, flags[i].type, &value, NULL) == CV_OK &&
            !cv_json_add_bool(all, flags[i].name, value)) {
            return false;
        }
    }
    return all != NULL;
}

/* What is known of a key by its public half. */
static bool add_kind(cJSON *o, struct cv_attribute_place at, bool *known)
{
    uint8_t digest[CV_BOX_DIGEST_LEN];
    const char *kind = NULL;
    unsigned bits = 0;
    struct cv_buf spki;
    bool ok = true;

    cv_buf_init(&spki, NULL, CV_LIMIT_KEY_DER);
    *known = (cv_object_spki(at, &spki, NULL) == CV_OK ||
              cv_object_spki_beside(at, &spki, NULL) == CV_OK) &&
             cv_object_kind(cv_buf_bytes(&spki), &kind, &bits, NULL) == CV_OK;
    if (*known) {
        cv_box_digest(cv_buf_bytes(&spki), digest);
        ok = cv_json_add_str(o, "key_type", kind) &&
             cv_json_add_int(o, "bits", (int64_t)bits) &&
             cv_json_add_hex(o, "spki_sha256",
                             (struct cv_bytes){digest, sizeof(digest)});
    }
    cv_buf_wipe(&spki);
    return ok;
}

static cJSON *object_json(struct cv_attribute_place at)
{
    CK_OBJECT_CLASS class = CKO_VENDOR_DEFINED;
    bool readable = cv_attribute_ulong(at, CKA_CLASS, &class, NULL) == CV_OK;
    bool known = false, key = class == CKO_PRIVATE_KEY ||
                              class == CKO_PUBLIC_KEY ||
                              class == CKO_CERTIFICATE;
    cJSON *o = cJSON_CreateObject();
    bool ok =
        cv_json_add_str(o, "class",
                        readable ? cv_object_class_name(class) : "unknown") &&
        add_text(o, "label", at, CKA_LABEL) && add_id(o, at) &&
        (!key || add_kind(o, at, &known)) && add_flags(o, at) &&
        cv_json_add_bool(o, "readable", readable);

    if (!ok) {
        cJSON_Delete(o);
        return NULL;
    }
    return o;
}

static enum cv_status list_work(CK_FUNCTION_LIST *functions,
                                CK_SESSION_HANDLE session, void *context,
                                struct cv_err *err)
{
    const struct cv_object_filter any = {.token_only = true};
    CK_OBJECT_HANDLE *handles =
        calloc(CV_LIMIT_TOKEN_OBJECTS, sizeof(*handles));
    cJSON *out = context;
    size_t n = 0;
    enum cv_status s = handles != NULL ? CV_OK : no_memory(err);

    if (s == CV_OK) {
        s = cv_object_find(functions, session, &any, handles,
                           CV_LIMIT_TOKEN_OBJECTS, &n, err);
    }
    while (out->child != NULL) {
        cJSON_Delete(cJSON_DetachItemViaPointer(out, out->child));
    }
    for (size_t i = 0; s == CV_OK && i < n; i++) {
        const struct cv_attribute_place at = {functions, session, handles[i]};
        cJSON *item = object_json(at);

        if (item == NULL || !cJSON_AddItemToArray(out, item)) {
            cJSON_Delete(item);
            s = no_memory(err);
        }
    }
    /* What a token that went away meanwhile did not tell is not unreadable. */
    if (s == CV_OK) {
        CK_SESSION_INFO info;
        CK_RV rv = functions->C_GetSessionInfo(session, &info);

        s = rv == CKR_OK ? CV_OK : cv_rv_fail(err, rv, "C_GetSessionInfo");
    }
    free(handles);
    return s;
}

CV_MODULE_METHOD(objects_list)
{
    struct cv_module_face *face = context;
    struct cv_module_face_token *token;
    cJSON *out = cJSON_AddArrayToObject(cv_reply_parameters(reply), "objects");
    enum cv_status s =
        cv_module_read_token(face, parameters, "Objects", &token, err);

    if (s == CV_OK && out == NULL) {
        s = no_memory(err);
    }
    return s == CV_OK
               ? cv_module_face_do(face, token, 0, list_work, out, reply, err)
               : s;
}

/* Of more keys than these nothing is said but that they are several. */
#define NAMED 4

/* FindKey: the one private key that a URI names. */
struct finding {
    const struct cv_uri *uri;
    struct cv_buf id, spki, certificate;
};

/* Says which they are: "id=%77, id=%78". */
static enum cv_status several(struct cv_attribute_place at,
                              const CK_OBJECT_HANDLE *found, size_t n,
                              struct cv_err *err)
{
    struct cv_buf list, id;
    enum cv_status s = cv_fail(
        err, CV_INVALID, "the URI fits several private keys of this token");

    cv_buf_init(&list, NULL, CV_KIB(4));
    for (size_t i = 0; i < n; i++) {
        cv_buf_init(&id, NULL, CV_KIB(1));
        at.object = found[i];
        if (cv_attribute_read(at, CKA_ID, &id, NULL) == CV_OK && id.len > 0) {
            cv_buf_add_str(&list, list.len > 0 ? ", id=" : ": id=");
            for (size_t k = 0; k < id.len; k++) {
                cv_buf_add_format(&list, "%%%02x", id.data[k]);
            }
        }
        cv_buf_wipe(&id);
    }
    cv_err_hint(err,
                "name the one that is meant by id=; certvault token objects "
                "shows them%s",
                cv_buf_text(&list));
    cv_buf_wipe(&list);
    return s;
}

static enum cv_status one_private(const struct cv_uri *uri,
                                  struct cv_attribute_place *at,
                                  struct cv_err *err)
{
    const struct cv_object_filter filter = {
        .by_class = true,
        .class = CKO_PRIVATE_KEY,
        .id = cv_uri_id(uri),
        .label = cv_uri_label(uri),
        .token_only = true,
    };
    CK_OBJECT_HANDLE found[NAMED];
    size_t n = 0;
    enum cv_status s = cv_object_find(at->functions, at->session, &filter,
                                      found, NAMED, &n, err);

    if (s == CV_INVALID || (s == CV_OK && n > 1)) {
        s = several(*at, found, s == CV_OK ? n : 0, err);
    } else if (s == CV_OK && n == 0) {
        s = cv_fail(err, CV_NOT_FOUND,
                    "the token has no private key that fits the URI");
        cv_err_hint(err, "certvault token objects shows what it has");
    }
    at->object = n > 0 ? found[0] : 0;
    return s;
}

enum cv_status cv_module_objects_private(const struct cv_uri *uri,
                                         struct cv_attribute_place *at,
                                         struct cv_buf *id, struct cv_err *err)
{
    enum cv_status s = one_private(uri, at, err);

    if (s == CV_OK) {
        s = cv_attribute_read(*at, CKA_ID, id, err);
    }
    if (s == CV_OK && id->len == 0) {
        s = cv_fail(err, CV_INVALID, "this private key has no id (CKA_ID)");
        cv_err_hint(err, "give it one with the token's own tool");
    }
    return s;
}

static void add_pem(struct cv_bytes der, struct cv_buf *out)
{
    struct cv_buf text;

    cv_buf_init(&text, NULL, CV_LIMIT_PEM);
    cv_encode_base64(der, &text);
    cv_buf_add_str(out, "-----BEGIN CERTIFICATE-----\n");
    for (size_t at = 0; at < text.len; at += 64) {
        cv_buf_add(out, text.data + at,
                   text.len - at < 64 ? text.len - at : 64);
        cv_buf_add_char(out, '\n');
    }
    cv_buf_add_str(out, "-----END CERTIFICATE-----\n");
    cv_buf_wipe(&text);
}

static enum cv_status find_work(CK_FUNCTION_LIST *functions,
                                CK_SESSION_HANDLE session, void *context,
                                struct cv_err *err)
{
    struct finding *f = context;
    struct cv_attribute_place at = {functions, session, 0};
    struct cv_buf der;
    enum cv_status s;

    cv_buf_wipe(&f->id);
    cv_buf_wipe(&f->spki);
    cv_buf_wipe(&f->certificate);
    s = cv_module_objects_private(f->uri, &at, &f->id, err);
    if (s == CV_OK) {
        s = cv_object_spki_beside(at, &f->spki, err);
    }
    if (s != CV_OK) {
        return s;
    }
    cv_buf_init(&der, NULL, CV_LIMIT_CERT_DER);
    if (cv_object_get_certificate(functions, session, cv_buf_bytes(&f->id),
                                  cv_buf_bytes(&f->spki), &der,
                                  NULL) == CV_OK) {
        add_pem(cv_buf_bytes(&der), &f->certificate);
    }
    cv_buf_wipe(&der);
    return CV_OK;
}

static enum cv_status tell_key(const struct cv_module_face *face,
                               const struct cv_module_face_token *token,
                               const struct finding *f, cJSON *out,
                               struct cv_err *err)
{
    cJSON *key = cJSON_AddObjectToObject(out, "key");
    struct cv_buf uri;
    const char *kind = NULL;
    unsigned bits = 0;
    enum cv_status s =
        cv_object_kind(cv_buf_bytes(&f->spki), &kind, &bits, err);

    cv_buf_init(&uri, NULL, CV_LIMIT_TOKEN_URI);
    cv_module_face_uri(face, cv_session_token(token->pool), &uri);
    if (s == CV_OK &&
        (!cv_json_add_str(key, "token", cv_buf_text(&uri)) ||
         !cv_json_add_hex(key, "id", cv_buf_bytes(&f->id)) ||
         !cv_json_add_base64(key, "spki", cv_buf_bytes(&f->spki)) ||
         !cv_json_add_str(out, "key_type", kind) ||
         !cv_json_add_int(out, "bits", (int64_t)bits) ||
         (f->certificate.len > 0 &&
          !cv_json_add_str(out, "certificate",
                           cv_buf_text(&f->certificate))))) {
        s = no_memory(err);
    }
    cv_buf_wipe(&uri);
    return s;
}

CV_MODULE_METHOD(objects_find_key)
{
    struct cv_module_face *face = context;
    struct cv_module_face_token *token;
    const char *uri = NULL;
    const struct cv_json_field fields[] = {
        {"uri", CV_JSON_STRING, true, &uri, CV_LIMIT_TOKEN_URI},
    };
    struct cv_uri *parsed = NULL;
    struct finding f;
    enum cv_status s = cv_json_read(parameters, "FindKey",
                                    CV_MODULE_FIELDS(fields), true, err);

    cv_buf_init(&f.id, NULL, CV_LIMIT_TOKEN_ID);
    cv_buf_init(&f.spki, NULL, CV_LIMIT_KEY_DER);
    cv_buf_init(&f.certificate, NULL, CV_LIMIT_PEM);
    if (s == CV_OK) {
        s = cv_uri_parse(uri, &parsed, err);
    }
    if (s == CV_OK) {
        f.uri = parsed;
        s = cv_module_face_token(face, uri, &token, err);
    }
    if (s == CV_OK) {
        s = cv_module_face_do(face, token, CV_SESSION_USER, find_work, &f,
                              reply, err);
    }
    if (s == CV_OK) {
        s = tell_key(face, token, &f, cv_reply_parameters(reply), err);
    }
    cv_buf_wipe(&f.id);
    cv_buf_wipe(&f.spki);
    cv_buf_wipe(&f.certificate);
    cv_uri_free(parsed);
    return s;
}
