#include "vault/yaml/yaml.h"

#include "vault/base/json.h"
#include "vault/base/limits.h"
#include "vault/yaml/yaml_internal.h"

#include <stdlib.h>
#include <string.h>
#include <yaml.h>

/* A mapping or sequence that is open. */
struct level {
    cJSON *node;
    bool mapping;
    bool has_key;     /* `key` is an event that waits for its value */
    yaml_event_t key; /* a scalar */
};

struct parse {
    yaml_parser_t parser;
    struct level levels[CV_LIMIT_JSON_DEPTH];
    size_t depth;
    size_t values;
    size_t most; /* values */
    cJSON *root;
    struct cv_yaml_marks *marks;
    struct cv_yaml_mark *bad;
    struct cv_err *err;
};

static struct cv_yaml_mark mark_of(yaml_mark_t at)
{
    return (struct cv_yaml_mark){(uint32_t)at.line + 1,
                                 (uint32_t)at.column + 1};
}

static enum cv_status refuse(struct parse *p, struct cv_yaml_mark at,
                             const char *why)
{
    *p->bad = at;
    return cv_fail(p->err, CV_INVALID, "line %u, column %u: %s", at.line,
                   at.column, why);
}

static enum cv_status no_memory(struct parse *p)
{
    return cv_fail(p->err, CV_INTERNAL, "out of memory");
}

/* libyaml's texts are literals of its own: they hold nothing of the input. */
static enum cv_status parser_failed(struct parse *p)
{
    if (p->parser.error == YAML_MEMORY_ERROR) {
        return no_memory(p);
    }
    const char *why = p->parser.problem;
    return refuse(p, mark_of(p->parser.problem_mark),
                  why != NULL ? why : "this is not YAML");
}

/* A decimal integer within -2^53..2^53, written in the one plain way. */
static bool is_integer(const char *text, size_t len, double *out)
{
    size_t i = len > 0 && text[0] == '-';
    if (i == len || len - i > 16 || (text[i] == '0' && len > 1)) {
        return false;
    }
    int64_t value = 0;
    for (size_t k = i; k < len; k++) {
        if (text[k] < '0' || text[k] > '9') {
            return false;
        }
        value = 10 * value + (text[k] - '0');
    }
    *out = (double)(i > 0 ? -value : value);
    return value <= INT64_C(1) << 53;
}

static bool is_word(const yaml_event_t *e, const char *word)
{
    size_t len = strlen(word);
    return e->data.scalar.length == len &&
           memcmp(e->data.scalar.value, word, len) == 0;
}

static bool is_null(const yaml_event_t *e)
{
    return is_word(e, "") || is_word(e, "~") || is_word(e, "null");
}

/* Is it plain, and something else than a string? */
static bool is_typed(const yaml_event_t *e)
{
    double number = 0;
    return e->data.scalar.style == YAML_PLAIN_SCALAR_STYLE &&
           (is_null(e) || is_word(e, "true") || is_word(e, "false") ||
            is_integer((const char *)e->data.scalar.value,
                       e->data.scalar.length, &number));
}

static cJSON *scalar_node(const yaml_event_t *e)
{
    const char *text = (const char *)e->data.scalar.value;
    double number = 0;
    if (!is_typed(e)) {
        return cJSON_CreateString(text);
    }
    if (is_null(e)) {
        return cJSON_CreateNull();
    }
    if (is_integer(text, e->data.scalar.length, &number)) {
        return cJSON_CreateNumber(number);
    }
    return cJSON_CreateBool(text[0] == 't');
}

/* Puts `node` where the next value belongs. */
static enum cv_status attach(struct parse *p, cJSON *node,
                             const yaml_event_t *e)
{
    struct cv_yaml_mark at = mark_of(e->start_mark);
    struct cv_yaml_mark key = at;
    struct level *top = p->depth == 0 ? NULL : &p->levels[p->depth - 1];
    bool added = node != NULL;
    if (added && top == NULL) {
        p->root = node;
    } else if (added && top->mapping) {
        key = mark_of(top->key.start_mark);
        const char *name = (const char *)top->key.data.scalar.value;
        added = cJSON_AddItemToObject(top->node, name, node);
        yaml_event_delete(&top->key);
        top->has_key = false;
    } else if (added) {
        added = cJSON_AddItemToArray(top->node, node);
    }
    if (!added) {
        cJSON_Delete(node);
        return no_memory(p);
    }
    if (++p->values > p->most) {
        return refuse(p, at, "there are too many values");
    }
    return cv_yaml_marks_add(p->marks, node, at, key) ? CV_OK : no_memory(p);
}

static enum cv_status check_key(struct parse *p, const yaml_event_t *e)
{
    if (e->type != YAML_SCALAR_EVENT || is_typed(e)) {
        return refuse(p, mark_of(e->start_mark), "a key that is not a string");
    }
    if (is_word(e, "<<")) {
        return refuse(p, mark_of(e->start_mark),
                      "a merge key (<<); they are not taken");
    }
    return CV_OK;
}

/* Anchors and tags, which all but aliases carry as a member. */
static const char *decoration(const yaml_event_t *e)
{
    const yaml_char_t *anchor = NULL;
    const yaml_char_t *tag = NULL;
    switch (e->type) {
    case YAML_SCALAR_EVENT:
        anchor = e->data.scalar.anchor;
        tag = e->data.scalar.tag;
        break;
    case YAML_SEQUENCE_START_EVENT:
        anchor = e->data.sequence_start.anchor;
        tag = e->data.sequence_start.tag;
        break;
    case YAML_MAPPING_START_EVENT:
        anchor = e->data.mapping_start.anchor;
        tag = e->data.mapping_start.tag;
        break;
    case YAML_ALIAS_EVENT:
        return "an alias (*); they are not taken";
    default:
        break;
    }
    if (anchor != NULL) {
        return "an anchor (&); they are not taken";
    }
    return tag != NULL ? "a tag (!); they are not taken" : NULL;
}

static enum cv_status begin(struct parse *p, const yaml_event_t *e)
{
    bool mapping = e->type == YAML_MAPPING_START_EVENT;
    if (p->depth == CV_LIMIT_JSON_DEPTH) {
        return refuse(p, mark_of(e->start_mark), "it is nested too deeply");
    }
    cJSON *node = mapping ? cJSON_CreateObject() : cJSON_CreateArray();
    enum cv_status st = attach(p, node, e);
    if (st == CV_OK) {
        p->levels[p->depth++] =
            (struct level){.node = node, .mapping = mapping};
    }
    return st;
}

struct member {
    const cJSON *node;
    size_t place;
};

static int by_key(const void *a, const void *b)
{
    const struct member *x = a;
    const struct member *y = b;
    int order = strcmp(x->node->string, y->node->string);
    if (order != 0) {
        return order;
    }
    return x->place < y->place ? -1 : x->place > y->place;
}

/* Refuses a key that stands twice; sorted, so that a mapping of many members
 * costs no more than its size. */
static enum cv_status check_members(struct parse *p, const cJSON *mapping)
{
    size_t n = (size_t)cJSON_GetArraySize(mapping);
    struct member *members = n > 1 ? calloc(n, sizeof(*members)) : NULL;
    if (members == NULL) {
        return n > 1 ? no_memory(p) : CV_OK;
    }
    size_t i = 0;
    for (const cJSON *c = mapping->child; c != NULL; c = c->next, i++) {
        members[i] = (struct member){c, i};
    }
    qsort(members, n, sizeof(*members), by_key);
    const cJSON *twice = NULL;
    for (i = 1; i < n && twice == NULL; i++) {
        if (strcmp(members[i - 1].node->string, members[i].node->string) == 0) {
            twice = members[i].node;
        }
    }
    free(members);
    return twice == NULL ? CV_OK
                         : refuse(p, cv_yaml_marks_seek(p->marks, twice),
                                  "a key that was given before");
}

/* Takes *e; *kept says that it now belongs to a level. */
static enum cv_status node_event(struct parse *p, yaml_event_t *e, bool *kept)
{
    const char *why = decoration(e);
    if (why == NULL && e->type == YAML_SCALAR_EVENT &&
        memchr(e->data.scalar.value, 0, e->data.scalar.length) != NULL) {
        why = "a NUL character";
    }
    if (why != NULL) {
        return refuse(p, mark_of(e->start_mark), why);
    }
    struct level *top = p->depth == 0 ? NULL : &p->levels[p->depth - 1];
    if (top != NULL && top->mapping && !top->has_key) {
        enum cv_status st = check_key(p, e);
        if (st == CV_OK) {
            top->key = *e;
            top->has_key = true;
            *kept = true;
        }
        return st;
    }
    if (e->type == YAML_SCALAR_EVENT) {
        return attach(p, scalar_node(e), e);
    }
    return begin(p, e);
}

static enum cv_status event(struct parse *p, yaml_event_t *e, bool *kept)
{
    switch (e->type) {
    case YAML_DOCUMENT_START_EVENT:
        return p->root == NULL
                   ? CV_OK
                   : refuse(p, mark_of(e->start_mark), "a second document");
    case YAML_SEQUENCE_END_EVENT:
        p->depth--;
        return CV_OK;
    case YAML_MAPPING_END_EVENT:
        p->depth--;
        return check_members(p, p->levels[p->depth].node);
    case YAML_ALIAS_EVENT:
    case YAML_SCALAR_EVENT:
    case YAML_SEQUENCE_START_EVENT:
    case YAML_MAPPING_START_EVENT:
        return node_event(p, e, kept);
    default:
        return CV_OK;
    }
}

static enum cv_status events(struct parse *p)
{
    for (bool end = false; !end;) {
        yaml_event_t e;
        bool kept = false;
        if (!yaml_parser_parse(&p->parser, &e)) {
            return parser_failed(p);
        }
        end = e.type == YAML_STREAM_END_EVENT;
        enum cv_status st = event(p, &e, &kept);
        if (!kept) {
            yaml_event_delete(&e);
        }
        if (st != CV_OK) {
            return st;
        }
    }
    return p->root != NULL
               ? CV_OK
               : cv_fail(p->err, CV_INVALID, "the text holds no document");
}

static enum cv_status parse_yaml(struct parse *p, struct cv_bytes text)
{
    if (!yaml_parser_initialize(&p->parser)) {
        return no_memory(p);
    }
    yaml_parser_set_encoding(&p->parser, YAML_UTF8_ENCODING);
    yaml_parser_set_input_string(&p->parser, text.data, text.len);
    enum cv_status st = events(p);
    for (size_t i = 0; i < CV_LIMIT_JSON_DEPTH; i++) {
        if (p->levels[i].has_key) {
            yaml_event_delete(&p->levels[i].key);
        }
    }
    yaml_parser_delete(&p->parser);
    return st;
}

static enum cv_status parse_json(struct parse *p, struct cv_arena *arena,
                                 struct cv_bytes text)
{
    enum cv_status st = cv_json_parse(arena, text, &p->root, p->err);
    if (st == CV_OK && !cv_yaml_marks_json(p->marks, text, p->root)) {
        st = no_memory(p);
    }
    return st;
}

static bool is_blank(uint8_t c)
{
    return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

bool cv_yaml_is_json(struct cv_bytes text)
{
    size_t i = 0;
    while (i < text.len && is_blank(text.data[i])) {
        i++;
    }
    return i < text.len && text.data[i] == '{';
}

enum cv_status cv_yaml_parse(struct cv_arena *arena, struct cv_bytes text,
                             cJSON **out, struct cv_yaml_marks **marks,
                             struct cv_yaml_mark *bad, struct cv_err *err)
{
    return cv_yaml_parse_most(arena, text, CV_LIMIT_JSON_MEMBERS, out, marks,
                              bad, err);
}

enum cv_status cv_yaml_parse_most(struct cv_arena *arena, struct cv_bytes text,
                                  size_t most, cJSON **out,
                                  struct cv_yaml_marks **marks,
                                  struct cv_yaml_mark *bad, struct cv_err *err)
{
    struct cv_yaml_mark nowhere = {0, 0};
    struct parse p = {
        .most = most, .bad = bad != NULL ? bad : &nowhere, .err = err};
    *out = NULL;
    if (marks != NULL) {
        *marks = NULL;
    }
    *p.bad = nowhere;
    p.marks = cv_yaml_marks_new();
    if (p.marks == NULL) {
        return no_memory(&p);
    }
    if (text.data == NULL) { /* libyaml asserts that it is not */
        text = (struct cv_bytes){(const uint8_t *)"", 0};
    }
    enum cv_status st = cv_yaml_scan_check(text, p.bad, err);
    if (st == CV_OK) {
        struct cv_arena *before = cv_json_use(arena);
        st = cv_yaml_is_json(text) ? parse_json(&p, arena, text)
                                   : parse_yaml(&p, text);
        if (st != CV_OK) {
            cJSON_Delete(p.root);
        }
        (void)cv_json_use(before);
    }
    if (st == CV_OK) {
        *out = p.root;
    }
    if (st == CV_OK && marks != NULL) {
        cv_yaml_marks_sort(p.marks);
        *marks = p.marks;
    } else {
        cv_yaml_marks_free(p.marks);
    }
    return st;
}
