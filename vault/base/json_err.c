#include "vault/base/json.h"

#include <math.h>
#include <string.h>

static const char *text_or_null(const char *text)
{
    return text[0] == '\0' ? NULL : text;
}

cJSON *cv_json_from_err(const struct cv_err *e)
{
    cJSON *o = cJSON_CreateObject();
    bool ok = cv_json_add_str(o, "code", cv_err_code_name(e->status)) &&
              cv_json_add_str(o, "message", e->text) &&
              cv_json_add_str(o, "hint", text_or_null(e->hint)) &&
              cv_json_add_str(o, "state", text_or_null(e->state)) &&
              cv_json_add_str(o, "request_id", text_or_null(e->request_id));
    if (ok && e->audit_seq >= 0) {
        ok = cv_json_add_int(o, "audit_seq", e->audit_seq);
    }
    if (ok && e->retry_after_s >= 0) {
        ok = cv_json_add_item(o, "retry_after",
                              cJSON_CreateNumber(e->retry_after_s));
    }
    if (!ok) {
        cJSON_Delete(o);
        return NULL;
    }
    return o;
}

static const char *string_of(const cJSON *object, const char *key)
{
    const cJSON *value = cJSON_GetObjectItemCaseSensitive(object, key);
    return cJSON_IsString(value) ? value->valuestring : "";
}

static double number_of(const cJSON *object, const char *key, double most)
{
    const cJSON *value = cJSON_GetObjectItemCaseSensitive(object, key);
    if (!cJSON_IsNumber(value) || !isfinite(value->valuedouble) ||
        value->valuedouble < 0 || value->valuedouble > most) {
        return -1;
    }
    return value->valuedouble;
}

enum cv_status cv_json_to_err(const cJSON *object, struct cv_err *e)
{
    enum cv_status status = cv_err_from_code_name(string_of(object, "code"));
    if (e == NULL) {
        return status;
    }
    const char *message = string_of(object, "message");
    cv_fail(e, status, "%s", message[0] == '\0' ? "no message" : message);
    cv_err_hint(e, "%s", string_of(object, "hint"));
    cv_err_state(e, "%s", string_of(object, "state"));
    const char *id = string_of(object, "request_id");
    cv_err_quote(e->request_id, sizeof(e->request_id), id, strlen(id));
    e->audit_seq = (int64_t)number_of(object, "audit_seq", 0x1p53);
    e->retry_after_s = number_of(object, "retry_after", 0x1p53);
    return status;
}
