#include "cli/service.h"

#include "cli/broker_config.h"
#include "cli/config_schema.h"
#include "cli/handed.h"
#include "vault/base/manager.h"
#include "vault/base/process.h"
#include "vault/broker/broker.h"

#include <limits.h>
#include <stdlib.h>
#include <sys/un.h>

static enum cv_status fail_usage(struct cv_err *err, const char *text)
{
    enum cv_status s = cv_fail(err, CV_USAGE, "%s", text);

    cv_err_hint(err, "certvaultd --help");
    return s;
}

static enum cv_status check(const struct cv_service *o, struct cv_err *err)
{
    const struct cv_service_settings *k = &o->settings;
    int keys = (k->key_file != NULL) + (k->passphrase_file != NULL) +
               (k->key_credential != NULL);

    if (keys > 1) {
        return fail_usage(err, "one of --key-file, --passphrase-file and "
                               "--key-credential");
    }
    if (o->handed && o->socket != NULL) {
        return fail_usage(err, "--socket, and a socket was handed over");
    }
    return CV_OK;
}

static enum cv_status read_mode(const char *text, mode_t *mode,
                                struct cv_err *err)
{
    char *end;
    unsigned long n = strtoul(text, &end, 8);

    if (*text < '0' || *text > '7' || *end != '\0' || n > 0777) {
        return fail_usage(err, "--socket-mode is an octal mode up to 0777");
    }
    *mode = (mode_t)n;
    return CV_OK;
}

/* The command line, else the configuration; a socket that was handed over has
 * what its unit says. */
static enum cv_status find_socket(const struct cv_service *o, const cJSON *tree,
                                  char path[PATH_MAX],
                                  struct cv_broker_service *service,
                                  struct cv_broker_options *out,
                                  struct cv_err *err)
{
    struct cv_config_schema_socket said;
    enum cv_status s = cv_config_schema_socket(tree, &said, err);

    if (s == CV_OK && o->handed) {
        service->listener = CV_PROCESS_SOCKET;
        cv_handed_path(service->listener, path, PATH_MAX);
        out->socket_path = path;
        return cv_handed_check(service->listener, err);
    }
    out->socket_path = o->socket != NULL ? o->socket : said.path;
    service->group = said.group;
    out->socket_mode = said.mode != -1 ? (mode_t)said.mode : 0666;
    if (s == CV_OK && o->socket_mode != NULL) {
        s = read_mode(o->socket_mode, &out->socket_mode, err);
    }
    if (s == CV_OK && out->socket_path == NULL) {
        s = fail_usage(err, "--socket is needed, or socket: {path: ...} in "
                            "the configuration");
    }
    return s;
}

static void tell_ready(void *context)
{
    (void)context;
    cv_manager_ready("serving");
}

static enum cv_status run(struct cv_service *o, const cJSON *tree,
                          struct cv_err *err)
{
    const struct cv_service_settings *k = &o->settings;
    char path[PATH_MAX], logins[PATH_MAX];
    struct cv_broker_service service = {
        .listener = -1,
        .has_key = k->key_file != NULL || k->passphrase_file != NULL ||
                   k->key_credential != NULL,
    };
    struct cv_broker_options out = {
        .mode = CV_BROKER_SERVICE,
        .folder = o->vault != NULL
                      ? o->vault
                      : cJSON_GetStringValue(
                            cJSON_GetObjectItemCaseSensitive(tree, "vault")),
        .socket = -1,
        .service = &service,
        .ready = tell_ready,
        .logins = cv_broker_config_logins(logins, sizeof(logins)),
        .programs = {.allow_unlocked = o->allow_unlocked},
    };
    enum cv_status s = out.folder != NULL
                           ? find_socket(o, tree, path, &service, &out, err)
                           : fail_usage(err, "--vault is needed");

    if (s == CV_OK) {
        s = cv_broker_config_load(k->config, true, &out.programs, &out.relay,
                                  err);
    }
    if (s == CV_OK) {
        s = cv_broker_config_signers(k->config, true, &out.policy_signers, err);
    }
    out.programs.helpers_at = o->helpers_at;
    out.programs.settings = cv_service_settings_serve;
    out.programs.modules_now = cv_service_settings_modules;
    out.programs.context = &o->settings;
    if (s == CV_OK) {
        s = cv_broker_run(&out, err);
    }
    cv_broker_config_free(&out.programs);
    cv_broker_config_free_signers(out.policy_signers);
    return s;
}

enum cv_status cv_service_run(struct cv_service *o, struct cv_err *err)
{
    cJSON *tree = NULL;
    enum cv_status s = check(o, err);

    if (s == CV_OK) {
        s = cv_handed_manager(err);
    }
    if (s == CV_OK) {
        s = cv_broker_config_tree(o->settings.config, &tree, err);
    }
    if (s == CV_OK) {
        o->settings.started = tree;
        s = run(o, tree, err);
        o->settings.started = NULL;
    }
    cJSON_Delete(tree);
    return s;
}
