/* Where keys go, as a word: "sealed", "token" or "token:URI". */
#ifndef CERTVAULT_CLI_PLACE_WORD_H
#define CERTVAULT_CLI_PLACE_WORD_H

#include "vault/base/err.h"

#include <stdbool.h>

#define CV_PLACE_WORD_SCHEME "pkcs11:"

/* Checks a token's URI: pkcs11:..., without a PIN in it. CV_USAGE, naming
 * `what` ("--to"). */
CV_MUST_USE enum cv_status cv_place_word_uri(const char *uri, const char *what,
                                             struct cv_err *err);

/* Reads `text` (NULL: nothing was said): *uri is the token's ("pkcs11:" for the
 * only one there is), NULL for the sealed vault; *asks: the vault is to be
 * asked for its own. CV_USAGE, naming `what`. */
CV_MUST_USE enum cv_status cv_place_word_read(const char *text,
                                              const char *what,
                                              const char **uri, bool *asks,
                                              struct cv_err *err);

#endif
