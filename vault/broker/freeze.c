#include "vault/broker/freeze.h"

#include "vault/base/clock.h"
#include "vault/broker/change_internal.h"
#include "vault/broker/grant_internal.h"
#include "vault/broker/module_internal.h"
#include "vault/broker/notify.h"

#include <stdio.h>
#include <string.h>

#define KEY "frozen"
#define VALUE_MAX CV_KIB(4)

static const char why[] = "the vault was frozen";
static const char hint[] = "an administrator ends it: certvault unlock --all";

/* What is decided in a frozen vault as ever: reading, and what it takes to find
 * out and to mend. Everything else is refused, also what comes to be an action
 * later. */
static bool goes_on(enum cv_action action)
{
    return action == CV_ACTION_LIST || action == CV_ACTION_SHOW ||
           action == CV_ACTION_AUDIT_READ || action == CV_ACTION_POLICY_READ ||
           action == CV_ACTION_POLICY_APPLY || action == CV_ACTION_ADMIN;
}

/* Whatever stands there and is not empty is a freeze, also what cannot be
 * read. */
static void take(struct cv_freeze *f, const char *value)
{
    const char *by = "", *since = "", *reason = "";
    const struct cv_json_field fields[] = {
        {"by", CV_JSON_STRING, true, &by, CV_NAMES_LEN - 1},
        {"since", CV_JSON_STRING, true, &since, CV_CLOCK_TEXT_LEN},
        {"reason", CV_JSON_STRING, false, &reason, CV_LIMIT_REASON},
    };
    struct cv_arena *before = cv_json_use(NULL);
    cJSON *tree = NULL;

    memset(f, 0, sizeof(*f));
    f->is = value[0] != '\0';
    if (f->is &&
        cv_json_parse(NULL,
                      (struct cv_bytes){(const uint8_t *)value, strlen(value)},
                      &tree, NULL) == CV_OK &&
        cv_json_read(tree, KEY, CV_BROKER_FIELDS(fields), false, NULL) ==
            CV_OK) {
        (void)snprintf(f->by, sizeof(f->by), "%s", by);
        /* None was given: then there is none, and no word for it. */
        (void)snprintf(f->reason, sizeof(f->reason), "%s",
                       reason != NULL ? reason : "");
        (void)!cv_clock_parse(since, &f->since_s, NULL);
    }
    cJSON_Delete(tree);
    (void)cv_json_use(before);
}

enum cv_status cv_freeze_look(struct cv_broker *b, struct cv_err *err)
{
    const bool before = b->freeze.is, fresh = b->freeze.fresh;
    struct cv_buf value;
    struct cv_err local;
    enum cv_status s;

    cv_err_init(&local);
    cv_buf_init(&value, NULL, VALUE_MAX);
    s = cv_store_meta_get(b->vault->store, KEY, &value, &local);
    if (s == CV_OK || s == CV_NOT_FOUND) {
        take(&b->freeze, s == CV_OK ? cv_buf_text(&value) : "");
        b->freeze.fresh = b->freeze.is && (fresh || !before);
        s = CV_OK;
    } else if (err != NULL) {
        *err = local;
    }
    cv_buf_wipe(&value);
    return s;
}

enum cv_status cv_freeze_check(const struct cv_ask *ask, struct cv_err *err)
{
    const struct cv_freeze *f = &ask->broker->freeze;
    char since[CV_CLOCK_TEXT_LEN];
    enum cv_status s;

    if (!f->is || goes_on(ask->action)) {
        return CV_OK;
    }
    s = cv_fail(err, CV_DENIED, "the vault is frozen since %s by %s%s%s",
                cv_clock_format(f->since_s, since),
                f->by[0] != '\0' ? f->by : "an administrator",
                f->reason[0] != '\0' ? ": " : "", f->reason);
    cv_err_hint(err, "%s", hint);
    return s;
}

static cJSON *value_of(const struct cv_ask *ask)
{
    char since[CV_CLOCK_TEXT_LEN];
    cJSON *out = cJSON_CreateObject();

    if (cv_json_add_str(out, "by", ask->caller->user) &&
        cv_json_add_str(out, "since",
                        cv_clock_format(cv_clock_now_s(), since)) &&
        (ask->reason == NULL || cv_json_add_str(out, "reason", ask->reason))) {
        return out;
    }
    cJSON_Delete(out);
    return NULL;
}

/* One transaction: the fact (`text`; NULL: it stays), and the journal's row. */
static enum cv_status put(struct cv_ask *ask, const char *text,
                          struct cv_err *err)
{
    struct cv_store *store = ask->broker->vault->store;
    enum cv_status s = cv_store_begin(store, err);

    if (s == CV_OK && text != NULL) {
        s = cv_store_meta_put(store, KEY, text, err);
    }
    if (s == CV_OK) {
        s = cv_change_done(&(struct cv_ask *){ask}, 1, err);
    }
    if (s == CV_OK) {
        s = cv_store_commit(store, err);
    }
    if (s != CV_OK) {
        cv_store_rollback(store);
    }
    return s;
}

static enum cv_status set(struct cv_ask *ask, bool frozen, struct cv_err *err)
{
    struct cv_buf text;
    cJSON *value = frozen ? value_of(ask) : NULL;
    enum cv_status s;

    cv_buf_init(&text, NULL, VALUE_MAX);
    if (value != NULL) {
        cv_json_write(value, CV_JSON_COMPACT, &text);
    }
    s = frozen && value == NULL ? cv_fail(err, CV_INTERNAL, "memory is gone")
                                : cv_buf_status(&text, KEY, err);
    if (s == CV_OK) {
        s = put(ask, cv_buf_text(&text), err);
    }
    if (s == CV_OK) {
        take(&ask->broker->freeze, cv_buf_text(&text));
        cv_notify_event(ask->broker, frozen ? "freeze" : "unfreeze", value);
    }
    cv_buf_wipe(&text);
    cJSON_Delete(value);
    return s;
}

enum cv_status cv_freeze_set(struct cv_ask *ask, bool frozen,
                             const cJSON *details, struct cv_err *err)
{
    enum cv_status s = cv_change_intend(&ask, 1, err);

    if (s == CV_OK) {
        s = ask->broker->freeze.is == frozen ? put(ask, NULL, err)
                                             : set(ask, frozen, err);
        /* Frozen already, it may have been opened since. */
        ask->broker->freeze.fresh = ask->broker->freeze.is && s == CV_OK;
        s = cv_change_end(&ask, 1, s, details, err);
    }
    return s;
}

void cv_freeze_tick(struct cv_broker *b)
{
    if (!b->freeze.fresh) {
        return;
    }
    /* A token is at work for somebody, who has pointers to the rest. */
    if (cv_loop_is_held(b->loop)) {
        cv_relay_close_all(b, why, hint);
        return;
    }
    b->freeze.fresh = false;
    cv_relay_close_all(b, why, hint);
    cv_helper_stop(&b->token);
    cv_module_stop_all(b);
    b->unlocked = false;
    cv_relay_unlisten(b);
    cv_grant_end_all(b, why, hint);
}

bool cv_freeze_add(const struct cv_broker *b, cJSON *to)
{
    const struct cv_freeze *f = &b->freeze;
    char since[CV_CLOCK_TEXT_LEN];

    return cv_json_add_bool(to, "frozen", f->is) &&
           (!f->is || (cv_json_add_str(to, "frozen_by", f->by) &&
                       cv_json_add_str(to, "frozen_since",
                                       cv_clock_format(f->since_s, since)) &&
                       (f->reason[0] == '\0' ||
                        cv_json_add_str(to, "frozen_reason", f->reason))));
}
