/* Which JSON is taken (vault/base/json.h), by the files of tests/data/json:
 * n_* is refused, y_* is taken, i_* as decisions.txt says. Beside what RFC 8259
 * forbids, n_* has what only we refuse: keys twice, NUL, lone surrogates,
 * numbers beyond 2^53, a byte order mark, depth over 64. */
#include "vault/base/file.h"
#include "vault/base/json.h"
#include "vault/base/limits.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FOLDER CV_TEST_DATA "/json"

static int start(void **state)
{
    (void)state;
    if (cv_arena_start(NULL) != CV_OK) {
        return -1;
    }
    cv_json_start();
    return 0;
}

static void load(const char *name, struct cv_buf *out)
{
    char path[512];
    (void)snprintf(path, sizeof(path), FOLDER "/%s", name);
    int fd = -1;
    assert_int_equal(cv_file_open_input(path, &fd, NULL), CV_OK);
    cv_buf_init(out, NULL, CV_MIB(1));
    assert_int_equal(cv_file_read(fd, name, out, NULL), CV_OK);
    cv_file_close(&fd);
}

/* Exactly so many bytes on the heap, so that the address checks see a read
 * behind the end. */
static struct cv_bytes tight(const void *data, size_t len)
{
    uint8_t *p = malloc(len == 0 ? 1 : len);
    assert_non_null(p);
    memcpy(p, data, len);
    return (struct cv_bytes){p, len};
}

static void free_tight(struct cv_bytes b)
{
    uint8_t *p = NULL;
    memcpy(&p, &b.data, sizeof(p));
    free(p);
}

static enum cv_status parse(struct cv_bytes text)
{
    struct cv_err e;
    cv_err_init(&e);
    cJSON *tree = NULL;
    enum cv_status status = cv_json_parse(NULL, text, &tree, &e);
    if (status == CV_OK) {
        assert_non_null(tree);
        cJSON_Delete(tree);
        return status;
    }
    assert_null(tree);
    assert_int_equal(e.status, status);
    assert_non_null(strstr(e.text, "at byte "));
    return status;
}

static enum cv_status parse_text(const char *text)
{
    struct cv_bytes b = tight(text, strlen(text));
    enum cv_status status = parse(b);
    free_tight(b);
    return status;
}

static enum cv_status parse_file(const char *name)
{
    struct cv_buf text;
    load(name, &text);
    struct cv_bytes b = tight(cv_buf_text(&text), text.len);
    enum cv_status status = parse(b);
    free_tight(b);
    cv_buf_wipe(&text);
    return status;
}

/* Runs all files that begin with `prefix`; how many there were. */
static unsigned run_files(const char *prefix, enum cv_status want)
{
    unsigned n = 0;
    unsigned wrong = 0;
    DIR *folder = opendir(FOLDER);
    assert_non_null(folder);
    for (struct dirent *e = readdir(folder); e != NULL; e = readdir(folder)) {
        if (strncmp(e->d_name, prefix, strlen(prefix)) == 0) {
            n++;
            if (parse_file(e->d_name) != want) {
                print_error("%s: not as it should be\n", e->d_name);
                wrong++;
            }
        }
    }
    closedir(folder);
    assert_int_equal(wrong, 0);
    return n;
}

static void bad_files(void **state)
{
    (void)state;
    assert_true(run_files("n_", CV_INVALID) >= 190);
}

static void good_files(void **state)
{
    (void)state;
    assert_true(run_files("y_", CV_OK) >= 40);
}

static void open_questions(void **state)
{
    (void)state;
    struct cv_buf table;
    load("decisions.txt", &table);
    unsigned n = 0;
    char *rest = NULL;
    for (char *line = strtok_r((char *)table.data, "\n", &rest); line != NULL;
         line = strtok_r(NULL, "\n", &rest)) {
        char *blank = strchr(line, ' ');
        if (strncmp(line, "i_", 2) != 0 || blank == NULL) {
            continue;
        }
        *blank = '\0';
        bool take = strncmp(blank + 1, "accept: ", 8) == 0;
        assert_true(take || strncmp(blank + 1, "refuse: ", 8) == 0);
        enum cv_status want = take ? CV_OK : CV_INVALID;
        if (parse_file(line) != want) {
            fail_msg("%s: not as decided", line);
        }
        n++;
    }
    cv_buf_wipe(&table);
    /* Each has its decision. */
    unsigned files = 0;
    DIR *folder = opendir(FOLDER);
    assert_non_null(folder);
    for (struct dirent *e = readdir(folder); e != NULL; e = readdir(folder)) {
        files += strncmp(e->d_name, "i_", 2) == 0;
    }
    closedir(folder);
    assert_int_equal(n, files);
    assert_true(n >= 20);
}

/* Whatever is cut off a document that does not end by itself is refused, at
 * every length, without a read behind the end. */
static void cut_anywhere(void **state)
{
    (void)state;
    static const char text[] =
        "{\"a\\u00e9\\ud83d\\ude00\xe2\x82\xac\":[1,-2.5e+3,true,false,null,"
        "\"x\\n\xf0\x9f\x98\x80\"],\"b\":{\"c\":\"\"}}";
    for (size_t len = 0; len < sizeof(text) - 1; len++) {
        struct cv_bytes b = tight(text, len);
        assert_int_equal(parse(b), CV_INVALID);
        free_tight(b);
    }
    assert_int_equal(parse_text(text), CV_OK);
}

/* One byte after the other replaced by every value: no crash, and what is taken
 * must be what cJSON takes too (cv_json_parse would say CV_INTERNAL). */
static void one_byte_wrong(void **state)
{
    (void)state;
    static const char text[] = "{\"a\\u00e9\xe2\x82\xac\":[1,-2.5e+3,true,"
                               "\"x\\n\"]}";
    char copy[sizeof(text)];
    for (size_t at = 0; at < sizeof(text) - 1; at++) {
        for (int value = 0; value < 256; value++) {
            memcpy(copy, text, sizeof(text));
            copy[at] = (char)value;
            struct cv_bytes b = tight(copy, sizeof(text) - 1);
            enum cv_status status = parse(b);
            assert_true(status == CV_OK || status == CV_INVALID);
            free_tight(b);
        }
    }
}

static enum cv_status parse_many(unsigned n, const char *first,
                                 const char *each, const char *last)
{
    struct cv_buf b;
    cv_buf_init(&b, NULL, CV_MIB(16));
    cv_buf_add_str(&b, first);
    for (unsigned i = 0; i < n; i++) {
        if (i > 0) {
            cv_buf_add_char(&b, ',');
        }
        cv_buf_add_str(&b, each);
        if (each[0] == '"') {
            cv_buf_add_format(&b, "%u\":0", i);
        }
    }
    cv_buf_add_str(&b, last);
    assert_int_equal(cv_buf_status(&b, "it", NULL), CV_OK);
    enum cv_status status = parse(cv_buf_bytes(&b));
    cv_buf_wipe(&b);
    return status;
}

static void the_ceiling_of_values(void **state)
{
    (void)state;
    /* The array is one too. */
    assert_int_equal(parse_many(CV_LIMIT_JSON_MEMBERS - 1, "[", "0", "]"),
                     CV_OK);
    assert_int_equal(parse_many(CV_LIMIT_JSON_MEMBERS, "[", "0", "]"),
                     CV_INVALID);
}

static void many_keys(void **state)
{
    (void)state;
    assert_int_equal(parse_many(150000, "{", "\"key", "}"), CV_OK);
    assert_int_equal(parse_many(150000, "{", "\"key", ",\"key77777\":1}"),
                     CV_INVALID);
    assert_int_equal(parse_many(150000, "{", "\"key", ",\"key7777\\u0037\":1}"),
                     CV_INVALID);
}

static void values_are_read_as_meant(void **state)
{
    (void)state;
    static const char text[] =
        "{\"i\":-9007199254740992,\"z\":-0,\"f\":2.5,"
        "\"s\":\"a\\u00e9\\ud83d\\ude00\\/\",\"t\":true,\"n\":null}";
    struct cv_arena *arena = NULL;
    assert_int_equal(cv_arena_new(CV_MIB(1), &arena, NULL), CV_OK);
    cJSON *tree = NULL;
    struct cv_bytes b = {(const uint8_t *)text, sizeof(text) - 1};
    assert_int_equal(cv_json_parse(arena, b, &tree, NULL), CV_OK);
    const cJSON *s = cJSON_GetObjectItemCaseSensitive(tree, "s");
    assert_string_equal(s->valuestring, "a\xc3\xa9\xf0\x9f\x98\x80/");
    const cJSON *i = cJSON_GetObjectItemCaseSensitive(tree, "i");
    assert_true(i->valuedouble == -9007199254740992.0);
    assert_true(cJSON_GetObjectItemCaseSensitive(tree, "z")->valuedouble == 0);
    /* All of it is in the arena; deleting does no harm. */
    assert_true(cv_arena_owns(arena, tree));
    assert_true(cv_arena_owns(arena, s->string));
    assert_true(cv_arena_owns(arena, s->valuestring));
    cJSON_Delete(tree);
    cv_arena_free(arena);
}

static void which_memory_is_used(void **state)
{
    (void)state;
    struct cv_arena *arena = NULL;
    assert_int_equal(cv_arena_new(CV_MIB(1), &arena, NULL), CV_OK);
    assert_null(cv_json_use(arena));
    cJSON *in_arena = cJSON_CreateString("secret");
    assert_true(cv_arena_owns(arena, in_arena));
    assert_true(cv_arena_owns(arena, in_arena->valuestring));
    /* Parsing elsewhere leaves the thread's choice alone. */
    cJSON *on_heap = NULL;
    struct cv_bytes b = {(const uint8_t *)"[1]", 3};
    assert_int_equal(cv_json_parse(NULL, b, &on_heap, NULL), CV_OK);
    assert_false(cv_arena_owns(arena, on_heap));
    /* Freed as what it is, whichever is in use. */
    cJSON_Delete(on_heap);
    assert_ptr_equal(cv_json_use(NULL), arena);
    cJSON_Delete(in_arena);
    assert_null(cv_json_use(NULL));
    cv_arena_free(arena);
}

static void an_arena_that_is_too_small(void **state)
{
    (void)state;
    struct cv_err e;
    struct cv_arena *arena = NULL;
    assert_int_equal(cv_arena_new(256, &arena, NULL), CV_OK);
    cJSON *tree = NULL;
    struct cv_bytes b = {(const uint8_t *)"[1,2,3,4,5,6]", 13};
    assert_int_equal(cv_json_parse(arena, b, &tree, &e), CV_INVALID);
    assert_null(tree);
    assert_non_null(strstr(e.text, "256 bytes"));
    assert_null(cv_json_use(NULL));
    cv_arena_free(arena);
}

static void errors_do_not_repeat_the_text(void **state)
{
    (void)state;
    static const char *const texts[] = {
        "{\"hunter2\":1,\"hunter2\":2}", "[\"hunter2\\x\"]", "hunter2",
        "[1e999,\"hunter2\"]",           "{\"hunter2\"}",
    };
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        struct cv_err e;
        cJSON *tree = NULL;
        struct cv_bytes b = {(const uint8_t *)texts[i], strlen(texts[i])};
        assert_int_equal(cv_json_parse(NULL, b, &tree, &e), CV_INVALID);
        assert_null(strstr(e.text, "hunter2"));
    }
}

static void places_are_right(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        const char *place;
    } cases[] = {
        {"", "at byte 0)"},
        {"[1,]", "at byte 3)"},
        {"{\"a\":1,\"a\":2}", "at byte 7)"},
        {"[1] x", "at byte 4)"},
        {"[12345678901234567890]", "at byte 1)"},
        {"\"a\nb\"", "at byte 2)"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct cv_err e;
        cJSON *tree = NULL;
        struct cv_bytes b = {(const uint8_t *)cases[i].text,
                             strlen(cases[i].text)};
        assert_int_equal(cv_json_parse(NULL, b, &tree, &e), CV_INVALID);
        assert_non_null(strstr(e.text, cases[i].place));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bad_files),
        cmocka_unit_test(good_files),
        cmocka_unit_test(open_questions),
        cmocka_unit_test(cut_anywhere),
        cmocka_unit_test(one_byte_wrong),
        cmocka_unit_test(the_ceiling_of_values),
        cmocka_unit_test(many_keys),
        cmocka_unit_test(values_are_read_as_meant),
        cmocka_unit_test(which_memory_is_used),
        cmocka_unit_test(an_arena_that_is_too_small),
        cmocka_unit_test(errors_do_not_repeat_the_text),
        cmocka_unit_test(places_are_right),
    };
    return cmocka_run_group_tests(tests, start, NULL);
}
