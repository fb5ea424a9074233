/* Note signatures: against checkpoints that others' tools verified, and
 * against libsodium's own verification. */
#include "tests/unit/seal_test.h"

#define NAME "certvault.example/audit/vault-7f3a"

/* A key, and notes signed with it, that golang.org/x/mod/sumdb/note accepts. */
static const uint8_t seed[CV_NOTE_SIGN_SEED_LEN] = {
    0xed, 0xdf, 0x01, 0x88, 0xe0, 0xd0, 0x92, 0x9d, 0x84, 0x1a, 0x97,
    0x90, 0xc9, 0x05, 0x3e, 0xaa, 0x4e, 0x86, 0xe3, 0x9c, 0xa7, 0x5f,
    0xaf, 0x08, 0x5b, 0x71, 0x69, 0xa1, 0x07, 0xc8, 0xca, 0x37};

static const struct {
    const char *text, *line;
} known[] = {
    {"certvault.example/audit/vault-7f3a\n"
     "0\n"
     "47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=\n",
     "\xe2\x80\x94 certvault.example/audit/vault-7f3a dkVXyGcb"
     "aYPt77SJSZTRONSzl2pRoBIMOlznOxooHjnBt6wawbo6oU7n9nDl9/Lg"
     "ct2eJn0yb9QfNMcm0kgjEp4r9A4=\n"},
    {"certvault.example/audit/vault-7f3a\n"
     "3\n"
     "phSYyR54+rsex47t3OKhqRu8axuUIlq8ZjyosK2Hmvo=\n",
     "\xe2\x80\x94 certvault.example/audit/vault-7f3a dkVXyP80"
     "ucqBBnbnzhkL9Ey8dYdfT8yrhJKRODvf1gz4zCzt/DKyr8ZvpB8kvdas"
     "t5f2IzokzgOqsyWXRFcpuHxtZQY=\n"},
    {"certvault.example/audit/vault-7f3a\n"
     "600\n"
     "ayGEt3N2VphfV5arVfknhkMR9YwR2xWccJVX8zXW51M=\n",
     "\xe2\x80\x94 certvault.example/audit/vault-7f3a dkVXyIO4"
     "Yv1OFvrWBJkjO8BTUoP6C0k3IQ2BnnLMd6iuAXxA6wr9DgibYcYflxGt"
     "csCq7PwZ3xiTM+oKwjU5EbZEuwk=\n"},
};

static void test_known(void **state)
{
    struct cv_buf out;
    struct cv_err e;
    size_t i;

    (void)state;
    for (i = 0; i < sizeof(known) / sizeof(known[0]); i++) {
        cv_err_init(&e);
        cv_buf_init(&out, NULL, CV_KIB(1));
        assert_ok(
            cv_note_sign_line(NAME, BYTES(seed), TEXT(known[i].text), &out, &e),
            &e);
        assert_string_equal(cv_buf_text(&out), known[i].line);
        cv_buf_wipe(&out);
    }
}

static void test_verifies(void **state)
{
    static const char text[] = "a\n\nb \xc3\xa9\n";
    uint8_t public_key[crypto_sign_PUBLICKEYBYTES];
    uint8_t secret[crypto_sign_SECRETKEYBYTES];
    struct cv_buf out, raw;
    struct cv_err e;
    const char *b64;

    (void)state;
    cv_err_init(&e);
    (void)crypto_sign_seed_keypair(public_key, secret, seed);
    cv_buf_init(&out, NULL, CV_KIB(1));
    cv_buf_init(&raw, NULL, CV_KIB(1));
    assert_ok(cv_note_sign_line("k", BYTES(seed), TEXT(text), &out, &e), &e);
    b64 = cv_buf_text(&out) + strlen("\xe2\x80\x94 k ");
    assert_ok(cv_decode_base64(b64, strcspn(b64, "\n"), false, "it", &raw, &e),
              &e);
    assert_int_equal(raw.len, 68);
    assert_int_equal(crypto_sign_verify_detached(raw.data + 4,
                                                 (const uint8_t *)text,
                                                 strlen(text), public_key),
                     0);
    cv_buf_wipe(&out);
    cv_buf_wipe(&raw);
}

static enum cv_status sign(const char *name, size_t seed_len,
                           struct cv_bytes text)
{
    struct cv_bytes s = {seed, seed_len};
    struct cv_buf out;
    struct cv_err e;
    enum cv_status status;

    cv_err_init(&e);
    cv_buf_init(&out, NULL, CV_KIB(1));
    status = cv_note_sign_line(name, s, text, &out, &e);
    assert_int_equal(out.len == 0, status != CV_OK);
    assert_true(status == CV_OK || e.text[0] != '\0');
    cv_buf_wipe(&out);
    return status;
}

static void test_names(void **state)
{
    static const char *const bad[] = {"",      "a b",   "a+b",
                                      "a\n",   "a\x01", "\xff",
                                      "a\x7f", "a\tb",  "\xe2\x80\xae"};
    char longest[300];
    size_t i;

    (void)state;
    for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        assert_int_equal(sign(bad[i], 32, TEXT("x\n")), CV_INVALID);
    }
    memset(longest, 'a', sizeof(longest));
    longest[CV_LIMIT_HOST + 1] = '\0';
    assert_int_equal(sign(longest, 32, TEXT("x\n")), CV_INVALID);
    longest[CV_LIMIT_HOST] = '\0';
    assert_int_equal(sign(longest, 32, TEXT("x\n")), CV_OK);
}

static void test_texts(void **state)
{
    static const char *const bad[] = {
        "",          "x",      "x\r\n",         "x\ty\n",
        "\x1b[2J\n", "\xff\n", "x\n\xc0\x80\n", "\xed\xa0\x80\n",
        "a\x7f\n"};
    static const uint8_t nul[] = {'a', 0, '\n'};
    struct cv_buf big;
    uint8_t *exact;
    size_t i;

    (void)state;
    for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        assert_int_equal(sign("k", 32, TEXT(bad[i])), CV_INVALID);
    }
    assert_int_equal(sign("k", 32, BYTES(nul)), CV_INVALID);
    /* without a NUL behind it, so that reading on is seen */
    exact = malloc(3);
    assert_non_null(exact);
    memcpy(exact, "a\nb", 3);
    assert_int_equal(sign("k", 32, (struct cv_bytes){exact, 3}), CV_INVALID);
    free(exact);
    assert_int_equal(sign("k", 32, TEXT("\n")), CV_OK);
    cv_buf_init(&big, NULL, CV_LIMIT_NOTE + 1);
    for (i = 0; i < CV_LIMIT_NOTE; i++) {
        cv_buf_add_char(&big, '\n');
    }
    assert_int_equal(sign("k", 32, cv_buf_bytes(&big)), CV_OK);
    cv_buf_add_char(&big, '\n');
    assert_int_equal(sign("k", 32, cv_buf_bytes(&big)), CV_INVALID);
    cv_buf_wipe(&big);
}

static void test_seeds(void **state)
{
    (void)state;
    assert_int_equal(sign("k", 0, TEXT("x\n")), CV_INVALID);
    assert_int_equal(sign("k", 31, TEXT("x\n")), CV_INVALID);
    assert_int_equal(sign("k", 32, TEXT("x\n")), CV_OK);
}

/* What a key on a token may sign, which could sign anything. */
static void test_what_the_logs_key_signs(void **state)
{
#define ROOT "47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU="
    static const char *const good[] = {
        "o\n0\n" ROOT "\n", "certvault/1\n18446744073709551615\n" ROOT "\n",
        "certvault log key rotation\no\na\nb\n",
        "certvault log archive\no\n256\n" ROOT "\n" ROOT "\n8\na\nb\nc\n"};
    static const char *const bad[] = {
        "",
        "x\n",
        "certvault log key test\n",
        "\n0\n" ROOT "\n",
        "o\n\n" ROOT "\n",
        "o\n-1\n" ROOT "\n",
        "o\n1x\n" ROOT "\n",
        "o\n184467440737095516150\n" ROOT "\n",
        "o\n0\n" ROOT "=\n",
        "o\n0\n47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFV=\n",
        "o\n0\n47DE\n",
        "o\n0\n" ROOT,
        "o\n0\n" ROOT "\nmore\n",
        "o\n0\n" ROOT "\n\n",
        "certvault log key rotation\no\na\n",
        "certvault log key rotation\no\na\nb\nc\n",
        "certvault log key rotations\no\na\nb\n",
        "certvault log archive\no\n256\n" ROOT "\n" ROOT "\n8\na\nb\n",
        "certvault log archive\no\n256\n" ROOT "\n" ROOT "\n8\na\nb\nc\nd\n",
        "certvault log archive\no\nx\n" ROOT "\n" ROOT "\n8\na\nb\nc\n",
        "certvault log archive\no\n256\n" ROOT "\nb\n8\na\nb\nc\n",
        "certvault log archives\no\n256\n" ROOT "\n" ROOT "\n8\na\nb\nc\n"};
    struct cv_err e;

    (void)state;
    for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
        cv_err_init(&e);
        assert_ok(cv_note_sign_check(TEXT(good[i]), &e), &e);
    }
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        cv_err_init(&e);
        assert_int_equal(cv_note_sign_check(TEXT(bad[i]), &e), CV_INVALID);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_known),
        cmocka_unit_test(test_verifies),
        cmocka_unit_test(test_names),
        cmocka_unit_test(test_texts),
        cmocka_unit_test(test_seeds),
        cmocka_unit_test(test_what_the_logs_key_signs),
    };

    return cmocka_run_group_tests(tests, setup, NULL);
}
