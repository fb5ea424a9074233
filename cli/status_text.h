/* The broker's numbers in Prometheus' text format, version 0.0.4
 * (prometheus.io/docs/instrumenting/exposition_formats). */
#ifndef CERTVAULT_CLI_STATUS_TEXT_H
#define CERTVAULT_CLI_STATUS_TEXT_H

#include "vault/base/json.h"

/* Appends `metrics`, as the method Metrics answers it. What is not there, or is
 * of another kind, is left out. */
void cv_status_text_add(const cJSON *metrics, struct cv_buf *out);

#endif
