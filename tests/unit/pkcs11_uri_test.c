/* RFC 7512 URIs: what is refused, what is matched, and that p11-kit reads
 * what is written here. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka.h needs those. */
#include <cmocka.h>

#include "pkcs11/token.h"
#include "vault/base/limits.h"

#include <p11-kit/uri.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const struct {
    const char *uri, *word; /* of the error */
} REFUSED[] = {
    {"", "begins with"},
    {"pkcs11", "begins with"},
    {"http://token", "begins with"},
    {" pkcs11:", "begins with"},
    {"pkcs11:token", "name=value"},
    {"pkcs11:token=a;", "name=value"},
    {"pkcs11:;token=a", "name=value"},
    {"pkcs11:token=a;;serial=1", "name=value"},
    {"pkcs11:=a", "not known"},
    {"pkcs11:token=a;token=a", "twice"},
    {"pkcs11:token=a;token=b", "twice"},
    {"pkcs11:?module-name=a&module-name=a", "twice"},
    {"pkcs11:tokens=a", "not known"},
    {"pkcs11:Token=a", "not known"},
    {"pkcs11:object-type=private", "not known"},
    {"pkcs11:x-vendor=a", "not known"},
    {"pkcs11:token=a?x-vendor=a", "not known"},
    {"pkcs11:module-name=a", "not known"},
    {"pkcs11:?token=a", "not known"},
    {"pkcs11:pin-value=1234", "not known"},
    {"pkcs11:token=a?pin-value=1234", "PIN"},
    {"pkcs11:token=a?pin-value=", "PIN"},
    {"pkcs11:?pin-source=|cat%20/etc/pin", "file:"},
    {"pkcs11:?pin-source=%7Ccat", "file:"},
    {"pkcs11:?pin-source=", "file:"},
    {"pkcs11:?pin-source=file:", "file:"},
    {"pkcs11:?pin-source=file:pin", "file:"},
    {"pkcs11:?pin-source=file:/", "file:"},
    {"pkcs11:?pin-source=file://host/pin", "file:"},
    {"pkcs11:?pin-source=file:////pin", "file:"},
    {"pkcs11:?pin-source=http://h/p", "file:"},
    {"pkcs11:?pin-source=prompt:", "file:"},
    {"pkcs11:?pin-source=file:/a%00b", "no text"},
    {"pkcs11:?module-path=", "absolute"},
    {"pkcs11:?module-path=lib.so", "absolute"},
    {"pkcs11:?module-path=../lib.so", "absolute"},
    {"pkcs11:?module-path=/", "absolute"},
    {"pkcs11:?module-path=/a%0ab", "no text"},
    {"pkcs11:?module-name=", "module's name"},
    {"pkcs11:?module-name=../a", "module's name"},
    {"pkcs11:?module-name=.a", "module's name"},
    {"pkcs11:?module-name=a%2fb", "module's name"},
    {"pkcs11:token=a b", "percent"},
    {"pkcs11:token=a%", "percent"},
    {"pkcs11:token=a%4", "percent"},
    {"pkcs11:token=a%4g", "percent"},
    {"pkcs11:token=a%%41", "percent"},
    {"pkcs11:token=a/b", "percent"},
    {"pkcs11:token=a|b", "percent"},
    {"pkcs11:token=\"a\"", "percent"},
    {"pkcs11:token=a#b", "percent"},
    {"pkcs11:token=\xc3\xa4", "percent"},
    {"pkcs11:token=a\n", "percent"},
    {"pkcs11:token=%00", "no text"},
    {"pkcs11:token=%0a", "no text"},
    {"pkcs11:token=%1b%5b31m", "no text"},
    {"pkcs11:token=%ff", "no text"},
    {"pkcs11:token=%c0%80", "no text"},
    {"pkcs11:token=%e2%80%ae", "no text"},
    {"pkcs11:token=123456789012345678901234567890123", "too long"},
    {"pkcs11:serial=12345678901234567", "too long"},
    {"pkcs11:type=key", "none of"},
    {"pkcs11:type=", "none of"},
    {"pkcs11:type=Private", "none of"},
    {"pkcs11:type=%70rivate", "percent"},
    {"pkcs11:slot-id=%31", "percent"},
    {"pkcs11:library-version=%32", "percent"},
    {"pkcs11:id=", "empty"},
    {"pkcs11:slot-id=", "number"},
    {"pkcs11:slot-id=-1", "number"},
    {"pkcs11:slot-id=01", "number"},
    {"pkcs11:slot-id=1x", "number"},
    {"pkcs11:slot-id=0x1", "number"},
    {"pkcs11:slot-id=9223372036854775808", "number"},
    {"pkcs11:slot-id=99999999999999999999", "too long"},
    {"pkcs11:library-version=", "version"},
    {"pkcs11:library-version=1.", "version"},
    {"pkcs11:library-version=.1", "version"},
    {"pkcs11:library-version=1.2.3", "version"},
    {"pkcs11:library-version=255", "version"},
    {"pkcs11:library-version=1.999", "version"},
    {"pkcs11:?", "nothing follows"},
    {"pkcs11:token=a?module-name=a?module-path=/a", "module's name"},
};

static void test_refused(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(REFUSED) / sizeof(REFUSED[0]); i++) {
        struct cv_uri *uri = NULL;
        struct cv_err err;

        cv_err_init(&err);
        if (cv_uri_parse(REFUSED[i].uri, &uri, &err) != CV_USAGE ||
            uri != NULL) {
            fail_msg("taken: %s", REFUSED[i].uri);
        }
        if (strstr(err.text, REFUSED[i].word) == NULL &&
            strstr(err.hint, REFUSED[i].word) == NULL) {
            fail_msg("%s: %s", REFUSED[i].uri, err.text);
        }
        assert_null(strstr(err.text, "1234"));
        assert_null(strstr(err.hint, "1234"));
    }
}

static void test_too_long(void **state)
{
    char *text = malloc(2 * CV_LIMIT_TOKEN_URI);
    struct cv_uri *uri = NULL;
    size_t len;

    (void)state;
    assert_non_null(text);
    (void)snprintf(text, 16, "pkcs11:object=");
    len = strlen(text);
    memset(text + len, 'a', 1024);
    text[len + 1024] = '\0';
    assert_int_equal(cv_uri_parse(text, &uri, NULL), CV_OK);
    assert_int_equal(cv_uri_label(uri).len, 1024);
    cv_uri_free(uri);
    text[len + 1024] = 'a';
    text[len + 1025] = '\0';
    assert_int_equal(cv_uri_parse(text, &uri, NULL), CV_USAGE);
    memset(text + len, 'a', 2 * CV_LIMIT_TOKEN_URI - len);
    text[2 * CV_LIMIT_TOKEN_URI - 1] = '\0';
    assert_int_equal(cv_uri_parse(text, &uri, NULL), CV_USAGE);
    free(text);
}

static struct cv_uri *parse(const char *text)
{
    struct cv_uri *uri = NULL;
    struct cv_err err;

    cv_err_init(&err);
    if (cv_uri_parse(text, &uri, &err) != CV_OK) {
        fail_msg("%s: %s", text, err.text);
    }
    return uri;
}

static void test_parts(void **state)
{
    struct cv_uri *uri = parse(
        "PKCS11:token=My%20Token;id=%00%ff%01;object=a%2fb;type=private?"
        "module-path=/usr/lib/x.so&module-name=soft-hsm2&pin-source=file:/p");
    CK_OBJECT_CLASS class = 0;

    (void)state;
    assert_memory_equal(cv_uri_id(uri).data, "\0\xff\1", 3);
    assert_int_equal(cv_uri_id(uri).len, 3);
    assert_memory_equal(cv_uri_label(uri).data, "a/b", 3);
    assert_true(cv_uri_class(uri, &class));
    assert_int_equal(class, CKO_PRIVATE_KEY);
    assert_string_equal(cv_uri_module_path(uri), "/usr/lib/x.so");
    assert_string_equal(cv_uri_module_name(uri), "soft-hsm2");
    assert_string_equal(cv_uri_pin_file(uri), "/p");
    assert_true(cv_uri_names_token(uri));
    cv_uri_free(uri);

    uri = parse("pkcs11:");
    assert_null(cv_uri_id(uri).data);
    assert_null(cv_uri_label(uri).data);
    assert_false(cv_uri_class(uri, &class));
    assert_null(cv_uri_module_path(uri));
    assert_null(cv_uri_module_name(uri));
    assert_null(cv_uri_pin_file(uri));
    assert_false(cv_uri_names_token(uri));
    cv_uri_free(uri);

    uri = parse("pkcs11:?pin-source=/run/pin");
    assert_string_equal(cv_uri_pin_file(uri), "/run/pin");
    cv_uri_free(uri);
    uri = parse("pkcs11:slot-id=0?pin-source=file:///run/p%20n");
    assert_string_equal(cv_uri_pin_file(uri), "/run/p n");
    assert_true(cv_uri_names_token(uri));
    cv_uri_free(uri);
    cv_uri_free(NULL);
}

static void pad(unsigned char *field, size_t size, const char *text, char with)
{
    memset(field, with, size);
    memcpy(field, text, strlen(text));
}

static struct cv_token_info token(char with)
{
    struct cv_token_info t;

    memset(&t, 0, sizeof(t));
    pad(t.raw.label, 32, "My Token", with);
    pad(t.raw.manufacturerID, 32, "M&N", with);
    pad(t.raw.model, 16, "v2", with);
    pad(t.raw.serialNumber, 16, "0042", with);
    return t;
}

static void test_match(void **state)
{
    static const struct {
        const char *uri;
        bool fits;
    } table[] = {
        {"pkcs11:", true},
        {"pkcs11:token=My%20Token", true},
        {"pkcs11:token=my%20token", false},
        {"pkcs11:token=My%20Toke", false},
        {"pkcs11:token=My%20Token2", false},
        {"pkcs11:token=My%20Token%20", true},
        {"pkcs11:token=", false},
        {"pkcs11:manufacturer=M&N;model=v2;serial=0042", true},
        {"pkcs11:manufacturer=M%26N", true},
        {"pkcs11:manufacturer=M&N;serial=42", false},
        {"pkcs11:token=My%20Token;serial=0042;id=%01;type=private", true},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
        struct cv_uri *uri = parse(table[i].uri);

        for (size_t k = 0; k < 2; k++) {
            struct cv_token_info t = token(k == 0 ? ' ' : '\0');

            if (cv_uri_match_token(uri, &t) != table[i].fits) {
                fail_msg("%s", table[i].uri);
            }
        }
        cv_uri_free(uri);
    }
}

static void test_match_slot_and_library(void **state)
{
    struct cv_uri *uri = parse("pkcs11:slot-id=7;slot-description=Reader%201");
    CK_SLOT_INFO slot;
    CK_INFO info;

    (void)state;
    memset(&slot, 0, sizeof(slot));
    memset(&info, 0, sizeof(info));
    pad(slot.slotDescription, 64, "Reader 1", ' ');
    pad(info.libraryDescription, 32, "A library", ' ');
    info.libraryVersion.major = 2;
    info.libraryVersion.minor = 6;
    assert_true(cv_uri_match_slot(uri, 7, &slot));
    assert_false(cv_uri_match_slot(uri, 8, &slot));
    slot.slotDescription[0] = 'r';
    assert_false(cv_uri_match_slot(uri, 7, &slot));
    assert_true(cv_uri_match_library(uri, &info));
    cv_uri_free(uri);
    uri = parse("pkcs11:library-version=2.6;library-description=A%20library");
    assert_true(cv_uri_match_library(uri, &info));
    info.libraryVersion.minor = 7;
    assert_false(cv_uri_match_library(uri, &info));
    cv_uri_free(uri);
}

static void test_format(void **state)
{
    static const uint8_t id[] = {0x00, 0x41, 0xff};
    struct cv_token_info t = token(' ');
    struct cv_buf out;
    struct cv_uri *uri;
    P11KitUri *kit = p11_kit_uri_new();

    (void)state;
    cv_buf_init(&out, NULL, CV_LIMIT_TOKEN_URI);
    cv_uri_add_token(&t, &out);
    assert_string_equal(cv_buf_text(&out),
                        "pkcs11:model=v2;manufacturer=M%26N;serial=0042;"
                        "token=My%20Token");
    cv_buf_wipe(&out);
    cv_uri_add_key(&t, (struct cv_bytes){id, 3}, "k;=?%", &out);
    assert_string_equal(
        cv_buf_text(&out),
        "pkcs11:model=v2;manufacturer=M%26N;serial=0042;token=My%20Token;"
        "id=%00%41%FF;object=k%3B%3D%3F%25;type=private");
    uri = parse(cv_buf_text(&out));
    assert_true(cv_uri_match_token(uri, &t));
    assert_memory_equal(cv_uri_id(uri).data, id, 3);
    assert_memory_equal(cv_uri_label(uri).data, "k;=?%", 5);
    assert_int_equal(
        p11_kit_uri_parse(cv_buf_text(&out), P11_KIT_URI_FOR_ANY, kit), 0);
    assert_false(p11_kit_uri_any_unrecognized(kit));
    cv_uri_free(uri);
    p11_kit_uri_free(kit);
    cv_buf_wipe(&out);

    /* A field that could not be read back is left out. */
    pad(t.raw.label, 32, "\x1b[31m", ' ');
    pad(t.raw.model, 16, "\xff", ' ');
    memset(t.raw.manufacturerID, ' ', 32);
    cv_uri_add_token(&t, &out);
    assert_string_equal(cv_buf_text(&out), "pkcs11:serial=0042");
    cv_buf_wipe(&out);
    memset(t.raw.serialNumber, ' ', 16);
    cv_uri_add_key(&t, (struct cv_bytes){id, 1}, NULL, &out);
    assert_string_equal(cv_buf_text(&out), "pkcs11:id=%00;type=private");
    cv_buf_wipe(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_refused),
        cmocka_unit_test(test_too_long),
        cmocka_unit_test(test_parts),
        cmocka_unit_test(test_match),
        cmocka_unit_test(test_match_slot_and_library),
        cmocka_unit_test(test_format),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
