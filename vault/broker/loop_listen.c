#include "vault/base/file.h"
#include "vault/broker/loop.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

/* Connections that may wait to be taken; the kernel allows as many as
 * net.core.somaxconn. */
#define BACKLOG 4096

/* What lies at `path`: nothing, or a socket that nobody serves (removed). */
static enum cv_status clear_path(const struct sockaddr_un *sa,
                                 struct cv_err *err)
{
    struct stat st;
    int fd, connected;

    if (lstat(sa->sun_path, &st) == -1) {
        return errno == ENOENT
                   ? CV_OK
                   : cv_fail_errno(err, CV_CONFIG, "%s", sa->sun_path);
    }
    if (!S_ISSOCK(st.st_mode) || st.st_uid != geteuid()) {
        return cv_fail(err, CV_CONFIG, "%s is there and is no socket of ours",
                       sa->sun_path);
    }
    fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd == -1) {
        return cv_fail_errno(err, CV_INTERNAL, "cannot make a socket");
    }
    connected = connect(fd, (const struct sockaddr *)sa, sizeof(*sa));
    (void)close(fd);
    if (connected == 0) {
        return cv_fail(err, CV_BUSY, "a broker already serves %s",
                       sa->sun_path);
    }
    if (unlink(sa->sun_path) == -1) {
        return cv_fail_errno(err, CV_CONFIG, "cannot remove %s", sa->sun_path);
    }
    return CV_OK;
}

enum cv_status cv_loop_listen(const char *path, mode_t mode, int *listener,
                              struct cv_err *err)
{
    struct sockaddr_un sa = {.sun_family = AF_UNIX};
    enum cv_status s;

    *listener = -1;
    if (strlen(path) >= sizeof(sa.sun_path)) {
        return cv_fail(err, CV_CONFIG, "the socket's path is longer than %zu",
                       sizeof(sa.sun_path) - 1);
    }
    memcpy(sa.sun_path, path, strlen(path) + 1);
    s = clear_path(&sa, err);
    if (s != CV_OK) {
        return s;
    }
    *listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    /* The umask is 077: it is born closed to others and opened afterwards. */
    if (*listener == -1 ||
        bind(*listener, (const struct sockaddr *)&sa, sizeof(sa)) == -1 ||
        chmod(path, mode) == -1 || listen(*listener, BACKLOG) == -1) {
        s = cv_fail_errno(err, CV_CONFIG, "cannot listen at %s", path);
        cv_file_close(listener);
    }
    return s;
}
