/* Objects: found again, read as public keys, certificates beside them. */
#include "tests/unit/pkcs11_rig.h"

#include <openssl/x509.h>
#include <stdio.h>
#include <string.h>

/* Puts an object with these attributes; `class` and CKA_TOKEN are added. */
static CK_OBJECT_HANDLE put(struct rig *r, CK_SESSION_HANDLE session,
                            CK_OBJECT_CLASS class, const char *id,
                            const char *label, struct cv_bytes value)
{
    struct cv_attribute_template t;
    CK_OBJECT_HANDLE object = 0;

    cv_attribute_start(&t);
    cv_attribute_add_ulong(&t, CKA_CLASS, class);
    cv_attribute_add_bool(&t, CKA_TOKEN, true);
    cv_attribute_add_bool(&t, CKA_PRIVATE, false);
    cv_attribute_add_text(&t, CKA_LABEL, label);
    if (class == CKO_CERTIFICATE) {
        cv_attribute_add_ulong(&t, CKA_CERTIFICATE_TYPE, CKC_X_509);
        cv_attribute_add_bytes(&t, CKA_ID, rig_bytes(id));
        cv_attribute_add_text(&t, CKA_SUBJECT, "s");
    }
    cv_attribute_add_bytes(&t, CKA_VALUE, value);
    assert_int_equal(r->f->C_CreateObject(session, t.items, t.n, &object),
                     CKR_OK);
    return object;
}

static void test_find(void **state)
{
    struct rig r;
    CK_SESSION_HANDLE session;
    CK_OBJECT_HANDLE found[200];
    size_t n = 0;
    struct cv_object_filter data = {.by_class = true, .class = CKO_DATA};
    struct cv_object_filter one = data, other = data;

    (void)state;
    rig_begin(&r, RIG_SOFTHSM);
    rig_login(&r);
    session = rig_session(&r, CV_SESSION_RW);
    for (int i = 0; i < 150; i++) {
        char label[16];

        (void)snprintf(label, sizeof(label), "d%d", i);
        put(&r, session, CKO_DATA, "", label, rig_bytes(label));
    }
    /* More than a batch; none twice, none left out. */
    assert_int_equal(cv_object_find(r.f, session, &data, found, 200, &n, NULL),
                     CV_OK);
    assert_int_equal(n, 150);
    assert_int_equal(cv_object_find(r.f, session, &data, found, 150, &n, NULL),
                     CV_OK);
    assert_int_equal(n, 150);
    assert_int_equal(cv_object_find(r.f, session, &data, found, 149, &n, NULL),
                     CV_INVALID);
    assert_int_equal(n, 0);
    one.label = rig_bytes("d7");
    assert_int_equal(cv_object_find(r.f, session, &one, found, 1, &n, NULL),
                     CV_OK);
    assert_int_equal(n, 1);
    other.value = rig_bytes("d8");
    other.label = rig_bytes("d7");
    assert_int_equal(cv_object_find(r.f, session, &other, found, 1, &n, NULL),
                     CV_OK);
    assert_int_equal(n, 0);
    cv_session_give(r.pool, session, false);
    rig_end(&r);
}

/* A function list whose searches find what they want to find. */
static struct {
    CK_ULONG count; /* that a C_FindObjects tells */
    bool again;     /* without end */
    unsigned ends;
    bool differs; /* what is read is another class */
} search;

static CK_RV find_init(CK_SESSION_HANDLE session, CK_ATTRIBUTE *items,
                       CK_ULONG n)
{
    (void)session;
    (void)items;
    (void)n;
    return CKR_OK;
}

static CK_RV find_some(CK_SESSION_HANDLE session, CK_OBJECT_HANDLE *out,
                       CK_ULONG max, CK_ULONG *n)
{
    (void)session;
    for (CK_ULONG i = 0; i < max && i < search.count; i++) {
        out[i] = 7 + i;
    }
    *n = search.count;
    search.count = search.again ? search.count : 0;
    return CKR_OK;
}

static CK_RV find_final(CK_SESSION_HANDLE session)
{
    (void)session;
    search.ends++;
    return CKR_OK;
}

static CK_RV read_class(CK_SESSION_HANDLE session, CK_OBJECT_HANDLE object,
                        CK_ATTRIBUTE *items, CK_ULONG n)
{
    CK_ULONG class = search.differs ? CKO_PUBLIC_KEY : CKO_PRIVATE_KEY;

    (void)session;
    (void)object;
    (void)n;
    if (items[0].type != CKA_CLASS) {
        return CKR_ATTRIBUTE_TYPE_INVALID;
    }
    memcpy(items[0].pValue, &class, sizeof(class));
    items[0].ulValueLen = sizeof(class);
    return CKR_OK;
}

static CK_FUNCTION_LIST stub = {.C_FindObjectsInit = find_init,
                                .C_FindObjects = find_some,
                                .C_FindObjectsFinal = find_final,
                                .C_GetAttributeValue = read_class};

static enum cv_status find_stub(CK_ULONG count, bool again, bool differs,
                                size_t *n)
{
    struct cv_object_filter filter = {.by_class = true,
                                      .class = CKO_PRIVATE_KEY};
    CK_OBJECT_HANDLE found[64];
    enum cv_status status;

    search.count = count;
    search.again = again;
    search.differs = differs;
    search.ends = 0;
    status = cv_object_find(&stub, 1, &filter, found, 64, n, NULL);
    /* No search is left open, however it ended. */
    assert_int_equal(search.ends, 1);
    return status;
}

static void test_find_lies(void **state)
{
    size_t n = 9;

    (void)state;
    assert_int_equal(find_stub(3, false, false, &n), CV_OK);
    assert_int_equal(n, 3);
    assert_int_equal(find_stub(0, false, false, &n), CV_OK);
    assert_int_equal(n, 0);
    assert_int_equal(find_stub(3, false, true, &n), CV_OK);
    assert_int_equal(n, 0); /* the template was passed over */
    assert_int_equal(find_stub(65, false, false, &n), CV_INTEGRITY);
    assert_int_equal(find_stub(~0UL, false, false, &n), CV_INTEGRITY);
    /* The same ones without end: there is an end. */
    assert_int_equal(find_stub(3, true, false, &n), CV_INVALID);
    assert_int_equal(n, 0);
}

static enum cv_status put_certificate(struct rig *r, const char *id,
                                      const struct cv_buf *der, bool *made)
{
    CK_SESSION_HANDLE session = rig_session(r, CV_SESSION_RW | CV_SESSION_USER);
    CK_OBJECT_HANDLE object = 0;
    struct cv_bytes bytes = {NULL, 0};
    enum cv_status status;

    if (id != NULL) {
        bytes = rig_bytes(id);
    }
    cv_err_init(&r->err);
    status =
        cv_object_put_certificate(r->f, session, bytes, "label",
                                  cv_buf_bytes(der), &object, made, &r->err);
    assert_true((object != CK_INVALID_HANDLE) == (status == CV_OK));
    cv_session_give(r->pool, session, status != CV_OK);
    return status;
}

static enum cv_status get_certificate(struct rig *r, const char *id,
                                      const struct cv_buf *spki,
                                      struct cv_buf *out)
{
    CK_SESSION_HANDLE session = rig_session(r, 0);
    enum cv_status status;

    cv_buf_init(out, NULL, CV_LIMIT_CERT_DER);
    status = cv_object_get_certificate(r->f, session, rig_bytes(id),
                                       cv_buf_bytes(spki), out, &r->err);
    cv_session_give(r->pool, session, false);
    return status;
}

static void certificates(enum rig_kind kind)
{
    struct rig r;
    struct cv_buf spki, der, back, other;
    EVP_PKEY *key, *another;
    bool made = false;

    rig_begin(&r, kind);
    rig_login(&r);
    cv_buf_init(&spki, NULL, CV_LIMIT_ATTRIBUTE);
    cv_buf_init(&other, NULL, CV_LIMIT_ATTRIBUTE);
    cv_buf_init(&der, NULL, CV_LIMIT_CERT_DER);
    key = rig_key("p256", &spki);
    another = rig_key("p256", &other);
    rig_certify(key, &der);
    assert_int_equal(get_certificate(&r, "id", &spki, &back), CV_NOT_FOUND);
    if (put_certificate(&r, "id", &der, &made) != CV_OK) {
        fail_msg("%s", r.err.text);
    }
    assert_true(made);
    /* Once is enough. */
    assert_int_equal(put_certificate(&r, "id", &der, &made), CV_OK);
    assert_false(made);
    assert_int_equal(get_certificate(&r, "id", &spki, &back), CV_OK);
    assert_int_equal(back.len, der.len);
    assert_memory_equal(back.data, der.data, der.len);
    cv_buf_wipe(&back);
    assert_int_equal(get_certificate(&r, "id", &other, &back), CV_INTEGRITY);
    assert_int_equal(get_certificate(&r, "no", &spki, &back), CV_NOT_FOUND);
    der.data[der.len - 1] ^= 1; /* another signature; still a certificate */
    der.len--;
    assert_int_equal(put_certificate(&r, "id", &der, &made), CV_INVALID);
    der.len++;
    cv_buf_add_char(&der, 0);
    assert_int_equal(put_certificate(&r, "id", &der, &made), CV_INVALID);
    EVP_PKEY_free(key);
    EVP_PKEY_free(another);
    cv_buf_wipe(&spki);
    cv_buf_wipe(&other);
    cv_buf_wipe(&der);
    rig_end(&r);
}

static void test_certificates(void **state)
{
    (void)state;
    certificates(RIG_SOFTHSM);
    certificates(RIG_FAKE);
    if (rig_file(RIG_NSS) != NULL) {
        certificates(RIG_NSS);
    }
}

/* CKR_OK is not believed: nothing there, or half of it. */
static void test_certificate_lies(void **state)
{
    static const char *const lies[] = {"create=nothing\n", "create=half\n",
                                       "once=C_CreateObject rv:0x31\n"};

    (void)state;
    for (size_t i = 0; i < 3; i++) {
        struct rig r;
        struct cv_buf spki, der;
        EVP_PKEY *key;
        bool made = true;

        rig_begin(&r, RIG_FAKE);
        rig_login(&r);
        cv_buf_init(&spki, NULL, CV_LIMIT_ATTRIBUTE);
        cv_buf_init(&der, NULL, CV_LIMIT_CERT_DER);
        key = rig_key("p256", &spki);
        rig_certify(key, &der);
        rig_write(&r, "control", lies[i]);
        assert_int_not_equal(put_certificate(&r, "id", &der, &made), CV_OK);
        assert_false(made);
        rig_write(&r, "control", "");
        {
            struct cv_object_filter all = {.by_class = false};
            CK_SESSION_HANDLE session = rig_session(&r, 0);
            CK_OBJECT_HANDLE found[4];
            size_t n = 9;

            assert_int_equal(
                cv_object_find(r.f, session, &all, found, 4, &n, NULL), CV_OK);
            assert_int_equal(n, 0);
            cv_session_give(r.pool, session, false);
        }
        EVP_PKEY_free(key);
        cv_buf_wipe(&spki);
        cv_buf_wipe(&der);
        rig_end(&r);
    }
}

/* Public keys come out of keys and certificates in one spelling. */
static void test_spki(void **state)
{
    static const char *const kinds[] = {"rsa2048", "p256", "p384"};
    static const char *const names[] = {"rsa", "ec-p256", "ec-p384"};
    static const unsigned sizes[] = {2048, 256, 384};
    struct rig r;

    (void)state;
    rig_begin(&r, RIG_SOFTHSM);
    rig_login(&r);
    for (size_t i = 0; i < 3; i++) {
        struct cv_buf spki, der, told;
        struct cv_object_filter filter = {.by_class = true,
                                          .class = CKO_PRIVATE_KEY,
                                          .id = rig_bytes(kinds[i])};
        CK_SESSION_HANDLE session;
        CK_OBJECT_HANDLE object = 0;
        EVP_PKEY *key;
        const char *kind = NULL;
        unsigned bits = 0;
        bool made;
        size_t n = 0;

        cv_buf_init(&spki, NULL, CV_LIMIT_ATTRIBUTE);
        cv_buf_init(&told, NULL, CV_LIMIT_ATTRIBUTE);
        cv_buf_init(&der, NULL, CV_LIMIT_CERT_DER);
        key = rig_key(kinds[i], &spki);
        rig_certify(key, &der);
        rig_import(&r, key, kinds[i]);
        assert_int_equal(
            cv_object_kind(cv_buf_bytes(&spki), &kind, &bits, NULL), CV_OK);
        assert_string_equal(kind, names[i]);
        assert_int_equal(bits, sizes[i]);
        session = rig_session(&r, CV_SESSION_USER);
        assert_int_equal(
            cv_object_find(r.f, session, &filter, &object, 1, &n, NULL), CV_OK);
        assert_int_equal(n, 1);
        {
            struct cv_attribute_place at = {r.f, session, object};

            /* RSA tells; EC does not. */
            assert_int_equal(cv_object_spki(at, &told, NULL),
                             i == 0 ? CV_OK : CV_NOT_FOUND);
            told.len = 0;
            assert_int_equal(cv_object_spki_beside(at, &told, NULL),
                             i == 0 ? CV_OK : CV_NOT_FOUND);
            told.len = 0;
            assert_int_equal(put_certificate(&r, kinds[i], &der, &made), CV_OK);
            assert_int_equal(cv_object_spki_beside(at, &told, NULL), CV_OK);
            assert_int_equal(told.len, spki.len);
            assert_memory_equal(told.data, spki.data, spki.len);
        }
        cv_session_give(r.pool, session, false);
        EVP_PKEY_free(key);
        cv_buf_wipe(&spki);
        cv_buf_wipe(&told);
        cv_buf_wipe(&der);
    }
    rig_end(&r);
}

static void test_kind_refused(void **state)
{
    static const uint8_t rubbish[] = {0x30, 0x03, 0x02, 0x01, 0x00};
    struct cv_buf spki;
    EVP_PKEY *key;
    const char *kind = "";
    unsigned bits = 1;

    (void)state;
    cv_buf_init(&spki, NULL, CV_LIMIT_ATTRIBUTE);
    key = rig_key("p256", &spki);
    assert_int_equal(
        cv_object_kind((struct cv_bytes){rubbish, 5}, &kind, &bits, NULL),
        CV_INTEGRITY);
    assert_null(kind);
    assert_int_equal(cv_object_kind((struct cv_bytes){spki.data, spki.len - 1},
                                    &kind, &bits, NULL),
                     CV_INTEGRITY);
    spki.data[spki.len - 1] ^= 1; /* no point of the curve */
    assert_int_equal(cv_object_kind(cv_buf_bytes(&spki), &kind, &bits, NULL),
                     CV_INTEGRITY);
    spki.data[spki.len - 1] ^= 1;
    cv_buf_add_char(&spki, 0);
    assert_int_equal(cv_object_kind(cv_buf_bytes(&spki), &kind, &bits, NULL),
                     CV_INTEGRITY);
    EVP_PKEY_free(key);
    cv_buf_wipe(&spki);
    {
        static const char *const groups[] = {"secp256k1", "P-224"};

        for (size_t i = 0; i < 2; i++) {
            unsigned char *der = NULL;
            int len;

            key = EVP_PKEY_Q_keygen(NULL, NULL, "EC", groups[i]);
            len = i2d_PUBKEY(key, &der);
            assert_true(len > 0);
            assert_int_equal(cv_object_kind((struct cv_bytes){der, (size_t)len},
                                            &kind, &bits, NULL),
                             CV_INVALID);
            OPENSSL_free(der);
            EVP_PKEY_free(key);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_find),
        cmocka_unit_test(test_find_lies),
        cmocka_unit_test(test_certificates),
        cmocka_unit_test(test_certificate_lies),
        cmocka_unit_test(test_spki),
        cmocka_unit_test(test_kind_refused),
    };

    return rig_result(cmocka_run_group_tests(tests, NULL, NULL));
}
