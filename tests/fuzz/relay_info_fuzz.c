/* Targets as a client may send them: what is taken is decided about, and is
 * never more than a grant that reads one namespace gives. */
#include "vault/relay/allow.h"
#include "vault/relay/info.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char *const methods[] = {"GET",   "HEAD",   "POST",   "PUT",
                                      "PATCH", "DELETE", "OPTIONS"};

static bool is_segment(const char *text)
{
    return strchr(text, '/') == NULL && strcmp(text, "..") != 0 &&
           strcmp(text, ".") != 0;
}

static void judge(const struct cv_info *info)
{
    static const char *const only[] = {"ns", NULL};
    static const char *const logs[] = {"pods", "pods/log", NULL};
    struct cv_grant grant;

    if (info->path[0] != '/' || strstr(info->path, "//") != NULL ||
        strstr(info->path, "/../") != NULL || !is_segment(info->resource) ||
        !is_segment(info->ns) || !is_segment(info->name) ||
        !is_segment(info->subresource) ||
        (info->is_resource && info->resource[0] == '\0') ||
        (!info->is_resource && info->resource[0] != '\0')) {
        abort();
    }
    memset(&grant, 0, sizeof(grant));
    grant.read_only = true;
    grant.namespaces = only;
    grant.resources = logs;
    for (int upgrade = 0; upgrade < 2; upgrade++) {
        if (cv_allow_decide(&grant, info, upgrade != 0, NULL) != CV_OK) {
            continue;
        }
        bool get = strcmp(info->method, "GET") == 0 ||
                   strcmp(info->method, "HEAD") == 0;
        bool ours = strcmp(info->ns, "ns") == 0 &&
                    strcmp(info->resource, "pods") == 0 &&
                    strcmp(info->subresource, "exec") != 0;
        if (!get || (info->is_resource && !ours)) {
            abort();
        }
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct cv_info info;

    if (size == 0) {
        return 0;
    }
    const char *method =
        methods[data[0] % (sizeof(methods) / sizeof(methods[0]))];
    struct cv_slice target = {(const char *)data + 1, size - 1};
    struct cv_slice name = target;
    if (cv_info_parse(cv_slice_of(method), target, &info, NULL) == CV_OK) {
        judge(&info);
    }
    /* The same bytes as a method and as a header. */
    (void)!cv_info_parse(name, cv_slice_of("/api"), &info, NULL);
    (void)cv_allow_header(name, target);
    return 0;
}
