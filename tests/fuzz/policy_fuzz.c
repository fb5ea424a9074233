/* A policy from bytes: parsed, resolved, asked. Each way of deciding must agree
 * with the others, and what is asked wrongly must be denied. */
#include "policy/explain.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* TZif of UTC+1, its footer "XXX-1". */
#define ZONE                                                       \
    "VFppZjIAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAQAAAAEA" \
    "AAAAAAAAVFppZjIAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA" \
    "AQAAAAQAAA4QAABYWFgAClhYWC0xCg=="

static bool add_numbers(cJSON *o, const char *key, const cJSON *names)
{
    cJSON *numbers = cJSON_CreateObject();
    const cJSON *item;
    int64_t next = 1000;
    cJSON_ArrayForEach(item, names)
    {
        if (!cv_json_add_int(numbers, item->valuestring, next++ % 1005))
            return false;
    }
    return cv_json_add_item(o, key, numbers);
}

static bool add_zones(cJSON *o, const cJSON *names)
{
    cJSON *zones = cJSON_CreateObject();
    const cJSON *item;
    cJSON_ArrayForEach(item, names)
    {
        if (!cv_json_add_str(zones, item->valuestring, ZONE))
            return false;
    }
    return cv_json_add_item(o, "zones", zones);
}

static enum cv_status resolve(struct cv_policy *policy)
{
    cJSON *o = cJSON_CreateObject();
    cJSON *names = cv_policy_names(policy);
    cJSON *zones = cv_policy_zones(policy);
    if (!add_numbers(o, "users",
                     cJSON_GetObjectItemCaseSensitive(names, "users")) ||
        !add_numbers(o, "groups",
                     cJSON_GetObjectItemCaseSensitive(names, "groups")) ||
        !add_zones(o, zones))
        abort();
    enum cv_status st = cv_policy_resolve(policy, o, NULL, NULL);
    cJSON_Delete(o);
    cJSON_Delete(names);
    cJSON_Delete(zones);
    return st;
}

static void check(const struct cv_policy *policy,
                  const struct cv_decide_request *r)
{
    struct cv_decide_result result;
    struct cv_err err;
    cJSON *o;
    cv_err_init(&err);
    enum cv_status st = cv_decide_run(policy, r, &result, &err);
    bool waits = result.cause == CV_DECIDE_APPROVALS;
    bool busy = waits || result.cause == CV_DECIDE_LIMITED;
    bool offered = result.offer != NULL;
    if (st != (result.permit ? CV_OK
               : busy        ? CV_BUSY
                             : CV_DENIED) ||
        (st != CV_OK && err.text[0] == '\0') ||
        offered != (result.permit || waits) ||
        (waits && result.approvals_had >= result.approvals_needed) ||
        (result.permit && result.approvals_had < result.approvals_needed))
        abort();
    if (cv_explain_make(policy, r, &o, NULL) != CV_OK)
        abort();
    /* A condition: what is not known of limits was taken as nothing. */
    bool conditional = cJSON_GetObjectItemCaseSensitive(o, "condition") != NULL;
    if ((cJSON_GetObjectItemCaseSensitive(o, "offer") != NULL) !=
            (offered || conditional) ||
        (conditional && (result.permit || result.cause < CV_DECIDE_LIMITED)))
        abort();
    cJSON_Delete(o);
    struct cv_decide_request broken = *r;
    broken.subject.uid = (uid_t)-1;
    broken.subject.user = NULL;
    if (cv_decide_run(policy, &broken, &result, NULL) != CV_DENIED)
        abort();
}

static bool used(void *context, const char *rule, int64_t per_s, uint64_t count,
                 uint64_t *out, int64_t *free_in_s)
{
    if (per_s < 1 || count < 1)
        abort();
    *out = (uint64_t)(rule[0] % 7);
    *free_in_s = per_s / 2;
    return *(const unsigned *)context % 7 != 0;
}

static bool sessions(void *context, const char *rule, uint64_t *live)
{
    *live = (uint64_t)(rule[0] % 3);
    return *(const unsigned *)context % 7 != 1;
}

/* Each approval that would count for the rule it waits for must be there. */
static void add_approvals(const struct cv_policy *policy,
                          struct cv_decide_request *r,
                          struct cv_decide_approval list[3])
{
    static const char *const leads[] = {"leads", "sre"};
    struct cv_decide_result result;
    uint64_t may = 0;
    for (size_t i = 0; i < 3; i++)
        list[i] = (struct cv_decide_approval){
            .uid = (uid_t)(1001 + i),
            .gid = (gid_t)(1000 + i),
            .user = r->subject.by_name ? (i == 0 ? "bob" : leads[i - 1]) : NULL,
            .groups = leads,
            .n_groups = i,
            .is_signed = i != 1};
    r->approvals = list;
    r->n_approvals = 3;
    (void)!cv_decide_run(policy, r, &result, NULL);
    for (size_t i = 0; i < 3; i++)
        may += cv_decide_may_approve(policy, result.offer, &list[i]) ? 1 : 0;
    if (result.offer != NULL && result.approvals_needed > 0 &&
        may != result.approvals_had)
        abort();
}

static void ask(const struct cv_policy *policy)
{
    struct cv_decide_approval approvals[3];
    static const char *const keys[] = {"env", "team"};
    static const char *const values[] = {"prod", "pay"};
    static const char *const contexts[] = {"internal"};
    static const char *const groups[] = {"sre"};
    static const gid_t gids[] = {1001, 1002};
    struct cv_decide_entry e = {"prod-a", keys, values, 2, "born", false};
    for (unsigned a = 1; a < CV_ACTION_COUNT; a++) {
        struct cv_decide_request r = {.action = (enum cv_action)a};
        r.entry = a == CV_ACTION_AUDIT_READ ? NULL : &e;
        e.leaky = a == CV_ACTION_IMPORT;
        r.reason = "reason";
        r.ticket = "OPS-123";
        r.contexts = contexts;
        r.n_contexts = a % 2;
        r.mode = CV_DECIDE_MODE_SERVICE;
        r.tty = a % 3 == 0;
        r.now_s = (int64_t)a * 40000000;
        r.duration_s = a % 4 == 0 ? 3600 : 0;
        r.subject = (struct cv_decide_subject){
            a % 5 == 0, 1000, 1001, gids, 2, "alice", groups, 1};
        struct cv_decide_counts counts = {&a, used, sessions};
        r.counts = a % 11 == 0 ? NULL : &counts;
        r.break_glass = a % 3 == 1;
        check(policy, &r);
        add_approvals(policy, &r, approvals);
        check(policy, &r);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static bool started;
    struct cv_policy *policy;
    struct cv_policy_notes notes = {0};
    struct cv_err err;
    if (!started) {
        if (cv_arena_start(NULL) != CV_OK)
            abort();
        cv_json_start();
        started = true;
    }
    cv_err_init(&err);
    struct cv_bytes text = {data, size};
    enum cv_status st = cv_policy_parse(text, &policy, &notes, &err);
    if (st != CV_OK) {
        struct cv_buf shown;
        if (st != CV_INVALID || policy != NULL || err.text[0] == '\0')
            abort();
        cv_buf_init(&shown, NULL, 1 << 20);
        cv_policy_render(text, notes.error_line, notes.error_column, &shown);
        cv_buf_wipe(&shown);
        return 0;
    }
    /* All names and zones are given, so nothing is left to fail. */
    if (resolve(policy) != CV_OK)
        abort();
    ask(policy);
    cv_policy_free(policy);
    return 0;
}
