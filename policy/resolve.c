#include "policy/index_internal.h"
#include "policy/policy_internal.h"

#include "vault/base/encode.h"
#include "vault/base/file.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* What names are: a number each, or `absent`. */
struct numbers_of {
    bool *known;  /* the object has it */
    bool *absent; /* as null */
    uint32_t *number;
};

static enum cv_status numbers_alloc(struct numbers_of *o, size_t n,
                                    struct cv_err *err)
{
    o->known = calloc(n + 1, sizeof(*o->known));
    o->absent = calloc(n + 1, sizeof(*o->absent));
    o->number = calloc(n + 1, sizeof(*o->number));
    if (o->known != NULL && o->absent != NULL && o->number != NULL)
        return CV_OK;
    (void)cv_fail(err, CV_INTERNAL, "no memory for the policy");
    return CV_INTERNAL;
}

static void numbers_free(struct numbers_of *o)
{
    free(o->known);
    free(o->absent);
    free(o->number);
}

/* "users" or "groups" of a resolution. */
static enum cv_status read_numbers(const struct cv_texts *texts,
                                   const cJSON *object, const char *what,
                                   struct numbers_of *out, struct cv_err *err)
{
    const cJSON *item;
    size_t n = 0;
    cJSON_ArrayForEach(item, object)
    {
        size_t at = cv_pool_find(texts, item->string);
        if (at == CV_TEXTS_NONE || out->known[at])
            return cv_fail(err, CV_INVALID,
                           "the resolution has a name in \"%s\" that the "
                           "policy does not mention",
                           what);
        double d = cJSON_IsNumber(item) ? item->valuedouble : -1;
        bool number =
            d >= 0 && d <= CV_POLICY_UID_LAST && (double)(uint32_t)d == d;
        if (!number && !cJSON_IsNull(item))
            return cv_fail(err, CV_INVALID,
                           "the resolution has a number in \"%s\" that is none",
                           what);
        out->known[at] = true;
        out->absent[at] = !number;
        out->number[at] = number ? (uint32_t)d : 0;
        n++;
    }
    if (n != texts->n)
        return cv_fail(err, CV_INVALID, "the resolution lacks names in \"%s\"",
                       what);
    return CV_OK;
}

static int compare_numbers(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a;
    uint32_t y = *(const uint32_t *)b;
    return (x > y) - (x < y);
}

/* Who is being resolved, for words. */
struct place {
    const struct cv_rule *rule;
    bool strict;      /* a name that is not there is an error */
    const char *says; /* "forbids" */
};

/* A name that is not there: an error in a forbid, which would forbid less than
 * it says, and in a `from`, whose approvals could not come; a warning in a
 * permit. There, 65534 is nobody too: it is also what the kernel shows for
 * what it cannot map. */
static enum cv_status missing(const struct place *at, const char *what,
                              const char *name, struct cv_policy_notes *notes,
                              struct cv_err *err)
{
    const struct cv_rule *rule = at->rule;
    char shown[80];
    cv_err_quote(shown, sizeof(shown), name, strlen(name));
    if (!at->strict) {
        cv_policy_warn(notes, rule->line,
                       "rule \"%s\": %s \"%s\" is nobody on this host",
                       rule->name, what, shown);
        return CV_OK;
    }
    if (notes != NULL) {
        notes->error_line = rule->line;
        notes->error_column = 1;
    }
    enum cv_status st =
        cv_fail(err, CV_INVALID,
                "line %u: rule \"%s\" %s a %s that is not there: \"%s\"",
                rule->line, rule->name, at->says, what, shown);
    cv_err_hint(err, "make it, correct the name, or take it out");
    return st;
}

/* What names are, and where complaints go. */
struct resolving {
    struct cv_policy *policy;
    struct numbers_of users;
    struct numbers_of groups;
    struct cv_policy_notes *notes;
    struct cv_err *err;
};

/* *out: the numbers that `names` stand for and those of `more`, sorted. */
static enum cv_status join(struct resolving *r, const struct place *at,
                           bool users, const struct cv_numbers *names,
                           const struct cv_numbers *more,
                           struct cv_numbers *out)
{
    const struct numbers_of *are = users ? &r->users : &r->groups;
    const struct cv_texts *texts =
        users ? &r->policy->users : &r->policy->groups;
    size_t n = names->n + (more != NULL ? more->n : 0);
    out->n = 0; /* an earlier try may have failed behind it */
    out->list = cv_pool_alloc(&r->policy->pool, n * sizeof(*out->list));
    if (out->list == NULL)
        return cv_fail(r->err, CV_INTERNAL, "no memory for the policy");
    for (size_t i = 0; i < names->n; i++) {
        uint32_t name = names->list[i];
        if (!are->absent[name] &&
            (at->rule->forbid || are->number[name] != CV_POLICY_UID_OVERFLOW)) {
            out->list[out->n++] = are->number[name];
            continue;
        }
        enum cv_status st = missing(at, users ? "user" : "group",
                                    texts->list[name], r->notes, r->err);
        if (st != CV_OK)
            return st;
    }
    for (size_t i = 0; more != NULL && i < more->n; i++)
        out->list[out->n++] = more->list[i];
    qsort(out->list, out->n, sizeof(*out->list), compare_numbers);
    return CV_OK;
}

static enum cv_status join_both(struct resolving *r, const struct place *at,
                                struct cv_rule_subjects *s)
{
    enum cv_status st = join(r, at, true, &s->users, &s->uids, &s->all_uids);
    if (st == CV_OK)
        st = join(r, at, false, &s->groups, NULL, &s->all_gids);
    return st;
}

static enum cv_status join_rules(struct resolving *r)
{
    enum cv_status st = CV_OK;
    for (size_t i = 0; i < r->policy->n_rules && st == CV_OK; i++) {
        struct cv_rule *rule = &r->policy->rules[i];
        struct place at = {rule, rule->forbid, "forbids"};
        st = join_both(r, &at, &rule->subjects);
        at.strict = true;
        at.says = "wants approvals from";
        if (st == CV_OK)
            st = join_both(r, &at, &rule->from);
    }
    return st;
}

static void join_signers(struct resolving *r)
{
    for (size_t i = 0; i < r->policy->n_signers; i++) {
        struct cv_signer *s = &r->policy->signers[i];
        char shown[80];
        s->known = !r->users.absent[s->user] &&
                   r->users.number[s->user] != CV_POLICY_UID_OVERFLOW;
        s->uid = r->users.number[s->user];
        if (s->known)
            continue;
        const char *name = r->policy->users.list[s->user];
        cv_err_quote(shown, sizeof(shown), name, strlen(name));
        cv_policy_warn(r->notes, s->line,
                       "keys: user \"%s\" is nobody on this host", shown);
    }
}

static enum cv_status resolve_names(struct cv_policy *policy,
                                    const cJSON *users, const cJSON *groups,
                                    struct cv_policy_notes *notes,
                                    struct cv_err *err)
{
    struct resolving r = {.policy = policy, .notes = notes, .err = err};
    enum cv_status st = numbers_alloc(&r.users, policy->users.n, err);
    if (st == CV_OK)
        st = numbers_alloc(&r.groups, policy->groups.n, err);
    if (st == CV_OK)
        st = read_numbers(&policy->users, users, "users", &r.users, err);
    if (st == CV_OK)
        st = read_numbers(&policy->groups, groups, "groups", &r.groups, err);
    if (st == CV_OK)
        st = join_rules(&r);
    if (st == CV_OK)
        join_signers(&r);
    numbers_free(&r.users);
    numbers_free(&r.groups);
    return st;
}

void cv_policy_drop_zones(const struct cv_policy *policy,
                          struct cv_zone **zones)
{
    for (size_t i = 0; zones != NULL && i < policy->zones.n; i++)
        cv_zone_free(zones[i]);
    free(zones);
}

/* Says of what is wrong with zone number `zone` which it is and where it is
 * written first. */
static void say_zone(const struct cv_policy *policy, size_t zone,
                     struct cv_policy_notes *notes, struct cv_err *err)
{
    for (size_t i = 0; i < policy->n_rules; i++) {
        const struct cv_rule *rule = &policy->rules[i];
        const struct cv_rule_when *w = &rule->when;
        if (w->zone != zone)
            continue;
        if (notes != NULL) {
            notes->error_line = w->zone_line;
            notes->error_column = w->zone_column;
        }
        cv_err_prefix(err, "line %u, column %u: rule \"%s\": time zone \"%s\"",
                      w->zone_line, w->zone_column, rule->name, w->zone_text);
        return;
    }
}

static enum cv_status no_zone(const struct cv_policy *policy, size_t zone,
                              struct cv_policy_notes *notes, struct cv_err *err)
{
    (void)cv_fail(err, CV_INVALID, "this host has none of that name");
    say_zone(policy, zone, notes, err);
    cv_err_hint(err, "correct the name, or install the package tzdata");
    return CV_INVALID;
}

static enum cv_status load_zone(const cJSON *item, struct cv_zone **out,
                                struct cv_err *err)
{
    struct cv_buf file;
    enum cv_status st = CV_OK;
    cv_buf_init(&file, NULL, CV_ZONE_FILE);
    if (!cJSON_IsString(item))
        st = cv_fail(err, CV_INVALID, "it is not base64");
    if (st == CV_OK)
        st = cv_decode_base64(item->valuestring, strlen(item->valuestring),
                              false, "it", &file, err);
    if (st == CV_OK)
        st = cv_zone_parse(cv_buf_bytes(&file), out, err);
    cv_buf_wipe(&file);
    return st;
}

enum cv_status cv_policy_load_zones(const struct cv_policy *policy,
                                    const cJSON *zones, struct cv_zone ***out,
                                    struct cv_policy_notes *notes,
                                    struct cv_err *err)
{
    const cJSON *item;
    enum cv_status st = CV_OK;
    if (!cJSON_IsObject(zones))
        return cv_fail(err, CV_INVALID, "the resolution has no \"zones\"");
    struct cv_zone **list =
        calloc(policy->zones.n + 1, sizeof(struct cv_zone *));
    if (list == NULL)
        return cv_fail(err, CV_INTERNAL, "no memory for time zones");
    cJSON_ArrayForEach(item, zones)
    {
        size_t at = cv_pool_find(&policy->zones, item->string);
        if (at == CV_TEXTS_NONE || list[at] != NULL)
            st = cv_fail(err, CV_INVALID,
                         "the resolution has a time zone that the policy does "
                         "not mention");
        else if ((st = load_zone(item, &list[at], err)) != CV_OK)
            say_zone(policy, at, notes, err);
        if (st != CV_OK)
            break;
    }
    for (size_t i = 0; i < policy->zones.n && st == CV_OK; i++) {
        if (list[i] == NULL)
            st = no_zone(policy, i, notes, err);
    }
    if (st != CV_OK) {
        cv_policy_drop_zones(policy, list);
        return st;
    }
    *out = list;
    return CV_OK;
}

enum cv_status cv_policy_set_zones(struct cv_policy *policy, const cJSON *zones,
                                   struct cv_err *err)
{
    struct cv_zone **list;
    enum cv_status st = cv_policy_load_zones(policy, zones, &list, NULL, err);
    if (st != CV_OK)
        return st;
    cv_policy_drop_zones(policy, policy->zone);
    policy->zone = list;
    policy->has_zones = true;
    return CV_OK;
}

enum cv_status cv_policy_resolve(struct cv_policy *policy,
                                 const cJSON *resolution,
                                 struct cv_policy_notes *notes,
                                 struct cv_err *err)
{
    const cJSON *users;
    const cJSON *groups;
    const cJSON *zones;
    const struct cv_json_field fields[] = {
        {"users", CV_JSON_OBJECT, true, &users, 0},
        {"groups", CV_JSON_OBJECT, true, &groups, 0},
        {"zones", CV_JSON_OBJECT, true, &zones, 0},
    };
    struct cv_zone **list = NULL;
    if (policy->resolved)
        return cv_fail(err, CV_INTERNAL, "the policy is resolved already");
    enum cv_status st =
        cv_json_read(resolution, "the resolution", fields, 3, true, err);
    if (st == CV_OK)
        st = cv_policy_load_zones(policy, zones, &list, notes, err);
    if (st == CV_OK)
        st = resolve_names(policy, users, groups, notes, err);
    if (st == CV_OK) {
        policy->index = cv_index_new(policy);
        if (policy->index == NULL)
            st = cv_fail(err, CV_INTERNAL, "no memory for the policy");
    }
    if (st != CV_OK) {
        cv_policy_drop_zones(policy, list);
        return st;
    }
    cv_policy_drop_zones(policy, policy->zone);
    policy->zone = list;
    policy->has_zones = true;
    policy->resolved = true;
    return CV_OK;
}

/* CV_NOT_FOUND: there is no such file to read. */
static enum cv_status read_zone(const char *folder, const char *name,
                                struct cv_buf *out, struct cv_err *err)
{
    char path[512];
    struct cv_zone *zone = NULL;
    int fd = -1;
    int len = snprintf(path, sizeof(path), "%s/%s", folder, name);
    if ((size_t)len >= sizeof(path)) /* below 0 is far beyond */
        return cv_fail(err, CV_INVALID, "the path is too long");
    enum cv_status st = cv_file_open_input(path, &fd, err);
    if (st != CV_OK && st != CV_INTERNAL)
        st = CV_NOT_FOUND; /* a folder, say: as where the broker looks */
    if (st == CV_OK)
        st = cv_file_read(fd, name, out, err);
    cv_file_close(&fd);
    if (st == CV_OK)
        st = cv_zone_parse(cv_buf_bytes(out), &zone, err);
    cv_zone_free(zone);
    return st;
}

enum cv_status cv_policy_read_zones(const struct cv_policy *policy,
                                    const char *folder, cJSON **out,
                                    struct cv_policy_notes *notes,
                                    struct cv_err *err)
{
    struct cv_buf file;
    enum cv_status st = CV_OK;
    cJSON *o = cJSON_CreateObject();
    *out = NULL;
    if (o == NULL)
        return cv_fail(err, CV_INTERNAL, "no memory for time zones");
    cv_buf_init(&file, NULL, CV_ZONE_FILE);
    for (size_t i = 0; i < policy->zones.n && st == CV_OK; i++) {
        const char *name = policy->zones.list[i];
        st = read_zone(folder, name, &file, err);
        if (st == CV_NOT_FOUND)
            st = no_zone(policy, i, notes, err);
        else if (st != CV_OK)
            say_zone(policy, i, notes, err);
        else if (!cv_json_add_base64(o, name, cv_buf_bytes(&file)))
            st = cv_fail(err, CV_INTERNAL, "no memory for time zones");
        cv_buf_wipe(&file);
    }
    if (st != CV_OK) {
        cJSON_Delete(o);
        return st;
    }
    *out = o;
    return CV_OK;
}

cJSON *cv_policy_missing_zones(const struct cv_policy *policy,
                               const char *folder)
{
    struct cv_buf file;
    cJSON *list = cJSON_CreateArray();
    bool good = list != NULL;
    cv_buf_init(&file, NULL, CV_ZONE_FILE);
    for (size_t i = 0; i < policy->zones.n && good; i++) {
        const char *name = policy->zones.list[i];
        enum cv_status st = read_zone(folder, name, &file, NULL);
        good = st == CV_OK ||
               (st != CV_INTERNAL &&
                cJSON_AddItemToArray(list, cJSON_CreateString(name)));
        cv_buf_wipe(&file);
    }
    if (!good) {
        cJSON_Delete(list);
        return NULL;
    }
    return list;
}
