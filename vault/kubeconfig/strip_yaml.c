#include "vault/base/limits.h"
#include "vault/kubeconfig/strip_internal.h"

#include <string.h>
#include <yaml.h>

/* Where a mapping or sequence stands on the way to users[i].user. */
enum place { ELSEWHERE, ROOT, USERS, ITEM, USER };

struct level {
    enum place place;
    bool mapping;
    bool value_next;  /* of a mapping: its key has gone by */
    enum place child; /* the place of a container that comes next */
    size_t index;     /* of a sequence: elements so far */
};

struct copy {
    yaml_parser_t parser;
    yaml_emitter_t emitter;
    const bool *drop;
    size_t n;
    struct level levels[CV_LIMIT_JSON_DEPTH];
    size_t depth;
    size_t user;     /* index of the element of `users` that is open */
    bool skip_value; /* the next value is to be left out */
    size_t skipped;  /* containers open in the value that is left out */
};

static int write_out(void *out, unsigned char *data, size_t len)
{
    struct cv_buf *b = out;
    cv_buf_add(b, data, len);
    return b->status == CV_OK;
}

static bool opens(const yaml_event_t *e)
{
    return e->type == YAML_MAPPING_START_EVENT ||
           e->type == YAML_SEQUENCE_START_EVENT;
}

static bool closes(const yaml_event_t *e)
{
    return e->type == YAML_MAPPING_END_EVENT ||
           e->type == YAML_SEQUENCE_END_EVENT;
}

/* Where a value of `key` in a mapping at `place` stands. */
static enum place place_of(enum place place, const char *key)
{
    if (place == ROOT && strcmp(key, "users") == 0) {
        return USERS;
    }
    return place == ITEM && strcmp(key, "user") == 0 ? USER : ELSEWHERE;
}

static bool in_value_left_out(struct copy *c, const yaml_event_t *e)
{
    if (!c->skip_value) {
        return false;
    }
    c->skipped += opens(e);
    c->skipped -= closes(e);
    c->skip_value = c->skipped > 0;
    return true;
}

/* A node begins: which one is it, and is it (a key) to be left out? */
static bool node_left_out(struct copy *c, const yaml_event_t *e,
                          enum place *place)
{
    *place = ROOT;
    if (c->depth == 0) {
        return false;
    }
    struct level *top = &c->levels[c->depth - 1];
    if (top->mapping && !top->value_next) {
        /* Keys are scalars: the text was read before. */
        const char *key = (const char *)e->data.scalar.value;
        if (top->place == USER && c->user < c->n && c->drop[c->user] &&
            cv_strip_is_dropped(key)) {
            c->skip_value = true;
            return true;
        }
        top->child = place_of(top->place, key);
        top->value_next = true;
        return false;
    }
    *place = top->child;
    if (!top->mapping) {
        *place = top->place == USERS ? ITEM : ELSEWHERE;
        c->user = top->place == USERS ? top->index : c->user;
        top->index++;
    }
    top->value_next = false;
    return false;
}

/* Is this event to be left out? Keeps count of where it stands. */
static bool left_out(struct copy *c, const yaml_event_t *e)
{
    enum place place = ELSEWHERE;
    if (in_value_left_out(c, e)) {
        return true;
    }
    if (closes(e)) {
        c->depth--;
        return false;
    }
    if (e->type != YAML_SCALAR_EVENT && !opens(e)) {
        return false;
    }
    if (node_left_out(c, e, &place)) {
        return true;
    }
    if (opens(e)) {
        c->levels[c->depth++] = (struct level){
            .place = place, .mapping = e->type == YAML_MAPPING_START_EVENT};
    }
    return false;
}

/* Makes a scalar one that the emitter can write without a tag: a plain one may
 * become quoted (should that change what it is, the new text is found not to
 * be the same), and nothing at all becomes null. */
static bool prepare(yaml_event_t *e)
{
    if (e->type != YAML_SCALAR_EVENT ||
        e->data.scalar.style != YAML_PLAIN_SCALAR_STYLE) {
        return true;
    }
    e->data.scalar.quoted_implicit = 1;
    if (e->data.scalar.length > 0) {
        return true;
    }
    yaml_char_t null[] = "null";
    yaml_event_delete(e);
    return yaml_scalar_event_initialize(e, NULL, NULL, null, 4, 1, 0,
                                        YAML_PLAIN_SCALAR_STYLE) == 1;
}

static bool copy_events(struct copy *c)
{
    for (bool end = false; !end;) {
        yaml_event_t e;
        if (!yaml_parser_parse(&c->parser, &e)) {
            return false;
        }
        end = e.type == YAML_STREAM_END_EVENT;
        if (left_out(c, &e)) {
            yaml_event_delete(&e);
        } else if (!prepare(&e) || !yaml_emitter_emit(&c->emitter, &e)) {
            return false;
        }
    }
    return true;
}

enum cv_status cv_strip_yaml(struct cv_bytes text, const bool *drop, size_t n,
                             bool unicode, struct cv_buf *out,
                             struct cv_err *err)
{
    struct copy c = {.drop = drop, .n = n};
    bool ok = yaml_parser_initialize(&c.parser) == 1;
    if (ok && yaml_emitter_initialize(&c.emitter) == 1) {
        yaml_parser_set_encoding(&c.parser, YAML_UTF8_ENCODING);
        yaml_parser_set_input_string(&c.parser, text.data, text.len);
        yaml_emitter_set_output(&c.emitter, write_out, out);
        yaml_emitter_set_unicode(&c.emitter, unicode);
        yaml_emitter_set_indent(&c.emitter, 2);
        yaml_emitter_set_width(&c.emitter, -1);
        yaml_emitter_set_break(&c.emitter, YAML_LN_BREAK);
        ok = copy_events(&c);
        yaml_emitter_delete(&c.emitter);
    } else {
        ok = false;
    }
    yaml_parser_delete(&c.parser);
    if (out->status != CV_OK) {
        return cv_buf_status(out, "the new kubeconfig", err);
    }
    return ok ? CV_OK
              : cv_fail(err, CV_INTERNAL, "the kubeconfig cannot be rewritten");
}
