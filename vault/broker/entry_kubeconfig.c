/* The kubeconfig of an entry, with its key: what `export` gives. */
#include "vault/base/encode.h"
#include "vault/broker/entry.h"

#include <stdio.h>
#include <string.h>

static const char *name_of(const cJSON *doc)
{
    return cv_entry_text(doc, "name");
}

/* A member whose value is the base64 of a PEM text, as kubeconfigs want it. */
static bool add_data(cJSON *object, const char *key, const char *pem)
{
    struct cv_bytes bytes = {(const uint8_t *)pem, strlen(pem)};

    return cv_json_add_base64(object, key, bytes);
}

static bool is_true(const cJSON *context, const char *key)
{
    return cJSON_IsTrue(cJSON_GetObjectItemCaseSensitive(context, key));
}

/* Verification is turned off only where the file that came in said so; without
 * a CA kubectl takes the system's. */
static bool add_cluster(cJSON *clusters, const char *name, const cJSON *context)
{
    cJSON *item = cJSON_CreateObject();
    cJSON *cluster = cJSON_CreateObject();
    const char *ca = cv_entry_text(context, "ca");
    const char *server_name = cv_entry_text(context, "tls_server_name");

    return item != NULL && cJSON_AddItemToArray(clusters, item) &&
           cv_json_add_str(item, "name", name) &&
           cv_json_add_item(item, "cluster", cluster) &&
           cv_json_add_str(cluster, "server",
                           cv_entry_text(context, "server")) &&
           (ca[0] == '\0' ||
            add_data(cluster, "certificate-authority-data", ca)) &&
           (!is_true(context, "insecure") ||
            cv_json_add_bool(cluster, "insecure-skip-tls-verify", true)) &&
           (server_name[0] == '\0' ||
            cv_json_add_str(cluster, "tls-server-name", server_name));
}

static bool add_context(cJSON *contexts, const char *name, const char *user,
                        const cJSON *from)
{
    cJSON *item = cJSON_CreateObject();
    cJSON *context = cJSON_CreateObject();
    const char *space = cv_entry_text(from, "namespace");

    return item != NULL && cJSON_AddItemToArray(contexts, item) &&
           cv_json_add_str(item, "name", name) &&
           cv_json_add_item(item, "context", context) &&
           cv_json_add_str(context, "cluster", name) &&
           cv_json_add_str(context, "user", user) &&
           (space[0] == '\0' || cv_json_add_str(context, "namespace", space));
}

static bool add_user(cJSON *users, const cJSON *doc, const char *key_base64)
{
    const cJSON *certificate =
        cJSON_GetObjectItemCaseSensitive(doc, "certificate");
    cJSON *item = cJSON_CreateObject();
    cJSON *user = cJSON_CreateObject();

    return item != NULL && cJSON_AddItemToArray(users, item) &&
           cv_json_add_str(item, "name", name_of(doc)) &&
           cv_json_add_item(item, "user", user) &&
           add_data(user, "client-certificate-data",
                    cv_entry_text(certificate, "pem")) &&
           cv_json_add_str(user, "client-key-data", key_base64);
}

/* The contexts asked for, each with a cluster of its own; *current is the name
 * of the one to begin with. */
static bool add_contexts(cJSON *config, const cJSON *doc, const char *wanted,
                         char *current, size_t current_len)
{
    cJSON *clusters = cJSON_AddArrayToObject(config, "clusters");
    cJSON *contexts = cJSON_AddArrayToObject(config, "contexts");
    const cJSON *context;

    current[0] = '\0';
    cJSON_ArrayForEach(context,
                       cJSON_GetObjectItemCaseSensitive(doc, "contexts"))
    {
        char name[CV_LIMIT_NAME + CV_LIMIT_URL + 2];
        const char *own = cv_entry_text(context, "name");

        if (wanted != NULL && strcmp(wanted, own) != 0) {
            continue;
        }
        (void)snprintf(name, sizeof(name), "%s-%s", name_of(doc), own);
        if (!add_cluster(clusters, name, context) ||
            !add_context(contexts, name, name_of(doc), context)) {
            return false;
        }
        if (current[0] == '\0' || is_true(context, "default")) {
            (void)snprintf(current, current_len, "%s", name);
        }
    }
    return true;
}

enum cv_status cv_entry_kubeconfig(const cJSON *doc, const char *context,
                                   const char *key_base64, cJSON **out,
                                   struct cv_err *err)
{
    cJSON *config = cJSON_CreateObject();
    char current[CV_LIMIT_NAME + CV_LIMIT_URL + 2];
    bool ok =
        config != NULL && cv_json_add_str(config, "apiVersion", "v1") &&
        cv_json_add_str(config, "kind", "Config") &&
        add_contexts(config, doc, context, current, sizeof(current)) &&
        add_user(cJSON_AddArrayToObject(config, "users"), doc, key_base64) &&
        cv_json_add_str(config, "current-context", current);

    *out = NULL;
    if (ok && current[0] != '\0') {
        *out = config;
        return CV_OK;
    }
    cJSON_Delete(config);
    if (!ok) {
        return cv_fail(err, CV_INTERNAL, "memory is gone");
    }
    return cv_fail(err, CV_NOT_FOUND, "the entry %s has no such context",
                   name_of(doc));
}

enum cv_status cv_entry_check_context(const cJSON *doc, const char *context,
                                      struct cv_err *err)
{
    const cJSON *item;
    enum cv_status s;

    if (context == NULL) {
        return CV_OK;
    }
    cJSON_ArrayForEach(item, cJSON_GetObjectItemCaseSensitive(doc, "contexts"))
    {
        if (strcmp(cv_entry_text(item, "name"), context) == 0) {
            return CV_OK;
        }
    }
    s = cv_fail(err, CV_NOT_FOUND, "the entry %s has no such context",
                name_of(doc));
    cv_err_hint(err, "certvault show %s names its contexts", name_of(doc));
    return s;
}
