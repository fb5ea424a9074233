/* Entries: put, found, changed, listed, and removed without a trace. */
#include "store_test.h"

#include "vault/base/limits.h"
#include "vault/store/store_internal.h"

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

static void put(unsigned from, unsigned to)
{
    assert_int_equal(cv_store_begin(store, NULL), CV_OK);
    for (unsigned i = from; i < to; i++) {
        struct store_test_room room;
        struct cv_store_entry e = store_test_entry(&room, i);
        struct cv_err err;

        cv_err_init(&err);
        if (cv_store_entry_put(store, &e, &err) != CV_OK) {
            fail_msg("%u: %s", i, err.text);
        }
    }
    assert_int_equal(cv_store_commit(store, NULL), CV_OK);
}

static void same(const struct cv_store_entry *a, const struct cv_store_entry *b,
                 bool body, bool sealed)
{
    assert_string_equal(a->entry_id, b->entry_id);
    assert_string_equal(a->name, b->name);
    assert_string_equal(a->spki, b->spki);
    assert_string_equal(a->ca_set, b->ca_set);
    assert_string_equal(a->labels, b->labels);
    assert_string_equal(a->doc, b->doc);
    assert_int_equal(a->not_after, b->not_after);
    assert_int_equal(a->created, b->created);
    assert_int_equal(a->updated, b->updated);
    if (body) {
        assert_string_equal(a->body, b->body);
    } else {
        assert_null(a->body);
    }
    if (sealed) {
        assert_int_equal(a->sealed.len, b->sealed.len);
        assert_memory_equal(a->sealed.data, b->sealed.data, b->sealed.len);
    } else {
        assert_int_equal(a->sealed.len, 0);
    }
}

static void test_find(void **state)
{
    struct store_test_room room;
    struct cv_store_entry want = store_test_entry(&room, 7);
    struct cv_store_entry *e = NULL;

    (void)state;
    put(0, 20);
    assert_int_equal(cv_store_entry_by_name(store, want.name, true, &e, NULL),
                     CV_OK);
    same(e, &want, true, true);
    cv_store_entry_free(e);
    assert_int_equal(
        cv_store_entry_by_id(store, want.entry_id, false, &e, NULL), CV_OK);
    same(e, &want, true, false);
    cv_store_entry_free(e);
    assert_int_equal(cv_store_entry_by_identity(store, want.spki, want.ca_set,
                                                true, &e, NULL),
                     CV_OK);
    same(e, &want, true, true);
    cv_store_entry_free(e);
    cv_store_entry_free(NULL);
    assert_int_equal(cv_store_entry_by_name(store, "none", true, &e, NULL),
                     CV_NOT_FOUND);
    assert_null(e);
    assert_int_equal(cv_store_entry_by_id(store, "xx", true, &e, NULL),
                     CV_INVALID);
    assert_int_equal(cv_store_entry_by_id(store,
                                          "ffffffffffffffffffffffffffffffff",
                                          true, &e, NULL),
                     CV_NOT_FOUND);
    assert_int_equal(
        cv_store_entry_by_identity(store, want.spki, want.spki, true, &e, NULL),
        CV_NOT_FOUND);
}

static void test_without_parts(void **state)
{
    struct store_test_room room;
    struct cv_store_entry want = store_test_entry(&room, 1);
    struct cv_store_entry *e = NULL;

    (void)state;
    want.body = NULL;
    want.sealed.len = 0;
    assert_int_equal(cv_store_entry_put(store, &want, NULL), CV_OK);
    assert_int_equal(cv_store_entry_by_name(store, want.name, true, &e, NULL),
                     CV_OK);
    same(e, &want, false, false);
    cv_store_entry_free(e);
    assert_int_equal(cv_store_entry_remove(store, want.entry_id, NULL), CV_OK);
}

static void test_conflicts(void **state)
{
    struct store_test_room room, other;
    struct cv_store_entry a = store_test_entry(&room, 1);
    struct cv_store_entry b = store_test_entry(&other, 2);
    struct cv_err err;
    uint64_t n;

    (void)state;
    assert_int_equal(cv_store_begin(store, NULL), CV_OK);
    assert_int_equal(cv_store_entry_put(store, &a, NULL), CV_OK);
    cv_err_init(&err);
    b.spki = a.spki;
    b.ca_set = a.ca_set;
    assert_int_equal(cv_store_entry_put(store, &b, &err), CV_EXISTS);
    assert_non_null(strstr(err.text, a.name)); /* names the one that has it */
    b = store_test_entry(&other, 2);
    b.spki = a.spki; /* the same key with other CAs is another entry */
    b.ca_set = a.spki;
    assert_int_equal(cv_store_entry_put(store, &b, NULL), CV_OK);
    b = store_test_entry(&other, 3);
    b.name = a.name;
    assert_int_equal(cv_store_entry_put(store, &b, &err), CV_EXISTS);
    assert_non_null(strstr(err.text, a.name));
    b = store_test_entry(&other, 3);
    b.entry_id = a.entry_id;
    assert_int_equal(cv_store_entry_put(store, &b, NULL), CV_EXISTS);
    /* what failed changed nothing, and the transaction goes on */
    b = store_test_entry(&other, 3);
    assert_int_equal(cv_store_entry_put(store, &b, NULL), CV_OK);
    assert_int_equal(cv_store_commit(store, NULL), CV_OK);
    assert_int_equal(cv_store_entry_count(store, &n, NULL), CV_OK);
    assert_int_equal(n, 3);
    assert_int_equal(cv_store_check(store, NULL), CV_OK);
}

static void refuse(struct cv_store_entry e)
{
    uint64_t before = 0, after = 1;

    assert_int_equal(cv_store_entry_count(store, &before, NULL), CV_OK);
    assert_int_equal(cv_store_entry_put(store, &e, NULL), CV_INVALID);
    assert_int_equal(cv_store_entry_count(store, &after, NULL), CV_OK);
    assert_int_equal(before, after);
}

static void test_invalid(void **state)
{
    struct store_test_room room;
    struct cv_store_entry e = store_test_entry(&room, 1);
    char *big = malloc(CV_STORE_DOC_MAX + 2);

    (void)state;
    assert_non_null(big);
    memset(big, 'x', CV_STORE_DOC_MAX + 1);
    big[CV_STORE_DOC_MAX + 1] = '\0';
    e.name = "../x";
    refuse(e);
    e = store_test_entry(&room, 1);
    e.entry_id = "ABCDEF";
    refuse(e);
    e = store_test_entry(&room, 1);
    e.spki = "";
    refuse(e);
    e = store_test_entry(&room, 1);
    e.ca_set = e.entry_id;
    refuse(e);
    e = store_test_entry(&room, 1);
    e.labels = "[]";
    refuse(e);
    e.labels = "{\"a\":1}";
    refuse(e);
    e.labels = "{\"a b\":\"c\"}";
    refuse(e);
    e.labels = "{\"a\":\"c\"";
    refuse(e);
    e.labels = NULL;
    refuse(e);
    e = store_test_entry(&room, 1);
    e.doc = NULL;
    refuse(e);
    e.doc = big;
    refuse(e);
    e = store_test_entry(&room, 1);
    e.body = big;
    refuse(e);
    e = store_test_entry(&room, 1);
    e.sealed.len = CV_LIMIT_SEALED + 1;
    refuse(e);
    free(big);
}

struct names {
    char text[4096];
    unsigned n;
    unsigned stop_at;
};

static enum cv_status see(void *ctx, const struct cv_store_entry *e,
                          struct cv_err *err)
{
    struct names *names = ctx;
    size_t len = strlen(names->text);

    assert_null(e->body);
    assert_int_equal(e->sealed.len, 0);
    assert_true(strlen(e->doc) > 100);
    if (++names->n == names->stop_at) {
        return cv_fail(err, CV_BUSY, "enough");
    }
    if (len + 20 < sizeof names->text) {
        (void)snprintf(names->text + len, sizeof names->text - len, "%s%s",
                       len == 0 ? "" : " ", e->name);
    }
    return CV_OK;
}

static void expect(const struct cv_store_filter *f, const char *want)
{
    struct names names = {"", 0, 0};
    struct cv_err err;

    cv_err_init(&err);
    if (cv_store_entry_list(store, f, see, &names, &err) != CV_OK) {
        fail_msg("%s", err.text);
    }
    assert_string_equal(names.text, want);
    assert_false(cv_store_in_transaction(store));
}

static void test_list(void **state)
{
    struct cv_store_label labels[2] = {{"env", "prod"}, {"team", "t4"}};
    struct cv_store_filter f;
    struct store_test_room room;

    (void)state;
    put(0, 10);
    cv_store_entry_filter_init(&f);
    expect(&f, "prod-00000 prod-00002 prod-00004 prod-00006 prod-00008 "
               "test-00001 test-00003 test-00005 test-00007 test-00009");
    f.labels = labels;
    f.n_labels = 1;
    expect(&f, "prod-00000 prod-00002 prod-00004 prod-00006 prod-00008");
    f.n_labels = 2;
    expect(&f, "prod-00004");
    labels[1].value = NULL; /* any */
    expect(&f, "prod-00000 prod-00002 prod-00004 prod-00006 prod-00008");
    labels[0].value = NULL;
    f.pattern = "*3";
    expect(&f, "test-00003");
    labels[0].key = "none";
    expect(&f, "");
    f.n_labels = 0;
    f.pattern = "prod-*";
    expect(&f, "prod-00000 prod-00002 prod-00004 prod-00006 prod-00008");
    f.pattern = "prod-0000?";
    expect(&f, "prod-00000 prod-00002 prod-00004 prod-00006 prod-00008");
    f.pattern = "*-0000[46]"; /* no such class in our globs */
    expect(&f, "");
    f.pattern = "?e*0?";
    expect(&f, "test-00001 test-00003 test-00005 test-00007 test-00009");
    f.pattern = "prod-00004";
    expect(&f, "prod-00004");
    f.pattern = "";
    expect(&f, "");
    f.pattern = NULL;
    f.not_after_upto = 1790000002;
    expect(&f, "prod-00000 prod-00002 test-00001");
    f.pattern = "prod*";
    expect(&f, "prod-00000 prod-00002");
    cv_store_entry_filter_init(&f);
    f.spki = store_test_entry(&room, 5).spki;
    expect(&f, "test-00005");
}

struct count {
    unsigned n;
    char last[64];
};

static enum cv_status count_one(void *ctx, const struct cv_store_entry *e,
                                struct cv_err *err)
{
    struct count *count = ctx;

    (void)err;
    assert_true(strcmp(count->last, e->name) < 0); /* in order, none twice */
    (void)snprintf(count->last, sizeof count->last, "%s", e->name);
    count->n++;
    return CV_OK;
}

static void expect_count(const struct cv_store_filter *f, unsigned want)
{
    struct count count = {0, ""};

    assert_int_equal(cv_store_entry_list(store, f, count_one, &count, NULL),
                     CV_OK);
    assert_int_equal(count.n, want);
}

/* Whichever condition leads to the entries, the answer is the same. */
static void test_list_ways(void **state)
{
    struct cv_store_label labels[2] = {{"env", "prod"}, {"team", "t4"}};
    struct cv_store_filter f;
    struct store_test_room room;

    (void)state;
    put(0, 2400);
    cv_store_entry_filter_init(&f);
    expect_count(&f, 2400);
    f.pattern = "prod-*";
    expect_count(&f, 1200);
    f.labels = labels;
    f.n_labels = 1;
    expect_count(&f, 1200); /* both are many */
    f.n_labels = 2;
    expect_count(&f, 24); /* the second label */
    f.pattern = "prod-0000*";
    expect_count(&f, 1); /* the prefix */
    f.pattern = "*04";
    expect_count(&f, 24);
    f.pattern = NULL;
    f.not_after_upto = 1790000000 + 10;
    expect_count(&f, 1); /* the expiry */
    f.not_after_upto = 1790000000 + 2300;
    expect_count(&f, 23); /* 4, 104, ..., 2204 */
    f.n_labels = 0;
    expect_count(&f, 2301);
    f.spki = store_test_entry(&room, 7).spki;
    expect_count(&f, 1); /* the key */
    f.pattern = "prod-*";
    expect_count(&f, 0);
}

static void test_list_errors(void **state)
{
    static struct cv_store_label many[CV_LIMIT_LABELS + 1];
    char pattern[CV_LIMIT_PATTERN + 2];
    struct names names = {"", 0, 3};
    struct cv_store_filter f;

    (void)state;
    put(0, 10);
    cv_store_entry_filter_init(&f);
    assert_int_equal(cv_store_entry_list(store, &f, see, &names, NULL),
                     CV_BUSY);
    assert_int_equal(names.n, 3);
    assert_false(cv_store_in_transaction(store));
    f.spki = "zz";
    assert_int_equal(cv_store_entry_list(store, &f, see, &names, NULL),
                     CV_INVALID);
    cv_store_entry_filter_init(&f);
    for (size_t i = 0; i <= CV_LIMIT_LABELS; i++) {
        many[i] = (struct cv_store_label){"env", "prod"};
    }
    f.labels = many;
    f.n_labels = CV_LIMIT_LABELS + 1;
    assert_int_equal(cv_store_entry_list(store, &f, see, &names, NULL),
                     CV_INVALID);
    f.n_labels = CV_LIMIT_LABELS;
    expect(&f, "prod-00000 prod-00002 prod-00004 prod-00006 prod-00008");
    memset(pattern, '*', sizeof pattern);
    pattern[sizeof pattern - 1] = '\0';
    cv_store_entry_filter_init(&f);
    f.pattern = pattern;
    assert_int_equal(cv_store_entry_list(store, &f, see, &names, NULL),
                     CV_INVALID);
    /* within a transaction of the caller's it stays open */
    cv_store_entry_filter_init(&f);
    names.stop_at = 0;
    assert_int_equal(cv_store_begin(store, NULL), CV_OK);
    assert_int_equal(cv_store_entry_list(store, &f, see, &names, NULL), CV_OK);
    assert_true(cv_store_in_transaction(store));
    cv_store_rollback(store);
}

static void test_update(void **state)
{
    struct store_test_room room, other;
    struct cv_store_entry e = store_test_entry(&room, 1);
    struct cv_store_entry *now = NULL;
    struct cv_store_label label = {"new", "label"};
    struct cv_store_filter f;

    (void)state;
    put(0, 5);
    e.name = "renamed";
    e.labels = "{\"new\":\"label\"}";
    e.doc = "{\"a\":\"lot more than a hundred bytes so that the list's "
            "callback is content with what it gets here in this one place\"}";
    e.not_after = 5;
    e.updated = 6;
    e.spki = store_test_entry(&other, 9).spki; /* not looked at */
    e.created = 1;
    e.body = NULL;
    e.sealed.len = 0;
    assert_int_equal(cv_store_entry_update(store, &e, NULL), CV_OK);
    assert_int_equal(cv_store_entry_by_name(store, "renamed", true, &now, NULL),
                     CV_OK);
    assert_string_equal(now->labels, e.labels);
    assert_string_equal(now->doc, e.doc);
    assert_int_equal(now->not_after, 5);
    assert_int_equal(now->updated, 6);
    assert_int_equal(now->created, 1700000000);
    assert_string_equal(now->spki, store_test_entry(&other, 1).spki);
    assert_string_equal(now->body, other.body);
    assert_int_equal(now->sealed.len, sizeof other.sealed);
    cv_store_entry_free(now);
    cv_store_entry_filter_init(&f);
    f.labels = &label;
    f.n_labels = 1;
    expect(&f, "renamed");
    label = (struct cv_store_label){"team", "t1"};
    expect(&f, "");
    e.name = store_test_entry(&other, 2).name;
    assert_int_equal(cv_store_entry_update(store, &e, NULL), CV_EXISTS);
    e.name = "bad name";
    assert_int_equal(cv_store_entry_update(store, &e, NULL), CV_INVALID);
    e.name = "fine";
    e.entry_id = "ffffffffffffffffffffffffffffffff";
    assert_int_equal(cv_store_entry_update(store, &e, NULL), CV_NOT_FOUND);
    assert_int_equal(cv_store_check(store, NULL), CV_OK);
}

static bool box_is_anywhere(unsigned nr)
{
    struct store_test_room room;
    struct cv_store_entry e = store_test_entry(&room, nr);

    for (size_t at = 0; at + 32 <= e.sealed.len; at += 16) {
        if (store_test_holds(&folder, e.sealed.data + at, 32)) {
            return true;
        }
    }
    return false;
}

static void remove_one(unsigned nr)
{
    struct store_test_room room;
    struct cv_store_entry e = store_test_entry(&room, nr);

    assert_int_equal(cv_store_entry_remove(store, e.entry_id, NULL), CV_OK);
}

/* Not in the database, not in its WAL, while the store is open. */
static void test_remove(void **state)
{
    struct store_test_room room;
    struct cv_store_entry e = store_test_entry(&room, 3);
    struct cv_store_entry *found = NULL;
    size_t len;

    (void)state;
    put(0, 10);
    assert_true(box_is_anywhere(3));
    remove_one(3);
    assert_false(box_is_anywhere(3));
    assert_false(store->scrub_due);
    assert_int_equal(store->needles.len, 0);
    free(store_test_read(&folder, "vault.db-wal", &len));
    assert_int_equal(len, 0);
    assert_true(box_is_anywhere(4));
    assert_int_equal(cv_store_entry_remove(store, e.entry_id, NULL),
                     CV_NOT_FOUND);
    assert_int_equal(cv_store_entry_remove(store, "x", NULL), CV_INVALID);
    assert_int_equal(cv_store_entry_by_name(store, e.name, false, &found, NULL),
                     CV_NOT_FOUND);
    assert_int_equal(cv_store_check(store, NULL), CV_OK);
    assert_int_equal(cv_store_entry_put(store, &e, NULL), CV_OK);
}

/* One that is too large for a page: its pages are freed. */
static void test_remove_large(void **state)
{
    static uint8_t big[CV_LIMIT_SEALED];
    struct store_test_room room;
    struct cv_store_entry e = store_test_entry(&room, 30);
    uint64_t x = 5;

    (void)state;
    put(0, 10);
    for (size_t i = 0; i < sizeof big; i++) {
        x = x * UINT64_C(6364136223846793005) + 1442695041;
        big[i] = (uint8_t)(x >> 56);
    }
    e.sealed = (struct cv_bytes){big, sizeof big};
    assert_int_equal(cv_store_entry_put(store, &e, NULL), CV_OK);
    assert_true(store_test_holds(&folder, big + 20000, 32));
    assert_int_equal(cv_store_entry_remove(store, e.entry_id, NULL), CV_OK);
    for (size_t at = 0; at + 32 <= sizeof big; at += 1000) {
        assert_false(store_test_holds(&folder, big + at, 32));
    }
}

/* A removal that is taken back leaves the entry, and nothing to be scrubbed. */
static void test_remove_rolled_back(void **state)
{
    struct store_test_room room;
    struct cv_store_entry e = store_test_entry(&room, 3), *found = NULL;

    (void)state;
    put(0, 10);
    assert_int_equal(cv_store_begin(store, NULL), CV_OK);
    remove_one(3);
    assert_true(store->scrub_due);
    cv_store_rollback(store);
    assert_false(store->scrub_due);
    assert_int_equal(store->needles.len, 0);
    assert_int_equal(cv_store_entry_by_name(store, e.name, true, &found, NULL),
                     CV_OK);
    same(found, &e, true, true);
    cv_store_entry_free(found);
}

/* Many rows of many sizes, put and removed by turns, so that SQLite moves them
 * about: of what was removed not 32 bytes are left. */
static void test_remove_among_many(void **state)
{
    enum { N = 400 };
    bool there[N] = {false};
    uint64_t x = 99;
    unsigned searched = 0;

    (void)state;
    for (unsigned round = 0; round < 30; round++) {
        assert_int_equal(cv_store_begin(store, NULL), CV_OK);
        for (unsigned i = 0; i < 60; i++) {
            struct store_test_room room;
            struct cv_store_entry e;
            unsigned nr;

            x = x * UINT64_C(6364136223846793005) + 1442695041;
            nr = (unsigned)(x >> 33) % N;
            e = store_test_entry(&room, nr);
            e.sealed.len = 150 + (x >> 40) % 450;
            e.body = NULL;
            if (!there[nr]) {
                assert_int_equal(cv_store_entry_put(store, &e, NULL), CV_OK);
            } else {
                assert_int_equal(cv_store_entry_remove(store, e.entry_id, NULL),
                                 CV_OK);
            }
            there[nr] = !there[nr];
        }
        assert_int_equal(cv_store_commit(store, NULL), CV_OK);
        for (unsigned nr = round % 4; nr < N; nr += 40) {
            if (!there[nr]) {
                if (box_is_anywhere(nr)) {
                    fail_msg("round %u: entry %u is still there", round, nr);
                }
                searched++;
            }
        }
    }
    assert_true(searched > 50);
    assert_int_equal(cv_store_check(store, NULL), CV_OK);
}

/* A copy that SQLite left in the unused part of a page, made by hand: found,
 * and gone after the next removal. */
static void test_stale_copy(void **state)
{
    struct store_test_room room;
    struct cv_store_entry e = store_test_entry(&room, 3);
    size_t len;
    uint8_t *bytes;
    size_t page = 0;

    (void)state;
    put(0, 10);
    cv_store_close(store);
    store = NULL;
    bytes = store_test_read(&folder, "vault.db", &len);
    for (size_t p = CV_STORE_PAGE; p < len; p += CV_STORE_PAGE) {
        size_t start = (size_t)bytes[p + 5] << 8 | bytes[p + 6];
        size_t cells = (size_t)bytes[p + 3] << 8 | bytes[p + 4];

        if (bytes[p] == 0x0d && start > 8 + 2 * cells + 400 &&
            start < CV_STORE_PAGE) {
            page = p + start - 350; /* between pointers and cells */
        }
    }
    assert_true(page != 0);
    memcpy(bytes + page, e.sealed.data + 100, 300);
    store_test_write(&folder, "vault.db", bytes, len);
    free(bytes);
    store = store_test_open(&folder);
    assert_int_equal(cv_store_check(store, NULL), CV_OK);
    remove_one(3);
    assert_false(box_is_anywhere(3));
    assert_int_equal(cv_store_check(store, NULL), CV_OK);
}

/* The sealed key that another one takes the place of. */
static void test_update_sealed(void **state)
{
    struct store_test_room room, other;
    struct cv_store_entry e = store_test_entry(&room, 3);
    struct cv_store_entry *now = NULL;

    (void)state;
    put(0, 10);
    assert_int_equal(cv_store_entry_update(store, &e, NULL), CV_OK);
    assert_true(box_is_anywhere(3)); /* the same one: kept */
    e.sealed = store_test_entry(&other, 77).sealed;
    assert_int_equal(cv_store_entry_update(store, &e, NULL), CV_OK);
    assert_false(box_is_anywhere(3));
    assert_true(box_is_anywhere(77));
    assert_int_equal(cv_store_entry_by_name(store, e.name, true, &now, NULL),
                     CV_OK);
    assert_memory_equal(now->sealed.data, other.sealed, sizeof other.sealed);
    cv_store_entry_free(now);
}

/* Somebody who reads keeps the WAL from being emptied: done when it can be. */
static enum cv_status remove_while_reading(void *ctx,
                                           const struct cv_store_entry *e,
                                           struct cv_err *err)
{
    struct cv_store *writer = ctx;

    (void)e;
    (void)err;
    assert_int_equal(sqlite3_busy_timeout(writer->db, 10), SQLITE_OK);
    assert_int_equal(
        cv_store_entry_remove(writer, "00000000000000000000000000000003", NULL),
        CV_OK);
    assert_true(writer->scrub_due);
    return CV_BUSY;
}

static void test_remove_with_reader(void **state)
{
    struct cv_store *writer;
    struct cv_store_filter f;

    (void)state;
    put(0, 10);
    writer = store_test_open(&folder);
    cv_store_entry_filter_init(&f);
    assert_int_equal(
        cv_store_entry_list(store, &f, remove_while_reading, writer, NULL),
        CV_BUSY);
    assert_true(box_is_anywhere(3));
    assert_int_equal(cv_store_meta_put(writer, "x", "y", NULL), CV_OK);
    assert_false(writer->scrub_due);
    assert_false(box_is_anywhere(3));
    cv_store_close(writer);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_find, setup, teardown),
        cmocka_unit_test_setup_teardown(test_without_parts, setup, teardown),
        cmocka_unit_test_setup_teardown(test_conflicts, setup, teardown),
        cmocka_unit_test_setup_teardown(test_invalid, setup, teardown),
        cmocka_unit_test_setup_teardown(test_list, setup, teardown),
        cmocka_unit_test_setup_teardown(test_list_ways, setup, teardown),
        cmocka_unit_test_setup_teardown(test_list_errors, setup, teardown),
        cmocka_unit_test_setup_teardown(test_update, setup, teardown),
        cmocka_unit_test_setup_teardown(test_remove, setup, teardown),
        cmocka_unit_test_setup_teardown(test_remove_large, setup, teardown),
        cmocka_unit_test_setup_teardown(test_remove_rolled_back, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(test_remove_among_many, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(test_stale_copy, setup, teardown),
        cmocka_unit_test_setup_teardown(test_update_sealed, setup, teardown),
        cmocka_unit_test_setup_teardown(test_remove_with_reader, setup,
                                        teardown),
    };

    return cmocka_run_group_tests(tests, store_test_start, NULL);
}
