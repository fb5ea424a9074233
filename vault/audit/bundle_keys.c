/* The keys that the log of a bundle had, and what they signed. */
#include "vault/audit/bundle_internal.h"

#include "vault/base/limits.h"

#include <stdlib.h>
#include <string.h>

static enum cv_status take_line(void *ctx, struct cv_bytes line,
                                struct cv_err *err)
{
    struct cv_bundle_keys *k = ctx;
    struct cv_bundle_change *grown;
    struct cv_record record;
    enum cv_status s = cv_rotation_chain_take(&k->chain, line, err);

    if (s == CV_OK && cv_record_read(line, &record) != NULL) {
        s = CV_NOT_FOUND; /* the chain has read it: never */
    }
    if (s == CV_OK && k->n > 0 && record.seq <= k->items[k->n - 1].seq) {
        s = CV_NOT_FOUND;
    }
    if (s == CV_NOT_FOUND || s == CV_INVALID) {
        return cv_fail(err, CV_INTEGRITY,
                       "keys.jsonl: a line that is no change of keys, or not "
                       "in its place");
    }
    if (s != CV_OK) {
        cv_err_prefix(err, "keys.jsonl");
        return s;
    }
    grown = realloc(k->items, (k->n + 1) * sizeof *grown);
    if (grown == NULL) {
        return cv_fail(err, CV_INTERNAL, "memory is gone");
    }
    k->items = grown;
    grown[k->n].seq = record.seq;
    cv_tree_leaf(line, grown[k->n].hash);
    k->n++;
    return CV_OK;
}

enum cv_status cv_bundle_keys_read(int dir, const char *origin,
                                   struct cv_bundle_keys *k, struct cv_err *err)
{
    enum cv_status s = cv_bundle_lines(dir, "keys.jsonl", take_line, k, err);

    if (s == CV_OK &&
        (k->n == 0 || strcmp(k->chain.keys[0].name, origin) != 0)) {
        s = cv_fail(err, CV_INTEGRITY, "keys.jsonl is not of this log");
    }
    return s;
}

bool cv_bundle_keys_lead(const struct cv_bundle_keys *k,
                         const struct cv_note_key *from,
                         const struct cv_note_key *to)
{
    bool begun = false;

    for (size_t i = 0; i < k->chain.n; i++) {
        begun = begun || cv_rotation_is_same(&k->chain.keys[i], from);
        if (begun && cv_rotation_is_same(&k->chain.keys[i], to)) {
            return true;
        }
    }
    return false;
}

enum cv_status cv_bundle_keys_open(const struct cv_bundle_keys *k,
                                   const struct cv_note_key *own,
                                   struct cv_bytes note,
                                   struct cv_checkpoint *out,
                                   struct cv_err *err)
{
    if (cv_rotation_chain_open(&k->chain, note, out, NULL, NULL) == CV_OK) {
        return CV_OK;
    }
    return cv_checkpoint_open(note, own, out, err);
}

/* Those before the range were met by nobody. */
static const struct cv_bundle_change *next_of(struct cv_bundle_keys *k,
                                              uint64_t seq)
{
    while (k->at < k->n && k->items[k->at].seq < seq) {
        k->at++;
    }
    return k->at < k->n && k->items[k->at].seq == seq ? &k->items[k->at] : NULL;
}

enum cv_status cv_bundle_keys_meet(struct cv_bundle_keys *k, uint64_t seq,
                                   struct cv_bytes leaf,
                                   const uint8_t hash[CV_TREE_HASH],
                                   struct cv_err *err)
{
    const struct cv_bundle_change *change = next_of(k, seq);
    struct cv_rotation_chain alone = {0};
    enum cv_status s;

    if (change != NULL) {
        return memcmp(change->hash, hash, CV_TREE_HASH) == 0
                   ? CV_OK
                   : cv_fail(err, CV_INTEGRITY,
                             "keys.jsonl has another record %llu",
                             (unsigned long long)seq);
    }
    s = cv_rotation_chain_take(&alone, leaf, NULL);
    cv_rotation_chain_free(&alone);
    return s == CV_NOT_FOUND
               ? CV_OK
               : cv_fail(err, CV_INTEGRITY,
                         "record %llu gives the log another key, and "
                         "keys.jsonl does not have it",
                         (unsigned long long)seq);
}

void cv_bundle_keys_free(struct cv_bundle_keys *k)
{
    cv_rotation_chain_free(&k->chain);
    free(k->items);
    *k = (struct cv_bundle_keys){0};
}
