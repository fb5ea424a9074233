#include "vault/broker/agent.h"

#include "vault/base/clock.h"
#include "vault/base/file.h"

#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <unistd.h>

#define LOCK_MS 30000

struct place {
    dev_t device;
    ino_t inode;
};

struct cv_agent {
    const struct cv_broker_agent *options;
    const char *folder;
    struct place vault, socket;
    char program[PATH_MAX];
    char build[CV_PROCESS_IDENTITY];
    char config[CV_PROCESS_IDENTITY];
    int inotify;
    int64_t last_ms, before_ms; /* when it was asked something */
    size_t n_callers;           /* when it last waited */
    bool stopping;
    bool gone;  /* vault or socket are no longer there */
    bool stale; /* its program or configuration is another */
};

static struct place place_of(const struct stat *st)
{
    return (struct place){st->st_dev, st->st_ino};
}

static bool same_place(const struct place *p, const struct stat *st)
{
    return p->device == st->st_dev && p->inode == st->st_ino;
}

/* Watches the folder that `path` lies in, for what comes to it and goes. What
 * cannot be watched is found out at the next connection. */
static void watch_around(int inotify, const char *path)
{
    char folder[PATH_MAX];
    size_t len = strlen(path);

    while (len > 1 && path[len - 1] != '/') {
        len--;
    }
    if (len == 0 || len >= sizeof(folder)) {
        return;
    }
    memcpy(folder, path, len);
    folder[len] = '\0';
    (void)inotify_add_watch(inotify, folder,
                            IN_DELETE | IN_MOVED_FROM | IN_MOVED_TO |
                                IN_CREATE | IN_CLOSE_WRITE | IN_DELETE_SELF |
                                IN_MOVE_SELF | IN_ONLYDIR);
}

static void remember_files(struct cv_agent *a)
{
    ssize_t n = readlink("/proc/self/exe", a->program, sizeof(a->program) - 1);

    a->program[n > 0 ? n : 0] = '\0';
    cv_process_identity("/proc/self/exe", a->build);
    if (a->options->config != NULL) {
        cv_process_identity(a->options->config, a->config);
    }
}

enum cv_status cv_agent_new(const struct cv_broker_agent *options,
                            const char *folder, int dir, struct cv_agent **out,
                            struct cv_err *err)
{
    struct cv_agent *a = calloc(1, sizeof(*a));
    struct stat vault, own;

    *out = NULL;
    if (a == NULL) {
        return cv_fail(err, CV_INTERNAL, "memory is gone");
    }
    a->options = options;
    a->folder = folder;
    a->inotify = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
    a->last_ms = a->before_ms = cv_clock_boot_ms();
    if (fstat(dir, &vault) == -1 ||
        (options->runtime != -1 &&
         fstatat(options->runtime, options->socket_leaf, &own,
                 AT_SYMLINK_NOFOLLOW) == -1)) {
        enum cv_status s = cv_fail_errno(err, CV_INTERNAL,
                                         "cannot look at the vault or the "
                                         "socket");

        cv_agent_free(a);
        return s;
    }
    a->vault = place_of(&vault);
    remember_files(a);
    watch_around(a->inotify, folder);
    watch_around(a->inotify, a->program);
    if (options->config != NULL) {
        watch_around(a->inotify, options->config);
    }
    if (options->runtime != -1) {
        a->socket = place_of(&own);
        watch_around(a->inotify, options->socket_path);
    }
    *out = a;
    return CV_OK;
}

void cv_agent_free(struct cv_agent *a)
{
    if (a != NULL) {
        cv_file_close(&a->inotify);
        free(a);
    }
}

int cv_agent_watch(const struct cv_agent *a)
{
    return a->inotify;
}

static bool own_socket(const struct cv_agent *a)
{
    struct stat st;

    return fstatat(a->options->runtime, a->options->socket_leaf, &st,
                   AT_SYMLINK_NOFOLLOW) == 0 &&
           same_place(&a->socket, &st);
}

bool cv_agent_is_whole(struct cv_agent *a)
{
    char now[CV_PROCESS_IDENTITY];
    struct stat st;

    if (lstat(a->folder, &st) == -1 || !same_place(&a->vault, &st) ||
        (a->options->runtime != -1 && !own_socket(a))) {
        a->gone = true;
    }
    cv_process_identity(a->program, now);
    a->stale = a->program[0] != '\0' && strcmp(now, a->build) != 0;
    if (a->options->config != NULL) {
        cv_process_identity(a->options->config, now);
        a->stale = a->stale || strcmp(now, a->config) != 0;
    }
    return !a->gone;
}

void cv_agent_watched(struct cv_agent *a)
{
    char events[4096];

    while (read(a->inotify, events, sizeof(events)) > 0) {
    }
    (void)cv_agent_is_whole(a);
}

void cv_agent_asked(struct cv_agent *a)
{
    a->before_ms = a->last_ms;
    a->last_ms = cv_clock_boot_ms();
}

void cv_agent_overlook(struct cv_agent *a)
{
    a->last_ms = a->before_ms;
}

int64_t cv_agent_rest(struct cv_agent *a, size_t n_callers)
{
    int64_t left;

    a->n_callers = n_callers;
    if (a->stopping || a->gone || (a->stale && n_callers == 0)) {
        return 0;
    }
    if (n_callers > 0 || a->options->idle_s == 0) {
        return -1;
    }
    left = a->last_ms + a->options->idle_s * 1000 - cv_clock_boot_ms();
    return left > 0 ? left : 0;
}

void cv_agent_stop(struct cv_agent *a)
{
    a->stopping = true;
}

bool cv_agent_is_busy(const struct cv_agent *a)
{
    return a->n_callers > 1;
}

int64_t cv_agent_idle_s(const struct cv_agent *a)
{
    return (cv_clock_boot_ms() - a->last_ms) / 1000;
}

int64_t cv_agent_limit_s(const struct cv_agent *a)
{
    return a->options->idle_s;
}

const char *cv_agent_build(const struct cv_agent *a)
{
    return a->build;
}

/* Whoever starts an agent holds the lock, so that the name cannot change hands
 * between the look and the removal. */
void cv_agent_end(struct cv_agent *a)
{
    if (a->options->runtime != -1 &&
        cv_file_lock(a->options->lock, LOCK_MS, "the agent's lock", NULL) ==
            CV_OK &&
        own_socket(a)) {
        (void)unlinkat(a->options->runtime, a->options->socket_leaf, 0);
    }
}
