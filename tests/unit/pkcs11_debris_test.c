/* What an interrupted import left is found, and nothing else is. */
#include "tests/unit/pkcs11_scratch.h"

#include "pkcs11/create.h"
#include "pkcs11/debris.h"

#include <string.h>

#define LABEL "certvault:0a1b2c3d:entry"

static struct scratch t;
static const uint8_t id_bytes[16] = {0xE4, 2, 3, 4, 5, 6, 7, 8};
static const struct cv_bytes id = {id_bytes, sizeof(id_bytes)};
#define ID_HEX "e4020304050607080000000000000000"
static struct cv_err err;

static void take(struct cv_bytes key_id, const char *label)
{
    struct scratch_key k = scratch_make_key(&t, "ec-p256");
    struct cv_create_key key = {k.der, key_id, label};
    CK_OBJECT_HANDLE handle;
    enum cv_create_way way;

    cv_err_init(&err);
    scratch_ok(
        cv_create_key(t.f, t.s, &key, t.arena, &way, &handle, NULL, &err),
        &err);
    cv_create_public(t.f, t.s, k.spki, key_id, label, NULL);
    scratch_ok(cv_create_certificates(t.f, t.s, key_id, label, k.pem,
                                      (struct cv_bytes){NULL, 0}, NULL, &err),
               &err);
}

/* A half object, as SoftHSM leaves it: a class, and that is all. */
static void half(void)
{
    CK_OBJECT_CLASS class = CKO_DATA;
    CK_BBOOL yes = CK_TRUE;
    CK_ATTRIBUTE list[] = {{CKA_CLASS, &class, sizeof(class)},
                           {CKA_TOKEN, &yes, sizeof(yes)}};
    CK_OBJECT_HANDLE object;

    assert_int_equal(t.real->C_CreateObject(t.s, list, 2, &object), CKR_OK);
}

static cJSON *snapshot(void)
{
    cJSON *out = NULL;

    scratch_ok(cv_debris_snapshot(t.f, t.s, &out, &err), &err);
    return out;
}

static cJSON *debris(const cJSON *before, const cJSON *known)
{
    cJSON *out = NULL;

    scratch_ok(cv_debris_list(t.f, t.s, before, known, &out, &err), &err);
    return out;
}

static const char *text(const cJSON *list, int i, const char *key)
{
    return cJSON_GetObjectItem(cJSON_GetArrayItem(list, i), key)->valuestring;
}

static bool truth(const cJSON *list, int i, const char *key)
{
    return cJSON_IsTrue(cJSON_GetObjectItem(cJSON_GetArrayItem(list, i), key));
}

static void what_is_new_is_debris(void **state)
{
    cJSON *before, *again, *list, *known;
    int i, n;

    (void)state;
    scratch_begin(&t, RIG_SOFTHSM);
    known = cJSON_Parse("[{\"id\":\"" ID_HEX "\"}]");
    take(rig_bytes("another's"), "another's");
    before = snapshot();
    assert_int_equal(cJSON_GetArraySize(before), 3);
    list = debris(before, NULL);
    assert_int_equal(cJSON_GetArraySize(list), 0);
    cJSON_Delete(list);

    /* the same in another session, after another login */
    scratch_again(&t);
    again = snapshot();
    assert_int_equal(cJSON_GetArraySize(again), 3);
    list = debris(before, NULL);
    assert_int_equal(cJSON_GetArraySize(list), 0);
    cJSON_Delete(list);

    take(id, LABEL);
    half();
    list = debris(before, known);
    assert_int_equal(cJSON_GetArraySize(list), 1);
    assert_string_equal(text(list, 0, "class"), "data");
    assert_string_equal(text(list, 0, "label"), "");
    assert_string_equal(text(list, 0, "id"), "");
    assert_false(truth(list, 0, "ambiguous"));
    cJSON_Delete(list);

    list = debris(before, NULL);
    n = cJSON_GetArraySize(list);
    assert_int_equal(n, 4);
    for (i = 0; i < n; i++) {
        scratch_ok(cv_debris_destroy(t.f, t.s, text(list, i, "digest"), &err),
                   &err);
        assert_int_equal(scratch_objects(&t), (size_t)(6 - i));
        assert_int_equal(
            cv_debris_destroy(t.f, t.s, text(list, i, "digest"), &err),
            CV_NOT_FOUND);
    }
    cJSON_Delete(list);
    list = debris(before, NULL);
    assert_int_equal(cJSON_GetArraySize(list), 0);
    cJSON_Delete(list);
    cJSON_Delete(known);
    cJSON_Delete(again);
    cJSON_Delete(before);
}

static void what_looks_alike_is_counted(void **state)
{
    cJSON *before, *list;

    (void)state;
    scratch_begin(&t, RIG_SOFTHSM);
    before = snapshot();
    half();
    half();
    list = debris(before, NULL);
    assert_int_equal(cJSON_GetArraySize(list), 2);
    assert_string_equal(text(list, 0, "digest"), text(list, 1, "digest"));
    scratch_ok(cv_debris_destroy(t.f, t.s, text(list, 0, "digest"), &err),
               &err);
    assert_int_equal(scratch_objects(&t), 1);
    cJSON_Delete(list);
    cJSON_Delete(before);

    /* one was there: which of two is it? */
    before = snapshot();
    half();
    list = debris(before, NULL);
    assert_int_equal(cJSON_GetArraySize(list), 1);
    assert_true(truth(list, 0, "ambiguous"));
    assert_int_equal(cv_debris_destroy(t.f, t.s, text(list, 0, "digest"), &err),
                     CV_INTEGRITY);
    assert_int_equal(scratch_objects(&t), 2);
    cJSON_Delete(list);
    cJSON_Delete(before);
}

static void what_is_not_a_snapshot_is_refused(void **state)
{
    static const char *const bad[] = {
        "{}",
        "[1]",
        "[\"\"]",
        "[\"0123\"]",
        "[\"E3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b8\"]",
    };
    static const char *const unknown[] = {
        "{}", "[1]", "[{}]", "[{\"id\":\"\"}]", "[{\"id\":\"e402\"}]"};
    cJSON *list = NULL, *empty = NULL, *json;
    size_t i;

    (void)state;
    scratch_begin(&t, RIG_FAKE);
    empty = cJSON_Parse("[]");
    for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        json = cJSON_Parse(bad[i]);
        assert_int_equal(cv_debris_list(t.f, t.s, json, NULL, &list, &err),
                         CV_INVALID);
        assert_null(list);
        cJSON_Delete(json);
    }
    for (i = 0; i < sizeof(unknown) / sizeof(unknown[0]); i++) {
        json = cJSON_Parse(unknown[i]);
        assert_int_equal(cv_debris_list(t.f, t.s, empty, json, &list, &err),
                         CV_INVALID);
        cJSON_Delete(json);
    }
    cJSON_Delete(empty);
    assert_int_equal(cv_debris_destroy(t.f, t.s, "abc", &err), CV_INVALID);
}

static CK_RV destroys_nothing(CK_SESSION_HANDLE s, CK_OBJECT_HANDLE object)
{
    (void)s, (void)object;
    return CKR_OK;
}

/* Half objects that the module makes in the middle of an import. */
static void half_made_keys_are_found(void **state)
{
    struct scratch_key k;
    struct cv_create_key key;
    CK_OBJECT_HANDLE handle;
    enum cv_create_way way;
    cJSON *before, *list;
    int i, n;

    (void)state;
    scratch_begin(&t, RIG_FAKE);
    k = scratch_make_key(&t, "ec-p256");
    key = (struct cv_create_key){k.der, id, LABEL};
    before = snapshot();
    scratch_misbehave(&t, "create=half\nunwrap=0\n"
                          "fault=C_CreateObject rv-after:0x30\n");
    assert_int_not_equal(
        cv_create_key(t.f, t.s, &key, t.arena, &way, &handle, NULL, &err),
        CV_OK);
    scratch_misbehave(&t, "");
    list = debris(before, NULL);
    n = cJSON_GetArraySize(list);
    assert_true(n > 0);
    for (i = 0; i < n; i++) {
        assert_string_equal(text(list, i, "id"), "");
        scratch_ok(cv_debris_destroy(t.f, t.s, text(list, i, "digest"), &err),
                   &err);
    }
    assert_int_equal(scratch_objects(&t), 0);
    cJSON_Delete(list);

    /* CKR_OK is no proof that something is gone */
    half();
    list = debris(before, NULL);
    assert_int_equal(cJSON_GetArraySize(list), 1);
    t.patched.C_DestroyObject = destroys_nothing;
    assert_int_equal(cv_debris_destroy(t.f, t.s, text(list, 0, "digest"), &err),
                     CV_INTEGRITY);
    cJSON_Delete(list);
    cJSON_Delete(before);
}

static int end(void **state)
{
    (void)state;
    scratch_end(&t);
    return 0;
}

#define TEST(name) cmocka_unit_test_teardown(name, end)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(what_is_new_is_debris),
        TEST(what_looks_alike_is_counted),
        TEST(what_is_not_a_snapshot_is_refused),
        TEST(half_made_keys_are_found),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
