/* A report as text that can be mailed: at most 80 columns, no colour, nothing
 * that a terminal would act on. */
#ifndef CERTVAULT_CLI_REPORT_TEXT_H
#define CERTVAULT_CLI_REPORT_TEXT_H

#include "vault/base/buf.h"

#include <cjson/cJSON.h>

/* `report` is the document that -o json prints. */
void cv_report_text(const cJSON *report, struct cv_buf *out);

#endif
