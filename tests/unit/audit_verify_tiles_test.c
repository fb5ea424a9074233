/* `audit verify` and the tiles: whatever lies there of records that the log has
 * is what the log says, whatever is said of it; what a power failure makes of
 * it is not cried about. */
#include "audit_report.h"

#include "vault/audit/tiles_internal.h"
#include "vault/audit/verify.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define RECORDS 700 /* two tiles, and 188 in the third */
#define BUNDLE "audit/tile/entries/002.p/188"

static void make(struct audit_vault *v)
{
    const struct timespec long_ago[2] = {{.tv_sec = 1}, {.tv_sec = 1}};
    struct cv_log *log;

    audit_test_vault(v);
    log = audit_test_open(v);
    audit_test_fill(log, RECORDS);
    audit_test_checkpoint(v, log);
    cv_log_close(log);
    assert_int_equal(cv_tiles_update(v->fd, RECORDS, NULL), CV_OK);
    assert_int_equal(utimensat(v->fd, "audit/checkpoint", long_ago, 0), 0);
}

static const char *message(const cJSON *report, const char *list, int i)
{
    return audit_report_text(
        cJSON_GetArrayItem(audit_report_at(report, list), i), "message");
}

static int count(const cJSON *report, const char *list)
{
    return cJSON_GetArraySize(audit_report_at(report, list));
}

static void is_fine(const struct audit_vault *v, int notes)
{
    cJSON *report = audit_report_run(v, NULL, CV_OK);

    assert_int_equal(count(report, "notes"), notes);
    cJSON_Delete(report);
}

/* One error, which begins so. */
static void finds(const struct audit_vault *v, const char *begin)
{
    cJSON *report = audit_report_run(v, NULL, CV_INTEGRITY);

    assert_int_equal(count(report, "errors"), 1);
    assert_memory_equal(message(report, "errors", 0), begin, strlen(begin));
    cJSON_Delete(report);
}

static void flip(const struct audit_vault *v, const char *path, size_t place)
{
    size_t len;
    uint8_t *bytes = audit_test_read(v, path, &len);

    bytes[place < len ? place : len - 1] ^= 1;
    audit_test_write(v, path, bytes, len);
    free(bytes);
}

/* Each is told, with where it is. */
static void test_all_are_told(void **state)
{
    struct audit_vault v;
    cJSON *report;

    (void)state;
    make(&v);
    is_fine(&v, 0);
    flip(&v, "audit/tile/0/000", 0);
    flip(&v, "audit/tile/entries/001", 5000);
    flip(&v, BUNDLE, 0);
    flip(&v, "audit/tile/1/000.p/2", 63);
    report = audit_report_run(&v, NULL, CV_INTEGRITY);
    assert_int_equal(count(report, "errors"), 4);
    assert_string_equal(message(report, "errors", 0),
                        "audit/tile/0/000: it is not what the log says "
                        "(level 0, tile 0)");
    assert_string_equal(message(report, "errors", 1),
                        "audit/tile/entries/001: it is not what the log says "
                        "(records 256 to 511)");
    assert_string_equal(message(report, "errors", 2),
                        BUNDLE ": it is not what the log says (records 512 to "
                               "699)");
    assert_string_equal(message(report, "errors", 3),
                        "audit/tile/1/000.p/2: it is not what the log says "
                        "(level 1, tile 0)");
    cJSON_Delete(report);
    audit_test_remove(&v);
}

static void unmark(const struct audit_vault *v)
{
    assert_int_equal(unlinkat(v->fd, "audit/tiles", 0), 0);
    assert_int_equal(unlinkat(v->fd, "audit/tiles.last", 0), 0);
}

/* Who may write the folder can say that there are none, or fewer. */
static void test_whatever_is_said_of_them(void **state)
{
    static const char none[] = "{\"offset\":0,\"size\":0}\n";
    static const char wrong[] = "{\"offset\":7,\"size\":0}\n";
    static const char *const path[] = {
        "audit/tile/0/001", "audit/tile/entries/000", BUNDLE,
        "audit/tile/0/002.p/188", "audit/tile/1/000.p/2"};
    struct audit_vault v;

    (void)state;
    make(&v);
    unmark(&v);
    is_fine(&v, 1);
    for (int marked = 0; marked < 2; marked++) {
        for (size_t i = 0; i < sizeof path / sizeof *path; i++) {
            flip(&v, path[i], 40);
            finds(&v, path[i]);
            flip(&v, path[i], 40);
        }
        audit_test_write(&v, "audit/tiles", none, sizeof none - 1);
        is_fine(&v, 1);
    }
    audit_test_write(&v, "audit/tiles", wrong, sizeof wrong - 1);
    finds(&v, "audit/tiles: it is not what the log says");
    assert_int_equal(cv_tiles_rebuild(v.fd, RECORDS, NULL), CV_OK);
    is_fine(&v, 0);
    audit_test_remove(&v);
}

/* What is left of another width: the beginning of what the log says. */
static void left(const struct audit_vault *v, const char *to, const char *from,
                 size_t len)
{
    size_t all;
    uint8_t *bytes = audit_test_read(v, from, &all);

    assert_true(len <= all);
    audit_test_write(v, to, bytes, len);
    free(bytes);
}

static void zero_from(const struct audit_vault *v, const char *path,
                      size_t place)
{
    size_t len;
    uint8_t *bytes = audit_test_read(v, path, &len);

    memset(bytes + place, 0, len - place);
    audit_test_write(v, path, bytes, len);
    free(bytes);
}

static void test_old_partial_hashes(void **state)
{
    static const char *const path[] = {"audit/tile/0/002.p/100",
                                       "audit/tile/0/000.p/100"};
    static const char *const from[] = {"audit/tile/0/002.p/188",
                                       "audit/tile/0/000"};
    struct audit_vault v;

    (void)state;
    make(&v);
    assert_int_equal(mkdirat(v.fd, "audit/tile/0/000.p", 0700), 0);
    for (int i = 0; i < 2; i++) {
        left(&v, path[i], from[i], 3200);
        is_fine(&v, 0);
        flip(&v, path[i], 3199);
        finds(&v, path[i]);
        left(&v, path[i], from[i], 1000); /* short */
        is_fine(&v, 0);
        left(&v, path[i], from[i], 0);
        is_fine(&v, 0);
        left(&v, path[i], from[i], 3200);
        zero_from(&v, path[i], 1024);
        is_fine(&v, 0);
        left(&v, path[i], from[i], 3200);
        zero_from(&v, path[i], 1000);
        finds(&v, path[i]);
        left(&v, path[i], from[i], 3232); /* longer than its name */
        finds(&v, path[i]);
        left(&v, path[i], from[i], 3200);
    }
    audit_test_remove(&v);
}

/* How many bytes the first `n` records of a bundle have. */
static size_t bundle_len(const struct audit_vault *v, const char *path,
                         unsigned n)
{
    size_t len, at = 0;
    uint8_t *bytes = audit_test_read(v, path, &len);

    while (n-- > 0) {
        at += 2 + ((size_t)bytes[at] << 8 | bytes[at + 1]);
    }
    free(bytes);
    return at;
}

static void test_old_partial_bundles(void **state)
{
    static const char path[] = "audit/tile/entries/002.p/100";
    struct audit_vault v;
    size_t len;

    (void)state;
    make(&v);
    len = bundle_len(&v, BUNDLE, 100);
    left(&v, path, BUNDLE, len);
    is_fine(&v, 0);
    flip(&v, path, len - 1);
    finds(&v, path);
    left(&v, path, BUNDLE, len - 1);
    is_fine(&v, 0);
    left(&v, path, BUNDLE, 0);
    is_fine(&v, 0);
    left(&v, path, BUNDLE, len);
    zero_from(&v, path, 4096);
    is_fine(&v, 0);
    left(&v, path, BUNDLE, len);
    zero_from(&v, path, 4097);
    finds(&v, path);
    left(&v, path, BUNDLE, len + 1);
    finds(&v, path);
    audit_test_remove(&v);
}

/* The one that counts is not what a power failure leaves: this boot wrote it.
 */
static void test_of_this_boot(void **state)
{
    struct audit_vault v;

    (void)state;
    make(&v);
    left(&v, BUNDLE, BUNDLE, 4096);
    finds(&v, BUNDLE);
    assert_int_equal(unlinkat(v.fd, "audit/tiles.last", 0), 0);
    is_fine(&v, 0);
    audit_test_remove(&v);
}

static void test_too_many(void **state)
{
    struct audit_vault v;
    char path[64];
    cJSON *report;

    (void)state;
    make(&v);
    for (unsigned i = 1; i <= CV_TILES_PARTIALS + 1; i++) {
        (void)snprintf(path, sizeof path, "audit/tile/0/002.p/%u", i);
        left(&v, path, "audit/tile/0/002.p/188", i * (size_t)CV_TREE_HASH);
    }
    report = audit_report_run(&v, NULL, CV_INTEGRITY);
    assert_non_null(strstr(message(report, "errors", 0), "more partial tiles"));
    cJSON_Delete(report);
    audit_test_remove(&v);
}

/* Others may read them: that is no change of theirs. */
static void test_mode(void **state)
{
    static const char path[] = "audit/tile/0/001";
    struct audit_vault v;
    cJSON *report;

    (void)state;
    make(&v);
    assert_int_equal(fchmodat(v.fd, path, 0644, 0), 0);
    assert_int_equal(fchmodat(v.fd, "audit/tile/0/000", 0640, 0), 0);
    report = audit_report_run(&v, NULL, CV_OK);
    assert_int_equal(count(report, "notes"), 1);
    assert_non_null(strstr(message(report, "notes", 0), "open to other users"));
    cJSON_Delete(report);
    flip(&v, path, 0);
    assert_int_equal(fchmodat(v.fd, path, 0644, 0), 0);
    finds(&v, path);
    flip(&v, path, 0);
    assert_int_equal(unlinkat(v.fd, path, 0), 0);
    assert_int_equal(symlinkat("000", v.fd, path), 0);
    finds(&v, path);
    audit_test_remove(&v);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_all_are_told),
        cmocka_unit_test(test_whatever_is_said_of_them),
        cmocka_unit_test(test_old_partial_hashes),
        cmocka_unit_test(test_old_partial_bundles),
        cmocka_unit_test(test_of_this_boot),
        cmocka_unit_test(test_too_many),
        cmocka_unit_test(test_mode),
    };

    return cmocka_run_group_tests(tests, audit_test_start, NULL);
}
