/* Who asks the cloud: credentials found in the caller's material.
 *
 * First found is taken: a token (--token-file), an IAM user, the environment
 * (HUAWEICLOUD_SDK_IDP_ID with an id token, else HUAWEICLOUD_SDK_AK and _SK,
 * else CLOUD_SDK_AK and _SK), the profile file (idp_id with an id token wins
 * there too), the instance's metadata where it may be asked. Empty texts are
 * unset. No file is opened here: the command line has read them. */
#ifndef CERTVAULT_FETCH_CREDENTIALS_H
#define CERTVAULT_FETCH_CREDENTIALS_H

#include "vault/fetch/cloud.h"

enum cv_credentials_kind {
    CV_CREDENTIALS_TOKEN,    /* X-Auth-Token, as given */
    CV_CREDENTIALS_USER,     /* IAM user: a token is asked for */
    CV_CREDENTIALS_KEYS,     /* AK/SK, temporary ones with security_token */
    CV_CREDENTIALS_ID_TOKEN, /* OpenID Connect: temporary keys are asked for */
    CV_CREDENTIALS_METADATA  /* the instance's temporary keys */
};

/* Texts are in the arena or borrowed from the Cloud; NULL: none. */
struct cv_credentials {
    enum cv_credentials_kind kind;
    const char *source; /* a literal, for messages: "the environment" */
    const char *ak;
    const char *sk;
    const char *security_token;
    const char *token;
    const struct cv_cloud_user *user;
    const char *idp_id;
    const char *id_token;
    const char *project_id;   /* the caller's, checked */
    const char *iam_endpoint; /* of the profile */
};

/* CV_USAGE: none, or half of a pair; CV_INVALID: a profile that cannot be read,
 * a key or token that holds what no header may. */
CV_MUST_USE enum cv_status cv_credentials_find(const struct cv_cloud *cloud,
                                               struct cv_arena *arena,
                                               struct cv_credentials *out,
                                               struct cv_err *err);

/* A project id: 32 lower-case hex digits. CV_USAGE. */
CV_MUST_USE enum cv_status cv_credentials_check_project(const char *id,
                                                        struct cv_err *err);

/* Is every byte of it printable ASCII without blanks, and is it not empty? */
bool cv_credentials_is_token(const char *text);

#endif
