/* The store: what the vault knows, in DIR/vault.db. SQLite lies behind it and
 * nothing of it shows: no call takes or gives SQL.
 *
 * Opened with WAL, synchronous=FULL, secure_delete; every row carries a digest
 * of its content (BLAKE2b-256), checked whenever it is read, so that a changed
 * byte is an error and never an answer. Digests find accidents; who can write
 * the file can also make new ones.
 *
 * Changes happen in a transaction, entries and import journal in the same one:
 *
 *     cv_store_begin     takes SQLite's write lock (waits up to 5 s: CV_BUSY)
 *     put, update...     (store_entry.h, store_slot.h, store_policy.h,
 *                         store_journal.h, store_request.h,
 *                         cv_store_meta_put)
 *     cv_store_commit    durable when CV_OK      or cv_store_rollback
 *
 * A call that changes something outside a transaction is one of its own. After
 * any error inside one, roll back (a full disk may have done it already;
 * rolling back then does nothing); the store is usable again at once.
 *
 * What was removed (sealed bytes, slots) is gone from the files when the commit
 * returns: it is overwritten, the WAL is cut to nothing, and the database is
 * searched for what SQLite may have left of it when it moved rows. Where
 * another process is in the way, that is done at the next commit or the close.
 *
 * Statuses, everywhere in the store: CV_INTEGRITY (not a database, not ours,
 * damaged, a digest that does not match), CV_IO (disk full, not writable),
 * CV_BUSY (another process holds it), CV_INTERNAL (memory; a bug), and those
 * that a function names. Blocking: files.
 *
 * Threads: one at a time. Fork: the child must not use it, nor close it. No
 * other descriptor for vault.db may be opened and closed in this process while
 * a store is open (POSIX locks would be lost). */
#ifndef CERTVAULT_STORE_STORE_H
#define CERTVAULT_STORE_STORE_H

#include "vault/base/buf.h"

#include <stdbool.h>

/* Goes up when the tables change; a newer one than this is refused, an older
 * one is brought up to it when it is opened. */
#define CV_STORE_SCHEMA 4
#define CV_STORE_ID 32 /* hex digits of a vault or entry id */

struct cv_store;

/* Makes DIR/vault.db: built beside its place, then renamed, so that it is there
 * whole or not at all. `folder` is the folder's path, `folder_fd` the folder
 * that was opened and checked: they must be the same one. CV_EXISTS: there is a
 * vault.db; CV_INVALID: `vault_id` is not 32 hex digits. Leaves it open. */
CV_MUST_USE enum cv_status cv_store_create(const char *folder, int folder_fd,
                                           const char *vault_id,
                                           struct cv_store **out,
                                           struct cv_err *err);

/* Opens it. CV_NOT_FOUND: there is none (and no vault.db-wal, which would be
 * CV_INTEGRITY); CV_INTEGRITY with a hint: newer schema; CV_CONFIG: owner,
 * mode, link. Cheap: pages are checked as they are read. *out NULL on failure.
 */
CV_MUST_USE enum cv_status cv_store_open(const char *folder, int folder_fd,
                                         struct cv_store **out,
                                         struct cv_err *err);

/* Reads one fact (cv_store_meta_get) beneath the folder `folder_fd` without
 * opening a store: no lock, nothing is written, no WAL is read, so it may be
 * the value of a moment ago. For a reader that may change nothing.
 * CV_NOT_FOUND: no vault.db, or not that fact; CV_BUSY: not now, somebody
 * writes perhaps. */
CV_MUST_USE enum cv_status cv_store_peek(int folder_fd, const char *key,
                                         struct cv_buf *out,
                                         struct cv_err *err);

/* Rolls back what is open, closes, frees. NULL is fine. */
void cv_store_close(struct cv_store *store);

/* The vault's id (borrowed). */
const char *cv_store_vault_id(const struct cv_store *store);

CV_MUST_USE enum cv_status cv_store_begin(struct cv_store *store,
                                          struct cv_err *err);
CV_MUST_USE enum cv_status cv_store_commit(struct cv_store *store,
                                           struct cv_err *err);
void cv_store_rollback(struct cv_store *store);
bool cv_store_in_transaction(const struct cv_store *store);

/* Was there no room on the disk for what failed since the last cv_store_begin?
 * With more room the same may be tried again. */
bool cv_store_was_full(const struct cv_store *store);

/* Named facts about the vault (public_key, origin, port...); `key` is one of
 * the program's own words. Get appends the value: CV_NOT_FOUND. */
CV_MUST_USE enum cv_status cv_store_meta_get(struct cv_store *store,
                                             const char *key,
                                             struct cv_buf *out,
                                             struct cv_err *err);
CV_MUST_USE enum cv_status cv_store_meta_put(struct cv_store *store,
                                             const char *key, const char *value,
                                             struct cv_err *err);

/* Checks everything (doctor): SQLite's own check, every row's digest, labels
 * against their index. Time grows with the store. */
CV_MUST_USE enum cv_status cv_store_check(struct cv_store *store,
                                          struct cv_err *err);

#endif
