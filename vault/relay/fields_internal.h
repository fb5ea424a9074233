/* Header fields: names (always in lower case) and values in one block. */
#ifndef CERTVAULT_RELAY_FIELDS_INTERNAL_H
#define CERTVAULT_RELAY_FIELDS_INTERNAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Offsets into the block; each piece has a NUL behind it. */
struct cv_field {
    uint32_t name;
    uint32_t name_len; /* 0: dropped */
    uint32_t value;
    uint32_t value_len;
};

/* All zero: empty. */
struct cv_fields {
    char *text;
    struct cv_field *list;
    uint32_t n; /* fields, those that were dropped too */
    uint32_t list_size;
    uint32_t len;
    uint32_t size;
    bool failed; /* memory is gone, or a ceiling of limits.h was met */
};

/* Frees; empty and usable again. */
void cv_fields_wipe(struct cv_fields *f);

/* Empties, keeps the memory. */
void cv_fields_reset(struct cv_fields *f);

/* Adds a field; a failure sticks in f->failed. */
void cv_fields_add(struct cv_fields *f, const char *name, size_t name_len,
                   const char *value, size_t value_len);
void cv_fields_add_text(struct cv_fields *f, const char *name,
                        const char *value);

/* Copies text into the block that is no field; returns its offset. */
uint32_t cv_fields_keep(struct cv_fields *f, const char *text, size_t len);

static inline const char *cv_fields_name(const struct cv_fields *f, size_t i)
{
    return f->text + f->list[i].name;
}

static inline const char *cv_fields_value(const struct cv_fields *f, size_t i)
{
    return f->text + f->list[i].value;
}

/* Is field `i` called `name` (lower case)? Not when it was dropped. */
bool cv_fields_is(const struct cv_fields *f, size_t i, const char *name);

/* The first field of that name, or -1. */
int cv_fields_find(const struct cv_fields *f, const char *name);

/* Drops all of that name. */
void cv_fields_drop(struct cv_fields *f, const char *name);

/* Does a list like "a, B ,c" hold the word (compared without case)? */
bool cv_fields_has_word(const char *value, size_t len, const char *word);

/* Drops what belongs to one connection alone (RFC 9110 section 7.6.1): the
 * fields that Connection names, Connection itself, Keep-Alive,
 * Proxy-Connection, Transfer-Encoding, Upgrade, TE, Proxy-Authenticate,
 * Proxy-Authorization, HTTP2-Settings. */
void cv_fields_drop_hop(struct cv_fields *f);

/* Joins several Cookie fields into one (RFC 9113 section 8.2.3). */
void cv_fields_join_cookies(struct cv_fields *f);

#endif
