#include "vault/broker/take_internal.h"

#include "vault/base/clock.h"
#include "vault/base/encode.h"
#include "vault/base/name.h"
#include "vault/store/store_entry.h"

#include <stdlib.h>
#include <string.h>

void cv_take_free(struct cv_take *takes, size_t n)
{
    for (size_t i = 0; takes != NULL && i < n; i++) {
        cJSON_Delete(takes[i].doc);
    }
    free(takes);
}

void cv_take_prepare(struct cv_broker *b, enum cv_action action,
                     const cJSON *parameters, struct cv_take *takes, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        struct cv_take *t = &takes[i];
        enum cv_status s;

        cv_err_init(&t->err);
        s = cv_ask_begin(b, action, parameters, &t->ask, &t->err);
        if (s == CV_OK) {
            s = cv_entry_from_identity(t->identity, t->name, &t->origin,
                                       &t->doc, &t->err);
        }
        if (s == CV_OK) {
            s = cv_entry_note(t->doc, cv_action_name(action), cv_broker_user(b),
                              t->origin.now_s, &t->err);
        }
        t->ask.doc = t->doc;
        t->err.status = s;
    }
}

enum cv_status cv_take_first_refused(const struct cv_take *takes, size_t n,
                                     struct cv_err *err)
{
    for (size_t i = 0; i < n; i++) {
        if (takes[i].err.status != CV_OK) {
            *err = takes[i].err;
            return takes[i].err.status;
        }
    }
    return CV_OK;
}

static const char *spki_of(const cJSON *doc)
{
    return cv_entry_text(cJSON_GetObjectItemCaseSensitive(doc, "key"),
                         "spki_sha256");
}

/* Does an earlier one of this call have its name or its identity? A batch is at
 * most CV_LIMIT_BATCH long. */
static bool comes_twice(const struct cv_take *takes, size_t i)
{
    for (size_t k = 0; k < i; k++) {
        if (takes[k].err.status == CV_OK &&
            (strcmp(takes[k].name, takes[i].name) == 0 ||
             (strcmp(spki_of(takes[k].doc), spki_of(takes[i].doc)) == 0 &&
              strcmp(cv_entry_text(takes[k].doc, "ca_set"),
                     cv_entry_text(takes[i].doc, "ca_set")) == 0))) {
            return true;
        }
    }
    return false;
}

static enum cv_status identity_free(struct cv_broker *b, struct cv_take *t)
{
    struct cv_store_entry *row;
    enum cv_status s = cv_store_entry_by_identity(
        b->vault->store, spki_of(t->doc), cv_entry_text(t->doc, "ca_set"),
        false, &row, &t->err);

    if (s == CV_OK) {
        s = cv_fail(&t->err, CV_EXISTS,
                    "the vault holds this identity already, as %s", row->name);
        cv_err_state(&t->err, "nothing was changed");
        cv_err_hint(&t->err, "certvault show %s", row->name);
    } else if (s == CV_NOT_FOUND) {
        cv_err_init(&t->err);
        s = CV_OK;
    }
    cv_store_entry_free(row);
    return s;
}

static enum cv_status name_free(struct cv_broker *b, struct cv_take *t)
{
    struct cv_store_entry *row;
    enum cv_status s =
        cv_store_entry_by_name(b->vault->store, t->name, false, &row, &t->err);

    if (s == CV_OK) {
        s = cv_fail(&t->err, CV_EXISTS, "there is an entry %s already",
                    row->name);
        cv_err_state(&t->err, "nothing was changed");
        cv_err_hint(&t->err, "choose another with --name");
    } else if (s == CV_NOT_FOUND) {
        cv_err_init(&t->err);
        s = CV_OK;
    }
    cv_store_entry_free(row);
    return s;
}

void cv_take_check_free(struct cv_broker *b, struct cv_take *takes, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        struct cv_take *t = &takes[i];

        if (t->err.status != CV_OK) {
            continue;
        }
        if (comes_twice(takes, i)) {
            (void)cv_fail(&t->err, CV_EXISTS,
                          "the same name or identity comes twice: %s", t->name);
            continue;
        }
        t->err.status = identity_free(b, t);
        if (t->err.status == CV_OK) {
            t->err.status = name_free(b, t);
        }
        if (t->err.status == CV_EXISTS && !t->decided) {
            t->err.status =
                cv_ask_tell(&t->ask, t->doc, NULL, CV_EXISTS, &t->err);
        }
    }
}

/* A key that was made here has no certificate yet, which then never ends. */
#define NEVER INT64_C(253402300799)

static enum cv_status read_times(const cJSON *doc, struct cv_store_entry *row,
                                 struct cv_err *err)
{
    const cJSON *certificate =
        cJSON_GetObjectItemCaseSensitive(doc, "certificate");
    enum cv_status s =
        cv_clock_parse(cv_entry_text(doc, "created"), &row->created, err);

    row->not_after = NEVER;
    if (s == CV_OK) {
        s = cv_clock_parse(cv_entry_text(doc, "updated"), &row->updated, err);
    }
    if (s == CV_OK && certificate != NULL) {
        s = cv_clock_parse(cv_entry_text(certificate, "not_after"),
                           &row->not_after, err);
    }
    return s;
}

enum cv_status cv_take_put(struct cv_broker *b, const cJSON *doc,
                           const char *base64, struct cv_err *err)
{
    struct cv_buf view, body, labels, sealed;
    struct cv_store_entry row = {
        .entry_id = cv_entry_text(doc, "entry_id"),
        .name = cv_entry_text(doc, "name"),
        .spki = spki_of(doc),
        .ca_set = cv_entry_text(doc, "ca_set"),
    };
    enum cv_status s = read_times(doc, &row, err);

    cv_buf_init(&view, NULL, CV_STORE_DOC_MAX);
    cv_buf_init(&body, NULL, CV_STORE_DOC_MAX);
    cv_buf_init(&labels, NULL, CV_KIB(64));
    cv_buf_init(&sealed, NULL, CV_LIMIT_SEALED);
    if (s == CV_OK && base64 != NULL) {
        s = cv_decode_base64(base64, strlen(base64), false, "the sealed key",
                             &sealed, err);
        if (s == CV_OK && sealed.len == 0) {
            s = cv_fail(err, CV_INVALID, "the identity came without its key");
        }
    }
    if (s == CV_OK) {
        s = cv_broker_split_entry(doc, &view, &body, &labels, err);
    }
    if (s == CV_OK) {
        row.doc = cv_buf_text(&view);
        row.body = cv_buf_text(&body);
        row.labels = cv_buf_text(&labels);
        row.sealed = cv_buf_bytes(&sealed);
        s = cv_store_entry_put(b->vault->store, &row, err);
    }
    cv_buf_wipe(&view);
    cv_buf_wipe(&body);
    cv_buf_wipe(&labels);
    cv_buf_wipe(&sealed);
    return s;
}

/* The asks of those that are not refused. */
static size_t permitted(struct cv_take *takes, size_t n, struct cv_ask **list)
{
    size_t m = 0;

    for (size_t i = 0; i < n; i++) {
        if (takes[i].err.status == CV_OK) {
            list[m++] = &takes[i].ask;
        }
    }
    return m;
}

static enum cv_status put_all(struct cv_broker *b, struct cv_take *takes,
                              size_t n, struct cv_ask *const *list, size_t m,
                              struct cv_err *err)
{
    struct cv_store *store = b->vault->store;
    enum cv_status s = cv_store_begin(store, err);

    for (size_t i = 0; i < n && s == CV_OK; i++) {
        if (takes[i].err.status == CV_OK) {
            s = cv_take_put(b, takes[i].doc,
                            cv_entry_text(takes[i].identity, "sealed"), err);
        }
    }
    if (s == CV_OK) {
        s = cv_change_done(list, m, err);
    }
    if (s == CV_OK) {
        s = cv_store_commit(store, err);
    }
    if (s != CV_OK) {
        cv_store_rollback(store);
        cv_err_state(err, "nothing was stored");
    }
    return s;
}

/* With what it is, so that the record can be read without the vault. */
static enum cv_status decide_one(struct cv_take *t, bool record)
{
    cJSON *details = cv_entry_details_taken(t->doc);
    enum cv_status s = record ? cv_ask_decide(&t->ask, t->doc, details, &t->err)
                              : cv_ask_check(&t->ask, t->doc, details, &t->err);

    cJSON_Delete(details);
    return s;
}

/* May one that is refused be left out, so that the others go on? */
static bool is_left_out(enum cv_status s, bool atomic)
{
    return !atomic && (s == CV_DENIED || s == CV_BUSY);
}

static enum cv_status decide_all(struct cv_take *takes, size_t n, bool record,
                                 bool atomic, struct cv_err *err)
{
    for (size_t i = 0; i < n; i++) {
        struct cv_take *t = &takes[i];

        if (t->err.status == CV_OK && !t->decided) {
            t->err.status = decide_one(t, record);
            if (t->err.status == CV_OK && record) {
                t->decided = true;
            } else if (t->err.status == CV_OK) {
                cv_ask_suppose(&t->ask);
            } else if (!is_left_out(t->err.status, atomic)) {
                *err = t->err;
                return t->err.status;
            }
        }
        if (t->err.status != CV_OK && atomic) {
            *err = t->err;
            return t->err.status;
        }
    }
    return CV_OK;
}

/* Those that were decided before something refused them all. */
static void drop_decided(struct cv_take *takes, size_t n, struct cv_ask **list,
                         enum cv_status s)
{
    size_t m = 0;

    for (size_t i = 0; i < n; i++) {
        if (takes[i].decided) {
            list[m++] = &takes[i].ask;
        }
    }
    cv_change_drop(list, m, s);
}

enum cv_status cv_take_store(struct cv_broker *b, struct cv_take *takes,
                             size_t n, bool atomic, bool dry_run,
                             struct cv_err *err)
{
    struct cv_ask **list = calloc(n, sizeof(struct cv_ask *));
    size_t m = 0;
    enum cv_status s = CV_OK;

    if (list == NULL) {
        return cv_fail(err, CV_INTERNAL, "memory is gone");
    }
    if (atomic) {
        s = decide_all(takes, n, false, true, err);
        cv_ask_suppose_end(b);
    }
    if (s == CV_OK && !dry_run) {
        s = decide_all(takes, n, true, atomic, err);
    }
    if (s != CV_OK) {
        drop_decided(takes, n, list, s);
    }
    m = permitted(takes, n, list);
    if (s == CV_OK && !dry_run && m > 0) {
        s = cv_change_intend(list, m, err);
        if (s == CV_OK) {
            s = put_all(b, takes, n, list, m, err);
            s = cv_change_end(list, m, s, NULL, err);
        }
    }
    free(list);
    return s;
}

enum cv_status cv_take_answer(const struct cv_take *takes, size_t n,
                              cJSON *answer, struct cv_err *err)
{
    cJSON *items = cJSON_AddArrayToObject(answer, "items");

    for (size_t i = 0; i < n; i++) {
        const struct cv_take *t = &takes[i];
        cJSON *item = cJSON_CreateObject();
        bool ok =
            t->err.status == CV_OK
                ? cv_json_add_item(item, "entry", cv_entry_view(t->doc))
                : cv_json_add_item(item, "error", cv_json_from_err(&t->err));

        if (!ok || !cJSON_AddItemToArray(items, item)) {
            cJSON_Delete(item);
            return cv_fail(err, CV_INTERNAL, "memory is gone");
        }
    }
    return CV_OK;
}
