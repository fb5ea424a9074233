/* What the methods about policies share. */
#ifndef CERTVAULT_BROKER_POLICIES_INTERNAL_H
#define CERTVAULT_BROKER_POLICIES_INTERNAL_H

#include "vault/audit/note.h"
#include "vault/broker/broker_internal.h"
#include "vault/store/store_policy.h"

/* A row of the store as a policy that is resolved; both are the caller's.
 * *resolution is what its names were. */
CV_MUST_USE enum cv_status
cv_broker_policy_row(const struct cv_store_policy *row, struct cv_policy **out,
                     cJSON **resolution, struct cv_err *err);

/* Asks the helper outside what names and zones of `p` are on this host: a
 * resolution (policy.h) that the caller deletes. CV_UNAVAILABLE, CV_BUSY. */
CV_MUST_USE enum cv_status cv_broker_policy_names(struct cv_broker *b,
                                                  const struct cv_policy *p,
                                                  cJSON **out,
                                                  struct cv_err *err);

/* One policy in a review. */
struct cv_broker_policy_side {
    const struct cv_policy *policy;
    struct cv_policy *own; /* to be freed; NULL: `policy` is another's */
    cJSON *resolution;
};

void cv_broker_policy_side_free(struct cv_broker_policy_side *side);

/* The policy in force, as it was loaded. */
CV_MUST_USE enum cv_status cv_broker_policy_side_current(
    struct cv_broker *b, struct cv_broker_policy_side *out, struct cv_err *err);

/* Somebody whom a review is about. */
struct cv_broker_policy_person {
    const char *kind; /* "user", "group", "everyone" */
    char name[CV_NAMES_LEN * 4];
    int64_t uid; /* -1: not one */
    gid_t *gids; /* own */
    struct cv_decide_subject subject;
};

/* All of them; the first four members are set by who asks. */
struct cv_broker_policy_people {
    struct cv_broker *broker;
    const struct cv_broker_policy_side *sides;
    size_t n_sides;   /* 1 or 2 */
    const char *only; /* this user alone; NULL: all */
    struct cv_broker_policy_person *list;
    size_t n;
    size_t room;
    uint32_t nobody; /* a number that stands for anybody else */
    bool complete;   /* the host told all of them */
};

/* Users that the policies name, members of the groups that they name, uids; the
 * groups as such (whoever joins them tomorrow); everybody else. Asks the names
 * helper, 6 s at most; where that cannot tell, `complete` is false. */
CV_MUST_USE enum cv_status
cv_broker_policy_people_find(struct cv_broker_policy_people *people,
                             struct cv_err *err);
void cv_broker_policy_people_free(struct cv_broker_policy_people *people);

/* What a review is narrowed to. */
struct cv_broker_policy_scope {
    const char *user;      /* by name; NULL: all */
    const char *pattern;   /* glob over names of entries; NULL: all */
    enum cv_action action; /* NONE: all */
};

/* Which subject x action x entry differ between two policies, of real users and
 * of the entries that `ask`'s caller may list. Adds to `out`: `items`,
 * `omitted` (how many more there are), `users` and `entries` (how many were
 * looked at), `complete` (false: the host could not tell all users). */
CV_MUST_USE enum cv_status cv_broker_policy_differ(
    struct cv_ask *ask, const struct cv_broker_policy_side sides[2],
    const struct cv_broker_policy_scope *scope, cJSON *out, struct cv_err *err);

/* What whoever applies `next` in place of `now` should know before: that they
 * could not go back (*loses: policy.apply is theirs no more), that nobody
 * could, that everybody may do more. Adds texts to `warnings` (an array). */
CV_MUST_USE enum cv_status cv_broker_policy_warn(struct cv_ask *ask,
                                                 const struct cv_policy *now,
                                                 const struct cv_policy *next,
                                                 cJSON *warnings, bool *loses,
                                                 struct cv_err *err);

/* Shows the place of an error in `text` along with it. */
void cv_broker_policy_excerpt(struct cv_reply *reply, struct cv_bytes text,
                              const struct cv_policy_notes *notes);

/* Signers (broker_policy_sign.c): those of init and those of the configuration.
 *
 * store: keeps them in a new vault.
 * verify: where the vault has signers, `note` (NULL: none) must be a signed
 * note of one of them over this policy, for this vault; `signer` is its name,
 * "" where there are no signers. CV_INTEGRITY.
 * not_with: entered; CV_INVALID where `key`, which the log is to get, is one of
 * them: with it the broker itself could sign, and none would count any more. */
CV_MUST_USE enum cv_status cv_broker_policy_store_signers(struct cv_vault *v,
                                                          const cJSON *list,
                                                          struct cv_err *err);
CV_MUST_USE enum cv_status
cv_broker_policy_verify(struct cv_broker *b, const struct cv_policy *policy,
                        const char *note, char signer[CV_NOTE_NAME + 1],
                        struct cv_err *err);
CV_MUST_USE enum cv_status cv_broker_policy_sign_not_with(
    struct cv_broker *b, const struct cv_note_key *key, struct cv_err *err);

/* Adds to `details` which rules are new, gone and changed against the text of
 * the policy in force: the first of each, and `rules_omitted`. */
CV_MUST_USE enum cv_status cv_broker_policy_rules(struct cv_broker *b,
                                                  const char *text,
                                                  cJSON *details,
                                                  struct cv_err *err);

#endif
