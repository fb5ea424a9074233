/* What the anchors' files share. */
#ifndef CERTVAULT_BROKER_ANCHOR_INTERNAL_H
#define CERTVAULT_BROKER_ANCHOR_INTERNAL_H

#include "vault/audit/checkpoint.h"
#include "vault/audit/proof.h"
#include "vault/broker/anchor.h"
#include "vault/broker/anchor_config.h"
#include "vault/broker/broker_internal.h"

#define CV_ANCHOR_WHY 200

/* A checkpoint on its way to one of them. */
struct cv_anchor_run {
    int fd;                     /* a place's child; -1: none runs */
    struct cv_channel *channel; /* a witness' intake; NULL: none runs */
    uint32_t child;
    int64_t until_ms;
    struct cv_buf note;
    struct cv_checkpoint what;
    uint64_t old;  /* a witness': the size that was sent as its last */
    bool repeated; /* with the size that it told itself */
    struct cv_buf in;
};

/* One that is configured. */
struct cv_anchor_one {
    char id[17]; /* hex of the beginning of SHA-256 of its text */
    struct cv_anchor_config config;
    const char *ca_pem; /* a witness'; NULL: the system's authorities */
    uint64_t size;      /* of the last checkpoint there; time_s 0: none */
    uint8_t root[CV_TREE_HASH];
    int64_t time_s;              /* when; a witness' by its own word */
    bool conflict;               /* it knows another log of this name */
    char why[CV_ANCHOR_WHY + 1]; /* what was wrong last; "": nothing */
    bool wanted;                 /* it is to get the last checkpoint */
    bool asked;                  /* at once, by a person */
    bool told;                   /* the record has this failure */
    unsigned failures;           /* in a row */
    int64_t next_ms;             /* not before */
    struct cv_anchor_run run;
};

struct cv_anchors {
    struct cv_anchor_one at[CV_LIMIT_ANCHORS];
    size_t n;
    struct cv_buf note; /* the last checkpoint; empty: none */
    struct cv_checkpoint last;
};

/* The configured ones, with what the vault remembers of them. NULL: none are,
 * there is no vault yet, or memory is gone. */
struct cv_anchors *cv_anchors_of(struct cv_broker *b);

/* anchor_state.c: audit/anchors. Reading passes over what is not of the form:
 * it is derived. */
void cv_anchor_state_load(struct cv_broker *b, struct cv_anchors *all);
void cv_anchor_state_save(struct cv_broker *b, const struct cv_anchors *all);
/* A witness' line under the log's own: audit/cosigned/<id of its key>. */
CV_MUST_USE enum cv_status cv_anchor_state_keep(struct cv_broker *b,
                                                const struct cv_anchor_one *a,
                                                struct cv_bytes cosigned,
                                                struct cv_err *err);

/* How a run ended, in anchor.c. */
void cv_anchor_done(struct cv_broker *b, struct cv_anchor_one *a,
                    int64_t time_s);
void cv_anchor_failed(struct cv_broker *b, struct cv_anchor_one *a,
                      const char *why);
/* It knows a log of this name that is not the beginning of ours: `size` leaves
 * are known there. */
void cv_anchor_conflicts(struct cv_broker *b, struct cv_anchor_one *a,
                         uint64_t size, const char *why);

/* What lies at an anchor, among other things. */
struct cv_anchor_found {
    bool is_signed; /* by our key: `newest` is the newest such note */
    struct cv_checkpoint newest;
    /* What notes of our origin by other keys say, at most. The key may be one
     * that the log got after the state that we have: it would be a copy from
     * before `audit key rotate`. */
    uint64_t claimed;
};

void cv_anchor_find(const struct cv_broker *b, struct cv_bytes text,
                    struct cv_anchor_found *out);
/* Is our log, `now`, the continuation of all that was found? As
 * cv_anchor_continues. */
CV_MUST_USE enum cv_status
cv_anchor_compare(struct cv_broker *b, const struct cv_anchor_found *found,
                  const struct cv_checkpoint *now, struct cv_err *err);
/* The size that it speaks of. */
uint64_t cv_anchor_found_size(const struct cv_anchor_found *found);
/* Is our log, `now`, the continuation of `then`? CV_INTEGRITY: it is not;
 * CV_BUSY: that cannot be told now (tiles). */
CV_MUST_USE enum cv_status cv_anchor_continues(struct cv_broker *b,
                                               const struct cv_checkpoint *then,
                                               const struct cv_checkpoint *now,
                                               struct cv_err *err);

/* Has our log so many records? CV_INTEGRITY: it has not; CV_BUSY: as above. */
CV_MUST_USE enum cv_status cv_anchor_reaches(struct cv_broker *b, uint64_t size,
                                             struct cv_err *err);
/* The proof that our log `now` continues its first `size` leaves, whose root
 * this is. CV_BUSY: not now. */
CV_MUST_USE enum cv_status cv_anchor_prove(struct cv_broker *b, uint64_t size,
                                           const struct cv_checkpoint *now,
                                           struct cv_proof *proof,
                                           uint8_t root[CV_TREE_HASH],
                                           struct cv_err *err);

/* anchor_run.c, anchor_witness.c, anchor_token.c: start sends run.what (note
 * too); go_on takes what came in. Both end by one of the three above, at once
 * or later. */
void cv_anchor_run_start(struct cv_broker *b, struct cv_anchor_one *a,
                         size_t number);
void cv_anchor_run_go_on(struct cv_broker *b, struct cv_anchor_one *a);
bool cv_anchor_run_is_on(const struct cv_anchor_one *a);
void cv_anchor_run_stop(struct cv_broker *b, struct cv_anchor_one *a,
                        bool force);

void cv_anchor_witness_start(struct cv_broker *b, struct cv_anchor_one *a);
void cv_anchor_witness_go_on(struct cv_broker *b, struct cv_anchor_one *a);

void cv_anchor_token_start(struct cv_broker *b, struct cv_anchor_one *a);

#endif
