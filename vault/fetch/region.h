/* Regions and the endpoints of their services.
 *
 * Strongest first: what was typed or configured (Cloud.endpoint,
 * Cloud.iam_endpoint), the caller's variables
 * HUAWEICLOUD_SDK_REGION_<SERVICE>_<REGION> (and, for IAM,
 * HUAWEICLOUD_SDK_IAM_ENDPOINT before it and the profile's iam_endpoint after
 * it), the text of a regions.yaml, the table of the vendor's SDKs. A variable
 * or file may name several endpoints: they are tried in turn where a name
 * cannot be resolved or TLS fails. */
#ifndef CERTVAULT_FETCH_REGION_H
#define CERTVAULT_FETCH_REGION_H

#include "vault/fetch/cloud.h"
#include "vault/fetch/origin.h"

#define CV_REGION_ENDS 4 /* endpoints of one service that are tried */
#define CV_REGION_COUNT 33

enum cv_region_service { CV_REGION_CCE, CV_REGION_IAM };

struct cv_region_ends {
    struct cv_origin origin[CV_REGION_ENDS];
    size_t n; /* at least 1 on success */
};

/* The id of the `i`th region of the table; NULL behind the last. */
const char *cv_region_at(size_t i);

/* May this be a region's name ([A-Za-z0-9] then also - and _, 64 at most)?
 * CV_USAGE. That the table knows it is not asked: partners have their own. */
CV_MUST_USE enum cv_status cv_region_check(const char *region,
                                           struct cv_err *err);

/* The endpoints of `service`. Names out of the table or a regions.yaml have the
 * reach CV_ORIGIN_TABLE; what was typed, and any address, CV_ORIGIN_TYPED.
 * `region` may be NULL where the endpoint is typed; `profile_iam` is the
 * profile's iam_endpoint or NULL. CV_USAGE when nothing names one: an IAM
 * endpoint is never guessed beside a CCE endpoint that is another cloud's.
 * CV_INVALID: a regions.yaml that cannot be read. */
CV_MUST_USE enum cv_status
cv_region_find(enum cv_region_service service, const struct cv_cloud *cloud,
               const char *region, const char *profile_iam,
               struct cv_region_ends *out, struct cv_err *err);

#endif
