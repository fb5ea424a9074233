/* AuditBundle, AuditBundleRead, AuditBundlePolicy: what a bundle of the record
 * is made of (vault/audit/bundle.h). The caller puts the pieces into a folder,
 * and has the whole checked before it gets its name; so a tile that was changed
 * makes no bundle. */
#include "vault/broker/proving_internal.h"

#include "vault/audit/archived.h"
#include "vault/audit/bundle.h"
#include "vault/audit/kept.h"
#include "vault/base/clock.h"
#include "vault/base/encode.h"
#include "vault/store/store_policy.h"

#include <string.h>

/* Ended by a callback that has seen enough; never leaves this file. */
#define ENOUGH CV_STATUS_COUNT

struct period {
    int64_t since_s, until_s;
    const char *entry;
    uint64_t from, to; /* the records in it, from..to-1 */
};

static enum cv_status first_of(void *ctx, uint64_t seq, struct cv_bytes leaf,
                               struct cv_err *err)
{
    (void)leaf;
    (void)err;
    *(uint64_t *)ctx = seq;
    return ENOUGH;
}

static enum cv_status last_of(void *ctx, uint64_t seq, struct cv_bytes leaf,
                              struct cv_err *err)
{
    (void)leaf;
    (void)err;
    *(uint64_t *)ctx = seq + 1;
    return CV_OK;
}

/* By what the records say of their time. Where the clock was set back, all from
 * the first record of the period to the last, and what lies between them. */
static enum cv_status find_period(struct cv_broker *b, struct period *p,
                                  uint64_t size, struct cv_err *err)
{
    struct cv_query_filter filter;
    enum cv_status s = CV_OK;
    uint64_t swap;

    p->from = p->since_s == INT64_MIN ? 0 : size;
    p->to = p->until_s == INT64_MAX ? size : 0;
    cv_query_init(&filter);
    filter.since_s = p->since_s;
    if (p->from > 0) {
        s = cv_query_run(b->vault->dir, &filter, first_of, &p->from, err);
        s = s == ENOUGH ? CV_OK : s;
    }
    filter.since_s = INT64_MIN;
    filter.until_s = p->until_s;
    if (s == CV_OK && p->to < size) {
        s = cv_query_run(b->vault->dir, &filter, last_of, &p->to, err);
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
static uint64_t beginning_of(const struct period *p)
{
    return p->from > 0 ? p->from - 1 : 0;
}

static uint64_t end_of(const struct period *p, uint64_t size)
{
    return p->to < size ? p->to + 1 : size;
}

/* Notes that were signed earlier, where they are of this log. */
static enum cv_status believe(const struct cv_proving *p,
                              const struct cv_checkpoint *c, struct cv_err *err)
{
    uint8_t root[CV_TREE_HASH];
    enum cv_status s = cv_proof_root(&p->source, c->size, root, err);

    if (s == CV_OK && memcmp(root, c->root, sizeof(root)) != 0) {
        cv_fail(err, CV_INTEGRITY,
                "what is there now is not what was signed when the log had "
                "%llu records (" CV_KEPT_PATH ")",
                (unsigned long long)c->size);
        cv_err_state(err, "no bundle was made");
        cv_err_hint(err, "certvault audit verify tells whether it is the log "
                         "that differs, or its tiles only");
        return CV_INTEGRITY;
    }
    return cv_proving_distrust(s, err);
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

static bool add_about(const struct cv_broker *b, const struct period *w,
                      cJSON *m)
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

/* An entry may have got the name that is asked for after the period. */
static enum cv_status survey(struct cv_broker *b, const struct cv_proving *p,
                             uint64_t first, const char *name, cJSON *manifest,
                             struct cv_err *err)
{
    struct cv_store_entry *row = NULL;
    const char *id = NULL;
    enum cv_status s;

    if (name != NULL && cv_store_entry_by_name(b->vault->store, name, false,
                                               &row, NULL) == CV_OK) {
        id = row->entry_id;
    }
    s = cv_bundle_survey(p->reader, first, p->checkpoint.size, name, id,
                         manifest, err);
    cv_store_entry_free(row);
    return s;
}

/* All records of the period must be in the log: *begins is where it does. */
static enum cv_status is_there(struct cv_broker *b, const struct period *w,
                               uint64_t *begins, struct cv_err *err)
{
    struct cv_archived gone;
    enum cv_status s = cv_archived_read(b->vault->dir, &gone, err);

    *begins = gone.tree.size;
    if (s == CV_OK && beginning_of(w) < gone.tree.size) {
        s = cv_archived_refuse(&gone, beginning_of(w), err);
        cv_err_prefix(err, "the period reaches before the log");
        cv_err_hint(err,
                    "--since a time after %s; single records are proven by: "
                    "certvault audit prove SEQ --archive FILE",
                    gone.until);
    }
    return s;
}

/* Everything but the records. p->checkpoint becomes the one that the bundle
 * ends with. */
static enum cv_status head(struct cv_broker *b, struct cv_proving *p,
                           struct period *w, cJSON *out, struct cv_err *err)
{
    struct cv_kept_pair kept;
    cJSON *manifest = cJSON_AddObjectToObject(out, "manifest");
    uint64_t first, begins = 0, size = p->checkpoint.size;
    struct cv_buf vkey;
    enum cv_status s = find_period(b, w, size, err);

    cv_buf_init(&vkey, NULL, CV_LIMIT_NOTE);
    cv_note_key_text(&b->vault->log_key, &vkey);
    memset(&kept, 0, sizeof(kept));
    if (s == CV_OK) {
        s = is_there(b, w, &begins, err);
    }
    if (s == CV_OK) {
        s = cv_kept_around(b->vault->dir, &b->vault->log_key, beginning_of(w),
                           end_of(w, size), &kept, err);
    }
    /* From a checkpoint before that, records would be wanted that are not there
     * any more. */
    if (s == CV_OK && kept.before.size < begins) {
        cv_buf_wipe(&kept.before_note);
    }
    if (s == CV_OK && kept.before_note.len > 0) {
        s = believe(p, &kept.before, err);
    }
    if (s == CV_OK && kept.after_note.len > 0 && kept.after.size <= size) {
        s = believe(p, &kept.after, err);
        p->checkpoint = kept.after;
        cv_buf_wipe(&p->note);
        cv_buf_add(&p->note, kept.after_note.data, kept.after_note.len);
    }
    first = kept.before_note.len > 0 ? kept.before.size : beginning_of(w);
    if (s == CV_OK && !add_about(b, w, manifest)) {
        s = cv_fail(err, CV_INTERNAL, "memory is gone");
    }
    if (s == CV_OK) {
        s = add_range(p, first, kept.before_note.len > 0, manifest, err);
    }
    if (s == CV_OK) {
        s = survey(b, p, first, w->entry, manifest, err);
    }
    if (s == CV_OK &&
        (!cv_json_add_str(out, "vkey", cv_buf_text(&vkey)) ||
         !cv_json_add_str(out, "after", cv_buf_text(&p->note)) ||
         (kept.before_note.len > 0 &&
          !cv_json_add_str(out, "before", cv_buf_text(&kept.before_note))))) {
        s = cv_fail(err, CV_INTERNAL, "memory is gone");
    }
    cv_kept_pair_wipe(&kept);
    cv_buf_wipe(&vkey);
    return s;
}

CV_BROKER_METHOD(audit_bundle)
{
    struct cv_broker *b = context;
    struct period w = {INT64_MIN, INT64_MAX, NULL, 0, 0};
    const struct cv_json_field fields[] = {
        {"entry", CV_JSON_STRING, false, &w.entry, CV_LIMIT_NAME},
        {"since", CV_JSON_INT, false, &w.since_s, 0},
        {"until", CV_JSON_INT, false, &w.until_s, 0},
        CV_BROKER_ASK_FIELDS,
    };
    struct cv_proving p = {0};
    struct cv_ask ask;
    enum cv_status s = cv_broker_audit_begin(b, parameters, &ask,
                                             CV_BROKER_FIELDS(fields), err);

    cv_buf_init(&p.note, NULL, CV_LIMIT_NOTE);
    if (s == CV_OK && w.since_s > w.until_s) {
        s = cv_fail(err, CV_USAGE, "the period ends before it begins");
    }
    if (s == CV_OK) {
        s = cv_proving_begin(b, &p, err);
    }
    if (s == CV_OK) {
        s = head(b, &p, &w, cv_reply_parameters(reply), err);
    }
    cv_proving_free(&p);
    return s;
}

/* Pieces */

struct piece {
    struct cv_broker *broker;
    struct cv_proving *proving;
    const char *entry;
    const cJSON *ids;
    int64_t proofs; /* how many more are wanted */
    struct cv_buf text;
    cJSON *list;
    uint64_t next;
};

static enum cv_status add_proof(struct piece *p, uint64_t seq,
                                struct cv_err *err)
{
    struct cv_buf leaf, file;
    cJSON *item = NULL;
    enum cv_status s;

    cv_buf_init(&leaf, NULL, CV_LIMIT_LEAF);
    cv_buf_init(&file, NULL, CV_LIMIT_PROOF);
    s = cv_proving_file(p->broker, p->proving, seq, true, &leaf, &file, err);
    if (s == CV_OK) {
        item = cJSON_CreateObject();
        if (!cv_json_add_int(item, "seq", (int64_t)seq) ||
            !cv_json_add_str(item, "proof", cv_buf_text(&file)) ||
            !cJSON_AddItemToArray(p->list, item)) {
            cJSON_Delete(item);
            s = cv_fail(err, CV_INTERNAL, "memory is gone");
        }
    }
    p->proofs--;
    cv_buf_wipe(&leaf);
    cv_buf_wipe(&file);
    return s;
}

static enum cv_status add_record(void *ctx, uint64_t seq, struct cv_bytes leaf,
                                 struct cv_err *err)
{
    struct piece *p = ctx;
    enum cv_status s = CV_OK;

    if (p->text.len > 0 && p->text.len + leaf.len > CV_LIMIT_BUNDLE_STEP) {
        return ENOUGH;
    }
    cv_buf_add(&p->text, leaf.data, leaf.len);
    cv_buf_add_char(&p->text, '\n');
    p->next = seq + 1;
    if (p->proofs > 0 && cv_bundle_is_about(leaf, p->entry, p->ids)) {
        s = add_proof(p, seq, err);
    }
    return s;
}

/* Decided each time, recorded once, by AuditBundle, unless it is given once or
 * loudly. */
static enum cv_status check_again(struct cv_broker *b, const cJSON *parameters,
                                  const struct cv_json_field *fields, size_t n,
                                  struct cv_err *err)
{
    struct cv_ask ask;
    enum cv_status s =
        cv_ask_begin(b, CV_ACTION_AUDIT_READ, parameters, &ask, err);

    if (s == CV_OK) {
        s = cv_json_read(parameters, "AuditBundleRead", fields, n, true, err);
    }
    if (s == CV_OK) {
        s = cv_broker_enter(b, err);
    }
    if (s == CV_OK) {
        s = cv_ask_check(&ask, NULL, NULL, err);
        cv_broker_leave(b);
    }
    if (s == CV_OK && (ask.result.break_glass || ask.result.approved)) {
        s = cv_broker_audit_begin(b, parameters, &ask, fields, n, err);
    }
    return s;
}

/* The tiles, and the note that the caller has: checked like anybody's. */
static enum cv_status open_tiles(struct cv_broker *b, const char *note,
                                 struct cv_proving *p, struct cv_err *err)
{
    enum cv_status s;

    cv_buf_add_str(&p->note, note);
    s = cv_buf_status(&p->note, "a note", err);
    if (s == CV_OK) {
        s = cv_checkpoint_open(cv_buf_bytes(&p->note), &b->vault->log_key,
                               &p->checkpoint, err);
    }
    return s == CV_OK ? cv_proving_tiles(b, p, err) : s;
}

CV_BROKER_METHOD(audit_bundle_read)
{
    struct cv_broker *b = context;
    struct cv_proving proving = {0};
    struct piece p = {.broker = b, .proving = &proving};
    const char *note = NULL;
    int64_t at = -1, end = -1;
    const struct cv_json_field fields[] = {
        {"at", CV_JSON_INT, true, &at, 0},
        {"end", CV_JSON_INT, true, &end, 0},
        {"note", CV_JSON_TEXT, true, &note, CV_LIMIT_NOTE},
        {"entry", CV_JSON_STRING, false, &p.entry, CV_LIMIT_NAME},
        {"entry_ids", CV_JSON_ARRAY, false, &p.ids, 0},
        {"proofs", CV_JSON_INT, false, &p.proofs, 0},
        CV_BROKER_ASK_FIELDS,
    };
    cJSON *out = cv_reply_parameters(reply);
    enum cv_status s =
        check_again(b, parameters, CV_BROKER_FIELDS(fields), err);

    cv_buf_init(&proving.note, NULL, CV_LIMIT_NOTE);
    cv_buf_init(&p.text, NULL, CV_LIMIT_BUNDLE_STEP + CV_LIMIT_LEAF + 1);
    p.list = cJSON_AddArrayToObject(out, "proofs");
    if (s == CV_OK) {
        s = open_tiles(b, note, &proving, err);
    }
    if (s == CV_OK &&
        (at < 0 || end < at || (uint64_t)end > proving.checkpoint.size)) {
        s = cv_fail(err, CV_USAGE, "there are no such records");
    }
    if (s == CV_OK) {
        p.next = (uint64_t)at;
        s = cv_tiles_each(proving.reader, (uint64_t)at, (uint64_t)end,
                          add_record, &p, err);
        s = s == ENOUGH ? CV_OK : s;
    }
    if (s == CV_OK && (!cv_json_add_str(out, "records", cv_buf_text(&p.text)) ||
                       !cv_json_add_int(out, "next", (int64_t)p.next))) {
        s = cv_fail(err, CV_INTERNAL, "memory is gone");
    }
    cv_buf_wipe(&p.text);
    cv_proving_free(&proving);
    return s;
}

CV_BROKER_METHOD(audit_bundle_policy)
{
    struct cv_broker *b = context;
    struct cv_store_policy *row = NULL;
    const char *sha256 = NULL;
    int64_t version = -1;
    const struct cv_json_field fields[] = {
        {"version", CV_JSON_INT, true, &version, 0},
        {"sha256", CV_JSON_STRING, true, &sha256, 64},
        CV_BROKER_ASK_FIELDS,
    };
    struct cv_ask ask;
    enum cv_status s =
        cv_ask_begin(b, CV_ACTION_POLICY_READ, parameters, &ask, err);

    if (s == CV_OK) {
        s = cv_json_read(parameters, "AuditBundlePolicy",
                         CV_BROKER_FIELDS(fields), true, err);
    }
    if (s == CV_OK) {
        s = cv_ask_read(&ask, NULL, err);
    }
    if (s != CV_OK) {
        cv_ask_refused(&ask, err);
        return s;
    }
    s = cv_store_policy_version(b->vault->store, version, &row, err);
    if (s == CV_OK && strcmp(row->sha256, sha256) != 0) {
        s = cv_fail(err, CV_NOT_FOUND, "no such policy was applied");
    }
    if (s == CV_OK &&
        !cv_json_add_str(cv_reply_parameters(reply), "text", row->text)) {
        s = cv_fail(err, CV_INTERNAL, "memory is gone");
    }
    cv_store_policy_free(row);
    return s;
}
