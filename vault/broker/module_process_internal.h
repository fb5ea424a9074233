/* One module's process; for the files of module*.c alone. */
#ifndef CERTVAULT_BROKER_MODULE_PROCESS_INTERNAL_H
#define CERTVAULT_BROKER_MODULE_PROCESS_INTERNAL_H

#include "vault/broker/broker_internal.h"
#include "vault/broker/spawner.h"
#include "vault/wire/client.h"

#include <limits.h>

#define CV_MODULE_PROCESS_NAME 127

struct cv_module_process {
    char name[CV_MODULE_PROCESS_NAME + 1]; /* the module's; "" while unknown */
    char path[PATH_MAX];        /* realpath; "" until it was loaded */
    char *uri;                  /* names a module that is not in the list */
    struct cv_channel *channel; /* NULL: not running */
    uint32_t child;             /* how the spawner knows it */
    bool loaded;
    int64_t ended_ms;      /* when it last had to be replaced; 0: never */
    int64_t wait_until_ms; /* it is not started before; 0: it may be */
    struct cv_err why;     /* what happened then */
};

/* Starts a process that has loaded nothing. CV_UNAVAILABLE. */
CV_MUST_USE enum cv_status cv_module_process_start(struct cv_spawner *sp,
                                                   struct cv_module_process *p,
                                                   struct cv_err *err);

/* Calls `method` ("Tokens"), starting the process and loading its module if
 * need be; waits `timeout_s`. `parameters` are taken. As cv_client_call, but a
 * process that does not answer is killed: CV_UNAVAILABLE. What ended or hung
 * twice in CV_LIMIT_MODULE_RESTART_S is not started again sooner. Others may be
 * served meanwhile (module_wait_internal.h); CV_BUSY for a call that one of
 * them would need. */
CV_MUST_USE enum cv_status
cv_module_process_call(struct cv_broker *b, struct cv_module_process *p,
                       const char *method, cJSON *parameters, unsigned flags,
                       int timeout_s, struct cv_message *reply,
                       struct cv_err *err);

/* Its module is of no use any more: it is let go, and the next call starts
 * another. */
void cv_module_process_replace(struct cv_module_process *p,
                               const struct cv_err *why);

/* Lets it go: its socket closes, at which it ends. */
void cv_module_process_stop(struct cv_module_process *p);

#endif
