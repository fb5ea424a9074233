#include "vault/broker/helper.h"

#include "vault/base/limits.h"
#include "vault/base/manager.h"

#include <poll.h>

static enum cv_status start(struct cv_helper *helper, struct cv_err *err)
{
    int fd;
    enum cv_status s = cv_spawner_run_child(helper->spawner, helper->program,
                                            &fd, &helper->child, err);

    if (s == CV_OK) {
        s = cv_channel_new(fd, CV_LIMIT_FRAME, &helper->channel, err);
    }
    return s;
}

enum cv_status cv_helper_call(struct cv_helper *helper, const char *method,
                              cJSON *parameters, unsigned flags,
                              struct cv_message *reply, struct cv_err *err)
{
    struct cv_err local;
    struct cv_err *e = err != NULL ? err : &local;
    enum cv_status s = CV_OK;

    cv_err_init(e);
    *reply = (struct cv_message){0};
    if (helper->channel == NULL) {
        s = start(helper, e);
    }
    if (s != CV_OK) {
        cJSON_Delete(parameters);
        return s;
    }
    cv_channel_watch(helper->channel, helper->caller);
    /* Its answer may take as long as the watchdog waits. */
    cv_manager_feed(true);
    s = cv_client_call(helper->channel, method, parameters, flags,
                       CV_LIMIT_CALL_S * 1000, reply, e);
    /* An error that the program told has parameters; without them it is the
     * connection that failed. */
    if (s != CV_OK && reply->tree == NULL) {
        cv_helper_stop(helper);
    }
    return s;
}

enum cv_status cv_helper_open(struct cv_helper *helper, struct cv_err *err)
{
    return helper->channel == NULL ? start(helper, err) : CV_OK;
}

void cv_helper_look(struct cv_helper *helper)
{
    struct pollfd p = {.events = POLLIN};

    if (helper->channel != NULL) {
        p.fd = cv_channel_fd(helper->channel);
        if (poll(&p, 1, 0) > 0) {
            cv_helper_stop(helper); /* nothing is to be read but its end */
        }
    }
}

/* Children of the spawner itself that only look something up: they have nothing
 * to bring to an end, and may hang in somebody else's code. */
static bool may_be_killed(enum cv_spawner_program program)
{
    return program == CV_SPAWNER_NAMES || program == CV_SPAWNER_SETTINGS ||
           program == CV_SPAWNER_SSHSIG;
}

void cv_helper_stop(struct cv_helper *helper)
{
    if (helper->channel != NULL && helper->child != 0 &&
        may_be_killed(helper->program)) {
        cv_spawner_kill(helper->spawner, helper->child);
    }
    helper->child = 0;
    cv_channel_free(helper->channel);
    helper->channel = NULL;
}
