/* Which users a policy is about: those that it names, those in the groups that
 * it names, with the groups that each is in. A host may know a hundred thousand
 * users behind a slow directory: counts and time are bounded, and an answer
 * that is not whole says so. */
#include "vault/broker/names_internal.h"

#include "vault/base/clock.h"
#include "vault/base/limits.h"
#include "vault/wire/client.h"

#include <grp.h>
#include <pwd.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define SERVE_MS 4000
#define CALL_MS 6000
/* Values in one answer: below what a message may hold. */
#define VALUES 150000
/* Users of the host that are looked through for their primary group. */
#define LOOKED_THROUGH 20000

struct work {
    cJSON *users; /* the answer */
    size_t n;
    size_t n_values;
    bool complete;
    int64_t until_ms;
    char *room; /* two of CV_NAMES_ROOM */
    uid_t seen[CV_LIMIT_MEMBERS];
    gid_t groups[CV_LIMIT_MEMBER_GROUPS]; /* asked about */
    size_t n_groups;
};

/* False once time or room is used up; the answer is not whole then. */
static bool goes_on(struct work *w)
{
    if (w->n < CV_LIMIT_MEMBERS && w->n_values < VALUES &&
        cv_clock_boot_ms() < w->until_ms) {
        return true;
    }
    w->complete = false;
    return false;
}

static bool is_seen(const struct work *w, uid_t uid)
{
    for (size_t i = 0; i < w->n; i++) {
        if (w->seen[i] == uid) {
            return true;
        }
    }
    return false;
}

/* All groups of a user, in numbers. */
static bool add_gids(struct work *w, cJSON *user, const struct passwd *pw)
{
    gid_t gids[CV_LIMIT_MEMBER_GROUPS];
    int n = CV_LIMIT_MEMBER_GROUPS;
    cJSON *list = cJSON_AddArrayToObject(user, "gids");

    if (getgrouplist(pw->pw_name, pw->pw_gid, gids, &n) == -1) {
        n = CV_LIMIT_MEMBER_GROUPS;
        w->complete = false;
    }
    for (int i = 0; list != NULL && i < n; i++) {
        cJSON *gid = cJSON_CreateNumber(gids[i]);

        if (gid == NULL || !cJSON_AddItemToArray(list, gid)) {
            cJSON_Delete(gid);
            return false;
        }
        w->n_values++;
    }
    w->n_values += 5;
    return list != NULL;
}

static void add_user(struct work *w, const struct passwd *pw)
{
    cJSON *user;

    if (is_seen(w, pw->pw_uid) || !goes_on(w)) {
        return;
    }
    user = cJSON_CreateObject();
    if (!cv_json_add_str(user, "name", pw->pw_name) ||
        !cv_json_add_int(user, "uid", pw->pw_uid) ||
        !cv_json_add_int(user, "gid", pw->pw_gid) || !add_gids(w, user, pw) ||
        !cJSON_AddItemToArray(w->users, user)) {
        cJSON_Delete(user);
        w->complete = false;
        return;
    }
    w->seen[w->n++] = pw->pw_uid;
}

static void add_name(struct work *w, const char *name)
{
    struct passwd pw, *found = NULL;

    if (getpwnam_r(name, &pw, w->room, CV_NAMES_ROOM, &found) == 0 &&
        found != NULL) {
        add_user(w, &pw);
    }
}

static void add_uid(struct work *w, double number)
{
    struct passwd pw, *found = NULL;

    if (number >= 0 && number < (double)UINT32_MAX &&
        getpwuid_r((uid_t)number, &pw, w->room, CV_NAMES_ROOM, &found) == 0 &&
        found != NULL) {
        add_user(w, &pw);
    }
}

/* Those that the group lists itself. */
static void add_group(struct work *w, const char *name)
{
    char *room = w->room + CV_NAMES_ROOM;
    struct group gr, *found = NULL;
    int error = getgrnam_r(name, &gr, room, CV_NAMES_ROOM, &found);

    if (error != 0 || found == NULL) {
        /* Too many members for the room, or a directory that does not answer.
         */
        w->complete = w->complete && error == 0;
        return;
    }
    if (w->n_groups < CV_LIMIT_MEMBER_GROUPS) {
        w->groups[w->n_groups++] = gr.gr_gid;
    } else {
        w->complete = false;
    }
    for (size_t i = 0; gr.gr_mem[i] != NULL && goes_on(w); i++) {
        add_name(w, gr.gr_mem[i]);
    }
}

static bool is_asked(const struct work *w, gid_t gid)
{
    for (size_t i = 0; i < w->n_groups; i++) {
        if (w->groups[i] == gid) {
            return true;
        }
    }
    return false;
}

/* Those whose first group it is: groups do not list them. */
static void add_first_groups(struct work *w)
{
    struct passwd pw, *found = NULL;
    size_t n = 0;

    if (w->n_groups == 0) {
        return;
    }
    setpwent();
    while (goes_on(w) && getpwent_r(&pw, w->room, CV_NAMES_ROOM, &found) == 0 &&
           found != NULL) {
        if (++n > LOOKED_THROUGH) {
            w->complete = false;
            break;
        }
        if (is_asked(w, pw.pw_gid)) {
            add_user(w, &pw);
        }
    }
    endpwent();
}

static void look_up(struct work *w, const cJSON *users, const cJSON *uids,
                    const cJSON *groups)
{
    const cJSON *item;

    cJSON_ArrayForEach(item, users)
    {
        if (cJSON_IsString(item) && goes_on(w)) {
            add_name(w, item->valuestring);
        }
    }
    cJSON_ArrayForEach(item, uids)
    {
        if (cJSON_IsNumber(item) && goes_on(w)) {
            add_uid(w, item->valuedouble);
        }
    }
    cJSON_ArrayForEach(item, groups)
    {
        if (cJSON_IsString(item) && goes_on(w)) {
            add_group(w, item->valuestring);
        }
    }
    add_first_groups(w);
}

enum cv_status cv_names_members_serve(void *context, const cJSON *parameters,
                                      struct cv_reply *reply,
                                      struct cv_err *err)
{
    const cJSON *users = NULL, *uids = NULL, *groups = NULL;
    const struct cv_json_field fields[] = {
        {"users", CV_JSON_ARRAY, false, &users, 0},
        {"uids", CV_JSON_ARRAY, false, &uids, 0},
        {"groups", CV_JSON_ARRAY, false, &groups, 0},
    };
    struct work *w = calloc(1, sizeof(*w));
    cJSON *out = cv_reply_parameters(reply);
    enum cv_status s =
        cv_json_read(parameters, "Members", fields, 3, true, err);

    (void)context;
    if (s == CV_OK && w != NULL) {
        w->room = malloc(2 * CV_NAMES_ROOM);
        w->users = cJSON_AddArrayToObject(out, "users");
    }
    if (s == CV_OK && (w == NULL || w->room == NULL || w->users == NULL)) {
        s = cv_fail(err, CV_INTERNAL, "memory is gone");
    }
    if (s == CV_OK) {
        w->complete = true;
        w->until_ms = cv_clock_boot_ms() + SERVE_MS;
        look_up(w, users, uids, groups);
        (void)cv_json_add_bool(out, "complete", w->complete);
    }
    if (w != NULL) {
        free(w->room);
    }
    free(w);
    return s;
}

enum cv_status cv_names_members(struct cv_channel *ch, cJSON *wanted,
                                struct cv_message *reply, struct cv_err *err)
{
    memset(reply, 0, sizeof(*reply));
    return cv_client_call(ch, CV_NAMES_INTERFACE ".Members", wanted, 0, CALL_MS,
                          reply, err);
}
