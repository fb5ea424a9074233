#include "vault/yaml/yaml_items.h"

#include "vault/base/limits.h"

#include <stdbool.h>
#include <string.h>
#include <yaml.h>

struct walk {
    yaml_parser_t parser;
    struct cv_arena *arena;
    struct cv_bytes text;
    const char *key;
    struct cv_yaml_items *out;
    size_t at_char;  /* libyaml counts characters; this one stands at ... */
    size_t at_byte;  /* ... this byte */
    size_t depth;    /* containers that are open */
    bool value_next; /* of the root: its key has gone by */
    bool ours;       /* in the value of `key` */
    bool flow;
    size_t room;
    size_t last_end; /* of what was seen last in an item */
    struct cv_err *err;
};

static enum cv_status refuse(struct walk *w)
{
    return cv_fail(w->err, CV_INVALID,
                   "the list %s is written in a way that cannot be changed "
                   "piecewise",
                   w->key);
}

/* Marks only grow, but for an end that lies before the next begin. */
static size_t byte_of(struct walk *w, yaml_mark_t mark)
{
    if (mark.index < w->at_char) {
        w->at_char = w->at_byte = 0;
    }
    while (w->at_char < mark.index && w->at_byte < w->text.len) {
        do {
            w->at_byte++;
        } while (w->at_byte < w->text.len &&
                 (w->text.data[w->at_byte] & 0xc0U) == 0x80);
        w->at_char++;
    }
    return w->at_byte;
}

/* The dash before the item that begins at `begin`, with its line. */
static enum cv_status find_dash(struct walk *w, size_t begin, size_t *line)
{
    const uint8_t *t = w->text.data;
    size_t at = begin, indent;

    while (at > 0 && t[at - 1] == ' ') {
        at--;
    }
    if (at == 0 || t[at - 1] != '-') {
        return refuse(w);
    }
    indent = at - 1;
    while (indent > 0 && t[indent - 1] == ' ') {
        indent--;
    }
    if (indent > 0 && t[indent - 1] != '\n') {
        return refuse(w);
    }
    *line = indent;
    indent = at - 1 - indent;
    if (w->out->n > 1 && indent != w->out->indent) {
        return refuse(w);
    }
    w->out->indent = indent;
    return CV_OK;
}

/* Where the line ends on which `end` stands, if nothing but a comment follows.
 */
static enum cv_status find_line_end(struct walk *w, size_t *end)
{
    const uint8_t *t = w->text.data;
    size_t at = *end;

    if (at > 0 && t[at - 1] == '\n') {
        return CV_OK; /* a block scalar ends with its last line */
    }
    while (at < w->text.len && (t[at] == ' ' || t[at] == '\r')) {
        at++;
    }
    if (at < w->text.len && t[at] != '\n' && t[at] != '#') {
        return refuse(w);
    }
    while (at < w->text.len && t[at] != '\n') {
        at++;
    }
    *end = at + (at < w->text.len);
    return CV_OK;
}

static enum cv_status begin_item(struct walk *w, size_t begin)
{
    struct cv_yaml_items *o = w->out;

    if (o->n == w->room) {
        size_t room = w->room ? 2 * w->room : 16;
        struct cv_yaml_items_range *grown =
            cv_arena_alloc(w->arena, room * sizeof(*grown), w->err);

        if (grown == NULL) {
            return CV_INTERNAL;
        }
        if (o->n > 0) {
            memcpy(grown, o->items, o->n * sizeof(*grown));
        }
        o->items = grown;
        w->room = room;
    }
    o->items[o->n++] = (struct cv_yaml_items_range){begin, begin};
    return w->flow ? CV_OK : find_dash(w, begin, &o->items[o->n - 1].begin);
}

static enum cv_status end_item(struct walk *w)
{
    struct cv_yaml_items_range *item = &w->out->items[w->out->n - 1];

    item->end = w->last_end;
    return w->flow ? CV_OK : find_line_end(w, &item->end);
}

static enum cv_status take_value(struct walk *w, const yaml_event_t *e,
                                 size_t begin, size_t end)
{
    struct cv_yaml_items *o = w->out;

    o->value = (struct cv_yaml_items_range){begin, end};
    if (e->type == YAML_SCALAR_EVENT) {
        o->kind = CV_YAML_ITEMS_SCALAR;
        return CV_OK;
    }
    if (e->type != YAML_SEQUENCE_START_EVENT) {
        return refuse(w);
    }
    w->flow = e->data.sequence_start.style == YAML_FLOW_SEQUENCE_STYLE;
    o->kind = w->flow ? CV_YAML_ITEMS_FLOW : CV_YAML_ITEMS_BLOCK;
    w->ours = true;
    return CV_OK;
}

static bool opens(const yaml_event_t *e)
{
    return e->type == YAML_MAPPING_START_EVENT ||
           e->type == YAML_SEQUENCE_START_EVENT;
}

/* Behind the colon of a key that ends at `at`. */
static size_t find_colon(const struct walk *w, size_t at)
{
    while (at < w->text.len && w->text.data[at] == ' ') {
        at++;
    }
    return at < w->text.len && w->text.data[at] == ':' ? at + 1 : 0;
}

/* A scalar, or a container that begins. */
static enum cv_status take_node(struct walk *w, const yaml_event_t *e,
                                size_t begin, size_t end)
{
    enum cv_status s = CV_OK;

    if (w->depth == 1 && !w->value_next) {
        w->value_next = true;
        w->ours = false;
        if (e->type == YAML_SCALAR_EVENT &&
            strcmp((const char *)e->data.scalar.value, w->key) == 0) {
            w->out->kind = CV_YAML_ITEMS_SCALAR; /* its value comes next */
            w->out->colon = find_colon(w, end);
        }
        return CV_OK;
    }
    if (w->depth == 1) {
        w->value_next = false;
        if (w->out->kind == CV_YAML_ITEMS_SCALAR && w->out->value.end == 0) {
            s = take_value(w, e, begin, end);
        }
    } else if (w->depth == 2 && w->ours) {
        s = begin_item(w, begin);
    }
    w->last_end = end;
    if (s == CV_OK && w->depth == 2 && w->ours && !opens(e)) {
        s = end_item(w);
    }
    return s;
}

static enum cv_status take(struct walk *w, const yaml_event_t *e)
{
    size_t begin = byte_of(w, e->start_mark), end = byte_of(w, e->end_mark);
    enum cv_status s = CV_OK;

    switch (e->type) {
    case YAML_SCALAR_EVENT:
        return take_node(w, e, begin, end);
    case YAML_MAPPING_START_EVENT:
    case YAML_SEQUENCE_START_EVENT:
        s = take_node(w, e, begin, end);
        w->depth++;
        return s;
    case YAML_MAPPING_END_EVENT:
    case YAML_SEQUENCE_END_EVENT:
        w->depth--;
        /* That of a block comes after all blanks and comments behind it. */
        if (end > begin) {
            w->last_end = end;
        }
        if (w->ours && w->depth == 2) {
            s = end_item(w);
        }
        if (w->ours && w->depth == 1) {
            w->out->value.end = end;
            w->ours = false;
        }
        return s;
    default:
        return CV_OK;
    }
}

static enum cv_status walk_events(struct walk *w)
{
    enum cv_status s = CV_OK;

    for (bool end = false; !end && s == CV_OK;) {
        yaml_event_t e;

        if (!yaml_parser_parse(&w->parser, &e)) {
            return cv_fail(w->err, CV_INTERNAL, "the text cannot be read");
        }
        end = e.type == YAML_STREAM_END_EVENT;
        s = take(w, &e);
        yaml_event_delete(&e);
    }
    return s;
}

enum cv_status cv_yaml_items_find(struct cv_arena *arena, struct cv_bytes text,
                                  const char *key, struct cv_yaml_items *out,
                                  struct cv_err *err)
{
    struct walk w = {
        .arena = arena, .text = text, .key = key, .out = out, .err = err};
    enum cv_status s;

    memset(out, 0, sizeof(*out));
    if (yaml_parser_initialize(&w.parser) != 1) {
        return cv_fail(err, CV_INTERNAL, "memory is gone");
    }
    yaml_parser_set_encoding(&w.parser, YAML_UTF8_ENCODING);
    yaml_parser_set_input_string(&w.parser, text.data, text.len);
    s = walk_events(&w);
    yaml_parser_delete(&w.parser);
    return s;
}
