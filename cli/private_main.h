/* certvaultd --private: a broker for one command, which ends with it. */
#ifndef CERTVAULT_CLI_PRIVATE_MAIN_H
#define CERTVAULT_CLI_PRIVATE_MAIN_H

#include "vault/base/err.h"

#include <stdbool.h>

struct cv_private_main {
    const char *vault;  /* its folder */
    const char *config; /* NULL: the default place */
    bool create;        /* makes the folder */
    bool allow_unlocked;
};

/* Serves the command at the other end of CV_PROCESS_SOCKET until it ends. Where
 * it cannot begin, the command's first call is answered with why (*told). What
 * the configuration and the broker fail with. */
CV_MUST_USE enum cv_status cv_private_main_run(const struct cv_private_main *o,
                                               bool *told, struct cv_err *err);

#endif
