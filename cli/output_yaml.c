#include "cli/output_yaml.h"

#include "vault/base/limits.h"
#include "vault/base/utf8.h"

#include <ctype.h>
#include <string.h>
#include <strings.h>

#define EXACT_MAX 9007199254740992.0 /* 2^53 */

/* Words that some YAML 1.1 reader takes for a boolean, null or a number. */
static bool is_reserved(const char *text)
{
    static const char *const words[] = {
        "true", "false", "yes",  "no",  "on",  "off",
        "y",    "n",     "null", "nan", "inf", NULL,
    };

    for (size_t i = 0; words[i] != NULL; i++) {
        if (strcasecmp(text, words[i]) == 0) {
            return true;
        }
    }
    return false;
}

static bool is_plain(const char *text)
{
    size_t len = strlen(text);

    if (len == 0 || !isalpha((unsigned char)text[0]) || is_reserved(text)) {
        return false;
    }
    return strspn(text, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
                        "0123456789._/+=-") == len;
}

static void add_escape(struct cv_buf *out, uint32_t point)
{
    switch (point) {
    case '\n':
        cv_buf_add_str(out, "\\n");
        break;
    case '\t':
        cv_buf_add_str(out, "\\t");
        break;
    case '\r':
        cv_buf_add_str(out, "\\r");
        break;
    case '"':
        cv_buf_add_str(out, "\\\"");
        break;
    case '\\':
        cv_buf_add_str(out, "\\\\");
        break;
    default:
        cv_buf_add_format(out,
                          point < 0x100     ? "\\x%02x"
                          : point < 0x10000 ? "\\u%04x"
                                            : "\\U%08x",
                          point);
    }
}

static void add_string(struct cv_buf *out, const char *text)
{
    const uint8_t *p = (const uint8_t *)text;
    size_t len = strlen(text);

    if (is_plain(text)) {
        cv_buf_add(out, text, len);
        return;
    }
    cv_buf_add_char(out, '"');
    while (len > 0) {
        uint32_t point = 0;
        size_t n = cv_utf8_next(p, len, &point);

        if (n == 1 && point >= ' ' && point < 0x7f && point != '"' &&
            point != '\\') {
            cv_buf_add_char(out, (char)point);
        } else {
            add_escape(out, n > 0 ? point : 0xfffd);
        }
        n = n > 0 ? n : 1;
        p += n;
        len -= n;
    }
    cv_buf_add_char(out, '"');
}

static bool is_whole(double n)
{
    return n >= -EXACT_MAX && n <= EXACT_MAX && n == (double)(int64_t)n;
}

static void add_scalar(struct cv_buf *out, const cJSON *v)
{
    if (cJSON_IsString(v)) {
        add_string(out, v->valuestring);
    } else if (cJSON_IsBool(v)) {
        cv_buf_add_str(out, cJSON_IsTrue(v) ? "true" : "false");
    } else if (cJSON_IsNumber(v) && is_whole(v->valuedouble)) {
        cv_buf_add_format(out, "%.0f", v->valuedouble);
    } else if (cJSON_IsNumber(v)) {
        cv_buf_add_format(out, "%.17g", v->valuedouble);
    } else if (cJSON_IsArray(v)) {
        cv_buf_add_str(out, "[]");
    } else if (cJSON_IsObject(v)) {
        cv_buf_add_str(out, "{}");
    } else {
        cv_buf_add_str(out, "null");
    }
}

static void indent(struct cv_buf *out, int depth)
{
    for (int i = 0; i < depth; i++) {
        cv_buf_add_str(out, "  ");
    }
}

/* Writes the members of `v`, each on lines of its own at `depth`; the first
 * line of the first one is already indented where `inl` says so. Recursion is
 * bounded by the depth that the parser allows. */
static void add_members(struct cv_buf *out, const cJSON *v, int depth, bool inl)
{
    const cJSON *item;

    if (depth > CV_LIMIT_JSON_DEPTH) {
        out->status = CV_INVALID;
        return;
    }
    cJSON_ArrayForEach(item, v)
    {
        bool nested = item->child != NULL;

        if (!inl) {
            indent(out, depth);
        }
        inl = false;
        if (cJSON_IsObject(v)) {
            add_string(out, item->string);
            cv_buf_add_char(out, ':');
            cv_buf_add_char(out, nested ? '\n' : ' ');
        } else {
            cv_buf_add_str(out, "- ");
        }
        if (!nested) {
            add_scalar(out, item);
            cv_buf_add_char(out, '\n');
        } else if (cJSON_IsObject(v)) {
            add_members(out, item, depth + (cJSON_IsObject(item) ? 1 : 0),
                        false);
        } else {
            add_members(out, item, depth + 1, true);
        }
    }
}

void cv_output_yaml(const cJSON *value, struct cv_buf *out)
{
    if (value == NULL || value->child == NULL) {
        add_scalar(out, value);
        cv_buf_add_char(out, '\n');
        return;
    }
    add_members(out, value, 0, false);
}
