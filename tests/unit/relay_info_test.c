/* Requests as kube-apiserver understands them. The tables follow the rules of
 * k8s.io/apiserver's RequestInfoFactory, case by case. */
#include "vault/relay/info.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

static const struct {
    const char *method, *target;
    const char *verb, *group, *version, *ns, *resource, *sub, *name;
} resources[] = {
    /* the core group */
    {"GET", "/api/v1/namespaces", "list", "", "v1", "", "namespaces", "", ""},
    {"GET", "/api/v1/namespaces/", "list", "", "v1", "", "namespaces", "", ""},
    {"GET", "/api/v1/namespaces/other", "get", "", "v1", "other", "namespaces",
     "", "other"},
    {"GET", "/api/v1/namespaces/other/pods", "list", "", "v1", "other", "pods",
     "", ""},
    {"GET", "/api/v1/namespaces/other/pods/foo", "get", "", "v1", "other",
     "pods", "", "foo"},
    {"HEAD", "/api/v1/namespaces/other/pods/foo", "get", "", "v1", "other",
     "pods", "", "foo"},
    {"GET", "/api/v1/pods", "list", "", "v1", "", "pods", "", ""},
    {"HEAD", "/api/v1/pods", "list", "", "v1", "", "pods", "", ""},
    {"GET", "/api/v1/nodes/n", "get", "", "v1", "", "nodes", "", "n"},
    {"POST", "/api/v1/pods", "create", "", "v1", "", "pods", "", ""},
    {"POST", "/api/v1/namespaces/other/pods", "create", "", "v1", "other",
     "pods", "", ""},
    {"PUT", "/api/v1/namespaces/other/pods/foo", "update", "", "v1", "other",
     "pods", "", "foo"},
    {"PATCH", "/api/v1/namespaces/other/pods/foo", "patch", "", "v1", "other",
     "pods", "", "foo"},
    {"DELETE", "/api/v1/namespaces/other/pods/foo", "delete", "", "v1", "other",
     "pods", "", "foo"},
    {"DELETE", "/api/v1/namespaces/other/pods", "deletecollection", "", "v1",
     "other", "pods", "", ""},
    {"DELETE", "/api/v1/nodes", "deletecollection", "", "v1", "", "nodes", "",
     ""},
    {"DELETE", "/api/v1/namespaces", "deletecollection", "", "v1", "",
     "namespaces", "", ""},
    {"OPTIONS", "/api/v1/pods", "", "", "v1", "", "pods", "", ""},
    /* subresources; those of a namespace are not resources in it */
    {"GET", "/api/v1/namespaces/other/pods/foo/log", "get", "", "v1", "other",
     "pods", "log", "foo"},
    {"GET", "/api/v1/namespaces/other/pods/foo/proxy/a/b", "get", "", "v1",
     "other", "pods", "proxy", "foo"},
    {"POST", "/api/v1/namespaces/other/pods/foo/exec?command=ls&stdin=true",
     "create", "", "v1", "other", "pods", "exec", "foo"},
    {"PUT", "/api/v1/namespaces/other/finalize", "update", "", "v1", "other",
     "namespaces", "finalize", "other"},
    {"PUT", "/api/v1/namespaces/other/status", "update", "", "v1", "other",
     "namespaces", "status", "other"},
    {"GET", "/api/v1/namespaces/other/statuses", "list", "", "v1", "other",
     "statuses", "", ""},
    {"GET", "/api/v1/namespaces/namespaces/namespaces/namespaces", "get", "",
     "v1", "namespaces", "namespaces", "", "namespaces"},
    /* groups */
    {"GET", "/apis/apps/v1/deployments", "list", "apps", "v1", "",
     "deployments", "", ""},
    {"GET", "/apis/apps/v1/namespaces/x/deployments/d/scale", "get", "apps",
     "v1", "x", "deployments", "scale", "d"},
    {"DELETE", "/apis/extensions/v1beta3/namespaces/x/pods", "deletecollection",
     "extensions", "v1beta3", "x", "pods", "", ""},
    {"GET", "/apis/rbac.authorization.k8s.io/v1/clusterroles/system:node",
     "get", "rbac.authorization.k8s.io", "v1", "", "clusterroles", "",
     "system:node"},
    {"GET", "/apis/a/b/c/d/e/f/g/h/i/j/k", "get", "a", "b", "", "c", "e", "d"},
    /* the prefixes of old */
    {"GET", "/api/v1/watch/pods", "watch", "", "v1", "", "pods", "", ""},
    {"GET", "/api/v1/watch/namespaces/other/pods/foo", "watch", "", "v1",
     "other", "pods", "", "foo"},
    {"GET", "/apis/apps/v1/watch/namespaces/o/deployments", "watch", "apps",
     "v1", "o", "deployments", "", ""},
    {"GET", "/api/v1/proxy/namespaces/other/pods/foo", "proxy", "", "v1",
     "other", "pods", "", "foo"},
    {"GET", "/api/v1/proxy/namespaces/other/pods/foo/sub/x", "proxy", "", "v1",
     "other", "pods", "", "foo"},
    {"POST", "/api/v1/proxy/nodes/n/exec", "proxy", "", "v1", "", "nodes", "",
     "n"},
    /* a list that is a watch */
    {"GET", "/api/v1/pods?watch=true", "watch", "", "v1", "", "pods", "", ""},
    {"GET", "/api/v1/pods?watch=1", "watch", "", "v1", "", "pods", "", ""},
    {"GET", "/api/v1/pods?watch", "watch", "", "v1", "", "pods", "", ""},
    {"GET", "/api/v1/pods?watch=", "watch", "", "v1", "", "pods", "", ""},
    {"GET", "/api/v1/pods?watch=yes", "watch", "", "v1", "", "pods", "", ""},
    {"GET", "/api/v1/pods?w%61tch=tru%65", "watch", "", "v1", "", "pods", "",
     ""},
    {"GET", "/api/v1/pods?limit=5&watch=true&x=y", "watch", "", "v1", "",
     "pods", "", ""},
    {"GET", "/api/v1/pods?watch=true&watch=1", "watch", "", "v1", "", "pods",
     "", ""},
    {"GET", "/api/v1/pods?watch=0", "list", "", "v1", "", "pods", "", ""},
    {"GET", "/api/v1/pods?watch=FALSE", "list", "", "v1", "", "pods", "", ""},
    {"GET", "/api/v1/pods?Watch=true", "list", "", "v1", "", "pods", "", ""},
    {"GET", "/api/v1/pods?", "list", "", "v1", "", "pods", "", ""},
    {"GET", "/api/v1/pods?&&a=b&", "list", "", "v1", "", "pods", "", ""},
    /* one object is not watched that way */
    {"GET", "/api/v1/namespaces/x/pods/p?watch=true", "get", "", "v1", "x",
     "pods", "", "p"},
    {"POST", "/api/v1/namespaces/x/pods?watch=true", "create", "", "v1", "x",
     "pods", "", ""},
    /* a list that names one */
    {"GET", "/api/v1/namespaces/x/pods?fieldSelector=metadata.name%3Dp", "list",
     "", "v1", "x", "pods", "", "p"},
    {"GET", "/api/v1/pods?watch=1&fieldSelector=metadata.name=p", "watch", "",
     "v1", "", "pods", "", "p"},
    {"GET", "/api/v1/pods?fieldSelector=metadata.name==p", "list", "", "v1", "",
     "pods", "", "p"},
    {"GET", "/api/v1/pods?fieldSelector=a=b,metadata.name=p,c!=d", "list", "",
     "v1", "", "pods", "", "p"},
    {"GET", "/api/v1/pods?fieldSelector=,metadata.name=a%5C,b,", "list", "",
     "v1", "", "pods", "", "a,b"},
    {"GET", "/api/v1/pods?fieldSelector=metadata.name!=p", "list", "", "v1", "",
     "pods", "", ""},
    {"GET", "/api/v1/pods?fieldSelector=metadata.name", "list", "", "v1", "",
     "pods", "", ""},
    {"GET", "/api/v1/pods?fieldSelector=metadata.name=p,x", "list", "", "v1",
     "", "pods", "", ""},
    {"GET", "/api/v1/pods?fieldSelector=metadata.name=p=q", "list", "", "v1",
     "", "pods", "", ""},
    {"GET", "/api/v1/pods?fieldSelector=metadata.name=p%5Cq", "list", "", "v1",
     "", "pods", "", ""},
    {"GET", "/api/v1/pods?fieldSelector=metadata.name=..", "list", "", "v1", "",
     "pods", "", ""},
    {"GET", "/api/v1/pods?fieldSelector=metadata.name=a%2Fb", "list", "", "v1",
     "", "pods", "", ""},
    {"GET", "/api/v1/pods?fieldSelector=spec.nodeName=n", "list", "", "v1", "",
     "pods", "", ""},
    /* so is no delete */
    {"DELETE", "/api/v1/namespaces/x/pods?fieldSelector=metadata.name=p",
     "deletecollection", "", "v1", "x", "pods", "", ""},
    /* escapes stand for what they stand for */
    {"GET", "/api/v1/namespaces/%78/p%6fds/a%20b", "get", "", "v1", "x", "pods",
     "", "a b"},
    {"GET", "/%61pi/v1/pods/p", "get", "", "v1", "", "pods", "", "p"},
    {"GET", "/api/v1/namespaces/x/pods/a%3Fb", "get", "", "v1", "x", "pods", "",
     "a?b"},
    {"GET", "/api/v1/namespaces/x/pods/a+b", "get", "", "v1", "x", "pods", "",
     "a+b"},
    {"GET", "/api/v1/namespaces/x/pods/%C3%A4", "get", "", "v1", "x", "pods",
     "", "\xc3\xa4"},
    {"GET", "/api/v1/namespaces/x/pods/...", "get", "", "v1", "x", "pods", "",
     "..."},
};

static void reads_resources(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(resources) / sizeof(resources[0]); i++) {
        struct cv_info info;
        struct cv_err err;

        print_message("%s %s\n", resources[i].method, resources[i].target);
        cv_err_init(&err);
        assert_int_equal(cv_info_parse(cv_slice_of(resources[i].method),
                                       cv_slice_of(resources[i].target), &info,
                                       &err),
                         CV_OK);
        assert_true(info.is_resource);
        assert_string_equal(info.method, resources[i].method);
        assert_string_equal(info.verb, resources[i].verb);
        assert_string_equal(info.group, resources[i].group);
        assert_string_equal(info.version, resources[i].version);
        assert_string_equal(info.ns, resources[i].ns);
        assert_string_equal(info.resource, resources[i].resource);
        assert_string_equal(info.subresource, resources[i].sub);
        assert_string_equal(info.name, resources[i].name);
    }
}

static const struct {
    const char *method, *target, *verb, *path;
} others[] = {
    {"GET", "/", "get", "/"},
    {"GET", "/api", "get", "/api"},
    {"GET", "/api/", "get", "/api/"},
    {"GET", "/api/v1", "get", "/api/v1"},
    {"GET", "/api/v1/", "get", "/api/v1/"},
    {"GET", "/apis", "get", "/apis"},
    {"GET", "/apis/apps", "get", "/apis/apps"},
    {"GET", "/apis/apps/v1", "get", "/apis/apps/v1"},
    {"GET", "/apis/apps/v1/", "get", "/apis/apps/v1/"},
    {"POST", "/apis/apps/v1", "post", "/apis/apps/v1"},
    {"HEAD", "/version", "head", "/version"},
    {"GET", "/version?timeout=32s;x", "get", "/version"},
    {"GET", "/healthz/ping", "get", "/healthz/ping"},
    {"GET", "/openapi/v3/apis/apps/v1?hash=A%zz", "get",
     "/openapi/v3/apis/apps/v1"},
    {"DELETE", "/logs/x", "delete", "/logs/x"},
    {"OPTIONS", "/x/y/z/w", "options", "/x/y/z/w"},
    {"GET", "/API/v1/pods", "get", "/API/v1/pods"},
    {"GET", "/apisx/v1/pods/x", "get", "/apisx/v1/pods/x"},
};

static void reads_other_paths(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++) {
        struct cv_info info;

        print_message("%s %s\n", others[i].method, others[i].target);
        assert_int_equal(cv_info_parse(cv_slice_of(others[i].method),
                                       cv_slice_of(others[i].target), &info,
                                       NULL),
                         CV_OK);
        assert_false(info.is_resource);
        assert_string_equal(info.verb, others[i].verb);
        assert_string_equal(info.path, others[i].path);
        assert_string_equal(info.resource, "");
        assert_string_equal(info.ns, "");
        assert_string_equal(info.name, "");
    }
}

static const struct {
    const char *method, *target;
} refused[] = {
    /* methods */
    {"", "/api"},
    {"get", "/api"},
    {"GET ", "/api"},
    {"TRACE", "/api"},
    {"CONNECT", "/api"},
    {"PROPFIND", "/api"},
    {"WATCH", "/api/v1/pods"},
    /* forms of a target */
    {"GET", ""},
    {"GET", "*"},
    {"OPTIONS", "*"},
    {"GET", "api/v1/pods"},
    {"GET", "https://127.0.0.1/api"},
    {"GET", "?watch=1"},
    /* slashes and dots that can be read in two ways */
    {"GET", "//api/v1/pods"},
    {"GET", "/api//v1/pods"},
    {"GET", "/api/v1/pods//"},
    {"GET", "//"},
    {"GET", "/."},
    {"GET", "/.."},
    {"GET", "/api/v1/../v1/pods"},
    {"GET", "/api/v1/./pods"},
    {"GET", "/api/v1/pods/.."},
    {"GET", "/api/v1/namespaces/x/pods/%2e%2e"},
    {"GET", "/api/v1/namespaces/x/pods/.%2E/secrets"},
    {"GET", "/api/v1/namespaces/x/services/s/proxy/../x"},
    {"GET", "/api%2Fv1/pods"},
    {"GET", "/api/v1/namespaces/x%2Fpods"},
    {"GET", "/api/v1/namespaces/x%5Cpods"},
    {"GET", "/api/v1\\pods"},
    {"GET", "/api/v1/namespaces/x/pods/a%252Fb"},
    {"GET", "/api/v1/pods/%"},
    {"GET", "/api/v1/pods/%2"},
    {"GET", "/api/v1/pods/%zz"},
    {"GET", "/api/v1/pods/%00"},
    {"GET", "/api/v1/pods/%0a"},
    {"GET", "/api/v1/pods/%7F"},
    {"GET", "/api/v1/pods/%c0%ae%c0%ae"},
    {"GET", "/api/v1/pods/%ff"},
    {"GET", "/api/v1/pods/\xc3\xa4"},
    {"GET", "/api/v1/pods/%E2%80%AE"},
    {"GET", "/api/v1/pods#x"},
    {"GET", "/api/v1/pods x"},
    {"GET", "/api/v1/pods|x"},
    {"GET", "/api/v1/pods\"x"},
    /* verbs with nothing behind */
    {"GET", "/api/v1/watch"},
    {"GET", "/api/v1/watch/"},
    {"GET", "/api/v1/proxy"},
    {"GET", "/apis/apps/v1/watch"},
    {"POST", "/api/v1/watch/pods"},
    {"DELETE", "/api/v1/watch/namespaces/x/pods"},
    /* queries of a list */
    {"GET", "/api/v1/pods?watch=0&watch=1"},
    {"GET", "/api/v1/pods?watch=1&w%61tch=0"},
    {"GET", "/api/v1/pods?watch=1;x"},
    {"GET", "/api/v1/pods?a=%"},
    {"GET", "/api/v1/pods?watch=%zz"},
    {"GET", "/api/v1/pods?fieldSelector=a=b&fieldSelector=metadata.name=x"},
    {"GET", "/api/v1/pods?a=b c"},
    {"GET", "/api/v1/pods?a=b#c"},
    {"GET", "/api/v1/namespaces/x/pods/p?a=\xc3\xa4"},
};

static void refuses_what_is_ambiguous(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(refused) / sizeof(refused[0]); i++) {
        struct cv_info info;
        struct cv_err err;

        cv_err_init(&err);
        print_message("%s %s\n", refused[i].method, refused[i].target);
        assert_int_equal(cv_info_parse(cv_slice_of(refused[i].method),
                                       cv_slice_of(refused[i].target), &info,
                                       &err),
                         CV_INVALID);
        assert_int_not_equal(err.text[0], '\0');
        assert_string_equal(info.path, "");
        assert_string_equal(info.verb, "");
    }
}

/* A NUL ends no path: slices are longer than C strings. */
static void sees_behind_a_nul(void **state)
{
    static const char text[] = "/api/v1/pods\0/x";
    struct cv_slice target = {text, sizeof(text) - 1};
    struct cv_info info;

    (void)state;
    assert_int_equal(cv_info_parse(cv_slice_of("GET"), target, &info, NULL),
                     CV_INVALID);
}

static void keeps_to_its_room(void **state)
{
    static char text[3 * CV_LIMIT_RELAY_PATH + 64];
    struct cv_slice target = {text, CV_LIMIT_RELAY_PATH};
    struct cv_info info;

    (void)state;
    memset(text, 'a', sizeof(text));
    text[0] = '/';
    assert_int_equal(cv_info_parse(cv_slice_of("GET"), target, &info, NULL),
                     CV_OK);
    assert_int_equal(strlen(info.path), CV_LIMIT_RELAY_PATH);
    target.len++;
    assert_int_equal(cv_info_parse(cv_slice_of("GET"), target, &info, NULL),
                     CV_INVALID);
    /* Escaped it is three times as long, and fits. */
    for (size_t i = 1; i < 1 + 3 * (size_t)(CV_LIMIT_RELAY_PATH - 1); i += 3) {
        memcpy(text + i, "%61", 3);
    }
    target.len = 1 + 3 * (size_t)(CV_LIMIT_RELAY_PATH - 1);
    assert_int_equal(cv_info_parse(cv_slice_of("GET"), target, &info, NULL),
                     CV_OK);
    assert_int_equal(strlen(info.path), CV_LIMIT_RELAY_PATH);
}

/* A selector that is too long is none; the list is one all the same. */
static void passes_over_long_selectors(void **state)
{
    static char text[2 * CV_LIMIT_RELAY_NAME];
    static const char start[] =
        "/api/v1/pods?watch=1&fieldSelector=metadata.name=";
    struct cv_info info;
    size_t room = CV_LIMIT_RELAY_NAME - strlen("metadata.name=");
    struct cv_slice target = {text, strlen(start) + room};

    (void)state;
    memset(text, 'n', sizeof(text));
    memcpy(text, start, strlen(start));
    assert_int_equal(cv_info_parse(cv_slice_of("GET"), target, &info, NULL),
                     CV_OK);
    assert_int_equal(strlen(info.name), room);
    target.len++;
    assert_int_equal(cv_info_parse(cv_slice_of("GET"), target, &info, NULL),
                     CV_OK);
    assert_string_equal(info.name, "");
    assert_string_equal(info.verb, "watch");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_resources),
        cmocka_unit_test(reads_other_paths),
        cmocka_unit_test(refuses_what_is_ambiguous),
        cmocka_unit_test(sees_behind_a_nul),
        cmocka_unit_test(keeps_to_its_room),
        cmocka_unit_test(passes_over_long_selectors),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
