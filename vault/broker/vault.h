/* An open vault: its folder, its store, its log, and the lock that keeps
 * brokers apart.
 *
 *     DIR/              0700
 *     DIR/vault.db      entries, slots, policy, journal (vault/store)
 *     DIR/audit/        the log, its key, its checkpoint (vault/audit)
 *     DIR/lock          flock, held for a transaction
 *     DIR/service       flock, held for life: by the service alone, or shared
 * by agents and private brokers; holds the service's socket DIR/initialising
 * there while `init` is at work: what lies beside it is no vault yet
 */
#ifndef CERTVAULT_BROKER_VAULT_H
#define CERTVAULT_BROKER_VAULT_H

#include "vault/audit/log.h"
#include "vault/audit/logkey.h"
#include "vault/base/limits.h"
#include "vault/store/store.h"

#include <limits.h>

struct cv_vault {
    char folder[PATH_MAX];
    int dir;
    int lock;
    int service;
    bool entered;
    bool stays; /* keeps zeros ahead in the log (cv_log_stay) */
    struct cv_store *store;
    struct cv_log *log;
    struct cv_tree known; /* what was durable in one that died */
    struct cv_note_key log_key;
    bool rotating; /* rotate.h: the next checkpoint wants both signatures */
    struct cv_note_key next_key;
    char id[CV_STORE_ID + 1];
    char public_key[64];                /* base64 of 32 bytes */
    char token_uri[CV_LIMIT_TOKEN_URI]; /* where keys go; "": sealed */
};

/* Opens the vault in `folder`, of which `dir` is an open descriptor (taken, on
 * failure too). `socket_path`: not NULL for the service, which then holds the
 * vault for life. CV_NOT_FOUND (no vault here), CV_INTEGRITY, CV_CONFIG, CV_IO,
 * CV_BUSY (the service holds it, its socket is named; or the other way round).
 */
CV_MUST_USE enum cv_status cv_vault_open(const char *folder, int dir,
                                         const char *socket_path,
                                         struct cv_vault **out,
                                         struct cv_err *err);

/* A vault that was destroyed: its record is all that is left, and says so. */
#define CV_VAULT_DESTROYED "destroyed"
#define CV_VAULT_DESTROYED_BUT_RECORD "the record stays\n"
#define CV_VAULT_DESTROYED_WITH_RECORD "the record goes too\n"

/* Removes what the marker in `dir` says is to go: overwritten first, as far as
 * the file system lets a program. What cannot be removed is left to the next
 * start. Nothing of the vault may be open. */
void cv_vault_end(int dir);

/* Was the vault in `dir` destroyed? Then `err` says so: CV_NOT_FOUND. */
CV_MUST_USE enum cv_status cv_vault_was_destroyed(int dir, const char *folder,
                                                  struct cv_err *err);

/* Is `init` free to make a vault in the folder `dir`? CV_EXISTS: there is one;
 * CV_INTEGRITY: parts of one without the rest. */
CV_MUST_USE enum cv_status cv_vault_is_free(int dir, struct cv_err *err);

/* Takes a folder in which there is no vault, for the one that is to be made in
 * it: before anything is made or cleaned there. Whoever else comes waits up to
 * 10 s and is told CV_EXISTS: there is a vault now, or it is still being made.
 * Nothing is changed then. *claim (flock on DIR/service, exclusive) goes to
 * cv_vault_create, or back with cv_vault_unclaim, which leaves the folder as it
 * was. Also CV_INTEGRITY as of cv_vault_is_free, CV_IO. */
CV_MUST_USE enum cv_status cv_vault_claim(int dir, int *claim,
                                          struct cv_err *err);
void cv_vault_unclaim(int dir, int *claim);

/* What a new vault is made of. */
struct cv_vault_plan {
    const char *id;
    const char *log_origin;
    const char *public_key;
    const struct cv_note_key *log_key; /* on a token; NULL: one is drawn */
    const char *log_key_uri;           /* and which */
    const char *token_uri; /* where keys go that are told no place; or NULL */
};

/* Begins a new vault: removes what an interrupted `init` left, makes the log
 * key, the empty log and the store. cv_vault_settle ends it. Until then a start
 * takes the folder for empty. `dir` and `claim` are taken. Where
 * cv_vault_settle fails (CV_IO), *there says whether a start may find the vault
 * all the same: then nothing that belongs to it may be taken away. */
CV_MUST_USE enum cv_status cv_vault_create(const char *folder, int dir,
                                           const struct cv_vault_plan *plan,
                                           int claim, struct cv_vault **out,
                                           struct cv_err *err);
CV_MUST_USE enum cv_status cv_vault_settle(struct cv_vault *v, bool *there,
                                           struct cv_err *err);

/* Who opened it stays, and serves many: the log is written as cv_log_stay says.
 */
void cv_vault_stay(struct cv_vault *v);

/* Closes everything; NULL is fine. What cv_vault_stay left in the log is taken
 * back. */
void cv_vault_close(struct cv_vault *v);

/* Takes the lock (waits up to 10 s: CV_BUSY) and catches up with the log.
 * A log that died is opened again. cv_vault_leave gives it back and forgets
 * leaves that were queued and not committed. */
CV_MUST_USE enum cv_status cv_vault_enter(struct cv_vault *v,
                                          struct cv_err *err);
void cv_vault_leave(struct cv_vault *v);

#endif
