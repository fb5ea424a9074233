#include "vault/fetch/region_entry.h"

#include <string.h>

static enum cv_status add(struct cv_region_entry *out, const cJSON *url,
                          struct cv_err *err)
{
    if (!cJSON_IsString(url) ||
        strlen(url->valuestring) >= sizeof(out->url[0])) {
        return cv_fail(err, CV_INVALID, "an endpoint is no text, or too long");
    }
    if (out->n == CV_REGION_ENTRY_MAX) {
        return cv_fail(err, CV_INVALID, "a region has too many endpoints");
    }
    memcpy(out->url[out->n], url->valuestring, strlen(url->valuestring) + 1);
    out->n++;
    return CV_OK;
}

enum cv_status cv_region_entry_read(const cJSON *entry, const char *region,
                                    struct cv_region_entry *out,
                                    struct cv_err *err)
{
    const cJSON *id = cJSON_GetObjectItemCaseSensitive(entry, "id");
    const cJSON *one = cJSON_GetObjectItemCaseSensitive(entry, "endpoint");
    const cJSON *many = cJSON_GetObjectItemCaseSensitive(entry, "endpoints");
    const cJSON *url;
    enum cv_status s = CV_OK;

    if (!cJSON_IsString(id) || (one == NULL && !cJSON_IsArray(many))) {
        return cv_fail(err, CV_INVALID, "an item lacks its id or its endpoint");
    }
    if (region != NULL && strcmp(id->valuestring, region) != 0) {
        return CV_OK;
    }
    if (one != NULL) {
        return add(out, one, err);
    }
    cJSON_ArrayForEach(url, many)
    {
        s = s == CV_OK ? add(out, url, err) : s;
    }
    return s;
}
