/* certvaultd: the broker.
 *
 *     certvaultd --vault DIR --socket PATH ...   the service (cli/service.h)
 *     certvaultd --agent --vault DIR             one user's, in the background
 *     certvaultd --private --vault DIR           for one command; descriptor 3
 *     certvaultd --offline                       what needs no vault; likewise
 */
#include "cli/agent_main.h"
#include "cli/broker_config.h"
#include "cli/broker_offline.h"
#include "cli/handed.h"
#include "cli/private_main.h"
#include "cli/service.h"

#include "vault/base/limits.h"
#include "vault/base/process.h"

#include <getopt.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct arguments {
    const char *vault, *socket, *key_file, *passphrase_file, *socket_mode,
        *config, *idle, *helpers_at, *key_credential;
    bool private, create, offline, allow_unlocked, agent, ready, help, version;
};

static const char usage[] =
    "usage: certvaultd --vault DIR [--socket PATH] [--socket-mode 0666]\n"
    "                  [--key-file F | --passphrase-file F |\n"
    "                   --key-credential NAME] [--helpers-at DIR]\n"
    "                  [--config F] [--foreground] [--allow-unlocked]\n"
    "       certvaultd --agent --vault DIR [--idle SECONDS] [--config F]\n"
    "       certvaultd --help | --version\n"
    "\n"
    "The broker of a vault, serving whoever connects to PATH as the vault's\n"
    "policy says. It runs in the foreground and ends on SIGTERM; SIGHUP has\n"
    "it read its configuration again. systemd runs it by certvault.service.\n"
    "\n"
    "  --vault DIR            the vault's folder (certvault init makes one)\n"
    "  --socket PATH          where to listen; else socket: of the "
    "configuration,\n"
    "                         or the socket that systemd hands over\n"
    "  --socket-mode MODE     of that socket, octal; 0666 unless given: every\n"
    "                         connection is decided by its uid\n"
    "  --key-file F           opens the vault at the start\n"
    "  --passphrase-file F    likewise; one line\n"
    "  --key-credential NAME  likewise: what systemd was given as NAME\n"
    "                         (LoadCredentialEncrypted=NAME:FILE)\n"
    "  --helpers-at DIR       intake and relay run as another user, in "
    "units\n"
    "                         of their own, at intake.sock, "
    "relay-orders.sock\n"
    "                         and relay-asks.sock in DIR\n"
    "  --config F             the configuration: which PKCS#11 modules there "
    "are;\n"
    "                         " CV_BROKER_CONFIG_SERVICE " unless given\n"
    "  --agent                serve the user who starts it and nobody else,\n"
    "                         at a socket in that user's runtime folder, or\n"
    "                         at the one that systemd hands over\n"
    "  --idle SECONDS         an agent that nobody needs ends after so long;\n"
    "                         900 unless given, 0 is never\n"
    "  --allow-unlocked       go on where memory cannot be locked\n"
    "\n"
    "Example:\n"
    "  certvaultd --vault /var/lib/certvault --socket "
    "/run/certvault/broker.sock \\\n"
    "      --key-file /etc/certvault/vault.key\n";

static enum cv_status fail_usage(struct cv_err *err, const char *text)
{
    enum cv_status s = cv_fail(err, CV_USAGE, "%s", text);

    cv_err_hint(err, "certvaultd --help");
    return s;
}

static enum cv_status read_arguments(int argc, char **argv, struct arguments *a,
                                     struct cv_err *err)
{
    static const struct option options[] = {
        {"vault", required_argument, NULL, 'v'},
        {"socket", required_argument, NULL, 's'},
        {"socket-mode", required_argument, NULL, 'm'},
        {"key-file", required_argument, NULL, 'k'},
        {"passphrase-file", required_argument, NULL, 'p'},
        {"key-credential", required_argument, NULL, 'K'},
        {"helpers-at", required_argument, NULL, 'H'},
        {"config", required_argument, NULL, 'C'},
        {"foreground", no_argument, NULL, 'f'},
        {"private", no_argument, NULL, 'P'},
        {"create", no_argument, NULL, 'c'},
        {"offline", no_argument, NULL, 'o'},
        {"agent", no_argument, NULL, 'a'},
        {"idle", required_argument, NULL, 'i'},
        {"ready", no_argument, NULL, 'r'},
        {"allow-unlocked", no_argument, NULL, 'u'},
        {"help", no_argument, NULL, 'h'},
        {"version", no_argument, NULL, 'V'},
        {NULL, 0, NULL, 0},
    };
    int c;

    opterr = 0;
    while ((c = getopt_long(argc, argv, "", options, NULL)) != -1) {
        switch (c) {
        case 'v':
            a->vault = optarg;
            break;
        case 's':
            a->socket = optarg;
            break;
        case 'm':
            a->socket_mode = optarg;
            break;
        case 'k':
            a->key_file = optarg;
            break;
        case 'p':
            a->passphrase_file = optarg;
            break;
        case 'K':
            a->key_credential = optarg;
            break;
        case 'H':
            a->helpers_at = optarg;
            break;
        case 'C':
            a->config = optarg;
            break;
        case 'f':
            break;
        case 'P':
            a->private = true;
            break;
        case 'c':
            a->create = true;
            break;
        case 'o':
            a->offline = true;
            break;
        case 'a':
            a->agent = true;
            break;
        case 'i':
            a->idle = optarg;
            break;
        case 'r':
            a->ready = true;
            break;
        case 'u':
            a->allow_unlocked = true;
            break;
        case 'h':
            a->help = true;
            break;
        case 'V':
            a->version = true;
            break;
        default:
            return fail_usage(err, "an option is not known, or lacks its "
                                   "argument");
        }
    }
    return optind == argc ? CV_OK : fail_usage(err, "too many arguments");
}

static enum cv_status run_agent(const struct arguments *a, bool handed,
                                struct cv_err *err)
{
    struct cv_agent_main o = {
        .vault = a->vault,
        .idle_s = CV_LIMIT_AGENT_IDLE_S,
        .config = a->config,
        .allow_unlocked = a->allow_unlocked,
        .ready = a->ready,
        .handed = handed,
    };
    char *end;

    if (a->vault == NULL || a->socket != NULL || a->private ||
        a->key_file != NULL || a->passphrase_file != NULL ||
        a->key_credential != NULL || a->helpers_at != NULL) {
        return fail_usage(err, "--agent wants --vault, and neither a socket "
                               "nor a secret");
    }
    if (a->idle != NULL) {
        unsigned long n = strtoul(a->idle, &end, 10);

        if (a->idle[0] < '0' || a->idle[0] > '9' || *end != '\0' ||
            n > CV_LIMIT_AGENT_IDLE_MAX_S) {
            return fail_usage(err, "--idle is a number of seconds");
        }
        o.idle_s = (int64_t)n;
    }
    return cv_agent_main_run(&o, err);
}

static enum cv_status run_private(const struct arguments *a, bool *told,
                                  struct cv_err *err)
{
    const struct cv_private_main o = {
        .vault = a->vault,
        .config = a->config,
        .create = a->create,
        .allow_unlocked = a->allow_unlocked,
    };

    if (a->vault == NULL || a->socket != NULL || a->helpers_at != NULL ||
        a->key_file != NULL || a->passphrase_file != NULL ||
        a->key_credential != NULL) {
        return fail_usage(err, "--private wants --vault alone");
    }
    return cv_private_main_run(&o, told, err);
}

static enum cv_status run_service(const struct arguments *a, bool handed,
                                  struct cv_err *err)
{
    struct cv_service o = {
        .settings = {.config = a->config,
                     .key_file = a->key_file,
                     .passphrase_file = a->passphrase_file,
                     .key_credential = a->key_credential},
        .vault = a->vault,
        .socket = a->socket,
        .socket_mode = a->socket_mode,
        .helpers_at = a->helpers_at,
        .allow_unlocked = a->allow_unlocked,
        .handed = handed,
    };

    return cv_service_run(&o, err);
}

int main(int argc, char **argv)
{
    struct arguments a = {0};
    struct cv_err err;
    enum cv_status s;
    bool handed, told = false;

    cv_err_init(&err);
    s = read_arguments(argc, argv, &a, &err);
    handed = !a.private && !a.offline && !a.ready && cv_handed_is_one();
    cv_process_begin(a.offline                        ? CV_PROCESS_EXTRA + 1
                     : a.private || a.ready || handed ? CV_PROCESS_SOCKET
                                                      : 2);
    if (a.allow_unlocked) {
        cv_arena_allow_unlocked();
    }
    if (s == CV_OK && a.help) {
        return fputs(usage, stdout) == EOF ? 74 : 0;
    }
    if (s == CV_OK && a.version) {
        return puts("certvaultd " CV_VERSION) == EOF ? 74 : 0;
    }
    if (s == CV_OK) {
        s = a.offline   ? cv_broker_offline_run(&err)
            : a.agent   ? run_agent(&a, handed, &err)
            : a.private ? run_private(&a, &told, &err)
                        : run_service(&a, handed, &err);
    }
    if (s != CV_OK && !told) {
        (void)fprintf(stderr, "certvaultd: %s\n", err.text);
        if (err.hint[0] != '\0') {
            (void)fprintf(stderr, "hint: %s\n", err.hint);
        }
    }
    return cv_err_exit_code(s);
}
