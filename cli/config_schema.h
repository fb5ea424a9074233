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

/* Refuses what is not known or of the wrong type: CV_CONFIG, naming the key.
 * `tree` is an object. */
CV_MUST_USE enum cv_status cv_config_schema_check(const cJSON *tree,
                                                  struct cv_err *err);

/* Calls `each` with the name of every top-level key in `tree` that this version
 * knows and does not use yet. */
void cv_config_schema_later(const cJSON *tree,
                            void (*each)(void *context, const char *key),
                            void *context);

#endif
