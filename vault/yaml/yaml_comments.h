/* Where the comments of a YAML text are: libyaml drops them. */
#ifndef CERTVAULT_YAML_YAML_COMMENTS_H
#define CERTVAULT_YAML_YAML_COMMENTS_H

#include "vault/yaml/yaml.h"

struct cv_yaml_comment {
    struct cv_yaml_mark at; /* of its '#' */
    bool alone;             /* nothing but blanks before it on its line */
    struct cv_bytes text;   /* from '#' on, without blanks at its end; borrowed
                               from the text */
};

/* Finds the comments of `text`, which cv_yaml_parse took, in their order. *out
 * is the caller's to free(3), NULL where there are none. CV_INVALID (libyaml
 * does not take it), CV_INTERNAL (memory). */
CV_MUST_USE enum cv_status cv_yaml_comments_find(struct cv_bytes text,
                                                 struct cv_yaml_comment **out,
                                                 size_t *n, struct cv_err *err);

#endif
