/* A bundle's survey: in steps, and what it tells. */
#include "audit_test.h"

#include "vault/audit/bundle.h"
#include "vault/base/json.h"

#include <stdlib.h>

#define RECORDS (CV_BUNDLE_SURVEY_STEP + 2000)
#define FIRST 1000

static struct audit_vault v;

static int start(void **state)
{
    struct cv_log *log = NULL;

    if (audit_test_start(state) != 0) {
        return -1;
    }
    audit_test_vault(&v);
    assert_int_equal(cv_log_open(v.fd, CV_LOG_WRITE, &log, NULL), CV_OK);
    for (unsigned i = 0; i < RECORDS; i += 16) {
        audit_test_fill(log, 16);
    }
    audit_test_checkpoint(&v, log);
    cv_log_close(log);
    assert_int_equal(cv_tiles_update(v.fd, RECORDS, NULL), CV_OK);
    return 0;
}

static int end(void **state)
{
    (void)state;
    audit_test_remove(&v);
    return 0;
}

/* Returns the steps that it took. */
static unsigned run(const char *entry, cJSON *manifest)
{
    struct cv_tiles_reader *reader = calloc(1, sizeof *reader);
    struct cv_bundle_survey *y = NULL;
    bool done = false;
    unsigned n = 0;

    assert_non_null(reader);
    reader->vault = v.fd;
    assert_int_equal(cv_tiles_size(v.fd, &reader->size, NULL), CV_OK);
    assert_int_equal(
        cv_bundle_survey_new(reader, FIRST, RECORDS, entry, "id-1", &y, NULL),
        CV_OK);
    for (; !done; n++) {
        assert_int_equal(cv_bundle_survey_step(y, &done, NULL), CV_OK);
    }
    assert_int_equal(cv_bundle_survey_tell(y, manifest, NULL), CV_OK);
    cv_bundle_survey_free(y);
    free(reader);
    return n;
}

static const cJSON *at(const cJSON *o, const char *key)
{
    return cJSON_GetObjectItemCaseSensitive(o, key);
}

static void test_all(void **state)
{
    cJSON *manifest = cJSON_CreateObject();

    (void)state;
    assert_int_equal(run(NULL, manifest), 2);
    assert_int_equal(cJSON_GetArraySize(at(manifest, "policies")), 1);
    assert_null(at(manifest, "matching"));
    assert_null(at(manifest, "entry_ids"));
    cJSON_Delete(manifest);
}

/* Twice: the ids are known behind the last record only. */
static void test_an_entry(void **state)
{
    cJSON *manifest = cJSON_CreateObject();
    double want = 0;

    (void)state;
    /* As audit_test_fill names them: two records of prod-3 in each sixteen. */
    for (unsigned i = FIRST; i < RECORDS; i++) {
        want += i % 16 / 2 == 3 ? 1 : 0;
    }
    assert_int_equal(run("prod-3", manifest), 4);
    assert_true(at(manifest, "matching")->valuedouble == want);
    assert_int_equal(cJSON_GetArraySize(at(manifest, "entry_ids")), 1);
    cJSON_Delete(manifest);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_all),
        cmocka_unit_test(test_an_entry),
    };

    return cmocka_run_group_tests(tests, start, end);
}
