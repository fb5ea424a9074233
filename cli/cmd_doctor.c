/* doctor: what on this host weakens or breaks certvault. */
#include "cli/call.h"
#include "cli/cmd.h"
#include "cli/config.h"
#include "cli/connect.h"
#include "cli/doctor_host.h"
#include "cli/doctor_left.h"
#include "cli/doctor_service.h"
#include "cli/output_table.h"

#include <limits.h>
#include <stdio.h>
#include <string.h>

/* Records; one that is not so far behind is on its way. */
#define SINK_LAG 1000

static int result_color(const cJSON *item)
{
    const char *result = cv_output_table_text(item, "result");

    if (result == NULL || strcmp(result, "ok") == 0) {
        return 32;
    }
    return strcmp(result, "fail") == 0 ? 31 : 33;
}

static const struct cv_output_column columns[] = {
    {"CHECK", "check", NULL, NULL},
    {"RESULT", "result", NULL, result_color},
    {"WHAT", "message", NULL, NULL},
    {"HINT", "hint", NULL, NULL},
};

static const struct cv_output_view view = {
    .kind = "DoctorReport",
    .name = "check",
    .columns = columns,
    .n_columns = sizeof(columns) / sizeof(columns[0]),
};

/* The vault's own state, through a broker; no vault is no fault. */
static void check_broker(struct cv_cli *cli, struct cv_doctor_host *d)
{
    const cJSON *status = NULL;
    struct cv_err err;
    enum cv_status s;

    cv_err_init(&err);
    s = cv_call_member(cli, "Status", cJSON_CreateObject(), "status",
                       CV_JSON_OBJECT, &status, &err);
    if (s == CV_NOT_FOUND) {
        cv_doctor_host_add(d, "vault", CV_DOCTOR_WARN, err.hint, "%s",
                           err.text);
        return;
    }
    if (s != CV_OK) {
        cv_doctor_host_add(d, "vault", CV_DOCTOR_FAIL, err.hint, "%s",
                           err.text);
        return;
    }
    cv_doctor_host_add(
        d, "vault", CV_DOCTOR_OK, "", "%.0f entries, %.0f records, %s",
        cJSON_GetNumberValue(cv_output_table_at(status, "entries")),
        cJSON_GetNumberValue(cv_output_table_at(status, "log_size")),
        cJSON_IsTrue(cv_output_table_at(status, "locked")) ? "locked" : "open");
    cv_doctor_host_add(
        d, "broker", CV_DOCTOR_OK, "", "%s %s, seccomp %s, landlock ABI %.0f",
        cv_output_table_text(status, "mode"),
        cv_output_table_text(status, "version"),
        cJSON_IsTrue(cv_output_table_at(status, "seccomp")) ? "on" : "off",
        cJSON_GetNumberValue(cv_output_table_at(status, "landlock_abi")));
}

/* Gone, whatever was behind it can be gone with it. */
static void check_checkpoint(struct cv_cli *cli, struct cv_doctor_host *d)
{
    const cJSON *status = NULL;

    if (cv_call_member(cli, "AuditStatus", cJSON_CreateObject(), "status",
                       CV_JSON_OBJECT, &status, NULL) == CV_OK &&
        cv_output_table_text(status, "warning") != NULL) {
        cv_doctor_host_add(d, "log", CV_DOCTOR_WARN,
                           "certvault audit verify with a configuration that "
                           "names an anchor, or with --checkpoint FILE",
                           "%s", cv_output_table_text(status, "warning"));
    }
}

/* One that is far behind, or cannot be reached. */
static void check_sinks(struct cv_cli *cli, struct cv_doctor_host *d)
{
    const cJSON *item, *sinks = NULL;

    if (cv_call_member(cli, "AuditSinks", cJSON_CreateObject(), "sinks",
                       CV_JSON_ARRAY, &sinks, NULL) != CV_OK) {
        return; /* check_broker says why */
    }
    cJSON_ArrayForEach(item, sinks)
    {
        const char *error = cv_output_table_text(item, "error");
        double lag = cJSON_GetNumberValue(cv_output_table_at(item, "lag"));
        bool late = error != NULL || lag > SINK_LAG;

        cv_doctor_host_add(
            d, "sink", late ? CV_DOCTOR_WARN : CV_DOCTOR_OK,
            late ? "certvault audit send; beside it, see that the receiver is "
                   "there"
                 : "",
            "%s: %.0f records behind%s%s", cv_output_table_text(item, "name"),
            lag, error != NULL ? ": " : "", error != NULL ? error : "");
    }
}

static bool is_fragile(const char *uri)
{
    return strstr(uri, "manufacturer=SoftHSM") != NULL ||
           strstr(uri, "model=SoftHSM") != NULL;
}

static void tell_pending(struct cv_doctor_host *d, const cJSON *item)
{
    const char *kind = cv_output_table_text(item, "kind");
    const char *entry = cv_output_table_text(item, "entry");
    const char *uri = cv_output_table_text(item, "token_uri");
    char hint[CV_ERR_HINT_LEN];

    (void)snprintf(hint, sizeof(hint), "certvault token login '%.240s'",
                   uri != NULL ? uri : "");
    if (kind != NULL && strcmp(kind, "log-key") == 0) {
        cv_doctor_host_add(d, "tokens", CV_DOCTOR_WARN, hint,
                           "a change of the log's key was cut off: the key "
                           "that it was making is destroyed at the next "
                           "token login there, or change of the log's key; "
                           "where that token is gone for good: certvault token "
                           "lost");
        return;
    }
    if (kind != NULL && strcmp(kind, "debris") == 0) {
        cv_doctor_host_add(
            d, "tokens", CV_DOCTOR_WARN, hint,
            "%d objects on a token are not explained, since %s: what is still "
            "the same at its next login is destroyed",
            cJSON_GetArraySize(
                cJSON_GetObjectItemCaseSensitive(item, "objects")),
            cv_output_table_text(item, "since"));
        return;
    }
    cv_doctor_host_add(d, "tokens", CV_DOCTOR_WARN, hint,
                       "%s of %s was cut off at %s: the token's next login "
                       "says how far it came",
                       kind != NULL ? kind : "a change",
                       entry != NULL ? entry : "a key",
                       cv_output_table_text(item, "since"));
}

/* Their certificates verified all the same: several servers behind one name,
 * or one that was made anew. */
static void tell_servers(struct cv_doctor_host *d, const cJSON *servers)
{
    const cJSON *item;

    cJSON_ArrayForEach(item, servers)
    {
        if (cJSON_IsString(item)) {
            cv_doctor_host_add(d, "servers", CV_DOCTOR_WARN,
                               "certvault pin NAME --context C --show has "
                               "them, and the one of now; ask who runs the "
                               "server, then certvault pin NAME --context C "
                               "--spki KEY: that one alone is taken, and this "
                               "is not told any more",
                               "the server of %s has shown several keys",
                               item->valuestring);
        }
    }
}

/* A log whose key is on a token that is not there has no checkpoints. */
static void check_log_key(struct cv_cli *cli, struct cv_doctor_host *d,
                          const cJSON *key)
{
    const char *uri = cv_output_table_text(key, "token_uri");
    const char *how = cv_output_table_text(key, "token");
    const char *error = cv_output_table_text(key, "error");
    const cJSON *status = NULL, *age;
    char since[64] = "there is no checkpoint";
    char hint[CV_ERR_HINT_LEN];
    bool ready = how != NULL && strcmp(how, "ready") == 0;
    bool locked = how != NULL && strcmp(how, "locked") == 0;

    if (strcmp(cv_output_table_text(key, "location") != NULL
                   ? cv_output_table_text(key, "location")
                   : "",
               "gone") == 0) {
        cv_doctor_host_add(d, "log key", CV_DOCTOR_FAIL,
                           "put it back from a copy of the folder or a backup; "
                           "docs/operations.md has what to do without",
                           "%s: no checkpoint is signed",
                           error != NULL ? error : "it is gone");
        return;
    }
    if (uri == NULL) {
        return; /* in its file */
    }
    if (cv_call_member(cli, "AuditStatus", cJSON_CreateObject(), "status",
                       CV_JSON_OBJECT, &status, NULL) == CV_OK) {
        age = cv_output_table_at(status, "checkpoint.age_s");
        if (cJSON_IsNumber(age)) {
            (void)snprintf(since, sizeof(since),
                           "the last checkpoint is %.0f s old",
                           cJSON_GetNumberValue(age));
        }
    }
    (void)snprintf(hint, sizeof(hint), "%s",
                   ready    ? ""
                   : locked ? "certvault audit checkpoint asks for its PIN and "
                              "signs one"
                            : "put the token back; docs/operations.md has what "
                              "to do where it is lost");
    cv_doctor_host_add(
        d, "log key",
        ready    ? CV_DOCTOR_OK
        : locked ? CV_DOCTOR_WARN
                 : CV_DOCTOR_FAIL,
        hint, "%s, %s, %.0f records behind it%s%.200s: %.300s",
        how != NULL ? how : "unknown", since,
        cJSON_GetNumberValue(cv_output_table_at(status, "log_key.waiting")),
        error != NULL && !locked ? ", " : "",
        error != NULL && !locked ? error : "", uri);
}

/* Entries with their keys on tokens: what is not finished, what is lost, and
 * which token is not to be trusted with keys that matter. */
static void check_tokens(struct cv_cli *cli, struct cv_doctor_host *d)
{
    const cJSON *health = NULL, *item, *tokens;
    const cJSON *lost;
    struct cv_err err;

    cv_err_init(&err);
    if (cv_call_simple(cli, "Health", cJSON_CreateObject(), &health, &err) !=
        CV_OK) {
        return;
    }
    cJSON_ArrayForEach(item,
                       cJSON_GetObjectItemCaseSensitive(health, "pending"))
    {
        tell_pending(d, item);
    }
    lost = cJSON_GetObjectItemCaseSensitive(health, "lost");
    if (cJSON_IsNumber(lost) && lost->valuedouble > 0) {
        cv_doctor_host_add(d, "tokens", CV_DOCTOR_WARN,
                           "fetch new certificates for them, then certvault rm",
                           "the keys of %.0f entries are lost",
                           lost->valuedouble);
    }
    tell_servers(d, cJSON_GetObjectItemCaseSensitive(health, "servers"));
    check_log_key(cli, d, cJSON_GetObjectItemCaseSensitive(health, "log_key"));
    tokens = cJSON_GetObjectItemCaseSensitive(health, "tokens");
    cJSON_ArrayForEach(item, tokens)
    {
        if (cJSON_IsString(item) && is_fragile(item->valuestring)) {
            cv_doctor_host_add(
                d, "tokens", CV_DOCTOR_WARN,
                "keep a copy of its folder, or keys in the sealed vault",
                "SoftHSM loses all keys of a token when it is killed, or the "
                "disk is full, at the wrong write: it is for tests");
        }
    }
    if (cJSON_GetArraySize(tokens) > 0) {
        cv_doctor_host_add(d, "tokens", CV_DOCTOR_OK, "",
                           "%d tokens hold keys of entries",
                           cJSON_GetArraySize(tokens));
    }
}

static void check_config(struct cv_cli *cli, struct cv_doctor_host *d)
{
    const cJSON *tree;
    struct cv_err err;

    cv_err_init(&err);
    if (cv_config_load(cli, &tree, &err) != CV_OK) {
        cv_doctor_host_add(d, "configuration", CV_DOCTOR_FAIL, err.hint, "%s",
                           err.text);
    } else {
        cv_doctor_host_add(d, "configuration", CV_DOCTOR_OK, "", "%s",
                           tree != NULL ? cv_config_path(cli) : "none");
    }
}

static void check_folder(struct cv_cli *cli, struct cv_doctor_host *d)
{
    char folder[PATH_MAX];
    struct cv_err err;

    cv_err_init(&err);
    if (cv_connect_folder(cli, folder, sizeof(folder), &err) == CV_OK) {
        cv_doctor_host_folder(d, folder);
        cv_doctor_left_run(d, folder);
    } else {
        cv_doctor_left_run(d, NULL);
    }
}

CV_CMD(doctor)
{
    struct cv_doctor_host d = {.items = cJSON_CreateArray()};
    enum cv_status s;

    (void)args;
    if (cv_cli_keep(cli, d.items, err) == NULL) {
        return CV_INTERNAL;
    }
    cv_doctor_host_run(&d);
    cv_doctor_service_run(&d, "");
    check_config(cli, &d);
    check_folder(cli, &d);
    check_broker(cli, &d);
    check_checkpoint(cli, &d);
    check_sinks(cli, &d);
    check_tokens(cli, &d);
    s = cv_output_table_list(&cli->out, &view, d.items, err);
    if (s == CV_OK && d.failed > 0) {
        s = cv_fail(err, CV_FAILED, "%u of %d checks failed", d.failed,
                    cJSON_GetArraySize(d.items));
    }
    return s;
}
