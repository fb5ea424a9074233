/* The decision: a pure function of a policy and a request.
 *
 * It allocates nothing, reads no clock, no file and no environment. Whatever is
 * wrong with the request (an action that is none, a uid that stands for nobody,
 * a time that is none, more contexts than there can be) is a denial, never a
 * guess. How rules are weighed is docs/policy.md, "How a decision is made". */
#ifndef CERTVAULT_POLICY_DECIDE_H
#define CERTVAULT_POLICY_DECIDE_H

#include "policy/action.h"
#include "policy/policy.h"

#define CV_DECIDE_RULES 16
#define CV_DECIDE_GROUPS 1024
#define CV_DECIDE_APPROVALS_MOST 64

enum cv_decide_mode {
    CV_DECIDE_MODE_NONE = 0, /* not said: denied */
    CV_DECIDE_MODE_EXEC,
    CV_DECIDE_MODE_AGENT,
    CV_DECIDE_MODE_SERVICE
};

/* "exec", "agent", "service", "none"; and back (NONE for any other word). */
const char *cv_decide_mode_name(enum cv_decide_mode mode);
enum cv_decide_mode cv_decide_mode_from_name(const char *word);

/* Who asks: as the kernel told it, by numbers; or, for `policy test` and
 * `policy explain`, by names as given (then a user made of digits alone is also
 * that uid). */
struct cv_decide_subject {
    bool by_name;
    uid_t uid; /* not by_name */
    gid_t gid;
    const gid_t *gids; /* supplementary groups */
    size_t n_gids;
    const char *user; /* by_name */
    const char *const *groups;
    size_t n_groups;
};

/* The entry, as it is, or as it will be (fetch, import, edit). Labels are in
 * the order of `keys` and `values`. */
struct cv_decide_entry {
    const char *name;
    const char *const *keys;
    const char *const *values;
    size_t n_labels;
    const char *provenance; /* born, adopted, unwrapped, imported, sealed; NULL:
                               not said, which only by_name may */
    bool leaky;
};

/* Someone's consent to this very request: who, as the subject is told. */
struct cv_decide_approval {
    uid_t uid;
    gid_t gid;
    const gid_t *gids; /* supplementary groups */
    size_t n_gids;
    const char *user; /* by_name */
    const char *const *groups;
    size_t n_groups;
    bool is_signed; /* its signature was verified, by a key of that user */
};

/* How often rules were used by this caller. Both functions must be pure for one
 * decision; false, or NULL for a function: it is not known, and the offer that
 * needs it is denied.
 *
 * used: *used is how many requests of the caller the rule has permitted within
 * the last `per_s` seconds. Where these are `count` and more, *free_in_s is in
 * how many seconds they will be fewer (below 1: not known).
 * sessions: *live is how many grants of the caller by that rule live now. */
struct cv_decide_counts {
    void *context;
    bool (*used)(void *context, const char *rule, int64_t per_s, uint64_t count,
                 uint64_t *used, int64_t *free_in_s);
    bool (*sessions)(void *context, const char *rule, uint64_t *live);
};

/* Zero it, then fill in what there is. */
struct cv_decide_request {
    struct cv_decide_subject subject;
    enum cv_action action;
    const struct cv_decide_entry *entry; /* NULL: an action without an entry */
    const char *reason;                  /* NULL or "": none */
    const char *ticket;                  /* NULL or "": none */
    const char *const *contexts;         /* all that the action would touch */
    size_t n_contexts;                   /* 0: it has to do with no context */
    enum cv_decide_mode mode;
    bool tty;             /* a hint, the caller could lie */
    bool anchored;        /* it is known when the log was last anchored: */
    int64_t anchor_age_s; /* so many seconds ago */
    bool read_only;       /* asked for: the grant is then read-only at least */
    int64_t now_s;        /* seconds since 1970, UTC */
    int64_t duration_s;   /* asked for with --for; 0: not asked */
    bool break_glass;     /* asked for with --break-glass */
    /* Several of one user count once; the caller's own never. */
    const struct cv_decide_approval *approvals;
    size_t n_approvals;
    const struct cv_decide_counts *counts; /* NULL: not known */
    /* A grant that is held against the policy again: the rule that gave it, and
     * how many approvals it had then. Where that rule still matches it is the
     * offer, its limit is not counted again and its approvals are these. NULL:
     * it is a new request. */
    const char *held_rule;
    uint64_t held_approvals;
};

enum cv_decide_cause {
    CV_DECIDE_PERMITTED = 0,
    CV_DECIDE_FORBIDDEN, /* `rules` are the forbids that matched */
    CV_DECIDE_UNMET,     /* a permit for it is there, its conditions fail */
    CV_DECIDE_NO_RULE,   /* no permit is about this */
    CV_DECIDE_BAD_INPUT, /* the request makes no sense */
    CV_DECIDE_NOT_READY, /* the policy has not been resolved */
    CV_DECIDE_LIMITED,   /* CV_BUSY: the limits of all offers are used up */
    CV_DECIDE_APPROVALS, /* CV_BUSY: `offer` wants approvals */
    CV_DECIDE_NO_COUNTS  /* how often the offers were used is not known */
};

struct cv_rule;

/* Everything here is borrowed from the policy. */
struct cv_decide_result {
    bool permit;
    enum cv_decide_cause cause;
    const char *offer; /* the permit that was taken, also where it waits for
                          approvals; NULL: denied */
    /* What is granted: the offer's grant, `read_only` also where it was asked
     * for, and how long. */
    struct cv_policy_grant grant;
    int64_t duration_s;
    struct cv_policy_limit limit;     /* the offer's */
    struct cv_policy_require require; /* the offer's */
    uint64_t approvals_needed;
    uint64_t approvals_had; /* of those that count for the offer */
    bool approved;          /* permitted, and by approvals: consume them */
    bool break_glass;       /* the offer breaks the glass: tell at once */
    int64_t retry_s; /* LIMITED: seconds until the first is free; -1: unknown */
    /* The rules that decided, by name: the offer (also where it waits for
     * approvals), the forbids, or the limit that is free first. */
    const char *rules[CV_DECIDE_RULES];
    size_t n_rules;
    /* For the words of a denial. */
    const struct cv_rule *near;
    unsigned failed;
    const char *what;
    bool glass_there; /* denied or waiting, and --break-glass would permit it */
};

/* Decides. CV_OK: permitted. CV_BUSY: not now (LIMITED, APPROVALS). CV_DENIED:
 * anything else. `err` (may be NULL, then no words are made) says why and, as
 * its hint, what would help; retry_after_s is set where LIMITED. `out` is
 * filled always. */
CV_MUST_USE enum cv_status
cv_decide_run(const struct cv_policy *policy,
              const struct cv_decide_request *request,
              struct cv_decide_result *out, struct cv_err *err);

/* Would this consent count for the rule `rule`? The approver goes by name
 * where `user` is not NULL. That it is not the caller's own is for who asks. An
 * approval that is not signed counts for no rule that wants signed ones
 * (cv_policy_require_of tells). */
bool cv_decide_may_approve(const struct cv_policy *policy, const char *rule,
                           const struct cv_decide_approval *approval);

/* `list`: which entries may this caller see? Asked once a command, then once an
 * entry.
 *
 * cv_decide_list_new: `request` as for cv_decide_run, its entry NULL, its
 * action CV_ACTION_LIST; or CV_ACTION_FETCH(_SERVICE) or CV_ACTION_IMPORT, to
 * ask whether there is any entry that could be fetched or taken in. CV_DENIED
 * when no permit could match the caller for any entry (that is the exit code
 * 77), CV_BUSY when all that could wait for approvals or for their limits.
 * result->offer is what the record says of all of the list: a rule that wants
 * nothing more, if there is one; else the best of those with a limit or
 * approvals; one that breaks the glass where that was asked for, or is alone.
 * On success *out must be freed, and `policy` and what `request` points to must
 * outlive it. CV_INTERNAL: memory.
 *
 * cv_decide_list_shows: would cv_decide_run permit this entry, by a rule that
 * wants nothing more, or by result->offer? What other rules would count, use up
 * or tell is not shown. */
struct cv_decide_list;
CV_MUST_USE enum cv_status
cv_decide_list_new(const struct cv_policy *policy,
                   const struct cv_decide_request *request,
                   struct cv_decide_list **out, struct cv_decide_result *result,
                   struct cv_err *err);
bool cv_decide_list_shows(const struct cv_decide_list *list,
                          const struct cv_decide_entry *entry);
void cv_decide_list_free(struct cv_decide_list *list);

/* What the door says of a command, for those who ask about one: cv_decide_run;
 * but `list` without an entry is cv_decide_list_new's. CV_INTERNAL: memory. */
CV_MUST_USE enum cv_status
cv_decide_command(const struct cv_policy *policy,
                  const struct cv_decide_request *request,
                  struct cv_decide_result *out, struct cv_err *err);

#endif
