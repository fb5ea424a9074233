/* Whose socket it is: sock_diag(7), one question about one connection. */
#include "vault/relay/tls_front.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/inet_diag.h>
#include <linux/netlink.h>
#include <linux/sock_diag.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

struct question {
    struct nlmsghdr head;
    struct inet_diag_req_v2 what;
};

union room {
    struct nlmsghdr head;
    char bytes[8192];
};

static enum cv_status cannot(struct cv_err *err)
{
    enum cv_status status = cv_fail_errno(
        err, CV_UNAVAILABLE, "the kernel does not say whose a socket is");

    cv_err_hint(err, "sock_diag(7) is wanted: CONFIG_INET_DIAG, CONFIG_"
                     "INET_TCP_DIAG");
    return status;
}

/* Asks, and reads the answer into `room`. NULL: no such socket (errno is
 * ENOENT), or it failed. */
static const struct inet_diag_msg *ask(struct question *q, union room *room)
{
    struct nlmsghdr *head = &room->head;
    int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_SOCK_DIAG);
    ssize_t got = -1;
    int error = errno;

    q->head.nlmsg_len = sizeof(*q);
    q->head.nlmsg_type = SOCK_DIAG_BY_FAMILY;
    q->head.nlmsg_flags = NLM_F_REQUEST;
    q->what.sdiag_protocol = IPPROTO_TCP;
    q->what.id.idiag_cookie[0] = INET_DIAG_NOCOOKIE;
    q->what.id.idiag_cookie[1] = INET_DIAG_NOCOOKIE;
    if (fd >= 0) {
        /* The kernel answers within send. */
        got = send(fd, q, sizeof(*q), 0) == (ssize_t)sizeof(*q)
                  ? recv(fd, room, sizeof(*room), MSG_DONTWAIT)
                  : -1;
        error = errno;
        close(fd);
    }
    errno = error;
    if (got < 0) {
        return NULL;
    }
    errno = EPROTO;
    if (!NLMSG_OK(head, (size_t)got)) {
        return NULL;
    }
    if (head->nlmsg_type == NLMSG_ERROR &&
        head->nlmsg_len >= NLMSG_LENGTH(sizeof(struct nlmsgerr))) {
        errno = -((const struct nlmsgerr *)NLMSG_DATA(head))->error;
        return NULL;
    }
    if (head->nlmsg_type != SOCK_DIAG_BY_FAMILY ||
        head->nlmsg_len < NLMSG_LENGTH(sizeof(struct inet_diag_msg))) {
        return NULL;
    }
    return NLMSG_DATA(head);
}

/* The address and port of one end, as sock_diag has them. */
static bool put_end(const struct sockaddr_storage *from, __be32 address[4],
                    __be16 *port)
{
    if (from->ss_family == AF_INET) {
        const struct sockaddr_in *v4 = (const struct sockaddr_in *)from;

        memcpy(address, &v4->sin_addr, sizeof(v4->sin_addr));
        *port = v4->sin_port;
        return true;
    }
    if (from->ss_family == AF_INET6) {
        const struct sockaddr_in6 *v6 = (const struct sockaddr_in6 *)from;

        memcpy(address, &v6->sin6_addr, sizeof(v6->sin6_addr));
        *port = v6->sin6_port;
        return true;
    }
    return false;
}

enum cv_status cv_tls_front_uid(int fd, uid_t *out, struct cv_err *err)
{
    struct sockaddr_storage here = {.ss_family = AF_UNSPEC};
    struct sockaddr_storage there = {.ss_family = AF_UNSPEC};
    socklen_t here_len = sizeof(here), there_len = sizeof(there);
    struct question q;
    union room room;
    const struct inet_diag_msg *found;

    memset(&q, 0, sizeof(q));
    *out = (uid_t)-1;
    /* The other end's socket: its source is our peer. */
    if (getsockname(fd, (struct sockaddr *)&here, &here_len) != 0 ||
        getpeername(fd, (struct sockaddr *)&there, &there_len) != 0 ||
        here.ss_family != there.ss_family ||
        !put_end(&there, q.what.id.idiag_src, &q.what.id.idiag_sport) ||
        !put_end(&here, q.what.id.idiag_dst, &q.what.id.idiag_dport)) {
        return cv_fail(err, CV_DENIED, "the client is gone");
    }
    q.what.sdiag_family = (__u8)here.ss_family;
    q.what.idiag_states = 1U << TCP_ESTABLISHED;
    found = ask(&q, &room);
    if (found == NULL && errno != ENOENT) {
        return cannot(err);
    }
    /* A socket that was closed lives on for a while without owner: its uid is
     * told as 0, and so is its inode. */
    if (found == NULL || found->idiag_state != TCP_ESTABLISHED ||
        found->idiag_inode == 0) {
        return cv_fail(err, CV_DENIED, "the client is gone");
    }
    *out = found->idiag_uid;
    return CV_OK;
}

enum cv_status cv_tls_front_holder(int port, uid_t *out, struct cv_err *err)
{
    const in_addr_t addresses[] = {htonl(INADDR_LOOPBACK), htonl(INADDR_ANY)};

    *out = (uid_t)-1;
    for (size_t i = 0; i < 2; i++) {
        struct question q;
        union room room;
        const struct inet_diag_msg *found;

        memset(&q, 0, sizeof(q));
        q.what.sdiag_family = AF_INET;
        q.what.idiag_states = 1U << TCP_LISTEN;
        q.what.id.idiag_src[0] = addresses[i];
        q.what.id.idiag_sport = htons((uint16_t)port);
        found = ask(&q, &room);
        if (found == NULL && errno != ENOENT) {
            return cannot(err);
        }
        if (found != NULL && found->idiag_state == TCP_LISTEN &&
            found->idiag_inode != 0) {
            *out = found->idiag_uid;
            return CV_OK;
        }
    }
    return cv_fail(err, CV_NOT_FOUND, "nobody listens there");
}
