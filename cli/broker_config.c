#include "cli/broker_config.h"

#include "cli/config_files.h"
#include "cli/config_schema.h"
#include "cli/module_env.h"
#include "cli/path.h"
#include "cli/sink_target.h"
#include "vault/base/file.h"
#include "vault/base/limits.h"
#include "vault/broker/anchor_config.h"
#include "vault/yaml/yaml.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* Whoever can write it can have code of theirs loaded beside the keys. */
static enum cv_status check_owner(int fd, const char *path, struct cv_err *err)
{
    struct stat st;
    enum cv_status s;

    if (fstat(fd, &st) != 0) {
        return cv_fail_errno(err, CV_CONFIG, "%s", path);
    }
    if ((st.st_uid != geteuid() && st.st_uid != 0) ||
        (st.st_mode & (S_IWGRP | S_IWOTH)) != 0) {
        s = cv_fail(err, CV_CONFIG, "%s: others can write to it", path);
        cv_err_hint(err, "chmod go-w %s", path);
        return s;
    }
    return CV_OK;
}

static enum cv_status read_file(const char *path, struct cv_buf *text,
                                struct cv_err *err)
{
    int fd;
    enum cv_status s = cv_file_open_input(path, &fd, err);

    if (s == CV_IO && err != NULL && err->native == EACCES) {
        s = err->status = CV_CONFIG;
    }
    if (s != CV_OK) {
        return s;
    }
    s = check_owner(fd, path, err);
    if (s == CV_OK) {
        s = cv_file_read(fd, path, text, err);
    }
    cv_file_close(&fd);
    return s;
}

/* In front of what is said of `node`. */
static void add_line(const struct cv_yaml_marks *marks, const cJSON *node,
                     struct cv_err *err)
{
    struct cv_yaml_mark at = cv_yaml_marks_key(marks, node);

    if (at.line != 0) {
        cv_err_prefix(err, "line %" PRIu32, at.line);
    }
}

enum cv_status cv_broker_config_parse(struct cv_bytes text, bool files,
                                      cJSON **tree,
                                      struct cv_yaml_marks **marks,
                                      struct cv_err *err)
{
    struct cv_yaml_marks *places = NULL;
    const cJSON *bad = NULL;
    enum cv_status s = cv_yaml_parse(NULL, text, tree, &places, NULL, err);

    if (s == CV_OK && cJSON_IsNull(*tree)) {
        cJSON_Delete(*tree);
        *tree = cJSON_CreateObject();
    }
    if (s == CV_OK && !cJSON_IsObject(*tree)) {
        s = cv_fail(err, CV_INVALID, "the configuration is not a mapping");
    }
    if (s == CV_OK) {
        s = cv_config_schema_check(*tree, &bad, err);
    }
    if (s == CV_OK && files) {
        s = cv_config_files_check(*tree, &bad, err);
    }
    if (s != CV_OK) {
        add_line(places, bad, err);
        cJSON_Delete(*tree);
        *tree = NULL;
    }
    if (s == CV_OK && marks != NULL) {
        *marks = places;
    } else {
        cv_yaml_marks_free(places);
    }
    return s;
}

static enum cv_status parse(const char *path, bool files, cJSON **tree,
                            struct cv_err *err)
{
    struct cv_buf text;
    enum cv_status s;

    *tree = NULL;
    cv_buf_init(&text, NULL, CV_LIMIT_YAML_FILE);
    s = read_file(path, &text, err);
    if (s == CV_OK) {
        s = cv_broker_config_parse(cv_buf_bytes(&text), files, tree, NULL, err);
    }
    if (s != CV_OK && s != CV_NOT_FOUND) {
        cv_err_prefix(err, "%s", path);
    }
    cv_buf_wipe(&text);
    return s;
}

/* The text that a module process finds as descriptor 4. */
static enum cv_status write_modules(cJSON *tree, bool service, char **out,
                                    struct cv_err *err)
{
    cJSON *modules = cJSON_DetachItemFromObjectCaseSensitive(tree, "modules");
    cJSON *all = cJSON_CreateObject();
    struct cv_buf text;
    enum cv_status s;

    if (modules == NULL || cJSON_IsNull(modules)) {
        cJSON_Delete(modules);
        modules = cJSON_CreateArray();
    }
    cv_buf_init(&text, NULL, CV_LIMIT_YAML_FILE);
    if (!cv_json_add_bool(all, "service", service) ||
        !cv_json_add_item(all, "modules", modules)) {
        s = cv_fail(err, CV_INTERNAL, "memory is gone");
    } else {
        cv_json_write(all, CV_JSON_COMPACT, &text);
        s = cv_buf_status(&text, "the list of modules", err);
    }
    cJSON_Delete(all);
    *out = s == CV_OK ? strdup(cv_buf_text(&text)) : NULL;
    cv_buf_wipe(&text);
    if (s == CV_OK && *out == NULL) {
        s = cv_fail(err, CV_INTERNAL, "memory is gone");
    }
    return s;
}

static enum cv_status read_service(const char *path, bool files, cJSON **tree,
                                   struct cv_err *err)
{
    *tree = NULL;
    if (path == NULL && access(CV_BROKER_CONFIG_SERVICE, F_OK) == 0) {
        path = CV_BROKER_CONFIG_SERVICE;
    }
    return path != NULL ? parse(path, files, tree, err) : CV_OK;
}

enum cv_status cv_broker_config_tree(const char *path, cJSON **tree,
                                     struct cv_err *err)
{
    return read_service(path, false, tree, err);
}

static enum cv_status read_notify(const cJSON *tree, char **out,
                                  struct cv_err *err)
{
    const char *path = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(
        cJSON_GetObjectItemCaseSensitive(tree, "notify"), "command"));

    if (path == NULL) {
        return CV_OK;
    }
    *out = strdup(path);
    return *out != NULL ? CV_OK : cv_fail(err, CV_INTERNAL, "memory is gone");
}

static void free_texts(char **texts)
{
    for (size_t i = 0; texts != NULL && texts[i] != NULL; i++) {
        free(texts[i]);
    }
    free(texts);
}

static enum cv_status read_anchor(const char *text, char **out, char **ca_pem,
                                  struct cv_err *err)
{
    struct cv_anchor_config c = {.kind = CV_ANCHOR_FILE};
    enum cv_status s = cv_anchor_config_parse(text, &c, err);

    /* Who is trusted: read now, for later nobody may. */
    if (s == CV_OK && c.ca[0] != '\0') {
        s = cv_config_files_ca(c.ca, ca_pem, err);
    }
    if (s == CV_OK && (*out = strdup(text)) == NULL) {
        s = cv_fail(err, CV_INTERNAL, "memory is gone");
    }
    return s;
}

/* Where checkpoints go. */
static enum cv_status read_anchors(const cJSON *tree,
                                   struct cv_spawner_options *programs,
                                   struct cv_err *err)
{
    const cJSON *item,
        *list = cJSON_GetObjectItemCaseSensitive(
            cJSON_GetObjectItemCaseSensitive(tree, "audit"), "anchors");
    size_t n = 0;
    enum cv_status s = CV_OK;

    if (cJSON_GetArraySize(list) == 0) {
        return CV_OK;
    }
    programs->anchors =
        calloc(CV_LIMIT_ANCHORS + 1, sizeof(*programs->anchors));
    if (programs->anchors == NULL) {
        return cv_fail(err, CV_INTERNAL, "memory is gone");
    }
    cJSON_ArrayForEach(item, list)
    {
        if (s == CV_OK) {
            s = read_anchor(cJSON_GetStringValue(item), &programs->anchors[n],
                            &programs->anchor_cas[n], err);
            n++;
        }
    }
    return s;
}

static enum cv_status read_sink(const char *text, struct cv_spawner_sink *out,
                                struct cv_err *err)
{
    struct cv_sink_target t = {.behind = 0};
    enum cv_status s = cv_sink_target_parse(text, &t, err);

    if (s != CV_OK) {
        return s;
    }
    out->behind = t.behind;
    out->text = strdup(text);
    out->name = strdup(t.name);
    if (t.kind == CV_SINK_TARGET_COMMAND) {
        out->command = strdup(t.path);
    }
    if (out->text == NULL || out->name == NULL ||
        (t.kind == CV_SINK_TARGET_COMMAND && out->command == NULL)) {
        return cv_fail(err, CV_INTERNAL, "memory is gone");
    }
    return t.ca[0] != '\0' ? cv_config_files_ca(t.ca, &out->ca_pem, err)
                           : CV_OK;
}

/* Where copies of the record go. */
static enum cv_status read_sinks(const cJSON *tree,
                                 struct cv_spawner_options *programs,
                                 struct cv_err *err)
{
    const cJSON *list = cv_config_schema_sinks(tree), *item;
    size_t n = (size_t)cJSON_GetArraySize(list);
    enum cv_status s = CV_OK;

    programs->n_sinks = 0;
    if (n == 0) {
        return CV_OK;
    }
    programs->sinks = calloc(n, sizeof(*programs->sinks));
    if (programs->sinks == NULL) {
        return cv_fail(err, CV_INTERNAL, "memory is gone");
    }
    cJSON_ArrayForEach(item, list)
    {
        if (s == CV_OK && programs->n_sinks < n) {
            s = read_sink(item->valuestring,
                          &programs->sinks[programs->n_sinks++], err);
        }
    }
    return s;
}

static void free_sinks(struct cv_spawner_options *programs)
{
    for (size_t i = 0; i < programs->n_sinks; i++) {
        free(programs->sinks[i].text);
        free(programs->sinks[i].name);
        free(programs->sinks[i].ca_pem);
        free(programs->sinks[i].command);
    }
    free(programs->sinks);
    programs->sinks = NULL;
    programs->n_sinks = 0;
}

enum cv_status cv_broker_config_load(const char *path, bool service,
                                     struct cv_spawner_options *programs,
                                     struct cv_broker_relay *relay,
                                     struct cv_err *err)
{
    struct cv_config_schema_relay said = {0, 0, 0};
    char **environment = NULL, *modules = NULL, *notify = NULL;
    cJSON *tree = NULL;
    enum cv_status s = CV_OK;

    if (service) {
        s = read_service(path, true, &tree, err);
    } else if (path != NULL) {
        s = parse(path, true, &tree, err);
    }
    if (s == CV_OK) {
        s = cv_config_schema_relay(tree, &said, err);
    }
    *relay = (struct cv_broker_relay){said.port, said.idle_s, said.pool};
    if (s == CV_OK) {
        s = write_modules(tree, service, &modules, err);
    }
    if (s == CV_OK && !service) {
        s = cv_module_env_new(NULL, &environment, err);
    }
    if (s == CV_OK) {
        s = read_notify(tree, &notify, err);
    }
    if (s == CV_OK) {
        s = read_anchors(tree, programs, err);
    }
    if (s == CV_OK) {
        s = read_sinks(tree, programs, err);
    }
    cJSON_Delete(tree);
    programs->notify = notify;
    programs->modules = modules;
    programs->environment = environment;
    return s;
}

void cv_broker_config_free(struct cv_spawner_options *programs)
{
    free_sinks(programs);
    cv_module_env_free(programs->environment);
    free(programs->modules);
    free((char *)(uintptr_t)programs->notify);
    programs->notify = NULL;
    free_texts(programs->anchors);
    programs->anchors = NULL;
    for (size_t i = 0; i < CV_LIMIT_ANCHORS; i++) {
        free(programs->anchor_cas[i]);
        programs->anchor_cas[i] = NULL;
    }
    programs->modules = NULL;
    programs->environment = NULL;
}

void cv_broker_config_free_signers(char **signers)
{
    for (size_t i = 0; signers != NULL && signers[i] != NULL; i++) {
        free(signers[i]);
    }
    free(signers);
}

static enum cv_status copy_signers(const cJSON *list, char ***out,
                                   struct cv_err *err)
{
    size_t n = (size_t)cJSON_GetArraySize(list), at = 0;
    const cJSON *item;
    char **copy;

    if (n == 0) {
        return CV_OK;
    }
    copy = calloc(n + 1, sizeof(*copy));
    if (copy == NULL) {
        return cv_fail(err, CV_INTERNAL, "memory is gone");
    }
    cJSON_ArrayForEach(item, list)
    {
        const char *text = cJSON_GetStringValue(item);

        copy[at] = text != NULL ? strdup(text) : NULL;
        if (copy[at++] == NULL) {
            cv_broker_config_free_signers(copy);
            return cv_fail(err, CV_INTERNAL, "memory is gone");
        }
    }
    *out = copy;
    return CV_OK;
}

enum cv_status cv_broker_config_signers(const char *path, bool service,
                                        char ***out, struct cv_err *err)
{
    cJSON *tree = NULL;
    enum cv_status s = CV_OK;

    *out = NULL;
    if (service) {
        s = cv_broker_config_tree(path, &tree, err);
    } else if (path != NULL) {
        s = parse(path, false, &tree, err);
    }
    if (s == CV_OK) {
        const cJSON *policy = cJSON_GetObjectItemCaseSensitive(tree, "policy");

        s = copy_signers(cJSON_GetObjectItemCaseSensitive(policy, "signers"),
                         out, err);
    }
    cJSON_Delete(tree);
    return s;
}

const char *cv_broker_config_logins(char *out, size_t out_len)
{
    size_t len;

    if (cv_path_xdg("XDG_STATE_HOME", ".local/state", out, out_len, NULL) !=
        CV_OK) {
        return NULL;
    }
    len = strlen(out);
    return (size_t)snprintf(out + len, out_len - len, "/logins") < out_len - len
               ? out
               : NULL;
}
