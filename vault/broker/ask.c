/* What policy is asked, and what it says: nothing is recorded here. */
#include "vault/broker/anchor.h"
#include "vault/broker/facts.h"

#include "vault/base/clock.h"

#include <stdlib.h>
#include <string.h>

static enum cv_decide_mode decide_mode(const struct cv_broker *b)
{
    static const enum cv_decide_mode modes[] = {
        [CV_BROKER_EXEC] = CV_DECIDE_MODE_EXEC,
        [CV_BROKER_AGENT] = CV_DECIDE_MODE_AGENT,
        [CV_BROKER_SERVICE] = CV_DECIDE_MODE_SERVICE,
    };

    return modes[b->options->mode];
}

/* The contexts that an action touches: the one named, or all of the entry. */
static size_t contexts_of(const struct cv_ask *ask,
                          const char *names[CV_LIMIT_CONTEXTS])
{
    const cJSON *item;
    size_t n = 0;

    if (ask->context != NULL) {
        names[0] = ask->context;
        return 1;
    }
    if (ask->action != CV_ACTION_EXPORT && ask->action != CV_ACTION_USE) {
        return 0;
    }
    cJSON_ArrayForEach(item,
                       cJSON_GetObjectItemCaseSensitive(ask->doc, "contexts"))
    {
        if (n < CV_LIMIT_CONTEXTS) {
            names[n++] = cv_entry_text(item, "name");
        }
    }
    return n;
}

/* What a request is made of; all of it outlives the decision. */
struct asked {
    const char *contexts[CV_LIMIT_CONTEXTS];
    struct cv_entry_subject subject;
    struct cv_decide_request rq;
};

static void request_of(const struct cv_ask *ask, struct asked *a)
{
    const struct cv_peer *peer = &ask->caller->peer;
    struct cv_decide_request *rq = &a->rq;

    memset(rq, 0, sizeof(*rq));
    rq->subject.uid = peer->uid;
    rq->subject.gid = peer->gid;
    rq->subject.gids = peer->groups;
    rq->subject.n_gids = peer->n_groups;
    rq->action = ask->action;
    if (ask->doc != NULL) {
        cv_entry_subject_fill(ask->doc, &a->subject);
        rq->entry = &a->subject.entry;
    }
    rq->reason = ask->reason;
    rq->ticket = ask->ticket;
    rq->contexts = a->contexts;
    rq->n_contexts = contexts_of(ask, a->contexts);
    rq->mode = decide_mode(ask->broker);
    rq->tty = ask->tty;
    rq->read_only = ask->read_only;
    rq->duration_s = ask->duration_s;
    rq->break_glass = ask->break_glass;
    rq->now_s = cv_clock_now_s();
    cv_anchor_fact(ask->broker, rq);
    if (ask->held_rule[0] != '\0') {
        rq->held_rule = ask->held_rule;
        rq->held_approvals = ask->held_approvals;
    }
}

/* What cannot be found out is no yes: the status of that is the answer's. */
static void no_answer(struct cv_decide_result *result)
{
    memset(result, 0, sizeof(*result));
    result->cause = CV_DECIDE_NO_COUNTS;
    result->retry_s = -1;
}

enum cv_status cv_ask_run(struct cv_ask *ask, struct cv_err *err)
{
    struct cv_facts *facts = NULL;
    struct asked a;
    enum cv_status s;

    no_answer(&ask->result);
    ask->frozen = cv_freeze_check(ask, err) != CV_OK;
    if (ask->frozen) {
        return CV_DENIED;
    }
    request_of(ask, &a);
    s = cv_facts_gather(ask, &a.rq, &facts, err);
    if (s != CV_OK) {
        return s;
    }
    s = cv_decide_run(ask->broker->policy, &a.rq, &ask->result, err);
    memcpy(ask->request, cv_facts_request(facts), sizeof(ask->request));
    cv_facts_free(facts);
    if (s == CV_BUSY && ask->preview) {
        ask->result.permit = true;
        s = CV_OK;
    }
    return s;
}

struct cv_ask_list {
    struct asked asked;
    struct cv_facts *facts;
    struct cv_decide_list *list;
};

enum cv_status cv_ask_run_list(struct cv_ask *ask, struct cv_ask_list **out,
                               struct cv_err *err)
{
    struct cv_ask_list *l = calloc(1, sizeof(*l));
    enum cv_status s;

    *out = NULL;
    no_answer(&ask->result);
    if (l == NULL) {
        return cv_fail(err, CV_INTERNAL, "memory is gone");
    }
    request_of(ask, &l->asked);
    s = cv_freeze_check(ask, err);
    ask->frozen = s != CV_OK;
    s = s != CV_OK ? s : cv_facts_gather(ask, &l->asked.rq, &l->facts, err);
    if (s == CV_OK) {
        s = cv_decide_list_new(ask->broker->policy, &l->asked.rq, &l->list,
                               &ask->result, err);
        memcpy(ask->request, cv_facts_request(l->facts), sizeof(ask->request));
    }
    if (s != CV_OK) {
        cv_ask_list_free(l);
        return s;
    }
    *out = l;
    return CV_OK;
}

bool cv_ask_list_shows(const struct cv_ask_list *list,
                       const struct cv_decide_entry *entry)
{
    return cv_decide_list_shows(list->list, entry);
}

void cv_ask_list_free(struct cv_ask_list *list)
{
    if (list != NULL) {
        cv_decide_list_free(list->list);
        cv_facts_free(list->facts);
        free(list);
    }
}

bool cv_ask_would(const struct cv_ask *ask, const cJSON *doc)
{
    struct cv_ask trial = *ask;

    trial.doc = doc;
    return cv_ask_run(&trial, NULL) == CV_OK;
}

bool cv_ask_would_quietly(const struct cv_ask *ask, const cJSON *doc)
{
    struct cv_ask trial = *ask;

    trial.doc = doc;
    return cv_ask_run(&trial, NULL) == CV_OK &&
           (!cv_ask_is_used_up(&trial) ||
            strcmp(trial.result.offer, ask->held_rule) == 0);
}

enum cv_status cv_ask_would_now(struct cv_ask *ask, const cJSON *doc,
                                struct cv_err *err)
{
    ask->doc = doc;
    return cv_ask_run(ask, err);
}
