#include "vault/base/manager.h"

#include "vault/base/clock.h"
#include "vault/base/file.h"

#include <errno.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#define TEXT_LEN 512

static int manager_fd = -1;
static int64_t watchdog_ms; /* it must be fed as often; 0: there is none */
static int64_t fed_ms;      /* when it was; 0: never */

static void say(const char *text)
{
    if (manager_fd != -1) {
        (void)send(manager_fd, text, strlen(text), MSG_NOSIGNAL | MSG_DONTWAIT);
    }
}

static enum cv_status refuse(const char *name, struct cv_err *err)
{
    return cv_fail(err, CV_CONFIG, "%s is not what a service manager says",
                   name);
}

/* The manager gives it twice the time after which it wants to hear. */
static enum cv_status read_watchdog(const char *usec, const char *pid,
                                    struct cv_err *err)
{
    char own[32], *end;
    unsigned long long n;

    (void)snprintf(own, sizeof(own), "%ld", (long)getpid());
    if (usec == NULL || (pid != NULL && strcmp(pid, own) != 0)) {
        return CV_OK;
    }
    errno = 0;
    n = strtoull(usec, &end, 10);
    if (*usec < '0' || *usec > '9' || *end != '\0' || errno != 0 || n == 0 ||
        n > (unsigned long long)INT64_MAX) {
        return refuse("WATCHDOG_USEC", err);
    }
    watchdog_ms = (int64_t)(n / 2000);
    watchdog_ms = watchdog_ms > 0 ? watchdog_ms : 1;
    return CV_OK;
}

enum cv_status cv_manager_open(const char *path, const char *usec,
                               const char *pid, struct cv_err *err)
{
    struct sockaddr_un to = {.sun_family = AF_UNIX};
    size_t len = path != NULL ? strlen(path) : 0;
    enum cv_status s;

    if (len == 0) {
        return CV_OK;
    }
    if ((path[0] != '/' && path[0] != '@') || len < 2 ||
        len >= sizeof(to.sun_path)) {
        return refuse("NOTIFY_SOCKET", err);
    }
    memcpy(to.sun_path, path, len);
    if (path[0] == '@') {
        to.sun_path[0] = '\0'; /* an abstract name, not a file's */
    }
    manager_fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (manager_fd == -1 ||
        connect(manager_fd, (const struct sockaddr *)&to,
                (socklen_t)(offsetof(struct sockaddr_un, sun_path) + len)) !=
            0) {
        s = cv_fail_errno(err, CV_CONFIG, "NOTIFY_SOCKET");
        cv_file_close(&manager_fd);
        return s;
    }
    return read_watchdog(usec, pid, err);
}

static void say_with(const char *what, const char *status)
{
    char text[TEXT_LEN];
    int n = snprintf(text, sizeof(text), "%sSTATUS=%s", what,
                     status != NULL ? status : "");

    if (n > 0 && (size_t)n < sizeof(text)) {
        say(text);
    } else {
        say(what);
    }
}

void cv_manager_ready(const char *status)
{
    say_with("READY=1\n", status);
    fed_ms = cv_clock_boot_ms();
}

void cv_manager_reloading(void)
{
    char text[96];
    struct timespec t;

    (void)clock_gettime(CLOCK_MONOTONIC, &t);
    (void)snprintf(text, sizeof(text), "RELOADING=1\nMONOTONIC_USEC=%lld",
                   (long long)t.tv_sec * 1000000 + t.tv_nsec / 1000);
    say(text);
}

void cv_manager_stopping(void)
{
    say("STOPPING=1");
}

void cv_manager_status(const char *status)
{
    say_with("", status);
}

void cv_manager_feed(bool now)
{
    int64_t at;

    if (watchdog_ms == 0) {
        return;
    }
    at = cv_clock_boot_ms();
    if (now || fed_ms == 0 || at - fed_ms >= watchdog_ms / 2) {
        say("WATCHDOG=1");
        fed_ms = at;
    }
}

int64_t cv_manager_rest_ms(void)
{
    int64_t left;

    if (watchdog_ms == 0) {
        return -1;
    }
    left = fed_ms + watchdog_ms / 2 - cv_clock_boot_ms();
    return left > 1 ? left : 1;
}
