#include "pkcs11/create.h"

#include "pkcs11/create_internal.h"
#include "pkcs11/mechanism.h"

#include <string.h>

#define ARENA_TRIAL CV_KIB(256)
#define RSA_TRIAL_BITS 2048

const char *cv_create_way_name(enum cv_create_way way)
{
    return way == CV_CREATE_UNWRAPPED ? "unwrapped" : "imported";
}

struct importing {
    const struct create_place *at;
    const struct create_parts *parts;
};

static CK_RV import_attempt(void *context, struct cv_attribute_template *t,
                            CK_OBJECT_HANDLE *out)
{
    static const CK_ATTRIBUTE_TYPE types[CREATE_NUMBERS] = {
        CKA_MODULUS,    CKA_PUBLIC_EXPONENT, CKA_PRIVATE_EXPONENT,
        CKA_PRIME_1,    CKA_PRIME_2,         CKA_EXPONENT_1,
        CKA_EXPONENT_2, CKA_COEFFICIENT};
    const struct importing *c = context;
    size_t i;

    cv_attribute_add_ulong(t, CKA_CLASS, CKO_PRIVATE_KEY);
    cv_attribute_add_ulong(t, CKA_KEY_TYPE, c->parts->key_type);
    if (c->parts->key_type == CKK_RSA) {
        for (i = 0; i < CREATE_NUMBERS; i++) {
            cv_attribute_add_bytes(t, types[i], c->parts->number[i]);
        }
    } else {
        cv_attribute_add_bytes(t, CKA_EC_PARAMS, c->parts->params);
        cv_attribute_add_bytes(t, CKA_VALUE, c->parts->secret);
    }
    cv_create_template_order(t);
    return c->at->f->C_CreateObject(c->at->s, t->items, t->n, out);
}

CK_RV cv_create_import(const struct create_place *at,
                       const struct create_want *want,
                       const struct create_parts *parts, CK_OBJECT_HANDLE *out,
                       struct cv_notes *notes)
{
    struct importing context = {at, parts};

    return cv_create_template_try(at, want, import_attempt, &context, out,
                                  notes);
}

/* Unwraps, so that the key has the usages that it should have, no more. */
static CK_RV unwrap_safe(const struct create_place *at,
                         const struct create_want *want,
                         const struct create_parts *parts,
                         struct cv_bytes key_der, CK_OBJECT_HANDLE *out,
                         struct cv_notes *notes)
{
    CK_RV rv = cv_create_unwrap(at, want, parts, key_der, out, notes);
    struct create_want loosely = *want;
    CK_OBJECT_HANDLE loose;

    if (rv != CKR_OK || cv_create_mend_is_safe(at, *out)) {
        return rv;
    }
    (void)cv_create_unmake(at->f, at->s, want->id, *out);
    loosely.token = false;
    loosely.bare = true;
    rv = cv_create_unwrap(at, &loosely, parts, key_der, &loose, NULL);
    if (rv == CKR_OK) {
        rv = cv_create_mend(at, want, loose, out);
        cv_create_drop(at->f, at->s, loose);
    }
    return rv;
}

/* Both ways in turn. */
static CK_RV create(const struct create_place *at,
                    const struct create_want *want,
                    const struct create_parts *parts, struct cv_bytes key_der,
                    enum cv_create_way *way, CK_OBJECT_HANDLE *out,
                    struct cv_notes *notes)
{
    CK_RV rv = unwrap_safe(at, want, parts, key_der, out, notes);

    if (rv == CKR_OK) {
        *way = CV_CREATE_UNWRAPPED;
        return CKR_OK;
    }
    if (rv != CKR_MECHANISM_INVALID) {
        cv_notes_add(notes,
                     "the token lists unwrapping, but not of this key: "
                     "%s",
                     cv_rv_name(rv));
    }
    *way = CV_CREATE_IMPORTED;
    return cv_create_import(at, want, parts, out, notes);
}

/* The mechanism to sign with such a key must be there, and take its size. */
static enum cv_status signs(CK_FUNCTION_LIST *f, CK_SESSION_HANDLE s,
                            const struct create_parts *parts,
                            struct cv_err *err)
{
    char room[CV_MECHANISM_NAME_LEN];
    CK_MECHANISM_INFO info = {0};

    if (!cv_mechanism_has(f, s, parts->sign, CKF_SIGN, &info)) {
        (void)cv_fail(err, CV_INVALID,
                      "the token does not sign with %s keys: it has no %s",
                      parts->kind, cv_mechanism_name(parts->sign, room));
        cv_err_hint(err, "use another kind of key, or another token");
        return CV_INVALID;
    }
    /* SoftHSM tells Ed25519's sizes in bytes, others in bits, some 0. */
    if (parts->key_type != CKK_EC_EDWARDS && info.ulMaxKeySize >= 160 &&
        (parts->bits > info.ulMaxKeySize ||
         (info.ulMinKeySize <= info.ulMaxKeySize &&
          parts->bits < info.ulMinKeySize))) {
        return cv_fail(err, CV_INVALID,
                       "the token's %s takes keys of %lu to %lu bits, not %u",
                       cv_mechanism_name(parts->sign, room), info.ulMinKeySize,
                       info.ulMaxKeySize, parts->bits);
    }
    return CV_OK;
}

static enum cv_status trial(const struct create_place *at, const char *kind,
                            unsigned bits, enum cv_create_way *way,
                            struct cv_err *err)
{
    static const uint8_t id[] = "certvault-trial";
    struct create_parts parts = {0};
    struct create_want want = {.id = {id, sizeof(id) - 1},
                               .label = "certvault-trial",
                               .purpose = CV_GENERATE_SIGN};
    CK_OBJECT_HANDLE handle = CK_INVALID_HANDLE;
    struct cv_bytes der;
    enum cv_status s;
    CK_RV rv;

    s = cv_create_parts_make(kind, RSA_TRIAL_BITS, at->arena, &der, err);
    if (s == CV_OK) {
        s = cv_create_parts_private(der, at->arena, &parts, err);
    }
    if (s != CV_OK) {
        return s;
    }
    parts.bits = parts.key_type == CKK_RSA ? bits : parts.bits;
    want.key_type = parts.key_type;
    s = signs(at->f, at->s, &parts, err);
    if (s != CV_OK) {
        return s;
    }
    rv = create(at, &want, &parts, der, way, &handle, NULL);
    if (rv != CKR_OK) {
        (void)cv_fail_native(err, CV_INVALID, CV_DOMAIN_PKCS11, (long)rv,
                             "the token takes no %s key from outside: "
                             "C_CreateObject answered %s",
                             kind, cv_rv_name(rv));
        cv_err_hint(err, "let the token make the key (certvault generate), or "
                         "adopt one that its own tool made");
        return CV_INVALID;
    }
    cv_create_drop(at->f, at->s, handle);
    return CV_OK;
}

enum cv_status cv_create_accepts(CK_FUNCTION_LIST *functions,
                                 CK_SESSION_HANDLE session, const char *kind,
                                 unsigned bits, enum cv_create_way *way,
                                 struct cv_err *err)
{
    struct create_place at = {functions, session, NULL};
    enum cv_status s = cv_arena_new(ARENA_TRIAL, &at.arena, err);

    if (s == CV_OK) {
        s = trial(&at, kind, bits, way, err);
    }
    cv_arena_free(at.arena);
    return s;
}

enum cv_status cv_create_free_id(CK_FUNCTION_LIST *f, CK_SESSION_HANDLE s,
                                 struct cv_bytes id, struct cv_err *err)
{
    struct cv_object_filter filter = {.id = id, .token_only = true};
    CK_OBJECT_HANDLE found[CV_LIMIT_TOKEN_KEYS];
    size_t n = 0;
    enum cv_status st =
        cv_object_find(f, s, &filter, found, CV_LIMIT_TOKEN_KEYS, &n, err);

    if (st == CV_OK && n > 0) {
        st = cv_fail(err, CV_EXISTS,
                     "the token has %zu objects with this id already", n);
    }
    return st;
}

enum cv_status cv_create_made(CK_FUNCTION_LIST *f, CK_SESSION_HANDLE s,
                              struct cv_bytes id, CK_OBJECT_HANDLE *out,
                              struct cv_err *err)
{
    struct cv_object_filter filter = {.by_class = true,
                                      .class = CKO_PRIVATE_KEY,
                                      .id = id,
                                      .token_only = true};
    CK_OBJECT_HANDLE found[CV_LIMIT_TOKEN_KEYS];
    size_t n = 0;
    enum cv_status st =
        cv_object_find(f, s, &filter, found, CV_LIMIT_TOKEN_KEYS, &n, err);

    if (st == CV_OK && n != 1) {
        st = cv_fail(err, CV_INTEGRITY,
                     "the token said that it made the key, and has %zu such "
                     "keys",
                     n);
    }
    if (st == CV_OK) {
        *out = found[0];
    }
    return st;
}

void cv_create_drop(CK_FUNCTION_LIST *f, CK_SESSION_HANDLE s,
                    CK_OBJECT_HANDLE object)
{
    struct cv_attribute_place at = {f, s, object};
    bool on_token = false;

    if (object == CK_INVALID_HANDLE ||
        (cv_attribute_bool(at, CKA_TOKEN, &on_token, NULL) == CV_OK &&
         on_token)) {
        return;
    }
    (void)f->C_DestroyObject(s, object);
}

bool cv_create_unmake(CK_FUNCTION_LIST *f, CK_SESSION_HANDLE s,
                      struct cv_bytes id, CK_OBJECT_HANDLE object)
{
    struct cv_attribute_place at = {f, s, object};
    struct cv_buf told;
    bool others;
    CK_RV rv;

    if (object == CK_INVALID_HANDLE) {
        return true;
    }
    cv_buf_init(&told, NULL, CV_KIB(4));
    others = cv_attribute_read(at, CKA_ID, &told, NULL) == CV_OK &&
             told.len > 0 && !cv_bytes_equal(cv_buf_bytes(&told), id);
    cv_buf_wipe(&told);
    if (others) {
        return true;
    }
    rv = f->C_DestroyObject(s, object);
    return rv == CKR_OK || rv == CKR_OBJECT_HANDLE_INVALID;
}

void cv_create_undo(CK_FUNCTION_LIST *f, CK_SESSION_HANDLE s,
                    struct cv_bytes id, const CK_OBJECT_HANDLE *made, size_t n,
                    struct cv_notes *notes, struct cv_err *err)
{
    struct cv_object_filter filter = {.id = id, .token_only = true};
    CK_OBJECT_HANDLE found[CV_LIMIT_TOKEN_KEYS];
    bool gone = true;
    size_t left = 0, i;

    for (i = 0; i < n; i++) {
        gone = cv_create_unmake(f, s, id, made[i]) && gone;
    }
    if (cv_object_find(f, s, &filter, found, CV_LIMIT_TOKEN_KEYS, &left,
                       NULL) == CV_OK) {
        for (i = 0; i < left; i++) {
            (void)f->C_DestroyObject(s, found[i]);
        }
    }
    if (!gone ||
        cv_object_find(f, s, &filter, found, CV_LIMIT_TOKEN_KEYS, &left,
                       NULL) != CV_OK ||
        left > 0) {
        cv_err_state(err, "objects of this key may be left on the token");
        cv_notes_leave(notes);
    } else {
        cv_err_state(err, "nothing of the key is left on the token");
    }
}

enum cv_status cv_create_key(CK_FUNCTION_LIST *functions,
                             CK_SESSION_HANDLE session,
                             const struct cv_create_key *key,
                             struct cv_arena *arena, enum cv_create_way *way,
                             CK_OBJECT_HANDLE *handle, struct cv_notes *notes,
                             struct cv_err *err)
{
    struct create_place at = {functions, session, arena};
    struct create_want want = {.id = key->id,
                               .label = key->label,
                               .token = true,
                               .purpose = CV_GENERATE_SIGN};
    struct create_parts parts;
    enum cv_status s;
    CK_OBJECT_HANDLE made = CK_INVALID_HANDLE;
    CK_RV rv;

    *handle = CK_INVALID_HANDLE;
    s = cv_create_parts_private(key->key_der, arena, &parts, err);
    if (s == CV_OK) {
        s = signs(functions, session, &parts, err);
    }
    if (s == CV_OK) {
        s = cv_create_free_id(functions, session, key->id, err);
    }
    if (s != CV_OK) {
        return s;
    }
    want.key_type = parts.key_type;
    rv = create(&at, &want, &parts, key->key_der, way, &made, notes);
    s = rv == CKR_OK ? cv_create_made(functions, session, key->id, handle, err)
                     : cv_rv_fail(err, rv, "C_CreateObject");
    if (s != CV_OK) {
        *handle = CK_INVALID_HANDLE;
        cv_create_undo(functions, session, key->id, &made, 1, notes, err);
    }
    return s;
}
