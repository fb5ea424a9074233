/* Texts for a terminal, YAML, tables' cells. */
#include "cli/output.h"
#include "cli/output_table.h"
#include "cli/output_yaml.h"
#include "vault/base/arena.h"
#include "vault/base/limits.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static cJSON *tree(const char *text)
{
    cJSON *out = NULL;

    assert_int_equal(
        cv_json_parse(NULL,
                      (struct cv_bytes){(const uint8_t *)text, strlen(text)},
                      &out, NULL),
        CV_OK);
    return out;
}

static void escapes(void **state)
{
    static const struct {
        const char *text, *shown;
    } cases[] = {
        {"plain", "plain"},
        {"", ""},
        {"a\x1b[2Jb", "a\\x1b[2Jb"},
        {"a\nb\tc", "a\\x0ab\\x09c"},
        {"\x7f", "\\x7f"},
        {"\xc2\x85", "\\xc2\\x85"},          /* C1 */
        {"\xe2\x80\xae", "\\xe2\\x80\\xae"}, /* right-to-left override */
        {"\xe2\x80\xa8", "\\xe2\\x80\\xa8"}, /* line separator */
        {"\xc3\xa4", "\xc3\xa4"},
        {"\xff", "\\xff"},
        {"\xc3", "\\xc3"},
        {"\xc0\xaf", "\\xc0\\xaf"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct cv_buf b;

        cv_buf_init(&b, NULL, 1000);
        cv_output_escape(&b, cases[i].text);
        assert_string_equal(cv_buf_text(&b), cases[i].shown);
        cv_buf_wipe(&b);
    }
}

static void yaml(void **state)
{
    static const struct {
        const char *json, *yaml;
    } cases[] = {
        {"{}", "{}\n"},
        {"[]", "[]\n"},
        {"null", "null\n"},
        {"\"a\"", "a\n"},
        {"{\"a\":1,\"b\":\"c\"}", "a: 1\nb: c\n"},
        {"{\"a\":[1,2]}", "a:\n- 1\n- 2\n"},
        {"{\"a\":[{\"b\":1,\"c\":[2]},{}]}", "a:\n- b: 1\n  c:\n  - 2\n- {}\n"},
        {"[[1,[2]],3]", "- - 1\n  - - 2\n- 3\n"},
        {"{\"a\":{\"b\":{\"c\":null}}}", "a:\n  b:\n    c: null\n"},
        {"{\"no\":\"yes\"}", "\"no\": \"yes\"\n"},
        {"[\"1\",\"a b\",\"\\n\",\"\\u001b\",\"\\ud83d\\udd11\"]",
         "- \"1\"\n- \"a b\"\n- \"\\n\"\n- \"\\x1b\"\n- \"\\U0001f511\"\n"},
        {"[true,false,-1,9007199254740992,1.5]",
         "- true\n- false\n- -1\n- 9007199254740992\n- 1.5\n"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        cJSON *value = tree(cases[i].json);
        struct cv_buf b;

        cv_buf_init(&b, NULL, 1000);
        cv_output_yaml(value, &b);
        assert_string_equal(cv_buf_text(&b), cases[i].yaml);
        cv_buf_wipe(&b);
        cJSON_Delete(value);
    }
}

/* A kubeconfig with its key is written in the arena that it was read in. */
static void yaml_in_an_arena(void **state)
{
    struct cv_arena *arena = NULL;
    struct cv_buf b;
    cJSON *value = tree("{\"key\":\"s3cret\"}");

    (void)state;
    assert_int_equal(cv_arena_new(CV_KIB(64), &arena, NULL), CV_OK);
    cv_buf_init(&b, arena, 1000);
    cv_output_yaml(value, &b);
    assert_int_equal(b.status, CV_OK);
    assert_true(cv_arena_owns(arena, b.data));
    cJSON_Delete(value);
    cv_arena_free(arena);
}

static void yaml_too_deep(void **state)
{
    cJSON *value = cJSON_CreateArray(), *inner = value;
    struct cv_buf b;

    (void)state;
    for (int i = 0; i < 200; i++) {
        cJSON *next = cJSON_CreateArray();

        assert_true(cJSON_AddItemToArray(inner, next));
        inner = next;
    }
    cv_buf_init(&b, NULL, CV_MIB(1));
    cv_output_yaml(value, &b);
    assert_int_equal(b.status, CV_INVALID);
    cv_buf_wipe(&b);
    cJSON_Delete(value);
}

static void paths_and_cells(void **state)
{
    cJSON *value = tree("{\"a\":{\"b\":\"c\"},\"l\":[\"x\",1,true],"
                        "\"m\":{\"k\":\"v\",\"n\":2}}");
    struct cv_buf b;

    (void)state;
    assert_string_equal(cv_output_table_text(value, "a.b"), "c");
    assert_null(cv_output_table_text(value, "a"));
    assert_null(cv_output_table_text(value, "a.b.c"));
    assert_null(cv_output_table_text(value, "a.x"));
    assert_null(cv_output_table_text(NULL, "a"));
    cv_buf_init(&b, NULL, 1000);
    cv_output_table_cell(cv_output_table_at(value, "l"), &b);
    cv_buf_add_char(&b, '|');
    cv_output_table_cell(cv_output_table_at(value, "m"), &b);
    assert_string_equal(cv_buf_text(&b), "x, 1, yes|k=v, n=2");
    cv_buf_wipe(&b);
    cJSON_Delete(value);
}

static void formats(void **state)
{
    enum cv_output_format f;

    (void)state;
    assert_int_equal(cv_output_parse("json", &f, NULL), CV_OK);
    assert_int_equal(f, CV_OUTPUT_JSON);
    assert_int_equal(cv_output_parse("JSON", &f, NULL), CV_USAGE);
    assert_int_equal(cv_output_parse("", &f, NULL), CV_USAGE);
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
        cmocka_unit_test(escapes),          cmocka_unit_test(yaml),
        cmocka_unit_test(yaml_in_an_arena), cmocka_unit_test(yaml_too_deep),
        cmocka_unit_test(paths_and_cells),  cmocka_unit_test(formats),
    };

    return cmocka_run_group_tests(tests, start, NULL);
}
