/* Attributes of objects whose module lies about lengths. */
#include "tests/unit/pkcs11_rig.h"

#include <string.h>

/* A function list with one function: what C_GetAttributeValue answers is
 * written down here. */
static struct {
    CK_RV rv;
    CK_ULONG said;  /* the length that is told */
    size_t wrote;   /* bytes of `with` that are written */
    uint8_t with;   /* whatever room there was */
    CK_ULONG asked; /* the room there was */
} answer;

static CK_RV get_attribute(CK_SESSION_HANDLE session, CK_OBJECT_HANDLE object,
                           CK_ATTRIBUTE *items, CK_ULONG n)
{
    (void)session;
    (void)object;
    assert_int_equal(n, 1);
    answer.asked = items[0].ulValueLen;
    memset(items[0].pValue, answer.with, answer.wrote);
    items[0].ulValueLen = answer.said;
    return answer.rv;
}

static CK_FUNCTION_LIST stub = {.C_GetAttributeValue = get_attribute};
static const struct cv_attribute_place at = {&stub, 1, 1};

static enum cv_status read_bytes(CK_ATTRIBUTE_TYPE type, size_t ceiling,
                                 size_t *len, struct cv_err *err)
{
    struct cv_buf out;
    enum cv_status status;

    cv_buf_init(&out, NULL, ceiling);
    cv_buf_add_str(&out, "before");
    cv_err_init(err);
    status = cv_attribute_read(at, type, &out, err);
    assert_memory_equal(out.data, "before", 6);
    *len = out.len - 6;
    assert_true(status == CV_OK || *len == 0);
    cv_buf_wipe(&out);
    return status;
}

static void test_lengths(void **state)
{
    static const struct {
        CK_RV rv;
        CK_ULONG said;
        size_t wrote;
        enum cv_status status;
        size_t len;
    } table[] = {
        {CKR_OK, 0, 0, CV_OK, 0},
        {CKR_OK, 5, 5, CV_OK, 5},
        {CKR_OK, 100, 5, CV_OK, 100}, /* zeros, and nothing of anybody's */
        {CKR_OK, CV_LIMIT_ATTRIBUTE, CV_LIMIT_ATTRIBUTE, CV_OK,
         CV_LIMIT_ATTRIBUTE},
        {CKR_OK, CV_LIMIT_ATTRIBUTE + 1, 0, CV_INTEGRITY, 0},
        {CKR_OK, 5, CV_LIMIT_ATTRIBUTE + 8, CV_INTEGRITY, 0},
        {CKR_OK, ~0UL - 1, 0, CV_INTEGRITY, 0},
        {CKR_OK, 1UL << 63, 0, CV_INTEGRITY, 0},
        {CKR_OK, ~0UL, 0, CV_NOT_FOUND, 0},
        {CKR_BUFFER_TOO_SMALL, ~0UL, 0, CV_INTEGRITY, 0},
        {CKR_BUFFER_TOO_SMALL, 5, 0, CV_INTEGRITY, 0},
        {CKR_ATTRIBUTE_SENSITIVE, ~0UL, 0, CV_DENIED, 0},
        {CKR_ATTRIBUTE_SENSITIVE, 5, 5, CV_DENIED, 0},
        {CKR_ATTRIBUTE_TYPE_INVALID, ~0UL, 0, CV_NOT_FOUND, 0},
        {CKR_OBJECT_HANDLE_INVALID, 5, 5, CV_UNAVAILABLE, 0},
    };
    struct cv_err err;
    size_t len = 0;

    (void)state;
    for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
        answer.rv = table[i].rv;
        answer.said = table[i].said;
        answer.wrote = table[i].wrote;
        answer.with = 'x';
        assert_int_equal(read_bytes(CKA_LABEL, CV_MIB(1), &len, &err),
                         table[i].status);
        assert_int_equal(len, table[i].len);
        assert_int_equal(answer.asked, CV_LIMIT_ATTRIBUTE);
    }
    answer.rv = CKR_OK;
    answer.said = answer.wrote = CV_LIMIT_TOKEN_ID;
    assert_int_equal(read_bytes(CKA_ID, CV_MIB(1), &len, &err), CV_OK);
    answer.said = 10240;
    assert_int_equal(read_bytes(CKA_ID, CV_MIB(1), &len, &err), CV_INTEGRITY);
    assert_non_null(strstr(err.text, "CKA_ID"));
    /* The caller's own ceiling. */
    answer.said = answer.wrote = 20;
    assert_int_equal(read_bytes(CKA_ID, 25, &len, &err), CV_INVALID);
}

static void test_numbers(void **state)
{
    CK_ULONG number = 1;
    bool flag = true;

    (void)state;
    answer.rv = CKR_OK;
    answer.said = answer.wrote = sizeof(CK_ULONG);
    answer.with = 1;
    assert_int_equal(cv_attribute_ulong(at, CKA_CLASS, &number, NULL), CV_OK);
    assert_int_equal(number, 0x0101010101010101UL);
    answer.said = 4;
    assert_int_equal(cv_attribute_ulong(at, CKA_CLASS, &number, NULL),
                     CV_INTEGRITY);
    assert_int_equal(number, 0);
    answer.said = answer.wrote = 9;
    assert_int_equal(cv_attribute_ulong(at, CKA_CLASS, &number, NULL),
                     CV_INTEGRITY);
    answer.said = answer.wrote = 1;
    assert_int_equal(cv_attribute_bool(at, CKA_SIGN, &flag, NULL), CV_OK);
    assert_true(flag);
    answer.with = 0;
    assert_int_equal(cv_attribute_bool(at, CKA_SIGN, &flag, NULL), CV_OK);
    assert_false(flag);
    /* Neither true nor false is not true. */
    answer.with = 2;
    assert_int_equal(cv_attribute_bool(at, CKA_SIGN, &flag, NULL),
                     CV_INTEGRITY);
    assert_false(flag);
    answer.said = 0;
    assert_int_equal(cv_attribute_bool(at, CKA_SIGN, &flag, NULL),
                     CV_INTEGRITY);
    answer.rv = CKR_ATTRIBUTE_TYPE_INVALID;
    assert_int_equal(cv_attribute_bool(at, CKA_SIGN, &flag, NULL),
                     CV_NOT_FOUND);
}

static void test_template(void **state)
{
    static struct cv_attribute_template t;

    (void)state;
    cv_attribute_start(&t);
    cv_attribute_add_bool(&t, CKA_SIGN, true);
    cv_attribute_add_ulong(&t, CKA_CLASS, CKO_PRIVATE_KEY);
    cv_attribute_add_text(&t, CKA_LABEL, "label");
    assert_int_equal(t.n, 3);
    assert_int_equal(*(CK_BBOOL *)t.items[0].pValue, CK_TRUE);
    assert_int_equal(*(CK_ULONG *)t.items[1].pValue, CKO_PRIVATE_KEY);
    assert_memory_equal(t.items[2].pValue, "label", 5);
    while (!t.full && t.n <= CV_ATTRIBUTE_TEMPLATE) {
        cv_attribute_add_ulong(&t, CKA_CLASS, 0);
    }
    assert_true(t.full);
    assert_int_equal(t.n, CV_ATTRIBUTE_TEMPLATE);
    cv_attribute_add_text(&t, CKA_LABEL, "label");
    cv_attribute_add_bool(&t, CKA_SIGN, true);
    assert_int_equal(t.n, CV_ATTRIBUTE_TEMPLATE);
    assert_string_equal(cv_attribute_name(CKA_EXTRACTABLE), "CKA_EXTRACTABLE");
    assert_string_equal(cv_attribute_name(0x7fffffff), "CKA_?");
}

/* A whole module that does so: the key is not found, and nothing breaks. */
static void test_module(void **state)
{
    static const char *const lies[] = {"length=max\n", "length=grow\n",
                                       "id=huge\n"};

    (void)state;
    for (size_t i = 0; i < 3; i++) {
        struct rig r;
        struct cv_buf spki, signature;
        struct cv_sign_key key;

        rig_begin(&r, RIG_FAKE);
        rig_login(&r);
        cv_buf_init(&spki, NULL, CV_LIMIT_ATTRIBUTE);
        cv_buf_init(&signature, NULL, CV_LIMIT_SIGNATURE);
        assert_true(rig_generate(&r, "p256", "id", true, &spki));
        key = (struct cv_sign_key){rig_bytes("id"), cv_buf_bytes(&spki)};
        rig_write(&r, "control", lies[i]);
        assert_int_equal(cv_sign(r.pool, &key, "ecdsa_secp256r1_sha256",
                                 rig_bytes("data"), &signature, &r.err),
                         CV_NOT_FOUND);
        rig_write(&r, "control", "");
        assert_int_equal(cv_sign(r.pool, &key, "ecdsa_secp256r1_sha256",
                                 rig_bytes("data"), &signature, &r.err),
                         CV_OK);
        cv_buf_wipe(&spki);
        cv_buf_wipe(&signature);
        rig_end(&r);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_lengths),
        cmocka_unit_test(test_numbers),
        cmocka_unit_test(test_template),
        cmocka_unit_test(test_module),
    };

    return rig_result(cmocka_run_group_tests(tests, NULL, NULL));
}
