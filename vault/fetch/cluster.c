#include "vault/fetch/cluster.h"

#include "vault/base/clock.h"
#include "vault/base/name.h"
#include "vault/fetch/api_internal.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SHOWN 5

enum cv_status cv_cluster_check_id(const char *id, struct cv_err *err)
{
    static const char form[] = "xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx";
    bool good = strlen(id) == sizeof(form) - 1;

    for (size_t i = 0; good && i < sizeof(form) - 1; i++) {
        good = form[i] == '-' ? id[i] == '-' : isxdigit((unsigned char)id[i]);
    }
    if (!good) {
        enum cv_status s = cv_fail(err, CV_USAGE,
                                   "the cluster id is not of the form "
                                   "8-4-4-4-12 hex digits");

        cv_err_hint(err, "`certvault clusters` lists ids; a cluster's name "
                         "goes with --cluster");
        return s;
    }
    return CV_OK;
}

/* A text of an object, fit to be shown; "" where it is no text. */
static void copy_text(const cJSON *object, const char *key, char *out,
                      size_t out_len)
{
    const cJSON *item = cJSON_GetObjectItemCaseSensitive(object, key);
    struct cv_bytes bytes;

    out[0] = '\0';
    if (!cJSON_IsString(item)) {
        return;
    }
    bytes = (struct cv_bytes){(const uint8_t *)item->valuestring,
                              strlen(item->valuestring)};
    if (bytes.len < out_len && cv_name_is_printable(bytes)) {
        memcpy(out, bytes.data, bytes.len + 1);
    } else {
        (void)cv_err_quote(out, out_len, item->valuestring, bytes.len);
    }
}

static void add_end(struct cv_cluster *c, const char *type, const cJSON *url)
{
    struct cv_cluster_end *e = &c->end[c->n_ends];
    struct cv_bytes bytes;

    if (c->n_ends == CV_CLUSTER_ENDS || !cJSON_IsString(url) ||
        url->valuestring[0] == '\0') {
        return;
    }
    bytes = (struct cv_bytes){(const uint8_t *)url->valuestring,
                              strlen(url->valuestring)};
    if (bytes.len >= sizeof(e->url) || !cv_name_is_printable(bytes)) {
        return; /* an address that cannot be shown is of no use */
    }
    memcpy(e->url, bytes.data, bytes.len + 1);
    (void)cv_err_quote(e->type, sizeof(e->type), type, strlen(type));
    c->n_ends++;
}

static void read_ends(const cJSON *ends, struct cv_cluster *c)
{
    const cJSON *item;

    cJSON_ArrayForEach(item, ends)
    {
        if (cJSON_IsArray(ends)) {
            const cJSON *type = cJSON_GetObjectItemCaseSensitive(item, "type");

            add_end(c, cJSON_IsString(type) ? type->valuestring : "",
                    cJSON_GetObjectItemCaseSensitive(item, "url"));
        } else if (cJSON_IsObject(ends)) {
            add_end(c, item->string, item);
        }
    }
}

enum cv_status cv_cluster_read(const cJSON *tree, struct cv_cluster *c,
                               struct cv_err *err)
{
    const cJSON *metadata = cJSON_GetObjectItemCaseSensitive(tree, "metadata");
    const cJSON *spec = cJSON_GetObjectItemCaseSensitive(tree, "spec");
    const cJSON *status = cJSON_GetObjectItemCaseSensitive(tree, "status");
    const cJSON *id = cJSON_GetObjectItemCaseSensitive(metadata, "uid");
    char created[64];

    memset(c, 0, sizeof(*c));
    if (!cJSON_IsString(id) ||
        cv_cluster_check_id(id->valuestring, NULL) != CV_OK) {
        return cv_fail(err, CV_REMOTE,
                       "the answer holds a cluster without a proper id");
    }
    memcpy(c->id, id->valuestring, sizeof(c->id));
    copy_text(metadata, "name", c->name, sizeof(c->name));
    copy_text(metadata, "alias", c->alias, sizeof(c->alias));
    copy_text(metadata, "creationTimestamp", created, sizeof(created));
    c->created_s = cv_api_text_time(created);
    copy_text(spec, "version", c->version, sizeof(c->version));
    copy_text(spec, "category", c->category, sizeof(c->category));
    copy_text(spec, "type", c->type, sizeof(c->type));
    copy_text(spec, "flavor", c->flavor, sizeof(c->flavor));
    copy_text(status, "phase", c->phase, sizeof(c->phase));
    read_ends(cJSON_GetObjectItemCaseSensitive(status, "endpoints"), c);
    return CV_OK;
}

enum cv_status cv_cluster_read_list(const cJSON *tree,
                                    struct cv_cluster_list *out,
                                    struct cv_err *err)
{
    const cJSON *items = cJSON_GetObjectItemCaseSensitive(tree, "items");
    const cJSON *item;
    size_t n;
    enum cv_status s = CV_OK;

    *out = (struct cv_cluster_list){NULL, 0};
    if (!cJSON_IsArray(items)) {
        return cv_fail(err, CV_REMOTE, "the answer holds no list of clusters");
    }
    n = (size_t)cJSON_GetArraySize(items);
    if (n == 0) {
        return CV_OK;
    }
    out->item = calloc(n, sizeof(*out->item));
    if (out->item == NULL) {
        return cv_fail(err, CV_INTERNAL, "out of memory");
    }
    cJSON_ArrayForEach(item, items)
    {
        s = cv_cluster_read(item, &out->item[out->n++], err);
        if (s != CV_OK) {
            cv_cluster_list_free(out);
            break;
        }
    }
    return s;
}

void cv_cluster_list_free(struct cv_cluster_list *list)
{
    free(list->item);
    *list = (struct cv_cluster_list){NULL, 0};
}

static enum cv_status several(const struct cv_cluster_list *list,
                              const char *name, struct cv_err *err)
{
    char ids[SHOWN * (CV_CLUSTER_ID_LEN + 2) + 8] = "";
    char quoted[80];
    size_t used = 0, n = 0;

    for (size_t i = 0; i < list->n; i++) {
        if (strcmp(list->item[i].name, name) != 0) {
            continue;
        }
        if (n == SHOWN) {
            (void)snprintf(ids + used, sizeof(ids) - used, ", ...");
            break;
        }
        used += (size_t)snprintf(ids + used, sizeof(ids) - used, "%s%s",
                                 n > 0 ? ", " : "", list->item[i].id);
        n++;
    }
    (void)cv_fail(err, CV_USAGE, "several clusters are named %s: %s",
                  cv_err_quote(quoted, sizeof(quoted), name, strlen(name)),
                  ids);
    cv_err_hint(err, "choose one with --cluster-id");
    return CV_USAGE;
}

enum cv_status cv_cluster_find(const struct cv_cluster_list *list,
                               const char *name, const struct cv_cluster **out,
                               struct cv_err *err)
{
    char quoted[80];

    *out = NULL;
    for (size_t i = 0; i < list->n; i++) {
        if (strcmp(list->item[i].name, name) == 0) {
            if (*out != NULL) {
                return several(list, name, err);
            }
            *out = &list->item[i];
        }
    }
    if (*out == NULL) {
        (void)cv_fail(
            err, CV_NOT_FOUND, "the project has no cluster named %s (of %zu)",
            cv_err_quote(quoted, sizeof(quoted), name, strlen(name)), list->n);
        cv_err_hint(err, "`certvault clusters` lists what is there; check the "
                         "region and the project");
        return CV_NOT_FOUND;
    }
    return CV_OK;
}

static bool add_ends(cJSON *o, const struct cv_cluster *c)
{
    cJSON *list = cJSON_AddArrayToObject(o, "endpoints");

    for (size_t i = 0; i < c->n_ends; i++) {
        cJSON *e = cJSON_CreateObject();

        if (e == NULL || !cv_json_add_str(e, "type", c->end[i].type) ||
            !cv_json_add_str(e, "url", c->end[i].url) ||
            !cJSON_AddItemToArray(list, e)) {
            cJSON_Delete(e);
            return false;
        }
    }
    return list != NULL;
}

cJSON *cv_cluster_to_json(const struct cv_cluster *c)
{
    cJSON *o = cJSON_CreateObject();
    const struct {
        const char *key;
        const char *text;
    } texts[] = {{"cluster_id", c->id},   {"name", c->name},
                 {"alias", c->alias},     {"phase", c->phase},
                 {"version", c->version}, {"category", c->category},
                 {"type", c->type},       {"flavor", c->flavor}};
    char created[CV_CLOCK_TEXT_LEN];
    bool ok = o != NULL;

    for (size_t i = 0; ok && i < sizeof(texts) / sizeof(texts[0]); i++) {
        ok = cv_json_add_str(o, texts[i].key,
                             texts[i].text[0] != '\0' ? texts[i].text : NULL);
    }
    if (ok && c->created_s >= 0) {
        ok = cv_json_add_str(o, "created",
                             cv_clock_format(c->created_s, created));
    }
    if (!ok || !add_ends(o, c)) {
        cJSON_Delete(o);
        return NULL;
    }
    return o;
}
