#include "cli/pinentry.h"

#include "vault/base/file.h"
#include "vault/base/limits.h"
#include "vault/base/process.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* The longest line of the protocol (libassuan, ASSUAN_LINELENGTH); a PIN may be
 * written with three characters for one. */
#define LINE_MAX_LEN 1002

static bool find(char *path, size_t size)
{
    const char *dirs = getenv("PATH");

    while (dirs != NULL && *dirs != '\0') {
        size_t len = strcspn(dirs, ":");

        if (dirs[0] == '/' &&
            snprintf(path, size, "%.*s/pinentry", (int)len, dirs) < (int)size &&
            access(path, X_OK) == 0) {
            return true;
        }
        dirs += len + (dirs[len] == ':' ? 1 : 0);
    }
    return false;
}

bool cv_pinentry_possible(const struct cv_cli *cli)
{
    char path[PATH_MAX];

    return !cli->no_input &&
           (getenv("DISPLAY") != NULL || getenv("WAYLAND_DISPLAY") != NULL) &&
           find(path, sizeof(path));
}

/* Its standard input and output are one end of a socket pair. */
static enum cv_status start(int *fd, pid_t *pid, struct cv_err *err)
{
    static char shell[] = "sh", flag[] = "-c",
                script[] = "exec \"$1\" <&3 >&3 3>&-";
    char path[PATH_MAX];
    char *argv[] = {shell, flag, script, shell, path, NULL};
    int pair[2];
    struct cv_process_start s = {
        .path = "/bin/sh",
        .argv = argv,
        .environment = environ,
        .extra = {-1, -1, -1, -1},
    };
    enum cv_status status;

    if (!find(path, sizeof(path))) {
        return cv_fail(err, CV_LOCKED, "there is no pinentry");
    }
    status = cv_process_pair(pair, err);
    if (status != CV_OK) {
        return status;
    }
    s.socket = pair[1];
    status = cv_process_start(&s, pid, err);
    cv_file_close(&pair[1]);
    if (status != CV_OK) {
        cv_file_close(&pair[0]);
    }
    *fd = pair[0];
    return status;
}

/* A line, in the arena, without its end; NULL: the other side is gone. */
static char *read_line(int fd, struct cv_arena *arena, struct cv_err *err)
{
    char *line = cv_arena_alloc(arena, LINE_MAX_LEN + 1, err);
    size_t n = 0;

    while (line != NULL && n < LINE_MAX_LEN) {
        ssize_t got = read(fd, line + n, 1);

        if (got == -1 && errno == EINTR) {
            continue;
        }
        if (got != 1) {
            return NULL;
        }
        if (line[n] == '\n') {
            line[n] = '\0';
            return line;
        }
        n++;
    }
    return NULL;
}

static bool say(int fd, const char *command, const char *text)
{
    struct cv_buf line;
    bool ok;

    cv_buf_init(&line, NULL, CV_KIB(1));
    cv_buf_add_str(&line, command);
    if (text != NULL) {
        cv_buf_add_char(&line, ' ');
    }
    for (; text != NULL && *text != '\0'; text++) {
        if (*text == '%' || (unsigned char)*text < 0x20) {
            cv_buf_add_format(&line, "%%%02X", (unsigned char)*text);
        } else {
            cv_buf_add_char(&line, *text);
        }
    }
    cv_buf_add_char(&line, '\n');
    ok = cv_buf_status(&line, "pinentry", NULL) == CV_OK &&
         send(fd, line.data, line.len, MSG_NOSIGNAL) == (ssize_t)line.len;
    cv_buf_wipe(&line);
    return ok;
}

static int hex_of(char c)
{
    const char *digits = "0123456789ABCDEF";
    const char *at = strchr(digits, c >= 'a' ? c - 'a' + 'A' : c);

    return c != '\0' && at != NULL ? (int)(at - digits) : -1;
}

/* What stands behind "D ", decoded in place. */
static size_t decode(char *text)
{
    size_t n = 0;

    for (const char *p = text; *p != '\0'; p++) {
        if (*p == '%' && hex_of(p[1]) >= 0 && hex_of(p[2]) >= 0) {
            text[n++] = (char)(hex_of(p[1]) * 16 + hex_of(p[2]));
            p += 2;
        } else {
            text[n++] = *p;
        }
    }
    return n;
}

/* Reads up to OK or ERR; what came as data is *out. */
static bool answer(int fd, struct cv_arena *arena, struct cv_bytes *out,
                   struct cv_err *err)
{
    for (;;) {
        char *line = read_line(fd, arena, err);

        if (line == NULL || strncmp(line, "ERR", 3) == 0) {
            return false;
        }
        if (strncmp(line, "OK", 2) == 0) {
            return true;
        }
        if (out != NULL && strncmp(line, "D ", 2) == 0) {
            out->data = (const uint8_t *)line + 2;
            out->len = decode(line + 2);
        }
    }
}

enum cv_status cv_pinentry_ask(const char *description, struct cv_arena *arena,
                               struct cv_bytes *out, struct cv_err *err)
{
    int fd = -1;
    pid_t pid = 0;
    bool ok;
    enum cv_status s = start(&fd, &pid, err);

    *out = (struct cv_bytes){NULL, 0};
    if (s != CV_OK) {
        return s;
    }
    ok = answer(fd, arena, NULL, err) && say(fd, "SETTITLE", "certvault") &&
         answer(fd, arena, NULL, err) && say(fd, "SETDESC", description) &&
         answer(fd, arena, NULL, err) && say(fd, "SETPROMPT", "PIN:") &&
         answer(fd, arena, NULL, err) && say(fd, "GETPIN", NULL) &&
         answer(fd, arena, out, err);
    if (ok) {
        (void)say(fd, "BYE", NULL);
    }
    cv_file_close(&fd);
    (void)cv_process_wait(pid);
    if (!ok) {
        s = cv_fail(err, CV_LOCKED,
                    "the question for the PIN was not answered");
        cv_err_state(err, "no PIN was tried");
    } else if (out->len == 0 || out->len > CV_LIMIT_PASSPHRASE) {
        s = cv_fail(err, CV_INVALID, "nothing was typed, or too much");
        cv_err_state(err, "no PIN was tried");
    }
    return s;
}
