/* agent start, stop, status: the vault's agent, whatever else would serve it.
 * lock --all. */
#include "cli/cmd_agent.h"
#include "cli/agent.h"
#include "cli/call.h"
#include "cli/cmd.h"
#include "cli/connect.h"
#include "cli/done.h"
#include "cli/output_table.h"
#include "cli/runtime.h"
#include "vault/base/clock.h"
#include "vault/base/limits.h"

#include <dirent.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const struct cv_output_column status_columns[] = {
    {"running", "running", NULL, NULL},
    {"pid", "pid", NULL, NULL},
    {"socket", "socket", NULL, NULL},
    {"folder", "folder", NULL, NULL},
    {"locked", "locked", NULL, NULL},
    {"waiting to ask", "waiting", NULL, NULL},
    {"idle (s)", "idle_s", NULL, NULL},
    {"ends after (s)", "idle_limit_s", NULL, NULL},
    {"version", "version", NULL, NULL},
    {"of this build", "current", NULL, NULL},
};

static const struct cv_output_view status_view = {
    .kind = "AgentStatus",
    .name = "socket",
    .columns = status_columns,
    .n_columns = sizeof(status_columns) / sizeof(status_columns[0]),
};

/* The vault's folder as its agent is named after. */
static enum cv_status find(struct cv_cli *cli, char folder[PATH_MAX],
                           struct cv_err *err)
{
    char given[PATH_MAX];
    enum cv_status s = cv_connect_folder(cli, given, sizeof(given), err);

    if (s == CV_OK && realpath(given, folder) == NULL) {
        s = cv_fail_errno(err, CV_NOT_FOUND, "the vault's folder");
    }
    return s;
}

static enum cv_status read_idle(const struct cv_args *args, char *out,
                                size_t out_len, const char **idle,
                                struct cv_err *err)
{
    const char *text = cv_args_value(args, "idle");
    int64_t seconds;
    enum cv_status s = CV_OK;

    *idle = NULL;
    if (text == NULL) {
        return CV_OK;
    }
    s = cv_clock_parse_duration(text, false, &seconds, err);
    if (s == CV_OK && seconds > CV_LIMIT_AGENT_IDLE_MAX_S) {
        s = cv_fail(err, CV_INVALID, "--idle is more than a year");
    }
    if (s == CV_OK) {
        (void)snprintf(out, out_len, "%lld", (long long)seconds);
        *idle = out;
    }
    return s;
}

/* Whether it runs, and where: the run's. `pid` 0: it does not. */
static cJSON *state_of(struct cv_cli *cli, const char *folder, int64_t pid,
                       struct cv_err *err)
{
    cJSON *status = cv_cli_keep(cli, cJSON_CreateObject(), err);
    char socket[PATH_MAX];

    cv_agent_socket(folder, socket, sizeof(socket));
    return cv_json_add_bool(status, "running", pid != 0) &&
                   (pid == 0 || cv_json_add_int(status, "pid", pid)) &&
                   cv_json_add_str(status, "socket", socket) &&
                   cv_json_add_str(status, "folder", folder)
               ? status
               : NULL;
}

/* After a start or stop: what `agent status` would say first. */
static enum cv_status print_state(struct cv_cli *cli, const char *folder,
                                  int64_t pid, struct cv_err *err)
{
    const cJSON *o = state_of(cli, folder, pid, err);

    return cv_done_print(cli, status_view.kind, status_view.name, o, o != NULL,
                         err);
}

/* One that ran before keeps the --idle that it was started with. */
static enum cv_status check_idle(struct cv_cli *cli, const char *idle,
                                 struct cv_err *err)
{
    const cJSON *told, *limit;
    enum cv_status s = cv_call_member(cli, "AgentStatus", cJSON_CreateObject(),
                                      "status", CV_JSON_OBJECT, &told, err);

    if (s != CV_OK) {
        return s;
    }
    limit = cJSON_GetObjectItemCaseSensitive(told, "idle_limit_s");
    if (cJSON_IsNumber(limit) &&
        (int64_t)limit->valuedouble != strtoll(idle, NULL, 10)) {
        cv_output_warn(&cli->out,
                       "--idle was passed over: the agent ran already and ends "
                       "after %lld s without work; certvault agent stop ends "
                       "it now",
                       (long long)limit->valuedouble);
    }
    return CV_OK;
}

CV_CMD(agent_start)
{
    char folder[PATH_MAX], text[32];
    const char *idle;
    enum cv_status s = read_idle(args, text, sizeof(text), &idle, err);

    if (s == CV_OK) {
        s = find(cli, folder, err);
    }
    if (s == CV_OK) {
        s = cv_connect_agent(cli, folder, true, idle, err);
    }
    if (s == CV_OK && cv_connect_is_open(cli)) {
        cv_output_note(&cli->out, "the agent runs, pid %lld",
                       (long long)cv_connect_greets(cli)->pid);
        s = idle != NULL ? check_idle(cli, idle, err) : CV_OK;
    }
    return s == CV_OK
               ? print_state(
                     cli, folder,
                     cv_connect_is_open(cli) ? cv_connect_greets(cli)->pid : 0,
                     err)
               : s;
}

/* The running agent without touching it; CV_UNAVAILABLE where there is none. */
static enum cv_status reach(struct cv_cli *cli, char folder[PATH_MAX],
                            struct cv_err *err)
{
    enum cv_status s = find(cli, folder, err);

    cli->quiet_build = true;
    if (s == CV_OK) {
        s = cv_connect_agent(cli, folder, false, NULL, err);
    }
    if (s == CV_OK && !cv_connect_is_open(cli)) {
        s = cv_fail(err, CV_UNAVAILABLE, "no agent runs for %s", folder);
        cv_err_hint(err, "certvault agent start");
    }
    return s;
}

CV_CMD(agent_stop)
{
    char folder[PATH_MAX];
    enum cv_status s = reach(cli, folder, err);

    (void)args;
    if (s == CV_UNAVAILABLE) {
        cv_output_note(&cli->out, "no agent runs for %s", folder);
        return print_state(cli, folder, 0, err);
    }
    if (s == CV_OK) {
        s = cv_agent_stop(cv_connect_channel(cli),
                          (pid_t)cv_connect_greets(cli)->pid, false, err);
    }
    return s == CV_OK ? print_state(cli, folder, 0, err) : s;
}

CV_CMD(agent_status)
{
    char folder[PATH_MAX];
    const cJSON *told;
    cJSON *status;
    struct cv_err ignored;
    enum cv_status s = reach(cli, folder, err);

    (void)args;
    if (s == CV_UNAVAILABLE) {
        cv_err_init(&ignored);
        status = state_of(cli, folder, 0, &ignored);
        return status != NULL &&
                       cv_output_table_object(&cli->out, &status_view, status,
                                              &ignored) == CV_OK
                   ? s
                   : CV_IO;
    }
    if (s == CV_OK) {
        s = cv_call_member(cli, "AgentStatus", cJSON_CreateObject(), "status",
                           CV_JSON_OBJECT, &told, err);
    }
    if (s != CV_OK) {
        return s;
    }
    status = cv_cli_keep(cli, cJSON_Duplicate(told, true), err);
    if (!cv_json_add_bool(status, "current",
                          cv_agent_is_ours(cv_connect_greets(cli)->build))) {
        return cv_fail(err, CV_INTERNAL, "memory is gone");
    }
    return cv_output_table_object(&cli->out, &status_view, status, err);
}

/* Locks the agent at `path`, if one is there. */
static enum cv_status lock_one(struct cv_cli *cli, const char *path,
                               cJSON *locked, struct cv_err *err)
{
    const cJSON *answer;
    enum cv_status s = cv_connect_socket(cli, path, err);

    if (s == CV_OK && cv_connect_is_open(cli)) {
        cv_output_note(&cli->out, "lock: %s", cv_connect_greets(cli)->folder);
        s = cv_call_simple(cli, "Lock", cv_cli_parameters(cli), &answer, err);
        if (s == CV_OK && locked != NULL) {
            (void)cJSON_AddItemToArray(
                locked, cJSON_CreateString(cv_connect_greets(cli)->folder));
        }
        cv_connect_close(cli);
    }
    /* What just ends has locked itself. */
    return s == CV_UNAVAILABLE ? CV_OK : s;
}

static bool is_socket(const char *leaf)
{
    size_t len = strlen(leaf);

    return len > 5 && strcmp(leaf + len - 5, ".sock") == 0;
}

/* Goes on after one that refuses, and tells of the first. */
enum cv_status cv_cmd_agent_lock_all(struct cv_cli *cli, cJSON *locked,
                                     struct cv_err *err)
{
    char path[sizeof(((struct sockaddr_un *)NULL)->sun_path)];
    struct cv_err one;
    struct cv_runtime r;
    const struct dirent *e;
    DIR *list;
    enum cv_status s = cv_runtime_open(false, &r, err), first = CV_OK;

    if (s != CV_OK) {
        return s == CV_NOT_FOUND ? CV_OK : s;
    }
    list = fdopendir(r.dir);
    if (list == NULL) {
        cv_runtime_close(&r);
        return cv_fail_errno(err, CV_IO, "the runtime folder");
    }
    while ((e = readdir(list)) != NULL) {
        cv_err_init(&one);
        if (!is_socket(e->d_name)) {
            continue;
        }
        s = cv_runtime_socket(&r, e->d_name, path, &one);
        if (s == CV_OK) {
            s = lock_one(cli, path, locked, &one);
        }
        if (s != CV_OK && first == CV_OK) {
            first = s;
            *err = one;
        }
    }
    (void)closedir(list);
    return first;
}
