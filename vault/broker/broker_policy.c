/* policy apply, show. */
#include "policy/compare.h"
#include "vault/base/clock.h"
#include "vault/broker/archiving_internal.h"
#include "vault/broker/change_internal.h"
#include "vault/broker/policies_internal.h"
#include "vault/broker/room.h"
#include "vault/store/store_policy.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A version that jumps this far would leave no room for later ones. */
#define VERSION_JUMP ((int64_t)1 << 20)

/* An empty answer for each name that is mentioned and was not found: null says
 * that there is none. */
static cJSON *with_nulls(const cJSON *wanted, cJSON *found)
{
    const cJSON *name;

    cJSON_ArrayForEach(name, wanted)
    {
        if (cJSON_GetObjectItemCaseSensitive(found, name->valuestring) ==
            NULL) {
            (void)cJSON_AddNullToObject(found, name->valuestring);
        }
    }
    return found;
}

static cJSON *take_member(struct cv_message *m, const char *key)
{
    cJSON *item = cJSON_DetachItemFromObjectCaseSensitive(m->tree, key);

    return item != NULL ? item : cJSON_CreateObject();
}

enum cv_status cv_broker_policy_names(struct cv_broker *b,
                                      const struct cv_policy *p, cJSON **out,
                                      struct cv_err *err)
{
    cJSON *names = cv_policy_names(p), *zones = cv_policy_zones(p);
    const cJSON *users = cJSON_GetObjectItemCaseSensitive(names, "users");
    const cJSON *groups = cJSON_GetObjectItemCaseSensitive(names, "groups");
    struct cv_message answer = {0};
    enum cv_status s = CV_OK;

    *out = cJSON_CreateObject();
    if (cJSON_GetArraySize(users) + cJSON_GetArraySize(groups) +
            cJSON_GetArraySize(zones) >
        0) {
        s = cv_helper_open(&b->names, err);
        if (s == CV_OK) {
            s = cv_names_resolve(b->names.channel, users, groups, zones,
                                 &answer, err);
        }
        cv_helper_stop(&b->names);
        if (s != CV_OK) {
            cv_err_prefix(err, "cannot look up the policy's names");
            cv_err_state(err, "the policy in force is unchanged");
        }
    }
    if (s == CV_OK &&
        (!cv_json_add_item(*out, "users",
                           with_nulls(users, take_member(&answer, "users"))) ||
         !cv_json_add_item(
             *out, "groups",
             with_nulls(groups, take_member(&answer, "groups"))) ||
         !cv_json_add_item(*out, "zones", take_member(&answer, "zones")))) {
        s = cv_fail(err, CV_INTERNAL, "memory is gone");
    }
    cv_message_free(&answer);
    cJSON_Delete(names);
    cJSON_Delete(zones);
    if (s != CV_OK) {
        cJSON_Delete(*out);
        *out = NULL;
    }
    return s;
}

void cv_broker_policy_excerpt(struct cv_reply *reply, struct cv_bytes text,
                              const struct cv_policy_notes *notes)
{
    struct cv_buf excerpt;

    if (notes->error_line == 0) {
        return;
    }
    cv_buf_init(&excerpt, NULL, CV_KIB(4));
    cv_policy_render(text, notes->error_line, notes->error_column, &excerpt);
    (void)cv_json_add_str(cv_reply_failure(reply), "excerpt",
                          cv_buf_text(&excerpt));
    cv_buf_wipe(&excerpt);
}

struct apply {
    const char *text;
    const char *note; /* its signature; NULL: none */
    char signer[CV_NOTE_NAME + 1];
    bool dry_run;
    bool diff;  /* the comparison is wanted with it */
    bool loses; /* whoever applies it may not do so again */
    cJSON *warnings;
    struct cv_policy *policy;
    cJSON *resolution;
    struct cv_policy_notes notes;
    bool same; /* as the one in force */
};

static void apply_free(struct apply *a)
{
    cv_policy_free(a->policy);
    cJSON_Delete(a->resolution);
    cJSON_Delete(a->warnings);
}

static enum cv_status apply_parse(struct cv_broker *b, struct apply *a,
                                  struct cv_reply *reply, struct cv_err *err)
{
    struct cv_bytes bytes = {(const uint8_t *)a->text, strlen(a->text)};
    enum cv_status s = cv_policy_parse(bytes, &a->policy, &a->notes, err);

    if (s == CV_OK) {
        s = cv_broker_policy_names(b, a->policy, &a->resolution, err);
    }
    if (s == CV_OK) {
        s = cv_policy_resolve(a->policy, a->resolution, &a->notes, err);
    }
    if (s != CV_OK) {
        cv_broker_policy_excerpt(reply, bytes, &a->notes);
        cv_err_state(err, "the policy in force is unchanged");
    }
    return s;
}

/* Entered. A higher version only: the same with the same bytes is done
 * already, with others it is two policies of one version. */
static enum cv_status check_version(struct cv_broker *b, struct apply *a,
                                    struct cv_err *err)
{
    int64_t now = cv_policy_version(b->policy);
    int64_t next = cv_policy_version(a->policy);
    enum cv_status s;

    a->same =
        strcmp(cv_policy_sha256(b->policy), cv_policy_sha256(a->policy)) == 0;
    if (a->same) {
        return CV_OK;
    }
    if (next > now && next - now <= VERSION_JUMP) {
        return CV_OK;
    }
    if (next > now) {
        s = cv_fail(err, CV_INVALID,
                    "version %lld is too far above %lld, the one in force",
                    (long long)next, (long long)now);
    } else if (next == now) {
        s = cv_fail(err, CV_INTEGRITY,
                    "version %lld is in force with other content",
                    (long long)now);
    } else {
        s = cv_fail(err, CV_INTEGRITY,
                    "version %lld is lower than %lld, the one in force",
                    (long long)next, (long long)now);
    }
    cv_err_state(err, "the policy in force is unchanged");
    cv_err_hint(err, "set metadata.version to %lld", (long long)now + 1);
    return s;
}

static enum cv_status store_once(struct cv_ask *ask,
                                 const struct cv_store_policy *row,
                                 struct cv_err *err)
{
    struct cv_store *store = ask->broker->vault->store;
    enum cv_status s = cv_store_begin(store, err);

    if (s == CV_OK) {
        s = cv_store_policy_put(store, row, err);
    }
    if (s == CV_OK) {
        s = cv_change_done(&(struct cv_ask *){ask}, 1, err);
    }
    if (s == CV_OK) {
        s = cv_store_commit(store, err);
    }
    if (s != CV_OK) {
        cv_store_rollback(store);
    }
    return s;
}

/* On a full disk out of the reserve: it may be one that takes away. */
static enum cv_status apply_store(struct cv_ask *ask, struct apply *a,
                                  struct cv_err *err)
{
    struct cv_store_policy row = {
        .version = cv_policy_version(a->policy),
        .sha256 = cv_policy_sha256(a->policy),
        .text = a->text,
        .applied = cv_clock_now_s(),
    };
    struct cv_buf resolution;
    struct cv_err why;
    enum cv_status s;

    cv_buf_init(&resolution, NULL, CV_LIMIT_FRAME);
    cv_json_write(a->resolution, CV_JSON_COMPACT, &resolution);
    row.resolution = cv_buf_text(&resolution);
    cv_err_init(&why);
    s = cv_buf_status(&resolution, "the names of the policy", &why);
    if (s == CV_OK) {
        do {
            cv_err_init(&why);
            s = store_once(ask, &row, &why);
        } while (s == CV_IO && cv_room_give(ask));
    }
    if (s != CV_OK) {
        cv_err_state(&why, "the policy in force is unchanged");
        if (err != NULL) {
            *err = why;
        }
    }
    cv_buf_wipe(&resolution);
    return s;
}

/* What the record says of it. */
static enum cv_status apply_details(struct cv_broker *b, struct apply *a,
                                    cJSON *details, struct cv_err *err)
{
    (void)cv_json_add_int(details, "old_version", cv_policy_version(b->policy));
    (void)cv_json_add_str(details, "old_sha256", cv_policy_sha256(b->policy));
    (void)cv_json_add_int(details, "new_version", cv_policy_version(a->policy));
    (void)cv_json_add_str(details, "new_sha256", cv_policy_sha256(a->policy));
    return cv_broker_policy_rules(b, a->text, details, err);
}

/* Permitted. May it be put in force? */
static enum cv_status apply_check(struct cv_ask *ask, struct apply *a,
                                  cJSON *details, struct cv_err *err)
{
    struct cv_broker *b = ask->broker;
    enum cv_status s =
        cv_broker_policy_verify(b, a->policy, a->note, a->signer, err);

    if (s == CV_OK) {
        s = check_version(b, a, err);
    }
    if (s == CV_OK && !a->same) {
        s = cv_archiving_allows(b, cv_policy_longest_per_s(a->policy), err);
    }
    if (s == CV_OK && !a->same) {
        s = cv_broker_policy_warn(ask, b->policy, a->policy, a->warnings,
                                  &a->loses, err);
    }
    if (s == CV_OK && a->signer[0] != '\0') {
        (void)cv_json_add_str(details, "signer", a->signer);
    }
    return s;
}

/* Entered. */
static enum cv_status apply_run(struct cv_ask *ask, struct apply *a,
                                struct cv_err *err)
{
    cJSON *details = cJSON_CreateObject();
    enum cv_status s = apply_details(ask->broker, a, details, err);

    ask->urgent = !a->dry_run;
    if (s == CV_OK) {
        s = a->dry_run ? cv_ask_check(ask, NULL, details, err)
                       : cv_ask_decide(ask, NULL, details, err);
    }
    if (s == CV_OK) {
        s = apply_check(ask, a, details, err);
        if (s != CV_OK && !a->dry_run) {
            (void)!cv_ask_outcome(ask, s, details, NULL);
            (void)!cv_broker_commit(ask->broker, NULL);
        }
    }
    if (s == CV_OK && !a->dry_run) {
        s = cv_change_intend(&ask, 1, err);
        if (s == CV_OK) {
            s = apply_store(ask, a, err);
            s = cv_change_end(&ask, 1, s, details, err);
        }
    }
    cJSON_Delete(details);
    return s;
}

/* Rule by rule, against the text in force. */
static enum cv_status apply_rules(struct cv_broker *b, const struct apply *a,
                                  cJSON *out, struct cv_err *err)
{
    struct cv_bytes new = {(const uint8_t *)a->text, strlen(a->text)};
    struct cv_store_policy *row = NULL;
    cJSON *rules = NULL;
    enum cv_status s = cv_store_policy_current(b->vault->store, &row, err);

    if (s == CV_OK) {
        struct cv_bytes old = {(const uint8_t *)row->text, strlen(row->text)};

        s = cv_compare_texts(old, new, &rules, err);
    }
    if (s == CV_OK && !cv_json_add_item(out, "rules", rules)) {
        s = cv_fail(err, CV_INTERNAL, "memory is gone");
    }
    cv_store_policy_free(row);
    return s;
}

/* --dry-run: what would be otherwise, and for whom. */
static enum cv_status apply_diff(struct cv_ask *ask, const struct apply *a,
                                 cJSON *out, struct cv_err *err)
{
    const struct cv_broker_policy_scope all = {0};
    struct cv_broker_policy_side sides[2] = {{0}, {0}};
    cJSON *diff = cJSON_CreateObject();
    enum cv_status s =
        cv_broker_policy_side_current(ask->broker, &sides[0], err);

    sides[1].policy = a->policy;
    sides[1].resolution = cJSON_Duplicate(a->resolution, true);
    if (s == CV_OK) {
        s = apply_rules(ask->broker, a, diff, err);
    }
    if (s == CV_OK) {
        s = cv_broker_policy_differ(ask, sides, &all, diff, err);
    }
    if (s == CV_INVALID) {
        /* Too much for one answer: that is no reason against the policy. */
        s = CV_OK;
        cJSON_Delete(diff);
        diff = NULL;
    }
    if (s == CV_OK && diff != NULL) {
        (void)cv_json_add_item(out, "diff", diff);
    } else {
        cJSON_Delete(diff);
    }
    cv_broker_policy_side_free(&sides[0]);
    cv_broker_policy_side_free(&sides[1]);
    return s;
}

static void add_warnings(const struct cv_policy_notes *notes, cJSON *list)
{
    for (size_t i = 0; i < notes->n_warnings && i < CV_POLICY_NOTES; i++) {
        char line[CV_POLICY_NOTE_LEN + 32];

        if (notes->warnings[i].line > 0) {
            (void)snprintf(line, sizeof(line), "line %u: %s",
                           notes->warnings[i].line, notes->warnings[i].text);
        } else {
            (void)snprintf(line, sizeof(line), "%s", notes->warnings[i].text);
        }
        (void)cJSON_AddItemToArray(list, cJSON_CreateString(line));
    }
}

static enum cv_status apply_answer(struct cv_ask *ask, struct apply *a,
                                   cJSON *out, struct cv_err *err)
{
    enum cv_status s = CV_OK;

    (void)cv_json_add_item(out, "policy", cv_policy_describe(a->policy));
    add_warnings(&a->notes, a->warnings);
    (void)cv_json_add_item(out, "warnings", a->warnings);
    a->warnings = NULL;
    (void)cv_json_add_bool(out, "loses", a->loses);
    if (a->signer[0] != '\0') {
        (void)cv_json_add_str(out, "signer", a->signer);
    }
    if (a->dry_run && a->diff) {
        s = apply_diff(ask, a, out, err);
    }
    return s;
}

static enum cv_status apply_begin(const cJSON *parameters, struct apply *a,
                                  struct cv_err *err)
{
    const struct cv_json_field fields[] = {
        {"text", CV_JSON_TEXT, true, &a->text, CV_LIMIT_POLICY},
        {"signature", CV_JSON_TEXT, false, &a->note, CV_LIMIT_NOTE},
        {"dry_run", CV_JSON_BOOL, false, &a->dry_run, 0},
        {"diff", CV_JSON_BOOL, false, &a->diff, 0},
        CV_BROKER_ASK_FIELDS,
    };
    enum cv_status s = cv_json_read(parameters, "PolicyApply",
                                    CV_BROKER_FIELDS(fields), true, err);

    a->warnings = cJSON_CreateArray();
    return s == CV_OK && a->warnings == NULL
               ? cv_fail(err, CV_INTERNAL, "memory is gone")
               : s;
}

CV_BROKER_METHOD(policy_apply)
{
    struct cv_broker *b = context;
    struct apply a = {.diff = true};
    struct cv_ask ask;
    enum cv_status s =
        cv_ask_begin(b, CV_ACTION_POLICY_APPLY, parameters, &ask, err);

    if (s == CV_OK) {
        s = apply_begin(parameters, &a, err);
    }
    if (s == CV_OK && b->vault != NULL) {
        s = apply_parse(b, &a, reply, err);
    }
    if (s == CV_OK) {
        s = cv_broker_enter(b, err);
    }
    if (s == CV_OK) {
        s = apply_run(&ask, &a, err);
        cv_broker_leave(b);
    }
    if (s == CV_OK) {
        s = apply_answer(&ask, &a, cv_reply_parameters(reply), err);
    } else {
        cv_ask_refused(&ask, err);
    }
    apply_free(&a);
    return s;
}

CV_BROKER_METHOD(policy_show)
{
    struct cv_broker *b = context;
    const struct cv_json_field fields[] = {CV_BROKER_ASK_FIELDS};
    struct cv_store_policy *row = NULL;
    struct cv_ask ask;
    enum cv_status s =
        cv_ask_begin(b, CV_ACTION_POLICY_READ, parameters, &ask, err);

    if (s == CV_OK) {
        s = cv_json_read(parameters, "PolicyShow", CV_BROKER_FIELDS(fields),
                         true, err);
    }
    if (s == CV_OK) {
        s = cv_ask_read(&ask, NULL, err);
    }
    if (s == CV_OK) {
        s = cv_store_policy_current(b->vault->store, &row, err);
    }
    if (s == CV_OK) {
        cJSON *out = cv_reply_parameters(reply);

        (void)cv_json_add_str(out, "text", row->text);
        (void)cv_json_add_item(out, "policy", cv_policy_describe(b->policy));
    } else {
        cv_ask_refused(&ask, err);
    }
    cv_store_policy_free(row);
    return s;
}
