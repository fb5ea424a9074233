#include "cli/module_methods.h"

#include "cli/module_methods_internal.h"
#include "vault/base/file.h"
#include "vault/base/limits.h"
#include "vault/base/process.h"
#include "vault/seal/match.h"
#include "vault/wire/interface.h"

#include <stdio.h>
#include <stdlib.h>
#ifdef CV_SANITIZED
#include <fcntl.h>
#include <sanitizer/common_interface_defs.h>
#include <unistd.h>
#endif

static enum cv_status no_memory(struct cv_err *err)
{
    return cv_fail(err, CV_INTERNAL, "memory is gone");
}

static enum cv_status list_modules(void *context, const cJSON *parameters,
                                   struct cv_reply *reply, struct cv_err *err)
{
    const struct cv_module_face *face = context;
    cJSON *out = cJSON_AddArrayToObject(cv_reply_parameters(reply), "modules");
    enum cv_status s = cv_json_read(parameters, "Modules", NULL, 0, true, err);

    if (s == CV_OK) {
        s = cv_module_face_listed(face, err);
    }
    for (size_t i = 0; s == CV_OK && i < cv_module_list_count(face->list);
         i++) {
        const struct cv_module_entry *e = cv_module_list_at(face->list, i);
        cJSON *item;

        if (cv_module_list_is_shadowed(face->list, i)) {
            continue;
        }
        item = cJSON_CreateObject();
        if (!cv_json_add_str(item, "name", e->name) ||
            !cv_json_add_str(item, "path", e->real ? e->real : e->path) ||
            !cv_json_add_str(item, "source", e->origin) ||
            !cJSON_AddItemToArray(out, item)) {
            cJSON_Delete(item);
            s = no_memory(err);
        }
    }
    return s;
}

static bool add_version(cJSON *out, const char *key, CK_VERSION version)
{
    char text[16];

    (void)snprintf(text, sizeof(text), "%u.%u", version.major, version.minor);
    return cv_json_add_str(out, key, text);
}

static enum cv_status load(void *context, const cJSON *parameters,
                           struct cv_reply *reply, struct cv_err *err)
{
    struct cv_module_face *face = context;
    const char *name = NULL, *uri = NULL;
    const struct cv_json_field fields[] = {
        {"module", CV_JSON_STRING, false, &name, 0},
        {"uri", CV_JSON_STRING, false, &uri, CV_LIMIT_TOKEN_URI},
    };
    const struct cv_module_entry *entry;
    const CK_INFO *info;
    char description[33], manufacturer[33];
    cJSON *out = cv_reply_parameters(reply);
    enum cv_status s =
        cv_json_read(parameters, "Load", CV_MODULE_FIELDS(fields), true, err);

    if (s == CV_OK) {
        s = cv_module_face_load(face, name, uri, err);
    }
    if (s != CV_OK) {
        return s;
    }
    entry = cv_module_entry(face->module);
    info = cv_module_info(face->module);
    (void)cv_module_text(description, info->libraryDescription, 32);
    (void)cv_module_text(manufacturer, info->manufacturerID, 32);
    if (!cv_json_add_str(out, "name", entry->name) ||
        !cv_json_add_str(out, "path", entry->real) ||
        !cv_json_add_str(out, "description", description) ||
        !cv_json_add_str(out, "manufacturer", manufacturer) ||
        !add_version(out, "version", info->libraryVersion) ||
        !add_version(out, "cryptoki", info->cryptokiVersion)) {
        return no_memory(err);
    }
    return CV_OK;
}

static cJSON *pin_json(const struct cv_token_info *t)
{
    cJSON *pin = cJSON_CreateObject();
    bool ok = cv_json_add_bool(pin, "initialized", t->pin.initialized) &&
              cv_json_add_bool(pin, "count_low", t->pin.count_low) &&
              cv_json_add_bool(pin, "final_try", t->pin.final_try) &&
              cv_json_add_bool(pin, "locked", t->pin.locked) &&
              cv_json_add_bool(pin, "to_be_changed", t->pin.to_be_changed);

    if (!ok) {
        cJSON_Delete(pin);
        return NULL;
    }
    return pin;
}

static cJSON *token_json(const struct cv_module_face *face,
                         const struct cv_token_info *t, const char *uri)
{
    const struct cv_module_face_token *used = cv_module_face_used(face, t);
    const char *module = cv_module_entry(face->module)->name;
    char identity[CV_TOKEN_IDENTITY_LEN];
    cJSON *o = cJSON_CreateObject();
    bool logged_in = used != NULL && !cv_login_wanted(used->pool) &&
                     cv_session_logged_in(used->pool);
    bool is_held =
        used != NULL && used->pin.len > 0 && !cv_login_refused(used->pool);
    bool ok = cv_json_add_str(o, "uri", uri) &&
              cv_json_add_str(o, "identity", cv_token_identity(t, identity)) &&
              cv_json_add_str(o, "module", module) &&
              cv_json_add_str(o, "label", t->label) &&
              cv_json_add_str(o, "manufacturer", t->manufacturer) &&
              cv_json_add_str(o, "model", t->model) &&
              cv_json_add_str(o, "serial", t->serial) &&
              cv_json_add_bool(o, "present", true) &&
              cv_json_add_bool(o, "initialized", t->initialized) &&
              cv_json_add_bool(o, "login_required", t->login_required) &&
              cv_json_add_bool(o, "logged_in", logged_in) &&
              cv_json_add_bool(o, "held", is_held) &&
              cv_json_add_bool(o, "protected_path", t->protected_path) &&
              cv_json_add_bool(o, "write_protected", t->write_protected) &&
              cv_json_add_int(o, "pin_min", t->pin.min) &&
              cv_json_add_int(o, "pin_max", t->pin.max) &&
              cv_json_add_item(o, "user_pin", pin_json(t));

    if (!ok) {
        cJSON_Delete(o);
        return NULL;
    }
    return o;
}

static enum cv_status add_token(const struct cv_module_face *face,
                                const struct cv_token_info *t, cJSON *out,
                                struct cv_err *err)
{
    struct cv_buf uri;
    cJSON *item;
    enum cv_status s;

    cv_buf_init(&uri, NULL, CV_LIMIT_TOKEN_URI);
    cv_module_face_uri(face, t, &uri);
    s = cv_buf_status(&uri, "a token's URI", err);
    item = s == CV_OK ? token_json(face, t, cv_buf_text(&uri)) : NULL;
    cv_buf_wipe(&uri);
    if (s == CV_OK && (item == NULL || !cJSON_AddItemToArray(out, item))) {
        cJSON_Delete(item);
        s = no_memory(err);
    }
    return s;
}

static enum cv_status list_tokens(void *context, const cJSON *parameters,
                                  struct cv_reply *reply, struct cv_err *err)
{
    struct cv_module_face *face = context;
    struct cv_token_info *all;
    struct cv_uri *parsed = NULL;
    const char *uri = NULL;
    const struct cv_json_field fields[] = {
        {"uri", CV_JSON_STRING, false, &uri, CV_LIMIT_TOKEN_URI},
    };
    cJSON *out = cJSON_AddArrayToObject(cv_reply_parameters(reply), "tokens");
    size_t n = 0;
    enum cv_status s =
        cv_json_read(parameters, "Tokens", CV_MODULE_FIELDS(fields), true, err);

    if (s == CV_OK && uri != NULL) {
        s = cv_uri_parse(uri, &parsed, err);
    }
    all = calloc(CV_LIMIT_TOKENS, sizeof(*all));
    if (s == CV_OK && all == NULL) {
        s = no_memory(err);
    }
    if (s == CV_OK) {
        s = cv_module_face_failed(
            face, NULL,
            cv_token_list(face->module, parsed, all, CV_LIMIT_TOKENS, &n, err),
            reply, err);
    }
    for (size_t i = 0; s == CV_OK && i < n; i++) {
        s = add_token(face, &all[i], out, err);
    }
    free(all);
    cv_uri_free(parsed);
    return s;
}

/* What comes in or goes out is secret: their values are made in an arena. */
static const struct cv_method methods[] = {
    {"Modules", list_modules, false},
    {"Load", load, false},
    {"Tokens", list_tokens, false},
    {"Mechanisms", cv_module_examine_mechanisms, false},
    {"Login", cv_module_login_user, true},
    {"Relogin", cv_module_login_again, true},
    {"Logout", cv_module_login_out, false},
    {"ChangePin", cv_module_login_change_pin, true},
    {"Objects", cv_module_objects_list, false},
    {"Snapshot", cv_module_debris_snapshot, false},
    {"Target", cv_module_keys_target, false},
    {"Accepts", cv_module_keys_accepts, false},
    {"Import", cv_module_keys_import, false},
    {"Generate", cv_module_keys_generate, false},
    {"Examine", cv_module_examine_key, false},
    {"FindKey", cv_module_objects_find_key, false},
    {"PutCertificates", cv_module_debris_put_certificates, false},
    {"Destroy", cv_module_debris_destroy, false},
    {"Debris", cv_module_debris_debris, false},
    {"DestroyDebris", cv_module_debris_destroy_debris, false},
    {"Sign", cv_module_sign_data, false},
    {"Probe", cv_module_probe_token, false},
    {"Anchor", cv_module_anchor_put, false},
    {"SlotKey", cv_module_slot_make, false},
    {"UnwrapSlot", cv_module_slot_open, false},
    {"LogKey", cv_module_log_key, false},
    {"LogSign", cv_module_log_sign, false},
};

const struct cv_interface cv_module_methods = {
    CV_INTERFACE_MODULE, cv_interface_module, methods,
    sizeof(methods) / sizeof(methods[0])};

/* Modules write to standard error as they like. Where it is kept for what the
 * sanitizers have to say, it is kept for that alone. */
static void close_errors(void)
{
#ifdef CV_SANITIZED
    int fd = fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, CV_PROCESS_EXTRA + 1);
    int null = open("/dev/null", O_WRONLY | O_CLOEXEC);

    __sanitizer_set_report_fd((void *)(intptr_t)fd);
    (void)dup2(null, STDERR_FILENO);
    cv_file_close(&null);
#endif
}

enum cv_status cv_module_methods_serve(struct cv_err *err)
{
    struct cv_module_face *face = NULL;
    enum cv_status s = cv_match_start(err);

    close_errors();

    if (s == CV_OK) {
        s = cv_sign_start(err);
    }
    if (s == CV_OK) {
        s = cv_module_face_new(CV_PROCESS_EXTRA, &face, err);
    }
    if (s == CV_OK) {
        s = cv_serve_loop(&cv_module_methods, face, CV_PROCESS_SOCKET,
                          CV_LIMIT_CLIENT_IDLE_S * 1000, err);
    }
    cv_module_face_free(face);
    return s;
}
