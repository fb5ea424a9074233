/* What verifying a log is made of: looking at each record by itself, which
 * several threads do at once (verify_look.c), and taking the records one after
 * the other (verify_take.c); verify_pass.c brings both together, verify.c reads
 * what lies around the log and makes the report. */
#ifndef CERTVAULT_AUDIT_VERIFY_INTERNAL_H
#define CERTVAULT_AUDIT_VERIFY_INTERNAL_H

#include "vault/audit/anchored.h"
#include "vault/audit/archived.h"
#include "vault/audit/carried.h"
#include "vault/audit/checkpoint.h"
#include "vault/audit/ops_internal.h"
#include "vault/audit/record_internal.h"
#include "vault/audit/report_internal.h"
#include "vault/audit/state_internal.h"
#include "vault/audit/tiles_internal.h"
#include "vault/audit/tree_made_internal.h"
#include "vault/audit/verify.h"

/* What a record says, as far as that can be told without the others. */
struct cv_verify_look {
    const char *wrong; /* with its form; NULL: nothing */
    uint8_t prev[CV_TREE_HASH];
    uint64_t seq;
    uint64_t op; /* cv_ops_hash */
    int64_t time_s;
    int64_t mono_ms; /* -1: it does not say */
    uint64_t boot;   /* cv_ops_hash of the boot id */
    size_t at;       /* in what was read */
    size_t len;
    bool permit;
    bool read; /* such a permit has no outcome */
    bool outcome;
    bool clock; /* an event that says that the clock was set */
    bool key;   /* perhaps one that gives the log another key, or carries
                   one that did */
    bool cut;   /* perhaps one that says that older ones were archived */
};

/* Looks at one, and hashes it. Any thread. */
void cv_verify_look_at(struct cv_bytes leaf, struct cv_verify_look *out,
                       uint8_t hash[CV_TREE_HASH]);

/* The same for all of them, up to the first whose checksum is wrong; how many
 * those are. Where they lie in `bytes`, each behind its frame's header, is said
 * already; what else they are is overwritten, like what is in `room`. */
size_t cv_verify_look_at_all(const uint8_t *bytes, struct cv_verify_look *look,
                             size_t n, struct cv_record *room,
                             uint8_t (*hash)[CV_TREE_HASH]);

/* A statement about the log at some size, to be held against it. */
struct cv_verify_claim {
    bool there;
    bool seen; /* the log reached its size */
    struct cv_checkpoint c;
};

/* One of audit/checkpoints, whose signature is looked at where it does not
 * fit. */
struct cv_verify_kept {
    uint64_t size;
    uint8_t root[CV_TREE_HASH];
    bool fits;
};

/* A note that lies at one of the places given; a view into their text. */
struct cv_verify_note {
    uint64_t size;
    uint8_t root[CV_TREE_HASH];
    struct cv_bytes note;
    size_t place;
    bool fits;
};

/* What one of those places knows. */
struct cv_verify_said {
    uint64_t size; /* of the longest note that the log continues; 0: none */
    bool conflict;
    uint64_t other; /* size of the longest that it does not */
};

struct cv_verify {
    int vault;
    int fd;
    struct cv_report report;
    struct cv_report notes;
    bool memory; /* it ran out */
    bool has_key;
    struct cv_note_key key;
    struct cv_verify_claim checkpoint; /* audit/checkpoint */
    int64_t checkpoint_age_s;
    bool checkpoint_bad;
    struct cv_verify_claim anchor; /* the note that was given */
    struct cv_anchored cosigned;   /* audit/cosigned */
    struct cv_verify_claim witness[CV_ANCHORED_MOST]; /* the same, as claims */
    int64_t given_s; /* when a witness signed the note that was given, or 0 */
    const char *given_by;
    bool anchor_unsigned;        /* by the key: perhaps by one before it */
    struct cv_carried changes;   /* of the log's key */
    struct cv_verify_kept *kept; /* by size */
    size_t n_kept;
    uint64_t kept_passed; /* lines that say nothing that is believed */
    size_t at_kept;       /* those before are below the size reached */
    const struct cv_verify_place *places;
    size_t n_places;
    struct cv_verify_note *placed; /* by size */
    size_t n_placed;
    size_t at_placed; /* as at_kept */
    struct cv_verify_said said[CV_VERIFY_PLACES];
    struct cv_state state;
    bool state_seen[CV_STATE_FRONTIERS];
    struct cv_archived gone; /* before the log's beginning */
    bool gone_told;          /* a record says so */
    uint64_t first;          /* that is looked at: those before are archived */
    uint64_t unpaired;       /* outcomes, of permits before it perhaps */
    struct cv_frontier at;   /* behind the last frame */
    uint64_t records;        /* frames that are right */
    struct cv_ops ops;
    struct cv_tiles_check *tiles;      /* NULL: not looked at (any more) */
    uint64_t tiles_size;               /* of those that count */
    struct cv_tiles_reach tiles_reach; /* whatever is said of them */
    int64_t last_s;                    /* since the clock was last set */
    int64_t last_ms;                   /* of this boot */
    uint64_t boot;
    bool torn;
    unsigned retries;
};

/* An error about the log as a whole, or at the record that comes next. */
void cv_verify_add(struct cv_verify *v, const char *what, const char *why);
void cv_verify_add_here(struct cv_verify *v, const char *what, const char *why);

/* Takes the next record: its place in the chain, the tree, the tiles, its pair,
 * its time. `made`: what is known of the tree above it, or NULL. `whole` false:
 * its checksum is wrong. One thread at a time. */
void cv_verify_take(struct cv_verify *v, const struct cv_verify_look *look,
                    const uint8_t hash[CV_TREE_HASH],
                    const struct cv_tree_made *made, struct cv_bytes leaf,
                    bool whole);

/* Is it no finding about the log, but a failure of the reading? */
bool cv_verify_is_fatal(enum cv_status status);

/* verify_tiles.c. Before the log is opened, and at its end. CV_IO, CV_CONFIG,
 * CV_INTERNAL. */
CV_MUST_USE enum cv_status cv_verify_tiles_read(struct cv_verify *v,
                                                struct cv_err *err);
void cv_verify_tiles_end(struct cv_verify *v);

/* A leaf that may give the log another key (rotation.h), or carry one that did
 * (carried.h): both must have signed it. At the end each must have followed the
 * one before. */
void cv_verify_key(struct cv_verify *v, struct cv_bytes leaf);

/* verify_archived.c. Where the log begins, read before it; what was claimed
 * about sizes below that is held against the hash tiles, once the log is open.
 * A leaf that may tell of it; and at the end: has one? CV_IO, CV_CONFIG,
 * CV_INTERNAL; at the end CV_BUSY: some were archived meanwhile. */
CV_MUST_USE enum cv_status cv_verify_archived_read(struct cv_verify *v,
                                                   struct cv_err *err);
CV_MUST_USE enum cv_status
cv_verify_archived_begin(struct cv_verify *v,
                         const struct cv_verify_options *options,
                         struct cv_err *err);
void cv_verify_archived_leaf(struct cv_verify *v, struct cv_bytes leaf);
/* Has the leaf of this number, which is archived, that hash? */
bool cv_verify_archived_has(const struct cv_verify *v, uint64_t seq,
                            const uint8_t hash[CV_TREE_HASH]);
CV_MUST_USE enum cv_status cv_verify_archived_end(struct cv_verify *v,
                                                  struct cv_err *err);
bool cv_verify_archived_report(const struct cv_verify *v, cJSON *report);

/* At the end: are the keys a chain that leads to the one which is believed, was
 * what is carried there, by the hash tiles, and has one of them signed the note
 * that was given? */
void cv_verify_keys_end(struct cv_verify *v, struct cv_bytes anchor);

/* Is the store's key, `vkey`, the one that is believed, or one before it? NULL
 * is fine. */
void cv_verify_keys_store(struct cv_verify *v, const char *vkey);

/* verify_kept.c. The checkpoints of earlier times (kept.h), read before the
 * log; held against it at each size; and at the end, when the log's keys are
 * known: each that does not fit and is signed by one of them is an error.
 * CV_IO, CV_CONFIG, CV_INTERNAL. */
CV_MUST_USE enum cv_status cv_verify_kept_read(struct cv_verify *v,
                                               struct cv_err *err);
void cv_verify_kept_claims(struct cv_verify *v);

/* Does one of those that were read, signed by a key that is known so far, speak
 * of the record that comes next? A tail that is torn there is none that a crash
 * left. Errors as above. */
CV_MUST_USE enum cv_status cv_verify_kept_covers(const struct cv_verify *v,
                                                 bool *covers,
                                                 struct cv_err *err);
CV_MUST_USE enum cv_status cv_verify_kept_end(struct cv_verify *v,
                                              struct cv_err *err);

/* verify_places.c. What lies at the places given, read before the log; held
 * against it at each size;
 * at the end, when the log's keys are known, each that does not fit is an
 * error, and the report gets "anchors". Covers: as cv_verify_kept_covers. */
void cv_verify_places_read(struct cv_verify *v,
                           const struct cv_verify_options *options);
void cv_verify_places_claims(struct cv_verify *v);
bool cv_verify_places_covers(const struct cv_verify *v);
void cv_verify_places_end(struct cv_verify *v);
bool cv_verify_places_report(const struct cv_verify *v, cJSON *report);
/* The kind of the place whose note reaches furthest; NULL: none has one. */
const char *cv_verify_places_kind(const struct cv_verify *v);

/* Is the note signed by the key that is believed, or by one that the log had?
 * At the end. */
bool cv_verify_is_signed(const struct cv_verify *v, struct cv_bytes note);

/* Holds what was claimed about this size against the log. */
void cv_verify_claims(struct cv_verify *v);

/* Takes all records up to the first frame that is not whole and right, or to
 * `end`, with up to `threads` threads. What comes there is the caller's to
 * judge. */
void cv_verify_pass(struct cv_verify *v, uint64_t end,
                    const struct cv_verify_options *options);

#endif
