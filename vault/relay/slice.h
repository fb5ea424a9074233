/* A borrowed piece of text without a NUL behind it: what a peer sent, where it
 * lies. */
#ifndef CERTVAULT_RELAY_SLICE_H
#define CERTVAULT_RELAY_SLICE_H

#include <stdbool.h>
#include <stddef.h>
#include <string.h>
#include <strings.h>

struct cv_slice {
    const char *at; /* may be NULL where len is 0 */
    size_t len;     /* bytes */
};

static inline struct cv_slice cv_slice_of(const char *text)
{
    struct cv_slice s = {text, text != NULL ? strlen(text) : 0};

    return s;
}

/* Byte for byte the same? */
static inline bool cv_slice_is(struct cv_slice s, const char *text)
{
    size_t len = strlen(text);

    return s.len == len && (len == 0 || memcmp(s.at, text, len) == 0);
}

/* The same but for the case of ASCII letters? */
static inline bool cv_slice_same(struct cv_slice a, struct cv_slice b)
{
    return a.len == b.len &&
           (a.len == 0 || strncasecmp(a.at, b.at, a.len) == 0);
}

static inline bool cv_slice_names(struct cv_slice s, const char *text)
{
    return cv_slice_same(s, cv_slice_of(text));
}

#endif
