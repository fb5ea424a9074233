#include "cli/connect_internal.h"

#include "cli/module_env.h"
#include "vault/base/file.h"
#include "vault/base/peer.h"
#include "vault/base/process.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

/* A server of another uid is believed only where nobody else could have put
 * its socket there. */
static enum cv_status check_folder(const char *path, uid_t server,
                                   struct cv_err *err)
{
    char folder[PATH_MAX];
    struct stat st;
    size_t len = strlen(path);
    enum cv_status s;

    while (len > 0 && path[len - 1] != '/') {
        len--;
    }
    if (len == 0 || len >= sizeof(folder)) {
        return cv_fail(err, CV_CONFIG, "the socket's path is not absolute");
    }
    memcpy(folder, path, len);
    folder[len] = '\0';
    if (stat(folder, &st) != 0) {
        return cv_fail_errno(err, CV_CONFIG, "the socket's folder");
    }
    if ((st.st_uid != 0 && st.st_uid != server) ||
        (st.st_mode & (S_IWGRP | S_IWOTH)) != 0) {
        s = cv_fail(err, CV_CONFIG,
                    "the socket is served by uid %u from a folder that others "
                    "can write to",
                    (unsigned)server);
        cv_err_state(err, "nothing was sent to it");
        return s;
    }
    return CV_OK;
}

static enum cv_status check_server(int fd, const char *path, struct cv_err *err)
{
    struct cv_peer peer;
    enum cv_status s = cv_peer_read(fd, &peer, err);

    if (s != CV_OK || peer.uid == getuid() || peer.uid == 0) {
        return s;
    }
    return check_folder(path, peer.uid, err);
}

enum cv_status cv_connect_unix(const char *path, int *fd, struct cv_err *err)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    size_t len = strlen(path);
    enum cv_status s;

    *fd = -1;
    if (len == 0 || len >= sizeof(address.sun_path)) {
        return cv_fail(err, CV_USAGE, "the socket's path is empty or too long");
    }
    memcpy(address.sun_path, path, len);
    *fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (*fd == -1) {
        return cv_fail_errno(err, CV_INTERNAL, "cannot make a socket");
    }
    if (connect(*fd, (const struct sockaddr *)&address, sizeof(address)) != 0) {
        s = cv_fail_errno(err, CV_UNAVAILABLE, "no broker at %s", path);
        cv_err_hint(err, "is it running? systemctl status certvault");
    } else {
        s = check_server(*fd, path, err);
    }
    if (s != CV_OK) {
        cv_file_close(fd);
    }
    return s;
}

/* argv is not const, and nothing in it is changed. */
static char *argument(const char *text)
{
    char *copy;

    memcpy(&copy, &text, sizeof(copy));
    return copy;
}

enum cv_status cv_connect_start(const struct cv_connect_start *how, int *fd,
                                pid_t *pid, struct cv_err *err)
{
    static char name[] = "certvaultd", private[] = "--private",
                vault[] = "--vault", making[] = "--create",
                unlocked[] = "--allow-unlocked", config[] = "--config";
    char path[PATH_MAX];
    char *argv[9] = {name, private, vault, argument(how->folder)};
    char **environment = NULL;
    size_t n = 4;
    struct cv_process_start start = {
        .path = path,
        .argv = argv,
        .extra = {-1, -1, -1, -1},
        .keep_stderr = true,
    };
    int pair[2] = {-1, -1};
    enum cv_status s;

    *fd = -1;
    if (how->config != NULL) {
        argv[n++] = config;
        argv[n++] = argument(how->config);
    }
    if (how->create) {
        argv[n++] = making;
    }
    if (how->allow_unlocked) {
        argv[n++] = unlocked;
    }
    s = cv_process_path("bin/certvaultd", path, sizeof(path), err);
    if (s == CV_OK) {
        s = cv_module_env_new(NULL, &environment, err);
        start.environment = environment;
    }
    if (s == CV_OK) {
        s = cv_process_pair(pair, err);
    }
    if (s == CV_OK) {
        start.socket = pair[1];
        s = cv_process_start(&start, pid, err);
    }
    cv_file_close(&pair[1]);
    if (s == CV_OK) {
        *fd = pair[0];
    } else {
        cv_file_close(&pair[0]);
    }
    cv_module_env_free(environment);
    return s;
}
