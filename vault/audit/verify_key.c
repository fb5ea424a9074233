/* The log's keys, as its leaves say. */
#include "vault/audit/verify_internal.h"

#include "vault/audit/logkey.h"
#include "vault/audit/rotation.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static bool same(const struct cv_note_key *a, const struct cv_note_key *b)
{
    return strcmp(a->name, b->name) == 0 &&
           memcmp(a->public_key, b->public_key, sizeof a->public_key) == 0;
}

void cv_verify_key(struct cv_verify *v, struct cv_bytes leaf)
{
    struct cv_note_key *more;
    struct cv_rotation r;
    struct cv_record record;
    enum cv_status status;

    if (cv_record_read(leaf, &record) != NULL) {
        return;
    }
    status = cv_rotation_read(cv_canon_get(&record.all, "details"), &r, NULL);
    if (status == CV_NOT_FOUND) {
        return;
    }
    if (status != CV_OK) {
        cv_verify_add_here(v, "key", "the log's new key is not signed by both");
        return;
    }
    if (v->n_keys > 0 && !same(&v->last_key, &r.from)) {
        cv_verify_add_here(v, "key", "it gives the place of another key away");
        return;
    }
    more = realloc(v->keys, (v->n_keys + 1) * sizeof *more);
    if (more == NULL) {
        v->memory = true;
        return;
    }
    v->keys = more;
    v->keys[v->n_keys++] = r.from;
    v->last_key = r.to;
}

/* A change whose checkpoint is still to come: the next command ends it. */
static bool is_under_way(const struct cv_verify *v)
{
    struct cv_note_key now;

    return cv_logkey_read(v->vault, &now, NULL) == CV_OK &&
           !same(&now, &v->last_key) && same(&now, &v->keys[v->n_keys - 1]) &&
           cv_logkey_next_is_there(v->vault);
}

bool cv_verify_is_signed(const struct cv_verify *v, struct cv_bytes note)
{
    struct cv_checkpoint c;

    if (v->has_key && cv_checkpoint_open(note, &v->key, &c, NULL) == CV_OK) {
        return true;
    }
    for (size_t i = 0; i < v->n_keys; i++) {
        if (cv_checkpoint_open(note, &v->keys[i], &c, NULL) == CV_OK) {
            return true;
        }
    }
    return v->n_keys > 0 &&
           cv_checkpoint_open(note, &v->last_key, &c, NULL) == CV_OK;
}

/* What came before the first record that is read may have had other keys. */
static void not_signed(struct cv_verify *v)
{
    const bool last = v->first == v->gone.tree.size;
    char why[CV_REPORT_MESSAGE];

    if (v->first == 0) {
        cv_verify_add(v, "anchor",
                      "the given checkpoint is signed by no key of this log");
        return;
    }
    /* Of several archives the log knows the last. */
    (void)snprintf(why, sizeof why,
                   "no key of this log since record %llu signed the given "
                   "checkpoint; those before: --archive FILE%s%s%s",
                   (unsigned long long)v->first, last ? " (SHA-256 " : "",
                   last ? v->gone.digest : "", last ? ")" : "");
    cv_verify_add(v, "anchor", why);
}

/* The store changes its key with the log's, or a moment later: one that the log
 * had is no other log's. */
static bool is_ours(const struct cv_verify *v, const struct cv_note_key *key)
{
    if (same(key, &v->key) || (v->n_keys > 0 && same(key, &v->last_key))) {
        return true;
    }
    for (size_t i = 0; i < v->n_keys; i++) {
        if (same(key, &v->keys[i])) {
            return true;
        }
    }
    /* Those before what is archived nobody knows; the name stays. */
    return v->first > 0 && strcmp(key->name, v->key.name) == 0;
}

void cv_verify_keys_store(struct cv_verify *v, const char *vkey)
{
    struct cv_note_key key;

    if (vkey != NULL && v->has_key &&
        cv_note_key_parse(vkey, &key, NULL) == CV_OK && !is_ours(v, &key)) {
        cv_verify_add(v, "key",
                      "vault.db and the audit log are of two different vaults");
    }
}

void cv_verify_keys_end(struct cv_verify *v, struct cv_bytes anchor)
{
    if (v->n_keys > 0 && v->has_key && !same(&v->last_key, &v->key) &&
        !is_under_way(v)) {
        cv_verify_add(v, "key",
                      "the log's key is not the one that its last "
                      "change of keys gives");
    }
    if (v->anchor_unsigned && !cv_verify_is_signed(v, anchor)) {
        not_signed(v);
        v->anchor.there = false;
    }
}
