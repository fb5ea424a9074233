/* Signatures. No key is used before its leaf is durable. */
#ifndef CERTVAULT_BROKER_SIGN_INTERNAL_H
#define CERTVAULT_BROKER_SIGN_INTERNAL_H

#include "vault/broker/grant.h"
#include "vault/broker/together_internal.h"

struct cv_sign {
    struct cv_together_call call;
    struct cv_grant *grant; /* the relay's; NULL: asked for by name */
    const char *name, *purpose, *algorithm, *data; /* the request's */
    const char *server, *server_spki; /* whom it is for; NULL: not told */
    struct cv_ask ask;
    struct cv_store_entry *row;
    cJSON *doc;
    char token[CV_LIMIT_TOKEN_URI]; /* "": its key is sealed */
    bool on_token;
};

/* As cv_sign_kind has them; broker_asks.c shares them. */
void cv_sign_look(struct cv_broker *b, struct cv_together_call *call);
void cv_sign_decide(struct cv_broker *b, struct cv_together_call *call);
void cv_sign_end(struct cv_broker *b, struct cv_together_call *call);

/* Decided and durable, or refused: makes the signature, answers, keeps the
 * outcome for the next commit. */
CV_MUST_USE enum cv_status cv_sign_make(struct cv_broker *b,
                                        struct cv_sign *sign,
                                        struct cv_reply *reply,
                                        struct cv_err *err);

#endif
