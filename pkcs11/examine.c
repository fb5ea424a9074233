#include "pkcs11/examine.h"

#include "pkcs11/create_internal.h"
#include "pkcs11/examine_internal.h"

#include <openssl/x509.h>
#include <string.h>

/* What comes out of a token in twenty attempts, each a fresh piece. */
#define ARENA CV_MIB(2)

static const struct {
    CK_ATTRIBUTE_TYPE type;
    const char *name; /* in JSON */
} flags[CV_EXAMINE_FLAGS] = {
    [CV_EXAMINE_TOKEN] = {CKA_TOKEN, "token"},
    [CV_EXAMINE_PRIVATE] = {CKA_PRIVATE, "private"},
    [CV_EXAMINE_SENSITIVE] = {CKA_SENSITIVE, "sensitive"},
    [CV_EXAMINE_EXTRACTABLE] = {CKA_EXTRACTABLE, "extractable"},
    [CV_EXAMINE_ALWAYS_SENSITIVE] = {CKA_ALWAYS_SENSITIVE, "always_sensitive"},
    [CV_EXAMINE_NEVER_EXTRACTABLE] = {CKA_NEVER_EXTRACTABLE,
                                      "never_extractable"},
    [CV_EXAMINE_LOCAL] = {CKA_LOCAL, "local"},
    [CV_EXAMINE_MODIFIABLE] = {CKA_MODIFIABLE, "modifiable"},
    [CV_EXAMINE_COPYABLE] = {CKA_COPYABLE, "copyable"},
    [CV_EXAMINE_SIGN] = {CKA_SIGN, "sign"},
    [CV_EXAMINE_SIGN_RECOVER] = {CKA_SIGN_RECOVER, "sign_recover"},
    [CV_EXAMINE_MAY_DECRYPT] = {CKA_DECRYPT, "decrypt"},
    [CV_EXAMINE_MAY_UNWRAP] = {CKA_UNWRAP, "unwrap"},
    [CV_EXAMINE_MAY_WRAP] = {CKA_WRAP, "wrap"},
    [CV_EXAMINE_MAY_DERIVE] = {CKA_DERIVE, "derive"},
    [CV_EXAMINE_ALWAYS_AUTHENTICATE] = {CKA_ALWAYS_AUTHENTICATE,
                                        "always_authenticate"},
};

static const char *const attack_names[CV_EXAMINE_ATTACKS] = {
    "read-secret",       "read-primes", "wrap-cbc-pad", "wrap-key-wrap",
    "wrap-key-wrap-pad", "wrap-kwp",    "wrap-rsa",     "wrap-twin",
    "copy-extractable",  "copy-plain",  "copy-public",  "set-extractable",
    "set-plain",         "derive",      "digest",       "decrypt"};

static const char *const result_names[] = {"refused", "leaked", "misused",
                                           "not possible", "error"};

const char *cv_examine_attack_name(enum cv_examine_attack attack)
{
    return attack_names[attack];
}

const char *cv_examine_result_name(enum cv_examine_result result)
{
    return result_names[result];
}

const char *cv_examine_flag_name(enum cv_examine_flag flag)
{
    return flags[flag].name;
}

enum cv_examine_result cv_examine_of(CK_RV rv)
{
    switch (rv) {
    case CKR_FUNCTION_NOT_SUPPORTED:
    case CKR_MECHANISM_INVALID:
        return CV_EXAMINE_NOT_POSSIBLE;
    case CKR_OK:
    case CKR_GENERAL_ERROR:
    case CKR_FUNCTION_FAILED:
    case CKR_HOST_MEMORY:
    case CKR_DEVICE_ERROR:
    case CKR_DEVICE_MEMORY:
    case CKR_DEVICE_REMOVED:
    case CKR_TOKEN_NOT_PRESENT:
    case CKR_SESSION_CLOSED:
    case CKR_SESSION_HANDLE_INVALID:
    case CKR_OBJECT_HANDLE_INVALID:
    case CKR_USER_NOT_LOGGED_IN:
    case CKR_CRYPTOKI_NOT_INITIALIZED:
        return CV_EXAMINE_ERROR;
    default:
        return CV_EXAMINE_REFUSED;
    }
}

/* Of several attempts the worse one counts. */
static int badness(enum cv_examine_result result)
{
    static const int table[] = {
        [CV_EXAMINE_NOT_POSSIBLE] = 0, [CV_EXAMINE_REFUSED] = 1,
        [CV_EXAMINE_ERROR] = 2,        [CV_EXAMINE_MISUSED] = 3,
        [CV_EXAMINE_LEAKED] = 4,
    };

    return table[result];
}

void cv_examine_note(struct examine *e, enum cv_examine_attack attack,
                     enum cv_examine_result result, CK_RV rv)
{
    struct cv_examine_outcome *o = &e->out->attacks[attack];

    if (badness(result) > badness(o->result) ||
        (result == o->result && o->rv == CKR_OK)) {
        o->result = result;
        o->rv = rv;
    }
}

bool cv_examine_opens(const struct examine *e, struct cv_bytes plain)
{
    const unsigned char *at = plain.data;
    PKCS8_PRIV_KEY_INFO *p8 =
        plain.len > 0 ? d2i_PKCS8_PRIV_KEY_INFO(NULL, &at, (long)plain.len)
                      : NULL;
    EVP_PKEY *key = p8 != NULL ? EVP_PKCS82PKEY(p8) : NULL;
    bool same = key != NULL && EVP_PKEY_eq(key, e->public_key) == 1;

    EVP_PKEY_free(key);
    PKCS8_PRIV_KEY_INFO_free(p8);
    return same;
}

enum cv_examine_told cv_examine_flag_now(const struct examine *e,
                                         CK_OBJECT_HANDLE object,
                                         CK_ATTRIBUTE_TYPE type)
{
    struct cv_attribute_place at = {e->f, e->s, object};
    bool value = false;

    if (cv_attribute_bool(at, type, &value, NULL) != CV_OK) {
        return CV_EXAMINE_UNTOLD;
    }
    return value ? CV_EXAMINE_YES : CV_EXAMINE_NO;
}

static void read_flags(struct examine *e)
{
    size_t i;

    for (i = 0; i < CV_EXAMINE_FLAGS; i++) {
        e->out->flags[i] = cv_examine_flag_now(e, e->key, flags[i].type);
    }
}

/* What must be the case: `strict` ones must be told so, the others must not be
 * told otherwise. */
struct demand {
    enum cv_examine_flag flag;
    enum cv_examine_told value;
    bool strict;
};

static enum cv_status demand(const struct examine *e, const struct demand *d,
                             size_t n, struct cv_err *err)
{
    size_t i;

    for (i = 0; i < n; i++) {
        enum cv_examine_told told = e->out->flags[d[i].flag];

        if (told == d[i].value || (told == CV_EXAMINE_UNTOLD && !d[i].strict)) {
            continue;
        }
        return cv_fail(err, CV_INTEGRITY,
                       "the token was told %s=%s for the key, and says %s",
                       cv_attribute_name(flags[d[i].flag].type),
                       d[i].value == CV_EXAMINE_YES ? "TRUE" : "FALSE",
                       told == CV_EXAMINE_UNTOLD ? "nothing"
                       : told == CV_EXAMINE_YES  ? "TRUE"
                                                 : "FALSE");
    }
    return CV_OK;
}

static enum cv_status check_flags(const struct examine *e, struct cv_err *err)
{
    static const struct demand guarded[] = {
        {CV_EXAMINE_TOKEN, CV_EXAMINE_YES, true},
        {CV_EXAMINE_PRIVATE, CV_EXAMINE_YES, true},
        {CV_EXAMINE_SENSITIVE, CV_EXAMINE_YES, true},
        {CV_EXAMINE_EXTRACTABLE, CV_EXAMINE_NO, true},
        {CV_EXAMINE_MODIFIABLE, CV_EXAMINE_NO, false},
        {CV_EXAMINE_COPYABLE, CV_EXAMINE_NO, false},
        {CV_EXAMINE_SIGN_RECOVER, CV_EXAMINE_NO, false},
    };
    static const struct demand signing[] = {
        {CV_EXAMINE_SIGN, CV_EXAMINE_YES, true},
        {CV_EXAMINE_MAY_DECRYPT, CV_EXAMINE_NO, false},
        {CV_EXAMINE_MAY_UNWRAP, CV_EXAMINE_NO, false},
        {CV_EXAMINE_MAY_DERIVE, CV_EXAMINE_NO, false},
    };
    static const struct demand adopted[] = {
        {CV_EXAMINE_SIGN, CV_EXAMINE_YES, false},
    };
    enum cv_status s;

    if (!e->fresh) {
        return e->slot ? CV_OK : demand(e, adopted, 1, err);
    }
    s = demand(e, guarded, sizeof(guarded) / sizeof(guarded[0]), err);
    if (s == CV_OK && !e->slot) {
        s = demand(e, signing, sizeof(signing) / sizeof(signing[0]), err);
    }
    return s;
}

/* Is what we read and what happened the same story? */
static void judge(struct examine *e)
{
    struct cv_findings *out = e->out;
    size_t i;

    out->leaky = out->flags[CV_EXAMINE_EXTRACTABLE] == CV_EXAMINE_YES ||
                 out->flags[CV_EXAMINE_SENSITIVE] == CV_EXAMINE_NO;
    for (i = 0; i < CV_EXAMINE_ATTACKS; i++) {
        if (out->attacks[i].result != CV_EXAMINE_LEAKED) {
            continue;
        }
        out->leaky = true;
        if (out->flags[CV_EXAMINE_EXTRACTABLE] == CV_EXAMINE_NO) {
            cv_examine_lie(e,
                           "it says that the key is not extractable, and gives "
                           "it out (%s)",
                           attack_names[i]);
        }
    }
}

static enum cv_status run(struct examine *e, struct cv_err *err)
{
    struct cv_attribute_place at = {e->f, e->s, e->key};
    const unsigned char *der = e->order->spki.data;
    CK_ULONG type = 0;
    enum cv_status s;

    e->public_key = e->order->spki.len > 0
                        ? d2i_PUBKEY(NULL, &der, (long)e->order->spki.len)
                        : NULL;
    if (e->public_key == NULL) {
        return cv_fail(err, CV_INVALID, "the key's public half is none");
    }
    s = cv_attribute_ulong(at, CKA_KEY_TYPE, &type, err);
    if (s != CV_OK) {
        return s;
    }
    e->type = type;
    read_flags(e);
    s = check_flags(e, err);
    if (s != CV_OK) {
        return s;
    }
    cv_examine_attack_wrap(e);
    cv_examine_attack_out(e);
    cv_examine_attack_use(e);
    judge(e);
    if (e->unrestored) {
        return cv_fail(err, CV_INTEGRITY,
                       "the token let an attribute of the key be changed, and "
                       "not be changed back");
    }
    return e->slot ? CV_OK : cv_examine_sign(e, err);
}

enum cv_status cv_examine_key(CK_FUNCTION_LIST *functions,
                              CK_SESSION_HANDLE session, CK_OBJECT_HANDLE key,
                              const struct cv_examine_order *order,
                              struct cv_findings *out, struct cv_err *err)
{
    struct examine e = {
        .f = functions, .s = session, .key = key, .order = order, .out = out};
    enum cv_status s;
    size_t i;

    memset(out, 0, sizeof(*out));
    for (i = 0; i < CV_EXAMINE_ATTACKS; i++) {
        out->attacks[i].result = CV_EXAMINE_NOT_POSSIBLE;
    }
    e.fresh =
        order->mode == CV_EXAMINE_FRESH || order->mode == CV_EXAMINE_FRESH_SLOT;
    e.slot = order->mode == CV_EXAMINE_FRESH_SLOT ||
             order->mode == CV_EXAMINE_ADOPTED_SLOT;
    s = cv_arena_new(ARENA, &e.arena, err);
    if (s == CV_OK) {
        s = run(&e, err);
    }
    cv_create_drop(functions, session, e.aes);
    EVP_PKEY_free(e.public_key);
    cv_arena_free(e.arena);
    return s;
}

static bool add_attacks(cJSON *object, const struct cv_findings *findings)
{
    cJSON *list = cJSON_CreateArray();
    size_t i;

    for (i = 0; list != NULL && i < CV_EXAMINE_ATTACKS; i++) {
        const struct cv_examine_outcome *o = &findings->attacks[i];
        cJSON *item = cJSON_CreateObject();

        if (!cv_json_add_str(item, "name", attack_names[i]) ||
            !cv_json_add_str(item, "result", result_names[o->result]) ||
            !cv_json_add_str(item, "rv",
                             o->rv == CKR_OK &&
                                     o->result == CV_EXAMINE_NOT_POSSIBLE
                                 ? ""
                                 : cv_rv_name(o->rv)) ||
            !cJSON_AddItemToArray(list, item)) {
            cJSON_Delete(item);
            cJSON_Delete(list);
            list = NULL;
        }
    }
    return cv_json_add_item(object, "attacks", list);
}

cJSON *cv_examine_json(const struct cv_findings *findings)
{
    cJSON *object = cJSON_CreateObject();
    bool ok = object != NULL;
    size_t i;

    for (i = 0; ok && i < CV_EXAMINE_FLAGS; i++) {
        if (findings->flags[i] != CV_EXAMINE_UNTOLD) {
            ok = cv_json_add_bool(object, flags[i].name,
                                  findings->flags[i] == CV_EXAMINE_YES);
        }
    }
    ok = ok && cv_json_add_bool(object, "leaky", findings->leaky) &&
         cv_json_add_bool(object, "signature", findings->signature) &&
         add_attacks(object, findings) &&
         cv_json_add_item(object, "lies", cv_notes_json(&findings->lies));
    if (!ok) {
        cJSON_Delete(object);
        return NULL;
    }
    return object;
}
