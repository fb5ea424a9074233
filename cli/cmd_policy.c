/* policy check, apply, show, explain, test. */
#include "cli/cmd_policy.h"
#include "cli/call.h"
#include "cli/check.h"
#include "cli/cmd.h"
#include "cli/offline.h"
#include "cli/output_table.h"
#include "cli/prompt.h"
#include "vault/base/clock.h"
#include "vault/base/limits.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

static const struct cv_output_column policy_columns[] = {
    {"name", "name", NULL, NULL},
    {"version", "version", NULL, NULL},
    {"sha256", "sha256", NULL, NULL},
    {"rules", "rules", NULL, NULL},
};

static const struct cv_output_view policy_view = {
    .kind = "PolicySummary",
    .name = "name",
    .columns = policy_columns,
    .n_columns = sizeof(policy_columns) / sizeof(policy_columns[0]),
};

static const struct cv_output_view dry_run_view = {
    .kind = "PolicyDryRun",
    .name = "policy.name",
    .columns = policy_columns,
    .n_columns = sizeof(policy_columns) / sizeof(policy_columns[0]),
};

static const struct cv_output_column rule_columns[] = {
    {"RULE", "name", NULL, NULL},
    {"EFFECT", "effect", NULL, NULL},
    {"MATCHED", "matched", NULL, NULL},
    {"BECAUSE", "because", NULL, NULL},
};

static const struct cv_output_view rule_view = {
    .kind = "RuleList",
    .name = "name",
    .columns = rule_columns,
    .n_columns = sizeof(rule_columns) / sizeof(rule_columns[0]),
};

static int ok_color(const cJSON *item)
{
    return cJSON_IsTrue(cJSON_GetObjectItemCaseSensitive(item, "ok")) ? 0 : 31;
}

static const struct cv_output_column case_columns[] = {
    {"CASE", "index", NULL, NULL},      {"LINE", "line", NULL, NULL},
    {"NAME", "name", NULL, NULL},       {"USER", "user", NULL, NULL},
    {"ACTION", "action", NULL, NULL},   {"ENTRY", "entry", NULL, NULL},
    {"EXPECTED", "expect", NULL, NULL}, {"GOT", "got", NULL, NULL},
    {"OK", "ok", NULL, ok_color},       {"BECAUSE", "because", NULL, NULL},
};

static const struct cv_output_view case_view = {
    .kind = "PolicyTestResult",
    .name = "index",
    .columns = case_columns,
    .n_columns = sizeof(case_columns) / sizeof(case_columns[0]),
};

enum cv_status cv_cmd_policy_add_file(struct cv_cli *cli, cJSON *parameters,
                                      const char *key, const char *path,
                                      struct cv_err *err)
{
    struct cv_buf text;
    enum cv_status s;

    cv_buf_init(&text, NULL, CV_LIMIT_POLICY);
    s = cv_offline_text(cli, path, &text, err);
    if (s == CV_OK && !cv_json_add_str(parameters, key, cv_buf_text(&text))) {
        s = cv_fail(err, CV_INTERNAL, "memory is gone");
    }
    cv_buf_wipe(&text);
    return s;
}

static void tell_warnings(struct cv_cli *cli, const cJSON *answer)
{
    const cJSON *warning;

    cJSON_ArrayForEach(warning,
                       cJSON_GetObjectItemCaseSensitive(answer, "warnings"))
    {
        if (cJSON_IsString(warning)) {
            cv_output_warn(&cli->out, "%s", warning->valuestring);
        }
    }
}

static enum cv_status show_policy(struct cv_cli *cli, const cJSON *answer,
                                  struct cv_err *err)
{
    tell_warnings(cli, answer);
    return cv_output_table_object(
        &cli->out, &policy_view,
        cJSON_GetObjectItemCaseSensitive(answer, "policy"), err);
}

CV_CMD(policy_check)
{
    cJSON *parameters = cJSON_CreateObject();
    const cJSON *answer;
    enum cv_status s =
        cv_cmd_policy_add_file(cli, parameters, "text", args->operands[0], err);

    if (s != CV_OK) {
        cJSON_Delete(parameters);
        return s;
    }
    s = cv_offline_once(cli, "PolicyCheck", parameters, &answer, err);
    if (s != CV_OK) {
        cv_err_prefix(err, "%s", args->operands[0]);
        return s;
    }
    return show_policy(cli, answer, err);
}

/* The signature lies beside the policy, where there is one. */
static enum cv_status add_signature(struct cv_cli *cli, cJSON *parameters,
                                    const char *path, struct cv_err *err)
{
    char beside[PATH_MAX];
    struct stat st;

    if (strcmp(path, "-") == 0 ||
        snprintf(beside, sizeof(beside), "%s.sig", path) >=
            (int)sizeof(beside) ||
        (stat(beside, &st) != 0 && errno == ENOENT)) {
        return CV_OK;
    }
    return cv_cmd_policy_add_file(cli, parameters, "signature", beside, err);
}

/* A call of PolicyApply. `trial`: --dry-run without the comparison, to know
 * what to ask about. */
static enum cv_status call_apply(struct cv_cli *cli, const cJSON *wanted,
                                 bool dry_run, bool trial, const cJSON **answer,
                                 struct cv_err *err)
{
    cJSON *parameters = cJSON_Duplicate(wanted, true);

    if (!cv_json_add_bool(parameters, "dry_run", dry_run || trial) ||
        (trial && !cv_json_add_bool(parameters, "diff", false))) {
        cJSON_Delete(parameters);
        return cv_fail(err, CV_INTERNAL, "memory is gone");
    }
    return cv_call_simple(cli, "PolicyApply", parameters, answer, err);
}

/* Whoever locks themselves out should mean it. Asked where somebody can
 * answer; a script is warned. */
static enum cv_status confirm_loss(struct cv_cli *cli, const cJSON *wanted,
                                   struct cv_err *err)
{
    const cJSON *answer;
    enum cv_status s;

    if (cli->yes || cli->no_input || !cv_prompt_possible(cli)) {
        return CV_OK;
    }
    s = call_apply(cli, wanted, false, true, &answer, err);
    if (s != CV_OK ||
        !cJSON_IsTrue(cJSON_GetObjectItemCaseSensitive(answer, "loses"))) {
        return s;
    }
    return cv_prompt_confirm(cli, err,
                             "With this policy you may apply no other. Apply "
                             "it all the same?");
}

static enum cv_status show_applied(struct cv_cli *cli, const cJSON *answer,
                                   struct cv_err *err)
{
    const cJSON *diff = cJSON_GetObjectItemCaseSensitive(answer, "diff");
    enum cv_status s;

    if (!cli->dry_run) {
        return show_policy(cli, answer, err);
    }
    cv_output_note(&cli->out, "this policy would be put into force:");
    if (diff == NULL || cli->out.format == CV_OUTPUT_NAME) {
        return show_policy(cli, answer, err);
    }
    if (cli->out.format != CV_OUTPUT_TABLE) {
        tell_warnings(cli, answer);
        return cv_output_table_object(&cli->out, &dry_run_view, answer, err);
    }
    s = show_policy(cli, answer, err);
    return s == CV_OK ? cv_cmd_policy_show_diff(cli, diff, err) : s;
}

CV_CMD(policy_apply)
{
    cJSON *wanted = cv_cli_parameters(cli);
    const cJSON *answer;
    enum cv_status s =
        cv_cmd_policy_add_file(cli, wanted, "text", args->operands[0], err);

    if (s == CV_OK) {
        s = add_signature(cli, wanted, args->operands[0], err);
    }
    if (s == CV_OK && !cli->dry_run) {
        s = confirm_loss(cli, wanted, err);
    }
    if (s == CV_OK) {
        s = call_apply(cli, wanted, cli->dry_run, false, &answer, err);
    }
    cJSON_Delete(wanted);
    return s == CV_OK ? show_applied(cli, answer, err) : s;
}

CV_CMD(policy_show)
{
    const cJSON *answer;
    const char *text;
    enum cv_status s =
        cv_call_simple(cli, "PolicyShow", cv_cli_parameters(cli), &answer, err);

    (void)args;
    if (s != CV_OK) {
        return s;
    }
    /* The text is the policy: only those who ask for a summary get one. */
    if (cli->out.format != CV_OUTPUT_TABLE &&
        cli->out.format != CV_OUTPUT_YAML) {
        return show_policy(cli, answer, err);
    }
    text = cv_output_table_text(answer, "text");
    return cv_output_text(&cli->out, text ? text : "", err);
}

static bool add_group_names(cJSON *request, const struct cv_args *args)
{
    cJSON *groups = cJSON_AddArrayToObject(request, "groups");
    const char *group;
    size_t at = 0;

    while (groups != NULL &&
           (group = cv_args_next(args, "group", &at)) != NULL) {
        if (!cJSON_AddItemToArray(groups, cJSON_CreateString(group))) {
            return false;
        }
    }
    return groups != NULL;
}

static enum cv_status check_question(const struct cv_args *args, char *at,
                                     int64_t *for_s, struct cv_err *err)
{
    const char *when = cv_args_value(args, "at");
    const char *how_long = cv_args_value(args, "for");
    const char *entry = cv_args_value(args, "entry");
    const char *mode = cv_args_value(args, "mode");
    int64_t t = cv_clock_now_s();
    enum cv_status s = CV_OK;

    if (cv_args_value(args, "user") == NULL ||
        cv_args_value(args, "action") == NULL) {
        s = cv_fail(err, CV_USAGE,
                    "explain wants --user and --action, or "
                    "--seq");
    }
    if (s == CV_OK && when != NULL) {
        s = cv_check_time(when, "at", true, t, &t, err);
        (void)cv_clock_format(t, at);
    }
    if (s == CV_OK && how_long != NULL) {
        s = cv_clock_parse_duration(how_long, false, for_s, err);
    }
    if (s == CV_OK && entry != NULL) {
        s = cv_check_name(entry, err);
    }
    if (s == CV_OK && mode != NULL) {
        s = cv_check_word(mode, "mode", "exec|agent|service", err);
    }
    return s;
}

static enum cv_status make_question(struct cv_cli *cli,
                                    const struct cv_args *args, cJSON **out,
                                    struct cv_err *err)
{
    char at[CV_CLOCK_TEXT_LEN] = "";
    int64_t for_s = 0;
    cJSON *q;
    bool ok;
    enum cv_status s = check_question(args, at, &for_s, err);

    *out = NULL;
    if (s != CV_OK) {
        return s;
    }
    q = cJSON_CreateObject();
    ok = cv_json_add_str(q, "user", cv_args_value(args, "user")) &&
         cv_json_add_str(q, "action", cv_args_value(args, "action")) &&
         cv_json_add_str(q, "entry", cv_args_value(args, "entry")) &&
         cv_json_add_str(q, "context", cv_args_value(args, "context")) &&
         cv_json_add_str(q, "mode", cv_args_value(args, "mode")) &&
         cv_json_add_str(q, "at", at[0] ? at : NULL) &&
         cv_json_add_str(q, "reason", cli->reason) &&
         cv_json_add_str(q, "ticket", cli->ticket) &&
         (for_s == 0 || cv_json_add_int(q, "duration", for_s)) &&
         (!cv_args_has(args, "tty") || cv_json_add_bool(q, "tty", true)) &&
         add_group_names(q, args);
    if (!ok) {
        cJSON_Delete(q);
        return cv_fail(err, CV_INTERNAL, "memory is gone");
    }
    *out = q;
    return CV_OK;
}

static enum cv_status show_explanation(struct cv_cli *cli, const cJSON *answer,
                                       struct cv_err *err)
{
    const cJSON *explanation =
        cJSON_GetObjectItemCaseSensitive(answer, "explanation");
    const char *words = cv_output_table_text(answer, "words");

    if (cli->out.format == CV_OUTPUT_TABLE && words != NULL) {
        return cv_output_text(&cli->out, words, err);
    }
    if (cli->out.format == CV_OUTPUT_NAME) {
        return cv_output_table_list(
            &cli->out, &rule_view,
            cJSON_GetObjectItemCaseSensitive(explanation, "rules"), err);
    }
    return cv_output_document(&cli->out, explanation, err);
}

/* A record names the rules that made its decision. */
static cJSON *recorded_rules(const cJSON *leaf)
{
    cJSON *rules = cJSON_CreateArray();
    const cJSON *name;

    cJSON_ArrayForEach(name, cJSON_GetObjectItemCaseSensitive(leaf, "rules"))
    {
        cJSON *rule = cJSON_CreateObject();

        if (!cv_json_add_str(rule, "name", cJSON_GetStringValue(name)) ||
            !cv_json_add_bool(rule, "matched", true) ||
            !cv_json_add_str(rule, "because", "the record says so") ||
            !cJSON_AddItemToArray(rules, rule)) {
            cJSON_Delete(rule);
        }
    }
    return rules;
}

/* What was used or counted when a grant was given is not used again under it;
 * and approvals that a permit used up are there no more to be found. */
static bool add_held(cJSON *q, const cJSON *leaf)
{
    const cJSON *rule =
        cJSON_GetArrayItem(cJSON_GetObjectItemCaseSensitive(leaf, "rules"), 0);
    const cJSON *n = cv_output_table_at(leaf, "details.approvals");
    bool under = cJSON_IsTrue(cv_output_table_at(leaf, "details.uncounted"));
    double approvals = cJSON_IsNumber(n) ? n->valuedouble : 0;
    const char *decision = cv_output_table_text(leaf, "decision");

    if (decision == NULL || strcmp(decision, "permit") != 0 ||
        !(under || approvals > 0)) {
        return true;
    }
    /* A leaf under a grant does not say how many that had: enough. */
    return cv_json_add_str(q, "held", cJSON_GetStringValue(rule)) &&
           cv_json_add_int(q, "approvals",
                           approvals > 0 ? (int64_t)approvals
                                         : CV_LIMIT_APPROVALS);
}

/* The question that a record's decision answered. */
static cJSON *recorded_question(const cJSON *leaf)
{
    static const char *const texts[] = {"action", "entry", "reason", "ticket",
                                        "context"};
    const cJSON *actor = cJSON_GetObjectItemCaseSensitive(leaf, "actor");
    const cJSON *uid = cJSON_GetObjectItemCaseSensitive(actor, "uid");
    const cJSON *gids = cJSON_GetObjectItemCaseSensitive(actor, "gids");
    cJSON *q = cJSON_CreateObject();
    bool ok =
        cJSON_IsNumber(uid) &&
        cv_json_add_int(q, "uid", (int64_t)uid->valuedouble) &&
        (gids == NULL ||
         cv_json_add_item(q, "gids", cJSON_Duplicate(gids, true))) &&
        cv_json_add_str(q, "at", cv_output_table_text(leaf, "time")) &&
        cv_json_add_str(q, "mode", cv_output_table_text(leaf, "broker.mode")) &&
        cv_json_add_bool(q, "tty",
                         cv_output_table_at(leaf, "actor.hints.tty") != NULL);

    for (size_t i = 0; ok && i < sizeof(texts) / sizeof(texts[0]); i++) {
        ok = cv_json_add_str(q, texts[i], cv_output_table_text(leaf, texts[i]));
    }
    ok = ok &&
         cv_json_add_int(q, "version",
                         (int64_t)cJSON_GetNumberValue(
                             cv_output_table_at(leaf, "policy.version"))) &&
         cv_json_add_int(
             q, "seq",
             (int64_t)cJSON_GetNumberValue(cv_output_table_at(leaf, "seq"))) &&
         add_held(q, leaf);
    if (!ok) {
        cJSON_Delete(q);
        return NULL;
    }
    return q;
}

/* Decides it again, by the policy of then: `again` in `out`, where the caller
 * may ask and that can be done. The record counts; this only explains it. */
static void decide_again(struct cv_cli *cli, const cJSON *leaf, cJSON *out)
{
    cJSON *parameters = cv_cli_parameters(cli);
    cJSON *question = recorded_question(leaf);
    const cJSON *answer, *again;
    struct cv_err err;

    cv_err_init(&err);
    if (question == NULL ||
        cv_output_table_at(leaf, "policy.version") == NULL ||
        !cv_json_add_item(parameters, "request", question)) {
        cJSON_Delete(parameters);
        return;
    }
    if (cv_call_simple(cli, "PolicyExplain", parameters, &answer, &err) !=
        CV_OK) {
        cv_output_warn(&cli->out, "it was not decided again: %s", err.text);
        return;
    }
    again = cJSON_GetObjectItemCaseSensitive(answer, "explanation");
    (void)cv_json_add_item(out, "again", cJSON_Duplicate(again, true));
    (void)cv_json_add_str(out, "words", cv_output_table_text(answer, "words"));
}

static enum cv_status show_again(struct cv_cli *cli, const cJSON *leaf,
                                 const cJSON *out, struct cv_err *err)
{
    const char *words = cv_output_table_text(out, "words");
    const char *then = cv_output_table_text(leaf, "decision");
    const char *now = cv_output_table_text(out, "again.decision");
    enum cv_status s;

    if (words == NULL || now == NULL) {
        return CV_OK;
    }
    s = cv_output_line(&cli->out, err,
                       "decided again by that version, with the entry as it "
                       "is now:");
    if (s == CV_OK) {
        s = cv_output_text(&cli->out, words, err);
    }
    /* What the record itself says needs no guess. */
    if (s == CV_OK && strcmp(then, now) != 0 &&
        cv_output_table_text(out, "because") == NULL) {
        cv_output_warn(&cli->out,
                       "then it was %s: the entry's labels, the duration asked "
                       "for, what a denied request had of approvals and which "
                       "sessions lived then are not known, and not every "
                       "denial is the policy's",
                       then);
    }
    return s;
}

/* Some denials are no rule's: a freeze's above all. */
static enum cv_status say_decision(struct cv_cli *cli, const cJSON *leaf,
                                   const char *decision, const char *because,
                                   struct cv_err *err)
{
    if (because != NULL) {
        return cv_output_line(&cli->out, err, "%s: %s", decision, because);
    }
    return cv_output_line(
        &cli->out, err, "%s, by policy version %.0f", decision,
        cJSON_GetNumberValue(cv_output_table_at(leaf, "policy.version")));
}

static enum cv_status show_recorded(struct cv_cli *cli, const cJSON *leaf,
                                    struct cv_err *err)
{
    static const char *const keys[] = {"decision", "seq",   "time",
                                       "action",   "entry", "policy"};
    const char *decision = cv_output_table_text(leaf, "decision");
    const char *because = cv_output_table_text(leaf, "details.because");
    cJSON *out = cv_cli_keep(cli, cJSON_CreateObject(), err);
    bool ok = out != NULL;
    enum cv_status s;

    if (decision == NULL) {
        return cv_fail(err, CV_NOT_FOUND, "this record holds no decision");
    }
    for (size_t i = 0; ok && i < sizeof(keys) / sizeof(keys[0]); i++) {
        const cJSON *item = cJSON_GetObjectItemCaseSensitive(leaf, keys[i]);

        ok = item == NULL ||
             cv_json_add_item(out, keys[i], cJSON_Duplicate(item, true));
    }
    if (!ok || !cv_json_add_str(out, "because", because) ||
        !cv_json_add_item(out, "rules", recorded_rules(leaf)) ||
        !cv_json_add_item(out, "obligations", cJSON_CreateObject())) {
        return cv_fail(err, CV_INTERNAL, "memory is gone");
    }
    if (cli->out.format != CV_OUTPUT_NAME) {
        decide_again(cli, leaf, out);
    }
    if (cli->out.format == CV_OUTPUT_JSON ||
        cli->out.format == CV_OUTPUT_YAML) {
        return cv_output_document(&cli->out, out, err);
    }
    s = cli->out.format == CV_OUTPUT_TABLE
            ? say_decision(cli, leaf, decision, because, err)
            : CV_OK;
    if (s == CV_OK) {
        s = cv_output_table_list(&cli->out, &rule_view,
                                 cJSON_GetObjectItemCaseSensitive(out, "rules"),
                                 err);
    }
    return s == CV_OK ? show_again(cli, leaf, out, err) : s;
}

/* What record `seq` says of its own decision. */
static enum cv_status explain_record(struct cv_cli *cli, const char *number,
                                     struct cv_err *err)
{
    cJSON *parameters, *leaf = NULL;
    const cJSON *answer;
    const char *text;
    int64_t seq = 0;
    enum cv_status s =
        cv_check_number(number, "--seq", 0, CV_CHECK_SEQ_MAX, &seq, err);

    if (s != CV_OK) {
        return s;
    }
    parameters = cv_cli_parameters(cli);
    if (!cv_json_add_int(parameters, "seq", seq)) {
        cJSON_Delete(parameters);
        return cv_fail(err, CV_INTERNAL, "memory is gone");
    }
    s = cv_call_simple(cli, "AuditRecord", parameters, &answer, err);
    if (s != CV_OK) {
        return s;
    }
    text = cv_output_table_text(answer, "leaf");
    text = text ? text : "";
    s = cv_json_parse(NULL,
                      (struct cv_bytes){(const uint8_t *)text, strlen(text)},
                      &leaf, err);
    if (s == CV_OK && cv_cli_keep(cli, leaf, err) == NULL) {
        return CV_INTERNAL;
    }
    return s == CV_OK ? show_recorded(cli, leaf, err) : s;
}

CV_CMD(policy_explain)
{
    const char *seq = cv_args_value(args, "seq");
    cJSON *parameters, *question = NULL;
    const cJSON *answer;
    enum cv_status s;

    if (seq != NULL && cv_args_has(args, "user")) {
        return cv_fail(err, CV_USAGE, "--seq and --user exclude each other");
    }
    if (seq != NULL) {
        return explain_record(cli, seq, err);
    }
    s = make_question(cli, args, &question, err);
    if (s != CV_OK) {
        return s;
    }
    parameters = cv_cli_parameters(cli);
    if (!cv_json_add_item(parameters, "request", question)) {
        cJSON_Delete(parameters);
        return cv_fail(err, CV_INTERNAL, "memory is gone");
    }
    s = cv_call_simple(cli, "PolicyExplain", parameters, &answer, err);
    return s == CV_OK ? show_explanation(cli, answer, err) : s;
}

/* The policy in force, from the broker. */
static enum cv_status add_current(struct cv_cli *cli, cJSON *parameters,
                                  struct cv_err *err)
{
    const cJSON *answer;
    enum cv_status s =
        cv_call_simple(cli, "PolicyShow", cv_cli_parameters(cli), &answer, err);

    if (s == CV_OK && !cv_json_add_str(parameters, "policy",
                                       cv_output_table_text(answer, "text"))) {
        s = cv_fail(err, CV_INTERNAL, "memory is gone");
    }
    return s;
}

/* Two texts were sent, and each has lines. */
static void name_text(const struct cv_cli *cli, const char *cases,
                      const char *policy, struct cv_err *err)
{
    if (strcmp(cli->error_of, "cases") == 0) {
        cv_err_prefix(err, "%s", cases);
    } else if (strcmp(cli->error_of, "policy") == 0) {
        cv_err_prefix(err, "%s",
                      policy != NULL ? policy : "the policy in force");
    }
}

CV_CMD(policy_test)
{
    const char *policy = cv_args_value(args, "policy");
    cJSON *parameters = cJSON_CreateObject();
    const cJSON *answer, *failed;
    enum cv_status s = cv_cmd_policy_add_file(cli, parameters, "cases",
                                              args->operands[0], err);

    if (s == CV_OK) {
        s = policy != NULL
                ? cv_cmd_policy_add_file(cli, parameters, "policy", policy, err)
                : add_current(cli, parameters, err);
    }
    if (s != CV_OK) {
        cJSON_Delete(parameters);
        return s;
    }
    s = cv_offline_once(cli, "PolicyTest", parameters, &answer, err);
    if (s == CV_OK && (cli->out.format == CV_OUTPUT_JSON ||
                       cli->out.format == CV_OUTPUT_YAML)) {
        s = cv_output_table_object(&cli->out, &case_view, answer, err);
    } else if (s == CV_OK) {
        s = cv_output_table_list(
            &cli->out, &case_view,
            cJSON_GetObjectItemCaseSensitive(answer, "items"), err);
    }
    if (s != CV_OK) {
        name_text(cli, args->operands[0], policy, err);
        return s;
    }
    failed = cJSON_GetObjectItemCaseSensitive(answer, "failed");
    if (!cJSON_IsNumber(failed) || failed->valuedouble > 0) {
        return cv_fail(err, CV_FAILED, "%.0f cases failed",
                       cJSON_IsNumber(failed) ? failed->valuedouble : -1);
    }
    return CV_OK;
}
