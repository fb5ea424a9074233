#include "cli/secret.h"

#include "cli/interrupt.h"
#include "cli/path.h"
#include "cli/prompt.h"
#include "vault/base/file.h"
#include "vault/base/limits.h"
#include "vault/base/name.h"

#include <fcntl.h>
#include <limits.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define NEW_KEY_LEN 32
#define TOKEN "token:"

static enum cv_status open_source(struct cv_cli *cli, const char *path,
                                  const char *what, int *fd, struct cv_err *err)
{
    struct stat st;
    enum cv_status s;

    if (strcmp(path, "-") == 0) {
        if (cli->stdin_taken) {
            return cv_fail(err, CV_USAGE,
                           "only one thing can come from standard input");
        }
        cli->stdin_taken = true;
        *fd = fcntl(STDIN_FILENO, F_DUPFD_CLOEXEC, 3);
        return *fd >= 0 ? CV_OK
                        : cv_fail_errno(err, CV_INTERNAL, "standard input");
    }
    s = cv_path_open_input(path, fd, err);
    if (s != CV_OK) {
        cv_err_prefix(err, "%s", what);
        return s;
    }
    if (fstat(*fd, &st) == 0 && (st.st_mode & (S_IRGRP | S_IROTH)) != 0) {
        cv_output_warn(&cli->out, "others on this host can read %s", path);
    }
    return CV_OK;
}

enum cv_status cv_secret_read(struct cv_cli *cli, const char *path,
                              size_t limit, const char *what,
                              struct cv_arena *arena, struct cv_bytes *out,
                              struct cv_err *err)
{
    struct cv_buf b;
    int fd = -1;
    enum cv_status s = open_source(cli, path, what, &fd, err);

    if (s != CV_OK) {
        return s;
    }
    cv_buf_init(&b, arena, limit);
    s = cv_file_read(fd, what, &b, err);
    cv_file_close(&fd);
    if (s == CV_OK) {
        *out = cv_buf_bytes(&b);
    }
    return s;
}

enum cv_status cv_secret_line(struct cv_cli *cli, const char *path,
                              size_t limit, const char *what,
                              struct cv_arena *arena, struct cv_bytes *out,
                              struct cv_err *err)
{
    /* Room for the line end. */
    enum cv_status s =
        cv_secret_read(cli, path, limit + 2, what, arena, out, err);

    if (s != CV_OK) {
        return s;
    }
    if (out->len > 0 && out->data[out->len - 1] == '\n') {
        out->len--;
    }
    if (out->len > 0 && out->data[out->len - 1] == '\r') {
        out->len--;
    }
    if (out->len == 0) {
        return cv_fail(err, CV_INVALID, "%s: nothing is in it", what);
    }
    if (out->len > limit || memchr(out->data, '\0', out->len) != NULL ||
        memchr(out->data, '\n', out->len) != NULL) {
        return cv_fail(err, CV_INVALID, "%s: not one line of at most %zu bytes",
                       what, limit);
    }
    return CV_OK;
}

enum cv_status cv_secret_key_file(struct cv_cli *cli, const char *path,
                                  struct cv_arena *arena,
                                  struct cv_secret_slot *slot,
                                  struct cv_err *err)
{
    char real[PATH_MAX];
    enum cv_status s =
        cv_secret_read(cli, path, CV_LIMIT_KEY_FILE, "the key file", arena,
                       &slot->secret, err);

    if (s != CV_OK) {
        return s;
    }
    if (slot->secret.len < CV_LIMIT_KEY_FILE_MIN) {
        return cv_fail(err, CV_INVALID,
                       "the key file holds %zu bytes; %d to %d are wanted",
                       slot->secret.len, CV_LIMIT_KEY_FILE_MIN,
                       CV_LIMIT_KEY_FILE);
    }
    slot->kind = "file";
    slot->name = NULL;
    if (strcmp(path, "-") == 0) {
        slot->path = NULL;
        return CV_OK;
    }
    if (realpath(path, real) == NULL) {
        return cv_fail_errno(err, CV_IO, "the key file");
    }
    slot->path = cv_arena_copy(arena, real, strlen(real), err);
    return slot->path != NULL ? CV_OK : CV_INTERNAL;
}

enum cv_status cv_secret_credential(struct cv_cli *cli, const char *name,
                                    struct cv_arena *arena,
                                    struct cv_secret_slot *slot,
                                    struct cv_err *err)
{
    const char *folder = getenv("CREDENTIALS_DIRECTORY");
    char path[PATH_MAX];
    enum cv_status s = cv_name_check(name, err);

    if (s != CV_OK || strchr(name, '/') != NULL) {
        return cv_fail(err, CV_USAGE, "this is no name of a credential");
    }
    if (folder == NULL || !cv_path_join(folder, name, path, sizeof(path))) {
        s = cv_fail(err, CV_NOT_FOUND,
                    "systemd gave this process no credentials");
        cv_err_hint(err, "run it in a unit with LoadCredential=%s:...", name);
        return s;
    }
    slot->kind = "credential";
    slot->path = NULL;
    slot->name = name;
    return cv_secret_read(cli, path, CV_LIMIT_KEY_FILE, "the credential", arena,
                          &slot->secret, err);
}

cJSON *cv_secret_json(const struct cv_secret_slot *slot, struct cv_arena *arena)
{
    struct cv_arena *before = cv_json_use(arena);
    cJSON *o = cJSON_CreateObject();
    bool ok =
        cv_json_add_str(o, "kind", slot->kind) &&
        (slot->uri != NULL || cv_json_add_base64(o, "secret", slot->secret)) &&
        cv_json_add_str(o, "uri", slot->uri) &&
        cv_json_add_str(o, "path", slot->path) &&
        cv_json_add_str(o, "name", slot->name);

    if (!ok) {
        cJSON_Delete(o);
        o = NULL;
    }
    (void)cv_json_use(before);
    return o;
}

/* A key file that does not exist is made of 32 random bytes. */
static enum cv_status make_key_file(const char *path, struct cv_arena *arena,
                                    struct cv_err *err)
{
    uint8_t *key = cv_arena_alloc(arena, NEW_KEY_LEN, err);
    const char *name;
    int dir = -1;
    enum cv_status s;

    if (key == NULL) {
        return CV_INTERNAL;
    }
    randombytes_buf(key, NEW_KEY_LEN);
    s = cv_path_open_parent(path, &dir, &name, err);
    if (s == CV_OK) {
        cv_interrupt_hold();
        s = cv_file_create(dir, name, (struct cv_bytes){key, NEW_KEY_LEN}, 0600,
                           err);
        cv_interrupt_release();
    }
    cv_file_close(&dir);
    return s;
}

static enum cv_status new_key_file(struct cv_cli *cli, const char *path,
                                   struct cv_arena *arena,
                                   struct cv_secret_slot *slot, bool *made,
                                   struct cv_err *err)
{
    if (access(path, F_OK) != 0) {
        enum cv_status s = make_key_file(path, arena, err);

        if (s != CV_OK) {
            return s;
        }
        *made = true;
    }
    return cv_secret_key_file(cli, path, arena, slot, err);
}

enum cv_status cv_secret_check(const char *spec, struct cv_err *err)
{
    enum cv_status s;

    if (strcmp(spec, "passphrase") == 0 ||
        (strncmp(spec, "file:", 5) == 0 && spec[5] != '\0') ||
        (strncmp(spec, "credential:", 11) == 0 && spec[11] != '\0') ||
        strncmp(spec, TOKEN "pkcs11:", sizeof(TOKEN "pkcs11:") - 1) == 0) {
        return CV_OK;
    }
    s = cv_fail(err, CV_USAGE, "no such kind of key slot");
    cv_err_hint(err, "passphrase, file:PATH, credential:NAME or "
                     "token:pkcs11:...");
    return s;
}

enum cv_status cv_secret_new(struct cv_cli *cli, const char *spec,
                             const char *file, struct cv_arena *arena,
                             struct cv_secret_slot *slot, bool *made,
                             struct cv_err *err)
{
    enum cv_status s = cv_secret_check(spec, err);

    *made = false;
    memset(slot, 0, sizeof(*slot));
    if (s != CV_OK) {
        return s;
    }
    if (strcmp(spec, "passphrase") == 0) {
        slot->kind = "passphrase";
        return file != NULL ? cv_secret_line(cli, file, CV_LIMIT_PASSPHRASE,
                                             "the passphrase file", arena,
                                             &slot->secret, err)
                            : cv_prompt_new(cli, arena, &slot->secret, err);
    }
    if (file != NULL) {
        return cv_fail(err, CV_USAGE,
                       "a passphrase file is for a passphrase "
                       "slot only");
    }
    if (strncmp(spec, TOKEN, sizeof(TOKEN) - 1) == 0) {
        slot->kind = "token";
        slot->uri = spec + sizeof(TOKEN) - 1;
        cli->token_uri = slot->uri;
        return CV_OK;
    }
    return strncmp(spec, "file:", 5) == 0
               ? new_key_file(cli, spec + 5, arena, slot, made, err)
               : cv_secret_credential(cli, spec + 11, arena, slot, err);
}

bool cv_secret_is_unused(enum cv_status s)
{
    return s != CV_OK && s != CV_UNAVAILABLE && s != CV_BUSY &&
           s != CV_INTERNAL && s != CV_IO;
}
