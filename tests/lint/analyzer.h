/* What clang's analyzer cannot know, since it sees one file at a time: that
 * cv_fail gives back the status it was given, and that cJSON's questions say no
 * for NULL. tidy.py includes this in front of each file; no program does. */
#ifndef CERTVAULT_TESTS_LINT_ANALYZER_H
#define CERTVAULT_TESTS_LINT_ANALYZER_H

#include "vault/base/err.h"

#include <cjson/cJSON.h>

static inline enum cv_status cv_analyzer(enum cv_status said,
                                         enum cv_status status)
{
    (void)said;
    return status;
}

#undef cv_fail
#define cv_fail(e, status, ...)                                        \
    cv_analyzer(cv_err_set((e), (status), CV_DOMAIN_NONE, 0, __FILE__, \
                           __LINE__, __VA_ARGS__),                     \
                (status))
#undef cv_fail_errno
#define cv_fail_errno(e, status, ...)                                     \
    cv_analyzer(                                                          \
        cv_err_set_errno((e), (status), __FILE__, __LINE__, __VA_ARGS__), \
        (status))
#undef cv_fail_native
#define cv_fail_native(e, status, domain, native, ...)                  \
    cv_analyzer(cv_err_set((e), (status), (domain), (native), __FILE__, \
                           __LINE__, __VA_ARGS__),                      \
                (status))
#undef cv_pass
#define cv_pass(e, status) \
    cv_analyzer(cv_err_frame((e), (status), __FILE__, __LINE__), (status))

#define cJSON_IsString(v) ((v) != NULL && (cJSON_IsString)(v))
#define cJSON_IsNumber(v) ((v) != NULL && (cJSON_IsNumber)(v))
#define cJSON_IsArray(v) ((v) != NULL && (cJSON_IsArray)(v))
#define cJSON_IsObject(v) ((v) != NULL && (cJSON_IsObject)(v))
#define cJSON_IsBool(v) ((v) != NULL && (cJSON_IsBool)(v))
#define cJSON_IsTrue(v) ((v) != NULL && (cJSON_IsTrue)(v))
#define cJSON_IsNull(v) ((v) != NULL && (cJSON_IsNull)(v))

#endif
