#include "policy/explain.h"

static bool add_texts(cJSON *o, const char *key, const char *const *texts)
{
    if (texts == NULL)
        return true;
    cJSON *list = cJSON_CreateArray();
    for (size_t i = 0; list != NULL && texts[i] != NULL; i++) {
        cJSON *item = cJSON_CreateString(texts[i]);
        if (item == NULL || !cJSON_AddItemToArray(list, item)) {
            cJSON_Delete(item);
            cJSON_Delete(list);
            return false;
        }
    }
    return cv_json_add_item(o, key, list);
}

static bool add_uids(cJSON *o, const uint32_t *uids, size_t n)
{
    if (n == 0)
        return true;
    cJSON *list = cJSON_CreateArray();
    for (size_t i = 0; list != NULL && i < n; i++) {
        cJSON *item = cJSON_CreateNumber(uids[i]);
        if (item == NULL || !cJSON_AddItemToArray(list, item)) {
            cJSON_Delete(item);
            cJSON_Delete(list);
            return false;
        }
    }
    return cv_json_add_item(o, "uids", list);
}

/* {"users", "groups", "uids"}; what is given of them. */
static cJSON *from_json(const struct cv_policy_require *r)
{
    cJSON *o = cJSON_CreateObject();
    if (o == NULL || !add_texts(o, "users", r->users) ||
        !add_texts(o, "groups", r->groups) ||
        !add_uids(o, r->uids, r->n_uids)) {
        cJSON_Delete(o);
        return NULL;
    }
    return o;
}

static bool add_approvals(cJSON *o, const struct cv_policy_require *r)
{
    if (r->approvals == 0)
        return true;
    cJSON *a = cJSON_CreateObject();
    if (a == NULL || !cv_json_add_int(a, "count", (int64_t)r->approvals) ||
        !cv_json_add_item(a, "from", from_json(r)) ||
        !cv_json_add_bool(a, "signed", r->is_signed)) {
        cJSON_Delete(a);
        return false;
    }
    return cv_json_add_item(o, "approvals", a);
}

static bool add_limit(cJSON *o, const struct cv_policy_limit *l)
{
    if (l->count == 0 && l->sessions == 0)
        return true;
    cJSON *a = cJSON_CreateObject();
    if (a == NULL ||
        (l->count > 0 && (!cv_json_add_int(a, "count", (int64_t)l->count) ||
                          !cv_json_add_int(a, "per", l->per_s))) ||
        (l->sessions > 0 &&
         !cv_json_add_int(a, "sessions", (int64_t)l->sessions))) {
        cJSON_Delete(a);
        return false;
    }
    return cv_json_add_item(o, "limit", a);
}

cJSON *cv_explain_obligations(const struct cv_decide_result *result)
{
    const struct cv_policy_grant *g = &result->grant;
    cJSON *o = cJSON_CreateObject();
    if (o == NULL || result->offer == NULL)
        return o;
    if (!cv_json_add_int(o, "max_duration", g->max_duration_s) ||
        !cv_json_add_int(o, "duration", result->duration_s) ||
        !cv_json_add_bool(o, "read_only", g->read_only) ||
        !cv_json_add_str(o, "record", cv_policy_record_name(g->record)) ||
        !add_texts(o, "verbs", g->verbs) ||
        !add_texts(o, "namespaces", g->namespaces) ||
        !add_texts(o, "resources", g->resources) ||
        !add_approvals(o, &result->require) || !add_limit(o, &result->limit) ||
        (result->break_glass && !cv_json_add_bool(o, "break_glass", true))) {
        cJSON_Delete(o);
        return NULL;
    }
    return o;
}
