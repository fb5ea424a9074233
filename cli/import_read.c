#include "cli/import_read.h"

#include "cli/connect.h"
#include "cli/offline.h"
#include "cli/path.h"
#include "vault/base/file.h"
#include "vault/base/limits.h"
#include "vault/base/name.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static bool has_end(const char *name, const char *end)
{
    size_t len = strlen(name), end_len = strlen(end);

    return len > end_len && strcmp(name + len - end_len, end) == 0;
}

/* Hidden files, backups and the like are no kubeconfigs that anyone means. */
static bool is_wanted(const char *name)
{
    return name[0] != '.' &&
           (strchr(name, '.') == NULL || has_end(name, ".yaml") ||
            has_end(name, ".yml") || has_end(name, ".json") ||
            has_end(name, ".conf") || has_end(name, ".kubeconfig")) &&
           !has_end(name, "~");
}

static enum cv_status add_name(struct cv_import_read *r, const char *name,
                               size_t *room, struct cv_err *err)
{
    if (r->n == CV_LIMIT_IMPORT_FILES) {
        return cv_fail(err, CV_INVALID, "more than %d files in the folder",
                       CV_LIMIT_IMPORT_FILES);
    }
    if (r->n == *room) {
        size_t more = *room ? *room * 2 : 64;
        char **names = realloc(r->names, more * sizeof(*names));

        if (names == NULL) {
            return cv_fail(err, CV_INTERNAL, "memory is gone");
        }
        r->names = names;
        *room = more;
    }
    r->names[r->n] = strdup(name);
    if (r->names[r->n] == NULL) {
        return cv_fail(err, CV_INTERNAL, "memory is gone");
    }
    r->n++;
    return CV_OK;
}

static int by_name(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static enum cv_status list_folder(struct cv_import_read *r, struct cv_err *err)
{
    int fd = openat(r->fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *folder = fd >= 0 ? fdopendir(fd) : NULL;
    enum cv_status s = CV_OK;
    const struct dirent *e;
    size_t room = 0;

    if (folder == NULL) {
        cv_file_close(&fd);
        return cv_fail_errno(err, CV_IO, "%s", r->path);
    }
    while (s == CV_OK && (e = readdir(folder)) != NULL) {
        struct stat st;

        if (!is_wanted(e->d_name) ||
            fstatat(r->fd, e->d_name, &st, AT_SYMLINK_NOFOLLOW) != 0) {
            continue;
        }
        if (S_ISREG(st.st_mode)) {
            s = add_name(r, e->d_name, &room, err);
        } else if (S_ISLNK(st.st_mode)) {
            cv_output_note(&r->cli->out, "%s: a link, left out", e->d_name);
        }
    }
    (void)closedir(folder);
    if (s == CV_OK && r->n == 0) {
        s = cv_fail(err, CV_INVALID, "%s: no kubeconfig is in it", r->path);
    }
    if (r->n > 1) {
        qsort(r->names, r->n, sizeof(*r->names), by_name);
    }
    return s;
}

/* By errno: what may not be read is as good as not there. */
static enum cv_status no_file(const struct cv_import_read *r,
                              struct cv_err *err)
{
    const bool none = errno == ENOENT || errno == ENOTDIR || errno == EACCES;
    const enum cv_status s =
        cv_fail_errno(err, none ? CV_NOT_FOUND : CV_IO, "%s", r->path);

    cv_err_state(err, "nothing was taken in");
    cv_err_hint(err, "check the path, and who owns the file");
    return s;
}

/* A single file whose keys are to be taken out is reached through its folder.
 * Where a link leads to it, the file behind the link is meant. */
static enum cv_status open_in_folder(struct cv_import_read *r,
                                     struct cv_err *err)
{
    char real[PATH_MAX];
    const char *name;
    size_t room = 0;
    enum cv_status s;

    if (realpath(r->path, real) == NULL) {
        return no_file(r, err);
    }
    r->named = true;
    s = cv_path_open_parent(real, &r->fd, &name, err);
    return s == CV_OK ? add_name(r, name, &room, err) : s;
}

static enum cv_status open_plain(struct cv_import_read *r, bool strip,
                                 struct cv_err *err)
{
    struct stat st;

    if (stat(r->path, &st) != 0) {
        return no_file(r, err);
    }
    if (S_ISDIR(st.st_mode)) {
        r->named = r->many = true;
        r->fd = open(r->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        return r->fd >= 0 ? list_folder(r, err) : no_file(r, err);
    }
    if (!S_ISREG(st.st_mode)) {
        return cv_fail(err, CV_INVALID, "%s: neither file nor folder", r->path);
    }
    if (strip) {
        return open_in_folder(r, err);
    }
    r->n = 1;
    return cv_path_open_input(r->path, &r->fd, err);
}

enum cv_status cv_import_read_open(struct cv_import_read *r, const char *path,
                                   bool strip, struct cv_err *err)
{
    enum cv_status s = CV_OK;

    r->path = path;
    r->fd = -1;
    if (strcmp(path, "-") != 0) {
        s = open_plain(r, strip, err);
    } else if (r->cli->stdin_taken) {
        s = cv_fail(err, CV_USAGE,
                    "only one thing can come from standard input");
    } else {
        r->cli->stdin_taken = true;
        r->n = 1;
        r->fd = fcntl(STDIN_FILENO, F_DUPFD_CLOEXEC, 3);
        if (r->fd == -1) {
            s = cv_fail_errno(err, CV_INTERNAL, "standard input");
        }
    }
    return s == CV_OK ? cv_offline_start(CV_OFFLINE_INTAKE, r->cli, r->fd,
                                         &r->intake, err)
                      : s;
}

/* To whom intake seals: the vault, by its public half, or what was said. */
static cJSON *target(const struct cv_import_read *r)
{
    const struct cv_connect_greeting *g = cv_connect_greets(r->cli);
    cJSON *t;

    if (r->target != NULL) {
        return cJSON_Duplicate(r->target, true);
    }
    t = cJSON_CreateObject();

    if (!cv_json_add_str(t, "vault_id", g->vault_id) ||
        !cv_json_add_str(t, "public_key", g->public_key)) {
        cJSON_Delete(t);
        return NULL;
    }
    return t;
}

enum cv_status cv_import_read_file(struct cv_import_read *r, size_t i,
                                   struct cv_import_read_file *out,
                                   struct cv_err *err)
{
    cJSON *p = cJSON_CreateObject();
    struct cv_message reply;
    enum cv_status s;

    memset(out, 0, sizeof(*out));
    if (!cv_json_add_item(p, "target", target(r)) ||
        (r->named && !cv_json_add_str(p, "name", r->names[i])) ||
        (r->contexts != NULL &&
         !cv_json_add_item(p, "contexts",
                           cJSON_Duplicate(r->contexts, true)))) {
        cJSON_Delete(p);
        return cv_fail(err, CV_INTERNAL, "memory is gone");
    }
    out->name = strdup(r->named ? r->names[i] : r->path);
    if (out->name == NULL) {
        cJSON_Delete(p);
        return cv_fail(err, CV_INTERNAL, "memory is gone");
    }
    s = cv_offline_call(r->intake, "Read", p, &reply, err);
    if (s == CV_OK) {
        out->answer = reply.tree;
    } else {
        cv_message_free(&reply);
        cv_err_prefix(err, "%s",
                      strcmp(out->name, "-") == 0 ? "standard input"
                                                  : out->name);
        cv_import_read_free_file(out);
    }
    return s;
}

void cv_import_read_free_file(struct cv_import_read_file *file)
{
    free(file->name);
    cJSON_Delete(file->answer);
    memset(file, 0, sizeof(*file));
}

enum cv_status cv_import_read_strip(struct cv_import_read *r, size_t i,
                                    const char *digest, cJSON *spki, int *left,
                                    struct cv_err *err)
{
    cJSON *p = cJSON_CreateObject();
    struct cv_message reply;
    const cJSON *keys;
    bool ok = cv_json_add_item(p, "spki", spki) &&
              cv_json_add_str(p, "name", r->names[i]) &&
              cv_json_add_str(p, "digest", digest);
    enum cv_status s;

    *left = 0;
    if (!ok) {
        cJSON_Delete(p);
        return cv_fail(err, CV_INTERNAL, "memory is gone");
    }
    s = cv_offline_call(r->intake, "Strip", p, &reply, err);
    if (s == CV_OK) {
        keys = cJSON_GetObjectItemCaseSensitive(reply.tree, "left_keys");
        *left = cJSON_IsNumber(keys) ? keys->valueint : 0;
    }
    cv_message_free(&reply);
    return s;
}

void cv_import_read_close(struct cv_import_read *r)
{
    cv_offline_free(r->intake);
    r->intake = NULL;
    cv_file_close(&r->fd);
    for (size_t i = 0; r->names != NULL && i < r->n; i++) {
        free(r->names[i]);
    }
    free(r->names);
    r->names = NULL;
}

/* What a NAME may not hold becomes '-'. */
static void make_name(char *text)
{
    size_t to = 0;

    for (size_t from = 0; text[from] != '\0'; from++) {
        char c = text[from];
        bool word = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
                    (c >= '0' && c <= '9');

        if (word || (to > 0 && (c == '_' || c == '-' ||
                                (c == '.' && text[to - 1] != '.')))) {
            text[to++] = c;
        } else if (to > 0) {
            text[to++] = '-';
        }
    }
    text[to] = '\0';
}

void cv_import_read_stem(const struct cv_import_read *r, size_t i, char *out,
                         size_t out_len)
{
    const char *path = r->named ? r->names[i] : r->path;
    const char *slash = strrchr(path, '/');
    const char *name = slash ? slash + 1 : path;
    const char *dot = strrchr(name, '.');
    size_t len =
        dot != NULL && dot != name ? (size_t)(dot - name) : strlen(name);

    out[0] = '\0';
    if (len >= out_len || len > CV_LIMIT_NAME) {
        return;
    }
    memcpy(out, name, len);
    out[len] = '\0';
    make_name(out);
    if (strcmp(out, "config") == 0 || strcmp(out, "kubeconfig") == 0 ||
        cv_name_check(out, NULL) != CV_OK) {
        out[0] = '\0';
    }
}
