/* The serving half of Varlink: an interface is a table of methods; what is not
 * in it is refused. org.varlink.service is answered for every interface. */
#ifndef CERTVAULT_WIRE_SERVE_H
#define CERTVAULT_WIRE_SERVE_H

#include "vault/wire/channel.h"

/* The answer to one call, while it is being made. */
struct cv_reply;

/* One method. `parameters` is an object (empty where the caller sent none),
 * borrowed for the call. On CV_OK what was put into cv_reply_parameters is
 * sent; else the error, with what was put into cv_reply_failure. */
struct cv_method {
    const char *name; /* without the interface's */
    enum cv_status (*run)(void *context, const cJSON *parameters,
                          struct cv_reply *reply, struct cv_err *err);
    bool secret; /* its answer carries a secret */
};

struct cv_interface {
    const char *name;        /* "io.certvault.Broker" */
    const char *description; /* the .varlink text */
    const struct cv_method *methods;
    size_t n_methods;
};

/* The object that the answer will carry. While a method whose answer is secret
 * runs, cJSON values are made in the answer's arena. */
cJSON *cv_reply_parameters(struct cv_reply *reply);

/* The memory of a secret answer; NULL for others. Lives until it is sent. */
struct cv_arena *cv_reply_arena(struct cv_reply *reply);

/* The object whose members go along with an error. */
cJSON *cv_reply_failure(struct cv_reply *reply);

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

/* Answers one request (borrowed) over `ch`. Fails only where no answer could be
 * sent: then the connection is to be closed. */
CV_MUST_USE enum cv_status cv_serve_message(const struct cv_interface *iface,
                                            void *context,
                                            struct cv_channel *ch,
                                            const struct cv_message *request,
                                            struct cv_err *err);

/* Serves the one connection `fd` (taken) until it closes (CV_OK), a message
 * cannot be read or answered, or `idle_ms` (-1: never) pass without one
 * (CV_OK). For the helper programs. */
CV_MUST_USE enum cv_status cv_serve_loop(const struct cv_interface *iface,
                                         void *context, int fd, int idle_ms,
                                         struct cv_err *err);

#endif
