#include "vault/relay/h2_internal.h"

#include <string.h>

#define FRAME_HEAD_LEN 9

bool cv_h2_send(nghttp2_session *ng, struct cv_leg *leg)
{
    while (cv_leg_room(leg) > 0) {
        const uint8_t *data;
        ssize_t n = nghttp2_session_mem_send(ng, &data);

        if (n < 0) {
            return false;
        }
        if (n == 0) {
            break;
        }
        if (!cv_leg_write(leg, data, (size_t)n)) {
            return false;
        }
    }
    return true;
}

static bool make(nghttp2_session **ng, const struct cv_h2_end *end)
{
    nghttp2_option *option = NULL;
    int why;

    if (end->callbacks == NULL || nghttp2_option_new(&option) != 0) {
        return false;
    }
    nghttp2_option_set_no_auto_window_update(option, 1);
    nghttp2_option_set_no_closed_streams(option, 1);
    why =
        end->server
            ? nghttp2_session_server_new2(ng, end->callbacks, end->ctx, option)
            : nghttp2_session_client_new2(ng, end->callbacks, end->ctx, option);
    nghttp2_option_del(option);
    return why == 0;
}

bool cv_h2_start(nghttp2_session **ng, const struct cv_h2_end *end)
{
    bool made = make(ng, end);

    nghttp2_session_callbacks_del(end->callbacks);
    if (made &&
        nghttp2_submit_settings(*ng, NGHTTP2_FLAG_NONE, end->settings,
                                end->n_settings) == 0 &&
        nghttp2_session_set_local_window_size(*ng, NGHTTP2_FLAG_NONE, 0,
                                              end->window) == 0) {
        return true;
    }
    if (made) {
        nghttp2_session_del(*ng);
    }
    *ng = NULL;
    return false;
}

/* The body is followed by these. */
static void submit_trailers(nghttp2_session *ng, int32_t id,
                            const struct cv_fields *trailers, uint32_t *flags)
{
    nghttp2_nv nv[CV_LIMIT_RELAY_HEADERS];
    size_t n = cv_h2_nv_fields(trailers, nv, CV_LIMIT_RELAY_HEADERS);

    if (n > 0 && nghttp2_submit_trailer(ng, id, nv, n) == 0) {
        *flags |= NGHTTP2_DATA_FLAG_NO_END_STREAM;
    }
}

ssize_t cv_h2_read_pipe(nghttp2_session *ng, int32_t id,
                        const struct cv_pipe *pipe,
                        const struct cv_fields *trailers, size_t max,
                        uint32_t *flags, bool *deferred)
{
    size_t n = pipe->len < max ? pipe->len : max;

    if (n == 0 && !pipe->ended) {
        *deferred = true;
        return NGHTTP2_ERR_DEFERRED;
    }
    *flags |= NGHTTP2_DATA_FLAG_NO_COPY;
    if (n == pipe->len && pipe->ended) {
        *flags |= NGHTTP2_DATA_FLAG_EOF;
        if (trailers != NULL) {
            submit_trailers(ng, id, trailers, flags);
        }
    }
    return (ssize_t)n;
}

int cv_h2_send_pipe(struct cv_leg *leg, const nghttp2_frame *frame,
                    const uint8_t *head, const struct cv_pipe *pipe, size_t len)
{
    (void)frame; /* no padding: select_padding is not set */
    if (!cv_leg_write(leg, head, FRAME_HEAD_LEN) ||
        (len > 0 && !cv_leg_write(leg, cv_pipe_data(pipe), len))) {
        return NGHTTP2_ERR_CALLBACK_FAILURE;
    }
    return cv_leg_room(leg) > 0 ? 0 : NGHTTP2_ERR_PAUSE;
}

/* nghttp2 takes pointers to bytes that it only reads. */
static uint8_t *unconst(const char *text)
{
    union {
        const char *in;
        uint8_t *out;
    } u = {text};

    return u.out;
}

nghttp2_nv cv_h2_nv(const char *name, size_t name_len, const char *value,
                    size_t value_len)
{
    nghttp2_nv nv = {unconst(name), unconst(value), name_len, value_len,
                     NGHTTP2_NV_FLAG_NONE};

    return nv;
}

size_t cv_h2_nv_fields(const struct cv_fields *f, nghttp2_nv *nv, size_t max)
{
    size_t n = 0;

    for (uint32_t i = 0; i < f->n && n < max; i++) {
        const struct cv_field *field = &f->list[i];

        if (field->name_len > 0) {
            nv[n] = cv_h2_nv(cv_fields_name(f, i), field->name_len,
                             cv_fields_value(f, i), field->value_len);
            n++;
        }
    }
    return n;
}
