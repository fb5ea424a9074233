/* The broker's calls to module processes: libexec/certvault/token --pkcs11, one
 * for each PKCS#11 module that is in use.
 *
 * A process is started when its module is first needed and kept. One that died,
 * that hung, or whose module says that only a new start helps, is replaced at
 * the next call, at most every 30 s where it was the module's fault. Login
 * state and the PIN are the process's and go with it. A call ends after
 * CV_LIMIT_MODULE_S (CV_LIMIT_MODULE_LONG_S where a card makes keys or a person
 * types) and its process is killed: CV_UNAVAILABLE. */
#ifndef CERTVAULT_BROKER_MODULE_INTERNAL_H
#define CERTVAULT_BROKER_MODULE_INTERNAL_H

#include "vault/broker/broker_internal.h"

/* Calls `method` ("Import") of io.certvault.Module at the process that holds
 * the token of `token_uri`; starts it and loads its module if need be. Which
 * module: the one that the URI names by module-path or module-name, else the
 * one that showed the token before, else the first that does. `parameters` are
 * taken. As cv_helper_call; CV_NOT_FOUND (no module shows such a token),
 * CV_CONFIG (the URI names a module that is not allowed). What only reads
 * (Tokens, Objects, Sign, ...) is asked once more after a new start or a login
 * with the PIN that the process holds. */
CV_MUST_USE enum cv_status
cv_module_call(struct cv_broker *b, const char *token_uri, const char *method,
               cJSON *parameters, unsigned flags, struct cv_message *reply,
               struct cv_err *err);

/* CV_OK when the token is logged in, or needs no login. CV_LOCKED: a PIN is
 * wanted, and the failure in `reply` carries PinRequired's members. CV_AUTH: no
 * PIN is to be tried, because one failed before, or the next is the last, or
 * the token locked it. Not entered. */
CV_MUST_USE enum cv_status cv_module_need_login(struct cv_broker *b,
                                                const char *token_uri,
                                                struct cv_reply *reply,
                                                struct cv_err *err);

/* Lets all of them go; they end when their socket closes. */
void cv_module_stop_all(struct cv_broker *b);

#endif
