/* audit export: records as they are, or as a table for a spreadsheet. */
#include "cli/cmd.h"
#include "cli/leaves.h"
#include "cli/out_file.h"
#include "cli/output_table.h"
#include "vault/base/limits.h"
#include "vault/base/utf8.h"

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

/* Nothing that is seen, or nothing but room: the blanks of Unicode, and what
 * joins, fills or marks without a shape of its own. Programs drop them, or
 * people do. */
static bool is_blank(uint32_t c)
{
    static const struct {
        uint32_t from, to;
    } blanks[] = {
        {0x00, 0x20},     {0x7f, 0xa0},       {0xad, 0xad},
        {0x34f, 0x34f},   {0x61c, 0x61c},     {0x115f, 0x1160},
        {0x1680, 0x1680}, {0x17b4, 0x17b5},   {0x180b, 0x180f},
        {0x2000, 0x200f}, {0x2028, 0x202f},   {0x205f, 0x206f},
        {0x2800, 0x2800}, {0x3000, 0x3000},   {0x3164, 0x3164},
        {0xfe00, 0xfe0f}, {0xfeff, 0xfeff},   {0xffa0, 0xffa0},
        {0xfff0, 0xfffb}, {0xe0000, 0xe0fff},
    };

    for (size_t i = 0; i < sizeof(blanks) / sizeof(blanks[0]); i++) {
        if (c >= blanks[i].from && c <= blanks[i].to) {
            return true;
        }
    }
    return false;
}

/* What a formula begins with (H83), and the same signs in other widths, which
 * programs of some countries read alike. */
static bool begins_formula(uint32_t c)
{
    static const uint32_t signs[] = {
        '=',    '+',    '-',    '@',    '|',    '%',    0x207a, 0x207b,
        0x207c, 0x208a, 0x208b, 0x208c, 0x2010, 0x2011, 0x2012, 0x2013,
        0x2014, 0x2015, 0x2212, 0xfe62, 0xfe63, 0xfe66, 0xfe6a, 0xfe6b,
        0xff05, 0xff0b, 0xff0d, 0xff1d, 0xff20, 0xff5c, 0xffe8};

    for (size_t i = 0; i < sizeof(signs) / sizeof(signs[0]); i++) {
        if (c == signs[i]) {
            return true;
        }
    }
    return false;
}

/* Would a spreadsheet take it for a formula? Blanks before it do not help, nor
 * do quotes; a tab is enough for some, as the first thing. */
static bool is_formula(const char *text)
{
    const uint8_t *p = (const uint8_t *)text;
    size_t left = strlen(text);

    if (*text == '\t' || *text == '\r') {
        return true;
    }
    while (left > 0) {
        uint32_t point = 0;
        size_t n = cv_utf8_next(p, left, &point);

        if (n == 0 || (!is_blank(point) && point != '\'' && point != 0x2019 &&
                       point != 0xff07)) {
            return n > 0 && begins_formula(point);
        }
        p += n;
        left -= n;
    }
    return false;
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
