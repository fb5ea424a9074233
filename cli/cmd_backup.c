/* backup and restore: a vault in one file, and back. */
#include "cli/arrival.h"
#include "cli/call.h"
#include "cli/cmd.h"
#include "cli/connect.h"
#include "cli/inside.h"
#include "cli/interrupt.h"
#include "cli/offline.h"
#include "cli/output_table.h"
#include "cli/path.h"
#include "cli/prompt.h"
#include "cli/scratch.h"
#include "vault/base/file.h"
#include "vault/base/limits.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static const struct cv_output_column columns[] = {
    {"file", "file", NULL, NULL},
    {"folder", "folder", NULL, NULL},
    {"vault", "backup.vault_id", NULL, NULL},
    {"made", "backup.created", NULL, NULL},
    {"by version", "backup.program", NULL, NULL},
    {"bytes", "backup.size", NULL, NULL},
    {"digest", "backup.digest", NULL, NULL},
    {"records", "backup.leaves", NULL, NULL},
    {"entries", "backup.entries", NULL, NULL},
    {"policy version", "backup.policy_version", NULL, NULL},
    {"opened by", "backup.slots", NULL, NULL},
    {"keys on tokens", "backup.tokens", NULL, NULL},
    {"log key on", "log_key", NULL, NULL},
    {"what is there", "target", NULL, NULL},
    {"records lost", "leaves_lost", NULL, NULL},
    {"texts lost", "texts_lost", NULL, NULL},
    {"entries lost", "entries_lost", NULL, NULL},
    {"unfinished", "unfinished", NULL, NULL},
    {"tokens to look at", "tokens_left", NULL, NULL},
    {"restored", "restored", NULL, NULL},
};

static const struct cv_output_view backup_view = {
    .kind = "Backup",
    .name = "file",
    .columns = columns,
    .n_columns = 13,
};

static const struct cv_output_view restore_view = {
    .kind = "Restore",
    .name = "backup.vault_id",
    .columns = columns,
    .n_columns = sizeof(columns) / sizeof(columns[0]),
};

static int64_t number_of(const cJSON *tree, const char *key)
{
    const cJSON *item = cJSON_GetObjectItemCaseSensitive(tree, key);

    return cJSON_IsNumber(item) ? (int64_t)item->valuedouble : 0;
}

/* Reads all of the backup `file` in `folder` (open as `dir`); *report is the
 * run's, NULL where the backup is no good. */
static enum cv_status examine(struct cv_cli *cli, int file, int dir,
                              const char *folder, const struct cv_args *args,
                              bool dry_run, const cJSON **report,
                              struct cv_err *err)
{
    cJSON *parameters = cv_cli_parameters(cli), *found;
    struct cv_offline *o = NULL;
    struct cv_message reply = {0};
    enum cv_status s;

    *report = NULL;
    if (!cv_json_add_str(parameters, "folder", folder) ||
        !cv_json_add_bool(parameters, "dry_run", dry_run) ||
        !cv_json_add_bool(parameters, "accept_rollback",
                          args != NULL &&
                              cv_args_has(args, "accept-rollback"))) {
        cJSON_Delete(parameters);
        return cv_fail(err, CV_INTERNAL, "memory is gone");
    }
    s = cv_offline_start_with(CV_OFFLINE_BROKER, cli, file, dir, &o, err);
    if (s != CV_OK) {
        cJSON_Delete(parameters);
        return s;
    }
    s = cv_offline_call(o, "Restore", parameters, &reply, err);
    found = cJSON_DetachItemFromObjectCaseSensitive(reply.tree, "report");
    cv_message_free(&reply);
    cv_offline_free(o);
    if (found != NULL) {
        *report = cv_cli_keep(cli, found, NULL);
    }
    if (s == CV_OK && !cJSON_IsObject(*report)) {
        s = cv_fail(err, CV_INVALID, "the answer has no report");
    }
    return s;
}

/* The same of a backup alone, whatever it might be restored into. */
static enum cv_status examine_alone(struct cv_cli *cli, int file,
                                    const cJSON **report, struct cv_err *err)
{
    struct cv_scratch scratch;
    enum cv_status s = cv_scratch_make(&scratch, err);

    if (s == CV_OK) {
        s = examine(cli, file, scratch.dir, scratch.path, NULL, true, report,
                    err);
        if (s == CV_IO) {
            cv_err_hint(err, "the runtime folder (XDG_RUNTIME_DIR) wants room "
                             "for the backup's store while it is checked");
        }
        cv_scratch_remove(&scratch);
    }
    return s;
}

/* backup */

struct copy {
    struct cv_cli *cli;
    struct cv_arrival file;
};

static enum cv_status look(struct cv_cli *cli, const char *path,
                           struct cv_err *err)
{
    bool is_file;
    enum cv_status s = cv_arrival_look(path, cli->yes, &is_file, err);

    if (s == CV_OK) {
        s = cv_inside_check(cli, path,
                            "a backup elsewhere, best on another disk: what "
                            "befalls the vault must not befall it",
                            err);
    }
    if (s == CV_EXISTS) {
        cv_err_state(err, "nothing was asked for, nothing was written");
        if (is_file) {
            cv_err_hint(err, "--yes replaces it, once the new one is whole");
        }
    }
    return s;
}

static enum cv_status copy_all(struct copy *c, struct cv_err *err)
{
    const int64_t *at = &c->file.bytes;
    size_t len = 1;
    enum cv_status s = CV_OK;

    while (s == CV_OK && len > 0) {
        cJSON *parameters = cJSON_CreateObject();
        struct cv_call call = {.method = "BackupRead",
                               .parameters = parameters};
        struct cv_message reply;

        (void)cv_json_add_int(parameters, "at", *at);
        s = cv_call_run(c->cli, &call, &reply, err);
        if (s == CV_OK) {
            s = cv_arrival_take(&c->file, reply.tree, &len, err);
            cv_message_free(&reply);
        }
        cv_output_progress(&c->cli->out, "%lld of %lld bytes", (long long)*at,
                           (long long)c->file.most);
    }
    cv_output_progress_end(&c->cli->out);
    if (s == CV_OK && *at != c->file.most) {
        (void)cv_fail(err, CV_INTEGRITY, "the broker sent %lld bytes of %lld",
                      (long long)*at, (long long)c->file.most);
        s = cv_arrival_distrust(&c->file, err);
    }
    return s;
}

/* The file gets its name when it was read back; the record says "ok" when it
 * has its name. */
static enum cv_status finish(struct copy *c, const cJSON **report,
                             struct cv_err *err)
{
    cJSON *parameters;
    const cJSON *answer;
    enum cv_status s = cv_arrival_sync(&c->file, err);

    if (s != CV_OK) {
        return s;
    }
    parameters = cJSON_CreateObject();
    s = examine_alone(c->cli, c->file.draft.fd, report, err);
    if (s != CV_OK) {
        cv_err_prefix(err, "the backup was read back");
    } else {
        s = cv_arrival_publish(&c->file, c->cli->yes, err);
    }
    if (s == CV_OK) {
        (void)cv_json_add_str(parameters, "digest",
                              cv_output_table_text(*report, "backup.digest"));
        s = cv_call_simple(c->cli, "BackupEnd", parameters, &answer, err);
        parameters = NULL;
        if (s != CV_OK) {
            cv_err_state(err,
                         "%s is there and whole; the record does not say "
                         "so",
                         c->file.path);
        }
    } else {
        cv_err_state(err, "no backup was written");
    }
    cJSON_Delete(parameters);
    return s;
}

static enum cv_status run_backup(struct copy *c, struct cv_err *err)
{
    const cJSON *answer, *report = NULL;
    cJSON *shown;
    enum cv_status s = cv_call_simple(c->cli, "Backup",
                                      cv_cli_parameters(c->cli), &answer, err);

    if (s != CV_OK) {
        return s;
    }
    c->file.most = number_of(answer, "size");
    s = copy_all(c, err);
    if (s != CV_OK) {
        cv_err_state(err, "no backup was written");
        return s;
    }
    s = finish(c, &report, err);
    if (s != CV_OK) {
        return s;
    }
    shown = cJSON_CreateObject();
    (void)cv_json_add_str(shown, "file", c->file.path);
    (void)cv_json_add_item(
        shown, "backup",
        cJSON_Duplicate(cJSON_GetObjectItemCaseSensitive(report, "backup"),
                        true));
    answer = cv_cli_keep(c->cli, shown, err);
    return answer != NULL
               ? cv_output_table_object(&c->cli->out, &backup_view, answer, err)
               : CV_INTERNAL;
}

CV_CMD(backup)
{
    struct copy c = {.cli = cli};
    enum cv_status s = look(cli, args->operands[0], err);

    if (s == CV_OK) {
        s = cv_arrival_begin(cli, args->operands[0], "backup", &c.file, err);
    }
    if (s != CV_OK) {
        return s;
    }
    s = run_backup(&c, err);
    cv_arrival_end(&c.file);
    if (s == CV_OK) {
        cv_output_note(&cli->out,
                       "it was read back; what opens the vault (a key file, a "
                       "passphrase, a token) is not in it, nor are keys on "
                       "tokens");
    }
    return s;
}

/* restore */

struct target {
    char path[PATH_MAX];
    int dir; /* -1: it is not there yet */
    bool made;
};

static enum cv_status open_target(struct cv_cli *cli, struct target *t,
                                  struct cv_err *err)
{
    struct cv_err why;
    enum cv_status s = cv_connect_place(cli, t->path, sizeof(t->path), err);

    t->dir = -1;
    if (s != CV_OK) {
        return s;
    }
    cv_err_init(&why);
    s = cv_file_open_folder(t->path, &t->dir, &why);
    if (s == CV_NOT_FOUND) {
        return CV_OK;
    }
    if (s != CV_OK) {
        *err = why;
    }
    return s;
}

static enum cv_status make_target(struct target *t, struct cv_err *err)
{
    if (t->dir != -1) {
        return CV_OK;
    }
    t->made = true;
    return cv_file_make_folder(t->path, &t->dir, err);
}

/* A line that ends with the list `key` of the report, where that has any. */
static void warn_of(struct cv_cli *cli, const cJSON *report, const char *key,
                    const char *line)
{
    const cJSON *names = cJSON_GetObjectItemCaseSensitive(report, key);
    struct cv_buf list;

    if (cJSON_GetArraySize(names) == 0) {
        return;
    }
    cv_buf_init(&list, NULL, CV_KIB(32));
    cv_output_table_cell(names, &list);
    cv_output_warn(&cli->out, "%s: %s", line, cv_buf_text(&list));
    cv_buf_wipe(&list);
}

static void tell_lost(struct cv_cli *cli, const cJSON *report)
{
    if (number_of(report, "texts_lost") > 0) {
        cv_output_warn(&cli->out,
                       "records that the backup has as hashes alone: %lld",
                       (long long)number_of(report, "texts_lost"));
    }
    warn_of(cli, report, "entries_lost",
            "entries that the backup does not have");
    warn_of(cli, report, "tokens_left",
            "changes on tokens that were cut off are forgotten, and what they "
            "left there stays: in the vault that is replaced certvault token "
            "login ends them before a restore; afterwards look with certvault "
            "token objects, and destroy what nobody knows with the token's own "
            "tool");
}

static enum cv_status ask(struct cv_cli *cli, const struct target *t,
                          const cJSON *report, struct cv_err *err)
{
    const cJSON *about = cJSON_GetObjectItemCaseSensitive(report, "backup");
    const char *made = cv_output_table_text(about, "created");
    const char *kind = cv_output_table_text(report, "target");

    return cv_prompt_confirm(
        cli, err,
        "restore the backup of %s (%lld entries, %lld records) into %s%s?",
        made ? made : "?", (long long)number_of(about, "entries"),
        (long long)number_of(about, "leaves"), t->path,
        kind != NULL && strcmp(kind, "new") != 0
            ? ", in place of the vault that is there"
            : "");
}

static enum cv_status print(struct cv_cli *cli, const struct target *t,
                            const char *file, const cJSON *report,
                            struct cv_err *err)
{
    cJSON *copy = cJSON_Duplicate(report, true);
    const cJSON *shown;

    (void)cv_json_add_str(copy, "file", file);
    (void)cv_json_add_str(copy, "folder", t->path);
    if (cv_output_table_text(report, "log_key") != NULL) {
        cv_output_note(&cli->out, "the key that signs the record is in no "
                                  "backup: it stays on its token, and "
                                  "checkpoints wait until that is there");
    }
    shown = cv_cli_keep(cli, copy, err);
    return shown != NULL
               ? cv_output_table_object(&cli->out, &restore_view, shown, err)
               : CV_INTERNAL;
}

/* Puts it in its place, which shows that it opens. */
static enum cv_status settle(struct cv_cli *cli, const struct target *t,
                             struct cv_err *err)
{
    struct stat st;
    enum cv_status s;

    cli->no_agent = true;
    s = cv_connect_open(cli, false, err);
    if (s != CV_OK) {
        cv_err_prefix(err, "the vault was restored, but does not open");
    } else if (fstatat(t->dir, "audit/log.key.sealed", &st,
                       AT_SYMLINK_NOFOLLOW) == 0) {
        cv_output_note(&cli->out, "open it once (certvault unlock): the key "
                                  "that signs the record is sealed until then");
    }
    return s;
}

static enum cv_status run_restore(struct cv_cli *cli,
                                  const struct cv_args *args, int file,
                                  struct target *t, struct cv_err *err)
{
    const cJSON *report = NULL;
    enum cv_status s = t->dir == -1 ? examine_alone(cli, file, &report, err)
                                    : examine(cli, file, t->dir, t->path, args,
                                              true, &report, err);

    if (report != NULL) {
        tell_lost(cli, report);
    }
    if (s != CV_OK || cli->dry_run) {
        return s == CV_OK ? print(cli, t, args->operands[0], report, err) : s;
    }
    s = ask(cli, t, report, err);
    if (s == CV_OK) {
        s = make_target(t, err);
    }
    if (s == CV_OK) {
        cv_interrupt_hold();
        s = examine(cli, file, t->dir, t->path, args, false, &report, err);
        cv_interrupt_release();
    }
    if (s != CV_OK && t->made) {
        (void)rmdir(t->path);
    }
    if (s == CV_OK) {
        s = settle(cli, t, err);
    }
    return s == CV_OK ? print(cli, t, args->operands[0], report, err) : s;
}

CV_CMD(backup_restore)
{
    struct target t = {.dir = -1};
    int file = -1;
    enum cv_status s = cv_path_open_input(args->operands[0], &file, err);

    if (s == CV_OK) {
        s = open_target(cli, &t, err);
    }
    if (s == CV_OK) {
        s = run_restore(cli, args, file, &t, err);
    }
    cv_file_close(&t.dir);
    cv_file_close(&file);
    return s;
}
