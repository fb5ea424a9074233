/* rm of entries whose keys go with them. */
#include "vault/broker/held_internal.h"
#include "vault/store/store_entry.h"

#include <string.h>

/* An entry, and those that go with it. */
struct going {
    const cJSON *doc;
    cJSON *const *all;
    size_t n;
};

static bool goes_too(const struct going *g, const char *entry_id)
{
    for (size_t i = 0; i < g->n; i++) {
        if (strcmp(entry_id, cv_entry_text(g->all[i], "entry_id")) == 0) {
            return true;
        }
    }
    return false;
}

/* Is this entry another one over the same key? */
static enum cv_status refuse_other(void *context,
                                   const struct cv_store_entry *row,
                                   struct cv_err *err)
{
    const struct going *g = context;
    const cJSON *doc = g->doc;
    cJSON *other = NULL;
    enum cv_status s;

    if (goes_too(g, row->entry_id)) {
        return CV_OK;
    }
    s = cv_json_parse(
        NULL, (struct cv_bytes){(const uint8_t *)row->doc, strlen(row->doc)},
        &other, err);
    if (s == CV_OK && strcmp(cv_entry_text(other, "token_uri"),
                             cv_entry_text(doc, "token_uri")) == 0) {
        s = cv_fail(err, CV_EXISTS, "the entry %s has its key there too",
                    row->name);
        cv_err_state(err, "nothing was destroyed");
        cv_err_hint(err, "rm --keep-key removes the entry alone");
    }
    cJSON_Delete(other);
    return s;
}

enum cv_status cv_held_remove_check(struct cv_broker *b, const cJSON *doc,
                                    cJSON *const *all, size_t n,
                                    struct cv_err *err)
{
    struct going going = {.all = all, .n = n};
    struct cv_store_filter same;
    cJSON *copy = cJSON_Duplicate(doc, true);
    enum cv_status s;

    cv_store_entry_filter_init(&same);
    same.spki = cv_entry_text(cJSON_GetObjectItemCaseSensitive(copy, "key"),
                              "spki_sha256");
    going.doc = copy;
    s = copy != NULL ? cv_store_entry_list(b->vault->store, &same, refuse_other,
                                           &going, err)
                     : cv_fail(err, CV_INTERNAL, "memory is gone");
    cJSON_Delete(copy);
    return s;
}

enum cv_status cv_held_remove_decide(struct cv_ask *ask, const cJSON *doc,
                                     struct cv_err *err)
{
    cJSON *details = cJSON_CreateObject();
    enum cv_status s;

    (void)cv_json_add_str(details, "token_uri",
                          cv_entry_text(doc, "token_uri"));
    (void)cv_json_add_str(details, "provenance",
                          cv_entry_text(doc, "provenance"));
    s = cv_ask_decide(ask, doc, details, err);
    cJSON_Delete(details);
    return s;
}

/* Entered. */
static enum cv_status end(struct cv_ask *ask, const cJSON *doc,
                          enum cv_status s, struct cv_err *err)
{
    struct cv_store *store = ask->broker->vault->store;

    if (s == CV_OK) {
        s = cv_store_begin(store, err);
        if (s == CV_OK) {
            s = cv_store_entry_remove(store, cv_entry_text(doc, "entry_id"),
                                      err);
        }
        if (s == CV_OK) {
            s = cv_change_done(&(struct cv_ask *){ask}, 1, err);
        }
        if (s == CV_OK) {
            s = cv_store_commit(store, err);
        }
        if (s != CV_OK) {
            /* The row stays: the key is gone already. */
            cv_store_rollback(store);
            cv_err_state(err, "the key is destroyed; its entry goes at the "
                              "token's next login");
            return s;
        }
    }
    return cv_change_end(&ask, 1, s, NULL, err);
}

/* The order failed: how far it came is what the token shows now. Without the
 * key it is done, for what has its id and not its label is another's; with the
 * whole key nothing is; else (*told false) the next login finds it out. */
static enum cv_status look_again(struct cv_held *held, const cJSON *doc,
                                 enum cv_status s, bool *told)
{
    struct cv_err why;
    enum cv_status now;

    cv_err_init(&why);
    now = cv_held_examine(held, cv_entry_token_ref(doc), NULL, &why);
    if (now == CV_OK) {
        return s;
    }
    if (s == CV_INTEGRITY && (now == CV_NOT_FOUND || now == CV_INTEGRITY)) {
        return CV_OK;
    }
    *told = false;
    return s;
}

enum cv_status cv_held_remove_key(struct cv_held *held, struct cv_ask *ask,
                                  const cJSON *doc, struct cv_err *err)
{
    struct cv_broker *b = held->broker;
    struct cv_message reply;
    bool told = true;
    cJSON *p = cJSON_CreateObject();
    enum cv_status s;

    (void)cv_json_add_item(p, "key",
                           cJSON_Duplicate(cv_entry_token_ref(doc), true));
    s = cv_held_call(held, "Destroy", p, &reply, &told, err);
    cv_message_free(&reply);
    /* A key that is not there needs no destroying. */
    s = s == CV_NOT_FOUND && told ? CV_OK : s;
    if (s != CV_OK && told) {
        s = look_again(held, doc, s, &told);
    }
    if (!told || cv_broker_enter(b, NULL) != CV_OK) {
        cv_err_state(err, "whether the key is destroyed is not known yet; the "
                          "token's next login finds it out");
        return s == CV_OK ? cv_fail(err, CV_BUSY, "the vault cannot be locked")
                          : s;
    }
    s = end(ask, doc, s, err);
    cv_broker_leave(b);
    return s;
}
