/* What entries say of keys on tokens, and which token a URI means. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "vault/broker/entry.h"
#include "vault/broker/held_internal.h"

#include <string.h>

#define KEY \
    "pkcs11:model=m;serial=01%2f;token=my%20token;id=%01%02;type=private"

static void test_uri_covers(void **state)
{
    static const struct {
        const char *uri;
        bool covers;
    } cases[] = {
        {"pkcs11:token=my%20token", true},
        {"pkcs11:token=my%20token;model=m", true},
        {"pkcs11:model=m;token=my%20token?module-name=x", true},
        {"pkcs11:serial=01/", true}, /* the same byte, written otherwise */
        {"pkcs11:serial=01%2F", true},
        {"pkcs11:%74oken=my%20token", false}, /* names are not escaped */
        {"pkcs11:token=my%20toke", false},
        {"pkcs11:token=my%20tokens", false},
        {"pkcs11:token=", false},
        {"pkcs11:token=my%20token;model=n", false},
        {"pkcs11:manufacturer=x", false},
        {"pkcs11:id=%01%02", true},
        {"pkcs11:id=%01", false},
        {"pkcs11:", false}, /* no token in particular */
        {"pkcs11:?module-name=x", false},
        {"pkcs11:token", false},
        {"pkcs11:token=my%20token;nonsense", false},
        {"pkcs12:token=my%20token", false},
        {"", false},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        if (cv_held_uri_covers(cases[i].uri, KEY) != cases[i].covers) {
            fail_msg("%s", cases[i].uri);
        }
    }
    assert_false(cv_held_uri_covers("pkcs11:token=my%20token", "token"));
}

static void what_a_token_is_named_by(void **state)
{
    static const char *const good[] = {
        "pkcs11:token=work",
        "pkcs11:model=a%20b;token=t;serial=1;manufacturer=m"};
    static const char *const bad[] = {"",
                                      "pkcs11:",
                                      "pkcs11:token",
                                      "pkcs11:token=",
                                      "token=work",
                                      "pkcs11:token=work;",
                                      "pkcs11:;token=work",
                                      "pkcs11:token=a;token=b",
                                      "pkcs11:token=a b",
                                      "pkcs11:token=a\n",
                                      "pkcs11:token=\xc3\xa4",
                                      "pkcs11:token=work?module-name=x",
                                      "pkcs11:token=work?",
                                      "pkcs11:token=work;pin-value=1",
                                      "pkcs11:token=work;PIN=1",
                                      "pkcs11:object=x",
                                      "pkcs11:Token=work",
                                      "pkcs11:nonsense"};

    (void)state;
    for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
        if (!cv_held_uri_is_token(good[i])) {
            fail_msg("%s", good[i]);
        }
    }
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        if (cv_held_uri_is_token(bad[i])) {
            fail_msg("%s", bad[i]);
        }
    }
}

static void what_of_a_uri_may_be_shown(void **state)
{
    static const char *const good[] = {
        "pkcs11:",
        "pkcs11:token=work",
        "pkcs11:token=work;id=%01;type=private",
        "pkcs11:object=x?module-name=a",
        "pkcs11:?module-path=/x.so",
        "pkcs11:token=t?module-name=a&module-path=/x.so"};
    static const char *const bad[] = {
        "",
        "token=work",
        "pkcs11:token=work;",
        "pkcs11:pin=1",
        "pkcs11:x",
        "pkcs11:token=work?pin-value=1",
        "pkcs11:token=work?PIN=1",
        "pkcs11:token=work?module-name",
        "pkcs11:token=work?",
        "pkcs11:token=work?module-name=a&pin-source=/x",
        "pkcs11:token=work?module-name=a b",
        "pkcs11:token=work?&"};

    (void)state;
    for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
        if (!cv_held_uri_is_shown(good[i])) {
            fail_msg("%s", good[i]);
        }
    }
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        if (cv_held_uri_is_shown(bad[i])) {
            fail_msg("%s", bad[i]);
        }
    }
}

static cJSON *parse(const char *text)
{
    cJSON *json = NULL;

    assert_int_equal(
        cv_json_parse(NULL,
                      (struct cv_bytes){(const uint8_t *)text, strlen(text)},
                      &json, NULL),
        CV_OK);
    return json;
}

static void test_place(void **state)
{
    cJSON *doc = parse("{\"name\":\"a\",\"location\":\"sealed\"}");
    cJSON *view;
    const cJSON *ref;

    (void)state;
    assert_false(cv_entry_token_has(doc));
    assert_string_equal(cv_entry_token_uri(doc), "");
    assert_true(cv_entry_token_place(
        doc, cv_entry_token_make_ref("pkcs11:token=t?module-name=m", "00ff1a",
                                     "c3BraQ==", "label")));
    assert_true(cv_entry_token_has(doc));
    assert_string_equal(
        cv_entry_text(doc, "token_uri"),
        "pkcs11:token=t;id=%00%ff%1a;type=private?module-name=m");
    assert_string_equal(cv_entry_token_uri(doc),
                        "pkcs11:token=t?module-name=m");
    ref = cv_entry_token_ref(doc);
    assert_string_equal(cv_entry_text(ref, "spki"), "c3BraQ==");
    /* What lists show does not hold it; what is kept beside does. */
    view = cv_entry_view(doc);
    assert_null(cv_entry_token_ref(view));
    cJSON_Delete(view);
    view = cv_entry_body(doc);
    assert_non_null(cJSON_GetObjectItemCaseSensitive(view, "key_ref"));
    cJSON_Delete(view);
    /* Placed anew, it is in one place. */
    assert_true(cv_entry_token_place(
        doc, cv_entry_token_make_ref("pkcs11:", "01", NULL, NULL)));
    assert_string_equal(cv_entry_text(doc, "token_uri"),
                        "pkcs11:id=%01;type=private");
    cJSON_Delete(doc);
}

static void test_set(void **state)
{
    cJSON *doc = parse("{\"state\":\"ready\",\"provenance\":\"born\","
                       "\"leaky\":true}");

    (void)state;
    /* With what it says itself. */
    assert_true(cv_entry_token_set(doc, "lost",
                                   cv_entry_text(doc, "provenance"), false));
    assert_string_equal(cv_entry_text(doc, "state"), "lost");
    assert_string_equal(cv_entry_text(doc, "provenance"), "born");
    assert_false(cJSON_IsTrue(cJSON_GetObjectItemCaseSensitive(doc, "leaky")));
    assert_int_equal(cJSON_GetArraySize(doc), 3);
    cJSON_Delete(doc);
}

static void test_label(void **state)
{
    char label[CV_ENTRY_LABEL_LEN];

    (void)state;
    cv_entry_token_label("0123456789abcdef0123456789abcdef",
                         "fedcba9876543210fedcba9876543210", label);
    assert_string_equal(label,
                        "certvault:01234567:fedcba9876543210fedcba9876543210");
}

static void test_generated(void **state)
{
    cJSON *doc =
        parse("{\"key\":{\"type\":\"EC\"},\"key_ref\":{\"id\":\"01\"}}");
    const cJSON *key = cJSON_GetObjectItemCaseSensitive(doc, "key");

    (void)state;
    assert_int_equal(cv_held_generated(doc, "YWJj", NULL), CV_OK);
    /* SHA-256 of "abc" */
    assert_string_equal(
        cv_entry_text(key, "spki_sha256"),
        "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    assert_string_equal(cv_entry_text(cv_entry_token_ref(doc), "spki"), "YWJj");
    assert_int_equal(cv_held_generated(doc, "", NULL), CV_INTEGRITY);
    assert_int_equal(cv_held_generated(doc, "???", NULL), CV_INVALID);
    cJSON_Delete(doc);
}

static int start(void **state)
{
    (void)state;
    if (cv_arena_start(NULL) != CV_OK) {
        return -1;
    }
    cv_json_start();
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_a_token_is_named_by),
        cmocka_unit_test(what_of_a_uri_may_be_shown),
        cmocka_unit_test(test_uri_covers),
        cmocka_unit_test(test_place),
        cmocka_unit_test(test_set),
        cmocka_unit_test(test_label),
        cmocka_unit_test(test_generated),
    };

    return cmocka_run_group_tests(tests, start, NULL);
}
