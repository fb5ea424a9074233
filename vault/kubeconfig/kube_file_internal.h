/* The three lists of a kubeconfig: named things, looked up by name. */
#ifndef CERTVAULT_KUBECONFIG_KUBE_FILE_INTERNAL_H
#define CERTVAULT_KUBECONFIG_KUBE_FILE_INTERNAL_H

#include "vault/base/json.h"

#include <stdbool.h>

/* One of `clusters`, `users`, `contexts`. */
struct cv_kube_file_item {
    const char *name;
    const cJSON *body; /* what `cluster`, `user`, `context` holds; NULL: null */
};

struct cv_kube_file_list {
    const char *key;                 /* a literal: "users" */
    const char *part;                /* a literal: "user" */
    struct cv_kube_file_item *items; /* in the file's order */
    size_t n;
    size_t *by_name; /* indices in the order of names */
};

struct cv_kube_file {
    struct cv_kube_file_list clusters;
    struct cv_kube_file_list users;
    struct cv_kube_file_list contexts;
    const char *current; /* NULL: none */
};

/* Parses `text` and reads names and references; nothing else is judged. */
CV_MUST_USE enum cv_status cv_kube_file_parse(struct cv_arena *arena,
                                              struct cv_bytes text,
                                              struct cv_kube_file *out,
                                              struct cv_err *err);

/* The item's index; `list->n` where there is none of this name. */
size_t cv_kube_file_find(const struct cv_kube_file_list *list,
                         const char *name);

/* Why `name` cannot be stored, shown and compared; NULL if it can. */
const char *cv_kube_file_name_fault(const char *name);

/* A member of the body as text; *out is NULL where it is absent, null or
 * empty. A whole number counts as its digits, as kubectl reads it. CV_INVALID
 * for other kinds, the field named. */
CV_MUST_USE enum cv_status cv_kube_file_text(struct cv_arena *arena,
                                             const struct cv_kube_file_list *in,
                                             size_t item, const char *key,
                                             const char **out,
                                             struct cv_err *err);

/* Has the body this member, other than null, "", [], {} and false? */
bool cv_kube_file_has(const struct cv_kube_file_list *in, size_t item,
                      const char *key);

/* Refuses, naming the field. */
CV_MUST_USE enum cv_status
cv_kube_file_refuse(const struct cv_kube_file_list *in, size_t item,
                    const char *key, const char *why, struct cv_err *err);

/* Puts the field in front of an error. */
void cv_kube_file_prefix(const struct cv_kube_file_list *in, size_t item,
                         const char *key, struct cv_err *err);

#endif
