#include "cli/cloud.h"

#include "cli/check.h"
#include "cli/config.h"
#include "cli/path.h"
#include "cli/prompt.h"
#include "cli/secret.h"
#include "vault/base/file.h"
#include "vault/base/limits.h"
#include "vault/base/utf8.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define PROFILE_LEN CV_KIB(64)
#define NAME_LEN 128
#define TOTP_LEN 6

extern char **environ;

static const char *const own_only[] = {
    "endpoint",     "iam-endpoint", "ca-file",    "profile",       "token-file",
    "iam-user",     "iam-user-id",  "iam-domain", "password-file", "mfa",
    "regions-file", "proxy",        "metadata",   "derived",       NULL,
};

static enum cv_status check_as_service(const struct cv_args *args,
                                       struct cv_err *err)
{
    for (size_t i = 0; own_only[i] != NULL; i++) {
        if (cv_args_has(args, own_only[i])) {
            return cv_fail(err, CV_USAGE,
                           "--%s does not go with --as-service: the service "
                           "has its own",
                           own_only[i]);
        }
    }
    return CV_OK;
}

static enum cv_status check_user(const struct cv_args *args, struct cv_err *err)
{
    bool user =
        cv_args_has(args, "iam-user") || cv_args_has(args, "iam-user-id");

    if (cv_args_has(args, "iam-user") && !cv_args_has(args, "iam-domain")) {
        return cv_fail(err, CV_USAGE, "--iam-user wants --iam-domain too");
    }
    if (user && cv_args_has(args, "token-file")) {
        return cv_fail(err, CV_USAGE,
                       "--token-file and --iam-user exclude each other");
    }
    if (!user &&
        (cv_args_has(args, "password-file") || cv_args_has(args, "mfa") ||
         cv_args_has(args, "iam-domain"))) {
        return cv_fail(err, CV_USAGE, "--iam-user is missing");
    }
    return CV_OK;
}

enum cv_status cv_cloud_check(const struct cv_args *args, struct cv_err *err)
{
    static const char *const urls[] = {"endpoint", "iam-endpoint", "proxy"};
    const char *api = cv_args_value(args, "api");
    enum cv_status s = cv_check_project(cv_args_value(args, "project-id"), err);

    if (s == CV_OK) {
        s = cv_check_region(cv_args_value(args, "region"), err);
    }
    for (size_t i = 0; i < 3 && s == CV_OK; i++) {
        s = cv_check_url(cv_args_value(args, urls[i]), urls[i], err);
    }
    if (s == CV_OK && api != NULL) {
        s = cv_check_word(api, "api", "v3|v3-get|autopilot", err);
    }
    if (s == CV_OK && cv_args_has(args, "as-service")) {
        s = check_as_service(args, err);
    }
    if (s == CV_OK) {
        s = cv_check_shown(cv_args_value(args, "iam-user"), "iam-user",
                           NAME_LEN, err);
    }
    if (s == CV_OK) {
        s = cv_check_shown(cv_args_value(args, "iam-domain"), "iam-domain",
                           NAME_LEN, err);
    }
    return s == CV_OK ? check_user(args, err) : s;
}

/* Adds the file's bytes as a text. The arena's buffer ends with a NUL. */
static enum cv_status add_file(struct cv_cli *cli, cJSON *cloud,
                               const char *key, const char *path, size_t limit,
                               struct cv_arena *arena, struct cv_err *err)
{
    struct cv_bytes bytes;
    enum cv_status s =
        cv_secret_read(cli, path, limit, path, arena, &bytes, err);

    if (s != CV_OK) {
        return s;
    }
    if (!cv_utf8_is_text(bytes)) {
        return cv_fail(err, CV_INVALID, "%s: not UTF-8 text", path);
    }
    if (!cv_json_add_str(cloud, key,
                         bytes.len > 0 ? (const char *)bytes.data : "")) {
        return cv_fail(err, CV_INTERNAL, "memory is gone");
    }
    return CV_OK;
}

/* Public files (CA, regions) take the same way, without the warning. */
static enum cv_status add_public(cJSON *cloud, const char *key,
                                 const char *path, size_t limit,
                                 struct cv_err *err)
{
    struct cv_buf b;
    int fd = -1;
    enum cv_status s = cv_path_open_input(path, &fd, err);

    if (s != CV_OK) {
        return s;
    }
    cv_buf_init(&b, NULL, limit);
    s = cv_file_read(fd, path, &b, err);
    cv_file_close(&fd);
    if (s == CV_OK && !cv_utf8_is_text(cv_buf_bytes(&b))) {
        s = cv_fail(err, CV_INVALID, "%s: not UTF-8 text", path);
    }
    if (s == CV_OK && !cv_json_add_str(cloud, key, cv_buf_text(&b))) {
        s = cv_fail(err, CV_INTERNAL, "memory is gone");
    }
    cv_buf_wipe(&b);
    return s;
}

/* A flag, else what the configuration says. */
static enum cv_status add_setting(struct cv_cli *cli, cJSON *cloud,
                                  const struct cv_args *args, const char *flag,
                                  const char *key, const char *setting,
                                  struct cv_err *err)
{
    const char *value = cv_args_value(args, flag);
    enum cv_status s = CV_OK;

    if (value == NULL && setting != NULL && !cv_args_has(args, "as-service")) {
        s = cv_config_text(cli, setting, &value, err);
    }
    if (s == CV_OK && !cv_json_add_str(cloud, key, value)) {
        s = cv_fail(err, CV_INTERNAL, "memory is gone");
    }
    return s;
}

static enum cv_status add_places(struct cv_cli *cli, cJSON *cloud,
                                 const struct cv_args *args, struct cv_err *err)
{
    static const struct {
        const char *flag, *key, *setting;
    } places[] = {
        {"endpoint", "endpoint", "cloud.endpoint"},
        {"iam-endpoint", "iam_endpoint", "cloud.iam_endpoint"},
        {"region", "region", NULL},
        {"project-id", "project_id", NULL},
        {"api", "api", NULL},
        {"proxy", "proxy", NULL},
    };
    enum cv_status s = CV_OK;

    for (size_t i = 0; i < sizeof(places) / sizeof(places[0]) && s == CV_OK;
         i++) {
        s = add_setting(cli, cloud, args, places[i].flag, places[i].key,
                        places[i].setting, err);
    }
    return s;
}

static bool is_for_cloud(const char *entry)
{
    return strncmp(entry, "HUAWEICLOUD_SDK_", 16) == 0 ||
           strncmp(entry, "CLOUD_SDK_AK=", 13) == 0 ||
           strncmp(entry, "CLOUD_SDK_SK=", 13) == 0;
}

static enum cv_status add_environment(cJSON *cloud, struct cv_err *err)
{
    cJSON *vars = cJSON_CreateObject();
    bool ok = vars != NULL;

    for (char **e = environ; ok && *e != NULL; e++) {
        const char *equal = strchr(*e, '=');
        char name[128];
        size_t len = equal ? (size_t)(equal - *e) : 0;

        if (!is_for_cloud(*e) || len == 0 || len >= sizeof(name) ||
            equal[1] == '\0') {
            continue;
        }
        memcpy(name, *e, len);
        name[len] = '\0';
        if (!cv_utf8_is_text((struct cv_bytes){(const uint8_t *)equal + 1,
                                               strlen(equal + 1)})) {
            cJSON_Delete(vars);
            return cv_fail(err, CV_INVALID, "%s: not UTF-8 text", name);
        }
        if (cJSON_GetObjectItemCaseSensitive(vars, name) == NULL) {
            ok = cv_json_add_str(vars, name, equal + 1);
        }
    }
    if (!ok) {
        cJSON_Delete(vars);
    }
    if (!ok || !cv_json_add_item(cloud, "environment", vars)) {
        return cv_fail(err, CV_INTERNAL, "memory is gone");
    }
    return CV_OK;
}

/* An OpenID Connect token lies in a file that only the caller can read; its
 * text goes along under the name that intake looks for. */
static enum cv_status add_id_token(struct cv_cli *cli, cJSON *cloud,
                                   struct cv_arena *arena, struct cv_err *err)
{
    const char *path = getenv("HUAWEICLOUD_SDK_ID_TOKEN_FILE");
    cJSON *vars = cJSON_GetObjectItemCaseSensitive(cloud, "environment");

    if (path == NULL || path[0] == '\0' ||
        cJSON_GetObjectItemCaseSensitive(vars, "HUAWEICLOUD_SDK_IDP_ID") ==
            NULL) {
        return CV_OK;
    }
    cJSON_DeleteItemFromObjectCaseSensitive(vars, "HUAWEICLOUD_SDK_ID_TOKEN");
    return add_file(cli, vars, "HUAWEICLOUD_SDK_ID_TOKEN", path,
                    CV_LIMIT_TOKEN_FILE, arena, err);
}

/* A file that the flag names must be there; one in its usual place may be. */
static const char *usual_file(const char *named, const char *variable,
                              const char *home, char *room, size_t room_len)
{
    const char *value = getenv(variable);

    if (named != NULL) {
        return named;
    }
    if (value != NULL && value[0] != '\0') {
        return value;
    }
    return cv_path_home(home, room, room_len) && access(room, F_OK) == 0 ? room
                                                                         : NULL;
}

static enum cv_status add_files(struct cv_cli *cli, cJSON *cloud,
                                const struct cv_args *args,
                                struct cv_arena *arena, struct cv_err *err)
{
    const char *profile = cv_args_value(args, "profile");
    const char *ca = cv_args_value(args, "ca-file");
    const char *token = cv_args_value(args, "token-file");
    const char *regions = cv_args_value(args, "regions-file");
    char room[PATH_MAX];
    enum cv_status s = CV_OK;

    if (profile == NULL) {
        s = cv_config_text(cli, "cloud.profile", &profile, err);
    }
    if (s == CV_OK && ca == NULL) {
        s = cv_config_text(cli, "cloud.ca_file", &ca, err);
    }
    profile = usual_file(profile, "HUAWEICLOUD_SDK_CREDENTIALS_FILE",
                         ".huaweicloud/credentials", room, sizeof(room));
    if (s == CV_OK && profile != NULL) {
        s = add_file(cli, cloud, "profile", profile, PROFILE_LEN, arena, err);
    }
    if (s == CV_OK && token != NULL) {
        s = add_file(cli, cloud, "token", token, CV_LIMIT_TOKEN_FILE, arena,
                     err);
    }
    if (s == CV_OK && ca != NULL) {
        s = add_public(cloud, "ca_pem", ca, CV_LIMIT_PEM, err);
    }
    regions = usual_file(regions, "HUAWEICLOUD_SDK_REGIONS_FILE",
                         ".huaweicloud/regions.yaml", room, sizeof(room));
    if (s == CV_OK && regions != NULL) {
        s = add_public(cloud, "regions", regions, CV_LIMIT_PEM, err);
    }
    return s;
}

/* The configuration's own regions, where no file names any; JSON is YAML. */
static enum cv_status add_regions(struct cv_cli *cli, cJSON *cloud,
                                  struct cv_err *err)
{
    const cJSON *tree, *list;
    cJSON *map;
    struct cv_buf text;
    enum cv_status s = cv_config_load(cli, &tree, err);

    list = cJSON_GetObjectItemCaseSensitive(tree, "regions");
    if (s != CV_OK || list == NULL || list->child == NULL ||
        cJSON_GetObjectItemCaseSensitive(cloud, "regions") != NULL) {
        return s;
    }
    cv_buf_init(&text, NULL, CV_LIMIT_PEM);
    map = cJSON_CreateObject();
    if (!cv_json_add_item(map, "CCE", cJSON_Duplicate(list, true))) {
        s = cv_fail(err, CV_INTERNAL, "memory is gone");
    }
    cv_json_write(map, CV_JSON_COMPACT, &text);
    if (s == CV_OK) {
        s = cv_buf_status(&text, "the regions", err);
    }
    if (s == CV_OK && !cv_json_add_str(cloud, "regions", cv_buf_text(&text))) {
        s = cv_fail(err, CV_INTERNAL, "memory is gone");
    }
    cv_buf_wipe(&text);
    cJSON_Delete(map);
    return s;
}

/* A secret in an arena as a C string that JSON may hold. */
static const char *as_text(struct cv_arena *arena, struct cv_bytes b,
                           const char *what, struct cv_err *err)
{
    if (!cv_utf8_is_text(b)) {
        (void)cv_fail(err, CV_INVALID, "%s: not UTF-8 text", what);
        return NULL;
    }
    return cv_arena_copy(arena, b.data, b.len, err);
}

static enum cv_status ask_totp(struct cv_cli *cli, cJSON *user,
                               struct cv_arena *arena, struct cv_err *err)
{
    struct cv_bytes code;
    const char *text;
    enum cv_status s =
        cv_prompt_secret(cli, "Six-digit code: ", arena, &code, err);

    if (s != CV_OK) {
        return s;
    }
    text = as_text(arena, code, "the code", err);
    if (text == NULL || strlen(text) != TOTP_LEN ||
        strspn(text, "0123456789") != TOTP_LEN) {
        return cv_fail(err, CV_INVALID, "the code is not six digits");
    }
    return cv_json_add_str(user, "totp", text)
               ? CV_OK
               : cv_fail(err, CV_INTERNAL, "memory is gone");
}

static enum cv_status add_user(struct cv_cli *cli, cJSON *cloud,
                               const struct cv_args *args,
                               struct cv_arena *arena, struct cv_err *err)
{
    const char *file = cv_args_value(args, "password-file");
    cJSON *user = cJSON_CreateObject();
    struct cv_bytes password;
    const char *text = NULL;
    enum cv_status s =
        file != NULL
            ? cv_secret_line(cli, file, CV_LIMIT_PASSPHRASE,
                             "the password file", arena, &password, err)
            : cv_prompt_secret(cli, "IAM password: ", arena, &password, err);

    if (s == CV_OK) {
        text = as_text(arena, password, "the password", err);
        s = text != NULL ? CV_OK : CV_INVALID;
    } else if (s == CV_LOCKED) {
        cv_err_hint(err, "give it with --password-file FILE");
    }
    if (s == CV_OK &&
        (!cv_json_add_str(user, "name", cv_args_value(args, "iam-user")) ||
         !cv_json_add_str(user, "id", cv_args_value(args, "iam-user-id")) ||
         !cv_json_add_str(user, "domain", cv_args_value(args, "iam-domain")) ||
         !cv_json_add_str(user, "password", text))) {
        s = cv_fail(err, CV_INTERNAL, "memory is gone");
    }
    if (s == CV_OK && cv_args_has(args, "mfa")) {
        s = ask_totp(cli, user, arena, err);
    }
    if (s != CV_OK) {
        cJSON_Delete(user);
        return s;
    }
    return cv_json_add_item(cloud, "user", user)
               ? CV_OK
               : cv_fail(err, CV_INTERNAL, "memory is gone");
}

static enum cv_status add_own(struct cv_cli *cli, cJSON *cloud,
                              const struct cv_args *args,
                              struct cv_arena *arena, struct cv_err *err)
{
    enum cv_status s = add_environment(cloud, err);

    if (s == CV_OK) {
        s = add_id_token(cli, cloud, arena, err);
    }
    if (s == CV_OK) {
        s = add_files(cli, cloud, args, arena, err);
    }
    if (s == CV_OK) {
        s = add_regions(cli, cloud, err);
    }
    if (s == CV_OK &&
        (cv_args_has(args, "iam-user") || cv_args_has(args, "iam-user-id"))) {
        s = add_user(cli, cloud, args, arena, err);
    }
    if (s == CV_OK && ((cv_args_has(args, "metadata") &&
                        !cv_json_add_bool(cloud, "metadata", true)) ||
                       (cv_args_has(args, "derived") &&
                        !cv_json_add_bool(cloud, "derived", true)))) {
        s = cv_fail(err, CV_INTERNAL, "memory is gone");
    }
    return s;
}

enum cv_status cv_cloud_gather(struct cv_cli *cli, const struct cv_args *args,
                               struct cv_arena *arena, cJSON **out,
                               struct cv_err *err)
{
    const cJSON *tree;
    struct cv_arena *before;
    cJSON *cloud;
    enum cv_status s = cv_cloud_check(args, err);

    *out = NULL;
    /* The configuration is no secret and is read on the heap. */
    if (s == CV_OK) {
        s = cv_config_load(cli, &tree, err);
    }
    if (s != CV_OK) {
        return s;
    }
    before = cv_json_use(arena);
    cloud = cJSON_CreateObject();
    s = cloud != NULL ? add_places(cli, cloud, args, err)
                      : cv_fail(err, CV_INTERNAL, "memory is gone");
    if (s == CV_OK && !cv_args_has(args, "as-service")) {
        s = add_own(cli, cloud, args, arena, err);
    }
    (void)cv_json_use(before);
    *out = s == CV_OK ? cloud : NULL;
    return s;
}
