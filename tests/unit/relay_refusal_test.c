/* What kubectl gets to see when the relay itself answers. */
#include "tests/unit/relay_test.h"
#include "vault/relay/http1.h"
#include "vault/relay/refusal.h"

#include <string.h>

static void is_a_status(void **state)
{
    struct cv_buf out;

    (void)state;
    cv_buf_init(&out, NULL, 4096);
    cv_refusal_body(403, "it said \"no\"\\\n\xc3\xa4\xff", "ask again", &out);
    assert_int_equal(out.status, CV_OK);
    assert_string_equal(
        cv_buf_text(&out),
        "{\"kind\":\"Status\",\"apiVersion\":\"v1\",\"metadata\":{},"
        "\"status\":\"Failure\",\"message\":\"certvault: it said "
        "\\\"no\\\"\\\\?\xc3\xa4?; ask again\",\"reason\":\"Forbidden\","
        "\"code\":403}\n");
    cJSON *tree = cJSON_Parse(cv_buf_text(&out));
    assert_non_null(tree);
    assert_string_equal(
        cJSON_GetStringValue(cJSON_GetObjectItem(tree, "reason")), "Forbidden");
    cJSON_Delete(tree);
    cv_buf_wipe(&out);
    cv_refusal_body(502, "no", "", &out);
    assert_non_null(strstr(cv_buf_text(&out), "\"certvault: no\""));
    cv_buf_wipe(&out);
}

static void has_a_reason_for_each_code(void **state)
{
    static const int codes[] = {400, 401, 403, 404, 408, 413,
                                429, 431, 502, 503, 504};

    (void)state;
    for (size_t i = 0; i < sizeof(codes) / sizeof(codes[0]); i++) {
        assert_int_not_equal(cv_refusal_reason(codes[i])[0], '\0');
        assert_int_not_equal(cv_http1_reason(codes[i])[0], '\0');
    }
    assert_string_equal(cv_refusal_reason(200), "");
    for (int s = CV_FAILED; s < CV_STATUS_COUNT; s++) {
        int code = cv_refusal_code((enum cv_status)s);

        assert_int_not_equal(cv_refusal_reason(code)[0], '\0');
    }
    assert_int_equal(cv_refusal_code(CV_DENIED), 403);
    assert_int_equal(cv_refusal_code(CV_REMOTE), 502);
    assert_int_equal(cv_refusal_code(CV_INVALID), 400);
    assert_int_equal(cv_refusal_code(CV_LOCKED), 503);
}

/* A whole answer, read back by our own reader. */
static void is_a_whole_answer(void **state)
{
    static const struct {
        bool head, close;
        const char *audit;
    } rows[] = {
        {false, false, NULL}, {true, false, "g-1"}, {false, true, "g-2"}};

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct cv_http1 r;
        struct cv_buf out;
        size_t used;

        cv_buf_init(&out, NULL, 4096);
        cv_refusal_http1(403, "no", NULL, rows[i].audit, rows[i].head,
                         rows[i].close, &out);
        assert_int_equal(out.status, CV_OK);
        cv_http1_init(&r, CV_HTTP1_ANSWERS);
        r.answers_head = rows[i].head;
        assert_int_equal(cv_http1_feed(&r, out.data, out.len, &used, NULL),
                         CV_HTTP1_HEAD);
        assert_int_equal(r.head.status, 403);
        assert_int_equal(r.head.keep_alive, !rows[i].close);
        assert_int_equal(out.len - used, rows[i].head ? 0 : r.head.length);
        assert_true(cv_slice_is(cv_http1_find(&r.head, "content-type")->value,
                                "application/json"));
        const struct cv_header *audit = cv_http1_find(&r.head, "audit-id");
        assert_int_equal(audit != NULL, rows[i].audit != NULL);
        cv_http1_drop(&r);
        cv_buf_wipe(&out);
    }
}

static void says_less_when_there_is_too_much(void **state)
{
    char text[4096];
    struct cv_buf out;

    (void)state;
    memset(text, 'x', sizeof(text));
    text[sizeof(text) - 1] = '\0';
    cv_buf_init(&out, NULL, 4096);
    cv_refusal_http1(400, text, text, NULL, false, true, &out);
    assert_int_equal(out.status, CV_OK);
    assert_non_null(strstr(cv_buf_text(&out), "\"certvault: refused\""));
    cv_buf_wipe(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(is_a_status),
        cmocka_unit_test(has_a_reason_for_each_code),
        cmocka_unit_test(is_a_whole_answer),
        cmocka_unit_test(says_less_when_there_is_too_much),
    };

    return cmocka_run_group_tests(tests, relay_start, NULL);
}
