/* Grants: what `use` gave, for a time.
 *
 * A grant lets one user reach one context of one entry through the relay. It
 * lives in the broker's memory alone and ends at its time (CLOCK_BOOTTIME: a
 * clock that is set moves nothing), with the connection that it was given to
 * (exec, proxy), or because whoever holds the table ends it. This file keeps
 * the table; broker_grant.c ends what must end, and tells.
 *
 * Threads: the broker's one. */
#ifndef CERTVAULT_BROKER_GRANT_H
#define CERTVAULT_BROKER_GRANT_H

#include "policy/policy.h"
#include "vault/base/json.h"
#include "vault/base/limits.h"
#include "vault/broker/loop.h"

#define CV_GRANT_ID_LEN 33      /* 32 hex digits and a NUL */
#define CV_FACTS_REQUEST_LEN 13 /* a request's id (facts.h): 12 hex digits */

enum cv_grant_kind { CV_GRANT_EXEC, CV_GRANT_PROXY, CV_GRANT_CREDENTIAL };

/* "exec", "proxy", "credential"; and back: false for another word. */
const char *cv_grant_kind_name(enum cv_grant_kind kind);
bool cv_grant_kind_read(const char *word, enum cv_grant_kind *out);

struct cv_grant {
    char id[CV_GRANT_ID_LEN];
    enum cv_grant_kind kind;
    struct cv_caller who;     /* as the record tells of it; no connection */
    struct cv_caller *holder; /* ends with it; NULL: with none */
    char entry[CV_LIMIT_NAME + 1];
    char entry_id[CV_GRANT_ID_LEN];
    char context[CV_LIMIT_URL + 1];
    char reason[CV_LIMIT_REASON + 1]; /* "": none was given */
    char ticket[CV_LIMIT_TICKET + 1];
    bool tty, asked_read_only; /* what was asked for, to decide again */
    int64_t asked_s;
    bool break_glass;
    uint64_t approvals;                 /* by which it was given */
    char request[CV_FACTS_REQUEST_LEN]; /* for approval, used; "": none */
    /* What was given. */
    bool read_only;
    char rule[CV_LIMIT_NAME + 1];
    enum cv_policy_record record;
    cJSON *order;   /* io.certvault.Relay's Grant */
    cJSON *subject; /* the entry as leaves name it */
    bool on_token;
    char token[CV_LIMIT_TOKEN_URI]; /* its URI; "": the key is sealed */
    int64_t ends_ms;                /* CLOCK_BOOTTIME */
    int64_t ends_s;                 /* wall time as it was then */
    int64_t given_ms;
    int64_t given_s; /* as ends_s */
    bool opened;     /* the relay has it */
    bool given;      /* and its user */
    bool counted;    /* it was decided: it is one of its rule's sessions */
    char why[CV_ERR_TEXT_LEN]; /* it is to end; "": not */
    char hint[CV_ERR_HINT_LEN];
    uint64_t signatures, requests, refused; /* requests: recorded ones */
};

struct cv_grant_table {
    struct cv_grant *all[CV_LIMIT_GRANTS];
    size_t n;
};

/* A new grant of `uid` in the table with an id drawn at random; all else is the
 * caller's to fill in. CV_BUSY: CV_LIMIT_GRANTS live, or only the places are
 * free that are kept for users who have few; CV_INTERNAL. */
CV_MUST_USE enum cv_status cv_grant_new(struct cv_grant_table *t, uid_t uid,
                                        struct cv_grant **out,
                                        struct cv_err *err);

/* Takes it out and frees it. holder->grants is counted down. */
void cv_grant_drop(struct cv_grant_table *t, struct cv_grant *g);

void cv_grant_drop_all(struct cv_grant_table *t);

/* It is this caller's: what the record tells of him is copied, and nothing that
 * goes with his connection. */
void cv_grant_name(struct cv_grant *g, const struct cv_caller *caller);

/* It ends with `holder` from now on. */
void cv_grant_hold(struct cv_grant *g, struct cv_caller *holder);

/* NULL: there is none, or its time is over at `now_ms`. */
struct cv_grant *cv_grant_find(const struct cv_grant_table *t, const char *id,
                               int64_t now_ms);

/* The credential grant of this user for this entry and context that lives
 * longest; NULL: none. */
struct cv_grant *cv_grant_find_credential(const struct cv_grant_table *t,
                                          uid_t uid, const char *entry_id,
                                          const char *context, int64_t now_ms);

/* Is its time over? */
bool cv_grant_is_over(const struct cv_grant *g, int64_t now_ms);

#endif
