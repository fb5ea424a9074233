/* YAML (1.1 and 1.2 read it alike) of a JSON tree, in block style.
 *
 * A string stands plain only where no reader could take it for anything else;
 * all others are double-quoted, ASCII, with JSON's escapes (and \U beyond the
 * BMP). Numbers, booleans and null are written as in JSON. */
#ifndef CERTVAULT_CLI_OUTPUT_YAML_H
#define CERTVAULT_CLI_OUTPUT_YAML_H

#include "vault/base/json.h"

/* Appends `value` as a document that ends with a line feed. Failures stick to
 * `out`, which may lie in an arena: no other copy is made. Depth over
 * CV_LIMIT_JSON_DEPTH sticks as CV_INVALID. */
void cv_output_yaml(const cJSON *value, struct cv_buf *out);

#endif
