/* The freeze is made, and ended: written, or held where it cannot be. */
#include "vault/broker/freeze_internal.h"

#include "vault/base/clock.h"
#include "vault/broker/agent.h"
#include "vault/broker/change_internal.h"
#include "vault/broker/notify.h"
#include "vault/broker/room.h"

#include <stdio.h>
#include <string.h>

/* Between two looks whether what is held can be written; and after an attempt
 * that failed, then twice as long. */
#define TRY_MS 1000
#define PAUSE_MS 10000
#define PAUSE_MAX_MS 600000

static enum cv_status no_memory(struct cv_err *err)
{
    return cv_fail(err, CV_INTERNAL, "memory is gone");
}

/* The freeze that is asked for: as it was, where there is one already. */
static struct cv_freeze wanted(const struct cv_ask *ask)
{
    struct cv_freeze f = ask->broker->freeze;

    if (!f.is) {
        f = (struct cv_freeze){.is = true, .since_s = cv_clock_now_s()};
        (void)snprintf(f.by, sizeof(f.by), "%s", ask->caller->user);
        (void)snprintf(f.reason, sizeof(f.reason), "%s",
                       ask->reason != NULL ? ask->reason : "");
    }
    return f;
}

static cJSON *value_of(const struct cv_freeze *f)
{
    char since[CV_CLOCK_TEXT_LEN];
    cJSON *out = cJSON_CreateObject();

    if (cv_json_add_str(out, "by", f->by) &&
        cv_json_add_str(out, "since", cv_clock_format(f->since_s, since)) &&
        (f->reason[0] == '\0' || cv_json_add_str(out, "reason", f->reason))) {
        return out;
    }
    cJSON_Delete(out);
    return NULL;
}

static void tell(struct cv_broker *b, const struct cv_freeze *f)
{
    cJSON *value = f->is ? value_of(f) : NULL;

    cv_notify_event(b, f->is ? "freeze" : "unfreeze", value);
    cJSON_Delete(value);
}

/* One transaction: the fact (`text`; NULL: it stays), and where it has one, the
 * journal's row. */
static enum cv_status put_once(struct cv_ask *ask, const char *text, bool row,
                               struct cv_err *err)
{
    struct cv_store *store = ask->broker->vault->store;
    enum cv_status s = cv_store_begin(store, err);

    if (s == CV_OK && text != NULL) {
        s = cv_store_meta_put(store, CV_FREEZE_KEY, text, err);
    }
    if (s == CV_OK && row) {
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

static enum cv_status put(struct cv_ask *ask, const char *text, bool row,
                          struct cv_err *err)
{
    struct cv_err why;
    enum cv_status s;

    do {
        cv_err_init(&why);
        s = put_once(ask, text, row, &why);
    } while (s == CV_IO && cv_room_give(ask));
    if (s != CV_OK && err != NULL) {
        *err = why;
    }
    return s;
}

/* `f` into the store; then it is this broker's too. */
static enum cv_status put_freeze(struct cv_ask *ask, const struct cv_freeze *f,
                                 bool row, struct cv_err *err)
{
    struct cv_buf text;
    cJSON *value = f->is ? value_of(f) : NULL;
    enum cv_status s;

    cv_buf_init(&text, NULL, CV_FREEZE_VALUE);
    if (value != NULL) {
        cv_json_write(value, CV_JSON_COMPACT, &text);
    }
    s = f->is && value == NULL ? no_memory(err)
                               : cv_buf_status(&text, CV_FREEZE_KEY, err);
    if (s == CV_OK) {
        s = put(ask, cv_buf_text(&text), row, err);
    }
    if (s == CV_OK) {
        cv_freeze_take(&ask->broker->freeze, cv_buf_text(&text));
    }
    cv_buf_wipe(&text);
    cJSON_Delete(value);
    return s;
}

/* The row is there, and the decision durable. */
static enum cv_status change(struct cv_ask *ask, bool frozen,
                             struct cv_err *err)
{
    struct cv_broker *b = ask->broker;
    const bool before = b->freeze.is, held = b->freeze.held;
    struct cv_freeze next = {0};
    enum cv_status s;

    if (before == frozen && !held) {
        return put(ask, NULL, true, err);
    }
    if (frozen) {
        next = wanted(ask);
    }
    s = put_freeze(ask, &next, true, err);
    if (s == CV_OK && before != frozen) {
        tell(b, &b->freeze);
    }
    return s;
}

/* What the record says of one that could not be written. */
static cJSON *held_details(const cJSON *details)
{
    cJSON *out = cJSON_Duplicate(details, true);

    (void)cv_json_add_str(out, "because",
                          "it could not be written: this broker alone holds "
                          "it");
    return out;
}

/* Does this broker stay, so that what it remembers is worth something? */
static bool may_hold(const struct cv_ask *ask, bool frozen,
                     enum cv_status status)
{
    const struct cv_broker *b = ask->broker;

    return frozen && status == CV_IO && b->options->mode != CV_BROKER_EXEC &&
           (!b->freeze.is || b->freeze.held);
}

/* From now on, whether it is recorded or not: what is not released because of
 * it needs no record. */
static void hold(struct cv_ask *ask, struct cv_err *err)
{
    struct cv_broker *b = ask->broker;
    const bool before = b->freeze.is;

    b->freeze = wanted(ask);
    b->freeze.held = b->freeze.fresh = true;
    b->freeze.next_ms = cv_clock_boot_ms() + TRY_MS;
    if (!before) {
        tell(b, &b->freeze);
    }
    cv_err_prefix(err, "the freeze could not be written");
    cv_err_state(err, "this broker holds it: nothing is used or released "
                      "through it; other brokers of the vault, and this one "
                      "after a restart, know nothing of it");
    cv_err_hint(err, "make room on its file system and let this broker run: it "
                     "writes the freeze as soon as it can (certvault status "
                     "shows frozen_held until then)");
}

/* The change with its rows, its leaves and its outcome. */
static enum cv_status write_change(struct cv_ask *ask, bool frozen,
                                   const cJSON *details, struct cv_err *err)
{
    cJSON *held = held_details(details);
    enum cv_status s = cv_change_put_rows(&ask, 1, err);

    if (s != CV_OK) {
        cv_err_state(err, "nothing was changed");
        /* The decision is queued: told with its outcome, or not at all. */
        (void)!cv_ask_outcome(ask, s, may_hold(ask, frozen, s) ? held : details,
                              NULL);
        (void)!cv_broker_commit(ask->broker, NULL);
    } else if ((s = cv_broker_commit(ask->broker, err)) != CV_OK) {
        cv_change_drop_rows(&ask, 1);
    } else {
        s = change(ask, frozen, err);
        /* Frozen already, it may have been opened since. */
        ask->broker->freeze.fresh = ask->broker->freeze.is && s == CV_OK;
        s = cv_change_end(&ask, 1, s, may_hold(ask, frozen, s) ? held : details,
                          err);
    }
    cJSON_Delete(held);
    return s;
}

/* Held and not written: there is nothing in the store to be changed, only to be
 * recorded. */
static enum cv_status let_go(struct cv_ask *ask, const cJSON *details,
                             struct cv_err *err)
{
    struct cv_broker *b = ask->broker;
    enum cv_status s = cv_broker_commit(b, err);

    if (s != CV_OK) {
        cv_err_state(err, "the vault stays frozen");
        return s;
    }
    b->freeze = (struct cv_freeze){0};
    tell(b, &b->freeze);
    return cv_change_end(&ask, 1, CV_OK, details, err);
}

enum cv_status cv_freeze_set(struct cv_ask *ask, bool frozen,
                             const cJSON *details, struct cv_err *err)
{
    struct cv_broker *b = ask->broker;
    enum cv_status s;

    if (!frozen && b->freeze.held) {
        return let_go(ask, details, err);
    }
    s = write_change(ask, frozen, details, err);
    if (may_hold(ask, frozen, s)) {
        hold(ask, err);
    }
    return s;
}

/* After one that was recorded and came to nothing the next is later and later,
 * so that the record is not filled by them. */
static void put_off(struct cv_freeze *f, int64_t now)
{
    f->pause_ms = f->pause_ms == 0 ? PAUSE_MS : 2 * f->pause_ms;
    if (f->pause_ms > PAUSE_MAX_MS) {
        f->pause_ms = PAUSE_MAX_MS;
    }
    f->next_ms = now + f->pause_ms;
}

/* Entered. It was permitted, and nobody asks for it any more: its leaf is an
 * event, durable before the store has it. */
static void write_held(struct cv_broker *b, int64_t now)
{
    struct cv_ask ask = {.broker = b, .action = CV_ACTION_ADMIN, .seq = -1};
    cJSON *details = cJSON_CreateObject();
    char words[CV_NAMES_LEN + 96], since[CV_CLOCK_TEXT_LEN];
    const struct cv_freeze f = b->freeze;
    enum cv_status s;

    cv_leaf_new_op(ask.op);
    (void)snprintf(words, sizeof(words),
                   "this broker alone held it since %s, by %s: it is written",
                   cv_clock_format(f.since_s, since), f.by);
    (void)cv_json_add_str(details, "method", "LockAll");
    (void)cv_json_add_str(details, "because", words);
    s = cv_ask_event(&ask, details, NULL);
    if (s == CV_OK) {
        s = cv_broker_commit(b, NULL);
    }
    if (s == CV_OK && put_freeze(&ask, &f, false, NULL) != CV_OK) {
        put_off(&b->freeze, now);
    }
    cJSON_Delete(details);
}

bool cv_freeze_write(struct cv_broker *b)
{
    const int64_t now = cv_clock_boot_ms();

    if (!b->freeze.held || now < b->freeze.next_ms) {
        return b->freeze.held;
    }
    b->freeze.next_ms = now + TRY_MS;
    if (b->agent != NULL) {
        cv_agent_asked(b->agent); /* it is not without work */
    }
    if (cv_broker_enter(b, NULL) == CV_OK) {
        if (b->freeze.held && cv_room_is_there(b)) {
            write_held(b, now);
        }
        cv_broker_leave(b);
    }
    return b->freeze.held;
}
