/* policy lint, fmt: of a file alone, without a vault. */
#include "cli/cmd.h"
#include "cli/cmd_policy.h"
#include "cli/offline.h"
#include "cli/output_table.h"
#include "cli/path.h"
#include "vault/base/file.h"
#include "vault/base/limits.h"

#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

static int severity_color(const cJSON *item)
{
    const char *word = cv_output_table_text(item, "severity");

    return word != NULL && strcmp(word, "error") == 0     ? 31
           : word != NULL && strcmp(word, "warning") == 0 ? 33
                                                          : 0;
}

static const struct cv_output_column finding_columns[] = {
    {"LINE", "line", NULL, NULL},
    {"SEVERITY", "severity", NULL, severity_color},
    {"CODE", "code", NULL, NULL},
    {"RULE", "rule", NULL, NULL},
    {"WHAT", "text", NULL, NULL},
    {"HINT", "hint", NULL, NULL},
};

static const struct cv_output_view finding_view = {
    .kind = "PolicyFindings",
    .name = "code",
    .columns = finding_columns,
    .n_columns = sizeof(finding_columns) / sizeof(finding_columns[0]),
    .none = "nothing is doubtful",
};

static double number(const cJSON *answer, const char *key)
{
    const cJSON *item = cJSON_GetObjectItemCaseSensitive(answer, key);

    return cJSON_IsNumber(item) ? item->valuedouble : 0;
}

/* One call about the file `path`; *answer belongs to the run. */
static enum cv_status ask(struct cv_cli *cli, const char *method,
                          const char *path, const cJSON **answer,
                          struct cv_err *err)
{
    cJSON *parameters = cJSON_CreateObject();
    enum cv_status s =
        cv_cmd_policy_add_file(cli, parameters, "text", path, err);

    if (s != CV_OK) {
        cJSON_Delete(parameters);
        return s;
    }
    s = cv_offline_once(cli, method, parameters, answer, err);
    if (s != CV_OK) {
        cv_err_prefix(err, "%s", path);
    }
    return s;
}

CV_CMD(policy_file_lint)
{
    const cJSON *answer;
    double bad;
    enum cv_status s = ask(cli, "PolicyLint", args->operands[0], &answer, err);

    if (s != CV_OK) {
        return s;
    }
    if (cJSON_IsFalse(cJSON_GetObjectItemCaseSensitive(answer, "names"))) {
        cv_output_warn(&cli->out, "users and groups could not be looked up");
    }
    if (number(answer, "omitted") > 0) {
        cv_output_warn(&cli->out, "%.0f more are not shown",
                       number(answer, "omitted"));
    }
    s = cli->out.format == CV_OUTPUT_JSON || cli->out.format == CV_OUTPUT_YAML
            ? cv_output_table_object(&cli->out, &finding_view, answer, err)
            : cv_output_table_list(
                  &cli->out, &finding_view,
                  cJSON_GetObjectItemCaseSensitive(answer, "items"), err);
    bad = number(answer, "errors") + number(answer, "warnings");
    if (s == CV_OK && bad > 0) {
        s = cv_fail(err, CV_FAILED, "%.0f errors, %.0f warnings",
                    number(answer, "errors"), number(answer, "warnings"));
    }
    return s;
}

/* Into the file itself, whole or not at all; its mode stays. */
static enum cv_status write_back(const char *path, const char *text,
                                 struct cv_err *err)
{
    struct cv_bytes bytes = {(const uint8_t *)text, strlen(text)};
    const char *leaf;
    struct stat st;
    int dir = -1;
    enum cv_status s = cv_path_open_parent(path, &dir, &leaf, err);

    if (s == CV_OK && fstatat(dir, leaf, &st, AT_SYMLINK_NOFOLLOW) != 0) {
        s = cv_fail_errno(err, CV_IO, "%s", path);
    }
    if (s == CV_OK && !S_ISREG(st.st_mode)) {
        s = cv_fail(err, CV_INVALID, "%s is no file of its own", path);
        cv_err_hint(err, "name the file that the link leads to");
    }
    if (s == CV_OK) {
        s = cv_file_replace(dir, leaf, bytes, st.st_mode & 0777, err);
    }
    cv_file_close(&dir);
    return s;
}

CV_CMD(policy_file_fmt)
{
    const char *path = args->operands[0];
    bool check = cv_args_has(args, "check"), write = cv_args_has(args, "write");
    const cJSON *answer;
    const char *text;
    bool same;
    enum cv_status s;

    if (check && write) {
        return cv_fail(err, CV_USAGE, "--check and --write exclude each other");
    }
    if (write && strcmp(path, "-") == 0) {
        return cv_fail(err, CV_USAGE, "--write wants a file");
    }
    s = ask(cli, "PolicyFormat", path, &answer, err);
    if (s != CV_OK) {
        return s;
    }
    same = cJSON_IsTrue(cJSON_GetObjectItemCaseSensitive(answer, "same"));
    text = cv_output_table_text(answer, "text");
    text = text != NULL ? text : "";
    if (check && !same) {
        s = cv_fail(err, CV_FAILED, "%s is not tidy", path);
        cv_err_hint(err, "certvault policy fmt --write FILE");
        return s;
    }
    if (check || (write && same)) {
        return CV_OK;
    }
    if (!write) {
        return cv_output_text(&cli->out, text, err);
    }
    s = write_back(path, text, err);
    if (s == CV_OK) {
        cv_output_note(&cli->out, "%s was tidied", path);
    }
    return s;
}
