/* What a grant permits, what is recorded of it, which headers go along. */
#include "tests/unit/relay_test.h"
#include "vault/relay/allow.h"

#include <stdio.h>
#include <string.h>

struct limits {
    const char *read_only, *verbs, *namespaces, *resources;
};

static struct cv_grant *grant_of(const struct limits *l, const char *record)
{
    struct cv_grant *g = NULL;
    char json[2048];

    (void)snprintf(json, sizeof(json),
                   "{\"read_only\":%s,\"verbs\":%s,\"namespaces\":%s,"
                   "\"resources\":%s,\"record\":\"%s\"}",
                   l->read_only, l->verbs, l->namespaces, l->resources, record);
    cJSON *tree = grant_tree(NULL, NULL);
    cJSON *more = cJSON_Parse(json);
    assert_non_null(more);
    while (more->child != NULL) {
        cJSON *item = cJSON_DetachItemViaPointer(more, more->child);

        cJSON_DeleteItemFromObjectCaseSensitive(tree, item->string);
        assert_true(cJSON_AddItemToObject(tree, item->string, item));
    }
    assert_int_equal(cv_grant_parse(tree, &g, NULL), CV_OK);
    cJSON_Delete(more);
    cJSON_Delete(tree);
    return g;
}

static void info_of(const char *request, struct cv_info *info)
{
    const char *space = strchr(request, ' ');
    struct cv_slice method = {request, (size_t)(space - request)};

    assert_int_equal(cv_info_parse(method, cv_slice_of(space + 1), info, NULL),
                     CV_OK);
}

/* `request` may begin with '^': it asks for an upgrade. */
static bool permits(const struct cv_grant *g, const char *request,
                    struct cv_err *err)
{
    struct cv_info info;
    bool upgrade = request[0] == '^';

    info_of(request + (upgrade ? 1 : 0), &info);
    enum cv_status s = cv_allow_decide(g, &info, upgrade, err);
    assert_true(s == CV_OK || s == CV_DENIED);
    return s == CV_OK;
}

struct row {
    bool permit;
    const char *request;
};

static void check(const struct limits *l, const struct row *rows, size_t n)
{
    struct cv_grant *g = grant_of(l, "writes");

    for (size_t i = 0; i < n; i++) {
        struct cv_err err;

        cv_err_init(&err);
        print_message("%s\n", rows[i].request);
        assert_int_equal(permits(g, rows[i].request, &err), rows[i].permit);
        assert_true(rows[i].permit || (err.text[0] != '\0' && err.hint[0]));
    }
    cv_grant_unref(g);
}

#define CHECK(limits, rows) \
    check(&(limits), (rows), sizeof(rows) / sizeof((rows)[0]))

static void without_limits_all_passes(void **state)
{
    static const struct limits none = {"false", "null", "null", "null"};
    static const struct row rows[] = {
        {true, "GET /api/v1/pods"},
        {true, "DELETE /api/v1/nodes"},
        {true, "OPTIONS /api/v1/pods"},
        {true, "^GET /api/v1/namespaces/x/pods/p/exec?command=sh"},
        {true, "^POST /api/v1/namespaces/x/pods/p/portforward"},
        {true, "GET /metrics"},
        {true, "POST /x"},
    };

    (void)state;
    CHECK(none, rows);
}

static void read_only_reads_only(void **state)
{
    static const struct limits read_only = {"true", "null", "null", "null"};
    static const struct row rows[] = {
        {true, "GET /api/v1/pods"},
        {true, "HEAD /api/v1/pods"},
        {true, "GET /api/v1/pods?watch=1"},
        {true, "GET /api/v1/watch/pods"},
        {true, "GET /api/v1/namespaces/x/pods/p"},
        {true, "GET /api/v1/namespaces/x/pods/p/log?follow=true"},
        {true, "^GET /api/v1/namespaces/x/pods/p/log?follow=true"},
        {true, "^GET /api/v1/pods?watch=1"},
        {true, "GET /api/v1/namespaces/x/pods/p/status"},
        {true, "GET /apis/apps/v1/namespaces/x/deployments/d/scale"},
        {true, "GET /version"},
        {true, "GET /metrics"},
        {true, "HEAD /healthz"},
        {true, "POST /apis/authorization.k8s.io/v1/selfsubjectaccessreviews"},
        {true, "POST /apis/authorization.k8s.io/v1/selfsubjectrulesreviews"},
        {true, "POST /apis/authentication.k8s.io/v1/selfsubjectreviews"},
        {false, "POST /apis/authorization.k8s.io/v1/subjectaccessreviews"},
        {false, "POST /apis/x.example/v1/selfsubjectaccessreviews"},
        {false, "POST /api/v1/selfsubjectaccessreviews"},
        {false, "POST /apis/authorization.k8s.io/v1/namespaces/x/"
                "selfsubjectaccessreviews"},
        {false, "DELETE /apis/authorization.k8s.io/v1/"
                "selfsubjectaccessreviews/x"},
        {false, "POST /api/v1/namespaces/x/pods"},
        {false, "PUT /api/v1/namespaces/x/pods/p"},
        {false, "PATCH /api/v1/namespaces/x/pods/p"},
        {false, "DELETE /api/v1/namespaces/x/pods/p"},
        {false, "DELETE /api/v1/namespaces/x/pods"},
        {false, "OPTIONS /api/v1/pods"},
        {false, "POST /api/v1/namespaces/x/pods/p/eviction"},
        {false, "POST /api/v1/namespaces/x/serviceaccounts/s/token"},
        /* writes that come as a GET */
        {false, "GET /api/v1/namespaces/x/pods/p/exec?command=sh"},
        {false, "^GET /api/v1/namespaces/x/pods/p/exec?command=sh"},
        {false, "^GET /api/v1/namespaces/x/pods/p/attach"},
        {false, "^GET /api/v1/namespaces/x/pods/p/portforward"},
        {false, "GET /api/v1/namespaces/x/pods/p/proxy/shutdown"},
        {false, "GET /api/v1/namespaces/x/services/s/proxy/"},
        {false, "GET /api/v1/nodes/n/proxy/exec/x/y/z"},
        {false, "GET /api/v1/proxy/nodes/n"},
        {false, "GET /api/v1/proxy/namespaces/x/pods/p"},
        {false, "^GET /apis/subresources.kubevirt.io/v1/namespaces/x/"
                "virtualmachineinstances/v/vnc"},
        {false, "^GET /api/v1/namespaces/x/pods/p"},
        {false, "^GET /apis/x.example/v1/namespaces/x/pods/p/log"},
        {false, "^GET /version"},
        {false, "^GET /logs/x"},
        {false, "POST /version"},
        {false, "OPTIONS /x"},
    };

    (void)state;
    CHECK(read_only, rows);
}

static void verbs_are_exact(void **state)
{
    static const struct limits some = {"false", "[\"get\",\"list\",\"patch\"]",
                                       "null", "null"};
    static const struct row rows[] = {
        {true, "GET /api/v1/namespaces/x/pods/p"},
        {true, "GET /api/v1/pods"},
        {true, "PATCH /api/v1/namespaces/x/pods/p"},
        {true, "GET /metrics"},
        {true, "GET /api"},
        {true, "HEAD /openapi/v2"},
        {false, "GET /api/v1/pods?watch=1"},
        {false, "POST /api/v1/namespaces/x/pods"},
        {false, "DELETE /api/v1/namespaces/x/pods"},
        {false, "OPTIONS /api/v1/pods"},
        {false, "HEAD /metrics"},
        /* create, under RBAC of new and by what they do */
        {false, "^GET /api/v1/namespaces/x/pods/p/exec"},
        {false, "GET /api/v1/namespaces/x/pods/p/proxy/x"},
        {false, "POST /apis/authorization.k8s.io/v1/selfsubjectaccessreviews"},
    };
    static const struct limits create = {"false", "[\"create\"]", "null",
                                         "null"};
    static const struct row creates[] = {
        {true, "^GET /api/v1/namespaces/x/pods/p/exec"},
        {true, "^POST /api/v1/namespaces/x/pods/p/exec"},
        {true, "GET /api/v1/namespaces/x/pods/p/proxy/x"},
        {true, "POST /api/v1/namespaces/x/pods"},
        {true, "POST /apis/authorization.k8s.io/v1/selfsubjectaccessreviews"},
        {false, "GET /api/v1/namespaces/x/pods/p"},
        {false, "GET /api/v1/namespaces/x/pods/p/log"},
    };
    static const struct limits any = {"false", "[\"*\"]", "null", "null"};
    static const struct row anything[] = {
        {true, "DELETE /api/v1/pods"},
        {true, "OPTIONS /api/v1/pods"},
        {true, "^GET /api/v1/namespaces/x/pods/p/exec"},
    };

    (void)state;
    CHECK(some, rows);
    CHECK(create, creates);
    CHECK(any, anything);
}

static void namespaces_hold(void **state)
{
    static const struct limits some = {"false", "null",
                                       "[\"payments\",\"team-*\"]", "null"};
    static const struct row rows[] = {
        {true, "GET /api/v1/namespaces/payments/pods"},
        {true, "DELETE /api/v1/namespaces/team-a/pods/p"},
        {true, "GET /apis/apps/v1/namespaces/team-/deployments"},
        {true, "GET /api/v1/namespaces/payments"},
        {true, "PUT /api/v1/namespaces/payments/status"},
        {true, "^GET /api/v1/namespaces/payments/pods/p/exec"},
        {true, "POST /apis/authorization.k8s.io/v1/selfsubjectaccessreviews"},
        {true, "GET /"},
        {true, "GET /api"},
        {true, "GET /api/v1"},
        {true, "GET /apis/apps/v1"},
        {true, "GET /version"},
        {true, "GET /openapi/v3"},
        {true, "GET /healthz"},
        {true, "GET /livez/ping"},
        {true, "GET /readyz"},
        {false, "GET /api/v1/pods"},
        {false, "GET /api/v1/namespaces"},
        {false, "GET /api/v1/nodes/n"},
        {false, "GET /api/v1/namespaces/payment/pods"},
        {false, "GET /api/v1/namespaces/paymentss/pods"},
        {false, "GET /api/v1/namespaces/PAYMENTS/pods"},
        {false, "GET /api/v1/namespaces/xteam-a/pods"},
        {false, "DELETE /api/v1/namespaces/kube-system"},
        {false, "GET /apis/rbac.authorization.k8s.io/v1/clusterroles"},
        {false, "GET /metrics"},
        {false, "GET /logs/"},
        {false, "GET /apix"},
        {false, "POST /version"},
        {false, "^GET /version"},
    };

    static const struct limits any = {"false", "null", "[\"*\"]", "null"};
    static const struct row anywhere[] = {
        {true, "GET /api/v1/namespaces/x/pods"},
        {false, "GET /api/v1/pods"}, /* all of them is more than any of them */
        {false, "DELETE /api/v1/nodes"},
    };

    (void)state;
    CHECK(any, anywhere);
    CHECK(some, rows);
}

static void resources_hold(void **state)
{
    static const struct limits some = {
        "false", "null", "null",
        "[\"pods\",\"pods/log\",\"deployments.apps\","
        "\"deployments.apps/scale\",\"services.\",\"certificates.*.example\","
        "\"config*\",\"jobs/*\"]"};
    static const struct row rows[] = {
        {true, "GET /api/v1/pods"},
        {true, "GET /apis/metrics.k8s.io/v1beta1/pods"},
        {true, "GET /api/v1/namespaces/x/pods/p/log"},
        {true, "GET /apis/apps/v1/deployments"},
        {true, "PATCH /apis/apps/v1/namespaces/x/deployments/d/scale"},
        {true, "GET /api/v1/services"},
        {true, "GET /apis/a.b.example/v1/certificates"},
        {true, "GET /api/v1/configmaps"},
        {true, "GET /apis/batch/v1/namespaces/x/jobs/j/status"},
        {true, "GET /apis"},
        {false, "GET /api/v1/namespaces/x/pods/p/exec"},
        {false, "GET /api/v1/namespaces/x/pods/p/logs"},
        {false, "GET /api/v1/secrets"},
        {false, "GET /apis/extensions/v1beta1/deployments"},
        {false, "GET /apis/apps/v1/namespaces/x/deployments/d/status"},
        {false, "GET /apis/serving.knative.dev/v1/services"},
        {false, "GET /api/v1/namespaces/x/services/s/proxy"},
        {false, "GET /apis/example/v1/certificates"},
        {false, "GET /api/v1/namespaces/x/configmaps/c/x"},
        {false, "GET /apis/batch/v1/namespaces/x/jobs/j"},
        {false, "GET /api/v1/podss"},
        {false, "GET /metrics"},
        {false, "POST /apis/authorization.k8s.io/v1/selfsubjectaccessreviews"},
    };
    static const struct limits all = {"false", "null", "null", "[\"*\"]"};
    static const struct row everything[] = {
        {true, "GET /api/v1/namespaces/x/pods/p/exec"},
        {true, "GET /apis/a.b/v1/c"},
        {false, "GET /metrics"},
    };

    (void)state;
    CHECK(some, rows);
    CHECK(all, everything);
}

static void all_limits_hold_together(void **state)
{
    static const struct limits all = {"true", "[\"get\",\"create\"]", "[\"a\"]",
                                      "[\"pods\"]"};
    static const struct row rows[] = {
        {true, "GET /api/v1/namespaces/a/pods/p"},
        {false, "GET /api/v1/namespaces/a/pods"},
        {false, "POST /api/v1/namespaces/a/pods"},
        {false, "GET /api/v1/namespaces/b/pods/p"},
        {false, "GET /api/v1/namespaces/a/secrets/p"},
    };

    (void)state;
    CHECK(all, rows);
}

static void denials_tell_why(void **state)
{
    static const struct limits read_only = {"true", "null", "null", "null"};
    static const struct limits one = {"false", "null", "[\"a\"]", "null"};
    struct cv_grant *g = grant_of(&read_only, "writes");
    struct cv_err err;

    (void)state;
    assert_false(permits(g, "^GET /api/v1/namespaces/x/pods/p/exec", &err));
    assert_string_equal(err.text,
                        "the grant is read-only: get of pods/exec is denied");
    cv_grant_unref(g);
    g = grant_of(&one, "writes");
    assert_false(permits(g, "GET /api/v1/pods", &err));
    assert_non_null(strstr(err.hint, "-n"));
    assert_false(permits(g, "GET /api/v1/namespaces/%C3%A4/pods", &err));
    assert_string_equal(err.text, "the grant is not for namespace ??");
    cv_grant_unref(g);
}

static void records_by_level(void **state)
{
    static const struct limits none = {"false", "null", "null", "null"};
    static const struct {
        const char *request;
        bool write;
    } rows[] = {
        {"GET /api/v1/pods", false},
        {"GET /api/v1/pods?watch=1", false},
        {"GET /version", false},
        {"HEAD /metrics", false},
        {"^GET /api/v1/namespaces/x/pods/p/log", false},
        {"POST /apis/authorization.k8s.io/v1/selfsubjectaccessreviews", false},
        {"POST /api/v1/namespaces/x/pods", true},
        {"DELETE /api/v1/pods", true},
        {"OPTIONS /api/v1/pods", true},
        {"^GET /api/v1/namespaces/x/pods/p/exec", true},
        {"GET /api/v1/nodes/n/proxy/x", true},
        {"GET /api/v1/proxy/nodes/n", true},
        {"^GET /x", true},
        {"POST /x", true},
    };
    struct cv_grant *off = grant_of(&none, "off");
    struct cv_grant *writes = grant_of(&none, "writes");
    struct cv_grant *all = grant_of(&none, "all");

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct cv_info info;
        bool up = rows[i].request[0] == '^';

        print_message("%s\n", rows[i].request);
        info_of(rows[i].request + (up ? 1 : 0), &info);
        assert_false(cv_allow_is_recorded(off, &info, up, true));
        assert_int_equal(cv_allow_is_recorded(writes, &info, up, true),
                         rows[i].write);
        assert_true(cv_allow_is_recorded(all, &info, up, true));
        assert_true(cv_allow_is_recorded(off, &info, up, false));
    }
    cv_grant_unref(off);
    cv_grant_unref(writes);
    cv_grant_unref(all);
}

static const struct {
    const char *name, *value;
    enum cv_allow_header what;
} headers[] = {
    {"Authorization", "Bearer x", CV_ALLOW_REFUSE},
    {"AUTHORIZATION", "", CV_ALLOW_REFUSE},
    {"Impersonate-User", "admin", CV_ALLOW_REFUSE},
    {"impersonate-extra-scopes", "x", CV_ALLOW_REFUSE},
    {"Impersonate_User", "admin", CV_ALLOW_REFUSE},
    {"Impersonate-", "x", CV_ALLOW_REFUSE},
    {"X-Remote-User", "x", CV_ALLOW_REFUSE},
    {"X_Remote-Group", "x", CV_ALLOW_REFUSE},
    {"X-Remote-Extra-y", "x", CV_ALLOW_REFUSE},
    {"Client-Cert", ":x:", CV_ALLOW_REFUSE},
    {"X-HTTP-Method-Override", "DELETE", CV_ALLOW_REFUSE},
    {"X-Original-URL", "/x", CV_ALLOW_REFUSE},
    {"Sec-WebSocket-Protocol",
     "v4.channel.k8s.io, BASE64URL.bearer.authorization.k8s.io.eHg",
     CV_ALLOW_REFUSE},
    {"Audit-ID", "x", CV_ALLOW_DROP},
    {"audit-id", "x", CV_ALLOW_DROP},
    {"Host", "x", CV_ALLOW_DROP},
    {"Connection", "close", CV_ALLOW_DROP},
    {"Keep-Alive", "x", CV_ALLOW_DROP},
    {"Proxy-Authorization", "x", CV_ALLOW_DROP},
    {"Proxy-Connection", "x", CV_ALLOW_DROP},
    {"TE", "trailers", CV_ALLOW_DROP},
    {"Trailer", "x", CV_ALLOW_DROP},
    {"Transfer-Encoding", "chunked", CV_ALLOW_DROP},
    {"Content-Length", "1", CV_ALLOW_DROP},
    {"Upgrade", "websocket", CV_ALLOW_DROP},
    {"HTTP2-Settings", "x", CV_ALLOW_DROP},
    {"Expect", "100-continue", CV_ALLOW_DROP},
    {"Forwarded", "for=x", CV_ALLOW_DROP},
    {"X-Forwarded-For", "1.2.3.4", CV_ALLOW_DROP},
    {"X-Real-IP", "1.2.3.4", CV_ALLOW_DROP},
    {"Accept", "application/json", CV_ALLOW_KEEP},
    {"User-Agent", "kubectl", CV_ALLOW_KEEP},
    {"Content-Type", "x", CV_ALLOW_KEEP},
    {"X-Stream-Protocol-Version", "v4.channel.k8s.io", CV_ALLOW_KEEP},
    {"Sec-WebSocket-Protocol", "v5.channel.k8s.io", CV_ALLOW_KEEP},
    {"Sec-WebSocket-Key", "x", CV_ALLOW_KEEP},
    {"Kubectl-Command", "kubectl get", CV_ALLOW_KEEP},
    {"X-Remote", "x", CV_ALLOW_KEEP},
    {"Impersonate", "x", CV_ALLOW_KEEP},
    {"Authorizations", "x", CV_ALLOW_KEEP},
    {"Hos", "x", CV_ALLOW_KEEP},
};

static void headers_are_sorted_out(void **state)
{
    struct cv_err err;

    (void)state;
    for (size_t i = 0; i < sizeof(headers) / sizeof(headers[0]); i++) {
        print_message("%s: %s\n", headers[i].name, headers[i].value);
        assert_int_equal(cv_allow_header(cv_slice_of(headers[i].name),
                                         cv_slice_of(headers[i].value)),
                         headers[i].what);
    }
    assert_int_equal(
        cv_allow_header_denied(cv_slice_of("Impersonate-User"), &err),
        CV_DENIED);
    assert_non_null(strstr(err.text, "Impersonate-User"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(without_limits_all_passes),
        cmocka_unit_test(read_only_reads_only),
        cmocka_unit_test(verbs_are_exact),
        cmocka_unit_test(namespaces_hold),
        cmocka_unit_test(resources_hold),
        cmocka_unit_test(all_limits_hold_together),
        cmocka_unit_test(denials_tell_why),
        cmocka_unit_test(records_by_level),
        cmocka_unit_test(headers_are_sorted_out),
    };

    return cmocka_run_group_tests(tests, relay_start, NULL);
}
