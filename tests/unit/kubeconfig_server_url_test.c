/* Addresses of API servers (H26) and names for TLS (H24). */
#include "tests/unit/kubeconfig_test.h"

#include "vault/kubeconfig/server_url.h"

static const struct {
    const char *url, *host;
    int port;
} taken[] = {
    {"https://192.168.1.7:5443", "192.168.1.7", 5443},
    {"https://cluster.example", "cluster.example", 443},
    {"https://cluster.example/", "cluster.example", 443},
    {"https://Cluster.Example:1", "Cluster.Example", 1},
    {"https://c:65535/k8s/clusters/c-m-x1~2/", "c", 65535},
    {"https://[2001:db8::1]:6443/a", "2001:db8::1", 6443},
    {"https://[::1]", "::1", 443},
    {"https://127.0.0.1:6443", "127.0.0.1", 6443},
    {"https://0.0.0.0:6550", "0.0.0.0", 6550},
    {"https://host_name.example", "host_name.example", 443},
    {"https://169.253.1.1", "169.253.1.1", 443},
    {"https://a.xn-b", "a.xn-b", 443},
    {"https://123.example", "123.example", 443},
};

static const struct {
    const char *url, *part;
} refused[] = {
    {"", "https://"},
    {"http://cluster.example", "https://"},
    {"HTTPS://cluster.example", "https://"},
    {"https:/cluster.example", "https://"},
    {"//cluster.example", "https://"},
    {"unix:///run/x.sock", "https://"},
    {"file:///etc/passwd", "https://"},
    {" https://cluster.example", "https://"},
    {"cluster.example:6443", "https://"},
    {"https://", "no host"},
    {"https:///x", "no host"},
    {"https://:443", "no host"},
    {"https://user@cluster.example", "user information"},
    {"https://user:pw@cluster.example", "user information"},
    {"https://@cluster.example", "user information"},
    {"https://a@[::1]", "user information"},
    {"https://c:0", "port"},
    {"https://c:65536", "port"},
    {"https://c:", "port"},
    {"https://c:080", "port"},
    {"https://c:+80", "port"},
    {"https://c:8a", "port"},
    {"https://c:1:2", "port"},
    {"https://c:18446744073709551617", "port"},
    {"https://[::1]x", "port"},
    {"https://[::1]:", "port"},
    {"https://[::1", "no address"},
    {"https://[fe80::1%25eth0]", "no address"},
    {"https://[127.0.0.1]", "no address"},
    {"https://[c]", "no address"},
    {"https://::1", "no host"},
    {"https://169.254.169.254", "link-local"},
    {"https://169.254.0.1:443/latest", "link-local"},
    {"https://[fe80::1]", "link-local"},
    {"https://[febf::1]:1", "link-local"},
    {"https://[::ffff:169.254.169.254]", "link-local"},
    {"https://[::169.254.169.254]", "link-local"},
    {"https://169.254.43518", "no address"},
    {"https://2852039166", "no address"},
    {"https://0xa9fea9fe", "no address"},
    {"https://0xa9.254.169.254", "no address"},
    {"https://0251.254.169.254", "no address"},
    {"https://1.2.3.4.5", "no address"},
    {"https://1.2.3.256", "no address"},
    {"https://c.0x1", "no address"},
    {"https://cluster.example.", "DNS name"},
    {"https://.example", "DNS name"},
    {"https://a..b", "DNS name"},
    {"https://-a.example", "DNS name"},
    {"https://a-.example", "DNS name"},
    {"https://\xd0\xb5xample.com", "characters"},
    {"https://xn--xample-9uf.com", "internationalised"},
    {"https://a.XN--xample-9uf.com", "internationalised"},
    {"https://c%2e", "characters"},
    {"https://c d", "characters"},
    {"https://c\x1b[2J", "characters"},
    {"https://c?x", "plain path"},
    {"https://c/?x=1", "plain path"},
    {"https://c/#x", "plain path"},
    {"https://c#x", "plain path"},
    {"https://c\\x", "plain path"},
    {"https://c/../x", "plain path"},
    {"https://c/x/..", "plain path"},
    {"https://c/./x", "plain path"},
    {"https://c//x", "plain path"},
    {"https://c/%2e%2e/x", "plain path"},
    {"https://c/a b", "plain path"},
    {"https://c/a\nb", "plain path"},
    {"https://c/\xc3\xa9", "plain path"},
};

static void test_taken(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(taken); i++) {
        struct cv_err e;
        struct cv_server_url out;
        cv_err_init(&e);
        assert_ok(cv_server_url_parse(taken[i].url, &out, &e), &e);
        assert_string_equal(out.host, taken[i].host);
        assert_int_equal(out.port, taken[i].port);
        assert_int_equal(cv_server_url_parse(taken[i].url, NULL, &e), CV_OK);
    }
}

static void test_refused(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(refused); i++) {
        struct cv_err e;
        struct cv_server_url out = {.port = -7};
        cv_err_init(&e);
        enum cv_status st = cv_server_url_parse(refused[i].url, &out, &e);
        if (st == CV_OK) {
            print_error("taken: %s\n", refused[i].url);
        }
        assert_refused(st, CV_INVALID, &e, refused[i].part);
        assert_int_equal(out.port, -7);
    }
}

/* "https://" and a host of `len` characters, in labels of 50. */
static enum cv_status parse_long(size_t len, const char *path, size_t path_len)
{
    struct cv_buf b;
    cv_buf_init(&b, NULL, CV_KIB(8));
    cv_buf_add_str(&b, "https://");
    for (size_t i = 1; i <= len; i++) {
        cv_buf_add_char(&b, i % 50 == 0 && i < len ? '.' : 'a');
    }
    for (size_t i = 0; i < path_len; i++) {
        cv_buf_add_str(&b, path);
    }
    enum cv_status st = cv_server_url_parse(cv_buf_text(&b), NULL, NULL);
    cv_buf_wipe(&b);
    return st;
}

static void test_lengths(void **state)
{
    (void)state;
    assert_int_equal(parse_long(253, "", 0), CV_OK);
    assert_int_equal(parse_long(254, "", 0), CV_INVALID);
    assert_int_equal(parse_long(300, "", 0), CV_INVALID);
    assert_int_equal(parse_long(12, "/abc", 507), CV_OK); /* 2,048 in all */
    assert_int_equal(parse_long(13, "/abc", 507), CV_INVALID);
    /* A label of 63, of 64. */
    char url[80] = "https://";
    memset(url + 8, 'a', 63);
    assert_int_equal(cv_server_url_parse(url, NULL, NULL), CV_OK);
    url[71] = 'a';
    assert_int_equal(cv_server_url_parse(url, NULL, NULL), CV_INVALID);
}

static void test_tls_name(void **state)
{
    (void)state;
    static const char *const good[] = {"kubernetes", "a.example", "10.0.0.1",
                                       "::1", "fe80::1"};
    static const char *const bad[] = {
        "",     "a:1",   "https://a", "a/b", "*.example", "a b",   "-rf",
        "a..b", "xn--a", "\xd0\xb5",  "a\n", "1.2.3",     "[::1]", "$(id)"};
    for (size_t i = 0; i < COUNT(good); i++) {
        assert_int_equal(cv_server_url_check_name(good[i], NULL), CV_OK);
    }
    for (size_t i = 0; i < COUNT(bad); i++) {
        assert_int_equal(cv_server_url_check_name(bad[i], NULL), CV_INVALID);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_taken),
        cmocka_unit_test(test_refused),
        cmocka_unit_test(test_lengths),
        cmocka_unit_test(test_tls_name),
    };
    return cmocka_run_group_tests(tests, setup, NULL);
}
