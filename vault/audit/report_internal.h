/* What a verification found. */
#ifndef CERTVAULT_AUDIT_REPORT_INTERNAL_H
#define CERTVAULT_AUDIT_REPORT_INTERNAL_H

#include "vault/audit/tree.h"

#include <cjson/cJSON.h>

#define CV_REPORT_MESSAGE 200

struct cv_report_item {
    const char *what; /* a literal */
    uint64_t seq;
    uint64_t offset;
    char message[CV_REPORT_MESSAGE];
};

/* Plain values, so that whichever thread finds something may add it; one at a
 * time. */
struct cv_report {
    struct cv_report_item *items; /* the first CV_VERIFY_ERRORS */
    uint64_t found;               /* also those that are not in the array */
    bool derived;                 /* all of them are about what is derived */
};

#define CV_REPORT_NOWHERE UINT64_MAX

/* False when memory is gone. */
bool cv_report_init(struct cv_report *report);
void cv_report_wipe(struct cv_report *report);

/* Adds an item: `what` is its kind, a literal; seq and offset where it is
 * (CV_REPORT_NOWHERE: nowhere); `why` is ours. */
void cv_report_add(struct cv_report *report, const char *what, uint64_t seq,
                   uint64_t offset, const char *why);

/* The items as an array; NULL when memory is gone. */
cJSON *cv_report_json(const struct cv_report *report);

#endif
