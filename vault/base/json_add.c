#include "vault/base/encode.h"
#include "vault/base/json.h"

bool cv_json_add_item(cJSON *object, const char *key, cJSON *item)
{
    if (object == NULL || item == NULL ||
        !cJSON_AddItemToObject(object, key, item)) {
        cJSON_Delete(item);
        return false;
    }
    return true;
}

bool cv_json_add_str(cJSON *object, const char *key, const char *text)
{
    if (text == NULL) {
        return object != NULL;
    }
    return cv_json_add_item(object, key, cJSON_CreateString(text));
}

bool cv_json_add_int(cJSON *object, const char *key, int64_t value)
{
    return cv_json_add_item(object, key, cJSON_CreateNumber((double)value));
}

bool cv_json_add_bool(cJSON *object, const char *key, bool value)
{
    return cv_json_add_item(object, key, cJSON_CreateBool(value));
}

/* The text is made where this thread's values are, so that no secret takes the
 * way over the heap. */
static bool add_encoded(cJSON *object, const char *key, struct cv_bytes data,
                        void (*encode)(struct cv_bytes, struct cv_buf *))
{
    struct cv_arena *arena = cv_json_use(NULL);
    (void)cv_json_use(arena);
    struct cv_buf text;
    cv_buf_init(&text, arena, SIZE_MAX - 1);
    encode(data, &text);
    bool ok = text.status == CV_OK &&
              cv_json_add_str(object, key, cv_buf_text(&text));
    cv_buf_wipe(&text);
    return ok;
}

bool cv_json_add_base64(cJSON *object, const char *key, struct cv_bytes data)
{
    return add_encoded(object, key, data, cv_encode_base64);
}

bool cv_json_add_hex(cJSON *object, const char *key, struct cv_bytes data)
{
    return add_encoded(object, key, data, cv_encode_hex);
}
