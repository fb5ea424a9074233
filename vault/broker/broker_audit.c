/* Asking the record. */
#include "vault/audit/checkpoint.h"
#include "vault/audit/details.h"
#include "vault/audit/query.h"
#include "vault/audit/span.h"
#include "vault/broker/anchor.h"
#include "vault/broker/backup_internal.h"
#include "vault/broker/broker_internal.h"
#include "vault/broker/question_internal.h"
#include "vault/store/store_entry.h"

#include <string.h>

/* Answers of more leaves than this come in pieces where the caller takes them.
 */
#define PIECE 1000

/* Leaves that are given at once to who follows. */
#define PAGE 1000

/* Bytes of leaves in one answer: far below a frame's limit, as a tree takes
 * many times the memory of its text. */
#define PIECE_BYTES CV_MIB(4)
_Static_assert(PIECE_BYTES + 2 * CV_LIMIT_LEAF < CV_LIMIT_FRAME,
               "a piece fits into a frame");

enum cv_status cv_broker_audit_begin(struct cv_broker *b,
                                     const cJSON *parameters,
                                     struct cv_ask *ask,
                                     const struct cv_json_field *fields,
                                     size_t n, struct cv_err *err)
{
    cJSON *question = NULL;
    enum cv_status s =
        cv_ask_begin(b, CV_ACTION_AUDIT_READ, parameters, ask, err);

    if (s == CV_OK) {
        s = cv_json_read(parameters, "the request", fields, n, true, err);
    }
    if (s == CV_OK) {
        question = cv_question_of(ask->method, parameters);
        s = question != NULL ? CV_OK
                             : cv_fail(err, CV_INTERNAL, "memory is gone");
    }
    if (s == CV_OK) {
        ask->question = question;
        s = cv_ask_read(ask, NULL, err);
        ask->question = NULL;
    }
    cJSON_Delete(question);
    /* What was asked for includes what waits to be written. */
    if (s == CV_OK && cv_broker_flush(b, true)) {
        s = cv_fail(err, CV_IO, "the record cannot be written");
        cv_err_hint(err, "see that the vault's disk has room");
    }
    if (s != CV_OK) {
        cv_ask_refused(ask, err);
    }
    return s;
}

/* Leaves on their way to the caller. */
struct stream {
    struct cv_reply *reply;
    cJSON *items;
    int n;        /* in this piece */
    size_t bytes; /* theirs */
};

static enum cv_status stream_begin(struct stream *st, struct cv_reply *reply,
                                   struct cv_err *err)
{
    st->reply = reply;
    st->n = 0;
    st->bytes = 0;
    st->items = cJSON_AddArrayToObject(cv_reply_parameters(reply), "items");
    return st->items != NULL ? CV_OK
                             : cv_fail(err, CV_INTERNAL, "memory is gone");
}

/* Ends the piece where `more` bytes are too many for it. */
static enum cv_status stream_room(struct stream *st, size_t more,
                                  struct cv_err *err)
{
    enum cv_status s;

    if (st->bytes + more <= PIECE_BYTES &&
        (st->n < PIECE || !cv_reply_wants_more(st->reply))) {
        st->bytes += more;
        st->n++;
        return CV_OK;
    }
    if (!cv_reply_wants_more(st->reply)) {
        s = cv_fail(err, CV_INVALID, "too many records for one answer");
        cv_err_hint(err, "ask in pieces (Varlink's \"more\"), or for fewer: "
                         "--since, --limit");
        return s;
    }
    s = cv_reply_continue(st->reply, err);
    s = s == CV_OK ? stream_begin(st, st->reply, err) : s;
    st->bytes = more;
    st->n = 1;
    return s;
}

static enum cv_status stream_leaf(void *context, uint64_t seq,
                                  struct cv_bytes leaf, struct cv_err *err)
{
    struct stream *st = context;
    cJSON *item;
    enum cv_status s = stream_room(st, leaf.len, err);

    (void)seq;
    if (s == CV_OK) {
        s = cv_json_parse(NULL, leaf, &item, err);
    }
    if (s == CV_OK && !cJSON_AddItemToArray(st->items, item)) {
        cJSON_Delete(item);
        s = cv_fail(err, CV_INTERNAL, "memory is gone");
    }
    return s;
}

/* Of a tree, which is taken. */
static enum cv_status stream_item(void *context, cJSON *item,
                                  struct cv_err *err)
{
    struct stream *st = context;
    struct cv_buf text;
    enum cv_status s;

    cv_buf_init(&text, NULL, 2 * CV_LIMIT_LEAF);
    cv_json_write(item, CV_JSON_COMPACT, &text);
    s = cv_buf_status(&text, "a record", err);
    if (s == CV_OK) {
        s = stream_room(st, text.len, err);
    }
    cv_buf_wipe(&text);
    if (s == CV_OK && cJSON_AddItemToArray(st->items, item)) {
        return CV_OK;
    }
    cJSON_Delete(item);
    return s == CV_OK ? cv_fail(err, CV_INTERNAL, "memory is gone") : s;
}

/* A typing error must not read as "there was none". */
static enum cv_status check_action(const struct cv_query_filter *filter,
                                   struct cv_err *err)
{
    enum cv_status s;

    if (filter->action == NULL || strpbrk(filter->action, "*?") != NULL ||
        cv_details_is_action(filter->action)) {
        return CV_OK;
    }
    s = cv_fail(err, CV_USAGE, "there is no such action");
    cv_err_hint(err, "certvault(1) lists the actions; * stands for any text");
    return s;
}

CV_BROKER_METHOD(audit_query)
{
    struct cv_broker *b = context;
    const cJSON *wanted = NULL;
    const struct cv_json_field fields[] = {
        {"filter", CV_JSON_OBJECT, false, &wanted, 0},
        CV_BROKER_ASK_FIELDS,
    };
    struct cv_query_filter filter;
    bool distrusted = false;
    struct stream st;
    struct cv_ask ask;
    enum cv_status s = cv_broker_audit_begin(b, parameters, &ask,
                                             CV_BROKER_FIELDS(fields), err);

    cv_query_init(&filter);
    if (s == CV_OK && wanted != NULL) {
        s = cv_query_read(wanted, &filter, err);
    }
    if (s == CV_OK) {
        s = check_action(&filter, err);
    }
    if (s == CV_OK) {
        s = cv_broker_index(b, err);
    }
    if (s == CV_OK) {
        s = stream_begin(&st, reply, err);
    }
    filter.indexed = true;
    filter.distrusted = &distrusted;
    if (s == CV_OK) {
        s = cv_query_run(b->vault->dir, &filter, stream_leaf, &st, err);
    }
    if (distrusted) {
        cv_broker_index_distrust(b);
    }
    return s;
}

CV_BROKER_METHOD(audit_who)
{
    struct cv_broker *b = context;
    struct cv_query_filter filter;
    const struct cv_json_field fields[] = {
        {"name", CV_JSON_STRING, true, &filter.entry, CV_LIMIT_NAME},
        {"since", CV_JSON_INT, false, &filter.since_s, 0},
        {"until", CV_JSON_INT, false, &filter.until_s, 0},
        CV_BROKER_ASK_FIELDS,
    };
    struct cv_store_entry *row = NULL;
    bool distrusted = false;
    struct stream st;
    struct cv_ask ask;
    enum cv_status s;

    cv_query_init(&filter);
    s = cv_broker_audit_begin(b, parameters, &ask, CV_BROKER_FIELDS(fields),
                              err);
    if (s != CV_OK) {
        return s;
    }
    /* An entry that was renamed is found under its old names by its id. */
    if (cv_store_entry_by_name(b->vault->store, filter.entry, false, &row,
                               NULL) == CV_OK) {
        filter.entry_id = row->entry_id;
    }
    s = cv_broker_index(b, err);
    filter.indexed = true;
    filter.distrusted = &distrusted;
    if (s == CV_OK) {
        s = stream_begin(&st, reply, err);
    }
    if (s == CV_OK) {
        s = cv_query_who_each(b->vault->dir, &filter, stream_item, &st, err);
    }
    if (distrusted) {
        cv_broker_index_distrust(b);
    }
    cv_store_entry_free(row);
    return s;
}

/* Leaves behind `after`, up to a number of them: who is far behind asks again.
 */
struct page {
    struct stream *stream;
    unsigned n;
};

static enum cv_status page_leaf(void *context, uint64_t seq,
                                struct cv_bytes leaf, struct cv_err *err)
{
    struct page *p = context;

    if (p->n == PAGE) {
        return CV_SPAN_STOP;
    }
    p->n++;
    return stream_leaf(p->stream, seq, leaf, err);
}

static enum cv_status tail_page(struct cv_broker *b, int64_t after,
                                uint64_t behind, struct stream *stream,
                                struct cv_err *err)
{
    struct page page = {stream, 0};
    enum cv_status s = CV_OK;

    if (behind >
        PAGE) { /* or each page would read the log from its beginning */
        s = cv_broker_index(b, err);
    }
    return s == CV_OK ? cv_span_run(b->vault->dir, (uint64_t)(after + 1),
                                    page_leaf, &page, err)
                      : s;
}

/* Following is the caller's to repeat: `after` is the number of the last leaf
 * that it has. */
CV_BROKER_METHOD(audit_tail)
{
    struct cv_broker *b = context;
    int64_t last = 10, after = -1;
    const struct cv_json_field fields[] = {
        {"last", CV_JSON_INT, false, &last, 0},
        {"after", CV_JSON_INT, false, &after, 0},
        CV_BROKER_ASK_FIELDS,
    };
    const bool follow =
        cJSON_GetObjectItemCaseSensitive(parameters, "after") != NULL;
    struct cv_query_cursor cursor = {0};
    struct stream st;
    struct cv_ask ask;
    enum cv_status s = CV_OK;

    if (!follow) {
        s = cv_broker_audit_begin(b, parameters, &ask, CV_BROKER_FIELDS(fields),
                                  err);
    } else {
        s = cv_ask_begin(b, CV_ACTION_AUDIT_READ, parameters, &ask, err);
        if (s == CV_OK) {
            s = cv_json_read(parameters, "AuditTail", CV_BROKER_FIELDS(fields),
                             true, err);
        }
        if (s == CV_OK) {
            s = cv_broker_enter(b, err);
        }
        if (s == CV_OK) {
            uint64_t size = cv_log_size(b->vault->log);

            s = cv_ask_check(&ask, NULL, NULL, err);
            cv_broker_leave(b);
            after = after < -1 ? -1 : after;
            last = (int64_t)size - 1 - after;
        }
        /* What is counted, or given once, or loudly, is given in the record. */
        if (s == CV_OK && cv_ask_is_used_up(&ask)) {
            s = cv_broker_audit_begin(b, parameters, &ask,
                                      CV_BROKER_FIELDS(fields), err);
        }
    }
    if (s == CV_OK) {
        s = stream_begin(&st, reply, err);
    }
    if (s == CV_OK && follow && last > 0) {
        return tail_page(b, after, (uint64_t)last, &st, err);
    }
    if (s == CV_OK && last > 0) {
        s = cv_query_tail(b->vault->dir, (uint64_t)last, &cursor, stream_leaf,
                          &st, err);
    }
    return s;
}

CV_BROKER_METHOD(audit_record)
{
    struct cv_broker *b = context;
    int64_t seq = -1;
    const struct cv_json_field fields[] = {
        {"seq", CV_JSON_INT, true, &seq, 0},
        CV_BROKER_ASK_FIELDS,
    };
    struct cv_buf leaf;
    struct cv_ask ask;
    enum cv_status s = cv_broker_audit_begin(b, parameters, &ask,
                                             CV_BROKER_FIELDS(fields), err);

    cv_buf_init(&leaf, NULL, CV_LIMIT_LEAF);
    if (s == CV_OK && seq < 0) {
        s = cv_fail(err, CV_NOT_FOUND, "there is no such record");
    }
    if (s == CV_OK) {
        s = cv_broker_index_for(b, seq, err);
    }
    if (s == CV_OK) {
        s = cv_query_record(b->vault->dir, (uint64_t)seq, &leaf, err);
    }
    if (s == CV_OK && !cv_json_add_str(cv_reply_parameters(reply), "leaf",
                                       cv_buf_text(&leaf))) {
        s = cv_fail(err, CV_INTERNAL, "memory is gone");
    }
    cv_buf_wipe(&leaf);
    return s;
}

CV_BROKER_METHOD(audit_status)
{
    struct cv_broker *b = context;
    cJSON *status = NULL;
    enum cv_status s = cv_broker_enter(b, err);

    (void)parameters;
    if (s != CV_OK) {
        return s;
    }
    s = cv_log_status(b->vault->log, &status, err);
    cv_broker_leave(b);
    if (s == CV_OK &&
        (!cv_anchor_add(b, status) || !cv_signer_add(b, status))) {
        cJSON_Delete(status);
        return cv_fail(err, CV_INTERNAL, "memory is gone");
    }
    if (s == CV_OK &&
        !cv_json_add_item(cv_reply_parameters(reply), "status", status)) {
        s = cv_fail(err, CV_INTERNAL, "memory is gone");
    }
    return s;
}

CV_BROKER_METHOD(audit_checkpoint)
{
    struct cv_broker *b = context;
    const struct cv_json_field fields[] = {CV_BROKER_ASK_FIELDS};
    struct cv_checkpoint c;
    struct cv_buf note;
    struct cv_ask ask;
    enum cv_status s = cv_broker_audit_begin(b, parameters, &ask,
                                             CV_BROKER_FIELDS(fields), err);

    cv_buf_init(&note, NULL, CV_LIMIT_NOTE);
    if (s == CV_OK && cv_backup_is_log_key_sealed(b)) {
        s = cv_broker_need_open(b, reply, err);
    }
    if (s == CV_OK && cv_anchor_is_split(b)) {
        s = cv_fail(err, CV_INTEGRITY,
                    "an anchor knows another log of this name");
        cv_err_state(err, "no checkpoint is signed any more");
        cv_err_hint(err, "certvault audit status; docs/operations.md");
    }
    if (s == CV_OK) {
        s = cv_signer_need(b, reply, err);
    }
    if (s == CV_OK) {
        uint64_t size = cv_log_size(b->vault->log);

        cv_broker_checkpoint(b);
        s = cv_signer_failed(b, size, err);
    }
    if (s == CV_OK) {
        s = cv_checkpoint_read(b->vault->dir, &b->vault->log_key, &c, &note,
                               NULL, err);
    }
    /* The last one may be of a broker that ended without this. */
    if (s == CV_OK) {
        s = cv_checkpoint_sync(b->vault->dir, err);
    }
    if (s == CV_OK && !cv_json_add_str(cv_reply_parameters(reply), "note",
                                       cv_buf_text(&note))) {
        s = cv_fail(err, CV_INTERNAL, "memory is gone");
    }
    cv_buf_wipe(&note);
    return s;
}

CV_BROKER_METHOD(audit_key)
{
    struct cv_broker *b = context;
    const struct cv_json_field fields[] = {CV_BROKER_ASK_FIELDS};
    struct cv_buf vkey;
    struct cv_ask ask;
    enum cv_status s = cv_broker_audit_begin(b, parameters, &ask,
                                             CV_BROKER_FIELDS(fields), err);

    cv_buf_init(&vkey, NULL, CV_LIMIT_NOTE);
    if (s == CV_OK) {
        cv_note_key_text(&b->vault->log_key, &vkey);
        s = cv_buf_status(&vkey, "the log's key", err);
    }
    if (s == CV_OK && !cv_json_add_str(cv_reply_parameters(reply), "vkey",
                                       cv_buf_text(&vkey))) {
        s = cv_fail(err, CV_INTERNAL, "memory is gone");
    }
    cv_buf_wipe(&vkey);
    return s;
}
