/* One region of a list of them: {id, endpoint} or {id, endpoints: [...]}. */
#ifndef CERTVAULT_FETCH_REGION_ENTRY_H
#define CERTVAULT_FETCH_REGION_ENTRY_H

#include "vault/base/json.h"
#include "vault/base/limits.h"

#define CV_REGION_ENTRY_MAX 4

struct cv_region_entry {
    char url[CV_REGION_ENTRY_MAX][CV_LIMIT_HOST + 32];
    size_t n;
};

/* Reads the endpoints of `entry` into `out`, which is empty; nothing where its
 * id is not `region` (NULL: any). CV_INVALID. */
CV_MUST_USE enum cv_status cv_region_entry_read(const cJSON *entry,
                                                const char *region,
                                                struct cv_region_entry *out,
                                                struct cv_err *err);

#endif
