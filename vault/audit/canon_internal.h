/* Is a leaf in canonical form, and where are its members: one pass over the
 * bytes, no tree, no heap.
 *
 * Canonical is what docs/formats.md ("Audit log") says: one object, keys in
 * strictly rising order of their bytes (printable ASCII without quote and
 * backslash), no blanks, ASCII only, every character in its one spelling,
 * integers 0..2^53-1, true, false; no null, no DEL, nothing behind it. For such
 * a text equal values have equal bytes. */
#ifndef CERTVAULT_AUDIT_CANON_INTERNAL_H
#define CERTVAULT_AUDIT_CANON_INTERNAL_H

#include "vault/base/arena.h"
#include "vault/base/limits.h"

#include <stdbool.h>

#define CV_CANON_MEMBERS 48 /* most in one object that is looked into */
#define CV_CANON_MARKS 512  /* most quotes that are found beforehand */
#define CV_CANON_ODD SIZE_MAX

struct cv_canon_member {
    struct cv_bytes key;   /* between the quotes */
    uint64_t word;         /* its first eight bytes, filled up with zeros: they
                              have the keys' order */
    struct cv_bytes value; /* with quotes, braces */
};

struct cv_canon {
    size_t n;
    struct cv_canon_member members[CV_CANON_MEMBERS];
    struct cv_canon_level { /* where the scan is: its own */
        bool object;
        struct cv_bytes key;
        uint64_t word;
    } levels[CV_LIMIT_JSON_DEPTH];
    uint16_t marks[CV_CANON_MARKS]; /* likewise */
};

/* Scans a whole object; its own members (not those below) are in *out. False:
 * not canonical, or more than CV_CANON_MEMBERS members. */
bool cv_canon_scan(struct cv_bytes text, struct cv_canon *out);

/* The same without looking for the quotes first: what texts go through that
 * have a backslash or very many strings. */
bool cv_canon_scan_plain(struct cv_bytes text, struct cv_canon *out);

/* Where the quotes are, and how many. CV_CANON_ODD: there are more than have
 * room, or a character that is no printable ASCII, or a backslash. `text` has
 * at most CV_LIMIT_LEAF bytes. */
size_t cv_canon_marks(struct cv_bytes text, uint16_t marks[CV_CANON_MARKS]);

/* The value of member `key`; len 0: there is none. */
struct cv_bytes cv_canon_get(const struct cv_canon *object, const char *key);

/* What a string value holds between its quotes, as spelt; len 0 and data NULL
 * where it is no string. */
struct cv_bytes cv_canon_string(struct cv_bytes value);

/* The value of an integer; false where it is none. */
bool cv_canon_uint(struct cv_bytes value, uint64_t *out);

#endif
