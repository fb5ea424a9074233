/* Regions, endpoints, and which addresses are within reach. */
#include "tests/unit/fetch_test.h"

#include "vault/fetch/region.h"

#include <arpa/inet.h>

static cJSON *tree;

static struct cv_cloud cloud_of(const char *text)
{
    struct cv_cloud c;
    struct cv_err e;

    cJSON_Delete(tree);
    tree = parse(text);
    cv_err_init(&e);
    assert_ok(cv_cloud_read(tree, &c, &e), &e);
    return c;
}

/* "url reach" of the first endpoint, or the error's text. */
static const char *find(enum cv_region_service service, const char *text,
                        const char *region)
{
    static char out[512];
    struct cv_cloud c = cloud_of(text);
    struct cv_region_ends ends;
    struct cv_err e;
    enum cv_status s;

    cv_err_init(&e);
    s = cv_region_find(service, &c, region, NULL, &ends, &e);
    if (s != CV_OK) {
        (void)snprintf(out, sizeof(out), "%s", cv_err_code_name(s));
        return out;
    }
    (void)snprintf(out, sizeof(out), "%s %s", ends.origin[0].url,
                   ends.origin[0].reach == CV_ORIGIN_TYPED ? "typed" : "table");
    return out;
}

#define CCE(text, region) find(CV_REGION_CCE, text, region)
#define IAM(text, region) find(CV_REGION_IAM, text, region)

static void the_table(void **state)
{
    size_t n = 0, own = 0;

    (void)state;
    for (; cv_region_at(n) != NULL; n++) {
        char wanted[128];
        const char *id = cv_region_at(n);

        (void)snprintf(wanted, sizeof(wanted),
                       "https://cce.%s.myhuaweicloud.%s table", id,
                       strcmp(id, "eu-west-101") == 0 ? "eu" : "com");
        assert_string_equal(CCE("{}", id), wanted);
        (void)snprintf(wanted, sizeof(wanted),
                       "https://iam.%s.myhuaweicloud.com table", id);
        own += strcmp(IAM("{}", id), wanted) == 0 ? 1 : 0;
    }
    assert_int_equal(n, 33);
    assert_int_equal(own, 27);
    assert_string_equal(IAM("{}", "cn-south-4"),
                        "https://iam.myhuaweicloud.com table");
    assert_string_equal(IAM("{}", "eu-west-101"),
                        "https://iam.eu-west-101.myhuaweicloud.eu table");
    assert_string_equal(CCE("{}", "eu-de"), "usage");
    assert_string_equal(CCE("{}", NULL), "usage");
}

#define FILE_TEXT                                                       \
    "\"regions\": \"CCE:\\n- id: cn-north-4\\n  endpoint: f.example\\n" \
    "- {id: eu-de, endpoints: [https://one.example, two.example]}\\n"   \
    "iam:\\n- {id: eu-de, endpoint: https://iam.one.example/}\\n\""
#define VARIABLES                                                   \
    "\"environment\": {\"HUAWEICLOUD_SDK_REGION_CCE_CN_NORTH_4\": " \
    "\"https://v.example:8443, w.example\"}"

static void strongest_first(void **state)
{
    (void)state;
    assert_string_equal(CCE("{" FILE_TEXT "," VARIABLES
                            ",\"endpoint\":\"https://E.example:5443/\"}",
                            "cn-north-4"),
                        "https://e.example:5443 typed");
    assert_string_equal(CCE("{" FILE_TEXT "," VARIABLES "}", "cn-north-4"),
                        "https://v.example:8443 typed");
    assert_string_equal(CCE("{" FILE_TEXT "}", "cn-north-4"),
                        "https://f.example table");
    assert_string_equal(CCE("{" FILE_TEXT "}", "eu-de"),
                        "https://one.example table");
    assert_string_equal(CCE("{\"regions\":\"CCE: [{id: r-1, endpoint: "
                            "'https://127.0.0.1:8443'}]\"}",
                            "r-1"),
                        "https://127.0.0.1:8443 typed");
    assert_string_equal(IAM("{" FILE_TEXT "}", "eu-de"),
                        "https://iam.one.example table");
    assert_string_equal(CCE("{" FILE_TEXT "}", "cn-east-3"),
                        "https://cce.cn-east-3.myhuaweicloud.com table");
    assert_string_equal(
        IAM("{\"environment\":{\"HUAWEICLOUD_SDK_IAM_ENDPOINT\":"
            "\"iam.example\"}}",
            "cn-north-4"),
        "https://iam.example typed");
    assert_string_equal(IAM("{\"iam_endpoint\":\"https://i.example\"}", NULL),
                        "https://i.example typed");
}

/* The password of one cloud never goes to another. */
static void no_foreign_iam(void **state)
{
    (void)state;
    assert_string_equal(
        IAM("{\"endpoint\":\"https://cce.other.example\"}", "cn-north-4"),
        "usage");
    assert_string_equal(IAM("{" VARIABLES "}", "cn-north-4"), "usage");
    assert_string_equal(IAM("{" FILE_TEXT "}", "cn-north-4"), "usage");
    assert_string_equal(
        IAM("{\"endpoint\":\"https://cce.cn-north-4.myhuaweicloud.com\"}",
            "cn-north-4"),
        "https://iam.cn-north-4.myhuaweicloud.com table");
}

static void several(void **state)
{
    struct cv_cloud c = cloud_of("{" VARIABLES "}");
    struct cv_region_ends ends;

    (void)state;
    assert_int_equal(
        cv_region_find(CV_REGION_CCE, &c, "cn-north-4", NULL, &ends, NULL),
        CV_OK);
    assert_int_equal(ends.n, 2);
    assert_string_equal(ends.origin[1].url, "https://w.example");
}

static void bad_files(void **state)
{
    static const char *const texts[] = {
        "{\"regions\":\"[]\"}",
        "{\"regions\":\"CCE: {}\"}",
        "{\"regions\":\"CCE: [{endpoint: x}]\"}",
        "{\"regions\":\"CCE: [{id: cn-north-4}]\"}",
        "{\"regions\":\"CCE: [{id: cn-north-4, endpoint: [1]}]\"}",
        "{\"regions\":\"CCE: &a [*a]\"}",
        "{\"regions\":\"CCE: [\"}"};

    (void)state;
    for (size_t i = 0; i < COUNT(texts); i++) {
        assert_text(texts[i], CCE(texts[i], "cn-north-4"), "invalid");
    }
    assert_string_equal(
        CCE("{\"regions\":\"CCE: [{id: cn-north-4, endpoint: http://x}]\"}",
            "cn-north-4"),
        "usage");
}

static void origins(void **state)
{
    static const struct {
        const char *text, *url, *host, *name;
    } good[] = {
        {"cce.example", "https://cce.example", "cce.example", "cce.example"},
        {"HTTPS://CCE.Example:443", "https://cce.example", "cce.example",
         "cce.example"},
        {"https://h:8443/", "https://h:8443", "h:8443", "h"},
        {"[::1]:9", "https://[::1]:9", "[::1]:9", "::1"},
        {"https://127.0.0.1", "https://127.0.0.1", "127.0.0.1", "127.0.0.1"},
    };
    static const char *const bad[] = {"http://h",
                                      "ftp://h",
                                      "https://",
                                      "",
                                      "https://a@b",
                                      "https://h/x",
                                      "https://h?x",
                                      "https://h#x",
                                      "https://h:0",
                                      "https://h:",
                                      "https://h:65536",
                                      "https://h:1x",
                                      "https://[::1",
                                      "https://.h",
                                      "https://h..x",
                                      "https://-h",
                                      "https://h\r\n",
                                      "https://h h",
                                      "https://\xc3\xa9.example",
                                      "https://h%2e",
                                      "https://h:999999999999",
                                      "javascript:x",
                                      "file:///etc",
                                      "//evil.example"};
    struct cv_origin o;

    (void)state;
    for (size_t i = 0; i < COUNT(good); i++) {
        assert_int_equal(
            cv_origin_parse(good[i].text, CV_ORIGIN_TYPED, "it", &o, NULL),
            CV_OK);
        assert_string_equal(o.url, good[i].url);
        assert_string_equal(o.host, good[i].host);
        assert_string_equal(o.name, good[i].name);
    }
    for (size_t i = 0; i < COUNT(bad); i++) {
        struct cv_err e;
        enum cv_status s;

        cv_err_init(&e);
        s = cv_origin_parse(bad[i], CV_ORIGIN_TYPED, "it", &o, &e);
        assert_text(bad[i], cv_err_code_name(s), "usage");
    }
    assert_int_equal(
        cv_origin_parse("http://h:80", CV_ORIGIN_METADATA, "it", &o, NULL),
        CV_OK);
    assert_string_equal(o.url, "http://h");
    assert_int_equal(
        cv_origin_parse("https://h", CV_ORIGIN_METADATA, "it", &o, NULL),
        CV_USAGE);
}

static bool allows(enum cv_origin_reach reach, const char *address)
{
    struct sockaddr_in v4 = {.sin_family = AF_INET};
    struct sockaddr_in6 v6 = {.sin6_family = AF_INET6};
    struct sockaddr_storage room;

    memset(&room, 0, sizeof(room));
    if (inet_pton(AF_INET, address, &v4.sin_addr) == 1) {
        memcpy(&room, &v4, sizeof(v4));
    } else {
        assert_int_equal(inet_pton(AF_INET6, address, &v6.sin6_addr), 1);
        memcpy(&room, &v6, sizeof(v6));
    }
    return cv_origin_allows(reach, (const struct sockaddr *)&room);
}

static void addresses(void **state)
{
    static const struct {
        const char *address;
        bool table, typed;
    } cases[] = {
        {"127.0.0.1", false, true},
        {"127.255.255.255", false, true},
        {"128.0.0.1", true, true},
        {"126.255.255.255", true, true},
        {"0.0.0.0", false, true},
        {"0.1.2.3", false, true},
        {"169.254.169.254", false, false},
        {"169.254.1.1", false, true},
        {"169.253.1.1", true, true},
        {"224.0.0.1", false, true},
        {"255.255.255.255", false, true},
        {"10.1.2.3", true, true},
        {"100.125.1.250", true, true},
        {"192.168.1.7", true, true},
        {"203.0.113.9", true, true},
        {"::1", false, true},
        {"::", false, true},
        {"fe80::1", false, true},
        {"ff02::1", false, true},
        {"fd00:ec2::254", false, false},
        {"fd00::1", true, true},
        {"2001:db8::1", true, true},
        {"::ffff:127.0.0.1", false, true},
        {"::ffff:169.254.169.254", false, false},
        {"64:ff9b::169.254.169.254", false, false},
        {"2002:7f00:1::", false, true},
        {"2002:a9fe:a9fe::", false, false},
        {"::ffff:203.0.113.9", true, true},
    };
    struct sockaddr local = {.sa_family = AF_UNIX};

    (void)state;
    for (size_t i = 0; i < COUNT(cases); i++) {
        if (allows(CV_ORIGIN_TABLE, cases[i].address) != cases[i].table ||
            allows(CV_ORIGIN_TYPED, cases[i].address) != cases[i].typed) {
            fail_msg("%s", cases[i].address);
        }
        assert_true(allows(CV_ORIGIN_METADATA, cases[i].address));
    }
    assert_false(cv_origin_allows(CV_ORIGIN_TYPED, &local));
}

static int teardown(void **state)
{
    (void)state;
    cJSON_Delete(tree);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_table),      cmocka_unit_test(strongest_first),
        cmocka_unit_test(no_foreign_iam), cmocka_unit_test(several),
        cmocka_unit_test(bad_files),      cmocka_unit_test(origins),
        cmocka_unit_test(addresses),
    };

    return cmocka_run_group_tests(tests, setup, teardown);
}
