/* What is asked at the same time and waits for its leaf: signatures, of clients
 * and of the relay, and the relay's requests. One commit for all of them. */
#include "vault/base/clock.h"
#include "vault/broker/agent.h"
#include "vault/broker/sign_internal.h"
#include "vault/wire/interface.h"

#include <stdlib.h>
#include <string.h>

struct one {
    bool is_request;
    struct cv_sign sign;
    struct cv_door_request request;
};

static bool is_method(const struct cv_message *request, const char *name)
{
    return strcmp(cv_entry_text(request->tree, "method"), name) == 0;
}

bool cv_broker_together_waits(const struct cv_caller *caller,
                              const struct cv_message *request)
{
    return caller->iface != NULL
               ? is_method(request, CV_INTERFACE_DOOR ".Sign") ||
                     is_method(request, CV_INTERFACE_DOOR ".Request")
               : is_method(request, CV_INTERFACE_BROKER ".Sign");
}

static void begin(struct cv_broker *b, struct cv_loop_request *rq,
                  struct one *one)
{
    const cJSON *parameters =
        cJSON_GetObjectItemCaseSensitive(rq->message.tree, "parameters");

    b->caller = rq->caller;
    b->method = NULL;
    if (b->agent != NULL) {
        cv_agent_asked(b->agent);
    }
    one->is_request = is_method(&rq->message, CV_INTERFACE_DOOR ".Request");
    if (one->is_request) {
        cv_broker_asks_request(b, rq->caller, parameters, &one->request);
    } else if (rq->caller->iface != NULL) {
        cv_broker_asks_sign(b, rq->caller, parameters, &one->sign);
    } else {
        cv_sign_begin(b, rq->caller, parameters, &one->sign);
    }
}

static void fail(struct one *one, enum cv_status s, const struct cv_err *err)
{
    if (!one->is_request) {
        cv_sign_fail(&one->sign, s, err);
    } else if (one->request.status == CV_OK) {
        one->request.status = s;
        one->request.err = *err;
    }
}

/* All are decided, then all leaves go to the disk, then none is looked at
 * before that has succeeded. */
static void decide(struct cv_broker *b, struct one *all, size_t n)
{
    struct cv_err err;
    enum cv_status s;

    cv_err_init(&err);
    for (size_t i = 0; i < n; i++) {
        if (!all[i].is_request) {
            cv_sign_look(b, &all[i].sign);
        }
    }
    s = cv_broker_enter(b, &err);
    for (size_t i = 0; s == CV_OK && i < n; i++) {
        if (all[i].is_request) {
            cv_broker_asks_queue(b, &all[i].request);
        } else {
            cv_sign_decide(b, &all[i].sign);
        }
    }
    if (s == CV_OK) {
        s = cv_broker_commit(b, &err);
        cv_broker_leave(b);
    }
    for (size_t i = 0; s != CV_OK && i < n; i++) {
        fail(&all[i], s, &err);
    }
}

static void answer(struct cv_broker *b, struct cv_loop_request *rq,
                   struct one *one, const struct cv_interface *iface)
{
    struct cv_err err;

    cv_err_init(&err);
    b->caller = rq->caller;
    b->signing = one != NULL && !one->is_request ? &one->sign : NULL;
    b->requested = one != NULL && one->is_request ? &one->request : NULL;
    rq->failed = cv_serve_message(iface, b, rq->caller->channel, &rq->message,
                                  &err) != CV_OK;
    b->signing = NULL;
    b->requested = NULL;
}

void cv_broker_together(struct cv_broker *b, struct cv_loop_request *requests,
                        size_t n)
{
    struct one *all = calloc(n, sizeof(*all));

    for (size_t i = 0; all != NULL && i < n; i++) {
        begin(b, &requests[i], &all[i]);
    }
    if (all != NULL) {
        decide(b, all, n);
    }
    for (size_t i = 0; i < n; i++) {
        answer(b, &requests[i], all != NULL ? &all[i] : NULL,
               requests[i].caller->iface != NULL ? requests[i].caller->iface
                                                 : b->iface);
    }
    for (size_t i = 0; all != NULL && i < n; i++) {
        cv_sign_end(&all[i].sign);
        cJSON_Delete(all[i].request.details);
    }
    free(all);
}
