/* Slots, policies, journal; and a disk that is full. */
#include "store_test.h"

#include "vault/store/store_internal.h"
#include "vault/store/store_journal.h"
#include "vault/store/store_policy.h"
#include "vault/store/store_slot.h"

#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

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

struct seen {
    char text[512];
    int stop_at;
    int n;
};

static enum cv_status note(struct seen *seen, const char *a, const char *b,
                           struct cv_err *err)
{
    size_t len = strlen(seen->text);

    if (++seen->n == seen->stop_at) {
        return cv_fail(err, CV_BUSY, "enough");
    }
    (void)snprintf(seen->text + len, sizeof seen->text - len, "%s%s=%s",
                   len == 0 ? "" : " ", a, b);
    return CV_OK;
}

static enum cv_status see_slot(void *ctx, const char *id, const char *doc,
                               struct cv_err *err)
{
    return note(ctx, id, doc, err);
}

static void expect_slots(const char *want)
{
    struct seen seen = {"", 0, 0};

    assert_int_equal(cv_store_slot_list(store, see_slot, &seen, NULL), CV_OK);
    assert_string_equal(seen.text, want);
}

static void test_slots(void **state)
{
    static char big[CV_STORE_SLOT_DOC + 2];
    struct seen seen = {"", 1, 0};

    (void)state;
    expect_slots("");
    assert_int_equal(cv_store_slot_put(store, "b", "{1}", NULL), CV_OK);
    assert_int_equal(cv_store_slot_put(store, "a", "{2}", NULL), CV_OK);
    assert_int_equal(cv_store_slot_put(store, "c", "{3}", NULL), CV_OK);
    expect_slots("b={1} a={2} c={3}");
    assert_int_equal(cv_store_slot_put(store, "a", "{4}", NULL), CV_OK);
    expect_slots("b={1} a={4} c={3}");
    assert_int_equal(cv_store_slot_remove(store, "b", NULL), CV_OK);
    expect_slots("a={4} c={3}");
    assert_int_equal(cv_store_slot_remove(store, "b", NULL), CV_NOT_FOUND);
    assert_int_equal(cv_store_slot_put(store, "", "{}", NULL), CV_INVALID);
    assert_int_equal(cv_store_slot_put(store, "a b", "{}", NULL), CV_INVALID);
    memset(big, 'x', sizeof big - 1);
    assert_int_equal(cv_store_slot_put(store, "d", big, NULL), CV_INVALID);
    assert_int_equal(cv_store_slot_list(store, see_slot, &seen, NULL), CV_BUSY);
    expect_slots("a={4} c={3}");
}

/* The old passphrase's slot must not open a copy of the file. */
static void test_slots_gone(void **state)
{
    static const char old[] = "{\"id\":\"s1\",\"wrapped\":\"OLDOLDOLDOLDOLD\"}";

    (void)state;
    assert_int_equal(cv_store_slot_put(store, "s1", old, NULL), CV_OK);
    assert_true(store_test_holds(&folder, "OLDOLDOLDOLDOLD", 15));
    assert_int_equal(cv_store_slot_put(store, "s1", old, NULL), CV_OK);
    assert_true(store_test_holds(&folder, "OLDOLDOLDOLDOLD", 15));
    assert_int_equal(cv_store_slot_put(store, "s1", "{}", NULL), CV_OK);
    assert_false(store_test_holds(&folder, "OLDOLDOLDOLDOLD", 15));
    assert_int_equal(cv_store_slot_put(store, "s2", old, NULL), CV_OK);
    assert_int_equal(cv_store_slot_remove(store, "s2", NULL), CV_OK);
    assert_false(store_test_holds(&folder, "OLDOLDOLDOLDOLD", 15));
}

#define HASH_A \
    "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
#define HASH_B \
    "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"

static enum cv_status
see_policy(void *ctx, const struct cv_store_policy *policy, struct cv_err *err)
{
    char version[32];

    assert_null(policy->text);
    assert_null(policy->resolution);
    (void)snprintf(version, sizeof version, "%lld", (long long)policy->version);
    return note(ctx, version, policy->sha256[0] == 'a' ? "a" : "b", err);
}

static enum cv_status put_policy(int64_t version, const char *sha256,
                                 const char *resolution)
{
    struct cv_store_policy p = {version, sha256, "the text", resolution, 7};

    return cv_store_policy_put(store, &p, NULL);
}

static void test_policy(void **state)
{
    struct cv_store_policy *now = NULL;
    struct seen seen = {"", 0, 0};

    (void)state;
    assert_int_equal(cv_store_policy_current(store, &now, NULL), CV_NOT_FOUND);
    assert_null(now);
    assert_int_equal(put_policy(0, HASH_A, "{}"), CV_OK);
    assert_int_equal(put_policy(0, HASH_A, "{}"), CV_OK);
    assert_int_equal(put_policy(0, HASH_B, "{}"), CV_INTEGRITY);
    assert_int_equal(put_policy(5, HASH_B, "{}"), CV_OK);
    assert_int_equal(put_policy(4, HASH_A, "{}"), CV_INTEGRITY);
    assert_int_equal(put_policy(4, HASH_B, "{}"), CV_INTEGRITY);
    assert_int_equal(put_policy(0, HASH_A, "{}"), CV_INTEGRITY);
    assert_int_equal(put_policy(5, HASH_B, "{\"alice\":1000}"), CV_OK);
    assert_int_equal(put_policy(6, "short", "{}"), CV_INVALID);
    assert_int_equal(put_policy(-1, HASH_A, "{}"), CV_INVALID);
    assert_int_equal(put_policy(6, HASH_A, NULL), CV_INVALID);
    assert_int_equal(cv_store_policy_current(store, &now, NULL), CV_OK);
    assert_int_equal(now->version, 5);
    assert_string_equal(now->sha256, HASH_B);
    assert_string_equal(now->text, "the text");
    assert_string_equal(now->resolution, "{\"alice\":1000}");
    assert_int_equal(now->applied, 7);
    cv_store_policy_free(now);
    cv_store_policy_free(NULL);
    assert_int_equal(cv_store_policy_history(store, see_policy, &seen, NULL),
                     CV_OK);
    assert_string_equal(seen.text, "5=b 0=a");
    seen = (struct seen){"", 1, 0};
    assert_int_equal(cv_store_policy_history(store, see_policy, &seen, NULL),
                     CV_BUSY);
}

static enum cv_status see_journal(void *ctx, const char *op, const char *action,
                                  const char *doc, int64_t created,
                                  struct cv_err *err)
{
    assert_int_equal(created, 5);
    assert_string_equal(doc, "{\"x\":1}");
    return note(ctx, op, action, err);
}

static void expect_journal(const char *want)
{
    struct seen seen = {"", 0, 0};

    assert_int_equal(cv_store_journal_list(store, see_journal, &seen, NULL),
                     CV_OK);
    assert_string_equal(seen.text, want);
}

static enum cv_status add(const char *op)
{
    return cv_store_journal_add(store, op, "import", "{\"x\":1}", 5, NULL);
}

static void test_journal(void **state)
{
    struct seen seen = {"", 1, 0};
    struct store_test_room room;
    struct cv_store_entry e = store_test_entry(&room, 1);
    uint64_t n = 1;

    (void)state;
    assert_int_equal(add("b"), CV_OK);
    assert_int_equal(add("a"), CV_OK);
    assert_int_equal(add("a"), CV_EXISTS);
    assert_int_equal(add(""), CV_INVALID);
    expect_journal("b=import a=import");
    assert_int_equal(cv_store_journal_list(store, see_journal, &seen, NULL),
                     CV_BUSY);
    assert_int_equal(cv_store_journal_remove(store, "c", NULL), CV_NOT_FOUND);
    /* the entry and its journal's row: both or neither */
    assert_int_equal(cv_store_begin(store, NULL), CV_OK);
    assert_int_equal(cv_store_entry_put(store, &e, NULL), CV_OK);
    assert_int_equal(cv_store_journal_remove(store, "b", NULL), CV_OK);
    cv_store_rollback(store);
    expect_journal("b=import a=import");
    assert_int_equal(cv_store_entry_count(store, &n, NULL), CV_OK);
    assert_int_equal(n, 0);
    assert_int_equal(cv_store_begin(store, NULL), CV_OK);
    assert_int_equal(cv_store_entry_put(store, &e, NULL), CV_OK);
    assert_int_equal(cv_store_journal_remove(store, "b", NULL), CV_OK);
    assert_int_equal(cv_store_commit(store, NULL), CV_OK);
    expect_journal("a=import");
    assert_int_equal(cv_store_check(store, NULL), CV_OK);
}

/* A database that may not grow: as a full disk, without one. */
static void test_full(void **state)
{
    char pragma[64];
    struct store_test_room room;
    struct cv_store_entry e;
    struct cv_err err;
    enum cv_status status = CV_OK;
    uint64_t n = 0;
    unsigned i;

    (void)state;
    (void)snprintf(pragma, sizeof pragma, "PRAGMA max_page_count = %d", 60);
    assert_int_equal(sqlite3_exec(store->db, pragma, NULL, NULL, NULL),
                     SQLITE_OK);
    cv_err_init(&err);
    assert_int_equal(cv_store_begin(store, NULL), CV_OK);
    for (i = 0; i < 1000 && status == CV_OK; i++) {
        e = store_test_entry(&room, i);
        status = cv_store_entry_put(store, &e, &err);
    }
    assert_int_equal(status, CV_IO);
    assert_non_null(strstr(err.hint, "room"));
    cv_store_rollback(store);
    assert_false(cv_store_in_transaction(store));
    assert_int_equal(cv_store_entry_count(store, &n, NULL), CV_OK);
    assert_int_equal(n, 0);
    /* usable at once: what fits goes in */
    e = store_test_entry(&room, 1);
    assert_int_equal(cv_store_entry_put(store, &e, NULL), CV_OK);
    assert_int_equal(cv_store_check(store, NULL), CV_OK);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_slots, setup, teardown),
        cmocka_unit_test_setup_teardown(test_slots_gone, setup, teardown),
        cmocka_unit_test_setup_teardown(test_policy, setup, teardown),
        cmocka_unit_test_setup_teardown(test_journal, setup, teardown),
        cmocka_unit_test_setup_teardown(test_full, setup, teardown),
    };

    return cmocka_run_group_tests(tests, store_test_start, NULL);
}
