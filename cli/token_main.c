/* The token process: where keys live. The broker starts it with a socket as
 * descriptor 3, over which it speaks io.certvault.Token; it ends when that
 * closes, or when nobody asked for anything for CV_LIMIT_CLIENT_IDLE_S
 * seconds: the vault is locked then. With --pkcs11 it holds one PKCS#11 module
 * instead and speaks io.certvault.Module. */
#include "cli/module_methods.h"
#include "cli/token_methods.h"

#include "vault/base/limits.h"
#include "vault/base/process.h"
#include "vault/base/sandbox.h"
#include "vault/seal/match.h"

#include <stdio.h>
#include <string.h>

static enum cv_status serve(struct cv_err *err)
{
    struct cv_keyring *ring = NULL;
    enum cv_status s = cv_match_start(err);

    if (s == CV_OK) {
        s = cv_keyring_new(&ring, err);
    }
    if (s == CV_OK) {
        s = cv_sandbox_enter(CV_SANDBOX_TOKEN, NULL, 0, NULL, err);
    }
    if (s == CV_OK) {
        s = cv_serve_loop(&cv_token_methods, ring, CV_PROCESS_SOCKET,
                          CV_LIMIT_CLIENT_IDLE_S * 1000, err);
    }
    cv_keyring_free(ring);
    return s;
}

int main(int argc, char **argv)
{
    bool module = argc > 1 && strcmp(argv[1], "--pkcs11") == 0;
    int next = module ? 2 : 1;
    struct cv_err err;

    cv_process_begin(module ? CV_PROCESS_EXTRA : CV_PROCESS_SOCKET);
    cv_err_init(&err);
    if (next < argc && strcmp(argv[next], "--allow-unlocked") == 0) {
        cv_arena_allow_unlocked();
        next++;
    }
    if (next < argc) {
        (void)fputs("token: certvaultd starts this program\n", stderr);
        return cv_err_exit_code(CV_USAGE);
    }
    if ((module ? cv_module_methods_serve(&err) : serve(&err)) != CV_OK) {
        (void)fprintf(stderr, "token: %s\n", err.text);
        return cv_err_exit_code(err.status);
    }
    return 0;
}
