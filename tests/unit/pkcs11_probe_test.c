/* What a probe says of tokens that are known, and that it leaves nothing. */
#include "tests/unit/pkcs11_scratch.h"

#include "pkcs11/probe.h"

#include <stdlib.h>
#include <string.h>

static struct scratch t;
static struct cv_err err;

static cJSON *probe(bool destructive, enum cv_status expected)
{
    cJSON *out = NULL;
    enum cv_status s;

    cv_err_init(&err);
    s = cv_probe_token(t.f, t.s, destructive, &out, &err);
    if (s != expected) {
        fail_msg("%d: %s", s, err.text);
    }
    return out;
}

/* "a.b", "a.0.b": the value there. */
static const cJSON *at(const cJSON *json, const char *path)
{
    char part[64];

    while (json != NULL && *path != '\0') {
        size_t len = strcspn(path, ".");

        assert_true(len < sizeof(part));
        memcpy(part, path, len);
        part[len] = '\0';
        json = cJSON_IsArray(json)
                   ? cJSON_GetArrayItem(json, (int)strtol(part, NULL, 10))
                   : cJSON_GetObjectItemCaseSensitive(json, part);
        path += len + (path[len] == '.');
    }
    assert_non_null(json);
    return json;
}

static void says(const cJSON *json, const char *path, const char *text)
{
    const cJSON *value = at(json, path);

    if (!cJSON_IsString(value) || strcmp(value->valuestring, text) != 0) {
        fail_msg("%s is not %s", path, text);
    }
}

static void is(const cJSON *json, const char *path, bool value)
{
    const cJSON *found = at(json, path);

    if (!cJSON_IsBool(found) || cJSON_IsTrue(found) != value) {
        fail_msg("%s is not %s", path, value ? "true" : "false");
    }
}

static void is_null(const cJSON *json, const char *path)
{
    assert_true(cJSON_IsNull(at(json, path)));
}

/* The members that the header promises, in every report. */
static void has_all(const cJSON *json)
{
    static const char *const keys[] = {
        "token",        "mechanisms",  "keys",     "unwrap",     "transport",
        "certificates", "public_keys", "data",     "signatures", "pss",
        "slot_key",     "random",      "sessions", "findings",   "leaky",
        "lies",         "left_behind"};
    size_t i;

    for (i = 0; i < sizeof(keys) / sizeof(keys[0]); i++) {
        (void)at(json, keys[i]);
    }
    assert_int_equal(cJSON_GetArraySize(json), sizeof(keys) / sizeof(keys[0]));
    assert_int_equal(cJSON_GetArraySize(at(json, "keys")), 4);
    assert_int_equal(cJSON_GetArraySize(at(json, "unwrap")), 4);
    assert_int_equal(cJSON_GetArraySize(at(json, "signatures")), 9);
}

static void looking_touches_nothing(void **state)
{
    cJSON *json;

    (void)state;
    scratch_begin(&t, RIG_SOFTHSM);
    json = probe(false, CV_OK);
    has_all(json);
    says(json, "token.label", "work");
    says(json, "keys.0.kind", "rsa");
    is(json, "keys.0.generate.listed", true);
    is_null(json, "keys.0.generate.works");
    is_null(json, "keys.0.way");
    is_null(json, "findings");
    is_null(json, "leaky");
    is_null(json, "transport");
    is(json, "pss", true);
    is(json, "random.works", true);
    is(json, "slot_key.ecdh", true);
    assert_int_equal(at(json, "sessions.opened")->valueint, CV_PROBE_SESSIONS);
    assert_true(cJSON_GetArraySize(at(json, "mechanisms")) > 20);
    assert_int_equal(scratch_all(&t), 0);
    cJSON_Delete(json);
}

static void softhsm_as_it_is_known(void **state)
{
    int i;
    cJSON *json;

    (void)state;
    scratch_begin(&t, RIG_SOFTHSM);
    json = probe(true, CV_OK);
    has_all(json);
    for (i = 0; i < 4; i++) {
        const cJSON *key = cJSON_GetArrayItem(at(json, "keys"), i);

        is(key, "generate.works", true);
        is(key, "import.works", true);
        is(key, "sign.works", true);
        says(key, "way", i < 3 ? "unwrapped" : "imported");
    }
    is(json, "leaky", false);
    says(json, "transport", "rsa-oaep-sha1");
    is(json, "unwrap.0.listed", false); /* 0x210B */
    is(json, "unwrap.1.works", true);   /* 0x210A */
    is(json, "certificates.works", true);
    is(json, "public_keys.works", true);
    is(json, "data.works", true);
    assert_int_equal(at(json, "left_behind")->valueint, 0);
    assert_int_equal(scratch_all(&t), 0);
    cJSON_Delete(json);
}

static void nss_as_it_is_known(void **state)
{
    cJSON *json;

    (void)state;
    scratch_begin(&t, RIG_NSS);
    json = probe(true, CV_OK);
    has_all(json);
    is(json, "leaky", true);
    is(json, "findings.extractable", false);
    is(json, "keys.1.import.works", true);
    says(json, "keys.1.way", "unwrapped");
    if (!scratch_has(&t, CKM_EDDSA)) { /* a later one has it */
        is(json, "keys.3.generate.works", false);
        says(json, "keys.3.way", "none");
    }
    says(json, "transport", "rsa-oaep-sha256");
    is(json, "unwrap.0.works", true);  /* 0x210B */
    is(json, "unwrap.1.works", false); /* 0x210A as others understand it */
    is(json, "data.works", false);
    assert_true(cJSON_GetArraySize(at(json, "lies")) > 3);
    assert_int_equal(scratch_all(&t), 0);
    cJSON_Delete(json);
}

/* Whatever the module does in the middle, nothing stays on the token. (An
 * object of the session that it made while it said that it failed ends with the
 * session: its handle is nobody's.) */
static void nothing_is_left_behind(void **state)
{
    static const char *const controls[] = {
        "sign=wrong\n",
        "set=says\n",
        "extractable=1\n",
        "leak=all\n",
        "generate=0\n",
        "import=0\n",
        "unwrap=0\n",
        "create=nothing\n",
        "length=grow\n",
        "capacity=2\n",
        "fault=C_Sign rv:0x30\n",
        "fault=C_CreateObject rv-after:0x5\n",
        "fault=C_WrapKey rv:0x5\n",
    };
    size_t i;

    (void)state;
    scratch_begin(&t, RIG_FAKE);
    for (i = 0; i < sizeof(controls) / sizeof(controls[0]); i++) {
        cJSON *json = NULL;

        scratch_misbehave(&t, controls[i]);
        cv_err_init(&err);
        (void)!cv_probe_token(t.f, t.s, true, &json, &err);
        if (json != NULL) {
            has_all(json);
        }
        cJSON_Delete(json);
        scratch_misbehave(&t, "");
        if (scratch_objects(&t) != 0) {
            scratch_show(&t);
            fail_msg("%s: %zu objects", controls[i], scratch_objects(&t));
        }
    }
}

static void lies_are_told(void **state)
{
    cJSON *json;

    (void)state;
    scratch_begin(&t, RIG_FAKE);
    scratch_misbehave(&t, "random=zero\n");
    json = probe(false, CV_OK);
    is(json, "random.works", false);
    is(json, "random.distinct", false);
    assert_non_null(strstr(at(json, "lies.0")->valuestring, "random"));
    cJSON_Delete(json);
    scratch_misbehave(&t, "random=error\n");
    json = probe(false, CV_OK);
    is(json, "random.works", false);
    assert_int_equal(cJSON_GetArraySize(at(json, "lies")), 0);
    cJSON_Delete(json);
    scratch_misbehave(&t, "leak=wrap-kwp\n");
    json = probe(true, CV_OK);
    is(json, "leaky", true);
    cJSON_Delete(json);
}

static CK_RV destroys_nothing(CK_SESSION_HANDLE s, CK_OBJECT_HANDLE object)
{
    (void)s, (void)object;
    return CKR_OK;
}

/* What cannot be destroyed is told, and is gone after the next probe. */
static void what_stays_is_told(void **state)
{
    cJSON *json;

    (void)state;
    scratch_begin(&t, RIG_FAKE);
    t.patched.C_DestroyObject = destroys_nothing;
    json = probe(true, CV_INTEGRITY);
    assert_true(at(json, "left_behind")->valueint > 0);
    assert_true(scratch_objects(&t) > 0);
    cJSON_Delete(json);
    t.patched.C_DestroyObject = t.real->C_DestroyObject;
    scratch_again(&t);
    json = probe(true, CV_OK);
    assert_int_equal(scratch_objects(&t), 0);
    cJSON_Delete(json);
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
        TEST(looking_touches_nothing), TEST(softhsm_as_it_is_known),
        TEST(nss_as_it_is_known),      TEST(nothing_is_left_behind),
        TEST(lies_are_told),           TEST(what_stays_is_told),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
