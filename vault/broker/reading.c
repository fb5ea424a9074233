#include "vault/broker/reading.h"

#include "vault/base/clock.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct cv_reading {
    enum cv_reading_kind kind;
    uint64_t next, end; /* the records that are still to be had */
    int64_t until_ms;
    char rule[CV_LIMIT_NAME + 1]; /* that permitted it ... */
    uint64_t approvals;           /* ... with so many of them */
    char reason[CV_LIMIT_REASON + 1], ticket[CV_LIMIT_TICKET + 1];
    bool tty, break_glass;
};

static void put(char *to, size_t size, const char *text)
{
    (void)snprintf(to, size, "%s", text != NULL ? text : "");
}

static const char *or_null(const char *text)
{
    return text[0] != '\0' ? text : NULL;
}

void cv_reading_left(struct cv_caller *caller)
{
    free(caller->reading);
    caller->reading = NULL;
}

enum cv_status cv_reading_begin(const struct cv_ask *ask,
                                enum cv_reading_kind kind, uint64_t first,
                                uint64_t end, struct cv_err *err)
{
    struct cv_caller *caller = ask->broker->caller;
    struct cv_reading *r = calloc(1, sizeof(*r));

    if (r == NULL) {
        return cv_fail(err, CV_INTERNAL, "memory is gone");
    }
    r->kind = kind;
    r->next = first;
    r->end = end;
    r->until_ms = cv_clock_boot_ms() + (int64_t)CV_LIMIT_READING_S * 1000;
    put(r->rule, sizeof(r->rule), ask->result.offer);
    r->approvals = ask->result.approvals_had;
    put(r->reason, sizeof(r->reason), ask->reason);
    put(r->ticket, sizeof(r->ticket), ask->ticket);
    r->tty = ask->tty;
    r->break_glass = ask->break_glass;
    cv_reading_left(caller);
    caller->reading = r;
    return CV_OK;
}

/* Is this the next piece of what was begun? */
static enum cv_status check_piece(const struct cv_reading *r,
                                  enum cv_reading_kind kind, int64_t from,
                                  int64_t end, struct cv_err *err)
{
    enum cv_status s = CV_OK;

    if (r == NULL || r->kind != kind) {
        s = cv_fail(err, CV_INVALID, "nothing of the kind was begun here");
    } else if (cv_clock_boot_ms() >= r->until_ms) {
        s = cv_fail(err, CV_INVALID, "this was begun too long ago");
    } else if (from < 0 || end < from || (uint64_t)from < r->next ||
               (uint64_t)end > r->end) {
        s = cv_fail(err, CV_INVALID,
                    "these are not the next records of what was begun");
    }
    if (s != CV_OK) {
        cv_err_hint(err, "%s begins it, on the same connection",
                    kind == CV_READING_REPORT ? "AuditReport" : "AuditBundle");
    }
    return s;
}

/* The begin's request again: as a grant's it counts for no limit, and its
 * approvals still are there. */
static enum cv_status hold(const struct cv_reading *r, struct cv_ask *ask,
                           struct cv_err *err)
{
    enum cv_status s;

    ask->reason = or_null(r->reason);
    ask->ticket = or_null(r->ticket);
    ask->tty = r->tty;
    ask->break_glass = r->break_glass;
    put(ask->held_rule, sizeof(ask->held_rule), r->rule);
    ask->held_approvals = r->approvals;
    s = cv_broker_enter(ask->broker, err);
    if (s == CV_OK) {
        s = cv_ask_check(ask, NULL, NULL, err);
        cv_broker_leave(ask->broker);
        /* Permitted by another rule it would be another request. */
        if (s == CV_OK && cv_ask_is_used_up(ask) &&
            strcmp(ask->result.offer, r->rule) != 0) {
            s = cv_fail(err, CV_DENIED,
                        "what permitted this no longer does, and another rule "
                        "wants to be asked");
            cv_err_hint(err, "begin anew");
        }
    }
    return s;
}

enum cv_status cv_reading_go_on(struct cv_broker *b, enum cv_reading_kind kind,
                                const cJSON *parameters, int64_t from,
                                int64_t end, struct cv_err *err)
{
    struct cv_reading *r = b->caller->reading;
    struct cv_ask ask;
    enum cv_status s =
        cv_ask_begin(b, CV_ACTION_AUDIT_READ, parameters, &ask, err);

    if (s == CV_OK) {
        s = check_piece(r, kind, from, end, err);
    }
    if (s == CV_OK) {
        s = hold(r, &ask, err);
        if (s != CV_OK) {
            cv_reading_left(b->caller);
        }
    }
    if (s != CV_OK) {
        /* `ask` must not keep what went with the reading. */
        ask.reason = ask.ticket = NULL;
        cv_ask_refused(&ask, err);
    }
    return s;
}

void cv_reading_took(struct cv_broker *b, uint64_t next)
{
    struct cv_reading *r = b->caller->reading;

    if (r != NULL && next > r->next) {
        r->next = next;
    }
}
