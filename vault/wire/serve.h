/* The serving half of Varlink: an interface is a table of methods; what is not
 * in it is refused. org.varlink.service is answered for every interface. */
#ifndef CERTVAULT_WIRE_SERVE_H
#define CERTVAULT_WIRE_SERVE_H

#include "vault/wire/channel.h"
#include "vault/wire/reply.h"

/* One method. `parameters` is an object (empty where the caller sent none),
 * borrowed for the call. On CV_OK what was put into cv_reply_parameters is
 * sent; else the error, with what was put into cv_reply_failure. */
struct cv_method {
    const char *name; /* without the interface's */
    enum cv_status (*run)(void *context, const cJSON *parameters,
                          struct cv_reply *reply, struct cv_err *err);
    bool secret; /* its parameters or its answer carry a secret: what the call
                    makes is made in an arena */
};

struct cv_interface {
    const char *name;        /* "io.certvault.Broker" */
    const char *description; /* the .varlink text */
    const struct cv_method *methods;
    size_t n_methods;
};

/* Answers one request (borrowed) over `ch`. Fails only where no answer could be
 * sent: then the connection is to be closed. */
CV_MUST_USE enum cv_status cv_serve_message(const struct cv_interface *iface,
                                            void *context,
                                            struct cv_channel *ch,
                                            const struct cv_message *request,
                                            struct cv_err *err);

/* Is this a request that is served? What is not makes cv_serve_message fail
 * before any method is run. */
bool cv_serve_reads(const struct cv_message *request);

/* Serves the one connection `fd` (taken) until it closes (CV_OK), a message
 * cannot be read or answered, or `idle_ms` (-1: never) pass without one
 * (CV_OK). For the helper programs. */
CV_MUST_USE enum cv_status cv_serve_loop(const struct cv_interface *iface,
                                         void *context, int fd, int idle_ms,
                                         struct cv_err *err);

/* For a program that cannot serve: waits at most `timeout_ms` for the first
 * request over `fd` (taken) and answers it with `what`, an error of `iface`.
 * Fails where nobody asked, or the answer could not be sent. */
CV_MUST_USE enum cv_status cv_serve_refuse(const char *iface, int fd,
                                           int timeout_ms,
                                           const struct cv_err *what,
                                           struct cv_err *err);

#endif
