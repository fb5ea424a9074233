/* `audit verify`: the whole log, offline, read-only, without lock or secret.
 * Repairs nothing; reads once through the file, with two threads; memory does
 * not grow with the records but for 32 bytes for each permit. A writer may go
 * on meanwhile. */
#ifndef CERTVAULT_AUDIT_VERIFY_H
#define CERTVAULT_AUDIT_VERIFY_H

#include "vault/audit/note.h"
#include "vault/base/arena.h"

#include <cjson/cJSON.h>
#include <stdbool.h>

#define CV_VERIFY_ERRORS 100 /* told one by one; more are counted */

struct cv_verify_progress {
    uint64_t records;
    uint64_t at; /* bytes of the log */
    uint64_t end;
};

/* A place that gets checkpoints of the log (an anchor of the configuration),
 * and what lies there: notes, one behind the other (cv_anchored_notes). Anybody
 * may have written them: what counts is whose signature they have. */
struct cv_verify_place {
    const char *kind;     /* "file", "git", ...: for the report */
    const char *place;    /* a path: for the report */
    struct cv_bytes text; /* len 0: nothing */
    const char *unread;   /* why that is not known; NULL: it is */
};

#define CV_VERIFY_PLACES 16

struct cv_verify_options {
    struct cv_bytes checkpoint; /* a signed note kept elsewhere; len 0: none */
    const char *store_key; /* the log's, as the vault's store has it; or NULL */
    const char *vkey;      /* the key to believe; NULL: audit/key.pub */
    /* Witnesses to believe: what they signed (audit/cosigned, and the note
     * given) is held against the log. */
    const struct cv_note_key *witnesses;
    size_t n_witnesses;
    const struct cv_verify_place *places; /* at most CV_VERIFY_PLACES */
    size_t n_places;
    /* Reads what `audit archive` wrote (a descriptor) before the log, as if it
     * were there still: the file with the last archived records, or all of them
     * one behind the other. */
    bool has_archive;
    int archive;
    unsigned threads; /* 0: two, one for a small log */
    /* How far it is, a few times for each MiB; NULL: nobody asks. Called by the
     * thread that called. */
    void (*progress)(void *context, const struct cv_verify_progress *now);
    void *context;
};

/* Checks the log of the vault whose folder is `vault`: frames, CRC, canonical
 * form, members, seq, prev, each outcome after a permit of its op; the
 * checkpoint's signature, size and root; those of earlier times (kept.h), where
 * a key of the log signed them; audit/state; all tiles that are there (entry
 * bundles too, byte by byte), the index (index.h) likewise; the note given; the
 * store's key. `options` may be NULL.
 *
 * CV_OK or CV_INTEGRITY, and in both cases *report, which the caller frees:
 *     {"ok", "records", "size", "root": base64, "checkpoint":
 *      "valid|missing|invalid", "tail": "clean|torn", "anchored":
 *      "none|file|git|witness", "witnesses": [{"name", "size", "time"}] of
 *      those that signed it, "anchors": [{"kind", "place", "state":
 *      "ok|none|conflict|unread", "size"?, "message"?}] of the places given,
 *      "tiles": leaves that are in tiles, "permits",
 *      "without_outcome": of the permits of what is no read, "errors":
 * [{"what", "seq"?, "offset"?, "message"}], "notes": the same, of times that go
 * back, of a checkpoint or of tiles that are missing, of anchors that were not
 * read, and where records are archived (archived.h) "archived": {"before",
 * "until", "digest", "from": the first record that was read, "unpaired":
 * outcomes whose permit may lie before that}} (the error's text is then the
 * first of them). A permit without an outcome is no error: a process that was
 * killed leaves one. Reads have none where they go well. What is wrong with
 * tiles alone can be mended (`audit rebuild`), and the hint says so. Without a
 * report: CV_NOT_FOUND (there is no log and nothing derived from one),
 * CV_INVALID (vkey), CV_IO, CV_CONFIG. */
CV_MUST_USE enum cv_status
cv_verify_log(int vault, const struct cv_verify_options *options,
              cJSON **report, struct cv_err *err);

#endif
