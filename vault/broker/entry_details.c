/* What the record says of an entry: the keys that vault/audit/details.c knows.
 */
#include "vault/audit/details.h"
#include "vault/broker/entry.h"

#include <stdio.h>
#include <string.h>

/* Kubernetes lets this group do anything, whatever RBAC says. */
#define MASTERS "system:masters"

/* A text of any length, cut to what a leaf may hold. */
static bool add_cut(cJSON *details, const char *key, const char *text)
{
    char cut[CV_DETAILS_TEXT + 1];

    if (text[0] == '\0') {
        return true;
    }
    (void)cv_err_quote(cut, sizeof(cut), text, strlen(text));
    return cv_json_add_str(details, key, cut);
}

static bool add_groups(cJSON *details, const cJSON *certificate)
{
    const cJSON *from = cJSON_GetObjectItemCaseSensitive(certificate, "groups");
    cJSON *groups = cJSON_AddArrayToObject(details, "groups");
    const cJSON *item;
    bool masters = false;
    int n = 0;

    cJSON_ArrayForEach(item, from)
    {
        char cut[256];

        if (!cJSON_IsString(item) || n++ == CV_DETAILS_ITEMS) {
            break;
        }
        masters = masters || strcmp(item->valuestring, MASTERS) == 0;
        (void)cv_err_quote(cut, sizeof(cut), item->valuestring,
                           strlen(item->valuestring));
        if (!cJSON_AddItemToArray(groups, cJSON_CreateString(cut))) {
            return false;
        }
    }
    return !masters || cv_json_add_bool(details, "high_risk", true);
}

static bool add_certificate(cJSON *details, const cJSON *doc)
{
    const cJSON *certificate =
        cJSON_GetObjectItemCaseSensitive(doc, "certificate");

    return certificate == NULL ||
           (add_cut(details, "subject",
                    cv_entry_text(certificate, "subject")) &&
            add_cut(details, "serial", cv_entry_text(certificate, "serial")) &&
            add_cut(details, "not_after",
                    cv_entry_text(certificate, "not_after")) &&
            add_groups(details, certificate));
}

static bool add_contexts(cJSON *details, const cJSON *doc)
{
    cJSON *names = cJSON_AddArrayToObject(details, "contexts");
    const cJSON *item;

    cJSON_ArrayForEach(item, cJSON_GetObjectItemCaseSensitive(doc, "contexts"))
    {
        const char *name = cv_entry_text(item, "name");
        char cut[256];

        (void)cv_err_quote(cut, sizeof(cut), name, strlen(name));
        if (!cJSON_AddItemToArray(names, cJSON_CreateString(cut))) {
            return false;
        }
    }
    return true;
}

static bool add_source(cJSON *details, const cJSON *doc)
{
    static const char *const keys[] = {
        "api",        "endpoint",   "iam_endpoint", "region",
        "project_id", "cluster_id", "request_id",   "digest",
    };
    const cJSON *source = cJSON_GetObjectItemCaseSensitive(doc, "source");
    bool ok = add_cut(details, "source", cv_entry_text(source, "kind"));

    for (size_t i = 0; ok && i < sizeof(keys) / sizeof(keys[0]); i++) {
        ok = add_cut(details, keys[i], cv_entry_text(source, keys[i]));
    }
    return ok;
}

/* {} where memory is gone: a leaf without details is better than none. */
static cJSON *finished(cJSON *details, bool ok)
{
    if (ok) {
        return details;
    }
    cJSON_Delete(details);
    return cJSON_CreateObject();
}

cJSON *cv_entry_details_taken(const cJSON *doc)
{
    cJSON *details = cJSON_CreateObject();
    const cJSON *labels = cJSON_GetObjectItemCaseSensitive(doc, "labels");
    bool ok =
        details != NULL && add_source(details, doc) &&
        add_certificate(details, doc) && add_contexts(details, doc) &&
        add_cut(details, "provenance", cv_entry_text(doc, "provenance")) &&
        add_cut(details, "location", cv_entry_text(doc, "location")) &&
        add_cut(details, "token_uri", cv_entry_text(doc, "token_uri")) &&
        cv_json_add_bool(details, "exportable",
                         cJSON_IsTrue(cJSON_GetObjectItemCaseSensitive(
                             doc, "exportable"))) &&
        (labels == NULL ||
         cv_json_add_item(details, "labels", cJSON_Duplicate(labels, true)));

    return finished(details, ok);
}

cJSON *cv_entry_details_released(const cJSON *doc)
{
    cJSON *details = cJSON_CreateObject();

    return finished(details, details != NULL && add_certificate(details, doc));
}

cJSON *cv_entry_details_came(const cJSON *doc)
{
    cJSON *details = cJSON_CreateObject();
    bool ok =
        details != NULL &&
        add_cut(details, "provenance", cv_entry_text(doc, "provenance")) &&
        add_cut(details, "token_uri", cv_entry_text(doc, "token_uri")) &&
        cv_json_add_bool(
            details, "leaky",
            cJSON_IsTrue(cJSON_GetObjectItemCaseSensitive(doc, "leaky")));

    return finished(details, ok);
}
