#include "vault/base/limits.h"
#include "vault/yaml/yaml_internal.h"

#include <stdlib.h>
#include <string.h>

struct entry {
    const cJSON *node;
    struct cv_yaml_mark value;
    struct cv_yaml_mark key;
};

struct cv_yaml_marks {
    struct entry *entries;
    size_t n;
    size_t size;
};

struct cv_yaml_marks *cv_yaml_marks_new(void)
{
    return calloc(1, sizeof(struct cv_yaml_marks));
}

void cv_yaml_marks_free(struct cv_yaml_marks *marks)
{
    if (marks != NULL) {
        free(marks->entries);
        free(marks);
    }
}

bool cv_yaml_marks_add(struct cv_yaml_marks *marks, const cJSON *node,
                       struct cv_yaml_mark value, struct cv_yaml_mark key)
{
    if (marks->n == marks->size) {
        size_t size = marks->size == 0 ? 64 : 2 * marks->size;
        struct entry *grown =
            reallocarray(marks->entries, size, sizeof(*grown));
        if (grown == NULL) {
            return false;
        }
        marks->entries = grown;
        marks->size = size;
    }
    marks->entries[marks->n++] = (struct entry){node, value, key};
    return true;
}

static int compare(const void *a, const void *b)
{
    uintptr_t x = (uintptr_t)((const struct entry *)a)->node;
    uintptr_t y = (uintptr_t)((const struct entry *)b)->node;
    return x < y ? -1 : x > y;
}

void cv_yaml_marks_sort(struct cv_yaml_marks *marks)
{
    if (marks->n > 0) {
        qsort(marks->entries, marks->n, sizeof(*marks->entries), compare);
    }
}

struct cv_yaml_mark cv_yaml_marks_seek(const struct cv_yaml_marks *marks,
                                       const cJSON *node)
{
    for (size_t i = 0; i < marks->n; i++) {
        if (marks->entries[i].node == node) {
            return marks->entries[i].key;
        }
    }
    return (struct cv_yaml_mark){0, 0};
}

static const struct entry *find(const struct cv_yaml_marks *marks,
                                const cJSON *node)
{
    if (marks == NULL || marks->n == 0 || node == NULL) {
        return NULL;
    }
    struct entry wanted = {.node = node};
    return bsearch(&wanted, marks->entries, marks->n, sizeof(wanted), compare);
}

struct cv_yaml_mark cv_yaml_marks_value(const struct cv_yaml_marks *marks,
                                        const cJSON *node)
{
    const struct entry *e = find(marks, node);
    return e == NULL ? (struct cv_yaml_mark){0, 0} : e->value;
}

struct cv_yaml_mark cv_yaml_marks_key(const struct cv_yaml_marks *marks,
                                      const cJSON *node)
{
    const struct entry *e = find(marks, node);
    return e == NULL ? (struct cv_yaml_mark){0, 0} : e->key;
}

/* Walking a JSON text and the tree made of it side by side. The text is known
 * to be right, so only what tells values apart is looked at. */
struct walk {
    struct cv_yaml_marks *marks;
    struct {
        const cJSON *next; /* the child whose value comes next */
        bool object;
    } levels[CV_LIMIT_JSON_DEPTH + 1];
    size_t depth;
    struct cv_yaml_mark at;
    struct cv_yaml_mark key;
    bool key_next; /* the next string is a key */
};

/* Steps over the string that starts at text.data[i]; returns the index of its
 * closing quote. */
static size_t skip_string(struct walk *w, struct cv_bytes text, size_t i)
{
    for (i++; i < text.len && text.data[i] != '"'; i++) {
        bool inside = (text.data[i] & 0xc0) == 0x80;
        w->at.column += !inside;
        if (text.data[i] == '\\') {
            i++;
            w->at.column++;
        }
    }
    w->at.column++;
    return i;
}

/* A value starts here: it is the next child of the innermost container. */
static bool begin_value(struct walk *w, bool container, bool object)
{
    const cJSON *node = w->levels[w->depth].next;
    if (node == NULL) {
        return true;
    }
    struct cv_yaml_mark key = w->levels[w->depth].object ? w->key : w->at;
    w->levels[w->depth].next = node->next;
    if (container && w->depth < CV_LIMIT_JSON_DEPTH) {
        w->depth++;
        w->levels[w->depth].next = node->child;
        w->levels[w->depth].object = object;
    }
    return cv_yaml_marks_add(w->marks, node, w->at, key);
}

/* One token at text.data[*i]; leaves *i at its last byte. */
static bool token(struct walk *w, struct cv_bytes text, size_t *i)
{
    bool ok = true;
    uint8_t c = text.data[*i];
    switch (c) {
    case '{':
    case '[':
        ok = begin_value(w, true, c == '{');
        w->key_next = c == '{';
        break;
    case '}':
    case ']':
        w->depth -= w->depth > 0;
        break;
    case ',':
        w->key_next = w->levels[w->depth].object;
        break;
    case ':':
        w->key_next = false;
        break;
    case '"':
        if (w->key_next) {
            w->key = w->at;
        } else {
            ok = begin_value(w, false, false);
        }
        *i = skip_string(w, text, *i);
        break;
    default: /* a number or a word */
        ok = begin_value(w, false, false);
        while (*i + 1 < text.len &&
               strchr(" \t\r\n,]}", text.data[*i + 1]) == NULL) {
            (*i)++;
            w->at.column++;
        }
    }
    return ok;
}

bool cv_yaml_marks_json(struct cv_yaml_marks *marks, struct cv_bytes text,
                        const cJSON *root)
{
    struct walk w = {.marks = marks, .at = {1, 1}};
    w.levels[0].next = root;
    for (size_t i = 0; i < text.len; i++) {
        uint8_t c = text.data[i];
        if (c == '\n') {
            w.at.line++;
            w.at.column = 1;
            continue;
        }
        if (c != ' ' && c != '\t' && c != '\r' && !token(&w, text, &i)) {
            return false;
        }
        w.at.column++;
    }
    return true;
}
