#include "policy/reader_internal.h"

#include "vault/base/clock.h"
#include "vault/base/limits.h"
#include "vault/base/name.h"

#include <stdio.h>
#include <string.h>

enum cv_status cv_reader_begin(struct cv_bytes text,
                               struct cv_policy_notes *notes, cJSON **tree,
                               struct cv_yaml_marks **marks, struct cv_err *err)
{
    struct cv_yaml_mark bad = {0, 0};
    enum cv_status st = cv_yaml_parse_most(NULL, text, CV_LIMIT_POLICY_VALUES,
                                           tree, marks, &bad, err);
    if (st != CV_OK && notes != NULL) {
        notes->error_line = bad.line;
        notes->error_column = bad.column;
    }
    return st;
}

enum cv_status cv_reader_refuse(struct cv_reader *r, const cJSON *node,
                                bool at_key, const char *fmt, ...)
{
    char text[CV_ERR_TEXT_LEN];
    struct cv_yaml_mark m = at_key ? cv_yaml_marks_key(r->marks, node)
                                   : cv_yaml_marks_value(r->marks, node);
    va_list args;
    va_start(args, fmt);
    (void)vsnprintf(text, sizeof(text), fmt, args);
    va_end(args);
    if (r->notes != NULL) {
        r->notes->error_line = m.line;
        r->notes->error_column = m.column;
    }
    return cv_fail(r->err, CV_INVALID, "line %u, column %u: %s%s", m.line,
                   m.column, r->where, text);
}

unsigned cv_reader_line(const struct cv_reader *r, const cJSON *node)
{
    return cv_yaml_marks_value(r->marks, node).line;
}

/* How many letters must be changed, put in or left out to make `b` of `a`;
 * words are short. */
static size_t distance(const char *a, const char *b)
{
    size_t row[32];
    size_t la = strlen(a);
    size_t lb = strlen(b);
    if (la >= 32 || lb >= 32)
        return 32;
    for (size_t j = 0; j <= lb; j++)
        row[j] = j;
    for (size_t i = 1; i <= la; i++) {
        size_t diagonal = row[0];
        row[0] = i;
        for (size_t j = 1; j <= lb; j++) {
            size_t cost = diagonal + (a[i - 1] == b[j - 1] ? 0 : 1);
            diagonal = row[j];
            if (row[j] + 1 < cost)
                cost = row[j] + 1;
            if (row[j - 1] + 1 < cost)
                cost = row[j - 1] + 1;
            row[j] = cost;
        }
    }
    return row[lb];
}

/* A hint that lists what there is, the nearest first where one is near. */
static void hint_words(struct cv_reader *r, const char *given,
                       const char *const *words, size_t n)
{
    char all[CV_ERR_HINT_LEN] = "";
    const char *near = NULL;
    size_t best = 3;
    size_t len = 0;
    for (size_t i = 0; i < n; i++) {
        size_t d = distance(given, words[i]);
        if (d < best) {
            best = d;
            near = words[i];
        }
        int put = snprintf(all + len, sizeof(all) - len, "%s%s",
                           i > 0 ? ", " : "", words[i]);
        if (put > 0 && len + (size_t)put < sizeof(all))
            len += (size_t)put;
    }
    if (near != NULL)
        cv_err_hint(r->err, "did you mean \"%s\"?", near);
    else
        cv_err_hint(r->err, "there are: %s", all);
}

static const struct cv_reader_field *field_of(const struct cv_reader_field *f,
                                              size_t n, const char *key)
{
    for (size_t i = 0; i < n; i++) {
        if (strcmp(f[i].key, key) == 0)
            return &f[i];
    }
    return NULL;
}

static enum cv_status unknown_key(struct cv_reader *r, const cJSON *node,
                                  const char *what,
                                  const struct cv_reader_field *f, size_t n)
{
    char shown[40];
    const char *words[32];
    for (size_t i = 0; i < n && i < 32; i++)
        words[i] = f[i].key;
    cv_err_quote(shown, sizeof(shown), node->string, strlen(node->string));
    enum cv_status st = cv_reader_refuse(
        r, node, true, "%s has an unknown key \"%s\"", what, shown);
    hint_words(r, node->string, words, n < 32 ? n : 32);
    return st;
}

enum cv_status cv_reader_mapping(struct cv_reader *r, const cJSON *node,
                                 const char *what,
                                 const struct cv_reader_field *f, size_t n)
{
    for (size_t i = 0; i < n; i++)
        *f[i].out = NULL;
    if (!cJSON_IsObject(node))
        return cv_reader_refuse(r, node, false,
                                "%s must be a mapping (key: value)", what);
    const cJSON *member;
    cJSON_ArrayForEach(member, node)
    {
        const struct cv_reader_field *field = field_of(f, n, member->string);
        if (field == NULL)
            return unknown_key(r, member, what, f, n);
        *field->out = member;
    }
    for (size_t i = 0; i < n; i++) {
        if (f[i].required && *f[i].out == NULL)
            return cv_reader_refuse(r, node, false, "%s lacks \"%s\"", what,
                                    f[i].key);
    }
    return CV_OK;
}

enum cv_status cv_reader_text(struct cv_reader *r, const cJSON *node,
                              const char *what, size_t max, const char **out)
{
    if (!cJSON_IsString(node)) {
        enum cv_status st =
            cv_reader_refuse(r, node, false, "%s must be a text", what);
        if (cJSON_IsNumber(node) || cJSON_IsBool(node))
            cv_err_hint(r->err, "put it in quotes");
        return st;
    }
    const char *text = node->valuestring;
    size_t len = strlen(text);
    if (len == 0)
        return cv_reader_refuse(r, node, false, "%s is empty", what);
    if (len > max)
        return cv_reader_refuse(r, node, false,
                                "%s has %zu bytes, over the limit of %zu", what,
                                len, max);
    if (!cv_name_is_printable((struct cv_bytes){(const uint8_t *)text, len}))
        return cv_reader_refuse(r, node, false,
                                "%s has characters that do not print", what);
    *out = text;
    return CV_OK;
}

enum cv_status cv_reader_word(struct cv_reader *r, const cJSON *node,
                              const char *what, const char *const *words,
                              unsigned *out)
{
    char shown[40];
    const char *text = "";
    enum cv_status st = cv_reader_text(r, node, what, CV_LIMIT_URL, &text);
    if (st != CV_OK)
        return st;
    unsigned n = 0;
    for (; words[n] != NULL; n++) {
        if (strcmp(words[n], text) == 0) {
            *out = n;
            return CV_OK;
        }
    }
    cv_err_quote(shown, sizeof(shown), text, strlen(text));
    st = cv_reader_refuse(r, node, false, "%s cannot be \"%s\"", what, shown);
    hint_words(r, text, words, n);
    return st;
}

enum cv_status cv_reader_integer(struct cv_reader *r, const cJSON *node,
                                 const char *what, int64_t least, int64_t most,
                                 int64_t *out)
{
    /* Numbers beyond 2^53 do not come this far as numbers. */
    double d = node->valuedouble;
    int64_t v = (int64_t)d;
    if (!cJSON_IsNumber(node) || (double)v != d || v < least || v > most)
        return cv_reader_refuse(r, node, false,
                                "%s must be a whole number from %lld to %lld",
                                what, (long long)least, (long long)most);
    *out = v;
    return CV_OK;
}

enum cv_status cv_reader_bool(struct cv_reader *r, const cJSON *node,
                              const char *what, bool *out)
{
    if (!cJSON_IsBool(node))
        return cv_reader_refuse(r, node, false, "%s must be true or false",
                                what);
    *out = cJSON_IsTrue(node);
    return CV_OK;
}

enum cv_status cv_reader_duration(struct cv_reader *r, const cJSON *node,
                                  const char *what, int64_t *out)
{
    if (!cJSON_IsString(node) ||
        cv_clock_parse_duration(node->valuestring, false, out, NULL) != CV_OK ||
        *out < 1)
        return cv_reader_refuse(
            r, node, false, "%s must be a duration such as 90s, 15m, 8h or 30d",
            what);
    return CV_OK;
}

enum cv_status cv_reader_list(struct cv_reader *r, const cJSON *node,
                              const char *what, size_t max, size_t *n)
{
    if (!cJSON_IsArray(node))
        return cv_reader_refuse(r, node, false, "%s must be a list, [...]",
                                what);
    const cJSON *item;
    *n = 0;
    cJSON_ArrayForEach(item, node)(*n)++;
    if (*n == 0) {
        enum cv_status st =
            cv_reader_refuse(r, node, false, "%s is an empty list", what);
        cv_err_hint(r->err, "leave \"%s\" out, or name something", what);
        return st;
    }
    if (*n > max)
        return cv_reader_refuse(r, node, false,
                                "%s has %zu items, over the limit of %zu", what,
                                *n, max);
    return CV_OK;
}
