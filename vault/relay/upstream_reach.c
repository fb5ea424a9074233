/* From a host's name to a connected socket: both can take longer than anybody
 * wants to wait. */
#include "vault/relay/upstream_internal.h"

#include "vault/base/clock.h"
#include "vault/base/limits.h"

#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

/* RFC 8305 section 8: between two attempts. */
#define NEXT_MS 250

/* A connection without traffic is looked after, so that a watch on a server
 * that is gone ends: seconds, seconds, tries. */
#define KEEP_IDLE_S 30
#define KEEP_EVERY_S 15
#define KEEP_TRIES 4

int (*cv_upstream_lookup)(const char *, const char *, const struct addrinfo *,
                          struct addrinfo **) = getaddrinfo;

/* A question to the resolver, which cannot be called off: it gets a thread, and
 * who asked leaves when time is up. */
struct lookup {
    atomic_uint refs;
    char host[CV_LIMIT_HOST + 1];
    char port[8];
    int done_fd;
    atomic_bool done; /* what follows is there */
    int rc;
    struct addrinfo *found;
};

static atomic_int lookups;

static void leave(struct lookup *l)
{
    if (atomic_fetch_sub(&l->refs, 1) == 1) {
        if (l->found != NULL) {
            freeaddrinfo(l->found);
        }
        close(l->done_fd);
        free(l);
    }
}

static int look_up(const char *host, const char *port, int flags,
                   struct addrinfo **found)
{
    const struct addrinfo hints = {.ai_flags = AI_NUMERICSERV | flags,
                                   .ai_family = AF_UNSPEC,
                                   .ai_socktype = SOCK_STREAM};

    return cv_upstream_lookup(host, port, &hints, found);
}

static void *look(void *v)
{
    struct lookup *l = v;

    l->rc = look_up(l->host, l->port, 0, &l->found);
    atomic_store(&l->done, true);
    (void)eventfd_write(l->done_fd, 1);
    leave(l);
    atomic_fetch_sub(&lookups, 1);
    return NULL;
}

static struct lookup *begin_lookup(const char *host, const char *port)
{
    struct lookup *l = calloc(1, sizeof(*l));
    pthread_attr_t detached;
    pthread_t thread;
    bool good;

    if (l == NULL) {
        return NULL;
    }
    atomic_init(&l->refs, 2);
    atomic_init(&l->done, false);
    (void)snprintf(l->host, sizeof(l->host), "%s", host);
    (void)snprintf(l->port, sizeof(l->port), "%s", port);
    l->done_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    good = l->done_fd >= 0 && pthread_attr_init(&detached) == 0;
    if (good) {
        good = pthread_attr_setdetachstate(&detached,
                                           PTHREAD_CREATE_DETACHED) == 0 &&
               pthread_create(&thread, &detached, look, l) == 0;
        (void)pthread_attr_destroy(&detached);
    }
    if (!good) {
        if (l->done_fd >= 0) {
            close(l->done_fd);
        }
        free(l);
        return NULL;
    }
    return l;
}

static enum cv_status no_address(struct cv_upstream_try *t, int rc,
                                 struct cv_err *err)
{
    (void)cv_fail(err, CV_REMOTE, "%s has no address: %s",
                  t->up->grant->upstream.host,
                  rc == EAI_SYSTEM ? "the resolver failed" : gai_strerror(rc));
    cv_err_hint(err, "is the name right, and does this host's DNS know it?");
    return CV_REMOTE;
}

static enum cv_status resolve(struct cv_upstream_try *t,
                              struct addrinfo **found, struct cv_err *err)
{
    const struct cv_grant_upstream *to = &t->up->grant->upstream;
    char port[8];
    struct lookup *l;
    struct pollfd done;
    enum cv_status status = CV_REMOTE;

    *found = NULL;
    (void)snprintf(port, sizeof(port), "%d", to->port);
    if (look_up(to->host, port, AI_NUMERICHOST, found) == 0) {
        return CV_OK;
    }
    if (atomic_fetch_add(&lookups, 1) >= CV_LIMIT_LOOKUPS) {
        atomic_fetch_sub(&lookups, 1);
        return cv_fail(err, CV_BUSY, "too many names are being looked up");
    }
    l = begin_lookup(to->host, port);
    if (l == NULL) {
        atomic_fetch_sub(&lookups, 1);
        return cv_fail(err, CV_INTERNAL, "no thread to look a name up");
    }
    done = (struct pollfd){l->done_fd, POLLIN, 0};
    if (cv_upstream_wait(t, &done, 1, -1, err) && atomic_load(&l->done)) {
        *found = l->found;
        l->found = NULL;
        status = l->rc == 0 ? CV_OK : no_address(t, l->rc, err);
    }
    leave(l);
    return status;
}

/* The attempts that are under way. */
struct race {
    const struct addrinfo *order[CV_LIMIT_ADDRESSES];
    size_t n, next;
    struct pollfd tried[CV_LIMIT_ADDRESSES];
    size_t n_tried;
    int error; /* errno of the last that failed */
};

/* Families in turn, beginning with the resolver's first (RFC 8305 section 4).
 */
static void put_in_order(struct race *r, const struct addrinfo *found)
{
    const struct addrinfo *a = found, *b = found;
    int first = found->ai_family;

    while (r->n < CV_LIMIT_ADDRESSES && (a != NULL || b != NULL)) {
        while (a != NULL && a->ai_family != first) {
            a = a->ai_next;
        }
        if (a != NULL) {
            r->order[r->n++] = a;
            a = a->ai_next;
        }
        while (b != NULL && b->ai_family == first) {
            b = b->ai_next;
        }
        if (b != NULL && r->n < CV_LIMIT_ADDRESSES) {
            r->order[r->n++] = b;
            b = b->ai_next;
        }
    }
}

/* Begins with the next address; one that fails at once is passed over. */
static void begin_next(struct race *r)
{
    while (r->next < r->n) {
        const struct addrinfo *to = r->order[r->next++];
        int fd = socket(to->ai_family,
                        SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

        if (fd >= 0 && (connect(fd, to->ai_addr, to->ai_addrlen) == 0 ||
                        errno == EINPROGRESS)) {
            r->tried[r->n_tried++] = (struct pollfd){fd, POLLOUT, 0};
            return;
        }
        r->error = errno;
        if (fd >= 0) {
            close(fd);
        }
    }
}

/* The first that is connected, -1: none yet. Those that failed are closed. */
static int first_connected(struct race *r)
{
    size_t kept = 0;
    int winner = -1;

    for (size_t i = 0; i < r->n_tried; i++) {
        int fd = r->tried[i].fd, error = 0;
        socklen_t len = sizeof(error);

        if (r->tried[i].revents == 0 || winner >= 0) {
            r->tried[kept++] = r->tried[i];
            continue;
        }
        if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &len) == 0 &&
            error == 0) {
            winner = fd;
        } else {
            r->error = error;
            close(fd);
        }
    }
    r->n_tried = kept;
    return winner;
}

static enum cv_status run(struct cv_upstream_try *t, struct race *r,
                          struct cv_err *err)
{
    int64_t next_ms;

    begin_next(r);
    next_ms = cv_clock_boot_ms() + NEXT_MS;
    while (r->n_tried > 0) {
        int64_t wait = next_ms - cv_clock_boot_ms();
        size_t before = r->n_tried;

        if (!cv_upstream_wait(t, r->tried, r->n_tried,
                              r->next == r->n ? -1
                              : wait > 0      ? (int)wait
                                              : 0,
                              err)) {
            return CV_REMOTE;
        }
        t->out->fd = first_connected(r);
        if (t->out->fd >= 0) {
            return CV_OK;
        }
        if (r->n_tried < before || cv_clock_boot_ms() >= next_ms) {
            begin_next(r);
            next_ms = cv_clock_boot_ms() + NEXT_MS;
        }
    }
    return cv_fail_native(err, CV_REMOTE, CV_DOMAIN_ERRNO, r->error,
                          "%s cannot be reached: %s",
                          t->up->grant->upstream.address, strerror(r->error));
}

static void look_after(int fd)
{
    static const struct {
        int level, name, value;
    } options[] = {{IPPROTO_TCP, TCP_NODELAY, 1},
                   {SOL_SOCKET, SO_KEEPALIVE, 1},
                   {IPPROTO_TCP, TCP_KEEPIDLE, KEEP_IDLE_S},
                   {IPPROTO_TCP, TCP_KEEPINTVL, KEEP_EVERY_S},
                   {IPPROTO_TCP, TCP_KEEPCNT, KEEP_TRIES}};

    for (size_t i = 0; i < sizeof(options) / sizeof(options[0]); i++) {
        (void)setsockopt(fd, options[i].level, options[i].name,
                         &options[i].value, sizeof(options[i].value));
    }
}

enum cv_status cv_upstream_reach(struct cv_upstream_try *t, struct cv_err *err)
{
    struct addrinfo *found = NULL;
    struct race race = {.error = EHOSTUNREACH};
    enum cv_status status = resolve(t, &found, err);

    if (status != CV_OK) {
        return status;
    }
    put_in_order(&race, found);
    status = run(t, &race, err);
    for (size_t i = 0; i < race.n_tried; i++) {
        close(race.tried[i].fd);
    }
    freeaddrinfo(found);
    if (status == CV_OK) {
        look_after(t->out->fd);
    }
    return status;
}
