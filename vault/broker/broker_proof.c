/* Tiles, and what is proved by them: audit prove, consistency, rebuild. */
#include "vault/broker/proving_internal.h"

#include "vault/audit/index.h"
#include "vault/base/encode.h"
#include "vault/broker/tiling.h"

#include <string.h>

/* The caller brings it, of a record that is archived: its hash tells whether it
 * is the one. */
static enum cv_status take_record(struct cv_proving *p, uint64_t seq,
                                  const char *record, struct cv_buf *leaf,
                                  struct cv_err *err)
{
    uint8_t want[CV_TREE_HASH], got[CV_TREE_HASH];
    enum cv_status s = p->source.subtree(p->source.context, 0, seq, want, err);

    if (s != CV_OK) {
        return cv_proving_distrust(s, err);
    }
    cv_buf_add_str(leaf, record);
    s = cv_buf_status(leaf, "the record", err);
    if (s == CV_OK) {
        cv_tree_leaf(cv_buf_bytes(leaf), got);
        if (memcmp(want, got, sizeof(got)) != 0) {
            s = cv_fail(err, CV_INTEGRITY,
                        "that is not record %llu of this log: it was changed, "
                        "or is another log's",
                        (unsigned long long)seq);
            cv_err_hint(err, "certvault audit verify --archive FILE says "
                             "where the archive differs");
        }
    }
    return s;
}

/* Both go to the caller. */
static enum cv_status prove(struct cv_broker *b, struct cv_proving *p,
                            uint64_t seq, const char *record,
                            struct cv_reply *reply, struct cv_err *err)
{
    struct cv_buf leaf, file;
    enum cv_status s;

    cv_buf_init(&leaf, NULL, CV_LIMIT_LEAF);
    cv_buf_init(&file, NULL, CV_LIMIT_PROOF);
    s = record != NULL ? take_record(p, seq, record, &leaf, err) : CV_OK;
    if (s == CV_OK) {
        s = cv_proving_file(b, p, seq, false, &leaf, &file, err);
    }
    if (s == CV_OK) {
        cJSON *out = cv_reply_parameters(reply);

        if (!cv_json_add_str(out, "proof", cv_buf_text(&file)) ||
            !cv_json_add_str(out, "leaf", cv_buf_text(&leaf))) {
            s = cv_fail(err, CV_INTERNAL, "memory is gone");
        }
    }
    cv_buf_wipe(&leaf);
    cv_buf_wipe(&file);
    return s;
}

/* `covered` by the last checkpoint, which may not be signable now. */
static enum cv_status not_there(struct cv_broker *b, int64_t seq,
                                uint64_t covered, struct cv_err *err)
{
    enum cv_status s = cv_broker_enter(b, err);
    uint64_t size;

    if (s != CV_OK) {
        return s;
    }
    size = cv_log_size(b->vault->log);
    cv_broker_leave(b);
    if (seq >= 0 && (uint64_t)seq < size) {
        cv_fail(err, CV_NOT_FOUND, "no checkpoint covers record %lld yet",
                (long long)seq);
        cv_err_state(err, "the last one is over %llu records",
                     (unsigned long long)covered);
        cv_err_hint(err, "certvault audit checkpoint makes one, or says what "
                         "is in its way");
        return CV_NOT_FOUND;
    }
    cv_fail(err, CV_NOT_FOUND, "the audit log has no record %lld",
            (long long)seq);
    cv_err_hint(err, "it has %llu, numbered from 0", (unsigned long long)size);
    return CV_NOT_FOUND;
}

CV_BROKER_METHOD(audit_prove)
{
    struct cv_broker *b = context;
    int64_t seq = -1;
    const char *record = NULL;
    const struct cv_json_field fields[] = {
        {"seq", CV_JSON_INT, true, &seq, 0},
        {"record", CV_JSON_STRING, false, &record, CV_LIMIT_LEAF},
        CV_BROKER_ASK_FIELDS,
    };
    struct cv_proving p = {0};
    struct cv_ask ask;
    enum cv_status s = cv_broker_audit_begin(b, parameters, &ask,
                                             CV_BROKER_FIELDS(fields), err);

    cv_buf_init(&p.note, NULL, CV_LIMIT_NOTE);
    if (s == CV_OK && seq >= 0 && (uint64_t)seq < cv_log_size(b->vault->log)) {
        s = cv_signer_need_over(b, (uint64_t)seq + 1, reply, err);
    }
    if (s == CV_OK) {
        s = cv_proving_begin(b, &p, err);
    }
    if (s == CV_OK && (seq < 0 || (uint64_t)seq >= p.checkpoint.size)) {
        s = not_there(b, seq, p.checkpoint.size, err);
    }
    if (s == CV_OK) {
        s = prove(b, &p, (uint64_t)seq, record, reply, err);
    }
    cv_proving_free(&p);
    return s;
}

static bool add_hashes(cJSON *out, const struct cv_proof *proof)
{
    cJSON *list = cJSON_AddArrayToObject(out, "proof");
    bool ok = list != NULL;

    for (unsigned i = 0; i < proof->n && ok; i++) {
        struct cv_buf text;
        cJSON *item;

        cv_buf_init(&text, NULL, 64);
        cv_encode_base64((struct cv_bytes){proof->hash[i], CV_TREE_HASH},
                         &text);
        item = cJSON_CreateString(cv_buf_text(&text));
        ok = item != NULL && cJSON_AddItemToArray(list, item);
        cv_buf_wipe(&text);
    }
    return ok;
}

static bool add_root(cJSON *out, const char *key,
                     const uint8_t root[CV_TREE_HASH])
{
    return cv_json_add_base64(out, key, (struct cv_bytes){root, CV_TREE_HASH});
}

/* That size's root comes from tiles alone: it must lead to what was signed. */
static enum cv_status leads_on(const struct cv_proving *p, uint64_t size,
                               const uint8_t root[CV_TREE_HASH],
                               struct cv_err *err)
{
    const struct cv_checkpoint *c = &p->checkpoint;
    struct cv_proof proof;
    enum cv_status s =
        cv_proof_make_consistency(&p->source, c->size, size, &proof, err);

    return s == CV_OK ? cv_proof_check_consistency(size, c->size, root, c->root,
                                                   &proof, err)
                      : s;
}

static enum cv_status consistency(struct cv_proving *p, uint64_t from,
                                  uint64_t to, struct cv_reply *reply,
                                  struct cv_err *err)
{
    uint8_t old_root[CV_TREE_HASH], new_root[CV_TREE_HASH];
    cJSON *out = cv_reply_parameters(reply);
    struct cv_proof proof;
    enum cv_status s = cv_proof_root(&p->source, from, old_root, err);

    if (s == CV_OK) {
        s = cv_proof_root(&p->source, to, new_root, err);
    }
    if (s == CV_OK && to == p->checkpoint.size &&
        memcmp(new_root, p->checkpoint.root, CV_TREE_HASH) != 0) {
        s = cv_fail(err, CV_INTEGRITY, "their root is not the checkpoint's");
    }
    if (s == CV_OK && to < p->checkpoint.size) {
        s = leads_on(p, to, new_root, err);
    }
    if (s == CV_OK) {
        s = cv_proof_make_consistency(&p->source, to, from, &proof, err);
    }
    if (s == CV_OK) {
        s = cv_proof_check_consistency(from, to, old_root, new_root, &proof,
                                       err);
    }
    if (s != CV_OK) {
        return cv_proving_distrust(s, err);
    }
    return add_hashes(out, &proof) && add_root(out, "old_root", old_root) &&
                   add_root(out, "new_root", new_root)
               ? CV_OK
               : cv_fail(err, CV_INTERNAL, "memory is gone");
}

CV_BROKER_METHOD(audit_consistency)
{
    struct cv_broker *b = context;
    int64_t from = -1, to = -1;
    const struct cv_json_field fields[] = {
        {"old", CV_JSON_INT, true, &from, 0},
        {"new", CV_JSON_INT, true, &to, 0},
        CV_BROKER_ASK_FIELDS,
    };
    struct cv_proving p = {0};
    struct cv_ask ask;
    enum cv_status s = cv_broker_audit_begin(b, parameters, &ask,
                                             CV_BROKER_FIELDS(fields), err);

    cv_buf_init(&p.note, NULL, CV_LIMIT_NOTE);
    if (s == CV_OK && (from < 0 || to < from)) {
        s = cv_fail(err, CV_USAGE, "the first size is the smaller one");
    }
    if (s == CV_OK && (uint64_t)to <= cv_log_size(b->vault->log)) {
        s = cv_signer_need_over(b, (uint64_t)to, reply, err);
    }
    if (s == CV_OK) {
        s = cv_proving_begin(b, &p, err);
    }
    if (s == CV_OK && (uint64_t)to > p.checkpoint.size) {
        s = cv_fail(err, CV_NOT_FOUND, "the log has %llu records only",
                    (unsigned long long)p.checkpoint.size);
        cv_err_state(err, "nothing was proved");
        cv_err_hint(err, "certvault audit checkpoint has the size that a proof "
                         "goes up to");
    }
    if (s == CV_OK) {
        s = consistency(&p, (uint64_t)from, (uint64_t)to, reply, err);
    }
    cv_proving_free(&p);
    return s;
}

struct rebuilding {
    int vault;
    bool begun;
};

static enum cv_status one_step(void *context, uint64_t size, struct cv_err *err)
{
    struct rebuilding *r = context;
    const bool first = !r->begun;

    r->begun = true;
    return first ? cv_tiles_rebuild(r->vault, size, err)
                 : cv_tiles_update(r->vault, size, err);
}

/* Entered; decided and recorded. */
static enum cv_status rebuild(struct cv_broker *b, struct cv_ask *ask,
                              uint64_t *size, struct cv_err *err)
{
    struct cv_checkpoint c;
    enum cv_status s = cv_checkpoint_read(b->vault->dir, &b->vault->log_key, &c,
                                          NULL, NULL, err);

    *size = c.size;
    if (s == CV_OK) {
        struct rebuilding r = {.vault = b->vault->dir};

        s = cv_tiling_run(0, c.size, one_step, &r, err);
    }
    if (s == CV_OK) {
        s = cv_index_remove(b->vault->dir, err);
    }
    if (cv_ask_outcome(ask, s, NULL, NULL) == CV_OK) {
        (void)!cv_broker_commit(b, NULL);
    }
    return s;
}

CV_BROKER_METHOD(audit_rebuild)
{
    struct cv_broker *b = context;
    const struct cv_json_field fields[] = {CV_BROKER_ASK_FIELDS};
    uint64_t size = 0;
    struct cv_ask ask;
    enum cv_status s = cv_ask_begin(b, CV_ACTION_ADMIN, parameters, &ask, err);

    if (s == CV_OK) {
        s = cv_json_read(parameters, "AuditRebuild", CV_BROKER_FIELDS(fields),
                         true, err);
    }
    if (s == CV_OK) {
        s = cv_broker_enter(b, err);
    }
    if (s == CV_OK) {
        s = cv_ask_decide(&ask, NULL, NULL, err);
        if (s == CV_OK) {
            s = cv_broker_commit(b, err);
        }
        if (s == CV_OK) {
            s = rebuild(b, &ask, &size, err);
        }
        cv_broker_leave(b);
    }
    /* Not entered: it takes turns with others. */
    if (s == CV_OK) {
        s = cv_broker_index(b, err);
    }
    if (s == CV_OK &&
        !cv_json_add_int(cv_reply_parameters(reply), "size", (int64_t)size)) {
        s = cv_fail(err, CV_INTERNAL, "memory is gone");
    }
    if (s != CV_OK) {
        cv_ask_refused(&ask, err);
    }
    return s;
}
