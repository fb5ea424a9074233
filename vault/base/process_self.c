/* What a process does to itself, and where it is installed. */
#include "vault/base/arena.h"
#include "vault/base/clock.h"
#include "vault/base/json.h"
#include "vault/base/process.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/close_range.h>
#include <malloc.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

static void stop(const char *why)
{
    (void)dprintf(STDERR_FILENO, "certvault: cannot start: %s\n", why);
    exit(1);
}

/* A file opened later must not become what everything prints to. */
static void open_standard(void)
{
    for (int fd = 0; fd <= 2; fd++) {
        if (fcntl(fd, F_GETFD) < 0 && errno == EBADF &&
            open("/dev/null", O_RDWR) != fd) {
            stop("no standard streams");
        }
    }
}

static void close_above(int keep)
{
    unsigned first = (unsigned)(keep < 2 ? 2 : keep) + 1;
    if (syscall(SYS_close_range, first, ~0U, 0U) != 0) {
        stop("cannot close what was inherited");
    }
}

static void restrict_self(void)
{
    (void)umask(077);
    struct sigaction ignore = {.sa_handler = SIG_IGN};
    struct rlimit none = {0, 0};
    /* What cannot be written fails, and is told; it ends nobody. */
    if (sigaction(SIGPIPE, &ignore, NULL) != 0 ||
        sigaction(SIGXFSZ, &ignore, NULL) != 0 ||
        setrlimit(RLIMIT_CORE, &none) != 0 ||
        prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) != 0) {
        stop("cannot restrict itself");
    }
}

/* These are programs of milliseconds: what the heap got it keeps, instead of
 * giving pages back and having them cleared anew. */
static void tune_heap(void)
{
    (void)mallopt(M_TOP_PAD, 256 * 1024);
    (void)mallopt(M_TRIM_THRESHOLD, 1024 * 1024);
}

void cv_process_begin(int keep)
{
    tune_heap();
    open_standard();
    close_above(keep);
    restrict_self();
    if (cv_arena_start(NULL) != CV_OK) {
        stop("libsodium does not start");
    }
    cv_json_start();
    (void)cv_clock_boot_id();
}

enum cv_status cv_process_pair(int pair[2], struct cv_err *err)
{
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) != 0) {
        pair[0] = -1;
        pair[1] = -1;
        return cv_fail_errno(err, CV_INTERNAL, "cannot make a socket pair");
    }
    return CV_OK;
}

void cv_process_identity(const char *path, char out[CV_PROCESS_IDENTITY])
{
    struct stat st;
    int n = -1;
    if (stat(path, &st) == 0) {
        n = snprintf(out, CV_PROCESS_IDENTITY, "%llx.%llx.%llx.%llx.%lx",
                     (unsigned long long)st.st_dev,
                     (unsigned long long)st.st_ino,
                     (unsigned long long)st.st_size,
                     (unsigned long long)st.st_mtim.tv_sec,
                     (unsigned long)st.st_mtim.tv_nsec);
    }
    if (n < 0 || n >= CV_PROCESS_IDENTITY) {
        out[0] = '\0';
    }
}

/* Cuts the last part off a path. */
static bool cut_last(char *path)
{
    char *slash = strrchr(path, '/');
    if (slash == NULL || slash == path) {
        return false;
    }
    *slash = '\0';
    return true;
}

static bool ends_in(const char *path, const char *end)
{
    size_t len = strlen(path);
    size_t n = strlen(end);
    return len > n && strcmp(path + len - n, end) == 0;
}

enum cv_status cv_process_path(const char *name, char *out, size_t out_len,
                               struct cv_err *err)
{
    char self[PATH_MAX];
    ssize_t n = readlink("/proc/self/exe", self, sizeof(self) - 1);
    if (n <= 0 || n == (ssize_t)sizeof(self) - 1) {
        return cv_fail_errno(err, CV_CONFIG,
                             "cannot tell where this program is installed");
    }
    self[n] = '\0';
    /* bin/certvault: above bin; libexec/certvault/token: above libexec. */
    bool ok = cut_last(self);
    int above = ends_in(self, "/libexec/certvault") ? 2 : 1;
    for (int i = 0; i < above && ok; i++) {
        ok = cut_last(self);
    }
    int len = ok ? snprintf(out, out_len, "%s/%s", self, name) : -1;
    if (len < 0 || (size_t)len >= out_len) {
        return cv_fail(err, CV_CONFIG,
                       "cannot tell where this program is installed");
    }
    return CV_OK;
}
