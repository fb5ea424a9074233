#include "vault/relay/fields_internal.h"

#include "vault/base/limits.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

void cv_fields_wipe(struct cv_fields *f)
{
    free(f->text);
    free(f->list);
    memset(f, 0, sizeof(*f));
}

void cv_fields_reset(struct cv_fields *f)
{
    f->n = 0;
    f->len = 0;
    f->failed = false;
}

/* Room for `more` bytes of text. */
static bool grow_text(struct cv_fields *f, size_t more)
{
    size_t want = f->len + more;
    size_t size = f->size == 0 ? 1024 : f->size;
    char *text;

    if (f->failed || want > CV_LIMIT_RELAY_HEAD * 2) {
        f->failed = true;
        return false;
    }
    if (want <= f->size) {
        return true;
    }
    while (size < want) {
        size *= 2;
    }
    text = realloc(f->text, size);
    if (text == NULL) {
        f->failed = true;
        return false;
    }
    f->text = text;
    f->size = (uint32_t)size;
    return true;
}

static struct cv_field *grow_list(struct cv_fields *f)
{
    if (f->n == CV_LIMIT_RELAY_HEADERS) {
        f->failed = true;
        return NULL;
    }
    if (f->n == f->list_size) {
        uint32_t size = f->list_size == 0 ? 16 : f->list_size * 2;
        struct cv_field *list = realloc(f->list, size * sizeof(*list));

        if (list == NULL) {
            f->failed = true;
            return NULL;
        }
        f->list = list;
        f->list_size = size;
    }
    return &f->list[f->n];
}

uint32_t cv_fields_keep(struct cv_fields *f, const char *text, size_t len)
{
    uint32_t at = f->len;

    if (!grow_text(f, len + 1)) {
        return 0;
    }
    if (len > 0) {
        memcpy(f->text + at, text, len);
    }
    f->text[at + len] = '\0';
    f->len += (uint32_t)len + 1;
    return at;
}

void cv_fields_add(struct cv_fields *f, const char *name, size_t name_len,
                   const char *value, size_t value_len)
{
    struct cv_field *field = grow_list(f);

    /* Both at once: a field is never there by half. */
    if (field == NULL || !grow_text(f, name_len + value_len + 2)) {
        return;
    }
    field->name = cv_fields_keep(f, name, name_len);
    field->name_len = (uint32_t)name_len;
    field->value = cv_fields_keep(f, value, value_len);
    field->value_len = (uint32_t)value_len;
    for (uint32_t i = 0; i < field->name_len; i++) {
        char *c = &f->text[field->name + i];

        if (*c >= 'A' && *c <= 'Z') {
            *c = (char)(*c - 'A' + 'a');
        }
    }
    f->n++;
}

void cv_fields_add_text(struct cv_fields *f, const char *name,
                        const char *value)
{
    cv_fields_add(f, name, strlen(name), value, strlen(value));
}

bool cv_fields_is(const struct cv_fields *f, size_t i, const char *name)
{
    return f->list[i].name_len == strlen(name) &&
           memcmp(cv_fields_name(f, i), name, f->list[i].name_len) == 0;
}

int cv_fields_find(const struct cv_fields *f, const char *name)
{
    for (uint32_t i = 0; i < f->n; i++) {
        if (cv_fields_is(f, i, name)) {
            return (int)i;
        }
    }
    return -1;
}

void cv_fields_drop(struct cv_fields *f, const char *name)
{
    for (uint32_t i = 0; i < f->n; i++) {
        if (cv_fields_is(f, i, name)) {
            f->list[i].name_len = 0;
        }
    }
}

/* The next word of a list: true, its place and length; false at the end. */
static bool next_word(const char *value, size_t len, size_t *at, size_t *start,
                      size_t *word_len)
{
    while (*at < len &&
           (value[*at] == ',' || value[*at] == ' ' || value[*at] == '\t')) {
        ++*at;
    }
    *start = *at;
    while (*at < len && value[*at] != ',') {
        ++*at;
    }
    *word_len = *at - *start;
    while (*word_len > 0 && (value[*start + *word_len - 1] == ' ' ||
                             value[*start + *word_len - 1] == '\t')) {
        --*word_len;
    }
    return *word_len > 0;
}

bool cv_fields_has_word(const char *value, size_t len, const char *word)
{
    size_t at = 0;
    size_t start;
    size_t word_len;

    while (next_word(value, len, &at, &start, &word_len)) {
        if (word_len == strlen(word) &&
            strncasecmp(value + start, word, word_len) == 0) {
            return true;
        }
    }
    return false;
}

/* Drops the fields that the value of field `i`, a Connection, names. */
static void drop_named(struct cv_fields *f, size_t i)
{
    const char *value = cv_fields_value(f, i);
    size_t len = f->list[i].value_len;
    size_t at = 0;
    size_t start;
    size_t word_len;

    while (next_word(value, len, &at, &start, &word_len)) {
        for (uint32_t k = 0; k < f->n; k++) {
            if (f->list[k].name_len == word_len &&
                strncasecmp(cv_fields_name(f, k), value + start, word_len) ==
                    0 &&
                k != i) {
                f->list[k].name_len = 0;
            }
        }
    }
}

static bool is_hop(const struct cv_fields *f, size_t i)
{
    switch (f->list[i].name_len) {
    case 2:
        return cv_fields_is(f, i, "te");
    case 7:
        return cv_fields_is(f, i, "upgrade");
    case 10:
        return cv_fields_is(f, i, "keep-alive") ||
               cv_fields_is(f, i, "connection");
    case 14:
        return cv_fields_is(f, i, "http2-settings");
    case 16:
        return cv_fields_is(f, i, "proxy-connection");
    case 17:
        return cv_fields_is(f, i, "transfer-encoding");
    case 18:
        return cv_fields_is(f, i, "proxy-authenticate");
    case 19:
        return cv_fields_is(f, i, "proxy-authorization");
    default:
        return false;
    }
}

void cv_fields_drop_hop(struct cv_fields *f)
{
    for (uint32_t i = 0; i < f->n; i++) {
        if (cv_fields_is(f, i, "connection")) {
            drop_named(f, i);
        }
    }
    for (uint32_t i = 0; i < f->n; i++) {
        if (is_hop(f, i)) {
            f->list[i].name_len = 0;
        }
    }
}

void cv_fields_join_cookies(struct cv_fields *f)
{
    char *joined = NULL;
    size_t len = 0;
    size_t total = 0;
    unsigned n = 0;

    for (uint32_t i = 0; i < f->n; i++) {
        if (cv_fields_is(f, i, "cookie")) {
            total += f->list[i].value_len + 2;
            n++;
        }
    }
    if (n < 2) {
        return;
    }
    joined = malloc(total);
    if (joined == NULL) {
        f->failed = true;
        return;
    }
    for (uint32_t i = 0; i < f->n; i++) {
        if (!cv_fields_is(f, i, "cookie")) {
            continue;
        }
        if (len > 0) {
            memcpy(joined + len, "; ", 2);
            len += 2;
        }
        memcpy(joined + len, cv_fields_value(f, i), f->list[i].value_len);
        len += f->list[i].value_len;
        f->list[i].name_len = 0;
    }
    cv_fields_add(f, "cookie", 6, joined, len);
    free(joined);
}
