/* audit prove, consistency, rebuild; and the proof that audit verify --proof
 * checks, which needs no vault. */
#include "cli/cmd_prove.h"
#include "cli/call.h"
#include "cli/check.h"
#include "cli/cmd.h"
#include "cli/cmd_bundle.h"
#include "cli/done.h"
#include "cli/log_archive.h"
#include "cli/offline.h"
#include "cli/output_table.h"
#include "cli/path.h"
#include "vault/base/file.h"
#include "vault/base/limits.h"

#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

/* A record with the LF that a text file ends with. */
#define RECORD_FILE (CV_LIMIT_LEAF + 1)

static enum cv_status no_memory(cJSON *parameters, struct cv_err *err)
{
    cJSON_Delete(parameters);
    return cv_fail(err, CV_INTERNAL, "memory is gone");
}

/* Where the proof goes, looked at before anything is asked for. */
static enum cv_status look(const struct cv_cli *cli, const char *path, int *dir,
                           const char **name, struct cv_err *err)
{
    struct stat st;
    enum cv_status s = cv_path_open_parent(path, dir, name, err);

    if (s == CV_OK && fstatat(*dir, *name, &st, AT_SYMLINK_NOFOLLOW) == 0 &&
        (!cli->yes || !S_ISREG(st.st_mode))) {
        s = cv_fail(err, CV_EXISTS, "%s is there already", path);
        cv_err_state(err, "nothing was asked for, nothing was written");
        cv_err_hint(err, "%s",
                    S_ISREG(st.st_mode) ? "--yes replaces it"
                                        : "it is not a file, and stays");
    }
    return s;
}

/* A proof is no secret: 0644, as for whom it is made. */
static enum cv_status write_file(const struct cv_cli *cli, int dir,
                                 const char *name, const char *text,
                                 struct cv_err *err)
{
    struct cv_bytes bytes = {(const uint8_t *)text, strlen(text)};

    return cli->yes ? cv_file_replace(dir, name, bytes, 0644, err)
                    : cv_file_create(dir, name, bytes, 0644, err);
}

/* To standard output where `path` is NULL. */
static enum cv_status prove(struct cv_cli *cli, cJSON *parameters, int64_t seq,
                            const char *path, struct cv_err *err)
{
    const cJSON *answer;
    const char *proof, *name = NULL;
    int dir = -1;
    enum cv_status s = path != NULL ? look(cli, path, &dir, &name, err) : CV_OK;

    if (s != CV_OK) {
        cv_file_close(&dir);
        cJSON_Delete(parameters);
        return s;
    }
    s = cv_call_simple(cli, "AuditProve", parameters, &answer, err);
    proof = s == CV_OK ? cv_output_table_text(answer, "proof") : NULL;
    if (s == CV_OK && proof == NULL) {
        s = cv_fail(err, CV_INVALID, "the broker's answer has no proof");
    } else if (s == CV_OK && path == NULL) {
        s = cv_output_write(
            &cli->out, (struct cv_bytes){(const uint8_t *)proof, strlen(proof)},
            err);
    } else if (s == CV_OK) {
        s = write_file(cli, dir, name, proof, err);
    }
    cv_file_close(&dir);
    if (s == CV_OK && path != NULL) {
        cv_output_note(&cli->out,
                       "the proof for record %lld is in %s; it wants the "
                       "record (audit record %lld) and the log's key (audit "
                       "key) beside it",
                       (long long)seq, path, (long long)seq);
    }
    return s;
}

CV_CMD(audit_prove)
{
    const char *path = cv_args_value(args, "output");
    const char *archive = cv_args_value(args, "archive");
    cJSON *parameters;
    int64_t seq = 0;
    enum cv_status s;

    if (args->n_operands == 0 || cv_args_value(args, "entry") != NULL ||
        cv_args_value(args, "since") != NULL ||
        cv_args_value(args, "until") != NULL) {
        return cv_cmd_bundle_make(cli, args, err);
    }
    s = cv_check_number(args->operands[0], "SEQ", 0, CV_CHECK_SEQ_MAX, &seq,
                        err);
    if (s != CV_OK) {
        return s;
    }
    parameters = cv_cli_parameters(cli);
    if (!cv_json_add_int(parameters, "seq", seq)) {
        return no_memory(parameters, err);
    }
    s = archive != NULL ? cv_log_archive_add(archive, seq, parameters, err)
                        : CV_OK;
    if (s != CV_OK) {
        cJSON_Delete(parameters);
        return s;
    }
    return prove(cli, parameters, seq,
                 path != NULL && strcmp(path, "-") != 0 ? path : NULL, err);
}

static void hashes_cell(const cJSON *item, struct cv_buf *out)
{
    const cJSON *hash;

    cJSON_ArrayForEach(hash, cJSON_GetObjectItemCaseSensitive(item, "proof"))
    {
        if (hash->prev != NULL && hash != hash->prev && hash->prev->next) {
            cv_buf_add_char(out, ' ');
        }
        cv_output_table_cell(hash, out);
    }
}

static const struct cv_output_column consistency_columns[] = {
    {"old root", "old_root", NULL, NULL},
    {"new root", "new_root", NULL, NULL},
    {"proof", NULL, hashes_cell, NULL},
};

static const struct cv_output_view consistency_view = {
    .kind = "ConsistencyProof",
    .name = "new_root",
    .columns = consistency_columns,
    .n_columns = sizeof(consistency_columns) / sizeof(consistency_columns[0]),
};

CV_CMD(audit_consistency)
{
    const cJSON *answer;
    cJSON *parameters;
    int64_t from = 0, to = 0;
    enum cv_status s = cv_check_number(args->operands[0], "SIZE1", 0,
                                       CV_CHECK_SEQ_MAX, &from, err);

    if (s == CV_OK) {
        s = cv_check_number(args->operands[1], "SIZE2", 0, CV_CHECK_SEQ_MAX,
                            &to, err);
    }
    if (s == CV_OK && from > to) {
        s = cv_fail(err, CV_USAGE, "SIZE1 is the smaller one");
    }
    if (s != CV_OK) {
        return s;
    }
    parameters = cv_cli_parameters(cli);
    if (!cv_json_add_int(parameters, "old", from) ||
        !cv_json_add_int(parameters, "new", to)) {
        return no_memory(parameters, err);
    }
    s = cv_call_simple(cli, "AuditConsistency", parameters, &answer, err);
    return s == CV_OK ? cv_output_table_object(&cli->out, &consistency_view,
                                               answer, err)
                      : s;
}

CV_CMD(audit_rebuild)
{
    const cJSON *answer, *size;
    enum cv_status s = cv_call_simple(cli, "AuditRebuild",
                                      cv_cli_parameters(cli), &answer, err);

    (void)args;
    if (s != CV_OK) {
        return s;
    }
    size = cJSON_GetObjectItemCaseSensitive(answer, "size");
    if (cJSON_IsNumber(size)) {
        cv_output_note(&cli->out, "the tiles were made again, for %.0f records",
                       size->valuedouble);
    }
    return cv_done_print(cli, "AuditRebuild", "size", answer, true, err);
}

static const struct cv_output_column proof_columns[] = {
    {"ok", "ok", NULL, NULL},
    {"record", "index", NULL, NULL},
    {"size", "size", NULL, NULL},
    {"origin", "origin", NULL, NULL},
    {"time", "leaf.time", NULL, NULL},
    {"user", "leaf.actor.user", NULL, NULL},
    {"action", "leaf.action", NULL, NULL},
    {"entry", "leaf.entry", NULL, NULL},
    {"phase", "leaf.phase", NULL, NULL},
    {"decision", "leaf.decision", NULL, NULL},
    {"reason", "leaf.reason", NULL, NULL},
};

static const struct cv_output_view proof_view = {
    .kind = "ProofReport",
    .name = "index",
    .columns = proof_columns,
    .n_columns = sizeof(proof_columns) / sizeof(proof_columns[0]),
};

static enum cv_status add_file(struct cv_cli *cli, cJSON *parameters,
                               const char *key, const char *path, size_t max,
                               struct cv_err *err)
{
    struct cv_buf text;
    const char *said;
    char *last;
    enum cv_status s;

    cv_buf_init(&text, NULL, max);
    s = cv_offline_claim(cli, path, &text, err);
    if (s == CV_OK) {
        said = cv_buf_text(&text);
        (void)cv_json_add_str(parameters, key, said);
        last = cJSON_GetStringValue(
            cJSON_GetObjectItemCaseSensitive(parameters, key));
        if (last == NULL) {
            s = cv_fail(err, CV_INTERNAL, "memory is gone");
        } else if (strcmp(key, "record") == 0 && text.len > 0 &&
                   last[text.len - 1] == '\n') {
            last[text.len - 1] = '\0'; /* the one that `audit record` adds */
        }
    }
    cv_buf_wipe(&text);
    return s;
}

static void tell_unproved(enum cv_status s, struct cv_err *err)
{
    if (err->state[0] == '\0') {
        cv_err_state(err, "nothing shows that this record is in the log of "
                          "that key");
    }
    if (err->hint[0] == '\0' && s == CV_INTEGRITY) {
        cv_err_hint(err, "get all three again from where the log is: audit "
                         "prove, audit record, audit key");
    }
}

enum cv_status cv_cmd_prove_verify(struct cv_cli *cli,
                                   const struct cv_args *args,
                                   struct cv_err *err)
{
    const char *proof = cv_args_value(args, "proof");
    char room[CV_CHECK_VKEY];
    const char *key = cv_check_vkey(cv_args_value(args, "key"), room);
    const char *record = cv_args_value(args, "record");
    cJSON *parameters, *keys, *report;
    const cJSON *answer;
    enum cv_status s;

    if (proof == NULL || key == NULL ||
        cv_args_value(args, "checkpoint") != NULL) {
        s = cv_fail(err, CV_USAGE,
                    "--proof and --key go together, and with "
                    "--record where the proof is no receipt");
        cv_err_hint(err, "certvault audit key prints the key");
        return s;
    }
    parameters = cJSON_CreateObject();
    keys = cJSON_AddArrayToObject(parameters, "keys");
    if (keys == NULL || !cJSON_AddItemToArray(keys, cJSON_CreateString(key))) {
        return no_memory(parameters, err);
    }
    s = add_file(cli, parameters, "proof", proof, CV_LIMIT_PROOF, err);
    if (s == CV_OK && record != NULL) {
        s = add_file(cli, parameters, "record", record, RECORD_FILE, err);
    }
    if (s != CV_OK) {
        cJSON_Delete(parameters);
        return s;
    }
    s = cv_offline_once(cli, "ProofVerify", parameters, &answer, err);
    if (s != CV_OK) {
        tell_unproved(s, err);
        return s;
    }
    report = cJSON_Duplicate(answer, true);
    if (report == NULL || cJSON_AddTrueToObject(report, "ok") == NULL) {
        return no_memory(report, err);
    }
    s = cv_output_table_object(&cli->out, &proof_view, report, err);
    cJSON_Delete(report);
    return s;
}
