/* Questions to the log. */
#include "audit_test.h"

#include "vault/audit/query.h"
#include "vault/base/json.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static struct audit_vault vault;
static struct cv_log *writer;

#define BASE 1790000000 /* 2026-09-21T14:13:20Z */

struct one {
    enum cv_leaf_phase phase;
    enum cv_leaf_verdict decision;
    const char *op;
    const char *user;
    uid_t uid;
    const char *action;
    const char *entry;
    const char *entry_id;
    const char *outcome;
};

#define OP1 "11111111111111111111111111111111"
#define OP2 "22222222222222222222222222222222"
#define OP3 "33333333333333333333333333333333"
#define OP4 "44444444444444444444444444444444"
#define OP5 "55555555555555555555555555555555"
#define OP6 "66666666666666666666666666666666"
#define ID_A "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
#define ID_B "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"

/* One leaf a second from BASE on. */
static const struct one leaves[] = {
    {CV_LEAF_DECISION, CV_LEAF_PERMIT, OP1, "alice", 1000, "fetch", "prod-a",
     ID_A, NULL},
    {CV_LEAF_OUTCOME, CV_LEAF_PERMIT, OP1, "alice", 1000, "fetch", "prod-a",
     ID_A, "ok"},
    {CV_LEAF_DECISION, CV_LEAF_DENY, OP2,
     "b\xc3\xb6"
     "b",
     1001, "export", "prod-a", ID_A, NULL},
    {CV_LEAF_DECISION, CV_LEAF_PERMIT, OP3, "alice", 1000, "export", "prod-a",
     ID_A, NULL},
    /* an outcome that names neither entry nor id */
    {CV_LEAF_OUTCOME, CV_LEAF_PERMIT, OP3, "alice", 1000, "export", NULL, NULL,
     "failed"},
    {CV_LEAF_DECISION, CV_LEAF_PERMIT, OP4, NULL, 1002, "use", "prod-b", ID_B,
     NULL},
    /* renamed meanwhile */
    {CV_LEAF_DECISION, CV_LEAF_PERMIT, OP5, "alice", 1000, "export", "new-a",
     ID_A, NULL},
    {CV_LEAF_OUTCOME, CV_LEAF_PERMIT, OP5, "alice", 1000, "export", "new-a",
     ID_A, "ok"},
    {CV_LEAF_DECISION, CV_LEAF_PERMIT, OP6, "alice", 1000, "list", NULL, NULL,
     NULL},
};

#define LEAVES (int)(sizeof leaves / sizeof leaves[0])

static void append(const struct one *o, int second)
{
    struct cv_leaf l;
    cJSON *leaf = NULL;

    cv_leaf_init(&l);
    l.op = o->op;
    l.phase = o->phase;
    l.decision = o->decision;
    l.mode = "agent";
    l.host = "host";
    l.time_s = BASE + second;
    l.uid = o->uid;
    l.user = o->user;
    l.action = o->action;
    l.entry = o->entry;
    l.entry_id = o->entry_id;
    l.outcome = o->outcome;
    l.status =
        o->outcome != NULL && strcmp(o->outcome, "failed") == 0 ? CV_IO : CV_OK;
    assert_int_equal(cv_leaf_build(&l, &leaf, NULL), CV_OK);
    assert_int_equal(cv_log_append(writer, leaf, NULL, NULL), CV_OK);
    assert_int_equal(cv_log_commit(writer, NULL), CV_OK);
    cJSON_Delete(leaf);
}

static int setup(void **state)
{
    (void)state;
    audit_test_vault(&vault);
    assert_int_equal(cv_log_open(vault.fd, CV_LOG_WRITE, &writer, NULL), CV_OK);
    for (int i = 0; i < LEAVES; i++) {
        append(&leaves[i], i);
    }
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    cv_log_close(writer);
    audit_test_remove(&vault);
    return 0;
}

static const cJSON *at(const cJSON *o, const char *key)
{
    return cJSON_GetObjectItemCaseSensitive(o, key);
}

static void append_deny(enum cv_status why, bool ruled, int second)
{
    static const char *const rules[] = {"two-people"};
    struct cv_leaf l;

    cv_leaf_init(&l);
    l.op = OP6;
    l.phase = CV_LEAF_DECISION;
    l.decision = CV_LEAF_DENY;
    l.mode = "agent";
    l.host = "host";
    l.time_s = BASE + second;
    l.action = "export";
    l.status = why;
    l.rules = rules;
    l.n_rules = ruled ? 1 : 0;
    assert_int_equal(cv_log_append_leaf(writer, &l, NULL, NULL), CV_OK);
    assert_int_equal(cv_log_commit(writer, NULL), CV_OK);
}

/* The numbers of what is found, as a text. */
static void expect(const struct cv_query_filter *filter, const char *numbers)
{
    cJSON *items = NULL;
    const cJSON *item;
    char got[256] = "";

    assert_int_equal(cv_query_items(vault.fd, filter, &items, NULL), CV_OK);
    cJSON_ArrayForEach(item, items)
    {
        size_t n = strlen(got);

        (void)snprintf(got + n, sizeof got - n, "%s%d", n == 0 ? "" : " ",
                       at(item, "seq")->valueint);
    }
    assert_string_equal(got, numbers);
    cJSON_Delete(items);
}

static void test_filters(void **state)
{
    struct cv_query_filter f;

    (void)state;
    cv_query_init(&f);
    expect(&f, "0 1 2 3 4 5 6 7 8");
    f.actor = "alice";
    expect(&f, "0 1 3 4 6 7 8");
    f.actor = "b\xc3\xb6"
              "b";
    expect(&f, "2");
    f.actor = "1002";
    expect(&f, "5");
    f.actor = "uid:1002";
    expect(&f, "5");
    f.actor = "1001";
    expect(&f, "2");
    f.actor = "lic";
    expect(&f, "");
    cv_query_init(&f);
    f.action = "export";
    expect(&f, "2 3 4 6 7");
    f.action = "ex*";
    expect(&f, "2 3 4 6 7");
    f.action = "*t";
    expect(&f, "2 3 4 6 7 8");
    f.entry = "prod-a";
    expect(&f, "2 3");
    f.action = NULL;
    expect(&f, "0 1 2 3");
    f.entry = "prod-?";
    expect(&f, "0 1 2 3 5");
    f.entry = "prod-a";
    f.entry_id = ID_A;
    expect(&f, "0 1 2 3 6 7");
    f.entry = NULL;
    expect(&f, "0 1 2 3 6 7");
    cv_query_init(&f);
    f.outcome = "failed";
    expect(&f, "4");
    f.outcome = "deny";
    expect(&f, "2");
    f.outcome = "permit";
    expect(&f, "0 3 5 6 8");
    cv_query_init(&f);
    f.since_s = BASE + 3;
    expect(&f, "3 4 5 6 7 8");
    f.until_s = BASE + 5;
    expect(&f, "3 4 5");
    f.limit = 2;
    expect(&f, "4 5");
    f.limit = 3;
    expect(&f, "3 4 5");
    f.limit = 100;
    expect(&f, "3 4 5");
    cv_query_init(&f);
    f.limit = 1;
    f.action = "export";
    expect(&f, "7");
    f.entry = "no such";
    expect(&f, "");
}

/* "busy" is policy's where rules are named: approvals, limits. */
static void test_denied_and_refused(void **state)
{
    struct cv_query_filter f;

    (void)state;
    append_deny(CV_DENIED, false, 20);
    append_deny(CV_NOT_FOUND, false, 20);
    append_deny(CV_BUSY, true, 20);
    append_deny(CV_BUSY, false, 20);
    append_deny(CV_DENIED, true, 20);
    append_deny(CV_EXISTS, false, 20);
    cv_query_init(&f);
    f.since_s = BASE + 20;
    f.until_s = BASE + 20;
    f.outcome = "deny";
    expect(&f, "9 10 11 12 13 14");
    f.outcome = "denied";
    expect(&f, "9 11 13");
    f.outcome = "refused";
    expect(&f, "10 12 14");
    f.limit = 1;
    expect(&f, "14");
}

static void test_filter_json(void **state)
{
    static const char *const bad[] = {"{\"limit\":-1}",
                                      "{\"limit\":\"1\"}",
                                      "{\"what\":1}",
                                      "{\"actor\":\"a\\nb\"}",
                                      "[]",
                                      "{\"since\":1.5}"};
    cJSON *o = cJSON_Parse("{\"actor\":\"alice\",\"action\":\"export\","
                           "\"since\":1790000003,\"limit\":2}");
    struct cv_query_filter f;

    (void)state;
    assert_int_equal(cv_query_read(o, &f, NULL), CV_OK);
    expect(&f, "6 7");
    cJSON_Delete(o);
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        o = cJSON_Parse(bad[i]);
        assert_int_equal(cv_query_read(o, &f, NULL), CV_INVALID);
        cJSON_Delete(o);
    }
    cv_query_init(&f);
    f.since_s = -5;
    assert_int_equal(cv_query_items(vault.fd, &f, &o, NULL), CV_INVALID);
    assert_null(o);
    cv_query_init(&f);
    f.limit = 1000001; /* more than are kept: not as if there were none */
    assert_int_equal(cv_query_items(vault.fd, &f, &o, NULL), CV_INVALID);
    assert_null(o);
    cv_query_init(&f);
    f.actor = "\xff";
    assert_int_equal(cv_query_items(vault.fd, &f, &o, NULL), CV_INVALID);
}

static void test_who(void **state)
{
    struct cv_query_filter f;
    cJSON *items = NULL;
    const cJSON *item;

    (void)state;
    cv_query_init(&f);
    f.entry = "prod-a";
    f.entry_id = ID_A;
    assert_int_equal(cv_query_who(vault.fd, &f, &items, NULL), CV_OK);
    assert_int_equal(cJSON_GetArraySize(items), 2);
    item = cJSON_GetArrayItem(items, 0);
    assert_int_equal(at(item, "seq")->valueint, 3);
    assert_string_equal(at(item, "outcome")->valuestring, "failed");
    assert_string_equal(at(item, "error")->valuestring, "io");
    assert_string_equal(at(item, "phase")->valuestring, "decision");
    item = cJSON_GetArrayItem(items, 1);
    assert_int_equal(at(item, "seq")->valueint, 6);
    assert_string_equal(at(item, "outcome")->valuestring, "ok");
    assert_null(at(item, "error"));
    cJSON_Delete(items);
    f.entry = "prod-b"; /* nobody knows how it ended */
    f.entry_id = NULL;
    assert_int_equal(cv_query_who(vault.fd, &f, &items, NULL), CV_OK);
    assert_int_equal(cJSON_GetArraySize(items), 1);
    assert_null(at(cJSON_GetArrayItem(items, 0), "outcome"));
    cJSON_Delete(items);
    cv_query_init(&f);
    f.limit = 1;
    assert_int_equal(cv_query_who(vault.fd, &f, &items, NULL), CV_OK);
    assert_int_equal(cJSON_GetArraySize(items), 1);
    assert_int_equal(at(cJSON_GetArrayItem(items, 0), "seq")->valueint, 6);
    cJSON_Delete(items);
}

static void test_record(void **state)
{
    struct cv_buf out;
    size_t len, from, to;
    uint8_t *bytes = audit_test_read(&vault, "audit/log", &len);

    (void)state;
    for (unsigned i = 0; i < (unsigned)LEAVES; i++) {
        from = audit_test_frame(bytes, len, i) + 8;
        to = audit_test_frame(bytes, len, i + 1);
        cv_buf_init(&out, NULL, 65536);
        assert_int_equal(cv_query_record(vault.fd, i, &out, NULL), CV_OK);
        assert_int_equal(out.len, to - from);
        assert_memory_equal(out.data, bytes + from, out.len);
        cv_buf_wipe(&out);
    }
    assert_int_equal(cv_query_record(vault.fd, (uint64_t)LEAVES, &out, NULL),
                     CV_NOT_FOUND);
    assert_int_equal(cv_query_record(vault.fd, UINT64_MAX, &out, NULL),
                     CV_NOT_FOUND);
    free(bytes);
}

struct seen {
    char text[256];
    int stop_at;
};

static enum cv_status see(void *ctx, uint64_t seq, struct cv_bytes leaf,
                          struct cv_err *err)
{
    struct seen *seen = ctx;
    size_t n = strlen(seen->text);

    assert_true(leaf.len > 100 && leaf.data[0] == '{');
    if ((int)seq == seen->stop_at) {
        return cv_fail(err, CV_BUSY, "enough");
    }
    (void)snprintf(seen->text + n, sizeof seen->text - n, "%s%llu",
                   n == 0 ? "" : " ", (unsigned long long)seq);
    return CV_OK;
}

static void test_tail_and_follow(void **state)
{
    struct cv_query_cursor cursor;
    struct seen seen = {"", -1};

    (void)state;
    assert_int_equal(cv_query_tail(vault.fd, 3, &cursor, see, &seen, NULL),
                     CV_OK);
    assert_string_equal(seen.text, "6 7 8");
    seen.text[0] = '\0';
    assert_int_equal(cv_query_follow(vault.fd, &cursor, see, &seen, NULL),
                     CV_OK);
    assert_string_equal(seen.text, "");
    append(&leaves[0], 20);
    append(&leaves[1], 21);
    assert_int_equal(cv_query_follow(vault.fd, &cursor, see, &seen, NULL),
                     CV_OK);
    assert_string_equal(seen.text, "9 10");
    seen.text[0] = '\0';
    assert_int_equal(cv_query_tail(vault.fd, 1000, &cursor, see, &seen, NULL),
                     CV_OK);
    assert_string_equal(seen.text, "0 1 2 3 4 5 6 7 8 9 10");
    seen.text[0] = '\0';
    assert_int_equal(cv_query_tail(vault.fd, 0, &cursor, see, &seen, NULL),
                     CV_OK);
    assert_string_equal(seen.text, "");
    assert_int_equal(cursor.seq, 11);
    /* What the callback says ends it, and the cursor stands before that. */
    memset(&cursor, 0, sizeof cursor);
    seen.stop_at = 4;
    assert_int_equal(cv_query_follow(vault.fd, &cursor, see, &seen, NULL),
                     CV_BUSY);
    assert_string_equal(seen.text, "0 1 2 3");
    assert_int_equal(cursor.seq, 4);
    seen.stop_at = -1;
    seen.text[0] = '\0';
    assert_int_equal(cv_query_follow(vault.fd, &cursor, see, &seen, NULL),
                     CV_OK);
    assert_string_equal(seen.text, "4 5 6 7 8 9 10");
    cursor.offset += 100000;
    assert_int_equal(cv_query_follow(vault.fd, &cursor, see, &seen, NULL),
                     CV_INTEGRITY);
}

static void test_damage(void **state)
{
    struct cv_query_filter f;
    struct cv_query_cursor cursor;
    struct seen seen = {"", -1};
    struct cv_buf out;
    cJSON *items = NULL;
    size_t len;
    uint8_t *bytes = audit_test_read(&vault, "audit/log", &len);

    (void)state;
    cv_query_init(&f);
    cv_buf_init(&out, NULL, 65536);
    audit_test_write(&vault, "audit/log", bytes, len - 5); /* torn */
    expect(&f, "0 1 2 3 4 5 6 7");
    bytes[audit_test_frame(bytes, len, 4) + 50] ^= 1;
    audit_test_write(&vault, "audit/log", bytes, len);
    assert_int_equal(cv_query_items(vault.fd, &f, &items, NULL), CV_INTEGRITY);
    assert_null(items);
    assert_int_equal(cv_query_who(vault.fd, &f, &items, NULL), CV_INTEGRITY);
    assert_null(items);
    assert_int_equal(cv_query_record(vault.fd, 4, &out, NULL), CV_INTEGRITY);
    assert_int_equal(cv_query_record(vault.fd, 3, &out, NULL), CV_OK);
    assert_int_equal(cv_query_tail(vault.fd, 3, &cursor, see, &seen, NULL),
                     CV_INTEGRITY);
    assert_string_equal(seen.text, "");
    assert_int_equal(unlinkat(vault.fd, "audit/log", 0), 0);
    assert_int_equal(cv_query_items(vault.fd, &f, &items, NULL), CV_NOT_FOUND);
    cv_buf_wipe(&out);
    free(bytes);
}

/* Whole frames in another order. */
static void test_swapped(void **state)
{
    struct cv_query_filter f;
    cJSON *items = NULL;
    size_t len, a, b, end;
    uint8_t *bytes = audit_test_read(&vault, "audit/log", &len);
    uint8_t *copy = malloc(len);

    (void)state;
    assert_non_null(copy);
    a = audit_test_frame(bytes, len, 3);
    b = audit_test_frame(bytes, len, 4);
    end = audit_test_frame(bytes, len, 5);
    memcpy(copy, bytes, len);
    memcpy(copy + a, bytes + b, end - b);
    memcpy(copy + a + (end - b), bytes + a, b - a);
    audit_test_write(&vault, "audit/log", copy, len);
    cv_query_init(&f);
    assert_int_equal(cv_query_items(vault.fd, &f, &items, NULL), CV_INTEGRITY);
    assert_null(items);
    free(copy);
    free(bytes);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_filters, setup, teardown),
        cmocka_unit_test_setup_teardown(test_filter_json, setup, teardown),
        cmocka_unit_test_setup_teardown(test_denied_and_refused, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(test_who, setup, teardown),
        cmocka_unit_test_setup_teardown(test_record, setup, teardown),
        cmocka_unit_test_setup_teardown(test_tail_and_follow, setup, teardown),
        cmocka_unit_test_setup_teardown(test_damage, setup, teardown),
        cmocka_unit_test_setup_teardown(test_swapped, setup, teardown),
    };

    return cmocka_run_group_tests(tests, audit_test_start, NULL);
}
