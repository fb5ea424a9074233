#include "vault/broker/approval.h"

#include "vault/base/clock.h"
#include "vault/base/encode.h"
#include "vault/broker/approval_call.h"
#include "vault/broker/notify.h"
#include "vault/broker/room.h"

#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define DOC_MAX CV_KIB(256)
#define ID_TRIES 8

static enum cv_status no_memory(struct cv_err *err)
{
    return cv_fail(err, CV_INTERNAL, "memory is gone");
}

static const cJSON *member(const cJSON *object, const char *key)
{
    return cJSON_GetObjectItemCaseSensitive(object, key);
}

/* Absent where it is empty. */
static bool add_text(cJSON *to, const char *key, const char *text)
{
    return text == NULL || text[0] == '\0' || cv_json_add_str(to, key, text);
}

/* Those that make an entry: its id is drawn anew each time. */
static bool makes_entry(enum cv_action action)
{
    return action == CV_ACTION_IMPORT || action == CV_ACTION_FETCH ||
           action == CV_ACTION_FETCH_SERVICE;
}

/* The entry's id, "" where the action makes one, or is about none. */
static const char *entry_id_of(const struct cv_ask *ask)
{
    return ask->doc == NULL || makes_entry(ask->action)
               ? ""
               : cv_entry_text(ask->doc, "entry_id");
}

static bool add_words(cJSON *to, const struct cv_ask *ask)
{
    return cv_json_add_str(to, "action", cv_action_name(ask->action)) &&
           add_text(to, "entry",
                    ask->doc != NULL ? cv_entry_text(ask->doc, "name") : "") &&
           add_text(to, "entry_id", entry_id_of(ask)) &&
           add_text(to, "reason", ask->reason) &&
           add_text(to, "ticket", ask->ticket) &&
           add_text(to, "context", ask->context) &&
           cv_json_add_int(to, "duration", ask->duration_s) &&
           cv_json_add_bool(to, "read_only", ask->read_only);
}

/* What is asked for, exactly. */
static enum cv_status add_asked(cJSON *to, const struct cv_ask *ask,
                                struct cv_err *err)
{
    cJSON *call = NULL;
    enum cv_status s = cv_approval_call(ask, &call, err);

    if (s != CV_OK || !add_words(to, ask)) {
        cJSON_Delete(call);
        return s != CV_OK ? s : no_memory(err);
    }
    return call == NULL || cv_json_add_item(to, "call", call) ? CV_OK
                                                              : no_memory(err);
}

enum cv_status cv_approval_key(const struct cv_ask *ask,
                               char out[CV_STORE_REQUEST_KEY + 1],
                               struct cv_err *err)
{
    unsigned char hash[crypto_hash_sha256_BYTES];
    struct cv_arena *before = cv_json_use(NULL);
    cJSON *tree = cJSON_CreateObject();
    struct cv_buf text;
    enum cv_status s = add_asked(tree, ask, err);

    cv_buf_init(&text, NULL, DOC_MAX);
    if (s == CV_OK &&
        !cv_json_add_int(tree, "uid", (int64_t)ask->caller->peer.uid)) {
        s = no_memory(err);
    }
    /* An entry that is renamed is the same. */
    if (s == CV_OK && member(tree, "entry_id") != NULL) {
        cJSON_DeleteItemFromObjectCaseSensitive(tree, "entry");
    }
    if (s == CV_OK) {
        cv_json_write(tree, CV_JSON_CANONICAL, &text);
        s = cv_buf_status(&text, "a request for approval", err);
    }
    if (s == CV_OK) {
        (void)crypto_hash_sha256(hash, text.data, text.len);
        (void)sodium_bin2hex(out, CV_STORE_REQUEST_KEY + 1, hash, sizeof(hash));
    }
    cJSON_Delete(tree);
    (void)cv_json_use(before);
    cv_buf_wipe(&text);
    return s;
}

enum cv_status cv_approval_doc(const struct cv_store_request *row, cJSON **out,
                               struct cv_err *err)
{
    struct cv_arena *before = cv_json_use(NULL);
    enum cv_status s = cv_json_parse(
        NULL, (struct cv_bytes){(const uint8_t *)row->doc, strlen(row->doc)},
        out, err);

    (void)cv_json_use(before);
    if (s == CV_OK && !cJSON_IsObject(*out)) {
        cJSON_Delete(*out);
        *out = NULL;
        s = cv_fail(err, CV_INTEGRITY, "a request for approval is none");
    }
    return s;
}

bool cv_approval_is_over(const struct cv_store_request *row, const cJSON *doc)
{
    const cJSON *mono = member(doc, "mono_ms");

    if (cv_clock_now_s() >= row->expires) {
        return true;
    }
    /* A clock that was set back gives no more time. */
    return strcmp(cv_entry_text(doc, "boot"), cv_clock_boot_id()) == 0 &&
           cJSON_IsNumber(mono) &&
           cv_clock_boot_ms() - (int64_t)mono->valuedouble >=
               (int64_t)CV_LIMIT_REQUEST_S * 1000;
}

enum cv_status cv_approval_put(struct cv_broker *b,
                               const struct cv_store_request *row,
                               enum cv_store_request_state state,
                               const cJSON *doc, struct cv_err *err)
{
    struct cv_store_request next = *row;
    struct cv_buf text;
    enum cv_status s;

    cv_buf_init(&text, NULL, DOC_MAX);
    cv_json_write(doc, CV_JSON_COMPACT, &text);
    s = cv_buf_status(&text, "a request for approval", err);
    if (s == CV_OK) {
        next.state = state;
        next.doc = cv_buf_text(&text);
        s = cv_store_request_move(b->vault->store, &next, row->state, err);
    }
    cv_buf_wipe(&text);
    return s;
}

enum cv_status cv_approval_of(const struct cv_ask *ask,
                              struct cv_store_request **row, cJSON **doc,
                              struct cv_err *err)
{
    char key[CV_STORE_REQUEST_KEY + 1];
    struct cv_err missing;
    enum cv_status s = cv_approval_key(ask, key, err);

    *row = NULL;
    *doc = NULL;
    if (s != CV_OK) {
        return s;
    }
    cv_err_init(&missing);
    s = cv_store_request_by_key(ask->broker->vault->store,
                                (int64_t)ask->caller->peer.uid, key, row,
                                &missing);
    if (s == CV_NOT_FOUND) {
        return CV_OK;
    }
    if (s == CV_OK) {
        s = cv_approval_doc(*row, doc, &missing);
    }
    if (s == CV_OK && !cv_approval_is_over(*row, *doc)) {
        return CV_OK;
    }
    if (s != CV_OK && err != NULL) {
        *err = missing;
    }
    cv_store_request_free(*row);
    cJSON_Delete(*doc);
    *row = NULL;
    *doc = NULL;
    return s;
}

/* Filing */

/* Entered. Those whose time is over are put down as such: `uid`'s. */
struct sweep {
    int64_t uid;
    size_t n;
    char ids[CV_LIMIT_REQUESTS][CV_STORE_REQUEST_ID + 1];
};

static enum cv_status
find_over(void *context, const struct cv_store_request *row, struct cv_err *err)
{
    struct sweep *sweep = context;
    cJSON *doc = NULL;
    enum cv_status s;

    if (row->uid != sweep->uid || sweep->n == CV_LIMIT_REQUESTS) {
        return CV_OK;
    }
    s = cv_approval_doc(row, &doc, err);
    if (s == CV_OK && cv_approval_is_over(row, doc)) {
        memcpy(sweep->ids[sweep->n++], row->id, CV_STORE_REQUEST_ID + 1);
    }
    cJSON_Delete(doc);
    return s;
}

static enum cv_status sweep(struct cv_broker *b, int64_t uid,
                            struct cv_err *err)
{
    struct sweep over = {.uid = uid};
    enum cv_status s =
        cv_store_request_list(b->vault->store, false, find_over, &over, err);

    for (size_t i = 0; s == CV_OK && i < over.n; i++) {
        struct cv_store_request *row = NULL;
        cJSON *doc = NULL;

        s = cv_store_request_by_id(b->vault->store, over.ids[i], &row, err);
        if (s == CV_OK) {
            s = cv_approval_doc(row, &doc, err);
        }
        if (s == CV_OK) {
            s = cv_approval_put(b, row, CV_STORE_REQUEST_EXPIRED, doc, err);
        }
        cv_store_request_free(row);
        cJSON_Delete(doc);
    }
    return s;
}

static enum cv_status check_room(const struct cv_ask *ask, struct cv_err *err)
{
    struct cv_store *store = ask->broker->vault->store;
    int64_t uid = (int64_t)ask->caller->peer.uid;
    uint64_t n = 0, day = 0;
    enum cv_status s = cv_store_request_count(store, uid, &n, err);

    if (s == CV_OK && n >= CV_LIMIT_REQUESTS) {
        s = sweep(ask->broker, uid, err);
        if (s == CV_OK) {
            s = cv_store_request_count(store, uid, &n, err);
        }
    }
    if (s == CV_OK && n < CV_LIMIT_REQUESTS) {
        s = cv_store_request_since(store, uid, cv_clock_now_s() - 86400, &day,
                                   err);
    }
    if (s == CV_OK && day >= CV_LIMIT_REQUESTS_DAY) {
        s = cv_fail(err, CV_BUSY,
                    "approval is needed, and you have asked for it %d times "
                    "within a day",
                    CV_LIMIT_REQUESTS_DAY);
        cv_err_state(err, "nothing was done; the denial is recorded");
    }
    if (s == CV_OK && n >= CV_LIMIT_REQUESTS) {
        s = cv_fail(err, CV_BUSY,
                    "approval is needed, and %d requests of yours wait already",
                    CV_LIMIT_REQUESTS);
        cv_err_state(err, "nothing was done; the denial is recorded");
        cv_err_hint(err, "certvault deny ID withdraws one; certvault requests "
                         "lists them");
    }
    return s;
}

/* Another rule may ask for it by now than when it was filed. */
static bool add_rule(cJSON *doc, const struct cv_decide_result *result)
{
    cJSON_DeleteItemFromObjectCaseSensitive(doc, "rule");
    cJSON_DeleteItemFromObjectCaseSensitive(doc, "needed");
    cJSON_DeleteItemFromObjectCaseSensitive(doc, "signed");
    return cv_json_add_str(doc, "rule", result->offer) &&
           cv_json_add_int(doc, "needed", (int64_t)result->approvals_needed) &&
           cv_json_add_bool(doc, "signed", result->require.is_signed);
}

static enum cv_status refresh(struct cv_ask *ask,
                              const struct cv_store_request *row, cJSON *doc,
                              struct cv_err *err)
{
    const cJSON *needed = member(doc, "needed");

    if (strcmp(cv_entry_text(doc, "rule"), ask->result.offer) == 0 &&
        cJSON_IsNumber(needed) &&
        needed->valuedouble == (double)ask->result.approvals_needed &&
        cJSON_IsTrue(member(doc, "signed")) == ask->result.require.is_signed) {
        return CV_OK;
    }
    return add_rule(doc, &ask->result)
               ? cv_approval_put(ask->broker, row, CV_STORE_REQUEST_OPEN, doc,
                                 err)
               : no_memory(err);
}

static void tell_waiting(const struct cv_ask *ask, const char *id,
                         int64_t expires, struct cv_err *err)
{
    const struct cv_decide_result *r = &ask->result;
    char until[CV_CLOCK_TEXT_LEN];

    if (err == NULL) {
        return;
    }
    (void)snprintf(err->request_id, sizeof(err->request_id), "%s", id);
    cv_err_state(err,
                 "nothing was done; the request %s waits for approval "
                 "(%llu of %llu) until %s",
                 id, (unsigned long long)r->approvals_had,
                 (unsigned long long)r->approvals_needed,
                 cv_clock_format(expires, until));
    cv_err_hint(err,
                "run the same command again when it is approved, or now with "
                "--wait; certvault requests shows it%s",
                r->glass_there ? "; --break-glass is for emergencies" : "");
}

enum cv_status cv_approval_find(struct cv_ask *ask,
                                char id[CV_STORE_REQUEST_ID + 1], bool *file,
                                struct cv_err *err)
{
    struct cv_store_request *row = NULL;
    cJSON *doc = NULL;
    struct cv_err local;
    enum cv_status s;

    cv_err_init(&local);
    *file = false;
    id[0] = '\0';
    s = cv_approval_of(ask, &row, &doc, &local);
    if (s == CV_OK && row != NULL) {
        s = refresh(ask, row, doc, &local);
        memcpy(id, row->id, CV_STORE_REQUEST_ID + 1);
    } else if (s == CV_OK) {
        s = check_room(ask, &local);
        if (s == CV_OK) {
            uint8_t bytes[CV_STORE_REQUEST_ID / 2];

            randombytes_buf(bytes, sizeof(bytes));
            (void)sodium_bin2hex(id, CV_STORE_REQUEST_ID + 1, bytes,
                                 sizeof(bytes));
            *file = true;
        }
    }
    if (s == CV_OK) {
        tell_waiting(ask, id,
                     row != NULL ? row->expires
                                 : cv_clock_now_s() + CV_LIMIT_REQUEST_S,
                     err);
    } else if (err != NULL) {
        *err = local;
    }
    cv_store_request_free(row);
    cJSON_Delete(doc);
    return s == CV_OK ? CV_BUSY : s;
}

/* The context's server, and what its cluster is called. */
static bool add_server(cJSON *doc, const struct cv_ask *ask)
{
    const cJSON *item;

    cJSON_ArrayForEach(item, member(ask->doc, "contexts"))
    {
        if (ask->context != NULL
                ? strcmp(cv_entry_text(item, "name"), ask->context) == 0
                : cJSON_IsTrue(member(item, "default"))) {
            return add_text(doc, "server", cv_entry_text(item, "server")) &&
                   add_text(doc, "cluster", cv_entry_text(item, "cluster"));
        }
    }
    return true;
}

/* What policy looks at of the entry, for actions that make one. */
static bool add_subject(cJSON *doc, const struct cv_ask *ask)
{
    static const char *const keys[] = {"name", "labels", "provenance", "leaky"};
    cJSON *subject;
    bool ok = true;

    if (ask->doc == NULL || !makes_entry(ask->action)) {
        return true;
    }
    subject = cJSON_AddObjectToObject(doc, "subject");
    for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++) {
        const cJSON *item = member(ask->doc, keys[i]);

        ok = ok &&
             (item == NULL ||
              cv_json_add_item(subject, keys[i], cJSON_Duplicate(item, true)));
    }
    return ok && subject != NULL;
}

static enum cv_status new_doc(const struct cv_ask *ask, cJSON **out,
                              struct cv_err *err)
{
    const struct cv_peer *peer = &ask->caller->peer;
    cJSON *doc = cJSON_CreateObject();
    cJSON *actor = cJSON_AddObjectToObject(doc, "actor");
    enum cv_status s = add_asked(doc, ask, err);

    *out = NULL;
    if (s == CV_OK && add_server(doc, ask) && add_subject(doc, ask) &&
        cv_json_add_int(actor, "uid", (int64_t)peer->uid) &&
        cv_json_add_str(actor, "user", ask->caller->user) &&
        add_rule(doc, &ask->result) &&
        (!ask->break_glass || cv_json_add_bool(doc, "break_glass", true)) &&
        cv_json_add_int(doc, "audit_seq", ask->seq) &&
        cv_json_add_str(doc, "boot", cv_clock_boot_id()) &&
        cv_json_add_int(doc, "mono_ms", cv_clock_boot_ms()) &&
        cJSON_AddArrayToObject(doc, "approvals") != NULL) {
        *out = doc;
        return CV_OK;
    }
    cJSON_Delete(doc);
    return s != CV_OK ? s : no_memory(err);
}

static void tell(struct cv_broker *b, const char *event,
                 const struct cv_store_request *row, const cJSON *doc)
{
    cJSON *about = cJSON_CreateObject();

    if (cv_json_add_item(about, "request", cv_approval_view(row, doc))) {
        cv_notify_event(b, event, about);
    }
    cJSON_Delete(about);
}

enum cv_status cv_approval_file(struct cv_ask *ask, const char *id,
                                struct cv_err *err)
{
    struct cv_arena *before = cv_json_use(NULL);
    struct cv_broker *b = ask->broker;
    char key[CV_STORE_REQUEST_KEY + 1];
    int64_t now = cv_clock_now_s();
    struct cv_store_request row = {
        .id = id,
        .key = key,
        .uid = (int64_t)ask->caller->peer.uid,
        .created = now,
        .expires = now + CV_LIMIT_REQUEST_S,
        .state = CV_STORE_REQUEST_OPEN,
    };
    cJSON *doc = NULL;
    struct cv_buf text;
    enum cv_status s = new_doc(ask, &doc, err);

    cv_buf_init(&text, NULL, DOC_MAX);
    if (s == CV_OK) {
        s = cv_approval_key(ask, key, err);
    }
    if (s == CV_OK) {
        cv_json_write(doc, CV_JSON_COMPACT, &text);
        s = cv_buf_status(&text, "a request for approval", err);
    }
    row.doc = cv_buf_text(&text);
    if (s == CV_OK) {
        s = cv_store_request_put(b->vault->store, &row, err);
    }
    if (s == CV_OK) {
        (void)!cv_store_request_prune(
            b->vault->store, now - (int64_t)CV_LIMIT_REQUEST_DAYS * 86400,
            NULL);
        tell(b, "request", &row, doc);
    }
    cJSON_Delete(doc);
    (void)cv_json_use(before);
    cv_buf_wipe(&text);
    return s;
}

/* Using */

static enum cv_status gone(struct cv_err *err)
{
    enum cv_status s =
        cv_fail(err, CV_BUSY, "the approvals were used in the meantime");

    cv_err_state(err, "nothing was done");
    cv_err_hint(err, "run the command again: it asks for new ones");
    return s;
}

/* What a full disk must not stop has its room out of the reserve. */
static enum cv_status put_used(struct cv_ask *ask,
                               const struct cv_store_request *row,
                               const cJSON *doc, struct cv_err *err)
{
    struct cv_err why;
    enum cv_status s;

    do {
        cv_err_init(&why);
        s = cv_approval_put(ask->broker, row, CV_STORE_REQUEST_USED, doc, &why);
    } while (s == CV_IO && cv_room_give(ask));
    if (s != CV_OK && err != NULL) {
        *err = why;
    }
    return s;
}

enum cv_status cv_approval_use(struct cv_ask *ask, struct cv_err *err)
{
    struct cv_arena *before = cv_json_use(NULL);
    struct cv_broker *b = ask->broker;
    struct cv_store_request *row = NULL;
    cJSON *doc = NULL, *used = NULL;
    char at[CV_CLOCK_TEXT_LEN];
    enum cv_status s =
        cv_store_request_by_id(b->vault->store, ask->request, &row, err);

    if (s == CV_OK) {
        s = cv_approval_doc(row, &doc, err);
    }
    if (s == CV_OK && (row->state > CV_STORE_REQUEST_APPROVED ||
                       cv_approval_is_over(row, doc))) {
        s = CV_NOT_FOUND;
    }
    if (s == CV_OK) {
        used = cJSON_AddObjectToObject(doc, "used");
        s = cv_json_add_str(used, "at",
                            cv_clock_format(cv_clock_now_s(), at)) &&
                    cv_json_add_str(used, "op", ask->op)
                ? put_used(ask, row, doc, err)
                : no_memory(err);
    }
    cv_store_request_free(row);
    cJSON_Delete(doc);
    (void)cv_json_use(before);
    return s == CV_NOT_FOUND ? gone(err) : s;
}

/* Showing */

static bool add_times(cJSON *view, const struct cv_store_request *row)
{
    char created[CV_CLOCK_TEXT_LEN], expires[CV_CLOCK_TEXT_LEN];

    return cv_json_add_str(view, "created",
                           cv_clock_format(row->created, created)) &&
           cv_json_add_str(view, "expires",
                           cv_clock_format(row->expires, expires));
}

/* What the call does, in words beside the members. */
static bool add_does(cJSON *view, const cJSON *call)
{
    struct cv_buf words;
    bool ok;

    cv_buf_init(&words, NULL, CV_KIB(64));
    cv_approval_call_words(call, &words);
    ok = cv_buf_status(&words, "a call", NULL) == CV_OK &&
         add_text(view, "does", cv_buf_text(&words));
    cv_buf_wipe(&words);
    return ok;
}

/* What one request has and another has not: there in each, so that nobody has
 * to know which. */
static bool add_absent(cJSON *view)
{
    static const char *const keys[] = {
        "entry",  "entry_id", "reason", "ticket", "context",
        "server", "cluster",  "call",   "does",   "closed"};
    bool ok = true;

    for (size_t i = 0; ok && i < sizeof(keys) / sizeof(keys[0]); i++) {
        ok = member(view, keys[i]) != NULL ||
             cv_json_add_item(view, keys[i], cJSON_CreateNull());
    }
    return ok && (member(view, "break_glass") != NULL ||
                  cv_json_add_bool(view, "break_glass", false));
}

cJSON *cv_approval_view(const struct cv_store_request *row, const cJSON *doc)
{
    static const char *const hidden[] = {"boot", "mono_ms", "subject"};
    struct cv_arena *before = cv_json_use(NULL);
    cJSON *view = cJSON_Duplicate(doc, true), *item;
    enum cv_store_request_state state = row->state;

    if (state <= CV_STORE_REQUEST_APPROVED && cv_approval_is_over(row, doc)) {
        state = CV_STORE_REQUEST_EXPIRED;
    }
    for (size_t i = 0; i < sizeof(hidden) / sizeof(hidden[0]); i++) {
        cJSON_DeleteItemFromObjectCaseSensitive(view, hidden[i]);
    }
    cJSON_ArrayForEach(item,
                       cJSON_GetObjectItemCaseSensitive(view, "approvals"))
    {
        cJSON_DeleteItemFromObjectCaseSensitive(item, "gids");
        cJSON_DeleteItemFromObjectCaseSensitive(item, "gid");
    }
    if (!cv_json_add_str(view, "id", row->id) || !add_times(view, row) ||
        !cv_json_add_str(view, "state", cv_store_request_word(state)) ||
        !cv_json_add_str(view, "digest", row->key) ||
        !add_does(view, member(doc, "call")) || !add_absent(view)) {
        cJSON_Delete(view);
        view = NULL;
    }
    (void)cv_json_use(before);
    return view;
}

void cv_approval_text(const struct cv_broker *b,
                      const struct cv_store_request *row, const cJSON *doc,
                      struct cv_buf *out)
{
    static const char *const keys[] = {
        "action", "entry",    "entry_id",  "reason", "ticket", "context",
        "server", "duration", "read_only", "actor",  "call"};
    struct cv_arena *before = cv_json_use(NULL);
    cJSON *tree = cJSON_CreateObject();
    bool ok = cv_json_add_str(tree, "id", row->id) && add_times(tree, row) &&
              cv_json_add_str(tree, "digest", row->key) &&
              cv_json_add_str(tree, "vault_id", b->vault->id);

    for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++) {
        const cJSON *item = member(doc, keys[i]);

        ok = ok &&
             (item == NULL ||
              cv_json_add_item(tree, keys[i], cJSON_Duplicate(item, true)));
    }
    cv_buf_add_str(out, "certvault-approval/v1\n");
    if (ok) {
        cv_json_write(tree, CV_JSON_CANONICAL, out);
    }
    cv_buf_add_str(out, ok ? "\n" : "");
    cJSON_Delete(tree);
    (void)cv_json_use(before);
}

static enum cv_status count_pending(void *context,
                                    const struct cv_store_request *row,
                                    struct cv_err *err)
{
    cJSON *doc = NULL;
    enum cv_status s = CV_OK;

    if (row->state == CV_STORE_REQUEST_OPEN) {
        s = cv_approval_doc(row, &doc, err);
        if (s == CV_OK && !cv_approval_is_over(row, doc)) {
            ++*(uint64_t *)context;
        }
        cJSON_Delete(doc);
    }
    return s;
}

enum cv_status cv_approval_pending(struct cv_broker *b, uint64_t *out,
                                   struct cv_err *err)
{
    *out = 0;
    return cv_store_request_list(b->vault->store, false, count_pending, out,
                                 err);
}

/* Answers */

const cJSON *cv_approval_by(const cJSON *doc, uid_t uid)
{
    const cJSON *item;

    cJSON_ArrayForEach(item, member(doc, "approvals"))
    {
        const cJSON *by = member(item, "uid");

        if (cJSON_IsNumber(by) && by->valuedouble == (double)uid) {
            return item;
        }
    }
    return NULL;
}

static cJSON *groups_of(const struct cv_caller *c)
{
    cJSON *list = cJSON_CreateArray();

    for (size_t i = 0; i < c->peer.n_groups; i++) {
        if (!cJSON_AddItemToArray(
                list, cJSON_CreateNumber((double)c->peer.groups[i]))) {
            cJSON_Delete(list);
            return NULL;
        }
    }
    return list;
}

cJSON *cv_approval_who(const struct cv_ask *ask)
{
    const struct cv_caller *c = ask->caller;
    char at[CV_CLOCK_TEXT_LEN];
    cJSON *out = cJSON_CreateObject();

    if (!cv_json_add_int(out, "uid", (int64_t)c->peer.uid) ||
        !cv_json_add_str(out, "user", c->user) ||
        !cv_json_add_str(out, "at", cv_clock_format(cv_clock_now_s(), at)) ||
        !cv_json_add_str(out, "reason", ask->reason) ||
        !cv_json_add_int(out, "audit_seq", ask->seq)) {
        cJSON_Delete(out);
        return NULL;
    }
    return out;
}

/* One that is given again takes the place of the one before. */
static void forget_approval(cJSON *list, const cJSON *before)
{
    for (int i = cJSON_GetArraySize(list); before != NULL && i-- > 0;) {
        if (cJSON_GetArrayItem(list, i) == before) {
            cJSON_DeleteItemFromArray(list, i);
        }
    }
}

bool cv_approval_add(const struct cv_ask *ask, bool is_signed, const char *key,
                     cJSON *doc)
{
    const struct cv_caller *c = ask->caller;
    cJSON *list = cJSON_GetObjectItemCaseSensitive(doc, "approvals");
    cJSON *one = cv_approval_who(ask);

    forget_approval(list, cv_approval_by(doc, c->peer.uid));
    if (cJSON_GetArraySize(list) < CV_LIMIT_APPROVALS &&
        cv_json_add_int(one, "gid", (int64_t)c->peer.gid) &&
        cv_json_add_item(one, "gids", groups_of(c)) &&
        cv_json_add_bool(one, "signed", is_signed) &&
        (key[0] == '\0' || cv_json_add_str(one, "key", key)) &&
        cJSON_AddItemToArray(list, one)) {
        return true;
    }
    cJSON_Delete(one);
    return false;
}
