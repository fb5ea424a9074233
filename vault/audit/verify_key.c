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
    struct cv_err why;
    enum cv_status status;

    cv_err_init(&why);
    status = cv_carried_take(&v->changes, leaf, &why);
    v->memory = v->memory || status == CV_INTERNAL;
    if (status == CV_INTEGRITY) {
        cv_verify_add_here(v, "key", why.text);
    }
}

/* NULL: it was never changed, as far as is known. */
static const struct cv_rotation *last_of(const struct cv_verify *v)
{
    return v->changes.n == 0 ? NULL
                             : &v->changes.items[v->changes.n - 1].change;
}

/* A change whose checkpoint is still to come: the next command ends it. */
static bool is_under_way(const struct cv_verify *v,
                         const struct cv_rotation *last)
{
    struct cv_note_key now;

    return cv_logkey_read(v->vault, &now, NULL) == CV_OK &&
           !same(&now, &last->to) && same(&now, &last->from) &&
           cv_logkey_next_is_there(v->vault);
}

bool cv_verify_is_signed(const struct cv_verify *v, struct cv_bytes note)
{
    struct cv_checkpoint c;

    if (v->has_key && cv_checkpoint_open(note, &v->key, &c, NULL) == CV_OK) {
        return true;
    }
    for (size_t i = 0; i < v->changes.n; i++) {
        const struct cv_rotation *change = &v->changes.items[i].change;

        if (cv_checkpoint_open(note, &change->from, &c, NULL) == CV_OK ||
            cv_checkpoint_open(note, &change->to, &c, NULL) == CV_OK) {
            return true;
        }
    }
    return false;
}

/* The first record from which on all changes of the log's key are known. */
static uint64_t known_since(const struct cv_verify *v)
{
    return v->changes.n > 0 && v->changes.items[0].seq < v->first ? 0
                                                                  : v->first;
}

/* What came before the first record that is read may have had other keys. */
static void not_signed(struct cv_verify *v)
{
    const bool last = v->first == v->gone.tree.size;
    char why[CV_REPORT_MESSAGE];

    if (known_since(v) == 0) {
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

/* The store changes its key a moment after the log: it has the log's of now, or
 * one that came before it. One that comes after: the log's folder was put back
 * to a time before that (or made to look so, with a key that was given up). */
static bool is_ours(const struct cv_verify *v, const struct cv_note_key *key)
{
    if (same(key, &v->key)) {
        return true;
    }
    for (size_t i = 0; i < v->changes.n; i++) {
        const struct cv_note_key *from = &v->changes.items[i].change.from;

        if (same(from, &v->key)) {
            return false;
        }
        if (same(from, key)) {
            return true;
        }
    }
    return false;
}

void cv_verify_keys_store(struct cv_verify *v, const char *vkey)
{
    struct cv_note_key key;

    if (vkey == NULL || cv_note_key_parse(vkey, &key, NULL) != CV_OK) {
        return;
    }
    if (!v->has_key) {
        if (v->report.found == 0) {
            cv_verify_add(v, "key", "the log's key is gone (audit/key.pub)");
        }
    } else if (!is_ours(v, &key)) {
        cv_verify_add(v, "key",
                      "vault.db and the audit log are of two different vaults");
    }
}

/* What is carried was there, and each followed the one before. */
static void check_changes(struct cv_verify *v)
{
    for (size_t i = 0; i < v->changes.n; i++) {
        const struct cv_carried_one *one = &v->changes.items[i];

        if (!one->met && !cv_verify_archived_has(v, one->seq, one->hash)) {
            cv_report_add(&v->report, "key", one->seq, CV_REPORT_NOWHERE,
                          "a change of the log's key that a later record "
                          "carries is not this record");
        }
        if (i > 0 && !same(&one[-1].change.to, &one->change.from)) {
            cv_report_add(&v->report, "key", one->seq, CV_REPORT_NOWHERE,
                          "it gives the place of another key away");
        }
    }
}

void cv_verify_keys_end(struct cv_verify *v, struct cv_bytes anchor)
{
    const struct cv_rotation *last = last_of(v);

    check_changes(v);
    if (last != NULL && v->has_key && !same(&last->to, &v->key) &&
        !is_under_way(v, last)) {
        cv_verify_add(v, "key",
                      "the log's key is not the one that its last "
                      "change of keys gives");
    }
    if (v->anchor_unsigned && !cv_verify_is_signed(v, anchor)) {
        not_signed(v);
        v->anchor.there = false;
    }
}
