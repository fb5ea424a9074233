#include "cli/module_env.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *const names[] = {
    "SOFTHSM2_CONF",
    "TPM2_PKCS11_STORE",
    "TPM2_PKCS11_TCTI",
    "OPENSC_CONF",
    "P11_KIT_SERVER_ADDRESS",
    /* p11-kit's own files of a user, and where modules look by themselves */
    "HOME",
    "XDG_CONFIG_HOME",
    /* the broker's own: where it writes logins down */
    "XDG_STATE_HOME",
};

#define COUNT (sizeof(names) / sizeof(names[0]))

_Static_assert(COUNT < CV_MODULE_ENV_MAX, "no room for what goes first");

static char *join(const char *name, const char *value)
{
    size_t len = strlen(name) + strlen(value) + 2;
    char *text = malloc(len);

    if (text != NULL) {
        (void)snprintf(text, len, "%s=%s", name, value);
    }
    return text;
}

enum cv_status cv_module_env_new(const char *first, char ***out,
                                 struct cv_err *err)
{
    size_t n = 0;
    bool ok = true;

    *out = calloc(CV_MODULE_ENV_MAX + 1, sizeof(**out));
    if (*out == NULL) {
        return cv_fail(err, CV_INTERNAL, "memory is gone");
    }
    if (first != NULL) {
        (*out)[n] = strdup(first);
        ok = (*out)[n++] != NULL;
    }
    for (size_t i = 0; i < COUNT && ok; i++) {
        const char *value = getenv(names[i]);

        if (value != NULL) {
            (*out)[n] = join(names[i], value);
            ok = (*out)[n++] != NULL;
        }
    }
    if (!ok) {
        cv_module_env_free(*out);
        *out = NULL;
        return cv_fail(err, CV_INTERNAL, "memory is gone");
    }
    return CV_OK;
}

void cv_module_env_free(char **environment)
{
    for (size_t i = 0; environment != NULL && environment[i] != NULL; i++) {
        free(environment[i]);
    }
    free(environment);
}
