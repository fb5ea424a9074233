/* A connection to a syslog server over TCP, or TLS over TCP, by libcurl
 * (CURLOPT_CONNECT_ONLY): resolving, several addresses, the time limits and the
 * checks of certificates are those that requests to clouds get. TLS 1.2 or
 * later; the server's name and chain are verified, always.
 *
 * Syslog over a stream has no answers. So what was sent counts when the other
 * end's kernel has acknowledged it and the connection still stands; who resets
 * it has thrown away what he had not read. Blocking; one thread. */
#ifndef CERTVAULT_FETCH_STREAM_H
#define CERTVAULT_FETCH_STREAM_H

#include "vault/base/arena.h"

#include <stdbool.h>

struct cv_stream;

enum cv_stream_state {
    CV_STREAM_WHOLE,
    CV_STREAM_ENDED, /* the other end closed, having read what came */
    CV_STREAM_RESET  /* it did not read all */
};

/* Connects to `origin` ("HOST:PORT", [] around IPv6), with TLS where `tls`.
 * `ca_pem`: NULL: the system's authorities. CV_REMOTE; *out is NULL then. */
CV_MUST_USE enum cv_status cv_stream_open(const char *origin, bool tls,
                                          const char *ca_pem,
                                          struct cv_stream **out,
                                          struct cv_err *err);

/* Does it still stand? Does not wait. What the other end says is dropped. */
enum cv_stream_state cv_stream_look(struct cv_stream *s);

/* Sends all of `bytes`, then waits until they are acknowledged; until
 * `until_ms` (CLOCK_BOOTTIME) at most. CV_BUSY: the other end does not take
 * them; the rest is kept, and goes out by further calls, whose `bytes` are not
 * looked at. CV_REMOTE: the connection is gone. CV_INTERNAL. */
CV_MUST_USE enum cv_status cv_stream_send(struct cv_stream *s,
                                          struct cv_bytes bytes,
                                          int64_t until_ms, struct cv_err *err);

/* Is something kept from an earlier call? */
bool cv_stream_is_held(const struct cv_stream *s);

/* NULL is fine. */
void cv_stream_close(struct cv_stream *s);

#endif
