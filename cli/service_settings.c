#include "cli/service_settings.h"

#include "cli/broker_config.h"
#include "vault/base/file.h"
#include "vault/base/json.h"
#include "vault/base/limits.h"
#include "vault/base/name.h"
#include "vault/base/sandbox.h"
#include "vault/base/utf8.h"
#include "vault/broker/settings.h"
#include "vault/wire/serve.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* It answers once. */
#define ANSWER_MS 10000

#define PROFILE_LEN CV_KIB(64)

static enum cv_status no_memory(struct cv_err *err)
{
    return cv_fail(err, CV_INTERNAL, "memory is gone");
}

/* ---- files ---- */

static enum cv_status read_path(const char *path, size_t limit,
                                struct cv_arena *arena, struct cv_buf *out,
                                struct cv_err *err)
{
    int fd;
    enum cv_status s = cv_file_open_input(path, &fd, err);

    cv_buf_init(out, arena, limit);
    if (s == CV_OK) {
        s = cv_file_read(fd, path, out, err);
        cv_file_close(&fd);
    }
    return s;
}

/* systemd's: the folder is this service's alone, and in memory. */
static enum cv_status credential_path(const char *name, char out[PATH_MAX],
                                      struct cv_err *err)
{
    const char *folder = getenv("CREDENTIALS_DIRECTORY");
    enum cv_status s = cv_name_check(name, err);
    int n;

    if (s != CV_OK || strchr(name, '/') != NULL) {
        return cv_fail(err, CV_CONFIG, "this is no name of a credential");
    }
    if (folder == NULL) {
        s = cv_fail(err, CV_CONFIG, "systemd gave this process no credentials");
        cv_err_hint(err, "LoadCredentialEncrypted=%s:FILE in its unit", name);
        return s;
    }
    n = snprintf(out, PATH_MAX, "%s/%s", folder, name);
    return n > 0 && n < PATH_MAX
               ? CV_OK
               : cv_fail(err, CV_CONFIG, "the credential's path is too long");
}

/* "credential:NAME", "file:PATH", or (`plain`) a path. */
static enum cv_status read_source(const char *source, bool plain, size_t limit,
                                  struct cv_arena *arena, struct cv_buf *out,
                                  struct cv_err *err)
{
    char path[PATH_MAX];
    enum cv_status s;

    cv_buf_init(out, arena, limit);
    if (strncmp(source, "credential:", 11) == 0) {
        s = credential_path(source + 11, path, err);
        return s == CV_OK ? read_path(path, limit, arena, out, err) : s;
    }
    if (strncmp(source, "file:", 5) == 0) {
        source += 5;
    } else if (!plain) {
        return cv_fail(err, CV_CONFIG,
                       "a service takes a PIN from credential:NAME or "
                       "file:PATH alone");
    }
    if (source[0] != '/') {
        return cv_fail(err, CV_CONFIG,
                       "a service reads files by absolute paths alone");
    }
    return read_path(source, limit, arena, out, err);
}

/* One line, its end left out. */
static void cut_line(struct cv_buf *b)
{
    if (b->len > 0 && b->data[b->len - 1] == '\n') {
        b->len--;
    }
}

/* ---- Read ---- */

static enum cv_status add_relay(cJSON *out, const struct cv_broker_relay *relay,
                                struct cv_err *err)
{
    cJSON *o = cJSON_AddObjectToObject(out, "relay");

    return cv_json_add_int(o, "port", relay->port) &&
                   cv_json_add_int(o, "idle_s", relay->idle_s) &&
                   cv_json_add_int(o, "pool", relay->pool)
               ? CV_OK
               : no_memory(err);
}

static enum cv_status add_pins(cJSON *out, const cJSON *tree,
                               struct cv_err *err)
{
    cJSON *list = cJSON_AddArrayToObject(out, "pins");
    const cJSON *item;

    cJSON_ArrayForEach(item, cJSON_GetObjectItemCaseSensitive(tree, "pin"))
    {
        if (!cJSON_AddItemToArray(list, cJSON_CreateString(item->string))) {
            return no_memory(err);
        }
    }
    return CV_OK;
}

/* What `path` ("policy.signers") leads to; NULL: nothing. */
static const cJSON *at(const cJSON *tree, const char *path)
{
    const char *dot = strchr(path, '.');
    char first[32];

    if (dot == NULL) {
        return cJSON_GetObjectItemCaseSensitive(tree, path);
    }
    (void)snprintf(first, sizeof(first), "%.*s", (int)(dot - path), path);
    return cJSON_GetObjectItemCaseSensitive(
        cJSON_GetObjectItemCaseSensitive(tree, first), dot + 1);
}

/* What is read at the start alone, because it is handed to what was forked
 * then, or must not change under those who rely on it: those keys that are
 * others now. */
static enum cv_status add_restart(cJSON *out, const cJSON *before,
                                  const cJSON *now, struct cv_err *err)
{
    static const char *const keys[] = {"vault",          "socket",
                                       "policy.signers", "audit.sinks",
                                       "audit.anchors",  "notify"};
    cJSON *list = cJSON_AddArrayToObject(out, "restart");
    bool ok = list != NULL;

    for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++) {
        const cJSON *a = at(before, keys[i]), *b = at(now, keys[i]);

        if ((a != NULL || b != NULL) && !cJSON_Compare(a, b, true)) {
            ok = ok && cJSON_AddItemToArray(list, cJSON_CreateString(keys[i]));
        }
    }
    return ok ? CV_OK : no_memory(err);
}

static enum cv_status read_settings(void *context, const cJSON *parameters,
                                    struct cv_reply *reply, struct cv_err *err)
{
    const struct cv_service_settings *o = context;
    cJSON *out = cv_reply_parameters(reply);
    struct cv_spawner_options programs = {.modules = NULL};
    struct cv_broker_relay relay = {0, 0, 0};
    struct cv_arena *before = cv_json_use(NULL);
    cJSON *tree = NULL;
    enum cv_status s =
        cv_broker_config_load(o->config, true, &programs, &relay, err);

    (void)parameters;
    if (s == CV_OK) {
        s = cv_broker_config_tree(o->config, &tree, err);
    }
    (void)cv_json_use(before);
    if (s == CV_OK) {
        s = add_relay(out, &relay, err);
    }
    if (s == CV_OK) {
        s = add_pins(out, tree, err);
    }
    if (s == CV_OK) {
        s = add_restart(out, o->started, tree, err);
    }
    cJSON_Delete(tree);
    cv_broker_config_free(&programs);
    return s;
}

/* ---- Key, Pin ---- */

static enum cv_status key(void *context, const cJSON *parameters,
                          struct cv_reply *reply, struct cv_err *err)
{
    const struct cv_service_settings *o = context;
    cJSON *out = cv_reply_parameters(reply);
    char path[PATH_MAX];
    const char *from = o->key_file != NULL ? o->key_file : o->passphrase_file;
    struct cv_arena *arena = NULL;
    struct cv_buf secret;
    enum cv_status s = cv_arena_new(CV_KIB(64), &arena, err);

    (void)parameters;
    if (s == CV_OK && o->key_credential != NULL) {
        s = credential_path(o->key_credential, path, err);
        from = path;
    }
    if (s == CV_OK) {
        s = from != NULL
                ? read_path(from, CV_LIMIT_KEY_FILE, arena, &secret, err)
                : cv_fail(err, CV_LOCKED, "the service has no key");
    }
    if (s == CV_OK && o->passphrase_file != NULL) {
        cut_line(&secret);
    }
    if (s == CV_OK &&
        (!cv_json_add_str(out, "kind",
                          o->key_credential != NULL ? "credential"
                          : o->key_file != NULL     ? "file"
                                                    : "passphrase") ||
         !cv_json_add_str(out, "name", o->key_credential) ||
         !cv_json_add_base64(out, "secret", cv_buf_bytes(&secret)))) {
        s = no_memory(err);
    }
    cv_arena_free(arena);
    return s;
}

/* What `path` ("cloud.profile", or "pin" and the URI) says, as text. */
static const char *setting(const cJSON *tree, const char *object,
                           const char *name)
{
    return cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(
        cJSON_GetObjectItemCaseSensitive(tree, object), name));
}

/* The configuration is no secret and is read on the heap. */
static enum cv_status load(const struct cv_service_settings *o, cJSON **tree,
                           struct cv_err *err)
{
    struct cv_arena *before = cv_json_use(NULL);
    enum cv_status s = cv_broker_config_tree(o->config, tree, err);

    (void)cv_json_use(before);
    return s;
}

static enum cv_status pin(void *context, const cJSON *parameters,
                          struct cv_reply *reply, struct cv_err *err)
{
    const char *uri = NULL, *source = NULL;
    const struct cv_json_field fields[] = {
        {"uri", CV_JSON_STRING, true, &uri, CV_LIMIT_TOKEN_URI},
    };
    struct cv_arena *arena = NULL;
    struct cv_buf secret;
    cJSON *tree = NULL;
    enum cv_status s = cv_json_read(parameters, "Pin", fields, 1, true, err);

    if (s == CV_OK) {
        s = load(context, &tree, err);
    }
    if (s == CV_OK) {
        source = setting(tree, "pin", uri);
        s = source != NULL ? cv_arena_new(CV_KIB(16), &arena, err)
                           : cv_fail(err, CV_LOCKED, "there is no such PIN");
    }
    if (s == CV_OK) {
        s = read_source(source, false, CV_LIMIT_PIN + 1, arena, &secret, err);
    }
    if (s == CV_OK) {
        cut_line(&secret);
        if (secret.len == 0) {
            s = cv_fail(err, CV_CONFIG, "the PIN's file is empty");
        } else if (!cv_json_add_base64(cv_reply_parameters(reply), "secret",
                                       cv_buf_bytes(&secret))) {
            s = no_memory(err);
        }
    }
    cJSON_Delete(tree);
    cv_arena_free(arena);
    return s;
}

/* ---- Cloud ---- */

static enum cv_status add_file(cJSON *cloud, const char *name,
                               const char *source, size_t limit,
                               struct cv_err *err)
{
    struct cv_arena *arena = NULL;
    struct cv_buf text;
    enum cv_status s = CV_OK;

    if (source == NULL) {
        return CV_OK;
    }
    s = cv_arena_new(2 * CV_LIMIT_PEM, &arena, err);
    if (s == CV_OK) {
        s = read_source(source, true, limit, arena, &text, err);
    }
    if (s == CV_OK && !cv_utf8_is_text(cv_buf_bytes(&text))) {
        s = cv_fail(err, CV_CONFIG, "%s: not UTF-8 text", source);
    }
    if (s == CV_OK && !cv_json_add_str(cloud, name, cv_buf_text(&text))) {
        s = no_memory(err);
    }
    cv_arena_free(arena);
    return s;
}

/* As intake reads them: what the configuration lists, as YAML. */
static enum cv_status add_regions(cJSON *cloud, const cJSON *tree,
                                  struct cv_err *err)
{
    const cJSON *list = cJSON_GetObjectItemCaseSensitive(tree, "regions");
    cJSON *map;
    struct cv_buf text;
    enum cv_status s;

    if (list == NULL || list->child == NULL) {
        return CV_OK;
    }
    cv_buf_init(&text, NULL, CV_LIMIT_PEM);
    map = cJSON_CreateObject();
    if (cv_json_add_item(map, "CCE", cJSON_Duplicate(list, true))) {
        cv_json_write(map, CV_JSON_COMPACT, &text);
        s = cv_buf_status(&text, "the regions", err);
    } else {
        s = no_memory(err);
    }
    if (s == CV_OK && !cv_json_add_str(cloud, "regions", cv_buf_text(&text))) {
        s = no_memory(err);
    }
    cv_buf_wipe(&text);
    cJSON_Delete(map);
    return s;
}

static enum cv_status cloud(void *context, const cJSON *parameters,
                            struct cv_reply *reply, struct cv_err *err)
{
    cJSON *out = cJSON_AddObjectToObject(cv_reply_parameters(reply), "cloud");
    cJSON *tree = NULL;
    enum cv_status s = load(context, &tree, err);

    (void)parameters;
    if (s == CV_OK && setting(tree, "cloud", "profile") == NULL) {
        s = cv_fail(err, CV_CONFIG,
                    "the service has no credentials of its own for the cloud");
        cv_err_hint(err, "cloud: {profile: credential:NAME} in its "
                         "configuration");
    }
    if (s == CV_OK) {
        s = add_file(out, "profile", setting(tree, "cloud", "profile"),
                     PROFILE_LEN, err);
    }
    if (s == CV_OK) {
        s = add_file(out, "ca_pem", setting(tree, "cloud", "ca_file"),
                     CV_LIMIT_PEM, err);
    }
    if (s == CV_OK) {
        s = add_regions(out, tree, err);
    }
    if (s == CV_OK &&
        (!cv_json_add_str(out, "endpoint",
                          setting(tree, "cloud", "endpoint")) ||
         !cv_json_add_str(out, "iam_endpoint",
                          setting(tree, "cloud", "iam_endpoint")) ||
         !cv_json_add_bool(out, "metadata", false))) {
        s = no_memory(err);
    }
    cJSON_Delete(tree);
    return s;
}

/* ---- the child ---- */

/* Nothing but reading files. */
static enum cv_status lock_down(struct cv_err *err)
{
    const struct cv_sandbox_folder all = {.path = "/", .fd = -1};

    return cv_sandbox_enter(CV_SANDBOX_OFFLINE, &all, 1, NULL, err);
}

void cv_service_settings_serve(void *context, int socket)
{
    static const struct cv_method methods[] = {
        {"Read", read_settings, false},
        {"Key", key, true},
        {"Pin", pin, true},
        {"Cloud", cloud, true},
    };
    static const struct cv_interface iface = {
        .name = CV_SETTINGS_INTERFACE,
        .description = "interface " CV_SETTINGS_INTERFACE "\n",
        .methods = methods,
        .n_methods = sizeof(methods) / sizeof(methods[0]),
    };

    if (lock_down(NULL) == CV_OK) {
        (void)!cv_serve_loop(&iface, context, socket, ANSWER_MS, NULL);
    }
}

bool cv_service_settings_modules(void *context, int fd)
{
    const struct cv_service_settings *o = context;
    struct cv_spawner_options programs = {.modules = NULL};
    struct cv_broker_relay relay;
    enum cv_status s = lock_down(NULL);

    if (s == CV_OK) {
        s = cv_broker_config_load(o->config, true, &programs, &relay, NULL);
    }
    if (s == CV_OK && programs.modules != NULL) {
        s = cv_file_write(fd,
                          (struct cv_bytes){(const uint8_t *)programs.modules,
                                            strlen(programs.modules)},
                          "the list of modules", NULL);
    }
    cv_broker_config_free(&programs);
    return s == CV_OK;
}
