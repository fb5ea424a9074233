/* The calling half of Varlink: one call at a time over one channel. */
#ifndef CERTVAULT_WIRE_CLIENT_H
#define CERTVAULT_WIRE_CLIENT_H

#include "vault/wire/channel.h"

enum cv_client_flags {
    CV_CLIENT_SECRET_IN = 1, /* the parameters carry a secret */
    CV_CLIENT_SECRET_OUT = 2 /* the answer carries one */
};

/* Calls `method` ("io.certvault.Broker.List") with `parameters` (an object,
 * taken and freed in any case; NULL: {}) and waits at most `timeout_ms` for the
 * answer. *reply is the caller's to free, on failure too: on success its tree
 * is the answer's parameters (an object), on an error told by the other side
 * that error's parameters, and `err` holds what they say. Other failures leave
 * it empty: CV_UNAVAILABLE (the other program is gone), CV_BUSY (timeout),
 * CV_INVALID (it sent what is no answer), CV_INTERNAL. */
CV_MUST_USE enum cv_status cv_client_call(struct cv_channel *ch,
                                          const char *method, cJSON *parameters,
                                          unsigned flags, int timeout_ms,
                                          struct cv_message *reply,
                                          struct cv_err *err);

/* The two halves of cv_client_call, for who has something else to do while the
 * other side works on the answer. Each call that was sent is received before
 * the next one is sent. */
CV_MUST_USE enum cv_status cv_client_send(struct cv_channel *ch,
                                          const char *method, cJSON *parameters,
                                          unsigned flags, int timeout_ms,
                                          struct cv_err *err);
CV_MUST_USE enum cv_status cv_client_receive(struct cv_channel *ch,
                                             unsigned flags, int timeout_ms,
                                             struct cv_message *reply,
                                             struct cv_err *err);

/* Called with the parameters of each answer of a stream, borrowed; anything but
 * CV_OK ends the stream and is handed on. */
typedef enum cv_status cv_client_each(void *context, const cJSON *parameters,
                                      struct cv_err *err);

/* As cv_client_call, with `more`: `each` sees every answer, the last one too.
 * `timeout_ms` counts anew for each. Where `each` ended it early the channel
 * can only be freed. */
CV_MUST_USE enum cv_status
cv_client_stream(struct cv_channel *ch, const char *method, cJSON *parameters,
                 unsigned flags, int timeout_ms, cv_client_each *each,
                 void *context, struct cv_err *err);

/* Makes *m, a whole answer that came over a channel, hold its parameters alone
 * (an error's too; then that error is told). On other failures *m is empty.
 * *continues: more answers follow. For who reads answers himself. CV_INVALID,
 * and what the other side said. */
CV_MUST_USE enum cv_status
cv_client_answer(struct cv_message *m, bool *continues, struct cv_err *err);

#endif
