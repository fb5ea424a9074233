#include "vault/audit/report_internal.h"

#include "vault/audit/verify.h"
#include "vault/base/json.h"

#include <stdio.h>
#include <string.h>

bool cv_report_init(struct cv_report *report)
{
    memset(report, 0, sizeof *report);
    report->errors = cJSON_CreateArray();
    return report->errors != NULL;
}

void cv_report_wipe(struct cv_report *report)
{
    cJSON_Delete(report->errors);
    memset(report, 0, sizeof *report);
}

static bool add_item(struct cv_report *report, const char *what, uint64_t seq,
                     uint64_t offset, const char *message)
{
    cJSON *item = cJSON_CreateObject();
    bool ok = cv_json_add_str(item, "what", what) &&
              (seq == CV_REPORT_NOWHERE ||
               cv_json_add_int(item, "seq", (int64_t)seq)) &&
              (offset == CV_REPORT_NOWHERE ||
               cv_json_add_int(item, "offset", (int64_t)offset)) &&
              cv_json_add_str(item, "message", message);

    if (!ok || !cJSON_AddItemToArray(report->errors, item)) {
        cJSON_Delete(item);
        return false;
    }
    return true;
}

void cv_report_add(struct cv_report *report, const char *what, uint64_t seq,
                   uint64_t offset, const char *why)
{
    char message[160];

    report->found++;
    if (report->found > CV_VERIFY_ERRORS) {
        return;
    }
    if (seq != CV_REPORT_NOWHERE && offset != CV_REPORT_NOWHERE) {
        (void)snprintf(message, sizeof message, "record %llu at byte %llu: %s",
                       (unsigned long long)seq, (unsigned long long)offset,
                       why);
    } else {
        (void)snprintf(message, sizeof message, "%s", why);
    }
    if (report->found == 1) {
        memcpy(report->first, message, sizeof message);
    }
    if (!add_item(report, what, seq, offset, message)) {
        report->memory = true;
    }
}
