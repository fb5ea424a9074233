#include "vault/base/peer.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* Linux 6.5; older headers do not have it. */
#ifndef SO_PEERPIDFD
#define SO_PEERPIDFD 77
#endif

#define NO_LOGINUID 4294967295LL

/* Reads /proc/PID/`name` into `out`, NUL behind it; "" where it cannot. */
static size_t read_proc(pid_t pid, const char *name, char *out, size_t size)
{
    char path[64];
    ssize_t n = -1;
    out[0] = '\0';
    if (snprintf(path, sizeof(path), "/proc/%ld/%s", (long)pid, name) < 0) {
        return 0;
    }
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd >= 0) {
        n = read(fd, out, size - 1);
        (void)close(fd);
    }
    if (n < 0) {
        n = 0;
    }
    out[n] = '\0';
    return (size_t)n;
}

static void read_exe(struct cv_peer *p)
{
    char path[64];
    char target[512];
    ssize_t n = -1;
    if (snprintf(path, sizeof(path), "/proc/%ld/exe", (long)p->pid) > 0) {
        n = readlink(path, target, sizeof(target));
    }
    if (n > 0) {
        cv_err_quote(p->exe, sizeof(p->exe), target, (size_t)n);
        return;
    }
    /* An undumpable program hides its path, not its name. */
    char name[32];
    size_t len = read_proc(p->pid, "comm", name, sizeof(name));
    if (len > 1) {
        char clean[32];
        cv_err_quote(clean, sizeof(clean), name, len - 1);
        (void)snprintf(p->exe, sizeof(p->exe), "(%s)", clean);
    }
}

/* proc(5): field 7 of stat, tty_nr, as in makedev(3). The program's name before
 * it is in parentheses and may hold some. */
static void read_tty(struct cv_peer *p)
{
    char stat[512];
    read_proc(p->pid, "stat", stat, sizeof(stat));
    const char *at = strrchr(stat, ')');
    for (int i = 0; i < 5 && at != NULL; i++) {
        at = strchr(at + 1, ' ');
    }
    if (at == NULL) {
        return;
    }
    unsigned long device = strtoul(at, NULL, 10);
    unsigned major = (unsigned)(device >> 8 & 0xfff);
    unsigned minor = (unsigned)((device & 0xff) | (device >> 12 & 0xfff00));
    if (major >= 136 && major <= 143) {
        (void)snprintf(p->tty, sizeof(p->tty), "pts/%u",
                       (major - 136) * 256 + minor);
    } else if (major == 4 && minor < 64) {
        (void)snprintf(p->tty, sizeof(p->tty), "tty%u", minor);
    } else if (major != 0) {
        (void)snprintf(p->tty, sizeof(p->tty), "%u:%u", major, minor);
    }
}

static void read_loginuid(struct cv_peer *p)
{
    char text[32];
    p->loginuid = -1;
    if (read_proc(p->pid, "loginuid", text, sizeof(text)) > 0) {
        long long uid = strtoll(text, NULL, 10);
        p->loginuid = uid >= 0 && uid < NO_LOGINUID ? uid : -1;
    }
}

static enum cv_status read_groups(int socket, struct cv_peer *p,
                                  struct cv_err *err)
{
    socklen_t len = sizeof(p->groups);
    if (getsockopt(socket, SOL_SOCKET, SO_PEERGROUPS, p->groups, &len) != 0) {
        if (errno == ERANGE) {
            return cv_fail(err, CV_DENIED,
                           "the caller is in more than %d groups",
                           CV_PEER_GROUPS);
        }
        return cv_fail_errno(err, CV_DENIED,
                             "the kernel does not tell the caller's groups");
    }
    p->n_groups = len / sizeof(p->groups[0]);
    return CV_OK;
}

static enum cv_status read_credentials(int socket, struct ucred *who,
                                       struct cv_err *err)
{
    socklen_t len = sizeof(*who);
    if (getsockopt(socket, SOL_SOCKET, SO_PEERCRED, who, &len) != 0) {
        return cv_fail_errno(err, CV_DENIED,
                             "the kernel does not tell who is calling");
    }
    /* What it answers for a socket that nobody is connected to. */
    if (len != sizeof(*who) || who->uid == (uid_t)-1 || who->gid == (gid_t)-1) {
        return cv_fail(err, CV_DENIED,
                       "the kernel does not tell who is calling");
    }
    return CV_OK;
}

enum cv_status cv_peer_uid(int socket, uid_t *uid, struct cv_err *err)
{
    struct ucred who;
    enum cv_status status = read_credentials(socket, &who, err);
    *uid = status == CV_OK ? who.uid : (uid_t)-1;
    return status;
}

enum cv_status cv_peer_who(int socket, struct cv_peer *out, struct cv_err *err)
{
    memset(out, 0, sizeof(*out));
    out->uid = (uid_t)-1;
    out->gid = (gid_t)-1;
    out->loginuid = -1;
    struct ucred who;
    enum cv_status status = read_credentials(socket, &who, err);
    if (status == CV_OK) {
        status = read_groups(socket, out, err);
    }
    if (status == CV_OK) {
        out->uid = who.uid;
        out->gid = who.gid;
        out->pid = who.pid;
    }
    return status;
}

/* A descriptor of the process that was connected; -1: the kernel has none to
 * give. *ended: because it is gone. */
static int peer_process(int socket, bool *ended)
{
    int fd = -1;
    socklen_t len = sizeof(fd);
    *ended = false;
    if (getsockopt(socket, SOL_SOCKET, SO_PEERPIDFD, &fd, &len) != 0) {
        *ended = errno != ENOPROTOOPT;
        return -1;
    }
    return fd;
}

static bool has_ended(int process)
{
    struct pollfd p = {.fd = process, .events = POLLIN};
    return poll(&p, 1, 0) != 0;
}

void cv_peer_hints(int socket, struct cv_peer *peer)
{
    bool ended;
    int process = peer_process(socket, &ended);
    if (!ended) {
        read_exe(peer);
        read_tty(peer);
        read_loginuid(peer);
    }
    /* It lived after all was read: so the number was its own all along. */
    if (process >= 0) {
        ended = has_ended(process);
        (void)close(process);
    }
    if (ended) {
        peer->exe[0] = '\0';
        peer->tty[0] = '\0';
        peer->loginuid = -1;
    }
}

enum cv_status cv_peer_read(int socket, struct cv_peer *out, struct cv_err *err)
{
    enum cv_status status = cv_peer_who(socket, out, err);
    if (status == CV_OK) {
        cv_peer_hints(socket, out);
    }
    return status;
}
