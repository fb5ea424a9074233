/* What the tests of offers share: a request in short. */
#ifndef CERTVAULT_TESTS_POLICY_OFFER_H
#define CERTVAULT_TESTS_POLICY_OFFER_H

#include "tests/unit/policy_test.h"

#define PERMIT(name, more)                                            \
    "- {name: " name ", effect: permit, subjects: {users: [alice]}, " \
    "actions: [use, export, list]" more "}\n"
#define LIMIT(name, more) PERMIT(name, ", limit: {" more "}")
#define ASK(name, more) PERMIT(name, ", require: {approvals: {" more "}}")
#define LEADS "from: {groups: [leads]}"
#define GLASS(name, more) PERMIT(name, ", break_glass: true" more)
#define LONG ", grant: {max_duration: 12h}"

#define MOST 4

/* What was used before: by one rule each. */
struct was {
    const char *rule;
    uint64_t used;
    int64_t free_in_s;
    uint64_t live;
    bool unknown;
};

struct consent {
    uid_t uid; /* 0: no more */
    gid_t gid;
    gid_t second;
    bool is_signed;
};

struct ask {
    const char *rules;
    struct was was[MOST];
    struct consent consents[MOST];
    bool loud;    /* --break-glass */
    bool mute;    /* no reason */
    bool blind;   /* nothing is known of what was used */
    bool outside; /* with an agent */
    enum cv_action action;
    const char *held;
    uint64_t held_approvals;
    /* expected */
    enum cv_decide_cause cause;
    const char *offer;
    const char *says;
    const char *hint;
    int64_t retry_s; /* 0: none */
    uint64_t had;
    bool glass_there;
};

static inline bool was_used(void *context, const char *rule, int64_t per_s,
                            uint64_t count, uint64_t *used, int64_t *free_in_s)
{
    const struct was *w = context;
    *used = 0;
    assert_true(per_s > 0);
    assert_true(count > 0);
    for (size_t i = 0; i < MOST; i++) {
        if (w[i].rule != NULL && strcmp(w[i].rule, rule) == 0) {
            *used = w[i].used;
            *free_in_s = w[i].free_in_s;
            return !w[i].unknown;
        }
    }
    return true;
}

static inline bool was_live(void *context, const char *rule, uint64_t *live)
{
    const struct was *w = context;
    *live = 0;
    for (size_t i = 0; i < MOST; i++) {
        if (w[i].rule != NULL && strcmp(w[i].rule, rule) == 0) {
            *live = w[i].live;
            return !w[i].unknown;
        }
    }
    return true;
}

struct asked {
    struct cv_decide_request r;
    struct cv_decide_entry entry;
    struct cv_decide_counts counts;
    struct cv_decide_approval approvals[MOST];
};

static inline void make(const struct ask *c, struct asked *a)
{
    *a = (struct asked){.entry = {.name = "a", .provenance = "born"}};
    a->counts = (struct cv_decide_counts){(void *)(uintptr_t)c->was, was_used,
                                          was_live};
    a->r = (struct cv_decide_request){
        .subject = {.uid = 1001, .gid = 100},
        .action = c->action != 0 ? c->action : CV_ACTION_USE,
        .entry = &a->entry,
        .reason = c->mute ? " " : "because",
        .mode = c->outside ? CV_DECIDE_MODE_AGENT : CV_DECIDE_MODE_SERVICE,
        .now_s = MONDAY_10,
        .break_glass = c->loud,
        .approvals = a->approvals,
        .counts = c->blind ? NULL : &a->counts,
        .held_rule = c->held,
        .held_approvals = c->held_approvals};
    for (size_t i = 0; i < MOST && c->consents[i].uid != 0; i++) {
        const struct consent *who = &c->consents[i];
        a->approvals[a->r.n_approvals++] =
            (struct cv_decide_approval){.uid = who->uid,
                                        .gid = who->gid,
                                        .gids = &who->second,
                                        .n_gids = who->second != 0 ? 1 : 0,
                                        .is_signed = who->is_signed};
    }
}

static inline struct cv_policy *policy_with(const char *rules)
{
    char text[4096];
    (void)snprintf(text, sizeof(text), HEAD "%s", rules);
    return policy_of(text);
}

#endif
