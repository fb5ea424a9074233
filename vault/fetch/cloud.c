#include "vault/fetch/cloud.h"

#include "vault/base/limits.h"

#include <string.h>

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

static void unset_empty(const char **text)
{
    if (*text != NULL && **text == '\0') {
        *text = NULL;
    }
}

static enum cv_status read_user(const cJSON *object, struct cv_cloud_user *u,
                                struct cv_err *err)
{
    const struct cv_json_field fields[] = {
        {"name", CV_JSON_STRING, false, &u->name, 256},
        {"id", CV_JSON_STRING, false, &u->id, 64},
        {"domain", CV_JSON_STRING, false, &u->domain, 256},
        {"password", CV_JSON_STRING, true, &u->password, CV_LIMIT_PASSPHRASE},
        {"totp", CV_JSON_STRING, false, &u->totp, 16},
    };
    enum cv_status s = cv_json_read(object, "the cloud user", fields,
                                    COUNT(fields), true, err);

    if (s != CV_OK) {
        return s;
    }
    unset_empty(&u->name);
    unset_empty(&u->id);
    unset_empty(&u->domain);
    unset_empty(&u->password);
    unset_empty(&u->totp);
    if (u->password == NULL || (u->id == NULL && u->name == NULL) ||
        (u->id == NULL && u->domain == NULL)) {
        return cv_fail(err, CV_USAGE,
                       "an IAM user needs a password and an id, or a name and "
                       "its account");
    }
    if (u->totp != NULL &&
        (strlen(u->totp) != 6 || strspn(u->totp, "0123456789") != 6)) {
        return cv_fail(err, CV_USAGE, "a one-time passcode has six digits");
    }
    return CV_OK;
}

static enum cv_status check_environment(const cJSON *object, struct cv_err *err)
{
    const cJSON *item;

    cJSON_ArrayForEach(item, object)
    {
        if (!cJSON_IsString(item) ||
            strlen(item->valuestring) > CV_LIMIT_TOKEN_FILE) {
            return cv_fail(err, CV_USAGE,
                           "an environment variable is no text, or too long");
        }
    }
    return CV_OK;
}

/* The text of a file: it may hold what a line of text may not (CR LF). */
struct file {
    const char *key;
    const cJSON *item;
    size_t max;
    const char **out;
};

static enum cv_status take_file(const struct file *f, struct cv_err *err)
{
    if (f->item == NULL) {
        return CV_OK;
    }
    if (!cJSON_IsString(f->item) || strlen(f->item->valuestring) > f->max) {
        return cv_fail(err, CV_USAGE, "cloud: %s is no text, or too long",
                       f->key);
    }
    *f->out = f->item->valuestring;
    return CV_OK;
}

enum cv_status cv_cloud_read(const cJSON *object, struct cv_cloud *c,
                             struct cv_err *err)
{
    struct file files[] = {{"ca_pem", NULL, CV_LIMIT_PEM, &c->ca_pem},
                           {"profile", NULL, CV_LIMIT_TOKEN_FILE, &c->profile},
                           {"token", NULL, CV_LIMIT_TOKEN_FILE, &c->token},
                           {"regions", NULL, CV_LIMIT_YAML_FILE, &c->regions}};
    const cJSON *user = NULL;
    const struct cv_json_field fields[] = {
        {"endpoint", CV_JSON_STRING, false, &c->endpoint, 0},
        {"iam_endpoint", CV_JSON_STRING, false, &c->iam_endpoint, 0},
        {"ca_pem", CV_JSON_ANY, false, &files[0].item, 0},
        {"region", CV_JSON_STRING, false, &c->region, 64},
        {"project_id", CV_JSON_STRING, false, &c->project_id, CV_KIB(64)},
        {"api", CV_JSON_STRING, false, &c->api, 16},
        {"proxy", CV_JSON_STRING, false, &c->proxy, 0},
        {"environment", CV_JSON_OBJECT, false, &c->environment, 0},
        {"profile", CV_JSON_ANY, false, &files[1].item, 0},
        {"token", CV_JSON_ANY, false, &files[2].item, 0},
        {"user", CV_JSON_OBJECT, false, &user, 0},
        {"regions", CV_JSON_ANY, false, &files[3].item, 0},
        {"metadata", CV_JSON_BOOL, false, &c->metadata, 0},
        {"derived", CV_JSON_BOOL, false, &c->derived, 0},
    };
    const char **texts[] = {
        &c->endpoint, &c->iam_endpoint, &c->ca_pem,  &c->region, &c->project_id,
        &c->api,      &c->proxy,        &c->profile, &c->token,  &c->regions};
    enum cv_status s;

    memset(c, 0, sizeof(*c));
    s = cv_json_read(object, "cloud", fields, COUNT(fields), true, err);
    for (size_t i = 0; s == CV_OK && i < COUNT(files); i++) {
        s = take_file(&files[i], err);
    }
    for (size_t i = 0; s == CV_OK && i < COUNT(texts); i++) {
        unset_empty(texts[i]);
    }
    if (s == CV_OK && c->environment != NULL) {
        s = check_environment(c->environment, err);
    }
    if (s == CV_OK && user != NULL) {
        s = read_user(user, &c->user, err);
    }
    if (s != CV_OK && err != NULL) {
        err->status = CV_USAGE;
    }
    return s != CV_OK ? CV_USAGE : CV_OK;
}

const char *cv_cloud_env(const struct cv_cloud *cloud, const char *name)
{
    const cJSON *item =
        cJSON_GetObjectItemCaseSensitive(cloud->environment, name);

    if (!cJSON_IsString(item) || item->valuestring[0] == '\0') {
        return NULL;
    }
    return item->valuestring;
}
