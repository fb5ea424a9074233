#include "cli/place_word.h"

#include "vault/base/limits.h"

#include <string.h>

enum cv_status cv_place_word_uri(const char *uri, const char *what,
                                 struct cv_err *err)
{
    enum cv_status s;

    if (strncmp(uri, CV_PLACE_WORD_SCHEME, sizeof(CV_PLACE_WORD_SCHEME) - 1) !=
        0) {
        s = cv_fail(err, CV_USAGE, "%s takes a token's URI (RFC 7512)", what);
        cv_err_hint(err, "pkcs11:token=NAME, as certvault token list shows it");
        return s;
    }
    if (strstr(uri, "pin-value=") != NULL) {
        s = cv_fail(err, CV_USAGE, "a PIN is not given in a URI");
        cv_err_hint(err, "everyone can read a command line: use --pin-source");
        return s;
    }
    for (const char *p = uri; *p != '\0'; p++) {
        if (*p <= ' ' || *p > '~') {
            return cv_fail(err, CV_USAGE,
                           "%s: a URI is printable ASCII without blanks", what);
        }
    }
    return strlen(uri) < CV_LIMIT_TOKEN_URI
               ? CV_OK
               : cv_fail(err, CV_USAGE, "%s: the URI is too long", what);
}

enum cv_status cv_place_word_read(const char *text, const char *what,
                                  const char **uri, bool *asks,
                                  struct cv_err *err)
{
    *uri = NULL;
    *asks = text == NULL || strcmp(text, "token") == 0;
    if (text == NULL || strcmp(text, "sealed") == 0) {
        return CV_OK;
    }
    if (*asks) {
        *uri = CV_PLACE_WORD_SCHEME;
        return CV_OK;
    }
    if (strncmp(text, "token:", 6) == 0) {
        *uri = text + 6;
        return cv_place_word_uri(*uri, what, err);
    }
    return cv_fail(err, CV_USAGE, "%s takes sealed, token or token:URI", what);
}
