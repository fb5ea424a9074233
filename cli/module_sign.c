/* Sign. */
#include "cli/module_methods_internal.h"
#include "vault/base/limits.h"
#include "vault/seal/purpose.h"

static enum cv_status no_memory(struct cv_err *err)
{
    return cv_fail(err, CV_INTERNAL, "memory is gone");
}

CV_MODULE_METHOD(sign_data)
{
    struct cv_module_face *face = context;
    struct cv_module_face_token *token;
    struct cv_module_read_key read = {0};
    uint8_t digest[CV_BOX_DIGEST_LEN];
    const char *purpose = NULL, *algorithm = NULL, *text = NULL;
    const cJSON *key = NULL;
    const struct cv_json_field fields[] = {
        {"key", CV_JSON_OBJECT, true, &key, 0},
        {"purpose", CV_JSON_STRING, true, &purpose, 32},
        {"algorithm", CV_JSON_STRING, true, &algorithm, 32},
        {"data", CV_JSON_STRING, true, &text, CV_LIMIT_SIGN_DATA / 3 * 4 + 8},
    };
    struct cv_arena *arena = NULL;
    struct cv_bytes data;
    struct cv_buf signature;
    enum cv_status s =
        cv_json_read(parameters, "Sign", CV_MODULE_FIELDS(fields), true, err);

    cv_buf_init(&signature, NULL, CV_LIMIT_SIGNATURE);
    if (s == CV_OK) {
        s = cv_arena_new(CV_MODULE_ARENA, &arena, err);
    }
    if (s == CV_OK) {
        s = cv_module_read_key(key, arena, &read, err);
    }
    if (s == CV_OK) {
        s = cv_module_read_base64(text, "what is to be signed",
                                  CV_LIMIT_SIGN_DATA, arena, &data, err);
    }
    if (s == CV_OK) {
        cv_box_digest(read.key.spki, digest);
        s = cv_purpose_check(purpose, algorithm, data, digest, err);
    }
    if (s == CV_OK) {
        s = cv_module_face_token(face, read.token, &token, err);
    }
    if (s == CV_OK) {
        s = cv_module_face_failed(
            face, token,
            cv_sign(token->pool, &read.key, algorithm, data, &signature, err),
            reply, err);
    }
    cv_arena_free(arena);
    if (s == CV_OK &&
        !cv_json_add_base64(cv_reply_parameters(reply), "signature",
                            cv_buf_bytes(&signature))) {
        s = no_memory(err);
    }
    cv_buf_wipe(&signature);
    return s;
}
