#include "cli/pin_source.h"

#include "cli/pin_kind.h"
#include "cli/secret.h"
#include "vault/base/file.h"
#include "vault/base/limits.h"
#include "vault/base/process.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* One line, without its end. */
static enum cv_status one_line(const struct cv_buf *text, const char *what,
                               struct cv_bytes *out, struct cv_err *err)
{
    *out = cv_buf_bytes(text);
    if (out->len > 0 && out->data[out->len - 1] == '\n') {
        out->len--;
    }
    if (out->len > 0 && out->data[out->len - 1] == '\r') {
        out->len--;
    }
    if (out->len == 0) {
        return cv_fail(err, CV_INVALID, "%s: nothing is in it", what);
    }
    if (out->len > CV_LIMIT_PASSPHRASE ||
        memchr(out->data, '\0', out->len) != NULL ||
        memchr(out->data, '\n', out->len) != NULL) {
        return cv_fail(err, CV_INVALID, "%s: not one line of at most %d bytes",
                       what, CV_LIMIT_PASSPHRASE);
    }
    return CV_OK;
}

static enum cv_status read_all(int fd, const char *what, struct cv_arena *arena,
                               struct cv_bytes *out, struct cv_err *err)
{
    struct cv_buf text;
    enum cv_status s;

    cv_buf_init(&text, arena, CV_LIMIT_PASSPHRASE + 2);
    s = cv_file_read(fd, what, &text, err);
    return s == CV_OK ? one_line(&text, what, out, err) : s;
}

/* Descriptors that were kept, in the places from 3 up. */
#define HELD 2

static struct {
    char number[12];
    int fd; /* -1: read already */
} held[HELD];
static size_t n_held;

static void hold(const char *source)
{
    long n;
    char *end;
    int fd;

    if (n_held == HELD || strncmp(source, "fd:", 3) != 0 || source[3] < '0' ||
        source[3] > '9' || strlen(source + 3) >= sizeof(held[0].number)) {
        return;
    }
    n = strtol(source + 3, &end, 10);
    if (*end != '\0' || n < 0 || n > INT_MAX) {
        return;
    }
    /* Out of the way first: the place may be another one's number. */
    fd = fcntl((int)n, F_DUPFD, 64);
    if (fd != -1) {
        (void)snprintf(held[n_held].number, sizeof(held[0].number), "%s",
                       source + 3);
        held[n_held++].fd = fd;
    }
}

int cv_pin_source_hold(int argc, char *const *argv)
{
    for (int i = 1; i < argc; i++) {
        const char *value = strstr(argv[i], "pin-source=");

        if (strncmp(argv[i], "--", 2) == 0 && value != NULL) {
            hold(value + strlen("pin-source="));
        } else if (strncmp(argv[i], "fd:", 3) == 0 &&
                   strstr(argv[i - 1], "pin-source") != NULL) {
            hold(argv[i]);
        }
    }
    for (size_t i = 0; i < n_held; i++) {
        int place = STDERR_FILENO + 1 + (int)i;

        held[i].fd = dup3(held[i].fd, place, O_CLOEXEC);
    }
    return STDERR_FILENO + (int)n_held;
}

static enum cv_status read_fd(const char *number, struct cv_arena *arena,
                              struct cv_bytes *out, struct cv_err *err)
{
    enum cv_status s;

    for (size_t i = 0; i < n_held && i < HELD; i++) {
        if (strcmp(held[i].number, number) == 0 && held[i].fd != -1) {
            s = read_all(held[i].fd, "the PIN's descriptor", arena, out, err);
            cv_file_close(&held[i].fd);
            return s;
        }
    }
    return cv_fail(err, CV_USAGE,
                   "fd: wants the number of a descriptor that is open, once");
}

/* A command of the user's own, as the user: its output goes through a pipe, and
 * nothing of the PIN is in its arguments or environment. */
static enum cv_status read_command(const char *words, struct cv_arena *arena,
                                   struct cv_bytes *out, struct cv_err *err)
{
    static char shell[] = "sh", flag[] = "-c",
                script[] = "exec >&4 4>&-; eval \"$1\"";
    char *copy = strdup(words);
    char *argv[] = {shell, flag, script, shell, copy, NULL};
    int ends[2] = {-1, -1};
    struct cv_process_start start = {
        .path = "/bin/sh",
        .argv = argv,
        .environment = environ,
        .socket = -1,
        .extra = {-1, -1, -1, -1},
        .keep_stderr = true,
    };
    pid_t pid;
    int code;
    enum cv_status s;

    if (copy == NULL || pipe2(ends, O_CLOEXEC) == -1) {
        free(copy);
        return cv_fail(err, CV_INTERNAL, "memory is gone");
    }
    start.extra[0] = ends[1];
    s = cv_process_start(&start, &pid, err);
    cv_file_close(&ends[1]);
    free(copy);
    if (s == CV_OK) {
        s = read_all(ends[0], "the PIN's command", arena, out, err);
        cv_file_close(&ends[0]);
        code = cv_process_wait(pid);
        if (code != 0) {
            s = cv_fail(err, CV_FAILED, "the PIN's command ended with code %d",
                        code);
        }
    }
    cv_file_close(&ends[0]);
    return s;
}

enum cv_status cv_pin_source_read(struct cv_cli *cli, const char *source,
                                  struct cv_arena *arena, struct cv_bytes *out,
                                  struct cv_err *err)
{
    const char *rest;
    const char *kind = cv_pin_kind_read(source, &rest);
    struct cv_secret_slot slot = {0};
    enum cv_status s;

    if (kind == NULL) {
        return cv_fail(err, CV_USAGE, "this is no source of a PIN");
    }
    if (strcmp(kind, "file") == 0) {
        return cv_secret_line(cli, rest, CV_LIMIT_PASSPHRASE, "the PIN file",
                              arena, out, err);
    }
    if (strcmp(kind, "fd") == 0) {
        return read_fd(rest, arena, out, err);
    }
    if (strcmp(kind, "command") == 0) {
        return read_command(rest, arena, out, err);
    }
    s = cv_secret_credential(cli, rest, arena, &slot, err);
    *out = slot.secret;
    while (
        s == CV_OK && out->len > 0 &&
        (out->data[out->len - 1] == '\n' || out->data[out->len - 1] == '\r')) {
        out->len--;
    }
    return s;
}

static int hex_of(char c)
{
    if (c >= '0' && c <= '9') {
        return c - '0';
    }
    if (c >= 'a' && c <= 'f') {
        return c - 'a' + 10;
    }
    return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

/* The value of the attribute `name`, which stands behind one of `before`,
 * decoded; false: there is none, or it is too long. */
static bool value_of(const char *uri, const char *name, char *out, size_t size)
{
    size_t len = strlen(name), n = 0;
    const char *p = uri;

    while ((p = strpbrk(p, ":;?&")) != NULL) {
        p++;
        if (strncmp(p, name, len) == 0 && p[len] == '=') {
            p += len + 1;
            break;
        }
    }
    if (p == NULL) {
        return false;
    }
    for (; *p != '\0' && strchr(";?&", *p) == NULL; p++) {
        int c = (unsigned char)*p;

        if (*p == '%' && hex_of(p[1]) >= 0 && hex_of(p[2]) >= 0) {
            c = hex_of(p[1]) * 16 + hex_of(p[2]);
            p += 2;
        }
        if (n + 1 >= size || c == 0) {
            return false;
        }
        out[n++] = (char)c;
    }
    out[n] = '\0';
    return true;
}

/* *any: `pattern` has one of them. */
static bool compare(const char *pattern, const char *uri, bool *any)
{
    static const char *const names[] = {"token", "manufacturer", "model",
                                        "serial"};

    *any = false;
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        char want[128], have[128];

        if (!value_of(pattern, names[i], want, sizeof(want))) {
            continue;
        }
        *any = true;
        if (!value_of(uri, names[i], have, sizeof(have)) ||
            strcmp(want, have) != 0) {
            return false;
        }
    }
    return true;
}

bool cv_pin_source_fits(const char *pattern, const char *uri)
{
    bool any;

    return compare(pattern, uri, &any) && any;
}

bool cv_pin_source_allows(const char *pattern, const char *uri)
{
    bool any;

    return compare(pattern, uri, &any);
}

const char *cv_pin_source_of_uri(struct cv_cli *cli, const char *uri)
{
    char path[PATH_MAX + 8] = "";
    const char *file = path;
    cJSON *kept;

    if (!value_of(uri, "pin-source", path, sizeof(path))) {
        return NULL;
    }
    if (strncmp(file, "file:", 5) == 0) {
        file += 5;
    }
    kept = cv_cli_keep(cli, cJSON_CreateString(file), NULL);
    return kept != NULL && file[0] == '/' ? kept->valuestring : NULL;
}
