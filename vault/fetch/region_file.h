/* regions.yaml of the vendor's SDKs: a map from a service's name to a list of
 * {id, endpoint} or {id, endpoints: [...]}. */
#ifndef CERTVAULT_FETCH_REGION_FILE_H
#define CERTVAULT_FETCH_REGION_FILE_H

#include "vault/fetch/region_entry.h"

/* Finds the endpoints of `service` (case does not matter) in `region`; none:
 * the file says nothing about it.
 * CV_INVALID: not such a file; the text names the field. */
CV_MUST_USE enum cv_status
cv_region_file_find(const char *text, const char *service, const char *region,
                    struct cv_region_entry *out, struct cv_err *err);

#endif
