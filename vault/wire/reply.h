/* The answer to one call, while a method makes it. */
#ifndef CERTVAULT_WIRE_REPLY_H
#define CERTVAULT_WIRE_REPLY_H

#include "vault/base/json.h"

#include <stdbool.h>

struct cv_channel;
struct cv_reply;

/* The object that the answer will carry. While a method whose answer is secret
 * runs, cJSON values are made in the answer's arena. */
cJSON *cv_reply_parameters(struct cv_reply *reply);

/* The memory of a secret answer; NULL for others. Lives until it is sent. */
struct cv_arena *cv_reply_arena(struct cv_reply *reply);

/* The object whose members go along with an error. */
cJSON *cv_reply_failure(struct cv_reply *reply);

/* The error's name on the wire ("PinRequired") where it is not that of its
 * status; a literal. */
void cv_reply_name_error(struct cv_reply *reply, const char *name);

/* Did the caller ask for more than one answer? */
bool cv_reply_wants_more(const struct cv_reply *reply);

/* Sends what is there as one of several answers and begins the next. CV_INVALID
 * where the caller did not ask for more; else as cv_channel_send. */
CV_MUST_USE enum cv_status cv_reply_continue(struct cv_reply *reply,
                                             struct cv_err *err);

/* Sends the final answer now, for a method that has more to do afterwards;
 * nothing is sent when it returns. As cv_channel_send. */
CV_MUST_USE enum cv_status cv_reply_send(struct cv_reply *reply,
                                         struct cv_err *err);

/* No answer is sent when the method returns CV_OK: it comes by cv_reply_late,
 * when there is one. Until then the caller waits. */
void cv_reply_later(struct cv_reply *reply);

/* Sends such an answer over the caller's channel: `parameters` (an object) is
 * taken. As cv_channel_send. */
CV_MUST_USE enum cv_status cv_reply_late(struct cv_channel *ch,
                                         cJSON *parameters, struct cv_err *err);

#endif
