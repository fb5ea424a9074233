/* audit send: the record's sinks get what they have not, now. */
#include "cli/call.h"
#include "cli/cmd.h"
#include "cli/output_table.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

/* How often it is looked how far they are. */
#define LOOK_NS 100000000L
/* A connection that was reset is made anew; a sink that fails twice has
 * failed. */
#define FAILURES 2

static const struct cv_output_column columns[] = {
    {"SINK", "name", NULL, NULL},    {"STATE", "state", NULL, NULL},
    {"NEXT", "seq", NULL, NULL},     {"LAG", "lag", NULL, NULL},
    {"SKIPPED", "gaps", NULL, NULL}, {"WHY", "error", NULL, NULL},
};

static const struct cv_output_view view = {
    .kind = "SinkList",
    .name = "name",
    .columns = columns,
    .n_columns = sizeof(columns) / sizeof(columns[0]),
    .none = "no sinks",
};

static double number(const cJSON *object, const char *key)
{
    const cJSON *value = cJSON_GetObjectItemCaseSensitive(object, key);

    return cJSON_IsNumber(value) ? value->valuedouble : 0;
}

static bool is_failing(const cJSON *item)
{
    return number(item, "failures") >= FAILURES;
}

/* Is everyone done, one way or the other? */
static bool all_done(const cJSON *sinks, double size)
{
    const cJSON *item;

    cJSON_ArrayForEach(item, sinks)
    {
        if (!is_failing(item) && number(item, "seq") < size) {
            return false;
        }
    }
    return true;
}

static enum cv_status tell(struct cv_cli *cli, const cJSON *sinks, double size,
                           struct cv_err *err)
{
    const cJSON *item;
    enum cv_status s = cv_output_table_list(&cli->out, &view, sinks, err);

    cJSON_ArrayForEach(item, sinks)
    {
        if (s == CV_OK && number(item, "seq") < size) {
            s = cv_fail(err, CV_REMOTE, "%s: %s",
                        cv_output_table_text(item, "name"),
                        cv_output_table_text(item, "error"));
            cv_err_state(err, "nothing is lost: the record has it, and it is "
                              "sent again from there");
            cv_err_hint(err, "see that the receiver is there, then run it "
                             "again");
        }
    }
    return s;
}

CV_CMD(audit_send)
{
    const struct timespec pause = {0, LOOK_NS};
    const cJSON *answer, *sinks;
    double size = 0;
    enum cv_status s =
        cv_call_simple(cli, "AuditSend", cv_cli_parameters(cli), &answer, err);

    (void)args;
    if (s == CV_OK) {
        size = number(answer, "size");
    }
    while (s == CV_OK) {
        sinks = cJSON_GetObjectItemCaseSensitive(answer, "sinks");
        if (!cJSON_IsArray(sinks)) {
            return cv_fail(err, CV_INVALID, "the broker's answer has no sinks");
        }
        if (all_done(sinks, size)) {
            return tell(cli, sinks, size, err);
        }
        cv_cli_forget(cli);
        (void)nanosleep(&pause, NULL);
        s = cv_call_simple(cli, "AuditSinks", cJSON_CreateObject(), &answer,
                           err);
    }
    return s;
}
