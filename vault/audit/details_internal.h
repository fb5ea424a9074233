/* How details are spelt in a leaf. */
#ifndef CERTVAULT_AUDIT_DETAILS_INTERNAL_H
#define CERTVAULT_AUDIT_DETAILS_INTERNAL_H

#include "vault/audit/details.h"
#include "vault/audit/pen_internal.h"

/* Writes `details` (NULL: none), which cv_details_check took, keys in order.
 * A key that is there twice is wrong. */
void cv_details_write(struct cv_pen *pen, const cJSON *details);

#endif
