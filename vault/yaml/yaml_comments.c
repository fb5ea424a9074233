#include "vault/yaml/yaml_comments.h"

#include "vault/base/utf8.h"

#include <stdlib.h>
#include <yaml.h>

/* Scalars, in the order of the text: a '#' within one is no comment. */
struct scalars {
    struct extent {
        struct cv_yaml_mark begin;
        struct cv_yaml_mark end; /* behind it */
    } * list;
    size_t n, room;
};

static bool is_before(struct cv_yaml_mark a, struct cv_yaml_mark b)
{
    return a.line != b.line ? a.line < b.line : a.column < b.column;
}

static struct cv_yaml_mark mark_of(yaml_mark_t m)
{
    return (struct cv_yaml_mark){(uint32_t)m.line + 1, (uint32_t)m.column + 1};
}

static bool add_scalar(struct scalars *s, const yaml_event_t *event)
{
    if (s->n == s->room) {
        size_t room = s->room == 0 ? 256 : s->room * 2;
        struct extent *more = realloc(s->list, room * sizeof(*more));
        if (more == NULL) {
            return false;
        }
        s->list = more;
        s->room = room;
    }
    s->list[s->n++] =
        (struct extent){mark_of(event->start_mark), mark_of(event->end_mark)};
    return true;
}

static enum cv_status find_scalars(struct cv_bytes text, struct scalars *out,
                                   struct cv_err *err)
{
    yaml_parser_t parser;
    enum cv_status s = CV_OK;
    bool ended = false;
    if (yaml_parser_initialize(&parser) == 0) {
        return cv_fail(err, CV_INTERNAL, "memory is gone");
    }
    yaml_parser_set_encoding(&parser, YAML_UTF8_ENCODING);
    yaml_parser_set_input_string(&parser, text.data, text.len);
    while (s == CV_OK && !ended) {
        yaml_event_t event;
        if (yaml_parser_parse(&parser, &event) == 0) {
            s = cv_fail(err, CV_INVALID, "this is not YAML");
            break;
        }
        ended = event.type == YAML_STREAM_END_EVENT;
        if (event.type == YAML_SCALAR_EVENT && !add_scalar(out, &event)) {
            s = cv_fail(err, CV_INTERNAL, "memory is gone");
        }
        yaml_event_delete(&event);
    }
    yaml_parser_delete(&parser);
    return s;
}

/* The text while it is walked. */
struct walk {
    struct cv_bytes text;
    size_t at;
    struct cv_yaml_mark mark;
    bool blank;  /* what is before on this line is */
    bool parted; /* the character before is blank, or there is none */
    size_t scalar;
};

static bool in_scalar(struct walk *w, const struct scalars *s)
{
    while (w->scalar < s->n && !is_before(w->mark, s->list[w->scalar].end)) {
        w->scalar++;
    }
    return w->scalar < s->n && !is_before(w->mark, s->list[w->scalar].begin);
}

static void step(struct walk *w)
{
    uint32_t point = 0;
    size_t n = cv_utf8_next(w->text.data + w->at, w->text.len - w->at, &point);
    bool blank = point == ' ' || point == '\t';
    w->at += n > 0 ? n : 1;
    w->mark.column++;
    w->blank = w->blank && blank;
    w->parted = blank;
    if (point == '\n') {
        w->mark.line++;
        w->mark.column = 1;
        w->blank = w->parted = true;
    }
}

/* The comment that begins here; the walk goes on behind it. */
static struct cv_yaml_comment take(struct walk *w)
{
    struct cv_yaml_comment c = {
        .at = w->mark,
        .alone = w->blank,
        .text = {w->text.data + w->at, 0},
    };
    while (w->at < w->text.len && w->text.data[w->at] != '\n') {
        uint8_t byte = w->text.data[w->at];
        step(w);
        if (byte != ' ' && byte != '\t' && byte != '\r') {
            c.text.len = (size_t)(w->text.data + w->at - c.text.data);
        }
    }
    return c;
}

static bool add(struct cv_yaml_comment **list, size_t *n, size_t *room,
                struct cv_yaml_comment c)
{
    if (*n == *room) {
        size_t more = *room == 0 ? 64 : *room * 2;
        struct cv_yaml_comment *grown = realloc(*list, more * sizeof(**list));
        if (grown == NULL) {
            return false;
        }
        *list = grown;
        *room = more;
    }
    (*list)[(*n)++] = c;
    return true;
}

enum cv_status cv_yaml_comments_find(struct cv_bytes text,
                                     struct cv_yaml_comment **out, size_t *n,
                                     struct cv_err *err)
{
    struct walk w = {
        .text = text, .mark = {1, 1}, .blank = true, .parted = true};
    struct scalars scalars = {0};
    size_t room = 0;
    *out = NULL;
    *n = 0;
    enum cv_status s = find_scalars(text, &scalars, err);
    while (s == CV_OK && w.at < text.len) {
        if (text.data[w.at] != '#' || !w.parted || in_scalar(&w, &scalars)) {
            step(&w);
        } else if (!add(out, n, &room, take(&w))) {
            s = cv_fail(err, CV_INTERNAL, "memory is gone");
        }
    }
    free(scalars.list);
    if (s != CV_OK) {
        free(*out);
        *out = NULL;
        *n = 0;
    }
    return s;
}
