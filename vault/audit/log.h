/* The audit log: the write-ahead file audit/log beneath the vault's folder.
 *
 * A frame is  length u32le || CRC-32C(record) u32le || record ; a record is one
 * leaf: canonical JSON of at most CV_LIMIT_LEAF bytes (leaf.h). Leaf n holds
 * seq = n and prev = base64 of the RFC 6962 leaf hash of leaf n - 1 (32 zero
 * bytes for n = 0). The file only ever grows; what lies beside it (state,
 * checkpoint) is derived from it.
 *
 * Writing, all of it while the caller holds the vault's lock (flock on
 * vault/lock, which is the caller's affair):
 *
 *     cv_log_refresh    catch up with what other processes appended
 *     cv_log_append...  leaves get seq and prev; nothing is on the disk yet
 *     cv_log_commit     one write, one fdatasync. CV_OK: durable, now release
 *
 * "Durable" is said only when fdatasync returned 0 and the open file is still
 * the one at its path, with one name and the size that it must have; unlinked,
 * renamed, replaced or truncated is CV_IO, and nothing may be released. After a
 * failed commit the log is dead: every call fails with CV_IO; close it and open
 * it again (a failed fsync is never repeated on the same descriptor).
 *
 * Behind the last frame there may be zeros, up to a multiple of 64 KiB
 * (cv_log_stay); they are not part of it, and cv_log_bytes does not count them.
 *
 * A torn tail (the rest of a write that a crash cut off) is passed over; the
 * next append drops it. cv_log_torn says how many bytes that will be: the
 * caller appends an event leaf that says so (action "log", details.torn_bytes)
 * before its own.
 *
 * A leaf that may wait (reads) is best kept by the caller until its next
 * transaction: seq and prev are only valid until the lock is given back.
 *
 * Threads: one at a time. Fork: the child must not use it. */
#ifndef CERTVAULT_AUDIT_LOG_H
#define CERTVAULT_AUDIT_LOG_H

#include "vault/audit/tree.h"

#include <cjson/cJSON.h>

struct cv_log;
struct cv_leaf; /* leaf.h */

enum cv_log_mode {
    CV_LOG_READ,  /* appends nothing, drops nothing, needs no lock */
    CV_LOG_WRITE, /* the log must be there: gone is CV_INTEGRITY */
    CV_LOG_CREATE /* a new vault: makes audit/ (0700) and the empty log (0600);
                     CV_EXISTS where there is one */
};

/* Opens the log of the vault whose folder is `vault` and checks it: a log of up
 * to 1 MiB whole (CRC, form, seq, prev), a longer one from the last frontier in
 * audit/state that leaves at least 1 MiB to check; the checkpoint's signature,
 * that the log is not shorter than it, and the root at its size. Reads files,
 * takes no lock (the caller holds it for CV_LOG_WRITE).
 * CV_NOT_FOUND (CV_LOG_READ: no log and nothing that is derived from one),
 * CV_EXISTS (CV_LOG_CREATE), CV_INTEGRITY (anything that differs), CV_CONFIG
 * (owner, mode, link), CV_IO. *out is NULL on failure. */
CV_MUST_USE enum cv_status cv_log_open(int vault, enum cv_log_mode mode,
                                       struct cv_log **out, struct cv_err *err);

/* The same for writing, in the place of a log that died: `known` is what was
 * durable by its word (cv_log_tree, copied). It must be there as after a
 * checkpoint of that size: a log that somebody cut behind the last checkpoint
 * is CV_INTEGRITY, until it is put back. */
CV_MUST_USE enum cv_status cv_log_open_again(int vault,
                                             const struct cv_tree *known,
                                             struct cv_log **out,
                                             struct cv_err *err);

/* Drops what was appended and not committed; frees. NULL is fine. */
void cv_log_close(struct cv_log *log);

/* Reads and checks what was appended since; cheap when nothing was. Leaves that
 * were appended here and not committed are CV_INTERNAL. CV_IO: the file is not
 * the one at its path any more, or shorter (the log is dead then);
 * CV_INTEGRITY: what was added is no continuation. */
CV_MUST_USE enum cv_status cv_log_refresh(struct cv_log *log,
                                          struct cv_err *err);

/* Is there something in the file behind what was read? Reads a few bytes and
 * takes no lock: what is there may still be at work, and cv_log_refresh decides
 * what it is. True also where a torn end is. By the file's bytes alone: two
 * writes within a tick of the clock leave it one time. */
bool cv_log_is_behind(const struct cv_log *log);

/* Writes `leaf` with v, seq and prev behind those that are queued; *seq (may be
 * NULL) is its number. No I/O. What was written is read again as `audit verify`
 * reads it, and queued only if that takes it. CV_INVALID: see cv_leaf_build; or
 * longer than CV_LIMIT_LEAF; the leaves queued before stay. CV_IO: dead or
 * read-only. */
CV_MUST_USE enum cv_status cv_log_append_leaf(struct cv_log *log,
                                              const struct cv_leaf *leaf,
                                              uint64_t *seq,
                                              struct cv_err *err);

/* The same for a leaf that waited as a tree (cv_leaf_build; the caller keeps
 * it, with the new members). It costs several times as much. CV_INVALID also
 * where it cannot be written canonically (fractions, DEL). */
CV_MUST_USE enum cv_status cv_log_append(struct cv_log *log, cJSON *leaf,
                                         uint64_t *seq, struct cv_err *err);

/* Writes all that is queued and makes it durable; see above. CV_OK at once when
 * nothing is queued. CV_IO: nothing of it counts, the log is dead; the part
 * that may have reached the file is taken back where that can be done. */
CV_MUST_USE enum cv_status cv_log_commit(struct cv_log *log,
                                         struct cv_err *err);

/* This process stays: from now on commits keep zeros ahead of the end, which
 * later ones overwrite; up to a multiple of 64 KiB, not in the way of anybody
 * who reads. A process that does not stay drops those that it finds when it
 * commits. */
void cv_log_stay(struct cv_log *log);

/* At a clean end: takes the zeros back, and writes none any more. CV_IO. */
CV_MUST_USE enum cv_status cv_log_trim(struct cv_log *log, struct cv_err *err);

/* Was the disk full at the last commit? Until the caller says that it has room
 * again no zeros are kept ahead, and outcomes and permits (but those of reads)
 * are given room out of audit/reserve (reserve.h), where there is one; denials
 * and reads fail. The caller keeps reads for later then, so that they do not
 * go along. */
bool cv_log_is_tight(const struct cv_log *log);
void cv_log_set_tight(struct cv_log *log, bool tight);

/* Forgets what is queued. */
void cv_log_discard(struct cv_log *log);

/* Leaves that are durable (as far as this object knows). */
uint64_t cv_log_size(const struct cv_log *log);

/* Bytes that these leaves take in the file. */
uint64_t cv_log_bytes(const struct cv_log *log);

/* Bytes behind the last whole frame that the next append will drop. */
uint64_t cv_log_torn(const struct cv_log *log);

/* Were there records and no checkpoint over any of them when it was opened? The
 * first one is signed when a vault is made: what lay behind a checkpoint that
 * is gone could have been cut off. The caller appends an event leaf that says
 * so (action "log", details.missing "checkpoint"); false from then on that it
 * is durable. */
#define CV_LOG_BARE                                                           \
    "the last checkpoint is missing: what was behind it could have been cut " \
    "off; hold the log against an anchor"
bool cv_log_is_bare(const struct cv_log *log);

/* The highest policy that the leaves name which were read: all that others
 * appended, and of what was there at the opening at least the last 1 MiB. The
 * floor below which no store may fall. */
struct cv_log_policy {
    int64_t version; /* -1: none of them names one */
    char sha256[65];
};
const struct cv_log_policy *cv_log_last_policy(const struct cv_log *log);

/* Raises `policy` (version -1: none yet) to what `record`, a leaf, was written
 * under, if that is higher; what is no leaf changes nothing. */
void cv_log_policy_raise(struct cv_log_policy *policy, struct cv_bytes record);

/* False once a commit or refresh failed for good. */
bool cv_log_alive(const struct cv_log *log);

/* The tree over the durable leaves; borrowed, changes with the log. */
const struct cv_tree *cv_log_tree(const struct cv_log *log);

/* The hash of the last durable leaf (what the next prev will say). */
void cv_log_prev(const struct cv_log *log, uint8_t out[CV_TREE_HASH]);

/* When the last leaf, queued ones too, was made, by its own words. `time` is ""
 * where none was read yet (an empty log); mono_ms -1 and boot "" where it does
 * not say. Borrowed, changes with the log. */
struct cv_log_moment {
    char time[32]; /* RFC 3339 */
    int64_t mono_ms;
    char boot[48];
};
const struct cv_log_moment *cv_log_last_moment(const struct cv_log *log);

/* The key that the last leaf gives the log which does so (rotation.h), of those
 * that were read or appended; NULL: none. */
struct cv_note_key;
const struct cv_note_key *cv_log_rotated(const struct cv_log *log);

/* audit/key.pub is another one now. */
void cv_log_use_key(struct cv_log *log, const struct cv_note_key *key);

/* The vault's folder (a descriptor of the log's own, borrowed). */
int cv_log_vault(const struct cv_log *log);

/* `audit status`: {"log": "audit/log", "size", "checkpoint": {"size", "age_s"}
 * or null, "anchored": "none"}. The caller frees *out. CV_INTEGRITY when the
 * checkpoint is not one. */
CV_MUST_USE enum cv_status cv_log_status(const struct cv_log *log, cJSON **out,
                                         struct cv_err *err);

#endif
