/* What the spawner and the broker say to each other. */
#ifndef CERTVAULT_BROKER_SPAWNER_INTERNAL_H
#define CERTVAULT_BROKER_SPAWNER_INTERNAL_H

#include "vault/broker/spawner.h"

#include <stdint.h>
#include <sys/types.h>

/* A number with this bit asks for a child's end, and gets no answer. */
#define CV_SPAWNER_KILL 0x80000000U

/* This number asks for the modules' text to be read again. */
#define CV_SPAWNER_RELOAD 0x40000000U

/* The answer to a request; a descriptor goes along when `error` is 0, two for
 * the relay. */
struct cv_spawner_answer {
    int error; /* errno */
    uint32_t child;
};

/* spawner_process.c: forks it; *socket leads to it. What cv_spawner_start says.
 */
CV_MUST_USE enum cv_status
cv_spawner_process_start(const struct cv_spawner_options *options, int *socket,
                         pid_t *pid, struct cv_err *err);

#endif
