/* Probe: what a token can do. */
#include "cli/module_methods_internal.h"
#include "pkcs11/probe.h"

static enum cv_status no_memory(struct cv_err *err)
{
    return cv_fail(err, CV_INTERNAL, "memory is gone");
}

struct probing {
    bool destructive;
    cJSON *report;
};

static enum cv_status probe_work(CK_FUNCTION_LIST *functions,
                                 CK_SESSION_HANDLE session, void *context,
                                 struct cv_err *err)
{
    struct probing *p = context;

    cJSON_Delete(p->report);
    return cv_probe_token(functions, session, p->destructive, &p->report, err);
}

CV_MODULE_METHOD(probe_token)
{
    struct cv_module_face *face = context;
    struct cv_module_face_token *token;
    struct probing p = {false, NULL};
    const char *uri = NULL;
    const struct cv_json_field fields[] = {
        {"token", CV_JSON_STRING, true, &uri, CV_LIMIT_TOKEN_URI},
        {"destructive", CV_JSON_BOOL, true, &p.destructive, 0},
    };
    enum cv_status s =
        cv_json_read(parameters, "Probe", CV_MODULE_FIELDS(fields), true, err);

    if (s == CV_OK) {
        s = cv_module_face_token(face, uri, &token, err);
    }
    if (s == CV_OK) {
        s = cv_module_face_do(face, token,
                              p.destructive ? CV_SESSION_RW | CV_SESSION_USER |
                                                  CV_SESSION_ONCE
                                            : 0,
                              probe_work, &p, reply, err);
    }
    if (p.report != NULL &&
        !cv_json_add_item(s == CV_OK ? cv_reply_parameters(reply)
                                     : cv_reply_failure(reply),
                          "report", p.report)) {
        s = s == CV_OK ? no_memory(err) : s;
    }
    return s;
}
