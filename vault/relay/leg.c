#include "vault/relay/leg.h"

#include "vault/relay/leg_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* What one leg may read before the others have their turn. */
#define TURN ((size_t)64 * 1024)

static void on_in(evutil_socket_t fd, short what, void *arg);
static void on_out(evutil_socket_t fd, short what, void *arg);
static void on_again(evutil_socket_t fd, short what, void *arg);

/* Legs whose owners have let go of them. The loop's thread alone. */
static struct cv_leg *lingerers;

static void set_socket(int fd)
{
    /* An end that is gone without a word is found after a minute and a half;
     * what stands between keeps a watch in mind that says nothing for hours. */
    static const struct {
        int level, name, value;
    } options[] = {
        {IPPROTO_TCP, TCP_NODELAY, 1},   {SOL_SOCKET, SO_KEEPALIVE, 1},
        {IPPROTO_TCP, TCP_KEEPIDLE, 30}, {IPPROTO_TCP, TCP_KEEPINTVL, 15},
        {IPPROTO_TCP, TCP_KEEPCNT, 4},
    };
    int flags = fcntl(fd, F_GETFL);

    if (flags != -1) {
        (void)fcntl(fd, F_SETFL, flags | O_NONBLOCK);
    }
    for (size_t i = 0; i < sizeof(options) / sizeof(options[0]); i++) {
        /* fails where it is no TCP socket */
        (void)setsockopt(fd, options[i].level, options[i].name,
                         &options[i].value, sizeof(options[i].value));
    }
}

struct cv_leg *cv_leg_new(struct event_base *base, int fd, SSL *ssl)
{
    struct cv_leg *leg = calloc(1, sizeof(*leg));

    if (leg == NULL ||
        event_assign(&leg->in, base, fd, EV_READ | EV_PERSIST, on_in, leg) !=
            0 ||
        event_assign(&leg->out, base, fd, EV_WRITE, on_out, leg) != 0 ||
        event_assign(&leg->again, base, -1, 0, on_again, leg) != 0) {
        free(leg);
        SSL_free(ssl);
        (void)close(fd);
        return NULL;
    }
    set_socket(fd);
    leg->fd = fd;
    leg->ssl = ssl;
    if (ssl != NULL) {
        (void)SSL_set_mode(ssl, SSL_MODE_RELEASE_BUFFERS |
                                    SSL_MODE_ENABLE_PARTIAL_WRITE |
                                    SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
        /* Reading ahead leaves records in libssl: one that is no data must
         * not end a read in front of one that is. */
        (void)SSL_set_mode(ssl, SSL_MODE_AUTO_RETRY);
        SSL_set_read_ahead(ssl, 1);
        /* four records with one read; the buffer goes when all are taken */
        SSL_set_default_read_buffer_len(ssl, (size_t)66 * 1024);
    }
    return leg;
}

static void close_timer(struct cv_leg *leg)
{
    if (leg->timer != NULL) {
        event_free(leg->timer);
        leg->timer = NULL;
    }
}

/* Everything but the leg itself. */
static void release(struct cv_leg *leg)
{
    if (leg->fd < 0) {
        return;
    }
    (void)event_del(&leg->in);
    (void)event_del(&leg->out);
    (void)event_del(&leg->again);
    close_timer(leg);
    cv_leg_queue_drop(&leg->queue);
    free(leg->rest);
    free(leg->why);
    SSL_free(leg->ssl);
    (void)close(leg->fd);
    leg->fd = -1;
    leg->ssl = NULL;
    leg->rest = NULL;
    leg->why = NULL;
    if (leg->lingers) {
        *leg->before = leg->next;
        if (leg->next != NULL) {
            leg->next->before = leg->before;
        }
    }
}

void cv_leg_free(struct cv_leg *leg)
{
    if (leg == NULL) {
        return;
    }
    release(leg);
    leg->gone = true;
    if (!leg->busy) {
        free(leg);
    }
}

/* From the loop, around everything that may call a hook. */
static void enter(struct cv_leg *leg)
{
    leg->busy = true;
}

static void leave(struct cv_leg *leg)
{
    leg->busy = false;
    if (leg->gone) {
        free(leg);
    }
}

/* Has the loop call on_out soon, which tells what there is to be told. */
static void soon(struct cv_leg *leg)
{
    event_active(&leg->out, EV_WRITE, 0);
}

static bool is_reading(const struct cv_leg *leg)
{
    return (leg->hooks != NULL || leg->lingers) && !leg->paused &&
           !leg->ended && !leg->broken && !leg->gone;
}

void cv_leg_break(struct cv_leg *leg, const char *why)
{
    if (leg->broken) {
        return;
    }
    leg->broken = true;
    leg->why = strdup(why);
    cv_leg_queue_drop(&leg->queue);
    (void)event_del(&leg->in);
    soon(leg);
}

/* Tells the owner what it was not told yet. */
static void tell(struct cv_leg *leg)
{
    if (leg->gone || leg->hooks == NULL) {
        return;
    }
    if (leg->was_high && !leg->broken && leg->queue.len <= CV_LEG_LOW) {
        leg->was_high = false;
        leg->hooks->writable(leg->ctx);
    }
    if (!leg->gone && leg->ended && leg->rest_len == 0 && !leg->told_ended &&
        !leg->broken && leg->hooks != NULL) {
        leg->told_ended = true;
        leg->hooks->closed(leg->ctx, true);
    }
    if (!leg->gone && leg->broken && !leg->told_broken && leg->hooks != NULL) {
        leg->told_broken = true;
        leg->hooks->closed(leg->ctx, false);
    }
}

/* Keeps what the owner did not take. */
static void keep(struct cv_leg *leg, const uint8_t *data, size_t len)
{
    leg->paused = true;
    leg->rest = malloc(len);
    if (leg->rest == NULL) {
        cv_leg_break(leg, "memory is gone");
        return;
    }
    memcpy(leg->rest, data, len);
    leg->rest_from = 0;
    leg->rest_len = len;
}

static void offer(struct cv_leg *leg, const uint8_t *data, size_t len)
{
    size_t took = leg->lingers ? len : leg->hooks->read(leg->ctx, data, len);

    if (!leg->gone && took < len) {
        keep(leg, data + took, len - took);
    }
}

static void offer_rest(struct cv_leg *leg)
{
    uint8_t *rest = leg->rest;
    size_t from = leg->rest_from, len = leg->rest_len;

    leg->rest = NULL;
    leg->rest_len = 0;
    offer(leg, rest + from, len);
    free(rest);
}

/* Reads until nothing is there, the owner has enough, or others have waited. */
static void fill(struct cv_leg *leg)
{
    uint8_t buf[CV_LEG_PIECE];
    size_t left = TURN;

    if (leg->rest_len > 0 && is_reading(leg)) {
        offer_rest(leg);
    }
    while (left > 0 && is_reading(leg)) {
        size_t n = 0;
        enum cv_leg_io io = cv_leg_recv(leg, buf, sizeof(buf), &n);

        if (io == CV_LEG_IO_DONE) {
            left -= n < left ? n : left;
            offer(leg, buf, n);
            /* The loop says when there is more, sooner than a read that finds
             * nothing. */
            if (n < sizeof(buf) &&
                (leg->gone || leg->ssl == NULL || !SSL_has_pending(leg->ssl))) {
                return;
            }
        } else if (io == CV_LEG_IO_ENDED) {
            leg->ended = true;
        } else if (io == CV_LEG_IO_OUT) {
            (void)event_add(&leg->out, NULL);
            return;
        } else {
            return; /* wait, or broken */
        }
    }
    /* What libssl holds already, the socket will not tell of. */
    if (is_reading(leg) && leg->ssl != NULL && SSL_has_pending(leg->ssl)) {
        const struct timeval now = {0, 0};

        (void)event_add(&leg->again, &now);
    }
}

/* Sends what is queued, then what cv_leg_finish promised. */
static void flush(struct cv_leg *leg)
{
    while (leg->queue.len > 0 && !leg->broken) {
        size_t n = 0;
        struct cv_bytes piece = cv_leg_queue_first(&leg->queue);
        enum cv_leg_io io = cv_leg_send(leg, piece.data, piece.len, &n);

        if (io == CV_LEG_IO_DONE) {
            cv_leg_queue_took(&leg->queue, n);
        } else if (io == CV_LEG_IO_OUT) {
            (void)event_add(&leg->out, NULL);
            return;
        } else {
            leg->send_waits_in = io == CV_LEG_IO_IN;
            if (leg->send_waits_in) {
                (void)event_add(&leg->in, NULL);
            }
            return;
        }
    }
    if (leg->finishing && !leg->finished && !leg->broken) {
        if (cv_leg_shut(leg) == CV_LEG_IO_OUT) {
            (void)event_add(&leg->out, NULL);
            return;
        }
        leg->finished = true;
        if (leg->lingers) {
            (void)shutdown(leg->fd, SHUT_WR);
        }
    }
}

/* A leg without an owner ends when both directions have. */
static void end_lingering(struct cv_leg *leg)
{
    if (leg->lingers && !leg->gone &&
        (leg->broken || (leg->ended && leg->finished))) {
        release(leg);
        leg->gone = true;
    }
}

static void on_in(evutil_socket_t fd, short what, void *arg)
{
    struct cv_leg *leg = arg;

    (void)fd;
    (void)what;
    enter(leg);
    if (leg->send_waits_in) {
        leg->send_waits_in = false;
        flush(leg);
    }
    fill(leg);
    tell(leg);
    end_lingering(leg);
    if (!leg->gone && !is_reading(leg) && !leg->send_waits_in) {
        (void)event_del(&leg->in);
    }
    leave(leg);
}

static void on_again(evutil_socket_t fd, short what, void *arg)
{
    on_in(fd, what, arg);
}

static void on_out(evutil_socket_t fd, short what, void *arg)
{
    struct cv_leg *leg = arg;

    (void)fd;
    (void)what;
    enter(leg);
    leg->is_soon = false;
    flush(leg);
    tell(leg);
    end_lingering(leg);
    leave(leg);
}

/* Reading goes on, from what is there already. */
static void resume(struct cv_leg *leg)
{
    if (leg->hooks == NULL || leg->gone || leg->broken) {
        return;
    }
    (void)event_add(&leg->in, NULL);
    event_active(&leg->in, EV_READ, 0);
}

void cv_leg_hook(struct cv_leg *leg, const struct cv_leg_hooks *hooks,
                 void *ctx)
{
    leg->hooks = hooks;
    leg->ctx = ctx;
    leg->told_ended = leg->told_broken = false;
    if (hooks == NULL) {
        (void)event_del(&leg->in);
        return;
    }
    if (leg->ended || leg->broken) {
        soon(leg);
    }
    if (!leg->paused) {
        resume(leg);
    }
}

void cv_leg_pause(struct cv_leg *leg, bool pause)
{
    bool before = leg->paused;

    /* the event goes when it comes in vain: pauses are often short */
    leg->paused = pause;
    if (before && !pause) {
        resume(leg);
    }
}

/* Without a copy, where nothing waits before it. Returns how much went out. */
static size_t send_now(struct cv_leg *leg, const uint8_t *data, size_t len)
{
    size_t done = 0;

    while (done < len && !leg->broken) {
        size_t piece = len - done < CV_LEG_PIECE ? len - done : CV_LEG_PIECE;
        size_t n = 0;

        if (cv_leg_send(leg, data + done, piece, &n) != CV_LEG_IO_DONE) {
            break;
        }
        done += n;
    }
    return done;
}

bool cv_leg_write(struct cv_leg *leg, const void *data, size_t len)
{
    size_t done = 0;

    if (leg->broken || leg->finishing || leg->gone) {
        return false;
    }
    if (leg->queue.len == 0 && len >= CV_LEG_PIECE / 2) {
        done = send_now(leg, data, len);
    }
    if (!leg->broken && leg->queue.len + (len - done) > CV_LEG_HARD) {
        cv_leg_break(leg, "the other end does not take what it is sent");
    }
    if (!leg->broken &&
        !cv_leg_queue_add(&leg->queue, (const uint8_t *)data + done,
                          len - done)) {
        cv_leg_break(leg, "memory is gone");
    }
    leg->was_high = leg->was_high || leg->queue.len > CV_LEG_LOW;
    if (leg->queue.len > 0 && !leg->is_soon &&
        !event_pending(&leg->out, EV_WRITE, NULL)) {
        leg->is_soon = true;
        soon(leg);
    }
    return !leg->broken;
}

size_t cv_leg_room(const struct cv_leg *leg)
{
    if (leg->broken || leg->finishing || leg->queue.len >= CV_LEG_HIGH) {
        return 0;
    }
    return CV_LEG_HIGH - leg->queue.len;
}

size_t cv_leg_queued(const struct cv_leg *leg)
{
    return leg->queue.len;
}

void cv_leg_finish(struct cv_leg *leg)
{
    if (!leg->finishing && !leg->broken && !leg->gone) {
        leg->finishing = true;
        soon(leg);
    }
}

static void on_timer(evutil_socket_t fd, short what, void *arg)
{
    (void)fd;
    (void)what;
    cv_leg_free(arg);
}

void cv_leg_linger(struct cv_leg *leg, int ms)
{
    const struct timeval when = {ms / 1000, (ms % 1000) * 1000};

    if (leg == NULL) {
        return;
    }
    if (!leg->broken && !leg->gone) {
        leg->timer = event_new(event_get_base(&leg->in), -1, 0, on_timer, leg);
    }
    if (leg->timer == NULL || event_add(leg->timer, &when) != 0) {
        cv_leg_free(leg);
        return;
    }
    leg->hooks = NULL;
    leg->lingers = true;
    leg->finishing = true;
    leg->paused = false;
    free(leg->rest);
    leg->rest = NULL;
    leg->rest_len = 0;
    leg->before = &lingerers;
    leg->next = lingerers;
    if (leg->next != NULL) {
        leg->next->before = &leg->next;
    }
    lingerers = leg;
    (void)event_add(&leg->in, NULL);
    soon(leg);
}

void cv_leg_end(const struct event_base *base)
{
    struct cv_leg *next;

    for (struct cv_leg *leg = lingerers; leg != NULL; leg = next) {
        next = leg->next;
        if (event_get_base(&leg->in) == base) {
            cv_leg_free(leg);
        }
    }
}

enum cv_status cv_leg_why(const struct cv_leg *leg, struct cv_err *err)
{
    if (!leg->broken) {
        return CV_OK;
    }
    return cv_fail(err, CV_REMOTE, "%s",
                   leg->why != NULL ? leg->why : "the connection broke");
}

SSL *cv_leg_ssl(const struct cv_leg *leg)
{
    return leg->ssl;
}
