/* The token's half of a slot. */
#include "pkcs11/slotkey.h"

#include "pkcs11/create_internal.h"
#include "pkcs11/examine.h"
#include "pkcs11/generate.h"
#include "pkcs11/slotkey_internal.h"

#include <string.h>

#define PLAIN_MAX 512 /* what a token may answer to C_Decrypt */
#define SHARED_MAX 48 /* of P-384 */

struct opening {
    CK_FUNCTION_LIST *f;
    CK_SESSION_HANDLE s;
    CK_OBJECT_HANDLE key;
    const EVP_PKEY *public_key;
    const struct cv_slotkey_sealed *sealed;
    struct cv_arena *arena;
};

/* A token that refuses a ciphertext tells by one of these. */
static bool not_its_own(CK_RV rv)
{
    return rv == CKR_ENCRYPTED_DATA_INVALID ||
           rv == CKR_ENCRYPTED_DATA_LEN_RANGE || rv == CKR_DATA_INVALID;
}

static enum cv_status failed(CK_RV rv, const char *call, struct cv_err *err)
{
    if (not_its_own(rv)) {
        return cv_fail_native(err, CV_INTEGRITY, CV_DOMAIN_PKCS11, (long)rv,
                              "the token says that the slot was not made for "
                              "its key (%s)",
                              cv_rv_name(rv));
    }
    return cv_rv_fail(err, rv, call);
}

static enum cv_status wrong_length(struct cv_err *err)
{
    return cv_fail(err, CV_INTEGRITY,
                   "what the token's key gives has a wrong length");
}

static enum cv_status open_rsa(const struct opening *o, struct cv_bytes *secret,
                               struct cv_err *err)
{
    bool sha1 = o->sealed->form == CV_SLOTKEY_OAEP_SHA1;
    CK_RSA_PKCS_OAEP_PARAMS params = {sha1 ? CKM_SHA_1 : CKM_SHA256,
                                      sha1 ? CKG_MGF1_SHA1 : CKG_MGF1_SHA256,
                                      CKZ_DATA_SPECIFIED, NULL, 0};
    CK_MECHANISM m = {CKM_RSA_PKCS_OAEP, &params, sizeof(params)};
    uint8_t *plain = cv_arena_alloc(o->arena, PLAIN_MAX, err);
    CK_ULONG len = PLAIN_MAX;
    CK_RV rv;

    if (plain == NULL) {
        return err != NULL ? err->status : CV_INTERNAL;
    }
    rv = o->f->C_DecryptInit(o->s, &m, o->key);
    if (rv != CKR_OK) {
        return cv_rv_fail(err, rv, "C_DecryptInit");
    }
    rv = o->f->C_Decrypt(o->s, (uint8_t *)(uintptr_t)o->sealed->data,
                         o->sealed->len, plain, &len);
    if (rv != CKR_OK) {
        return failed(rv, "C_Decrypt", err);
    }
    if (len != CV_SLOTKEY_SECRET_LEN) {
        return wrong_length(err);
    }
    *secret = (struct cv_bytes){plain, len};
    return CV_OK;
}

/* Agrees with `point`; with or without telling how long the result is: there
 * are tokens that want either. */
static CK_RV derive(const struct opening *o, struct cv_bytes point,
                    bool with_length, CK_OBJECT_HANDLE *out)
{
    CK_ECDH1_DERIVE_PARAMS params = {CKD_NULL, 0, NULL, point.len,
                                     (uint8_t *)(uintptr_t)point.data};
    CK_MECHANISM m = {CKM_ECDH1_DERIVE, &params, sizeof(params)};
    struct cv_attribute_template t;

    *out = CK_INVALID_HANDLE;
    cv_attribute_start(&t);
    cv_attribute_add_ulong(&t, CKA_CLASS, CKO_SECRET_KEY);
    cv_attribute_add_ulong(&t, CKA_KEY_TYPE, CKK_GENERIC_SECRET);
    cv_attribute_add_bool(&t, CKA_TOKEN, false);
    cv_attribute_add_bool(&t, CKA_SENSITIVE, false);
    cv_attribute_add_bool(&t, CKA_EXTRACTABLE, true);
    if (with_length) {
        cv_attribute_add_ulong(
            &t, CKA_VALUE_LEN,
            (CK_ULONG)(EVP_PKEY_get_bits(o->public_key) + 7) / 8);
    }
    return o->f->C_DeriveKey(o->s, &m, o->key, t.items, t.n, out);
}

/* The point as it is, and in an OCTET STRING: PKCS#11 allows both, and modules
 * take one of them. */
static CK_RV agree(const struct opening *o, CK_OBJECT_HANDLE *out)
{
    uint8_t der[SLOTKEY_POINT_MAX + 2] = {0x04, (uint8_t)o->sealed->len};
    struct cv_bytes raw = {o->sealed->data, o->sealed->len};
    struct cv_bytes wrapped = {der, o->sealed->len + 2};
    CK_RV rv;

    memcpy(der + 2, raw.data, raw.len);
    rv = derive(o, raw, true, out);
    if (rv == CKR_OK || rv == CKR_KEY_FUNCTION_NOT_PERMITTED ||
        rv == CKR_MECHANISM_INVALID || rv == CKR_USER_NOT_LOGGED_IN) {
        return rv;
    }
    if (derive(o, raw, false, out) == CKR_OK ||
        derive(o, wrapped, true, out) == CKR_OK ||
        derive(o, wrapped, false, out) == CKR_OK) {
        return CKR_OK;
    }
    return rv;
}

static enum cv_status open_ec(const struct opening *o, struct cv_bytes *secret,
                              struct cv_err *err)
{
    uint8_t *shared = cv_arena_alloc(o->arena, PLAIN_MAX, err);
    uint8_t *bytes = cv_arena_alloc(o->arena, CV_SLOTKEY_SECRET_LEN, err);
    CK_ATTRIBUTE value = {CKA_VALUE, shared, PLAIN_MAX};
    size_t want = ((size_t)EVP_PKEY_get_bits(o->public_key) + 7) / 8;
    CK_OBJECT_HANDLE derived = CK_INVALID_HANDLE;
    uint8_t own[SLOTKEY_POINT_MAX];
    size_t own_len = cv_slotkey_point(o->public_key, own);
    CK_RV rv;

    if (shared == NULL || bytes == NULL) {
        return err != NULL ? err->status : CV_INTERNAL;
    }
    if (own_len != o->sealed->len) {
        return cv_fail(err, CV_INVALID,
                       "the slot's point is not on the "
                       "token key's curve");
    }
    rv = agree(o, &derived);
    if (rv != CKR_OK) {
        return failed(rv, "C_DeriveKey", err);
    }
    rv = o->f->C_GetAttributeValue(o->s, derived, &value, 1);
    cv_create_drop(o->f, o->s, derived);
    if (rv != CKR_OK) {
        return cv_rv_fail(err, rv, "C_GetAttributeValue");
    }
    if (value.ulValueLen != want) {
        return wrong_length(err);
    }
    if (!cv_slotkey_kdf((struct cv_bytes){shared, want},
                        (struct cv_bytes){o->sealed->data, o->sealed->len},
                        (struct cv_bytes){own, own_len}, bytes)) {
        return cv_fail(err, CV_INTERNAL, "libcrypto has no HKDF");
    }
    *secret = (struct cv_bytes){bytes, CV_SLOTKEY_SECRET_LEN};
    return CV_OK;
}

enum cv_status cv_slotkey_open(CK_FUNCTION_LIST *functions,
                               CK_SESSION_HANDLE session, CK_OBJECT_HANDLE key,
                               struct cv_bytes spki,
                               const struct cv_slotkey_sealed *sealed,
                               struct cv_arena *arena, struct cv_bytes *secret,
                               struct cv_err *err)
{
    EVP_PKEY *public_key = cv_slotkey_public(spki, err);
    struct opening o = {functions, session, key, public_key, sealed, arena};
    enum cv_status s;

    *secret = (struct cv_bytes){NULL, 0};
    if (public_key == NULL) {
        return CV_INVALID;
    }
    if (!cv_slotkey_fits(public_key, sealed->form) || sealed->len == 0 ||
        sealed->len > sizeof(sealed->data)) {
        s = cv_fail(err, CV_INVALID,
                    "the slot does not go with the token's "
                    "key");
    } else {
        s = sealed->form == CV_SLOTKEY_ECDH ? open_ec(&o, secret, err)
                                            : open_rsa(&o, secret, err);
    }
    EVP_PKEY_free(public_key);
    return s;
}

enum cv_status cv_slotkey_choose(CK_FUNCTION_LIST *functions,
                                 CK_SESSION_HANDLE session,
                                 CK_OBJECT_HANDLE key, struct cv_bytes spki,
                                 struct cv_arena *arena,
                                 enum cv_slotkey_form *form, struct cv_err *err)
{
    EVP_PKEY *public_key = cv_slotkey_public(spki, err);
    enum cv_status s = CV_INVALID;
    bool tried = false;
    int i;

    if (public_key == NULL) {
        return CV_INVALID;
    }
    for (i = 0; i < CV_SLOTKEY_FORMS && s != CV_OK; i++) {
        struct cv_slotkey_sealed sealed;
        struct cv_bytes ours, theirs;

        if (!cv_slotkey_fits(public_key, (enum cv_slotkey_form)i)) {
            continue;
        }
        tried = true;
        s = cv_slotkey_seal(spki, (enum cv_slotkey_form)i, arena, &sealed,
                            &ours, err);
        if (s == CV_OK) {
            s = cv_slotkey_open(functions, session, key, spki, &sealed, arena,
                                &theirs, err);
        }
        if (s == CV_OK && !cv_bytes_equal(ours, theirs)) {
            s = cv_fail(err, CV_INTEGRITY,
                        "the token's key gives another secret than was sealed "
                        "to it");
        }
        *form = (enum cv_slotkey_form)i;
    }
    EVP_PKEY_free(public_key);
    if (tried && s != CV_OK && s != CV_LOCKED) {
        cv_err_prefix(err, "the token's key cannot open a vault");
        return CV_INVALID;
    }
    return s;
}

/* The box key is worth what guards this one: so it is distrusted as others. */
static enum cv_status distrust(CK_FUNCTION_LIST *f, CK_SESSION_HANDLE s,
                               CK_OBJECT_HANDLE key, struct cv_bytes spki,
                               struct cv_notes *notes, struct cv_err *err)
{
    struct cv_examine_order order = {CV_EXAMINE_FRESH_SLOT, spki, NULL};
    struct cv_findings found;
    enum cv_status st = cv_examine_key(f, s, key, &order, &found, err);

    if (st == CV_OK && found.leaky) {
        cv_notes_add(notes, "the token lets this key out: the slot is worth no "
                            "more than the token's PIN");
    }
    return st;
}

static enum cv_status make_one(CK_FUNCTION_LIST *f, CK_SESSION_HANDLE s,
                               const struct cv_generate_order *order,
                               struct cv_arena *arena, struct cv_buf *spki,
                               enum cv_slotkey_form *form,
                               struct cv_notes *notes, struct cv_err *err)
{
    CK_OBJECT_HANDLE key = CK_INVALID_HANDLE;
    struct cv_buf der;
    enum cv_status st;

    cv_buf_init(&der, NULL, CV_LIMIT_KEY_DER);
    st = cv_generate_key(f, s, order, &der, &key, notes, err);
    if (st == CV_OK) {
        st = cv_slotkey_choose(f, s, key, cv_buf_bytes(&der), arena, form, err);
        if (st == CV_OK) {
            st = distrust(f, s, key, cv_buf_bytes(&der), notes, err);
        }
        if (st != CV_OK) {
            cv_create_undo(f, s, order->id, &key, 1, NULL, err);
        }
    }
    if (st == CV_OK) {
        cv_buf_add(spki, der.data, der.len);
        st = cv_buf_status(spki, "the public key", err);
    }
    cv_buf_wipe(&der);
    return st;
}

enum cv_status cv_slotkey_make(CK_FUNCTION_LIST *functions,
                               CK_SESSION_HANDLE session, struct cv_bytes id,
                               const char *label, struct cv_arena *arena,
                               struct cv_buf *spki, enum cv_slotkey_form *form,
                               struct cv_notes *notes, struct cv_err *err)
{
    static const char *const algorithms[] = {"p256", "rsa2048", "p384"};
    enum cv_status s = CV_INVALID;
    size_t i;

    for (i = 0; i < sizeof(algorithms) / sizeof(algorithms[0]); i++) {
        struct cv_generate_order order = {algorithms[i], CV_GENERATE_SLOT, id,
                                          label};

        s = make_one(functions, session, &order, arena, spki, form, notes, err);
        if (s == CV_OK || s == CV_LOCKED || s == CV_EXISTS) {
            return s;
        }
    }
    cv_err_prefix(err, "the token makes no key that opens a vault (P-256, "
                       "RSA-2048, P-384)");
    return s;
}
