/* What may stand in a configuration. */
#ifndef CERTVAULT_CLI_CONFIG_SCHEMA_H
#define CERTVAULT_CLI_CONFIG_SCHEMA_H

#include "vault/base/json.h"

/* What is said of the relay; 0: nothing. */
struct cv_config_schema_relay {
    int port;
    int idle_s; /* how long a connection to a server is kept without work */
    int pool;   /* how many of them for one grant */
};

/* Reads it. CV_CONFIG, naming the key. */
CV_MUST_USE enum cv_status
cv_config_schema_relay(const cJSON *tree, struct cv_config_schema_relay *out,
                       struct cv_err *err);

/* Where a service listens; texts are the tree's. */
struct cv_config_schema_socket {
    const char *path;  /* absolute; NULL: not said */
    const char *group; /* that the socket is of; NULL: not said */
    int mode;          /* -1: not said */
};

/* Reads it. CV_CONFIG, naming the key. */
CV_MUST_USE enum cv_status
cv_config_schema_socket(const cJSON *tree, struct cv_config_schema_socket *out,
                        struct cv_err *err);

/* The list of sinks (audit.sinks), of what cv_sink_target_parse reads; NULL:
 * there is none. Borrowed. */
const cJSON *cv_config_schema_sinks(const cJSON *tree);

/* Refuses what is not known, of the wrong type, or no value of that key
 * (config_rules.h): CV_CONFIG, naming the key; *bad, where `bad` is not NULL,
 * is the value, NULL where it is no single one's. `tree` is an object. */
CV_MUST_USE enum cv_status cv_config_schema_check(const cJSON *tree,
                                                  const cJSON **bad,
                                                  struct cv_err *err);

/* The how-many-th value of `tree` (from 0, depth first, as they are written)
 * `node` is; -1: none. */
int cv_config_schema_place(const cJSON *tree, const cJSON *node);

/* Calls `each` with the name of every top-level key in `tree` that this version
 * knows and does not use yet. */
void cv_config_schema_later(const cJSON *tree,
                            void (*each)(void *context, const char *key),
                            void *context);

#endif
