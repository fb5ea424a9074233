/* audit report: a period of the record for whoever asks, as text, as JSON, or
 * as a page that checks itself. */
#include "cli/cmd.h"
#include "cli/done.h"
#include "cli/leaves.h"
#include "cli/out_file.h"
#include "cli/output_table.h"
#include "cli/report_page.h"
#include "cli/report_sum.h"
#include "cli/report_text.h"
#include "vault/base/clock.h"
#include "vault/base/limits.h"

#include <stdio.h>
#include <string.h>

#define TEXT_MAX CV_MIB(8)

struct report {
    struct cv_cli *cli;
    struct cv_leaves leaves;
    struct cv_leaves_check check;
    struct cv_report_sum *sum;
    struct cv_report_page *page; /* NULL: none */
};

static enum cv_status take(void *ctx, uint64_t seq, struct cv_bytes leaf,
                           struct cv_err *err)
{
    struct report *r = ctx;
    enum cv_status s = CV_OK;

    (void)seq;
    cv_leaves_check_add(&r->check, leaf);
    if (r->page != NULL) {
        s = cv_report_page_leaf(r->page, leaf, err);
    }
    return s == CV_OK ? cv_report_sum_add(r->sum, leaf, err) : s;
}

static void format_time(const struct cv_args *args, const char *flag,
                        const char *open, char out[CV_CLOCK_TEXT_LEN])
{
    cJSON *times = cJSON_CreateObject();
    const cJSON *at;

    (void)snprintf(out, CV_CLOCK_TEXT_LEN, "%s", open);
    if (cv_leaves_times(args, times, NULL) == CV_OK &&
        (at = cJSON_GetObjectItemCaseSensitive(times, flag)) != NULL) {
        (void)cv_clock_format((int64_t)at->valuedouble, out);
    }
    cJSON_Delete(times);
}

static bool add_period(const struct report *r, const struct cv_args *args,
                       cJSON *out)
{
    cJSON *period = cJSON_AddObjectToObject(out, "period");
    char since[CV_CLOCK_TEXT_LEN], until[CV_CLOCK_TEXT_LEN];

    format_time(args, "since", "the beginning", since);
    format_time(args, "until", "now", until);
    return cv_json_add_str(period, "since", since) &&
           cv_json_add_str(period, "until", until) &&
           cv_json_add_int(period, "first", (int64_t)r->leaves.first) &&
           cv_json_add_int(period, "end", (int64_t)r->leaves.end) &&
           cv_json_add_int(period, "records",
                           (int64_t)(r->leaves.end - r->leaves.first));
}

static bool add_checkpoint(const struct report *r, cJSON *out)
{
    cJSON *c = cJSON_AddObjectToObject(out, "checkpoint");

    return cv_json_add_str(c, "verdict", r->check.verdict) &&
           cv_json_add_bool(c, "verified", r->check.verified) &&
           cv_json_add_int(c, "size", (int64_t)r->check.size) &&
           cv_json_add_int(c, "uncovered", (int64_t)r->leaves.newer) &&
           cv_json_add_str(c, "root",
                           r->check.root[0] != '\0' ? r->check.root : NULL) &&
           cv_json_add_str(c, "key",
                           cv_output_table_text(r->leaves.head, "vkey")) &&
           cv_json_add_str(c, "note",
                           cv_output_table_text(r->leaves.head, "note"));
}

/* The head of the document, and the lists behind it. */
static enum cv_status compose(struct report *r, const struct cv_args *args,
                              cJSON **out, struct cv_err *err)
{
    const cJSON *head = r->leaves.head;
    cJSON *report = cv_cli_keep(r->cli, cJSON_CreateObject(), err);
    cJSON *lists = cv_report_sum_get(r->sum), *list;
    const char *anchored = cv_output_table_text(head, "status.anchored");
    char made[CV_CLOCK_TEXT_LEN];
    bool ok;

    *out = report;
    (void)cv_clock_format(cv_clock_now_s(), made);
    ok = report != NULL && cv_json_add_str(report, "made", made) &&
         cv_json_add_str(report, "vault_id",
                         cv_output_table_text(head, "vault_id")) &&
         cv_json_add_str(report, "host", cv_output_table_text(head, "host")) &&
         add_period(r, args, report) && add_checkpoint(r, report) &&
         cv_json_add_str(report, "anchored",
                         anchored != NULL ? anchored : "none") &&
         (r->leaves.archived[0] == '\0' ||
          cv_json_add_str(report, "archived", r->leaves.archived));
    while (ok && (list = lists->child) != NULL) {
        char key[64];

        (void)snprintf(key, sizeof(key), "%s", list->string);
        ok = cv_json_add_item(report, key,
                              cJSON_DetachItemViaPointer(lists, list));
    }
    return ok ? CV_OK : cv_fail(err, CV_INTERNAL, "memory is gone");
}

static enum cv_status gather(struct report *r, struct cv_err *err)
{
    enum cv_status s;

    cv_leaves_check_begin(&r->leaves, &r->check);
    s = cv_leaves_each(&r->leaves, take, r, err);
    if (s == CV_OK) {
        cv_leaves_check_end(&r->leaves, &r->check);
        s = cv_report_sum_entries(
            r->sum, cJSON_GetObjectItemCaseSensitive(r->leaves.head, "entries"),
            cv_clock_now_s(), err);
    }
    return s;
}

/* `name` stands for the verdict. */
static const struct cv_output_view view = {
    .kind = "AuditReport",
    .name = "checkpoint.verdict",
};

static enum cv_status print(struct report *r, const cJSON *report,
                            struct cv_err *err)
{
    struct cv_output *o = &r->cli->out;
    struct cv_buf text;
    enum cv_status s;

    if (o->format != CV_OUTPUT_TABLE) {
        return cv_output_table_object(o, &view, report, err);
    }
    cv_buf_init(&text, NULL, TEXT_MAX);
    cv_report_text(report, &text);
    s = cv_buf_status(&text, "the report", err);
    if (s == CV_OK) {
        s = cv_output_text(o, cv_buf_text(&text), err);
    }
    cv_buf_wipe(&text);
    return s;
}

/* What does not verify is shown all the same, and is no success. */
static enum cv_status verdict(const struct report *r, struct cv_err *err)
{
    enum cv_status s;

    if (!r->check.broken) {
        return CV_OK;
    }
    s = cv_fail(err, CV_INTEGRITY, "the report is %s", r->check.verdict);
    cv_err_hint(err, "run `certvault audit verify`");
    return s;
}

/* Where it is and what it says, as the report itself begins. */
static enum cv_status print_page(struct report *r, const char *path,
                                 struct cv_err *err)
{
    cJSON *o = cv_cli_keep(r->cli, cJSON_CreateObject(), err);
    bool ok = cv_json_add_str(o, "file", path) &&
              cv_json_add_int(o, "records",
                              (int64_t)(r->leaves.end - r->leaves.first)) &&
              cv_json_add_str(o, "verdict", r->check.verdict);

    return cv_done_print(r->cli, "AuditReportFile", "file", o, ok, err);
}

static enum cv_status run_page(struct report *r, const struct cv_args *args,
                               const char *path, struct cv_err *err)
{
    struct cv_out_file file;
    cJSON *report;
    enum cv_status s = cv_out_file_begin(r->cli, path, &file, err);

    if (s == CV_OK) {
        s = cv_leaves_begin(r->cli, args, &r->leaves, err);
    }
    if (s == CV_OK) {
        s = cv_report_page_begin(&file, &r->leaves, &r->page, err);
    }
    if (s == CV_OK) {
        s = gather(r, err);
    }
    if (s == CV_OK) {
        s = compose(r, args, &report, err);
    }
    if (s == CV_OK) {
        s = cv_report_page_end(r->page, report, err);
    }
    if (s == CV_OK) {
        s = cv_out_file_publish(&file, err);
    }
    if (s == CV_OK) {
        cv_output_note(&r->cli->out, "the report is in %s: %llu records, %s",
                       path,
                       (unsigned long long)(r->leaves.end - r->leaves.first),
                       r->check.verdict);
    }
    cv_report_page_free(r->page);
    cv_out_file_end(&file);
    if (s == CV_OK) {
        s = print_page(r, path, err);
    }
    return s == CV_OK ? verdict(r, err) : s;
}

CV_CMD(audit_report)
{
    const char *path = cv_args_value(args, "html");
    struct report r = {.cli = cli, .sum = cv_report_sum_new()};
    cJSON *report;
    enum cv_status s = CV_OK;

    if (r.sum == NULL) {
        return cv_fail(err, CV_INTERNAL, "memory is gone");
    }
    if (path != NULL) {
        s = run_page(&r, args, path, err);
        cv_report_sum_free(r.sum);
        return s;
    }
    s = cv_leaves_begin(cli, args, &r.leaves, err);
    if (s == CV_OK) {
        s = gather(&r, err);
    }
    if (s == CV_OK) {
        s = compose(&r, args, &report, err);
    }
    if (s == CV_OK) {
        s = print(&r, report, err);
    }
    cv_report_sum_free(r.sum);
    return s == CV_OK ? verdict(&r, err) : s;
}
