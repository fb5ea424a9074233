#include "cli/module_methods_internal.h"
#include "vault/base/encode.h"
#include "vault/base/limits.h"

#include <string.h>

struct cv_bytes cv_module_read_text(const char *text)
{
    return (struct cv_bytes){(const uint8_t *)text,
                             text != NULL ? strlen(text) : 0};
}

enum cv_status cv_module_read_base64(const char *text, const char *what,
                                     size_t max, struct cv_arena *arena,
                                     struct cv_bytes *out, struct cv_err *err)
{
    struct cv_buf buf;
    enum cv_status s;

    cv_buf_init(&buf, arena, max);
    s = cv_decode_base64(text, strlen(text), false, what, &buf, err);
    *out = cv_buf_bytes(&buf);
    return s;
}

enum cv_status cv_module_read_id(const char *hex, struct cv_arena *arena,
                                 struct cv_bytes *out, struct cv_err *err)
{
    size_t len = strlen(hex) / 2;
    uint8_t *id;
    enum cv_status s;

    if (len == 0 || len > CV_LIMIT_TOKEN_ID) {
        return cv_fail(err, CV_INVALID, "the id of a key: 1 to %d bytes",
                       CV_LIMIT_TOKEN_ID);
    }
    id = cv_arena_alloc(arena, len, err);
    if (id == NULL) {
        return CV_INTERNAL;
    }
    s = cv_decode_hex_exact(hex, "the id of a key", id, len, err);
    *out = (struct cv_bytes){id, len};
    return s;
}

enum cv_status cv_module_read_key(const cJSON *json, struct cv_arena *arena,
                                  struct cv_module_read_key *out,
                                  struct cv_err *err)
{
    const char *id = NULL, *spki = NULL;
    const struct cv_json_field fields[] = {
        {"token", CV_JSON_STRING, true, &out->token, CV_LIMIT_TOKEN_URI},
        {"id", CV_JSON_STRING, true, &id, 2 * CV_LIMIT_TOKEN_ID},
        {"spki", CV_JSON_STRING, true, &spki, CV_LIMIT_KEY_DER},
        {"label", CV_JSON_STRING, false, &out->label, 0},
    };
    enum cv_status s =
        cv_json_read(json, "the key", CV_MODULE_FIELDS(fields), true, err);

    if (s == CV_OK) {
        s = cv_module_read_id(id, arena, &out->key.id, err);
    }
    return s == CV_OK
               ? cv_module_read_base64(spki, "the public key", CV_LIMIT_KEY_DER,
                                       arena, &out->key.spki, err)
               : s;
}

enum cv_status cv_module_read_token(struct cv_module_face *face,
                                    const cJSON *parameters, const char *what,
                                    struct cv_module_face_token **out,
                                    struct cv_err *err)
{
    const char *uri = NULL;
    const struct cv_json_field fields[] = {
        {"token", CV_JSON_STRING, true, &uri, CV_LIMIT_TOKEN_URI},
    };
    enum cv_status s =
        cv_json_read(parameters, what, CV_MODULE_FIELDS(fields), true, err);

    *out = NULL;
    return s == CV_OK ? cv_module_face_token(face, uri, out, err) : s;
}
