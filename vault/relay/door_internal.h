/* How worker threads reach the door: between its files alone. */
#ifndef CERTVAULT_RELAY_DOOR_INTERNAL_H
#define CERTVAULT_RELAY_DOOR_INTERNAL_H

#include "vault/relay/door.h"

#include "vault/base/buf.h"

#define CV_DOOR_GONE "the broker is gone"

/* Calls that wait to be asked. */
struct cv_door_calls;
/* One of them. It belongs to the thread that waits and to the loop together. */
struct cv_door_call;

/* NULL: memory or descriptors are gone. */
struct cv_door_calls *cv_door_calls_new(void);
/* No thread is in cv_door_calls_run. NULL is fine. */
void cv_door_calls_free(struct cv_door_calls *calls);

/* Readable when there is a call to be asked. */
int cv_door_calls_fd(const struct cv_door_calls *calls);

/* A worker's half: hands the call over and waits for its answer. */
enum cv_status cv_door_calls_run(struct cv_door_calls *calls,
                                 const char *method, cJSON *parameters,
                                 int timeout_ms, struct cv_message *reply,
                                 struct cv_err *err);

/* The loop's half: the next call, NULL: none; its frame, borrowed; its answer,
 * after which the loop has no more to do with it. What `m` (NULL: nothing)
 * holds is taken. */
struct cv_door_call *cv_door_calls_next(struct cv_door_calls *calls);
struct cv_bytes cv_door_calls_frame(const struct cv_door_call *call);
void cv_door_calls_answer(struct cv_door_call *call, enum cv_status status,
                          struct cv_message *m, const struct cv_err *err);

/* Calls that wait to be asked, and those that come, end with CV_UNAVAILABLE. */
void cv_door_calls_close(struct cv_door_calls *calls);

/* Appends the frame of a call with its NUL; `parameters` is taken. Failures
 * stick to `out`. */
void cv_door_calls_write(const char *method, cJSON *parameters,
                         struct cv_buf *out);

#endif
