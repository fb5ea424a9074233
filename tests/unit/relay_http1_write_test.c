/* HTTP/1.1 as the relay writes it. */
#include "vault/relay/http1.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static void writes_what_it_reads(void **state)
{
    struct cv_buf out;
    struct cv_http1 r;
    size_t used;

    (void)state;
    cv_buf_init(&out, NULL, 1024);
    cv_http1_put_request(&out, cv_slice_of("POST"), "/k8s/c",
                         cv_slice_of("/api?x=y"), "h:6443");
    cv_http1_put_header(&out, cv_slice_of("Accept"), cv_slice_of("a, b"));
    cv_http1_put_header(&out, cv_slice_of("Empty"), cv_slice_of(""));
    cv_http1_put_length(&out, 12);
    cv_http1_put_end(&out);
    assert_string_equal(
        cv_buf_text(&out),
        "POST /k8s/c/api?x=y HTTP/1.1\r\nHost: h:6443\r\n"
        "Accept: a, b\r\nEmpty: \r\nContent-Length: 12\r\n\r\n");
    cv_http1_init(&r, CV_HTTP1_REQUESTS);
    assert_int_equal(cv_http1_feed(&r, out.data, out.len, &used, NULL),
                     CV_HTTP1_HEAD);
    cv_http1_drop(&r);
    cv_buf_wipe(&out);
    cv_http1_put_status(&out, 503);
    assert_string_equal(cv_buf_text(&out),
                        "HTTP/1.1 503 Service Unavailable\r\n");
    cv_buf_wipe(&out);
    cv_http1_put_status(&out, 299);
    assert_string_equal(cv_buf_text(&out), "HTTP/1.1 299 \r\n");
    cv_buf_wipe(&out);

    char line[CV_HTTP1_CHUNK_LINE];
    assert_int_equal(cv_http1_chunk_line(line, 0x1f), 4);
    assert_string_equal(line, "1f\r\n");
    assert_int_equal(cv_http1_chunk_line(line, SIZE_MAX), 18);
}

/* What came over h2 could hold what a line cannot. */
static void writes_no_line_ends(void **state)
{
    static const char *const bad[] = {"a\r\nB: c", "a\n", "a\r", "a\x01"};
    struct cv_buf out;

    (void)state;
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        cv_buf_init(&out, NULL, 1024);
        cv_http1_put_header(&out, cv_slice_of("A"), cv_slice_of(bad[i]));
        assert_int_equal(out.status, CV_INVALID);
        assert_int_equal(out.len, 0);
        cv_buf_wipe(&out);
        cv_http1_put_header(&out, cv_slice_of(bad[i]), cv_slice_of("a"));
        assert_int_equal(out.status, CV_INVALID);
        cv_buf_wipe(&out);
        cv_http1_put_request(&out, cv_slice_of("GET"), "", cv_slice_of(bad[i]),
                             "h");
        assert_int_equal(out.status, CV_INVALID);
        cv_buf_wipe(&out);
    }
    struct cv_slice nul = {"a\0b", 3};
    cv_http1_put_header(&out, cv_slice_of("A"), nul);
    assert_int_equal(out.status, CV_INVALID);
    cv_buf_wipe(&out);
    cv_http1_put_request(&out, cv_slice_of("GET"), "", cv_slice_of("/ HTTP"),
                         "h");
    assert_int_equal(out.status, CV_INVALID);
    cv_buf_wipe(&out);
    cv_http1_put_header(&out, cv_slice_of("A:"), cv_slice_of("a"));
    assert_int_equal(out.status, CV_INVALID);
    cv_buf_wipe(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(writes_what_it_reads),
        cmocka_unit_test(writes_no_line_ends),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
