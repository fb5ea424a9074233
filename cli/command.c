#include "cli/command.h"

#include <string.h>

/* What later versions add; a name of one word stands for all that begins with
 * it. */
/* clang-format off */
static const char *const later[] = {
    "issue",
    "renew",
    "rotate",
    "revoke",
    "sync",
    NULL,
};
/* clang-format on */

static const char *const secret_flags[] = {
    "ak",         "sk",           "access-key",    "secret-key",
    "token",      "password",     "passwd",        "pin",
    "passphrase", "totp",         "otp",           "security-token",
    "secret",     "iam-password", "recovery-code", "auth-token",
    NULL,
};

const struct cv_command *cv_command_find(const char *const *words, size_t n,
                                         size_t *used)
{
    const struct cv_command *found = NULL;

    *used = 0;
    for (const struct cv_command *c = cv_command_table; c->name; c++) {
        const char *blank = strchr(c->name, ' ');
        size_t first = blank ? (size_t)(blank - c->name) : strlen(c->name);

        if (n == 0 || strlen(words[0]) != first ||
            strncmp(words[0], c->name, first) != 0) {
            continue;
        }
        if (blank == NULL) {
            *used = 1;
            return c;
        }
        if (n > 1 && strcmp(words[1], blank + 1) == 0) {
            *used = 2;
            found = c;
        }
    }
    return found;
}

bool cv_command_is_group(const char *word)
{
    size_t len = strlen(word);

    for (const struct cv_command *c = cv_command_table; c->name; c++) {
        if (strncmp(c->name, word, len) == 0 && c->name[len] == ' ') {
            return true;
        }
    }
    return false;
}

bool cv_command_is_later(const char *word, const char *second)
{
    for (size_t i = 0; later[i] != NULL; i++) {
        const char *blank = strchr(later[i], ' ');
        size_t first = blank ? (size_t)(blank - later[i]) : strlen(later[i]);

        if (strlen(word) != first || strncmp(word, later[i], first) != 0) {
            continue;
        }
        if (blank == NULL ||
            (second != NULL && strcmp(second, blank + 1) == 0)) {
            return true;
        }
    }
    return false;
}

const struct cv_option *cv_command_option(const struct cv_option *table,
                                          const char *name, size_t len)
{
    /* A name of one character is only there to look its value up by. */
    if (table == NULL || len < 2) {
        return NULL;
    }
    for (; table->name != NULL; table++) {
        if (strlen(table->name) == len &&
            strncmp(table->name, name, len) == 0) {
            return table;
        }
    }
    return NULL;
}

const struct cv_option *cv_command_letter(const struct cv_option *table,
                                          char letter)
{
    if (table == NULL || letter == 0) {
        return NULL;
    }
    for (; table->name != NULL; table++) {
        if (table->letter == letter) {
            return table;
        }
    }
    return NULL;
}

bool cv_command_is_secret_flag(const char *name, size_t len)
{
    for (size_t i = 0; secret_flags[i] != NULL; i++) {
        if (strlen(secret_flags[i]) == len &&
            strncmp(secret_flags[i], name, len) == 0) {
            return true;
        }
    }
    return false;
}
