/* A policy file, tidied: one order of keys, one indentation, short lists and
 * mappings on one line. What it says and every comment stay. */
#ifndef CERTVAULT_POLICY_FORMAT_H
#define CERTVAULT_POLICY_FORMAT_H

#include "vault/base/buf.h"

/* Appends `text`, a policy that cv_policy_parse took, to `out`. Comments stay
 * before what they were before, and behind what they were behind. What comes
 * out is read again: it holds the same, or CV_INTERNAL is returned. A policy in
 * JSON stays JSON. Formatting twice changes nothing more. CV_INVALID: it is not
 * YAML. CV_INTERNAL: memory. */
CV_MUST_USE enum cv_status
cv_format_policy(struct cv_bytes text, struct cv_buf *out, struct cv_err *err);

#endif
