/* Who said that records are archived: the key that the log had then. */
#include "vault/audit/archived.h"
#include "vault/audit/query_internal.h"
#include "vault/base/encode.h"
#include "vault/base/limits.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define DASH "\xe2\x80\x94 " /* U+2014 */

static void add_base64(const uint8_t hash[CV_TREE_HASH], struct cv_buf *out)
{
    char text[sodium_base64_ENCODED_LEN(CV_TREE_HASH,
                                        sodium_base64_VARIANT_ORIGINAL)];

    (void)sodium_bin2base64(text, sizeof text, hash, CV_TREE_HASH,
                            sodium_base64_VARIANT_ORIGINAL);
    cv_buf_add_format(out, "%s\n", text);
}

void cv_archived_statement(const struct cv_archived *a, const char *origin,
                           struct cv_buf *out)
{
    char commitment[2 * crypto_hash_sha256_BYTES + 1];
    uint8_t root[CV_TREE_HASH];

    cv_tree_root(&a->tree, root);
    cv_archived_commitment(a, commitment);
    cv_buf_add_format(out, "certvault log archive\n%s\n%llu\n", origin,
                      (unsigned long long)a->tree.size);
    add_base64(root, out);
    add_base64(a->prev, out);
    cv_buf_add_format(out, "%llu\n%s\n%s\n%s\n", (unsigned long long)a->offset,
                      a->digest, a->until, commitment);
}

bool cv_archived_is_signed_by(const struct cv_archived *a,
                              const struct cv_note_key *key)
{
    char line[CV_NOTE_NAME + CV_ARCHIVED_SIGNATURE + 8];
    struct cv_bytes signed_text;
    struct cv_buf text, note;
    bool good;

    (void)snprintf(line, sizeof line, DASH "%s %s", key->name, a->signature);
    cv_buf_init(&text, NULL, CV_LIMIT_NOTE);
    cv_buf_init(&note, NULL, CV_LIMIT_NOTE);
    cv_archived_statement(a, key->name, &text);
    good =
        a->tree.size > 0 && text.status == CV_OK &&
        cv_note_join(cv_buf_bytes(&text), line, &note, NULL) == CV_OK &&
        cv_note_open(cv_buf_bytes(&note), key, 1, &signed_text, NULL) == CV_OK;
    cv_buf_wipe(&note);
    cv_buf_wipe(&text);
    return good;
}

enum cv_status cv_archived_take_line(struct cv_archived *a,
                                     const struct cv_note_key *key,
                                     const char *line, struct cv_err *err)
{
    const char *blank = strrchr(line, ' ');
    size_t len = blank == NULL ? 0 : strcspn(blank + 1, "\n");

    a->signature[0] = '\0';
    if (len == CV_ARCHIVED_SIGNATURE) {
        memcpy(a->signature, blank + 1, len);
        a->signature[len] = '\0';
    }
    return cv_archived_is_signed_by(a, key)
               ? CV_OK
               : cv_fail(err, CV_INTEGRITY,
                         "what says that records are archived is not signed");
}

/* ---- by which key ---- */

void cv_archived_watch_take(struct cv_archived_watch *w,
                            const struct cv_archived *a, struct cv_bytes leaf)
{
    enum cv_status status;

    if (!w->told && cv_archived_is_told(a, leaf)) {
        w->told = true;
        w->at = w->chain.n;
        return;
    }
    status = cv_rotation_chain_take(&w->chain, leaf, NULL);
    w->wrong = w->wrong || (status != CV_OK && status != CV_NOT_FOUND);
}

/* Also where the last change is recorded and its checkpoint is to come. */
static bool leads_to(const struct cv_rotation_chain *c,
                     const struct cv_note_key *now)
{
    return c->n == 0 || cv_rotation_is_same(&c->keys[c->n - 1], now) ||
           cv_rotation_is_same(&c->keys[c->n - 2], now);
}

bool cv_archived_watch_is_good(const struct cv_archived_watch *w,
                               const struct cv_archived *a,
                               const struct cv_note_key *now)
{
    const struct cv_rotation_chain *c = &w->chain;
    const struct cv_note_key *key = w->at > 0  ? &c->keys[w->at - 1]
                                    : c->n > 0 ? &c->keys[0]
                                               : now;

    return w->told && !w->wrong && leads_to(c, now) &&
           cv_archived_is_signed_by(a, key);
}

void cv_archived_watch_free(struct cv_archived_watch *w)
{
    cv_rotation_chain_free(&w->chain);
    *w = (struct cv_archived_watch){0};
}

struct reading {
    struct cv_archived_watch watch;
    const struct cv_archived *a;
};

static enum cv_status look(void *ctx, const struct cv_query_cursor *at,
                           struct cv_bytes leaf, struct cv_err *err)
{
    struct reading *r = ctx;

    (void)at;
    (void)err;
    /* Most of them are neither. */
    if (at->seq == r->a->seq ||
        memmem(leaf.data, leaf.len, "\"new_log_key\"", 13) != NULL) {
        cv_archived_watch_take(&r->watch, r->a, leaf);
    }
    return CV_OK;
}

enum cv_status cv_archived_check(int vault, const struct cv_archived *a,
                                 const struct cv_note_key *now,
                                 struct cv_err *err)
{
    struct cv_query_cursor from = {a->offset, a->tree.size};
    struct reading r = {.a = a};
    enum cv_status status;
    bool good;

    if (cv_archived_is_signed_by(a, now)) {
        return CV_OK;
    }
    status = cv_query_scan(vault, &from, look, &r, err);
    good = cv_archived_watch_is_good(&r.watch, a, now);
    cv_archived_watch_free(&r.watch);
    if (status != CV_OK || good) {
        return status;
    }
    cv_fail(err, CV_INTEGRITY,
            "what says that records are archived (" CV_ARCHIVED_PATH
            ") is not signed by the log's key");
    cv_err_state(err, "the vault refuses to write and to release");
    cv_err_hint(err, "run `certvault audit verify`, and restore a backup");
    return CV_INTEGRITY;
}
