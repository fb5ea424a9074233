#include "cli/pin_kind.h"

#include "vault/base/name.h"

#include <string.h>

static const char *const kinds[] = {"file", "fd", "command", "credential"};

const char *cv_pin_kind_read(const char *source, const char **rest)
{
    size_t len = strcspn(source, ":");

    *rest = source + len + (source[len] == ':' ? 1 : 0);
    if (strcmp(source, "tty") == 0) {
        return "tty";
    }
    for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
        if (source[len] == ':' && (*rest)[0] != '\0' &&
            strlen(kinds[i]) == len && strncmp(kinds[i], source, len) == 0) {
            return kinds[i];
        }
    }
    return NULL;
}

enum cv_status cv_pin_kind_check(const char *source, struct cv_err *err)
{
    const char *rest, *kind = cv_pin_kind_read(source, &rest);
    enum cv_status s = CV_OK;

    if (kind == NULL) {
        s = cv_fail(err, CV_USAGE, "this is no source of a PIN");
    } else if (strcmp(kind, "file") == 0 && rest[0] != '/') {
        s = cv_fail(err, CV_USAGE, "the file of a PIN is not an absolute path");
    } else if (strcmp(kind, "credential") == 0 &&
               (cv_name_check(rest, NULL) != CV_OK ||
                strchr(rest, '/') != NULL)) {
        s = cv_fail(err, CV_USAGE, "this is no name of a credential");
    } else if (strcmp(kind, "fd") == 0 &&
               strspn(rest, "0123456789") != strlen(rest)) {
        s = cv_fail(err, CV_USAGE, "fd: wants a number");
    }
    if (s != CV_OK) {
        cv_err_hint(err, "tty, file:/PATH, fd:N, command:WORDS or "
                         "credential:NAME");
    }
    return s;
}
