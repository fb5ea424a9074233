/* AuditBundle, AuditBundleRead, AuditBundlePolicy: what a bundle of the record
 * is made of (vault/audit/bundle.h). The caller puts the pieces into a folder,
 * and has the whole checked before it gets its name; so a tile that was changed
 * makes no bundle. */
#include "vault/broker/bundling_internal.h"
#include "vault/broker/reading.h"

#include "vault/audit/bundle.h"
#include "vault/store/store_policy.h"

#include <string.h>

/* Ended by a callback that has seen enough; never leaves this file. */
#define ENOUGH CV_STATUS_COUNT

CV_BROKER_METHOD(audit_bundle)
{
    struct cv_broker *b = context;
    struct cv_bundling_period w = {INT64_MIN, INT64_MAX, NULL, 0, 0};
    const struct cv_json_field fields[] = {
        {"entry", CV_JSON_STRING, false, &w.entry, CV_LIMIT_NAME},
        {"since", CV_JSON_INT, false, &w.since_s, 0},
        {"until", CV_JSON_INT, false, &w.until_s, 0},
        CV_BROKER_ASK_FIELDS,
    };
    struct cv_proving p = {0};
    uint64_t first = 0;
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
        s = cv_bundling_head(b, &p, &w, &first, cv_reply_parameters(reply),
                             err);
    }
    if (s == CV_OK) {
        s = cv_reading_begin(&ask, CV_READING_BUNDLE, first, p.checkpoint.size,
                             err);
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
    int made;       /* of them, in this piece */
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
    p->made++;
    cv_buf_wipe(&leaf);
    cv_buf_wipe(&file);
    return s;
}

static enum cv_status add_record(void *ctx, uint64_t seq, struct cv_bytes leaf,
                                 struct cv_err *err)
{
    struct piece *p = ctx;
    enum cv_status s = CV_OK;

    if (p->made == CV_LIMIT_BUNDLE_STEP_PROOFS ||
        (p->text.len > 0 && p->text.len + leaf.len > CV_LIMIT_BUNDLE_STEP)) {
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

/* Each proof is made of a signed note and a record, and each record is looked
 * for among all ids: an answer's size and time are not the asker's to choose.
 */
static enum cv_status check_wanted(const struct piece *p, struct cv_err *err)
{
    if (p->proofs < 0 || p->proofs > CV_LIMIT_BUNDLE_PROOFS ||
        cJSON_GetArraySize(p->ids) > CV_LIMIT_BUNDLE_IDS) {
        return cv_fail(err, CV_USAGE,
                       "a bundle has at most %d proofs, of an entry that had "
                       "one of %d ids",
                       CV_LIMIT_BUNDLE_PROOFS, CV_LIMIT_BUNDLE_IDS);
    }
    return CV_OK;
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
    enum cv_status s = cv_json_read(parameters, "AuditBundleRead",
                                    CV_BROKER_FIELDS(fields), true, err);

    cv_buf_init(&proving.note, NULL, CV_LIMIT_NOTE);
    cv_buf_init(&p.text, NULL, CV_LIMIT_BUNDLE_STEP + CV_LIMIT_LEAF + 1);
    p.list = cJSON_AddArrayToObject(out, "proofs");
    if (s == CV_OK) {
        s = cv_reading_go_on(b, CV_READING_BUNDLE, parameters, at, end, err);
    }
    if (s == CV_OK) {
        s = check_wanted(&p, err);
    }
    if (s == CV_OK) {
        s = open_tiles(b, note, &proving, err);
    }
    if (s == CV_OK && (uint64_t)end > proving.checkpoint.size) {
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
    if (s == CV_OK) {
        cv_reading_took(b, p.next);
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
