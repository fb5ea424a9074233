#include "vault/broker/question_internal.h"

#include "vault/base/clock.h"
#include "vault/base/json.h"
#include "vault/base/utf8.h"

#include <string.h>

#define INTEGER_MAX 9007199254740991.0
#define LAST_SECOND 253402300799.0 /* 9999-12-31T23:59:59Z */

static bool add_text(cJSON *to, const char *key, const cJSON *value)
{
    char text[CV_QUESTION_TEXT + sizeof "..."];
    const uint8_t *p;
    size_t left, len = 0;

    if (!cJSON_IsString(value)) {
        return true;
    }
    p = (const uint8_t *)value->valuestring;
    left = strlen(value->valuestring);
    while (left > 0) {
        uint32_t point = 0;
        size_t n = cv_utf8_next(p, left, &point);
        const bool shown = n > 0 && cv_utf8_is_shown(point);
        const size_t more = shown ? n : 1;

        if (len + more > CV_QUESTION_TEXT) {
            memcpy(text + len, "...", 3);
            len += 3;
            break;
        }
        memcpy(text + len, shown ? p : (const uint8_t *)"?", more);
        len += more;
        n = n > 0 ? n : 1;
        p += n;
        left -= n;
    }
    text[len] = '\0';
    return cv_json_add_str(to, key, text);
}

static bool is_within(const cJSON *value, double most)
{
    return cJSON_IsNumber(value) && value->valuedouble >= 0 &&
           value->valuedouble <= most &&
           value->valuedouble == (double)(int64_t)value->valuedouble;
}

static bool add_number(cJSON *to, const char *key, const cJSON *value)
{
    return !is_within(value, INTEGER_MAX) ||
           cv_json_add_int(to, key, (int64_t)value->valuedouble);
}

static bool add_time(cJSON *to, const char *key, const cJSON *value)
{
    char time[CV_CLOCK_TEXT_LEN];

    return !is_within(value, LAST_SECOND) ||
           cv_json_add_str(to, key,
                           cv_clock_format((int64_t)value->valuedouble, time));
}

/* Whatever of these the parameters have: not every method has every one. */
static bool add_all(cJSON *to, const cJSON *from)
{
    static const struct {
        const char *parameter, *key;
        bool (*add)(cJSON *to, const char *key, const cJSON *value);
    } members[] = {
        {"name", "filter_entry", add_text},
        {"entry", "filter_entry", add_text},
        {"actor", "actor", add_text},
        {"action", "filter_action", add_text},
        {"outcome", "filter_outcome", add_text},
        {"since", "since", add_time},
        {"until", "until", add_time},
        {"limit", "limit", add_number},
        {"last", "limit", add_number},
        {"seq", "record", add_number},
    };
    bool ok = true;

    for (size_t i = 0; i < sizeof(members) / sizeof(members[0]) && ok; i++) {
        const cJSON *value =
            cJSON_GetObjectItemCaseSensitive(from, members[i].parameter);

        ok = value == NULL || cJSON_HasObjectItem(to, members[i].key) ||
             members[i].add(to, members[i].key, value);
    }
    return ok;
}

cJSON *cv_question_of(const char *method, const cJSON *parameters)
{
    struct cv_arena *before = cv_json_use(NULL);
    cJSON *o = cJSON_CreateObject();
    bool ok =
        cv_json_add_str(o, "method", method) && add_all(o, parameters) &&
        add_all(o, cJSON_GetObjectItemCaseSensitive(parameters, "filter"));

    if (!ok) {
        cJSON_Delete(o);
        o = NULL;
    }
    (void)cv_json_use(before);
    return o;
}

cJSON *cv_question_of_read(const struct cv_ask *ask)
{
    struct cv_arena *before;
    cJSON *o = cv_question_of(ask->method, NULL);
    bool changes = ask->action == CV_ACTION_ADMIN ||
                   ask->action == CV_ACTION_FETCH ||
                   ask->action == CV_ACTION_FETCH_SERVICE;

    before = cv_json_use(NULL);
    if (o != NULL && changes && !cv_json_add_bool(o, "read", true)) {
        cJSON_Delete(o);
        o = NULL;
    }
    (void)cv_json_use(before);
    return o;
}
