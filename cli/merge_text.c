#include "cli/merge_text.h"

#include "cli/output_yaml.h"
#include "vault/base/limits.h"
#include "vault/yaml/yaml.h"
#include "vault/yaml/yaml_items.h"

#include <string.h>

static const char *const lists[] = {"clusters", "contexts", "users"};
#define N_LISTS (sizeof(lists) / sizeof(lists[0]))
/* Each edit is one piece, a list's additions are one more. */
#define PIECES 64

/* Some bytes of the text become others. */
struct piece {
    size_t begin;
    size_t end;
    struct cv_buf text;
};

struct work {
    struct cv_arena *arena;
    struct cv_bytes text;
    const struct cv_merge_edit *edits;
    size_t n_edits;
    struct piece pieces[PIECES];
    size_t n;
    struct cv_err *err;
};

static enum cv_status no_memory(struct cv_err *err)
{
    return cv_fail(err, CV_INTERNAL, "memory is gone");
}

/* ---- the tree ---- */

static bool is_of(const struct cv_merge_edit *e, const char *list)
{
    return strcmp(e->list, list) == 0;
}

static const struct cv_merge_edit *edit_of(const struct work *w,
                                           const char *list, ssize_t index)
{
    for (size_t i = 0; i < w->n_edits; i++) {
        if (is_of(&w->edits[i], list) && w->edits[i].index == index) {
            return &w->edits[i];
        }
    }
    return NULL;
}

/* The list as it is to be, in place of the old one. */
static bool change_list(const struct work *w, cJSON *tree, const char *list)
{
    const cJSON *old = cJSON_GetObjectItemCaseSensitive(tree, list), *item;
    cJSON *made = cJSON_CreateArray();
    ssize_t index = 0;
    bool ok = made != NULL, touched = false;

    cJSON_ArrayForEach(item, old)
    {
        const struct cv_merge_edit *e = edit_of(w, list, index++);

        touched = touched || e != NULL;
        if (e == NULL || e->item != NULL) {
            ok = ok && cJSON_AddItemToArray(
                           made, cJSON_Duplicate(e ? e->item : item, true));
        }
    }
    for (size_t i = 0; i < w->n_edits; i++) {
        if (is_of(&w->edits[i], list) && w->edits[i].index < 0) {
            touched = true;
            ok = ok && cJSON_AddItemToArray(
                           made, cJSON_Duplicate(w->edits[i].item, true));
        }
    }
    if (!touched) {
        return ok;
    }
    return old != NULL
               ? cJSON_ReplaceItemInObjectCaseSensitive(tree, list, made) && ok
               : cJSON_AddItemToObject(tree, list, made) && ok;
}

/* ---- pieces of text ---- */

static struct piece *new_piece(struct work *w, size_t begin, size_t end)
{
    struct piece *p;

    if (w->n == PIECES) {
        (void)cv_fail(w->err, CV_INVALID, "too much of it is ours");
        return NULL;
    }
    p = &w->pieces[w->n++];
    p->begin = begin;
    p->end = end;
    cv_buf_init(&p->text, w->arena, CV_LIMIT_KUBECONFIG);
    return p;
}

/* "- name: ..." on lines that begin with `indent` blanks. */
static void add_block(struct work *w, const cJSON *item, size_t indent,
                      struct cv_buf *out)
{
    cJSON *list = cJSON_CreateArray();
    struct cv_buf text;
    bool begins = true;

    cv_buf_init(&text, w->arena, CV_LIMIT_KUBECONFIG);
    if (list == NULL ||
        !cJSON_AddItemToArray(list, cJSON_Duplicate(item, true))) {
        out->status = CV_INTERNAL;
        return;
    }
    cv_output_yaml(list, &text);
    for (size_t i = 0; i < text.len; i++) {
        for (size_t k = 0; begins && k < indent; k++) {
            cv_buf_add_char(out, ' ');
        }
        begins = text.data[i] == '\n';
        cv_buf_add_char(out, (char)text.data[i]);
    }
    if (text.status != CV_OK) {
        out->status = text.status;
    }
}

static bool ends_line(const struct work *w, size_t at)
{
    return at == 0 || w->text.data[at - 1] == '\n';
}

/* Where the line ends if only a comment stands behind `at`; else `at`. */
static size_t behind_comment(const struct work *w, size_t at)
{
    size_t i = at;

    while (i < w->text.len &&
           (w->text.data[i] == ' ' || w->text.data[i] == '\t')) {
        i++;
    }
    if (i == w->text.len || w->text.data[i] != '#') {
        return at;
    }
    while (i < w->text.len && w->text.data[i] != '\r' &&
           w->text.data[i] != '\n') {
        i++;
    }
    return i;
}

/* New items of a list, `before` and between them what parts them. */
static enum cv_status add_new(struct work *w, const char *list,
                              const struct cv_yaml_items *found)
{
    bool flow = found->kind == CV_YAML_ITEMS_FLOW && found->n > 0;
    size_t at =
        found->n > 0 ? found->items[found->n - 1].end : found->value.begin;
    size_t end = found->n > 0 ? at : found->value.end, behind = end;
    struct piece *p;

    if (found->kind == CV_YAML_ITEMS_ABSENT) {
        at = end = behind = w->text.len;
    } else if (found->n == 0) {
        behind = behind_comment(w, end);
        at -= behind > end && at < end && at > 0 && w->text.data[at - 1] == ' ';
    }
    p = new_piece(w, at, behind);
    if (p == NULL) {
        return CV_INVALID;
    }
    if (!flow && found->kind != CV_YAML_ITEMS_ABSENT && found->n == 0) {
        /* Behind the last item it would go with that. */
        cv_buf_add(&p->text, w->text.data + end, behind - end);
        cv_buf_add_char(&p->text, '\n');
    } else if (!flow && !ends_line(w, at)) {
        cv_buf_add_char(&p->text, '\n');
    }
    if (found->kind == CV_YAML_ITEMS_ABSENT) {
        cv_buf_add_str(&p->text, list);
        cv_buf_add_str(&p->text, ":\n");
    }
    for (size_t i = 0; i < w->n_edits; i++) {
        if (!is_of(&w->edits[i], list) || w->edits[i].index >= 0) {
            continue;
        }
        if (flow) {
            cv_buf_add_str(&p->text, ", ");
            cv_json_write(w->edits[i].item, CV_JSON_COMPACT, &p->text);
        } else {
            add_block(w, w->edits[i].item, found->n > 0 ? found->indent : 0,
                      &p->text);
        }
    }
    /* What stood behind the old value still ends its line. */
    if (!flow && found->kind != CV_YAML_ITEMS_ABSENT && found->n == 0 &&
        p->text.len > 0) {
        p->text.len--;
    }
    return cv_buf_status(&p->text, "the new kubeconfig", w->err);
}

/* With an item of a flow list that goes, the comma beside it does. */
static struct cv_yaml_items_range flow_gap(const struct cv_yaml_items *found,
                                           size_t i)
{
    struct cv_yaml_items_range r = found->items[i];

    if (i + 1 < found->n) {
        r.end = found->items[i + 1].begin;
    } else if (i > 0) {
        r.begin = found->items[i - 1].end;
    }
    return r;
}

static enum cv_status change_item(struct work *w,
                                  const struct cv_yaml_items *found,
                                  const struct cv_merge_edit *e)
{
    struct cv_yaml_items_range r;
    struct piece *p;

    if ((size_t)e->index >= found->n) {
        return cv_fail(w->err, CV_INTERNAL, "an item is not where it was");
    }
    r = found->kind == CV_YAML_ITEMS_FLOW && e->item == NULL
            ? flow_gap(found, (size_t)e->index)
            : found->items[e->index];
    p = new_piece(w, r.begin, r.end);
    if (p == NULL) {
        return CV_INVALID;
    }
    if (e->item != NULL && found->kind == CV_YAML_ITEMS_FLOW) {
        cv_json_write(e->item, CV_JSON_COMPACT, &p->text);
    } else if (e->item != NULL) {
        add_block(w, e->item, found->indent, &p->text);
    }
    return cv_buf_status(&p->text, "the new kubeconfig", w->err);
}

/* With its last item a list in block form is nothing at all, which others read
 * as null. */
static enum cv_status close_empty(struct work *w,
                                  const struct cv_yaml_items *found)
{
    size_t end = found->colon;
    struct piece *p;

    while (end < w->text.len && w->text.data[end] == ' ') {
        end++;
    }
    if (end < w->text.len && w->text.data[end] == '#') {
        end = found->colon; /* blanks part it from the comment */
    }
    p = new_piece(w, found->colon, end);
    if (p == NULL) {
        return CV_INVALID;
    }
    cv_buf_add_str(&p->text, " []");
    return cv_buf_status(&p->text, "the new kubeconfig", w->err);
}

static enum cv_status gather(struct work *w, const char *list)
{
    struct cv_yaml_items found;
    bool touched = false, adds = false;
    size_t gone = 0;
    enum cv_status s;

    for (size_t i = 0; i < w->n_edits; i++) {
        if (is_of(&w->edits[i], list)) {
            touched = true;
            adds = adds || w->edits[i].index < 0;
            gone += w->edits[i].index >= 0 && w->edits[i].item == NULL;
        }
    }
    if (!touched) {
        return CV_OK;
    }
    s = cv_yaml_items_find(w->arena, w->text, list, &found, w->err);
    for (size_t i = 0; s == CV_OK && i < w->n_edits; i++) {
        if (is_of(&w->edits[i], list) && w->edits[i].index >= 0) {
            s = change_item(w, &found, &w->edits[i]);
        }
    }
    if (s == CV_OK && !adds && found.kind == CV_YAML_ITEMS_BLOCK &&
        gone == found.n && found.colon != 0) {
        s = close_empty(w, &found);
    }
    return s == CV_OK && adds ? add_new(w, list, &found) : s;
}

/* The next piece in the order of the text; those at one place keep theirs. */
static struct piece *next_piece(struct work *w, const bool *used, size_t *which)
{
    struct piece *first = NULL;

    for (size_t i = 0; i < w->n; i++) {
        if (!used[i] && (first == NULL || w->pieces[i].begin < first->begin)) {
            first = &w->pieces[i];
            *which = i;
        }
    }
    return first;
}

static enum cv_status apply(struct work *w, struct cv_buf *out)
{
    bool used[PIECES] = {false};
    size_t at = 0, which = 0;
    struct piece *p;

    while ((p = next_piece(w, used, &which)) != NULL) {
        used[which] = true;
        if (p->begin < at || p->end > w->text.len) {
            return cv_fail(w->err, CV_INVALID, "its lists lie in one another");
        }
        cv_buf_add(out, w->text.data + at, p->begin - at);
        cv_buf_add(out, p->text.data, p->text.len);
        at = p->end;
    }
    cv_buf_add(out, w->text.data + at, w->text.len - at);
    return cv_buf_status(out, "the new kubeconfig", w->err);
}

/* ---- all of it ---- */

/* Nothing, or nothing but comments: a document of its own behind them. */
static enum cv_status write_first(const struct work *w, const cJSON *tree,
                                  struct cv_buf *out)
{
    cv_buf_add(out, w->text.data, w->text.len);
    if (!ends_line(w, w->text.len)) {
        cv_buf_add_char(out, '\n');
    }
    cv_output_yaml(tree, out);
    return cv_buf_status(out, "the new kubeconfig", w->err);
}

static bool is_empty_list(const cJSON *list)
{
    return cJSON_IsArray(list) && list->child == NULL;
}

/* Does the new text read as what was meant? */
static bool reads_as(const struct work *w, const struct cv_buf *out,
                     cJSON *wanted)
{
    cJSON *tree = NULL;

    if (cv_yaml_parse(w->arena, cv_buf_bytes(out), &tree, NULL, NULL, NULL) !=
        CV_OK) {
        return false;
    }
    for (size_t i = 0; i < N_LISTS; i++) {
        if (is_empty_list(cJSON_GetObjectItemCaseSensitive(wanted, lists[i])) &&
            cJSON_IsNull(cJSON_GetObjectItemCaseSensitive(tree, lists[i]))) {
            cJSON_DeleteItemFromObjectCaseSensitive(wanted, lists[i]);
            cJSON_DeleteItemFromObjectCaseSensitive(tree, lists[i]);
        }
    }
    return cJSON_Compare(tree, wanted, true) != 0;
}

static enum cv_status produce(struct work *w, cJSON *tree, bool first,
                              struct cv_buf *out)
{
    enum cv_status s = CV_OK;

    for (size_t i = 0; i < N_LISTS; i++) {
        if (!change_list(w, tree, lists[i])) {
            return no_memory(w->err);
        }
    }
    if (first) {
        return write_first(w, tree, out);
    }
    if (cv_yaml_is_json(w->text)) {
        cv_json_write(tree, CV_JSON_PRETTY, out);
        cv_buf_add_char(out, '\n');
        return cv_buf_status(out, "the new kubeconfig", w->err);
    }
    for (size_t i = 0; s == CV_OK && i < N_LISTS; i++) {
        s = gather(w, lists[i]);
    }
    return s == CV_OK ? apply(w, out) : s;
}

enum cv_status cv_merge_text(struct cv_arena *arena, struct cv_bytes text,
                             cJSON *tree, const struct cv_merge_edit *edits,
                             size_t n, struct cv_buf *out, struct cv_err *err)
{
    struct cv_arena *before = cv_json_use(arena);
    struct work *w = cv_arena_alloc(arena, sizeof(*w), err);
    bool first = tree->child == NULL && !cv_yaml_is_json(text);
    enum cv_status s = w == NULL ? CV_INTERNAL : CV_OK;

    if (s == CV_OK) {
        w->arena = arena;
        w->text = text;
        w->edits = edits;
        w->n_edits = n;
        w->err = err;
        s = first && (!cv_json_add_str(tree, "apiVersion", "v1") ||
                      !cv_json_add_str(tree, "kind", "Config"))
                ? no_memory(err)
                : produce(w, tree, first, out);
    }
    if (s == CV_OK && !reads_as(w, out, tree)) {
        s = cv_fail(err, CV_INVALID,
                    "it is written in a way that cannot be changed piecewise");
    }
    if (s == CV_INVALID) {
        cv_err_hint(err, "write the entry to a file of its own with --output, "
                         "and name that in KUBECONFIG beside this one");
    }
    (void)cv_json_use(before);
    return s;
}
