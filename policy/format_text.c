/* Writing. Depth is bounded by the reader (CV_LIMIT_JSON_DEPTH). */
#include "policy/format_internal.h"

#include "vault/base/limits.h"

#include <string.h>
#include <strings.h>

#define WIDTH 100
#define KEYS 64

static void spaces(struct cv_buf *out, size_t n)
{
    for (size_t i = 0; i < n; i++)
        cv_buf_add_char(out, ' ');
}

static void comment(const struct cv_format *f, size_t n, struct cv_buf *out)
{
    const struct cv_bytes *text = &f->comments[n].text;
    cv_buf_add(out, text->data, text->len);
}

/* Would a reader take it for this very string, without quotes? Said of plain
 * words only; everything else is quoted. */
static bool is_plain(const char *text)
{
    static const char *const words[] = {"true", "false", "null", "yes", "no",
                                        "on",   "off",   "y",    "n"};
    static const char letters[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
    size_t len = strlen(text);
    size_t digits = strspn(text, "0123456789");
    /* 8h, 30d: durations. */
    if (digits > 0)
        return digits + 1 == len && strchr("smhd", text[digits]) != NULL;
    if (len == 0 || strchr(letters, text[0]) == NULL ||
        strspn(text, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
                     "0123456789._/-") != len)
        return false;
    for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
        if (strcasecmp(text, words[i]) == 0)
            return false;
    }
    return true;
}

static void string(const char *text, struct cv_buf *out)
{
    if (is_plain(text)) {
        cv_buf_add_str(out, text);
        return;
    }
    cv_buf_add_char(out, '"');
    for (; *text != '\0'; text++) {
        if (*text == '\n')
            cv_buf_add_str(out, "\\n");
        else if (*text == '\t')
            cv_buf_add_str(out, "\\t");
        else if (*text == '"' || *text == '\\') {
            cv_buf_add_char(out, '\\');
            cv_buf_add_char(out, *text);
        } else {
            cv_buf_add_char(out, *text);
        }
    }
    cv_buf_add_char(out, '"');
}

static void scalar(const cJSON *value, struct cv_buf *out)
{
    if (cJSON_IsString(value))
        string(value->valuestring, out);
    else if (cJSON_IsNumber(value))
        cv_buf_add_format(out, "%.0f", value->valuedouble);
    else if (cJSON_IsBool(value))
        cv_buf_add_str(out, cJSON_IsTrue(value) ? "true" : "false");
    else
        cv_buf_add_str(out, "null");
}

static bool is_list(const cJSON *value)
{
    return cJSON_IsArray(value) || cJSON_IsObject(value);
}

static void flow(const cJSON *value, struct cv_buf *out)
{
    const cJSON *item;
    bool map = cJSON_IsObject(value);
    if (!is_list(value)) {
        scalar(value, out);
        return;
    }
    cv_buf_add_char(out, map ? '{' : '[');
    cJSON_ArrayForEach(item, value)
    {
        if (map) {
            string(item->string, out);
            cv_buf_add_str(out, ": ");
        }
        flow(item, out);
        if (item->next != NULL)
            cv_buf_add_str(out, ", ");
    }
    cv_buf_add_char(out, map ? '}' : ']');
}

static bool has_comments(const struct cv_format *f, size_t n)
{
    for (size_t i = n + 1; i < f->nodes[n].end; i++) {
        if (f->nodes[i].n_lead > 0 || f->nodes[i].trail != CV_FORMAT_NONE)
            return true;
    }
    return false;
}

/* On one line, where it fits behind `column` characters. */
static bool one_line(const struct cv_format *f, size_t n, size_t column,
                     struct cv_buf *out)
{
    struct cv_buf text;
    if (is_list(f->nodes[n].value) && has_comments(f, n))
        return false;
    cv_buf_init(&text, NULL, CV_MIB(8));
    flow(f->nodes[n].value, &text);
    bool fits = !is_list(f->nodes[n].value) || column + text.len <= WIDTH;
    if (fits)
        cv_buf_add_str(out, cv_buf_text(&text));
    cv_buf_wipe(&text);
    return fits;
}

static void trail(const struct cv_format *f, size_t n, struct cv_buf *out)
{
    if (f->nodes[n].trail != CV_FORMAT_NONE) {
        cv_buf_add_str(out, "  ");
        comment(f, f->nodes[n].trail, out);
    }
    cv_buf_add_char(out, '\n');
}

/* An empty line before a key of the file or a rule stays. */
static void part(const struct cv_format *f, size_t n, struct cv_buf *out)
{
    if (f->nodes[n].parted)
        cv_buf_add_char(out, '\n');
}

static void lead(const struct cv_format *f, size_t n, size_t indent,
                 struct cv_buf *out)
{
    const struct cv_format_node *node = &f->nodes[n];
    for (size_t i = 0; i < node->n_lead; i++) {
        spaces(out, indent);
        comment(f, node->lead + i, out);
        cv_buf_add_char(out, '\n');
    }
}

/* The order of keys: of the file, of a rule. Others stay as they are. */
static size_t rank(const char *key, bool rule)
{
    static const char *const file[] = {"apiVersion", "kind",  "metadata",
                                       "keys",       "rules", NULL};
    static const char *const in_rule[] = {
        "name", "effect", "break_glass", "subjects", "actions", "entries",
        "when", "grant",  "limit",       "require",  NULL};
    const char *const *words = rule ? in_rule : file;
    size_t n = 0;
    while (words[n] != NULL && strcmp(words[n], key) != 0)
        n++;
    return n;
}

/* The members of the file or of a rule in the order in which they are written:
 * the reader knows fewer than KEYS. */
static size_t members(const struct cv_format *f, size_t n, bool rule,
                      size_t out[KEYS])
{
    size_t count = 0;
    for (size_t i = n + 1; i < f->nodes[n].end && count < KEYS;
         i = f->nodes[i].end) {
        size_t at = count++;
        size_t own = rank(f->nodes[i].value->string, rule);
        while (at > 0 &&
               rank(f->nodes[out[at - 1]].value->string, rule) > own) {
            out[at] = out[at - 1];
            at--;
        }
        out[at] = i;
    }
    return count;
}

static void block(const struct cv_format *f, size_t n, size_t indent,
                  size_t depth, struct cv_buf *out);

/* `key: value`; what stands before it on its line is written already. */
static void member(const struct cv_format *f, size_t n, size_t indent,
                   size_t depth, struct cv_buf *out)
{
    size_t before = out->len;
    const struct cv_format_node *node = &f->nodes[n];
    string(node->value->string, out);
    cv_buf_add_char(out, ':');
    size_t column = indent + (out->len - before) + 1;
    bool rules = depth == 0 && cJSON_IsArray(node->value) &&
                 strcmp(node->value->string, "rules") == 0 &&
                 node->value->child != NULL;
    size_t mark = out->len;
    if (!rules) {
        cv_buf_add_char(out, ' ');
        if (one_line(f, n, column, out)) {
            trail(f, n, out);
            return;
        }
        out->len = mark;
        out->data[mark] = '\0';
    }
    trail(f, n, out);
    block(f, n, cJSON_IsArray(node->value) ? indent : indent + 2, depth + 1,
          out);
}

/* `- value` */
static void item(const struct cv_format *f, size_t n, size_t indent,
                 size_t depth, struct cv_buf *out)
{
    size_t keys[KEYS];
    const cJSON *value = f->nodes[n].value;
    if (depth == 1)
        part(f, n, out);
    lead(f, n, indent, out);
    if (cJSON_IsObject(value) && value->child != NULL &&
        (depth == 1 || has_comments(f, n))) {
        size_t count = members(f, n, true, keys);
        /* What was behind all of it on its one line has no such place now. */
        if (f->nodes[n].trail != CV_FORMAT_NONE) {
            spaces(out, indent);
            comment(f, f->nodes[n].trail, out);
            cv_buf_add_char(out, '\n');
        }
        for (size_t i = 0; i < count; i++) {
            lead(f, keys[i], i == 0 ? indent : indent + 2, out);
            spaces(out, indent);
            cv_buf_add_str(out, i == 0 ? "- " : "  ");
            member(f, keys[i], indent + 2, depth + 1, out);
        }
        return;
    }
    spaces(out, indent);
    cv_buf_add_str(out, "- ");
    flow(value, out);
    trail(f, n, out);
}

/* What is in a mapping or list, each on lines of its own. */
static void block(const struct cv_format *f, size_t n, size_t indent,
                  size_t depth, struct cv_buf *out)
{
    size_t keys[KEYS];
    if (cJSON_IsArray(f->nodes[n].value)) {
        for (size_t i = n + 1; i < f->nodes[n].end; i = f->nodes[i].end)
            item(f, i, indent, depth, out);
        return;
    }
    if (depth != 0) {
        for (size_t i = n + 1; i < f->nodes[n].end; i = f->nodes[i].end) {
            lead(f, i, indent, out);
            spaces(out, indent);
            member(f, i, indent, depth, out);
        }
        return;
    }
    size_t count = members(f, n, false, keys);
    for (size_t i = 0; i < count; i++) {
        if (i > 0)
            part(f, keys[i], out);
        lead(f, keys[i], indent, out);
        member(f, keys[i], indent, depth, out);
    }
}

void cv_format_write(const struct cv_format *f, struct cv_buf *out)
{
    for (size_t i = 0; i < f->header; i++) {
        comment(f, i, out);
        cv_buf_add_str(out, i + 1 == f->header ? "\n\n" : "\n");
    }
    block(f, 0, 0, 0, out);
    for (size_t i = f->tail; i < f->n_comments; i++) {
        comment(f, i, out);
        cv_buf_add_char(out, '\n');
    }
}
