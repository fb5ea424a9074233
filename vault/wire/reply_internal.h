/* How serve.c makes and sends an answer. */
#ifndef CERTVAULT_WIRE_REPLY_INTERNAL_H
#define CERTVAULT_WIRE_REPLY_INTERNAL_H

#include "vault/wire/channel.h"
#include "vault/wire/reply.h"

struct cv_reply {
    struct cv_channel *ch;
    struct cv_arena *arena; /* of a secret answer */
    cJSON *parameters;
    cJSON *failure;
    const char *error; /* its name; NULL: that of its status */
    bool secret;
    bool more;
    bool sent;
};

/* An answer's memory: its arena when secret, and an empty object. */
CV_MUST_USE enum cv_status cv_reply_begin(struct cv_reply *reply,
                                          struct cv_err *err);

/* Frees it; cJSON values are made on the heap again. */
void cv_reply_end(struct cv_reply *reply);

/* Sends {"error": ..., "parameters": ..., "continues": ...}; `error` may be
 * NULL, `parameters` stays the caller's. */
CV_MUST_USE enum cv_status cv_reply_answer(struct cv_reply *reply,
                                           const char *error, cJSON *parameters,
                                           bool continues, struct cv_err *err);

#endif
