#include "vault/audit/report_internal.h"

#include "vault/audit/verify.h"
#include "vault/base/json.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

bool cv_report_init(struct cv_report *report)
{
    memset(report, 0, sizeof *report);
    report->derived = true;
    report->items = calloc(CV_VERIFY_ERRORS, sizeof *report->items);
    return report->items != NULL;
}

void cv_report_wipe(struct cv_report *report)
{
    free(report->items);
    memset(report, 0, sizeof *report);
}

void cv_report_add(struct cv_report *report, const char *what, uint64_t seq,
                   uint64_t offset, const char *why)
{
    struct cv_report_item *item;

    report->derived = report->derived && (strcmp(what, "tiles") == 0 ||
                                          strcmp(what, "index") == 0);
    if (report->found++ >= CV_VERIFY_ERRORS) {
        return;
    }
    item = &report->items[report->found - 1];
    item->what = what;
    item->seq = seq;
    item->offset = offset;
    if (seq != CV_REPORT_NOWHERE && offset != CV_REPORT_NOWHERE) {
        (void)snprintf(item->message, sizeof item->message,
                       "record %llu at byte %llu: %s", (unsigned long long)seq,
                       (unsigned long long)offset, why);
    } else {
        (void)snprintf(item->message, sizeof item->message, "%s", why);
    }
}

static bool add_item(cJSON *array, const struct cv_report_item *from)
{
    cJSON *item = cJSON_CreateObject();
    bool ok = cv_json_add_str(item, "what", from->what) &&
              (from->seq == CV_REPORT_NOWHERE ||
               cv_json_add_int(item, "seq", (int64_t)from->seq)) &&
              (from->offset == CV_REPORT_NOWHERE ||
               cv_json_add_int(item, "offset", (int64_t)from->offset)) &&
              cv_json_add_str(item, "message", from->message);

    if (!ok || !cJSON_AddItemToArray(array, item)) {
        cJSON_Delete(item);
        return false;
    }
    return true;
}

cJSON *cv_report_json(const struct cv_report *report)
{
    cJSON *array = cJSON_CreateArray();

    for (uint64_t i = 0; i < report->found && i < CV_VERIFY_ERRORS; i++) {
        if (array == NULL || !add_item(array, &report->items[i])) {
            cJSON_Delete(array);
            return NULL;
        }
    }
    return array;
}
