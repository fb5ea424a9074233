/* Grants as the broker sends them, taken whole or refused. */
#include "tests/unit/relay_test.h"

#include <stdio.h>
#include <string.h>

static void takes_all_of_it(void **state)
{
    struct cv_grant *g = NULL;
    cJSON *tree = cJSON_Parse(
        GRANT_JSON(",\"ca\":\"CA\\n\",\"server_name\":\"k8s.example\"",
                   ",\"verbs\":[\"get\"],\"namespaces\":[\"a\",\"b\"],"
                   "\"resources\":[\"pods/log\"]"));

    (void)state;
    assert_int_equal(cv_grant_parse(tree, &g, NULL), CV_OK);
    cJSON_Delete(tree);
    assert_string_equal(g->id, GRANT_ID);
    assert_int_equal(g->uid, 1000);
    assert_string_equal(g->entry, "prod");
    assert_string_equal(g->entry_id, "e1");
    assert_string_equal(g->context, "internal");
    assert_false(g->read_only);
    assert_int_equal(g->record, CV_GRANT_WRITES);
    assert_int_equal(g->ends_ms, 5000);
    assert_string_equal(g->verbs[0], "get");
    assert_null(g->verbs[1]);
    assert_string_equal(g->namespaces[1], "b");
    assert_null(g->namespaces[2]);
    assert_string_equal(g->resources[0], "pods/log");
    assert_string_equal(g->upstream.ca, "CA\n");
    assert_string_equal(g->upstream.server_name, "k8s.example");
    assert_int_equal(g->upstream.verify, CV_GRANT_CA);
    assert_null(g->upstream.names[0]);
    assert_null(g->upstream.pins[0]);
    assert_int_equal(g->upstream.spki.len, 2);
    assert_string_equal(g->upstream.algorithms[0], "ecdsa_secp256r1_sha256");
    cv_grant_unref(cv_grant_ref(g));
    assert_string_equal(g->upstream.certificates, "PEM\n"); /* still there */
    cv_grant_unref(g);
    cv_grant_unref(NULL);
}

static void limits_may_be_absent(void **state)
{
    struct cv_grant *g = NULL;

    (void)state;
    assert_int_equal(grant_with("verbs", "null", &g, NULL), CV_OK);
    assert_null(g->verbs);
    assert_null(g->namespaces);
    assert_null(g->resources);
    assert_null(g->upstream.ca);
    cv_grant_unref(g);
}

static const struct {
    const char *server, *host, *authority, *address, *path;
    int port;
} servers[] = {
    {"https://h", "h", "h", "h:443", "", 443},
    {"https://h/", "h", "h", "h:443", "", 443},
    {"https://h:443", "h", "h", "h:443", "", 443},
    {"https://10.0.0.1:6443", "10.0.0.1", "10.0.0.1:6443", "10.0.0.1:6443", "",
     6443},
    {"https://[2001:db8::1]:6443/a/", "2001:db8::1", "[2001:db8::1]:6443",
     "[2001:db8::1]:6443", "/a", 6443},
    {"https://[::1]", "::1", "[::1]", "[::1]:443", "", 443},
    {"https://r.example/k8s/clusters/c-m-x~1", "r.example", "r.example",
     "r.example:443", "/k8s/clusters/c-m-x~1", 443},
};

static void knows_where_it_leads(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(servers) / sizeof(servers[0]); i++) {
        struct cv_grant *g = NULL;
        char json[128];

        (void)snprintf(json, sizeof(json), "\"%s\"", servers[i].server);
        print_message("%s\n", servers[i].server);
        assert_int_equal(grant_with(".server", json, &g, NULL), CV_OK);
        assert_string_equal(g->upstream.host, servers[i].host);
        assert_string_equal(g->upstream.authority, servers[i].authority);
        assert_string_equal(g->upstream.address, servers[i].address);
        assert_string_equal(g->upstream.path, servers[i].path);
        assert_int_equal(g->upstream.port, servers[i].port);
        cv_grant_unref(g);
    }
}

static const struct {
    const char *member, *value;
} refused[] = {
    {"id", NULL},
    {"id", "\"0123456789ABCDEF0123456789abcdef\""},
    {"id", "\"0123456789abcdef0123456789abcde\""},
    {"id", "\"0123456789abcdef0123456789abcdef0\""},
    {"id", "7"},
    {"uid", NULL},
    {"uid", "-1"},
    {"uid", "4294967294"},
    {"uid", "4294967295"},
    {"uid", "1.5"},
    {"uid", "\"0\""},
    {"entry", NULL},
    {"entry", "\"a\\u0007\""},
    {"read_only", NULL},
    {"read_only", "0"},
    {"read_only", "\"false\""},
    {"record", NULL},
    {"record", "\"some\""},
    {"record", "\"\""},
    {"ends_ms", NULL},
    {"ends_ms", "-1"},
    {"verbs", "[]"},
    {"verbs", "[\"\"]"},
    {"verbs", "[null]"},
    {"verbs", "\"get\""},
    {"verbs", "{}"},
    {"namespaces", "[]"},
    {"namespaces", "[1]"},
    {"resources", "[]"},
    {"more", "1"},
    {"upstream", NULL},
    {"upstream", "[]"},
    {".more", "1"},
    {".server", NULL},
    {".server", "\"http://h\""},
    {".server", "\"https://\""},
    {".server", "\"https://u@h\""},
    {".server", "\"https://h:0\""},
    {".server", "\"https://h:65536\""},
    {".server", "\"https://h:0443\""},
    {".server", "\"https://h:\""},
    {".server", "\"https://h:1x\""},
    {".server", "\"https://h:99999999999999999999\""},
    {".server", "\"https://h?x\""},
    {".server", "\"https://h/?x\""},
    {".server", "\"https://h/a%2fb\""},
    {".server", "\"https://h/a//b\""},
    {".server", "\"https://h/../b\""},
    {".server", "\"https://h/.\""},
    {".server", "\"https://h/a b\""},
    {".server", "\"https://[::1\""},
    {".server", "\"https://[1.2.3.4]\""},
    {".server", "\"https://h\\nHost: x\""},
    {".ca", "1"},
    {".server_name", "\"a b\""},
    {".server_name", "\"\""},
    {".names", NULL},
    {".names", "[\"a b\"]"},
    {".verify", "\"none\""},
    {".verify", "\"pin\""}, /* without pins */
    {".verify", NULL},
    {".pins", "[\"AAAA\"]"},
    {".pins", NULL},
    {".certificates", NULL},
    {".spki", "\"\""},
    {".spki", "\"!\""},
    {".spki", NULL},
    {".algorithms", "[]"},
    {".algorithms", "[\"RSA PSS\"]"},
    {".algorithms", NULL},
};

static void refuses_what_is_not_right(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(refused) / sizeof(refused[0]); i++) {
        struct cv_grant *g = (struct cv_grant *)&state;
        struct cv_err err;

        cv_err_init(&err);
        print_message("%s = %s\n", refused[i].member,
                      refused[i].value != NULL ? refused[i].value : "absent");
        assert_int_equal(
            grant_with(refused[i].member, refused[i].value, &g, &err),
            CV_INVALID);
        assert_null(g);
        assert_int_not_equal(err.text[0], '\0');
    }
}

static void refuses_too_many_items(void **state)
{
    struct cv_grant *g = NULL;
    cJSON *tree = grant_tree(NULL, NULL);
    cJSON *list = cJSON_AddArrayToObject(tree, "verbs");

    (void)state;
    for (int i = 0; i < CV_LIMIT_RELAY_GRANT_ITEMS; i++) {
        cJSON_AddItemToArray(list, cJSON_CreateString("get"));
    }
    assert_int_equal(cv_grant_parse(tree, &g, NULL), CV_OK);
    cv_grant_unref(g);
    cJSON_AddItemToArray(list, cJSON_CreateString("get"));
    assert_int_equal(cv_grant_parse(tree, &g, NULL), CV_INVALID);
    cJSON_Delete(tree);
    assert_int_equal(cv_grant_parse(NULL, &g, NULL), CV_INVALID);
}

/* The order comes in an arena that is wiped when it is answered. */
static void outlives_the_arena(void **state)
{
    struct cv_arena *arena = NULL;
    struct cv_grant *g = NULL;
    const char *json = GRANT_JSON("", "");
    cJSON *tree = NULL;

    (void)state;
    assert_int_equal(cv_arena_new(CV_MIB(1), &arena, NULL), CV_OK);
    struct cv_bytes text = {(const uint8_t *)json, strlen(json)};
    assert_int_equal(cv_json_parse(arena, text, &tree, NULL), CV_OK);
    (void)cv_json_use(arena);
    assert_int_equal(cv_grant_parse(tree, &g, NULL), CV_OK);
    assert_ptr_equal(cv_json_use(NULL), arena);
    cv_arena_free(arena);
    assert_string_equal(g->entry, "prod");
    cv_grant_unref(g);
}

static void takes_pins(void **state)
{
    struct cv_grant *g = NULL;
    cJSON *tree = grant_tree(".pins", "[\"" GRANT_PIN "\"]");
    cJSON *up = cJSON_GetObjectItemCaseSensitive(tree, "upstream");

    (void)state;
    cJSON_ReplaceItemInObjectCaseSensitive(up, "verify",
                                           cJSON_CreateString("pin"));
    assert_int_equal(cv_grant_parse(tree, &g, NULL), CV_OK);
    assert_int_equal(g->upstream.verify, CV_GRANT_PIN);
    assert_string_equal(g->upstream.pins[0], GRANT_PIN);
    cv_grant_unref(g);
    cJSON_Delete(tree);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(takes_all_of_it),
        cmocka_unit_test(limits_may_be_absent),
        cmocka_unit_test(knows_where_it_leads),
        cmocka_unit_test(refuses_what_is_not_right),
        cmocka_unit_test(refuses_too_many_items),
        cmocka_unit_test(outlives_the_arena),
        cmocka_unit_test(takes_pins),
    };

    return cmocka_run_group_tests(tests, relay_start, NULL);
}
