/* Bundles: a folder that proves to anybody what the log has of a period, and
 * that nothing was left out (docs/formats.md, "Bundles").
 *
 *     manifest.json       what it is about; where the range begins and ends;
 * the perfect subtrees of all records before the range log.vkey            the
 * log's verifier key, and LF checkpoint.before   a signed checkpoint where the
 * range begins (may be absent) checkpoint.after    one where it ends
 *     records.jsonl       every record of the range, each with LF
 *     policies/V-SHA.yaml policies that these records name
 *     proofs/SEQ.tlog-proof  receipts for the records that are asked about
 *     keys.jsonl          where the log ever got another key: the leaves that
 *                         say so, each with LF (rotation.h)
 *     cosigned/ID         checkpoints with a witness' signature under the
 * log's, of at least as many records as before the range README.txt how to
 * check it without this program
 *
 * The subtrees and the records' hashes together give the root that
 * checkpoint.after signs: so these are the records of that range, all of them,
 * in this order. What a record says of its time is the broker's word. */
#ifndef CERTVAULT_AUDIT_BUNDLE_H
#define CERTVAULT_AUDIT_BUNDLE_H

#include "vault/audit/note.h"
#include "vault/audit/tiles.h"

#include <cjson/cJSON.h>

#define CV_BUNDLE_FORM "certvault-bundle/v1"

/* Is the record about the entry: does it bear its name or one of its ids
 * (array of texts, may be NULL)? Everything is about no entry (NULL). */
bool cv_bundle_is_about(struct cv_bytes record, const char *entry,
                        const cJSON *ids);

/* Looks through the records from `first` up to `end`, in steps. cv_bundle_
 * survey_tell then adds to `manifest` "policies": [{"version", "sha256"}], and
 * with `entry` "entry_ids" (those that records with this name bear, and
 * `entry_id`: what has the name now, which may have had another then; may be
 * NULL) and "matching" (how many are about it). `reader` and `entry` are
 * borrowed as long as the survey lives. Each step reads at most
 * CV_BUNDLE_SURVEY_STEP records; *done: it was the last. CV_INTEGRITY, CV_IO;
 * CV_INVALID: more policies or ids than a bundle holds; CV_INTERNAL. */
#define CV_BUNDLE_SURVEY_STEP 8192
struct cv_bundle_survey;
CV_MUST_USE enum cv_status
cv_bundle_survey_new(struct cv_tiles_reader *reader, uint64_t first,
                     uint64_t end, const char *entry, const char *entry_id,
                     struct cv_bundle_survey **out, struct cv_err *err);
CV_MUST_USE enum cv_status cv_bundle_survey_step(struct cv_bundle_survey *y,
                                                 bool *done,
                                                 struct cv_err *err);
CV_MUST_USE enum cv_status cv_bundle_survey_tell(struct cv_bundle_survey *y,
                                                 cJSON *manifest,
                                                 struct cv_err *err);
void cv_bundle_survey_free(struct cv_bundle_survey *y);

struct cv_bundle_options {
    /* The key to believe: the log's, or one that it had before; NULL: the
     * bundle's own. */
    const char *vkey;
    struct cv_bytes checkpoint; /* one of this log that somebody kept; len 0:
                                   none */
    /* Witnesses to believe. */
    const struct cv_note_key *witnesses;
    size_t n_witnesses;
};

/* Checks the bundle in folder `dir`: everything above, strictly; reads each
 * file once, memory does not grow with the records. CV_OK and *report, which
 * the caller frees:
 *     {"ok": true, "origin", "key", "key_from": "bundle|given", "first",
 *      "size", "records", "root", "from", "to" (times of the first and the last
 *      record), "before": size or null, "since"?, "until"?, "end":
 *      "closed|open", "entry"?, "matching"?, "proofs", "policies",
 *      "policies_missing", "rotations": of the log's key, "cosigned": how many
 *      checkpoints, "witnesses": [{"name", "size", "time"}] of those to believe
 *      that signed one of them, "checkpoint"?: size}
 * "open": the log ended inside the period when it was signed. CV_INTEGRITY:
 * what is wrong, and with which record. CV_INVALID (vkey, a checkpoint outside
 * the range), CV_NOT_FOUND (no manifest), CV_IO. */
CV_MUST_USE enum cv_status
cv_bundle_check(int dir, const struct cv_bundle_options *options,
                cJSON **report, struct cv_err *err);

#endif
