/* Every vector of signing-vectors.json, whole; and what is refused. */
#include "tests/unit/fetch_test.h"

#include "vault/fetch/signing.h"

#define MAX 16

struct vector {
    struct cv_signing_pair query[MAX];
    struct cv_signing_pair headers[MAX];
    struct cv_signing_request r;
};

static void add_header(struct vector *v, const char *name, const char *value)
{
    if (value != NULL) {
        assert_true(v->r.n_headers < MAX);
        v->headers[v->r.n_headers++] = (struct cv_signing_pair){name, value};
    }
}

/* Reads `input`; the texts stay the tree's. */
static void read_input(const cJSON *in, struct vector *v)
{
    const cJSON *item, *derived = at(in, "derived");
    const char *body = text_at(in, "body");

    memset(v, 0, sizeof(*v));
    cJSON_ArrayForEach(item, at(in, "query"))
    {
        assert_true(v->r.n_query < MAX);
        v->query[v->r.n_query++] =
            (struct cv_signing_pair){cJSON_GetArrayItem(item, 0)->valuestring,
                                     cJSON_GetArrayItem(item, 1)->valuestring};
    }
    cJSON_ArrayForEach(item, at(in, "headers"))
    {
        add_header(v, item->string, item->valuestring);
    }
    add_header(v, "X-Project-Id", text_at(in, "project_id"));
    add_header(v, "X-Domain-Id", text_at(in, "domain_id"));
    add_header(v, "X-Security-Token", text_at(in, "security_token"));
    v->r.method = text_at(in, "method");
    v->r.host = text_at(in, "host");
    v->r.path = text_at(in, "path");
    v->r.query = v->query;
    v->r.headers = v->headers;
    v->r.body = (struct cv_bytes){(const uint8_t *)body,
                                  body == NULL ? 0 : strlen(body)};
    v->r.ak = text_at(in, "ak");
    v->r.sk = text_at(in, "sk");
    v->r.date = text_at(in, "date");
    v->r.region = text_at(derived, "region");
    v->r.service = text_at(derived, "service");
}

static void check(const char *id, const cJSON *expect, const char *key,
                  const char *found)
{
    const char *wanted = text_at(expect, key);
    char what[96];

    (void)snprintf(what, sizeof(what), "%s, %s", id, key);
    assert_text(what, found, wanted == NULL ? "" : wanted);
}

static void check_vector(const cJSON *vector, struct cv_signing *s)
{
    const cJSON *expect = at(vector, "expect");
    const char *id = text_at(vector, "id");
    struct vector v;
    struct cv_err e;
    char url[1024];

    cv_err_init(&e);
    read_input(at(vector, "input"), &v);
    assert_ok(cv_signing_make(s, &v.r, &e), &e);
    check(id, expect, "canonical_uri", cv_buf_text(&s->uri));
    check(id, expect, "canonical_query", cv_buf_text(&s->query));
    check(id, expect, "signed_headers", cv_buf_text(&s->signed_headers));
    check(id, expect, "payload_hash", s->payload_hash);
    check(id, expect, "canonical_request", cv_buf_text(&s->canonical));
    check(id, expect, "canonical_request_sha256", s->canonical_hash);
    check(id, expect, "string_to_sign", cv_buf_text(&s->to_sign));
    check(id, expect, "signature", s->signature);
    check(id, expect, "authorization", cv_buf_text(&s->authorization));
    check(id, expect, "info", s->info);
    check(id, expect, "derived_key_hex", s->derived_key);
    (void)snprintf(url, sizeof(url), "https://%s%s", v.r.host,
                   cv_buf_text(&s->target));
    check(id, vector, "url", url);
}

static void every_vector(void **state)
{
    cJSON *file = read_json("cce/signing-vectors.json");
    struct cv_arena *arena = new_arena();
    struct cv_signing s;
    const cJSON *vector;
    int n = 0;

    (void)state;
    cv_signing_init(&s, arena);
    cJSON_ArrayForEach(vector, at(file, "vectors"))
    {
        check_vector(vector, &s);
        n++;
    }
    assert_int_equal(n, 32);
    cJSON_Delete(file);
    cv_arena_free(arena);
}

static struct cv_signing_request plain(void)
{
    return (struct cv_signing_request){.method = "GET",
                                       .host = "h",
                                       .path = "/",
                                       .ak = "a",
                                       .sk = "s",
                                       .date = "20261122T040506Z"};
}

static void refused(void **state)
{
    struct cv_arena *arena = new_arena();
    struct cv_signing_pair pairs[40];
    struct cv_signing_request r = plain();
    struct cv_signing s;
    struct cv_err e;

    (void)state;
    cv_signing_init(&s, arena);
    cv_err_init(&e);
    for (size_t i = 0; i < COUNT(pairs); i++) {
        pairs[i] = (struct cv_signing_pair){"n", "v"};
    }
    r.sk = "";
    assert_refused(cv_signing_make(&s, &r, &e), CV_INVALID, &e, "incomplete");
    r = plain();
    r.query = pairs;
    r.n_query = COUNT(pairs);
    assert_refused(cv_signing_make(&s, &r, &e), CV_INVALID, &e, "too many");
    r = plain();
    r.headers = pairs;
    r.n_headers = COUNT(pairs);
    assert_refused(cv_signing_make(&s, &r, &e), CV_INVALID, &e, "too many");
    pairs[0].value = "one\r\nX-Evil: two";
    r.n_headers = 1;
    assert_refused(cv_signing_make(&s, &r, &e), CV_INVALID, &e, "control");
    /* and the object still works */
    r = plain();
    assert_ok(cv_signing_make(&s, &r, &e), &e);
    cv_arena_free(arena);
}

static void wiped(void **state)
{
    struct cv_arena *arena = new_arena();
    struct cv_signing_request r = plain();
    struct cv_signing s;
    const uint8_t *canonical;

    (void)state;
    cv_signing_init(&s, arena);
    r.region = "r-1";
    r.service = "cce";
    assert_int_equal(cv_signing_make(&s, &r, NULL), CV_OK);
    assert_int_equal(strlen(s.derived_key), 64);
    canonical = s.canonical.data;
    assert_int_equal(canonical[0], 'G');
    cv_signing_wipe(&s);
    assert_int_equal(strlen(s.derived_key), 0);
    assert_int_equal(canonical[0], 0);
    cv_arena_free(arena);
}

static void dates(void **state)
{
    char out[CV_SIGNING_DATE_LEN];

    (void)state;
    assert_string_equal(cv_signing_date(1795320306, out), "20261122T040506Z");
    assert_string_equal(cv_signing_date(0, out), "19700101T000000Z");
}

static void default_hosts(void **state)
{
    static const char *const own[] = {
        "cce.cn-north-4.myhuaweicloud.com", "iam.myhuaweicloud.com",
        "cce.cn-north-4.huaweicloud.com", "obs.cn-north-1.myhwclouds.com",
        "cce.cn-north-11.myhuaweicloud.cn"};
    static const char *const others[] = {
        "cce.eu-west-101.myhuaweicloud.eu",
        "cce.eu-de.otc.t-systems.com",
        "localhost",
        "127.0.0.1:8443",
        "cce.cn-north-4.myhuaweicloud.com.evil.example",
        "a.b.cn-north-4.myhuaweicloud.com",
        "CCE.cn-north-4.huaweicloud.com",
        "cce.cn-north-111.myhuaweicloud.com"};

    (void)state;
    for (size_t i = 0; i < COUNT(own); i++) {
        assert_true(cv_signing_default_host(own[i]));
    }
    for (size_t i = 0; i < COUNT(others); i++) {
        assert_false(cv_signing_default_host(others[i]));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_vector),  cmocka_unit_test(refused),
        cmocka_unit_test(wiped),         cmocka_unit_test(dates),
        cmocka_unit_test(default_hosts),
    };

    return cmocka_run_group_tests(tests, setup, NULL);
}
