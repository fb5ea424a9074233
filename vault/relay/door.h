/* The relay's way to ask the broker: io.certvault.Door over one socket.
 *
 * Asks may follow each other without waiting; the broker answers in their
 * order. The loop's thread must never wait for the broker, which may at that
 * moment wait for us (its orders come over another socket): it asks and is
 * told later. Worker threads call and wait.
 *
 * When the broker is gone, every ask ends with CV_UNAVAILABLE and `gone` is
 * called: a relay without a broker has nothing to do.
 *
 * Threads: all of it the loop's, but for cv_door_call. */
#ifndef CERTVAULT_RELAY_DOOR_H
#define CERTVAULT_RELAY_DOOR_H

#include "vault/base/err.h"
#include "vault/wire/message.h"

struct event_base;
struct cv_door;

/* Takes the connected socket `fd` (on failure too). `gone(ctx)` is called once,
 * from the loop, when the broker is gone or says what is no answer; NULL: not.
 * CV_INTERNAL. */
CV_MUST_USE enum cv_status cv_door_new(struct event_base *base, int fd,
                                       void (*gone)(void *ctx), void *ctx,
                                       struct cv_door **out,
                                       struct cv_err *err);

/* The answer to an ask. CV_OK: `answer` (an object, borrowed for the call) are
 * its parameters. Else `err` (never NULL) says why, and `answer` is NULL:
 * what the broker said (CV_DENIED: the grant does not allow it or has ended),
 * CV_UNAVAILABLE (the broker is gone), CV_INVALID, CV_INTERNAL. */
typedef void cv_door_done(void *ctx, enum cv_status status, const cJSON *answer,
                          const struct cv_err *err);

/* Asks `method` ("Request", of io.certvault.Door) with `parameters` (taken; an
 * object, NULL: {}). `done` is called once, from the loop, never from within
 * this call. Returns what cv_door_forget knows it by, never 0. `done` NULL:
 * nobody is told. */
uint64_t cv_door_ask(struct cv_door *door, const char *method,
                     cJSON *parameters, cv_door_done *done, void *ctx);

/* `done` of this ask will not be called any more. An ask that was answered is
 * passed over. What was asked is asked all the same. */
void cv_door_forget(struct cv_door *door, uint64_t ask);

/* For worker threads: asks and waits for the answer, at most `timeout_ms`
 * (-1: for ever). `parameters` is taken; it and *reply are made and used on the
 * heap. On success reply->tree are the answer's parameters, the caller's to
 * free with cv_message_free; else it is empty. As cv_door_done, and CV_BUSY
 * (timeout). Never on the loop's thread: it would wait for itself. */
CV_MUST_USE enum cv_status
cv_door_call(struct cv_door *door, const char *method, cJSON *parameters,
             int timeout_ms, struct cv_message *reply, struct cv_err *err);

/* Ends all asks and calls, and those that come, with CV_UNAVAILABLE. So that
 * threads that wait can be joined before cv_door_free. `gone` is not called. */
void cv_door_close(struct cv_door *door);

/* Closes and frees; no thread may be in cv_door_call. `done`s that were not
 * called never are. NULL is fine. */
void cv_door_free(struct cv_door *door);

#endif
