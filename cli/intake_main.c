/* The intake process: the network and the parsers. It is started with a socket
 * as descriptor 3, over which it speaks io.certvault.Intake, and ends when that
 * closes, or when nobody asked for anything for CV_LIMIT_CLIENT_IDLE_S seconds.
 *
 *     intake             started by the broker: asks the cloud
 *     intake --offline   started by the command line, as the caller: no
 * network; reads and rewrites what descriptor 4 leads to */
#include "cli/intake_methods.h"
#include "cli/intake_offline.h"
#include "cli/resolving.h"

#include "vault/base/limits.h"
#include "vault/base/process.h"
#include "vault/base/sandbox.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define IDLE_MS (CV_LIMIT_CLIENT_IDLE_S * 1000)

/* What trusting a certificate takes, beside resolving a name. */
static const char *const trusted[] = {
    "/etc/ssl/certs",
    "/etc/ssl/cert.pem",
    "/etc/pki/tls",
    "/etc/pki/ca-trust",
    "/etc/ca-certificates",
    "/usr/share/ca-certificates",
    "/usr/local/share/ca-certificates",
};

#define TRUSTED (sizeof(trusted) / sizeof(trusted[0]))

static enum cv_status serve_online(struct cv_err *err)
{
    struct cv_sandbox_folder folders[CV_RESOLVING_FOLDERS + TRUSTED];
    struct cv_intake_methods_state state = {.session = NULL};
    enum cv_status s = cv_http_start(err);

    cv_resolving_folders(folders);
    for (size_t i = 0; i < TRUSTED; i++) {
        folders[CV_RESOLVING_FOLDERS + i] =
            (struct cv_sandbox_folder){.path = trusted[i], .fd = -1};
    }
    if (s == CV_OK) {
        s = cv_sandbox_enter(CV_SANDBOX_INTAKE, folders,
                             CV_RESOLVING_FOLDERS + TRUSTED, NULL, err);
    }
    if (s != CV_OK) {
        return s;
    }
    s = cv_serve_loop(&cv_intake_methods, &state, CV_PROCESS_SOCKET, IDLE_MS,
                      err);
    cv_intake_methods_end(&state);
    cv_intake_sink_free(state.sink);
    /* nobody is left to be told */
    return s == CV_UNAVAILABLE ? CV_OK : s;
}

static enum cv_status serve_offline(struct cv_err *err)
{
    const struct cv_sandbox_folder folder = {.fd = CV_INTAKE_OFFLINE_INPUT,
                                             .writable = true};
    struct stat st;
    bool is_folder =
        fstat(CV_INTAKE_OFFLINE_INPUT, &st) == 0 && S_ISDIR(st.st_mode);
    enum cv_status s = cv_http_start_libcrypto(err);

    if (s == CV_OK) {
        s = cv_sandbox_enter(CV_SANDBOX_OFFLINE, &folder, is_folder ? 1 : 0,
                             NULL, err);
    }
    if (s == CV_OK) {
        s = cv_serve_loop(&cv_intake_offline, NULL, CV_PROCESS_SOCKET, IDLE_MS,
                          err);
    }
    return s;
}

int main(int argc, char **argv)
{
    bool offline = false, usage = false;
    struct cv_err err;

    /* Nobody's variables have a say: libcurl would write the session's secrets
     * to SSLKEYLOGFILE, take a proxy, resolve by RES_OPTIONS. */
    if (clearenv() != 0) {
        return cv_err_exit_code(CV_INTERNAL);
    }
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--offline") == 0) {
            offline = true;
        } else if (strcmp(argv[i], "--allow-unlocked") == 0) {
            cv_arena_allow_unlocked();
        } else {
            usage = true;
        }
    }
    cv_process_begin(offline ? CV_INTAKE_OFFLINE_INPUT : CV_PROCESS_SOCKET);
    cv_err_init(&err);
    if (usage) {
        (void)fputs("intake: certvault and certvaultd start this program\n",
                    stderr);
        return cv_err_exit_code(CV_USAGE);
    }
    if ((offline ? serve_offline(&err) : serve_online(&err)) != CV_OK) {
        (void)fprintf(stderr, "intake: %s\n", err.text);
        return cv_err_exit_code(err.status);
    }
    return 0;
}
