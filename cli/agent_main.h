/* certvaultd --agent: finds its socket, or takes the one that systemd hands
 * over (sd_listen_fds(3)), and tells whoever started it how that went. */
#ifndef CERTVAULT_CLI_AGENT_MAIN_H
#define CERTVAULT_CLI_AGENT_MAIN_H

#include "vault/base/err.h"

#include <stdbool.h>
#include <stdint.h>

struct cv_agent_main {
    const char *vault;
    const char *config; /* NULL: none */
    int64_t idle_s;
    bool allow_unlocked;
    bool ready;  /* descriptor 3 is where the starter, who holds the start lock,
                    reads what became of it: {} or the error */
    bool handed; /* descriptor 3 is a listening socket */
};

/* As cv_broker_run, and what cv_runtime_open says. */
CV_MUST_USE enum cv_status cv_agent_main_run(const struct cv_agent_main *o,
                                             struct cv_err *err);

#endif
