/* audit verify: the whole log, by a reader that has no key and changes
 * nothing. */
#include "cli/cmd.h"
#include "cli/cmd_bundle.h"
#include "cli/cmd_prove.h"
#include "cli/connect.h"
#include "cli/offline.h"
#include "cli/output_table.h"
#include "cli/path.h"
#include "cli/verify_anchors.h"
#include "cli/witnesses.h"
#include "vault/base/file.h"
#include "vault/base/limits.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>

static void errors_cell(const cJSON *report, struct cv_buf *out)
{
    const cJSON *item;
    bool first = true;

    cJSON_ArrayForEach(item, cJSON_GetObjectItemCaseSensitive(report, "errors"))
    {
        if (!first) {
            cv_buf_add_str(out, "; ");
        }
        first = false;
        cv_output_table_cell(
            cJSON_IsString(item) ? item : cv_output_table_at(item, "message"),
            out);
    }
}

/* Errors about nothing but what is derived from the log? */
static bool is_derived(const cJSON *report)
{
    const cJSON *item;

    cJSON_ArrayForEach(item, cJSON_GetObjectItemCaseSensitive(report, "errors"))
    {
        const char *what = cv_output_table_text(item, "what");

        if (what == NULL ||
            (strcmp(what, "tiles") != 0 && strcmp(what, "index") != 0)) {
            return false;
        }
    }
    return true;
}

static void notes_cell(const cJSON *report, struct cv_buf *out)
{
    const cJSON *item;
    bool first = true;

    cJSON_ArrayForEach(item, cJSON_GetObjectItemCaseSensitive(report, "notes"))
    {
        if (!first) {
            cv_buf_add_str(out, "; ");
        }
        first = false;
        cv_output_table_cell(cv_output_table_at(item, "message"), out);
    }
}

static int ok_color(const cJSON *report)
{
    return cJSON_IsTrue(cJSON_GetObjectItemCaseSensitive(report, "ok")) ? 32
                                                                        : 31;
}

static const struct cv_output_column columns[] = {
    {"ok", "ok", NULL, ok_color},
    {"records", "records", NULL, NULL},
    {"size", "size", NULL, NULL},
    {"archived before", "archived.before", NULL, NULL},
    {"archived until", "archived.until", NULL, NULL},
    {"root", "root", NULL, NULL},
    {"checkpoint", "checkpoint", NULL, NULL},
    {"checkpoint size", "checkpoint_size", NULL, NULL},
    {"checkpoint age (s)", "checkpoint_age_s", NULL, NULL},
    {"tail", "tail", NULL, NULL},
    {"anchored", "anchored", NULL, NULL},
    {"witnesses", NULL, cv_witnesses_cell, NULL},
    {"anchors", NULL, cv_verify_anchors_cell, NULL},
    {"tiles", "tiles", NULL, NULL},
    {"permits", "permits", NULL, NULL},
    {"without outcome", "without_outcome", NULL, NULL},
    {"errors", NULL, errors_cell, NULL},
    {"notes", NULL, notes_cell, NULL},
};

static const struct cv_output_view view = {
    .kind = "AuditReport",
    .name = "root",
    .columns = columns,
    .n_columns = sizeof(columns) / sizeof(columns[0]),
};

struct verify {
    struct cv_cli *cli;
    cJSON *report; /* a copy; the caller's */
};

/* Answers on the way say how far it is; the last one holds the report. */
static enum cv_status take(void *context, const cJSON *parameters,
                           struct cv_err *err)
{
    struct verify *v = context;
    const cJSON *report =
        cJSON_GetObjectItemCaseSensitive(parameters, "report");
    const cJSON *records =
        cJSON_GetObjectItemCaseSensitive(parameters, "records");
    const cJSON *percent =
        cJSON_GetObjectItemCaseSensitive(parameters, "percent");

    if (report != NULL) {
        cJSON_Delete(v->report);
        v->report = cJSON_Duplicate(report, true);
        return v->report != NULL ? CV_OK
                                 : cv_fail(err, CV_INTERNAL, "memory is gone");
    }
    if (cJSON_IsNumber(records)) {
        cv_output_progress(&v->cli->out, "%.0f records, %.0f%%",
                           records->valuedouble,
                           cJSON_IsNumber(percent) ? percent->valuedouble : 0);
    }
    return CV_OK;
}

static enum cv_status add_checkpoint(struct cv_cli *cli, cJSON *parameters,
                                     const char *path, struct cv_err *err)
{
    struct cv_buf note;
    enum cv_status s;

    cv_buf_init(&note, NULL, CV_LIMIT_NOTE);
    s = cv_offline_claim(cli, path, &note, err);
    if (s == CV_OK &&
        !cv_json_add_str(parameters, "checkpoint", cv_buf_text(&note))) {
        s = cv_fail(err, CV_INTERNAL, "memory is gone");
    }
    cv_buf_wipe(&note);
    return s;
}

static enum cv_status run(struct verify *v, cJSON *parameters, int folder,
                          int archive, struct cv_err *err)
{
    struct cv_offline *o = NULL;
    enum cv_status s =
        archive == -1
            ? cv_offline_start(CV_OFFLINE_BROKER, v->cli, folder, &o, err)
            : cv_offline_start_with(CV_OFFLINE_BROKER, v->cli, folder, archive,
                                    &o, err);

    if (s != CV_OK) {
        cJSON_Delete(parameters);
        return s;
    }
    s = cv_offline_stream(o, "AuditVerify", parameters, take, v, err);
    cv_output_progress_end(&v->cli->out);
    cv_offline_free(o);
    if (s == CV_OK && v->report == NULL) {
        s = cv_fail(err, CV_INVALID, "the answer holds no report");
    }
    return s;
}

static enum cv_status judge(const cJSON *report, struct cv_err *err)
{
    const cJSON *first = cv_output_table_at(report, "errors");
    const char *what;
    enum cv_status s;

    if (cJSON_IsTrue(cJSON_GetObjectItemCaseSensitive(report, "ok"))) {
        return CV_OK;
    }
    first = first ? first->child : NULL;
    what = cJSON_IsString(first) ? first->valuestring
                                 : cv_output_table_text(first, "message");
    s = cv_fail(err, CV_INTEGRITY, "the log does not verify: %s",
                what ? what : "no reason was given");
    cv_err_state(err, "nothing was changed");
    cv_err_hint(err, is_derived(report)
                         ? "the log itself is as it should be; what is derived "
                           "from it is made again by: certvault audit rebuild"
                         : "keep a copy of the vault's folder as it is, and "
                           "see docs/operations.md");
    return s;
}

static enum cv_status open_archive(const char *path, cJSON *parameters,
                                   int *out, struct cv_err *err)
{
    const enum cv_status s = cv_path_open_input(path, out, err);

    if (s != CV_OK) {
        return s;
    }
    return cv_json_add_bool(parameters, "archive", true)
               ? CV_OK
               : cv_fail(err, CV_INTERNAL, "memory is gone");
}

/* On standard error too: whoever looks at `ok` alone is to see it. */
static void warn(struct cv_cli *cli, const cJSON *report, bool compared)
{
    const char *anchored = cv_output_table_text(report, "anchored");
    const cJSON *item;

    cJSON_ArrayForEach(item, cJSON_GetObjectItemCaseSensitive(report, "notes"))
    {
        const char *what = cv_output_table_text(item, "what");

        if (what != NULL && strcmp(what, "checkpoint") == 0) {
            cv_output_warn(&cli->out, "%s",
                           cv_output_table_text(item, "message"));
        }
    }
    if (!compared && anchored != NULL && strcmp(anchored, "none") == 0) {
        cv_output_note(&cli->out,
                       "unanchored: nothing outside of this folder says how "
                       "far the log went; one that was put back to an older "
                       "checkpoint reads the same (audit: {anchors: [...]}, "
                       "or --checkpoint FILE with one that was kept)");
    }
}

CV_CMD(audit_verify)
{
    const char *checkpoint = cv_args_value(args, "checkpoint");
    struct verify v = {.cli = cli};
    cJSON *parameters = cJSON_CreateObject();
    char path[PATH_MAX];
    int folder = -1, archive = -1;
    enum cv_status s;

    if (cv_args_value(args, "bundle") != NULL) {
        cJSON_Delete(parameters);
        return cv_cmd_bundle_verify(cli, args, err);
    }
    if (cv_args_value(args, "proof") != NULL ||
        cv_args_value(args, "key") != NULL ||
        cv_args_value(args, "record") != NULL) {
        cJSON_Delete(parameters);
        return cv_cmd_prove_verify(cli, args, err);
    }
    s = cv_connect_folder(cli, path, sizeof(path), err);

    if (s == CV_OK && checkpoint != NULL) {
        s = add_checkpoint(cli, parameters, checkpoint, err);
    }
    if (s == CV_OK) {
        s = cv_witnesses_add(cli, parameters, err);
    }
    if (s == CV_OK) {
        folder = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (folder == -1) {
            s = cv_fail_errno(err, CV_IO, "%s", path);
        }
    }
    if (s == CV_OK) {
        s = cv_verify_anchors_add(cli, folder, parameters, err);
    }
    if (s == CV_OK && cv_args_value(args, "archive") != NULL) {
        s = open_archive(cv_args_value(args, "archive"), parameters, &archive,
                         err);
    }
    if (s != CV_OK) {
        cv_file_close(&folder);
        cJSON_Delete(parameters);
        return s;
    }
    s = run(&v, parameters, folder, archive, err);
    cv_file_close(&folder);
    cv_file_close(&archive);
    if (s == CV_OK) {
        s = cv_output_table_object(&cli->out, &view, v.report, err);
        warn(cli, v.report, checkpoint != NULL);
    }
    if (s == CV_OK) {
        s = judge(v.report, err);
    }
    cJSON_Delete(v.report);
    return s;
}
