/* Reviews: policy diff, policy who-can. Over real users, real entries. */
#include "policy/compare.h"
#include "vault/broker/policies_internal.h"

#include "vault/base/name.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define NAMES 16      /* rules named for one answer */
#define TERMS_LEN 512 /* bytes of terms that are shown */

struct review {
    struct cv_ask *ask;
    const struct cv_broker_policy_scope *scope;
    const struct cv_broker_policy_side *sides;
    size_t n_sides;
    struct cv_compare *compare[2];
    struct cv_broker_policy_people people;
    cJSON *docs; /* entries */
    size_t n_docs;
    cJSON *items;
    int64_t n_items, omitted;
};

static void review_free(struct review *r)
{
    cv_broker_policy_people_free(&r->people);
    cv_compare_free(r->compare[0]);
    cv_compare_free(r->compare[1]);
    cJSON_Delete(r->docs);
}

static enum cv_status no_memory(struct cv_err *err)
{
    return cv_fail(err, CV_INTERNAL, "memory is gone");
}

/* Entries. */

/* Only what the caller may see in a list. */
static enum cv_status add_entry(void *context, const struct cv_store_entry *row,
                                struct cv_err *err)
{
    struct review *r = context;
    struct cv_ask trial = *r->ask;
    cJSON *doc = NULL;
    struct cv_bytes text = {(const uint8_t *)row->doc, strlen(row->doc)};
    enum cv_status s = cv_json_parse(NULL, text, &doc, err);

    if (s != CV_OK) {
        return s;
    }
    trial.action = CV_ACTION_LIST;
    if (!cv_ask_would_quietly(&trial, doc)) {
        cJSON_Delete(doc);
        return CV_OK;
    }
    r->n_docs++;
    return cJSON_AddItemToArray(r->docs, doc) ? CV_OK : no_memory(err);
}

static enum cv_status find_entries(struct review *r, struct cv_err *err)
{
    struct cv_store_filter filter;
    enum cv_status s;

    cv_store_entry_filter_init(&filter);
    filter.pattern = r->scope->pattern;
    r->docs = cJSON_CreateArray();
    if (r->docs == NULL) {
        return no_memory(err);
    }
    s = cv_store_entry_list(r->ask->broker->vault->store, &filter, add_entry, r,
                            err);
    if (s == CV_OK && r->people.n * (r->n_docs + 1) > CV_LIMIT_REVIEW) {
        s = cv_fail(err, CV_INVALID,
                    "%zu users and groups by %zu entries are too many for one "
                    "review",
                    r->people.n, r->n_docs);
        cv_err_hint(err, "narrow it: --user NAME, --entry 'prod-*'");
    }
    return s;
}

/* Answers. */

static bool add_answer(cJSON *item, const struct cv_compare *c,
                       enum cv_compare_may may, const char *const keys[3])
{
    const char *names[NAMES];
    size_t n = cv_compare_rules(c, names, NAMES);
    struct cv_buf terms;
    cJSON *rules = cJSON_AddArrayToObject(item, keys[1]);
    bool ok = rules != NULL &&
              cv_json_add_str(item, keys[0], cv_compare_may_name(may));

    for (size_t i = 0; ok && i < n && i < NAMES; i++) {
        ok = cJSON_AddItemToArray(rules, cJSON_CreateString(names[i]));
    }
    cv_buf_init(&terms, NULL, CV_MIB(4));
    cv_compare_words(c, &terms);
    if (ok && terms.len > 0) {
        char shown[TERMS_LEN];

        (void)snprintf(shown, sizeof(shown), "%s", cv_buf_text(&terms));
        /* Cut within a character? Then that goes too. */
        while (!cv_name_is_printable(
                   (struct cv_bytes){(const uint8_t *)shown, strlen(shown)}) &&
               shown[0] != '\0') {
            shown[strlen(shown) - 1] = '\0';
        }
        ok = cv_json_add_str(item, keys[2], shown);
    }
    cv_buf_wipe(&terms);
    return ok;
}

static cJSON *new_item(const struct cv_broker_policy_person *p,
                       enum cv_action action, const cJSON *doc)
{
    cJSON *item = cJSON_CreateObject();

    if (!cv_json_add_str(item, p->kind, p->name) ||
        (p->uid >= 0 && !cv_json_add_int(item, "uid", p->uid)) ||
        !cv_json_add_str(item, "action", cv_action_name(action)) ||
        (doc != NULL &&
         !cv_json_add_str(item, "entry", cv_entry_text(doc, "name")))) {
        cJSON_Delete(item);
        return NULL;
    }
    return item;
}

static bool keep(struct review *r, cJSON *item, bool ok)
{
    if (!ok || item == NULL || !cJSON_AddItemToArray(r->items, item)) {
        cJSON_Delete(item);
        return false;
    }
    return true;
}

static bool full(struct review *r)
{
    if (r->n_items < CV_LIMIT_REVIEW_ITEMS) {
        r->n_items++;
        return false;
    }
    r->omitted++;
    return true;
}

static bool differ_one(struct review *r,
                       const struct cv_broker_policy_person *p,
                       enum cv_action action, const cJSON *doc)
{
    static const char *const before[] = {"before", "before_rules",
                                         "before_terms"};
    static const char *const after[] = {"after", "after_rules", "after_terms"};
    enum cv_compare_may old = cv_compare_may(r->compare[0], action);
    enum cv_compare_may new = cv_compare_may(r->compare[1], action);
    const char *change = new > old ? "gained" : new < old ? "lost" : "changed";
    cJSON *item;

    if (cv_compare_same(r->compare[0], r->compare[1]) || full(r)) {
        return true;
    }
    item = new_item(p, action, doc);
    return keep(r, item,
                cv_json_add_str(item, "change", change) &&
                    add_answer(item, r->compare[0], old, before) &&
                    add_answer(item, r->compare[1], new, after));
}

static bool who_can_one(struct review *r,
                        const struct cv_broker_policy_person *p,
                        enum cv_action action, const cJSON *doc)
{
    static const char *const keys[] = {"may", "rules", "terms"};
    enum cv_compare_may may = cv_compare_may(r->compare[0], action);
    cJSON *item;

    if (may == CV_COMPARE_NO || full(r)) {
        return true;
    }
    item = new_item(p, action, doc);
    return keep(r, item, add_answer(item, r->compare[0], may, keys));
}

/* Actions that are decided without an entry, and those that have one; some are
 * both (clusters is a fetch of nothing yet). */
static bool has_entry(enum cv_action action)
{
    return action != CV_ACTION_AUDIT_READ && action != CV_ACTION_POLICY_READ &&
           action != CV_ACTION_POLICY_APPLY && action != CV_ACTION_ADMIN;
}

static bool has_none(enum cv_action action)
{
    return action == CV_ACTION_FETCH || action == CV_ACTION_FETCH_SERVICE ||
           !has_entry(action);
}

typedef bool visit_fn(struct review *r, const struct cv_broker_policy_person *p,
                      enum cv_action action, const cJSON *doc);

/* All actions of one person with one entry (NULL: none). */
static bool visit_actions(struct review *r,
                          const struct cv_broker_policy_person *p,
                          const cJSON *doc, visit_fn *visit)
{
    struct cv_entry_subject subject;
    const struct cv_decide_entry *entry = NULL;
    bool ok = true;

    if (doc != NULL) {
        cv_entry_subject_fill(doc, &subject);
        if (subject.entry.provenance[0] == '\0') {
            subject.entry.provenance = NULL;
        }
        entry = &subject.entry;
    }
    for (size_t i = 0; i < r->n_sides; i++) {
        cv_compare_look(r->compare[i], &p->subject, entry);
    }
    for (int a = CV_ACTION_NONE + 1; ok && a < CV_ACTION_COUNT; a++) {
        enum cv_action action = (enum cv_action)a;

        if ((r->scope->action == CV_ACTION_NONE ||
             r->scope->action == action) &&
            (doc != NULL ? has_entry(action) : has_none(action))) {
            ok = visit(r, p, action, doc);
        }
    }
    return ok;
}

static enum cv_status visit_all(struct review *r, visit_fn *visit,
                                struct cv_err *err)
{
    bool ok = true;

    for (size_t i = 0; ok && i < r->people.n; i++) {
        const cJSON *doc;

        if (r->scope->pattern == NULL) {
            ok = visit_actions(r, &r->people.list[i], NULL, visit);
        }
        cJSON_ArrayForEach(doc, r->docs)
        {
            ok = ok && visit_actions(r, &r->people.list[i], doc, visit);
        }
    }
    return ok ? CV_OK : no_memory(err);
}

static enum cv_status prepare(struct review *r, struct cv_err *err)
{
    struct cv_broker *b = r->ask->broker;
    enum cv_decide_mode mode =
        (enum cv_decide_mode)(CV_DECIDE_MODE_EXEC + (int)b->options->mode);
    enum cv_status s = CV_OK;

    for (size_t i = 0; i < r->n_sides && s == CV_OK; i++) {
        s = cv_compare_new(r->sides[i].policy, mode, &r->compare[i], err);
    }
    r->people.broker = b;
    r->people.sides = r->sides;
    r->people.n_sides = r->n_sides;
    r->people.only = r->scope->user;
    return s == CV_OK ? cv_broker_policy_people_find(&r->people, err) : s;
}

static enum cv_status tell(const struct review *r, cJSON *out,
                           struct cv_err *err)
{
    return cv_json_add_int(out, "omitted", r->omitted) &&
                   cv_json_add_int(out, "users", (int64_t)r->people.n) &&
                   cv_json_add_int(out, "entries", (int64_t)r->n_docs) &&
                   cv_json_add_bool(out, "complete", r->people.complete)
               ? CV_OK
               : no_memory(err);
}

enum cv_status cv_broker_policy_differ(
    struct cv_ask *ask, const struct cv_broker_policy_side sides[2],
    const struct cv_broker_policy_scope *scope, cJSON *out, struct cv_err *err)
{
    struct review r = {
        .ask = ask, .scope = scope, .sides = sides, .n_sides = 2};
    enum cv_status s = prepare(&r, err);

    r.items = cJSON_AddArrayToObject(out, "items");
    if (s == CV_OK) {
        s = find_entries(&r, err);
    }
    if (s == CV_OK) {
        s = visit_all(&r, differ_one, err);
    }
    if (s == CV_OK) {
        s = tell(&r, out, err);
    }
    review_free(&r);
    return s;
}

/* The one entry that is asked about: as it is, where the caller may see it, or
 * by its name alone. */
static enum cv_status find_entry(struct review *r, const char *name, cJSON *out,
                                 struct cv_err *err)
{
    struct cv_ask trial = *r->ask;
    struct cv_err missing;
    cJSON *doc = NULL;
    struct cv_store_entry *row = NULL;
    enum cv_status s;

    cv_err_init(&missing);
    s = cv_broker_load_entry(r->ask->broker, name, false, &row, &doc, &missing);
    cv_store_entry_free(row);
    if (s != CV_OK && s != CV_NOT_FOUND) {
        *err = missing;
        return s;
    }
    trial.action = CV_ACTION_LIST;
    if (s == CV_OK && !cv_ask_would_quietly(&trial, doc)) {
        cJSON_Delete(doc);
        s = CV_NOT_FOUND;
    }
    if (s == CV_NOT_FOUND) {
        doc = cJSON_CreateObject();
        (void)cv_json_add_str(doc, "name", name);
        (void)cv_json_add_str(doc, "provenance", "");
    }
    r->docs = cJSON_CreateArray();
    r->n_docs = 1;
    (void)cv_json_add_bool(out, "known", s == CV_OK);
    if (!cJSON_AddItemToArray(r->docs, doc)) {
        cJSON_Delete(doc);
        return no_memory(err);
    }
    return CV_OK;
}

static enum cv_status who_can(struct cv_ask *ask, enum cv_action action,
                              const char *name, cJSON *out, struct cv_err *err)
{
    const struct cv_broker_policy_scope scope = {.pattern = name,
                                                 .action = action};
    struct cv_broker_policy_side side = {0};
    struct review r = {
        .ask = ask, .scope = &scope, .sides = &side, .n_sides = 1};
    enum cv_status s = cv_broker_policy_side_current(ask->broker, &side, err);

    r.items = cJSON_AddArrayToObject(out, "items");
    if (s == CV_OK) {
        s = prepare(&r, err);
    }
    if (s == CV_OK && name != NULL) {
        s = find_entry(&r, name, out, err);
    }
    if (s == CV_OK) {
        s = visit_all(&r, who_can_one, err);
    }
    if (s == CV_OK) {
        s = tell(&r, out, err);
    }
    review_free(&r);
    cv_broker_policy_side_free(&side);
    return s;
}

static enum cv_status read_action(const char *word, enum cv_action *out,
                                  struct cv_err *err)
{
    enum cv_status s = CV_OK;

    *out = cv_action_from_name(word);
    if (word != NULL && *out == CV_ACTION_NONE) {
        s = cv_fail(err, CV_USAGE, "there is no such action");
        cv_err_hint(err, "certvault(1) lists the actions");
    }
    return s;
}

/* Is the action one that the question can be about? */
static enum cv_status check_question(enum cv_action action, const char *name,
                                     struct cv_err *err)
{
    enum cv_status s = CV_OK;

    if (name == NULL && !has_none(action)) {
        s = cv_fail(err, CV_USAGE, "%s is about an entry: which one?",
                    cv_action_name(action));
        cv_err_hint(err, "certvault policy who-can %s NAME",
                    cv_action_name(action));
    } else if (name != NULL && !has_entry(action)) {
        s = cv_fail(err, CV_USAGE, "%s is not about an entry",
                    cv_action_name(action));
        cv_err_hint(err, "certvault policy who-can %s", cv_action_name(action));
    }
    return s;
}

CV_BROKER_METHOD(policy_who_can)
{
    struct cv_broker *b = context;
    const char *word = NULL, *name = NULL;
    const struct cv_json_field fields[] = {
        {"action", CV_JSON_STRING, true, &word, 64},
        {"name", CV_JSON_STRING, false, &name, CV_LIMIT_NAME},
        CV_BROKER_ASK_FIELDS,
    };
    enum cv_action action = CV_ACTION_NONE;
    struct cv_ask ask;
    enum cv_status s =
        cv_ask_begin(b, CV_ACTION_POLICY_READ, parameters, &ask, err);

    if (s == CV_OK) {
        s = cv_json_read(parameters, "PolicyWhoCan", CV_BROKER_FIELDS(fields),
                         true, err);
    }
    if (s == CV_OK) {
        s = read_action(word, &action, err);
    }
    if (s == CV_OK) {
        s = check_question(action, name, err);
    }
    if (s == CV_OK) {
        s = cv_ask_read(&ask, NULL, err);
    }
    if (s == CV_OK) {
        s = who_can(&ask, action, name, cv_reply_parameters(reply), err);
    } else {
        cv_ask_refused(&ask, err);
    }
    return s;
}
