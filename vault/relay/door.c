#include "vault/relay/door.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct cv_door {
    int fd;
};

enum cv_status cv_door_new(struct event_base *base, int fd,
                           void (*gone)(void *ctx), void *ctx,
                           struct cv_door **out, struct cv_err *err)
{
    (void)base;
    (void)gone;
    (void)ctx;
    *out = calloc(1, sizeof(**out));
    if (*out == NULL) {
        (void)close(fd);
        return cv_fail(err, CV_INTERNAL, "memory is gone");
    }
    (*out)->fd = fd;
    return CV_OK;
}

uint64_t cv_door_ask(struct cv_door *door, const char *method,
                     cJSON *parameters, cv_door_done *done, void *ctx)
{
    (void)door;
    (void)method;
    (void)done;
    (void)ctx;
    cJSON_Delete(parameters);
    return 1;
}

void cv_door_forget(struct cv_door *door, uint64_t ask)
{
    (void)door;
    (void)ask;
}

enum cv_status cv_door_call(struct cv_door *door, const char *method,
                            cJSON *parameters, int timeout_ms,
                            struct cv_message *reply, struct cv_err *err)
{
    (void)door;
    (void)method;
    (void)timeout_ms;
    cJSON_Delete(parameters);
    memset(reply, 0, sizeof(*reply));
    return cv_fail(err, CV_UNAVAILABLE, "the broker is gone");
}

void cv_door_close(struct cv_door *door)
{
    (void)door;
}

void cv_door_free(struct cv_door *door)
{
    if (door != NULL) {
        (void)close(door->fd);
        free(door);
    }
}
