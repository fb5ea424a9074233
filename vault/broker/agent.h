/* What a broker does that stays for one user: it ends when nobody needs it any
 * more, and when what it was started for is no longer there.
 *
 * It ends after a time without connections and requests; when it is told to;
 * when the vault's folder or its own socket is gone or another; and, once
 * nobody is connected, when its program file or its configuration was replaced.
 * inotify(7) tells of that at once; where it cannot, the next connection does,
 * which is closed unanswered, so that whoever connected starts another. */
#ifndef CERTVAULT_BROKER_AGENT_H
#define CERTVAULT_BROKER_AGENT_H

#include "vault/base/process.h"
#include "vault/broker/broker.h"

#include <stdint.h>

struct cv_agent;

/* `folder`: the vault's, which `dir` is open on (borrowed). Call it when the
 * socket is there and before the sandbox is entered. CV_INTERNAL. */
CV_MUST_USE enum cv_status cv_agent_new(const struct cv_broker_agent *options,
                                        const char *folder, int dir,
                                        struct cv_agent **out,
                                        struct cv_err *err);

/* NULL is fine. The socket is removed by cv_agent_end. */
void cv_agent_free(struct cv_agent *a);

/* To be polled, and what to do when it can be read; -1: nothing. */
int cv_agent_watch(const struct cv_agent *a);
void cv_agent_watched(struct cv_agent *a);

/* Is all that it was started for still there? Asked at each connection. */
bool cv_agent_is_whole(struct cv_agent *a);

/* A request came; cv_agent_overlook: one that does not count. */
void cv_agent_asked(struct cv_agent *a);
void cv_agent_overlook(struct cv_agent *a);

/* For how long (ms) it may wait for requests; 0: it is to end; -1: for ever. */
int64_t cv_agent_rest(struct cv_agent *a, size_t n_callers);

/* Ends it when the request at hand is answered. */
void cv_agent_stop(struct cv_agent *a);

/* Is somebody connected beside the caller at hand? */
bool cv_agent_is_busy(const struct cv_agent *a);

/* Seconds since the last request, and after how many it ends (0: never). */
int64_t cv_agent_idle_s(const struct cv_agent *a);
int64_t cv_agent_limit_s(const struct cv_agent *a);

/* See cv_process_identity. */
const char *cv_agent_build(const struct cv_agent *a);

/* Removes its socket unless another agent's lies there by now. `listener` must
 * be closed. */
void cv_agent_end(struct cv_agent *a);

#endif
