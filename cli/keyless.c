#include "cli/keyless.h"

#include "cli/call.h"
#include "cli/config.h"
#include "cli/connect.h"
#include "cli/path.h"
#include "vault/base/limits.h"
#include "vault/base/process.h"

#include <limits.h>
#include <stdio.h>
#include <string.h>

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))
#define HINT                                                                   \
    "certvault is not where it was when this kubeconfig was written: install " \
    "it again, or write the entry anew with: certvault kubeconfig NAME "       \
    "--merge"

struct answer {
    const char *server;
    const char *ca;
    const cJSON *contexts;
};

static enum cv_status no_memory(struct cv_err *err)
{
    return cv_fail(err, CV_INTERNAL, "memory is gone");
}

static enum cv_status ask(struct cv_cli *cli, const char *name,
                          struct cv_keyless *k, struct answer *a,
                          struct cv_err *err)
{
    const struct cv_json_field fields[] = {
        {"server", CV_JSON_STRING, true, &a->server, 0},
        {"ca", CV_JSON_TEXT, true, &a->ca, CV_LIMIT_PEM},
        {"vault_id", CV_JSON_STRING, true, &k->vault_id, 64},
        {"entry", CV_JSON_STRING, true, &k->entry, CV_LIMIT_NAME},
        {"contexts", CV_JSON_ARRAY, true, &a->contexts, 0},
    };
    cJSON *p = cv_cli_parameters(cli);
    const cJSON *answer;
    enum cv_status s;

    if (!cv_json_add_str(p, "name", name) ||
        !cv_json_add_str(p, "context", k->context)) {
        cJSON_Delete(p);
        return no_memory(err);
    }
    s = cv_call_simple(cli, "Keyless", p, &answer, err);
    return s == CV_OK ? cv_json_read(answer, "the broker's answer", fields,
                                     COUNT(fields), false, err)
                      : s;
}

/* The context that is meant; *plain: it is the default one. */
static enum cv_status find_context(const struct answer *a, struct cv_keyless *k,
                                   bool *plain, struct cv_err *err)
{
    const cJSON *item;
    char shown[120];

    cJSON_ArrayForEach(item, a->contexts)
    {
        const char *name = cJSON_GetStringValue(
            cJSON_GetObjectItemCaseSensitive(item, "name"));

        *plain =
            cJSON_IsTrue(cJSON_GetObjectItemCaseSensitive(item, "default"));
        if (name != NULL &&
            (k->context != NULL ? strcmp(name, k->context) == 0 : *plain)) {
            k->ns = cJSON_GetStringValue(
                cJSON_GetObjectItemCaseSensitive(item, "namespace"));
            return CV_OK;
        }
    }
    if (k->context == NULL) {
        *plain = true;
        return CV_OK;
    }
    return cv_fail(
        err, CV_NOT_FOUND, "%s has no context %s", k->entry,
        cv_err_quote(shown, sizeof(shown), k->context, strlen(k->context)));
}

/* ---- the plugin's arguments ---- */

static bool add_word(cJSON *list, const char *word)
{
    cJSON *item = cJSON_CreateString(word);

    if (item == NULL || !cJSON_AddItemToArray(list, item)) {
        cJSON_Delete(item);
        return false;
    }
    return true;
}

static bool add_flag(cJSON *list, const char *flag, const char *value)
{
    return value == NULL || (add_word(list, flag) && add_word(list, value));
}

/* Where the plugin finds this broker again. A configuration that is read only
 * to learn the vault's folder costs each kubectl the time of a program more: so
 * the folder is named wherever there is one. */
static enum cv_status find_places(struct cv_cli *cli, const char **vault,
                                  char broker[PATH_MAX + 8], char *config,
                                  struct cv_err *err)
{
    const char *found = NULL;
    enum cv_status s = cv_config_find(cli, &found, err);

    *vault = NULL;
    broker[0] = config[0] = '\0';
    if (s == CV_OK && cli->broker != NULL &&
        strncmp(cli->broker, "unix:", 5) == 0) {
        memcpy(broker, "unix:", 5);
        return cv_path_absolute(cli->broker + 5, broker + 5, PATH_MAX, err);
    }
    if (s == CV_OK && cli->broker != NULL &&
        strcmp(cli->broker, "exec:") != 0) {
        (void)snprintf(broker, PATH_MAX, "%s", cli->broker);
        return CV_OK;
    }
    if (s == CV_OK && (cli->vault != NULL || found != NULL)) {
        *vault = cv_connect_greets(cli)->folder;
    }
    if (s == CV_OK && cli->config != NULL) {
        s = cv_path_absolute(cli->config, config, PATH_MAX, err);
    }
    return s;
}

static enum cv_status add_args(struct cv_cli *cli, const struct cv_keyless *k,
                               cJSON *exec, struct cv_err *err)
{
    char broker[PATH_MAX + 8], config[PATH_MAX];
    const char *vault;
    cJSON *list = cJSON_CreateArray();
    enum cv_status s = find_places(cli, &vault, broker, config, err);
    bool ok = list != NULL && s == CV_OK && add_word(list, "credential") &&
              add_word(list, k->entry) &&
              add_flag(list, "--vault-id", k->vault_id) &&
              add_flag(list, "--context", k->context) &&
              add_flag(list, "--vault", vault) &&
              add_flag(list, "--broker", broker[0] ? broker : NULL) &&
              add_flag(list, "--config", config[0] ? config : NULL);

    ok = cv_json_add_item(exec, "args", list) && ok;
    return s != CV_OK ? s : ok ? CV_OK : no_memory(err);
}

static enum cv_status make_exec(struct cv_cli *cli, const struct cv_keyless *k,
                                const char *api, cJSON *exec,
                                struct cv_err *err)
{
    char version[64], program[PATH_MAX];
    enum cv_status s =
        cv_process_path("bin/certvault", program, sizeof(program), err);

    (void)snprintf(version, sizeof(version), "client.authentication.k8s.io/%s",
                   api);
    if (s == CV_OK && (!cv_json_add_str(exec, "apiVersion", version) ||
                       !cv_json_add_str(exec, "command", program))) {
        s = no_memory(err);
    }
    if (s == CV_OK) {
        s = add_args(cli, k, exec, err);
    }
    if (s == CV_OK &&
        (!cv_json_add_str(exec, "interactiveMode", "IfAvailable") ||
         !cv_json_add_bool(exec, "provideClusterInfo", false) ||
         !cv_json_add_str(exec, "installHint", HINT))) {
        s = no_memory(err);
    }
    return s;
}

/* ---- the document ---- */

/* [{name: certvault, extension: {...}}]: by this --unmerge knows what is ours,
 * however it is called by then. */
static bool add_mark(cJSON *object, const struct cv_keyless *k)
{
    cJSON *list = cJSON_CreateArray(), *item = cJSON_CreateObject();
    cJSON *mark = cJSON_CreateObject();
    bool ok = cv_json_add_str(item, "name", CV_KEYLESS_MARK) &&
              cv_json_add_str(mark, "vault", k->vault_id) &&
              cv_json_add_str(mark, "entry", k->entry) &&
              cv_json_add_str(mark, "context", k->context);

    ok = cv_json_add_item(item, "extension", mark) && ok;
    if (list == NULL || !cJSON_AddItemToArray(list, item)) {
        cJSON_Delete(item);
        ok = false;
    }
    return cv_json_add_item(object, "extensions", list) && ok;
}

static bool add_named(cJSON *root, const char *list, const char *name,
                      const char *key, cJSON *value)
{
    cJSON *item = cJSON_CreateObject(), *items = cJSON_CreateArray();
    bool ok = cv_json_add_str(item, "name", name);

    ok = cv_json_add_item(item, key, value) && ok;
    if (items == NULL || !cJSON_AddItemToArray(items, item)) {
        cJSON_Delete(item);
        ok = false;
    }
    return cv_json_add_item(root, list, items) && ok;
}

static enum cv_status build(struct cv_cli *cli, const struct cv_keyless *k,
                            const struct answer *a, const char *api,
                            struct cv_err *err)
{
    cJSON *root = k->document;
    cJSON *cluster = cJSON_CreateObject(), *user = cJSON_CreateObject();
    cJSON *context = cJSON_CreateObject(), *exec = cJSON_CreateObject();
    const struct cv_bytes ca = {(const uint8_t *)a->ca, strlen(a->ca)};
    char server[CV_LIMIT_URL + CV_LIMIT_NAME + 4];
    enum cv_status s = make_exec(cli, k, api, exec, err);
    bool ok;

    /* The relay takes that end off again. It keeps apart what kubectl learned
     * of one cluster and of another: it does so by their addresses. */
    (void)snprintf(server, sizeof(server), "%s/-/%s", a->server, k->entry);
    ok = cv_json_add_str(root, "apiVersion", "v1") &&
         cv_json_add_str(root, "kind", "Config") &&
         cv_json_add_str(cluster, "server", server) &&
         cv_json_add_base64(cluster, "certificate-authority-data", ca) &&
         add_mark(cluster, k) && cv_json_add_str(context, "cluster", k->name) &&
         cv_json_add_str(context, "user", k->name) &&
         cv_json_add_str(context, "namespace", k->ns) && add_mark(context, k);

    ok = cv_json_add_item(user, "exec", exec) && ok;
    ok = ok && add_mark(user, k);
    ok = add_named(root, "clusters", k->name, "cluster", cluster) && ok;
    ok = add_named(root, "users", k->name, "user", user) && ok;
    ok = add_named(root, "contexts", k->name, "context", context) && ok;
    ok = ok && cv_json_add_str(root, "current-context", k->name);
    return s != CV_OK ? s : ok ? CV_OK : no_memory(err);
}

enum cv_status cv_keyless_make(struct cv_cli *cli, const char *name,
                               const char *context, const char *api,
                               struct cv_keyless *out, struct cv_err *err)
{
    struct answer a = {NULL, NULL, NULL};
    bool plain = true;
    enum cv_status s;

    memset(out, 0, sizeof(*out));
    out->context = context;
    s = ask(cli, name, out, &a, err);
    if (s == CV_OK) {
        s = find_context(&a, out, &plain, err);
    }
    if (s == CV_OK) {
        s = cv_hop_name(out->entry, plain ? NULL : context, out->name, err);
    }
    if (s != CV_OK) {
        return s;
    }
    out->document = cv_cli_keep(cli, cJSON_CreateObject(), err);
    return out->document == NULL ? CV_INTERNAL : build(cli, out, &a, api, err);
}
