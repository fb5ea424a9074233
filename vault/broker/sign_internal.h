/* Signatures, and what else of the relay waits for its leaf, several at a time:
 * decided one after the other, recorded by one commit, then made. No key is
 * used before its leaf is durable. */
#ifndef CERTVAULT_BROKER_SIGN_INTERNAL_H
#define CERTVAULT_BROKER_SIGN_INTERNAL_H

#include "vault/broker/broker_internal.h"
#include "vault/broker/grant.h"

struct cv_sign {
    struct cv_caller *caller; /* as the record tells of it */
    struct cv_grant *grant;   /* the relay's; NULL: asked for by name */
    const char *name, *purpose, *algorithm, *data; /* the request's */
    const char *server, *server_spki; /* whom it is for; NULL: not told */
    struct cv_ask ask;
    struct cv_store_entry *row;
    cJSON *doc;
    char token[CV_LIMIT_TOKEN_URI]; /* "": its key is sealed */
    bool on_token;
    enum cv_status status; /* why it is refused; CV_OK: it is durable */
    struct cv_err err;
};

/* Reads the request; `parameters` (NULL: none) must outlive it. */
void cv_sign_begin(struct cv_broker *b, struct cv_caller *caller,
                   const cJSON *parameters, struct cv_sign *sign);

/* Not entered. Looks whether its token is logged in. */
void cv_sign_look(struct cv_broker *b, struct cv_sign *sign);

/* Entered. Decides, queues the leaf. */
void cv_sign_decide(struct cv_broker *b, struct cv_sign *sign);

/* What was queued is not durable. */
void cv_sign_fail(struct cv_sign *sign, enum cv_status s,
                  const struct cv_err *err);

/* Decided and durable, or refused: makes the signature, answers, keeps the
 * outcome for the next commit. */
CV_MUST_USE enum cv_status cv_sign_make(struct cv_broker *b,
                                        struct cv_sign *sign,
                                        struct cv_reply *reply,
                                        struct cv_err *err);

void cv_sign_end(struct cv_sign *sign);

/* A request through the relay. */
struct cv_door_request {
    struct cv_grant *grant; /* NULL: refused */
    bool permit;
    cJSON *details;
    struct cv_ask ask;
    enum cv_status status;
    struct cv_err err;
};

/* broker_asks.c: the relay's asks, read and queued as above. */
void cv_broker_asks_sign(struct cv_broker *b, struct cv_caller *relay,
                         const cJSON *parameters, struct cv_sign *sign);
void cv_broker_asks_request(struct cv_broker *b, struct cv_caller *relay,
                            const cJSON *parameters,
                            struct cv_door_request *rq);
/* Entered. */
void cv_broker_asks_queue(struct cv_broker *b, struct cv_door_request *rq);

/* broker_together.c */
bool cv_broker_together_waits(const struct cv_caller *caller,
                              const struct cv_message *request);
void cv_broker_together(struct cv_broker *b, struct cv_loop_request *requests,
                        size_t n);

#endif
