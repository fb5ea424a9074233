/* export: the one way on which a key leaves. The document is built and written
 * from an arena; stdio never sees it. */
#include "cli/call.h"
#include "cli/check.h"
#include "cli/cmd.h"
#include "cli/done.h"
#include "cli/entry_view.h"
#include "cli/inside.h"
#include "cli/interrupt.h"
#include "cli/output_yaml.h"
#include "cli/path.h"
#include "cli/prompt.h"
#include "cli/receipt.h"
#include "vault/base/file.h"
#include "vault/base/limits.h"

#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* Where it goes; looked at before anything is asked for. */
struct target {
    const char *path; /* NULL: standard output */
    int dir;
    const char *name;
    struct cv_receipt receipt;
};

static enum cv_status look_at_file(struct cv_cli *cli, struct target *target,
                                   struct cv_err *err)
{
    struct stat st;
    enum cv_status s = cv_path_check_file(target->path, err);

    if (s == CV_OK) {
        s = cv_inside_check_output(cli, target->path, err);
    }
    if (s == CV_OK) {
        s = cv_path_open_target(target->path, &target->dir, &target->name, err);
    }
    if (s == CV_OK) {
        s = cv_receipt_apart(&target->receipt, target->dir, target->name,
                             "output", err);
    }
    if (s != CV_OK) {
        return s;
    }
    if (fstatat(target->dir, target->name, &st, AT_SYMLINK_NOFOLLOW) != 0) {
        return CV_OK;
    }
    if (!S_ISREG(st.st_mode)) {
        s = cv_fail(err, CV_EXISTS, "%s is there and is no file", target->path);
        cv_err_state(err, "nothing was asked for, nothing was written");
        return s;
    }
    if (!cli->yes) {
        s = cv_fail(err, CV_EXISTS, "%s is there already", target->path);
        cv_err_state(err, "nothing was asked for, nothing was written");
        cv_err_hint(err, "--yes replaces it, once the new one is whole");
        return s;
    }
    return CV_OK;
}

static enum cv_status look(struct cv_cli *cli, struct target *target,
                           struct cv_err *err)
{
    enum cv_status s;

    if (cli->out.format == CV_OUTPUT_NAME && target->path == NULL) {
        return cv_fail(err, CV_USAGE, "export prints yaml or json");
    }
    if (target->path != NULL || cli->dry_run) {
        return target->path != NULL ? look_at_file(cli, target, err) : CV_OK;
    }
    if (cli->out.lost != CV_OK) {
        return cv_fail(err, cli->out.lost, "standard output is closed");
    }
    if (cv_output_is_terminal()) {
        s = cv_fail(err, CV_USAGE, "a key is not printed on a terminal");
        cv_err_hint(err, "--output FILE, or send standard output elsewhere");
        return s;
    }
    return CV_OK;
}

/* What was there stays until the new one is whole and on the disk. Not by
 * cv_file_replace: killed at its work that would leave a key in a file of some
 * other name, while this one has none until its last moment. */
static enum cv_status replace(const struct target *target, struct cv_bytes text,
                              struct cv_err *err)
{
    struct cv_file_draft draft;
    enum cv_status s =
        cv_file_draft_begin(target->dir, target->name, &draft, err);

    if (s == CV_OK) {
        s = cv_file_write(draft.fd, text, target->path, err);
    }
    if (s == CV_OK) {
        s = cv_file_draft_publish(&draft, true, err);
    }
    cv_file_draft_end(&draft);
    return s;
}

static enum cv_status put(const struct cv_cli *cli, const struct target *target,
                          struct cv_bytes text, struct cv_err *err)
{
    enum cv_status s =
        cv_file_create(target->dir, target->name, text, 0600, err);

    if (s == CV_EXISTS && cli->yes) {
        cv_err_init(err);
        s = replace(target, text, err);
    }
    return s;
}

static enum cv_status deliver(struct cv_cli *cli, const struct target *target,
                              const cJSON *kubeconfig, struct cv_arena *arena,
                              struct cv_err *err)
{
    struct cv_buf text;
    enum cv_status s;

    cv_buf_init(&text, arena, CV_LIMIT_FRAME);
    if (cli->out.format == CV_OUTPUT_JSON) {
        cv_json_write(kubeconfig, CV_JSON_PRETTY, &text);
        cv_buf_add_char(&text, '\n');
    } else {
        cv_output_yaml(kubeconfig, &text);
    }
    s = cv_buf_status(&text, "the kubeconfig", err);
    if (s != CV_OK) {
        return s;
    }
    if (target->path == NULL) {
        return cv_output_write(&cli->out, cv_buf_bytes(&text), err);
    }
    cv_interrupt_hold();
    s = put(cli, target, cv_buf_bytes(&text), err);
    cv_interrupt_release();
    return s;
}

/* Where it went: standard output is free for that. */
static enum cv_status print_file(struct cv_cli *cli,
                                 const struct target *target,
                                 const cJSON *entry, const cJSON *seq,
                                 struct cv_err *err)
{
    cJSON *o = cv_cli_keep(cli, cJSON_CreateObject(), err);
    bool ok = cv_json_add_str(o, "name", cv_output_table_text(entry, "name")) &&
              cv_json_add_str(o, "file", target->path) &&
              (!cJSON_IsNumber(seq) ||
               cv_json_add_int(o, "audit_seq", (int64_t)seq->valuedouble));

    return cv_done_print(cli, "ExportedFile", "file", o, ok, err);
}

static enum cv_status take_answer(struct cv_cli *cli,
                                  const struct target *target,
                                  const struct cv_message *reply,
                                  struct cv_err *err)
{
    const cJSON *kubeconfig =
        cJSON_GetObjectItemCaseSensitive(reply->tree, "kubeconfig");
    const cJSON *entry = cJSON_GetObjectItemCaseSensitive(reply->tree, "entry");
    const cJSON *seq =
        cJSON_GetObjectItemCaseSensitive(reply->tree, "audit_seq");
    struct cv_arena *arena = NULL;
    enum cv_status s;

    if (cli->dry_run) {
        cv_output_note(&cli->out, "this export would be permitted:");
        return cv_output_table_object(&cli->out, &cv_entry_view_one, entry,
                                      err);
    }
    if (!cJSON_IsObject(kubeconfig)) {
        return cv_fail(err, CV_INVALID,
                       "the broker's answer has no "
                       "kubeconfig");
    }
    s = cv_arena_new(CV_LIMIT_SECRET_ARENA, &arena, err);
    if (s == CV_OK) {
        s = deliver(cli, target, kubeconfig, arena, err);
    }
    cv_arena_free(arena);
    if (s != CV_OK) {
        /* The receipt is for a release that stands all the same. */
        (void)!cv_receipt_write(cli, &target->receipt, reply->tree, "", NULL);
        cv_err_state(err, "the release stands in the record (%.0f)",
                     cJSON_IsNumber(seq) ? seq->valuedouble : -1);
        return s;
    }
    cv_output_note(&cli->out, "the key left the vault; record %.0f says so",
                   cJSON_IsNumber(seq) ? seq->valuedouble : -1);
    s = cv_receipt_write(cli, &target->receipt, reply->tree,
                         "the kubeconfig was written", err);
    return s == CV_OK && target->path != NULL
               ? print_file(cli, target, entry, seq, err)
               : s;
}

static enum cv_status ask(struct cv_cli *cli, const struct cv_args *args,
                          const struct target *target, struct cv_err *err)
{
    cJSON *parameters = cv_cli_parameters(cli);
    struct cv_call call = {.method = "Export", .secret_out = true};
    struct cv_message reply;
    enum cv_status s;

    if (!cv_json_add_str(parameters, "name", args->operands[0]) ||
        !cv_json_add_str(parameters, "context",
                         cv_args_value(args, "context")) ||
        !cv_json_add_bool(parameters, "tty", cv_prompt_possible(cli)) ||
        !cv_json_add_bool(parameters, "dry_run", cli->dry_run) ||
        !cv_receipt_ask(&target->receipt, parameters)) {
        cJSON_Delete(parameters);
        return cv_fail(err, CV_INTERNAL, "memory is gone");
    }
    call.parameters = parameters;
    s = cv_call_run(cli, &call, &reply, err);
    if (s == CV_OK) {
        s = take_answer(cli, target, &reply, err);
        cv_message_free(&reply);
    }
    return s;
}

CV_CMD(export)
{
    struct target target = {cv_args_value(args, "output"), -1, NULL, {0}};
    enum cv_status s = cv_receipt_begin(cli, args, &target.receipt, err);

    if (s == CV_OK) {
        s = cv_check_name(args->operands[0], err);
    }
    if (s == CV_OK) {
        s = cv_check_shown(cv_args_value(args, "context"), "context",
                           CV_LIMIT_NAME, err);
    }
    if (s == CV_OK) {
        s = look(cli, &target, err);
    }
    if (s == CV_OK) {
        s = ask(cli, args, &target, err);
    }
    cv_file_close(&target.dir);
    cv_receipt_end(&target.receipt);
    return s;
}
