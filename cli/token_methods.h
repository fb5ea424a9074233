/* The methods of io.certvault.Token: what the token process does on the
 * broker's order. They read the parameters strictly and hand them to
 * vault/seal. */
#ifndef CERTVAULT_CLI_TOKEN_METHODS_H
#define CERTVAULT_CLI_TOKEN_METHODS_H

#include "vault/seal/keyring.h"
#include "vault/wire/serve.h"

/* The interface's table. The context of its methods is a struct cv_keyring. */
extern const struct cv_interface cv_token_methods;

#endif
