/* Snapshot, Debris, DestroyDebris, Destroy, PutCertificates. */
#include "cli/module_methods_internal.h"
#include "pkcs11/create.h"
#include "pkcs11/debris.h"
#include "vault/base/limits.h"

static enum cv_status no_memory(struct cv_err *err)
{
    return cv_fail(err, CV_INTERNAL, "memory is gone");
}

static enum cv_status snapshot_work(CK_FUNCTION_LIST *functions,
                                    CK_SESSION_HANDLE session, void *context,
                                    struct cv_err *err)
{
    cJSON **out = context;

    return cv_debris_snapshot(functions, session, out, err);
}

static enum cv_status add_objects(cJSON *objects, enum cv_status s,
                                  struct cv_reply *reply, struct cv_err *err)
{
    if (s != CV_OK) {
        cJSON_Delete(objects);
        return s;
    }
    return cv_json_add_item(cv_reply_parameters(reply), "objects", objects)
               ? CV_OK
               : no_memory(err);
}

CV_MODULE_METHOD(debris_snapshot)
{
    struct cv_module_face *face = context;
    struct cv_module_face_token *token;
    cJSON *objects = NULL;
    enum cv_status s =
        cv_module_read_token(face, parameters, "Snapshot", &token, err);

    if (s == CV_OK) {
        s = cv_module_face_do(face, token, CV_SESSION_USER, snapshot_work,
                              &objects, reply, err);
    }
    return add_objects(objects, s, reply, err);
}

struct debris {
    const cJSON *snapshot, *known;
    const char *digest;
    cJSON *objects;
};

static enum cv_status debris_work(CK_FUNCTION_LIST *functions,
                                  CK_SESSION_HANDLE session, void *context,
                                  struct cv_err *err)
{
    struct debris *d = context;

    return cv_debris_list(functions, session, d->snapshot, d->known,
                          &d->objects, err);
}

CV_MODULE_METHOD(debris_debris)
{
    struct cv_module_face *face = context;
    struct cv_module_face_token *token;
    const char *uri = NULL;
    struct debris d = {NULL, NULL, NULL, NULL};
    const struct cv_json_field fields[] = {
        {"token", CV_JSON_STRING, true, &uri, CV_LIMIT_TOKEN_URI},
        {"snapshot", CV_JSON_ARRAY, true, &d.snapshot, 0},
        {"known", CV_JSON_ARRAY, false, &d.known, 0},
    };
    enum cv_status s =
        cv_json_read(parameters, "Debris", CV_MODULE_FIELDS(fields), true, err);

    if (s == CV_OK) {
        s = cv_module_face_token(face, uri, &token, err);
    }
    if (s == CV_OK) {
        s = cv_module_face_do(face, token, CV_SESSION_USER, debris_work, &d,
                              reply, err);
    }
    return add_objects(d.objects, s, reply, err);
}

static enum cv_status destroy_debris_work(CK_FUNCTION_LIST *functions,
                                          CK_SESSION_HANDLE session,
                                          void *context, struct cv_err *err)
{
    const struct debris *d = context;

    return cv_debris_destroy(functions, session, d->digest, err);
}

CV_MODULE_METHOD(debris_destroy_debris)
{
    struct cv_module_face *face = context;
    struct cv_module_face_token *token;
    const char *uri = NULL;
    struct debris d = {NULL, NULL, NULL, NULL};
    const struct cv_json_field fields[] = {
        {"token", CV_JSON_STRING, true, &uri, CV_LIMIT_TOKEN_URI},
        {"digest", CV_JSON_STRING, true, &d.digest, CV_DEBRIS_DIGEST_LEN},
    };
    enum cv_status s = cv_json_read(parameters, "DestroyDebris",
                                    CV_MODULE_FIELDS(fields), true, err);

    if (s == CV_OK) {
        s = cv_module_face_token(face, uri, &token, err);
    }
    return s == CV_OK ? cv_module_face_do(face, token,
                                          CV_SESSION_RW | CV_SESSION_USER |
                                              CV_SESSION_ONCE,
                                          destroy_debris_work, &d, reply, err)
                      : s;
}

struct belongings {
    struct cv_bytes id;
    const char *label;
    struct cv_bytes certificates, ca;
    struct cv_notes notes;
    size_t destroyed;
};

static enum cv_status destroy_work(CK_FUNCTION_LIST *functions,
                                   CK_SESSION_HANDLE session, void *context,
                                   struct cv_err *err)
{
    struct belongings *b = context;

    return cv_create_destroy(functions, session, b->id, b->label, &b->destroyed,
                             err);
}

/* By `key`, or by token, id and label. */
static enum cv_status read_destroy(const cJSON *parameters,
                                   struct cv_arena *arena, const char **uri,
                                   struct belongings *b, struct cv_err *err)
{
    const cJSON *key = NULL;
    const char *id = NULL;
    const struct cv_json_field fields[] = {
        {"key", CV_JSON_OBJECT, false, &key, 0},
        {"token", CV_JSON_STRING, false, uri, CV_LIMIT_TOKEN_URI},
        {"id", CV_JSON_STRING, false, &id, 2 * CV_LIMIT_TOKEN_ID},
        {"label", CV_JSON_STRING, false, &b->label, 0},
    };
    struct cv_module_read_key read = {0};
    enum cv_status s = cv_json_read(parameters, "Destroy",
                                    CV_MODULE_FIELDS(fields), true, err);

    if (s == CV_OK && key != NULL) {
        s = cv_module_read_key(key, arena, &read, err);
        *uri = read.token;
        b->id = read.key.id;
        b->label = read.label;
    } else if (s == CV_OK && id != NULL) {
        s = cv_module_read_id(id, arena, &b->id, err);
    }
    if (s == CV_OK && (*uri == NULL || b->id.len == 0 || b->label == NULL)) {
        s = cv_fail(err, CV_INVALID, "Destroy: token, id and label are wanted");
    }
    return s;
}

CV_MODULE_METHOD(debris_destroy)
{
    struct cv_module_face *face = context;
    struct cv_module_face_token *token;
    struct cv_arena *arena = NULL;
    struct belongings b = {.label = NULL};
    const char *uri = NULL;
    enum cv_status s = cv_arena_new(CV_MODULE_ARENA, &arena, err);

    if (s == CV_OK) {
        s = read_destroy(parameters, arena, &uri, &b, err);
    }
    if (s == CV_OK) {
        s = cv_module_face_token(face, uri, &token, err);
    }
    if (s == CV_OK) {
        s = cv_module_face_do(face, token, CV_SESSION_RW | CV_SESSION_USER,
                              destroy_work, &b, reply, err);
    }
    cv_arena_free(arena);
    if (s == CV_OK && !cv_json_add_int(cv_reply_parameters(reply), "destroyed",
                                       (int64_t)b.destroyed)) {
        s = no_memory(err);
    }
    return s;
}

static enum cv_status put_work(CK_FUNCTION_LIST *functions,
                               CK_SESSION_HANDLE session, void *context,
                               struct cv_err *err)
{
    struct belongings *b = context;

    return cv_create_certificates(functions, session, b->id, b->label,
                                  b->certificates, b->ca, &b->notes, err);
}

CV_MODULE_METHOD(debris_put_certificates)
{
    struct cv_module_face *face = context;
    struct cv_module_face_token *token;
    struct cv_module_read_key read = {0};
    const char *chain = NULL, *ca = NULL;
    const cJSON *key = NULL;
    struct belongings b = {.label = NULL};
    const struct cv_json_field fields[] = {
        {"key", CV_JSON_OBJECT, true, &key, 0},
        {"label", CV_JSON_STRING, true, &b.label, 0},
        {"certificates", CV_JSON_TEXT, true, &chain, CV_LIMIT_PEM},
        {"ca", CV_JSON_TEXT, false, &ca, CV_LIMIT_PEM},
    };
    struct cv_arena *arena = NULL;
    enum cv_status s = cv_json_read(parameters, "PutCertificates",
                                    CV_MODULE_FIELDS(fields), true, err);

    if (s == CV_OK) {
        s = cv_arena_new(CV_MODULE_ARENA, &arena, err);
    }
    if (s == CV_OK) {
        s = cv_module_read_key(key, arena, &read, err);
    }
    if (s == CV_OK) {
        b.id = read.key.id;
        b.certificates = cv_module_read_text(chain);
        b.ca = cv_module_read_text(ca);
        s = cv_module_face_token(face, read.token, &token, err);
    }
    if (s == CV_OK) {
        s = cv_module_face_do(face, token, CV_SESSION_RW | CV_SESSION_USER,
                              put_work, &b, reply, err);
    }
    cv_arena_free(arena);
    if (s == CV_OK && !cv_json_add_item(cv_reply_parameters(reply), "notes",
                                        cv_notes_json(&b.notes))) {
        s = no_memory(err);
    }
    return s;
}
