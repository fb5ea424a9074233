/* What an apply changes, for the record, and for whoever applies it. */
#include "policy/compare.h"
#include "vault/broker/policies_internal.h"

#include <stdio.h>
#include <string.h>

#define NAMED 32 /* rules of each kind in one leaf */

/* Moves at most NAMED names; the number of the others. */
static int64_t move_names(cJSON *from, const char *key, cJSON *details,
                          const char *as)
{
    cJSON *names = cJSON_GetObjectItemCaseSensitive(from, key), *name;
    cJSON *out;
    int n = 0;

    if (names == NULL || names->child == NULL) {
        return 0;
    }
    out = cJSON_AddArrayToObject(details, as);
    while (out != NULL && n < NAMED && (name = names->child) != NULL) {
        (void)cJSON_DetachItemViaPointer(names, name);
        (void)cJSON_AddItemToArray(out, name);
        n++;
    }
    return cJSON_GetArraySize(names);
}

enum cv_status cv_broker_policy_rules(struct cv_broker *b, const char *text,
                                      cJSON *details, struct cv_err *err)
{
    struct cv_bytes new = {(const uint8_t *)text, strlen(text)};
    struct cv_store_policy *row = NULL;
    cJSON *rules = NULL;
    int64_t omitted = 0;
    enum cv_status s = cv_store_policy_current(b->vault->store, &row, err);

    if (s == CV_OK) {
        struct cv_bytes old = {(const uint8_t *)row->text, strlen(row->text)};

        s = cv_compare_texts(old, new, &rules, err);
    }
    cv_store_policy_free(row);
    if (s != CV_OK) {
        return s;
    }
    omitted += move_names(rules, "added", details, "rules_added");
    omitted += move_names(rules, "removed", details, "rules_removed");
    omitted += move_names(rules, "changed", details, "rules_changed");
    if (omitted > 0) {
        (void)cv_json_add_int(details, "rules_omitted", omitted);
    }
    cJSON_Delete(rules);
    return CV_OK;
}

static bool warn(cJSON *warnings, const char *text)
{
    cJSON *item = cJSON_CreateString(text);

    if (item == NULL || !cJSON_AddItemToArray(warnings, item)) {
        cJSON_Delete(item);
        return false;
    }
    return true;
}

/* Both policies, asked about the same people. */
struct pair {
    struct cv_compare *now;
    struct cv_compare *next;
};

static void look(const struct pair *p, const struct cv_decide_subject *who)
{
    cv_compare_look(p->now, who, NULL);
    cv_compare_look(p->next, who, NULL);
}

static bool warn_own(const struct cv_ask *ask, const struct pair *p,
                     cJSON *warnings, bool *loses)
{
    static const enum cv_action actions[] = {CV_ACTION_POLICY_APPLY,
                                             CV_ACTION_ADMIN};
    const struct cv_peer *peer = &ask->caller->peer;
    const struct cv_decide_subject me = {
        .uid = peer->uid,
        .gid = peer->gid,
        .gids = peer->groups,
        .n_gids = peer->n_groups,
    };
    bool ok = true;

    look(p, &me);
    for (size_t i = 0; ok && i < 2; i++) {
        char text[128];

        if (cv_compare_may(p->now, actions[i]) == CV_COMPARE_NO ||
            cv_compare_may(p->next, actions[i]) != CV_COMPARE_NO) {
            continue;
        }
        *loses = *loses || i == 0;
        (void)snprintf(text, sizeof(text),
                       "with this policy you yourself may no longer %s",
                       i == 0 ? "apply policies (policy.apply)"
                              : "administer the vault (admin)");
        ok = warn(warnings, text);
    }
    return ok;
}

/* Could anybody at all apply the next one? */
static bool anybody_applies(const struct pair *p,
                            const struct cv_policy *policy, uint32_t nobody)
{
    const struct cv_decide_subject other = {.uid = nobody, .gid = nobody};
    uid_t uids[CV_LIMIT_MEMBERS];
    gid_t gids[CV_LIMIT_MEMBERS];
    size_t n = cv_compare_uids(policy, uids, CV_LIMIT_MEMBERS);
    size_t n_gids = cv_compare_gids(policy, gids, CV_LIMIT_MEMBERS);

    cv_compare_look(p->next, &other, NULL);
    if (cv_compare_may(p->next, CV_ACTION_POLICY_APPLY) != CV_COMPARE_NO ||
        n > CV_LIMIT_MEMBERS || n_gids > CV_LIMIT_MEMBERS) {
        return true;
    }
    for (size_t i = 0; i < n + n_gids; i++) {
        struct cv_decide_subject who = other;

        who.uid = i < n ? uids[i] : nobody;
        who.gid = i < n ? nobody : gids[i - n];
        cv_compare_look(p->next, &who, NULL);
        if (cv_compare_may(p->next, CV_ACTION_POLICY_APPLY) != CV_COMPARE_NO) {
            return true;
        }
    }
    return false;
}

/* What everybody may do that only some may now, where that is no small thing.
 */
static bool warn_everybody(const struct pair *p, uint32_t nobody,
                           cJSON *warnings)
{
    static const enum cv_action actions[] = {
        CV_ACTION_POLICY_APPLY,  CV_ACTION_ADMIN,    CV_ACTION_EXPORT,
        CV_ACTION_USE,           CV_ACTION_SIGN_RAW, CV_ACTION_APPROVE,
        CV_ACTION_FETCH_SERVICE,
    };
    const struct cv_decide_subject other = {.uid = nobody, .gid = nobody};
    const struct cv_decide_entry any = {.name = "any"};
    bool ok = true;

    for (size_t i = 0; ok && i < sizeof(actions) / sizeof(actions[0]); i++) {
        const struct cv_decide_entry *entry = i < 2 ? NULL : &any;
        char text[128];

        cv_compare_look(p->now, &other, entry);
        cv_compare_look(p->next, &other, entry);
        if (cv_compare_may(p->next, actions[i]) <=
            cv_compare_may(p->now, actions[i])) {
            continue;
        }
        (void)snprintf(text, sizeof(text),
                       "with this policy every user of this host may %s%s",
                       cv_action_name(actions[i]),
                       i < 2 ? "" : ", entries of any name");
        ok = warn(warnings, text);
    }
    return ok;
}

enum cv_status cv_broker_policy_warn(struct cv_ask *ask,
                                     const struct cv_policy *now,
                                     const struct cv_policy *next,
                                     cJSON *warnings, bool *loses,
                                     struct cv_err *err)
{
    enum cv_decide_mode mode = (enum cv_decide_mode)(
        CV_DECIDE_MODE_EXEC + (int)ask->broker->options->mode);
    const struct cv_policy *both[2] = {now, next};
    uint32_t nobody = cv_compare_nobody(both, 2);
    struct pair p = {NULL, NULL};
    enum cv_status s = cv_compare_new(now, mode, &p.now, err);
    bool ok = true;

    *loses = false;
    if (s == CV_OK) {
        s = cv_compare_new(next, mode, &p.next, err);
    }
    if (s == CV_OK) {
        ok = warn_own(ask, &p, warnings, loses);
        if (ok && !anybody_applies(&p, next, nobody)) {
            ok = warn(warnings, "with this policy nobody may apply policies: "
                                "it could never be changed again");
        }
        ok = ok && warn_everybody(&p, nobody, warnings);
        s = ok ? CV_OK : cv_fail(err, CV_INTERNAL, "memory is gone");
    }
    cv_compare_free(p.now);
    cv_compare_free(p.next);
    return s;
}
