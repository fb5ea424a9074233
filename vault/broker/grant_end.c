/* Grants end: by time, by whoever holds them, by policy, by what happens to
 * their entry, by lock; in this broker or in another of the vault. */
#include "vault/audit/query.h"
#include "vault/base/clock.h"
#include "vault/broker/grant_internal.h"
#include "vault/broker/hop_internal.h"
#include "vault/broker/module_internal.h"
#include "vault/broker/use_internal.h"
#include "vault/store/store_entry.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* How often the world is looked at, and how often all is decided again though
 * nothing was written: hours pass. */
#define LOOK_MS 1000
#define DECIDE_MS 4000
#define TOKEN_MS 2000
/* The token process ends when nobody asks for CV_LIMIT_CLIENT_IDLE_S. */
#define TOUCH_MS (CV_LIMIT_CLIENT_IDLE_S * 1000 / 3)

static const char *or_null(const char *text)
{
    return text[0] != '\0' ? text : NULL;
}

void cv_grant_ask(struct cv_broker *b, struct cv_grant *g, struct cv_ask *ask)
{
    memset(ask, 0, sizeof(*ask));
    b->caller = &g->who;
    ask->broker = b;
    ask->caller = &g->who;
    ask->action = CV_ACTION_USE;
    ask->reason = or_null(g->reason);
    ask->ticket = or_null(g->ticket);
    ask->context = g->context;
    ask->tty = g->tty;
    ask->read_only = g->asked_read_only;
    ask->duration_s = g->asked_s;
    ask->break_glass = g->break_glass;
    (void)snprintf(ask->held_rule, sizeof(ask->held_rule), "%s", g->rule);
    ask->held_approvals = g->approvals;
    ask->doc = g->subject;
    ask->seq = -1;
    cv_leaf_new_op(ask->op);
}

static void tell(struct cv_broker *b, struct cv_grant *g, const char *why)
{
    struct cv_caller *before = b->caller;
    struct cv_arena *arena = cv_json_use(NULL);
    cJSON *details = cJSON_CreateObject();
    struct cv_ask ask;

    cv_grant_ask(b, g, &ask);
    (void)cv_json_add_str(details, "grant", g->id);
    (void)cv_json_add_str(details, "method", "UseEnd");
    (void)cv_json_add_str(details, "because", why);
    (void)cv_json_add_int(details, "signatures", (int64_t)g->signatures);
    (void)cv_json_add_int(details, "recorded", (int64_t)g->requests);
    (void)cv_json_add_int(details, "refused", (int64_t)g->refused);
    (void)cv_json_add_int(details, "seconds",
                          (cv_clock_boot_ms() - g->given_ms) / 1000);
    cv_ask_event_later(&ask, CV_OK, details);
    cJSON_Delete(details);
    (void)cv_json_use(arena);
    b->caller = before;
}

void cv_grant_end(struct cv_broker *b, struct cv_grant *g, const char *why,
                  const char *hint)
{
    cv_relay_close(b, g, why, hint);
    cv_hop_forget(b, g);
    tell(b, g, why);
    cv_grant_drop(&b->grants, g);
}

void cv_grant_end_all(struct cv_broker *b, const char *why, const char *hint)
{
    while (b->grants.n > 0) {
        cv_grant_end(b, b->grants.all[b->grants.n - 1], why, hint);
    }
}

void cv_grant_end_given(struct cv_broker *b, const char *why, const char *hint)
{
    for (size_t i = b->grants.n; i-- > 0;) {
        if (b->grants.all[i]->given) {
            cv_grant_end(b, b->grants.all[i], why, hint);
        }
    }
}

void cv_grant_left(struct cv_broker *b, const struct cv_caller *caller)
{
    for (size_t i = b->grants.n; i-- > 0;) {
        struct cv_grant *g = b->grants.all[i];

        if (g->holder == caller) {
            cv_grant_end(b, g, "the command that it was for has ended", NULL);
        }
    }
}

const char *cv_grant_why_not(struct cv_broker *b, struct cv_grant *g,
                             struct cv_err *err)
{
    struct cv_use now = {0};
    const char *why = NULL;
    enum cv_status s;

    now.name = g->entry;
    cv_grant_ask(b, g, &now.ask);
    s = cv_use_load(b, &now, err);
    if (s == CV_NOT_FOUND) {
        why = now.doc == NULL ? "the entry was removed or renamed"
                              : "the entry has no such context any more";
    } else if (s == CV_OK &&
               strcmp(cv_entry_text(now.doc, "entry_id"), g->entry_id) != 0) {
        why = "the entry was replaced by another";
    } else if (s == CV_OK) {
        s = cv_ask_would_now(&now.ask, now.doc, err);
        if (s != CV_OK) {
            why = b->freeze.is ? "the vault was frozen"
                               : "the policy does not give it any more";
        }
    }
    if (why == NULL && s == CV_OK) {
        s = cv_use_fits(&now, err);
        why = s != CV_OK ? err->text : cv_use_differs(&now, g);
    } else if (why == NULL && s != CV_OK) {
        why = err->text;
    }
    cv_use_free(&now);
    return why;
}

/* Did somebody lock the vault? Another broker's lock reaches us by the log. */
static enum cv_status find_lock(void *context, uint64_t seq,
                                struct cv_bytes leaf, struct cv_err *err)
{
    static const char lock[] = "\"method\":\"Lock\"";
    static const char outcome[] = "\"phase\":\"outcome\"";

    (void)seq;
    (void)err;
    if (memmem(leaf.data, leaf.len, lock, sizeof(lock) - 1) != NULL &&
        memmem(leaf.data, leaf.len, outcome, sizeof(outcome) - 1) != NULL) {
        *(bool *)context = true;
    }
    return CV_OK;
}

static bool was_locked(struct cv_broker *b)
{
    bool locked = false;
    struct cv_err err;

    cv_err_init(&err);
    if (cv_query_follow(b->vault->dir, &b->looked, find_lock, &locked, &err) !=
        CV_OK) {
        b->looked = (struct cv_query_cursor){0, 0};
        (void)!cv_query_tail(b->vault->dir, 0, &b->looked, find_lock, &locked,
                             &err);
    }
    return locked;
}

/* Entered. What is to end is only marked: its leaf is for afterwards. */
static void look_at_all(struct cv_broker *b)
{
    struct cv_caller *before = b->caller;

    for (size_t i = 0; i < b->grants.n; i++) {
        struct cv_grant *g = b->grants.all[i];
        struct cv_err err;
        const char *why;

        cv_err_init(&err);
        why = cv_grant_why_not(b, g, &err);
        b->caller = before;
        if (why != NULL) {
            (void)snprintf(g->why, sizeof(g->why), "%s", why);
            (void)snprintf(g->hint, sizeof(g->hint), "%s", err.hint);
        }
    }
}

static void end_marked(struct cv_broker *b)
{
    for (size_t i = b->grants.n; i-- > 0;) {
        struct cv_grant *g = b->grants.all[i];

        if (g->why[0] != '\0') {
            cv_grant_end(b, g, g->why, or_null(g->hint));
        }
    }
}

/* A token that was pulled takes its grants along. One that does not answer may
 * do so again. */
static void look_at_tokens(struct cv_broker *b)
{
    b->looking = true;
    for (size_t i = 0; i < b->grants.n; i++) {
        struct cv_grant *g = b->grants.all[i];
        struct cv_module_token token;

        if (g->on_token && g->why[0] == '\0' &&
            cv_module_token(b, g->token, &token, NULL, NULL) == CV_NOT_FOUND) {
            for (size_t k = i; k < b->grants.n; k++) {
                if (strcmp(b->grants.all[k]->token, g->token) == 0) {
                    (void)snprintf(b->grants.all[k]->why, sizeof(g->why),
                                   "its token is not there any more");
                }
            }
        }
    }
    b->looking = false;
}

static void look(struct cv_broker *b)
{
    int64_t now = cv_clock_boot_ms();
    bool locked = false;
    uint64_t size;

    b->looked_ms = now;
    cv_helper_look(&b->token);
    if (b->token.channel == NULL || !b->unlocked) {
        /* With it went the open vault and the CA of all certificates, also
         * where another process has taken its place by now. */
        b->unlocked = false;
        cv_relay_close_all(b, "the vault was locked", "certvault unlock");
        cv_relay_unlisten(b);
        cv_grant_end_all(b, "the vault was locked", "certvault unlock");
        return;
    }
    if (cv_broker_enter(b, NULL) != CV_OK) {
        return; /* what cannot be looked at gives no signature either */
    }
    size = cv_log_size(b->vault->log);
    if (size != b->looked_size || now - b->decided_ms >= DECIDE_MS) {
        locked = size != b->looked_size && was_locked(b);
        b->looked_size = size;
        b->decided_ms = now;
        look_at_all(b);
    }
    cv_broker_leave(b);
    if (now - b->token_ms >= TOKEN_MS) {
        b->token_ms = now;
        look_at_tokens(b);
    }
    if (locked) {
        cv_grant_end_all(b, "the vault was locked", "certvault unlock");
    }
    end_marked(b);
}

void cv_grant_look_from_here(struct cv_broker *b)
{
    const struct cv_log *log = b->vault->log;

    b->looked_size = cv_log_size(log);
    b->looked = (struct cv_query_cursor){cv_log_bytes(log), cv_log_size(log)};
}

void cv_grant_look_again(struct cv_broker *b)
{
    b->looked_ms = 0;
    b->looked_size = UINT64_MAX;
}

/* As long as grants are in use the vault stays open for them. */
static void keep_token(struct cv_broker *b, int64_t now)
{
    if (b->token.channel != NULL && now - b->touched_ms > TOUCH_MS) {
        b->touched_ms = now;
        cv_hop_touch(b);
    }
}

bool cv_grant_tick(struct cv_broker *b)
{
    int64_t now = cv_clock_boot_ms();

    for (size_t i = b->grants.n; i-- > 0;) {
        if (cv_grant_is_over(b->grants.all[i], now)) {
            cv_grant_end(b, b->grants.all[i], "its time is over",
                         "run the command again");
        }
    }
    if (b->grants.n > 0 && now - b->looked_ms >= LOOK_MS) {
        look(b);
    }
    if (b->grants.n > 0) {
        keep_token(b, now);
    }
    return b->grants.n > 0;
}

/* One's own; to the vault's owner all. */
static bool shows(const struct cv_broker *b, const struct cv_grant *g)
{
    return b->caller != NULL && (b->caller->peer.uid == g->who.peer.uid ||
                                 b->caller->peer.uid == geteuid());
}

cJSON *cv_grant_status(const struct cv_broker *b)
{
    int64_t now = cv_clock_boot_ms();
    cJSON *list = cJSON_CreateArray();

    for (size_t i = 0; i < b->grants.n; i++) {
        const struct cv_grant *g = b->grants.all[i];
        char expires[CV_CLOCK_TEXT_LEN];
        cJSON *item;

        if (!shows(b, g)) {
            continue;
        }
        item = cJSON_CreateObject();
        if (!cv_json_add_str(item, "id", g->id) ||
            !cv_json_add_str(item, "kind", cv_grant_kind_name(g->kind)) ||
            !cv_json_add_int(item, "uid", (int64_t)g->who.peer.uid) ||
            !cv_json_add_str(item, "entry", g->entry) ||
            !cv_json_add_str(item, "context", g->context) ||
            !cv_json_add_str(item, "rule", g->rule) ||
            !cv_json_add_bool(item, "read_only", g->read_only) ||
            !cv_json_add_str(item, "expires",
                             cv_clock_format(g->ends_s, expires)) ||
            !cv_json_add_int(item, "seconds", (g->ends_ms - now) / 1000) ||
            !cv_json_add_int(item, "signatures", (int64_t)g->signatures) ||
            !cv_json_add_int(item, "recorded", (int64_t)g->requests) ||
            !cJSON_AddItemToArray(list, item)) {
            cJSON_Delete(item);
        }
    }
    return list;
}
