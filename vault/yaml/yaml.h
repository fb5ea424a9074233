/* Strict YAML into a cJSON tree.
 *
 * What is taken is the part of YAML 1.1/1.2 that every reader understands the
 * same way: block and flow mappings and sequences, plain, quoted and block
 * scalars, comments, one document. Refused, each with line and column: anchors,
 * aliases, tags, directives, merge keys (<<), a second document, duplicate
 * keys, keys that are not strings, tabs as indentation, bytes that are not
 * UTF-8, a byte order mark, control characters and characters that turn the
 * direction of text, lone carriage returns, NUL in a scalar, depth over
 * CV_LIMIT_JSON_DEPTH, more than CV_LIMIT_JSON_MEMBERS values, more than
 * CV_LIMIT_YAML_FILE bytes.
 *
 * Plain scalars: true and false are booleans; null, ~ and nothing are null;
 * decimal integers within -2^53..2^53 (no sign but a minus, no leading zero)
 * are numbers. Everything else is a string as written: no, on, Yes, True, 0o17,
 * 017, 0x1f, 1:30, 1.5, 1e3. What is quoted or in a block scalar is a string.
 * Keys that would be a boolean, null or a number are refused.
 *
 * A text whose first character that is not blank is '{' is JSON and goes to
 * cv_json_parse, which is stricter than YAML's flow style; its errors carry a
 * byte offset, and its nodes have marks too.
 *
 * libyaml keeps copies of its input in the heap while it parses: texts with
 * secrets are parsed only in a program that is undumpable and ends when idle.
 *
 * Nothing here blocks; nothing recurses on the input. */
#ifndef CERTVAULT_YAML_YAML_H
#define CERTVAULT_YAML_YAML_H

#include "vault/base/json.h"

#include <stdbool.h>

/* A place in a text: line and column from 1, columns in characters. Line 0:
 * not known. */
struct cv_yaml_mark {
    uint32_t line;
    uint32_t column;
};

/* Where each node of one tree stood. On the heap; holds no content. */
struct cv_yaml_marks;

/* Parses `text`. On success *out is the tree, made in `arena` (then it lives as
 * long as that) or on the heap (`arena` NULL: the caller calls cJSON_Delete),
 * and *marks, where `marks` is not NULL, is the caller's (cv_yaml_marks_free).
 * On failure both are NULL: CV_INVALID with "line L, column C: ..." in front,
 * never a value; *bad, where `bad` is not NULL, is that place (line 0 where
 * there is none). CV_INTERNAL when memory is gone. */
CV_MUST_USE enum cv_status cv_yaml_parse(struct cv_arena *arena,
                                         struct cv_bytes text, cJSON **out,
                                         struct cv_yaml_marks **marks,
                                         struct cv_yaml_mark *bad,
                                         struct cv_err *err);

/* The same with another ceiling for values, which does not hold for a text that
 * is JSON: that has cv_json_parse's. */
CV_MUST_USE enum cv_status
cv_yaml_parse_most(struct cv_arena *arena, struct cv_bytes text, size_t most,
                   cJSON **out, struct cv_yaml_marks **marks,
                   struct cv_yaml_mark *bad, struct cv_err *err);

/* Would cv_yaml_parse take `text` for JSON? */
bool cv_yaml_is_json(struct cv_bytes text);

/* Where the value `node` began; {0, 0} for a node (or a `marks`) that is NULL
 * or not of that tree. */
struct cv_yaml_mark cv_yaml_marks_value(const struct cv_yaml_marks *marks,
                                        const cJSON *node);

/* Where the key of the member `node` stood; the value's place for what is no
 * member of a mapping. */
struct cv_yaml_mark cv_yaml_marks_key(const struct cv_yaml_marks *marks,
                                      const cJSON *node);

/* NULL is fine. */
void cv_yaml_marks_free(struct cv_yaml_marks *marks);

/* Appends the line of `text` that `mark` names and, beneath it, a caret under
 * its column:
 *     "   3 | actions: [use, lst]\n     |                ^\n"
 * What is not printable ASCII shows as '?'; a long line is cut around the
 * column. For texts without secrets only (policies, configuration). Appends
 * nothing where the place is not known or not in the text. */
void cv_yaml_excerpt(struct cv_bytes text, struct cv_yaml_mark mark,
                     struct cv_buf *out);

#endif
