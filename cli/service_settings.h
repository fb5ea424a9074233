/* io.certvault.Settings, served (vault/broker/settings.h): the configuration
 * and the credentials of a service, read when they are asked for, in a child
 * that may read files and do nothing else. */
#ifndef CERTVAULT_CLI_SERVICE_SETTINGS_H
#define CERTVAULT_CLI_SERVICE_SETTINGS_H

#include "vault/base/json.h"

#include <stdbool.h>

/* What opens the vault: one of these, or none. */
struct cv_service_settings {
    const char *config; /* NULL: none was named */
    const char *key_file;
    const char *passphrase_file;
    const char *key_credential; /* a name in $CREDENTIALS_DIRECTORY */
    const cJSON *started; /* the configuration that it began with; NULL: none */
};

/* As struct cv_spawner_options has them; the context is a struct
 * cv_service_settings. */
void cv_service_settings_serve(void *context, int socket);
bool cv_service_settings_modules(void *context, int fd);

#endif
