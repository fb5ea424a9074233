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
    bool tty;           /* a hint, the caller could lie */
    bool read_only;     /* asked for: the grant is then read-only at least */
    int64_t now_s;      /* seconds since 1970, UTC */
    int64_t duration_s; /* asked for with --for; 0: not asked */
};

enum cv_decide_cause {
    CV_DECIDE_PERMITTED = 0,
    CV_DECIDE_FORBIDDEN, /* `rules` are the forbids that matched */
    CV_DECIDE_UNMET,     /* a permit for it is there, its conditions fail */
    CV_DECIDE_NO_RULE,   /* no permit is about this */
    CV_DECIDE_BAD_INPUT, /* the request makes no sense */
    CV_DECIDE_NOT_READY  /* the policy has not been resolved */
};

struct cv_rule;

/* Everything here is borrowed from the policy. */
struct cv_decide_result {
    bool permit;
    enum cv_decide_cause cause;
    const char *offer; /* the permit that was taken; NULL: denied */
    /* What is granted: the offer's grant, `read_only` also where it was asked
     * for, and how long. */
    struct cv_policy_grant grant;
    int64_t duration_s;
    /* The rules that decided, by name: the offer, or the forbids. */
    const char *rules[CV_DECIDE_RULES];
    size_t n_rules;
    /* For the words of a denial. */
    const struct cv_rule *near;
    unsigned failed;
    const char *what;
};

/* Decides. CV_OK: permitted. CV_DENIED: anything else; `err` (may be NULL, then
 * no words are made) says why and, as its hint, what would help. `out` is
 * filled in both cases. */
CV_MUST_USE enum cv_status
cv_decide_run(const struct cv_policy *policy,
              const struct cv_decide_request *request,
              struct cv_decide_result *out, struct cv_err *err);

/* `list`: which entries may this caller see? Asked once a command, then once an
 * entry.
 *
 * cv_decide_list_new: `request` as for cv_decide_run, its entry NULL, its
 * action CV_ACTION_LIST. CV_DENIED when no permit could match the caller for
 * any entry (that is the exit code 77). On success *out must be freed, and
 * `policy` and what `request` points to must outlive it. CV_INTERNAL: memory.
 * cv_decide_list_shows: exactly what cv_decide_run would say of this entry. */
struct cv_decide_list;
CV_MUST_USE enum cv_status
cv_decide_list_new(const struct cv_policy *policy,
                   const struct cv_decide_request *request,
                   struct cv_decide_list **out, struct cv_decide_result *result,
                   struct cv_err *err);
bool cv_decide_list_shows(const struct cv_decide_list *list,
                          const struct cv_decide_entry *entry);
void cv_decide_list_free(struct cv_decide_list *list);

#endif
