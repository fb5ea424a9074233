/* Keys that are born on the token. */
#include "tests/unit/pkcs11_scratch.h"

#include "pkcs11/import.h"

#include <string.h>

#define LABEL "certvault:0a1b2c3d:born"

static struct scratch t;
static const uint8_t id_bytes[16] = {0xE3, 2, 3, 4, 5, 6, 7, 8};
static const struct cv_bytes id = {id_bytes, sizeof(id_bytes)};
static struct cv_err err;
static struct cv_import_result out;

static enum cv_status make(const char *algorithm, bool allow_leaky,
                           struct cv_buf *spki)
{
    struct cv_generate_order order = {algorithm, CV_GENERATE_SIGN, id, LABEL};

    cv_err_init(&err);
    return cv_import_generate(t.f, t.s, &order, allow_leaky, NULL, spki, &out,
                              &err);
}

static void born(const char *algorithm, const char *kind, unsigned size,
                 bool leaky)
{
    struct cv_buf spki;
    const char *got;
    unsigned bits;
    size_t n;

    cv_buf_init(&spki, NULL, CV_LIMIT_KEY_DER);
    if (leaky) {
        assert_int_equal(make(algorithm, false, &spki), CV_DENIED);
        assert_int_equal(scratch_all(&t), 0);
        cv_buf_wipe(&spki);
    }
    scratch_ok(make(algorithm, leaky, &spki), &err);
    scratch_ok(cv_object_kind(cv_buf_bytes(&spki), &got, &bits, &err), &err);
    assert_string_equal(got, kind);
    assert_int_equal(bits, size);
    assert_true(out.findings.signature);
    assert_int_equal(out.findings.leaky, leaky);
    assert_int_equal(out.findings.flags[CV_EXAMINE_ALWAYS_SENSITIVE],
                     CV_EXAMINE_YES);
    assert_int_equal(out.findings.flags[CV_EXAMINE_NEVER_EXTRACTABLE],
                     CV_EXAMINE_YES);
    /* NSS says that what it made was not made there */
    assert_int_equal(out.findings.flags[CV_EXAMINE_LOCAL],
                     t.rig.kind == RIG_NSS ? CV_EXAMINE_NO : CV_EXAMINE_YES);
    assert_int_equal(scratch_all(&t), 2);
    assert_int_equal(make(algorithm, true, &spki), CV_EXISTS);
    assert_int_equal(scratch_all(&t), 2);
    scratch_ok(cv_create_destroy(t.f, t.s, id, LABEL, &n, &err), &err);
    assert_int_equal(n, 2);
    cv_buf_wipe(&spki);
}

static void softhsm_makes_all(void **state)
{
    (void)state;
    scratch_begin(&t, RIG_SOFTHSM);
    born("p256", "ec-p256", 256, false);
    born("p384", "ec-p384", 384, false);
    born("rsa2048", "rsa", 2048, false);
    born("ed25519", "ed25519", 256, false);
}

static void nss_makes_all_but_ed25519(void **state)
{
    struct cv_buf spki;

    (void)state;
    scratch_begin(&t, RIG_NSS);
    born("p256", "ec-p256", 256, true);
    born("rsa2048", "rsa", 2048, true);
    cv_buf_init(&spki, NULL, CV_LIMIT_KEY_DER);
    assert_int_equal(make("ed25519", true, &spki), CV_INVALID);
    /* A later one makes it, and then cannot sign with it. */
    assert_non_null(
        strstr(err.text, scratch_has(&t, CKM_EC_EDWARDS_KEY_PAIR_GEN)
                             ? "C_Sign"
                             : "CKM_EC_EDWARDS_KEY_PAIR_GEN"));
    assert_int_equal(make("dsa1024", true, &spki), CV_INVALID);
    assert_int_equal(scratch_all(&t), 0);
    cv_buf_wipe(&spki);
}

/* What a module can do wrong leaves nothing, and is not taken for a key. */
static void a_module_that_lies(void **state)
{
    static const struct {
        const char *control;
        enum cv_status status;
    } cases[] = {
        {"create=nothing\n", CV_INTEGRITY},
        {"generate=0\n", CV_UNAVAILABLE},
        {"extractable=1\n", CV_INTEGRITY},
        {"sign=wrong\n", CV_INTEGRITY},
        {"leak=wrap-kwp\n", CV_DENIED},
        {"leak=read-secret\n", CV_DENIED},
        {"fault=C_GenerateKeyPair rv:0x30\n", CV_UNAVAILABLE},
        {"fault=C_GenerateKeyPair rv-after:0x30\n", CV_UNAVAILABLE},
        {"fault=C_Sign rv:0x30\n", CV_UNAVAILABLE},
        {"fault=C_WrapKey rv:0x30\nsign=zero\n", CV_INTEGRITY},
    };
    size_t i;

    (void)state;
    scratch_begin(&t, RIG_FAKE);
    for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct cv_buf spki;
        enum cv_status s;

        cv_buf_init(&spki, NULL, CV_LIMIT_KEY_DER);
        scratch_misbehave(&t, cases[i].control);
        s = make("p256", false, &spki);
        if (s != cases[i].status && s != CV_INVALID) {
            fail_msg("%s: %d, %s", cases[i].control, s, err.text);
        }
        assert_int_not_equal(s, CV_OK);
        scratch_misbehave(&t, "");
        assert_int_equal(scratch_all(&t), 0);
        cv_buf_wipe(&spki);
    }
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
        TEST(softhsm_makes_all),
        TEST(nss_makes_all_but_ed25519),
        TEST(a_module_that_lies),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
