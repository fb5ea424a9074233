/* Keys that tokens hold: what the methods about them have in common.
 *
 * A change on a token goes through the journal:
 *
 *     cv_held_open        finds the token, logs in, finishes what was cut off
 *     cv_held_lock        one broker at a time writes to tokens
 *     cv_held_begin       entered: a journal row for each key with all that the
 *                         end needs, then the decisions' leaves, durable
 *     Module.Import ...   not entered: it may take seconds
 *     cv_held_finish      the entries and the rows' end in one transaction, the
 *                         outcomes' leaves
 *
 * Killed between begin and finish, the rows stay; the keys' token says at its
 * next login how far it came (cv_held_recover). Keys that were begun together
 * end together. */
#ifndef CERTVAULT_BROKER_HELD_INTERNAL_H
#define CERTVAULT_BROKER_HELD_INTERNAL_H

#include "vault/broker/module_internal.h"
#include "vault/broker/take_internal.h"

#define CV_HELD_URI (CV_LIMIT_TOKEN_URI - 1)

/* One token. */
struct cv_held {
    struct cv_broker *broker;
    char uri[CV_HELD_URI + 1]; /* as its module tells it */
    char label[128];
    int lock;        /* -1: not held */
    cJSON *snapshot; /* what was on it before; may be NULL */
};

/* One key of those that are begun together. */
struct cv_held_change {
    struct cv_ask *ask;
    const cJSON *ref; /* the key's; borrowed */
    const cJSON *doc; /* the entry's; borrowed */
    bool may_leak;    /* policy permits a leaky key */
    bool any_way;     /* and one that got in by whatever way */
};

/* held.c */

/* Not entered. The one token that `uri` means ("pkcs11:": the only one there
 * is), logged in. CV_NOT_FOUND, CV_INVALID (several; not initialised;
 * write protected), CV_LOCKED with PinRequired's members in `reply`; what
 * cv_module_call fails with. *out is ended by cv_held_close. */
CV_MUST_USE enum cv_status cv_held_open(struct cv_broker *b, const char *uri,
                                        struct cv_reply *reply,
                                        struct cv_held *out,
                                        struct cv_err *err);
void cv_held_close(struct cv_held *held);

/* Not entered. Waits at most 30 s: CV_BUSY. Takes a snapshot too. */
CV_MUST_USE enum cv_status cv_held_lock(struct cv_held *held,
                                        struct cv_err *err);

/* Calls `method` at the token; `parameters` are taken, NULL: memory is gone.
 * *told (may be NULL): an answer came, so that what was done is known. */
CV_MUST_USE enum cv_status cv_held_call(struct cv_held *held,
                                        const char *method, cJSON *parameters,
                                        struct cv_message *reply, bool *told,
                                        struct cv_err *err);

/* One lock is for all tokens: what is on another one, for a change that is of
 * both. */
CV_MUST_USE enum cv_status cv_held_snapshot(struct cv_held *held,
                                            struct cv_err *err);

/* As cv_held_lock without a snapshot, and without waiting too. */
CV_MUST_USE enum cv_status cv_held_wait_lock(struct cv_held *held,
                                             struct cv_err *err);
CV_MUST_USE enum cv_status cv_held_try_lock(struct cv_held *held,
                                            struct cv_err *err);

/* "unwrapped" or "imported": how a key of this kind would get in. CV_INVALID:
 * not at all. */
CV_MUST_USE enum cv_status cv_held_accepts(struct cv_held *held,
                                           const char *type, int bits,
                                           char way[16], struct cv_err *err);

/* Examines the key of `ref` (borrowed): it is there, whole, and signs. *leaky
 * (may be NULL). CV_NOT_FOUND, CV_INTEGRITY. */
CV_MUST_USE enum cv_status cv_held_examine(struct cv_held *held,
                                           const cJSON *ref, bool *leaky,
                                           struct cv_err *err);

/* The same; *told as cv_held_call sets it. */
CV_MUST_USE enum cv_status cv_held_examine_told(struct cv_held *held,
                                                const cJSON *ref, bool *leaky,
                                                bool *told, struct cv_err *err);

/* Destroys the key of `ref` and what belongs to it; none is fine. */
CV_MUST_USE enum cv_status
cv_held_destroy(struct cv_held *held, const cJSON *ref, struct cv_err *err);

/* Adds what goes on beside the key: the chain, and the CA of the context that
 * is used by default. False when memory is gone. */
bool cv_held_add_certificates(cJSON *parameters, const cJSON *doc);

/* Puts them there, where the token takes them; what it said of it, an array
 * for the caller (NULL: memory is gone). */
cJSON *cv_held_put_certificates(struct cv_held *held, const cJSON *doc);

/* Not entered. The end of what was begun, `s` being what came of it on the
 * token: the entries stored, the outcomes told, the rows gone. Not `told`: the
 * rows stay. */
CV_MUST_USE enum cv_status cv_held_finish(struct cv_held *held,
                                          const struct cv_held_change *changes,
                                          size_t n, enum cv_status s, bool told,
                                          struct cv_err *err);

/* held_make.c: `spki` (base64) of a generated key into its document.
 * CV_INVALID, CV_INTEGRITY. */
CV_MUST_USE enum cv_status cv_held_generated(cJSON *doc, const char *spki,
                                             struct cv_err *err);

/* held_journal.c */

/* What a row says is being done. */
#define CV_HELD_IMPORT "import"
#define CV_HELD_GENERATE "generate"
#define CV_HELD_REMOVE "remove"
#define CV_HELD_DEBRIS "debris"

/* Entered; the decisions' leaves are queued, or durable already. A row for
 * each: `kind`, the key's `ref`, and the whole document. CV_OK: all of it is
 * durable. On failure nothing is; the outcomes say so. */
CV_MUST_USE enum cv_status cv_held_begin(struct cv_held *held, const char *kind,
                                         const struct cv_held_change *changes,
                                         size_t n, struct cv_err *err);

/* Entered. The rows alone, in a transaction: for what makes the leaves durable
 * itself, and drops the rows where that fails. */
CV_MUST_USE enum cv_status
cv_held_put_rows(struct cv_held *held, const char *kind,
                 const struct cv_held_change *changes, size_t n,
                 struct cv_err *err);

/* Entered. The rows say from now on that nothing of it may become an entry. */
CV_MUST_USE enum cv_status
cv_held_turn_back(struct cv_held *held, const char *kind,
                  const struct cv_held_change *changes, size_t n,
                  struct cv_err *err);

/* Entered. Puts each document in the place of the entry with its id, if there
 * is one, and ends the rows, in one transaction. */
CV_MUST_USE enum cv_status cv_held_store(const struct cv_held_change *changes,
                                         size_t n, struct cv_err *err);

/* Entered. One row as it is. */
CV_MUST_USE enum cv_status cv_held_put_row(struct cv_broker *b, const char *op,
                                           const char *action, const cJSON *row,
                                           struct cv_err *err);

/* Entered. Replaces the document of an entry, in a transaction of its own. */
CV_MUST_USE enum cv_status cv_held_update(struct cv_broker *b,
                                          const struct cv_store_entry *from,
                                          const cJSON *doc, struct cv_err *err);

/* Entered. Does the journal hold an intent whose name or identity `doc` has?
 * CV_EXISTS. */
CV_MUST_USE enum cv_status
cv_held_check_free(struct cv_broker *b, const cJSON *doc, struct cv_err *err);

/* One row. */
struct cv_held_row {
    char op[CV_LEAF_OP + 1];
    char action[32];
    int64_t created_s;
    cJSON *json;
};
struct cv_held_rows {
    struct cv_held_row *row;
    size_t n;
};

/* The rows about tokens that wait for their token; of `token` alone where that
 * is not NULL. The caller frees. */
CV_MUST_USE enum cv_status cv_held_rows(struct cv_broker *b, const char *token,
                                        struct cv_held_rows *out,
                                        struct cv_err *err);
void cv_held_rows_free(struct cv_held_rows *rows);

/* What people may know of them: [{kind, action, entry, token_uri, since}] and,
 * of debris, `objects`. NULL when memory is gone. */
cJSON *cv_held_rows_view(const struct cv_held_rows *rows);

/* held_recover.c */

/* Not entered, after a login: ends what was cut off on this token. Once for
 * each login; afterwards it costs a look at the journal. */
CV_MUST_USE enum cv_status
cv_held_recover(struct cv_broker *b, const char *token, struct cv_err *err);

/* Not entered: somebody logged in to this token just now. */
void cv_held_logged_in(struct cv_broker *b, const char *token);

/* held_may.c: by policy alone, before the token is asked for anything. Who may
 * not is told so here, and nobody is asked for a PIN; what is permitted is
 * decided later, when all is known. Not entered. CV_DENIED: recorded. */

/* An entry of this name and provenance, with these labels (may be NULL).
 * CV_INVALID: a name or labels that no entry has. */
CV_MUST_USE enum cv_status cv_held_may_be(struct cv_ask *ask, const char *name,
                                          const cJSON *labels,
                                          const char *provenance,
                                          struct cv_err *err);

/* A key on its way to a token, in one of the ways in which tokens take them:
 * `doc` is what is known of the entry, its provenance is set. */
CV_MUST_USE enum cv_status cv_held_may_go(struct cv_ask *ask, cJSON *doc,
                                          struct cv_err *err);

/* The same for an entry of this name (NULL: for any at all). */
CV_MUST_USE enum cv_status cv_held_may_go_as(struct cv_ask *ask,
                                             const char *name,
                                             const cJSON *labels,
                                             struct cv_err *err);

/* held_import.c */

/* Not entered. May a key of this kind be taken to the token, by policy and by
 * the token? `doc` is what is known of the entry; its provenance is set to how
 * the key would get in. CV_DENIED: recorded. */
CV_MUST_USE enum cv_status cv_held_may(struct cv_held *held, struct cv_ask *ask,
                                       cJSON *doc, const char *type, int bits,
                                       struct cv_err *err);

/* Not entered. cv_held_may for each of `takes` (prepared). */
CV_MUST_USE enum cv_status cv_held_may_all(struct cv_held *held,
                                           struct cv_take *takes, size_t n,
                                           struct cv_err *err);

/* Not entered. Takes identities, prepared, sealed to one target of this token,
 * to the token and into the store: all or none. One that was decided is
 * alone. */
CV_MUST_USE enum cv_status cv_held_take(struct cv_held *held,
                                        struct cv_take *takes, size_t n,
                                        struct cv_err *err);

/* Not entered. What cv_held_take would check before anything is changed; the
 * documents say that the keys are on the token. */
CV_MUST_USE enum cv_status cv_held_rehearse(struct cv_held *held,
                                            struct cv_take *takes, size_t n,
                                            struct cv_err *err);

/* held_remove.c: all that go are checked, then decided, then their rows put
 * (and the leaves durable), then one key after the other is destroyed. */

/* Entered. A key goes with the last entry that has it; `all` (`n` documents) go
 * in the same command. CV_EXISTS. */
CV_MUST_USE enum cv_status cv_held_remove_check(struct cv_broker *b,
                                                const cJSON *doc,
                                                cJSON *const *all, size_t n,
                                                struct cv_err *err);

/* Entered. As cv_ask_decide. */
CV_MUST_USE enum cv_status
cv_held_remove_decide(struct cv_ask *ask, const cJSON *doc, struct cv_err *err);

/* Not entered; the row is durable. Destroys the key, and ends the entry, the
 * row and the outcome. */
CV_MUST_USE enum cv_status cv_held_remove_key(struct cv_held *held,
                                              struct cv_ask *ask,
                                              const cJSON *doc,
                                              struct cv_err *err);

/* held_uri.c */

/* Does `key` (a key's or token's URI) have all that `uri` says of a token? */
bool cv_held_uri_covers(const char *uri, const char *key);

/* Does `uri` say which token is meant, and nothing else? Only token, serial,
 * model and manufacturer, each once, in printable ASCII: what somebody took for
 * the place of a PIN, or mistyped, is in no such URI. */
bool cv_held_uri_is_token(const char *uri);

/* Has it no attribute but those that may be shown to others: of tokens, keys
 * and modules? */
bool cv_held_uri_is_shown(const char *uri);

/* held_state.c */

/* Not entered. The entry's key was found (or the token has it no more): says so
 * where the entry says otherwise. What fails is not told. */
void cv_held_found(struct cv_broker *b, const cJSON *doc);
void cv_held_missed(struct cv_broker *b, const cJSON *doc);

#endif
