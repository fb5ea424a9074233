/* policy diff, who-can, history. */
#include "cli/call.h"
#include "cli/check.h"
#include "cli/cmd.h"
#include "cli/cmd_policy.h"
#include "cli/offline.h"
#include "cli/output_table.h"
#include "vault/base/limits.h"

#include <stdio.h>
#include <string.h>

/* Who an item is about. */
static void who_cell(const cJSON *item, struct cv_buf *out)
{
    const char *user = cv_output_table_text(item, "user");
    const char *group = cv_output_table_text(item, "group");

    if (user != NULL) {
        cv_buf_add_str(out, user);
    } else if (group != NULL) {
        cv_buf_add_format(out, "group %s", group);
    } else {
        cv_buf_add_str(out, "everyone else");
    }
}

/* "no", "yes", "if with a reason": what it was, or will be. */
static void may_cell(const cJSON *item, const char *may, const char *terms,
                     struct cv_buf *out)
{
    const char *word = cv_output_table_text(item, may);
    const char *more = cv_output_table_text(item, terms);

    cv_buf_add_str(out, word != NULL ? word : "");
    if (more != NULL) {
        cv_buf_add_format(out, "%s %s",
                          word != NULL && strcmp(word, "yes") == 0 ? "," : ":",
                          more);
    }
}

static void before_cell(const cJSON *item, struct cv_buf *out)
{
    may_cell(item, "before", "before_terms", out);
}

static void after_cell(const cJSON *item, struct cv_buf *out)
{
    may_cell(item, "after", "after_terms", out);
}

static void can_cell(const cJSON *item, struct cv_buf *out)
{
    may_cell(item, "may", "terms", out);
}

/* The rules that made the difference: those of now, where there are none those
 * of before. */
static void rules_cell(const cJSON *item, struct cv_buf *out)
{
    const cJSON *rules = cJSON_GetObjectItemCaseSensitive(item, "after_rules");

    if (cJSON_GetArraySize(rules) == 0) {
        rules = cJSON_GetObjectItemCaseSensitive(item, "before_rules");
    }
    cv_output_table_cell(rules, out);
}

static int change_color(const cJSON *item)
{
    const char *word = cv_output_table_text(item, "change");

    if (word == NULL || strcmp(word, "changed") == 0) {
        return 33;
    }
    return strcmp(word, "gained") == 0 ? 32 : 31;
}

static const struct cv_output_column diff_columns[] = {
    {"CHANGE", "change", NULL, change_color},
    {"WHO", "user", who_cell, NULL},
    {"ACTION", "action", NULL, NULL},
    {"ENTRIES", "entries", NULL, NULL},
    {"BEFORE", "before", before_cell, NULL},
    {"AFTER", "after", after_cell, NULL},
    {"RULES", "after_rules", rules_cell, NULL},
};

static const struct cv_output_view diff_view = {
    .kind = "PolicyDiff",
    .name = "user",
    .columns = diff_columns,
    .n_columns = sizeof(diff_columns) / sizeof(diff_columns[0]),
    .none = "nobody may do more or less than before",
};

static const struct cv_output_column can_columns[] = {
    {"WHO", "user", who_cell, NULL},
    {"UID", "uid", NULL, NULL},
    {"MAY", "may", can_cell, NULL},
    {"RULES", "rules", NULL, NULL},
};

static const struct cv_output_view can_view = {
    .kind = "PolicyWhoCan",
    .name = "user",
    .columns = can_columns,
    .n_columns = sizeof(can_columns) / sizeof(can_columns[0]),
    .none = "nobody",
};

static const struct cv_output_column history_columns[] = {
    {"VERSION", "version", NULL, NULL},
    {"APPLIED", "applied", NULL, NULL},
    {"BY", "actor", NULL, NULL},
    {"REASON", "reason", NULL, NULL},
    {"ADDED", "rules_added", NULL, NULL},
    {"REMOVED", "rules_removed", NULL, NULL},
    {"CHANGED", "rules_changed", NULL, NULL},
    {"SIGNER", "signer", NULL, NULL},
};

static const struct cv_output_view history_view = {
    .kind = "PolicyVersionList",
    .name = "version",
    .columns = history_columns,
    .n_columns = sizeof(history_columns) / sizeof(history_columns[0]),
};

/* All that two lines of a diff must share to be one. */
static void line_key(const cJSON *item, struct cv_buf *out)
{
    who_cell(item, out);
    cv_buf_add_format(out, "\n%s\n%s\n", cv_output_table_text(item, "action"),
                      cv_output_table_text(item, "change"));
    before_cell(item, out);
    cv_buf_add_char(out, '\n');
    after_cell(item, out);
    cv_buf_add_char(out, '\n');
    rules_cell(item, out);
}

static cJSON *find_line(cJSON *lines, const char *key)
{
    cJSON *line;

    cJSON_ArrayForEach(line, lines)
    {
        const char *other = cv_output_table_text(line, "key");

        if (other != NULL && strcmp(other, key) == 0) {
            return line;
        }
    }
    return NULL;
}

static bool add_line(cJSON *lines, const cJSON *item, const char *key)
{
    const cJSON *entry = cJSON_GetObjectItemCaseSensitive(item, "entry");
    cJSON *line = find_line(lines, key), *entries;

    if (line == NULL) {
        line = cJSON_Duplicate(item, true);
        if (!cv_json_add_str(line, "key", key) ||
            cJSON_AddArrayToObject(line, "entries") == NULL ||
            !cJSON_AddItemToArray(lines, line)) {
            cJSON_Delete(line);
            return false;
        }
    }
    entries = cJSON_GetObjectItemCaseSensitive(line, "entries");
    return entry == NULL ||
           cJSON_AddItemToArray(entries, cJSON_Duplicate(entry, true));
}

/* For people: one line for what holds of several entries. */
static cJSON *make_lines(const cJSON *items)
{
    cJSON *lines = cJSON_CreateArray();
    const cJSON *item;
    bool ok = lines != NULL;

    cJSON_ArrayForEach(item, items)
    {
        struct cv_buf key;

        cv_buf_init(&key, NULL, CV_KIB(64));
        line_key(item, &key);
        ok = ok && cv_buf_status(&key, "a line", NULL) == CV_OK &&
             add_line(lines, item, cv_buf_text(&key));
        cv_buf_wipe(&key);
    }
    if (!ok) {
        cJSON_Delete(lines);
        return NULL;
    }
    return lines;
}

/* What rules about entries do is seen on entries alone. */
static void tell_entries(struct cv_cli *cli, const cJSON *diff)
{
    const cJSON *entries = cJSON_GetObjectItemCaseSensitive(diff, "entries");

    if (cJSON_IsNumber(entries) && entries->valuedouble == 0) {
        cv_output_warn(&cli->out,
                       "there is no such entry that you may list: "
                       "only actions without an entry were compared");
    }
}

static int count_of(const cJSON *items, const char *change)
{
    const cJSON *item;
    int n = 0;

    cJSON_ArrayForEach(item, items)
    {
        const char *word = cv_output_table_text(item, "change");

        n += word != NULL && strcmp(word, change) == 0;
    }
    return n;
}

/* What was not looked at, and what is not shown. */
static void tell_bounds(struct cv_cli *cli, const cJSON *answer)
{
    const cJSON *omitted = cJSON_GetObjectItemCaseSensitive(answer, "omitted");

    if (cJSON_IsFalse(cJSON_GetObjectItemCaseSensitive(answer, "complete"))) {
        cv_output_warn(&cli->out, "the host could not tell all members of the "
                                  "groups in time: see the lines about groups");
    }
    if (cJSON_IsNumber(omitted) && omitted->valuedouble > 0) {
        cv_output_warn(&cli->out, "%.0f more are not shown: narrow it",
                       omitted->valuedouble);
    }
}

static enum cv_status show_rules(struct cv_cli *cli, const cJSON *rules,
                                 struct cv_err *err)
{
    static const char *const kinds[] = {"added", "removed", "changed"};
    enum cv_status s = CV_OK;

    for (size_t i = 0; i < 3 && s == CV_OK; i++) {
        const cJSON *names = cJSON_GetObjectItemCaseSensitive(rules, kinds[i]);
        struct cv_buf line;

        if (cJSON_GetArraySize(names) == 0) {
            continue;
        }
        cv_buf_init(&line, NULL, CV_LIMIT_FRAME);
        cv_buf_add_format(&line, "rules %s: ", kinds[i]);
        cv_output_table_cell(names, &line);
        cv_buf_add_char(&line, '\n');
        s = cv_output_text(&cli->out, cv_buf_text(&line), err);
        cv_buf_wipe(&line);
    }
    return s;
}

enum cv_status cv_cmd_policy_show_diff(struct cv_cli *cli, const cJSON *diff,
                                       struct cv_err *err)
{
    const cJSON *items = cJSON_GetObjectItemCaseSensitive(diff, "items");
    cJSON *lines;
    enum cv_status s;

    if (cli->out.format == CV_OUTPUT_JSON ||
        cli->out.format == CV_OUTPUT_YAML) {
        return cv_output_table_object(&cli->out, &diff_view, diff, err);
    }
    if (cli->out.format == CV_OUTPUT_NAME) {
        return cv_output_table_list(&cli->out, &diff_view, items, err);
    }
    s = show_rules(cli, cJSON_GetObjectItemCaseSensitive(diff, "rules"), err);
    lines = s == CV_OK ? cv_cli_keep(cli, make_lines(items), err) : NULL;
    if (lines == NULL) {
        return s == CV_OK ? CV_INTERNAL : s;
    }
    s = cv_output_table_list(&cli->out, &diff_view, lines, err);
    if (s == CV_OK) {
        cv_output_note(
            &cli->out,
            "%d gained, %d lost, %d on other terms; %.0f users and groups and "
            "%.0f entries were looked at",
            count_of(items, "gained"), count_of(items, "lost"),
            count_of(items, "changed"),
            cJSON_GetNumberValue(cv_output_table_at(diff, "users")),
            cJSON_GetNumberValue(cv_output_table_at(diff, "entries")));
        tell_entries(cli, diff);
        tell_bounds(cli, diff);
    }
    return s;
}

/* A policy to compare: "current", the number of a version, or a file. */
static enum cv_status add_side(struct cv_cli *cli, cJSON *parameters,
                               const char *key, const char *word,
                               struct cv_err *err)
{
    cJSON *side = cJSON_CreateObject();
    int64_t version = 0;
    bool number = strspn(word, "0123456789") == strlen(word);
    enum cv_status s = CV_OK;

    if (number && word[0] != '\0') {
        s = cv_check_number(word, "the version", 0, CV_CHECK_SEQ_MAX, &version,
                            err);
        if (s == CV_OK && !cv_json_add_int(side, "version", version)) {
            s = cv_fail(err, CV_INTERNAL, "memory is gone");
        }
    } else if (strcmp(word, "current") != 0) {
        s = cv_cmd_policy_add_file(cli, side, "text", word, err);
    }
    if (s != CV_OK) {
        cJSON_Delete(side);
        return s;
    }
    return cv_json_add_item(parameters, key, side)
               ? CV_OK
               : cv_fail(err, CV_INTERNAL, "memory is gone");
}

CV_CMD(policy_diff)
{
    cJSON *parameters = cv_cli_parameters(cli);
    const char *new = args->n_operands > 1 ? args->operands[1] : "current";
    const cJSON *answer;
    enum cv_status s = add_side(cli, parameters, "old", args->operands[0], err);

    if (s == CV_OK) {
        s = add_side(cli, parameters, "new", new, err);
    }
    if (s == CV_OK &&
        (!cv_json_add_str(parameters, "user", cv_args_value(args, "user")) ||
         !cv_json_add_str(parameters, "entry", cv_args_value(args, "entry")) ||
         !cv_json_add_str(parameters, "action",
                          cv_args_value(args, "action")))) {
        s = cv_fail(err, CV_INTERNAL, "memory is gone");
    }
    if (s != CV_OK) {
        cJSON_Delete(parameters);
        return s;
    }
    s = cv_call_simple(cli, "PolicyDiff", parameters, &answer, err);
    return s == CV_OK ? cv_cmd_policy_show_diff(cli, answer, err) : s;
}

CV_CMD(policy_who_can)
{
    cJSON *parameters = cv_cli_parameters(cli);
    const char *name = args->n_operands > 1 ? args->operands[1] : NULL;
    const cJSON *answer;
    enum cv_status s = name != NULL ? cv_check_name(name, err) : CV_OK;

    if (s == CV_OK &&
        (!cv_json_add_str(parameters, "action", args->operands[0]) ||
         !cv_json_add_str(parameters, "name", name))) {
        s = cv_fail(err, CV_INTERNAL, "memory is gone");
    }
    if (s != CV_OK) {
        cJSON_Delete(parameters);
        return s;
    }
    s = cv_call_simple(cli, "PolicyWhoCan", parameters, &answer, err);
    if (s != CV_OK) {
        return s;
    }
    if (cJSON_IsFalse(cJSON_GetObjectItemCaseSensitive(answer, "known"))) {
        cv_output_warn(&cli->out,
                       "there is no entry %s that you may list: it was taken "
                       "by its name alone, without labels",
                       name);
    }
    tell_bounds(cli, answer);
    if (cli->out.format == CV_OUTPUT_JSON ||
        cli->out.format == CV_OUTPUT_YAML) {
        return cv_output_table_object(&cli->out, &can_view, answer, err);
    }
    return cv_output_table_list(
        &cli->out, &can_view, cJSON_GetObjectItemCaseSensitive(answer, "items"),
        err);
}

CV_CMD(policy_history)
{
    const cJSON *items;
    enum cv_status s =
        cv_call_member(cli, "PolicyHistory", cv_cli_parameters(cli), "items",
                       CV_JSON_ARRAY, &items, err);

    (void)args;
    return s == CV_OK
               ? cv_output_table_list(&cli->out, &history_view, items, err)
               : s;
}
