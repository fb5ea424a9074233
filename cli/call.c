#include "cli/call.h"

#include "cli/connect.h"
#include "cli/interrupt.h"
#include "cli/pin.h"
#include "cli/unlock.h"
#include "cli/wait.h"
#include "vault/base/limits.h"

#include <stdio.h>
#include <string.h>

/* What a broker's helpers may take, several times over. */
#define CALL_MS (10 * 60 * 1000)

/* The vault, and tokens: each asks once. */
#define ROUNDS 4

static cJSON *copy_in(struct cv_arena *arena, const cJSON *tree)
{
    struct cv_arena *before = cv_json_use(arena);
    cJSON *copy = cJSON_Duplicate(tree, true);

    (void)cv_json_use(before);
    return copy;
}

/* What an interrupt says from now on. */
static void say_cut_off(const struct cv_cli *cli)
{
    struct cv_err err;
    struct cv_buf words;

    cv_err_init(&err);
    (void)cv_fail(&err, CV_INTERRUPTED,
                  "interrupted while the broker was at work");
    cv_err_state(&err, "each thing that it had begun is done whole, or not at "
                       "all");
    cv_err_hint(&err, "%s",
                cli->cut_off != NULL
                    ? cli->cut_off
                    : "certvault audit tail tells what was done");
    cv_buf_init(&words, NULL, CV_KIB(4));
    cv_output_error_words(&cli->out, &err, &words);
    if (cv_buf_status(&words, "an error", NULL) == CV_OK) {
        cv_interrupt_say(words.data, words.len);
    }
    cv_buf_wipe(&words);
}

static enum cv_status call_once(struct cv_cli *cli, const struct cv_call *call,
                                cJSON *parameters, struct cv_message *reply,
                                struct cv_err *err)
{
    unsigned flags = (call->arena ? CV_CLIENT_SECRET_IN : 0U) |
                     (call->secret_out ? CV_CLIENT_SECRET_OUT : 0U);
    char method[80];

    (void)snprintf(method, sizeof(method), "io.certvault.Broker.%s",
                   call->method);
    if (cli->changes) {
        say_cut_off(cli);
    }
    return cv_client_call(cv_connect_channel(cli), method, parameters, flags,
                          CALL_MS, reply, err);
}

/* Does what the answer asks for: the vault's key, or a token's PIN. */
static enum cv_status open_up(struct cv_cli *cli, const cJSON *failure,
                              bool *unlocked, struct cv_err *err)
{
    enum cv_status s = cv_pin_expect(cli, failure, err);

    if (s != CV_OK) {
        return s;
    }
    if (cv_pin_is_required(failure)) {
        return cv_pin_answer(cli, failure, err);
    }
    /* What is locked is neither the vault nor a token that a login opens. */
    if (!cJSON_HasObjectItem(failure, "slots")) {
        return CV_LOCKED;
    }
    if (*unlocked) {
        return cv_fail(err, CV_UNAVAILABLE,
                       "the vault is locked again, right after it was opened");
    }
    *unlocked = true;
    return cv_unlock_run(
        cli, cJSON_GetObjectItemCaseSensitive(failure, "slots"), err);
}

/* One call, and again after what its answers ask for was done. `again` are its
 * parameters; `first` a copy of them, taken. */
static enum cv_status call_opening(struct cv_cli *cli,
                                   const struct cv_call *call, cJSON *first,
                                   const cJSON *again, struct cv_message *reply,
                                   struct cv_err *err)
{
    bool unlocked = false;
    enum cv_status s = call_once(cli, call, first, reply, err);

    for (int i = 0; i < ROUNDS && s == CV_LOCKED && reply->tree != NULL; i++) {
        cJSON *next = copy_in(call->arena, again);

        s = open_up(cli, reply->tree, &unlocked, err);
        cv_message_free(reply);
        if (s == CV_OK && next != NULL) {
            s = call_once(cli, call, next, reply, err);
        } else {
            cJSON_Delete(next);
        }
    }
    return s;
}

/* --wait: until the request is answered, then the call once more. What is
 * refused then is no matter of waiting. */
static enum cv_status wait_and_repeat(struct cv_cli *cli,
                                      const struct cv_call *call,
                                      const cJSON *again,
                                      struct cv_message *reply,
                                      struct cv_err *err)
{
    char id[CV_ERR_ID_LEN];
    cJSON *next;
    enum cv_status s;

    (void)snprintf(id, sizeof(id), "%s", err->request_id);
    cv_message_free(reply);
    s = cv_wait_run(cli, id, err);
    if (s != CV_OK) {
        return s;
    }
    next = copy_in(call->arena, again);
    return next != NULL ? call_opening(cli, call, next, again, reply, err)
                        : cv_fail(err, CV_INTERNAL, "memory is gone");
}

enum cv_status cv_call_run(struct cv_cli *cli, const struct cv_call *call,
                           struct cv_message *reply, struct cv_err *err)
{
    cJSON *again = NULL;
    enum cv_status s;

    memset(reply, 0, sizeof(*reply));
    if (call->parameters == NULL) {
        return cv_fail(err, CV_INTERNAL, "memory is gone");
    }
    s = cv_connect_open(cli, call->absent, err);
    if (s == CV_OK) {
        again = copy_in(call->arena, call->parameters);
    }
    if (s != CV_OK || again == NULL) {
        cJSON_Delete(call->parameters);
        return s != CV_OK ? s : cv_fail(err, CV_INTERNAL, "memory is gone");
    }
    s = call_opening(cli, call, call->parameters, again, reply, err);
    if (s == CV_BUSY && cli->wait && cv_wait_is_for(err)) {
        s = wait_and_repeat(cli, call, again, reply, err);
    }
    cJSON_Delete(again);
    if (s != CV_OK) {
        cv_cli_note_excerpt(cli, reply->tree);
        cv_message_free(reply);
    }
    return s;
}

bool cv_call_ahead(struct cv_cli *cli, const char *method, cJSON *parameters)
{
    struct cv_channel *channel = cv_connect_channel(cli);
    char name[80];

    if (channel == NULL) {
        cJSON_Delete(parameters);
        return false;
    }
    (void)snprintf(name, sizeof(name), "io.certvault.Broker.%s", method);
    return cv_client_send(channel, name, parameters, 0, CALL_MS, NULL) == CV_OK;
}

bool cv_call_ahead_take(struct cv_cli *cli, struct cv_message *reply)
{
    if (cv_client_receive(cv_connect_channel(cli), 0, CALL_MS, reply, NULL) ==
        CV_OK) {
        return true;
    }
    cv_message_free(reply);
    return false;
}

enum cv_status cv_call_simple(struct cv_cli *cli, const char *method,
                              cJSON *parameters, const cJSON **answer,
                              struct cv_err *err)
{
    const struct cv_call call = {.method = method, .parameters = parameters};
    struct cv_message reply;
    enum cv_status s = cv_call_run(cli, &call, &reply, err);

    *answer = NULL;
    if (s != CV_OK) {
        return s;
    }
    *answer = cv_cli_keep(cli, reply.tree, err);
    return *answer != NULL ? CV_OK : CV_INTERNAL;
}

enum cv_status cv_call_member(struct cv_cli *cli, const char *method,
                              cJSON *parameters, const char *key,
                              enum cv_json_kind kind, const cJSON **member,
                              struct cv_err *err)
{
    const cJSON *answer;
    enum cv_status s = cv_call_simple(cli, method, parameters, &answer, err);

    *member = NULL;
    if (s != CV_OK) {
        return s;
    }
    *member = cJSON_GetObjectItemCaseSensitive(answer, key);
    if (kind == CV_JSON_ARRAY ? !cJSON_IsArray(*member)
                              : !cJSON_IsObject(*member)) {
        s = cv_fail(err, CV_INVALID, "the broker's answer has no %s", key);
        cv_err_hint(err, "both programs must be of one version");
        return s;
    }
    return CV_OK;
}

static enum cv_status gather(void *context, const cJSON *parameters,
                             struct cv_err *err)
{
    cJSON *all = context;
    const cJSON *items = cJSON_GetObjectItemCaseSensitive(parameters, "items");
    const cJSON *item;

    if (!cJSON_IsArray(items)) {
        return cv_fail(err, CV_INVALID, "the broker's answer has no items");
    }
    cJSON_ArrayForEach(item, items)
    {
        cJSON *copy = cJSON_Duplicate(item, true);

        if (copy == NULL || !cJSON_AddItemToArray(all, copy)) {
            cJSON_Delete(copy);
            return cv_fail(err, CV_INTERNAL, "memory is gone");
        }
    }
    return CV_OK;
}

enum cv_status cv_call_items(struct cv_cli *cli, const char *method,
                             cJSON *parameters, const cJSON **items,
                             struct cv_err *err)
{
    cJSON *all = cv_cli_keep(cli, cJSON_CreateArray(), err);
    char name[80];
    enum cv_status s;

    *items = NULL;
    if (parameters == NULL || all == NULL) {
        cJSON_Delete(parameters);
        return cv_fail(err, CV_INTERNAL, "memory is gone");
    }
    s = cv_connect_open(cli, false, err);
    if (s != CV_OK) {
        cJSON_Delete(parameters);
        return s;
    }
    (void)snprintf(name, sizeof(name), "io.certvault.Broker.%s", method);
    s = cv_client_stream(cv_connect_channel(cli), name, parameters, 0, CALL_MS,
                         gather, all, err);
    *items = s == CV_OK ? all : NULL;
    return s;
}
