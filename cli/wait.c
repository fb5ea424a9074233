#include "cli/wait.h"

#include "cli/connect.h"
#include "cli/foreground.h"
#include "cli/interrupt.h"
#include "cli/output_table.h"
#include "vault/base/clock.h"
#include "vault/base/limits.h"
#include "vault/wire/client.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

#define ID_LEN 12
#define CALL_MS 60000
#define STEP_MS 500
/* Somebody who was asked a minute ago is not waited for by the half second. */
#define SOON_MS 60000
#define LATER_MS 3000

bool cv_wait_is_for(const struct cv_err *err)
{
    return err != NULL && err->status == CV_BUSY &&
           strlen(err->request_id) == ID_LEN &&
           strspn(err->request_id, "0123456789abcdef") == ID_LEN;
}

static enum cv_status ask(struct cv_cli *cli, const char *id,
                          struct cv_message *reply, const cJSON **request,
                          struct cv_err *err)
{
    cJSON *p = cJSON_CreateObject();
    cJSON *ids = cJSON_AddArrayToObject(p, "ids");
    enum cv_status s;

    memset(reply, 0, sizeof(*reply));
    if (ids == NULL || !cJSON_AddItemToArray(ids, cJSON_CreateString(id))) {
        cJSON_Delete(p);
        return cv_fail(err, CV_INTERNAL, "memory is gone");
    }
    s = cv_client_call(cv_connect_channel(cli), "io.certvault.Broker.Requests",
                       p, 0, CALL_MS, reply, err);
    if (s == CV_OK) {
        *request = cJSON_GetArrayItem(
            cJSON_GetObjectItemCaseSensitive(reply->tree, "items"), 0);
        if (*request == NULL) {
            s = cv_fail(err, CV_NOT_FOUND, "the request %s is not there", id);
        }
    }
    return s;
}

static enum cv_status denied(const cJSON *request, const char *id,
                             struct cv_err *err)
{
    const char *by = cv_output_table_text(request, "closed.user");
    const char *why = cv_output_table_text(request, "closed.reason");
    enum cv_status s = cv_fail(err, CV_DENIED, "%s denied the request %s%s%s",
                               by != NULL ? by : "somebody", id,
                               why != NULL ? ": " : "", why != NULL ? why : "");

    cv_err_state(err, "nothing was done");
    return s;
}

/* CV_OK and *answered: it is approved. */
static enum cv_status judge(const cJSON *request, const char *id,
                            bool *answered, struct cv_err *err)
{
    const char *state = cv_output_table_text(request, "state");

    *answered = false;
    if (state == NULL || strcmp(state, "open") == 0) {
        return CV_OK;
    }
    if (strcmp(state, "approved") == 0) {
        *answered = true;
        return CV_OK;
    }
    if (strcmp(state, "denied") == 0) {
        return denied(request, id, err);
    }
    if (strcmp(state, "withdrawn") == 0) {
        return cv_fail(err, CV_DENIED, "the request %s was withdrawn", id);
    }
    return cv_fail(err, CV_BUSY, "the request %s %s", id,
                   strcmp(state, "used") == 0
                       ? "was used by another call of yours"
                       : "was not approved in time");
}

static void rest(int64_t begun_ms)
{
    const int64_t ms =
        cv_clock_boot_ms() - begun_ms < SOON_MS ? STEP_MS : LATER_MS;
    const struct timespec t = {.tv_sec = ms / 1000,
                               .tv_nsec = ms % 1000 * 1000000};

    (void)nanosleep(&t, NULL);
}

/* It was filed durably: whatever ends the waiting, it stays. */
static void tell_stays(const char *id, struct cv_err *err)
{
    if (err != NULL) {
        (void)snprintf(err->request_id, sizeof(err->request_id), "%s", id);
    }
    cv_err_state(err,
                 "nothing was done; the request %s stays open, until it is "
                 "answered or its time is over",
                 id);
    cv_err_hint(err, "the same command again goes on with it; certvault "
                     "requests shows it");
}

/* The broker was not to be asked any more. */
static enum cv_status lost(const char *id, enum cv_status s, struct cv_err *err)
{
    char text[CV_ERR_TEXT_LEN];

    if (err == NULL) {
        return s;
    }
    memcpy(text, err->text, sizeof(text));
    s = cv_fail(err, s,
                "the request %s cannot be waited for any longer, the broker "
                "stopped or does not answer: %s",
                id, text);
    tell_stays(id, err);
    return s;
}

/* What an interrupt says, while somebody is waited for. */
static void say_interrupted(const struct cv_cli *cli, const char *id)
{
    struct cv_err err;
    struct cv_buf words;

    cv_err_init(&err);
    (void)cv_fail(&err, CV_INTERRUPTED,
                  "interrupted: the request %s still waits", id);
    tell_stays(id, &err);
    cv_buf_init(&words, NULL, CV_KIB(4));
    cv_output_error_words(&cli->out, &err, &words);
    if (cv_buf_status(&words, "an error", NULL) == CV_OK) {
        cv_interrupt_say(words.data, words.len);
    }
    cv_buf_wipe(&words);
}

enum cv_status cv_wait_run(struct cv_cli *cli, const char *id,
                           struct cv_err *err)
{
    int64_t begun = cv_clock_boot_ms();
    bool answered = false, told = false;
    enum cv_status s = CV_OK;

    say_interrupted(cli, id);
    while (s == CV_OK && !answered) {
        struct cv_message reply;
        const cJSON *request = NULL;

        s = ask(cli, id, &reply, &request, err);
        if (s == CV_OK) {
            s = judge(request, id, &answered, err);
        } else if (s != CV_NOT_FOUND) {
            s = lost(id, s, err);
        }
        cv_message_free(&reply);
        if (s == CV_OK && !answered && cv_foreground_interrupted() != 0) {
            s = cv_fail(err, CV_BUSY, "the request %s still waits", id);
            tell_stays(id, err);
        }
        if (s == CV_OK && !answered) {
            if (!told) {
                cv_output_note(&cli->out,
                               "waiting for approval of the request %s: "
                               "certvault approve %s",
                               id, id);
            }
            told = true;
            rest(begun);
        }
    }
    cv_interrupt_say(NULL, 0);
    return s;
}
