/* Reading a YAML tree strictly: each mapping by a table of its keys, each value
 * by its kind, and every refusal with line, column and what would be right. */
#ifndef CERTVAULT_POLICY_READER_INTERNAL_H
#define CERTVAULT_POLICY_READER_INTERNAL_H

#include "policy/policy.h"

#include "vault/yaml/yaml.h"

struct cv_reader {
    const struct cv_yaml_marks *marks;
    struct cv_policy_notes *notes; /* NULL is fine */
    struct cv_err *err;
    char where[160]; /* "rule \"x\": ", for texts; "" before a name is known */
};

struct cv_reader_field {
    const char *key;
    bool required;
    const cJSON **out; /* NULL where absent */
};

/* Parses `text`. On success *tree and *marks are the caller's; on failure both
 * are NULL, the place is in notes and err's text. */
CV_MUST_USE enum cv_status
cv_reader_begin(struct cv_bytes text, struct cv_policy_notes *notes,
                cJSON **tree, struct cv_yaml_marks **marks, struct cv_err *err);

/* Refuses the value `node`, or with `at_key` its key: CV_INVALID, "line L,
 * column C: <where><text>". */
CV_MUST_USE enum cv_status cv_reader_refuse(struct cv_reader *r,
                                            const cJSON *node, bool at_key,
                                            const char *fmt, ...)
    CV_PRINTF(4, 5);

/* The line of a value, 0 where it is not known. */
unsigned cv_reader_line(const struct cv_reader *r, const cJSON *node);

/* A mapping with keys out of `fields` (`n` of them). `what` names it. */
CV_MUST_USE enum cv_status
cv_reader_mapping(struct cv_reader *r, const cJSON *node, const char *what,
                  const struct cv_reader_field *f, size_t n);

/* A string of 1 to `max` printable bytes (UTF-8); borrowed from the tree. */
CV_MUST_USE enum cv_status cv_reader_text(struct cv_reader *r,
                                          const cJSON *node, const char *what,
                                          size_t max, const char **out);

/* One of `words` (NULL-terminated); *out is its number. */
CV_MUST_USE enum cv_status cv_reader_word(struct cv_reader *r,
                                          const cJSON *node, const char *what,
                                          const char *const *words,
                                          unsigned *out);

CV_MUST_USE enum cv_status cv_reader_integer(struct cv_reader *r,
                                             const cJSON *node,
                                             const char *what, int64_t least,
                                             int64_t most, int64_t *out);
CV_MUST_USE enum cv_status cv_reader_bool(struct cv_reader *r,
                                          const cJSON *node, const char *what,
                                          bool *out);

/* 90s, 15m, 8h, 30d; at least a second. */
CV_MUST_USE enum cv_status cv_reader_duration(struct cv_reader *r,
                                              const cJSON *node,
                                              const char *what, int64_t *out);

/* A list with 1 to `max` items; *n is how many. */
CV_MUST_USE enum cv_status cv_reader_list(struct cv_reader *r,
                                          const cJSON *node, const char *what,
                                          size_t max, size_t *n);

#endif
