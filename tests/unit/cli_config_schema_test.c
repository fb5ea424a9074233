/* What may stand in a configuration. */
#include "cli/config_schema.h"
#include "vault/base/arena.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static enum cv_status check(const char *text, struct cv_err *err)
{
    cJSON *tree = NULL;
    enum cv_status s;

    cv_err_init(err);
    assert_int_equal(
        cv_json_parse(NULL,
                      (struct cv_bytes){(const uint8_t *)text, strlen(text)},
                      &tree, err),
        CV_OK);
    s = cv_config_schema_check(tree, NULL, err);
    cJSON_Delete(tree);
    return s;
}

static void takes_what_is_known(void **state)
{
    static const char *const good[] = {
        "{}",
        "{\"vault\": \"/v\"}",
        "{\"vault\": null}",
        "{\"cloud\": {\"endpoint\": \"https://h\", \"ca_file\": \"/f\"}}",
        "{\"cloud\": {}}",
        "{\"regions\": []}",
        "{\"regions\": [{\"id\": \"x\", \"endpoint\": \"h\"}, {\"id\": \"y\", "
        "\"endpoints\": [\"a\", \"b\"]}]}",
        "{\"defaults\": {\"duration\": 7}}",
        "{\"defaults\": {\"duration\": \"7d\"}}",
        "{\"modules\": [{\"name\": \"a\", \"path\": \"/p\", \"env\": "
        "{\"A\": \"b\"}}]}",
        "{\"pin\": {\"pkcs11:x\": \"file:/f\"}}",
        "{\"socket\": {\"path\": \"/s\", \"mode\": \"0660\"}}",
    };

    (void)state;
    for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
        struct cv_err err;

        assert_int_equal(check(good[i], &err), CV_OK);
    }
}

static void refuses_the_rest(void **state)
{
    static const struct {
        const char *text, *names;
    } bad[] = {
        {"{\"valt\": \"/v\"}", "valt: no such key"},
        {"{\"vault\": 1}", "vault: not of the right type"},
        {"{\"vault\": {}}", "vault: not"},
        {"{\"cloud\": \"x\"}", "cloud: not"},
        {"{\"cloud\": {\"endpont\": \"x\"}}", "cloud.endpont: no such key"},
        {"{\"cloud\": {\"endpoint\": []}}", "cloud.endpoint: not"},
        {"{\"cloud.endpoint\": \"x\"}", "cloud.endpoint"},
        {"{\"regions\": {}}", "regions: not"},
        {"{\"regions\": [1]}", "regions: not"},
        {"{\"regions\": [{\"id\": 1}]}", "regions.id: not"},
        {"{\"regions\": [{\"id\": \"x\", \"url\": \"h\"}]}", "regions.url"},
        {"{\"regions\": [{\"endpoints\": [1]}]}", "regions.endpoints: not"},
        {"{\"defaults\": {\"duration\": true}}", "defaults.duration: not"},
        {"{\"modules\": [{\"env\": {\"A\": 1}}]}", "modules.env: not"},
        {"{\"a\\u001bb\": 1}", "a?b: no such key"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        struct cv_err err;

        assert_int_equal(check(bad[i].text, &err), CV_CONFIG);
        assert_non_null(strstr(err.text, bad[i].names));
    }
}

static int start(void **state)
{
    struct cv_err err;

    (void)state;
    cv_err_init(&err);
    if (cv_arena_start(&err) != CV_OK) {
        return -1;
    }
    cv_json_start();
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(takes_what_is_known),
        cmocka_unit_test(refuses_the_rest),
    };

    return cmocka_run_group_tests(tests, start, NULL);
}
