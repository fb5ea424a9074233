/* Target, Accepts, Import, Generate: how keys get into a token. */
#include "cli/module_methods_internal.h"
#include "pkcs11/import.h"
#include "vault/base/encode.h"
#include "vault/base/limits.h"
#include "vault/seal/match.h"

#include <string.h>

static enum cv_status no_memory(struct cv_err *err)
{
    return cv_fail(err, CV_INTERNAL, "memory is gone");
}

CV_MODULE_METHOD(keys_target)
{
    struct cv_module_face *face = context;
    struct cv_target *target = NULL;
    enum cv_status s = cv_json_read(parameters, "Target", NULL, 0, true, err);

    if (s == CV_OK) {
        s = cv_target_new(&target, err);
    }
    if (s != CV_OK) {
        return s;
    }
    cv_target_free(face->target);
    face->target = target;
    return cv_json_add_base64(
               cv_reply_parameters(reply), "public_key",
               (struct cv_bytes){cv_target_pair(target)->public_key,
                                 CV_BOX_KEY_LEN})
               ? CV_OK
               : no_memory(err);
}

struct accepting {
    const char *kind;
    int64_t bits;
    enum cv_create_way way;
};

static enum cv_status accepts_work(CK_FUNCTION_LIST *functions,
                                   CK_SESSION_HANDLE session, void *context,
                                   struct cv_err *err)
{
    struct accepting *a = context;

    return cv_create_accepts(functions, session, a->kind, (unsigned)a->bits,
                             &a->way, err);
}

/* An entry's words for its key, in the library's. NULL: no token takes it. */
static const char *kind_of(const char *type, int64_t bits)
{
    static const struct {
        const char *type, *kind;
        int64_t bits; /* 0: any */
    } kinds[] = {
        {"RSA", "rsa", 0},
        {"EC", "ec-p256", 256},
        {"EC", "ec-p384", 384},
        {"ED25519", "ed25519", 0},
    };

    for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
        if (strcmp(type, kinds[i].type) == 0 &&
            (kinds[i].bits == 0 || kinds[i].bits == bits)) {
            return kinds[i].kind;
        }
    }
    return NULL;
}

CV_MODULE_METHOD(keys_accepts)
{
    struct cv_module_face *face = context;
    struct cv_module_face_token *token;
    struct accepting a = {NULL, 0, CV_CREATE_IMPORTED};
    const char *uri = NULL, *type = NULL;
    const struct cv_json_field fields[] = {
        {"token", CV_JSON_STRING, true, &uri, CV_LIMIT_TOKEN_URI},
        {"key_type", CV_JSON_STRING, true, &type, 16},
        {"bits", CV_JSON_INT, true, &a.bits, 0},
    };
    enum cv_status s = cv_json_read(parameters, "Accepts",
                                    CV_MODULE_FIELDS(fields), true, err);

    if (s == CV_OK && (a.bits < 0 || a.bits > 65536)) {
        s = cv_fail(err, CV_INVALID, "no such size of a key");
    }
    if (s == CV_OK) {
        a.kind = kind_of(type, a.bits);
        s = a.kind != NULL ? CV_OK
                           : cv_fail(err, CV_INVALID,
                                     "no token takes %s keys of %lld bits",
                                     type, (long long)a.bits);
    }
    if (s == CV_OK) {
        s = cv_module_face_token(face, uri, &token, err);
    }
    if (s == CV_OK) {
        s = cv_module_face_do(face, token, CV_SESSION_RW | CV_SESSION_USER,
                              accepts_work, &a, reply, err);
    }
    if (s == CV_OK && !cv_json_add_str(cv_reply_parameters(reply), "way",
                                       cv_create_way_name(a.way))) {
        s = no_memory(err);
    }
    return s;
}

/* Import. */
struct taking {
    struct cv_import_order order;
    struct cv_arena *arena;
    struct cv_import_result result;
};

/* A Sealed: opens it with the target, which is used up unless `more` is to
 * come, and checks that it is the certificate's key. */
static enum cv_status open_sealed(struct cv_module_face *face,
                                  const cJSON *json, bool more,
                                  struct cv_arena *arena,
                                  struct cv_bytes *key_der, struct cv_err *err)
{
    const char *vault = NULL, *entry = NULL, *spki = NULL, *sealed = NULL,
               *certificate = NULL;
    const struct cv_json_field fields[] = {
        {"vault_id", CV_JSON_STRING, true, &vault, 0},
        {"entry_id", CV_JSON_STRING, true, &entry, 0},
        {"spki_sha256", CV_JSON_STRING, true, &spki, 0},
        {"certificate", CV_JSON_TEXT, true, &certificate, CV_LIMIT_PEM},
        {"sealed", CV_JSON_STRING, true, &sealed, CV_LIMIT_SEALED / 3 * 4 + 8},
    };
    struct cv_box_binding b;
    struct cv_bytes box;
    enum cv_status s = cv_json_read(json, "the sealed key",
                                    CV_MODULE_FIELDS(fields), true, err);

    if (s == CV_OK) {
        s = cv_decode_hex_exact(vault, "the vault id", b.vault_id,
                                sizeof(b.vault_id), err);
    }
    if (s == CV_OK) {
        s = cv_decode_hex_exact(entry, "the entry id", b.entry_id,
                                sizeof(b.entry_id), err);
    }
    if (s == CV_OK) {
        s = cv_decode_hex_exact(spki, "the public key's digest", b.spki_sha256,
                                sizeof(b.spki_sha256), err);
    }
    if (s == CV_OK) {
        s = cv_module_read_base64(sealed, "the sealed key", CV_LIMIT_SEALED,
                                  arena, &box, err);
    }
    if (s == CV_OK && face->target == NULL) {
        s = cv_fail(err, CV_UNAVAILABLE,
                    "the key was sealed to a module's process that is gone");
        cv_err_state(err, "nothing was done");
        cv_err_hint(err, "try again");
    }
    if (s == CV_OK) {
        s = cv_box_open(cv_target_pair(face->target), &b, box, arena, key_der,
                        err);
        if (s != CV_OK || !more) {
            cv_target_free(face->target);
            face->target = NULL;
        }
    }
    return s == CV_OK ? cv_match_key(*key_der, cv_module_read_text(certificate),
                                     b.spki_sha256, err)
                      : s;
}

static enum cv_status import_work(CK_FUNCTION_LIST *functions,
                                  CK_SESSION_HANDLE session, void *context,
                                  struct cv_err *err)
{
    struct taking *t = context;

    return cv_import_key(functions, session, &t->order, t->arena, &t->result,
                         err);
}

/* What was found out goes along with a failure too. */
static enum cv_status tell_result(const struct cv_import_result *r,
                                  enum cv_status s, struct cv_reply *reply,
                                  struct cv_err *err)
{
    cJSON *to =
        s == CV_OK ? cv_reply_parameters(reply) : cv_reply_failure(reply);
    bool ok = cv_json_add_item(to, "findings", cv_examine_json(&r->findings)) &&
              cv_json_add_item(to, "notes", cv_notes_json(&r->notes));

    if (s != CV_OK && r->notes.left) {
        (void)cv_json_add_bool(to, "left", true);
    }
    return s == CV_OK && !ok ? no_memory(err) : s;
}

static enum cv_status import_now(struct cv_module_face *face, const char *uri,
                                 struct taking *t, struct cv_reply *reply,
                                 struct cv_err *err)
{
    struct cv_module_face_token *token;
    enum cv_status s = cv_module_face_token(face, uri, &token, err);

    if (s != CV_OK) {
        return s;
    }
    t->order.pool = token->pool;
    s = cv_module_face_do(face, token,
                          CV_SESSION_RW | CV_SESSION_USER | CV_SESSION_ONCE,
                          import_work, t, reply, err);
    if (s == CV_OK && !cv_json_add_str(cv_reply_parameters(reply), "way",
                                       cv_create_way_name(t->result.way))) {
        s = no_memory(err);
    }
    return tell_result(&t->result, s, reply, err);
}

CV_MODULE_METHOD(keys_import)
{
    struct cv_module_face *face = context;
    const char *uri = NULL, *id = NULL, *chain = NULL, *ca = NULL;
    const cJSON *key = NULL;
    bool more = false;
    struct taking t = {.arena = NULL};
    const struct cv_json_field fields[] = {
        {"token", CV_JSON_STRING, true, &uri, CV_LIMIT_TOKEN_URI},
        {"key", CV_JSON_OBJECT, true, &key, 0},
        {"id", CV_JSON_STRING, true, &id, 2 * CV_LIMIT_TOKEN_ID},
        {"label", CV_JSON_STRING, true, &t.order.key.label, 0},
        {"certificates", CV_JSON_TEXT, true, &chain, CV_LIMIT_PEM},
        {"ca", CV_JSON_TEXT, false, &ca, CV_LIMIT_PEM},
        {"allow_leaky", CV_JSON_BOOL, true, &t.order.allow_leaky, 0},
        {"more", CV_JSON_BOOL, false, &more, 0},
    };
    enum cv_status s =
        cv_json_read(parameters, "Import", CV_MODULE_FIELDS(fields), true, err);

    if (s == CV_OK) {
        s = cv_arena_new(CV_MODULE_ARENA, &t.arena, err);
    }
    if (s == CV_OK) {
        s = cv_module_read_id(id, t.arena, &t.order.key.id, err);
    }
    if (s == CV_OK) {
        s = open_sealed(face, key, more, t.arena, &t.order.key.key_der, err);
    }
    if (s == CV_OK) {
        t.order.certificates = cv_module_read_text(chain);
        t.order.ca = cv_module_read_text(ca);
        s = import_now(face, uri, &t, reply, err);
    }
    cv_arena_free(t.arena);
    return s;
}

struct bearing {
    struct cv_generate_order order;
    bool allow_leaky;
    struct cv_session_pool *pool;
    struct cv_buf spki;
    struct cv_import_result result;
};

static enum cv_status generate_work(CK_FUNCTION_LIST *functions,
                                    CK_SESSION_HANDLE session, void *context,
                                    struct cv_err *err)
{
    struct bearing *b = context;

    return cv_import_generate(functions, session, &b->order, b->allow_leaky,
                              b->pool, &b->spki, &b->result, err);
}

CV_MODULE_METHOD(keys_generate)
{
    struct cv_module_face *face = context;
    struct cv_module_face_token *token;
    const char *uri = NULL, *id = NULL;
    struct bearing b = {.order = {.purpose = CV_GENERATE_SIGN}};
    const struct cv_json_field fields[] = {
        {"token", CV_JSON_STRING, true, &uri, CV_LIMIT_TOKEN_URI},
        {"alg", CV_JSON_STRING, true, &b.order.algorithm, 16},
        {"id", CV_JSON_STRING, true, &id, 2 * CV_LIMIT_TOKEN_ID},
        {"label", CV_JSON_STRING, true, &b.order.label, 0},
        {"allow_leaky", CV_JSON_BOOL, false, &b.allow_leaky, 0},
    };
    struct cv_arena *arena = NULL;
    enum cv_status s = cv_json_read(parameters, "Generate",
                                    CV_MODULE_FIELDS(fields), true, err);

    cv_buf_init(&b.spki, NULL, CV_LIMIT_KEY_DER);
    if (s == CV_OK) {
        s = cv_arena_new(CV_MODULE_ARENA, &arena, err);
    }
    if (s == CV_OK) {
        s = cv_module_read_id(id, arena, &b.order.id, err);
    }
    if (s == CV_OK) {
        s = cv_module_face_token(face, uri, &token, err);
    }
    if (s == CV_OK) {
        b.pool = token->pool;
        s = cv_module_face_do(face, token,
                              CV_SESSION_RW | CV_SESSION_USER | CV_SESSION_ONCE,
                              generate_work, &b, reply, err);
        s = tell_result(&b.result, s, reply, err);
    }
    if (s == CV_OK && !cv_json_add_base64(cv_reply_parameters(reply), "spki",
                                          cv_buf_bytes(&b.spki))) {
        s = no_memory(err);
    }
    cv_buf_wipe(&b.spki);
    cv_arena_free(arena);
    return s;
}
