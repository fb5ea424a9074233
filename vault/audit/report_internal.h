/* What a verification found. */
#ifndef CERTVAULT_AUDIT_REPORT_INTERNAL_H
#define CERTVAULT_AUDIT_REPORT_INTERNAL_H

#include "vault/audit/tree.h"

#include <cjson/cJSON.h>

struct cv_report {
    cJSON *errors;  /* array */
    uint64_t found; /* errors, also those that are not in the array */
    bool memory;    /* it ran out */
    char first[160];
};

#define CV_REPORT_NOWHERE UINT64_MAX

/* False when memory is gone. */
bool cv_report_init(struct cv_report *report);
void cv_report_wipe(struct cv_report *report);

/* Adds an error: `what` is its kind, a word; seq and offset where it is
 * (CV_REPORT_NOWHERE: nowhere); `why` is ours. */
void cv_report_add(struct cv_report *report, const char *what, uint64_t seq,
                   uint64_t offset, const char *why);

#endif
