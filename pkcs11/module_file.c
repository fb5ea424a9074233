/* p11-kit's .module files: lines of "name: value", '#' begins a comment.
 *
 * Source: pkcs11.conf(5) of p11-kit. Values do not go on over lines; names that
 * are not known are passed over, as p11-kit does. */
#include "pkcs11/module_internal.h"
#include "vault/base/file.h"
#include "vault/base/limits.h"

#include <stdlib.h>
#include <string.h>

static const char *const KEYS[CV_MODULE_KEYS] = {
    [CV_MODULE_KEY_MODULE] = "module",
    [CV_MODULE_KEY_RESERVED] = "x-init-reserved",
    [CV_MODULE_KEY_ENABLE_IN] = "enable-in",
    [CV_MODULE_KEY_DISABLE_IN] = "disable-in",
    [CV_MODULE_KEY_PRIORITY] = "priority",
    [CV_MODULE_KEY_TRUST] = "trust-policy",
    [CV_MODULE_KEY_REMOTE] = "remote",
    [CV_MODULE_KEY_USER_CONFIG] = "user-config",
};

#define BLANKS " \t\r\v\f"

void cv_module_file_wipe(struct cv_module_file *file)
{
    for (size_t i = 0; i < CV_MODULE_KEYS; i++) {
        free(file->values[i]);
        file->values[i] = NULL;
    }
}

/* Cuts blanks off both ends of a C string, in place. */
static char *trim(char *text)
{
    size_t len;

    text += strspn(text, BLANKS);
    len = strlen(text);
    while (len > 0 && strchr(BLANKS, text[len - 1]) != NULL) {
        text[--len] = '\0';
    }
    return text;
}

/* One line without its end, as a C string of ours. `seen` are the keys that
 * this file had: the last of a kind counts, but one that `file` had before
 * (from a folder that goes first) stays. */
static enum cv_status take_line(const char *path, unsigned number, char *line,
                                bool *fixed, struct cv_module_file *file,
                                struct cv_err *err)
{
    char shown[160];
    char *colon, *name = trim(line), *value;

    if (name[0] == '\0' || name[0] == '#') {
        return CV_OK;
    }
    colon = strchr(name, ':');
    if (colon == NULL || colon == name) {
        return cv_fail(err, CV_CONFIG, "%s:%u: not \"name: value\"",
                       cv_err_quote(shown, sizeof(shown), path, strlen(path)),
                       number);
    }
    *colon = '\0';
    name = trim(name);
    value = trim(colon + 1);
    for (size_t i = 0; i < CV_MODULE_KEYS; i++) {
        if (strcmp(name, KEYS[i]) != 0 || fixed[i]) {
            continue;
        }
        free(file->values[i]);
        file->values[i] = strdup(value);
        if (file->values[i] == NULL) {
            return cv_fail(err, CV_INTERNAL, "memory is gone");
        }
    }
    return CV_OK;
}

enum cv_status cv_module_file_parse(const char *path, struct cv_bytes text,
                                    struct cv_module_file *file,
                                    struct cv_err *err)
{
    bool fixed[CV_MODULE_KEYS];
    enum cv_status status = CV_OK;
    unsigned number = 0;
    size_t at = 0;
    char shown[160];

    for (size_t i = 0; i < CV_MODULE_KEYS; i++) {
        fixed[i] = file->values[i] != NULL;
    }
    (void)cv_err_quote(shown, sizeof(shown), path, strlen(path));
    if (text.len > CV_LIMIT_MODULE_FILE ||
        (text.len != 0 && memchr(text.data, '\0', text.len) != NULL)) {
        return cv_fail(err, CV_CONFIG, "%s is no file of p11-kit's", shown);
    }
    while (status == CV_OK && at < text.len) {
        const uint8_t *start = text.data + at;
        const uint8_t *end = memchr(start, '\n', text.len - at);
        size_t len = end == NULL ? text.len - at : (size_t)(end - start);
        char *line;

        if (++number > CV_LIMIT_MODULE_LINES) {
            return cv_fail(err, CV_CONFIG, "%s has more than %d lines", shown,
                           CV_LIMIT_MODULE_LINES);
        }
        line = strndup((const char *)start, len);
        if (line == NULL) {
            return cv_fail(err, CV_INTERNAL, "memory is gone");
        }
        status = take_line(path, number, line, fixed, file, err);
        free(line);
        at += len + 1;
    }
    return status;
}

enum cv_status cv_module_file_read(const char *path, bool own_files,
                                   struct cv_module_file *file,
                                   struct cv_err *err)
{
    struct cv_buf text;
    int fd = -1;
    enum cv_status status;

    status = cv_module_check_path(path, false, own_files, err);
    if (status != CV_OK) {
        return status;
    }
    cv_buf_init(&text, NULL, CV_LIMIT_MODULE_FILE);
    status = cv_file_open_input(path, &fd, err);
    if (status == CV_OK) {
        status = cv_file_read(fd, path, &text, err);
        if (status == CV_INVALID) {
            status = cv_fail(err, CV_CONFIG, "a .module file is too long");
        }
    }
    if (status == CV_OK) {
        status = cv_module_file_parse(path, cv_buf_bytes(&text), file, err);
    }
    cv_file_close(&fd);
    cv_buf_wipe(&text);
    return status;
}

/* A word of a list with commas or blanks between. */
static bool in_list(const char *list, const char *word)
{
    size_t len = strlen(word);

    while (*list != '\0') {
        size_t skip = strspn(list, ", \t");
        size_t n = strcspn(list + skip, ", \t");

        if (n == len && memcmp(list + skip, word, len) == 0) {
            return true;
        }
        list += skip + n;
    }
    return false;
}

bool cv_module_file_enabled(const struct cv_module_file *file,
                            const char *program)
{
    const char *enable = file->values[CV_MODULE_KEY_ENABLE_IN];
    const char *disable = file->values[CV_MODULE_KEY_DISABLE_IN];

    if (enable != NULL) {
        return in_list(enable, program);
    }
    return disable == NULL || !in_list(disable, program);
}
