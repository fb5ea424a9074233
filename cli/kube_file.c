#include "cli/kube_file.h"

#include "cli/offline.h"
#include "cli/path.h"
#include "vault/base/file.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* ---- which file ---- */

/* mkdir -p for the folder of a file that is yet to be made. */
static enum cv_status make_parents(const char *path, struct cv_err *err)
{
    char part[PATH_MAX];

    for (const char *p = path + 1; (p = strchr(p, '/')) != NULL; p++) {
        size_t len = (size_t)(p - path);

        memcpy(part, path, len);
        part[len] = '\0';
        if (mkdir(part, 0700) != 0 && errno != EEXIST) {
            return cv_fail_errno(err, CV_IO, "cannot make %s", part);
        }
    }
    return CV_OK;
}

struct place {
    char path[PATH_MAX]; /* where links led to */
    const char *name;
    int dir;
};

/* A link at the end is followed: what it leads to is replaced, not it. */
static enum cv_status open_path(const char *given, bool make, struct place *p,
                                struct cv_err *err)
{
    struct stat st;
    enum cv_status s = cv_path_absolute(given, p->path, sizeof(p->path), err);

    p->dir = -1;
    if (s == CV_OK && realpath(given, p->path) == NULL) {
        if (errno != ENOENT || lstat(given, &st) == 0) {
            return cv_fail_errno(err, CV_IO, "%s", given);
        }
        if (!make) {
            return cv_fail(err, CV_NOT_FOUND, "%s: no such file", given);
        }
        s = cv_path_absolute(given, p->path, sizeof(p->path), err);
        if (s == CV_OK) {
            s = make_parents(p->path, err);
        }
    }
    return s == CV_OK ? cv_path_open_parent(p->path, &p->dir, &p->name, err)
                      : s;
}

/* ---- what is done with it ---- */

static enum cv_status call(struct cv_cli *cli, const struct place *p,
                           cJSON *parameters, bool dry_run,
                           const cJSON **answer, struct cv_err *err)
{
    struct cv_offline *o = NULL;
    struct cv_message reply;
    enum cv_status s;

    *answer = NULL;
    if (!cv_json_add_str(parameters, "name", p->name) ||
        !cv_json_add_bool(parameters, "dry_run", dry_run) ||
        !cv_json_add_bool(parameters, "replace", cli->yes)) {
        cJSON_Delete(parameters);
        return cv_fail(err, CV_INTERNAL, "memory is gone");
    }
    s = cv_offline_start(CV_OFFLINE_INTAKE, cli, p->dir, &o, err);
    if (s != CV_OK) {
        cJSON_Delete(parameters);
        return s;
    }
    s = cv_offline_call(o, "Merge", parameters, &reply, err);
    if (s == CV_OK) {
        *answer = cv_cli_keep(cli, reply.tree, err);
        s = *answer != NULL ? CV_OK : CV_INTERNAL;
    } else {
        cv_message_free(&reply);
        cv_err_prefix(err, "%s", p->path);
    }
    cv_offline_free(o);
    return s;
}

/* Is there something of ours, of this entry, in the file? */
static bool holds(struct cv_cli *cli, const char *path, const char *entry,
                  const char *context)
{
    struct place p;
    const cJSON *answer;
    cJSON *parameters = cJSON_CreateObject();
    bool found = cv_json_add_str(parameters, "entry", entry) &&
                 cv_json_add_str(parameters, "context", context) &&
                 open_path(path, false, &p, NULL) == CV_OK;

    if (!found) {
        cJSON_Delete(parameters);
        return false;
    }
    found = call(cli, &p, parameters, true, &answer, NULL) == CV_OK;
    cv_file_close(&p.dir);
    return found;
}

/* As kubectl config: of the list in KUBECONFIG the file that has it already,
 * else the first that exists, else the last; without a list ~/.kube/config. */
static enum cv_status choose(struct cv_cli *cli, const char *entry,
                             const char *context, char out[PATH_MAX],
                             struct cv_err *err)
{
    const char *list = getenv("KUBECONFIG");
    char path[PATH_MAX];
    bool named = false, exists = false;

    while (list != NULL && *list != '\0') {
        size_t len = strcspn(list, ":");

        if (len >= sizeof(path)) {
            return cv_fail(err, CV_CONFIG,
                           "KUBECONFIG names a path that is "
                           "too long");
        }
        memcpy(path, list, len);
        path[len] = '\0';
        list += len + (list[len] == ':');
        if (len > 0 && access(path, F_OK) == 0 &&
            holds(cli, path, entry, context)) {
            memcpy(out, path, len + 1);
            return CV_OK;
        }
        if (len > 0 && !exists) {
            memcpy(out, path, len + 1);
            exists = access(path, F_OK) == 0;
            named = true;
        }
    }
    if (!named && !cv_path_home(".kube/config", out, PATH_MAX)) {
        return cv_fail(err, CV_CONFIG,
                       "HOME is not set, so it is not known "
                       "where the kubeconfig is");
    }
    return CV_OK;
}

static enum cv_status open_place(struct cv_cli *cli, const char *given,
                                 const char *entry, const char *context,
                                 bool make, struct place *p, struct cv_err *err)
{
    char chosen[PATH_MAX];
    enum cv_status s;

    p->dir = -1;
    if (given != NULL) {
        return open_path(given, make, p, err);
    }
    s = choose(cli, entry, context, chosen, err);
    return s == CV_OK ? open_path(chosen, make, p, err) : s;
}

static const char *text(const cJSON *answer, const char *key)
{
    return cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(answer, key));
}

/* What else there is to know. */
static void tell(struct cv_cli *cli, const struct place *p, const cJSON *answer)
{
    const cJSON *item;

    cJSON_ArrayForEach(item, cJSON_GetObjectItemCaseSensitive(answer, "notes"))
    {
        if (cJSON_IsString(item)) {
            cv_output_note(&cli->out, "%s", item->valuestring);
        }
    }
    if (text(answer, "backup") != NULL) {
        cv_output_note(&cli->out, "as it was before: %.*s%s",
                       (int)(p->name - p->path), p->path,
                       text(answer, "backup"));
    }
}

static enum cv_status report(struct cv_cli *cli, const struct place *p,
                             const cJSON *answer, const char *what,
                             struct cv_err *err)
{
    bool changed =
        cJSON_IsTrue(cJSON_GetObjectItemCaseSensitive(answer, "changed"));
    cJSON *d;
    enum cv_status s;

    tell(cli, p, answer);
    if (cli->out.format != CV_OUTPUT_JSON &&
        cli->out.format != CV_OUTPUT_YAML) {
        return cv_output_line(&cli->out, err, "%s: %s", p->path,
                              !changed       ? "nothing to change"
                              : cli->dry_run ? "would be changed"
                                             : what);
    }
    d = cJSON_CreateObject();
    s = cv_json_add_str(d, "apiVersion", "certvault/v1") &&
                cv_json_add_str(d, "kind", "KubeconfigChange") &&
                cv_json_add_str(d, "file", p->path) &&
                cv_json_add_bool(d, "changed", changed) &&
                cv_json_add_bool(d, "dry_run", cli->dry_run) &&
                cv_json_add_str(d, "backup", text(answer, "backup")) &&
                cv_json_add_str(d, "context", text(answer, "context")) &&
                cv_json_add_str(d, "current_context",
                                text(answer, "current_context"))
            ? cv_output_document(&cli->out, d, err)
            : cv_fail(err, CV_INTERNAL, "memory is gone");
    cJSON_Delete(d);
    return s;
}

enum cv_status cv_kube_file_merge(struct cv_cli *cli, const char *file,
                                  const struct cv_keyless *k,
                                  struct cv_err *err)
{
    struct place p;
    const cJSON *answer;
    cJSON *parameters = cJSON_CreateObject();
    enum cv_status s =
        open_place(cli, file, k->entry, k->context, true, &p, err);
    bool ok = cv_json_add_str(parameters, "vault", k->vault_id) &&
              cv_json_add_str(parameters, "entry", k->entry) &&
              cv_json_add_str(parameters, "context", k->context) &&
              cv_json_add_item(parameters, "document",
                               cJSON_Duplicate(k->document, true));

    if (s != CV_OK || !ok) {
        cJSON_Delete(parameters);
        cv_file_close(&p.dir);
        return s != CV_OK ? s : cv_fail(err, CV_INTERNAL, "memory is gone");
    }
    s = call(cli, &p, parameters, cli->dry_run, &answer, err);
    if (s == CV_OK) {
        s = report(cli, &p, answer, "changed", err);
    }
    if (s == CV_OK && !cli->dry_run &&
        (text(answer, "current_context") == NULL ||
         strcmp(text(answer, "current_context"), text(answer, "context")) !=
             0)) {
        cv_output_note(&cli->out,
                       "the current context stays as it was; to change it: "
                       "kubectl config use-context %s",
                       text(answer, "context"));
    }
    cv_file_close(&p.dir);
    return s;
}

enum cv_status cv_kube_file_unmerge(struct cv_cli *cli, const char *file,
                                    const char *name, const char *context,
                                    struct cv_err *err)
{
    struct place p;
    const cJSON *answer;
    cJSON *parameters = cJSON_CreateObject();
    enum cv_status s = open_place(cli, file, name, context, false, &p, err);

    if (s != CV_OK || !cv_json_add_str(parameters, "entry", name) ||
        !cv_json_add_str(parameters, "context", context)) {
        cJSON_Delete(parameters);
        cv_file_close(&p.dir);
        return s != CV_OK ? s : cv_fail(err, CV_INTERNAL, "memory is gone");
    }
    s = call(cli, &p, parameters, cli->dry_run, &answer, err);
    if (s == CV_OK) {
        s = report(cli, &p, answer, "changed", err);
    }
    cv_file_close(&p.dir);
    return s;
}
