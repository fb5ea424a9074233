#include "audit_report.h"

#include <stdlib.h>
#include <string.h>

const cJSON *audit_report_at(const cJSON *o, const char *key)
{
    return cJSON_GetObjectItemCaseSensitive(o, key);
}

const char *audit_report_text(const cJSON *o, const char *key)
{
    assert_true(cJSON_IsString(audit_report_at(o, key)));
    return audit_report_at(o, key)->valuestring;
}

/* Runs it; the report must agree with the status. */
cJSON *audit_report_run(const struct audit_vault *v,
                        const struct cv_verify_options *options,
                        enum cv_status want)
{
    cJSON *report = NULL;
    struct cv_err err;
    enum cv_status status;

    cv_err_init(&err);
    status = cv_verify_log(v->fd, options, &report, &err);
    if (status != want) {
        fail_msg("status %d, not %d: %s", status, want, err.text);
    }
    assert_int_equal(err.status, status);
    assert_non_null(report);
    assert_int_equal(cJSON_IsTrue(audit_report_at(report, "ok")),
                     want == CV_OK);
    assert_int_equal(cJSON_GetArraySize(audit_report_at(report, "errors")) == 0,
                     want == CV_OK);
    return report;
}

/* It fails, and one of the errors is of this kind. */
void audit_report_finds(const struct audit_vault *v, const char *what)
{
    cJSON *report = audit_report_run(v, NULL, CV_INTEGRITY);
    const cJSON *item;
    bool found = false;

    cJSON_ArrayForEach(item, audit_report_at(report, "errors"))
    {
        found = found || strcmp(audit_report_text(item, "what"), what) == 0;
    }
    if (!found) {
        char *text = cJSON_Print(report);

        print_error("%s\n", text);
        free(text);
        fail_msg("no error of kind %s", what);
    }
    cJSON_Delete(report);
}
