/* What a report says about a period: leaves are added, one object comes out.
 *
 *     uses            who did what with which entry, counted
 *     exports         each key that went out
 *     denials         who was refused what, counted
 *     break_glass     each permit by a rule for emergencies
 *     approvals       each approval and refusal of one
 *     changes         each change of policy, entries, slots, tokens
 *     events          what the log and the broker tell of themselves
 *     expiring        entries of now that end within 30 days, or have ended
 */
#ifndef CERTVAULT_CLI_REPORT_SUM_H
#define CERTVAULT_CLI_REPORT_SUM_H

#include "vault/base/buf.h"

#include <cjson/cJSON.h>

/* Items that one list keeps; what is beyond is counted in `omitted`. */
#define CV_REPORT_SUM_ITEMS 1000

struct cv_report_sum;

struct cv_report_sum *cv_report_sum_new(void);
void cv_report_sum_free(struct cv_report_sum *s);

/* CV_INVALID, CV_INTERNAL. */
CV_MUST_USE enum cv_status cv_report_sum_add(struct cv_report_sum *s,
                                             struct cv_bytes leaf,
                                             struct cv_err *err);

/* The entries of now, as AuditReport gives them. */
CV_MUST_USE enum cv_status cv_report_sum_entries(struct cv_report_sum *s,
                                                 const cJSON *entries,
                                                 int64_t now_s,
                                                 struct cv_err *err);

/* The object; the sum's. */
cJSON *cv_report_sum_get(struct cv_report_sum *s);

#endif
