/* What is written as JSON, and trees read by a table (vault/base/json.h). */
#include "vault/base/file.h"
#include "vault/base/json.h"
#include "vault/base/limits.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <math.h>
#include <string.h>

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

static int start(void **state)
{
    (void)state;
    if (cv_arena_start(NULL) != CV_OK) {
        return -1;
    }
    cv_json_start();
    return 0;
}

static cJSON *tree_of(const char *text, size_t len)
{
    cJSON *tree = NULL;
    struct cv_bytes b = {(const uint8_t *)text, len};
    assert_int_equal(cv_json_parse(NULL, b, &tree, NULL), CV_OK);
    return tree;
}

static void expect(const cJSON *tree, enum cv_json_style style,
                   const char *want)
{
    struct cv_buf b;
    cv_buf_init(&b, NULL, CV_MIB(1));
    cv_json_write(tree, style, &b);
    assert_int_equal(cv_buf_status(&b, "it", NULL), CV_OK);
    assert_string_equal(cv_buf_text(&b), want);
    cv_buf_wipe(&b);
}

static void expect_refused(const cJSON *tree, enum cv_json_style style)
{
    struct cv_buf b;
    cv_buf_init(&b, NULL, CV_MIB(1));
    cv_json_write(tree, style, &b);
    assert_int_equal(cv_buf_status(&b, "it", NULL), CV_INVALID);
    cv_buf_wipe(&b);
}

/* tests/data/json/canonical.txt: what Python's json.dumps(value,
 * sort_keys=True, separators=(",", ":")) makes of 203 documents. */
static void canonical_as_python_writes_it(void **state)
{
    (void)state;
    struct cv_buf all;
    int fd = -1;
    assert_int_equal(
        cv_file_open_input(CV_TEST_DATA "/json/canonical.txt", &fd, NULL),
        CV_OK);
    cv_buf_init(&all, NULL, CV_MIB(1));
    assert_int_equal(cv_file_read(fd, "canonical.txt", &all, NULL), CV_OK);
    cv_file_close(&fd);
    unsigned n = 0;
    char *line = (char *)all.data;
    for (char *end = strchr(line, '\n'); end != NULL;
         line = end + 1, end = strchr(line, '\n')) {
        *end = '\0';
        char *tab = strchr(line, '\t');
        assert_non_null(tab);
        *tab = '\0';
        cJSON *tree = tree_of(line, strlen(line));
        expect(tree, CV_JSON_CANONICAL, tab + 1);
        cJSON_Delete(tree);
        n++;
    }
    assert_true(n >= 200);
    cv_buf_wipe(&all);
}

static void styles(void **state)
{
    (void)state;
    static const char text[] = "{\"b\":[1,{\"x\":[]}],\"a\":{},\"c\":\"\"}";
    cJSON *tree = tree_of(text, sizeof(text) - 1);
    expect(tree, CV_JSON_COMPACT, text);
    expect(tree, CV_JSON_CANONICAL,
           "{\"a\":{},\"b\":[1,{\"x\":[]}],\"c\":\"\"}");
    expect(tree, CV_JSON_PRETTY,
           "{\n"
           "  \"b\": [\n"
           "    1,\n"
           "    {\n"
           "      \"x\": []\n"
           "    }\n"
           "  ],\n"
           "  \"a\": {},\n"
           "  \"c\": \"\"\n"
           "}");
    cJSON_Delete(tree);
}

static void escapes(void **state)
{
    (void)state;
    cJSON *s = cJSON_CreateString("\"\\/\b\f\n\r\t\x01\x1f\x7f\xc3\xa9"
                                  "\xe2\x82\xac\xf0\x9f\x98\x80");
    expect(s, CV_JSON_COMPACT,
           "\"\\\"\\\\/\\b\\f\\n\\r\\t\\u0001\\u001f\\u007f\\u00e9"
           "\\u20ac\\ud83d\\ude00\"");
    cJSON_Delete(s);
}

static void numbers(void **state)
{
    (void)state;
    static const struct {
        double value;
        const char *text;
    } cases[] = {
        {0, "0"},
        {-0.0, "0"},
        {-1, "-1"},
        {9007199254740992.0, "9007199254740992"},
        {-9007199254740992.0, "-9007199254740992"},
        {0.1, "0.1"},
        {2.5, "2.5"},
        {1.0 / 3, "0.3333333333333333"},
        {0.1 + 0.2, "0.30000000000000004"},
        {1e300, "1e+300"},
        {5e-324, "4.94065645841247e-324"},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        cJSON *n = cJSON_CreateNumber(cases[i].value);
        expect(n, CV_JSON_COMPACT, cases[i].text);
        if (strpbrk(cases[i].text, ".e") != NULL) {
            expect_refused(n, CV_JSON_CANONICAL);
        } else {
            expect(n, CV_JSON_CANONICAL, cases[i].text);
        }
        cJSON_Delete(n);
    }
    static const double none[] = {INFINITY, -INFINITY, NAN};
    for (size_t i = 0; i < COUNT(none); i++) {
        cJSON *n = cJSON_CreateNumber(none[i]);
        expect_refused(n, CV_JSON_COMPACT);
        cJSON_Delete(n);
    }
}

static void what_cannot_be_written(void **state)
{
    (void)state;
    expect_refused(NULL, CV_JSON_COMPACT);
    cJSON *bad = cJSON_CreateString("caf\xe9");
    expect_refused(bad, CV_JSON_COMPACT);
    cJSON_Delete(bad);
    bad = cJSON_CreateRaw("{}");
    expect_refused(bad, CV_JSON_COMPACT);
    cJSON_Delete(bad);
    /* A key twice: other readers would take one or the other. */
    bad = cJSON_CreateObject();
    assert_true(cv_json_add_int(bad, "a", 1));
    assert_true(cv_json_add_int(bad, "a", 2));
    expect_refused(bad, CV_JSON_CANONICAL);
    cJSON_Delete(bad);
    /* An item that was added without a key. */
    bad = cJSON_CreateObject();
    assert_true(cJSON_AddItemToArray(bad, cJSON_CreateTrue()));
    expect_refused(bad, CV_JSON_CANONICAL);
    expect_refused(bad, CV_JSON_COMPACT);
    cJSON_Delete(bad);
    /* One deeper than would be read. */
    cJSON *deep = cJSON_CreateArray();
    for (int i = 1; i <= CV_LIMIT_JSON_DEPTH; i++) {
        cJSON *outer = cJSON_CreateArray();
        cJSON_AddItemToArray(outer, deep);
        deep = outer;
    }
    expect_refused(deep, CV_JSON_COMPACT);
    expect(deep->child->child, CV_JSON_COMPACT,
           "[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[["
           "]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]");
    cJSON_Delete(deep);
}

static void what_fails_sticks(void **state)
{
    (void)state;
    struct cv_buf b;
    cv_buf_init(&b, NULL, 4);
    cJSON *s = cJSON_CreateString("a long text");
    cv_json_write(s, CV_JSON_COMPACT, &b);
    assert_int_equal(cv_buf_status(&b, "it", NULL), CV_INVALID);
    cv_buf_wipe(&b);
    cJSON_Delete(s);
}

struct answer {
    const char *name;
    const char *text;
    int64_t count;
    double ratio;
    bool yes;
    const cJSON *object;
    const cJSON *array;
    const cJSON *any;
};

/* What was read last: answers borrow from it. */
static cJSON *read_tree;

static void drop_read(void)
{
    cJSON_Delete(read_tree);
    read_tree = NULL;
}

static enum cv_status read_into(const char *text, struct answer *a, bool strict,
                                struct cv_err *err)
{
    const struct cv_json_field fields[] = {
        {"name", CV_JSON_STRING, true, &a->name, 8},
        {"text", CV_JSON_TEXT, false, &a->text, 0},
        {"count", CV_JSON_INT, false, &a->count, 0},
        {"ratio", CV_JSON_NUMBER, false, &a->ratio, 0},
        {"yes", CV_JSON_BOOL, false, &a->yes, 0},
        {"object", CV_JSON_OBJECT, false, &a->object, 0},
        {"array", CV_JSON_ARRAY, false, &a->array, 0},
        {"any", CV_JSON_ANY, false, &a->any, 0},
    };
    drop_read();
    read_tree = tree_of(text, strlen(text));
    return cv_json_read(read_tree, "the answer", fields, COUNT(fields), strict,
                        err);
}

static void reading_all(void **state)
{
    (void)state;
    struct answer a = {0};
    assert_int_equal(
        read_into("{\"name\":\"12345678\",\"text\":\"a\\nb\\tc\",\"count\":-7,"
                  "\"ratio\":2.5,\"yes\":true,\"object\":{},\"array\":[],"
                  "\"any\":\"x\"}",
                  &a, true, NULL),
        CV_OK);
    assert_string_equal(a.name, "12345678");
    assert_string_equal(a.text, "a\nb\tc");
    assert_int_equal(a.count, -7);
    assert_true(a.ratio == 2.5);
    assert_true(a.yes);
    assert_true(cJSON_IsObject(a.object));
    assert_true(cJSON_IsArray(a.array));
    assert_true(cJSON_IsString(a.any));
    drop_read();
}

static void reading_what_is_absent(void **state)
{
    (void)state;
    static const cJSON other;
    struct answer a = {.text = "old",
                       .count = 3,
                       .ratio = 1.5,
                       .yes = true,
                       .object = &other,
                       .array = &other,
                       .any = &other};
    assert_int_equal(read_into("{\"name\":\"\",\"count\":null,\"text\":null}",
                               &a, true, NULL),
                     CV_OK);
    assert_string_equal(a.name, "");
    assert_null(a.text);
    assert_int_equal(a.count, 3);
    assert_true(a.ratio == 1.5);
    assert_true(a.yes);
    assert_null(a.object);
    assert_null(a.array);
    assert_null(a.any);
    drop_read();
}

static void reading_what_is_wrong(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        const char *tells;
    } cases[] = {
        {"[]", "not an object"},
        {"{}", "\"name\" is missing"},
        {"{\"name\":null}", "\"name\" is missing"},
        {"{\"Name\":\"x\"}", "\"name\" is missing"},
        {"{\"name\":1}", "\"name\" is not a string"},
        {"{\"name\":\"123456789\"}", "\"name\" is longer than 8 bytes"},
        {"{\"name\":\"a\\nb\"}", "\"name\" holds a control character"},
        {"{\"name\":\"a\\u007f\"}", "\"name\" holds a control character"},
        {"{\"name\":\"a\\u009b\"}", "\"name\" holds a control character"},
        {"{\"name\":\"\",\"text\":\"a\\rb\"}", "\"text\" holds a control"},
        {"{\"name\":\"\",\"text\":\"\\u001b\"}", "\"text\" holds a control"},
        {"{\"name\":\"\",\"text\":{}}", "\"text\" is not a string"},
        {"{\"name\":\"\",\"count\":1.5}", "\"count\" is not an integer"},
        {"{\"name\":\"\",\"count\":\"1\"}", "\"count\" is not an integer"},
        {"{\"name\":\"\",\"count\":true}", "\"count\" is not an integer"},
        {"{\"name\":\"\",\"ratio\":\"1\"}", "\"ratio\" is not a number"},
        {"{\"name\":\"\",\"yes\":1}", "\"yes\" is not true or false"},
        {"{\"name\":\"\",\"object\":[]}", "\"object\" is not an object"},
        {"{\"name\":\"\",\"array\":{}}", "\"array\" is not an array"},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct cv_err e;
        struct answer a = {0};
        assert_int_equal(read_into(cases[i].text, &a, true, &e), CV_INVALID);
        assert_non_null(strstr(e.text, cases[i].tells));
        assert_non_null(strstr(e.text, "the answer"));
    }
    drop_read();
}

static void reading_what_is_unknown(void **state)
{
    (void)state;
    struct cv_err e;
    struct answer a = {0};
    static const char text[] = "{\"name\":\"x\",\"nam\\u00e9\\n\":1}";
    assert_int_equal(read_into(text, &a, false, &e), CV_OK);
    assert_int_equal(read_into(text, &a, true, &e), CV_INVALID);
    assert_non_null(strstr(e.text, "unknown member \"nam"));
    assert_null(strchr(e.text, '\n'));
    assert_int_equal(cv_json_read(NULL, "it", NULL, 0, true, &e), CV_INVALID);
    drop_read();
}

static void adding(void **state)
{
    (void)state;
    const uint8_t bytes[] = {0xff, 0, 1};
    struct cv_bytes data = {bytes, 3};
    cJSON *o = cJSON_CreateObject();
    assert_true(cv_json_add_str(o, "s", "x"));
    assert_true(cv_json_add_str(o, "none", NULL));
    assert_true(cv_json_add_int(o, "i", -9007199254740992));
    assert_true(cv_json_add_bool(o, "b", false));
    assert_true(cv_json_add_item(o, "a", cJSON_CreateArray()));
    assert_true(cv_json_add_base64(o, "base64", data));
    assert_true(cv_json_add_hex(o, "hex", data));
    assert_true(cv_json_add_hex(o, "empty", (struct cv_bytes){NULL, 0}));
    expect(o, CV_JSON_COMPACT,
           "{\"s\":\"x\",\"i\":-9007199254740992,\"b\":false,\"a\":[],"
           "\"base64\":\"/wAB\",\"hex\":\"ff0001\",\"empty\":\"\"}");
    assert_false(cv_json_add_item(o, "x", NULL));
    cJSON_Delete(o);
    assert_false(cv_json_add_str(NULL, "s", "x"));
    assert_false(cv_json_add_str(NULL, "s", NULL));
    assert_false(cv_json_add_int(NULL, "i", 1));
    assert_false(cv_json_add_base64(NULL, "i", data));
}

static void adding_in_an_arena(void **state)
{
    (void)state;
    struct cv_arena *arena = NULL;
    assert_int_equal(cv_arena_new(CV_MIB(1), &arena, NULL), CV_OK);
    (void)cv_json_use(arena);
    cJSON *o = cJSON_CreateObject();
    assert_true(cv_json_add_base64(
        o, "key", (struct cv_bytes){(const uint8_t *)"secret", 6}));
    (void)cv_json_use(NULL);
    assert_true(cv_arena_owns(arena, o->child->valuestring));
    assert_string_equal(o->child->valuestring, "c2VjcmV0");
    cv_arena_free(arena);
}

static void errors_go_round(void **state)
{
    (void)state;
    struct cv_err e;
    cv_fail(&e, CV_BUSY, "throttled");
    cJSON *o = cv_json_from_err(&e);
    expect(o, CV_JSON_COMPACT, "{\"code\":\"busy\",\"message\":\"throttled\"}");
    cJSON_Delete(o);
    cv_err_hint(&e, "wait");
    cv_err_state(&e, "nothing was minted");
    e.audit_seq = 0;
    e.retry_after_s = 2.5;
    memcpy(e.request_id, "req-1", 6);
    o = cv_json_from_err(&e);
    expect(o, CV_JSON_COMPACT,
           "{\"code\":\"busy\",\"message\":\"throttled\",\"hint\":\"wait\","
           "\"state\":\"nothing was minted\",\"request_id\":\"req-1\","
           "\"audit_seq\":0,\"retry_after\":2.5}");
    struct cv_err back;
    assert_int_equal(cv_json_to_err(o, &back), CV_BUSY);
    assert_int_equal(back.status, CV_BUSY);
    assert_string_equal(back.text, e.text);
    assert_string_equal(back.hint, e.hint);
    assert_string_equal(back.state, e.state);
    assert_string_equal(back.request_id, e.request_id);
    assert_true(back.audit_seq == 0);
    assert_true(back.retry_after_s == 2.5);
    assert_int_equal(cv_json_to_err(o, NULL), CV_BUSY);
    cJSON_Delete(o);
}

static void hostile_errors(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        enum cv_status status;
        const char *message;
    } cases[] = {
        {"{}", CV_INTERNAL, "no message"},
        {"[]", CV_INTERNAL, "no message"},
        {"{\"code\":\"ok\",\"message\":\"all is well\"}", CV_INTERNAL,
         "all is well"},
        {"{\"code\":1,\"message\":[],\"hint\":{},\"audit_seq\":\"x\","
         "\"retry_after\":-5}",
         CV_INTERNAL, "no message"},
        {"{\"code\":\"busy\",\"message\":\"x\",\"audit_seq\":-7,"
         "\"retry_after\":-1}",
         CV_BUSY, "x"},
        {"{\"code\":\"denied\",\"message\":\"a\\u001b[2J%s%n\"}", CV_DENIED,
         "a?[2J%s%n"},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        cJSON *o = tree_of(cases[i].text, strlen(cases[i].text));
        struct cv_err e;
        assert_int_equal(cv_json_to_err(o, &e), cases[i].status);
        assert_string_equal(e.text, cases[i].message);
        assert_true(e.audit_seq == -1);
        assert_true(e.retry_after_s < 0);
        cJSON_Delete(o);
    }
    struct cv_err e;
    assert_int_equal(cv_json_to_err(NULL, &e), CV_INTERNAL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(canonical_as_python_writes_it),
        cmocka_unit_test(styles),
        cmocka_unit_test(escapes),
        cmocka_unit_test(numbers),
        cmocka_unit_test(what_cannot_be_written),
        cmocka_unit_test(what_fails_sticks),
        cmocka_unit_test(reading_all),
        cmocka_unit_test(reading_what_is_absent),
        cmocka_unit_test(reading_what_is_wrong),
        cmocka_unit_test(reading_what_is_unknown),
        cmocka_unit_test(adding),
        cmocka_unit_test(adding_in_an_arena),
        cmocka_unit_test(errors_go_round),
        cmocka_unit_test(hostile_errors),
    };
    return cmocka_run_group_tests(tests, start, NULL);
}
