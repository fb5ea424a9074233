/* Where the items of a list stand in a YAML text, for changing some of them and
 * leaving every other byte as it is. */
#ifndef CERTVAULT_YAML_YAML_ITEMS_H
#define CERTVAULT_YAML_YAML_ITEMS_H

#include "vault/base/arena.h"

enum cv_yaml_items_kind {
    CV_YAML_ITEMS_ABSENT, /* the document has no such key */
    CV_YAML_ITEMS_SCALAR, /* it is null, or nothing */
    CV_YAML_ITEMS_FLOW,   /* [a, b] */
    CV_YAML_ITEMS_BLOCK   /* - a, each on lines of its own */
};

/* A piece of the text, in bytes. */
struct cv_yaml_items_range {
    size_t begin;
    size_t end;
};

struct cv_yaml_items {
    enum cv_yaml_items_kind kind;
    struct cv_yaml_items_range value; /* of SCALAR and FLOW */
    size_t indent;                    /* of BLOCK: blanks before a dash */
    size_t colon; /* of BLOCK: the byte behind the colon of `key: `; 0: it is
                     written in another way */
    /* FLOW: each item's own text. BLOCK: its lines whole, dash, comments behind
     * it and line feed included (the last of a text may lack that). */
    struct cv_yaml_items_range *items;
    size_t n;
};

/* Finds the value of `key` in the mapping that `text` is, which cv_yaml_parse
 * took and cv_yaml_is_json denied. In *out, `items` lies in `arena`.
 * CV_INVALID: it is written in a way that cannot be changed piecewise (a dash
 * on a line of its own, two items on one line); CV_INTERNAL. */
CV_MUST_USE enum cv_status cv_yaml_items_find(struct cv_arena *arena,
                                              struct cv_bytes text,
                                              const char *key,
                                              struct cv_yaml_items *out,
                                              struct cv_err *err);

#endif
