/* rm of an entry whose key goes with it. */
#include "vault/broker/held_internal.h"

static enum cv_status decide(struct cv_held *held, struct cv_ask *ask,
                             const cJSON *doc, struct cv_err *err)
{
    cJSON *details = cJSON_CreateObject();
    enum cv_status s;

    (void)cv_json_add_str(details, "token_uri",
                          cv_entry_text(doc, "token_uri"));
    (void)cv_json_add_str(details, "provenance",
                          cv_entry_text(doc, "provenance"));
    s = cv_ask_decide(ask, doc, details, err);
    cJSON_Delete(details);
    return s == CV_OK ? cv_held_begin(held, ask, CV_HELD_REMOVE,
                                      cv_entry_token_ref(doc), doc, err)
                      : s;
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

enum cv_status cv_held_remove(struct cv_held *held, struct cv_ask *ask,
                              const cJSON *doc, struct cv_err *err)
{
    struct cv_broker *b = held->broker;
    struct cv_message reply;
    bool told = true;
    cJSON *p;
    enum cv_status s = cv_held_lock(held, err);

    if (s == CV_OK) {
        s = cv_broker_enter(b, err);
    }
    if (s != CV_OK) {
        return s;
    }
    s = decide(held, ask, doc, err);
    cv_broker_leave(b);
    if (s != CV_OK) {
        return s;
    }
    p = cJSON_CreateObject();
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
