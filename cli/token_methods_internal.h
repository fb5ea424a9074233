/* What the files of the token program's sealed-vault face share. */
#ifndef CERTVAULT_CLI_TOKEN_METHODS_INTERNAL_H
#define CERTVAULT_CLI_TOKEN_METHODS_INTERNAL_H

#include "vault/base/json.h"
#include "vault/seal/keyring.h"
#include "vault/wire/reply.h"

/* Reads a Sealed; what is decoded is in `arena`, the rest is borrowed from
 * `json`. CV_INVALID. */
CV_MUST_USE enum cv_status
cv_token_methods_sealed(const cJSON *json, struct cv_arena *arena,
                        struct cv_keyring_sealed *out, struct cv_err *err);

/* The methods that token_hop.c has. */
#define CV_TOKEN_HOP(name)                                                     \
    enum cv_status cv_token_hop_##name(void *context, const cJSON *parameters, \
                                       struct cv_reply *reply,                 \
                                       struct cv_err *err)
CV_TOKEN_HOP(create);
CV_TOKEN_HOP(serve);
CV_TOKEN_HOP(mint);
CV_TOKEN_HOP(public);
CV_TOKEN_HOP(forget);

/* And those that token_log.c has: the log's key in backups. */
#define CV_TOKEN_LOG(name)                                                     \
    enum cv_status cv_token_log_##name(void *context, const cJSON *parameters, \
                                       struct cv_reply *reply,                 \
                                       struct cv_err *err)
CV_TOKEN_LOG(seal);
CV_TOKEN_LOG(open);

#endif
