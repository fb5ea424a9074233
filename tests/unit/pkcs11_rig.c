#include "tests/unit/pkcs11_rig.h"

#include <ftw.h>
#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/x509.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define TEXT_MAX 65536

static const char *const SOFTHSM[] = {
    "/usr/lib/softhsm/libsofthsm2.so",
    "/usr/lib/x86_64-linux-gnu/softhsm/libsofthsm2.so",
    "/usr/lib/aarch64-linux-gnu/softhsm/libsofthsm2.so",
    "/usr/lib64/pkcs11/libsofthsm2.so", NULL};
static const char *const NSS[] = {
    "/usr/lib/x86_64-linux-gnu/libsoftokn3.so",
    "/usr/lib/x86_64-linux-gnu/nss/libsoftokn3.so",
    "/usr/lib/aarch64-linux-gnu/libsoftokn3.so", "/usr/lib64/libsoftokn3.so",
    NULL};
static const char *const FAKE[] = {CV_MISBEHAVING_SO, NULL};

/* Something could not be had. */
static bool lacking;

int rig_result(int failed)
{
    return failed != 0 ? failed : lacking ? RIG_SKIP : 0;
}

const char *rig_file(enum rig_kind kind)
{
    static const char *const names[] = {"SoftHSM2", "NSS softokn",
                                        "misbehaving module"};
    const char *const *candidates = kind == RIG_SOFTHSM ? SOFTHSM
                                    : kind == RIG_NSS   ? NSS
                                                        : FAKE;

    for (size_t i = 0; candidates[i] != NULL; i++) {
        if (access(candidates[i], R_OK) == 0) {
            return candidates[i];
        }
    }
    (void)fprintf(stderr, "no %s here\n", names[kind]);
    lacking = true;
    return NULL;
}

const char *rig_path(const struct rig *r, const char *name)
{
    static char path[16][256];
    static unsigned turn;
    char *out = path[turn++ % 16];

    (void)snprintf(out, sizeof(path[0]), "%s/%s", r->folder, name);
    return out;
}

void rig_write(const struct rig *r, const char *name, const char *text)
{
    FILE *f = fopen(rig_path(r, name), "we");

    assert_non_null(f);
    assert_true(fputs(text, f) >= 0);
    assert_int_equal(fclose(f), 0);
}

const char *rig_read(const struct rig *r, const char *name)
{
    static char text[TEXT_MAX];
    FILE *f = fopen(rig_path(r, name), "re");
    size_t n = 0;

    if (f != NULL) {
        n = fread(text, 1, sizeof(text) - 1, f);
        (void)fclose(f);
    }
    text[n] = '\0';
    return text;
}

size_t rig_count(const struct rig *r, const char *name, const char *word)
{
    const char *at = rig_read(r, name);
    size_t n = 0;

    while ((at = strstr(at, word)) != NULL) {
        at += strlen(word);
        n++;
    }
    return n;
}

static int remove_one(const char *path, const struct stat *st, int type,
                      struct FTW *ftw)
{
    (void)st;
    (void)type;
    (void)ftw;
    return remove(path);
}

void rig_remove(const struct rig *r, const char *name)
{
    (void)nftw(rig_path(r, name), remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

void rig_copy(const struct rig *r, const char *from, const char *name)
{
    char block[8192];
    FILE *in = fopen(from, "re");
    FILE *out = fopen(rig_path(r, name), "we");
    size_t n;

    assert_non_null(in);
    assert_non_null(out);
    while ((n = fread(block, 1, sizeof(block), in)) > 0) {
        assert_int_equal(fwrite(block, 1, n, out), n);
    }
    (void)fclose(in);
    assert_int_equal(fclose(out), 0);
    assert_int_equal(chmod(rig_path(r, name), 0644), 0);
}

void rig_folder(struct rig *r)
{
    memset(r, 0, sizeof(*r));
    cv_err_init(&r->err);
    assert_int_equal(cv_arena_start(NULL), CV_OK);
    cv_arena_allow_unlocked();
    (void)snprintf(r->folder, sizeof(r->folder), "/tmp/cv-pkcs11-XXXXXX");
    assert_non_null(mkdtemp(r->folder));
}

/* What each kind needs before its module is started. */
static void prepare(struct rig *r, const char *more, char *reserved, size_t len)
{
    char text[1024];

    switch (r->kind) {
    case RIG_SOFTHSM:
        assert_int_equal(mkdir(rig_path(r, "tokens"), 0700), 0);
        (void)snprintf(text, sizeof(text),
                       "directories.tokendir = %s/tokens\n"
                       "objectstore.backend = file\nlog.level = ERROR\n%s",
                       r->folder, more);
        rig_write(r, "softhsm2.conf", text);
        (void)setenv("SOFTHSM2_CONF", rig_path(r, "softhsm2.conf"), 1);
        break;
    case RIG_NSS:
        assert_int_equal(mkdir(rig_path(r, "nss"), 0700), 0);
        (void)snprintf(reserved, len,
                       "configdir='sql:%s/nss' certPrefix='' keyPrefix='' "
                       "secmod='' flags=optimizeSpace",
                       r->folder);
        break;
    case RIG_FAKE:
        rig_write(r, "control", more);
        rig_write(r, "pin", RIG_PIN);
        rig_copy(r, CV_MISBEHAVING_SO, "fake.so");
        (void)setenv("CV_MISBEHAVING", rig_path(r, "control"), 1);
        break;
    }
}

/* What the interface takes without const; nothing writes there. */
static CK_UTF8CHAR *utf8(const char *text)
{
    union {
        const char *ours;
        CK_UTF8CHAR *theirs;
    } pointer = {text};

    return pointer.theirs;
}

static void set_pins(struct rig *r, CK_SLOT_ID slot, const char *so_pin)
{
    CK_SESSION_HANDLE session;

    assert_int_equal(r->f->C_OpenSession(slot,
                                         CKF_SERIAL_SESSION | CKF_RW_SESSION,
                                         NULL, NULL, &session),
                     CKR_OK);
    assert_int_equal(
        r->f->C_Login(session, CKU_SO, utf8(so_pin), strlen(so_pin)), CKR_OK);
    assert_int_equal(r->f->C_InitPIN(session, utf8(RIG_PIN), strlen(RIG_PIN)),
                     CKR_OK);
    assert_int_equal(r->f->C_Logout(session), CKR_OK);
    assert_int_equal(r->f->C_CloseSession(session), CKR_OK);
}

/* A SoftHSM token called `label` in the slot that is free. */
static void init_softhsm(struct rig *r, const char *label)
{
    CK_SLOT_ID slots[16];
    CK_ULONG n = 16;
    CK_UTF8CHAR padded[32];

    memset(padded, ' ', sizeof(padded));
    memcpy(padded, label, strlen(label));
    assert_int_equal(r->f->C_GetSlotList(CK_TRUE, slots, &n), CKR_OK);
    assert_int_equal(r->f->C_InitToken(slots[n - 1], utf8(RIG_SO_PIN),
                                       strlen(RIG_SO_PIN), padded),
                     CKR_OK);
    set_pins(r, slots[n - 1], RIG_SO_PIN);
}

static void load(struct rig *r, const char *reserved)
{
    static const char *const none[] = {NULL};
    struct cv_module_configured configured = {
        .name = "rig",
        .path =
            r->kind == RIG_FAKE ? rig_path(r, "fake.so") : rig_file(r->kind),
        .reserved = reserved};
    struct cv_module_options options = {.configured = &configured,
                                        .n_configured = 1,
                                        .folders = none,
                                        .own_files = true};
    const struct cv_module_entry *entry = NULL;

    assert_int_equal(cv_module_list_new(&options, &r->list, &r->err), CV_OK);
    assert_int_equal(
        cv_module_list_select(r->list, "rig", NULL, &entry, &r->err), CV_OK);
    if (cv_module_load(r->list, entry, &r->module, &r->err) != CV_OK) {
        fail_msg("%s", r->err.text);
    }
    r->f = cv_module_functions(r->module);
}

void rig_begin_with(struct rig *r, enum rig_kind kind, const char *more)
{
    static const char *const uris[] = {
        [RIG_SOFTHSM] = "pkcs11:token=work",
        [RIG_NSS] = "pkcs11:token=NSS%20Certificate%20DB",
        [RIG_FAKE] = "pkcs11:model=misbehaving"};
    char reserved[512] = "";

    rig_folder(r);
    r->kind = kind;
    if (rig_file(kind) == NULL) {
        (void)rmdir(r->folder);
        skip();
    }
    prepare(r, more, reserved, sizeof(reserved));
    load(r, reserved[0] == '\0' ? NULL : reserved);
    if (kind == RIG_SOFTHSM) {
        init_softhsm(r, "work");
    } else if (kind == RIG_NSS) {
        set_pins(r, 2, "");
    }
    assert_int_equal(cv_uri_parse(uris[kind], &r->uri, &r->err), CV_OK);
    if (cv_session_pool_new(r->module, r->uri, &r->pool, &r->err) != CV_OK) {
        fail_msg("%s", r->err.text);
    }
}

void rig_begin(struct rig *r, enum rig_kind kind)
{
    rig_begin_with(r, kind, "");
}

void rig_end(struct rig *r)
{
    cv_session_pool_free(r->pool);
    cv_uri_free(r->uri);
    cv_module_free(r->module);
    cv_module_list_free(r->list);
    (void)nftw(r->folder, remove_one, 16, FTW_DEPTH | FTW_PHYS);
    memset(r, 0, sizeof(*r));
}

struct cv_bytes rig_bytes(const char *text)
{
    return (struct cv_bytes){(const uint8_t *)text, strlen(text)};
}

void rig_login(struct rig *r)
{
    if (cv_login_user(r->pool, rig_bytes(RIG_PIN), CV_LOGIN_HUMAN, &r->err) !=
        CV_OK) {
        fail_msg("%s", r->err.text);
    }
}

CK_SESSION_HANDLE rig_session(struct rig *r, unsigned flags)
{
    CK_SESSION_HANDLE session = CK_INVALID_HANDLE;

    if (cv_session_take(r->pool, flags, &session, &r->err) != CV_OK) {
        fail_msg("%s", r->err.text);
    }
    return session;
}

static const struct pair_kind {
    const char *name, *group;
    CK_MECHANISM_TYPE mechanism;
    uint8_t params[16];
    size_t params_len;
} KINDS[] = {
    {"rsa2048", NULL, CKM_RSA_PKCS_KEY_PAIR_GEN, {0}, 0},
    {"p256",
     "P-256",
     CKM_EC_KEY_PAIR_GEN,
     {0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07},
     10},
    {"p384",
     "P-384",
     CKM_EC_KEY_PAIR_GEN,
     {0x06, 0x05, 0x2b, 0x81, 0x04, 0x00, 0x22},
     7},
    {"p521",
     "P-521",
     CKM_EC_KEY_PAIR_GEN,
     {0x06, 0x05, 0x2b, 0x81, 0x04, 0x00, 0x23},
     7},
    {"ed25519",
     NULL,
     CKM_EC_EDWARDS_KEY_PAIR_GEN,
     {0x13, 0x0c, 'e', 'd', 'w', 'a', 'r', 'd', 's', '2', '5', '5', '1', '9'},
     14},
};

static const struct pair_kind *kind_of(const char *name)
{
    for (size_t i = 0; i < sizeof(KINDS) / sizeof(KINDS[0]); i++) {
        if (strcmp(KINDS[i].name, name) == 0) {
            return &KINDS[i];
        }
    }
    fail_msg("no kind %s", name);
    return NULL;
}

bool rig_generate(struct rig *r, const char *kind, const char *id,
                  bool keep_public, struct cv_buf *spki)
{
    static const uint8_t exponent[] = {1, 0, 1};
    const struct pair_kind *k = kind_of(kind);
    struct cv_attribute_template pub, priv;
    CK_MECHANISM mechanism = {k->mechanism, NULL, 0};
    CK_OBJECT_HANDLE public_key = 0, private_key = 0;
    CK_SESSION_HANDLE session = rig_session(r, CV_SESSION_RW | CV_SESSION_USER);
    CK_RV rv;

    cv_attribute_start(&pub);
    cv_attribute_add_bool(&pub, CKA_TOKEN, true);
    cv_attribute_add_bool(&pub, CKA_VERIFY, true);
    cv_attribute_add_bytes(&pub, CKA_ID, rig_bytes(id));
    if (k->params_len == 0) {
        cv_attribute_add_ulong(&pub, CKA_MODULUS_BITS, 2048);
        cv_attribute_add_bytes(&pub, CKA_PUBLIC_EXPONENT,
                               (struct cv_bytes){exponent, 3});
    } else {
        cv_attribute_add_bytes(&pub, CKA_EC_PARAMS,
                               (struct cv_bytes){k->params, k->params_len});
    }
    cv_attribute_start(&priv);
    cv_attribute_add_bool(&priv, CKA_TOKEN, true);
    cv_attribute_add_bool(&priv, CKA_PRIVATE, true);
    cv_attribute_add_bool(&priv, CKA_SENSITIVE, true);
    cv_attribute_add_bool(&priv, CKA_SIGN, true);
    cv_attribute_add_bytes(&priv, CKA_ID, rig_bytes(id));
    cv_attribute_add_text(&priv, CKA_LABEL, kind);
    rv = r->f->C_GenerateKeyPair(session, &mechanism, pub.items, pub.n,
                                 priv.items, priv.n, &public_key, &private_key);
    if (rv == CKR_OK) {
        struct cv_attribute_place at = {r->f, session, public_key};

        assert_int_equal(cv_object_spki(at, spki, &r->err), CV_OK);
        if (!keep_public) {
            assert_int_equal(r->f->C_DestroyObject(session, public_key),
                             CKR_OK);
        }
    }
    cv_session_give(r->pool, session, false);
    return rv == CKR_OK;
}

EVP_PKEY *rig_key(const char *kind, struct cv_buf *spki)
{
    const struct pair_kind *k = kind_of(kind);
    EVP_PKEY *key = k->group != NULL
                        ? EVP_PKEY_Q_keygen(NULL, NULL, "EC", k->group)
                    : k->params_len == 0
                        ? EVP_PKEY_Q_keygen(NULL, NULL, "RSA", (size_t)2048)
                        : EVP_PKEY_Q_keygen(NULL, NULL, "ED25519");
    unsigned char *der = NULL;
    int len;

    assert_non_null(key);
    len = i2d_PUBKEY(key, &der);
    assert_true(len > 0);
    cv_buf_add(spki, der, (size_t)len);
    OPENSSL_free(der);
    return key;
}

/* A number of a key, as bytes; at least `len` of them. */
static struct cv_bytes number(EVP_PKEY *key, const char *name, size_t len)
{
    static uint8_t room[12][512];
    static unsigned turn;
    uint8_t *out = room[turn++ % 12];
    BIGNUM *n = NULL;
    size_t have;

    assert_int_equal(EVP_PKEY_get_bn_param(key, name, &n), 1);
    have = (size_t)BN_num_bytes(n);
    have = have > len ? have : len;
    assert_int_equal(BN_bn2binpad(n, out, (int)have), (int)have);
    BN_clear_free(n);
    return (struct cv_bytes){out, have};
}

static void add_rsa(EVP_PKEY *key, struct cv_attribute_template *t)
{
    static const struct {
        CK_ATTRIBUTE_TYPE type;
        const char *name;
    } parts[] = {
        {CKA_MODULUS, OSSL_PKEY_PARAM_RSA_N},
        {CKA_PUBLIC_EXPONENT, OSSL_PKEY_PARAM_RSA_E},
        {CKA_PRIVATE_EXPONENT, OSSL_PKEY_PARAM_RSA_D},
        {CKA_PRIME_1, OSSL_PKEY_PARAM_RSA_FACTOR1},
        {CKA_PRIME_2, OSSL_PKEY_PARAM_RSA_FACTOR2},
        {CKA_EXPONENT_1, OSSL_PKEY_PARAM_RSA_EXPONENT1},
        {CKA_EXPONENT_2, OSSL_PKEY_PARAM_RSA_EXPONENT2},
        {CKA_COEFFICIENT, OSSL_PKEY_PARAM_RSA_COEFFICIENT1},
    };

    cv_attribute_add_ulong(t, CKA_KEY_TYPE, CKK_RSA);
    for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]); i++) {
        cv_attribute_add_bytes(t, parts[i].type, number(key, parts[i].name, 0));
    }
}

void rig_import(struct rig *r, EVP_PKEY *key, const char *id)
{
    struct cv_attribute_template t;
    CK_OBJECT_HANDLE object = 0;
    CK_SESSION_HANDLE session = rig_session(r, CV_SESSION_RW | CV_SESSION_USER);

    cv_attribute_start(&t);
    cv_attribute_add_ulong(&t, CKA_CLASS, CKO_PRIVATE_KEY);
    cv_attribute_add_bool(&t, CKA_TOKEN, true);
    cv_attribute_add_bool(&t, CKA_PRIVATE, true);
    cv_attribute_add_bool(&t, CKA_SENSITIVE, true);
    cv_attribute_add_bool(&t, CKA_SIGN, true);
    cv_attribute_add_bytes(&t, CKA_ID, rig_bytes(id));
    if (EVP_PKEY_is_a(key, "RSA")) {
        add_rsa(key, &t);
    } else {
        const struct pair_kind *k =
            kind_of(EVP_PKEY_get_bits(key) == 256 ? "p256" : "p384");

        cv_attribute_add_ulong(&t, CKA_KEY_TYPE, CKK_EC);
        cv_attribute_add_bytes(&t, CKA_EC_PARAMS,
                               (struct cv_bytes){k->params, k->params_len});
        cv_attribute_add_bytes(&t, CKA_VALUE,
                               number(key, OSSL_PKEY_PARAM_PRIV_KEY,
                                      (size_t)EVP_PKEY_get_bits(key) / 8));
    }
    assert_int_equal(r->f->C_CreateObject(session, t.items, t.n, &object),
                     CKR_OK);
    cv_session_give(r->pool, session, false);
}

void rig_certify(EVP_PKEY *key, struct cv_buf *der)
{
    X509 *x = X509_new();
    const EVP_MD *md = EVP_PKEY_is_a(key, "ED25519") ? NULL : EVP_sha256();
    unsigned char *out = NULL;
    int len;

    assert_true(X509_set_version(x, 2));
    assert_true(ASN1_INTEGER_set(X509_get_serialNumber(x), 7));
    assert_non_null(X509_gmtime_adj(X509_getm_notBefore(x), 0));
    assert_non_null(X509_gmtime_adj(X509_getm_notAfter(x), 86400));
    assert_true(X509_NAME_add_entry_by_txt(
        X509_get_subject_name(x), "CN", MBSTRING_ASC,
        (const unsigned char *)"someone", -1, -1, 0));
    assert_true(X509_set_issuer_name(x, X509_get_subject_name(x)));
    assert_true(X509_set_pubkey(x, key));
    assert_true(X509_sign(x, key, md) > 0);
    len = i2d_X509(x, &out);
    assert_true(len > 0);
    cv_buf_add(der, out, (size_t)len);
    OPENSSL_free(out);
    X509_free(x);
}
