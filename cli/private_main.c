#include "cli/private_main.h"

#include "cli/broker_config.h"
#include "vault/base/file.h"
#include "vault/base/process.h"
#include "vault/broker/broker.h"
#include "vault/wire/interface.h"
#include "vault/wire/serve.h"

#include <fcntl.h>
#include <limits.h>

/* The command asks as soon as it has started this. */
#define ASKED_MS 10000

/* From now on the broker answers. */
static void is_ready(void *context)
{
    int *fd = context;

    cv_file_close(fd);
}

static enum cv_status run(const struct cv_private_main *o, int *waits,
                          struct cv_err *err)
{
    struct cv_broker_options options = {
        .mode = CV_BROKER_EXEC,
        .folder = o->vault,
        .create = o->create,
        .socket = CV_PROCESS_SOCKET,
        .programs = {.allow_unlocked = o->allow_unlocked},
        .ready = is_ready,
        .ready_context = waits,
    };
    char logins[PATH_MAX];
    enum cv_status s;

    options.logins = cv_broker_config_logins(logins, sizeof(logins));
    s = cv_broker_config_load(o->config, false, &options.programs,
                              &options.relay, err);
    if (s == CV_OK) {
        s = cv_broker_config_signers(o->config, false, &options.policy_signers,
                                     err);
    }
    if (s == CV_OK) {
        s = cv_broker_run(&options, err);
    }
    cv_broker_config_free(&options.programs);
    cv_broker_config_free_signers(options.policy_signers);
    return s;
}

enum cv_status cv_private_main_run(const struct cv_private_main *o, bool *told,
                                   struct cv_err *err)
{
    /* The broker closes its own; this one is for what goes wrong before it
     * serves. */
    int waits = fcntl(CV_PROCESS_SOCKET, F_DUPFD_CLOEXEC, CV_PROCESS_EXTRA);
    enum cv_status s = run(o, &waits, err);

    *told = false;
    if (s != CV_OK && waits != -1) {
        *told = cv_serve_refuse(CV_INTERFACE_BROKER, waits, ASKED_MS, err,
                                NULL) == CV_OK;
    }
    return s;
}
