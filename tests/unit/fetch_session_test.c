/* Sessions: credentials, tokens, projects, repeats, what an answer must be. */
#include "tests/unit/fetch_network.h"

#define PROJECT "0a1b2c3d4e5f60718293a4b5c6d7e8f9"
#define KEYS                                           \
    "\"environment\":{\"HUAWEICLOUD_SDK_AK\":\"AK1\"," \
    "\"HUAWEICLOUD_SDK_SK\":\"SK1\"}"
#define USER                                                         \
    "\"user\":{\"name\":\"alice\",\"domain\":\"acct\",\"password\":" \
    "\"p\\u00e4ss w\\\"rd\"}"
#define HERE "\"region\":\"cn-north-4\""
#define JSON "Content-Type: application/json\r\n"
#define EXPIRED                                                     \
    "{\"error_code\":\"APIGW.0301\",\"error_msg\":\"Incorrect IAM " \
    "authentication information: token expires, expires_at:x\"}"

static struct network net;

static enum cv_status get(struct cv_session *s, struct cv_session_answer *a,
                          struct cv_err *e)
{
    const struct cv_session_call call = {.service = CV_REGION_CCE,
                                         .method = "GET",
                                         .path = "/api/x",
                                         .status = 200,
                                         .project = true,
                                         .what = "it"};

    cv_err_init(e);
    return cv_session_send(s, &call, a, e);
}

static void signed_call(void **state)
{
    struct cv_session_answer a;
    struct cv_session *s;
    struct cv_err e;
    const char *value;

    (void)state;
    network_begin(&net);
    network_add(&net, 200, JSON "X-Request-Id: abc\r\n", "{\"a\":1}");
    s = network_session(&net,
                        "{" KEYS "," HERE ",\"project_id\":\"" PROJECT "\"}");
    assert_ok(get(s, &a, &e), &e);
    assert_string_equal(a.request_id, "abc");
    assert_string_equal(net.request[0].url,
                        "https://cce.cn-north-4.myhuaweicloud.com/api/x");
    assert_string_equal(network_header(&net, 0, "X-Sdk-Date"),
                        "20261122T040506Z");
    assert_string_equal(network_header(&net, 0, "X-Project-Id"), PROJECT);
    value = network_header(&net, 0, "Authorization");
    assert_non_null(strstr(value, "SDK-HMAC-SHA256 Access=AK1, SignedHeaders="
                                  "content-type;host;x-project-id;x-sdk-date, "
                                  "Signature="));
    assert_null(network_header(&net, 0, "X-Auth-Token"));
    cv_session_free(s);
}

static void temporary_and_derived(void **state)
{
    struct cv_session_answer a;
    struct cv_session *s;
    struct cv_err e;

    (void)state;
    network_begin(&net);
    network_add(&net, 200, JSON, "{}");
    s = network_session(
        &net, "{\"environment\":{\"HUAWEICLOUD_SDK_AK\":\"AK1\","
              "\"HUAWEICLOUD_SDK_SK\":\"SK1\",\"HUAWEICLOUD_SDK_SECURITY_TOKEN"
              "\":\"ST\",\"HUAWEICLOUD_SDK_PROJECT_ID\":\"" PROJECT "\"},"
              "\"endpoint\":\"https://cce.eu-de.otc.example\","
              "\"derived\":true}");
    assert_string_equal(cv_session_region(s), "eu-de");
    assert_ok(get(s, &a, &e), &e);
    assert_string_equal(network_header(&net, 0, "X-Security-Token"), "ST");
    assert_non_null(
        strstr(network_header(&net, 0, "Authorization"),
               "V11-HMAC-SHA256 Credential=AK1/20261122/eu-de/cce, "
               "SignedHeaders=content-type;host;x-project-id;x-sdk-date;"
               "x-security-token, Signature="));
    cv_session_free(s);
}

static void a_token_of_the_caller(void **state)
{
    struct cv_session_answer a;
    struct cv_session *s;
    struct cv_err e;

    (void)state;
    network_begin(&net);
    network_add_file(&net, "63-iam-projects-one.json");
    network_add(&net, 200, JSON, "{}");
    network_add(&net, 401, JSON, EXPIRED);
    s = network_session(&net, "{\"token\":\"TT\\n\"," HERE "}");
    assert_ok(get(s, &a, &e), &e);
    assert_string_equal(net.request[0].url,
                        "https://iam.cn-north-4.myhuaweicloud.com/v3/projects"
                        "?name=cn-north-4");
    assert_string_equal(network_header(&net, 0, "X-Auth-Token"), "TT");
    assert_null(network_header(&net, 0, "X-Project-Id"));
    assert_string_equal(network_header(&net, 1, "X-Auth-Token"), "TT");
    assert_null(network_header(&net, 1, "Authorization"));
    /* it cannot be renewed: the third answer is the end */
    assert_refused(get(s, &a, &e), CV_REMOTE, &e, "APIGW.0301");
    assert_non_null(strstr(e.hint, "get a new one"));
    assert_int_equal(net.n, 3);
    cv_session_free(s);
}

static void a_user(void **state)
{
    struct cv_session_answer a;
    struct cv_session *s;
    struct cv_err e;
    const char *id = NULL;

    (void)state;
    network_begin(&net);
    network_add_file(&net, "60-iam-token-201.json");
    network_add(&net, 200, JSON, "{}");
    network_add(&net, 200, JSON, "{}");
    s = network_session(&net, "{" USER "," HERE "}");
    assert_ok(get(s, &a, &e), &e);
    assert_ok(get(s, &a, &e), &e); /* the token is kept */
    assert_string_equal(net.request[0].url,
                        "https://iam.cn-north-4.myhuaweicloud.com"
                        "/v3/auth/tokens?nocatalog=1");
    assert_string_equal(
        net.request[0].body,
        "{\"auth\":{\"identity\":{\"methods\":[\"password\"],\"password\":"
        "{\"user\":{\"name\":\"alice\",\"password\":\"p\\u00e4ss w\\\"rd\","
        "\"domain\":{\"name\":\"acct\"}}}},\"scope\":{\"project\":{\"name\":"
        "\"cn-north-4\"}}}}");
    assert_null(network_header(&net, 0, "X-Auth-Token"));
    assert_null(network_header(&net, 0, "Authorization"));
    assert_memory_equal(network_header(&net, 1, "X-Auth-Token"),
                        "MIIFAKEQmFzZTY0", 15);
    assert_ok(cv_session_project(s, &id, &e), &e); /* came with the token */
    assert_string_equal(id, PROJECT);
    assert_int_equal(net.n, 3);
    cv_session_free(s);
}

static void a_user_with_a_passcode(void **state)
{
    struct cv_session_answer a;
    struct cv_session *s;
    struct cv_err e;

    (void)state;
    network_begin(&net);
    network_add_file(&net, "60-iam-token-201.json");
    network_add(&net, 401, JSON, EXPIRED);
    s = network_session(&net, "{\"user\":{\"id\":\"0f4c\",\"password\":\"p\","
                              "\"totp\":\"123456\"}," HERE "}");
    /* the passcode is spent: no new token is asked for */
    assert_refused(get(s, &a, &e), CV_REMOTE, &e, "APIGW.0301");
    assert_int_equal(net.n, 2);
    assert_string_equal(
        net.request[0].body,
        "{\"auth\":{\"identity\":{\"methods\":[\"password\",\"totp\"],"
        "\"password\":{\"user\":{\"id\":\"0f4c\",\"password\":\"p\"}},"
        "\"totp\":{\"user\":{\"id\":\"0f4c\",\"passcode\":\"123456\"}}},"
        "\"scope\":{\"project\":{\"name\":\"cn-north-4\"}}}}");
    cv_session_free(s);
}

/* 0301-expired and 0307: once with a new token, and no more. */
static void a_stale_token(void **state)
{
    struct cv_session_answer a;
    struct cv_session *s;
    struct cv_err e;

    (void)state;
    network_begin(&net);
    network_add_file(&net, "60-iam-token-201.json");
    network_add_file(&net, "43-401-apigw-token.json");
    network_add_file(&net, "60-iam-token-201.json");
    network_add(&net, 200, JSON, "{}");
    s = network_session(&net, "{" USER "," HERE "}");
    assert_ok(get(s, &a, &e), &e);
    cv_session_free(s);

    network_begin(&net);
    network_add_file(&net, "60-iam-token-201.json");
    network_add_file(&net, "43-401-apigw-token.json");
    network_add_file(&net, "60-iam-token-201.json");
    network_add_file(&net, "43-401-apigw-token.json");
    s = network_session(&net, "{" USER "," HERE "}");
    assert_refused(get(s, &a, &e), CV_REMOTE, &e, "APIGW.0301");
    assert_int_equal(net.n_waits, 0);
    cv_session_free(s);
}

static void user_refused(void **state)
{
    static const char *const files[] = {"61-iam-token-401.json",
                                        "62-iam-token-mfa-401.json"};

    (void)state;
    for (size_t i = 0; i < COUNT(files); i++) {
        struct cv_session_answer a;
        struct cv_session *s;
        struct cv_err e;

        network_begin(&net);
        network_add_file(&net, files[i]);
        s = network_session(&net, "{" USER "," HERE "}");
        assert_refused(get(s, &a, &e), CV_REMOTE, &e, "answered 401");
        assert_int_equal(net.n, 1);
        assert_int_equal(strlen(e.request_id), 32);
        cv_session_free(s);
    }
}

static void no_token_in_it(void **state)
{
    struct cv_session_answer a;
    struct cv_session *s;
    struct cv_err e;

    (void)state;
    network_begin(&net);
    network_add(&net, 201, JSON, "{}");
    s = network_session(&net, "{" USER "," HERE "}");
    assert_refused(get(s, &a, &e), CV_REMOTE, &e, "without a token");
    cv_session_free(s);
    network_begin(&net);
    s = network_session(&net, "{" USER ",\"endpoint\":\"https://c.example\"}");
    assert_refused(get(s, &a, &e), CV_USAGE, &e, "for one project");
    cv_session_free(s);
}

static void never_a_401_with_keys(void **state)
{
    static const char *const files[] = {"42-401-apigw-signature.json",
                                        "43-401-apigw-token.json",
                                        "44-401-cce.json"};

    (void)state;
    for (size_t i = 0; i < COUNT(files); i++) {
        struct cv_session_answer a;
        struct cv_session *s;
        struct cv_err e;

        network_begin(&net);
        network_add_file(&net, files[i]);
        s = network_session(&net, "{" KEYS "," HERE ",\"project_id\":\"" PROJECT
                                  "\"}");
        assert_refused(get(s, &a, &e), CV_REMOTE, &e, "401");
        assert_int_equal(net.n, 1);
        assert_int_equal(net.n_waits, 0);
        cv_session_free(s);
    }
}

#define SESSION                                                               \
    network_session(&net, "{" KEYS "," HERE ",\"project_id\":\"" PROJECT "\"" \
                          "}")

static void repeats(void **state)
{
    struct cv_session_answer a;
    struct cv_session *s;
    struct cv_err e;

    (void)state;
    network_begin(&net);
    network_add_end(&net, CV_HTTP_UNREACHED);
    network_add_file(&net, "52-500-cce.json");
    network_add(&net, 429, "Retry-After: 3.5\r\n", "");
    network_add(&net, 200, JSON, "{}");
    s = SESSION;
    assert_ok(get(s, &a, &e), &e);
    assert_int_equal(net.n_waits, 3);
    assert_int_equal(net.waits[0], 250);
    assert_int_equal(net.waits[1], 500);
    assert_int_equal(net.waits[2], 3500);
    /* each repeat has a date and a signature of its own */
    assert_string_equal(network_header(&net, 3, "X-Sdk-Date"),
                        "20261122T040510Z");
    cv_session_free(s);
}

static void repeats_end(void **state)
{
    static const struct {
        const char *file;
        enum cv_status status;
        size_t requests;
    } cases[] = {
        {"52-500-cce.json", CV_REMOTE, 4},
        {"53-502-html.json", CV_REMOTE, 4},
        {"54-503-empty.json", CV_REMOTE, 4},
        {"50-429-cce.json", CV_BUSY, 4},
        {"51-429-locked.json", CV_BUSY, 4},
        /* 57 s twice fit into two minutes, thrice do not */
        {"49-429-apigw-retry-after.json", CV_BUSY, 3},
        {"40-400-status-both.json", CV_REMOTE, 1},
        {"46-403-status.json", CV_REMOTE, 1},
        {"47-404-status.json", CV_REMOTE, 1},
        {"55-409-wrong-state.json", CV_REMOTE, 1},
    };

    (void)state;
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct cv_session_answer a;
        struct cv_session *s;
        struct cv_err e;

        network_begin(&net);
        for (int k = 0; k < 5; k++) {
            network_add_file(&net, cases[i].file);
        }
        s = SESSION;
        assert_int_equal(get(s, &a, &e), cases[i].status);
        assert_int_equal(net.n, cases[i].requests);
        assert_true(net.ms < 120000);
        cv_session_free(s);
    }
}

static void faults(void **state)
{
    static const struct {
        enum cv_http_answer_end end;
        size_t requests;
    } cases[] = {
        {CV_HTTP_UNRESOLVED, 4}, {CV_HTTP_UNREACHED, 4}, {CV_HTTP_TIMED_OUT, 4},
        {CV_HTTP_CUT, 1},        {CV_HTTP_UNTRUSTED, 1}, {CV_HTTP_BLOCKED, 1},
        {CV_HTTP_REFUSED, 1},
    };

    (void)state;
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct cv_session_answer a;
        struct cv_session *s;
        struct cv_err e;

        network_begin(&net);
        for (int k = 0; k < 5; k++) {
            network_add_end(&net, cases[i].end);
        }
        s = SESSION;
        assert_refused(get(s, &a, &e), CV_REMOTE, &e,
                       "https://cce.cn-north-4.myhuaweicloud.com: ");
        assert_true(e.hint[0] != '\0');
        assert_int_equal(net.n, cases[i].requests);
        cv_session_free(s);
    }
}

/* H5: what is 200 but no answer. */
static void no_answers(void **state)
{
    static const struct {
        long status;
        const char *head, *body, *part;
    } cases[] = {
        {200, "Content-Type: text/html\r\n", "<html>log in</html>", "not JSON"},
        {200, JSON, "", "with nothing"},
        {200, "", "{}", "not JSON"},
        {200, "Content-Type: application/jsonx\r\n", "{}", "not JSON"},
        {204, JSON, "", "204"},
        {206, JSON, "{}", "206"},
        {201, JSON, "{}", "201"},
        {302, "Location: https://evil.example/\r\n", "", "a redirect"},
        {307, "Location: http://cce.example/\r\n", "{}", "a redirect"},
        {304, "", "", "304"},
    };

    (void)state;
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct cv_session_answer a;
        struct cv_session *s;
        struct cv_err e;

        network_begin(&net);
        network_add(&net, cases[i].status, cases[i].head, cases[i].body);
        s = SESSION;
        assert_refused(get(s, &a, &e), CV_REMOTE, &e, cases[i].part);
        assert_null(strstr(e.text, "evil"));
        assert_null(strstr(e.text, "log in"));
        cv_session_free(s);
    }
}

static void projects(void **state)
{
    struct cv_session_answer a;
    struct cv_session *s;
    struct cv_err e;

    (void)state;
    network_begin(&net);
    network_add_file(&net, "63-iam-projects-one.json");
    network_add(&net, 200, JSON, "{}");
    network_add(&net, 200, JSON, "{}");
    s = network_session(&net, "{" KEYS "," HERE "}");
    assert_ok(get(s, &a, &e), &e);
    assert_string_equal(network_header(&net, 1, "X-Project-Id"), PROJECT);
    assert_null(
        strstr(network_header(&net, 0, "Authorization"), "x-project-id"));
    assert_ok(get(s, &a, &e), &e); /* it is looked up once */
    assert_int_equal(net.n, 3);
    cv_session_free(s);

    network_begin(&net);
    network_add_file(&net, "64-iam-projects-none.json");
    s = network_session(&net, "{" KEYS "," HERE "}");
    assert_refused(get(s, &a, &e), CV_REMOTE, &e,
                   "no project of the region cn-north-4 (X-IAM-Trace-Id: "
                   "token_cn-north-4_null_2f2e3d4c5b6a)");
    cv_session_free(s);

    network_begin(&net);
    network_add_file(&net, "65-iam-projects-two.json");
    s = network_session(&net, "{" KEYS "," HERE "}");
    assert_refused(get(s, &a, &e), CV_USAGE, &e,
                   PROJECT ", 1a1b2c3d4e5f60718293a4b5c6d7e8f9");
    cv_session_free(s);

    network_begin(&net);
    network_add(&net, 200, JSON, "{\"projects\":[{\"id\":\"../x\"}]}");
    s = network_session(&net, "{" KEYS "," HERE "}");
    assert_refused(get(s, &a, &e), CV_REMOTE, &e, "malformed project id");
    cv_session_free(s);

    network_begin(&net);
    s = network_session(&net, "{" KEYS ",\"endpoint\":\"https://c.example\"}");
    assert_refused(get(s, &a, &e), CV_USAGE, &e, "no project is named");
    cv_session_free(s);
}

/* ---- instance metadata ---- */

#define METADATA "{\"metadata\":true," HERE ",\"project_id\":\"" PROJECT "\"}"

static void metadata(void **state)
{
    struct cv_session_answer a;
    struct cv_session *s;
    struct cv_err e;

    (void)state;
    network_begin(&net);
    network_add(&net, 200, "", "METATOKEN\n");
    network_add_file(&net, "80-metadata-securitykey.json");
    network_add(&net, 200, JSON, "{}");
    network_add(&net, 200, JSON, "{}");
    s = network_session(&net, METADATA);
    assert_ok(get(s, &a, &e), &e);
    assert_string_equal(net.request[0].url, "http://169.254.169.254"
                                            "/meta-data/latest/api/token");
    assert_string_equal(net.request[0].method, "PUT");
    assert_string_equal(network_header(&net, 0, "X-Metadata-Token-Ttl-Seconds"),
                        "21600");
    assert_string_equal(net.request[1].url,
                        "http://169.254.169.254/openstack/latest/securitykey");
    assert_string_equal(network_header(&net, 1, "X-Metadata-Token"),
                        "METATOKEN");
    assert_non_null(strstr(network_header(&net, 2, "Authorization"),
                           "Access=HSTAFAKEFAKEFAKE0001"));
    assert_string_equal(network_header(&net, 2, "X-Security-Token"),
                        "ggpjbi1ub3J0aC00fakefakefake");
    assert_ok(get(s, &a, &e), &e); /* six hours are left */
    assert_int_equal(net.n, 4);
    cv_session_free(s);
}

/* With less than 40 minutes left the keys are renewed, with the same token. */
static void metadata_renewal(void **state)
{
    static const char keys[] =
        "{\"credential\":{\"access\":\"A\",\"secret\":\"S\",\"securitytoken\":"
        "\"T\",\"expires_at\":\"2026-11-22T05:05:06.555000Z\"}}";
    struct cv_session_answer a;
    struct cv_session *s;
    struct cv_err e;

    (void)state;
    network_begin(&net);
    network_add(&net, 405, "", "");
    network_add(&net, 200, "", keys);
    network_add(&net, 200, JSON, "{}");
    network_add(&net, 200, JSON, "{}");
    network_add(&net, 405, "", "");
    network_add(&net, 200, "", keys);
    network_add(&net, 200, JSON, "{}");
    s = network_session(&net, METADATA);
    assert_ok(get(s, &a, &e), &e);
    assert_null(network_header(&net, 1, "X-Metadata-Token"));
    net.ms += 1200 * 1000; /* 40 minutes left */
    cv_session_begin(s);
    assert_ok(get(s, &a, &e), &e);
    assert_int_equal(net.n, 4);
    net.ms += 1000; /* and a second less */
    assert_ok(get(s, &a, &e), &e);
    assert_int_equal(net.n, 7);
    cv_session_free(s);
}

static void metadata_token_renewed_once(void **state)
{
    struct cv_session_answer a;
    struct cv_session *s;
    struct cv_err e;

    (void)state;
    network_begin(&net);
    network_add(&net, 200, "", "ONE");
    network_add(&net, 401, "", "token is not valid");
    network_add(&net, 200, "", "TWO");
    network_add_file(&net, "80-metadata-securitykey.json");
    network_add(&net, 200, JSON, "{}");
    s = network_session(&net, METADATA);
    assert_ok(get(s, &a, &e), &e);
    assert_string_equal(network_header(&net, 3, "X-Metadata-Token"), "TWO");
    cv_session_free(s);

    network_begin(&net);
    network_add(&net, 200, "", "ONE");
    network_add(&net, 401, "", "token is not valid");
    network_add(&net, 200, "", "TWO");
    network_add(&net, 401, "", "token is not valid");
    s = network_session(&net, METADATA);
    assert_refused(get(s, &a, &e), CV_REMOTE, &e, "answered 401");
    cv_session_free(s);

    network_begin(&net);
    network_add(&net, 200, "", "ONE");
    network_add(&net, 401, "",
                "Please configure Cloud Service Agency first, thanks");
    s = network_session(&net, METADATA);
    assert_refused(get(s, &a, &e), CV_REMOTE, &e, "answered 401");
    assert_non_null(strstr(e.hint, "agency"));
    cv_session_free(s);
}

static void metadata_refused(void **state)
{
    static const char *const bodies[] = {
        "", "[]", "{}", "{\"credential\":{\"access\":\"A\"}}",
        ("{\"credential\":{\"access\":\"A B\",\"secret\":\"S\","
         "\"securitytoken\":\"T\"}}")};

    (void)state;
    for (size_t i = 0; i < COUNT(bodies); i++) {
        struct cv_session_answer a;
        struct cv_session *s;
        struct cv_err e;

        network_begin(&net);
        network_add(&net, 404, "", "");
        network_add(&net, 200, "", bodies[i]);
        s = network_session(&net, METADATA);
        assert_refused(get(s, &a, &e), CV_REMOTE, &e, "metadata service");
        cv_session_free(s);
    }
}

static void an_id_token(void **state)
{
    struct cv_session_answer a;
    struct cv_session *s;
    struct cv_err e;

    (void)state;
    network_begin(&net);
    network_add(&net, 201, "X-Subject-Token: SUBJECT\r\n", "");
    network_add_file(&net, "81-securitytokens-201.json");
    network_add(&net, 200, JSON, "{}");
    s = network_session(&net,
                        "{\"environment\":{\"HUAWEICLOUD_SDK_IDP_ID\":\"idp\","
                        "\"HUAWEICLOUD_SDK_ID_TOKEN\":\"eyJ.x.y\\n\"}," HERE
                        ",\"project_id\":\"" PROJECT "\"}");
    /* those keys end in fifteen minutes: still they serve this call */
    assert_ok(get(s, &a, &e), &e);
    assert_string_equal(network_header(&net, 0, "X-Idp-Id"), "idp");
    assert_string_equal(net.request[0].body,
                        "{\"auth\":{\"id_token\":{\"id\":\"eyJ.x.y\"}}}");
    assert_string_equal(
        net.request[1].body,
        "{\"auth\":{\"identity\":{\"methods\":[\"token\"],\"token\":{\"id\":"
        "\"SUBJECT\",\"duration_seconds\":21600}}}}");
    assert_non_null(strstr(network_header(&net, 2, "Authorization"),
                           "Access=HSTAFAKEFAKEFAKE0002"));
    cv_session_free(s);
}

/* The next endpoint stands in where a name or TLS fails, and only there. */
static void several_endpoints(void **state)
{
    static const char cloud[] =
        "{\"environment\":{\"HUAWEICLOUD_SDK_AK\":\"A\","
        "\"HUAWEICLOUD_SDK_SK\":\"S\","
        "\"HUAWEICLOUD_SDK_REGION_CCE_CN_NORTH_4\":\"one.example,two.example\""
        "}," HERE ",\"project_id\":\"" PROJECT "\"}";
    struct cv_session_answer a;
    struct cv_session *s;
    struct cv_err e;

    (void)state;
    network_begin(&net);
    network_add_end(&net, CV_HTTP_UNRESOLVED);
    network_add(&net, 200, JSON, "{}");
    network_add(&net, 200, JSON, "{}");
    s = network_session(&net, cloud);
    assert_ok(get(s, &a, &e), &e);
    assert_string_equal(net.request[1].url, "https://two.example/api/x");
    assert_int_equal(net.n_waits, 0);
    assert_ok(get(s, &a, &e), &e);
    assert_string_equal(net.request[2].url, "https://two.example/api/x");
    cv_session_free(s);

    network_begin(&net);
    network_add_end(&net, CV_HTTP_BLOCKED);
    s = network_session(&net, cloud);
    assert_refused(get(s, &a, &e), CV_REMOTE, &e, "one.example");
    cv_session_free(s);
}

static void whose_session(void **state)
{
    static const char one[] =
        "{" KEYS "," HERE ",\"project_id\":\"" PROJECT "\"}";
    static const char same[] =
        "{\"project_id\":\"" PROJECT "\"," HERE "," KEYS "}";
    static const char other[] =
        "{" KEYS ",\"region\":\"cn-north-1\",\"project_id\":\"" PROJECT "\"}";
    cJSON *a = parse(one), *b = parse(same), *c = parse(other);
    struct cv_session *s;

    (void)state;
    network_begin(&net);
    s = network_session(&net, one);
    assert_true(cv_session_is_for(s, a));
    assert_true(cv_session_is_for(s, b));
    assert_false(cv_session_is_for(s, c));
    cv_session_free(s);
    cJSON_Delete(a);
    cJSON_Delete(b);
    cJSON_Delete(c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(signed_call),
        cmocka_unit_test(temporary_and_derived),
        cmocka_unit_test(a_token_of_the_caller),
        cmocka_unit_test(a_user),
        cmocka_unit_test(a_user_with_a_passcode),
        cmocka_unit_test(a_stale_token),
        cmocka_unit_test(user_refused),
        cmocka_unit_test(no_token_in_it),
        cmocka_unit_test(never_a_401_with_keys),
        cmocka_unit_test(repeats),
        cmocka_unit_test(repeats_end),
        cmocka_unit_test(faults),
        cmocka_unit_test(no_answers),
        cmocka_unit_test(projects),
        cmocka_unit_test(metadata),
        cmocka_unit_test(metadata_renewal),
        cmocka_unit_test(metadata_token_renewed_once),
        cmocka_unit_test(metadata_refused),
        cmocka_unit_test(an_id_token),
        cmocka_unit_test(several_endpoints),
        cmocka_unit_test(whose_session),
    };

    return cmocka_run_group_tests(tests, setup, NULL);
}
