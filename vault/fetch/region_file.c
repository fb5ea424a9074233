#include "vault/fetch/region_file.h"

#include "vault/yaml/yaml.h"

#include <string.h>

static void hint(struct cv_err *err)
{
    cv_err_hint(err, "it maps a service to a list of {id, endpoint} or {id, "
                     "endpoints: [...]}");
}

static enum cv_status refuse(const char *why, struct cv_err *err)
{
    enum cv_status s = cv_fail(err, CV_INVALID, "regions.yaml: %s", why);

    hint(err);
    return s;
}

static enum cv_status read_tree(const cJSON *tree, const char *service,
                                const char *region, struct cv_region_entry *out,
                                struct cv_err *err)
{
    const cJSON *list, *entry;
    enum cv_status s = CV_OK;

    if (!cJSON_IsObject(tree)) {
        return refuse("it is no map", err);
    }
    cJSON_ArrayForEach(list, tree)
    {
        if (strcasecmp(list->string, service) != 0) {
            continue;
        }
        if (!cJSON_IsArray(list)) {
            return refuse("a service has no list", err);
        }
        cJSON_ArrayForEach(entry, list)
        {
            s = cv_region_entry_read(entry, region, out, err);
            if (s != CV_OK) {
                cv_err_prefix(err, "regions.yaml");
                hint(err);
            }
            if (s != CV_OK || out->n > 0) {
                return s;
            }
        }
    }
    return s;
}

enum cv_status cv_region_file_find(const char *text, const char *service,
                                   const char *region,
                                   struct cv_region_entry *out,
                                   struct cv_err *err)
{
    struct cv_bytes bytes = {(const uint8_t *)text, strlen(text)};
    cJSON *tree = NULL;
    struct cv_arena *was = cv_json_use(NULL);
    enum cv_status s;

    memset(out, 0, sizeof(*out));
    s = cv_yaml_parse(NULL, bytes, &tree, NULL, NULL, err);
    if (s == CV_OK) {
        s = read_tree(tree, service, region, out, err);
    } else {
        cv_err_prefix(err, "regions.yaml");
    }
    cJSON_Delete(tree);
    (void)cv_json_use(was);
    return s;
}
