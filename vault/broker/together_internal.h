/* What is asked at the same time and waits for its leaf: signatures, uses,
 * exports, the relay's requests, permitted or not. Decided one after the other,
 * recorded by one commit, then answered: nothing of it is released, and nobody
 * is refused, before the leaves of all are durable. Where that fails all of
 * them are refused.
 *
 * Limits hold within a group as between groups: what is queued counts (tally.h)
 * and an approval that was used is used. */
#ifndef CERTVAULT_BROKER_TOGETHER_INTERNAL_H
#define CERTVAULT_BROKER_TOGETHER_INTERNAL_H

#include "vault/broker/broker_internal.h"

struct cv_together_call;

/* What can be asked so. Its method in the interface answers, with
 * b->together: the call, decided and durable, or refused. */
struct cv_together_kind {
    const char *method; /* "io.certvault.Broker.Sign" */
    bool door;          /* only the relay may ask it; clients may not */
    size_t size;        /* of its call, whose first member is the below */
    /* Reads the request: sets `ask`, and `status` where it is none. `caller` is
     * b->caller; `parameters` (NULL: none) outlives the call. */
    void (*begin)(struct cv_broker *b, const cJSON *parameters,
                  struct cv_together_call *call);
    /* Must `later` wait until `call`, which came before it, is answered? NULL:
     * never. */
    bool (*is_alone)(const struct cv_together_call *call,
                     const struct cv_together_call *later);
    /* Not entered, before anything of the group is decided; may take a while.
     * NULL: there is nothing to look after. */
    void (*look)(struct cv_broker *b, struct cv_together_call *call);
    /* Entered. Decides and queues the leaf; commits nothing. */
    void (*decide)(struct cv_broker *b, struct cv_together_call *call);
    void (*end)(struct cv_broker *b, struct cv_together_call *call);
};

struct cv_together_call {
    const struct cv_together_kind *kind;
    struct cv_caller *caller; /* as the record tells of it */
    struct cv_ask *ask;
    cJSON *details; /* of the leaf, where it is refused undecided; owned */
    bool released;  /* its outcome is to be durable at the group's end */
    enum cv_status status; /* why it is refused; CV_OK: it is durable */
    struct cv_err err;
};

/* Was this call refused? Then *s and `err` are why. */
bool cv_broker_together_is_refused(const struct cv_together_call *call,
                                   enum cv_status *s, struct cv_err *err);

extern const struct cv_together_kind cv_sign_kind, cv_broker_export_kind,
    cv_broker_use_kind, cv_broker_asks_sign_kind, cv_broker_asks_request_kind;

bool cv_broker_together_waits(const struct cv_caller *caller,
                              const struct cv_message *request);
void cv_broker_together(struct cv_broker *b, struct cv_loop_request *requests,
                        size_t n);

#endif
