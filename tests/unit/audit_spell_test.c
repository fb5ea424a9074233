/* How leaves are spelt: against another writer, over random leaves; and what
 * keeps one out of the log that its reader would refuse. */
#include "audit_leaf_model.h"
#include "audit_test.h"
#include "full.h"

#include "vault/audit/leaf_internal.h"
#include "vault/audit/verify.h"
#include "vault/base/json.h"

#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define SHORT 3000
#define FULL 1000000

/* What is written in the place of a leaf; NULL: the leaf. */
static const char *lie;

enum cv_status __real_cv_leaf_write(const struct cv_leaf *leaf,
                                    const struct cv_leaf_place *place,
                                    struct cv_buf *out, struct cv_err *err);
enum cv_status __wrap_cv_leaf_write(const struct cv_leaf *leaf,
                                    const struct cv_leaf_place *place,
                                    struct cv_buf *out, struct cv_err *err);

enum cv_status __wrap_cv_leaf_write(const struct cv_leaf *leaf,
                                    const struct cv_leaf_place *place,
                                    struct cv_buf *out, struct cv_err *err)
{
    if (lie == NULL) {
        return __real_cv_leaf_write(leaf, place, out, err);
    }
    cv_buf_add_str(out, lie);
    return CV_OK;
}

static void test_both_writers(void **state)
{
    const char *given = getenv("CV_SEED");
    uint64_t seed = given != NULL ? strtoull(given, NULL, 10)
                                  : (uint64_t)time(NULL) * 10000000;
    unsigned runs = given != NULL ? 1 : cv_full_run() ? FULL : SHORT;
    unsigned written = 0;

    (void)state;
    print_message("CV_SEED=%llu and on\n", (unsigned long long)seed);
    for (unsigned i = 0; i < runs; i++) {
        uint8_t key[randombytes_SEEDBYTES] = {0}, data[1500];
        uint64_t n = seed + i;
        const char *differs;
        bool valid = false;

        memcpy(key, &n, sizeof n);
        randombytes_buf_deterministic(data, sizeof data, key);
        differs = audit_leaf_model_compare(data, sizeof data, &valid);
        if (differs != NULL) {
            fail_msg("CV_SEED=%llu: %s", (unsigned long long)n, differs);
        }
        written += valid;
    }
    print_message("%u leaves, %u of them valid\n", runs, written);
    if (runs > 1) { /* both happen, or nothing was shown */
        assert_in_range(written, runs / 20, runs - runs / 20);
    }
}

static void fill(struct cv_leaf *l)
{
    cv_leaf_init(l);
    l->op = "00112233445566778899aabbccddeeff";
    l->phase = CV_LEAF_EVENT;
    l->mode = "service";
    l->host = "host.example";
    l->uid = 1000;
    l->action = "log";
}

static void opens_whole(struct audit_vault *v, uint64_t leaves)
{
    cJSON *report = NULL;
    struct cv_log *log = NULL;

    assert_int_equal(cv_verify_log(v->fd, NULL, &report, NULL), CV_OK);
    cJSON_Delete(report);
    assert_int_equal(cv_log_open(v->fd, CV_LOG_READ, &log, NULL), CV_OK);
    assert_int_equal(cv_log_size(log), leaves);
    cv_log_close(log);
}

#define WHEN                                      \
    "\"op\":\"00\",\"phase\":\"event\",\"prev\":" \
    "\"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\","
#define TIME "\"time\":\"2026-09-21T14:13:20Z\",\"v\":1}"

/* Were the pen wrong, its leaf would not be queued. */
static void test_lies(void **state)
{
    static const char *const lies[] = {
        "",
        "{}",
        "{\"action\":\"log\"," WHEN "\"seq\":1," TIME, /* another place */
        "{\"action\":\"log\"," WHEN "\"seq\":0," TIME " ",
        "{\"action\":\"log\", " WHEN "\"seq\":0," TIME,
        "{\"action\":\"log\"," WHEN "\"seq\":00," TIME,
        "{\"action\":\"log\",\"action\":\"log\"," WHEN "\"seq\":0," TIME,
        "{\"b\":1,\"action\":\"log\"," WHEN "\"seq\":0," TIME,
        "{\"action\":\"log\",\"b\":\"\x7f\"," WHEN "\"seq\":0," TIME,
        "{\"action\":\"log\",\"b\":\"\xc3\xa9\"," WHEN "\"seq\":0," TIME,
        "{\"action\":\"log\",\"b\":-1," WHEN "\"seq\":0," TIME,
        "{\"action\":\"log\"," WHEN "\"seq\":0," TIME "{}",
        "{\"action\":\"log\"," WHEN "\"seq\":0,\"time\":\"now\",\"v\":1}",
    };
    struct audit_vault v;
    struct cv_log *log = NULL;
    struct cv_leaf l;
    uint64_t seq = 9;

    (void)state;
    audit_test_vault(&v);
    fill(&l);
    assert_int_equal(cv_log_open(v.fd, CV_LOG_WRITE, &log, NULL), CV_OK);
    for (size_t i = 0; i < sizeof lies / sizeof lies[0]; i++) {
        lie = lies[i];
        assert_int_equal(cv_log_append_leaf(log, &l, NULL, NULL), CV_INVALID);
    }
    /* So is one that is right but for prev, once there is a leaf before it. */
    lie = "{\"action\":\"log\"," WHEN "\"seq\":0," TIME;
    assert_int_equal(cv_log_append_leaf(log, &l, &seq, NULL), CV_OK);
    assert_int_equal(seq, 0);
    lie = "{\"action\":\"log\"," WHEN "\"seq\":1," TIME;
    assert_int_equal(cv_log_append_leaf(log, &l, NULL, NULL), CV_INVALID);
    lie = NULL;
    assert_int_equal(cv_log_append_leaf(log, &l, &seq, NULL), CV_OK);
    assert_int_equal(seq, 1);
    assert_int_equal(cv_log_commit(log, NULL), CV_OK);
    cv_log_close(log);
    opens_whole(&v, 2);
    audit_test_remove(&v);
}

/* What is refused leaves those that are queued as they are. */
static void test_refused(void **state)
{
    static char huge[CV_LIMIT_LEAF + 1];
    struct audit_vault v;
    struct cv_log *log = NULL;
    const char *rules[300];
    char rule[257];
    struct cv_leaf l, bad;

    (void)state;
    audit_test_vault(&v);
    memset(rule, 'r', sizeof rule - 1);
    rule[sizeof rule - 1] = '\0';
    for (size_t i = 0; i < 300; i++) {
        rules[i] = rule;
    }
    memset(huge, 'x', sizeof huge - 1);
    fill(&l);
    assert_int_equal(cv_log_open(v.fd, CV_LOG_WRITE, &log, NULL), CV_OK);
    for (unsigned i = 0; i < 40; i++) {
        assert_int_equal(cv_log_append_leaf(log, &l, NULL, NULL), CV_OK);
        fill(&bad);
        switch (i % 4) {
        case 0: /* checked by itself, but too long with all the others */
            bad.rules = rules;
            bad.n_rules = 300;
            break;
        case 1:
            bad.reason = huge;
            break;
        case 2: /* the last that is written */
            bad.ticket = "a\nb";
            break;
        default:
            bad.action = "logs";
            break;
        }
        assert_int_equal(cv_log_append_leaf(log, &bad, NULL, NULL), CV_INVALID);
    }
    assert_int_equal(cv_log_commit(log, NULL), CV_OK);
    assert_int_equal(cv_log_size(log), 40);
    /* The room of the last commit holds nothing of it. */
    assert_int_equal(cv_log_append_leaf(log, &l, NULL, NULL), CV_OK);
    assert_int_equal(cv_log_commit(log, NULL), CV_OK);
    cv_log_close(log);
    opens_whole(&v, 41);
    audit_test_remove(&v);
}

/* As many as fit into one commit, then one more. */
static void test_full_commit(void **state)
{
    struct audit_vault v;
    struct cv_log *log = NULL;
    const char *rules[200];
    char rule[257];
    struct cv_leaf l;
    unsigned n = 0;

    (void)state;
    audit_test_vault(&v);
    memset(rule, 'r', sizeof rule - 1);
    rule[sizeof rule - 1] = '\0';
    for (size_t i = 0; i < 200; i++) {
        rules[i] = rule;
    }
    fill(&l);
    l.rules = rules;
    l.n_rules = 200;
    assert_int_equal(cv_log_open(v.fd, CV_LOG_WRITE, &log, NULL), CV_OK);
    while (cv_log_append_leaf(log, &l, NULL, NULL) == CV_OK) {
        n++;
    }
    assert_in_range(n, 1000, 2000);
    assert_int_equal(cv_log_append_leaf(log, &l, NULL, NULL), CV_INVALID);
    l.n_rules = 0;
    assert_int_equal(cv_log_append_leaf(log, &l, NULL, NULL), CV_OK);
    assert_int_equal(cv_log_commit(log, NULL), CV_OK);
    cv_log_close(log);
    opens_whole(&v, n + 1);
    audit_test_remove(&v);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_both_writers),
        cmocka_unit_test(test_lies),
        cmocka_unit_test(test_refused),
        cmocka_unit_test(test_full_commit),
    };

    return cmocka_run_group_tests(tests, audit_test_start, NULL);
}
