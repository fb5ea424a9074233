/* regions.yaml of the vendor's SDKs: a map from a service's name to a list of
 * {id, endpoint} or {id, endpoints: [...]}. */
#ifndef CERTVAULT_FETCH_REGION_FILE_H
#define CERTVAULT_FETCH_REGION_FILE_H

#include "vault/base/err.h"
#include "vault/base/limits.h"

#define CV_REGION_FILE_MAX 4

struct cv_region_file_list {
    char url[CV_REGION_FILE_MAX][CV_LIMIT_HOST + 32];
    size_t n; /* 0: the file says nothing about it */
};

/* Finds the endpoints of `service` (case does not matter) in `region`.
 * CV_INVALID: not such a file; the text names the field. */
CV_MUST_USE enum cv_status
cv_region_file_find(const char *text, const char *service, const char *region,
                    struct cv_region_file_list *out, struct cv_err *err);

#endif
