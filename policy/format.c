#include "policy/format_internal.h"

#include "vault/base/limits.h"

#include <stdlib.h>
#include <string.h>

static bool is_before(struct cv_yaml_mark a, struct cv_yaml_mark b)
{
    return a.line != b.line ? a.line < b.line : a.column < b.column;
}

static size_t count(const cJSON *tree)
{
    size_t n = 1;
    const cJSON *item;
    cJSON_ArrayForEach(item, tree) n += count(item);
    return n;
}

static void collect(struct cv_format *f, const cJSON *value,
                    const struct cv_yaml_marks *marks)
{
    const cJSON *item;
    size_t n = f->n_nodes++;
    struct cv_format_node *node = &f->nodes[n];
    node->value = value;
    node->trail = CV_FORMAT_NONE;
    node->at = value->string != NULL ? cv_yaml_marks_key(marks, value)
                                     : cv_yaml_marks_value(marks, value);
    cJSON_ArrayForEach(item, value) collect(f, item, marks);
    f->nodes[n].end = f->n_nodes;
}

/* The outermost value that begins on the comment's line and is all before it;
 * else the last one that begins there: its key alone is before the comment.
 * `from` is the first one on that line or behind it. */
static size_t behind(const struct cv_format *f, size_t from,
                     const struct cv_yaml_comment *c)
{
    size_t last = CV_FORMAT_NONE;
    for (size_t i = from; i < f->n_nodes && is_before(f->nodes[i].at, c->at);
         i++) {
        if (is_before(f->nodes[f->nodes[i].end - 1].at, c->at))
            return i;
        last = i;
    }
    return last;
}

/* A comment ends its line: what is not behind a value is before the first one
 * of the lines below. Comments go in the order of the text, so those before one
 * value are in a row. */
static void attach(struct cv_format *f)
{
    size_t from = 1;
    f->tail = f->n_comments;
    for (size_t i = 0; i < f->n_comments; i++) {
        const struct cv_yaml_comment *c = &f->comments[i];
        while (from < f->n_nodes && f->nodes[from].at.line < c->at.line)
            from++;
        size_t n = behind(f, from, c);
        if (n != CV_FORMAT_NONE) {
            f->nodes[n].trail = i;
            continue;
        }
        if (from == f->n_nodes) {
            f->tail = f->tail == f->n_comments ? i : f->tail;
            continue;
        }
        struct cv_format_node *node = &f->nodes[from];
        if (node->n_lead == 0)
            node->lead = i;
        node->n_lead++;
    }
}

/* Is that line of the text empty? There is no line 0. */
static bool is_empty_line(struct cv_bytes text, const size_t *lines,
                          uint32_t line)
{
    if (line == 0)
        return false;
    for (size_t at = lines[line - 1]; at < text.len; at++) {
        if (text.data[at] == '\n')
            return true;
        if (text.data[at] != ' ' && text.data[at] != '\r')
            return false;
    }
    return false;
}

/* Comments at the top with an empty line behind them are the file's own. */
static void take_header(struct cv_format *f, struct cv_bytes text,
                        const size_t *lines)
{
    struct cv_format_node *first = &f->nodes[1];
    for (size_t i = 0; i < first->n_lead; i++) {
        if (is_empty_line(text, lines, f->comments[i].at.line + 1))
            f->header = i + 1;
    }
    first->lead += f->header;
    first->n_lead -= f->header;
}

static bool mark_parted(struct cv_format *f, struct cv_bytes text)
{
    size_t n = 1;
    for (size_t i = 0; i < text.len; i++)
        n += text.data[i] == '\n';
    size_t *lines = calloc(n, sizeof(*lines));
    if (lines == NULL)
        return false;
    n = 1;
    for (size_t i = 0; i < text.len; i++) {
        if (text.data[i] == '\n')
            lines[n++] = i + 1;
    }
    take_header(f, text, lines);
    /* The first value begins the file. */
    for (size_t i = 2; i < f->n_nodes; i++) {
        struct cv_format_node *node = &f->nodes[i];
        uint32_t line =
            node->n_lead > 0 ? f->comments[node->lead].at.line : node->at.line;
        node->parted = is_empty_line(text, lines, line - 1);
    }
    free(lines);
    return true;
}

/* Is what came out the same, comments included? */
static bool is_same(const cJSON *tree, const struct cv_format *f,
                    struct cv_bytes out)
{
    cJSON *again = NULL;
    struct cv_yaml_comment *comments = NULL;
    size_t n = 0;
    bool same = cv_yaml_parse(NULL, out, &again, NULL, NULL, NULL) == CV_OK &&
                cJSON_Compare(tree, again, true) &&
                cv_yaml_comments_find(out, &comments, &n, NULL) == CV_OK &&
                n == f->n_comments;
    free(comments);
    cJSON_Delete(again);
    return same;
}

static enum cv_status format_yaml(struct cv_format *f, const cJSON *tree,
                                  const struct cv_yaml_marks *marks,
                                  struct cv_bytes text, struct cv_buf *out,
                                  struct cv_err *err)
{
    enum cv_status s =
        cv_yaml_comments_find(text, &f->comments, &f->n_comments, err);
    if (s != CV_OK)
        return s;
    /* One more: that of a first value where there is none. */
    f->nodes = calloc(count(tree) + 1, sizeof(*f->nodes));
    if (f->nodes == NULL)
        return cv_fail(err, CV_INTERNAL, "no memory for the policy");
    collect(f, tree, marks);
    attach(f);
    if (!mark_parted(f, text))
        return cv_fail(err, CV_INTERNAL, "no memory for the policy");
    cv_format_write(f, out);
    s = cv_buf_status(out, "the policy", err);
    if (s == CV_OK && !is_same(tree, f, cv_buf_bytes(out)))
        s = cv_fail(err, CV_INTERNAL,
                    "it could not be written otherwise without changing it");
    return s;
}

enum cv_status cv_format_policy(struct cv_bytes text, struct cv_buf *out,
                                struct cv_err *err)
{
    struct cv_yaml_marks *marks = NULL;
    struct cv_format f = {0};
    cJSON *tree = NULL;
    enum cv_status s = cv_yaml_parse(NULL, text, &tree, &marks, NULL, err);
    if (s == CV_OK && cv_yaml_is_json(text)) {
        cv_json_write(tree, CV_JSON_PRETTY, out);
        cv_buf_add_char(out, '\n');
        s = cv_buf_status(out, "the policy", err);
    } else if (s == CV_OK) {
        s = format_yaml(&f, tree, marks, text, out, err);
    }
    free(f.nodes);
    free(f.comments);
    cv_yaml_marks_free(marks);
    cJSON_Delete(tree);
    return s;
}
