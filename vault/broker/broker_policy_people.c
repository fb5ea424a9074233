/* Whom a review is about: the users and groups that policies name, as the host
 * knows them, and everybody else. */
#include "policy/compare.h"
#include "vault/broker/names.h"
#include "vault/broker/policies_internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static enum cv_status no_memory(struct cv_err *err)
{
    return cv_fail(err, CV_INTERNAL, "memory is gone");
}

void cv_broker_policy_people_free(struct cv_broker_policy_people *r)
{
    for (size_t i = 0; i < r->n; i++) {
        free(r->list[i].gids);
    }
    free(r->list);
    r->list = NULL;
    r->n = 0;
}

static struct cv_broker_policy_person *
add_person(struct cv_broker_policy_people *r, const char *kind,
           const char *name)
{
    struct cv_broker_policy_person *p;

    if (r->n == r->room) {
        size_t room = r->room == 0 ? 64 : r->room * 2;
        struct cv_broker_policy_person *more =
            realloc(r->list, room * sizeof(*more));

        if (more == NULL) {
            return NULL;
        }
        r->list = more;
        r->room = room;
    }
    p = &r->list[r->n++];
    memset(p, 0, sizeof(*p));
    p->kind = kind;
    p->uid = -1;
    (void)snprintf(p->name, sizeof(p->name), "%s", name);
    p->subject.uid = r->nobody;
    p->subject.gid = r->nobody;
    return p;
}

static bool is_wanted(const struct cv_broker_policy_people *r, const char *kind,
                      const char *name)
{
    return r->only == NULL ||
           (strcmp(kind, "user") == 0 && strcmp(r->only, name) == 0);
}

static bool set_gids(struct cv_broker_policy_person *p, const cJSON *gids)
{
    const cJSON *gid;
    int n = cJSON_GetArraySize(gids);

    n = n < CV_DECIDE_GROUPS ? n : CV_DECIDE_GROUPS;
    p->gids = calloc((size_t)n + 1, sizeof(*p->gids));
    if (p->gids == NULL) {
        return false;
    }
    cJSON_ArrayForEach(gid, gids)
    {
        if (cJSON_IsNumber(gid) && p->subject.n_gids < (size_t)n) {
            p->gids[p->subject.n_gids++] = (gid_t)gid->valuedouble;
        }
    }
    p->subject.gids = p->gids;
    return true;
}

static bool add_user(struct cv_broker_policy_people *r, const cJSON *user)
{
    const char *name = NULL;
    int64_t uid = -1, gid = -1;
    const cJSON *gids = NULL;
    const struct cv_json_field fields[] = {
        {"name", CV_JSON_STRING, true, &name, 256},
        {"uid", CV_JSON_INT, true, &uid, 0},
        {"gid", CV_JSON_INT, true, &gid, 0},
        {"gids", CV_JSON_ARRAY, true, &gids, 0},
    };
    struct cv_broker_policy_person *p;

    if (cv_json_read(user, "a user", CV_BROKER_FIELDS(fields), true, NULL) !=
            CV_OK ||
        uid < 0 || uid > UINT32_MAX || gid < 0 || gid > UINT32_MAX) {
        r->complete = false;
        return true;
    }
    if (!is_wanted(r, "user", name)) {
        return true;
    }
    p = add_person(r, "user", name);
    if (p == NULL) {
        return false;
    }
    p->uid = uid;
    p->subject.uid = (uid_t)uid;
    p->subject.gid = (gid_t)gid;
    return set_gids(p, gids);
}

static bool has_uid(const struct cv_broker_policy_people *r, uid_t uid)
{
    for (size_t i = 0; i < r->n; i++) {
        if (r->list[i].uid == uid) {
            return true;
        }
    }
    return false;
}

/* uids that rules mention and nobody has a name for. */
static bool add_uids(struct cv_broker_policy_people *r, const uid_t *uids,
                     size_t n)
{
    for (size_t i = 0; i < n; i++) {
        char name[32];
        struct cv_broker_policy_person *p;

        (void)snprintf(name, sizeof(name), "uid:%u", (unsigned)uids[i]);
        if (has_uid(r, uids[i]) || !is_wanted(r, "user", name)) {
            continue;
        }
        p = add_person(r, "user", name);
        if (p == NULL) {
            return false;
        }
        p->uid = uids[i];
        p->subject.uid = uids[i];
    }
    return true;
}

/* A group as such: whoever joins it tomorrow. */
static bool add_groups(struct cv_broker_policy_people *r,
                       const cJSON *resolution)
{
    const cJSON *group;

    cJSON_ArrayForEach(group,
                       cJSON_GetObjectItemCaseSensitive(resolution, "groups"))
    {
        struct cv_broker_policy_person *p;
        bool known = false;

        for (size_t i = 0; i < r->n && !known; i++) {
            known = strcmp(r->list[i].kind, "group") == 0 &&
                    strcmp(r->list[i].name, group->string) == 0;
        }
        if (known || !cJSON_IsNumber(group) ||
            !is_wanted(r, "group", group->string)) {
            continue;
        }
        p = add_person(r, "group", group->string);
        if (p == NULL || (p->gids = calloc(1, sizeof(*p->gids))) == NULL) {
            return false;
        }
        p->gids[0] = (gid_t)group->valuedouble;
        p->subject.gids = p->gids;
        p->subject.n_gids = 1;
    }
    return true;
}

/* The names of both policies together, as the helper takes them. */
static cJSON *wanted_names(const struct cv_broker_policy_people *r,
                           const uid_t *uids, size_t n)
{
    cJSON *out = cJSON_CreateObject();
    cJSON *list = cJSON_AddArrayToObject(out, "uids");

    for (size_t i = 0; i < n; i++) {
        (void)cJSON_AddItemToArray(list, cJSON_CreateNumber(uids[i]));
    }
    for (size_t k = 0; k < 2; k++) {
        const char *key = k == 0 ? "users" : "groups";
        cJSON *all = cJSON_AddArrayToObject(out, key);

        for (size_t i = 0; i < r->n_sides; i++) {
            cJSON *names = cv_policy_names(r->sides[i].policy), *more, *name;

            more = cJSON_GetObjectItemCaseSensitive(names, key);
            while (more != NULL && (name = more->child) != NULL) {
                (void)cJSON_DetachItemViaPointer(more, name);
                (void)cJSON_AddItemToArray(all, name);
            }
            cJSON_Delete(names);
        }
    }
    return out;
}

/* Whom the host knows of them. Where it cannot tell, the review is of uids and
 * groups alone, and says so. */
static enum cv_status ask_host(struct cv_broker_policy_people *r,
                               const uid_t *uids, size_t n, struct cv_err *err)
{
    const cJSON *users = NULL, *user;
    const struct cv_json_field fields[] = {
        {"users", CV_JSON_ARRAY, true, &users, 0},
        {"complete", CV_JSON_BOOL, true, &r->complete, 0},
    };
    struct cv_message reply = {0};
    enum cv_status s = cv_helper_open(&r->broker->names, err);

    r->complete = false;
    if (s != CV_OK) {
        return s;
    }
    s = cv_names_members(r->broker->names.channel, wanted_names(r, uids, n),
                         &reply, NULL);
    cv_helper_stop(&r->broker->names);
    if (s == CV_OK &&
        cv_json_read(reply.tree, "Members", CV_BROKER_FIELDS(fields), true,
                     NULL) == CV_OK) {
        s = CV_OK;
        cJSON_ArrayForEach(user, users)
        {
            if (!add_user(r, user)) {
                s = no_memory(err);
                break;
            }
        }
    } else {
        s = CV_OK;
        r->complete = false;
    }
    cv_message_free(&reply);
    return s;
}

enum cv_status cv_broker_policy_people_find(struct cv_broker_policy_people *r,
                                            struct cv_err *err)
{
    const struct cv_policy *policies[2] = {r->sides[0].policy, NULL};
    uid_t *uids = calloc(2 * CV_LIMIT_MEMBERS, sizeof(*uids));
    size_t n = 0;
    enum cv_status s;

    if (uids == NULL) {
        return no_memory(err);
    }
    if (r->n_sides == 2) {
        policies[1] = r->sides[1].policy;
    }
    r->nobody = cv_compare_nobody(policies, r->n_sides);
    for (size_t i = 0; i < r->n_sides; i++) {
        size_t more = cv_compare_uids(policies[i], uids + n, CV_LIMIT_MEMBERS);

        n += more < CV_LIMIT_MEMBERS ? more : CV_LIMIT_MEMBERS;
    }
    s = ask_host(r, uids, n, err);
    if (s == CV_OK && n >= CV_LIMIT_MEMBERS) {
        r->complete = false;
    }
    if (s == CV_OK && !add_uids(r, uids, n)) {
        s = no_memory(err);
    }
    for (size_t i = 0; i < r->n_sides && s == CV_OK; i++) {
        s = add_groups(r, r->sides[i].resolution) ? CV_OK : no_memory(err);
    }
    if (s == CV_OK && r->only == NULL &&
        add_person(r, "everyone", "everyone else") == NULL) {
        s = no_memory(err);
    }
    free(uids);
    return s;
}
