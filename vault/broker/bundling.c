#include "vault/broker/bundling_internal.h"

#include "vault/audit/anchored.h"
#include "vault/audit/archived.h"
#include "vault/audit/bundle.h"
#include "vault/audit/carried.h"
#include "vault/audit/kept.h"
#include "vault/audit/rotation.h"
#include "vault/audit/span.h"
#include "vault/base/clock.h"
#include "vault/base/encode.h"
#include "vault/base/manager.h"
#include "vault/broker/meanwhile.h"

#include <string.h>

struct head {
    struct cv_broker *b;
    struct cv_proving *p;
    const struct cv_bundling_period *w;
    uint64_t first;
    struct cv_rotation_chain keys; /* that the log had, if it had several */
    struct cv_buf changes;         /* the leaves that say so, each with LF */
    struct cv_kept_pair kept;
    cJSON *out, *manifest;
};

static enum cv_status no_memory(struct cv_err *err)
{
    return cv_fail(err, CV_INTERNAL, "memory is gone");
}

/* The period, and what is in it */

/* *first, *end as cv_span_find has them; *none where nothing is in it, for then
 * both are the log's end. */
static enum cv_status find(struct cv_broker *b, int64_t since, int64_t until,
                           uint64_t *first, uint64_t *end, struct cv_err *err)
{
    struct cv_query_filter when;

    cv_query_init(&when);
    when.since_s = since;
    when.until_s = until;
    return cv_span_find(b->vault->dir, &when, first, end, err);
}

/* By what the records say of their time. Where the clock was set back, all from
 * the first record of the period to the last, and what lies between them. */
static enum cv_status find_period(struct cv_broker *b,
                                  struct cv_bundling_period *p, uint64_t size,
                                  struct cv_err *err)
{
    enum cv_status s = CV_OK;
    uint64_t other, swap;

    p->from = 0;
    p->to = size;
    if (p->since_s != INT64_MIN) {
        s = find(b, p->since_s, INT64_MAX, &p->from, &other, err);
    }
    if (s == CV_OK && p->until_s != INT64_MAX) {
        s = find(b, INT64_MIN, p->until_s, &other, &p->to, err);
        p->to = other == p->to ? 0 : p->to; /* none is so old */
    }
    p->to = p->to > size ? size : p->to;
    p->from = p->from > size ? size : p->from;
    if (p->to < p->from) {
        swap = p->to;
        p->to = p->from;
        p->from = swap;
    }
    return s;
}

/* One record more on each side: whoever reads them sees that the period was
 * left there. */
static uint64_t beginning_of(const struct cv_bundling_period *p)
{
    return p->from > 0 ? p->from - 1 : 0;
}

static uint64_t end_of(const struct cv_bundling_period *p, uint64_t size)
{
    return p->to < size ? p->to + 1 : size;
}

static enum cv_status take_change(void *ctx, uint64_t seq, struct cv_bytes leaf,
                                  struct cv_err *err)
{
    enum cv_status s = cv_carried_take(ctx, leaf, err);

    (void)seq;
    return s == CV_NOT_FOUND ? CV_OK : s;
}

/* What a record carries of what is archived: was it there? */
static enum cv_status was_there(const struct cv_proving *p,
                                const struct cv_carried_one *one,
                                struct cv_err *err)
{
    struct cv_proof proof;
    enum cv_status s = CV_OK;

    if (!one->met) {
        s = cv_proof_make_inclusion(&p->source, p->checkpoint.size, one->seq,
                                    &proof, err);
    }
    if (s == CV_OK && !one->met) {
        s = cv_proof_check_inclusion(one->seq, p->checkpoint.size, one->hash,
                                     &proof, p->checkpoint.root, err);
    }
    return cv_proving_distrust(s == CV_INVALID ? CV_INTEGRITY : s, err);
}

static enum cv_status
add_change(struct head *h, const struct cv_carried_one *one, struct cv_err *err)
{
    const struct cv_bytes leaf = {one->leaf, one->len};
    enum cv_status s = was_there(h->p, one, err);

    if (s == CV_OK) {
        s = cv_rotation_chain_take(&h->keys, leaf, err);
    }
    if (s == CV_OK) {
        cv_buf_add(&h->changes, leaf.data, leaf.len);
        cv_buf_add_char(&h->changes, '\n');
        s = cv_buf_status(&h->changes, "the log's changes of keys", err);
    }
    return s;
}

/* By the index, like the period; those that are archived, too. */
static enum cv_status find_keys(struct head *h, struct cv_err *err)
{
    struct cv_query_filter admin;
    struct cv_carried all = {0};
    enum cv_status s;

    cv_query_init(&admin);
    admin.action = "admin";
    admin.indexed = true;
    s = cv_query_run(h->b->vault->dir, &admin, take_change, &all, err);
    for (size_t i = 0; s == CV_OK && i < all.n; i++) {
        s = add_change(h, &all.items[i], err);
    }
    cv_carried_free(&all);
    return s;
}

/* Checkpoints beside the last */

/* Notes that were signed earlier, where they are of this log. */
static enum cv_status believe(const struct cv_proving *p,
                              const struct cv_checkpoint *c, const char *where,
                              struct cv_err *err)
{
    uint8_t root[CV_TREE_HASH];
    enum cv_status s = cv_proof_root(&p->source, c->size, root, err);

    if (s == CV_OK && memcmp(root, c->root, sizeof(root)) != 0) {
        cv_fail(err, CV_INTEGRITY,
                "what is there now is not what was signed when the log had "
                "%llu records (%s)",
                (unsigned long long)c->size, where);
        cv_err_state(err, "no bundle was made");
        cv_err_hint(err, "certvault audit verify tells whether it is the log "
                         "that differs, or its tiles only");
        return CV_INTEGRITY;
    }
    return cv_proving_distrust(s, err);
}

/* All records of the period must be in the log: *begins is where it does. */
static enum cv_status is_there(const struct head *h, uint64_t *begins,
                               struct cv_err *err)
{
    struct cv_archived gone;
    enum cv_status s = cv_archived_read(h->b->vault->dir, &gone, err);

    *begins = gone.tree.size;
    if (s == CV_OK && beginning_of(h->w) < gone.tree.size) {
        s = cv_archived_refuse(&gone, beginning_of(h->w), err);
        cv_err_prefix(err, "the period reaches before the log");
        cv_err_hint(err,
                    "--since a time after %s; single records are proven by: "
                    "certvault audit prove SEQ --archive FILE",
                    gone.until);
    }
    return s;
}

/* Those kept around the period: by a key that the log had before it, the one
 * that the bundle ends with by the log's own. */
static enum cv_status take_kept(struct head *h, struct cv_err *err)
{
    struct cv_proving *p = h->p;
    const struct cv_note_key *own = &h->b->vault->log_key;
    const uint64_t size = p->checkpoint.size;
    const bool chain =
        h->keys.n > 0 && cv_rotation_is_same(&h->keys.keys[h->keys.n - 1], own);
    uint64_t begins = 0;
    enum cv_status s = is_there(h, &begins, err);

    if (s == CV_OK) {
        s = cv_kept_around(h->b->vault->dir, chain ? h->keys.keys : own,
                           chain ? h->keys.n : 1, beginning_of(h->w),
                           end_of(h->w, size), &h->kept, err);
    }
    /* From a checkpoint before that, records would be wanted that are not there
     * any more. */
    if (s == CV_OK && h->kept.before.size < begins) {
        cv_buf_wipe(&h->kept.before_note);
    }
    if (s == CV_OK && h->kept.before_note.len > 0) {
        s = believe(p, &h->kept.before, CV_KEPT_PATH, err);
    }
    if (s == CV_OK && h->kept.after_note.len > 0 &&
        h->kept.after.size <= size) {
        s = believe(p, &h->kept.after, CV_KEPT_PATH, err);
        p->checkpoint = h->kept.after;
        cv_buf_wipe(&p->note);
        cv_buf_add(&p->note, h->kept.after_note.data, h->kept.after_note.len);
    }
    h->first =
        h->kept.before_note.len > 0 ? h->kept.before.size : beginning_of(h->w);
    return s;
}

static bool add_base64(cJSON *list, const uint8_t hash[CV_TREE_HASH])
{
    struct cv_buf text;
    cJSON *item;
    bool ok;

    cv_buf_init(&text, NULL, 64);
    cv_encode_base64((struct cv_bytes){hash, CV_TREE_HASH}, &text);
    item = cJSON_CreateString(cv_buf_text(&text));
    ok = item != NULL && cJSON_AddItemToArray(list, item);
    if (!ok) {
        cJSON_Delete(item);
    }
    cv_buf_wipe(&text);
    return ok;
}

static bool add_hashes(cJSON *out, const char *key,
                       const uint8_t hash[][CV_TREE_HASH], unsigned n)
{
    cJSON *list = cJSON_AddArrayToObject(out, key);
    bool ok = list != NULL;

    for (unsigned i = 0; ok && i < n; i++) {
        ok = add_base64(list, hash[i]);
    }
    return ok;
}

static enum cv_status add_range(const struct cv_proving *p, uint64_t first,
                                bool before, cJSON *manifest,
                                struct cv_err *err)
{
    struct cv_proof proof = {0};
    struct cv_tree tree;
    enum cv_status s = cv_proof_frontier(&p->source, first, &tree, err);
    bool ok;

    if (s == CV_OK && before) {
        s = cv_proof_make_consistency(&p->source, p->checkpoint.size, first,
                                      &proof, err);
    }
    if (s != CV_OK) {
        return cv_proving_distrust(s, err);
    }
    ok = cv_json_add_int(manifest, "first", (int64_t)first) &&
         cv_json_add_int(manifest, "size", (int64_t)p->checkpoint.size) &&
         add_hashes(manifest, "frontier", tree.nodes, tree.n) &&
         cv_json_add_bool(manifest, "before", before) &&
         (!before || add_hashes(manifest, "consistency", proof.hash, proof.n));
    return ok ? CV_OK : cv_fail(err, CV_INTERNAL, "memory is gone");
}

static bool add_about(const struct cv_broker *b,
                      const struct cv_bundling_period *w, cJSON *m)
{
    char text[CV_CLOCK_TEXT_LEN];

    return cv_json_add_str(m, "bundle", CV_BUNDLE_FORM) &&
           cv_json_add_str(m, "origin", b->vault->log_key.name) &&
           cv_json_add_str(m, "made",
                           cv_clock_format(cv_clock_now_s(), text)) &&
           cv_json_add_str(m, "by", "certvault " CV_VERSION) &&
           cv_json_add_str(m, "entry", w->entry) &&
           (w->since_s == INT64_MIN ||
            cv_json_add_str(m, "since", cv_clock_format(w->since_s, text))) &&
           (w->until_s == INT64_MAX ||
            cv_json_add_str(m, "until", cv_clock_format(w->until_s, text)));
}

/* One that a witness has signed: what is no checkpoint of this log, or of
 * before the range, is passed over. */
static enum cv_status take_cosigned(void *ctx, const char *name,
                                    struct cv_bytes note, struct cv_err *err)
{
    struct head *h = ctx;
    const struct cv_proving *p = h->p;
    cJSON *list = cJSON_GetObjectItemCaseSensitive(h->manifest, "cosigned");
    cJSON *notes = cJSON_GetObjectItemCaseSensitive(h->out, "cosigned");
    cJSON *item, *given;
    struct cv_proof proof = {0};
    struct cv_checkpoint c;
    struct cv_buf text;
    enum cv_status s;
    bool ok;

    if ((cv_rotation_chain_open(&h->keys, note, &c, NULL, NULL) != CV_OK &&
         cv_checkpoint_open(note, &h->b->vault->log_key, &c, NULL) != CV_OK) ||
        c.size == 0 || c.size < h->first || c.size > p->reader->size) {
        return CV_OK;
    }
    s = believe(p, &c, "audit/cosigned", err);
    if (s == CV_OK && c.size > p->checkpoint.size) {
        s = cv_proving_distrust(cv_proof_make_consistency(&p->source, c.size,
                                                          p->checkpoint.size,
                                                          &proof, err),
                                err);
    }
    if (s != CV_OK) {
        return s;
    }
    list =
        list != NULL ? list : cJSON_AddArrayToObject(h->manifest, "cosigned");
    notes = notes != NULL ? notes : cJSON_AddArrayToObject(h->out, "cosigned");
    item = cJSON_CreateObject();
    given = cJSON_CreateObject();
    cv_buf_init(&text, NULL, CV_LIMIT_NOTE);
    cv_buf_add(&text, note.data, note.len);
    ok = cv_json_add_str(item, "name", name) &&
         cv_json_add_int(item, "size", (int64_t)c.size) &&
         (c.size <= p->checkpoint.size ||
          add_hashes(item, "consistency", proof.hash, proof.n)) &&
         cv_json_add_str(given, "name", name) &&
         cv_json_add_str(given, "note", cv_buf_text(&text));
    cv_buf_wipe(&text);
    /* What is added belongs to its list. */
    if (!cJSON_AddItemToArray(list, item)) {
        cJSON_Delete(item);
        ok = false;
    }
    if (!cJSON_AddItemToArray(notes, given)) {
        cJSON_Delete(given);
        ok = false;
    }
    return ok ? CV_OK : no_memory(err);
}

/* The survey */

static enum cv_status run(struct head *h, struct cv_bundle_survey *y,
                          struct cv_err *err)
{
    const bool serving = cv_meanwhile_begin(h->b);
    bool done = false;
    enum cv_status s = CV_OK;

    while (s == CV_OK && !done) {
        s = cv_bundle_survey_step(y, &done, err);
        cv_manager_feed(true);
        if (serving && !done) {
            cv_meanwhile_turn(h->b);
        }
    }
    if (serving) {
        cv_meanwhile_end(h->b);
    }
    return s;
}

/* An entry may have got the name that is asked for after the period. */
static enum cv_status survey(struct head *h, struct cv_err *err)
{
    struct cv_store_entry *row = NULL;
    struct cv_bundle_survey *y = NULL;
    const char *name = h->w->entry, *id = NULL;
    enum cv_status s;

    if (name != NULL && cv_store_entry_by_name(h->b->vault->store, name, false,
                                               &row, NULL) == CV_OK) {
        id = row->entry_id;
    }
    s = cv_bundle_survey_new(h->p->reader, h->first, h->p->checkpoint.size,
                             name, id, &y, err);
    cv_store_entry_free(row);
    if (s == CV_OK) {
        s = run(h, y, err);
    }
    if (s == CV_OK) {
        s = cv_bundle_survey_tell(y, h->manifest, err);
    }
    cv_bundle_survey_free(y);
    return s;
}

/* All of it */

static enum cv_status tell(struct head *h, struct cv_err *err)
{
    struct cv_buf vkey;
    bool ok;

    cv_buf_init(&vkey, NULL, CV_LIMIT_NOTE);
    cv_note_key_text(&h->b->vault->log_key, &vkey);
    ok = cv_json_add_str(h->out, "vkey", cv_buf_text(&vkey)) &&
         cv_json_add_str(h->out, "after", cv_buf_text(&h->p->note)) &&
         (h->kept.before_note.len == 0 ||
          cv_json_add_str(h->out, "before",
                          cv_buf_text(&h->kept.before_note))) &&
         (h->keys.n == 0 ||
          (cv_json_add_str(h->out, "keys", cv_buf_text(&h->changes)) &&
           cv_json_add_int(h->manifest, "rotations", (int64_t)h->keys.n - 1)));
    cv_buf_wipe(&vkey);
    return ok ? CV_OK : no_memory(err);
}

static enum cv_status fill(struct head *h, struct cv_bundling_period *w,
                           struct cv_err *err)
{
    enum cv_status s = cv_broker_index(h->b, err);

    if (s == CV_OK) {
        s = find_period(h->b, w, h->p->checkpoint.size, err);
    }
    if (s == CV_OK && w->from == w->to) {
        s = cv_fail(err, CV_NOT_FOUND, "no record is of that time");
        cv_err_state(err, "no bundle was made");
        cv_err_hint(err, "certvault audit query -o json shows the times that "
                         "records have");
    }
    if (s == CV_OK) {
        s = find_keys(h, err);
    }
    if (s == CV_OK) {
        s = take_kept(h, err);
    }
    if (s == CV_OK && !add_about(h->b, w, h->manifest)) {
        s = no_memory(err);
    }
    if (s == CV_OK) {
        s = add_range(h->p, h->first, h->kept.before_note.len > 0, h->manifest,
                      err);
    }
    if (s == CV_OK) {
        s = survey(h, err);
    }
    if (s == CV_OK) {
        s = cv_anchored_each(h->b->vault->dir, take_cosigned, h, err);
    }
    return s == CV_OK ? tell(h, err) : s;
}

enum cv_status cv_bundling_head(struct cv_broker *b, struct cv_proving *p,
                                struct cv_bundling_period *w, uint64_t *first,
                                cJSON *out, struct cv_err *err)
{
    struct head h = {.b = b, .p = p, .w = w, .out = out};
    enum cv_status s;

    cv_buf_init(&h.changes, NULL, CV_LIMIT_BUNDLE_KEYS);
    h.manifest = cJSON_AddObjectToObject(out, "manifest");
    s = fill(&h, w, err);
    *first = h.first;
    cv_kept_pair_wipe(&h.kept);
    cv_rotation_chain_free(&h.keys);
    cv_buf_wipe(&h.changes);
    return s;
}
