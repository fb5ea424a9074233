#include "vault/fetch/credentials.h"

#include "vault/fetch/profile.h"

#include <string.h>

#define SDK "HUAWEICLOUD_SDK_"

bool cv_credentials_is_token(const char *text)
{
    for (const char *p = text; *p != '\0'; p++) {
        if (*p <= ' ' || *p >= 0x7f) {
            return false;
        }
    }
    return *text != '\0';
}

enum cv_status cv_credentials_check_project(const char *id, struct cv_err *err)
{
    if (strlen(id) != 32 || strspn(id, "0123456789abcdef") != 32) {
        enum cv_status s = cv_fail(
            err, CV_USAGE, "the project id is not 32 lower-case hex digits");

        cv_err_hint(err, "the console shows it under My Credentials; leave it "
                         "out to have it looked up by region");
        return s;
    }
    return CV_OK;
}

/* A token file is read whole; what stands around the token goes. */
static const char *strip(const char *text, struct cv_arena *arena,
                         struct cv_err *err)
{
    static const char blanks[] = " \t\r\n";
    size_t len;

    text += strspn(text, blanks);
    len = strlen(text);
    while (len > 0 && strchr(blanks, text[len - 1]) != NULL) {
        len--;
    }
    return cv_arena_copy(arena, text, len, err);
}

static enum cv_status take_token(const char *text, const char *what,
                                 struct cv_arena *arena, const char **out,
                                 struct cv_err *err)
{
    *out = strip(text, arena, err);
    if (*out == NULL) {
        return err != NULL ? err->status : CV_INTERNAL;
    }
    if (!cv_credentials_is_token(*out)) {
        return cv_fail(err, CV_INVALID,
                       "%s is empty, or holds a blank or a control character",
                       what);
    }
    return CV_OK;
}

static enum cv_status check_pair(const struct cv_credentials *c,
                                 struct cv_err *err)
{
    if (c->ak == NULL || c->sk == NULL) {
        return cv_fail(err, CV_USAGE, "%s holds only half of an access key",
                       c->source);
    }
    if (!cv_credentials_is_token(c->ak) || !cv_credentials_is_token(c->sk) ||
        strlen(c->ak) > 128 || strlen(c->sk) > 256 ||
        (c->security_token != NULL &&
         !cv_credentials_is_token(c->security_token))) {
        return cv_fail(err, CV_INVALID,
                       "the access key of %s is too long, or holds a blank or "
                       "a control character",
                       c->source);
    }
    return CV_OK;
}

/* An identity provider is named: then its token must be there. */
static enum cv_status take_id_token(struct cv_credentials *c,
                                    const struct cv_cloud *cloud,
                                    struct cv_arena *arena, struct cv_err *err)
{
    const char *text = cv_cloud_env(cloud, SDK "ID_TOKEN");

    c->kind = CV_CREDENTIALS_ID_TOKEN;
    if (text == NULL) {
        enum cv_status s = cv_fail(err, CV_USAGE,
                                   "%s names an identity provider, but its id "
                                   "token was not read",
                                   c->source);

        cv_err_hint(err, "check the id token file, or unset idp_id and "
                         "id_token_file to use AK/SK");
        return s;
    }
    return take_token(text, "the id token", arena, &c->id_token, err);
}

/* *found stays false where the environment has none. */
static enum cv_status from_environment(struct cv_credentials *c,
                                       const struct cv_cloud *cloud,
                                       struct cv_arena *arena, bool *found,
                                       struct cv_err *err)
{
    const char *idp = cv_cloud_env(cloud, SDK "IDP_ID");

    c->source = "the environment";
    if (idp != NULL && (cv_cloud_env(cloud, SDK "ID_TOKEN_FILE") != NULL ||
                        cv_cloud_env(cloud, SDK "ID_TOKEN") != NULL)) {
        *found = true;
        c->idp_id = idp;
        return take_id_token(c, cloud, arena, err);
    }
    c->kind = CV_CREDENTIALS_KEYS;
    c->ak = cv_cloud_env(cloud, SDK "AK");
    c->sk = cv_cloud_env(cloud, SDK "SK");
    c->security_token = cv_cloud_env(cloud, SDK "SECURITY_TOKEN");
    if (c->ak == NULL && c->sk == NULL) {
        c->ak = cv_cloud_env(cloud, "CLOUD_SDK_AK");
        c->sk = cv_cloud_env(cloud, "CLOUD_SDK_SK");
        c->security_token = NULL;
    }
    if (c->ak == NULL && c->sk == NULL) {
        return CV_OK;
    }
    *found = true;
    return check_pair(c, err);
}

static enum cv_status from_profile(struct cv_credentials *c,
                                   const struct cv_profile *p,
                                   const struct cv_cloud *cloud,
                                   struct cv_arena *arena, bool *found,
                                   struct cv_err *err)
{
    c->source = "the profile file";
    if (p->idp_id != NULL && p->id_token_file != NULL) {
        *found = true;
        c->idp_id = p->idp_id;
        return take_id_token(c, cloud, arena, err);
    }
    if (p->ak == NULL && p->sk == NULL) {
        return CV_OK;
    }
    *found = true;
    c->kind = CV_CREDENTIALS_KEYS;
    c->ak = p->ak;
    c->sk = p->sk;
    c->security_token = p->security_token;
    return check_pair(c, err);
}

static enum cv_status none_found(const struct cv_cloud *cloud,
                                 struct cv_credentials *c, struct cv_err *err)
{
    enum cv_status s;

    if (cloud->metadata) {
        c->kind = CV_CREDENTIALS_METADATA;
        c->source = "the instance metadata";
        return CV_OK;
    }
    s = cv_fail(err, CV_USAGE, "no cloud credentials were found");
    cv_err_hint(err, "set HUAWEICLOUD_SDK_AK and HUAWEICLOUD_SDK_SK, write "
                     "~/.huaweicloud/credentials, or give --token-file");
    return s;
}

/* The project that goes with the credentials; --project-id is stronger. */
static enum cv_status take_project(struct cv_credentials *c,
                                   const struct cv_cloud *cloud,
                                   const struct cv_profile *p,
                                   bool used_profile, struct cv_err *err)
{
    const char *variable = cv_cloud_env(cloud, SDK "PROJECT_ID");

    c->project_id = cloud->project_id;
    if (c->project_id == NULL && used_profile) {
        c->project_id = p->project_id;
    }
    if (c->project_id == NULL) {
        c->project_id = variable;
    }
    return c->project_id == NULL
               ? CV_OK
               : cv_credentials_check_project(c->project_id, err);
}

enum cv_status cv_credentials_find(const struct cv_cloud *cloud,
                                   struct cv_arena *arena,
                                   struct cv_credentials *out,
                                   struct cv_err *err)
{
    struct cv_profile profile = {0};
    bool found = false, used_profile = false;
    enum cv_status s = CV_OK;

    memset(out, 0, sizeof(*out));
    if (cloud->token != NULL) {
        out->kind = CV_CREDENTIALS_TOKEN;
        out->source = "the token file";
        found = true;
        s = take_token(cloud->token, "the token", arena, &out->token, err);
    } else if (cloud->user.password != NULL) {
        out->kind = CV_CREDENTIALS_USER;
        out->source = "the IAM user";
        out->user = &cloud->user;
        found = true;
    } else {
        s = from_environment(out, cloud, arena, &found, err);
    }
    if (s == CV_OK && !found && cloud->profile != NULL) {
        s = cv_profile_read(cloud->profile, arena, &profile, err);
        if (s == CV_OK) {
            s = from_profile(out, &profile, cloud, arena, &found, err);
            out->iam_endpoint = profile.iam_endpoint;
            used_profile = found;
        }
    }
    if (s == CV_OK && !found) {
        s = none_found(cloud, out, err);
    }
    if (s == CV_OK) {
        s = take_project(out, cloud, &profile, used_profile, err);
    }
    return s;
}
