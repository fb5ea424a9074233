#include "vault/base/json.h"
#include "vault/base/limits.h"
#include "vault/base/utf8.h"

#include <math.h>
#include <string.h>

#define INTEGER_MAX 9007199254740992.0
#define SHOWN_KEY 48

static const char *kind_name(enum cv_json_kind kind)
{
    switch (kind) {
    case CV_JSON_STRING:
    case CV_JSON_TEXT:
        return "a string";
    case CV_JSON_INT:
        return "an integer";
    case CV_JSON_NUMBER:
        return "a number";
    case CV_JSON_BOOL:
        return "true or false";
    case CV_JSON_OBJECT:
        return "an object";
    case CV_JSON_ARRAY:
        return "an array";
    default:
        return "a value";
    }
}

static void set_absent(const struct cv_json_field *f)
{
    switch (f->kind) {
    case CV_JSON_STRING:
    case CV_JSON_TEXT:
        *(const char **)f->out = NULL;
        break;
    case CV_JSON_OBJECT:
    case CV_JSON_ARRAY:
    case CV_JSON_ANY:
        *(const cJSON **)f->out = NULL;
        break;
    default:
        break;
    }
}

static bool is_clean(const char *text, size_t len, bool lines)
{
    const uint8_t *p = (const uint8_t *)text;
    while (len > 0) {
        uint32_t point = 0;
        size_t n = cv_utf8_next(p, len, &point);
        bool control = point < 0x20 || (point >= 0x7f && point <= 0x9f);
        bool line = lines && (point == '\n' || point == '\t');
        if (n == 0 || (control && !line)) {
            return false;
        }
        p += n;
        len -= n;
    }
    return true;
}

static enum cv_status read_string(const struct cv_json_field *f,
                                  const cJSON *value, const char *what,
                                  struct cv_err *err)
{
    size_t max = f->max == 0 ? CV_LIMIT_URL : f->max;
    size_t len = strlen(value->valuestring);
    if (len > max) {
        return cv_fail(err, CV_INVALID, "%s: \"%s\" is longer than %zu bytes",
                       what, f->key, max);
    }
    if (!is_clean(value->valuestring, len, f->kind == CV_JSON_TEXT)) {
        return cv_fail(err, CV_INVALID, "%s: \"%s\" holds a control character",
                       what, f->key);
    }
    *(const char **)f->out = value->valuestring;
    return CV_OK;
}

static bool is_integer(const cJSON *value)
{
    return cJSON_IsNumber(value) && fabs(value->valuedouble) <= INTEGER_MAX &&
           value->valuedouble == (double)(int64_t)value->valuedouble;
}

static bool is_kind(const cJSON *value, enum cv_json_kind kind)
{
    switch (kind) {
    case CV_JSON_STRING:
    case CV_JSON_TEXT:
        return cJSON_IsString(value) && value->valuestring != NULL;
    case CV_JSON_INT:
        return is_integer(value);
    case CV_JSON_NUMBER:
        return cJSON_IsNumber(value) && isfinite(value->valuedouble);
    case CV_JSON_BOOL:
        return cJSON_IsBool(value);
    case CV_JSON_OBJECT:
        return cJSON_IsObject(value);
    case CV_JSON_ARRAY:
        return cJSON_IsArray(value);
    default:
        return true;
    }
}

static enum cv_status read_member(const struct cv_json_field *f,
                                  const cJSON *value, const char *what,
                                  struct cv_err *err)
{
    if (!is_kind(value, f->kind)) {
        return cv_fail(err, CV_INVALID, "%s: \"%s\" is not %s", what, f->key,
                       kind_name(f->kind));
    }
    switch (f->kind) {
    case CV_JSON_STRING:
    case CV_JSON_TEXT:
        return read_string(f, value, what, err);
    case CV_JSON_INT:
        *(int64_t *)f->out = (int64_t)value->valuedouble;
        return CV_OK;
    case CV_JSON_NUMBER:
        *(double *)f->out = value->valuedouble;
        return CV_OK;
    case CV_JSON_BOOL:
        *(bool *)f->out = cJSON_IsTrue(value);
        return CV_OK;
    default:
        *(const cJSON **)f->out = value;
        return CV_OK;
    }
}

static const struct cv_json_field *
find_field(const struct cv_json_field *fields, size_t n, const char *key)
{
    for (size_t i = 0; i < n; i++) {
        if (strcmp(fields[i].key, key) == 0) {
            return &fields[i];
        }
    }
    return NULL;
}

/* A member's value, unless it is absent or null. */
static const cJSON *find_value(const cJSON *object, const char *key)
{
    for (const cJSON *m = object->child; m != NULL; m = m->next) {
        if (m->string != NULL && strcmp(m->string, key) == 0) {
            return cJSON_IsNull(m) ? NULL : m;
        }
    }
    return NULL;
}

static enum cv_status refuse_unknown(const cJSON *object, const char *what,
                                     const struct cv_json_field *fields,
                                     size_t n, struct cv_err *err)
{
    for (const cJSON *m = object->child; m != NULL; m = m->next) {
        const char *key = m->string == NULL ? "" : m->string;
        if (find_field(fields, n, key) == NULL) {
            char shown[SHOWN_KEY];
            return cv_fail(
                err, CV_INVALID, "%s: unknown member \"%s\"", what,
                cv_err_quote(shown, sizeof(shown), key, strlen(key)));
        }
    }
    return CV_OK;
}

enum cv_status cv_json_read(const cJSON *object, const char *what,
                            const struct cv_json_field *fields, size_t n,
                            bool strict, struct cv_err *err)
{
    for (size_t i = 0; i < n; i++) {
        set_absent(&fields[i]);
    }
    if (!cJSON_IsObject(object)) {
        return cv_fail(err, CV_INVALID, "%s: not an object", what);
    }
    for (size_t i = 0; i < n; i++) {
        const cJSON *value = find_value(object, fields[i].key);
        if (value == NULL && fields[i].required) {
            return cv_fail(err, CV_INVALID, "%s: \"%s\" is missing", what,
                           fields[i].key);
        }
        if (value != NULL) {
            enum cv_status status = read_member(&fields[i], value, what, err);
            if (status != CV_OK) {
                return status;
            }
        }
    }
    return strict ? refuse_unknown(object, what, fields, n, err) : CV_OK;
}
