#include "cli/output_table.h"

#include "cli/output_yaml.h"
#include "vault/base/limits.h"
#include "vault/base/utf8.h"

#include <stdlib.h>
#include <string.h>

#define CELL_LEN CV_KIB(16)
#define COLUMNS_MAX 24

const cJSON *cv_output_table_at(const cJSON *item, const char *path)
{
    char key[64];

    while (item != NULL && *path != '\0') {
        size_t len = strcspn(path, ".");

        if (len >= sizeof(key)) {
            return NULL;
        }
        memcpy(key, path, len);
        key[len] = '\0';
        item = cJSON_GetObjectItemCaseSensitive(item, key);
        path += len + (path[len] == '.' ? 1 : 0);
    }
    return item;
}

const char *cv_output_table_text(const cJSON *item, const char *path)
{
    return cJSON_GetStringValue(cv_output_table_at(item, path));
}

static void add_scalar(const cJSON *v, struct cv_buf *out)
{
    if (cJSON_IsString(v)) {
        cv_buf_add_str(out, v->valuestring);
    } else if (cJSON_IsBool(v)) {
        cv_buf_add_str(out, cJSON_IsTrue(v) ? "yes" : "no");
    } else if (cJSON_IsNumber(v)) {
        cv_buf_add_format(out, "%.15g", v->valuedouble);
    }
}

void cv_output_table_cell(const cJSON *value, struct cv_buf *out)
{
    const cJSON *item;
    bool first = true;

    if (!cJSON_IsObject(value) && !cJSON_IsArray(value)) {
        add_scalar(value, out);
        return;
    }
    cJSON_ArrayForEach(item, value)
    {
        if (!first) {
            cv_buf_add_str(out, ", ");
        }
        first = false;
        if (cJSON_IsObject(value)) {
            cv_buf_add_str(out, item->string);
            cv_buf_add_char(out, '=');
        }
        add_scalar(item, out);
    }
}

/* Columns on a terminal, as far as one code point is one column. */
static size_t width(const char *text)
{
    const uint8_t *p = (const uint8_t *)text;
    size_t len = strlen(text), columns = 0;

    while (len > 0) {
        uint32_t point;
        size_t n = cv_utf8_next(p, len, &point);

        n = n > 0 ? n : 1;
        p += n;
        len -= n;
        columns++;
    }
    return columns;
}

static void make_cell(const struct cv_output_column *c, const cJSON *item,
                      struct cv_buf *shown)
{
    struct cv_buf raw;

    cv_buf_init(&raw, NULL, CELL_LEN);
    if (c->cell != NULL) {
        c->cell(item, &raw);
    } else {
        cv_output_table_cell(cv_output_table_at(item, c->path), &raw);
    }
    if (raw.status != CV_OK) {
        cv_buf_wipe(&raw);
        cv_buf_add_str(&raw, "...");
    }
    cv_output_escape(shown, cv_buf_text(&raw));
    cv_buf_wipe(&raw);
}

/* A line that is being made: blanks are written before what follows them, so
 * that none stand at its end. */
struct line {
    struct cv_output *o;
    struct cv_buf *out;
    size_t owed; /* blanks */
};

static void put_cell(struct line *l, const char *text, int color, size_t wide)
{
    size_t have = width(text);

    for (; have > 0 && l->owed > 0; l->owed--) {
        cv_buf_add_char(l->out, ' ');
    }
    if (have > 0 && l->o->color && color != 0) {
        cv_buf_add_format(l->out, "\033[%dm%s\033[0m", color, text);
    } else {
        cv_buf_add_str(l->out, text);
    }
    l->owed += (have < wide ? wide - have : 0) + 2;
}

static void end_line(struct line *l)
{
    cv_buf_add_char(l->out, '\n');
    l->owed = 0;
}

static void measure(const struct cv_output_view *view, const cJSON *items,
                    size_t *wide)
{
    const cJSON *item;
    struct cv_buf cell;

    cv_buf_init(&cell, NULL, CELL_LEN * 4);
    for (size_t i = 0; i < view->n_columns; i++) {
        wide[i] = strlen(view->columns[i].title);
    }
    cJSON_ArrayForEach(item, items)
    {
        for (size_t i = 0; i + 1 < view->n_columns; i++) {
            size_t w;

            make_cell(&view->columns[i], item, &cell);
            w = width(cv_buf_text(&cell));
            wide[i] = w > wide[i] ? w : wide[i];
            cv_buf_wipe(&cell);
        }
    }
}

static void add_row(struct cv_output *o, const struct cv_output_view *view,
                    const cJSON *item, const size_t *wide, struct cv_buf *out)
{
    struct line l = {o, out, 0};
    struct cv_buf cell;

    cv_buf_init(&cell, NULL, CELL_LEN * 4);
    for (size_t i = 0; i < view->n_columns; i++) {
        const struct cv_output_column *c = &view->columns[i];

        make_cell(c, item, &cell);
        put_cell(&l, cv_buf_text(&cell), c->color ? c->color(item) : 0,
                 wide[i]);
        cv_buf_wipe(&cell);
    }
    end_line(&l);
}

static enum cv_status print_table(struct cv_output *o,
                                  const struct cv_output_view *view,
                                  const cJSON *items, struct cv_err *err)
{
    size_t wide[COLUMNS_MAX];
    const cJSON *item;
    struct cv_buf out;
    struct line l;

    if (items == NULL || items->child == NULL) {
        if (view->none != NULL) {
            cv_output_note(o, "%s", view->none);
        }
        return CV_OK;
    }
    cv_buf_init(&out, NULL, CV_LIMIT_FRAME * 4);
    l = (struct line){o, &out, 0};
    measure(view, items, wide);
    for (size_t i = 0; i < view->n_columns; i++) {
        put_cell(&l, view->columns[i].title, 1, wide[i]);
    }
    end_line(&l);
    cJSON_ArrayForEach(item, items)
    {
        add_row(o, view, item, wide, &out);
    }
    return cv_output_write_buf(o, &out, err);
}

static enum cv_status print_names(struct cv_output *o, const char *path,
                                  const cJSON *items, struct cv_err *err)
{
    const cJSON *item;
    struct cv_buf out;

    cv_buf_init(&out, NULL, CV_LIMIT_FRAME * 4);
    cJSON_ArrayForEach(item, items)
    {
        const struct cv_output_column name = {NULL, path, NULL, NULL};

        make_cell(&name, item, &out);
        cv_buf_add_char(&out, '\n');
    }
    return cv_output_write_buf(o, &out, err);
}

static enum cv_status print_document(struct cv_output *o, const char *kind,
                                     const cJSON *items, const cJSON *object,
                                     struct cv_err *err)
{
    cJSON *doc = cJSON_CreateObject();
    const cJSON *member;
    bool ok = cv_json_add_str(doc, "apiVersion", "certvault/v1") &&
              cv_json_add_str(doc, "kind", kind);
    enum cv_status s;

    if (object == NULL) {
        ok = ok && cJSON_AddItemToObject(
                       doc, "items",
                       items ? cJSON_CreateArrayReference(items->child)
                             : cJSON_CreateArray());
    }
    cJSON_ArrayForEach(member, object)
    {
        if (strcmp(member->string, "apiVersion") != 0 &&
            strcmp(member->string, "kind") != 0) {
            ok = ok && cv_json_add_item(doc, member->string,
                                        cJSON_Duplicate(member, true));
        }
    }
    s = ok ? cv_output_document(o, doc, err)
           : cv_fail(err, CV_INTERNAL, "memory is gone");
    cJSON_Delete(doc);
    return s;
}

enum cv_status cv_output_table_list(struct cv_output *o,
                                    const struct cv_output_view *view,
                                    const cJSON *items, struct cv_err *err)
{
    switch (o->format) {
    case CV_OUTPUT_TABLE:
        return print_table(o, view, items, err);
    case CV_OUTPUT_NAME:
        return print_names(o, view->name, items, err);
    default:
        return print_document(o, view->kind, items, NULL, err);
    }
}

enum cv_status cv_output_table_object(struct cv_output *o,
                                      const struct cv_output_view *view,
                                      const cJSON *object, struct cv_err *err)
{
    size_t wide = 0;
    struct cv_buf out, cell;
    struct line l;

    if (o->format == CV_OUTPUT_NAME) {
        const struct cv_output_column name = {NULL, view->name, NULL, NULL};

        cv_buf_init(&out, NULL, CELL_LEN * 4);
        make_cell(&name, object, &out);
        cv_buf_add_char(&out, '\n');
        return cv_output_write_buf(o, &out, err);
    }
    if (o->format != CV_OUTPUT_TABLE) {
        return print_document(o, view->kind, NULL, object, err);
    }
    cv_buf_init(&out, NULL, CV_LIMIT_FRAME * 4);
    l = (struct line){o, &out, 0};
    cv_buf_init(&cell, NULL, CELL_LEN * 4);
    for (size_t i = 0; i < view->n_columns; i++) {
        size_t w = strlen(view->columns[i].title);

        wide = w > wide ? w : wide;
    }
    for (size_t i = 0; i < view->n_columns; i++) {
        const struct cv_output_column *c = &view->columns[i];

        make_cell(c, object, &cell);
        if (cell.len > 0) {
            put_cell(&l, c->title, 1, wide);
            put_cell(&l, cv_buf_text(&cell), c->color ? c->color(object) : 0,
                     0);
            end_line(&l);
        }
        cv_buf_wipe(&cell);
    }
    return cv_output_write_buf(o, &out, err);
}

enum cv_status cv_output_table_row(struct cv_output *o,
                                   const struct cv_output_view *view,
                                   const cJSON *item, struct cv_err *err)
{
    size_t wide[COLUMNS_MAX];
    struct cv_buf out;

    if (o->format == CV_OUTPUT_JSON) {
        return cv_output_json_line(o, item, err);
    }
    if (o->format == CV_OUTPUT_YAML) {
        cv_buf_init(&out, NULL, CV_LIMIT_FRAME * 3);
        cv_buf_add_str(&out, "---\n");
        cv_output_yaml(item, &out);
        return cv_output_write_buf(o, &out, err);
    }
    cv_buf_init(&out, NULL, CELL_LEN * COLUMNS_MAX);
    if (o->format == CV_OUTPUT_NAME) {
        const struct cv_output_column name = {NULL, view->name, NULL, NULL};

        make_cell(&name, item, &out);
        cv_buf_add_char(&out, '\n');
        return cv_output_write_buf(o, &out, err);
    }
    for (size_t i = 0; i < view->n_columns; i++) {
        wide[i] = strlen(view->columns[i].title);
    }
    add_row(o, view, item, wide, &out);
    return cv_output_write_buf(o, &out, err);
}
