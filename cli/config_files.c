#include "cli/config_files.h"

#include "cli/config_schema.h"
#include "cli/sink_target.h"
#include "vault/base/file.h"
#include "vault/base/limits.h"
#include "vault/broker/anchor_config.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* A command that is started by itself: nobody else may have a say in what it
 * is. */
static enum cv_status check_command(const char *path, struct cv_err *err)
{
    struct stat st;

    if (path[0] != '/') {
        return cv_fail(err, CV_CONFIG, "not an absolute path");
    }
    if (stat(path, &st) == -1) {
        return cv_fail_errno(err, CV_CONFIG, "the program");
    }
    if (!S_ISREG(st.st_mode) || (st.st_mode & S_IXUSR) == 0 ||
        (st.st_mode & (S_IWGRP | S_IWOTH)) != 0 ||
        (st.st_uid != 0 && st.st_uid != geteuid())) {
        return cv_fail(err, CV_CONFIG,
                       "no program that only root or this user can write");
    }
    return CV_OK;
}

enum cv_status cv_config_files_ca(const char *path, char **out,
                                  struct cv_err *err)
{
    struct cv_buf text;
    int fd;
    enum cv_status s = cv_file_open_input(path, &fd, err);

    *out = NULL;
    cv_buf_init(&text, NULL, CV_LIMIT_PEM);
    if (s == CV_OK) {
        s = cv_file_read(fd, path, &text, err);
        cv_file_close(&fd);
    }
    if (s == CV_OK && (strlen(cv_buf_text(&text)) != text.len ||
                       strstr(cv_buf_text(&text), "BEGIN CERT") == NULL)) {
        s = cv_fail(err, CV_INVALID, "%s holds no certificate", path);
    }
    if (s == CV_OK && (*out = strdup(cv_buf_text(&text))) == NULL) {
        s = cv_fail(err, CV_INTERNAL, "memory is gone");
    }
    cv_buf_wipe(&text);
    if (s != CV_OK) {
        cv_err_prefix(err, "ca");
    }
    return s == CV_OK || s == CV_INTERNAL ? s : CV_CONFIG;
}

/* `ca` "": the system's. */
static enum cv_status check_ca(const char *ca, struct cv_err *err)
{
    char *text = NULL;
    enum cv_status s =
        ca[0] != '\0' ? cv_config_files_ca(ca, &text, err) : CV_OK;

    free(text);
    return s;
}

static enum cv_status check_anchor(const cJSON *item, struct cv_err *err)
{
    struct cv_anchor_config c = {.kind = CV_ANCHOR_FILE};
    enum cv_status s = cv_anchor_config_parse(item->valuestring, &c, err);

    if (s == CV_OK && c.kind == CV_ANCHOR_COMMAND) {
        s = check_command(c.target, err);
    }
    return s == CV_OK ? check_ca(c.ca, err) : s;
}

static enum cv_status check_sink(const cJSON *item, struct cv_err *err)
{
    struct cv_sink_target t = {.behind = 0};
    enum cv_status s = cv_sink_target_parse(item->valuestring, &t, err);

    if (s == CV_OK && t.kind == CV_SINK_TARGET_COMMAND) {
        s = check_command(t.path, err);
    }
    return s == CV_OK ? check_ca(t.ca, err) : s;
}

/* Each of `list`, until one is refused: that is *bad. */
static enum cv_status each(const cJSON *list, const char *path,
                           enum cv_status (*check)(const cJSON *item,
                                                   struct cv_err *err),
                           const cJSON **bad, struct cv_err *err)
{
    const cJSON *item;

    cJSON_ArrayForEach(item, list)
    {
        enum cv_status s = check(item, err);

        if (s != CV_OK) {
            *bad = item;
            cv_err_prefix(err, "%s", path);
            if (err != NULL) {
                err->status = s == CV_INTERNAL ? s : CV_CONFIG;
            }
            return s == CV_INTERNAL ? s : CV_CONFIG;
        }
    }
    return CV_OK;
}

enum cv_status cv_config_files_check(const cJSON *tree, const cJSON **bad,
                                     struct cv_err *err)
{
    const cJSON *command = cJSON_GetObjectItemCaseSensitive(
        cJSON_GetObjectItemCaseSensitive(tree, "notify"), "command");
    const cJSON *anchors = cJSON_GetObjectItemCaseSensitive(
        cJSON_GetObjectItemCaseSensitive(tree, "audit"), "anchors");
    enum cv_status s = CV_OK;

    *bad = NULL;
    if (cJSON_IsString(command)) {
        s = check_command(command->valuestring, err);
        if (s != CV_OK) {
            *bad = command;
            cv_err_prefix(err, "notify.command");
        }
    }
    if (s == CV_OK) {
        s = each(anchors, "audit.anchors", check_anchor, bad, err);
    }
    return s == CV_OK ? each(cv_config_schema_sinks(tree), "audit.sinks",
                             check_sink, bad, err)
                      : s;
}
