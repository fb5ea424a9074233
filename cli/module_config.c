#include "cli/module_config.h"

#include "cli/module_setting.h"
#include "vault/base/limits.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct cv_module_config {
    cJSON *tree;
    struct cv_module_configured *modules;
    struct cv_module_options options;
    char folder[PATH_MAX];
};

static enum cv_status no_memory(struct cv_err *err)
{
    return cv_fail(err, CV_INTERNAL, "memory is gone");
}

/* The text never changes and is others' too: its offset is left alone. */
static enum cv_status read_all(int fd, struct cv_buf *out, struct cv_err *err)
{
    off_t at = 0;

    for (;;) {
        uint8_t *room = cv_buf_room(out, CV_KIB(4));
        ssize_t n;

        if (room == NULL) {
            return cv_buf_status(out, "the list of modules", err);
        }
        n = pread(fd, room, CV_KIB(4), at);
        if (n == -1 && errno == EINTR) {
            continue;
        }
        if (n == -1 && errno == EBADF) {
            return CV_OK; /* none was given */
        }
        if (n == -1) {
            return cv_fail_errno(err, CV_IO, "the list of modules");
        }
        if (n == 0) {
            return CV_OK;
        }
        cv_buf_took(out, (size_t)n);
        at += n;
    }
}

/* p11-kit reads no user's files for root. */
static void find_folder(struct cv_module_config *c)
{
    const char *xdg = getenv("XDG_CONFIG_HOME"), *home = getenv("HOME");
    int n = -1;

    if (geteuid() == 0) {
        return;
    }
    if (xdg != NULL && xdg[0] == '/') {
        n = snprintf(c->folder, sizeof(c->folder), "%s/pkcs11/modules", xdg);
    } else if (home != NULL && home[0] == '/') {
        n = snprintf(c->folder, sizeof(c->folder), "%s/.config/pkcs11/modules",
                     home);
    }
    if (n > 0 && (size_t)n < sizeof(c->folder)) {
        c->options.user_folder = c->folder;
    }
}

static enum cv_status fill(struct cv_module_config *c, struct cv_err *err)
{
    bool service = true;
    const cJSON *modules = NULL, *item;
    const struct cv_json_field fields[] = {
        {"service", CV_JSON_BOOL, true, &service, 0},
        {"modules", CV_JSON_ARRAY, true, &modules, 0},
    };
    enum cv_status s =
        c->tree != NULL
            ? cv_json_read(c->tree, "the list of modules", fields, 2, true, err)
            : CV_OK;
    size_t n = (size_t)cJSON_GetArraySize(modules);

    c->options.any_of_root = c->options.own_files = !service;
    if (s == CV_OK && !service) {
        find_folder(c);
    }
    c->modules = calloc(n + 1, sizeof(*c->modules));
    if (s == CV_OK && c->modules == NULL) {
        s = no_memory(err);
    }
    cJSON_ArrayForEach(item, modules)
    {
        if (s == CV_OK) {
            struct cv_module_setting one = {.name = NULL};

            s = cv_module_setting_read(item, &one, err);
            c->modules[c->options.n_configured] =
                (struct cv_module_configured){one.name, one.path, one.reserved};
            c->options.n_configured++;
        }
    }
    c->options.configured = c->modules;
    return s;
}

enum cv_status cv_module_config_read(int fd, struct cv_module_config **out,
                                     struct cv_err *err)
{
    struct cv_module_config *c = calloc(1, sizeof(*c));
    struct cv_buf text;
    enum cv_status s;

    *out = NULL;
    if (c == NULL) {
        return no_memory(err);
    }
    cv_buf_init(&text, NULL, CV_LIMIT_YAML_FILE);
    s = read_all(fd, &text, err);
    if (s == CV_OK && text.len > 0) {
        s = cv_json_parse(NULL, cv_buf_bytes(&text), &c->tree, err);
    }
    cv_buf_wipe(&text);
    if (s == CV_OK) {
        s = fill(c, err);
    }
    if (s != CV_OK) {
        cv_module_config_free(c);
        return s;
    }
    *out = c;
    return CV_OK;
}

void cv_module_config_free(struct cv_module_config *config)
{
    if (config != NULL) {
        cJSON_Delete(config->tree);
        free(config->modules);
        free(config);
    }
}

const struct cv_module_options *
cv_module_config_options(const struct cv_module_config *config)
{
    return &config->options;
}

static enum cv_status set(const cJSON *variable, struct cv_err *err)
{
    return setenv(variable->string, variable->valuestring, 1) == 0
               ? CV_OK
               : no_memory(err);
}

enum cv_status cv_module_config_apply(const struct cv_module_config *config,
                                      const char *name, struct cv_err *err)
{
    const cJSON *item, *variable;
    enum cv_status s = CV_OK;

    cJSON_ArrayForEach(
        item, cJSON_GetObjectItemCaseSensitive(config->tree, "modules"))
    {
        const char *have = cJSON_GetStringValue(
            cJSON_GetObjectItemCaseSensitive(item, "name"));

        if (have == NULL || strcmp(have, name) != 0) {
            continue;
        }
        cJSON_ArrayForEach(variable,
                           cJSON_GetObjectItemCaseSensitive(item, "env"))
        {
            s = s == CV_OK ? set(variable, err) : s;
        }
    }
    return s;
}
