/* certvaultd as a service: what its arguments, its configuration and its
 * service manager (systemd, or none) say is put together, and it runs. */
#ifndef CERTVAULT_CLI_SERVICE_H
#define CERTVAULT_CLI_SERVICE_H

#include "cli/service_settings.h"
#include "vault/base/err.h"

#include <stdbool.h>

/* What was given; NULL: nothing. */
struct cv_service {
    struct cv_service_settings settings;
    const char *vault;
    const char *socket;
    const char *socket_mode; /* octal */
    const char *helpers_at;  /* struct cv_spawner_options has it */
    bool allow_unlocked;
    bool handed; /* descriptor 3 is a listening socket */
};

/* As cv_broker_run. CV_USAGE, and what reading the configuration says. */
CV_MUST_USE enum cv_status cv_service_run(struct cv_service *o,
                                          struct cv_err *err);

#endif
