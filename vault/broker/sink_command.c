#include "vault/broker/sink_command.h"

#include "vault/base/clock.h"
#include "vault/base/file.h"
#include "vault/base/json.h"
#include "vault/base/limits.h"
#include "vault/base/process.h"
#include "vault/broker/spawner.h"
#include "vault/wire/interface.h"
#include "vault/wire/serve.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))
#define LINES_MAX (CV_LIMIT_SINK_BATCH_BYTES + CV_LIMIT_LEAF + CV_KIB(64))
/* How often it is looked whether the command has ended. */
#define LOOK_MS 20

/* The command's own process. */
static void become(char *command, int input)
{
    static char locale[] = "LC_ALL=C", path[] = "PATH=/usr/bin:/bin";
    char *const environment[] = {locale, path, NULL};
    char *const argv[] = {command, NULL};
    int none = open("/dev/null", O_RDWR | O_CLOEXEC);

    /* It ends with us: what is not taken comes again. */
    (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
    (void)setsid();
    if (none == -1 || dup2(input, 0) == -1 || dup2(none, 1) == -1 ||
        dup2(none, 2) == -1) {
        _exit(126);
    }
    (void)close_range(3, ~0U, 0);
    (void)signal(SIGINT, SIG_DFL);
    (void)signal(SIGHUP, SIG_DFL);
    (void)signal(SIGPIPE, SIG_DFL);
    (void)execve(command, argv, environment);
    _exit(127);
}

/* Hands over the lines as the command takes them; a command that does not read
 * all may still say that it has them. */
static void feed(int fd, struct cv_bytes lines, int64_t until_ms)
{
    struct pollfd p = {.fd = fd, .events = POLLOUT};

    while (lines.len > 0 && cv_clock_boot_ms() < until_ms) {
        ssize_t n =
            send(fd, lines.data, lines.len, MSG_DONTWAIT | MSG_NOSIGNAL);

        if (n > 0) {
            lines.data += n;
            lines.len -= (size_t)n;
        } else if (errno == EAGAIN) {
            (void)poll(&p, 1, LOOK_MS);
        } else if (errno != EINTR) {
            return;
        }
    }
}

/* Its exit code, 128 + signal, or -1: it had to be ended. */
static int wait_for(pid_t pid, int64_t until_ms)
{
    for (;;) {
        int status = 0;
        pid_t ended = waitpid(pid, &status, WNOHANG);

        if (ended == pid) {
            return WIFEXITED(status) ? WEXITSTATUS(status)
                                     : 128 + WTERMSIG(status);
        }
        if (ended == -1 && errno != EINTR) {
            return -1;
        }
        if (cv_clock_boot_ms() >= until_ms) {
            (void)kill(-pid, SIGKILL);
            (void)kill(pid, SIGKILL);
            (void)waitpid(pid, NULL, 0);
            return -1;
        }
        (void)poll(NULL, 0, LOOK_MS);
    }
}

static enum cv_status run(char *command, struct cv_bytes lines,
                          struct cv_err *err)
{
    int64_t until_ms =
        cv_clock_boot_ms() + (int64_t)CV_LIMIT_SINK_SEND_S * 1000;
    int pair[2], code;
    pid_t pid;
    enum cv_status s = cv_process_pair(pair, err);

    if (s != CV_OK) {
        return s;
    }
    pid = fork();
    if (pid == 0) {
        become(command, pair[1]);
    }
    (void)close(pair[1]);
    if (pid == -1) {
        (void)close(pair[0]);
        return cv_fail_errno(err, CV_UNAVAILABLE, "cannot start the command");
    }
    feed(pair[0], lines, until_ms);
    (void)shutdown(pair[0], SHUT_WR);
    code = wait_for(pid, until_ms);
    (void)close(pair[0]);
    return code == 0 ? CV_OK
           : code == -1
               ? cv_fail(err, CV_REMOTE, "the command did not end in time")
               : cv_fail(err, CV_REMOTE, "the command ended with %d", code);
}

static char *find(const struct cv_spawner_options *o, const char *text)
{
    for (size_t i = 0; i < o->n_sinks; i++) {
        if (o->sinks[i].command != NULL &&
            strcmp(o->sinks[i].text, text) == 0) {
            return o->sinks[i].command;
        }
    }
    return NULL;
}

static enum cv_status gather(const cJSON *list, struct cv_buf *lines,
                             struct cv_err *err)
{
    const cJSON *item;

    cJSON_ArrayForEach(item, list)
    {
        const char *text = cJSON_GetStringValue(
            cJSON_GetObjectItemCaseSensitive(item, "text"));

        cv_buf_add_str(lines, text != NULL ? text : "");
        cv_buf_add_char(lines, '\n');
    }
    return cv_buf_status(lines, "the records", err);
}

static enum cv_status deliver(void *context, const cJSON *parameters,
                              struct cv_reply *reply, struct cv_err *err)
{
    const char *text = NULL;
    const cJSON *list = NULL;
    const struct cv_json_field fields[] = {
        {"sink", CV_JSON_STRING, true, &text, 0},
        {"records", CV_JSON_ARRAY, true, &list, 0},
    };
    cJSON *out = cv_reply_parameters(reply);
    char *command = NULL;
    struct cv_buf lines;
    struct cv_err why;
    enum cv_status s =
        cv_json_read(parameters, "Deliver", fields, COUNT(fields), true, err);

    cv_buf_init(&lines, NULL, LINES_MAX);
    if (s == CV_OK) {
        command = find(context, text);
        s = command != NULL ? gather(list, &lines, err)
                            : cv_fail(err, CV_INVALID, "no such command");
    }
    if (s == CV_OK) {
        bool done;

        cv_err_init(&why);
        done = run(command, cv_buf_bytes(&lines), &why) == CV_OK;
        if (!cv_json_add_int(out, "taken",
                             done ? cJSON_GetArraySize(list) : 0) ||
            !cv_json_add_bool(out, "fresh", true) ||
            !cv_json_add_bool(out, "lost", false) ||
            !cv_json_add_str(out, "error", done ? NULL : why.text)) {
            s = cv_fail(err, CV_INTERNAL, "memory is gone");
        }
    }
    cv_buf_wipe(&lines);
    return s;
}

void cv_sink_command_serve(const struct cv_spawner_options *options, int socket)
{
    static const struct cv_method methods[] = {
        {"Deliver", deliver, false},
    };
    static const struct cv_interface iface = {
        .name = CV_INTERFACE_INTAKE,
        .description = "interface " CV_INTERFACE_INTAKE "\n",
        .methods = methods,
        .n_methods = COUNT(methods),
    };

    (void)!cv_serve_loop(&iface, (void *)(uintptr_t)options, socket,
                         CV_LIMIT_CLIENT_IDLE_S * 1000, NULL);
}
