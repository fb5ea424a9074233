/* status: the vault and its broker, for people, programs and Prometheus. */
#include "cli/call.h"
#include "cli/cmd.h"
#include "cli/output_table.h"
#include "cli/status_http.h"
#include "cli/status_text.h"
#include "vault/base/limits.h"

#include <unistd.h>

/* How long whoever connected may take over one request. */
#define HTTP_MS 10000

/* A sink and how many records it is behind; what is wrong with it. */
static void sinks_cell(const cJSON *both, struct cv_buf *out)
{
    const cJSON *item;

    cJSON_ArrayForEach(item, cv_output_table_at(both, "metrics.sinks"))
    {
        const char *error = cv_output_table_text(item, "error");

        cv_buf_add_str(out, out->len > 0 ? ", " : "");
        cv_output_table_cell(cv_output_table_at(item, "name"), out);
        cv_buf_add_char(out, ' ');
        cv_output_table_cell(cv_output_table_at(item, "lag"), out);
        if (error != NULL) {
            cv_buf_add_str(out, " (");
            cv_buf_add_str(out, error);
            cv_buf_add_char(out, ')');
        }
    }
}

static const struct cv_output_column status_columns[] = {
    {"vault", "vault_id", NULL, NULL},
    {"folder", "folder", NULL, NULL},
    {"broker", "mode", NULL, NULL},
    {"version", "version", NULL, NULL},
    {"locked", "locked", NULL, NULL},
    {"frozen", "frozen", NULL, NULL},
    {"frozen by", "frozen_by", NULL, NULL},
    {"frozen since", "frozen_since", NULL, NULL},
    {"frozen because", "frozen_reason", NULL, NULL},
    {"not written yet", "frozen_held", NULL, NULL},
    {"entries", "entries", NULL, NULL},
    {"next expiry (s)", "metrics.next_expiry_s", NULL, NULL},
    {"log size", "log_size", NULL, NULL},
    {"checkpoint age (s)", "metrics.log.checkpoint.age_s", NULL, NULL},
    {"not under it", "metrics.log.log_key.waiting", NULL, NULL},
    {"not signed", "metrics.log.log_key.error", NULL, NULL},
    {"policy", "policy", NULL, NULL},
    {"grants", "metrics.grants", NULL, NULL},
    {"approvals pending", "metrics.approvals_pending", NULL, NULL},
    {"sinks (records behind)", NULL, sinks_cell, NULL},
    {"seccomp", "seccomp", NULL, NULL},
    {"landlock ABI", "landlock_abi", NULL, NULL},
};

static const struct cv_output_view status_view = {
    .kind = "Status",
    .name = "vault_id",
    .columns = status_columns,
    .n_columns = sizeof(status_columns) / sizeof(status_columns[0]),
};

static enum cv_status get_metrics(struct cv_cli *cli, bool entries,
                                  const cJSON **metrics, struct cv_err *err)
{
    cJSON *p = cJSON_CreateObject();

    if (!cv_json_add_bool(p, "entries", entries)) {
        cJSON_Delete(p);
        return cv_fail(err, CV_INTERNAL, "memory is gone");
    }
    return cv_call_member(cli, "Metrics", p, "metrics", CV_JSON_OBJECT, metrics,
                          err);
}

static enum cv_status show(struct cv_cli *cli, struct cv_err *err)
{
    const cJSON *status = NULL, *metrics = NULL;
    cJSON *both;
    enum cv_status s = cv_call_member(cli, "Status", cJSON_CreateObject(),
                                      "status", CV_JSON_OBJECT, &status, err);

    if (s == CV_OK) {
        s = get_metrics(cli, false, &metrics, err);
    }
    if (s != CV_OK) {
        return s;
    }
    both = cv_cli_keep(cli, cJSON_Duplicate(status, true), err);
    if (both == NULL ||
        !cv_json_add_item(both, "metrics", cJSON_Duplicate(metrics, true))) {
        return cv_fail(err, CV_INTERNAL, "memory is gone");
    }
    return cv_output_table_object(&cli->out, &status_view, both, err);
}

/* As text for Prometheus, or as the JSON document. */
static enum cv_status add_metrics(struct cv_cli *cli, bool text,
                                  struct cv_buf *out, struct cv_err *err)
{
    const cJSON *metrics = NULL;
    enum cv_status s = get_metrics(cli, true, &metrics, err);

    if (s != CV_OK) {
        return s;
    }
    if (text) {
        cv_status_text_add(metrics, out);
    } else {
        cv_json_write(metrics, CV_JSON_COMPACT, out);
        cv_buf_add_char(out, '\n');
    }
    return cv_buf_status(out, "the numbers", err);
}

static enum cv_status print_metrics(struct cv_cli *cli, struct cv_err *err)
{
    struct cv_buf out;
    enum cv_status s;

    cv_buf_init(&out, NULL, CV_LIMIT_FRAME);
    s = add_metrics(cli, true, &out, err);
    if (s == CV_OK) {
        s = cv_output_write_buf(&cli->out, &out, err);
    }
    cv_buf_wipe(&out);
    return s;
}

/* Whatever was asked is answered, if only by why not: who started us for one
 * connection wants no failure of a connection's. */
static enum cv_status answer_http(struct cv_cli *cli, struct cv_err *err)
{
    struct cv_status_http request;
    struct cv_err why;
    struct cv_buf body, out;
    enum cv_status s;

    cv_err_init(&why);
    if (!cv_status_http_read(STDIN_FILENO, HTTP_MS, &request)) {
        return CV_OK;
    }
    cv_buf_init(&body, NULL, CV_LIMIT_FRAME);
    cv_buf_init(&out, NULL, CV_LIMIT_FRAME + CV_KIB(4));
    if (request.code == 200 &&
        add_metrics(cli, request.what == CV_STATUS_HTTP_METRICS, &body, &why) !=
            CV_OK) {
        request.code = 503;
        cv_output_warn(&cli->out, "%s", why.text);
    }
    cv_status_http_answer(&request, cv_buf_bytes(&body), &out);
    s = cv_buf_status(&out, "the answer", err);
    if (s == CV_OK) {
        s = cv_output_write_buf(&cli->out, &out, err);
    }
    cv_buf_wipe(&body);
    cv_buf_wipe(&out);
    return s;
}

CV_CMD(status)
{
    bool metrics = cv_args_has(args, "metrics"),
         http = cv_args_has(args, "http");

    if (metrics && http) {
        return cv_fail(err, CV_USAGE, "--metrics or --http, not both");
    }
    return http      ? answer_http(cli, err)
           : metrics ? print_metrics(cli, err)
                     : show(cli, err);
}
