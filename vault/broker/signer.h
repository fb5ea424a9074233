/* Who signs the log: the token process with the seed that lies in
 * audit/log.key, or the process of a PKCS#11 module with a key that never
 * leaves its token (vault/audit/logkey_token.h).
 *
 * Nothing that is decided or released waits for a token. While it is locked or
 * away leaves are written as ever; checkpoints wait, and are signed once it is
 * there. By itself a broker never asks anybody for a PIN: one that stays looks
 * now and then whether the token is logged in, and logs in where it has the PIN
 * (the service's configuration, or one that was right before) under the rules
 * of ledger.h; a private one signs at its end where its command logged in. Who
 * asks for a checkpoint is asked for the PIN. */
#ifndef CERTVAULT_BROKER_SIGNER_H
#define CERTVAULT_BROKER_SIGNER_H

#include "vault/audit/note.h"
#include "vault/base/limits.h"
#include "vault/wire/reply.h"

struct cv_broker;

struct cv_signer {
    struct cv_err why; /* why the last checkpoint was not signed; CV_OK: it was,
                          or none was wanted yet */
    int64_t next_ms;   /* boot clock: not to be tried before */
    int64_t pause_ms;
};

/* Appends the signature line that `key` makes under `text`: the log's key, or
 * (`next`) the one that it is being changed for. As cv_helper_call and
 * cv_module_call; CV_INTEGRITY: the key that is there is another. */
CV_MUST_USE enum cv_status cv_signer_line(struct cv_broker *b,
                                          const struct cv_note_key *key,
                                          bool next, const struct cv_buf *text,
                                          struct cv_buf *line,
                                          struct cv_err *err);

/* The same with the token's key that `uri` names, which no file has yet. Not
 * entered: a token takes its time. */
CV_MUST_USE enum cv_status
cv_signer_line_at(struct cv_broker *b, const struct cv_note_key *key,
                  const char *uri, const struct cv_buf *text,
                  struct cv_buf *line, struct cv_err *err);

/* Not entered. For a call that wants a checkpoint: CV_OK where it can be signed
 * as far as one can see. CV_LOCKED with PinRequired's members in `reply`;
 * CV_UNAVAILABLE: the token is not there; else as cv_module_need_login. */
CV_MUST_USE enum cv_status
cv_signer_need(struct cv_broker *b, struct cv_reply *reply, struct cv_err *err);

/* The same where the last checkpoint covers fewer than `size` leaves. */
CV_MUST_USE enum cv_status cv_signer_need_over(struct cv_broker *b,
                                               uint64_t size,
                                               struct cv_reply *reply,
                                               struct cv_err *err);

/* Entered or not. Could one be signed now, without a login? */
bool cv_signer_is_open(struct cv_broker *b);

/* Entered. Does a token sign, which may take its time? */
bool cv_signer_is_slow(const struct cv_broker *b);

/* Not entered. May a checkpoint that nobody asked for be signed now? Never asks
 * anybody; looks at a token at most every pause. */
bool cv_signer_may(struct cv_broker *b);

/* Is there anything to look for, where it may not be signed now? */
bool cv_signer_waits(const struct cv_broker *b);

/* Is the file gone that has the log's key, or says which token has it? Then
 * leaves are written as ever, and nothing signs them. */
bool cv_signer_is_gone(const struct cv_broker *b);

/* How signing went. */
void cv_signer_ended(struct cv_broker *b, enum cv_status s,
                     const struct cv_err *err, int64_t took_ms);

/* A token was logged in: it may be the one. */
void cv_signer_ready(struct cv_broker *b);

/* The failure of the last try to sign, for a call that wanted a checkpoint and
 * has none over `size` leaves; CV_OK: it has. */
CV_MUST_USE enum cv_status cv_signer_failed(struct cv_broker *b, uint64_t size,
                                            struct cv_err *err);

/* Adds "log_key" to the record's status: {location, token_uri?, waiting,
 * error?, state?}. No token is asked. */
bool cv_signer_add(struct cv_broker *b, cJSON *status);

/* Not entered. The same for doctor, with what the token says now ("token":
 * ready, locked, absent, other); nobody is logged in for it. */
cJSON *cv_signer_health(struct cv_broker *b);

/* A key for the log on a token, logged in. */
struct cv_signer_key {
    struct cv_note_key key;
    char uri[CV_LIMIT_TOKEN_URI + 1];
    char id[33], label[CV_NOTE_NAME + 32];
    bool made;
};

/* Draws the id and the label of a key that may have to be made. */
void cv_signer_name(const char *origin, struct cv_signer_key *out);

/* Makes it, or finds the one that `uri` names, and sees that it signs. Not
 * entered. CV_INVALID: the token does not do Ed25519, or the key is of another
 * kind; CV_NOT_FOUND; else as cv_module_call. */
CV_MUST_USE enum cv_status cv_signer_make(struct cv_broker *b, const char *uri,
                                          const char *origin,
                                          struct cv_signer_key *out,
                                          struct cv_err *err);

/* Destroys what cv_signer_make made, or may have made; nothing there is fine.
 * Where that fails the error's state says what is left. */
CV_MUST_USE enum cv_status cv_signer_undo(struct cv_broker *b, const char *uri,
                                          const struct cv_signer_key *key,
                                          struct cv_err *err);

/* signer_pending.c. What is being made is written down in the store before its
 * token is asked, until it is the log's or gone, so that no key that nobody
 * knows stays on a token. Rows of changes that were cut off stay beside. */

/* Not entered. One broker at a time makes such keys (held_internal.h), from
 * before cv_signer_plan until its leaf is on the disk; closing *lock ends it.
 * Waits at most 30 s: CV_BUSY. */
CV_MUST_USE enum cv_status cv_signer_lock(struct cv_broker *b, int *lock,
                                          struct cv_err *err);

/* Not entered. The one token that `uri` means, with its serial number and the
 * module that `uri` names: another of the same label is not it. `out` has
 * CV_LIMIT_TOKEN_URI + 1 bytes. As cv_module_token. */
CV_MUST_USE enum cv_status cv_signer_token(struct cv_broker *b, const char *uri,
                                           char *out, struct cv_err *err);

/* Entered. `key` is to be made on the token of `uri` (cv_signer_token's); it is
 * not being made any more. CV_BUSY: too many were cut off before. */
CV_MUST_USE enum cv_status cv_signer_plan(struct cv_broker *b, const char *uri,
                                          const struct cv_signer_key *key,
                                          struct cv_err *err);
CV_MUST_USE enum cv_status cv_signer_unplan(struct cv_broker *b,
                                            const struct cv_signer_key *key,
                                            struct cv_err *err);

/* Entered. Nothing is being made any more where that key is the one whose URI
 * the store has: what the log was once signed with is never destroyed. */
struct cv_vault;
CV_MUST_USE enum cv_status cv_signer_settle(struct cv_vault *v,
                                            struct cv_err *err);

/* Entered. How many keys that were being made may be on tokens that `uri`
 * covers (cv_held_uri_covers); those are looked for no more, because the token
 * is gone. The lock is whoever's who calls, so that none of them is still being
 * made. */
CV_MUST_USE enum cv_status cv_signer_count(struct cv_broker *b, const char *uri,
                                           int64_t *n, struct cv_err *err);
CV_MUST_USE enum cv_status
cv_signer_give_up(struct cv_broker *b, const char *uri, struct cv_err *err);

/* For a store that was restored: an old copy destroys nothing. What it forgets
 * is told before: the URIs of the tokens, one a row. */
struct cv_store;
CV_MUST_USE enum cv_status cv_signer_left(struct cv_store *store, cJSON *uris,
                                          struct cv_err *err);
CV_MUST_USE enum cv_status cv_signer_forget(struct cv_store *store,
                                            struct cv_err *err);

/* Not entered, at a login and before another is made: destroys the keys that
 * changes were cut off with, where their tokens are there and logged in or want
 * no login; each is recorded before, durably, and how it went. Nothing while
 * another broker makes one. */
void cv_signer_clean(struct cv_broker *b);

/* Adds what is written down to Health's "pending": {kind: "log-key", id,
 * token_uri}. False: memory is gone. */
bool cv_signer_add_pending(struct cv_broker *b, cJSON *items);

#endif
