/* policy diff: two policies, each a text, a version that was applied, or the
 * one in force. */
#include "vault/broker/policies_internal.h"

#include "policy/compare.h"

#include <string.h>

void cv_broker_policy_side_free(struct cv_broker_policy_side *side)
{
    cv_policy_free(side->own);
    cJSON_Delete(side->resolution);
    memset(side, 0, sizeof(*side));
}

static enum cv_status from_row(const struct cv_store_policy *row,
                               struct cv_broker_policy_side *out,
                               struct cv_err *err)
{
    enum cv_status s =
        cv_broker_policy_row(row, &out->own, &out->resolution, err);

    out->policy = out->own;
    return s;
}

enum cv_status cv_broker_policy_side_current(struct cv_broker *b,
                                             struct cv_broker_policy_side *out,
                                             struct cv_err *err)
{
    struct cv_store_policy *row = NULL;
    enum cv_status s = cv_store_policy_current(b->vault->store, &row, err);

    if (s == CV_OK) {
        s = from_row(row, out, err);
    }
    cv_store_policy_free(row);
    return s;
}

/* One of the two, as it was asked for. */
struct wanted {
    const char *text; /* NULL: none */
    int64_t version;  /* -1: none */
};

static enum cv_status read_wanted(const cJSON *object, struct wanted *out,
                                  struct cv_err *err)
{
    const struct cv_json_field fields[] = {
        {"text", CV_JSON_TEXT, false, &out->text, CV_LIMIT_POLICY},
        {"version", CV_JSON_INT, false, &out->version, 0},
    };
    enum cv_status s;

    out->text = NULL;
    out->version = -1;
    s = cv_json_read(object, "a policy to compare", CV_BROKER_FIELDS(fields),
                     true, err);
    if (s == CV_OK && out->text != NULL && out->version != -1) {
        s = cv_fail(err, CV_INVALID, "a text and a version exclude each other");
    }
    return s;
}

static enum cv_status from_text(struct cv_broker *b, const char *text,
                                struct cv_reply *reply,
                                struct cv_broker_policy_side *out,
                                struct cv_err *err)
{
    struct cv_bytes bytes = {(const uint8_t *)text, strlen(text)};
    struct cv_policy_notes notes = {0};
    enum cv_status s = cv_policy_parse(bytes, &out->own, &notes, err);

    out->policy = out->own;
    if (s == CV_OK) {
        s = cv_broker_policy_names(b, out->own, &out->resolution, err);
    }
    if (s == CV_OK) {
        s = cv_policy_resolve(out->own, out->resolution, &notes, err);
    }
    if (s != CV_OK) {
        cv_broker_policy_excerpt(reply, bytes, &notes);
    }
    return s;
}

/* *text is the policy's own, to be compared rule by rule; in *row where it was
 * read from the store. */
static enum cv_status load(struct cv_broker *b, const struct wanted *w,
                           struct cv_reply *reply,
                           struct cv_broker_policy_side *out,
                           struct cv_store_policy **row, const char **text,
                           struct cv_err *err)
{
    enum cv_status s;

    *text = w->text;
    if (w->text != NULL) {
        return from_text(b, w->text, reply, out, err);
    }
    s = w->version != -1
            ? cv_store_policy_version(b->vault->store, w->version, row, err)
            : cv_store_policy_current(b->vault->store, row, err);
    if (s == CV_OK) {
        *text = (*row)->text;
        s = from_row(*row, out, err);
    }
    return s;
}

static enum cv_status compare(struct cv_ask *ask, const struct wanted w[2],
                              const struct cv_broker_policy_scope *scope,
                              struct cv_reply *reply, struct cv_err *err)
{
    struct cv_broker_policy_side sides[2] = {{0}, {0}};
    struct cv_store_policy *rows[2] = {NULL, NULL};
    const char *texts[2] = {NULL, NULL};
    cJSON *out = cv_reply_parameters(reply), *rules = NULL;
    enum cv_status s = CV_OK;

    for (size_t i = 0; i < 2 && s == CV_OK; i++) {
        s = load(ask->broker, &w[i], reply, &sides[i], &rows[i], &texts[i],
                 err);
        if (s != CV_OK) {
            cv_err_prefix(err, i == 0 ? "the old policy" : "the new policy");
        }
    }
    if (s == CV_OK) {
        s = cv_compare_texts(
            (struct cv_bytes){(const uint8_t *)texts[0], strlen(texts[0])},
            (struct cv_bytes){(const uint8_t *)texts[1], strlen(texts[1])},
            &rules, err);
    }
    if (s == CV_OK) {
        (void)cv_json_add_item(out, "rules", rules);
        (void)cv_json_add_item(out, "old", cv_policy_describe(sides[0].policy));
        (void)cv_json_add_item(out, "new", cv_policy_describe(sides[1].policy));
        s = cv_broker_policy_differ(ask, sides, scope, out, err);
    }
    for (size_t i = 0; i < 2; i++) {
        cv_broker_policy_side_free(&sides[i]);
        cv_store_policy_free(rows[i]);
    }
    return s;
}

static enum cv_status read_scope(const char *action,
                                 struct cv_broker_policy_scope *scope,
                                 struct cv_err *err)
{
    enum cv_status s = CV_OK;

    scope->action = cv_action_from_name(action);
    if (action != NULL && scope->action == CV_ACTION_NONE) {
        s = cv_fail(err, CV_USAGE, "there is no such action");
        cv_err_hint(err, "certvault(1) lists the actions");
    }
    return s;
}

CV_BROKER_METHOD(policy_diff)
{
    struct cv_broker *b = context;
    const cJSON *old = NULL, *new = NULL;
    const char *action = NULL;
    struct cv_broker_policy_scope scope = {0};
    const struct cv_json_field fields[] = {
        {"old", CV_JSON_OBJECT, true, &old, 0},
        {"new", CV_JSON_OBJECT, true, &new, 0},
        {"user", CV_JSON_STRING, false, &scope.user, 256},
        {"entry", CV_JSON_STRING, false, &scope.pattern, CV_LIMIT_PATTERN},
        {"action", CV_JSON_STRING, false, &action, 64},
        CV_BROKER_ASK_FIELDS,
    };
    struct wanted w[2];
    struct cv_ask ask;
    enum cv_status s =
        cv_ask_begin(b, CV_ACTION_POLICY_READ, parameters, &ask, err);

    if (s == CV_OK) {
        s = cv_json_read(parameters, "PolicyDiff", CV_BROKER_FIELDS(fields),
                         true, err);
    }
    if (s == CV_OK) {
        s = read_wanted(old, &w[0], err);
    }
    if (s == CV_OK) {
        s = read_wanted(new, &w[1], err);
    }
    if (s == CV_OK) {
        s = read_scope(action, &scope, err);
    }
    if (s == CV_OK) {
        s = cv_ask_read(&ask, NULL, err);
    }
    if (s != CV_OK) {
        cv_ask_refused(&ask, err);
        return s;
    }
    return compare(&ask, w, &scope, reply, err);
}
