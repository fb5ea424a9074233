/* What tokens say of themselves, and which one a URI means. */
#include "tests/unit/pkcs11_rig.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static enum cv_status find(struct rig *r, const char *text,
                           struct cv_token_info *out)
{
    struct cv_uri *uri = NULL;
    enum cv_status status;

    assert_int_equal(cv_uri_parse(text, &uri, NULL), CV_OK);
    cv_err_init(&r->err);
    status = cv_token_find(r->module, uri, out, &r->err);
    cv_uri_free(uri);
    return status;
}

static void test_info(void **state)
{
    struct rig r;
    struct cv_token_info t;
    struct cv_buf uri;
    struct cv_uri *parsed = NULL;
    char identity[CV_TOKEN_IDENTITY_LEN];

    (void)state;
    rig_begin_with(&r, RIG_FAKE,
                   "label=a\x1b[31mb\nserial=00|1%2\nmanufacturer= x \n");
    assert_int_equal(find(&r, "pkcs11:model=misbehaving", &t), CV_OK);
    assert_string_equal(t.label, "a?[31mb");
    assert_string_equal(t.serial, "00|1%2");
    assert_true(t.initialized && t.login_required && t.pin.initialized);
    assert_false(t.protected_path || t.pin.count_low || t.pin.locked);
    assert_int_equal(t.pin.min, 4);
    assert_int_equal(t.pin.max, 64);
    assert_string_equal(cv_token_identity(&t, identity),
                        " x|misbehaving|00%7c1%252");
    /* Its URI finds it again. */
    cv_buf_init(&uri, NULL, CV_LIMIT_TOKEN_URI);
    cv_uri_add_token(&t, &uri);
    assert_int_equal(cv_uri_parse(cv_buf_text(&uri), &parsed, NULL), CV_OK);
    assert_true(cv_uri_match_token(parsed, &t));
    cv_uri_free(parsed);
    cv_buf_wipe(&uri);
    rig_end(&r);
}

static void test_softhsm(void **state)
{
    struct rig r;
    struct cv_token_info t, all[8];
    CK_MECHANISM_TYPE mechanisms[CV_LIMIT_TOKEN_MECHANISMS];
    CK_MECHANISM_INFO info;
    char uri[64];
    size_t n = 0;

    (void)state;
    rig_begin(&r, RIG_SOFTHSM);
    /* SoftHSM shows a second token that nobody made yet. */
    assert_int_equal(cv_token_list(r.module, NULL, all, 8, &n, NULL), CV_OK);
    assert_int_equal(n, 2);
    assert_int_equal(cv_token_list(r.module, NULL, all, 1, &n, NULL), CV_OK);
    assert_int_equal(n, 1);
    assert_int_equal(find(&r, "pkcs11:", &t), CV_OK);
    assert_string_equal(t.label, "work");
    assert_string_equal(t.model, "SoftHSM v2");
    assert_int_equal(find(&r, "pkcs11:token=other", &t), CV_NOT_FOUND);
    assert_int_equal(find(&r, "pkcs11:library-description=none", &t),
                     CV_NOT_FOUND);
    assert_int_equal(find(&r, "pkcs11:token=work", &t), CV_OK);
    (void)snprintf(uri, sizeof(uri), "pkcs11:slot-id=%lu", t.slot);
    assert_int_equal(find(&r, uri, &t), CV_OK);
    assert_int_equal(find(&r, "pkcs11:slot-id=4711", &t), CV_NOT_FOUND);
    assert_true(cv_token_has(r.module, t.slot, CKM_ECDSA, CKF_SIGN, &info));
    assert_false(cv_token_has(r.module, t.slot, CKM_ECDSA, CKF_WRAP, NULL));
    assert_false(cv_token_has(r.module, t.slot, 0x7fffffff, 0, NULL));
    assert_int_equal(cv_token_mechanisms(r.module, t.slot, mechanisms,
                                         CV_LIMIT_TOKEN_MECHANISMS, &n, NULL),
                     CV_OK);
    assert_true(n > 20);
    assert_int_equal(
        cv_token_mechanisms(r.module, t.slot, mechanisms, 3, &n, NULL),
        CV_UNAVAILABLE);
    assert_int_equal(n, 0);
    rig_end(&r);
}

static void init_another(struct rig *r, const char *label)
{
    CK_SLOT_ID slots[16];
    CK_ULONG n = 16;
    CK_UTF8CHAR pin[] = RIG_SO_PIN, padded[32];

    memset(padded, ' ', sizeof(padded));
    memcpy(padded, label, strlen(label));
    assert_int_equal(r->f->C_GetSlotList(CK_TRUE, slots, &n), CKR_OK);
    assert_int_equal(r->f->C_InitToken(slots[n - 1], pin, 8, padded), CKR_OK);
    /* A reload shows the next free slot. */
    assert_int_equal(r->f->C_Finalize(NULL), CKR_OK);
    assert_int_equal(r->f->C_Initialize(NULL), CKR_OK);
}

/* Two tokens of one name are told apart by serial number, never guessed. */
static void test_several(void **state)
{
    struct rig r;
    struct cv_token_info t, all[8];
    char uri[64];
    size_t n = 0;

    (void)state;
    rig_begin(&r, RIG_SOFTHSM);
    init_another(&r, "work");
    assert_int_equal(find(&r, "pkcs11:token=work", &t), CV_INVALID);
    assert_non_null(strstr(r.err.hint, "serial="));
    assert_int_equal(cv_token_list(r.module, r.uri, all, 8, &n, NULL), CV_OK);
    assert_int_equal(n, 2);
    assert_false(cv_token_same(&all[0], &all[1]));
    assert_true(cv_token_same(&all[1], &all[1]));
    (void)snprintf(uri, sizeof(uri), "pkcs11:token=work;serial=%s",
                   all[1].serial);
    assert_int_equal(find(&r, uri, &t), CV_OK);
    assert_int_equal(t.slot, all[1].slot);
    rig_end(&r);
}

/* A module that does not answer. */
static void test_failures(void **state)
{
    static const char *const faults[] = {
        "fault=C_GetSlotList rv:0x5\n", "fault=C_GetSlotList rv:0x2\n",
        "fault=C_GetTokenInfo rv:0xe1\n", "fault=C_GetSlotInfo rv:0x30\n",
        "present=0\n"};
    struct rig r;
    struct cv_token_info t;

    (void)state;
    rig_begin(&r, RIG_FAKE);
    for (size_t i = 0; i < 5; i++) {
        rig_write(&r, "control", faults[i]);
        assert_int_not_equal(find(&r, "pkcs11:token=rig", &t), CV_OK);
        assert_string_equal(t.label, "");
    }
    rig_end(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_info),
        cmocka_unit_test(test_softhsm),
        cmocka_unit_test(test_several),
        cmocka_unit_test(test_failures),
    };

    return rig_result(cmocka_run_group_tests(tests, NULL, NULL));
}
