/* Strict YAML: what is taken and as what, what is refused and where. */
#include "tests/unit/kubeconfig_test.h"

#include "vault/yaml/yaml.h"

static const struct {
    const char *yaml;
    const char *json;
} taken[] = {
    {"a: 1", "{\"a\":1}"},
    {"---\na: 1\n...\n", "{\"a\":1}"},
    {"# comment\na: b # more\n", "{\"a\":\"b\"}"},
    {"a: 1\r\nb: 2\r\n", "{\"a\":1,\"b\":2}"},
    {"a: true\nb: false\nc: null\nd: ~\ne:\n",
     "{\"a\":true,\"b\":false,\"c\":null,\"d\":null,\"e\":null}"},
    /* H19: only one spelling has a type */
    {"[no, on, yes, off, Yes, True, TRUE, False, Null, NULL, y, n]",
     "[\"no\",\"on\",\"yes\",\"off\",\"Yes\",\"True\",\"TRUE\",\"False\","
     "\"Null\",\"NULL\",\"y\",\"n\"]"},
    {"[010, 0o17, 0x1f, 1:30, 190:20:30, 1_000, +1, -0, 01, 1.5, 1e3, .5]",
     "[\"010\",\"0o17\",\"0x1f\",\"1:30\",\"190:20:30\",\"1_000\",\"+1\","
     "\"-0\",\"01\",\"1.5\",\"1e3\",\".5\"]"},
    {"[.inf, -.inf, .nan, 2001-01-01, =, -]",
     "[\".inf\",\"-.inf\",\".nan\",\"2001-01-01\",\"=\",\"-\"]"},
    {"[0, -1, 9007199254740992, 9007199254740993, 99999999999999999999]",
     "[0,-1,9007199254740992,\"9007199254740993\",\"99999999999999999999\"]"},
    {"['1', \"true\", 'null', \"\", '~']",
     "[\"1\",\"true\",\"null\",\"\",\"~\"]"},
    {"a: |\n  1\n  2\nb: >-\n  x\n  y\n", "{\"a\":\"1\\n2\\n\",\"b\":\"x y\"}"},
    {"on: 1\nno: 2\n'1': 3\n\"true\": 4\n",
     "{\"1\":3,\"no\":2,\"on\":1,\"true\":4}"},
    {"a: {b: [1, {c: d}], e: f}", "{\"a\":{\"b\":[1,{\"c\":\"d\"}],\"e\":"
                                  "\"f\"}}"},
    {"- a\n- - b\n  - c\n- d: e\n  f: g\n",
     "[\"a\",[\"b\",\"c\"],{\"d\":\"e\",\"f\":\"g\"}]"},
    {"just text", "\"just text\""},
    {"? a\n: b\n", "{\"a\":\"b\"}"},
    {"a: \"\\u0416\\n\"", "{\"a\":\"\\u0416\\n\"}"},
    {"a: \xd0\x96\xf0\x9f\x98\x80", "{\"a\":\"\\u0416\\ud83d\\ude00\"}"},
    {" \n {\"a\": [1, 2.5, \"x\"]}\n", NULL}, /* JSON, with a fraction */
};

static void test_taken(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(taken); i++) {
        struct cv_err e;
        struct cv_buf out;
        cJSON *tree = NULL;
        cv_err_init(&e);
        cv_buf_init(&out, NULL, CV_KIB(4));
        assert_ok(
            cv_yaml_parse(NULL, TEXT(taken[i].yaml), &tree, NULL, NULL, &e),
            &e);
        if (taken[i].json != NULL) {
            cv_json_write(tree, CV_JSON_CANONICAL, &out);
            assert_string_equal(cv_buf_text(&out), taken[i].json);
        }
        cJSON_Delete(tree);
        cv_buf_wipe(&out);
    }
}

#define LF10 "\n\n\n\n\n\n\n\n\n\n"

static const struct {
    const char *yaml;
    uint32_t line, column;
    const char *part;
} refused[] = {
    /* H18 */
    {"a: &x 1\nb: 2", 1, 4, "anchor"},
    {"a: 1\nb: [&x {c: d}]", 2, 5, "anchor"},
    {"a: &x\n- 1", 1, 4, "anchor"},
    {"a: *x", 1, 4, "alias"},
    {"*x : 1", 1, 1, "alias"},
    {"a: !!str 1", 1, 4, "tag"},
    {"a: ! 1", 1, 4, "tag"},
    {"a: !!binary aGk=", 1, 4, "tag"},
    {"a: !!python/object/apply:os.system [id]", 1, 4, "tag"},
    {"!!map {a: b}", 1, 1, "tag"},
    {"a: !<x> [b]", 1, 4, "tag"},
    {"a:\n  <<: {b: c}", 2, 3, "merge key"},
    {"'<<': {b: c}", 1, 1, "merge key"},
    {"a: 1\n---\nb: 2", 2, 1, "second document"},
    {"a: 1\n...\n---\n", 3, 1, "second document"},
    {"%YAML 1.1\n---\na: 1", 1, 1, "directive"},
    {"%TAG ! !x\n---\na: 1", 1, 1, "directive"},
    {"a: 1\n%x", 2, 1, "directive"},
    {"", 0, 0, "no document"},
    {"# nothing\n", 0, 0, "no document"},
    /* H14 */
    {"a: 1\nb: 2\na: 3", 3, 1, "given before"},
    {"x:\n  k: 1\n  \"\\x6b\": 2", 3, 3, "given before"},
    {"x: {client-key: 1, 'client\\u002dkey': 2, client-key: 3}", 1, 42,
     "given before"},
    {"x:\n  \"client\\u002dkey-data\": 1\n  client-key-data: 2", 3, 3,
     "given before"},
    {"\"a\\0\": 1", 1, 1, "NUL"},
    {"a: \"x\\u0000\"", 1, 4, "NUL"},
    /* keys */
    {"1: a", 1, 1, "not a string"},
    {"true: a", 1, 1, "not a string"},
    {"null: a", 1, 1, "not a string"},
    {"~: a", 1, 1, "not a string"},
    {": a", 1, 1, ""},
    {"? [a]\n: b", 1, 3, "not a string"},
    {"{}: b", 0, 0, ""}, /* begins as JSON does */
    {"a:\n  {b: c}: d", 2, 3, "not a string"},
    /* layout */
    {"a:\n\tb: 1", 2, 1, "cannot start"},
    {"a: 1\n b: 2", 2, 3, ""},
    {"a: [1, 2", 2, 1, ""}, /* noticed at the end */
    {"a: 'x", 1, 6, ""},
    {"a: b: c", 1, 5, ""},
    /* H17 */
    {"a: \xff", 1, 4, "UTF-8"},
    {"a: \xc0\xaf", 1, 4, "UTF-8"},
    {"a: \xed\xa0\x80", 1, 4, "UTF-8"},
    {"a: \xf4\x90\x80\x80", 1, 4, "UTF-8"},
    {"\xef\xbb\xbf"
     "a: 1",
     1, 1, "byte order mark"},
    {"a: \xef\xbb\xbf", 1, 4, "byte order mark"},
    {"\xff\xfe"
     "a",
     1, 1, "UTF-8"},
    {"a: \x01", 1, 4, "cannot be shown"},
    {"a: \x1b[2J", 1, 4, "cannot be shown"},
    {"a: \x7f", 1, 4, "cannot be shown"},
    {"a: 1 # \xe2\x80\xae", 1, 8, "cannot be shown"},
    {"a: \xc2\x85", 1, 4, "cannot be shown"},
    {"a: \xe2\x80\xa8", 1, 4, "cannot be shown"},
    {"a: 1\rb: 2", 1, 5, "carriage return"},
    {LF10 "\xd0\x96: \xff", 11, 4, "UTF-8"},
    /* JSON has its own rules, told by offset */
    {"{\"a\": 1, \"a\": 2}", 0, 0, ""},
    {"{\"a\": 1} x", 0, 0, ""},
    {"{a: b}", 0, 0, ""},
};

static void test_refused(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(refused); i++) {
        struct cv_err e;
        cJSON *tree = NULL;
        struct cv_yaml_marks *marks = NULL;
        struct cv_yaml_mark bad = {77, 77};
        cv_err_init(&e);
        enum cv_status st =
            cv_yaml_parse(NULL, TEXT(refused[i].yaml), &tree, &marks, &bad, &e);
        if (bad.line != refused[i].line || bad.column != refused[i].column) {
            print_error("%zu: %u:%u %s\n", i, bad.line, bad.column, e.text);
        }
        assert_refused(st, CV_INVALID, &e, refused[i].part);
        assert_null(tree);
        assert_null(marks);
        assert_int_equal(bad.line, refused[i].line);
        assert_int_equal(bad.column, refused[i].column);
        char place[48];
        (void)snprintf(place, sizeof(place), "line %u, column %u: ", bad.line,
                       bad.column);
        assert_true(bad.line == 0 || strstr(e.text, place) == e.text);
    }
}

/* What an error says is never what stood there. */
static void test_silent(void **state)
{
    (void)state;
    static const char *const texts[] = {
        "a: 'SECRET", "SECRET: 1\nSECRET: 2", "a: &SECRET 1",
        "a: *SECRET", "a: !SECRET 1",         "{\"SECRET\": SECRET}",
    };
    for (size_t i = 0; i < COUNT(texts); i++) {
        struct cv_err e;
        cJSON *tree = NULL;
        cv_err_init(&e);
        assert_int_equal(
            cv_yaml_parse(NULL, TEXT(texts[i]), &tree, NULL, NULL, &e),
            CV_INVALID);
        assert_null(strstr(e.text, "SECRET"));
    }
}

/* `head`, then `n` times `unit`, then `tail`. */
static struct cv_buf repeated(const char *head, const char *unit, size_t n,
                              const char *tail)
{
    struct cv_buf b;
    cv_buf_init(&b, NULL, CV_MIB(16));
    cv_buf_add_str(&b, head);
    for (size_t i = 0; i < n; i++) {
        cv_buf_add_str(&b, unit);
    }
    cv_buf_add_str(&b, tail);
    assert_int_equal(b.status, CV_OK);
    return b;
}

/* H15, H18: whatever the shape, the answer comes in time that grows with the
 * size. The bound is loose: a quadratic reader needs minutes. */
static void test_time(void **state)
{
    (void)state;
    static const struct {
        const char *head, *unit;
        size_t n;
        const char *tail;
        enum cv_status wanted;
    } shapes[] = {
        {"", "[", 1000000, "", CV_INVALID},
        {"", "[\n", 500000, "", CV_INVALID},
        {"a: ", "{a: ", 250000, "", CV_INVALID},
        {"", "- ", 500000, "", CV_INVALID},
        {"", "? ", 500000, "", CV_INVALID},
        {"", "? - ", 250000, "", CV_INVALID},
        {"", "-\n", 150000, "", CV_OK},
        {"", "- -\n", 90000, "", CV_OK},
        {"a:", " ", 100000, "b\n", CV_OK},
        {"a:\n", " ", 100000, "b: c\n", CV_OK},
        {"a: |\n", " ", 100000, "b\n", CV_OK},
        {"a:\n", "                                                 \n", 80000,
         "  b: c\n", CV_OK},
        {"a: '", "\n", 1000000, "'", CV_OK},
        {"a: \"", "\\\n", 250000, "\"", CV_OK},
        {"a: ", "b ", 500000, "", CV_OK},
        {"a:\n", "  b\n", 250000, "", CV_OK},
        {"", "#\n", 500000, "a: b", CV_OK},
        {"#", "#", 1000000, "\na: b", CV_OK},
        {"[", "a,", 150000, "]", CV_OK},
        {"[", "a: b,", 90000, "]", CV_OK},
        {"[", ",", 250000, "]", CV_INVALID},
        {"a: [", "{},", 150000, "]", CV_OK},
        {"a: [", "[", 60, "", CV_INVALID},
        {"", "%TAG ! x\n", 400000, "--- a", CV_INVALID},
        {"", "--- a\n", 500000, "", CV_INVALID},
        {"", "&a ", 250000, "b", CV_INVALID},
        {"", "!a ", 250000, "b", CV_INVALID},
        {"a: ", "*", 250000, "", CV_INVALID},
        {"", "k: v\n", 500000, "", CV_INVALID},
        {"{\"a\": ", "[", 1000000, "", CV_INVALID},
        {"", "x", 4194304, "", CV_OK},
        {"", "x", 4194305, "", CV_INVALID},
        {"", "- x\n", 199999, "", CV_OK},
        {"", "- x\n", 200000, "", CV_INVALID},
    };
    for (size_t i = 0; i < COUNT(shapes); i++) {
        cJSON *tree = NULL;
        struct cv_err e;
        struct cv_buf text = repeated(shapes[i].head, shapes[i].unit,
                                      shapes[i].n, shapes[i].tail);
        cv_err_init(&e);
        int64_t start = cv_clock_boot_ms();
        enum cv_status st =
            cv_yaml_parse(NULL, cv_buf_bytes(&text), &tree, NULL, NULL, &e);
        int64_t took = cv_clock_boot_ms() - start;
        if (st != shapes[i].wanted || took > 2000) {
            print_message("%zu: %s, %d ms, %s\n", i, cv_err_code_name(st),
                          (int)took, st == CV_OK ? "" : e.text);
        }
        assert_int_equal(st, shapes[i].wanted);
        assert_true(took < 10000);
        cJSON_Delete(tree);
        cv_buf_wipe(&text);
    }
}

/* The last key of very many is found to be given before, in time. */
static void test_many_keys(void **state)
{
    (void)state;
    struct cv_buf b;
    struct cv_err e;
    cJSON *tree = NULL;
    struct cv_yaml_mark bad;
    cv_err_init(&e);
    cv_buf_init(&b, NULL, CV_MIB(4));
    for (unsigned i = 0; i < 150000; i++) {
        cv_buf_add_format(&b, "k%u: %u\n", i, i);
    }
    assert_ok(cv_yaml_parse(NULL, cv_buf_bytes(&b), &tree, NULL, NULL, &e), &e);
    cJSON_Delete(tree);
    cv_buf_add_str(&b, "k77777: 1\n");
    assert_refused(cv_yaml_parse(NULL, cv_buf_bytes(&b), &tree, NULL, &bad, &e),
                   CV_INVALID, &e, "given before");
    assert_int_equal(bad.line, 150001);
    cv_buf_wipe(&b);
}

static void test_depth(void **state)
{
    (void)state;
    struct cv_err e;
    cJSON *tree = NULL;
    cv_err_init(&e);
    for (size_t depth = CV_LIMIT_JSON_DEPTH; depth < CV_LIMIT_JSON_DEPTH + 2;
         depth++) {
        struct cv_buf b = repeated("", "- ", depth, "x");
        enum cv_status st =
            cv_yaml_parse(NULL, cv_buf_bytes(&b), &tree, NULL, NULL, &e);
        assert_int_equal(st, depth == CV_LIMIT_JSON_DEPTH ? CV_OK : CV_INVALID);
        cJSON_Delete(tree);
        tree = NULL;
        cv_buf_wipe(&b);
    }
    assert_non_null(strstr(e.text, "nested too deeply"));
}

static void assert_mark(struct cv_yaml_mark mark, uint32_t line,
                        uint32_t column)
{
    assert_int_equal(mark.line, line);
    assert_int_equal(mark.column, column);
}

static void test_marks(void **state)
{
    (void)state;
    /* The same document twice: in YAML, and in JSON with the same places. */
    static const char *const texts[] = {
        "x:\n  name: \xd0\x96 # c\n  list: [x,  {a: b}]\nlast:\n  true\n",
        "{\"x\":\n{\"name\":\"\\\"\xd0\x96\", \"list\": [\"\",\n {\"a\": "
        "-2}]},\n"
        "\"last\":\n  true}\n",
    };
    static const struct {
        uint32_t key_line, key_column, line, column;
    } places[2][6] = {
        /* x, name, list, list[1], a, last */
        {{1, 1, 2, 3},
         {2, 3, 2, 9},
         {3, 3, 3, 9},
         {3, 14, 3, 14},
         {3, 15, 3, 18},
         {4, 1, 5, 3}},
        {{1, 2, 2, 1},
         {2, 2, 2, 9},
         {2, 16, 2, 24},
         {3, 2, 3, 2},
         {3, 3, 3, 8},
         {4, 1, 5, 3}},
    };
    for (size_t i = 0; i < 2; i++) {
        struct cv_err e;
        cJSON *tree = NULL;
        struct cv_yaml_marks *marks = NULL;
        cv_err_init(&e);
        assert_ok(cv_yaml_parse(NULL, TEXT(texts[i]), &tree, &marks, NULL, &e),
                  &e);
        const cJSON *x = cJSON_GetObjectItem(tree, "x");
        const cJSON *list = cJSON_GetObjectItem(x, "list");
        const cJSON *nodes[] = {
            x,
            cJSON_GetObjectItem(x, "name"),
            list,
            cJSON_GetArrayItem(list, 1),
            cJSON_GetObjectItem(cJSON_GetArrayItem(list, 1), "a"),
            cJSON_GetObjectItem(tree, "last"),
        };
        for (size_t k = 0; k < COUNT(nodes); k++) {
            assert_mark(cv_yaml_marks_key(marks, nodes[k]),
                        places[i][k].key_line, places[i][k].key_column);
            assert_mark(cv_yaml_marks_value(marks, nodes[k]), places[i][k].line,
                        places[i][k].column);
        }
        assert_mark(cv_yaml_marks_value(marks, tree), 1, 1);
        cJSON *stranger = cJSON_CreateNull();
        assert_mark(cv_yaml_marks_value(marks, stranger), 0, 0);
        assert_mark(cv_yaml_marks_key(marks, NULL), 0, 0);
        assert_mark(cv_yaml_marks_key(NULL, x), 0, 0);
        cJSON_Delete(stranger);
        cv_yaml_marks_free(marks);
        cJSON_Delete(tree);
    }
    cv_yaml_marks_free(NULL);
}

static void assert_excerpt(const char *text, uint32_t line, uint32_t column,
                           const char *expected)
{
    struct cv_buf b;
    cv_buf_init(&b, NULL, CV_KIB(4));
    cv_yaml_excerpt(TEXT(text), (struct cv_yaml_mark){line, column}, &b);
    assert_string_equal(cv_buf_text(&b), expected);
    cv_buf_wipe(&b);
}

static void test_excerpt(void **state)
{
    (void)state;
    static const char text[] = "a: 1\r\n\tactions: [\xd0\x96, lst\x1b]\n\nend";
    assert_excerpt(text, 1, 4, "   1 | a: 1\n     |    ^\n");
    assert_excerpt(text, 2, 15,
                   "   2 |  actions: [?, lst?]\n     |               ^\n");
    assert_excerpt(text, 3, 1, "   3 | \n     | ^\n");
    assert_excerpt(text, 4, 4, "   4 | end\n     |    ^\n");
    assert_excerpt(text, 5, 1, "");
    assert_excerpt(text, 0, 0, "");
    assert_excerpt("", 1, 1, "   1 | \n     | ^\n");
    /* A long line is cut around the column. */
    char line[301];
    memset(line, 'x', 300);
    line[300] = '\0';
    line[199] = 'Y';
    struct cv_buf b;
    cv_buf_init(&b, NULL, CV_KIB(4));
    cv_yaml_excerpt(TEXT(line), (struct cv_yaml_mark){1, 200}, &b);
    const char *end = strchr(cv_buf_text(&b), '\n');
    const char *caret = strchr(cv_buf_text(&b), '^');
    const char *place = strchr(cv_buf_text(&b), 'Y');
    assert_non_null(end);
    assert_non_null(caret);
    assert_non_null(place);
    assert_true(end - cv_buf_text(&b) <= 80);
    assert_int_equal(place - cv_buf_text(&b), caret - end - 1);
    cv_buf_wipe(&b);
}

/* A tree in an arena is all in it. */
static void test_arena(void **state)
{
    (void)state;
    struct cv_err e;
    cJSON *tree = NULL;
    struct cv_arena *arena = new_arena();
    cv_err_init(&e);
    assert_ok(
        cv_yaml_parse(arena, TEXT("a: {b: [secret]}"), &tree, NULL, NULL, &e),
        &e);
    const cJSON *b = cJSON_GetObjectItem(cJSON_GetObjectItem(tree, "a"), "b");
    assert_true(cv_arena_owns(arena, tree));
    assert_true(cv_arena_owns(arena, b->string));
    assert_true(cv_arena_owns(arena, b->child));
    assert_true(cv_arena_owns(arena, b->child->valuestring));
    /* What cJSON makes next is on the heap again. */
    cJSON *other = cJSON_CreateNull();
    assert_false(cv_arena_owns(arena, other));
    cJSON_Delete(other);
    cv_arena_free(arena);

    /* One that is full says so. */
    struct cv_buf big = repeated("a: ", "x", 100000, "");
    assert_int_equal(cv_arena_new(CV_KIB(64), &arena, NULL), CV_OK);
    assert_int_not_equal(
        cv_yaml_parse(arena, cv_buf_bytes(&big), &tree, NULL, NULL, &e), CV_OK);
    assert_null(tree);
    cv_arena_free(arena);
    cv_buf_wipe(&big);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_taken),     cmocka_unit_test(test_refused),
        cmocka_unit_test(test_silent),    cmocka_unit_test(test_time),
        cmocka_unit_test(test_many_keys), cmocka_unit_test(test_depth),
        cmocka_unit_test(test_marks),     cmocka_unit_test(test_excerpt),
        cmocka_unit_test(test_arena),
    };
    return cmocka_run_group_tests(tests, setup, NULL);
}
