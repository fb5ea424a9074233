/* Anchor: a checkpoint of the log as a data object. */
#include "cli/module_methods_internal.h"
#include "pkcs11/data.h"
#include "vault/base/limits.h"

#include <stdio.h>
#include <string.h>

struct anchor {
    char label[96];
    const char *value; /* NULL: only read */
    struct cv_buf before;
};

static enum cv_status anchor_work(CK_FUNCTION_LIST *functions,
                                  CK_SESSION_HANDLE session, void *context,
                                  struct cv_err *err)
{
    struct anchor *a = context;
    enum cv_status s;

    cv_buf_wipe(&a->before);
    s = cv_data_read(functions, session, a->label, &a->before, err);
    return s == CV_OK && a->value != NULL
               ? cv_data_write(functions, session, a->label,
                               cv_module_read_text(a->value), err)
               : s;
}

CV_MODULE_METHOD(anchor_put)
{
    struct cv_module_face *face = context;
    struct cv_module_face_token *token;
    const char *uri = NULL, *id = NULL;
    struct anchor a = {.value = NULL};
    const struct cv_json_field fields[] = {
        {"token", CV_JSON_STRING, true, &uri, CV_LIMIT_TOKEN_URI},
        {"id", CV_JSON_STRING, true, &id, 64},
        {"value", CV_JSON_TEXT, false, &a.value, CV_KIB(4)},
    };
    enum cv_status s =
        cv_json_read(parameters, "Anchor", CV_MODULE_FIELDS(fields), true, err);

    cv_buf_init(&a.before, NULL, CV_LIMIT_ATTRIBUTE);
    if (s == CV_OK) {
        (void)snprintf(a.label, sizeof(a.label), "%s%s", CV_DATA_ANCHOR, id);
        s = cv_module_face_token(face, uri, &token, err);
    }
    if (s == CV_OK) {
        s = cv_module_face_do(face, token, a.value != NULL ? CV_SESSION_RW : 0,
                              anchor_work, &a, reply, err);
    }
    if (s == CV_OK && !cv_json_add_base64(cv_reply_parameters(reply), "before",
                                          cv_buf_bytes(&a.before))) {
        s = cv_fail(err, CV_INTERNAL, "memory is gone");
    }
    cv_buf_wipe(&a.before);
    return s;
}
