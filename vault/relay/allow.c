#include "vault/relay/allow.h"

#include "vault/base/name.h"

#include <stdio.h>
#include <string.h>

#define SHOWN 80

static bool is_any(const char *text, const char *const *words, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        if (strcmp(text, words[i]) == 0) {
            return true;
        }
    }
    return false;
}

#define IS_ANY(text, words) \
    is_any((text), (words), sizeof(words) / sizeof((words)[0]))

/* Reaches into a pod or a node, whatever the method: a GET can be the
 * handshake of a shell. Protocols that are not known could be anything. */
static bool is_connect(const struct cv_info *info, bool upgrade)
{
    static const char *const reaching[] = {"exec", "attach", "portforward",
                                           "proxy"};

    if (!info->is_resource) {
        return upgrade;
    }
    if (IS_ANY(info->subresource, reaching) ||
        strcmp(info->verb, "proxy") == 0) {
        return true;
    }
    bool log = info->group[0] == '\0' && strcmp(info->resource, "pods") == 0 &&
               strcmp(info->subresource, "log") == 0 &&
               strcmp(info->verb, "get") == 0;
    return upgrade && !log && strcmp(info->verb, "watch") != 0;
}

/* Asks what the caller itself may do: made, answered, stored nowhere. */
static bool is_self_review(const struct cv_info *info)
{
    static const char *const rights[] = {"selfsubjectaccessreviews",
                                         "selfsubjectrulesreviews"};

    if (!info->is_resource || strcmp(info->verb, "create") != 0 ||
        info->subresource[0] != '\0' || info->ns[0] != '\0' ||
        info->name[0] != '\0') {
        return false;
    }
    return (strcmp(info->group, "authorization.k8s.io") == 0 &&
            IS_ANY(info->resource, rights)) ||
           (strcmp(info->group, "authentication.k8s.io") == 0 &&
            strcmp(info->resource, "selfsubjectreviews") == 0);
}

static bool is_get(const struct cv_info *info)
{
    return strcmp(info->method, "GET") == 0 ||
           strcmp(info->method, "HEAD") == 0;
}

/* Does it only read? */
static bool is_read(const struct cv_info *info, bool upgrade)
{
    static const char *const reads[] = {"get", "list", "watch"};

    if (is_connect(info, upgrade)) {
        return false;
    }
    if (!info->is_resource) {
        return is_get(info);
    }
    return (is_get(info) && IS_ANY(info->verb, reads)) || is_self_review(info);
}

/* Paths that clients read to find out what a server has. */
static bool is_discovery(const struct cv_info *info)
{
    static const char *const roots[] = {
        "api", "apis", "version", "openapi", "healthz", "livez", "readyz"};
    const char *first = info->path + 1;
    size_t len = strcspn(first, "/");

    if (info->is_resource || !is_get(info)) {
        return false;
    }
    for (size_t i = 0; i < sizeof(roots) / sizeof(roots[0]); i++) {
        if (strlen(roots[i]) == len && memcmp(first, roots[i], len) == 0) {
            return true;
        }
    }
    return len == 0;
}

/* One part of a pattern (`len` bytes of it) against a text. */
static bool fits(const char *pattern, size_t len, const char *text)
{
    char part[CV_LIMIT_HOST + 1];

    if (len > CV_LIMIT_HOST) {
        return false;
    }
    memcpy(part, pattern, len);
    part[len] = '\0';
    return cv_name_glob(part, text);
}

/* RESOURCE[.GROUP][/SUBRESOURCE] */
static bool fits_resource(const char *pattern, const struct cv_info *info)
{
    size_t left = strcspn(pattern, "/");
    size_t dot = strcspn(pattern, "./");
    const char *sub = pattern + left;

    if (strcmp(pattern, "*") == 0) {
        return true;
    }
    if (sub[0] == '/' ? info->subresource[0] == '\0' ||
                            !cv_name_glob(sub + 1, info->subresource)
                      : info->subresource[0] != '\0') {
        return false;
    }
    if (dot < left && !fits(pattern + dot + 1, left - dot - 1, info->group)) {
        return false;
    }
    return fits(pattern, dot, info->resource);
}

static bool permits_verb(const struct cv_grant *g, const struct cv_info *info,
                         bool upgrade)
{
    const char *verb = is_connect(info, upgrade) ? "create" : info->verb;

    if (g->verbs == NULL) {
        return true;
    }
    for (size_t i = 0; g->verbs[i] != NULL; i++) {
        if (strcmp(g->verbs[i], "*") == 0 ||
            (verb[0] != '\0' && strcmp(g->verbs[i], verb) == 0)) {
            return true;
        }
    }
    return false;
}

static bool permits_namespace(const struct cv_grant *g,
                              const struct cv_info *info)
{
    if (g->namespaces == NULL || is_self_review(info)) {
        return true;
    }
    for (size_t i = 0; info->ns[0] != '\0' && g->namespaces[i] != NULL; i++) {
        if (cv_name_glob(g->namespaces[i], info->ns)) {
            return true;
        }
    }
    return false;
}

static bool permits_resource(const struct cv_grant *g,
                             const struct cv_info *info)
{
    if (g->resources == NULL) {
        return true;
    }
    for (size_t i = 0; info->is_resource && g->resources[i] != NULL; i++) {
        if (fits_resource(g->resources[i], info)) {
            return true;
        }
    }
    return false;
}

/* What is asked for, in a form that may be shown: "pods/log" or a path. */
static const char *subject(const struct cv_info *info, char *out, size_t size)
{
    char resource[SHOWN];
    char sub[SHOWN];

    if (!info->is_resource) {
        return cv_err_quote(out, size, info->path, strlen(info->path));
    }
    cv_err_quote(resource, sizeof(resource), info->resource,
                 strlen(info->resource));
    cv_err_quote(sub, sizeof(sub), info->subresource,
                 strlen(info->subresource));
    (void)snprintf(out, size, "%s%s%s", resource, sub[0] != '\0' ? "/" : "",
                   sub);
    return out;
}

static enum cv_status deny(const struct cv_info *info, const char *limit,
                           const char *hint, struct cv_err *err)
{
    char what[2 * SHOWN + 1];
    const char *verb = info->verb[0] != '\0' ? info->verb : info->method;
    enum cv_status s =
        cv_fail(err, CV_DENIED, "the grant %s: %s of %s is denied", limit, verb,
                subject(info, what, sizeof(what)));

    cv_err_hint(err, "%s", hint);
    return s;
}

static enum cv_status deny_namespace(const struct cv_info *info,
                                     struct cv_err *err)
{
    char shown[SHOWN];

    if (info->ns[0] == '\0') {
        return deny(info, "is for some namespaces only",
                    "name a namespace that it is for (kubectl -n)", err);
    }
    enum cv_status s =
        cv_fail(err, CV_DENIED, "the grant is not for namespace %s",
                cv_err_quote(shown, sizeof(shown), info->ns, strlen(info->ns)));
    cv_err_hint(err, "`certvault policy explain` tells what is permitted");
    return s;
}

enum cv_status cv_allow_decide(const struct cv_grant *grant,
                               const struct cv_info *info, bool upgrade,
                               struct cv_err *err)
{
    static const char policy[] =
        "`certvault policy explain` tells what is permitted";

    if (is_discovery(info) && !upgrade) {
        return CV_OK;
    }
    if (grant->read_only && !is_read(info, upgrade)) {
        return deny(info, "is read-only",
                    "ask for one without --read-only, where the policy "
                    "gives it",
                    err);
    }
    if (!permits_verb(grant, info, upgrade)) {
        return deny(info, "is for other verbs", policy, err);
    }
    if (!permits_namespace(grant, info)) {
        return deny_namespace(info, err);
    }
    if (!permits_resource(grant, info)) {
        return deny(info, "is for other resources", policy, err);
    }
    return CV_OK;
}

bool cv_allow_is_recorded(const struct cv_grant *grant,
                          const struct cv_info *info, bool upgrade, bool permit)
{
    if (!permit || grant->record == CV_GRANT_ALL) {
        return true;
    }
    return grant->record == CV_GRANT_WRITES && !is_read(info, upgrade);
}
