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
#include "vault/broker/ledger.h"

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
 * the token locked it. Not entered. A call that answers CV_LOCKED although this
 * was CV_OK lost its login meanwhile: ask again, for PinRequired's members. */
CV_MUST_USE enum cv_status cv_module_need_login(struct cv_broker *b,
                                                const char *token_uri,
                                                struct cv_reply *reply,
                                                struct cv_err *err);

/* The same for the use of an entry, whose token is this one and no other: one
 * that is not there is CV_UNAVAILABLE. */
CV_MUST_USE enum cv_status cv_module_need_entry(struct cv_broker *b,
                                                const char *token_uri,
                                                struct cv_reply *reply,
                                                struct cv_err *err);

/* Not entered; `reply` is a failure's that wants a key or a PIN (CV_LOCKED):
 * the call must log in to this token too, which goes along as `also`, unless it
 * is logged in or not there. So whoever has one PIN learns in time that two are
 * wanted. */
void cv_module_need_also(struct cv_broker *b, const char *token_uri,
                         struct cv_reply *reply);

/* What a module says of one token. */
struct cv_module_token {
    char uri[CV_LIMIT_TOKEN_URI]; /* its one spelling */
    char identity[CV_LEDGER_TOKEN + 1];
    char label[64], serial[64];
    bool login_required, logged_in, held, protected_path;
    bool initialized, count_low, final, locked; /* of the PIN */
};

/* The tokens that fit `uri`, on the heap, asked at the module that has it.
 * CV_NOT_FOUND (no module), and as cv_module_call. */
CV_MUST_USE enum cv_status cv_module_look(struct cv_broker *b, const char *uri,
                                          cJSON **tokens, struct cv_err *err);

/* `uri`, a token's one spelling, means the module that `as` was found in. */
void cv_module_remember(struct cv_broker *b, const char *uri, const char *as);

/* The one token that `token_uri` means, asked now. CV_NOT_FOUND, CV_INVALID
 * (several). `raw`, which may be NULL, is what the module said, on the heap. */
CV_MUST_USE enum cv_status cv_module_token(struct cv_broker *b,
                                           const char *token_uri,
                                           struct cv_module_token *out,
                                           cJSON **raw, struct cv_err *err);

/* Gathers the tokens of all modules that fit `uri` (NULL: all) in `items`, and
 * {name, error} of the modules that did not answer in `failed`. */
CV_MUST_USE enum cv_status cv_module_tokens(struct cv_broker *b,
                                            const char *uri, cJSON *items,
                                            cJSON *failed, struct cv_err *err);

/* Logs in once under the rules of ledger.h: calls `method` (Login, Relogin,
 * ChangePin) with `parameters` (taken). CV_AUTH: wrong, or not to be tried.
 * Never CV_LOCKED. */
CV_MUST_USE enum cv_status
cv_module_login(struct cv_broker *b, const struct cv_module_token *token,
                const struct cv_ledger_wish *wish, const char *method,
                cJSON *parameters, struct cv_err *err);

/* For status: [{name, running, waits_s?}] of the modules that are known; none
 * is asked. NULL when memory is gone. */
cJSON *cv_module_status(const struct cv_broker *b);

/* Lets all of them go; they end when their socket closes, and every login with
 * them. */
void cv_module_stop_all(struct cv_broker *b);

#endif
