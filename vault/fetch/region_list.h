/* Endpoints as they are written one behind another: "https://a, https://b". */
#ifndef CERTVAULT_FETCH_REGION_LIST_H
#define CERTVAULT_FETCH_REGION_LIST_H

#include "vault/fetch/region.h"

/* Adds those of `list`, parted by commas, to `out`; none is fine. `what` names
 * it in errors. CV_USAGE. */
CV_MUST_USE enum cv_status cv_region_list_add(struct cv_region_ends *out,
                                              const char *list,
                                              enum cv_origin_reach reach,
                                              const char *what,
                                              struct cv_err *err);

#endif
