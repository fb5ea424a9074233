#include "cli/doctor_host.h"

#include "cli/path.h"
#include "vault/base/clock.h"
#include "vault/base/file.h"
#include "vault/base/limits.h"
#include "vault/base/process.h"

#include <fcntl.h>
#include <limits.h>
#include <linux/landlock.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <sys/timex.h>
#include <unistd.h>

/* What one command's arenas come to at most in ordinary use. */
#define MEMORY_WANTED CV_MIB(1)
#define ROOM_WANTED CV_MIB(64)
/* No clock that is right shows less: 2026-01-01. */
#define EARLIEST_S INT64_C(1767225600)

void cv_doctor_host_add(struct cv_doctor_host *d, const char *check,
                        enum cv_doctor_result result, const char *hint,
                        const char *fmt, ...)
{
    static const char *const words[] = {"ok", "warn", "fail"};
    cJSON *item = cJSON_CreateObject();
    char text[512];
    va_list ap;

    va_start(ap, fmt);
    (void)vsnprintf(text, sizeof(text), fmt, ap);
    va_end(ap);
    d->failed += result == CV_DOCTOR_FAIL ? 1 : 0;
    if (!cv_json_add_str(item, "check", check) ||
        !cv_json_add_str(item, "result", words[result]) ||
        !cv_json_add_str(item, "message", text) ||
        !cv_json_add_str(item, "hint", hint[0] ? hint : NULL) ||
        !cJSON_AddItemToArray(d->items, item)) {
        cJSON_Delete(item);
    }
}

static void check_programs(struct cv_doctor_host *d)
{
    static const char *const names[] = {
        "bin/certvaultd", "libexec/certvault/token", "libexec/certvault/intake",
        "libexec/certvault/relay"};

    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        char path[PATH_MAX];
        struct cv_err err;

        cv_err_init(&err);
        if (cv_process_path(names[i], path, sizeof(path), &err) != CV_OK) {
            cv_doctor_host_add(d, names[i], CV_DOCTOR_FAIL, err.hint, "%s",
                               err.text);
        } else if (access(path, X_OK) != 0) {
            cv_doctor_host_add(d, names[i], CV_DOCTOR_FAIL,
                               "install certvault anew", "%s is not there",
                               path);
        } else {
            cv_doctor_host_add(d, names[i], CV_DOCTOR_OK, "", "%s", path);
        }
    }
}

static void check_memory(struct cv_doctor_host *d)
{
    struct cv_arena *arena = NULL;
    struct rlimit limit = {0, 0};
    struct cv_err err;

    cv_err_init(&err);
    (void)getrlimit(RLIMIT_MEMLOCK, &limit);
    if (cv_arena_new(MEMORY_WANTED * 2, &arena, &err) != CV_OK ||
        cv_arena_alloc(arena, MEMORY_WANTED, &err) == NULL) {
        cv_doctor_host_add(d, "locked memory", CV_DOCTOR_FAIL, err.hint, "%s",
                           err.text);
    } else if (limit.rlim_cur == RLIM_INFINITY) {
        cv_doctor_host_add(d, "locked memory", CV_DOCTOR_OK, "", "no limit");
    } else {
        cv_doctor_host_add(d, "locked memory", CV_DOCTOR_OK, "",
                           "limit %llu KiB",
                           (unsigned long long)limit.rlim_cur / 1024);
    }
    cv_arena_free(arena);
}

/* What the kernel offers, asked directly: vault/base/sandbox would bring
 * libseccomp along, which the command line does without. What the broker really
 * has in force is in its own line. */
static void check_kernel(struct cv_doctor_host *d)
{
    bool seccomp = prctl(PR_GET_SECCOMP, 0, 0, 0, 0) >= 0;
    long abi = syscall(SYS_landlock_create_ruleset, NULL, (size_t)0,
                       LANDLOCK_CREATE_RULESET_VERSION);

    cv_doctor_host_add(d, "seccomp", seccomp ? CV_DOCTOR_OK : CV_DOCTOR_FAIL,
                       seccomp ? "" : "a kernel with seccomp filters", "%s",
                       seccomp ? "there" : "not there");
    if (abi > 0) {
        cv_doctor_host_add(d, "landlock", CV_DOCTOR_OK, "", "ABI %ld", abi);
    } else {
        cv_doctor_host_add(d, "landlock", CV_DOCTOR_WARN,
                           "a kernel with landlock (5.13) confines the "
                           "helpers' files too",
                           "not there");
    }
}

/* Where sessions' files go: XDG_RUNTIME_DIR, else /run/user/UID. */
static void check_runtime(struct cv_doctor_host *d)
{
    const char *given = getenv("XDG_RUNTIME_DIR");
    char path[PATH_MAX];
    struct stat st;

    if (given != NULL && given[0] == '/') {
        (void)snprintf(path, sizeof(path), "%s", given);
    } else {
        (void)snprintf(path, sizeof(path), "/run/user/%u", (unsigned)getuid());
    }
    if (lstat(path, &st) != 0) {
        cv_doctor_host_add(d, "runtime folder", CV_DOCTOR_WARN,
                           "/tmp/certvault-UID will serve instead",
                           "%s is not there", path);
    } else if (!S_ISDIR(st.st_mode) || st.st_uid != getuid() ||
               (st.st_mode & 0777) != 0700) {
        cv_doctor_host_add(d, "runtime folder", CV_DOCTOR_WARN,
                           "it must be yours and 0700", "%s is not yours alone",
                           path);
    } else {
        cv_doctor_host_add(d, "runtime folder", CV_DOCTOR_OK, "", "%s", path);
    }
}

static void check_clock(struct cv_doctor_host *d)
{
    struct timex t = {0};
    char now[CV_CLOCK_TEXT_LEN];
    int state = adjtimex(&t);

    (void)cv_clock_format(cv_clock_now_s(), now);
    if (cv_clock_now_s() < EARLIEST_S) {
        cv_doctor_host_add(d, "clock", CV_DOCTOR_FAIL,
                           "set it: certificates and signatures need it",
                           "it says %s", now);
    } else if (state == TIME_ERROR || (t.status & STA_UNSYNC) != 0) {
        cv_doctor_host_add(d, "clock", CV_DOCTOR_WARN,
                           "more than 15 minutes off, the cloud refuses "
                           "signatures",
                           "%s, synchronised with nothing", now);
    } else {
        cv_doctor_host_add(d, "clock", CV_DOCTOR_OK, "", "%s, synchronised",
                           now);
    }
}

static void check_terminal(struct cv_doctor_host *d)
{
    int fd = open("/dev/tty", O_RDWR | O_CLOEXEC | O_NOCTTY);

    cv_doctor_host_add(d, "terminal", CV_DOCTOR_OK, "", "%s",
                       fd >= 0 ? "there to ask on"
                               : "none: secrets come from files only");
    cv_file_close(&fd);
}

void cv_doctor_host_run(struct cv_doctor_host *d)
{
    check_programs(d);
    check_memory(d);
    check_kernel(d);
    check_runtime(d);
    check_clock(d);
    check_terminal(d);
}

/* Files that would open the vault or rewrite its record for others. */
static void check_modes(struct cv_doctor_host *d, int folder)
{
    static const char *const names[] = {"vault.db", "audit/log",
                                        "audit/log.key"};

    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        struct stat st;

        if (fstatat(folder, names[i], &st, AT_SYMLINK_NOFOLLOW) != 0) {
            continue;
        }
        if (st.st_uid != getuid() || (st.st_mode & 077) != 0) {
            cv_doctor_host_add(
                d, names[i], CV_DOCTOR_FAIL, "chown and chmod 600 it",
                "others can get at it (mode %04o, uid %u)",
                (unsigned)st.st_mode & 07777, (unsigned)st.st_uid);
        }
    }
}

/* What a service keeps for the record, where one has made it. */
static void check_reserve(struct cv_doctor_host *d, int folder)
{
    struct stat st;

    if (fstatat(folder, "audit/reserve", &st, AT_SYMLINK_NOFOLLOW) == 0) {
        cv_doctor_host_add(
            d, "room kept for the record",
            st.st_size == 0 ? CV_DOCTOR_WARN : CV_DOCTOR_OK,
            st.st_size == 0 ? "make room on the vault's disk: the service then "
                              "keeps some again"
                            : "",
            "%llu KiB (audit/reserve)", (unsigned long long)st.st_size / 1024);
    }
}

void cv_doctor_host_folder(struct cv_doctor_host *d, const char *folder)
{
    struct cv_err err;
    struct statvfs fs;
    int fd = -1;

    cv_err_init(&err);
    if (cv_file_open_folder(folder, &fd, &err) != CV_OK) {
        cv_doctor_host_add(d, "vault's folder", CV_DOCTOR_FAIL, err.hint, "%s",
                           err.text);
        return;
    }
    cv_doctor_host_add(d, "vault's folder", CV_DOCTOR_OK, "", "%s", folder);
    check_modes(d, fd);
    check_reserve(d, fd);
    if (fstatvfs(fd, &fs) == 0) {
        unsigned long long room = (unsigned long long)fs.f_bavail * fs.f_frsize;

        cv_doctor_host_add(d, "room on its disk",
                           room < ROOM_WANTED ? CV_DOCTOR_WARN : CV_DOCTOR_OK,
                           room < ROOM_WANTED
                               ? "without room for the record nothing is "
                                 "released"
                               : "",
                           "%llu MiB", room / CV_MIB(1));
    }
    cv_file_close(&fd);
}
