/* Where keys go: --to, else the configuration's default. */
#ifndef CERTVAULT_CLI_PLACE_H
#define CERTVAULT_CLI_PLACE_H

#include "cli/cli.h"

/* Checks a token's URI that was typed: pkcs11:..., without a PIN in it.
 * CV_USAGE, naming `flag`. */
CV_MUST_USE enum cv_status cv_place_uri(const char *uri, const char *flag,
                                        struct cv_err *err);

/* Reads --to ("sealed", "token", "token:URI"), else defaults.to, else
 * defaults.location, else takes the vault's own token (init --token), which
 * "token" alone means too. *uri is the token's URI (the run's; "pkcs11:" for
 * the only one there is), NULL for the sealed vault. Reaches the broker where
 * the vault is to be asked. CV_USAGE; what cv_config_text and cv_connect_open
 * fail with. */
CV_MUST_USE enum cv_status cv_place_read(struct cv_cli *cli,
                                         const struct cv_args *args,
                                         const char **uri, struct cv_err *err);

#endif
