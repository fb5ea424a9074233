/* audit export: records as they are, or as a table for a spreadsheet. */
#include "cli/cmd.h"
#include "cli/leaves.h"
#include "cli/out_file.h"
#include "cli/output_table.h"
#include "vault/base/limits.h"

#include <string.h>

/* A cell is at most what a leaf is, each byte escaped and quoted. */
#define ROW CV_MIB(2)
#define PENDING CV_KIB(256)

static const struct {
    const char *title, *path;
} columns[] = {
    {"seq", "seq"},
    {"time", "time"},
    {"phase", "phase"},
    {"user", "actor.user"},
    {"uid", "actor.uid"},
    {"action", "action"},
    {"entry", "entry"},
    {"entry_id", "entry_id"},
    {"context", "context"},
    {"decision", "decision"},
    {"outcome", "outcome"},
    {"error", "error"},
    {"reason", "reason"},
    {"ticket", "ticket"},
    {"rules", "rules"},
    {"policy_version", "policy.version"},
    {"op", "op"},
    {"host", "broker.host"},
    {"mode", "broker.mode"},
    {"tty", "actor.hints.tty"},
    {"exe", "actor.hints.exe"},
    {"details", "details"},
};

struct export
{
    struct cv_cli *cli;
    struct cv_out_file file;
    bool to_file, csv;
    struct cv_buf pending;
};

/* Would a spreadsheet take it for a formula? Blanks before it do not help: some
 * programs drop them. */
static bool is_formula(const char *text)
{
    while (*text == ' ' || *text == '\'') {
        text++;
    }
    return *text != '\0' && strchr("=+-@\t\r|%", *text) != NULL;
}

/* RFC 4180; everything that is not a plain word is quoted, because a semicolon
 * parts columns in some countries. */
static void add_cell(struct cv_buf *row, const char *text)
{
    const bool formula = is_formula(text);
    const bool quoted = formula || text[strcspn(text, "\",;'\t\r\n |")] != '\0';

    if (quoted) {
        cv_buf_add_char(row, '"');
    }
    if (formula) {
        cv_buf_add_char(row, '\'');
    }
    for (; *text != '\0'; text++) {
        if (*text == '"') {
            cv_buf_add_char(row, '"');
        }
        cv_buf_add_char(row, *text);
    }
    if (quoted) {
        cv_buf_add_char(row, '"');
    }
}

static void add_value(struct cv_buf *row, const cJSON *value)
{
    struct cv_buf plain, shown;

    cv_buf_init(&plain, NULL, ROW);
    cv_buf_init(&shown, NULL, ROW);
    if (cJSON_IsObject(value)) {
        cv_json_write(value, CV_JSON_CANONICAL, &plain);
    } else if (value != NULL) {
        cv_output_table_cell(value, &plain);
    }
    cv_output_escape(&shown, cv_buf_text(&plain));
    add_cell(row, cv_buf_text(&shown));
    if (plain.status != CV_OK || shown.status != CV_OK) {
        row->status = CV_INTERNAL;
    }
    cv_buf_wipe(&plain);
    cv_buf_wipe(&shown);
}

static enum cv_status add_row(struct cv_buf *out, struct cv_bytes leaf,
                              struct cv_err *err)
{
    cJSON *tree = NULL;
    enum cv_status s = cv_json_parse(NULL, leaf, &tree, err);

    for (size_t i = 0; i < sizeof(columns) / sizeof(columns[0]) && s == CV_OK;
         i++) {
        cv_buf_add_str(out, i > 0 ? "," : "");
        add_value(out, cv_output_table_at(tree, columns[i].path));
    }
    cv_buf_add_str(out, "\r\n");
    cJSON_Delete(tree);
    return s == CV_OK ? cv_buf_status(out, "the table", err) : s;
}

static void add_header(struct cv_buf *out)
{
    for (size_t i = 0; i < sizeof(columns) / sizeof(columns[0]); i++) {
        cv_buf_add_str(out, i > 0 ? "," : "");
        cv_buf_add_str(out, columns[i].title);
    }
    cv_buf_add_str(out, "\r\n");
}

static enum cv_status flush(struct export *x, struct cv_err *err)
{
    enum cv_status s = cv_buf_status(&x->pending, "the records", err);

    if (s == CV_OK && x->pending.len > 0) {
        s = x->to_file
                ? cv_out_file_add(&x->file, cv_buf_bytes(&x->pending), err)
                : cv_output_write(&x->cli->out, cv_buf_bytes(&x->pending), err);
        x->pending.len = 0;
    }
    return s;
}

static enum cv_status take(void *ctx, uint64_t seq, struct cv_bytes leaf,
                           struct cv_err *err)
{
    struct export *x = ctx;
    enum cv_status s = CV_OK;

    (void)seq;
    if (x->csv) {
        s = add_row(&x->pending, leaf, err);
    } else {
        cv_buf_add(&x->pending, leaf.data, leaf.len);
        cv_buf_add_char(&x->pending, '\n');
    }
    return s == CV_OK && x->pending.len > PENDING ? flush(x, err) : s;
}

static enum cv_status write_all(struct export *x, const struct cv_args *args,
                                uint64_t *n, struct cv_err *err)
{
    struct cv_leaves leaves;
    enum cv_status s = cv_leaves_begin(x->cli, args, &leaves, err);

    *n = 0;
    cv_leaves_add_newer(&leaves);
    if (s == CV_OK && x->csv) {
        add_header(&x->pending);
    }
    if (s == CV_OK) {
        s = cv_leaves_each(&leaves, take, x, err);
        *n = leaves.end - leaves.first;
    }
    if (s == CV_OK) {
        s = flush(x, err);
    }
    return s == CV_OK && x->to_file ? cv_out_file_publish(&x->file, err) : s;
}

CV_CMD(audit_export)
{
    const char *format = cv_args_value(args, "format");
    const char *path = cv_args_value(args, "output");
    struct export x = {.cli = cli};
    uint64_t n = 0;
    enum cv_status s;

    if (format == NULL ||
        (strcmp(format, "jsonl") != 0 && strcmp(format, "csv") != 0)) {
        return cv_fail(err, CV_USAGE, "--format jsonl or --format csv");
    }
    x.csv = strcmp(format, "csv") == 0;
    x.to_file = path != NULL && strcmp(path, "-") != 0;
    cv_buf_init(&x.pending, NULL, PENDING + ROW + CV_LIMIT_LEAF);
    s = x.to_file ? cv_out_file_begin(cli, path, &x.file, err) : CV_OK;
    if (s == CV_OK) {
        s = write_all(&x, args, &n, err);
    }
    if (s == CV_OK) {
        cv_output_note(&cli->out, "%llu records%s%s", (unsigned long long)n,
                       x.to_file ? " are in " : "", x.to_file ? path : "");
    }
    if (x.to_file) {
        cv_out_file_end(&x.file);
    }
    cv_buf_wipe(&x.pending);
    return s;
}
