/* audit anchor: the last checkpoint to every anchor, now. */
#include "cli/call.h"
#include "cli/cmd.h"
#include "cli/output_table.h"
#include "vault/base/clock.h"
#include "vault/base/limits.h"

#include <string.h>
#include <time.h>

/* A little more than two runs of one of them may take, with their grace: one is
 * on its way, and that of now begins when it has ended. */
#define WAIT_MS ((2 * CV_LIMIT_ANCHOR_RUN_S + 15) * 1000)
#define LOOK_NS 50000000

static int state_color(const cJSON *item)
{
    const char *state = cv_output_table_text(item, "state");

    return state != NULL && strcmp(state, "ok") == 0 ? 32 : 31;
}

static const struct cv_output_column columns[] = {
    {"KIND   ", "kind", NULL, NULL},       {"PLACE", "place", NULL, NULL},
    {"STATE", "state", NULL, state_color}, {"SIZE", "size", NULL, NULL},
    {"AGE (S)", "age_s", NULL, NULL},      {"MESSAGE", "message", NULL, NULL},
};

static const struct cv_output_view view = {
    .kind = "AnchorList",
    .name = "place",
    .columns = columns,
    .n_columns = sizeof(columns) / sizeof(columns[0]),
};

static const cJSON *first_of(const cJSON *items, const char *state)
{
    const cJSON *item;

    cJSON_ArrayForEach(item, items)
    {
        const char *word = cv_output_table_text(item, "state");

        if (word != NULL && strcmp(word, state) == 0) {
            return item;
        }
    }
    return NULL;
}

static enum cv_status fail_of(const cJSON *item, enum cv_status status,
                              struct cv_err *err)
{
    const char *why = cv_output_table_text(item, "message");
    const char *place = cv_output_table_text(item, "place");
    enum cv_status s =
        cv_fail(err, status, "%s: %s", place != NULL ? place : "an anchor",
                why != NULL ? why : "it was not reached");

    cv_err_state(err, "the others have the checkpoint, if they say ok");
    return s;
}

static enum cv_status judge(const cJSON *items, struct cv_err *err)
{
    const cJSON *bad = first_of(items, "conflict");
    enum cv_status s;

    if (bad != NULL) {
        s = fail_of(bad, CV_INTEGRITY, err);
        cv_err_state(err, "no checkpoint is signed any more");
        cv_err_hint(err, "the log was rolled back, or goes on in two places: "
                         "docs/operations.md");
        return s;
    }
    bad = first_of(items, "running");
    if (bad != NULL) {
        return fail_of(bad, CV_BUSY, err);
    }
    bad = first_of(items, "failed");
    if (bad == NULL) {
        bad = first_of(items, "never");
    }
    return bad != NULL ? fail_of(bad, CV_REMOTE, err) : CV_OK;
}

CV_CMD(audit_anchor)
{
    const struct timespec look = {.tv_nsec = LOOK_NS};
    const int64_t until = cv_clock_boot_ms() + WAIT_MS;
    const cJSON *items;
    enum cv_status s =
        cv_call_member(cli, "AuditAnchor", cv_cli_parameters(cli), "anchors",
                       CV_JSON_ARRAY, &items, err);

    (void)args;
    while (s == CV_OK && first_of(items, "running") != NULL &&
           cv_clock_boot_ms() < until) {
        (void)nanosleep(&look, NULL);
        cv_cli_forget(cli);
        s = cv_call_member(cli, "AuditAnchors", cJSON_CreateObject(), "anchors",
                           CV_JSON_ARRAY, &items, err);
    }
    if (s == CV_OK) {
        s = cv_output_table_list(&cli->out, &view, items, err);
    }
    return s == CV_OK ? judge(items, err) : s;
}
