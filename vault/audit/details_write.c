#include "vault/audit/details_internal.h"

#include <string.h>

/* The members in the order of their keys' bytes; there are few. How many;
 * refused (0) where one is there twice, or there are too many. */
static size_t sort(struct cv_pen *pen, const cJSON *object,
                   const cJSON *sorted[CV_DETAILS_ITEMS])
{
    const cJSON *item;
    size_t n = 0;

    cJSON_ArrayForEach(item, object)
    {
        size_t at = n;
        int order = -1;

        if (n == CV_DETAILS_ITEMS) {
            cv_pen_refuse(pen);
            return 0;
        }
        while (at > 0 &&
               (order = strcmp(sorted[at - 1]->string, item->string)) > 0) {
            sorted[at] = sorted[at - 1];
            at--;
        }
        if (at > 0 && order == 0) {
            cv_pen_refuse(pen);
            return 0;
        }
        sorted[at] = item;
        n++;
    }
    return n;
}

/* A member of details, or an item of its list. */
static void put_value(struct cv_pen *pen, const cJSON *value)
{
    if (cJSON_IsString(value)) {
        cv_pen_text(pen, value->valuestring, CV_DETAILS_TEXT);
    } else if (cJSON_IsNumber(value) && value->valuedouble >= 0) {
        cv_pen_uint(pen, (uint64_t)value->valuedouble);
    } else if (cJSON_IsBool(value)) {
        cv_pen_bool(pen, cJSON_IsTrue(value));
    } else {
        cv_pen_refuse(pen);
    }
}

static void put_list(struct cv_pen *pen, const cJSON *list)
{
    const cJSON *item;

    cv_pen_open(pen, '[');
    cJSON_ArrayForEach(item, list)
    {
        put_value(pen, item);
    }
    cv_pen_close(pen, ']');
}

static void put_pairs(struct cv_pen *pen, const cJSON *pairs)
{
    const cJSON *sorted[CV_DETAILS_ITEMS];
    size_t n = sort(pen, pairs, sorted);

    cv_pen_open(pen, '{');
    for (size_t i = 0; i < n; i++) {
        cv_pen_inner_key(pen, sorted[i]->string);
        put_value(pen, sorted[i]);
    }
    cv_pen_close(pen, '}');
}

void cv_details_write(struct cv_pen *pen, const cJSON *details)
{
    const cJSON *sorted[CV_DETAILS_ITEMS];
    size_t n = details == NULL ? 0 : sort(pen, details, sorted);

    cv_pen_open(pen, '{');
    for (size_t i = 0; i < n; i++) {
        cv_pen_inner_key(pen, sorted[i]->string);
        if (cJSON_IsArray(sorted[i])) {
            put_list(pen, sorted[i]);
        } else if (cJSON_IsObject(sorted[i])) {
            put_pairs(pen, sorted[i]);
        } else {
            put_value(pen, sorted[i]);
        }
    }
    cv_pen_close(pen, '}');
}
