#include "cli/doctor_service.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define CHECK "service"

/* systemd.unit(5): where units of the system lie; the first counts. */
static const char *const folders[] = {
    "/etc/systemd/system", "/run/systemd/system",
    "/usr/local/lib/systemd/system", "/usr/lib/systemd/system",
    "/lib/systemd/system"};

static const char *const units[] = {
    "certvault.service",       "certvault.socket",
    "certvault-intake.socket", "certvault-intake@.service",
    "certvault-relay.socket",  "certvault-relay.service"};

/* Where the broker is reached, and where it reaches its helpers. */
static const char *const sockets[] = {
    "/run/certvault/broker.sock", "/run/certvault/intake.sock",
    "/run/certvault/relay-orders.sock", "/run/certvault/relay-asks.sock"};

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static bool put(char out[PATH_MAX], const char *root, const char *folder,
                const char *leaf)
{
    int n = snprintf(out, PATH_MAX, "%s%s%s%s", root, folder,
                     leaf[0] != '\0' ? "/" : "", leaf);

    return n > 0 && n < PATH_MAX;
}

/* The file of a unit; false: there is none. */
static bool find_unit(const char *root, const char *unit, char out[PATH_MAX])
{
    struct stat st;

    for (size_t i = 0; i < COUNT(folders); i++) {
        if (put(out, root, folders[i], unit) && lstat(out, &st) == 0) {
            return true;
        }
    }
    return false;
}

/* `systemctl mask` makes it a link to /dev/null. */
static bool is_masked(const char *path)
{
    char to[16];
    ssize_t n = readlink(path, to, sizeof(to));

    return n == 9 && memcmp(to, "/dev/null", 9) == 0;
}

static bool is_enabled(const char *root)
{
    static const char *const wants[] = {
        "/etc/systemd/system/multi-user.target.wants/certvault.service",
        "/etc/systemd/system/sockets.target.wants/certvault.socket"};
    char path[PATH_MAX];
    struct stat st;

    for (size_t i = 0; i < COUNT(wants); i++) {
        if (put(path, root, wants[i], "") && lstat(path, &st) == 0) {
            return true;
        }
    }
    return false;
}

/* False where there is nothing more to be said. */
static bool check_units(struct cv_doctor_host *d, const char *root)
{
    char path[PATH_MAX], missing[256] = "";
    size_t n = 0, at = 0;

    for (size_t i = 0; i < COUNT(units); i++) {
        if (!find_unit(root, units[i], path)) {
            at += (size_t)snprintf(missing + at, sizeof(missing) - at, "%s%s",
                                   at > 0 ? ", " : "", units[i]);
            continue;
        }
        n++;
        if (is_masked(path)) {
            cv_doctor_host_add(d, CHECK, CV_DOCTOR_WARN,
                               "systemctl unmask UNIT, if it is to run",
                               "%s is masked", units[i]);
        }
    }
    if (n == 0) {
        cv_doctor_host_add(d, CHECK, CV_DOCTOR_OK, "",
                           "no units: it is no service of systemd here");
        return false;
    }
    if (n < COUNT(units)) {
        cv_doctor_host_add(d, CHECK, CV_DOCTOR_FAIL,
                           "install certvault again, whole",
                           "units are missing: %s", missing);
        return false;
    }
    return true;
}

/* A vault is served only with what opens it (the unit's
 * LoadCredentialEncrypted). A folder that cannot be looked into says nothing.
 */
static void check_credential(struct cv_doctor_host *d, const char *root)
{
    char path[PATH_MAX];
    struct stat st;

    if (put(path, root, "/etc/certvault/vault.key.cred", "") &&
        lstat(path, &st) == -1 && errno == ENOENT) {
        cv_doctor_host_add(d, CHECK, CV_DOCTOR_WARN,
                           "systemd-creds encrypt; docs/operations.md has it "
                           "whole",
                           "/etc/certvault/vault.key.cred is not there: "
                           "certvault.service does not start without it");
    }
}

/* A line of /proc/net/unix (proc(5)), cut up: "Num: RefCount Protocol Flags
 * Type St Inode Path". The path of one that listens (__SO_ACCEPTCON), else
 * NULL. */
static const char *listening_path(char *line)
{
    unsigned long flags = 0;
    char *at = line;

    line[strcspn(line, "\n")] = '\0';
    for (int field = 0; field < 7; field++) {
        at += strspn(at, " ");
        if (field == 3) {
            flags = strtoul(at, NULL, 16);
        }
        at += strcspn(at, " ");
    }
    at += strspn(at, " ");
    return (flags & 0x10000U) != 0 && *at != '\0' ? at : NULL;
}

static bool listens(FILE *table, const char *path)
{
    char line[PATH_MAX + 128];

    rewind(table);
    while (fgets(line, sizeof(line), table) != NULL) {
        const char *at = listening_path(line);

        if (at != NULL && strcmp(at, path) == 0) {
            return true;
        }
    }
    return false;
}

static void check_sockets(struct cv_doctor_host *d, const char *root)
{
    FILE *table = fopen("/proc/net/unix", "re");
    char path[PATH_MAX];
    size_t n = 0;

    for (size_t i = 0; table != NULL && i < COUNT(sockets); i++) {
        if (put(path, root, sockets[i], "") && listens(table, path)) {
            n++;
            continue;
        }
        cv_doctor_host_add(d, CHECK, CV_DOCTOR_WARN,
                           i == 0 ? "systemctl start certvault.socket"
                                  : "systemctl start certvault-intake.socket "
                                    "certvault-relay.socket",
                           "nobody listens at %s", sockets[i]);
    }
    if (table != NULL) {
        (void)fclose(table);
    }
    if (n == COUNT(sockets)) {
        cv_doctor_host_add(d, CHECK, CV_DOCTOR_OK, "",
                           "its units are installed, its sockets are open");
    }
}

void cv_doctor_service_run(struct cv_doctor_host *d, const char *root)
{
    if (!check_units(d, root)) {
        return;
    }
    if (!is_enabled(root)) {
        cv_doctor_host_add(d, CHECK, CV_DOCTOR_WARN,
                           "systemctl enable --now certvault.service",
                           "its units are installed and not enabled");
    }
    check_credential(d, root);
    check_sockets(d, root);
}
