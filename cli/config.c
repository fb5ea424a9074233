#include "cli/config.h"

#include "cli/config_files.h"
#include "cli/config_schema.h"
#include "cli/offline.h"
#include "cli/output_table.h"
#include "cli/path.h"
#include "vault/base/file.h"
#include "vault/base/limits.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

struct cv_config {
    char path[PATH_MAX];
    bool read;
    const cJSON *tree;  /* the run's; NULL: there is no file */
    const cJSON *lines; /* of its values, depth first */
};

void cv_config_free(struct cv_config *config)
{
    free(config);
}

const char *cv_config_path(const struct cv_cli *cli)
{
    return cli->settings ? cli->settings->path : "";
}

static enum cv_status find(struct cv_cli *cli, char *out, size_t out_len,
                           struct cv_err *err)
{
    char folder[PATH_MAX];
    enum cv_status s;

    if (cli->config != NULL) {
        return cv_path_absolute(cli->config, out, out_len, err);
    }
    s = cv_path_xdg("XDG_CONFIG_HOME", ".config", folder, sizeof(folder), err);
    if (s == CV_OK && !cv_path_join(folder, "certvault.yaml", out, out_len)) {
        return cv_fail(err, CV_CONFIG, "the configuration's path is too long");
    }
    return s;
}

/* Whoever can write the configuration can point the cloud credentials at a
 * server of theirs. */
static enum cv_status check_owner(const char *path, struct cv_err *err)
{
    struct stat st;
    enum cv_status s;

    if (stat(path, &st) != 0) {
        return cv_fail_errno(err, CV_CONFIG, "%s", path);
    }
    if ((st.st_uid != getuid() && st.st_uid != 0) ||
        (st.st_mode & (S_IWGRP | S_IWOTH)) != 0) {
        s = cv_fail(err, CV_CONFIG, "%s: others can write to it", path);
        cv_err_hint(err, "chmod go-w %s", path);
        return s;
    }
    return CV_OK;
}

static enum cv_status read_tree(struct cv_cli *cli, struct cv_config *config,
                                struct cv_err *err)
{
    cJSON *parameters = cJSON_CreateObject();
    const cJSON *answer = NULL;
    struct cv_buf text;
    enum cv_status s;

    cv_buf_init(&text, NULL, CV_LIMIT_YAML_FILE);
    s = check_owner(config->path, err);
    if (s == CV_OK) {
        s = cv_offline_text(cli, config->path, &text, err);
    }
    /* It was there just now: it may not be read. */
    if (s == CV_NOT_FOUND && err != NULL) {
        s = err->status = CV_CONFIG;
    }
    if (s == CV_OK &&
        !cv_json_add_str(parameters, "text", cv_buf_text(&text))) {
        s = cv_fail(err, CV_INTERNAL, "memory is gone");
    }
    cv_buf_wipe(&text);
    if (s != CV_OK) {
        cJSON_Delete(parameters);
        return s;
    }
    s = cv_offline_once(cli, "ConfigRead", parameters, &answer, err);
    if (s != CV_OK) {
        cv_err_prefix(err, "%s", config->path);
        return s;
    }
    config->tree = cJSON_GetObjectItemCaseSensitive(answer, "config");
    config->lines = cJSON_GetObjectItemCaseSensitive(answer, "lines");
    s = cv_config_schema_check(config->tree, NULL, err);
    if (s != CV_OK) {
        cv_err_prefix(err, "%s", config->path);
    }
    return s;
}

enum cv_status cv_config_find(struct cv_cli *cli, const char **path,
                              struct cv_err *err)
{
    struct cv_config *config = cli->settings;
    enum cv_status s;

    *path = NULL;
    if (config == NULL) {
        config = cli->settings = calloc(1, sizeof(*config));
    }
    if (config == NULL) {
        return cv_fail(err, CV_INTERNAL, "memory is gone");
    }
    s = find(cli, config->path, sizeof(config->path), err);
    if (s == CV_CONFIG && cli->config == NULL) {
        return CV_OK; /* nowhere to look: there is none */
    }
    if (s == CV_OK && access(config->path, F_OK) == 0) {
        *path = config->path;
    } else if (s == CV_OK && cli->config != NULL) {
        s = cv_fail(err, CV_NOT_FOUND, "there is no configuration at %s",
                    config->path);
    }
    return s;
}

enum cv_status cv_config_load(struct cv_cli *cli, const cJSON **tree,
                              struct cv_err *err)
{
    const char *path;
    enum cv_status s = CV_OK;

    *tree = NULL;
    if (cli->settings == NULL || !cli->settings->read) {
        s = cv_config_find(cli, &path, err);
        if (s == CV_OK && path != NULL) {
            s = read_tree(cli, cli->settings, err);
        }
        if (s != CV_OK) {
            return s;
        }
        cli->settings->read = true;
    }
    *tree = cli->settings->tree;
    return CV_OK;
}

/* The socket's group is looked up by a helper, here as by the service. */
static enum cv_status check_group(struct cv_cli *cli, const cJSON *tree,
                                  const cJSON **bad, struct cv_err *err)
{
    const cJSON *group = cv_output_table_at(tree, "socket.group");
    const char *name = cJSON_GetStringValue(group);
    cJSON *parameters = name != NULL ? cJSON_CreateObject() : NULL;
    const cJSON *answer = NULL;
    enum cv_status s;

    if (name == NULL) {
        return CV_OK;
    }
    if (!cv_json_add_str(parameters, "name", name)) {
        cJSON_Delete(parameters);
        return cv_fail(err, CV_INTERNAL, "memory is gone");
    }
    s = cv_offline_once(cli, "GroupFind", parameters, &answer, err);
    if (s == CV_OK &&
        cJSON_IsFalse(cJSON_GetObjectItemCaseSensitive(answer, "known"))) {
        *bad = group;
        s = cv_fail(err, CV_CONFIG, "socket.group: there is no group %s", name);
    }
    return s;
}

enum cv_status cv_config_check_files(struct cv_cli *cli, struct cv_err *err)
{
    const cJSON *tree, *bad = NULL, *line;
    enum cv_status s = cv_config_load(cli, &tree, err);

    if (s != CV_OK || tree == NULL) {
        return s;
    }
    s = cv_config_files_check(tree, &bad, err);
    if (s == CV_OK) {
        s = check_group(cli, tree, &bad, err);
    }
    if (s != CV_OK && bad != NULL) {
        line = cJSON_GetArrayItem(cli->settings->lines,
                                  cv_config_schema_place(tree, bad));
        if (line != NULL) {
            cv_err_prefix(err, "line %d", line->valueint);
        }
        cv_err_prefix(err, "%s", cli->settings->path);
    }
    return s;
}

enum cv_status cv_config_text(struct cv_cli *cli, const char *path,
                              const char **out, struct cv_err *err)
{
    const cJSON *tree;
    enum cv_status s = cv_config_load(cli, &tree, err);

    *out = s == CV_OK ? cv_output_table_text(tree, path) : NULL;
    return s;
}
