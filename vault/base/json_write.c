#include "vault/base/json.h"
#include "vault/base/limits.h"
#include "vault/base/utf8.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define INTEGER_MAX 9007199254740992.0

struct writer {
    struct cv_buf *out;
    enum cv_json_style style;
    unsigned depth;
};

static void write_value(struct writer *w, const cJSON *value);

static void stick(struct writer *w, enum cv_status status)
{
    if (w->out->status == CV_OK) {
        w->out->status = status;
    }
}

static void write_escape(struct writer *w, uint32_t unit)
{
    static const char hex[] = "0123456789abcdef";
    char text[6] = {'\\',
                    'u',
                    hex[unit >> 12 & 15],
                    hex[unit >> 8 & 15],
                    hex[unit >> 4 & 15],
                    hex[unit & 15]};
    cv_buf_add(w->out, text, sizeof(text));
}

static void write_point(struct writer *w, uint32_t point)
{
    static const char names[] = "\"\\\b\f\n\r\t";
    static const char letters[] = "\"\\bfnrt";
    const char *name = point < 0x80 ? strchr(names, (int)point) : NULL;
    if (name != NULL) {
        char text[2] = {'\\', letters[name - names]};
        cv_buf_add(w->out, text, sizeof(text));
    } else if (point > 0xffff) {
        write_escape(w, 0xd800 + ((point - 0x10000) >> 10));
        write_escape(w, 0xdc00 + ((point - 0x10000) & 0x3ff));
    } else {
        write_escape(w, point);
    }
}

static bool is_plain(uint8_t byte)
{
    return byte >= 0x20 && byte < 0x7f && byte != '"' && byte != '\\';
}

static void write_string(struct writer *w, const char *text)
{
    if (text == NULL) {
        stick(w, CV_INVALID);
        return;
    }
    const uint8_t *p = (const uint8_t *)text;
    size_t left = strlen(text);
    cv_buf_add_char(w->out, '"');
    while (left > 0 && w->out->status == CV_OK) {
        size_t n = 0;
        while (n < left && is_plain(p[n])) {
            n++;
        }
        cv_buf_add(w->out, p, n);
        if (n == 0) {
            uint32_t point = 0;
            n = cv_utf8_next(p, left, &point);
            if (n == 0) {
                stick(w, CV_INVALID);
                return;
            }
            write_point(w, point);
        }
        p += n;
        left -= n;
    }
    cv_buf_add_char(w->out, '"');
}

static void write_number(struct writer *w, double value)
{
    if (!isfinite(value)) {
        stick(w, CV_INVALID);
        return;
    }
    if (fabs(value) <= INTEGER_MAX && value == (double)(int64_t)value) {
        cv_buf_add_format(w->out, "%" PRId64, (int64_t)value);
        return;
    }
    if (w->style == CV_JSON_CANONICAL) {
        stick(w, CV_INVALID);
        return;
    }
    /* The fewest digits that read back as the same. */
    char text[32] = "";
    for (int digits = 15; digits <= 17; digits++) {
        if (snprintf(text, sizeof(text), "%.*g", digits, value) < 0 ||
            strtod(text, NULL) == value) {
            break;
        }
    }
    cv_buf_add_str(w->out, text);
}

static void new_line(struct writer *w)
{
    if (w->style == CV_JSON_PRETTY) {
        cv_buf_add_format(w->out, "\n%*s", (int)(2 * w->depth), "");
    }
}

static void write_member(struct writer *w, const cJSON *member, bool object)
{
    new_line(w);
    if (object) {
        write_string(w, member->string);
        cv_buf_add_str(w->out, w->style == CV_JSON_PRETTY ? ": " : ":");
    }
    write_value(w, member);
}

static int by_key(const void *a, const void *b)
{
    const cJSON *const *x = a;
    const cJSON *const *y = b;
    return strcmp((*x)->string, (*y)->string);
}

/* The members in the order of their keys' bytes, which for UTF-8 is that of the
 * code points. The array holds pointers only. */
static const cJSON **sorted(struct writer *w, const cJSON *object, size_t *n)
{
    *n = 0;
    for (const cJSON *m = object->child; m != NULL; m = m->next) {
        (*n)++;
    }
    const cJSON **all = calloc(*n, sizeof(const cJSON *));
    if (all == NULL) {
        stick(w, CV_INTERNAL);
        return NULL;
    }
    size_t i = 0;
    bool bad = false;
    for (const cJSON *m = object->child; m != NULL; m = m->next) {
        all[i++] = m;
        bad = bad || m->string == NULL;
    }
    if (!bad) {
        qsort(all, *n, sizeof(const cJSON *), by_key);
        for (i = 1; i < *n && !bad; i++) {
            bad = strcmp(all[i - 1]->string, all[i]->string) == 0;
        }
    }
    if (bad) {
        stick(w, CV_INVALID);
        free(all);
        return NULL;
    }
    return all;
}

static void write_sorted(struct writer *w, const cJSON *object)
{
    size_t n = 0;
    const cJSON **all = sorted(w, object, &n);
    for (size_t i = 0; all != NULL && i < n && w->out->status == CV_OK; i++) {
        if (i > 0) {
            cv_buf_add_char(w->out, ',');
        }
        write_member(w, all[i], true);
    }
    free(all);
}

static void write_members(struct writer *w, const cJSON *value, bool object)
{
    for (const cJSON *m = value->child; m != NULL && w->out->status == CV_OK;
         m = m->next) {
        if (m != value->child) {
            cv_buf_add_char(w->out, ',');
        }
        write_member(w, m, object);
    }
}

static void write_container(struct writer *w, const cJSON *value, bool object)
{
    if (w->depth == CV_LIMIT_JSON_DEPTH) {
        stick(w, CV_INVALID);
        return;
    }
    cv_buf_add_char(w->out, object ? '{' : '[');
    if (value->child != NULL) {
        w->depth++;
        if (object && w->style == CV_JSON_CANONICAL) {
            write_sorted(w, value);
        } else {
            write_members(w, value, object);
        }
        w->depth--;
        new_line(w);
    }
    cv_buf_add_char(w->out, object ? '}' : ']');
}

static void write_value(struct writer *w, const cJSON *value)
{
    switch (value == NULL ? cJSON_Invalid : value->type & 0xff) {
    case cJSON_False:
        cv_buf_add_str(w->out, "false");
        break;
    case cJSON_True:
        cv_buf_add_str(w->out, "true");
        break;
    case cJSON_NULL:
        cv_buf_add_str(w->out, "null");
        break;
    case cJSON_Number:
        write_number(w, value->valuedouble);
        break;
    case cJSON_String:
        write_string(w, value->valuestring);
        break;
    case cJSON_Array:
        write_container(w, value, false);
        break;
    case cJSON_Object:
        write_container(w, value, true);
        break;
    default:
        stick(w, CV_INVALID);
        break;
    }
}

void cv_json_write(const cJSON *value, enum cv_json_style style,
                   struct cv_buf *out)
{
    struct writer w = {out, style, 0};
    write_value(&w, value);
}
