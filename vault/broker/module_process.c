#include "vault/broker/module_process_internal.h"

#include "vault/base/clock.h"
#include "vault/base/limits.h"
#include "vault/base/manager.h"
#include "vault/broker/module_wait_internal.h"
#include "vault/wire/interface.h"

#include <stdio.h>
#include <string.h>

void cv_module_process_stop(struct cv_module_process *p)
{
    cv_channel_free(p->channel);
    p->channel = NULL;
    p->loaded = false;
}

/* The second end in a row is the module's fault, and starting it again at once
 * would end in the same way. */
static void ended(struct cv_module_process *p, bool hung,
                  const struct cv_err *why)
{
    int64_t now = cv_clock_boot_ms();
    bool again = p->ended_ms != 0 &&
                 now - p->ended_ms < CV_LIMIT_MODULE_RESTART_S * 1000;

    cv_module_process_stop(p);
    p->ended_ms = now;
    p->wait_until_ms =
        hung || again ? now + CV_LIMIT_MODULE_RESTART_S * 1000 : 0;
    p->why = *why;
}

void cv_module_process_replace(struct cv_module_process *p,
                               const struct cv_err *why)
{
    ended(p, false, why);
}

static enum cv_status wait_longer(const struct cv_module_process *p,
                                  int64_t left_ms, struct cv_err *err)
{
    char why[CV_ERR_TEXT_LEN];
    enum cv_status s = cv_fail(
        err, CV_BUSY, "%s",
        cv_err_quote(why, sizeof(why), p->why.text, strlen(p->why.text)));

    cv_err_state(err, "its module is not started again for another %d s",
                 (int)(left_ms / 1000) + 1);
    cv_err_hint(err, "see to the token, its reader and their daemon (pcscd, "
                     "tpm2-abrmd), then try again");
    if (err != NULL) {
        err->retry_after_s = (double)left_ms / 1000;
    }
    return s;
}

enum cv_status cv_module_process_start(struct cv_spawner *sp,
                                       struct cv_module_process *p,
                                       struct cv_err *err)
{
    int64_t left = p->wait_until_ms - cv_clock_boot_ms();
    int fd;
    enum cv_status s;

    if (p->wait_until_ms != 0 && left > 0) {
        return wait_longer(p, left, err);
    }
    p->wait_until_ms = 0;
    s = cv_spawner_run_child(sp, CV_SPAWNER_MODULE, &fd, &p->child, err);
    return s == CV_OK ? cv_channel_new(fd, CV_LIMIT_FRAME, &p->channel, err)
                      : s;
}

/* One call of a process that runs. A caller that hangs up does not end it: the
 * module may be in the middle of writing. */
static enum cv_status call(struct cv_broker *b, struct cv_module_process *p,
                           const char *method, cJSON *parameters,
                           unsigned flags, int timeout_s,
                           struct cv_message *reply, struct cv_err *err)
{
    const char *name = p->name[0] != '\0' ? p->name : "a PKCS#11 module";
    struct cv_module_wait wait;
    struct cv_err local;
    char full[64];
    enum cv_status s;

    cv_err_init(&local);
    (void)snprintf(full, sizeof(full), "%s.%s", CV_INTERFACE_MODULE, method);
    cv_manager_feed(true);
    b->module_called = true;
    /* The log's key signs a checkpoint of what there is: no record comes. */
    cv_module_wait_begin(b, p->channel, strncmp(method, "Log", 3) != 0, &wait);
    s = cv_client_call(p->channel, full, parameters, flags, timeout_s * 1000,
                       reply, &local);
    cv_module_wait_end(&wait);
    b->module_called = false;
    if (s == CV_OK) {
        return s;
    }
    if (reply->tree != NULL) {
        *err = local;
        return s;
    }
    if (wait.cut) {
        cv_spawner_kill(b->spawner, p->child);
        s = cv_fail(err, CV_UNAVAILABLE, "the broker ended before %s answered",
                    name);
        cv_err_state(err, "what it was doing on the token may be half done");
    } else if (s == CV_BUSY) {
        cv_spawner_kill(b->spawner, p->child);
        s = cv_fail(err, CV_UNAVAILABLE, "%s did not answer within %d s", name,
                    timeout_s);
        cv_err_state(err, "its process was ended; what it was doing on the "
                          "token may be half done");
    } else {
        s = cv_fail(err, CV_UNAVAILABLE, "%s broke down: its process ended",
                    name);
    }
    cv_err_hint(err, "try again; certvault doctor looks at the tokens");
    ended(p, local.status == CV_BUSY, err);
    return s;
}

static enum cv_status load(struct cv_broker *b, struct cv_module_process *p,
                           struct cv_err *err)
{
    const char *name = NULL, *path = NULL;
    const struct cv_json_field fields[] = {
        {"name", CV_JSON_STRING, true, &name, CV_MODULE_PROCESS_NAME},
        {"path", CV_JSON_STRING, true, &path, PATH_MAX - 1},
    };
    cJSON *parameters = cJSON_CreateObject();
    struct cv_message reply = {0};
    enum cv_status s;

    if (!cv_json_add_str(parameters, p->uri != NULL ? "uri" : "module",
                         p->uri != NULL ? p->uri : p->name)) {
        cJSON_Delete(parameters);
        return cv_fail(err, CV_INTERNAL, "memory is gone");
    }
    s = call(b, p, "Load", parameters, 0, CV_LIMIT_MODULE_S, &reply, err);
    if (s == CV_OK) {
        s = cv_json_read(reply.tree, "Load", fields, 2, false, err);
    }
    if (s == CV_OK) {
        (void)snprintf(p->name, sizeof(p->name), "%s", name);
        (void)snprintf(p->path, sizeof(p->path), "%s", path);
        p->loaded = true;
    } else if (p->channel != NULL) {
        cv_module_process_stop(p);
    }
    cv_message_free(&reply);
    return s;
}

enum cv_status cv_module_process_call(struct cv_broker *b,
                                      struct cv_module_process *p,
                                      const char *method, cJSON *parameters,
                                      unsigned flags, int timeout_s,
                                      struct cv_message *reply,
                                      struct cv_err *err)
{
    struct cv_err local;
    struct cv_err *e = err != NULL ? err : &local;
    enum cv_status s = CV_OK;

    cv_err_init(&local);
    *reply = (struct cv_message){0};
    if (b->module_called) {
        s = cv_fail(e, CV_BUSY, "a token is at work for somebody else");
        cv_err_hint(e, "try again in a moment");
        e->retry_after_s = 1;
    } else if (cv_module_wait_is_over(b)) {
        s = cv_fail(e, CV_UNAVAILABLE, "the broker ends: no token is asked");
    }
    if (s == CV_OK && p->channel == NULL) {
        s = cv_module_process_start(b->spawner, p, e);
    }
    if (s == CV_OK && !p->loaded) {
        s = load(b, p, e);
    }
    if (s != CV_OK) {
        cJSON_Delete(parameters);
        return s;
    }
    return call(b, p, method, parameters, flags, timeout_s, reply, e);
}
