/* A tree with its comments, and how it is written. */
#ifndef CERTVAULT_POLICY_FORMAT_INTERNAL_H
#define CERTVAULT_POLICY_FORMAT_INTERNAL_H

#include "policy/format.h"

#include "vault/yaml/yaml_comments.h"

#define CV_FORMAT_NONE SIZE_MAX

/* One value of the tree, in the order of the text, parents before children. */
struct cv_format_node {
    const cJSON *value;
    struct cv_yaml_mark at; /* its key's place, or its own */
    size_t end;             /* behind its last descendant */
    size_t lead;            /* first comment before it; they are n_lead */
    size_t n_lead;
    size_t trail; /* the comment behind it; CV_FORMAT_NONE: none */
    bool parted;  /* an empty line is before it */
};

struct cv_format {
    struct cv_format_node *nodes;
    size_t n_nodes;
    struct cv_yaml_comment *comments;
    size_t n_comments;
    size_t header; /* comments at the top that are the file's own */
    size_t tail;   /* first comment behind everything */
};

void cv_format_write(const struct cv_format *f, struct cv_buf *out);

#endif
