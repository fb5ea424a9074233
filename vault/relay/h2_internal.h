/* What both ends of HTTP/2 (RFC 9113, by nghttp2) share: sending when the turn
 * of the loop is over, and bodies out of pipes without a copy in between. */
#ifndef CERTVAULT_RELAY_H2_INTERNAL_H
#define CERTVAULT_RELAY_H2_INTERNAL_H

#include "vault/relay/session_internal.h"

#include <nghttp2/nghttp2.h>

/* Sends what nghttp2 has, as long as the leg has room; more is sent when it is
 * writable again. False: the connection cannot go on. */
bool cv_h2_send(nghttp2_session *ng, struct cv_leg *leg);

/* One end of a connection. */
struct cv_h2_end {
    bool server;
    nghttp2_session_callbacks *callbacks; /* NULL: memory was gone */
    void *ctx;                            /* theirs */
    const nghttp2_settings_entry *settings;
    size_t n_settings;
    int32_t window; /* bytes, of all streams together */
};

/* Makes its session: windows are ours to open, closed streams are not
 * remembered; the settings are what is sent first. Frees the callbacks. False:
 * memory is gone, and *ng is nothing. */
bool cv_h2_start(nghttp2_session **ng, const struct cv_h2_end *end);

/* A data provider's two halves over a pipe: how much of it goes into the next
 * frame (NGHTTP2_ERR_DEFERRED: nothing now, *deferred is set), and the frame
 * itself. The caller drops the bytes from the pipe. `trailers` may be NULL. */
ssize_t cv_h2_read_pipe(nghttp2_session *ng, int32_t id,
                        const struct cv_pipe *pipe,
                        const struct cv_fields *trailers, size_t max,
                        uint32_t *flags, bool *deferred);
int cv_h2_send_pipe(struct cv_leg *leg, const nghttp2_frame *frame,
                    const uint8_t *head, const struct cv_pipe *pipe,
                    size_t len);

/* A name and value for nghttp2 that stay where they are until the call that
 * they are for has returned. */
nghttp2_nv cv_h2_nv(const char *name, size_t name_len, const char *value,
                    size_t value_len);

/* Puts the fields that were not dropped into nv, `max` at most; how many. */
size_t cv_h2_nv_fields(const struct cv_fields *f, nghttp2_nv *nv, size_t max);

#endif
