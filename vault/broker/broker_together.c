#include "vault/broker/agent.h"
#include "vault/broker/room.h"
#include "vault/broker/together_internal.h"

#include "vault/audit/log.h"
#include "vault/wire/interface.h"

#include <stdlib.h>
#include <string.h>

static const struct cv_together_kind *const kinds[] = {
    &cv_sign_kind,
    &cv_broker_export_kind,
    &cv_broker_use_kind,
    &cv_broker_asks_sign_kind,
    &cv_broker_asks_request_kind,
};

/* Those that are decided and recorded together. A call is NULL where memory is
 * gone. */
struct group {
    struct cv_loop_request *requests;
    struct cv_together_call **calls;
    size_t n;
};

static const struct cv_together_kind *kind_of(const struct cv_caller *caller,
                                              const struct cv_message *request)
{
    const char *method = cv_entry_text(request->tree, "method");

    for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
        if (kinds[i]->door == (caller->iface != NULL) &&
            strcmp(kinds[i]->method, method) == 0) {
            return kinds[i];
        }
    }
    return NULL;
}

/* What is no request gets no decision either: it is refused as such. */
bool cv_broker_together_waits(const struct cv_caller *caller,
                              const struct cv_message *request)
{
    return kind_of(caller, request) != NULL && cv_serve_reads(request);
}

bool cv_broker_together_is_refused(const struct cv_together_call *call,
                                   enum cv_status *s, struct cv_err *err)
{
    if (call == NULL) {
        *s = cv_fail(err, CV_INTERNAL, "memory is gone");
        return true;
    }
    *s = call->status;
    if (call->status != CV_OK) {
        *err = call->err;
    }
    return call->status != CV_OK;
}

static struct cv_together_call *new_call(const struct cv_loop_request *rq)
{
    const struct cv_together_kind *kind = kind_of(rq->caller, &rq->message);
    struct cv_together_call *call = calloc(1, kind->size);

    if (call != NULL) {
        call->kind = kind;
        call->caller = rq->caller;
        cv_err_init(&call->err);
    }
    return call;
}

/* Those of the relay, or those of clients. */
static void begin(struct cv_broker *b, const struct group *g, bool door)
{
    for (size_t i = 0; i < g->n; i++) {
        struct cv_together_call *call = g->calls[i];

        if (call == NULL || call->kind->door != door) {
            continue;
        }
        b->caller = call->caller;
        b->method = NULL;
        if (b->agent != NULL) {
            cv_agent_asked(b->agent);
        }
        call->kind->begin(b,
                          cJSON_GetObjectItemCaseSensitive(
                              g->requests[i].message.tree, "parameters"),
                          call);
    }
}

static void look(struct cv_broker *b, const struct group *g, bool door)
{
    for (size_t i = 0; i < g->n; i++) {
        struct cv_together_call *call = g->calls[i];

        if (call != NULL && call->kind->door == door && call->status == CV_OK &&
            call->kind->look != NULL) {
            b->caller = call->caller;
            call->kind->look(b, call);
        }
    }
}

/* None of it is durable that is not in the log by now. A permit that is there
 * (its group was committed once before, for a request for approval) is not used
 * any more either. */
static void refuse_all(struct cv_broker *b, const struct group *g,
                       uint64_t durable, enum cv_status s,
                       const struct cv_err *err)
{
    for (size_t i = 0; i < g->n; i++) {
        struct cv_together_call *call = g->calls[i];
        bool is_there;

        if (call == NULL) {
            continue;
        }
        is_there = call->ask->seq != -1 && (uint64_t)call->ask->seq < durable;
        if (call->status == CV_OK && is_there) {
            b->caller = call->caller;
            cv_ask_outcome_later(call->ask, s, NULL);
        }
        if (call->status == CV_OK || (call->ask->seq != -1 && !is_there)) {
            call->status = s;
            call->err = *err;
        }
    }
}

/* It was permitted, and while a token worked for another one of the group the
 * vault was frozen: nothing is released after that. */
static void withhold(struct cv_broker *b, struct cv_together_call *call)
{
    struct cv_err err;
    enum cv_status s;

    if (call == NULL || call->status != CV_OK) {
        return;
    }
    cv_err_init(&err);
    s = cv_freeze_check(call->ask, &err);
    if (s != CV_OK) {
        if (call->ask->seq != -1) {
            b->caller = call->caller;
            cv_ask_outcome_later(call->ask, s, NULL);
        }
        call->status = s;
        call->err = err;
    }
}

/* Entered. *owes: something of it waits for the disk. */
static enum cv_status decide_all(struct cv_broker *b, const struct group *g,
                                 bool *owes, struct cv_err *err)
{
    *owes = false;
    for (size_t i = 0; i < g->n; i++) {
        struct cv_together_call *call = g->calls[i];

        if (call == NULL) {
            continue;
        }
        b->caller = call->caller;
        if (call->status == CV_OK) {
            call->kind->decide(b, call);
        }
        /* A permit that could not be counted must not be committed. */
        if (call->status == CV_INTERNAL && call->ask->seq != -1) {
            *err = call->err;
            return call->status;
        }
        if (call->status != CV_OK) {
            call->err.status = call->status;
            cv_ask_refuse(call->ask, call->details, &call->err);
        }
        *owes = *owes || call->ask->seq != -1;
    }
    return CV_OK;
}

/* All are decided, then all leaves go to the disk, then none is looked at
 * before that has succeeded. */
static void decide(struct cv_broker *b, const struct group *g)
{
    struct cv_err err;
    uint64_t durable = 0;
    bool owes;
    enum cv_status s;

    cv_err_init(&err);
    s = cv_broker_enter(b, &err);
    if (s == CV_OK) {
        b->shares = true;
        s = decide_all(b, g, &owes, &err);
        b->shares = false;
        if (s == CV_OK && owes) {
            s = cv_broker_commit(b, &err);
        }
        durable = cv_log_size(b->vault->log);
        cv_broker_leave(b);
    }
    if (s != CV_OK) {
        refuse_all(b, g, durable, s, &err);
    }
}

/* One caller's answers come in the order of what he asked: he is the relay, or
 * he is not. */
static void answer(struct cv_broker *b, const struct group *g, bool door)
{
    for (size_t i = 0; i < g->n; i++) {
        struct cv_loop_request *rq = &g->requests[i];
        const struct cv_interface *iface = rq->caller->iface;
        struct cv_err err;

        if ((iface != NULL) != door) {
            continue;
        }
        cv_err_init(&err);
        withhold(b, g->calls[i]);
        b->caller = rq->caller;
        b->together = g->calls[i];
        rq->failed =
            cv_serve_message(iface != NULL ? iface : b->iface, b,
                             rq->caller->channel, &rq->message, &err) != CV_OK;
        b->together = NULL;
    }
}

/* What was released has its outcome on the disk, and not only within a second.
 */
static void tell_outcomes(struct cv_broker *b, const struct group *g)
{
    bool any = false;

    for (size_t i = 0; i < g->n; i++) {
        any = any || (g->calls[i] != NULL && g->calls[i]->released);
    }
    if (any) {
        (void)cv_broker_flush(b, true);
    }
}

static void run(struct cv_broker *b, const struct group *g)
{
    /* To look may end grants; what the relay asks is about one that is there.
     * So may to answer a client. */
    look(b, g, false);
    begin(b, g, true);
    look(b, g, true);
    decide(b, g);
    answer(b, g, true);
    answer(b, g, false);
    tell_outcomes(b, g);
    for (size_t i = 0; i < g->n; i++) {
        if (g->calls[i] != NULL) {
            g->calls[i]->kind->end(b, g->calls[i]);
            cJSON_Delete(g->calls[i]->details);
        }
    }
}

/* How many of them go together. While the disk is full each goes by itself: a
 * denial must not get of the room that is kept for what is released. */
static size_t group_size(struct cv_broker *b, const struct group *all)
{
    size_t n = 0;
    bool alone = b->vault != NULL && cv_room_is_full(b);

    while (n < all->n && !alone) {
        const struct cv_together_call *later = all->calls[n];

        for (size_t i = 0; i < n && later != NULL && !alone; i++) {
            const struct cv_together_call *call = all->calls[i];

            alone = call != NULL && call->kind->is_alone != NULL &&
                    call->kind->is_alone(call, later);
        }
        n += alone ? 0 : 1;
    }
    return n > 0 ? n : 1;
}

void cv_broker_together(struct cv_broker *b, struct cv_loop_request *requests,
                        size_t n)
{
    struct cv_together_call *calls[CV_LIMIT_TOGETHER];
    struct group all = {requests, calls, n};

    for (size_t i = 0; i < n; i++) {
        calls[i] = new_call(&requests[i]);
    }
    begin(b, &all, false);
    while (all.n > 0) {
        struct group g = all;

        g.n = group_size(b, &all);
        run(b, &g);
        all.requests += g.n;
        all.calls += g.n;
        all.n -= g.n;
    }
    for (size_t i = 0; i < n; i++) {
        free(calls[i]);
    }
}
