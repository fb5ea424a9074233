#include "cli/handed.h"

#include "vault/base/file.h"
#include "vault/base/manager.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

enum cv_status cv_handed_manager(struct cv_err *err)
{
    return cv_manager_open(getenv("NOTIFY_SOCKET"), getenv("WATCHDOG_USEC"),
                           getenv("WATCHDOG_PID"), err);
}

bool cv_handed_is_one(void)
{
    const char *pid = getenv("LISTEN_PID");
    const char *n = getenv("LISTEN_FDS");
    char own[32];

    (void)snprintf(own, sizeof(own), "%ld", (long)getpid());
    return pid != NULL && n != NULL && strcmp(pid, own) == 0 &&
           strcmp(n, "1") == 0;
}

static bool has_option(int fd, int option, int wanted)
{
    int value = -1;
    socklen_t len = sizeof(value);

    return getsockopt(fd, SOL_SOCKET, option, &value, &len) == 0 &&
           value == wanted;
}

bool cv_handed_listens(int fd)
{
    return has_option(fd, SO_ACCEPTCONN, 1);
}

enum cv_status cv_handed_check(int fd, struct cv_err *err)
{
    if (!has_option(fd, SO_DOMAIN, AF_UNIX) ||
        !has_option(fd, SO_TYPE, SOCK_STREAM) || !cv_handed_listens(fd)) {
        return cv_fail(err, CV_CONFIG,
                       "the socket that was handed over is no listening Unix "
                       "stream socket");
    }
    if (fcntl(fd, F_SETFL, O_NONBLOCK) == -1 ||
        fcntl(fd, F_SETFD, FD_CLOEXEC) == -1) {
        return cv_fail_errno(err, CV_INTERNAL, "the socket");
    }
    return CV_OK;
}

void cv_handed_path(int fd, char *out, size_t out_len)
{
    struct sockaddr_un address = {.sun_path = ""};
    socklen_t len = sizeof(address) - 1;

    (void)getsockname(fd, (struct sockaddr *)&address, &len);
    (void)snprintf(out, out_len, "%s", address.sun_path);
}

/* Whose file the socket at which it listens is; its last name must be `leaf`.
 */
static enum cv_status owner_of(int fd, const char *leaf, uid_t *owner,
                               struct cv_err *err)
{
    char path[sizeof(((struct sockaddr_un *)NULL)->sun_path)];
    const char *last;
    struct stat st;
    enum cv_status s = cv_handed_check(fd, err);

    if (s != CV_OK) {
        return s;
    }
    cv_handed_path(fd, path, sizeof(path));
    last = strrchr(path, '/');
    if (last == NULL || strcmp(last + 1, leaf) != 0 || lstat(path, &st) != 0) {
        return cv_fail(err, CV_CONFIG,
                       "the socket that was handed over is not %s", leaf);
    }
    *owner = st.st_uid;
    return CV_OK;
}

/* Of that user, and still there. */
static bool is_wanted(int fd, uid_t owner)
{
    struct pollfd p = {.fd = fd, .events = POLLRDHUP};
    struct ucred who;
    socklen_t len = sizeof(who);

    return getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &who, &len) == 0 &&
           who.uid == owner && poll(&p, 1, 0) == 0;
}

static void take(int listener, uid_t owner, int *out)
{
    int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);

    if (fd != -1 && !is_wanted(fd, owner)) {
        cv_file_close(&fd);
    }
    if (fd != -1) {
        *out = fd;
    }
}

/* One that went while the other was waited for is waited for anew. */
static void look_again(int *fd, uid_t owner)
{
    if (*fd != -1 && !is_wanted(*fd, owner)) {
        cv_file_close(fd);
    }
}

enum cv_status cv_handed_accept_two(const int listeners[2], int out[2],
                                    struct cv_err *err)
{
    static const char *const leaves[2] = {"relay-orders.sock",
                                          "relay-asks.sock"};
    uid_t owners[2] = {0, 0};
    enum cv_status s = CV_OK;

    out[0] = out[1] = -1;
    for (int i = 0; i < 2 && s == CV_OK; i++) {
        s = owner_of(listeners[i], leaves[i], &owners[i], err);
    }
    while (s == CV_OK && (out[0] == -1 || out[1] == -1)) {
        struct pollfd p[2];

        for (int i = 0; i < 2; i++) {
            p[i] = (struct pollfd){.fd = out[i] == -1 ? listeners[i] : out[i],
                                   .events = out[i] == -1 ? POLLIN : POLLRDHUP};
        }
        if (poll(p, 2, (int)cv_manager_rest_ms()) == -1 && errno != EINTR) {
            s = cv_fail_errno(err, CV_INTERNAL, "cannot wait for the broker");
        }
        cv_manager_feed(false);
        for (int i = 0; i < 2 && s == CV_OK; i++) {
            look_again(&out[i], owners[i]);
            if (out[i] == -1) {
                take(listeners[i], owners[i], &out[i]);
            }
        }
    }
    for (int i = 0; i < 2; i++) {
        (void)close(listeners[i]);
        if (s != CV_OK) {
            cv_file_close(&out[i]);
        }
    }
    return s;
}
