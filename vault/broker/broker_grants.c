/* Grants, GrantsRevoke: what lives, and its end before its time. One's own are
 * not decided; others' are `admin`. */
#include "vault/base/clock.h"
#include "vault/broker/grant_internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static enum cv_status no_memory(struct cv_err *err)
{
    return cv_fail(err, CV_INTERNAL, "memory is gone");
}

static bool is_own(const struct cv_broker *b, const struct cv_grant *g)
{
    return g->who.peer.uid == b->caller->peer.uid;
}

static bool add_actor(cJSON *item, const struct cv_grant *g)
{
    cJSON *actor = cJSON_AddObjectToObject(item, "actor");
    char uid[32];

    (void)snprintf(uid, sizeof(uid), "uid:%u", (unsigned)g->who.peer.uid);
    return cv_json_add_int(actor, "uid", (int64_t)g->who.peer.uid) &&
           cv_json_add_str(actor, "user",
                           g->who.user[0] != '\0' ? g->who.user : uid);
}

static bool add_text(cJSON *item, const char *key, const char *text)
{
    return text[0] == '\0' || cv_json_add_str(item, key, text);
}

cJSON *cv_broker_grant_item(const struct cv_grant *g)
{
    char given[CV_CLOCK_TEXT_LEN], expires[CV_CLOCK_TEXT_LEN];
    cJSON *item = cJSON_CreateObject();

    if (cv_json_add_str(item, "id", g->id) &&
        cv_json_add_str(item, "kind", cv_grant_kind_name(g->kind)) &&
        cv_json_add_str(item, "entry", g->entry) &&
        cv_json_add_str(item, "context", g->context) && add_actor(item, g) &&
        cv_json_add_str(item, "given", cv_clock_format(g->given_s, given)) &&
        cv_json_add_str(item, "expires", cv_clock_format(g->ends_s, expires)) &&
        cv_json_add_str(item, "rule", g->rule) &&
        cv_json_add_bool(item, "read_only", g->read_only) &&
        add_text(item, "reason", g->reason) &&
        add_text(item, "ticket", g->ticket) &&
        cv_json_add_int(item, "requests", (int64_t)g->requests) &&
        cv_json_add_int(item, "signatures", (int64_t)g->signatures)) {
        return item;
    }
    cJSON_Delete(item);
    return NULL;
}

/* One that is being made, or whose time is over, is none. */
static bool is_live(const struct cv_grant *g, int64_t now)
{
    return g->given && !cv_grant_is_over(g, now);
}

CV_BROKER_METHOD(grants)
{
    struct cv_broker *b = context;
    const int64_t now = cv_clock_boot_ms();
    bool all = false;
    const struct cv_json_field fields[] = {
        {"all", CV_JSON_BOOL, false, &all, 0},
        CV_BROKER_ASK_FIELDS,
    };
    cJSON *items = cJSON_AddArrayToObject(cv_reply_parameters(reply), "items");
    struct cv_ask ask;
    enum cv_status s = cv_ask_begin(b, CV_ACTION_ADMIN, parameters, &ask, err);

    if (s == CV_OK) {
        s = cv_json_read(parameters, "Grants", CV_BROKER_FIELDS(fields), true,
                         err);
    }
    if (s == CV_OK && all) {
        s = cv_ask_read(&ask, NULL, err);
    }
    for (size_t i = 0; i < b->grants.n && s == CV_OK; i++) {
        const struct cv_grant *g = b->grants.all[i];

        if (is_live(g, now) && (all || is_own(b, g)) &&
            !cJSON_AddItemToArray(items, cv_broker_grant_item(g))) {
            s = no_memory(err);
        }
    }
    if (s != CV_OK) {
        cv_ask_refused(&ask, err);
    }
    return s;
}

/* Revoking */

struct revoke {
    const cJSON *ids; /* NULL: those of `user` */
    const char *user; /* a name, as the record has it, or a uid */
    struct cv_ask ask;
    char chosen[CV_LIMIT_GRANTS][CV_GRANT_ID_LEN];
    size_t n;
    bool others;  /* one of them is somebody else's */
    bool missing; /* or there is none such */
};

static bool is_of(const struct cv_grant *g, const char *user)
{
    char uid[32];

    (void)snprintf(uid, sizeof(uid), "uid:%u", (unsigned)g->who.peer.uid);
    return strcmp(user, g->who.user) == 0 || strcmp(user, uid) == 0 ||
           strcmp(user, uid + 4) == 0;
}

static void choose(struct revoke *r, struct cv_broker *b,
                   const struct cv_grant *g)
{
    for (size_t i = 0; i < r->n; i++) {
        if (strcmp(r->chosen[i], g->id) == 0) {
            return;
        }
    }
    memcpy(r->chosen[r->n++], g->id, sizeof(g->id));
    r->others = r->others || !is_own(b, g);
}

static enum cv_status choose_ids(struct revoke *r, struct cv_broker *b,
                                 struct cv_err *err)
{
    const int64_t now = cv_clock_boot_ms();
    const cJSON *id;

    cJSON_ArrayForEach(id, r->ids)
    {
        const struct cv_grant *g =
            cJSON_IsString(id) ? cv_grant_find(&b->grants, id->valuestring, now)
                               : NULL;
        char shown[CV_GRANT_ID_LEN];

        if (g == NULL) {
            const char *text = cJSON_IsString(id) ? id->valuestring : "";
            enum cv_status s =
                cv_fail(err, CV_NOT_FOUND, "there is no grant %s",
                        cv_err_quote(shown, sizeof(shown), text, strlen(text)));

            cv_err_state(err, "none was revoked");
            cv_err_hint(err, "it may have ended; certvault grants list names "
                             "those that live");
            r->missing = true;
            return s;
        }
        choose(r, b, g);
    }
    return CV_OK;
}

/* What is asked of a user by name is asked of others too, whether they have
 * any or not: that they have none is not everybody's to know. */
static void choose_user(struct revoke *r, struct cv_broker *b)
{
    const int64_t now = cv_clock_boot_ms();
    struct cv_grant self = {.who = *b->caller};

    r->others = !is_of(&self, r->user);
    for (size_t i = 0; i < b->grants.n; i++) {
        if (is_live(b->grants.all[i], now) &&
            is_of(b->grants.all[i], r->user)) {
            choose(r, b, b->grants.all[i]);
        }
    }
}

static enum cv_status read_revoke(const cJSON *parameters, struct revoke *r,
                                  struct cv_broker *b, struct cv_err *err)
{
    const struct cv_json_field fields[] = {
        {"ids", CV_JSON_ARRAY, false, &r->ids, CV_LIMIT_GRANTS},
        {"user", CV_JSON_STRING, false, &r->user, CV_NAMES_LEN - 1},
        CV_BROKER_ASK_FIELDS,
    };
    enum cv_status s = cv_json_read(parameters, "GrantsRevoke",
                                    CV_BROKER_FIELDS(fields), true, err);

    if (s == CV_OK && (r->ids == NULL) == (r->user == NULL)) {
        s = cv_fail(err, CV_INVALID, "GrantsRevoke: ids, or a user");
    }
    if (s == CV_OK && cJSON_GetArraySize(r->ids) > CV_LIMIT_GRANTS) {
        s = cv_fail(err, CV_INVALID, "GrantsRevoke: too many ids");
    }
    if (s == CV_OK && r->ids != NULL) {
        s = choose_ids(r, b, err);
    } else if (s == CV_OK) {
        choose_user(r, b);
    }
    return s;
}

enum cv_loop_ends cv_broker_grants_reach(struct cv_broker *b,
                                         const cJSON *parameters)
{
    struct revoke *r = calloc(1, sizeof(*r));
    enum cv_loop_ends reach = CV_LOOP_ENDS_ALL;

    if (r != NULL && read_revoke(parameters, r, b, NULL) != CV_OK) {
        reach = CV_LOOP_ENDS_NOTHING;
    } else if (r != NULL && !r->others) {
        reach = r->n > 0 ? CV_LOOP_ENDS_OWN : CV_LOOP_ENDS_NOTHING;
    }
    free(r);
    return reach;
}

static cJSON *details_of(const struct revoke *r)
{
    cJSON *out = cJSON_CreateObject();
    cJSON *names = NULL;

    (void)cv_json_add_str(out, "method", "GrantsRevoke");
    (void)cv_json_add_int(out, "items", (int64_t)r->n);
    if (r->n <= 64) {
        names = cJSON_AddArrayToObject(out, "names");
    }
    for (size_t i = 0; i < r->n && names != NULL; i++) {
        (void)cJSON_AddItemToArray(names, cJSON_CreateString(r->chosen[i]));
    }
    return out;
}

/* Others': decided, and durable before the first is ended. *permitted: it is,
 * also where that could not be recorded. */
static enum cv_status pass_door(struct cv_broker *b, struct revoke *r,
                                bool *permitted, struct cv_err *err)
{
    cJSON *details = details_of(r);
    enum cv_status s = cv_broker_enter(b, err);

    if (s == CV_OK) {
        s = cv_ask_decide(&r->ask, NULL, details, err);
        *permitted = s == CV_OK;
        if (s == CV_OK) {
            s = cv_broker_commit(b, err);
        }
        cv_broker_leave(b);
    }
    cJSON_Delete(details);
    return s;
}

static enum cv_status end_chosen(struct cv_broker *b, const struct revoke *r,
                                 cJSON *items, struct cv_err *err)
{
    char why[CV_NAMES_LEN + 32];
    enum cv_status s = CV_OK;

    for (size_t i = 0; i < r->n; i++) {
        struct cv_grant *g =
            cv_grant_find(&b->grants, r->chosen[i], cv_clock_boot_ms());

        if (g == NULL) {
            continue;
        }
        (void)snprintf(why, sizeof(why), "it was revoked by %s",
                       is_own(b, g)                 ? "its user"
                       : b->caller->user[0] == '\0' ? "an administrator"
                                                    : b->caller->user);
        if (!cJSON_AddItemToArray(items, cv_broker_grant_item(g))) {
            s = no_memory(err);
        }
        cv_grant_end(b, g, why, NULL);
    }
    return s;
}

static enum cv_status run(struct cv_broker *b, const cJSON *parameters,
                          struct revoke *r, cJSON *items, struct cv_err *err)
{
    cJSON *details;
    bool permitted = false;
    enum cv_status s =
        cv_ask_begin(b, CV_ACTION_ADMIN, parameters, &r->ask, err);

    if (s == CV_OK) {
        s = read_revoke(parameters, r, b, err);
    }
    if (s == CV_OK && r->others) {
        s = pass_door(b, r, &permitted, err);
    } else if (s != CV_OK && r->missing) {
        /* Whether another has such a grant is not everybody's to know. */
        s = cv_ask_tell(&r->ask, NULL, NULL, s, err);
    }
    if (s == CV_DENIED && r->ids != NULL) {
        cv_err_hint(err, "certvault grants list names those of yours that "
                         "live; others are for who may do admin");
    }
    if (s != CV_OK && permitted) {
        /* To end them releases nothing: they need not wait for a full disk. */
        (void)!end_chosen(b, r, items, NULL);
        cv_err_state(err, "the grants have ended all the same; the record says "
                          "so of each when it can be written again");
    }
    if (s != CV_OK) {
        cv_ask_refused(&r->ask, err);
        return s;
    }
    s = end_chosen(b, r, items, err);
    if (r->others) {
        details = details_of(r);
        cv_ask_outcome_later(&r->ask, s, details);
        cJSON_Delete(details);
    }
    return s;
}

CV_BROKER_METHOD(grants_revoke)
{
    struct cv_broker *b = context;
    struct revoke *r = calloc(1, sizeof(*r));
    cJSON *items = cJSON_AddArrayToObject(cv_reply_parameters(reply), "items");
    enum cv_status s = r != NULL && items != NULL
                           ? run(b, parameters, r, items, err)
                           : no_memory(err);

    free(r);
    return s;
}
