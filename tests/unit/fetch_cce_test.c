/* The calls of CCE, each with the request it makes. */
#include "tests/unit/fetch_network.h"

#include "vault/base/clock.h"
#include "vault/fetch/cce.h"

#define PROJECT "0a1b2c3d4e5f60718293a4b5c6d7e8f9"
#define ID "5c2a7d3e-91f4-11ee-8c90-0255ac100b05"
#define OTHER "b7e19a40-6f0c-11f0-b2d1-0255ac10c1d2"
#define AT "https://cce.cn-north-4.myhuaweicloud.com"
#define JSON "Content-Type: application/json\r\n"
#define CLOUD                                                    \
    "{\"environment\":{\"HUAWEICLOUD_SDK_AK\":\"AK1\","          \
    "\"HUAWEICLOUD_SDK_SK\":\"SK1\"},\"region\":\"cn-north-4\"," \
    "\"project_id\":\"" PROJECT "\"}"

static struct network net;

static void create(enum cv_cce_api api, struct cv_cce_validity v,
                   const char *method, const char *url, const char *body)
{
    struct cv_session_answer a;
    struct cv_session *s;
    struct cv_err e;

    cv_err_init(&e);
    network_begin(&net);
    network_add_file(&net, "01-internal-rsa2048-pkcs1.json");
    s = network_session(&net, CLOUD);
    assert_ok(cv_cce_create_cert(s, api, ID, &v, &a, &e), &e);
    assert_string_equal(net.request[0].method, method);
    assert_string_equal(net.request[0].url, url);
    assert_string_equal(net.request[0].body, body);
    assert_string_equal(a.request_id, "0fd13c82391469f25c748e8c928d50d2");
    assert_true(a.body.len > 1000);
    cv_session_free(s);
}

static void creates(void **state)
{
    int64_t end = 0;

    (void)state;
    assert_int_equal(cv_clock_parse("2027-01-01T18:00:00+02:00", &end, NULL),
                     CV_OK);
    create(CV_CCE_V3, (struct cv_cce_validity){.duration = 30}, "POST",
           AT "/api/v3/projects/" PROJECT "/clusters/" ID "/clustercert",
           "{\"duration\":30}");
    create(CV_CCE_V3, (struct cv_cce_validity){.duration = -1}, "POST",
           AT "/api/v3/projects/" PROJECT "/clusters/" ID "/clustercert",
           "{\"duration\":-1}");
    create(CV_CCE_V3,
           (struct cv_cce_validity){.duration = 1, .expire_at_s = end}, "POST",
           AT "/api/v3/projects/" PROJECT "/clusters/" ID "/clustercert",
           "{\"expire_at\":\"2027-01-01 16:00:00 +0000 UTC\"}");
    create(CV_CCE_AUTOPILOT, (struct cv_cce_validity){.duration = 1827}, "POST",
           AT "/autopilot/v3/projects/" PROJECT "/clusters/" ID "/clustercert",
           "{\"duration\":1827}");
    create(CV_CCE_V3_GET, (struct cv_cce_validity){.duration = 1}, "GET",
           AT "/api/v3/projects/" PROJECT "/clusters/" ID "/clustercert", "");
}

/* H10, H11: refused before any request is made. */
static void refused_first(void **state)
{
    static const struct {
        enum cv_cce_api api;
        struct cv_cce_validity v;
        const char *id, *part;
    } cases[] = {
        {CV_CCE_V3, {.duration = 0}, ID, "1 to 1827 days"},
        {CV_CCE_V3, {.duration = -2}, ID, "1 to 1827 days"},
        {CV_CCE_V3, {.duration = 1828}, ID, "1 to 1827 days"},
        {CV_CCE_V3, {.duration = INT64_MAX}, ID, "1 to 1827 days"},
        {CV_CCE_AUTOPILOT, {.duration = 0}, ID, "1 to 1827 days"},
        {CV_CCE_AUTOPILOT,
         {.duration = 1, .expire_at_s = NETWORK_NOW + 86400},
         ID,
         "takes no end time"},
        {CV_CCE_V3_GET,
         {.expire_at_s = NETWORK_NOW + 86400},
         ID,
         "takes no end time"},
        {CV_CCE_V3_GET, {.duration = 30}, ID, "lets nobody choose"},
        {CV_CCE_V3, {.expire_at_s = NETWORK_NOW + 899}, ID, "15 minutes"},
        {CV_CCE_V3, {.expire_at_s = NETWORK_NOW - 1}, ID, "15 minutes"},
        {CV_CCE_V3,
         {.expire_at_s = NETWORK_NOW + 1828LL * 86400},
         ID,
         "five years"},
        {CV_CCE_V3, {.duration = 1}, "../../x", "cluster id"},
        {CV_CCE_V3, {.duration = 1}, "a%2e", "cluster id"},
        {CV_CCE_V3, {.duration = 1}, ID "?", "cluster id"},
        {CV_CCE_V3, {.duration = 1}, "5c2a\r\nX: y", "cluster id"},
    };

    (void)state;
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct cv_session_answer a;
        struct cv_session *s;
        struct cv_err e;

        cv_err_init(&e);
        network_begin(&net);
        s = network_session(&net, CLOUD);
        assert_refused(cv_cce_create_cert(s, cases[i].api, cases[i].id,
                                          &cases[i].v, &a, &e),
                       CV_USAGE, &e, cases[i].part);
        assert_int_equal(net.n, 0);
        cv_session_free(s);
    }
}

static void names(void **state)
{
    static const char *const words[] = {"v3", "v3-get", "autopilot"};
    enum cv_cce_api api;

    (void)state;
    assert_int_equal(cv_cce_api_read(NULL, &api, NULL), CV_OK);
    assert_int_equal(api, CV_CCE_V3);
    for (size_t i = 0; i < COUNT(words); i++) {
        assert_int_equal(cv_cce_api_read(words[i], &api, NULL), CV_OK);
        assert_string_equal(cv_cce_api_name(api), words[i]);
    }
    assert_int_equal(cv_cce_api_read("v4", &api, NULL), CV_USAGE);
}

static void lists(void **state)
{
    struct cv_cluster_list l;
    struct cv_session *s;
    struct cv_err e;

    (void)state;
    cv_err_init(&e);
    network_begin(&net);
    network_add_file(&net, "70-list-clusters.json");
    network_add_file(&net, "71-list-clusters-empty.json");
    network_add(&net, 200, JSON, "{\"items\":[}");
    s = network_session(&net, CLOUD);
    assert_ok(cv_cce_list(s, CV_CCE_V3, &l, &e), &e);
    assert_int_equal(l.n, 2);
    cv_cluster_list_free(&l);
    assert_ok(cv_cce_list(s, CV_CCE_AUTOPILOT, &l, &e), &e);
    assert_int_equal(l.n, 0);
    assert_string_equal(net.request[0].url,
                        AT "/api/v3/projects/" PROJECT "/clusters");
    assert_string_equal(net.request[1].url,
                        AT "/autopilot/v3/projects/" PROJECT "/clusters");
    assert_refused(cv_cce_list(s, CV_CCE_V3, &l, &e), CV_REMOTE, &e,
                   "cannot be read");
    cv_session_free(s);
}

static void shows(void **state)
{
    struct cv_cluster c;
    struct cv_session *s;
    struct cv_err e;

    (void)state;
    cv_err_init(&e);
    network_begin(&net);
    network_add_file(&net, "72-show-cluster-endpoints-object.json");
    network_add_file(&net, "72-show-cluster-endpoints-object.json");
    network_add_file(&net, "47-404-status.json");
    s = network_session(&net, CLOUD);
    assert_ok(cv_cce_show(s, CV_CCE_V3, "daa97872-59d7-11e8-a787-0255ac101f54",
                          &c, &e),
              &e);
    assert_string_equal(c.name, "old");
    assert_string_equal(net.request[0].url,
                        AT "/api/v3/projects/" PROJECT
                           "/clusters/daa97872-59d7-11e8-a787-0255ac101f54");
    assert_refused(cv_cce_show(s, CV_CCE_V3, ID, &c, &e), CV_REMOTE, &e,
                   "another cluster");
    assert_refused(cv_cce_show(s, CV_CCE_V3, ID, &c, &e), CV_REMOTE, &e,
                   "CCE_CM.0003");
    cv_session_free(s);
}

static void addresses(void **state)
{
    struct cv_cce_addresses found;
    struct cv_session *s;
    struct cv_err e;

    (void)state;
    cv_err_init(&e);
    network_begin(&net);
    network_add_file(&net, "73-openapi.json");
    network_add(&net, 200, JSON, "{\"status\":{}}");
    s = network_session(&net, CLOUD);
    assert_ok(cv_cce_show_addresses(s, CV_CCE_AUTOPILOT, ID, &found, &e), &e);
    assert_string_equal(found.private_url, "https://192.168.1.7:5443");
    assert_string_equal(found.public_url, "https://203.0.113.25:5443");
    assert_string_equal(net.request[0].url, AT "/autopilot/v3/projects/" PROJECT
                                               "/clusters/" ID "/openapi");
    assert_ok(cv_cce_show_addresses(s, CV_CCE_V3, ID, &found, &e), &e);
    assert_string_equal(found.public_url, "");
    cv_session_free(s);
}

static void revokes(void **state)
{
    struct cv_session *s;
    struct cv_err e;

    (void)state;
    cv_err_init(&e);
    network_begin(&net);
    network_add(&net, 200, "", "");
    network_add(&net, 200, "", "");
    network_add_file(&net, "46-403-status.json");
    s = network_session(&net, CLOUD);
    assert_ok(cv_cce_revoke(s, CV_CCE_V3, ID, "0f4c6a1b", false, &e), &e);
    assert_string_equal(net.request[0].url,
                        AT "/api/v3/projects/" PROJECT "/clusters/" ID
                           "/clustercertrevoke");
    assert_string_equal(net.request[0].body, "{\"userId\":\"0f4c6a1b\"}");
    assert_ok(cv_cce_revoke(s, CV_CCE_V3, ID, "0f4c6a1b", true, &e), &e);
    assert_string_equal(net.request[1].body, "{\"agencyId\":\"0f4c6a1b\"}");
    assert_refused(cv_cce_revoke(s, CV_CCE_V3, ID, "0f4c", false, &e),
                   CV_REMOTE, &e, "403");
    assert_non_null(strstr(e.hint, "cce:cluster:revokeClientCredential"));
    assert_refused(cv_cce_revoke(s, CV_CCE_V3, ID, "a\"b", false, &e), CV_USAGE,
                   &e, "id is none");
    assert_refused(cv_cce_revoke(s, CV_CCE_AUTOPILOT, ID, "a", false, &e),
                   CV_USAGE, &e, "Autopilot");
    assert_int_equal(net.n, 3);
    cv_session_free(s);
}

/* What a batch handed out. */
struct taken {
    size_t good, bad;
    enum cv_status status[4];
};

static void take(void *context, size_t i, enum cv_status status,
                 const struct cv_session_answer *answer,
                 const struct cv_err *err)
{
    struct taken *t = context;

    t->status[i] = status;
    if (status == CV_OK) {
        assert_true(answer->body.len > 0);
        t->good++;
    } else {
        assert_null(answer);
        assert_true(err->text[0] != '\0');
        t->bad++;
    }
}

static void batch(void **state)
{
    static const char *const ids[] = {ID, OTHER, ID};
    static const char *const bad_ids[] = {ID, "x"};
    struct taken t = {0};
    struct cv_cce_many many = {.api = CV_CCE_V3,
                               .cluster_ids = ids,
                               .n = COUNT(ids),
                               .parallel = 2,
                               .validity = {.duration = 7},
                               .done = take,
                               .context = &t};
    struct cv_session *s;
    struct cv_err e;

    (void)state;
    cv_err_init(&e);
    network_begin(&net);
    network_add_file(&net, "01-internal-rsa2048-pkcs1.json");
    network_add_file(&net, "50-429-cce.json");
    network_add_file(&net, "02-three-contexts-rsa2048-pkcs1.json");
    network_add_file(&net, "47-404-status.json");
    s = network_session(&net, CLOUD);
    assert_ok(cv_cce_create_certs(s, &many, &e), &e);
    assert_int_equal(t.good, 2);
    assert_int_equal(t.status[2], CV_REMOTE);
    assert_non_null(strstr(net.request[2].url, OTHER));
    assert_string_equal(net.request[3].body, "{\"duration\":7}");
    many.cluster_ids = bad_ids;
    many.n = COUNT(bad_ids);
    assert_refused(cv_cce_create_certs(s, &many, &e), CV_USAGE, &e,
                   "cluster id");
    assert_int_equal(net.n, 4);
    cv_session_free(s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(creates), cmocka_unit_test(refused_first),
        cmocka_unit_test(names),   cmocka_unit_test(lists),
        cmocka_unit_test(shows),   cmocka_unit_test(addresses),
        cmocka_unit_test(revokes), cmocka_unit_test(batch),
    };

    return cmocka_run_group_tests(tests, setup, NULL);
}
