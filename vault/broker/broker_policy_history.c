/* policy history: what was applied, when, by whom, and what it changed. */
#include "vault/broker/policies_internal.h"

#include "vault/audit/query.h"
#include "vault/base/clock.h"

#include <string.h>

static enum cv_status add_version(void *context,
                                  const struct cv_store_policy *row,
                                  struct cv_err *err)
{
    cJSON *items = context, *item = cJSON_CreateObject();
    char when[CV_CLOCK_TEXT_LEN];

    (void)cv_clock_format(row->applied, when);
    if (!cv_json_add_int(item, "version", row->version) ||
        !cv_json_add_str(item, "sha256", row->sha256) ||
        !cv_json_add_str(item, "applied", when) ||
        !cJSON_AddItemToArray(items, item)) {
        cJSON_Delete(item);
        return cv_fail(err, CV_INTERNAL, "memory is gone");
    }
    return CV_OK;
}

static cJSON *find_version(cJSON *items, const cJSON *details)
{
    const cJSON *version =
        cJSON_GetObjectItemCaseSensitive(details, "new_version");
    const cJSON *sha256 =
        cJSON_GetObjectItemCaseSensitive(details, "new_sha256");
    cJSON *item;

    cJSON_ArrayForEach(item, items)
    {
        if (cJSON_Compare(cJSON_GetObjectItemCaseSensitive(item, "version"),
                          version, true) &&
            cJSON_Compare(cJSON_GetObjectItemCaseSensitive(item, "sha256"),
                          sha256, true)) {
            return item;
        }
    }
    return NULL;
}

static bool take(cJSON *item, const char *as, const cJSON *from,
                 const char *key)
{
    const cJSON *value = cJSON_GetObjectItemCaseSensitive(from, key);

    return value == NULL || cJSON_HasObjectItem(item, as) ||
           cv_json_add_item(item, as, cJSON_Duplicate(value, true));
}

/* The first good outcome of a version tells who put it in force. */
static enum cv_status add_leaf(void *context, uint64_t seq,
                               struct cv_bytes leaf, struct cv_err *err)
{
    static const char *const copied[] = {"rules_added", "rules_removed",
                                         "rules_changed", "signer"};
    cJSON *items = context, *tree, *item;
    const cJSON *details, *actor;
    bool ok = true;
    enum cv_status s = cv_json_parse(NULL, leaf, &tree, err);

    if (s != CV_OK) {
        return s;
    }
    details = cJSON_GetObjectItemCaseSensitive(tree, "details");
    actor = cJSON_GetObjectItemCaseSensitive(tree, "actor");
    item = find_version(items, details);
    if (item != NULL && !cJSON_HasObjectItem(item, "seq")) {
        ok = cv_json_add_int(item, "seq", (int64_t)seq) &&
             take(item, "actor", actor, "user") &&
             take(item, "uid", actor, "uid") &&
             take(item, "reason", tree, "reason") &&
             take(item, "ticket", tree, "ticket");
        for (size_t i = 0; ok && i < sizeof(copied) / sizeof(copied[0]); i++) {
            ok = take(item, copied[i], details, copied[i]);
        }
    }
    cJSON_Delete(tree);
    return ok ? CV_OK : cv_fail(err, CV_INTERNAL, "memory is gone");
}

static enum cv_status gather(struct cv_broker *b, cJSON *out,
                             struct cv_err *err)
{
    cJSON *items = cJSON_AddArrayToObject(out, "items");
    struct cv_query_filter filter;
    enum cv_status s;

    if (items == NULL) {
        return cv_fail(err, CV_INTERNAL, "memory is gone");
    }
    s = cv_store_policy_history(b->vault->store, add_version, items, err);
    cv_query_init(&filter);
    filter.action = cv_action_name(CV_ACTION_POLICY_APPLY);
    filter.outcome = "ok";
    return s == CV_OK
               ? cv_query_run(b->vault->dir, &filter, add_leaf, items, err)
               : s;
}

CV_BROKER_METHOD(policy_history)
{
    struct cv_broker *b = context;
    const struct cv_json_field fields[] = {CV_BROKER_ASK_FIELDS};
    struct cv_ask ask;
    enum cv_status s =
        cv_ask_begin(b, CV_ACTION_POLICY_READ, parameters, &ask, err);

    if (s == CV_OK) {
        s = cv_json_read(parameters, "PolicyHistory", CV_BROKER_FIELDS(fields),
                         true, err);
    }
    if (s == CV_OK) {
        s = cv_ask_read(&ask, NULL, err);
    }
    if (s != CV_OK) {
        cv_ask_refused(&ask, err);
        return s;
    }
    return gather(b, cv_reply_parameters(reply), err);
}
