/* Where and as whom a cloud is asked: type Cloud of io.certvault.Broker, read.
 *
 * Everything in it is what the caller has (typed, environment, files), unread;
 * an empty text counts as not given. All texts are borrowed from the message
 * and are secret where their name says so. */
#ifndef CERTVAULT_FETCH_CLOUD_H
#define CERTVAULT_FETCH_CLOUD_H

#include "vault/base/json.h"

#include <stdbool.h>

struct cv_cloud_user {
    const char *name;
    const char *id;
    const char *domain; /* the account's name */
    const char *password;
    const char *totp; /* six digits; NULL: no MFA */
};

struct cv_cloud {
    const char *endpoint; /* typed or configured; NULL: by region */
    const char *iam_endpoint;
    const char *ca_pem; /* NULL: the system's roots */
    const char *region;
    const char *project_id;
    const char *api;           /* "v3", "v3-get", "autopilot"; NULL: v3 */
    const char *proxy;         /* NULL: none */
    const cJSON *environment;  /* names and texts; see cv_cloud_env */
    const char *profile;       /* text of a credentials file */
    const char *token;         /* X-Auth-Token */
    struct cv_cloud_user user; /* password NULL: none */
    const char *regions;       /* text of a regions.yaml */
    bool metadata;             /* instance metadata may be asked */
    bool derived;              /* V11-HMAC-SHA256 where the host allows it */
};

/* Reads `object`; *out borrows from it. CV_USAGE where a member has the wrong
 * type or is not known, or a user lacks what a user needs. */
CV_MUST_USE enum cv_status
cv_cloud_read(const cJSON *object, struct cv_cloud *out, struct cv_err *err);

/* The caller's environment variable `name`; NULL where unset or empty. */
const char *cv_cloud_env(const struct cv_cloud *cloud, const char *name);

#endif
