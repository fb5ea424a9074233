/* Any text as YAML. What is taken can be written as JSON and reads the same;
 * every node has a place, which the text has too. */
#include "vault/base/limits.h"
#include "vault/yaml/yaml.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void write_json(const cJSON *tree, struct cv_buf *out)
{
    cv_buf_init(out, NULL, CV_MIB(64));
    cv_json_write(tree, CV_JSON_COMPACT, out);
    if (out->status != CV_OK) {
        abort();
    }
}

static void check_marks(const struct cv_yaml_marks *marks, const cJSON *node,
                        struct cv_bytes text)
{
    struct cv_buf line;
    struct cv_yaml_mark value = cv_yaml_marks_value(marks, node);
    struct cv_yaml_mark key = cv_yaml_marks_key(marks, node);
    if (value.line == 0 || value.column == 0 || key.line == 0 ||
        key.line > value.line) {
        abort();
    }
    cv_buf_init(&line, NULL, CV_KIB(4));
    cv_yaml_excerpt(text, value, &line);
    if (line.status != CV_OK) {
        abort();
    }
    cv_buf_wipe(&line);
    for (const cJSON *c = node->child; c != NULL; c = c->next) {
        check_marks(marks, c, text);
    }
}

static void check_json(const cJSON *tree)
{
    struct cv_buf a;
    struct cv_buf b;
    cJSON *again = NULL;
    write_json(tree, &a);
    if (cv_json_parse(NULL, cv_buf_bytes(&a), &again, NULL) != CV_OK) {
        abort();
    }
    write_json(again, &b);
    if (a.len != b.len || memcmp(a.data, b.data, a.len) != 0) {
        abort();
    }
    cJSON_Delete(again);
    cv_buf_wipe(&a);
    cv_buf_wipe(&b);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static bool started;
    if (!started) {
        cv_arena_allow_unlocked();
        if (cv_arena_start(NULL) != CV_OK) {
            abort();
        }
        cv_json_start();
        started = true;
    }
    cJSON *tree = NULL;
    struct cv_yaml_marks *marks = NULL;
    struct cv_yaml_mark bad;
    struct cv_err err;
    struct cv_bytes text = {data, size};
    cv_err_init(&err);
    if (cv_yaml_parse(NULL, text, &tree, &marks, &bad, &err) == CV_OK) {
        check_marks(marks, tree, text);
        check_json(tree);
    } else if (tree != NULL || marks != NULL || err.text[0] == '\0') {
        abort();
    }
    cv_yaml_marks_free(marks);
    cJSON_Delete(tree);
    return 0;
}
