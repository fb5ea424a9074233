#include "cli/sink_datagram.h"

#include "vault/base/clock.h"
#include "vault/base/file.h"

#include <errno.h>
#include <netdb.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

/* How long an ICMP error of this host, or of one nearby, takes. */
#define SETTLE_MS 30
#define AGAIN_MS 10
/* Of a datagram: a leaf and what stands around it. */
#define SEND_BUFFER CV_KIB(256)

static enum cv_status open_unix(const char *path, int *fd, struct cv_err *err)
{
    struct sockaddr_un to = {.sun_family = AF_UNIX};
    int size = (int)SEND_BUFFER;

    memcpy(to.sun_path, path, strlen(path) + 1);
    *fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (*fd != -1) {
        (void)setsockopt(*fd, SOL_SOCKET, SO_SNDBUF, &size, sizeof(size));
    }
    if (*fd == -1 ||
        connect(*fd, (const struct sockaddr *)&to, sizeof(to)) == -1) {
        enum cv_status s = cv_fail_errno(err, CV_REMOTE, "%s", path);

        cv_file_close(fd);
        return s;
    }
    return CV_OK;
}

static enum cv_status open_udp(const struct cv_sink_target *t, int *fd,
                               struct cv_err *err)
{
    const struct addrinfo hints = {.ai_socktype = SOCK_DGRAM,
                                   .ai_flags = AI_ADDRCONFIG};
    struct addrinfo *list = NULL;
    int code = getaddrinfo(t->host, t->port, &hints, &list);

    if (code != 0) {
        return cv_fail(err, CV_REMOTE, "%s: %s", t->host, gai_strerror(code));
    }
    for (const struct addrinfo *a = list; a != NULL && *fd == -1;
         a = a->ai_next) {
        *fd =
            socket(a->ai_family, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        if (*fd != -1 && connect(*fd, a->ai_addr, a->ai_addrlen) == -1) {
            cv_file_close(fd);
        }
    }
    freeaddrinfo(list);
    return *fd != -1 ? CV_OK : cv_fail_errno(err, CV_REMOTE, "%s", t->origin);
}

enum cv_status cv_sink_datagram_open(const struct cv_sink_target *t, int *fd,
                                     struct cv_err *err)
{
    *fd = -1;
    return t->kind == CV_SINK_TARGET_UDP ? open_udp(t, fd, err)
                                         : open_unix(t->path, fd, err);
}

enum cv_status cv_sink_datagram_send(int fd, struct cv_bytes bytes,
                                     int64_t until_ms, struct cv_err *err)
{
    struct pollfd p = {.fd = fd, .events = POLLOUT};

    while (send(fd, bytes.data, bytes.len, MSG_NOSIGNAL) == -1) {
        if (errno != EINTR && errno != EAGAIN && errno != ENOBUFS) {
            return cv_fail_errno(err, CV_REMOTE, "cannot send");
        }
        if (cv_clock_boot_ms() >= until_ms) {
            return cv_fail(err, CV_REMOTE, "nobody takes what is sent");
        }
        (void)poll(&p, errno == EAGAIN ? 1 : 0, AGAIN_MS);
    }
    return CV_OK;
}

enum cv_status cv_sink_datagram_settle(int fd, const struct cv_sink_target *t,
                                       struct cv_err *err)
{
    struct pollfd p = {.fd = fd, .events = 0};
    int why = 0;
    socklen_t len = sizeof(why);

    if (t->kind != CV_SINK_TARGET_UDP || poll(&p, 1, SETTLE_MS) <= 0) {
        return CV_OK;
    }
    (void)getsockopt(fd, SOL_SOCKET, SO_ERROR, &why, &len);
    errno = why;
    return cv_fail_errno(err, CV_REMOTE, "nobody takes what is sent");
}
