/* What `audit verify` reports, for the tests of it. */
#ifndef CERTVAULT_TESTS_AUDIT_REPORT_H
#define CERTVAULT_TESTS_AUDIT_REPORT_H

#include "audit_test.h"

#include "vault/audit/verify.h"

const cJSON *audit_report_at(const cJSON *o, const char *key);
const char *audit_report_text(const cJSON *o, const char *key);

/* Runs it; the report must agree with the status. The caller frees it. */
cJSON *audit_report_run(const struct audit_vault *v,
                        const struct cv_verify_options *options,
                        enum cv_status want);

/* It fails, and one of the errors is of this kind. */
void audit_report_finds(const struct audit_vault *v, const char *what);

#endif
