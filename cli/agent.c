#include "cli/agent.h"

#include "cli/config.h"
#include "cli/module_env.h"
#include "cli/path.h"
#include "cli/runtime.h"
#include "vault/base/file.h"
#include "vault/base/limits.h"
#include "vault/base/peer.h"
#include "vault/base/process.h"
#include "vault/wire/client.h"

#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

/* A sandbox and a vault of many records take their time. */
#define BEGIN_MS 60000
#define STOP_MS 30000
#define ANSWER CV_KIB(64)

enum cv_status cv_agent_connect(const char *path, int *fd, struct cv_err *err)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    uid_t uid;
    enum cv_status s;

    *fd = -1;
    (void)snprintf(address.sun_path, sizeof(address.sun_path), "%s", path);
    *fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (*fd == -1) {
        return cv_fail_errno(err, CV_INTERNAL, "cannot make a socket");
    }
    if (connect(*fd, (const struct sockaddr *)&address, sizeof(address)) != 0) {
        s = errno == ENOENT || errno == ECONNREFUSED
                ? CV_OK
                : cv_fail_errno(err, CV_UNAVAILABLE, "the agent at %s", path);
        cv_file_close(fd);
        return s;
    }
    s = cv_peer_uid(*fd, &uid, err);
    if (s == CV_OK && uid != geteuid()) {
        s = cv_fail(err, CV_CONFIG, "the agent's socket is served by uid %u",
                    (unsigned)uid);
        cv_err_state(err, "nothing was sent to it");
    }
    if (s != CV_OK) {
        cv_file_close(fd);
    }
    return s;
}

/* What the agent said: {} when it serves, else why not. */
static enum cv_status read_answer(int fd, struct cv_err *err)
{
    struct pollfd p = {.fd = fd, .events = POLLIN};
    struct cv_buf text;
    cJSON *what = NULL;
    enum cv_status s = CV_UNAVAILABLE;

    cv_buf_init(&text, NULL, ANSWER);
    if (poll(&p, 1, BEGIN_MS) == 1 &&
        cv_file_read(fd, "the agent's answer", &text, NULL) == CV_OK &&
        cv_json_parse(NULL, cv_buf_bytes(&text), &what, NULL) == CV_OK) {
        s = what->child == NULL ? CV_OK : cv_json_to_err(what, err);
    } else {
        s = cv_fail(err, CV_UNAVAILABLE, "the agent did not begin");
        cv_err_hint(err, "give --no-agent to go on without it");
    }
    cJSON_Delete(what);
    cv_buf_wipe(&text);
    return s;
}

/* argv is not const, and nothing in it is changed. */
static char *argument(const char *text)
{
    char *copy;

    memcpy(&copy, &text, sizeof(copy));
    return copy;
}

/* The variables that the agent gets: it is to look for its runtime folder where
 * we did, and its modules for their tokens. */
static enum cv_status make_environment(const struct cv_runtime *r, char ***out,
                                       struct cv_err *err)
{
    char runtime[sizeof(r->folder) + 16];

    (void)snprintf(runtime, sizeof(runtime), "XDG_RUNTIME_DIR=%s", r->folder);
    *strrchr(runtime, '/') = '\0';
    return cv_module_env_new(runtime, out, err);
}

/* Starts certvaultd --agent, in a session of its own and with nothing of ours
 * but a socket for its answer, and waits until it serves. */
static enum cv_status launch(struct cv_cli *cli, const struct cv_runtime *r,
                             const char *folder, const char *idle,
                             struct cv_err *err)
{
    char path[PATH_MAX];
    char *argv[11] = {argument("certvaultd"), argument("--agent"),
                      argument("--ready"), argument("--vault"),
                      argument(folder)};
    char **environment = NULL;
    const char *settings;
    size_t n = 5;
    struct cv_process_start start = {
        .path = path, .argv = argv, .extra = {-1, -1, -1, -1}};
    int ends[2] = {-1, -1};
    pid_t pid;
    enum cv_status s = cv_config_find(cli, &settings, err);

    if (s == CV_OK && settings != NULL) {
        argv[n++] = argument("--config");
        argv[n++] = argument(settings);
    }
    if (idle != NULL) {
        argv[n++] = argument("--idle");
        argv[n++] = argument(idle);
    }
    if (cli->allow_unlocked) {
        argv[n++] = argument("--allow-unlocked");
    }
    if (s == CV_OK) {
        s = cv_process_path("bin/certvaultd", path, sizeof(path), err);
    }
    if (s == CV_OK) {
        s = make_environment(r, &environment, err);
        start.environment = environment;
    }
    if (s == CV_OK) {
        s = cv_process_pair(ends, err);
    }
    if (s == CV_OK) {
        start.socket = ends[1];
        s = cv_process_start(&start, &pid, err);
    }
    cv_file_close(&ends[1]);
    if (s == CV_OK) {
        s = read_answer(ends[0], err);
        if (s != CV_OK) {
            (void)kill(pid, SIGTERM);
            (void)cv_process_wait(pid);
        }
    }
    cv_file_close(&ends[0]);
    cv_module_env_free(environment);
    return s;
}

/* With the start lock held nobody else can have started one since we looked. */
static enum cv_status start_one(struct cv_cli *cli, const char *folder,
                                const char *idle, int *fd, struct cv_err *err)
{
    struct cv_runtime r;
    struct cv_runtime_names names;
    int lock = -1;
    enum cv_status s = cv_runtime_open(true, &r, err);

    if (s == CV_OK) {
        s = cv_runtime_name(&r, folder, &names, err);
    }
    if (s == CV_OK) {
        s = cv_runtime_lock(&r, &names, &lock, err);
    }
    if (s == CV_OK) {
        s = cv_agent_connect(names.socket, fd, err);
    }
    if (s == CV_OK && *fd == -1) {
        s = launch(cli, &r, folder, idle, err);
        if (s == CV_OK) {
            s = cv_agent_connect(names.socket, fd, err);
        }
        if (s == CV_OK && *fd == -1) {
            s = cv_fail(err, CV_UNAVAILABLE, "the agent ended at once");
        }
    }
    cv_file_close(&lock);
    cv_runtime_close(&r);
    return s;
}

/* The default vault's agent may be systemd's to start. */
static bool is_default(const char *folder)
{
    char standard[PATH_MAX], real[PATH_MAX];

    return cv_path_xdg("XDG_DATA_HOME", ".local/share", standard,
                       sizeof(standard), NULL) == CV_OK &&
           realpath(standard, real) != NULL && strcmp(real, folder) == 0;
}

static enum cv_status look(const char *folder, int *fd, struct cv_err *err)
{
    struct cv_runtime r;
    struct cv_runtime_names names;
    char other[sizeof(names.socket)];
    enum cv_status s = cv_runtime_open(false, &r, err);

    *fd = -1;
    if (s != CV_OK) {
        return s == CV_NOT_FOUND ? CV_OK : s;
    }
    s = cv_runtime_name(&r, folder, &names, err);
    if (s == CV_OK) {
        s = cv_agent_connect(names.socket, fd, err);
    }
    if (s == CV_OK && *fd == -1 && is_default(folder) &&
        cv_runtime_socket(&r, CV_RUNTIME_ACTIVATED, other, NULL) == CV_OK) {
        s = cv_agent_connect(other, fd, err);
    }
    cv_runtime_close(&r);
    return s;
}

enum cv_status cv_agent_reach(struct cv_cli *cli, const char *folder,
                              bool start, const char *idle, int *fd,
                              struct cv_err *err)
{
    enum cv_status s = look(folder, fd, err);

    return s == CV_OK && *fd == -1 && start
               ? start_one(cli, folder, idle, fd, err)
               : s;
}

void cv_agent_socket(const char *folder, char *out, size_t out_len)
{
    struct cv_runtime r;
    struct cv_runtime_names names;

    out[0] = '\0';
    if (cv_runtime_open(false, &r, NULL) == CV_OK) {
        if (cv_runtime_name(&r, folder, &names, NULL) == CV_OK) {
            (void)snprintf(out, out_len, "%s", names.socket);
        }
        cv_runtime_close(&r);
    }
}

bool cv_agent_is_ours(const char *build)
{
    char path[PATH_MAX], own[CV_PROCESS_IDENTITY];

    if (build == NULL ||
        cv_process_path("bin/certvaultd", path, sizeof(path), NULL) != CV_OK) {
        return false;
    }
    cv_process_identity(path, own);
    return strcmp(own, build) == 0;
}

enum cv_status cv_agent_stop(struct cv_channel *channel, pid_t pid, bool idle,
                             struct cv_err *err)
{
    struct pollfd end = {.fd = pidfd_open(pid, 0), .events = POLLIN};
    struct cv_message reply;
    cJSON *parameters = cJSON_CreateObject();
    enum cv_status s;

    if (!cv_json_add_bool(parameters, "idle", idle)) {
        cJSON_Delete(parameters);
        cv_file_close(&end.fd);
        return cv_fail(err, CV_INTERNAL, "memory is gone");
    }
    s = cv_client_call(channel, "io.certvault.Broker.AgentStop", parameters, 0,
                       STOP_MS, &reply, err);
    cv_message_free(&reply);
    /* It signs a checkpoint before it ends. */
    if (s == CV_OK && end.fd != -1 && poll(&end, 1, STOP_MS) != 1) {
        s = cv_fail(err, CV_BUSY, "the agent (pid %ld) has not ended yet",
                    (long)pid);
    }
    cv_file_close(&end.fd);
    return s;
}
