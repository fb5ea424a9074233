#include "cli/offline.h"

#include "cli/path.h"

#include "vault/base/file.h"
#include "vault/base/limits.h"
#include "vault/base/process.h"
#include "vault/base/utf8.h"
#include "vault/wire/interface.h"

#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Reading a log of many millions of records takes its time. */
#define CALL_MS (60 * 60 * 1000)

struct cv_offline {
    struct cv_channel *channel;
    const char *interface;
    pid_t pid;
};

struct program {
    const char *path;
    const char *interface;
    char *name;
};

static enum cv_status spawn(const struct program *p, const struct cv_cli *cli,
                            int socket, int input, int second, pid_t *pid,
                            struct cv_err *err)
{
    static char offline[] = "--offline", unlocked[] = "--allow-unlocked";
    char path[PATH_MAX];
    char *argv[] = {p->name, offline, cli->allow_unlocked ? unlocked : NULL,
                    NULL};
    const struct cv_process_start start = {
        .path = path,
        .argv = argv,
        .socket = socket,
        .extra = {input, second, -1, -1},
        .keep_stderr = true,
    };
    enum cv_status s = cv_process_path(p->path, path, sizeof(path), err);

    return s == CV_OK ? cv_process_start(&start, pid, err) : s;
}

enum cv_status cv_offline_start(enum cv_offline_program program,
                                const struct cv_cli *cli, int input,
                                struct cv_offline **out, struct cv_err *err)
{
    return cv_offline_start_with(program, cli, input, -1, out, err);
}

enum cv_status cv_offline_start_with(enum cv_offline_program program,
                                     const struct cv_cli *cli, int input,
                                     int second, struct cv_offline **out,
                                     struct cv_err *err)
{
    static char broker[] = "certvaultd", intake[] = "intake";
    static const struct program programs[] = {
        {"bin/certvaultd", CV_INTERFACE_OFFLINE, broker},
        {"libexec/certvault/intake", CV_INTERFACE_INTAKE, intake},
    };
    struct cv_offline *o = calloc(1, sizeof(*o));
    int pair[2] = {-1, -1};
    enum cv_status s;

    *out = NULL;
    if (o == NULL) {
        return cv_fail(err, CV_INTERNAL, "memory is gone");
    }
    o->interface = programs[program].interface;
    s = cv_process_pair(pair, err);
    if (s == CV_OK) {
        s = spawn(&programs[program], cli, pair[1], input, second, &o->pid,
                  err);
    }
    cv_file_close(&pair[1]);
    if (s == CV_OK) {
        s = cv_channel_new(pair[0], CV_LIMIT_FRAME, &o->channel, err);
    } else {
        cv_file_close(&pair[0]);
    }
    if (s != CV_OK) {
        cv_offline_free(o);
        return s;
    }
    *out = o;
    return CV_OK;
}

void cv_offline_free(struct cv_offline *o)
{
    if (o == NULL) {
        return;
    }
    cv_channel_free(o->channel);
    if (o->pid > 0) {
        (void)cv_process_wait(o->pid);
    }
    free(o);
}

static void full_name(const struct cv_offline *o, const char *method,
                      char out[96])
{
    (void)snprintf(out, 96, "%s.%s", o->interface, method);
}

static enum cv_status call(struct cv_offline *o, const char *method,
                           cJSON *parameters, unsigned flags,
                           struct cv_message *reply, struct cv_err *err)
{
    char name[96];

    memset(reply, 0, sizeof(*reply));
    if (parameters == NULL) {
        return cv_fail(err, CV_INTERNAL, "memory is gone");
    }
    full_name(o, method, name);
    return cv_client_call(o->channel, name, parameters, flags, CALL_MS, reply,
                          err);
}

enum cv_status cv_offline_call(struct cv_offline *o, const char *method,
                               cJSON *parameters, struct cv_message *reply,
                               struct cv_err *err)
{
    return call(o, method, parameters, 0, reply, err);
}

enum cv_status cv_offline_secret(struct cv_offline *o, const char *method,
                                 cJSON *parameters, struct cv_message *reply,
                                 struct cv_err *err)
{
    return call(o, method, parameters,
                CV_CLIENT_SECRET_IN | CV_CLIENT_SECRET_OUT, reply, err);
}

enum cv_status cv_offline_stream(struct cv_offline *o, const char *method,
                                 cJSON *parameters, cv_client_each *each,
                                 void *context, struct cv_err *err)
{
    char name[96];

    if (parameters == NULL) {
        return cv_fail(err, CV_INTERNAL, "memory is gone");
    }
    full_name(o, method, name);
    return cv_client_stream(o->channel, name, parameters, 0, CALL_MS, each,
                            context, err);
}

enum cv_status cv_offline_once(struct cv_cli *cli, const char *method,
                               cJSON *parameters, const cJSON **answer,
                               struct cv_err *err)
{
    struct cv_offline *o = NULL;
    struct cv_message reply;
    enum cv_status s;

    *answer = NULL;
    s = cv_offline_start(CV_OFFLINE_BROKER, cli, -1, &o, err);
    if (s != CV_OK) {
        cJSON_Delete(parameters);
        return s;
    }
    s = cv_offline_call(o, method, parameters, &reply, err);
    if (s == CV_OK) {
        *answer = cv_cli_keep(cli, reply.tree, err);
        s = *answer != NULL ? CV_OK : CV_INTERNAL;
    } else {
        cv_cli_note_excerpt(cli, reply.tree);
        cv_message_free(&reply);
    }
    cv_offline_free(o);
    return s;
}

/* What no text that is sent on may hold: `point`, of `n` bytes; 0: there is no
 * code point at `rest`. */
static void refuse_text(struct cv_bytes rest, size_t n, uint32_t point,
                        struct cv_err *err)
{
    if (n == 0) {
        (void)cv_fail(err, CV_INVALID, "this is not UTF-8 text");
        cv_err_hint(err, "save it as UTF-8");
    } else if (point == 0) {
        (void)cv_fail(err, CV_INVALID, "a NUL byte");
        cv_err_hint(err, "save it as UTF-8 text");
    } else if (rest.len > 1 && memcmp(rest.data, "\r\n", 2) == 0) {
        (void)cv_fail(err, CV_INVALID,
                      "this line ends with CR LF, as on Windows");
        cv_err_hint(err, "save it with line feeds alone: tr -d '\\r' < FILE");
    } else {
        (void)cv_fail(err, CV_INVALID, "a control character (U+%04X)",
                      (unsigned)point);
    }
}

static bool is_control(uint32_t point)
{
    return (point < 0x20 && point != '\n' && point != '\t') ||
           (point >= 0x7f && point <= 0x9f);
}

static enum cv_status check_text(const char *path, const struct cv_buf *text,
                                 struct cv_err *err)
{
    unsigned line = 1, column = 1;
    size_t at = 0;

    while (at < text->len) {
        uint32_t point = 0;
        size_t n = cv_utf8_next(text->data + at, text->len - at, &point);

        if (n == 0 || is_control(point)) {
            refuse_text((struct cv_bytes){text->data + at, text->len - at}, n,
                        point, err);
            cv_err_prefix(err, "%s: line %u, column %u", path, line, column);
            return CV_INVALID;
        }
        line += point == '\n';
        column = point == '\n' ? 1 : column + 1;
        at += n;
    }
    return CV_OK;
}

static enum cv_status read_input(struct cv_cli *cli, const char *path,
                                 struct cv_buf *out, struct cv_err *err)
{
    enum cv_status s = CV_OK;
    int fd = -1;

    if (strcmp(path, "-") != 0) {
        s = cv_path_open_input(path, &fd, err);
    } else if (cli->stdin_taken) {
        s = cv_fail(err, CV_USAGE,
                    "only one thing can come from standard input");
    } else {
        cli->stdin_taken = true;
        fd = fcntl(STDIN_FILENO, F_DUPFD_CLOEXEC, 3);
    }
    if (s == CV_OK) {
        s = cv_file_read(fd, path, out, err);
    }
    cv_file_close(&fd);
    return s;
}

enum cv_status cv_offline_text(struct cv_cli *cli, const char *path,
                               struct cv_buf *out, struct cv_err *err)
{
    const enum cv_status s = read_input(cli, path, out, err);

    return s == CV_OK ? check_text(path, out, err) : s;
}

/* Line feeds and printable text: what else there is no note, proof or record
 * has, whoever made it. */
static bool is_plain(const struct cv_buf *text)
{
    size_t at = 0;

    while (at < text->len) {
        uint32_t point = 0;
        size_t n = cv_utf8_next(text->data + at, text->len - at, &point);

        if (n == 0 || is_control(point) || point == '\t') {
            return false;
        }
        at += n;
    }
    return true;
}

enum cv_status cv_offline_claim(struct cv_cli *cli, const char *path,
                                struct cv_buf *out, struct cv_err *err)
{
    enum cv_status s = read_input(cli, path, out, err);

    if (s == CV_OK && !is_plain(out)) {
        s = cv_fail(err, CV_INTEGRITY,
                    "%s does not verify: control characters (a changed line "
                    "end?) or no UTF-8 text",
                    path);
        cv_err_state(err, "it was held against nothing");
        cv_err_hint(err, "get it again, byte for byte as it was made");
    }
    return s;
}
