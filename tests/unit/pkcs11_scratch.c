#include "tests/unit/pkcs11_scratch.h"

#include "pkcs11/create_internal.h"
#include "vault/base/json.h"

#include <openssl/pem.h>
#include <openssl/x509.h>
#include <string.h>

static void login(struct scratch *t)
{
    rig_login(&t->rig);
    t->s = rig_session(&t->rig, CV_SESSION_RW | CV_SESSION_USER);
}

void scratch_begin(struct scratch *t, enum rig_kind kind)
{
    memset(t, 0, sizeof(*t));
    assert_int_equal(cv_arena_start(NULL), CV_OK);
    cv_json_start();
    rig_begin(&t->rig, kind);
    t->real = t->rig.f;
    t->patched = *t->real;
    t->f = &t->patched;
    assert_int_equal(cv_arena_new(CV_MIB(8), &t->arena, NULL), CV_OK);
    login(t);
}

void scratch_end(struct scratch *t)
{
    if (t->real == NULL) {
        return;
    }
    if (t->s != CK_INVALID_HANDLE) {
        cv_session_give(t->rig.pool, t->s, false);
    }
    rig_end(&t->rig);
    cv_arena_free(t->arena);
    memset(t, 0, sizeof(*t));
}

void scratch_misbehave(struct scratch *t, const char *control)
{
    rig_write(&t->rig, "control", control);
}

void scratch_again(struct scratch *t)
{
    cv_session_give(t->rig.pool, t->s, true);
    assert_int_equal(cv_login_out(t->rig.pool, &t->rig.err), CV_OK);
    login(t);
}

void scratch_ok(enum cv_status s, const struct cv_err *err)
{
    if (s != CV_OK) {
        fail_msg("%s (%s; %s)", err->text, err->state, err->hint);
    }
}

static size_t objects(struct scratch *t, bool token_only)
{
    CK_BBOOL yes = CK_TRUE;
    CK_ATTRIBUTE token = {CKA_TOKEN, &yes, sizeof(yes)};
    CK_OBJECT_HANDLE found[256];
    CK_ULONG n = 0;

    assert_int_equal(
        t->real->C_FindObjectsInit(t->s, &token, token_only ? 1 : 0), CKR_OK);
    assert_int_equal(t->real->C_FindObjects(t->s, found, 256, &n), CKR_OK);
    assert_int_equal(t->real->C_FindObjectsFinal(t->s), CKR_OK);
    return n;
}

size_t scratch_objects(struct scratch *t)
{
    return objects(t, true);
}

size_t scratch_all(struct scratch *t)
{
    return objects(t, false);
}

void scratch_show(struct scratch *t)
{
    CK_OBJECT_HANDLE found[256];
    CK_ULONG n = 0, i;

    (void)t->real->C_FindObjectsInit(t->s, NULL, 0);
    (void)t->real->C_FindObjects(t->s, found, 256, &n);
    (void)t->real->C_FindObjectsFinal(t->s);
    for (i = 0; i < n; i++) {
        CK_OBJECT_CLASS class = 0;
        char label[64] = "";
        CK_ATTRIBUTE list[] = {{CKA_CLASS, &class, sizeof(class)},
                               {CKA_LABEL, label, sizeof(label) - 1}};

        (void)t->real->C_GetAttributeValue(t->s, found[i], list, 2);
        print_message("object %lu: class %lu, token %d, \"%s\"\n", found[i],
                      class, scratch_flag(t, found[i], CKA_TOKEN), label);
    }
}

static struct cv_bytes keep(struct scratch *t, const void *data, size_t len)
{
    struct cv_bytes out = {
        (const uint8_t *)cv_arena_copy(t->arena, data, len, NULL), len};

    assert_non_null(out.data);
    return out;
}

static struct cv_bytes certify(struct scratch *t, EVP_PKEY *key)
{
    static long serial = 1;
    X509 *x = X509_new();
    BIO *bio = BIO_new(BIO_s_mem());
    const EVP_MD *md =
        EVP_PKEY_get_id(key) == EVP_PKEY_ED25519 ? NULL : EVP_sha256();
    struct cv_bytes out;
    char *data = NULL;
    long len;

    assert_true(X509_set_version(x, 2));
    assert_true(ASN1_INTEGER_set(X509_get_serialNumber(x), serial++));
    assert_non_null(X509_gmtime_adj(X509_getm_notBefore(x), 0));
    assert_non_null(X509_gmtime_adj(X509_getm_notAfter(x), 86400));
    assert_true(X509_NAME_add_entry_by_txt(
        X509_get_subject_name(x), "CN", MBSTRING_ASC,
        (const unsigned char *)"someone", -1, -1, 0));
    assert_true(X509_set_issuer_name(x, X509_get_subject_name(x)));
    assert_true(X509_set_pubkey(x, key));
    assert_true(X509_sign(x, key, md) > 0);
    assert_true(PEM_write_bio_X509(bio, x));
    len = BIO_get_mem_data(bio, &data);
    out = keep(t, data, (size_t)len);
    BIO_free(bio);
    X509_free(x);
    return out;
}

struct scratch_key scratch_make_key(struct scratch *t, const char *kind)
{
    struct scratch_key out;
    const unsigned char *at;
    struct cv_buf spki;
    EVP_PKEY *key;

    assert_int_equal(cv_create_parts_make(kind, 2048, t->arena, &out.der, NULL),
                     CV_OK);
    cv_buf_init(&spki, NULL, CV_KIB(4));
    assert_int_equal(cv_create_spki(out.der, &spki, NULL), CV_OK);
    out.spki = keep(t, spki.data, spki.len);
    cv_buf_wipe(&spki);
    at = out.der.data;
    key = d2i_AutoPrivateKey(NULL, &at, (long)out.der.len);
    assert_non_null(key);
    out.pem = certify(t, key);
    EVP_PKEY_free(key);
    return out;
}

bool scratch_has(struct scratch *t, CK_MECHANISM_TYPE mechanism)
{
    CK_SESSION_INFO session;
    CK_MECHANISM_INFO info;

    assert_int_equal(t->real->C_GetSessionInfo(t->s, &session), CKR_OK);
    return t->real->C_GetMechanismInfo(session.slotID, mechanism, &info) ==
           CKR_OK;
}

int scratch_flag(struct scratch *t, CK_OBJECT_HANDLE object,
                 CK_ATTRIBUTE_TYPE type)
{
    CK_BBOOL value = 2;
    CK_ATTRIBUTE a = {type, &value, sizeof(value)};

    if (t->real->C_GetAttributeValue(t->s, object, &a, 1) != CKR_OK) {
        return -1;
    }
    return value;
}
