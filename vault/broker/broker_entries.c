/* Reading and editing entries: list, show, rename, label, rm, pin. */
#include "vault/base/clock.h"
#include "vault/base/encode.h"
#include "vault/base/name.h"
#include "vault/broker/held_internal.h"
#include "vault/store/store_entry.h"

#include <stdlib.h>
#include <string.h>

static enum cv_status parse_text(const char *text, cJSON **out,
                                 struct cv_err *err)
{
    struct cv_bytes bytes = {(const uint8_t *)text, strlen(text)};

    return cv_json_parse(NULL, bytes, out, err);
}

/* The document that the two parts of a row make. */
static enum cv_status parse_row(const struct cv_store_entry *row, cJSON **doc,
                                struct cv_err *err)
{
    cJSON *body = NULL;
    enum cv_status s = parse_text(row->doc, doc, err);

    if (s == CV_OK && row->body == NULL) {
        s = cv_fail(err, CV_INTEGRITY, "the entry has lost its certificates");
    }
    if (s == CV_OK) {
        s = parse_text(row->body, &body, err);
    }
    if (s == CV_OK) {
        struct cv_arena *before = cv_json_use(NULL);

        s = cv_entry_join(*doc, body, err);
        (void)cv_json_use(before);
    }
    cJSON_Delete(body);
    if (s != CV_OK) {
        cJSON_Delete(*doc);
        *doc = NULL;
    }
    return s;
}

/* Appends both parts of `doc` as texts for a row. */
enum cv_status cv_broker_split_entry(const cJSON *doc, struct cv_buf *view,
                                     struct cv_buf *body, struct cv_buf *labels,
                                     struct cv_err *err)
{
    cJSON *v = cv_entry_view(doc), *b = cv_entry_body(doc);
    enum cv_status s = CV_OK;

    if (v == NULL || b == NULL) {
        s = cv_fail(err, CV_INTERNAL, "memory is gone");
    } else {
        cv_json_write(v, CV_JSON_COMPACT, view);
        cv_json_write(b, CV_JSON_COMPACT, body);
        cv_json_write(cJSON_GetObjectItemCaseSensitive(doc, "labels"),
                      CV_JSON_CANONICAL, labels);
        s = cv_buf_status(view, "the entry", err);
    }
    if (s == CV_OK) {
        s = cv_buf_status(body, "the entry's certificates", err);
    }
    if (s == CV_OK) {
        s = cv_buf_status(labels, "the labels", err);
    }
    cJSON_Delete(v);
    cJSON_Delete(b);
    return s;
}

enum cv_status cv_broker_load_entry(struct cv_broker *b, const char *name,
                                    bool sealed, struct cv_store_entry **row,
                                    cJSON **doc, struct cv_err *err)
{
    char shown[CV_LIMIT_NAME + 1];
    enum cv_status s;

    *row = NULL;
    *doc = NULL;
    if (b->vault == NULL) {
        return cv_fail(err, CV_NOT_FOUND, "there is no vault in %s",
                       b->options->folder);
    }
    s = cv_store_entry_by_name(b->vault->store, name, sealed, row, err);
    if (s == CV_NOT_FOUND) {
        s = cv_fail(err, CV_NOT_FOUND, "there is no entry %s",
                    cv_err_quote(shown, sizeof(shown), name, strlen(name)));
        cv_err_hint(err, "certvault list shows what there is");
        return s;
    }
    if (s == CV_OK) {
        s = parse_row(*row, doc, err);
    }
    if (s != CV_OK) {
        cv_store_entry_free(*row);
        *row = NULL;
    }
    return s;
}

cJSON *cv_broker_sealed(const struct cv_broker *b,
                        const struct cv_store_entry *row, const cJSON *doc)
{
    const cJSON *certificate =
        cJSON_GetObjectItemCaseSensitive(doc, "certificate");
    cJSON *sealed = cJSON_CreateObject();

    if (sealed == NULL || !cv_json_add_str(sealed, "vault_id", b->vault->id) ||
        !cv_json_add_str(sealed, "entry_id", row->entry_id) ||
        !cv_json_add_str(sealed, "spki_sha256", row->spki) ||
        !cv_json_add_str(sealed, "certificate",
                         cv_entry_text(certificate, "pem")) ||
        !cv_json_add_base64(sealed, "sealed", row->sealed)) {
        cJSON_Delete(sealed);
        return NULL;
    }
    return sealed;
}

/* list */

/* Longer lists come in pieces where the caller takes them. */
#define LIST_PIECE 500

struct listing {
    struct cv_reply *reply;
    cJSON *items;
    int n;
    struct cv_ask_list *shown;
};

static enum cv_status list_piece(struct listing *l, struct cv_err *err)
{
    l->n = 0;
    l->items = cJSON_AddArrayToObject(cv_reply_parameters(l->reply), "items");
    return l->items != NULL ? CV_OK
                            : cv_fail(err, CV_INTERNAL, "memory is gone");
}

/* What a row's doc says is what is shown: it goes into the answer as it is. */
static enum cv_status list_one(void *context, const struct cv_store_entry *row,
                               struct cv_err *err)
{
    struct listing *l = context;
    struct cv_entry_subject subject;
    cJSON *doc;
    enum cv_status s = parse_text(row->doc, &doc, err);

    if (s != CV_OK) {
        return s;
    }
    cv_entry_subject_fill(doc, &subject);
    if (!cv_ask_list_shows(l->shown, &subject.entry)) {
        cJSON_Delete(doc);
        return CV_OK;
    }
    if (!cJSON_AddItemToArray(l->items, doc)) {
        cJSON_Delete(doc);
        return cv_fail(err, CV_INTERNAL, "memory is gone");
    }
    if (++l->n < LIST_PIECE || !cv_reply_wants_more(l->reply)) {
        return CV_OK;
    }
    s = cv_reply_continue(l->reply, err);
    return s == CV_OK ? list_piece(l, err) : s;
}

static enum cv_status read_filter(const cJSON *parameters,
                                  struct cv_store_filter *filter,
                                  struct cv_store_label labels[CV_LIMIT_LABELS],
                                  struct cv_err *err)
{
    const cJSON *wanted, *item;
    int64_t expires_within = -1;
    const struct cv_json_field fields[] = {
        {"labels", CV_JSON_OBJECT, false, &wanted, 0},
        {"pattern", CV_JSON_STRING, false, &filter->pattern, CV_LIMIT_PATTERN},
        {"expires_within", CV_JSON_INT, false, &expires_within, 0},
        CV_BROKER_ASK_FIELDS,
    };
    enum cv_status s;

    cv_store_entry_filter_init(filter);
    s = cv_json_read(parameters, "List", CV_BROKER_FIELDS(fields), true, err);
    if (s != CV_OK) {
        return s;
    }
    filter->labels = labels;
    cJSON_ArrayForEach(item, wanted)
    {
        if (filter->n_labels == CV_LIMIT_LABELS ||
            !(cJSON_IsString(item) || cJSON_IsNull(item))) {
            return cv_fail(err, CV_INVALID,
                           "the labels asked for are not "
                           "texts, or too many");
        }
        labels[filter->n_labels++] =
            (struct cv_store_label){item->string, item->valuestring};
    }
    if (expires_within >= 0) {
        filter->not_after_upto = cv_clock_now_s() + expires_within;
    }
    return CV_OK;
}

/* What is on its way to a token: the journal has its document. */
static enum cv_status list_pending(struct cv_broker *b, struct listing *l,
                                   const struct cv_store_filter *filter,
                                   struct cv_err *err)
{
    struct cv_held_rows rows;
    enum cv_status s;

    /* Only whoever looks at all of it sees what is not there yet. */
    if (filter->n_labels > 0 || filter->pattern != NULL ||
        filter->not_after_upto != INT64_MAX) {
        return CV_OK;
    }
    s = cv_held_rows(b, NULL, &rows, err);
    for (size_t i = 0; s == CV_OK && i < rows.n; i++) {
        const char *kind = cv_entry_text(rows.row[i].json, "kind");
        const cJSON *doc =
            cJSON_GetObjectItemCaseSensitive(rows.row[i].json, "doc");
        struct cv_entry_subject subject;
        cJSON *view;

        if (doc == NULL || strcmp(kind, CV_HELD_REMOVE) == 0) {
            continue;
        }
        cv_entry_subject_fill(doc, &subject);
        if (!cv_ask_list_shows(l->shown, &subject.entry)) {
            continue;
        }
        view = cv_entry_view(doc);
        if (!cv_entry_token_set(view, "pending",
                                cv_entry_text(doc, "provenance"), false) ||
            !cJSON_AddItemToArray(l->items, view)) {
            cJSON_Delete(view);
            s = cv_fail(err, CV_INTERNAL, "memory is gone");
        }
    }
    cv_held_rows_free(&rows);
    return s;
}

static enum cv_status run_list(struct cv_ask *ask,
                               const struct cv_store_filter *filter,
                               struct cv_reply *reply, struct cv_err *err)
{
    struct cv_broker *b = ask->broker;
    struct listing l = {.reply = reply};
    bool recorded = false;
    enum cv_status s = cv_ask_list(ask, &l.shown, &recorded, err);

    if (s != CV_OK) {
        return s;
    }
    s = list_piece(&l, err);
    if (s == CV_OK) {
        s = cv_store_entry_list(b->vault->store, filter, list_one, &l, err);
    }
    if (s == CV_OK) {
        s = list_pending(b, &l, filter, err);
    }
    cv_ask_list_free(l.shown);
    return s == CV_OK && !recorded ? cv_ask_read_permitted(ask, err) : s;
}

CV_BROKER_METHOD(list)
{
    struct cv_store_label labels[CV_LIMIT_LABELS];
    struct cv_store_filter filter;
    struct cv_broker *b = context;
    struct cv_ask ask;
    enum cv_status s = cv_ask_begin(b, CV_ACTION_LIST, parameters, &ask, err);

    if (s == CV_OK) {
        s = read_filter(parameters, &filter, labels, err);
    }
    if (s == CV_OK) {
        s = cv_broker_enter(b, err);
    }
    if (s == CV_OK) {
        cv_broker_leave(b);
        s = run_list(&ask, &filter, reply, err);
    }
    if (s != CV_OK) {
        cv_ask_refused(&ask, err);
    }
    return s;
}

/* show */

CV_BROKER_METHOD(show)
{
    struct cv_broker *b = context;
    const char *name = NULL;
    const struct cv_json_field fields[] = {
        {"name", CV_JSON_STRING, true, &name, CV_LIMIT_NAME},
        CV_BROKER_ASK_FIELDS,
    };
    struct cv_store_entry *row = NULL;
    struct cv_ask ask;
    cJSON *doc = NULL;
    enum cv_status s = cv_ask_begin(b, CV_ACTION_SHOW, parameters, &ask, err);

    if (s == CV_OK) {
        s = cv_json_read(parameters, "Show", CV_BROKER_FIELDS(fields), true,
                         err);
    }
    if (s == CV_OK) {
        s = cv_broker_load_entry(b, name, false, &row, &doc, err);
        s = s == CV_OK ? s : cv_ask_tell(&ask, NULL, name, s, err);
    }
    if (s == CV_OK) {
        s = cv_ask_read(&ask, doc, err);
    }
    if (s == CV_OK && !cv_json_add_item(cv_reply_parameters(reply), "entry",
                                        cv_entry_view_whole(doc))) {
        s = cv_fail(err, CV_INTERNAL, "memory is gone");
    }
    if (s != CV_OK) {
        cv_ask_refused(&ask, err);
    }
    cv_store_entry_free(row);
    cJSON_Delete(doc);
    return s;
}

/* An edit: which entry, what is done to its document, what the record says. */
struct edit {
    struct cv_ask ask;
    const char *name;
    enum cv_status (*change)(struct edit *e, cJSON *details,
                             struct cv_err *err);
    const char *text, *value; /* what `change` needs */
    const cJSON *set, *remove;
    struct cv_store_entry *row; /* as it is */
    cJSON *before;
    cJSON *after; /* as it will be */
};

static void edit_free(struct edit *e)
{
    cv_store_entry_free(e->row);
    cJSON_Delete(e->before);
    cJSON_Delete(e->after);
}

static enum cv_status edit_store(struct edit *e, struct cv_ask *const *asks,
                                 size_t n, struct cv_err *err)
{
    struct cv_store *store = e->ask.broker->vault->store;
    struct cv_store_entry row = *e->row;
    struct cv_buf doc, body, labels;
    enum cv_status s;

    cv_buf_init(&doc, NULL, CV_STORE_DOC_MAX);
    cv_buf_init(&body, NULL, CV_STORE_DOC_MAX);
    cv_buf_init(&labels, NULL, CV_KIB(64));
    s = cv_broker_split_entry(e->after, &doc, &body, &labels, err);
    row.name = cv_entry_text(e->after, "name");
    row.doc = cv_buf_text(&doc);
    row.body = cv_buf_text(&body);
    row.labels = cv_buf_text(&labels);
    row.updated = cv_clock_now_s();
    row.sealed = (struct cv_bytes){NULL, 0};
    if (s == CV_OK) {
        s = cv_store_begin(store, err);
    }
    if (s == CV_OK) {
        s = cv_store_entry_update(store, &row, err);
    }
    if (s == CV_OK) {
        s = cv_change_done(asks, n, err);
    }
    if (s == CV_OK) {
        s = cv_store_commit(store, err);
    }
    if (s != CV_OK) {
        cv_store_rollback(store);
    }
    cv_buf_wipe(&doc);
    cv_buf_wipe(&body);
    cv_buf_wipe(&labels);
    return s;
}

/* Entered. `edit` is decided on the entry as it is and as it will be: neither
 * may be out of the caller's reach. */
static enum cv_status edit_decide(struct edit *e, const cJSON *details,
                                  struct cv_err *err)
{
    struct cv_ask other;
    struct cv_ask *asks[] = {&e->ask, &other};
    bool both = false;
    enum cv_status s = cv_ask_decide_both(&e->ask, e->before, &other, e->after,
                                          details, &both, err);
    size_t n = both ? 2 : 1;

    if (s == CV_OK) {
        s = cv_change_intend(asks, n, err);
    }
    if (s != CV_OK) {
        return s;
    }
    s = edit_store(e, asks, n, err);
    return cv_change_end(asks, n, s, details, err);
}

static enum cv_status change_name(struct edit *e, cJSON *details,
                                  struct cv_err *err)
{
    enum cv_status s =
        cv_entry_rename(e->after, e->text, cv_clock_now_s(), err);

    if (s == CV_OK && !cv_json_add_str(details, "new_name", e->text)) {
        s = cv_fail(err, CV_INTERNAL, "memory is gone");
    }
    return s;
}

/* Entered. It cannot be changed so, or is not there: who may not is told so, in
 * the order of cv_ask_decide_both. */
static enum cv_status edit_tell(struct edit *e, enum cv_status s,
                                struct cv_err *err)
{
    if (e->before == NULL && e->change == change_name) {
        const enum cv_status after =
            cv_ask_tell(&e->ask, NULL, e->text, s, err);

        if (after != s) {
            return after;
        }
    }
    return cv_ask_tell(&e->ask, e->before, e->name, s, err);
}

/* Entered: what is changed was read with the lock held, so that of two edits
 * neither is lost. */
static enum cv_status edit_run(struct edit *e, struct cv_err *err)
{
    struct cv_broker *b = e->ask.broker;
    cJSON *details = cJSON_CreateObject();
    enum cv_status s =
        cv_broker_load_entry(b, e->name, false, &e->row, &e->before, err);

    if (s == CV_OK) {
        e->ask.doc = e->before;
        e->after = cJSON_Duplicate(e->before, true);
        s = e->after != NULL && details != NULL
                ? e->change(e, details, err)
                : cv_fail(err, CV_INTERNAL, "memory is gone");
    }
    if (s == CV_OK) {
        s = cv_entry_note(e->after, "edited", cv_broker_user(b),
                          cv_clock_now_s(), err);
    }
    s = s == CV_OK ? edit_decide(e, details, err) : edit_tell(e, s, err);
    cJSON_Delete(details);
    return s;
}

static enum cv_status edit_finish(struct edit *e, enum cv_status s,
                                  struct cv_reply *reply, struct cv_err *err)
{
    struct cv_broker *b = e->ask.broker;

    if (s == CV_OK) {
        s = cv_broker_enter(b, err);
    }
    if (s == CV_OK) {
        s = edit_run(e, err);
        cv_broker_leave(b);
    }
    if (s == CV_OK && !cv_json_add_item(cv_reply_parameters(reply), "entry",
                                        cv_entry_view(e->after))) {
        s = cv_fail(err, CV_INTERNAL, "memory is gone");
    }
    if (s != CV_OK) {
        cv_ask_refused(&e->ask, err);
    }
    edit_free(e);
    return s;
}

CV_BROKER_METHOD(rename)
{
    struct edit e = {.change = change_name};
    const struct cv_json_field fields[] = {
        {"name", CV_JSON_STRING, true, &e.name, CV_LIMIT_NAME},
        {"new_name", CV_JSON_STRING, true, &e.text, CV_LIMIT_NAME},
        CV_BROKER_ASK_FIELDS,
    };
    enum cv_status s =
        cv_ask_begin(context, CV_ACTION_EDIT, parameters, &e.ask, err);

    if (s == CV_OK) {
        s = cv_json_read(parameters, "Rename", CV_BROKER_FIELDS(fields), true,
                         err);
    }
    return edit_finish(&e, s, reply, err);
}

static enum cv_status change_labels(struct edit *e, cJSON *details,
                                    struct cv_err *err)
{
    enum cv_status s =
        cv_entry_label(e->after, e->set, e->remove, cv_clock_now_s(), err);
    const cJSON *labels = cJSON_GetObjectItemCaseSensitive(e->after, "labels");

    if (s == CV_OK &&
        !cv_json_add_item(details, "labels", cJSON_Duplicate(labels, true))) {
        s = cv_fail(err, CV_INTERNAL, "memory is gone");
    }
    return s;
}

CV_BROKER_METHOD(label)
{
    struct edit e = {.change = change_labels};
    const struct cv_json_field fields[] = {
        {"name", CV_JSON_STRING, true, &e.name, CV_LIMIT_NAME},
        {"set", CV_JSON_OBJECT, false, &e.set, 0},
        {"remove", CV_JSON_ARRAY, false, &e.remove, 0},
        CV_BROKER_ASK_FIELDS,
    };
    enum cv_status s =
        cv_ask_begin(context, CV_ACTION_EDIT, parameters, &e.ask, err);

    if (s == CV_OK) {
        s = cv_json_read(parameters, "Label", CV_BROKER_FIELDS(fields), true,
                         err);
    }
    return edit_finish(&e, s, reply, err);
}

/* pin: a context that nothing verifies gets the SPKI that its server must
 * have. */
static enum cv_status change_pin(struct edit *e, cJSON *details,
                                 struct cv_err *err)
{
    cJSON *context;

    cJSON_ArrayForEach(context,
                       cJSON_GetObjectItemCaseSensitive(e->after, "contexts"))
    {
        if (strcmp(cv_entry_text(context, "name"), e->text) != 0) {
            continue;
        }
        cJSON_DeleteItemFromObjectCaseSensitive(context, "pin");
        cJSON_DeleteItemFromObjectCaseSensitive(context, "verify");
        /* Which of the keys that the server has shown is the right one is said
         * now. */
        cJSON_DeleteItemFromObjectCaseSensitive(context, "server_keys");
        if (!cv_json_add_str(context, "pin", e->value) ||
            !cv_json_add_str(context, "verify", "pin") ||
            !cv_json_add_str(details, "pin", e->value)) {
            return cv_fail(err, CV_INTERNAL, "memory is gone");
        }
        e->ask.context = e->text;
        return CV_OK;
    }
    return cv_fail(err, CV_NOT_FOUND, "the entry has no such context");
}

CV_BROKER_METHOD(pin)
{
    struct edit e = {.change = change_pin};
    const struct cv_json_field fields[] = {
        {"name", CV_JSON_STRING, true, &e.name, CV_LIMIT_NAME},
        {"context", CV_JSON_STRING, true, &e.text, CV_LIMIT_URL},
        {"spki", CV_JSON_STRING, true, &e.value, 44},
        CV_BROKER_ASK_FIELDS,
    };
    uint8_t digest[32];
    enum cv_status s =
        cv_ask_begin(context, CV_ACTION_EDIT, parameters, &e.ask, err);

    if (s == CV_OK) {
        s = cv_json_read(parameters, "Pin", CV_BROKER_FIELDS(fields), true,
                         err);
    }
    if (s == CV_OK) {
        s = cv_decode_base64_exact(e.value, "the SPKI digest", digest, 32, err);
    }
    return edit_finish(&e, s, reply, err);
}
