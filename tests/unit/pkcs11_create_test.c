/* A key goes in, as well as the token allows, and nothing stays after a
 * failure. */
#include "tests/unit/pkcs11_scratch.h"

#include "pkcs11/create.h"
#include "pkcs11/import.h"
#include "pkcs11/keywrap.h"
#include "pkcs11/mechanism.h"
#include "vault/base/limits.h"

#include <openssl/rand.h>
#include <stdio.h>
#include <string.h>

#define LABEL "certvault:0a1b2c3d:entry"

static struct scratch t;
static const uint8_t id_bytes[16] = {0xE1, 2, 3, 4, 5, 6, 7, 8};
static const struct cv_bytes id = {id_bytes, sizeof(id_bytes)};

static void is_safe(CK_OBJECT_HANDLE key)
{
    assert_int_equal(scratch_flag(&t, key, CKA_TOKEN), 1);
    assert_int_equal(scratch_flag(&t, key, CKA_PRIVATE), 1);
    assert_int_equal(scratch_flag(&t, key, CKA_SENSITIVE), 1);
    assert_int_equal(scratch_flag(&t, key, CKA_EXTRACTABLE), 0);
    assert_int_equal(scratch_flag(&t, key, CKA_SIGN), 1);
    assert_int_equal(scratch_flag(&t, key, CKA_MODIFIABLE), 0);
    assert_int_not_equal(scratch_flag(&t, key, CKA_DECRYPT), 1);
    assert_int_not_equal(scratch_flag(&t, key, CKA_UNWRAP), 1);
    assert_int_not_equal(scratch_flag(&t, key, CKA_DERIVE), 1);
    assert_int_not_equal(scratch_flag(&t, key, CKA_SIGN_RECOVER), 1);
    assert_int_not_equal(scratch_flag(&t, key, CKA_COPYABLE), 1);
}

/* The values that C_CreateObject was given for private keys. */
static unsigned in_the_clear;

static CK_RV watching_create(CK_SESSION_HANDLE s, CK_ATTRIBUTE *list,
                             CK_ULONG n, CK_OBJECT_HANDLE *out)
{
    CK_ULONG i;

    for (i = 0; i < n; i++) {
        CK_OBJECT_CLASS class;

        if (list[i].type == CKA_CLASS) {
            memcpy(&class, list[i].pValue, sizeof(class));
            in_the_clear += class == CKO_PRIVATE_KEY;
        }
    }
    return t.real->C_CreateObject(s, list, n, out);
}

static void takes(const char *kind, enum cv_create_way expected)
{
    struct scratch_key k = scratch_make_key(&t, kind);
    struct cv_create_key key = {k.der, id, LABEL};
    struct cv_notes notes = {0};
    CK_OBJECT_HANDLE handle;
    enum cv_create_way way, promised;
    size_t destroyed;
    struct cv_err err;

    cv_err_init(&err);
    scratch_ok(cv_create_accepts(t.f, t.s, kind, 2048, &promised, &err), &err);
    assert_int_equal(promised, expected);
    assert_int_equal(scratch_all(&t), 0);
    in_the_clear = 0;
    t.patched.C_CreateObject = watching_create;
    scratch_ok(
        cv_create_key(t.f, t.s, &key, t.arena, &way, &handle, &notes, &err),
        &err);
    assert_int_equal(way, expected);
    assert_int_equal(in_the_clear, expected == CV_CREATE_IMPORTED);
    is_safe(handle);
    /* the wrapping key and the transport key are gone */
    assert_int_equal(scratch_all(&t), 1);
    assert_int_equal(
        cv_create_key(t.f, t.s, &key, t.arena, &way, &handle, &notes, &err),
        CV_EXISTS);
    assert_int_equal(scratch_objects(&t), 1);
    scratch_ok(cv_create_destroy(t.f, t.s, id, LABEL, &destroyed, &err), &err);
    assert_int_equal(destroyed, 1);
    assert_int_equal(scratch_all(&t), 0);
}

static void softhsm_takes_all_kinds(void **state)
{
    (void)state;
    scratch_begin(&t, RIG_SOFTHSM);
    takes("rsa", CV_CREATE_UNWRAPPED);
    takes("ec-p256", CV_CREATE_UNWRAPPED);
    takes("ec-p384", CV_CREATE_UNWRAPPED);
    takes("ed25519", CV_CREATE_IMPORTED);
}

static void nss_takes_all_but_ed25519(void **state)
{
    enum cv_create_way way;
    struct cv_err err;

    (void)state;
    scratch_begin(&t, RIG_NSS);
    takes("rsa", CV_CREATE_UNWRAPPED);
    takes("ec-p256", CV_CREATE_UNWRAPPED);
    takes("ec-p384", CV_CREATE_UNWRAPPED);
    if (scratch_has(&t, CKM_EDDSA)) { /* a later one */
        return;
    }
    cv_err_init(&err);
    assert_int_equal(cv_create_accepts(t.f, t.s, "ed25519", 0, &way, &err),
                     CV_INVALID);
    assert_non_null(strstr(err.text, "CKM_EDDSA"));
}

static CK_RV no_unwrap(CK_SESSION_HANDLE s, CK_MECHANISM *m,
                       CK_OBJECT_HANDLE key, CK_BYTE *data, CK_ULONG len,
                       CK_ATTRIBUTE *list, CK_ULONG n, CK_OBJECT_HANDLE *out)
{
    (void)s, (void)m, (void)key, (void)data, (void)len;
    (void)list, (void)n, (void)out;
    return CKR_MECHANISM_INVALID;
}

static void without_unwrapping_it_is_imported(void **state)
{
    (void)state;
    scratch_begin(&t, RIG_SOFTHSM);
    t.patched.C_UnwrapKey = no_unwrap;
    takes("rsa", CV_CREATE_IMPORTED);
    takes("ec-p256", CV_CREATE_IMPORTED);
}

/* A module that does not know an attribute. */
static CK_ATTRIBUTE_TYPE unknown[2];

static CK_RV ignorant_create(CK_SESSION_HANDLE s, CK_ATTRIBUTE *list,
                             CK_ULONG n, CK_OBJECT_HANDLE *out)
{
    CK_ULONG i;

    for (i = 0; i < n; i++) {
        if (list[i].type == unknown[0] || list[i].type == unknown[1]) {
            return CKR_ATTRIBUTE_TYPE_INVALID;
        }
    }
    return t.real->C_CreateObject(s, list, n, out);
}

static void what_a_module_does_not_know_is_left_out(void **state)
{
    struct scratch_key k;
    struct cv_create_key key;
    struct cv_notes notes = {0};
    CK_OBJECT_HANDLE handle;
    enum cv_create_way way;
    size_t destroyed;
    struct cv_err err;

    (void)state;
    cv_err_init(&err);
    scratch_begin(&t, RIG_SOFTHSM);
    t.patched.C_UnwrapKey = no_unwrap;
    t.patched.C_CreateObject = ignorant_create;
    k = scratch_make_key(&t, "ec-p256");
    key = (struct cv_create_key){k.der, id, LABEL};

    /* one that is in the middle of the ladder: the rest stays */
    unknown[0] = unknown[1] = CKA_MODIFIABLE;
    scratch_ok(
        cv_create_key(t.f, t.s, &key, t.arena, &way, &handle, &notes, &err),
        &err);
    assert_true(cv_notes_has(&notes, "CKA_MODIFIABLE"));
    assert_false(cv_notes_has(&notes, "CKA_COPYABLE"));
    assert_int_equal(scratch_flag(&t, handle, CKA_COPYABLE), 0);
    scratch_ok(cv_create_destroy(t.f, t.s, id, LABEL, &destroyed, &err), &err);

    /* two */
    unknown[0] = CKA_COPYABLE;
    unknown[1] = CKA_SIGN_RECOVER;
    memset(&notes, 0, sizeof(notes));
    scratch_ok(
        cv_create_key(t.f, t.s, &key, t.arena, &way, &handle, &notes, &err),
        &err);
    assert_true(cv_notes_has(&notes, "CKA_COPYABLE"));
    assert_true(cv_notes_has(&notes, "CKA_SIGN_RECOVER"));
    scratch_ok(cv_create_destroy(t.f, t.s, id, LABEL, &destroyed, &err), &err);

    /* what guards the key is never left out */
    unknown[0] = unknown[1] = CKA_EXTRACTABLE;
    assert_int_not_equal(
        cv_create_key(t.f, t.s, &key, t.arena, &way, &handle, &notes, &err),
        CV_OK);
    assert_int_equal(err.native, CKR_ATTRIBUTE_TYPE_INVALID);
    assert_int_equal(scratch_all(&t), 0);
}

static CK_RV creates_nothing(CK_SESSION_HANDLE s, CK_ATTRIBUTE *list,
                             CK_ULONG n, CK_OBJECT_HANDLE *out)
{
    (void)s, (void)list, (void)n;
    *out = 4711;
    return CKR_OK;
}

static CK_RV creates_and_fails(CK_SESSION_HANDLE s, CK_ATTRIBUTE *list,
                               CK_ULONG n, CK_OBJECT_HANDLE *out)
{
    CK_RV rv = t.real->C_CreateObject(s, list, n, out);

    return rv == CKR_OK ? CKR_GENERAL_ERROR : rv;
}

static CK_RV creates_twice(CK_SESSION_HANDLE s, CK_ATTRIBUTE *list, CK_ULONG n,
                           CK_OBJECT_HANDLE *out)
{
    (void)t.real->C_CreateObject(s, list, n, out);
    return t.real->C_CreateObject(s, list, n, out);
}

static void nothing_stays_after_a_failure(void **state)
{
    static const struct {
        CK_C_CreateObject call;
        enum cv_status status;
    } cases[] = {
        {creates_nothing, CV_INTEGRITY},
        {creates_and_fails, CV_UNAVAILABLE},
        {creates_twice, CV_INTEGRITY},
    };
    size_t i;

    (void)state;
    scratch_begin(&t, RIG_SOFTHSM);
    t.patched.C_UnwrapKey = no_unwrap;
    for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct scratch_key k = scratch_make_key(&t, "ec-p256");
        struct cv_create_key key = {k.der, id, LABEL};
        CK_OBJECT_HANDLE handle;
        enum cv_create_way way;
        struct cv_err err;

        cv_err_init(&err);
        t.patched.C_CreateObject = cases[i].call;
        assert_int_equal(
            cv_create_key(t.f, t.s, &key, t.arena, &way, &handle, NULL, &err),
            cases[i].status);
        assert_int_equal(handle, CK_INVALID_HANDLE);
        assert_string_equal(err.state,
                            "nothing of the key is left on the token");
        assert_int_equal(scratch_objects(&t), 0);
    }
}

static CK_RV keys_alone(CK_SESSION_HANDLE s, CK_ATTRIBUTE *list, CK_ULONG n,
                        CK_OBJECT_HANDLE *out)
{
    CK_BBOOL token = CK_FALSE;
    CK_OBJECT_CLASS class = CKO_PRIVATE_KEY;
    CK_ULONG i;

    for (i = 0; i < n; i++) {
        if (list[i].type == CKA_TOKEN) {
            memcpy(&token, list[i].pValue, sizeof(token));
        } else if (list[i].type == CKA_CLASS) {
            memcpy(&class, list[i].pValue, sizeof(class));
        }
    }
    return token && class != CKO_PRIVATE_KEY
               ? CKR_DEVICE_MEMORY
               : t.real->C_CreateObject(s, list, n, out);
}

/* A module that lies in the middle of an import, and what is left then. */
static void a_module_that_lies(void **state)
{
    static const struct {
        const char *control;
        enum cv_status status;
    } cases[] = {
        {"create=nothing\n", CV_INTEGRITY},
        {"create=half\n", CV_INTEGRITY},
        {"extractable=1\n", CV_INTEGRITY},
        {"length=max\n", CV_INTEGRITY},
        {"length=grow\n", CV_INTEGRITY},
        {"id=huge\n", CV_INTEGRITY},
        {"sign=wrong\n", CV_INTEGRITY},
        {"sign=long\n", CV_INTEGRITY},
        {"handles=stale\n", CV_OK}, /* there is one key alone */
        {"leak=wrap-rsa\n", CV_DENIED},
        {"leak=copy-extractable\n", CV_DENIED},
        {"leak=digest\n", CV_OK},
        {"set=says\n", CV_OK},
        {"set=leaks\n", CV_DENIED},
        {"import=0\nunwrap=0\n", CV_INVALID},
        {"capacity=0\n", CV_UNAVAILABLE},
        {"fault=C_CreateObject rv:0x30\nunwrap=0\n", CV_UNAVAILABLE},
        {"fault=C_UnwrapKey rv-after:0x30\nimport=0\n", CV_INVALID},
        {"fault=C_Sign rv:0x30\n", CV_UNAVAILABLE},
        {"fault=C_SignInit rv:0x101\n", CV_LOCKED},
    };
    struct cv_import_result *out = test_malloc(sizeof(*out));
    size_t i, n;

    (void)state;
    scratch_begin(&t, RIG_FAKE);
    for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct scratch_key k = scratch_make_key(&t, "ec-p256");
        struct cv_import_order order = {
            {k.der, id, LABEL}, k.pem, {NULL, 0}, false, NULL};
        struct cv_err err;
        enum cv_status s;

        cv_err_init(&err);
        scratch_misbehave(&t, cases[i].control);
        s = cv_import_key(t.f, t.s, &order, t.arena, out, &err);
        if (s != cases[i].status) {
            fail_msg("%s: %d, %s", cases[i].control, s, err.text);
        }
        scratch_misbehave(&t, "");
        if (s == CV_OK) {
            scratch_ok(cv_create_destroy(t.f, t.s, id, LABEL, &n, &err), &err);
        } else {
            assert_string_not_equal(err.state, "");
        }
        if (scratch_objects(&t) != 0) {
            scratch_show(&t);
            fail_msg("%s: something is left", cases[i].control);
        }
    }
    test_free(out);
}

/* A token that is full after the key: the key is whole without company. */
static void room_for_the_key_alone(void **state)
{
    struct cv_import_result *out = test_malloc(sizeof(*out));
    struct cv_import_order order;
    struct scratch_key k;
    struct cv_err err;
    size_t n;

    (void)state;
    scratch_begin(&t, RIG_FAKE);
    cv_err_init(&err);
    k = scratch_make_key(&t, "ec-p256");
    order = (struct cv_import_order){
        {k.der, id, LABEL}, k.pem, {NULL, 0}, false, NULL};
    t.patched.C_CreateObject = keys_alone;
    scratch_ok(cv_import_key(t.f, t.s, &order, t.arena, out, &err), &err);
    assert_true(cv_notes_has(&out->notes, "the public key"));
    assert_true(cv_notes_has(&out->notes, "the certificate"));
    assert_int_equal(scratch_objects(&t), 1);
    scratch_ok(cv_create_destroy(t.f, t.s, id, LABEL, &n, &err), &err);
    assert_int_equal(n, 1);
    test_free(out);
}

/* What a module gives as the handle of the new key is another's key. */
static CK_OBJECT_HANDLE anothers;

static CK_RV creates_anothers(CK_SESSION_HANDLE s, CK_ATTRIBUTE *list,
                              CK_ULONG n, CK_OBJECT_HANDLE *out)
{
    (void)s, (void)list, (void)n;
    *out = anothers;
    return CKR_OK;
}

static void anothers_key_stays(void **state)
{
    static const uint8_t other_bytes[] = {9, 9, 9, 9};
    static const struct cv_bytes other = {other_bytes, sizeof(other_bytes)};
    struct scratch_key k;
    struct cv_create_key key;
    CK_OBJECT_HANDLE handle;
    enum cv_create_way way;
    struct cv_err err;

    (void)state;
    scratch_begin(&t, RIG_SOFTHSM);
    cv_err_init(&err);
    k = scratch_make_key(&t, "ec-p256");
    key = (struct cv_create_key){k.der, other, "another's"};
    scratch_ok(
        cv_create_key(t.f, t.s, &key, t.arena, &way, &anothers, NULL, &err),
        &err);
    t.patched.C_UnwrapKey = no_unwrap;
    t.patched.C_CreateObject = creates_anothers;
    key = (struct cv_create_key){k.der, id, LABEL};
    assert_int_equal(
        cv_create_key(t.f, t.s, &key, t.arena, &way, &handle, NULL, &err),
        CV_INTEGRITY);
    assert_int_equal(scratch_objects(&t), 1);
}

static void whole_import(enum rig_kind kind, bool leaky)
{
    static const char *const kinds[] = {"rsa", "ec-p256", "ec-p384", "ed25519"};
    struct cv_import_result *out = test_malloc(sizeof(*out));
    size_t i, n = kind == RIG_NSS ? 3 : 4;

    scratch_begin(&t, kind);
    for (i = 0; i < n; i++) {
        struct scratch_key k = scratch_make_key(&t, kinds[i]);
        struct scratch_key ca = scratch_make_key(&t, "ec-p256");
        struct cv_import_order order = {
            {k.der, id, LABEL}, k.pem, ca.pem, false, NULL};
        size_t destroyed;
        struct cv_err err;
        enum cv_status s;

        cv_err_init(&err);
        if (leaky) {
            assert_int_equal(
                cv_import_key(t.f, t.s, &order, t.arena, out, &err), CV_DENIED);
            assert_true(out->findings.leaky);
            assert_int_equal(scratch_all(&t), 0);
            order.allow_leaky = true;
        }
        s = cv_import_key(t.f, t.s, &order, t.arena, out, &err);
        scratch_ok(s, &err);
        assert_true(out->findings.signature);
        assert_int_equal(out->findings.leaky, leaky);
        assert_int_equal(scratch_all(&t), 4); /* key, public, leaf, CA */
        scratch_ok(cv_create_destroy(t.f, t.s, id, LABEL, &destroyed, &err),
                   &err);
        assert_int_equal(destroyed, 4);
        assert_int_equal(scratch_all(&t), 0);

        /* another's certificate */
        order.certificates = ca.pem;
        assert_int_equal(cv_import_key(t.f, t.s, &order, t.arena, out, &err),
                         CV_INTEGRITY);
        assert_int_equal(scratch_all(&t), 0);
    }
    test_free(out);
}

static void softhsm_import(void **state)
{
    (void)state;
    whole_import(RIG_SOFTHSM, false);
}

static void nss_import(void **state)
{
    (void)state;
    whole_import(RIG_NSS, true);
}

static void wrapping_and_back(void **state)
{
    uint8_t plain[200];
    struct cv_arena *arena;
    const uint8_t *key;
    size_t len;
    int form;

    (void)state;
    assert_int_equal(cv_arena_start(NULL), CV_OK);
    assert_int_equal(cv_arena_new(CV_MIB(4), &arena, NULL), CV_OK);
    key = cv_keywrap_key(arena, NULL);
    assert_int_equal(RAND_bytes(plain, sizeof(plain)), 1);
    for (form = 0; form < CV_KEYWRAP_FORMS; form++) {
        for (len = 17; len < sizeof(plain); len++) {
            struct cv_bytes in = {plain, len}, wrapped, out;
            uint8_t *bent;

            assert_int_equal(cv_keywrap_wrap((enum cv_keywrap_form)form, key,
                                             in, arena, &wrapped, NULL),
                             CV_OK);
            assert_true(cv_keywrap_unwrap((enum cv_keywrap_form)form, key,
                                          wrapped, arena, &out));
            assert_true(out.len >= len && out.len < len + 8);
            assert_memory_equal(out.data, plain, len);
            bent = (uint8_t *)cv_arena_copy(arena, wrapped.data, wrapped.len,
                                            NULL);
            bent[len % wrapped.len] ^= 1;
            wrapped.data = bent;
            if (form != CV_KEYWRAP_CBC) {
                assert_false(cv_keywrap_unwrap((enum cv_keywrap_form)form, key,
                                               wrapped, arena, &out));
            }
        }
    }
    cv_arena_free(arena);
}

static int end(void **state)
{
    (void)state;
    scratch_end(&t);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(wrapping_and_back),
        cmocka_unit_test_teardown(softhsm_takes_all_kinds, end),
        cmocka_unit_test_teardown(nss_takes_all_but_ed25519, end),
        cmocka_unit_test_teardown(without_unwrapping_it_is_imported, end),
        cmocka_unit_test_teardown(what_a_module_does_not_know_is_left_out, end),
        cmocka_unit_test_teardown(nothing_stays_after_a_failure, end),
        cmocka_unit_test_teardown(a_module_that_lies, end),
        cmocka_unit_test_teardown(room_for_the_key_alone, end),
        cmocka_unit_test_teardown(anothers_key_stays, end),
        cmocka_unit_test_teardown(softhsm_import, end),
        cmocka_unit_test_teardown(nss_import, end),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
