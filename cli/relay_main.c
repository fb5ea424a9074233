/* The relay process: kubectl's requests, decided against grants and passed on
 * with keys that it does not have. The broker starts it with two sockets: as
 * descriptor 3 its orders, over which it speaks io.certvault.Relay, and as
 * descriptor 4 its own asks, io.certvault.Door. Where a service manager starts
 * it, both listen, and the broker connects to them. It ends when one of them
 * closes. */
#include "cli/handed.h"
#include "cli/resolving.h"

#include "vault/base/process.h"
#include "vault/base/sandbox.h"
#include "vault/relay/relay.h"
#include "vault/relay/upstream.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

/* Each client has a descriptor, and each connection to a server. */
static void raise_descriptors(void)
{
    struct rlimit limit;

    if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
        limit.rlim_cur = limit.rlim_max;
        (void)setrlimit(RLIMIT_NOFILE, &limit);
    }
}

static enum cv_status serve(struct cv_err *err)
{
    const int handed[2] = {CV_PROCESS_SOCKET, CV_PROCESS_EXTRA};
    struct cv_sandbox_folder folders[CV_RESOLVING_FOLDERS];
    int sockets[2] = {CV_PROCESS_SOCKET, CV_PROCESS_EXTRA};
    enum cv_status s = cv_upstream_start(err);

    if (s == CV_OK && cv_handed_listens(CV_PROCESS_SOCKET)) {
        s = cv_handed_accept_two(handed, sockets, err);
    }
    cv_resolving_folders(folders);
    if (s == CV_OK) {
        s = cv_sandbox_enter(CV_SANDBOX_RELAY, folders, CV_RESOLVING_FOLDERS,
                             NULL, err);
    }
    if (s == CV_OK) {
        s = cv_relay_run(sockets[0], sockets[1], err);
    }
    return s;
}

int main(int argc, char **argv)
{
    struct cv_err err;
    enum cv_status s;

    cv_process_begin(CV_PROCESS_EXTRA);
    cv_err_init(&err);
    s = cv_handed_manager(&err);
    /* Nobody's variables have a say: libssl would write the sessions' secrets
     * to SSLKEYLOGFILE, read OPENSSL_CONF, resolve by RES_OPTIONS. */
    if (clearenv() != 0) {
        return cv_err_exit_code(CV_INTERNAL);
    }
    if (argc > 1 && strcmp(argv[1], "--allow-unlocked") == 0) {
        cv_arena_allow_unlocked();
    } else if (argc > 1) {
        (void)fputs("relay: certvaultd starts this program\n", stderr);
        return cv_err_exit_code(CV_USAGE);
    }
    raise_descriptors();
    if (s == CV_OK) {
        s = serve(&err);
    }
    if (s != CV_OK) {
        (void)fprintf(stderr, "relay: %s\n", err.text);
        return cv_err_exit_code(err.status);
    }
    return 0;
}
