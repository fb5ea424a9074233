/* Signatures, several at a time: decided one after the other, recorded by one
 * commit, then made. No key is used before its leaf is durable. */
#ifndef CERTVAULT_BROKER_SIGN_INTERNAL_H
#define CERTVAULT_BROKER_SIGN_INTERNAL_H

#include "vault/broker/broker_internal.h"

struct cv_sign {
    struct cv_caller *caller;
    const char *name, *purpose, *algorithm, *data; /* the request's */
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

/* Not entered. Decides all, commits once. */
void cv_sign_decide(struct cv_broker *b, struct cv_sign *signs, size_t n);

void cv_sign_end(struct cv_sign *sign);

#endif
