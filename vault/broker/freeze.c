#include "vault/broker/freeze_internal.h"

#include "vault/base/clock.h"
#include "vault/broker/grant_internal.h"
#include "vault/broker/module_internal.h"

#include <stdio.h>
#include <string.h>

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
void cv_freeze_take(struct cv_freeze *f, const char *value)
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
        cv_json_read(tree, CV_FREEZE_KEY, CV_BROKER_FIELDS(fields), false,
                     NULL) == CV_OK) {
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
    cv_buf_init(&value, NULL, CV_FREEZE_VALUE);
    s = cv_store_meta_get(b->vault->store, CV_FREEZE_KEY, &value, &local);
    if (b->freeze.held &&
        (s == CV_NOT_FOUND || (s == CV_OK && cv_buf_text(&value)[0] == '\0'))) {
        s = CV_OK; /* that the store has none is known */
    } else if (s == CV_OK || s == CV_NOT_FOUND) {
        cv_freeze_take(&b->freeze, s == CV_OK ? cv_buf_text(&value) : "");
        b->freeze.fresh = b->freeze.is && (fresh || !before);
        s = CV_OK;
    } else if (err != NULL) {
        *err = local;
    }
    cv_buf_wipe(&value);
    return s;
}

bool cv_freeze_bars(const struct cv_broker *b, enum cv_action action)
{
    return b->freeze.is && !goes_on(action);
}

void cv_freeze_words(const struct cv_broker *b, char out[CV_FREEZE_WORDS])
{
    const struct cv_freeze *f = &b->freeze;
    char since[CV_CLOCK_TEXT_LEN];

    (void)snprintf(out, CV_FREEZE_WORDS, "the vault is frozen since %s by %s",
                   cv_clock_format(f->since_s, since),
                   f->by[0] != '\0' ? f->by : "an administrator");
}

enum cv_status cv_freeze_check(const struct cv_ask *ask, struct cv_err *err)
{
    const struct cv_freeze *f = &ask->broker->freeze;
    char words[CV_FREEZE_WORDS];
    enum cv_status s;

    if (!cv_freeze_bars(ask->broker, ask->action)) {
        return CV_OK;
    }
    cv_freeze_words(ask->broker, words);
    s = cv_fail(err, CV_DENIED, "%s%s%s", words,
                f->reason[0] != '\0' ? ": " : "", f->reason);
    cv_err_hint(err, "%s", hint);
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
           (!f->is ||
            (cv_json_add_str(to, "frozen_by", f->by) &&
             cv_json_add_str(to, "frozen_since",
                             cv_clock_format(f->since_s, since)) &&
             (f->reason[0] == '\0' ||
              cv_json_add_str(to, "frozen_reason", f->reason)) &&
             (!f->held || cv_json_add_bool(to, "frozen_held", true))));
}
