/* What the makers and checkers of bundles share. */
#ifndef CERTVAULT_AUDIT_BUNDLE_INTERNAL_H
#define CERTVAULT_AUDIT_BUNDLE_INTERNAL_H

#include "vault/audit/bundle.h"
#include "vault/audit/record_internal.h"
#include "vault/audit/rotation.h"

/* The policies that records name, each once. */
struct cv_bundle_policies {
    struct cv_bundle_policy {
        uint64_t version;
        char sha256[65];
    } * items;
    size_t n, last;
};

/* Takes what a record names; a record may name none. CV_INVALID: too many;
 * CV_INTEGRITY: it is no policy; CV_INTERNAL. */
CV_MUST_USE enum cv_status cv_bundle_policy(struct cv_bundle_policies *p,
                                            const struct cv_record *record,
                                            struct cv_err *err);
void cv_bundle_policies_free(struct cv_bundle_policies *p);

/* A text member, as spelt between the quotes. */
struct cv_bytes cv_bundle_text(const struct cv_record *record, const char *key);

bool cv_bundle_is_in(struct cv_bytes text, const cJSON *list);

/* Likewise for a record that was read. */
bool cv_bundle_matches(const struct cv_record *record, const char *entry,
                       const cJSON *ids);

/* bundle_keys.c: keys.jsonl, the leaves by which the log got other keys. Each
 * is signed by the key before it and the one after, so that whoever has one of
 * them has all. */
struct cv_bundle_keys {
    struct cv_rotation_chain chain;
    struct cv_bundle_change {
        uint64_t seq;
        uint8_t hash[CV_TREE_HASH];
    } * items;
    size_t n, at;
};

/* CV_INTEGRITY: not there, no chain, or of another log. */
CV_MUST_USE enum cv_status cv_bundle_keys_read(int dir, const char *origin,
                                               struct cv_bundle_keys *k,
                                               struct cv_err *err);

/* Does the chain lead from the one to the other? Not the other way: who came to
 * know a key that the log had once signs whatever it likes with it. */
bool cv_bundle_keys_lead(const struct cv_bundle_keys *k,
                         const struct cv_note_key *from,
                         const struct cv_note_key *to);

/* Opens a checkpoint by one of them, or by `own`. CV_INTEGRITY. */
CV_MUST_USE enum cv_status cv_bundle_keys_open(const struct cv_bundle_keys *k,
                                               const struct cv_note_key *own,
                                               struct cv_bytes note,
                                               struct cv_checkpoint *out,
                                               struct cv_err *err);

/* The bundle's record `seq`: each change of keys in the range is one of them,
 * and the other way round. CV_INTEGRITY. */
CV_MUST_USE enum cv_status cv_bundle_keys_meet(struct cv_bundle_keys *k,
                                               uint64_t seq,
                                               struct cv_bytes leaf,
                                               const uint8_t hash[CV_TREE_HASH],
                                               struct cv_err *err);
void cv_bundle_keys_free(struct cv_bundle_keys *k);

/* bundle_cosigned.c: cosigned/, what witnesses have signed. */
#define CV_BUNDLE_COSIGNED 16
struct cv_bundle_cosigned {
    struct cv_bundle_cosigned_one {
        struct cv_checkpoint c;
        char name[9];                   /* the file's */
        char witness[CV_NOTE_NAME + 1]; /* that is believed, or "" */
        int64_t time_s;
    } at[CV_BUNDLE_COSIGNED];
    size_t n;
};

/* What they are held against. */
struct cv_bundle_signed {
    int dir;
    const struct cv_bundle_keys *keys;
    const struct cv_note_key *own;
    uint64_t first;
    const struct cv_checkpoint *after;
    const struct cv_note_key *witnesses;
    size_t n_witnesses;
};

/* Reads those that `list` names (NULL: none), and that there are no others. Of
 * more records than `after` they must be proved to go on from it. CV_INTEGRITY,
 * CV_IO. */
CV_MUST_USE enum cv_status
cv_bundle_cosigned_read(const struct cv_bundle_signed *by, const cJSON *list,
                        struct cv_bundle_cosigned *out, struct cv_err *err);

/* Those of the tree's size have its root. CV_INTEGRITY. */
CV_MUST_USE enum cv_status
cv_bundle_cosigned_meet(const struct cv_bundle_cosigned *w,
                        const struct cv_tree *tree, struct cv_err *err);

/* [{"name", "size", "time"}] of the witnesses that are believed; NULL without
 * memory. */
cJSON *cv_bundle_cosigned_json(const struct cv_bundle_cosigned *w);

/* "<base64>" strings into `out`, one hash each. CV_INTEGRITY. */
CV_MUST_USE enum cv_status cv_bundle_hashes(const cJSON *list,
                                            uint8_t out[][CV_TREE_HASH],
                                            unsigned most, unsigned *n,
                                            struct cv_err *err);

/* bundle_read.c: a bundle's files, which anybody may have made. */

/* Appends a file of the folder: a regular one, no link. CV_INTEGRITY: it is not
 * there, is something else, or longer than `out` may be; CV_IO. */
CV_MUST_USE enum cv_status cv_bundle_read(int dir, const char *name,
                                          struct cv_buf *out,
                                          struct cv_err *err);

/* Calls `fn` for each name in the folder `name` beneath `dir` ("." itself) but
 * "." and "..": in no order, and at most `most` of them. CV_INTEGRITY: more, or
 * no folder; CV_NOT_FOUND: it is not there; CV_IO. */
typedef enum cv_status cv_bundle_name_fn(void *ctx, const char *name,
                                         struct cv_err *err);
CV_MUST_USE enum cv_status cv_bundle_names(int dir, const char *name,
                                           unsigned most, cv_bundle_name_fn *fn,
                                           void *ctx, struct cv_err *err);

/* Calls `fn` for each line of the file, without its LF. CV_INTEGRITY: a line
 * that is empty, longer than a record, or without LF. */
typedef enum cv_status cv_bundle_line_fn(void *ctx, struct cv_bytes line,
                                         struct cv_err *err);
CV_MUST_USE enum cv_status cv_bundle_lines(int dir, const char *name,
                                           cv_bundle_line_fn *fn, void *ctx,
                                           struct cv_err *err);

#endif
