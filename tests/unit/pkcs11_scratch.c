#include "tests/unit/pkcs11_scratch.h"

#include "pkcs11/create_internal.h"
#include "vault/base/json.h"
#include "vault/base/limits.h"

#include <dlfcn.h>
#include <ftw.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define PIN "1234"

/* Modules keep what they allocated until the process ends. */
const char *__lsan_default_suppressions(void);
const char *__lsan_default_suppressions(void)
{
    return "leak:libsofthsm2\nleak:libsoftokn3\nleak:libnspr4\n"
           "leak:libnssutil3\nleak:libsqlite3\nleak:libfreebl\n"
           "leak:libp11-kit\n";
}

static const char *const paths[2][3] = {
    {"/usr/lib/softhsm/libsofthsm2.so",
     "/usr/lib/x86_64-linux-gnu/softhsm/libsofthsm2.so", NULL},
    {"/usr/lib/x86_64-linux-gnu/libsoftokn3.so",
     "/usr/lib/x86_64-linux-gnu/nss/libsoftokn3.so", NULL},
};

static void load(struct scratch *t)
{
    CK_C_GetFunctionList get;
    size_t i;

    for (i = 0; t->module == NULL && paths[t->kind][i] != NULL; i++) {
        t->module = dlopen(paths[t->kind][i], RTLD_NOW | RTLD_NODELETE);
    }
    if (t->module == NULL) {
        print_message("no %s here\n", paths[t->kind][0]);
        skip();
    }
    *(void **)&get = dlsym(t->module, "C_GetFunctionList");
    assert_non_null(get);
    assert_int_equal(get(&t->real), CKR_OK);
    t->patched = *t->real;
    t->f = &t->patched;
}

static void initialize(struct scratch *t)
{
    char text[256];
    /* p11-kit's compatible names: NSS wants its reserved string last */
    CK_C_INITIALIZE_ARGS args = {0};

    args.flags = CKF_OS_LOCKING_OK;
    if (t->kind == SCRATCH_NSS) {
        (void)snprintf(text, sizeof(text),
                       "configdir='sql:%s' certPrefix='' keyPrefix='' "
                       "secmod='' flags=optimizeSpace",
                       t->folder);
        args.pReserved = text;
    } else {
        FILE *conf;

        (void)snprintf(text, sizeof(text), "%s/softhsm2.conf", t->folder);
        conf = fopen(text, "w");
        assert_non_null(conf);
        fprintf(conf, "directories.tokendir = %s\nlog.level = ERROR\n",
                t->folder);
        assert_int_equal(fclose(conf), 0);
        assert_int_equal(setenv("SOFTHSM2_CONF", text, 1), 0);
    }
    assert_int_equal(t->f->C_Initialize(&args), CKR_OK);
}

static uint8_t *pin(const char *text)
{
    return (uint8_t *)(uintptr_t)text;
}

static void make_token(struct scratch *t)
{
    uint8_t label[32];
    CK_SLOT_ID slots[8];
    CK_ULONG n = 8;
    CK_SESSION_HANDLE s;
    bool nss = t->kind == SCRATCH_NSS;

    memset(label, ' ', sizeof(label));
    memcpy(label, "scratch", 7);
    assert_int_equal(t->f->C_GetSlotList(CK_TRUE, slots, &n), CKR_OK);
    t->slot = slots[nss ? 1 : 0];
    if (!nss) {
        assert_int_equal(t->f->C_InitToken(t->slot, pin(PIN), 4, label),
                         CKR_OK);
        n = 8;
        assert_int_equal(t->f->C_GetSlotList(CK_TRUE, slots, &n), CKR_OK);
        t->slot = slots[0];
    }
    assert_int_equal(t->f->C_OpenSession(t->slot,
                                         CKF_SERIAL_SESSION | CKF_RW_SESSION,
                                         NULL, NULL, &s),
                     CKR_OK);
    assert_int_equal(t->f->C_Login(s, CKU_SO, pin(nss ? "" : PIN), nss ? 0 : 4),
                     CKR_OK);
    assert_int_equal(t->f->C_InitPIN(s, pin(PIN), 4), CKR_OK);
    assert_int_equal(t->f->C_Logout(s), CKR_OK);
    assert_int_equal(t->f->C_CloseSession(s), CKR_OK);
}

static void open_session(struct scratch *t)
{
    assert_int_equal(t->f->C_OpenSession(t->slot,
                                         CKF_SERIAL_SESSION | CKF_RW_SESSION,
                                         NULL, NULL, &t->s),
                     CKR_OK);
    assert_int_equal(t->f->C_Login(t->s, CKU_USER, pin(PIN), 4), CKR_OK);
}

void scratch_begin(struct scratch *t, enum scratch_kind kind)
{
    memset(t, 0, sizeof(*t));
    t->kind = kind;
    assert_int_equal(cv_arena_start(NULL), CV_OK);
    cv_arena_allow_unlocked();
    cv_json_start();
    (void)snprintf(t->folder, sizeof(t->folder), "/tmp/cv-scratch-XXXXXX");
    load(t);
    assert_non_null(mkdtemp(t->folder));
    initialize(t);
    make_token(t);
    open_session(t);
    assert_int_equal(cv_arena_new(CV_MIB(8), &t->arena, NULL), CV_OK);
}

static int remove_one(const char *path, const struct stat *st, int flag,
                      struct FTW *ftw)
{
    (void)st;
    (void)flag;
    (void)ftw;
    return remove(path);
}

void scratch_end(struct scratch *t)
{
    if (t->real == NULL) {
        return;
    }
    (void)t->real->C_CloseAllSessions(t->slot);
    assert_int_equal(t->real->C_Finalize(NULL), CKR_OK);
    cv_arena_free(t->arena);
    (void)nftw(t->folder, remove_one, 16, FTW_DEPTH | FTW_PHYS);
    memset(t, 0, sizeof(*t));
}

void scratch_again(struct scratch *t)
{
    assert_int_equal(t->real->C_CloseAllSessions(t->slot), CKR_OK);
    open_session(t);
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

struct cv_bytes scratch_bytes(const char *text)
{
    return (struct cv_bytes){(const uint8_t *)text, strlen(text)};
}
