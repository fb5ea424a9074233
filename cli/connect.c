#include "cli/connect.h"

#include "cli/agent.h"
#include "cli/config.h"
#include "cli/connect_internal.h"
#include "cli/path.h"
#include "vault/base/limits.h"
#include "vault/base/peer.h"
#include "vault/base/process.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define SERVICE_SOCKET "/run/certvault/broker.sock"
#define GREETING_MS 30000
#define AGENT_TRIES 5

struct cv_connect {
    struct cv_channel *channel;
    struct cv_message greeting; /* what the texts below are borrowed from */
    struct cv_connect_greeting greets;
    pid_t pid;  /* of a private broker; 0: none */
    bool agent; /* of one's own runtime folder */
};

static void fill(struct cv_connect *c)
{
    const cJSON *g = c->greeting.tree;

#define TEXT(key) cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(g, key))
    c->greets = (struct cv_connect_greeting){
        .vault_id = TEXT("vault_id"),
        .folder = TEXT("folder"),
        .mode = TEXT("mode"),
        .version = TEXT("version"),
        .state = TEXT("state"),
        .public_key = TEXT("public_key"),
        .token_uri = TEXT("token_uri"),
        .build = TEXT("build"),
        .locked = cJSON_IsTrue(cJSON_GetObjectItemCaseSensitive(g, "locked")),
        .log_key_gone =
            cJSON_IsTrue(cJSON_GetObjectItemCaseSensitive(g, "log_key_gone")),
        .pid = -1,
    };
#undef TEXT
    g = cJSON_GetObjectItemCaseSensitive(g, "pid");
    if (cJSON_IsNumber(g)) {
        c->greets.pid = (int64_t)g->valuedouble;
    }
}

static enum cv_status greet(struct cv_connect *c, bool absent,
                            const char *vault_id, struct cv_err *err)
{
    cJSON *parameters = cJSON_CreateObject();

    if (parameters == NULL ||
        (absent && !cv_json_add_bool(parameters, "allow_absent", true)) ||
        !cv_json_add_str(parameters, "vault_id", vault_id)) {
        cJSON_Delete(parameters);
        return cv_fail(err, CV_INTERNAL, "memory is gone");
    }
    enum cv_status s =
        cv_client_call(c->channel, "io.certvault.Broker.Hello", parameters, 0,
                       GREETING_MS, &c->greeting, err);
    if (s == CV_OK) {
        fill(c);
    }
    return s;
}

void cv_connect_free(struct cv_connect *c, struct cv_output *out)
{
    if (c == NULL) {
        return;
    }
    cv_channel_free(c->channel);
    cv_message_free(&c->greeting);
    if (c->pid > 0) {
        int code = cv_process_wait(c->pid);

        if (code != 0 && out != NULL) {
            cv_output_warn(out, "the private broker ended with code %d", code);
        }
    }
    free(c);
}

/* A private broker that could not begin says why in answer to Hello. One that
 * could not even do that says it on standard error and by its exit code;
 * without a code of ours the failed call's own error stays. */
static enum cv_status ended_early(struct cv_connect *c, enum cv_status s,
                                  struct cv_err *err)
{
    int code;

    cv_channel_free(c->channel);
    c->channel = NULL;
    code = cv_process_wait(c->pid);
    c->pid = 0;
    for (int i = CV_FAILED; i < CV_INTERRUPTED; i++) {
        if (code > 1 && cv_err_exit_code((enum cv_status)i) == code) {
            return cv_fail(err, (enum cv_status)i,
                           "the private broker could not begin");
        }
    }
    return s;
}

static enum cv_status attach(struct cv_cli *cli, int fd, pid_t pid, bool absent,
                             struct cv_connect **out, struct cv_err *err)
{
    struct cv_connect *c = calloc(1, sizeof(*c));
    enum cv_status s;

    *out = NULL;
    if (c == NULL) {
        (void)close(fd);
        return cv_fail(err, CV_INTERNAL, "memory is gone");
    }
    c->pid = pid;
    s = cv_channel_new(fd, CV_LIMIT_FRAME, &c->channel, err);
    if (s == CV_OK) {
        s = greet(c, absent, cli->vault_id, err);
    }
    if (s == CV_UNAVAILABLE && pid > 0 && c->greeting.tree == NULL) {
        s = ended_early(c, s, err);
    }
    if (s != CV_OK) {
        cv_connect_free(c, NULL);
        return s;
    }
    if (c->greets.log_key_gone) {
        cv_output_warn(&cli->out,
                       "audit/log.key is gone: records are written, and "
                       "nothing signs them; put it back from a copy of the "
                       "vault's folder or a backup (docs/operations.md)");
    }
    if (cli->out.verbose) {
        cv_output_note(&cli->out, "broker: %s, pid %lld, vault %s",
                       c->greets.mode ? c->greets.mode : "?",
                       (long long)c->greets.pid,
                       c->greets.folder ? c->greets.folder : "?");
    }
    *out = c;
    return CV_OK;
}

static enum cv_status open_unix(struct cv_cli *cli, const char *path,
                                bool absent, struct cv_connect **out,
                                struct cv_err *err)
{
    int fd = -1;
    enum cv_status s = cv_connect_unix(path, &fd, err);

    *out = NULL;
    return s == CV_OK ? attach(cli, fd, 0, absent, out, err) : s;
}

static enum cv_status open_private(struct cv_cli *cli, const char *folder,
                                   bool absent, struct cv_err *err)
{
    struct cv_connect_start how = {
        .folder = folder,
        .create = absent,
        .allow_unlocked = cli->allow_unlocked,
    };
    int fd = -1;
    pid_t pid = 0;
    enum cv_status s = cv_config_find(cli, &how.config, err);

    if (s == CV_OK) {
        s = cv_connect_start(&how, &fd, &pid, err);
    }
    return s == CV_OK ? attach(cli, fd, pid, absent, &cli->connect, err) : s;
}

static bool same_folder(const struct cv_connect *c, const char *folder)
{
    return c->greets.folder != NULL && strcmp(c->greets.folder, folder) == 0;
}

/* The service holds this vault: then it is the one to ask. */
static bool is_of_service(struct cv_cli *cli, const char *folder)
{
    struct cv_connect *c = NULL;

    if (access(SERVICE_SOCKET, F_OK) != 0 ||
        open_unix(cli, SERVICE_SOCKET, false, &c, NULL) != CV_OK) {
        return false;
    }
    if (!same_folder(c, folder)) {
        cv_connect_free(c, NULL);
        return false;
    }
    cli->connect = c;
    return true;
}

bool cv_connect_is_open(const struct cv_cli *cli)
{
    return cli->connect != NULL;
}

void cv_connect_close(struct cv_cli *cli)
{
    cv_connect_free(cli->connect, &cli->out);
    cli->connect = NULL;
}

/* An agent that was started from other programs than ours are: it is replaced
 * if nobody else is connected to it. True: it goes. */
static bool replace(struct cv_cli *cli, bool start)
{
    struct cv_err err;

    cv_err_init(&err);
    if (start &&
        cv_agent_stop(cli->connect->channel, (pid_t)cli->connect->greets.pid,
                      true, &err) == CV_OK) {
        cv_output_note(&cli->out, "the agent was of another build; it is "
                                  "started again");
        return true;
    }
    if (cli->quiet_build) {
        return false;
    }
    cv_output_warn(&cli->out,
                   "the agent (pid %lld) is of another build: "
                   "certvault agent stop ends it",
                   (long long)cli->connect->greets.pid);
    return false;
}

enum cv_status cv_connect_agent(struct cv_cli *cli, const char *folder,
                                bool start, const char *idle,
                                struct cv_err *err)
{
    for (int i = 0; i < AGENT_TRIES; i++) {
        int fd;
        enum cv_status s = cv_agent_reach(cli, folder, start, idle, &fd, err);

        if (s != CV_OK || fd == -1) {
            return s;
        }
        s = attach(cli, fd, 0, false, &cli->connect, err);
        if (s == CV_UNAVAILABLE) {
            continue; /* it was about to end */
        }
        if (s != CV_OK) {
            return s;
        }
        if (!same_folder(cli->connect, folder)) {
            cv_output_warn(&cli->out, "systemd's agent serves another vault");
            cv_connect_close(cli);
            return CV_OK;
        }
        if (cv_agent_is_ours(cli->connect->greets.build) ||
            !replace(cli, start)) {
            cli->connect->agent = true;
            return CV_OK;
        }
        cv_connect_close(cli);
    }
    return cv_fail(err, CV_UNAVAILABLE, "the agent ends as soon as it begins");
}

enum cv_status cv_connect_socket(struct cv_cli *cli, const char *path,
                                 struct cv_err *err)
{
    int fd;
    enum cv_status s = cv_agent_connect(path, &fd, err);

    return s == CV_OK && fd != -1
               ? attach(cli, fd, 0, false, &cli->connect, err)
               : s;
}

/* Its agent, or a private broker. A folder that is reached through a link is
 * for the broker to refuse. */
static enum cv_status open_own(struct cv_cli *cli, const char *folder,
                               bool absent, struct cv_err *err)
{
    char real[PATH_MAX];
    enum cv_status s = CV_OK;

    if (!absent && !cli->no_agent && realpath(folder, real) != NULL &&
        strcmp(real, folder) == 0) {
        s = cv_connect_agent(
            cli, folder, cli->agent_only || (!cli->no_input && !cli->no_start),
            NULL, err);
    }
    if (s == CV_OK && cli->connect == NULL && cli->agent_only) {
        s = cv_fail(err, CV_UNAVAILABLE, "no agent for the vault in %s",
                    folder);
        cv_err_hint(err, "certvault agent start says why");
    }
    return s == CV_OK && cli->connect == NULL
               ? open_private(cli, folder, absent, err)
               : s;
}

static enum cv_status no_vault(struct cv_err *err)
{
    enum cv_status s = cv_fail(err, CV_NOT_FOUND, "there is no vault yet");

    cv_err_hint(err, "certvault init makes one");
    return s;
}

/* Whether there is one the caller cannot tell. */
static enum cv_status not_yours(const char *folder, struct cv_err *err)
{
    enum cv_status s = cv_fail_errno(err, CV_IO, "%s", folder);

    cv_err_hint(err, "run it as the user whose vault that is");
    return s;
}

/* The folder that was named, or the default one; *named tells which. */
static enum cv_status find_folder(struct cv_cli *cli, char *out, size_t out_len,
                                  bool *named, struct cv_err *err)
{
    const char *folder = cli->vault;
    char standard[PATH_MAX];
    enum cv_status s = CV_OK;

    if (folder == NULL) {
        s = cv_config_text(cli, "vault", &folder, err);
    }
    *named = folder != NULL;
    if (s == CV_OK && folder == NULL) {
        s = cv_path_xdg("XDG_DATA_HOME", ".local/share", standard,
                        sizeof(standard), err);
        folder = standard;
    }
    return s == CV_OK ? cv_path_absolute(folder, out, out_len, err) : s;
}

enum cv_status cv_connect_place(struct cv_cli *cli, char *out, size_t out_len,
                                struct cv_err *err)
{
    enum cv_status s;
    bool named;

    if (cli->broker != NULL && strcmp(cli->broker, "exec:") != 0 &&
        cli->vault == NULL) {
        s = cv_fail(err, CV_USAGE, "this reads the vault's folder itself");
        cv_err_hint(err, "name it with --vault DIR instead of --broker");
        return s;
    }
    return find_folder(cli, out, out_len, &named, err);
}

enum cv_status cv_connect_folder(struct cv_cli *cli, char *out, size_t out_len,
                                 struct cv_err *err)
{
    enum cv_status s = cv_connect_place(cli, out, out_len, err);

    if (s == CV_OK && access(out, F_OK) != 0) {
        return errno == EACCES ? not_yours(out, err) : no_vault(err);
    }
    return s;
}

static enum cv_status open_default(struct cv_cli *cli, bool absent,
                                   struct cv_err *err)
{
    char folder[PATH_MAX];
    bool named;
    enum cv_status s = find_folder(cli, folder, sizeof(folder), &named, err);

    if (s != CV_OK) {
        return s;
    }
    if (named && is_of_service(cli, folder)) {
        return CV_OK;
    }
    if (named && !absent && access(folder, F_OK) != 0) {
        return no_vault(err);
    }
    if (named || absent || access(folder, F_OK) == 0) {
        return open_own(cli, folder, absent, err);
    }
    if (access(SERVICE_SOCKET, F_OK) == 0) {
        return open_unix(cli, SERVICE_SOCKET, absent, &cli->connect, err);
    }
    return no_vault(err);
}

static enum cv_status open_named_socket(struct cv_cli *cli, const char *path,
                                        bool absent, struct cv_err *err)
{
    char folder[PATH_MAX];
    enum cv_status s = open_unix(cli, path, absent, &cli->connect, err);

    if (s != CV_OK || cli->vault == NULL) {
        return s;
    }
    s = cv_path_absolute(cli->vault, folder, sizeof(folder), err);
    if (s == CV_OK && !same_folder(cli->connect, folder)) {
        s = cv_fail(err, CV_CONFIG,
                    "the broker at %s serves another vault than %s", path,
                    folder);
        cv_err_hint(err, "leave out --vault (CERTVAULT_DIR) or --broker "
                         "(CERTVAULT_BROKER)");
    }
    return s;
}

enum cv_status cv_connect_open(struct cv_cli *cli, bool absent,
                               struct cv_err *err)
{
    const char *address = cli->broker;
    char folder[PATH_MAX];
    enum cv_status s;
    bool named;

    if (cli->connect != NULL) {
        return CV_OK;
    }
    if (address == NULL) {
        return open_default(cli, absent, err);
    }
    if (strncmp(address, "unix:", 5) == 0) {
        return open_named_socket(cli, address + 5, absent, err);
    }
    if (strcmp(address, "exec:") == 0) {
        s = find_folder(cli, folder, sizeof(folder), &named, err);
        if (s == CV_OK && !absent && access(folder, F_OK) != 0) {
            return no_vault(err);
        }
        return s == CV_OK ? open_private(cli, folder, absent, err) : s;
    }
    if (strncmp(address, "ssh-unix:", 9) == 0) {
        return cv_fail(err, CV_CONFIG, "ssh-unix: is not in this version");
    }
    s = cv_fail(err, CV_USAGE, "this is no broker's address");
    cv_err_hint(err, "unix:PATH or exec:");
    return s;
}

struct cv_channel *cv_connect_channel(const struct cv_cli *cli)
{
    return cli->connect->channel;
}

const struct cv_connect_greeting *cv_connect_greets(const struct cv_cli *cli)
{
    return &cli->connect->greets;
}

bool cv_connect_is_own(const struct cv_cli *cli)
{
    struct cv_peer peer;

    if (cli->connect == NULL || cli->connect->channel == NULL) {
        return false;
    }
    if (cli->connect->pid > 0 || cli->connect->agent) {
        return true;
    }
    /* The peer is who listened. Root (systemd) listens for others too: then it
     * is another process than the one that greets. */
    return cv_peer_who(cv_channel_fd(cli->connect->channel), &peer, NULL) ==
               CV_OK &&
           peer.uid == geteuid() &&
           (peer.uid != 0 ||
            (peer.pid > 1 && peer.pid == cli->connect->greets.pid));
}

bool cv_connect_is_private(const struct cv_cli *cli)
{
    return cli->connect != NULL && cli->connect->pid > 0;
}
