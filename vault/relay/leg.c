#include "vault/relay/leg.h"

#include <openssl/ssl.h>
#include <stdlib.h>
#include <unistd.h>

struct cv_leg {
    int fd;
    SSL *ssl;
};

struct cv_leg *cv_leg_new(struct event_base *base, int fd, SSL *ssl)
{
    struct cv_leg *leg = calloc(1, sizeof(*leg));

    (void)base;
    if (leg == NULL) {
        SSL_free(ssl);
        (void)close(fd);
        return NULL;
    }
    leg->fd = fd;
    leg->ssl = ssl;
    return leg;
}

void cv_leg_hook(struct cv_leg *leg, const struct cv_leg_hooks *hooks,
                 void *ctx)
{
    (void)leg;
    (void)hooks;
    (void)ctx;
}

bool cv_leg_write(struct cv_leg *leg, const void *data, size_t len)
{
    (void)leg;
    (void)data;
    (void)len;
    return false;
}

size_t cv_leg_room(const struct cv_leg *leg)
{
    (void)leg;
    return 0;
}

size_t cv_leg_queued(const struct cv_leg *leg)
{
    (void)leg;
    return 0;
}

void cv_leg_pause(struct cv_leg *leg, bool pause)
{
    (void)leg;
    (void)pause;
}

void cv_leg_finish(struct cv_leg *leg)
{
    (void)leg;
}

void cv_leg_linger(struct cv_leg *leg, int ms)
{
    (void)ms;
    cv_leg_free(leg);
}

void cv_leg_free(struct cv_leg *leg)
{
    if (leg != NULL) {
        SSL_free(leg->ssl);
        (void)close(leg->fd);
        free(leg);
    }
}

enum cv_status cv_leg_why(const struct cv_leg *leg, struct cv_err *err)
{
    (void)leg;
    (void)err;
    return CV_OK;
}

SSL *cv_leg_ssl(const struct cv_leg *leg)
{
    return leg->ssl;
}
