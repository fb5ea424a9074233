/* What answers mean: a table that must be whole and must not contradict
 * itself. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka.h needs those. */
#include <cmocka.h>

#include "pkcs11/rv.h"

#include <string.h>

static void test_names(void **state)
{
    CK_RV back = 1;

    (void)state;
    assert_string_equal(cv_rv_name(CKR_OK), "CKR_OK");
    assert_string_equal(cv_rv_name(CKR_PIN_INCORRECT), "CKR_PIN_INCORRECT");
    assert_string_equal(cv_rv_name(0x80000001UL), "CKR_VENDOR_DEFINED");
    assert_string_equal(cv_rv_name(0x7fffffffUL), "CKR_?");
    assert_true(cv_rv_from_name("CKR_OK", &back));
    assert_int_equal(back, CKR_OK);
    assert_false(cv_rv_from_name("CKR_?", &back));
    assert_false(cv_rv_from_name("ckr_ok", &back));
    assert_false(cv_rv_from_name(NULL, &back));
    /* Each name leads to its number, and none is told twice. */
    for (CK_RV rv = 0; rv < 0x300; rv++) {
        const char *name = cv_rv_name(rv);

        if (strcmp(name, "CKR_?") != 0) {
            assert_true(cv_rv_from_name(name, &back));
            assert_int_equal(back, rv);
        }
    }
}

static void test_status(void **state)
{
    static const struct {
        CK_RV rv;
        enum cv_status status;
        enum cv_rv_recover first, after_retry, after_reload;
    } table[] = {
        {CKR_OK, CV_OK, CV_RV_NONE, CV_RV_NONE, CV_RV_NONE},
        {CKR_GENERAL_ERROR, CV_UNAVAILABLE, CV_RV_RETRY, CV_RV_RELOAD,
         CV_RV_RESTART},
        {CKR_DEVICE_ERROR, CV_UNAVAILABLE, CV_RV_RETRY, CV_RV_RELOAD,
         CV_RV_RESTART},
        {CKR_DEVICE_REMOVED, CV_UNAVAILABLE, CV_RV_RETRY, CV_RV_GIVE_UP,
         CV_RV_GIVE_UP},
        {CKR_SESSION_HANDLE_INVALID, CV_UNAVAILABLE, CV_RV_RETRY, CV_RV_RELOAD,
         CV_RV_RESTART},
        {CKR_OBJECT_HANDLE_INVALID, CV_UNAVAILABLE, CV_RV_RETRY, CV_RV_RELOAD,
         CV_RV_RESTART},
        {CKR_CRYPTOKI_NOT_INITIALIZED, CV_UNAVAILABLE, CV_RV_RELOAD,
         CV_RV_RELOAD, CV_RV_RESTART},
        {CKR_USER_NOT_LOGGED_IN, CV_LOCKED, CV_RV_RELOGIN, CV_RV_RELOGIN,
         CV_RV_RELOGIN},
        {CKR_PIN_INCORRECT, CV_AUTH, CV_RV_NONE, CV_RV_NONE, CV_RV_NONE},
        {CKR_PIN_LOCKED, CV_LOCKED, CV_RV_GIVE_UP, CV_RV_GIVE_UP,
         CV_RV_GIVE_UP},
        {CKR_ATTRIBUTE_SENSITIVE, CV_DENIED, CV_RV_NONE, CV_RV_NONE,
         CV_RV_NONE},
        {CKR_MECHANISM_INVALID, CV_INVALID, CV_RV_NONE, CV_RV_NONE, CV_RV_NONE},
        {CKR_HOST_MEMORY, CV_INTERNAL, CV_RV_NONE, CV_RV_NONE, CV_RV_NONE},
        {0x80000123UL, CV_UNAVAILABLE, CV_RV_NONE, CV_RV_NONE, CV_RV_NONE},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
        CK_RV rv = table[i].rv;

        assert_int_equal(cv_rv_status(rv), table[i].status);
        assert_int_equal(cv_rv_recover(rv), table[i].first);
        assert_int_equal(cv_rv_escalate(rv, CV_RV_NONE), table[i].first);
        assert_int_equal(cv_rv_escalate(rv, CV_RV_RETRY), table[i].after_retry);
        assert_int_equal(cv_rv_escalate(rv, CV_RV_RELOAD),
                         table[i].after_reload);
    }
}

/* What is wrong with a PIN never asks for another go by itself. */
static void test_pins_are_not_retried(void **state)
{
    static const CK_RV pins[] = {CKR_PIN_INCORRECT, CKR_PIN_INVALID,
                                 CKR_PIN_LEN_RANGE, CKR_PIN_EXPIRED,
                                 CKR_PIN_LOCKED,    CKR_PIN_TOO_WEAK};

    (void)state;
    for (size_t i = 0; i < sizeof(pins) / sizeof(pins[0]); i++) {
        for (int tried = CV_RV_NONE; tried <= CV_RV_GIVE_UP; tried++) {
            enum cv_rv_recover next =
                cv_rv_escalate(pins[i], (enum cv_rv_recover)tried);

            assert_true(next == CV_RV_NONE || next == CV_RV_GIVE_UP);
        }
    }
}

static void test_errors(void **state)
{
    struct cv_err err;

    (void)state;
    cv_err_init(&err);
    assert_int_equal(cv_rv_of(&err), CKR_OK);
    assert_int_equal(cv_rv_fail(&err, CKR_PIN_LOCKED, "C_Login"), CV_LOCKED);
    assert_int_equal(err.status, CV_LOCKED);
    assert_int_equal(err.domain, CV_DOMAIN_PKCS11);
    assert_int_equal(cv_rv_of(&err), CKR_PIN_LOCKED);
    assert_string_equal(err.text,
                        "the token answered CKR_PIN_LOCKED (0xa4) to C_Login");
    assert_non_null(strstr(err.hint, "PUK"));
    /* A success is no failure, and never reads as one that can be mended. */
    cv_err_init(&err);
    /* Opening a session forbids nothing, whatever a broken module says. */
    assert_int_equal(cv_rv_fail(&err, CKR_ATTRIBUTE_SENSITIVE, "C_WrapKey"),
                     CV_DENIED);
    assert_int_equal(cv_rv_fail(&err, CKR_ATTRIBUTE_SENSITIVE, "C_OpenSession"),
                     CV_UNAVAILABLE);
    assert_int_equal(cv_rv_fail(&err, CKR_OK, "C_Sign"), CV_INTERNAL);
    assert_int_equal(cv_rv_of(&err), CKR_OK);
    assert_int_equal(cv_rv_fail(NULL, CKR_GENERAL_ERROR, "C_Sign"),
                     CV_UNAVAILABLE);
    assert_int_equal(cv_rv_of(NULL), CKR_OK);
    cv_fail(&err, CV_IO, "another");
    assert_int_equal(cv_rv_of(&err), CKR_OK);
}

static void test_words(void **state)
{
    static const char *const words[] = {"none",   "retry",   "relogin",
                                        "reload", "restart", "give-up"};

    (void)state;
    for (size_t i = 0; i < 6; i++) {
        assert_string_equal(cv_rv_recover_word((enum cv_rv_recover)i),
                            words[i]);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_names),
        cmocka_unit_test(test_status),
        cmocka_unit_test(test_pins_are_not_retried),
        cmocka_unit_test(test_errors),
        cmocka_unit_test(test_words),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
