/* Strict JSON over cJSON.
 *
 * cv_json_parse first walks the bytes itself and refuses what cJSON would let
 * through: duplicate keys (also when one is written with escapes), bad UTF-8,
 * NUL (raw or \u0000), lone surrogates, raw control characters, a byte order
 * mark, depth over CV_LIMIT_JSON_DEPTH, more than CV_LIMIT_JSON_MEMBERS values,
 * numbers outside -2^53..2^53 or longer than 32 characters, and anything behind
 * the document (RFC 8259, I-JSON RFC 7493). cJSON then builds the tree. -0 is
 * read as 0; what underflows is read as what strtod(3) makes of it; code points
 * that Unicode calls noncharacters are taken.
 *
 * Where the tree lives: on the heap, or in an arena for a message that carries
 * secrets. cJSON has one allocator for the whole program, so this module sets
 * it once (cv_json_start) to one that asks which arena is in use on this
 * thread; cv_json_use says so for trees that code builds. A tree in an arena
 * needs no cJSON_Delete, though it does no harm. */
#ifndef CERTVAULT_BASE_JSON_H
#define CERTVAULT_BASE_JSON_H

#include "vault/base/buf.h"

#include <cjson/cJSON.h>

/* Installs the allocator; call once, after cv_arena_start and before any cJSON
 * value is made (one that malloc made can no longer be freed by cJSON). */
void cv_json_start(void);

/* From now on this thread's cJSON values are made in `arena` (NULL: heap).
 * Returns what was in use before, to be given back. Aborts where cv_json_start
 * was not called: a secret would land on the heap. */
struct cv_arena *cv_json_use(struct cv_arena *arena);

/* Parses `text`. On success *out is the tree, made in `arena` (then it lives as
 * long as that) or on the heap (`arena` NULL: the caller calls cJSON_Delete).
 * On failure *out is NULL: CV_INVALID with the byte offset, never the value;
 * CV_INTERNAL, CV_UNAVAILABLE: memory (or cv_json_start was not called). */
CV_MUST_USE enum cv_status cv_json_parse(struct cv_arena *arena,
                                         struct cv_bytes text, cJSON **out,
                                         struct cv_err *err);

enum cv_json_style {
    CV_JSON_COMPACT,  /* members in their order, no blanks */
    CV_JSON_PRETTY,   /* members in their order, two blanks a level */
    CV_JSON_CANONICAL /* keys sorted bytewise, no blanks: what leaves are made
                         of; integers only (a fraction is CV_INVALID) */
};

/* Appends `value` as JSON: printable ASCII only (\uXXXX with lower-case hex,
 * surrogate pairs beyond the BMP, DEL too): as Python's json.dumps writes.
 * Failures stick to `out` (CV_INVALID: not UTF-8, deeper than
 * CV_LIMIT_JSON_DEPTH, not finite, canonical and a key twice). */
void cv_json_write(const cJSON *value, enum cv_json_style style,
                   struct cv_buf *out);

/* Reading objects by a table, so that wrong types and unknown members are
 * refused in one place. */
enum cv_json_kind {
    CV_JSON_STRING, /* const char **; NULL when absent; no C0, DEL, C1 */
    CV_JSON_TEXT,   /* const char **; as STRING, line feeds and tabs allowed */
    CV_JSON_INT,    /* int64_t *, in -2^53..2^53; unchanged when absent */
    CV_JSON_NUMBER, /* double *; unchanged when absent */
    CV_JSON_BOOL,   /* bool *; unchanged when absent */
    CV_JSON_OBJECT, /* const cJSON **; NULL when absent */
    CV_JSON_ARRAY,  /* const cJSON **; NULL when absent */
    CV_JSON_ANY     /* const cJSON **; NULL when absent */
};

struct cv_json_field {
    const char *key;
    enum cv_json_kind kind;
    bool required;
    void *out;
    size_t max; /* longest string in bytes; 0: CV_LIMIT_URL */
};

/* Reads `object` into the places that `fields` (`n` of them) name; what is
 * written is borrowed from the tree. A null member counts as absent. CV_INVALID
 * where a required member is absent, a type or length is wrong, or (with
 * `strict`) a member is not in the table; the text names `what` and the key. */
CV_MUST_USE enum cv_status cv_json_read(const cJSON *object, const char *what,
                                        const struct cv_json_field *fields,
                                        size_t n, bool strict,
                                        struct cv_err *err);

/* Adding members; a NULL `text` adds nothing. False when memory is gone (or
 * `object` is NULL). cv_json_add_item takes `item` over in any case; NULL is
 * false, so that what makes it needs no check of its own. */
bool cv_json_add_str(cJSON *object, const char *key, const char *text);
bool cv_json_add_int(cJSON *object, const char *key, int64_t value);
bool cv_json_add_bool(cJSON *object, const char *key, bool value);
bool cv_json_add_item(cJSON *object, const char *key, cJSON *item);

/* Base64 (RFC 4648 section 4, padded) and lower-case hex of bytes as a string
 * member. False when memory is gone. */
bool cv_json_add_base64(cJSON *object, const char *key, struct cv_bytes data);
bool cv_json_add_hex(cJSON *object, const char *key, struct cv_bytes data);

/* An error as the members of an object and back: code, message, hint, state,
 * audit_seq, request_id, retry_after (those that are known). The writing half
 * is NULL when memory is gone. The reading half takes what a peer sent: texts
 * are cut and cleaned as cv_fail does, members of a wrong type passed over; it
 * returns the status, which is never CV_OK. */
cJSON *cv_json_from_err(const struct cv_err *e);
enum cv_status cv_json_to_err(const cJSON *object, struct cv_err *e);

#endif
