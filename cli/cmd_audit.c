/* audit query, who, tail, record, status, checkpoint, key. */
#include "cli/call.h"
#include "cli/check.h"
#include "cli/cmd.h"
#include "cli/done.h"
#include "cli/leaves.h"
#include "cli/log_archive.h"
#include "cli/output_table.h"
#include "vault/base/clock.h"
#include "vault/base/limits.h"

#include <poll.h>
#include <string.h>
#include <unistd.h>

#define TAIL_MAX 100000
#define TAIL_STANDARD 10
#define ACTOR_LEN 256
#define TOKEN "token:"

/* A denial says so; else how it went, or what was decided. */
static void result_cell(const cJSON *leaf, struct cv_buf *out)
{
    const char *outcome = cv_output_table_text(leaf, "outcome");

    cv_buf_add_str(out, outcome ? outcome : "");
    if (outcome == NULL && cv_leaves_is_refused(leaf)) {
        cv_buf_add_str(out, "refused");
    } else if (outcome == NULL) {
        cv_output_table_cell(cv_output_table_at(leaf, "decision"), out);
    }
}

static int result_color(const cJSON *leaf)
{
    const char *decision = cv_output_table_text(leaf, "decision");
    const char *outcome = cv_output_table_text(leaf, "outcome");

    return (decision != NULL && strcmp(decision, "deny") == 0) ||
                   (outcome != NULL && strcmp(outcome, "ok") != 0)
               ? 31
               : 0;
}

static void add_word(const cJSON *leaf, const char *path, struct cv_buf *out)
{
    const char *word = cv_output_table_text(leaf, path);

    if (word != NULL && word[0] != '\0') {
        cv_buf_add_str(out, out->len > 0 ? " " : "");
        cv_buf_add_str(out, word);
    }
}

/* A use is a grant, a signature, or a request; which one, in a few words. */
static void what_cell(const cJSON *leaf, struct cv_buf *out)
{
    const char *method = cv_output_table_text(leaf, "details.method");

    if (cv_output_table_at(leaf, "details.count") != NULL) {
        cv_output_table_cell(cv_output_table_at(leaf, "details.count"), out);
        cv_buf_add_str(out, " denials");
    } else if (cv_output_table_text(leaf, "details.verb") != NULL) {
        add_word(leaf, "details.verb", out);
        add_word(leaf, "details.resource", out);
        if (cv_output_table_text(leaf, "details.subresource") != NULL) {
            cv_buf_add_char(out, '/');
            cv_buf_add_str(out,
                           cv_output_table_text(leaf, "details.subresource"));
        }
        add_word(leaf, "details.object", out);
    } else if (cv_output_table_text(leaf, "details.purpose") != NULL) {
        cv_buf_add_str(out, "signature");
    } else if (method != NULL && strncmp(method, "Audit", 5) == 0) {
        cv_buf_add_str(out, method + 5);
        add_word(leaf, "details.filter_entry", out);
        add_word(leaf, "details.actor", out);
        add_word(leaf, "details.filter_action", out);
    } else if (method != NULL && strcmp(method, "Keyless") == 0) {
        cv_buf_add_str(out, "kubeconfig");
    } else if (method != NULL && strcmp(method, "UseEnd") == 0) {
        cv_buf_add_str(out, "end:");
        add_word(leaf, "details.because", out);
    } else if (cv_output_table_text(leaf, "details.kind") != NULL) {
        add_word(leaf, "details.kind", out);
        if (cJSON_IsTrue(cv_output_table_at(leaf, "details.read_only"))) {
            cv_buf_add_str(out, ", read-only");
        }
    }
}

static const struct cv_output_column columns[] = {
    {"SEQ", "seq", NULL, NULL},
    {"TIME                ", "time", NULL, NULL},
    {"PHASE   ", "phase", NULL, NULL},
    {"ACTION      ", "action", NULL, NULL},
    {"RESULT  ", NULL, result_cell, result_color},
    {"ACTOR", "actor.user", NULL, NULL},
    {"ENTRY", "entry", NULL, NULL},
    {"WHAT", NULL, what_cell, NULL},
    {"REASON", "reason", NULL, NULL},
    {"TICKET", "ticket", NULL, NULL},
};

static const struct cv_output_view view = {
    .kind = "AuditRecordList",
    .name = "seq",
    .columns = columns,
    .n_columns = sizeof(columns) / sizeof(columns[0]),
    .none = "no records",
};

static enum cv_status no_memory(cJSON *parameters, struct cv_err *err)
{
    cJSON_Delete(parameters);
    return cv_fail(err, CV_INTERNAL, "memory is gone");
}

/* What an outcome or a decision may be: of any other word there is none. */
#define OUTCOMES "ok|failed|aborted|unknown|permit|deny|denied|refused"

static enum cv_status add_filter(const struct cv_args *args, cJSON *filter,
                                 struct cv_err *err)
{
    static const char *const flags[] = {"actor", "action", "entry", "outcome"};
    const char *limit = cv_args_value(args, "limit");
    const char *outcome = cv_args_value(args, "outcome");
    int64_t n = 0;
    enum cv_status s = outcome != NULL
                           ? cv_check_word(outcome, "outcome", OUTCOMES, err)
                           : CV_OK;

    for (size_t i = 0; i < 4 && s == CV_OK; i++) {
        const char *text = cv_args_value(args, flags[i]);

        s = cv_check_shown(text, flags[i], ACTOR_LEN, err);
        if (s == CV_OK && !cv_json_add_str(filter, flags[i], text)) {
            s = cv_fail(err, CV_INTERNAL, "memory is gone");
        }
    }
    if (s == CV_OK && limit != NULL) {
        s = cv_check_number(limit, "--limit", 1, CV_CHECK_SEQ_MAX, &n, err);
        if (s == CV_OK && !cv_json_add_int(filter, "limit", n)) {
            s = cv_fail(err, CV_INTERNAL, "memory is gone");
        }
    }
    return s == CV_OK ? cv_leaves_times(args, filter, err) : s;
}

static int64_t since_of(const cJSON *asked)
{
    const cJSON *since = cJSON_GetObjectItemCaseSensitive(asked, "since");

    return cJSON_IsNumber(since) ? (int64_t)since->valuedouble : INT64_MIN;
}

/* What is left is not to be taken for all. A broker that does not say where its
 * log begins has answered all the same. */
static void note_archived(struct cv_cli *cli, int64_t since)
{
    const cJSON *status;
    char text[160];

    if (cv_call_member(cli, "AuditStatus", cJSON_CreateObject(), "status",
                       CV_JSON_OBJECT, &status, NULL) == CV_OK &&
        cv_leaves_archived(status, since, text, sizeof(text))) {
        cv_output_note(&cli->out, "%s", text);
    }
}

CV_CMD(audit_query)
{
    cJSON *parameters = cv_cli_parameters(cli);
    cJSON *filter = cJSON_AddObjectToObject(parameters, "filter");
    const cJSON *items;
    int64_t since;
    enum cv_status s;

    if (filter == NULL) {
        return no_memory(parameters, err);
    }
    s = add_filter(args, filter, err);
    if (s != CV_OK) {
        cJSON_Delete(parameters);
        return s;
    }
    since = since_of(filter);
    s = cv_call_items(cli, "AuditQuery", parameters, &items, err);
    if (s == CV_OK) {
        note_archived(cli, since);
    }
    return s == CV_OK ? cv_output_table_list(&cli->out, &view, items, err) : s;
}

CV_CMD(audit_who)
{
    cJSON *parameters;
    const cJSON *items;
    int64_t since;
    enum cv_status s = cv_check_name(args->operands[0], err);

    if (s != CV_OK) {
        return s;
    }
    parameters = cv_cli_parameters(cli);
    if (!cv_json_add_str(parameters, "name", args->operands[0])) {
        return no_memory(parameters, err);
    }
    s = cv_leaves_times(args, parameters, err);
    if (s != CV_OK) {
        cJSON_Delete(parameters);
        return s;
    }
    since = since_of(parameters);
    s = cv_call_items(cli, "AuditWho", parameters, &items, err);
    if (s == CV_OK) {
        note_archived(cli, since);
    }
    return s == CV_OK ? cv_output_table_list(&cli->out, &view, items, err) : s;
}

/* Prints each of `items`; *last becomes the number of the latest. */
static enum cv_status print_rows(struct cv_cli *cli, const cJSON *items,
                                 int64_t *last, struct cv_err *err)
{
    const cJSON *item;

    cJSON_ArrayForEach(item, items)
    {
        const cJSON *seq = cJSON_GetObjectItemCaseSensitive(item, "seq");
        enum cv_status s = cv_output_table_row(&cli->out, &view, item, err);

        if (s != CV_OK) {
            return s;
        }
        if (cJSON_IsNumber(seq)) {
            *last = (int64_t)seq->valuedouble;
        }
    }
    return CV_OK;
}

/* What follows must follow: where it does not, that is told. */
static void tell_gap(struct cv_cli *cli, const cJSON *items, int64_t last)
{
    const cJSON *seq =
        cJSON_GetObjectItemCaseSensitive(cJSON_GetArrayItem(items, 0), "seq");

    if (last >= 0 && cJSON_IsNumber(seq) &&
        (int64_t)seq->valuedouble > last + 1) {
        cv_output_note(&cli->out, "records %lld to %lld are not shown",
                       (long long)last + 1, (long long)seq->valuedouble - 1);
    }
}

static enum cv_status tail_once(struct cv_cli *cli, const char *key, int64_t n,
                                int64_t *last, struct cv_err *err)
{
    cJSON *parameters = cv_cli_parameters(cli);
    const cJSON *items;
    enum cv_status s;

    if (!cv_json_add_int(parameters, key, n)) {
        return no_memory(parameters, err);
    }
    s = cv_call_items(cli, "AuditTail", parameters, &items, err);
    if (s == CV_OK) {
        tell_gap(cli, items, *last);
        s = print_rows(cli, items, last, err);
    }
    /* What was printed is not kept: following may go on for days. */
    cv_cli_forget(cli);
    return s;
}

/* With `-n 0` nothing was printed: following begins at the log's end. */
static enum cv_status tail_end(struct cv_cli *cli, int64_t *last,
                               struct cv_err *err)
{
    const cJSON *status, *size;
    enum cv_status s = cv_call_member(cli, "AuditStatus", cJSON_CreateObject(),
                                      "status", CV_JSON_OBJECT, &status, err);

    if (s == CV_OK) {
        size = cJSON_GetObjectItemCaseSensitive(status, "size");
        *last = cJSON_IsNumber(size) ? (int64_t)size->valuedouble - 1 : -1;
    }
    return s;
}

/* Waits a second; false: whoever read the output has gone (`| head`), and no
 * record is lost by ending before the next one. */
static bool wait_on(void)
{
    struct pollfd out = {.fd = STDOUT_FILENO};

    return poll(&out, 1, 1000) <= 0 ||
           (out.revents & (POLLERR | POLLHUP | POLLNVAL)) == 0;
}

CV_CMD(audit_tail)
{
    const char *text = cv_args_value(args, "last");
    int64_t n = TAIL_STANDARD, last = -1, before;
    enum cv_status s = CV_OK;

    if (text != NULL) {
        s = cv_check_number(text, "--last", 0, TAIL_MAX, &n, err);
    }
    if (s == CV_OK) {
        s = tail_once(cli, "last", n, &last, err);
    }
    if (s == CV_OK && cv_args_has(args, "follow") && last == -1) {
        s = tail_end(cli, &last, err);
    }
    before = last;
    while (s == CV_OK && cv_args_has(args, "follow")) {
        if (last == before && !wait_on()) {
            break;
        }
        before = last; /* else more may wait: an answer has some thousands */
        s = tail_once(cli, "after", last, &last, err);
    }
    return s;
}

/* Calls `method` and prints the text `key` of its answer as it is. */
static enum cv_status print_text(struct cv_cli *cli, const char *method,
                                 cJSON *parameters, const char *key,
                                 struct cv_err *err)
{
    const cJSON *answer;
    const char *text;
    enum cv_status s = cv_call_simple(cli, method, parameters, &answer, err);

    if (s != CV_OK) {
        return s;
    }
    text = cv_output_table_text(answer, key);
    if (text == NULL) {
        return cv_fail(err, CV_INVALID, "the broker's answer has no %s", key);
    }
    return cv_output_text(&cli->out, text, err);
}

CV_CMD(audit_record)
{
    const char *archive = cv_args_value(args, "archive");
    cJSON *parameters;
    int64_t seq = 0;
    enum cv_status s = cv_check_number(args->operands[0], "SEQ", 0,
                                       CV_CHECK_SEQ_MAX, &seq, err);

    if (s != CV_OK) {
        return s;
    }
    parameters = cv_cli_parameters(cli);
    if (!cv_json_add_int(parameters, "seq", seq)) {
        return no_memory(parameters, err);
    }
    if (archive == NULL) {
        return print_text(cli, "AuditRecord", parameters, "leaf", err);
    }
    /* The file can hold anything: what is proved by the log's hashes is it. */
    s = cv_log_archive_add(archive, seq, parameters, err);
    if (s != CV_OK) {
        cJSON_Delete(parameters);
        return s;
    }
    return print_text(cli, "AuditProve", parameters, "leaf", err);
}

CV_CMD(audit_checkpoint)
{
    (void)args;
    return print_text(cli, "AuditCheckpoint", cv_cli_parameters(cli), "note",
                      err);
}

static const struct cv_output_column key_columns[] = {
    {"key", "vkey", NULL, NULL},
    {"since", "since", NULL, NULL},
    {"until", "until", NULL, NULL},
    {"current", "current", NULL, NULL},
};

static const struct cv_output_view key_view = {
    .kind = "LogKeyList",
    .name = "vkey",
    .columns = key_columns,
    .n_columns = sizeof(key_columns) / sizeof(key_columns[0]),
};

static enum cv_status key_rotate(struct cv_cli *cli, const char *to,
                                 struct cv_err *err)
{
    cJSON *parameters = cv_cli_parameters(cli);
    const cJSON *answer = NULL;
    enum cv_status s;

    if (!cv_json_add_str(parameters, "to", to)) {
        return no_memory(parameters, err);
    }
    if (to != NULL && strncmp(to, TOKEN, strlen(TOKEN)) == 0) {
        cli->token_uri = to + strlen(TOKEN);
    }
    s = cv_call_simple(cli, "AuditKeyRotate", parameters, &answer, err);
    if (s != CV_OK) {
        return s;
    }
    if (!cJSON_IsTrue(cJSON_GetObjectItemCaseSensitive(answer, "finished"))) {
        cv_output_note(&cli->out, "the next checkpoint ends the change: "
                                  "certvault audit checkpoint");
    }
    if (cv_output_table_text(answer, "old_token_uri") != NULL) {
        cv_output_note(&cli->out, "the key before it is still on its token: %s",
                       cv_output_table_text(answer, "old_token_uri"));
    }
    if (cli->out.format != CV_OUTPUT_TABLE) {
        return cv_done_print(cli, "LogKeyChange", "vkey", answer, true, err);
    }
    return cv_output_text(&cli->out, cv_output_table_text(answer, "vkey"), err);
}

/* Of what is archived the log may not know any more which keys it had. */
static void note_keys_archived(struct cv_cli *cli, const cJSON *items)
{
    const cJSON *first = cJSON_GetArrayItem(items, 0);
    const cJSON *since = cJSON_GetObjectItemCaseSensitive(first, "since");

    if (cJSON_IsNumber(since) && since->valuedouble > 0) {
        cv_output_note(&cli->out,
                       "what keys the log had before record %.0f, if others, "
                       "is in the archive, and not among these",
                       since->valuedouble);
    }
}

CV_CMD(audit_key)
{
    const char *to = cv_args_value(args, "to");
    bool all = cv_args_has(args, "all");
    const cJSON *items = NULL;
    enum cv_status s;

    if (args->n_operands > 0 && strcmp(args->operands[0], "rotate") == 0 &&
        !all) {
        return key_rotate(cli, to, err);
    }
    if (args->n_operands > 0 || to != NULL) {
        return cv_fail(err, CV_USAGE,
                       "audit key, audit key --all or audit key rotate");
    }
    if (!all) {
        return print_text(cli, "AuditKey", cv_cli_parameters(cli), "vkey", err);
    }
    s = cv_call_member(cli, "AuditKeys", cv_cli_parameters(cli), "items",
                       CV_JSON_ARRAY, &items, err);
    if (s == CV_OK) {
        note_keys_archived(cli, items);
    }
    return s == CV_OK ? cv_output_table_list(&cli->out, &key_view, items, err)
                      : s;
}

static int anchored_color(const cJSON *status)
{
    const char *word = cv_output_table_text(status, "anchored");

    return word != NULL && strcmp(word, "conflict") == 0 ? 31 : 0;
}

/* What is wrong with any of them. */
static void anchors_cell(const cJSON *status, struct cv_buf *out)
{
    const cJSON *item;

    cJSON_ArrayForEach(item,
                       cJSON_GetObjectItemCaseSensitive(status, "anchors"))
    {
        const char *why = cv_output_table_text(item, "message");

        cv_buf_add_str(out, out->len > 0 ? "; " : "");
        cv_output_table_cell(cv_output_table_at(item, "place"), out);
        cv_buf_add_char(out, ' ');
        cv_output_table_cell(cv_output_table_at(item, "state"), out);
        if (why != NULL) {
            cv_buf_add_format(out, " (%s)", why);
        }
    }
}

static const struct cv_output_column status_columns[] = {
    {"log", "log", NULL, NULL},
    {"size", "size", NULL, NULL},
    {"archived before", "archived.before", NULL, NULL},
    {"archived until", "archived.until", NULL, NULL},
    {"checkpoint size", "checkpoint.size", NULL, NULL},
    {"checkpoint age (s)", "checkpoint.age_s", NULL, NULL},
    {"not under it", "log_key.waiting", NULL, NULL},
    {"log key", "log_key.location", NULL, NULL},
    {"on token", "log_key.token_uri", NULL, NULL},
    {"not signed", "log_key.error", NULL, NULL},
    {"reserve", "reserve", NULL, NULL},
    {"disk was full", "tight", NULL, NULL},
    {"warning", "warning", NULL, NULL},
    {"anchored", "anchored", NULL, anchored_color},
    {"anchored size", "anchor.size", NULL, NULL},
    {"anchored age (s)", "anchor.age_s", NULL, NULL},
    {"anchors", NULL, anchors_cell, NULL},
};

static const struct cv_output_view status_view = {
    .kind = "AuditStatus",
    .name = "log",
    .columns = status_columns,
    .n_columns = sizeof(status_columns) / sizeof(status_columns[0]),
};

CV_CMD(audit_status)
{
    const cJSON *status;
    enum cv_status s = cv_call_member(cli, "AuditStatus", cJSON_CreateObject(),
                                      "status", CV_JSON_OBJECT, &status, err);

    (void)args;
    return s == CV_OK
               ? cv_output_table_object(&cli->out, &status_view, status, err)
               : s;
}
