/* Who said that records are archived: the key that the log had then. */
#include "vault/audit/archived_internal.h"
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
    const struct cv_checkpoint *last;
    struct cv_tree tree;
    bool is_signed; /* the log is the one of the checkpoint */
    struct cv_archived_places places;
    bool too_many;
};

static void look_at_root(struct reading *r)
{
    uint8_t root[CV_TREE_HASH];

    if (r->tree.size == r->last->size) {
        cv_tree_root(&r->tree, root);
        r->is_signed = memcmp(root, r->last->root, sizeof root) == 0;
    }
}

static enum cv_status look(void *ctx, const struct cv_query_cursor *at,
                           struct cv_bytes leaf, struct cv_err *err)
{
    struct reading *r = ctx;
    struct cv_archived_places *p = &r->places;
    uint8_t hash[CV_TREE_HASH];
    size_t keys = r->watch.chain.n;
    bool told = r->watch.told;

    (void)err;
    if (at->seq < r->last->size) {
        cv_tree_leaf(leaf, hash);
        cv_tree_append(&r->tree, hash);
        look_at_root(r);
    }
    /* Most of them are neither. */
    if (at->seq == r->a->seq ||
        memmem(leaf.data, leaf.len, "\"new_log_key\"", 13) != NULL) {
        cv_archived_watch_take(&r->watch, r->a, leaf);
    }
    if (r->watch.told && (!told || r->watch.chain.n > keys)) {
        r->too_many = p->n == sizeof p->at / sizeof *p->at;
        if (!r->too_many) {
            p->at[p->n++] = *at;
        }
    }
    return CV_OK;
}

static enum cv_status refuse(const struct reading *r, struct cv_err *err)
{
    if (r->is_signed) {
        cv_fail(err, CV_INTEGRITY,
                "what says that records are archived (" CV_ARCHIVED_PATH
                ") is not signed by the log's key");
    } else {
        cv_fail(err, CV_INTEGRITY,
                "the log is not the one that its checkpoint signed");
    }
    cv_err_state(err, "the vault refuses to write and to release");
    cv_err_hint(err, "run `certvault audit verify`, and restore a backup");
    return CV_INTEGRITY;
}

/* All of it, and whether it is what was signed. */
static enum cv_status read_log(int vault, struct reading *r,
                               const struct cv_note_key *now,
                               struct cv_err *err)
{
    struct cv_query_cursor from = {r->a->offset, r->a->tree.size};
    enum cv_status status;

    r->tree = r->a->tree;
    status = cv_query_scan(vault, &from, look, r, err);
    if (status != CV_OK) {
        return status;
    }
    if (!r->is_signed || !cv_archived_watch_is_good(&r->watch, r->a, now)) {
        return refuse(r, err);
    }
    if (!r->too_many) {
        cv_archived_places_write(vault, &r->places);
    }
    return CV_OK;
}

enum cv_status cv_archived_check(int vault, const struct cv_archived *a,
                                 const struct cv_note_key *now,
                                 const struct cv_checkpoint *last,
                                 struct cv_err *err)
{
    struct reading *r;
    enum cv_status status;

    if (cv_archived_is_signed_by(a, now) ||
        cv_archived_places_hold(vault, a, now, last)) {
        return CV_OK;
    }
    r = calloc(1, sizeof *r);
    if (r == NULL) {
        return cv_fail(err, CV_INTERNAL, "out of memory");
    }
    r->a = a;
    r->last = last;
    status = read_log(vault, r, now, err);
    cv_archived_watch_free(&r->watch);
    free(r);
    return status;
}
