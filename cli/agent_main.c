#include "cli/agent_main.h"

#include "cli/broker_config.h"
#include "cli/handed.h"
#include "cli/runtime.h"
#include "vault/base/file.h"
#include "vault/base/json.h"
#include "vault/base/limits.h"
#include "vault/base/process.h"
#include "vault/broker/broker.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <unistd.h>

/* Who waits for it to begin. */
struct starter {
    int fd;   /* -1: nobody, or told already */
    int lock; /* held while it begins; -1: the starter holds it */
};

static void tell(struct starter *st, const struct cv_err *failure)
{
    struct cv_buf text;
    cJSON *what;

    if (st->lock != -1) {
        (void)flock(st->lock, LOCK_UN);
        st->lock = -1;
    }
    if (st->fd == -1) {
        return;
    }
    cv_buf_init(&text, NULL, CV_KIB(64));
    what = failure != NULL ? cv_json_from_err(failure) : cJSON_CreateObject();
    cv_json_write(what, CV_JSON_COMPACT, &text);
    if (cv_buf_status(&text, "the answer", NULL) == CV_OK) {
        (void)!cv_file_write(st->fd, cv_buf_bytes(&text), "the starter", NULL);
    }
    cJSON_Delete(what);
    cv_buf_wipe(&text);
    cv_file_close(&st->fd);
}

static void is_ready(void *context)
{
    tell(context, NULL);
}

static enum cv_status find_vault(const char *given, char folder[PATH_MAX],
                                 struct cv_err *err)
{
    enum cv_status s;

    if (realpath(given, folder) != NULL) {
        return CV_OK;
    }
    s = cv_fail_errno(err, CV_NOT_FOUND, "the vault's folder");
    cv_err_hint(err, "make one: certvault init");
    return s;
}

/* A socket of its own, in the runtime folder. */
static enum cv_status find_socket(const struct cv_agent_main *o,
                                  const char *folder, struct cv_runtime *r,
                                  struct cv_runtime_names *names, int *lock,
                                  struct cv_err *err)
{
    enum cv_status s = cv_runtime_open(true, r, err);

    if (s == CV_OK) {
        s = cv_runtime_name(r, folder, names, err);
    }
    if (s == CV_OK) {
        s = o->ready ? cv_file_open(r->dir, names->lock_leaf, O_RDWR | O_CREAT,
                                    lock, err)
                     : cv_runtime_lock(r, names, lock, err);
    }
    return s;
}

static enum cv_status run(const struct cv_agent_main *o, struct starter *st,
                          struct cv_err *err)
{
    char folder[PATH_MAX], logins[PATH_MAX];
    struct cv_runtime r = {.dir = -1};
    struct cv_runtime_names names = {.socket = ""};
    struct cv_broker_agent agent = {.listener = -1,
                                    .runtime = -1,
                                    .lock = -1,
                                    .idle_s = o->idle_s,
                                    .config = o->config};
    struct cv_broker_options options = {
        .mode = CV_BROKER_AGENT,
        .folder = folder,
        .socket = -1,
        .socket_mode = 0600,
        .programs = {.allow_unlocked = o->allow_unlocked},
        .agent = &agent,
        .ready = is_ready,
        .ready_context = st,
        .logins = cv_broker_config_logins(logins, sizeof(logins)),
    };
    enum cv_status s = find_vault(o->vault, folder, err);

    if (s == CV_OK && o->handed) {
        agent.listener = CV_PROCESS_SOCKET;
        s = cv_handed_check(agent.listener, err);
        cv_handed_path(agent.listener, names.socket, sizeof(names.socket));
    } else if (s == CV_OK) {
        s = find_socket(o, folder, &r, &names, &agent.lock, err);
        agent.runtime = r.dir;
        st->lock = o->ready ? -1 : agent.lock;
    }
    agent.socket_leaf = names.socket_leaf;
    options.socket_path = agent.socket_path = names.socket;
    if (s == CV_OK) {
        s = cv_broker_config_load(o->config, false, &options.programs,
                                  &options.relay, err);
    }
    if (s == CV_OK) {
        s = cv_broker_config_signers(o->config, false, &options.policy_signers,
                                     err);
    }
    /* Its folder of work must not keep a file system from being unmounted. */
    if (s == CV_OK && chdir("/") == -1) {
        s = cv_fail_errno(err, CV_INTERNAL, "cannot leave the folder");
    }
    if (s == CV_OK) {
        s = cv_broker_run(&options, err);
    }
    cv_broker_config_free(&options.programs);
    cv_broker_config_free_signers(options.policy_signers);
    cv_file_close(&agent.lock);
    cv_runtime_close(&r);
    return s;
}

enum cv_status cv_agent_main_run(const struct cv_agent_main *o,
                                 struct cv_err *err)
{
    struct starter st = {.fd = o->ready ? CV_PROCESS_SOCKET : -1, .lock = -1};
    enum cv_status s;

    if (o->ready) {
        (void)fcntl(st.fd, F_SETFD, FD_CLOEXEC);
    }
    s = run(o, &st, err);
    if (s != CV_OK) {
        st.lock = -1; /* it is closed by now, and free */
        tell(&st, err);
    }
    return s;
}
