/* The list of logins that were begun, and stores made before there was one. */
#include "store_test.h"

#include "vault/store/store_internal.h"
#include "vault/store/store_pin.h"

#include <sqlite3.h>
#include <stdio.h>
#include <string.h>

#define CARD "piv_II|PKCS#15 emulated|00000000"

static struct store_folder folder;
static struct cv_store *store;

static int setup(void **state)
{
    (void)state;
    store_test_folder(&folder);
    store = store_test_create(&folder);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    cv_store_close(store);
    store_test_remove(&folder);
    return 0;
}

static enum cv_status get(struct cv_store_pin *pin)
{
    return cv_store_pin_get(store, CARD, pin, NULL);
}

static void test_put_get_remove(void **state)
{
    struct cv_store_pin pin = {1, 100, 100}, got;

    (void)state;
    assert_int_equal(get(&got), CV_NOT_FOUND);
    assert_int_equal(cv_store_pin_put(store, CARD, &pin, NULL), CV_OK);
    pin.attempts = 2;
    pin.last = 200;
    assert_int_equal(cv_store_pin_put(store, CARD, &pin, NULL), CV_OK);
    /* It is there for whoever opens the store next. */
    cv_store_close(store);
    store = store_test_open(&folder);
    assert_int_equal(get(&got), CV_OK);
    assert_memory_equal(&got, &pin, sizeof pin);
    assert_int_equal(cv_store_check(store, NULL), CV_OK);
    assert_int_equal(cv_store_pin_remove(store, CARD, NULL), CV_OK);
    assert_int_equal(get(&got), CV_NOT_FOUND);
    assert_int_equal(cv_store_pin_remove(store, CARD, NULL), CV_OK);
}

static void test_what_is_no_token(void **state)
{
    const struct cv_store_pin pin = {1, 1, 1}, none = {0, 1, 1};
    char big[CV_STORE_PIN_TOKEN + 2];

    (void)state;
    memset(big, 'x', sizeof big - 1);
    big[sizeof big - 1] = '\0';
    assert_int_equal(cv_store_pin_put(store, big, &pin, NULL), CV_INVALID);
    assert_int_equal(cv_store_pin_put(store, "", &pin, NULL), CV_INVALID);
    assert_int_equal(cv_store_pin_put(store, "a\nb", &pin, NULL), CV_INVALID);
    assert_int_equal(cv_store_pin_put(store, CARD, &none, NULL), CV_INVALID);
}

static enum cv_status see(void *ctx, const char *token,
                          const struct cv_store_pin *pin, struct cv_err *err)
{
    char *seen = ctx;
    size_t len = strlen(seen);

    (void)err;
    (void)snprintf(seen + len, 64 - len, "%s=%d ", token, (int)pin->attempts);
    return CV_OK;
}

static void test_list(void **state)
{
    const struct cv_store_pin one = {1, 1, 1}, two = {2, 1, 1};
    char seen[64] = "";

    (void)state;
    assert_int_equal(cv_store_pin_put(store, "b", &one, NULL), CV_OK);
    assert_int_equal(cv_store_pin_put(store, "a", &two, NULL), CV_OK);
    assert_int_equal(cv_store_pin_list(store, see, seen, NULL), CV_OK);
    assert_string_equal(seen, "a=2 b=1 ");
}

/* Who takes tries off the list without knowing how is told. */
static void test_changed(void **state)
{
    struct cv_store_pin pin = {2, 1, 1};

    (void)state;
    assert_int_equal(cv_store_pin_put(store, CARD, &pin, NULL), CV_OK);
    assert_int_equal(sqlite3_exec(store->db, "UPDATE logins SET attempts = 1",
                                  NULL, NULL, NULL),
                     SQLITE_OK);
    assert_int_equal(get(&pin), CV_INTEGRITY);
    assert_int_equal(cv_store_check(store, NULL), CV_INTEGRITY);
}

/* A store of schema 1, with what it holds, becomes one of this schema. */
static void test_older_store(void **state)
{
    const struct cv_store_pin pin = {1, 1, 1};
    struct cv_store_pin got;
    struct cv_buf value;

    (void)state;
    assert_int_equal(cv_store_meta_put(store, "origin", "here", NULL), CV_OK);
    assert_int_equal(sqlite3_exec(store->db,
                                  "DROP TABLE logins; PRAGMA user_version = 1;",
                                  NULL, NULL, NULL),
                     SQLITE_OK);
    cv_store_close(store);
    for (int i = 0; i < 2; i++) {
        store = store_test_open(&folder);
        cv_buf_init(&value, NULL, 64);
        assert_int_equal(cv_store_meta_get(store, "origin", &value, NULL),
                         CV_OK);
        assert_string_equal(cv_buf_text(&value), "here");
        cv_buf_wipe(&value);
        assert_int_equal(cv_store_pin_put(store, CARD, &pin, NULL), CV_OK);
        assert_int_equal(get(&got), CV_OK);
        cv_store_close(store);
    }
    store = store_test_open(&folder);
    assert_int_equal(cv_store_check(store, NULL), CV_OK);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_put_get_remove), TEST(test_what_is_no_token), TEST(test_list),
        TEST(test_changed),        TEST(test_older_store),
    };

    return cmocka_run_group_tests(tests, store_test_start, NULL);
}
