/* Secrets on their way from one program to another. */
#include "tests/unit/seal_test.h"

#include "vault/seal/target.h"

static void test_goes_over(void **state)
{
    const struct cv_bytes secret = TEXT("a secret of the token's");
    struct cv_arena *arena = new_arena();
    struct cv_target *t = NULL, *other = NULL;
    struct cv_bytes found;
    struct cv_buf sealed;
    struct cv_err e;
    size_t i;

    (void)state;
    cv_err_init(&e);
    assert_ok(cv_target_new(&t, &e), &e);
    assert_ok(cv_target_new(&other, &e), &e);
    assert_memory_not_equal(cv_target_pair(t)->public_key,
                            cv_target_pair(other)->public_key, CV_BOX_KEY_LEN);
    cv_buf_init(&sealed, NULL, CV_KIB(1));
    assert_ok(
        cv_target_seal(cv_target_pair(t)->public_key, secret, &sealed, &e), &e);
    assert_ok(cv_target_open(t, cv_buf_bytes(&sealed), arena, &found, &e), &e);
    assert_int_equal(found.len, secret.len);
    assert_memory_equal(found.data, secret.data, secret.len);
    assert_int_equal(
        cv_target_open(other, cv_buf_bytes(&sealed), arena, &found, &e),
        CV_INTEGRITY);
    assert_null(found.data);
    for (i = 0; i < sealed.len; i++) {
        sealed.data[i] ^= 1;
        assert_int_equal(
            cv_target_open(t, cv_buf_bytes(&sealed), arena, &found, &e),
            CV_INTEGRITY);
        sealed.data[i] ^= 1;
    }
    cv_buf_wipe(&sealed);
    cv_target_free(t);
    cv_target_free(other);
    cv_arena_free(arena);
}

static void test_lengths(void **state)
{
    static const uint8_t bytes[CV_LIMIT_KEY_FILE + 64] = {1};
    struct cv_arena *arena = new_arena();
    struct cv_target *t = NULL;
    struct cv_bytes found;
    struct cv_buf sealed;
    size_t i;

    (void)state;
    assert_int_equal(cv_target_new(&t, NULL), CV_OK);
    cv_buf_init(&sealed, NULL, CV_KIB(8));
    for (i = 0; i <= CV_LIMIT_KEY_FILE + 1;
         i += i == 1 ? CV_LIMIT_KEY_FILE - 1 : 1) {
        const struct cv_bytes secret = {bytes, i};
        bool fits = i > 0 && i <= CV_LIMIT_KEY_FILE;

        assert_int_equal(cv_target_seal(cv_target_pair(t)->public_key, secret,
                                        &sealed, NULL),
                         fits ? CV_OK : CV_INVALID);
    }
    /* nothing, less than a seal, a seal and nothing in it, too much */
    for (i = 0; i <= crypto_box_SEALBYTES; i++) {
        assert_int_equal(
            cv_target_open(t, (struct cv_bytes){bytes, i}, arena, &found, NULL),
            CV_INTEGRITY);
    }
    assert_int_equal(cv_target_open(t, BYTES(bytes), arena, &found, NULL),
                     CV_INTEGRITY);
    cv_buf_wipe(&sealed);
    cv_target_free(t);
    cv_target_free(NULL);
    cv_arena_free(arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_goes_over),
        cmocka_unit_test(test_lengths),
    };

    return cmocka_run_group_tests(tests, setup, NULL);
}
