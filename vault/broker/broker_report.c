/* AuditReport and AuditExport: the records of a period with what it takes to
 * check them without us, and their bytes. */
#include "vault/audit/span.h"
#include "vault/broker/anchor.h"
#include "vault/broker/proving_internal.h"
#include "vault/broker/reading.h"
#include "vault/store/store_entry.h"

#include <string.h>

/* Of leaves, in one answer; more than the longest leaf. */
#define PIECE CV_MIB(2)

static enum cv_status no_memory(struct cv_err *err)
{
    return cv_fail(err, CV_INTERNAL, "memory is gone");
}

/* ---- AuditExport ---- */

struct piece {
    struct cv_buf text;
    uint64_t end;
    uint64_t next;
};

static enum cv_status add_leaf(void *context, uint64_t seq,
                               struct cv_bytes leaf, struct cv_err *err)
{
    struct piece *p = context;

    if (seq >= p->end || p->text.len + leaf.len + 1 > PIECE) {
        return CV_SPAN_STOP;
    }
    cv_buf_add(&p->text, leaf.data, leaf.len);
    cv_buf_add_char(&p->text, '\n');
    p->next = seq + 1;
    return cv_buf_status(&p->text, "the records", err);
}

CV_BROKER_METHOD(audit_export)
{
    struct cv_broker *b = context;
    int64_t from = -1, end = -1;
    const struct cv_json_field fields[] = {
        {"from", CV_JSON_INT, true, &from, 0},
        {"end", CV_JSON_INT, true, &end, 0},
        CV_BROKER_ASK_FIELDS,
    };
    struct piece p = {0};
    enum cv_status s = cv_json_read(parameters, "AuditExport",
                                    CV_BROKER_FIELDS(fields), true, err);

    if (s == CV_OK) {
        s = cv_reading_go_on(b, CV_READING_REPORT, parameters, from, end, err);
    }
    cv_buf_init(&p.text, NULL, PIECE + CV_LIMIT_LEAF);
    p.end = (uint64_t)end;
    p.next = (uint64_t)from;
    if (s == CV_OK) {
        s = cv_span_run(b->vault->dir, (uint64_t)from, add_leaf, &p, err);
    }
    if (s == CV_OK && p.next == (uint64_t)from && from < end) {
        s = cv_fail(err, CV_NOT_FOUND, "the audit log has no record %lld",
                    (long long)from);
    }
    if (s == CV_OK && (!cv_json_add_str(cv_reply_parameters(reply), "leaves",
                                        cv_buf_text(&p.text)) ||
                       !cv_json_add_int(cv_reply_parameters(reply), "next",
                                        (int64_t)p.next))) {
        s = no_memory(err);
    }
    if (s == CV_OK) {
        cv_reading_took(b, p.next);
    }
    cv_buf_wipe(&p.text);
    return s;
}

/* ---- AuditReport ---- */

struct report {
    struct cv_broker *broker;
    uint64_t first, end; /* the records of the period under the checkpoint */
    uint64_t newer_first, newer_end; /* those that it does not cover */
    struct cv_proving p;
    struct cv_buf vkey;
    bool signed_; /* there is a checkpoint */
    cJSON *out, *entries;
};

static bool add_hash(cJSON *list, const uint8_t hash[CV_TREE_HASH])
{
    cJSON *holder = cJSON_CreateObject();
    bool ok =
        cv_json_add_base64(holder, "h", (struct cv_bytes){hash, CV_TREE_HASH});
    cJSON *text = cJSON_DetachItemFromObjectCaseSensitive(holder, "h");

    cJSON_Delete(holder);
    return ok && cJSON_AddItemToArray(list, text);
}

/* The largest whole subtrees between two places of the tree. */
static enum cv_status add_between(struct report *r, const char *key,
                                  uint64_t from, uint64_t to,
                                  struct cv_err *err)
{
    const struct cv_proof_source *source = &r->p.source;
    cJSON *list = cJSON_AddArrayToObject(r->out, key);
    enum cv_status s = list == NULL ? no_memory(err) : CV_OK;

    while (from < to && s == CV_OK) {
        uint8_t hash[CV_TREE_HASH];
        unsigned level = 0;

        while (from % (UINT64_C(2) << level) == 0 &&
               from + (UINT64_C(2) << level) <= to) {
            level++;
        }
        s = source->subtree(source->context, level, from >> level, hash, err);
        if (s == CV_OK && !add_hash(list, hash)) {
            s = no_memory(err);
        }
        from += UINT64_C(1) << level;
    }
    return s;
}

/* Those of the period that came after a checkpoint of `size`: none, but where
 * none can be signed. */
static void split(struct report *r, uint64_t size)
{
    r->newer_end = r->end;
    r->newer_first = r->first > size ? r->first : size;
    r->newer_first = r->newer_first < r->end ? r->newer_first : r->end;
    r->end = r->end < size ? r->end : size;
    r->first = r->first < r->end ? r->first : r->end;
}

/* What is left and right of the period in the tree under the checkpoint. A
 * vault that was restored and not opened since may have none. */
static enum cv_status add_proof(struct report *r, struct cv_err *err)
{
    uint64_t size;
    enum cv_status s = cv_proving_begin(r->broker, &r->p, err);

    if (s == CV_NOT_FOUND) {
        return CV_OK;
    }
    if (s == CV_OK) {
        size = r->p.checkpoint.size;
        r->signed_ = true;
        split(r, size);
        s = add_between(r, "left", 0, r->first, err);
        if (s == CV_OK) {
            s = add_between(r, "right", r->end, size, err);
        }
    }
    return cv_proving_distrust(s, err);
}

static enum cv_status add_entry(void *context, const struct cv_store_entry *row,
                                struct cv_err *err)
{
    struct report *r = context;
    cJSON *doc = NULL, *item = cJSON_CreateObject();
    enum cv_status s = cv_json_parse(
        NULL, (struct cv_bytes){(const uint8_t *)row->doc, strlen(row->doc)},
        &doc, err);
    const cJSON *certificate;

    if (s == CV_OK) {
        certificate = cJSON_GetObjectItemCaseSensitive(doc, "certificate");
        if (!cv_json_add_str(item, "name", cv_entry_text(doc, "name")) ||
            !cv_json_add_str(item, "location",
                             cv_entry_text(doc, "location")) ||
            !cv_json_add_str(item, "not_after",
                             cv_entry_text(certificate, "not_after")) ||
            !cv_json_add_bool(item, "exportable",
                              cJSON_IsTrue(cJSON_GetObjectItemCaseSensitive(
                                  doc, "exportable")))) {
            s = no_memory(err);
        }
    }
    cJSON_Delete(doc);
    if (s == CV_OK && cJSON_AddItemToArray(r->entries, item)) {
        return CV_OK;
    }
    cJSON_Delete(item);
    return s == CV_OK ? no_memory(err) : s;
}

/* The entries of now: what will expire is not in the record. */
static enum cv_status add_entries(struct report *r, struct cv_err *err)
{
    struct cv_store_filter all;

    cv_store_entry_filter_init(&all);
    r->entries = cJSON_AddArrayToObject(r->out, "entries");
    return r->entries == NULL ? no_memory(err)
                              : cv_store_entry_list(r->broker->vault->store,
                                                    &all, add_entry, r, err);
}

static enum cv_status add_state(struct report *r, struct cv_err *err)
{
    struct cv_broker *b = r->broker;
    cJSON *status = NULL;
    enum cv_status s = cv_broker_enter(b, err);

    if (s == CV_OK) {
        s = cv_log_status(b->vault->log, &status, err);
        cv_broker_leave(b);
    }
    /* The log by itself knows of no anchors. */
    if (s == CV_OK && !cv_anchor_add(b, status)) {
        cJSON_Delete(status);
        return no_memory(err);
    }
    cv_note_key_text(&b->vault->log_key, &r->vkey);
    if (s == CV_OK &&
        (!cv_json_add_item(r->out, "status", status) ||
         !cv_json_add_str(r->out, "vkey", cv_buf_text(&r->vkey)) ||
         !cv_json_add_str(r->out, "note",
                          r->signed_ ? cv_buf_text(&r->p.note) : NULL) ||
         !cv_json_add_str(r->out, "vault_id", b->vault->id) ||
         !cv_json_add_str(r->out, "host", b->host) ||
         !cv_json_add_int(r->out, "first", (int64_t)r->first) ||
         !cv_json_add_int(r->out, "end", (int64_t)r->end) ||
         !cv_json_add_int(r->out, "newer_first", (int64_t)r->newer_first) ||
         !cv_json_add_int(r->out, "newer_end", (int64_t)r->newer_end))) {
        s = no_memory(err);
    }
    return s;
}

static enum cv_status fill(struct report *r, const struct cv_query_filter *when,
                           struct cv_err *err)
{
    enum cv_status s = cv_broker_index(r->broker, err);

    if (s == CV_OK) {
        s = cv_span_find(r->broker->vault->dir, when, &r->first, &r->end, err);
    }
    if (s == CV_OK) {
        s = add_proof(r, err);
    }
    if (s == CV_OK) {
        s = add_state(r, err);
    }
    return s == CV_OK ? add_entries(r, err) : s;
}

CV_BROKER_METHOD(audit_report)
{
    struct cv_query_filter when;
    const struct cv_json_field fields[] = {
        {"since", CV_JSON_INT, false, &when.since_s, 0},
        {"until", CV_JSON_INT, false, &when.until_s, 0},
        CV_BROKER_ASK_FIELDS,
    };
    struct report r = {.broker = context, .out = cv_reply_parameters(reply)};
    struct cv_ask ask;
    enum cv_status s;

    cv_query_init(&when);
    cv_buf_init(&r.p.note, NULL, CV_LIMIT_NOTE);
    cv_buf_init(&r.vkey, NULL, CV_LIMIT_NOTE);
    s = cv_broker_audit_begin(r.broker, parameters, &ask,
                              CV_BROKER_FIELDS(fields), err);
    if (s == CV_OK) {
        s = fill(&r, &when, err);
    }
    if (s == CV_OK) {
        s = cv_reading_begin(&ask, CV_READING_REPORT, r.first,
                             r.newer_end > r.end ? r.newer_end : r.end, err);
    }
    cv_proving_free(&r.p);
    cv_buf_wipe(&r.vkey);
    return s;
}
