/* Logging in: how often a token is asked, and what it is never asked. The
 * misbehaving module counts every C_Login that reaches it. */
#include "tests/unit/pkcs11_rig.h"

#include <stdlib.h>
#include <string.h>

static enum cv_status login(struct rig *r, const char *pin, unsigned flags)
{
    struct cv_bytes bytes = {NULL, 0};

    if (pin != NULL) {
        bytes = rig_bytes(pin);
    }
    cv_err_init(&r->err);
    return cv_login_user(r->pool, bytes, flags, &r->err);
}

static size_t tries(const struct rig *r)
{
    return rig_count(r, "logins.log", "\n");
}

static void test_right(void **state)
{
    static const enum rig_kind kinds[] = {RIG_FAKE, RIG_SOFTHSM, RIG_NSS};

    (void)state;
    for (size_t i = 0; i < 3; i++) {
        struct rig r;

        if (rig_file(kinds[i]) == NULL) {
            continue;
        }
        rig_begin(&r, kinds[i]);
        assert_false(cv_session_logged_in(r.pool));
        assert_int_equal(login(&r, RIG_PIN, 0), CV_OK);
        assert_true(cv_session_logged_in(r.pool));
        /* Who is logged in is not asked again, whatever PIN is given. */
        assert_int_equal(login(&r, "wrong", 0), CV_OK);
        assert_int_equal(login(&r, NULL, 0), CV_OK);
        assert_int_equal(cv_login_out(r.pool, &r.err), CV_OK);
        assert_false(cv_session_logged_in(r.pool));
        assert_int_equal(cv_login_out(r.pool, &r.err), CV_OK);
        if (kinds[i] == RIG_FAKE) {
            assert_int_equal(tries(&r), 1);
        }
        rig_end(&r);
    }
}

/* A wrong PIN costs one try, and then nothing costs another. */
static void test_wrong(void **state)
{
    struct rig r;

    (void)state;
    rig_begin(&r, RIG_FAKE);
    assert_int_equal(login(&r, "4321", 0), CV_AUTH);
    assert_int_equal(cv_rv_of(&r.err), CKR_PIN_INCORRECT);
    assert_non_null(strstr(r.err.state, "few tries"));
    assert_null(strstr(r.err.text, "4321"));
    assert_int_equal(tries(&r), 1);
    assert_false(cv_session_logged_in(r.pool));
    /* Automation stops, with the right PIN too. */
    for (int i = 0; i < 10; i++) {
        assert_int_equal(login(&r, RIG_PIN, 0), CV_LOCKED);
        assert_int_equal(login(&r, RIG_PIN, CV_LOGIN_KEEP), CV_LOCKED);
    }
    assert_int_equal(tries(&r), 1);
    /* A human may; and at the last try nobody may. */
    assert_int_equal(login(&r, "4321", CV_LOGIN_HUMAN), CV_AUTH);
    assert_non_null(strstr(r.err.state, "one try"));
    assert_int_equal(tries(&r), 2);
    for (int i = 0; i < 10; i++) {
        assert_int_equal(login(&r, RIG_PIN, CV_LOGIN_HUMAN), CV_LOCKED);
    }
    assert_int_equal(tries(&r), 2);
    assert_string_equal(rig_read(&r, "tries"), "1\n");
    rig_end(&r);
}

static void test_softhsm_wrong(void **state)
{
    struct rig r;

    (void)state;
    rig_begin(&r, RIG_SOFTHSM);
    assert_int_equal(login(&r, "4321", 0), CV_AUTH);
    assert_int_equal(login(&r, RIG_PIN, 0), CV_LOCKED);
    assert_int_equal(login(&r, RIG_PIN, CV_LOGIN_HUMAN), CV_OK);
    assert_int_equal(cv_login_out(r.pool, NULL), CV_OK);
    assert_int_equal(login(&r, RIG_PIN, 0), CV_OK);
    rig_end(&r);
}

/* Flags that say that all is well are known to lie: one C_Login a call, and
 * what it may cost is told. */
static void test_flags(void **state)
{
    static const struct {
        const char *control;
        enum cv_status program, human;
    } table[] = {
        {"flags=zero\n", CV_OK, CV_OK},
        {"flags=low\n", CV_LOCKED, CV_OK},
        {"flags=final\n", CV_LOCKED, CV_LOCKED},
        {"flags=locked\n", CV_LOCKED, CV_LOCKED},
    };
    struct rig r;

    (void)state;
    for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
        rig_begin_with(&r, RIG_FAKE, table[i].control);
        assert_int_equal(login(&r, RIG_PIN, 0), table[i].program);
        assert_int_equal(cv_login_out(r.pool, NULL), CV_OK);
        assert_int_equal(login(&r, RIG_PIN, CV_LOGIN_HUMAN), table[i].human);
        assert_int_equal(tries(&r), (table[i].program == CV_OK) +
                                        (table[i].human == CV_OK));
        rig_end(&r);
    }
    rig_begin_with(&r, RIG_FAKE, "flags=zero\n");
    assert_int_equal(login(&r, "4321", 0), CV_AUTH);
    assert_non_null(strstr(r.err.state, "does not tell"));
    assert_int_equal(tries(&r), 1);
    rig_end(&r);
}

/* What cannot be right is not tried. */
static void test_never_sent(void **state)
{
    char long_pin[CV_LIMIT_PIN + 2];
    struct rig r;

    (void)state;
    memset(long_pin, '1', sizeof(long_pin) - 1);
    long_pin[sizeof(long_pin) - 1] = '\0';
    rig_begin(&r, RIG_FAKE);
    assert_int_equal(login(&r, "", CV_LOGIN_HUMAN), CV_INVALID);
    assert_int_equal(login(&r, "123", CV_LOGIN_HUMAN), CV_INVALID);
    assert_int_equal(login(&r, long_pin, CV_LOGIN_HUMAN), CV_INVALID);
    long_pin[65] = '\0'; /* this token takes 64 */
    assert_int_equal(login(&r, long_pin, CV_LOGIN_HUMAN), CV_INVALID);
    assert_int_equal(login(&r, NULL, CV_LOGIN_HUMAN), CV_INVALID);
    assert_int_equal(tries(&r), 0);
    rig_remove(&r, "pin"); /* no PIN was ever set */
    assert_int_equal(login(&r, RIG_PIN, CV_LOGIN_HUMAN), CV_LOCKED);
    assert_int_equal(tries(&r), 0);
    rig_end(&r);
}

/* This one would take an empty PIN for one that is wrong. */
static void test_nss_empty(void **state)
{
    struct rig r;

    (void)state;
    rig_begin(&r, RIG_NSS);
    assert_int_equal(cv_session_token(r.pool)->pin.min, 0);
    assert_int_equal(login(&r, "", CV_LOGIN_HUMAN), CV_INVALID);
    assert_int_equal(login(&r, RIG_PIN, 0), CV_OK);
    rig_end(&r);
}

static void test_pin_pad(void **state)
{
    struct rig r;

    (void)state;
    rig_begin_with(&r, RIG_FAKE, "pin-pad=1\n");
    rig_write(&r, "pad", RIG_PIN);
    assert_int_equal(login(&r, NULL, CV_LOGIN_HUMAN), CV_OK);
    assert_int_equal(tries(&r), 1);
    assert_int_equal(cv_login_out(r.pool, NULL), CV_OK);
    /* What is typed at the pad counts, not what is given along. */
    rig_write(&r, "pad", "4321");
    assert_int_equal(login(&r, RIG_PIN, CV_LOGIN_HUMAN), CV_AUTH);
    assert_int_equal(tries(&r), 2);
    rig_end(&r);
}

/* A failure that is not about the PIN: nobody knows whether it was counted. */
static void test_failure_on_the_way(void **state)
{
    struct rig r;

    (void)state;
    rig_begin_with(&r, RIG_FAKE, "once=C_Login rv-after:0x30\n");
    assert_int_equal(login(&r, RIG_PIN, CV_LOGIN_KEEP), CV_UNAVAILABLE);
    assert_non_null(strstr(r.err.state, "not known"));
    assert_int_equal(tries(&r), 1);
    assert_false(cv_login_kept(r.pool));
    rig_end(&r);
}

static void test_kept(void **state)
{
    struct rig r;

    (void)state;
    rig_begin(&r, RIG_FAKE);
    assert_int_equal(login(&r, RIG_PIN, 0), CV_OK);
    assert_false(cv_login_kept(r.pool));
    assert_int_equal(cv_login_out(r.pool, NULL), CV_OK);
    assert_int_equal(login(&r, RIG_PIN, CV_LOGIN_KEEP), CV_OK);
    assert_true(cv_login_kept(r.pool));
    assert_int_equal(cv_login_out(r.pool, NULL), CV_OK);
    assert_false(cv_login_kept(r.pool));
    assert_int_equal(login(&r, "4321", CV_LOGIN_KEEP), CV_AUTH);
    assert_false(cv_login_kept(r.pool));
    rig_end(&r);
}

static enum cv_status change(struct rig *r, const char *from, const char *to)
{
    cv_err_init(&r->err);
    return cv_login_change_pin(r->pool, rig_bytes(from), rig_bytes(to),
                               &r->err);
}

static void test_change(void **state)
{
    struct rig r;

    (void)state;
    rig_begin(&r, RIG_FAKE);
    assert_int_equal(change(&r, RIG_PIN, ""), CV_INVALID);
    assert_int_equal(change(&r, RIG_PIN, "123"), CV_INVALID);
    assert_int_equal(change(&r, "", "5678"), CV_INVALID);
    assert_int_equal(tries(&r), 0);
    assert_int_equal(change(&r, RIG_PIN, "5678"), CV_OK);
    assert_string_equal(rig_read(&r, "pin"), "5678");
    assert_int_equal(change(&r, RIG_PIN, "1111"), CV_AUTH);
    assert_int_equal(change(&r, RIG_PIN, "1111"), CV_AUTH);
    /* The last try is not spent on this either. */
    assert_int_equal(change(&r, "5678", "1111"), CV_LOCKED);
    assert_int_equal(tries(&r), 3);
    rig_end(&r);

    if (rig_file(RIG_SOFTHSM) == NULL) {
        skip();
    }
    rig_begin(&r, RIG_SOFTHSM);
    assert_int_equal(change(&r, "4321", "5678"), CV_AUTH);
    assert_int_equal(change(&r, RIG_PIN, "5678"), CV_OK);
    assert_int_equal(login(&r, "5678", 0), CV_OK);
    rig_end(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_right),
        cmocka_unit_test(test_wrong),
        cmocka_unit_test(test_softhsm_wrong),
        cmocka_unit_test(test_flags),
        cmocka_unit_test(test_never_sent),
        cmocka_unit_test(test_nss_empty),
        cmocka_unit_test(test_pin_pad),
        cmocka_unit_test(test_failure_on_the_way),
        cmocka_unit_test(test_kept),
        cmocka_unit_test(test_change),
    };

    return rig_result(cmocka_run_group_tests(tests, NULL, NULL));
}
