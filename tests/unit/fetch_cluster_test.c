/* Clusters as the cloud lists them. */
#include "tests/unit/fetch_test.h"

#include "vault/fetch/cluster.h"

#define ID "5c2a7d3e-91f4-11ee-8c90-0255ac100b05"
#define ITEM(name, id) \
    "{\"metadata\":{\"name\":\"" name "\",\"uid\":\"" id "\"}}"

static cJSON *body_of(const char *name)
{
    char path[160];
    cJSON *file, *body;

    (void)snprintf(path, sizeof(path), "cce/responses/%s", name);
    file = read_json(path);
    body = cJSON_DetachItemFromObjectCaseSensitive(file, "body");
    cJSON_Delete(file);
    return body;
}

static void list(void **state)
{
    cJSON *body = body_of("70-list-clusters.json"), *json;
    struct cv_cluster_list l;
    char *text;

    (void)state;
    assert_int_equal(cv_cluster_read_list(body, &l, NULL), CV_OK);
    assert_int_equal(l.n, 2);
    assert_string_equal(l.item[0].name, "prod-\xe9\x9b\x86\xe7\xbe\xa4");
    assert_string_equal(l.item[0].id, ID);
    assert_string_equal(l.item[0].version, "v1.33");
    assert_int_equal(l.item[0].n_ends, 2);
    assert_string_equal(l.item[0].end[1].type, "External");
    assert_string_equal(l.item[0].end[1].url, "https://203.0.113.25:5443");
    assert_int_equal(l.item[0].created_s, 1770019960);
    assert_string_equal(l.item[1].phase, "Hibernation");
    json = cv_cluster_to_json(&l.item[1]);
    text = cJSON_PrintUnformatted(json);
    assert_string_equal(
        text, "{\"cluster_id\":\"b7e19a40-6f0c-11f0-b2d1-0255ac10c1d2\","
              "\"name\":\"dev\",\"alias\":\"dev\",\"phase\":\"Hibernation\","
              "\"version\":\"v1.31\",\"category\":\"Turbo\",\"type\":\"ARM64\","
              "\"flavor\":\"cce.s2.small\",\"created\":\"2026-02-02T08:12:40Z\""
              ",\"endpoints\":[{\"type\":\"Internal\",\"url\":"
              "\"https://192.168.1.7:5443\"}]}");
    cJSON_free(text);
    cJSON_Delete(json);
    cJSON_Delete(body);
    cv_cluster_list_free(&l);
    body = body_of("71-list-clusters-empty.json");
    assert_int_equal(cv_cluster_read_list(body, &l, NULL), CV_OK);
    assert_int_equal(l.n, 0);
    cJSON_Delete(body);
}

static void endpoints_object(void **state)
{
    cJSON *body = body_of("72-show-cluster-endpoints-object.json");
    struct cv_cluster c;

    (void)state;
    assert_int_equal(cv_cluster_read(body, &c, NULL), CV_OK);
    assert_int_equal(c.n_ends, 3);
    assert_string_equal(c.end[2].type, "external_otc");
    cJSON_Delete(body);
}

static void odd_clusters(void **state)
{
    cJSON *body =
        parse("{\"metadata\":{\"name\":\"a\\u001b[2Jb\",\"uid\":\"" ID "\","
              "\"alias\":\"\\u202eevil\",\"creationTimestamp\":\"soon\"},"
              "\"status\":{\"phase\":7,\"endpoints\":null}}");
    struct cv_cluster c;

    (void)state;
    assert_int_equal(cv_cluster_read(body, &c, NULL), CV_OK);
    assert_string_equal(c.name, "a?[2Jb");
    assert_null(strstr(c.alias, "\xe2\x80\xae"));
    assert_string_equal(c.phase, "");
    assert_int_equal(c.created_s, -1);
    assert_int_equal(c.n_ends, 0);
    cJSON_Delete(body);
}

static void refused(void **state)
{
    static const char *const texts[] = {
        "{}",
        "{\"items\":{}}",
        "{\"items\":[{}]}",
        "{\"items\":[5]}",
        "{\"items\":[" ITEM("a", "../../x") "]}",
        "{\"items\":[" ITEM("a", ID) "," ITEM("b", "") "]}"};

    (void)state;
    for (size_t i = 0; i < COUNT(texts); i++) {
        struct cv_cluster_list l;
        cJSON *tree = parse(texts[i]);

        assert_int_equal(cv_cluster_read_list(tree, &l, NULL), CV_REMOTE);
        assert_null(l.item);
        cJSON_Delete(tree);
    }
}

static void find(void **state)
{
    cJSON *tree = parse("{\"items\":[" ITEM("one", ID) "," ITEM(
        "two", "00000000-0000-0000-0000-000000000001") "," ITEM("two",
                                                                "00000000-"
                                                                "0000-0000-"
                                                                "0000-"
                                                                "0000000000"
                                                                "02") "]}");
    const struct cv_cluster *c;
    struct cv_cluster_list l;
    struct cv_err e;

    (void)state;
    cv_err_init(&e);
    assert_int_equal(cv_cluster_read_list(tree, &l, NULL), CV_OK);
    assert_ok(cv_cluster_find(&l, "one", &c, &e), &e);
    assert_string_equal(c->id, ID);
    assert_refused(cv_cluster_find(&l, "three", &c, &e), CV_NOT_FOUND, &e,
                   "no cluster named three");
    assert_refused(cv_cluster_find(&l, "two", &c, &e), CV_USAGE, &e,
                   "00000000-0000-0000-0000-000000000001, "
                   "00000000-0000-0000-0000-000000000002");
    cv_cluster_list_free(&l);
    cJSON_Delete(tree);
}

static void ids(void **state)
{
    static const char *const bad[] = {
        "",
        "..",
        "../../../../../../../../../../../../x",
        "5c2a7d3e-91f4-11ee-8c90-0255ac100b0",
        "5c2a7d3e-91f4-11ee-8c90-0255ac100b055",
        "5c2a7d3e%2d91f4-11ee-8c90-0255ac100b05",
        "5c2a7d3e-91f4-11ee-8c90-0255ac100b0?",
        "5c2a7d3e-91f4-11ee-8c90-0255ac100b0#",
        "5c2a7d3e-91f4-11ee-8c90\r\n255ac100b0",
        "5c2a7d3e_91f4_11ee_8c90_0255ac100b05",
    };
    static char large[CV_KIB(64) + 1];

    (void)state;
    memset(large, 'a', sizeof(large) - 1);
    assert_int_equal(cv_cluster_check_id(ID, NULL), CV_OK);
    assert_int_equal(cv_cluster_check_id(large, NULL), CV_USAGE);
    for (size_t i = 0; i < COUNT(bad); i++) {
        assert_int_equal(cv_cluster_check_id(bad[i], NULL), CV_USAGE);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(list),         cmocka_unit_test(endpoints_object),
        cmocka_unit_test(odd_clusters), cmocka_unit_test(refused),
        cmocka_unit_test(find),         cmocka_unit_test(ids),
    };

    return cmocka_run_group_tests(tests, setup, NULL);
}
