/* Clusters as the cloud lists them.
 *
 * What a cluster is called comes from whoever made it: texts are kept where
 * they are printable UTF-8 and shown as ASCII with '?' where not; an id that is
 * none is refused. Nothing here is secret. */
#ifndef CERTVAULT_FETCH_CLUSTER_H
#define CERTVAULT_FETCH_CLUSTER_H

#include "vault/base/json.h"

#define CV_CLUSTER_ID_LEN 37 /* 8-4-4-4-12 hex digits and a NUL */
#define CV_CLUSTER_TEXT_LEN 260
#define CV_CLUSTER_ENDS 4

struct cv_cluster_end {
    char type[24]; /* "Internal", "External", "external_otc" */
    char url[CV_CLUSTER_TEXT_LEN];
};

struct cv_cluster {
    char id[CV_CLUSTER_ID_LEN];
    char name[CV_CLUSTER_TEXT_LEN];
    char alias[CV_CLUSTER_TEXT_LEN]; /* "" where none */
    char phase[32];                  /* "Available", "Hibernation" ... */
    char version[32];
    char category[32]; /* "CCE", "Turbo" */
    char type[32];     /* "VirtualMachine", "ARM64" */
    char flavor[64];
    int64_t created_s; /* -1: not said */
    struct cv_cluster_end end[CV_CLUSTER_ENDS];
    size_t n_ends;
};

struct cv_cluster_list {
    struct cv_cluster *item; /* on the heap */
    size_t n;
};

/* A cluster id: hex digits, 8-4-4-4-12. CV_USAGE. */
CV_MUST_USE enum cv_status cv_cluster_check_id(const char *id,
                                               struct cv_err *err);

/* Reads one Cluster. `status.endpoints` may be an array of {url, type}, an
 * object of type to URL, null or absent. CV_REMOTE. */
CV_MUST_USE enum cv_status
cv_cluster_read(const cJSON *tree, struct cv_cluster *out, struct cv_err *err);

/* Reads {items: [...]}; *out is the caller's, on CV_OK, to be freed with
 * cv_cluster_list_free. CV_REMOTE, CV_INTERNAL. */
CV_MUST_USE enum cv_status cv_cluster_read_list(const cJSON *tree,
                                                struct cv_cluster_list *out,
                                                struct cv_err *err);

void cv_cluster_list_free(struct cv_cluster_list *list);

/* The one cluster of that name. CV_NOT_FOUND; CV_USAGE where there are several
 * (their ids are told). */
CV_MUST_USE enum cv_status cv_cluster_find(const struct cv_cluster_list *list,
                                           const char *name,
                                           const struct cv_cluster **out,
                                           struct cv_err *err);

/* Its members for io.certvault.Intake.Clusters: cluster_id, name, alias, phase,
 * version, category, type, flavor, created, endpoints[{type, url}]; empty ones
 * are left out. NULL when memory is gone. */
cJSON *cv_cluster_to_json(const struct cv_cluster *c);

#endif
