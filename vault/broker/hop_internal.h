/* The local hop's names and numbers: kept in the store, minted by the token
 * process. */
#ifndef CERTVAULT_BROKER_HOP_INTERNAL_H
#define CERTVAULT_BROKER_HOP_INTERNAL_H

#include "vault/broker/broker_internal.h"
#include "vault/broker/grant.h"

/* Ports that a vault draws its own from. */
#define HOP_PORT_FIRST 20000
#define HOP_PORT_COUNT 10000

/* Not entered, the vault open. The server CA as a Sealed, made at first need:
 * the caller deletes it. CV_LOCKED (without slots), CV_INTEGRITY, CV_IO. */
CV_MUST_USE enum cv_status cv_hop_ca(struct cv_broker *b, cJSON **out,
                                     struct cv_err *err);

/* Not entered. Its certificate alone (PEM, in *pem, freed by the caller), made
 * at first need, for which the vault must be open: `reply` as
 * cv_broker_need_open. */
CV_MUST_USE enum cv_status cv_hop_ca_pem(struct cv_broker *b,
                                         struct cv_reply *reply, char **pem,
                                         struct cv_err *err);

/* Not entered. The port of this vault's relay: the configured one, else the one
 * that the vault drew; drawn now if need be. */
CV_MUST_USE enum cv_status cv_hop_port(struct cv_broker *b, int64_t *port,
                                       struct cv_err *err);

/* The grant's client certificate and key, put into `out` as `certificate` and
 * `secret` (base64 of PEM). CV_NOT_FOUND: the token process is another than the
 * one that the relay's client CA is of. */
CV_MUST_USE enum cv_status cv_hop_mint(struct cv_broker *b,
                                       const struct cv_grant *g, cJSON *out,
                                       struct cv_err *err);

/* Its key is wiped. */
void cv_hop_forget(struct cv_broker *b, const struct cv_grant *g);

/* A call that keeps the token process from ending because nobody asks. */
void cv_hop_touch(struct cv_broker *b);

/* The DER of an entry's public key, base64, as a member `spki` of `out`. */
CV_MUST_USE enum cv_status cv_hop_public(struct cv_broker *b, const char *chain,
                                         cJSON *out, struct cv_err *err);

#endif
