/* Errors of the cloud in all their shapes. */
#include "tests/unit/fetch_test.h"

#include "vault/base/clock.h"
#include "vault/fetch/api_error.h"
#include "vault/fetch/retry.h"

#define NOW 1795320306 /* 2026-11-22T04:05:06Z */

/* An answer and its memory. */
struct sample {
    struct cv_buf head;
    struct cv_buf body;
    struct cv_http_answer a;
};

static void begin(struct sample *s, long status)
{
    memset(s, 0, sizeof(*s));
    cv_buf_init(&s->head, NULL, CV_KIB(64));
    cv_buf_init(&s->body, NULL, CV_MIB(1));
    s->a.status = status;
}

static void header(struct sample *s, const char *name, const char *value)
{
    cv_buf_add_format(&s->head, "%s: %s\r\n", name, value);
}

static void finish(struct sample *s)
{
    cv_buf_add_str(&s->body, "");
    s->a.head = cv_buf_bytes(&s->head);
    s->a.body = cv_buf_bytes(&s->body);
}

static void end(struct sample *s)
{
    cv_buf_wipe(&s->head);
    cv_buf_wipe(&s->body);
}

static void from_file(struct sample *s, const cJSON *file)
{
    const cJSON *item, *body = at(file, "body");

    begin(s, (long)at(file, "status")->valuedouble);
    cJSON_ArrayForEach(item, at(file, "headers"))
    {
        header(s, item->string, item->valuestring);
    }
    if (body != NULL) {
        cv_json_write(body, CV_JSON_COMPACT, &s->body);
    } else {
        cv_buf_add_str(&s->body, text_at(file, "body_text"));
    }
    finish(s);
}

/* What `retry` of a file's `expect` says against what the rules do. */
static void check_retry(const char *name, const cJSON *expect,
                        const struct cv_api_error *e)
{
    const cJSON *retry = at(expect, "retry");
    struct cv_retry r;
    int64_t wait_ms;
    bool repeats;

    cv_retry_begin(&r, 0, 120000);
    repeats = cv_retry_next(&r, CV_RETRY_ANSWERED, e->status, e->retry_after_s,
                            0, 0, &wait_ms);
    if (cJSON_IsString(retry)) {
        assert_text(name, retry->valuestring, "once, after a new token");
        assert_true(cv_api_error_wants_token(e));
        assert_false(repeats);
        return;
    }
    assert_false(cv_api_error_wants_token(e));
    if (repeats != cJSON_IsTrue(retry)) {
        fail_msg("%s: repeats %d", name, repeats);
    }
}

static void every_sample(void **state)
{
    cJSON *index = read_json("cce/responses/index.json");
    const cJSON *entry;
    int n = 0;

    (void)state;
    cJSON_ArrayForEach(entry, index)
    {
        char path[160];
        const char *name = text_at(entry, "file");
        const cJSON *expect, *after;
        const char *code;
        struct cv_api_error e;
        struct sample s;
        cJSON *file;

        if (at(entry, "status")->valuedouble < 400) {
            continue;
        }
        (void)snprintf(path, sizeof(path), "cce/responses/%s", name);
        file = read_json(path);
        expect = at(file, "expect");
        from_file(&s, file);
        cv_api_error_read(&s.a, NULL, NOW, &e);
        code = text_at(expect, "code");
        assert_text(name, e.code, code);
        assert_text(name, e.alt_code,
                    text_at(expect, "alt_code") != NULL
                        ? text_at(expect, "alt_code")
                    : e.alt_code[0] != '\0' ? e.alt_code
                                            : "");
        after = at(expect, "retry_after");
        if (after != NULL) {
            assert_true(e.retry_after_s > after->valuedouble - 0.001 &&
                        e.retry_after_s < after->valuedouble + 0.001);
        } else {
            assert_true(e.retry_after_s < 0);
        }
        if (text_at(at(file, "headers"), "X-Request-Id") != NULL) {
            assert_text(name, e.request_id,
                        text_at(at(file, "headers"), "X-Request-Id"));
        }
        check_retry(name, expect, &e);
        end(&s);
        cJSON_Delete(file);
        n++;
    }
    assert_int_equal(n, 18);
    cJSON_Delete(index);
}

static void read_text(long status, const char *body, struct cv_api_error *e)
{
    struct sample s;

    begin(&s, status);
    cv_buf_add_str(&s.body, body);
    finish(&s);
    cv_api_error_read(&s.a, NULL, NOW, e);
    end(&s);
}

static void shapes(void **state)
{
    static const struct {
        const char *body, *code, *alt, *message;
    } cases[] = {
        {"{\"errorCode\":\"E.CFE.4000001\",\"error_code\":\"CCE_CM.1\","
         "\"error_msg\":\"old\",\"reason\":\"r\"}",
         "CCE_CM.1", "", "old"},
        {"{\"errorCode\":\"A.1\",\"errorMsg\":\"camel\"}", "A.1", "", "camel"},
        {"{\"code\":7,\"message\":\"seven\"}", "7", "", "seven"},
        {"{\"error\":{\"error_code\":\"IAM.0061\",\"error_msg\":\"locked\"}}",
         "IAM.0061", "", "locked"},
        {"{\"wrap\":{\"errorCode\":\"B.2\",\"errorMessage\":\"in\"}}", "B.2",
         "", "in"},
        {"{\"errorCode\":\"C.3\"}", "C.3", "", ""},
        {"{\"code\":true,\"message\":[]}", "418", "", NULL},
        {"{}", "418", "", NULL},
        {"[1,2]", "418", "", NULL},
        {"", "418", "", ""},
        {"{\"errorCode\":\"a\\u0007b\",\"errorMessage\":\"x\\ty\\u001b[2J\"}",
         "a?b", "", "x y [2J"},
        {"{\"errorCode\":\"D\",\"errorCode\":\"E\"}", "418", "", NULL},
    };

    (void)state;
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct cv_api_error e;

        read_text(418, cases[i].body, &e);
        assert_text(cases[i].body, e.code, cases[i].code);
        assert_text(cases[i].body, e.alt_code, cases[i].alt);
        if (cases[i].message != NULL) {
            assert_text(cases[i].body, e.message, cases[i].message);
        } else {
            assert_true(e.from_body);
        }
    }
}

/* Both families and the useful detail are told. */
static void both_families(void **state)
{
    cJSON *file = read_json("cce/responses/40-400-status-both.json");
    struct cv_api_error_about about = {.what = "the request for a certificate",
                                       .host = "cce.example"};
    struct cv_api_error e;
    struct sample s;
    struct cv_err err;

    (void)state;
    cv_err_init(&err);
    from_file(&s, file);
    cv_api_error_read(&s.a, NULL, NOW, &e);
    assert_string_equal(e.message,
                        "Invalid request. Invalid duration 4000, must be -1 or "
                        "in range [1, 1827]");
    assert_refused(cv_api_error_fail(&e, &about, &err), CV_REMOTE, &err,
                   "cce.example answered 400 (CCE.01400001, CCE_CM.0004) to "
                   "the request for a certificate: Invalid request.");
    assert_string_equal(err.request_id, "14c78804309956842881b5086cc49895");
    end(&s);
    cJSON_Delete(file);
}

static void make(long status, const char *body,
                 const struct cv_api_error_masks *masks, const char *date,
                 bool keys, struct cv_err *err)
{
    struct cv_api_error_about about = {.what = "it",
                                       .host = "h",
                                       .permission = "cce:cluster:x",
                                       .keys = keys,
                                       .now_s = NOW};
    struct cv_api_error e;
    struct sample s;

    cv_err_init(err);
    begin(&s, status);
    if (date != NULL) {
        header(&s, "DATE", date);
    }
    cv_buf_add_str(&s.body, body);
    finish(&s);
    cv_api_error_read(&s.a, masks, NOW, &e);
    assert_int_equal(cv_api_error_fail(&e, &about, err),
                     status == 429 ? CV_BUSY : CV_REMOTE);
    end(&s);
}

static void assert_hint(long status, const char *body, bool keys,
                        const char *part)
{
    struct cv_err err;

    make(status, body, NULL, NULL, keys, &err);
    if (strstr(err.hint, part) == NULL) {
        print_error("%s: \"%s\", not \"%s\"\n", body, err.hint, part);
    }
    assert_non_null(strstr(err.hint, part));
}

#define GATEWAY(number, text) \
    "{\"error_code\":\"APIGW." number "\",\"error_msg\":\"" text "\"}"
#define CCE(number) "{\"errorCode\":\"CCE." number "\",\"errorMessage\":\"no\"}"

static void hints(void **state)
{
    (void)state;
    assert_hint(401, GATEWAY("0301", "verify aksk signature fail"), true,
                "check the access key");
    assert_hint(
        401, GATEWAY("0301", "AK access failed to reach the limit,forbidden"),
        true, "wait five minutes");
    assert_hint(401, GATEWAY("0301", "token expires, expires_at: x"), false,
                "get a new one");
    assert_hint(401, GATEWAY("0307", "The token must be updated"), false,
                "another region");
    assert_hint(401,
                "{\"error\":{\"code\":401,\"message\":\"The token must be "
                "obtained with MFA.\"}}",
                false, "one-time passcode");
    assert_hint(401,
                "{\"error\":{\"code\":401,\"message\":\"The username or "
                "password is wrong.\"}}",
                false, "the password");
    assert_hint(403, CCE("01403001"), true, "IAM permission cce:cluster:x");
    assert_hint(403, CCE("01403003"), true, "state forbids");
    assert_hint(403, CCE("01403002"), true, "restricted");
    assert_hint(403, GATEWAY("0401", "no"), true, "this address");
    assert_hint(403, GATEWAY("0310", "no"), true, "restricted");
    assert_hint(403, GATEWAY("0802", "no"), true, "region");
    assert_hint(404, GATEWAY("0101", "no"), true, "--endpoint");
    assert_hint(404, CCE("01404001"), true, "certvault clusters");
    assert_hint(429, CCE("02429001"), true, "wait a minute");
    assert_hint(500, CCE("01500001"), true, "cloud's");
    assert_hint(503, "", true, "cloud's");
    assert_hint(400, CCE("01400001"), true, "nothing was changed");
    assert_hint(409, CCE("01409002"), true, "nothing was changed");
}

static void clock_skew(void **state)
{
    struct cv_err err;

    (void)state;
    make(401, GATEWAY("0301", "verify aksk signature fail"), NULL,
         "Sun, 22 Nov 2026 04:35:06 GMT", true, &err);
    assert_non_null(strstr(err.hint, "30 minutes behind the server's (here "
                                     "2026-11-22T04:05:06Z, there "
                                     "2026-11-22T04:35:06Z)"));
    make(401,
         GATEWAY("0303", "signature expired, signature time:"
                         "20261122T040506Z,server time:20261122T034506Z"),
         NULL, NULL, true, &err);
    assert_non_null(strstr(err.hint, "20 minutes ahead of the server's"));
    /* within what the gateway takes, and with a token: other hints */
    make(401, GATEWAY("0301", "verify aksk signature fail"), NULL,
         "Sun, 22 Nov 2026 04:06:06 GMT", true, &err);
    assert_null(strstr(err.hint, "clock"));
    make(401, GATEWAY("0301", "token expires"), NULL,
         "Sun, 22 Nov 2026 05:06:06 GMT", false, &err);
    assert_null(strstr(err.hint, "clock"));
}

static void retry_after_goes_along(void **state)
{
    cJSON *file = read_json("cce/responses/49-429-apigw-retry-after.json");
    struct cv_api_error_about about = {.what = "it", .host = "h"};
    struct cv_api_error e;
    struct sample s;
    struct cv_err err;

    (void)state;
    cv_err_init(&err);
    from_file(&s, file);
    cv_api_error_read(&s.a, NULL, NOW, &e);
    assert_int_equal(cv_api_error_fail(&e, &about, &err), CV_BUSY);
    assert_true(err.retry_after_s > 56.8 && err.retry_after_s < 56.9);
    end(&s);
    cJSON_Delete(file);
}

#define SECRET "s3cr3t-passw0rd"
#define TOKEN "MIIFAKEtokenMIIFAKEtokenMIIFAKEtoken1234"
#define KEY_TEXT "MIIEowIBAAKCAQEA7bq2mZpY3K8xw+1L0vB/9dQ7yPzNqk2rT5fXcWgHsJ0a"

/* Nothing of a secret-looking body is told (H6). */
static void never_told(void **state)
{
    static const char *const bodies[] = {
        "{\"errorCode\":\"A\",\"errorMessage\":\"bad " SECRET " for you\"}",
        "{\"errorCode\":\"A\",\"errorMessage\":\"token " TOKEN " bad\"}",
        "{\"errorCode\":\"A\",\"errorMessage\":\"-----BEGIN RSA PRIVATE "
        "KEY-----\\n" KEY_TEXT "\\n\"}",
        "{\"client-key-data\":\"" KEY_TEXT "\",\"password\":\"" SECRET "\"}",
        "password=" SECRET " key=" KEY_TEXT,
        "<html>" SECRET "</html>",
    };
    const struct cv_api_error_masks masks = {.text = {NULL, SECRET, TOKEN, ""},
                                             .n = 4};
    static const long statuses[] = {401, 403, 429, 500, 502};

    (void)state;
    for (size_t i = 0; i < COUNT(bodies); i++) {
        for (size_t k = 0; k < COUNT(statuses); k++) {
            struct cv_err err;

            make(statuses[k], bodies[i], &masks, NULL, true, &err);
            assert_null(strstr(err.text, SECRET));
            assert_null(strstr(err.text, TOKEN));
            assert_null(strstr(err.text, "MIIEow"));
            assert_null(strstr(err.hint, SECRET));
        }
    }
}

/* What the gateway echoes is cut off; ids and names stay. */
static void readable(void **state)
{
    cJSON *file = read_json("cce/responses/42-401-apigw-signature.json");
    struct cv_api_error e;
    struct sample s;

    (void)state;
    from_file(&s, file);
    cv_api_error_read(&s.a, NULL, NOW, &e);
    assert_string_equal(e.message, "Incorrect IAM authentication information: "
                                   "verify aksk signature fail");
    end(&s);
    cJSON_Delete(file);
    file = read_json("cce/responses/45-403-identity-policy.json");
    from_file(&s, file);
    cv_api_error_read(&s.a, NULL, NOW, &e);
    assert_non_null(strstr(e.message, "cce:cluster:generateClientCredential"));
    assert_null(strstr(e.message, "[...]"));
    end(&s);
    cJSON_Delete(file);
    read_text(404,
              "{\"errorCode\":\"A\",\"errorMessage\":\"no "
              "/api/v3/projects/0a1b2c3d4e5f60718293a4b5c6d7e8f9/clusters/"
              "5c2a7d3e-91f4-11ee-8c90-0255ac100b05 here\"}",
              &e);
    assert_null(strstr(e.message, "[...]"));
}

static void odd_ids(void **state)
{
    struct cv_api_error e;
    struct sample s;

    (void)state;
    begin(&s, 500);
    header(&s, "x-request-id", "a b<script>");
    cv_buf_add_str(&s.body, "{\"request_id\":\"fine-1\",\"errorCode\":\"A\"}");
    finish(&s);
    cv_api_error_read(&s.a, NULL, NOW, &e);
    assert_string_equal(e.request_id, "fine-1");
    end(&s);
}

/* A hostile server puts what it was sent where ids and codes go. */
static void secrets_in_odd_places(void **state)
{
    const struct cv_api_error_masks masks = {.text = {SECRET}, .n = 1};
    struct cv_api_error e;
    struct sample s;

    (void)state;
    begin(&s, 500);
    header(&s, "X-Request-Id", "a" SECRET);
    cv_buf_add_str(&s.body, "{\"errorCode\":\"E." SECRET "\",\"errorMessage\":"
                            "\"m\",\"error_code\":\"" SECRET "\","
                            "\"request_id\":\"" SECRET "\"}");
    finish(&s);
    cv_api_error_read(&s.a, &masks, NOW, &e);
    assert_string_equal(e.request_id, "");
    assert_string_equal(e.code, "500");
    assert_string_equal(e.alt_code, "");
    end(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_sample),
        cmocka_unit_test(shapes),
        cmocka_unit_test(both_families),
        cmocka_unit_test(hints),
        cmocka_unit_test(clock_skew),
        cmocka_unit_test(retry_after_goes_along),
        cmocka_unit_test(never_told),
        cmocka_unit_test(readable),
        cmocka_unit_test(odd_ids),
        cmocka_unit_test(secrets_in_odd_places),
    };

    return cmocka_run_group_tests(tests, setup, NULL);
}
