/* vault/base/encode.h */
#include "vault/base/encode.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <sodium.h>
#include <string.h>

static int start(void **state)
{
    (void)state;
    return cv_arena_start(NULL) == CV_OK ? 0 : -1;
}

/* RFC 4648 section 10. */
static const struct {
    const char *plain;
    const char *base64;
    const char *hex;
} vectors[] = {
    {"", "", ""},
    {"f", "Zg==", "66"},
    {"fo", "Zm8=", "666f"},
    {"foo", "Zm9v", "666f6f"},
    {"foob", "Zm9vYg==", "666f6f62"},
    {"fooba", "Zm9vYmE=", "666f6f6261"},
    {"foobar", "Zm9vYmFy", "666f6f626172"},
};

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

static void the_rfc_s_vectors(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(vectors); i++) {
        struct cv_bytes plain = {(const uint8_t *)vectors[i].plain,
                                 strlen(vectors[i].plain)};
        struct cv_buf b;
        cv_buf_init(&b, NULL, 100);
        cv_encode_base64(plain, &b);
        assert_string_equal(cv_buf_text(&b), vectors[i].base64);
        assert_int_equal(b.len, strlen(vectors[i].base64));
        cv_buf_wipe(&b);
        cv_encode_hex(plain, &b);
        assert_string_equal(cv_buf_text(&b), vectors[i].hex);
        assert_int_equal(b.len, strlen(vectors[i].hex));
        cv_buf_wipe(&b);
        assert_int_equal(cv_decode_base64(vectors[i].base64,
                                          strlen(vectors[i].base64), false,
                                          "it", &b, NULL),
                         CV_OK);
        assert_string_equal(cv_buf_text(&b), vectors[i].plain);
        cv_buf_wipe(&b);
        uint8_t out[6];
        assert_int_equal(cv_decode_base64_exact(vectors[i].base64, "it", out,
                                                plain.len, NULL),
                         CV_OK);
        assert_memory_equal(out, plain.data, plain.len);
        assert_int_equal(
            cv_decode_hex_exact(vectors[i].hex, "it", out, plain.len, NULL),
            CV_OK);
        assert_memory_equal(out, plain.data, plain.len);
    }
}

static enum cv_status decode(const char *text, size_t len, bool blanks)
{
    struct cv_err e;
    struct cv_buf b;
    cv_buf_init(&b, NULL, 100);
    enum cv_status status =
        cv_decode_base64(text, len, blanks, "the key", &b, &e);
    if (status != CV_OK) {
        assert_non_null(strstr(e.text, "the key"));
        assert_int_equal(b.len, 0);
    }
    cv_buf_wipe(&b);
    return status;
}

static void what_is_not_base64(void **state)
{
    (void)state;
    static const char *const bad[] = {
        "Z",     "Zg",           "Zg=",        "Zg===", "=",
        "====",  "Zm9v=",        "Zm=v",       "Zh==",  "Zm9=",
        "Zm9v!", "Zm9v Zg==",    "Zm9v\nZg==", " Zm9v", "Zm9v\n",
        "Zm-_",  "Zm9v\xc3\xa9", "Zg==Zg==",   "Zg= =", "\xc3\xa9\x80\xff",
    };
    for (size_t i = 0; i < COUNT(bad); i++) {
        assert_int_equal(decode(bad[i], strlen(bad[i]), false), CV_INVALID);
    }
    /* A NUL is no blank, nor the end. */
    assert_int_equal(decode("Zm9v\0", 5, false), CV_INVALID);
    assert_int_equal(decode("Zm9v\0", 5, true), CV_INVALID);
    assert_int_equal(decode("Zm\0"
                            "9v",
                            5, true),
                     CV_INVALID);
    assert_int_equal(decode("\0\0\0\0", 4, true), CV_INVALID);
}

static void blanks_are_passed_over_where_wanted(void **state)
{
    (void)state;
    static const char *const fine[] = {
        "Zm9v\nYmFy\n",
        " Z m 9 v\tYmFy ",
        "Zm9v\r\nYmFy\r\n",
    };
    for (size_t i = 0; i < COUNT(fine); i++) {
        struct cv_buf b;
        /* Room for exactly what it stands for. */
        cv_buf_init(&b, NULL, 6);
        assert_int_equal(
            cv_decode_base64(fine[i], strlen(fine[i]), true, "it", &b, NULL),
            CV_OK);
        assert_string_equal(cv_buf_text(&b), "foobar");
        cv_buf_wipe(&b);
    }
    assert_int_equal(decode("Zg = =", 6, true), CV_OK);
    assert_int_equal(decode("Zg=\n=\n", 6, true), CV_OK);
    assert_int_equal(decode("\v", 1, true), CV_INVALID);
    assert_int_equal(decode("Zg = = =", 8, true), CV_INVALID);
    assert_int_equal(decode(" \n\t", 3, true), CV_OK);
}

static void ceilings(void **state)
{
    (void)state;
    struct cv_buf b;
    cv_buf_init(&b, NULL, 5);
    assert_int_equal(cv_decode_base64("Zm9vYmFy", 8, false, "it", &b, NULL),
                     CV_INVALID);
    cv_buf_wipe(&b);
    struct cv_bytes six = {(const uint8_t *)"foobar", 6};
    cv_encode_base64(six, &b);
    assert_int_equal(cv_buf_status(&b, "it", NULL), CV_INVALID);
    cv_buf_wipe(&b);
    cv_encode_hex(six, &b);
    assert_int_equal(cv_buf_status(&b, "it", NULL), CV_INVALID);
    cv_buf_wipe(&b);
}

static void exactly_so_many(void **state)
{
    (void)state;
    struct cv_err e;
    uint8_t out[3];
    static const char *const base64[] = {"",     "Zg==",  "Zm9vYg==", "Zm9v\n",
                                         "Zm9!", " Zm9v", "Zm9"};
    for (size_t i = 0; i < COUNT(base64); i++) {
        memset(out, 7, sizeof(out));
        assert_int_equal(cv_decode_base64_exact(base64[i], "it", out, 3, &e),
                         CV_INVALID);
        assert_memory_equal(out, "\0\0\0", 3);
    }
    assert_int_equal(cv_decode_base64_exact(NULL, "it", out, 3, &e),
                     CV_INVALID);
    static const char *const hex[] = {"",         "6",      "666f6",
                                      "666f6f6",  "666f6F", "666f6g",
                                      "666f6f00", "0x666f", "66:6f6"};
    for (size_t i = 0; i < COUNT(hex); i++) {
        memset(out, 7, sizeof(out));
        assert_int_equal(cv_decode_hex_exact(hex[i], "it", out, 3, &e),
                         CV_INVALID);
        assert_memory_equal(out, "\0\0\0", 3);
    }
    assert_int_equal(cv_decode_hex_exact(NULL, "it", out, 3, &e), CV_INVALID);
}

static void all_bytes_go_round(void **state)
{
    (void)state;
    uint8_t all[256];
    for (int i = 0; i < 256; i++) {
        all[i] = (uint8_t)(i * 7);
    }
    for (size_t len = 0; len <= sizeof(all); len++) {
        struct cv_buf text;
        struct cv_buf back;
        cv_buf_init(&text, NULL, 1000);
        cv_buf_init(&back, NULL, len);
        cv_encode_base64((struct cv_bytes){all, len}, &text);
        assert_int_equal(cv_decode_base64(cv_buf_text(&text), text.len, false,
                                          "it", &back, NULL),
                         CV_OK);
        assert_true(
            cv_bytes_equal(cv_buf_bytes(&back), (struct cv_bytes){all, len}));
        cv_buf_wipe(&text);
        cv_buf_wipe(&back);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_rfc_s_vectors),
        cmocka_unit_test(what_is_not_base64),
        cmocka_unit_test(blanks_are_passed_over_where_wanted),
        cmocka_unit_test(ceilings),
        cmocka_unit_test(exactly_so_many),
        cmocka_unit_test(all_bytes_go_round),
    };
    return cmocka_run_group_tests(tests, start, NULL);
}
