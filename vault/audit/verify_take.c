/* The records, one after the other. */
#include "vault/audit/verify_internal.h"

#include "vault/audit/wal_internal.h"

#include <stdio.h>
#include <string.h>

/* Leaves may wait a moment for a commit while others are made: times that go
 * back less than this are in order. */
#define SLACK_S 10

void cv_verify_add(struct cv_verify *v, const char *what, const char *why)
{
    cv_report_add(&v->report, what, CV_REPORT_NOWHERE, CV_REPORT_NOWHERE, why);
}

void cv_verify_add_here(struct cv_verify *v, const char *what, const char *why)
{
    cv_report_add(&v->report, what, v->at.tree.size, v->at.offset, why);
}

static void note_here(struct cv_verify *v, const char *why)
{
    cv_report_add(&v->notes, "time", v->at.tree.size, v->at.offset, why);
}

static void check_claim(struct cv_verify *v, struct cv_verify_claim *claim,
                        const char *what, const char *why)
{
    uint8_t root[CV_TREE_HASH];

    if (!claim->there || claim->seen || claim->c.size != v->at.tree.size) {
        return;
    }
    claim->seen = true;
    cv_tree_root(&v->at.tree, root);
    if (memcmp(root, claim->c.root, sizeof root) != 0) {
        cv_verify_add(v, what, why);
        v->checkpoint_bad = v->checkpoint_bad || claim == &v->checkpoint;
    }
}

static void check_state(struct cv_verify *v)
{
    for (unsigned i = 0; i < v->state.n; i++) {
        const struct cv_frontier *f = &v->state.at[i];

        /* One from before what is archived is not used any more. */
        if (f->tree.size < v->gone.tree.size) {
            v->state_seen[i] = true;
        }
        if (f->tree.size != v->at.tree.size) {
            continue;
        }
        v->state_seen[i] = true;
        if (f->offset != v->at.offset ||
            memcmp(f->prev, v->at.prev, sizeof f->prev) != 0 ||
            memcmp(f->tree.nodes, v->at.tree.nodes,
                   (size_t)f->tree.n * CV_TREE_HASH) != 0) {
            cv_verify_add(v, "state", "audit/state is not what the log says");
        }
    }
}

/* At every size, the first one included. */
void cv_verify_claims(struct cv_verify *v)
{
    check_claim(v, &v->checkpoint, "checkpoint",
                "the log is not the one that its checkpoint signed");
    check_claim(v, &v->anchor, "anchor",
                "the log is not the one that the given checkpoint signed");
    for (size_t i = 0; i < v->cosigned.n; i++) {
        check_claim(v, &v->witness[i], "witness",
                    "the log is not the one that a witness signed");
    }
    cv_verify_kept_claims(v);
    cv_verify_places_claims(v);
    check_state(v);
}

static void check_pair(struct cv_verify *v, const struct cv_verify_look *look)
{
    if (look->permit && !cv_ops_permit(&v->ops, look->op)) {
        v->memory = true;
    }
    if (look->read) {
        (void)cv_ops_outcome(&v->ops, look->op);
    }
    if (look->outcome && !cv_ops_outcome(&v->ops, look->op)) {
        if (v->first > 0) {
            v->unpaired++; /* its permit may be archived */
            return;
        }
        cv_verify_add_here(v, "pair", "an outcome without a permit before it");
    }
}

/* Clocks prove nothing, but what they say is worth a look. An event that says
 * that the clock was set explains what the wall's does. */
static void check_time(struct cv_verify *v, const struct cv_verify_look *look)
{
    if (look->clock) {
        v->last_s = look->time_s;
    } else if (look->time_s + SLACK_S < v->last_s) {
        note_here(v, "the time goes back, and no `clock` event says why");
        v->last_s = look->time_s;
    } else if (look->time_s > v->last_s) {
        v->last_s = look->time_s;
    }
    if (look->mono_ms < 0) {
        return;
    }
    if (look->boot != v->boot) {
        v->boot = look->boot;
        v->last_ms = look->mono_ms;
    } else if (look->mono_ms + SLACK_S * 1000 < v->last_ms) {
        note_here(v, "mono_ms goes back within one boot");
        v->last_ms = look->mono_ms;
    } else if (look->mono_ms > v->last_ms) {
        v->last_ms = look->mono_ms;
    }
}

/* What a log that is damaged itself makes of its tiles is told once. */
static void check_tiles(struct cv_verify *v, struct cv_bytes leaf,
                        const uint8_t *subtree)
{
    const uint64_t found = v->report.found;

    if (v->tiles == NULL) {
        return;
    }
    cv_tiles_check_add(v->tiles, leaf, v->at.prev, subtree, v->at.offset);
    if (v->report.found > found && !v->report.derived) {
        cv_tiles_check_free(v->tiles);
        v->tiles = NULL;
    }
}

void cv_verify_take(struct cv_verify *v, const struct cv_verify_look *look,
                    const uint8_t hash[CV_TREE_HASH],
                    const struct cv_tree_made *made, struct cv_bytes leaf,
                    bool whole)
{
    uint8_t subtree[CV_TREE_HASH];
    bool full;

    if (!whole) {
        cv_verify_add_here(v, "crc", "the checksum is wrong");
    } else if (look->wrong != NULL) {
        cv_verify_add_here(v, "form", look->wrong);
    } else if (look->seq != v->at.tree.size) {
        cv_verify_add_here(v, "seq", "seq is not its place in the log");
    } else if (memcmp(look->prev, v->at.prev, CV_TREE_HASH) != 0) {
        cv_verify_add_here(v, "prev",
                           "prev is not the hash of the record before it");
    } else {
        v->records++;
        check_pair(v, look);
        check_time(v, look);
        if (look->key) {
            cv_verify_key(v, leaf);
        }
        if (look->cut) {
            cv_verify_archived_leaf(v, leaf);
        }
    }
    memcpy(v->at.prev, hash, CV_TREE_HASH);
    full =
        cv_tree_append_made(&v->at.tree, hash, made, CV_TILE_HEIGHT, subtree);
    v->at.offset += CV_WAL_HEADER + leaf.len;
    check_tiles(v, leaf, full ? subtree : NULL);
    cv_verify_claims(v);
}
