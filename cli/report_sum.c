#include "cli/report_sum.h"

#include "cli/leaves.h"
#include "cli/output_table.h"
#include "vault/base/clock.h"
#include "vault/base/json.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SOON_S (INT64_C(30) * 86400)

/* A table of the items that are counted on, by their words; a power of two. */
#define SLOTS 16384

struct slot {
    const cJSON *list;
    cJSON *item; /* NULL: empty */
};

struct cv_report_sum {
    cJSON *out;
    struct slot slots[SLOTS];
    size_t used;
    size_t listed[9];                 /* of each list */
    cJSON *uses, *denials, *refusals; /* arrays in it */
};

static const char *const lists[] = {"uses",        "exports",   "denials",
                                    "break_glass", "approvals", "changes",
                                    "events",      "expiring",  "refusals"};

static enum cv_status no_memory(struct cv_err *err)
{
    return cv_fail(err, CV_INTERNAL, "memory is gone");
}

struct cv_report_sum *cv_report_sum_new(void)
{
    struct cv_report_sum *s = calloc(1, sizeof(*s));
    bool ok = s != NULL;

    if (!ok) {
        return NULL;
    }
    s->out = cJSON_CreateObject();
    for (size_t i = 0; i < sizeof(lists) / sizeof(lists[0]); i++) {
        ok = cJSON_AddArrayToObject(s->out, lists[i]) != NULL && ok;
    }
    s->uses = cJSON_GetObjectItemCaseSensitive(s->out, "uses");
    s->denials = cJSON_GetObjectItemCaseSensitive(s->out, "denials");
    s->refusals = cJSON_GetObjectItemCaseSensitive(s->out, "refusals");
    if (!ok) {
        cv_report_sum_free(s);
        return NULL;
    }
    return s;
}

void cv_report_sum_free(struct cv_report_sum *s)
{
    if (s != NULL) {
        cJSON_Delete(s->out);
        free(s);
    }
}

cJSON *cv_report_sum_get(struct cv_report_sum *s)
{
    return s->out;
}

static const char *text(const cJSON *leaf, const char *path)
{
    const char *t = cv_output_table_text(leaf, path);

    return t != NULL ? t : "";
}

static bool is(const cJSON *leaf, const char *path, const char *word)
{
    return strcmp(text(leaf, path), word) == 0;
}

static const char *who(const cJSON *leaf)
{
    return text(leaf, "actor.user");
}

static size_t slot_of(const char *list, const char *const values[], size_t n)
{
    uint64_t h = UINT64_C(0xcbf29ce484222325);

    for (size_t k = 0; k <= n; k++) {
        const char *text = k == n ? list : values[k];

        do {
            h = (h ^ (uint8_t)*text) * UINT64_C(0x100000001b3);
        } while (*text++ != '\0');
    }
    return (size_t)(h ^ h >> 29) & (SLOTS - 1);
}

static bool has(const cJSON *item, const char *const keys[],
                const char *const values[], size_t n)
{
    for (size_t k = 0; k < n; k++) {
        if (strcmp(text(item, keys[k]), values[k]) != 0) {
            return false;
        }
    }
    return true;
}

/* Where the item of `list` with these words is, or would be. */
static struct slot *find(struct cv_report_sum *s, const cJSON *list,
                         const char *const keys[], const char *const values[],
                         size_t n)
{
    size_t at = slot_of(list->string, values, n);

    while (s->slots[at].item != NULL &&
           (s->slots[at].list != list ||
            !has(s->slots[at].item, keys, values, n))) {
        at = (at + 1) & (SLOTS - 1);
    }
    return &s->slots[at];
}

/* The item with these words in `list`; made where it is not there. NULL: there
 * are too many, or memory is gone. */
static cJSON *item_of(struct cv_report_sum *s, cJSON *list,
                      const char *const keys[], const char *const values[],
                      size_t n)
{
    struct slot *slot = find(s, list, keys, values, n);
    cJSON *item;
    bool ok = true;

    if (slot->item != NULL || s->used >= SLOTS / 2) {
        return slot->item;
    }
    item = cJSON_CreateObject();
    for (size_t k = 0; k < n; k++) {
        ok = cv_json_add_str(item, keys[k], values[k]) && ok;
    }
    if (!ok || !cJSON_AddItemToArray(list, item)) {
        cJSON_Delete(item);
        return NULL;
    }
    *slot = (struct slot){list, item};
    s->used++;
    return item;
}

static bool count(cJSON *item, const char *key, double by)
{
    cJSON *number = cJSON_GetObjectItemCaseSensitive(item, key);

    if (number == NULL) {
        return cJSON_AddNumberToObject(item, key, by) != NULL;
    }
    cJSON_SetNumberHelper(number, number->valuedouble + by);
    return true;
}

/* Which leaf was the last, and when. */
static bool stamp(cJSON *item, const cJSON *leaf)
{
    cJSON_DeleteItemFromObjectCaseSensitive(item, "last");
    cJSON_DeleteItemFromObjectCaseSensitive(item, "last_seq");
    return cv_json_add_str(item, "last", text(leaf, "time")) &&
           cv_json_add_item(
               item, "last_seq",
               cJSON_Duplicate(cJSON_GetObjectItemCaseSensitive(leaf, "seq"),
                               true));
}

/* ---- uses ---- */

/* What a permit is counted as; NULL: it is none of these. */
static const char *kind_of(const cJSON *leaf)
{
    const char *action = text(leaf, "action");

    if (is(leaf, "phase", "outcome")) {
        return NULL;
    }
    if (strcmp(action, "use") == 0) {
        if (is(leaf, "details.method", "UseEnd")) {
            return NULL;
        }
        return text(leaf, "details.verb")[0] != '\0'      ? "requests"
               : text(leaf, "details.purpose")[0] != '\0' ? "signatures"
               : is(leaf, "phase", "decision")            ? "uses"
                                                          : NULL;
    }
    if (!is(leaf, "phase", "decision")) {
        return NULL;
    }
    return strcmp(action, "sign.raw") == 0 ? "signatures"
           : strcmp(action, "export") == 0 ? "exports"
           : strcmp(action, "issue") == 0  ? "issued"
                                           : NULL;
}

static bool is_denied(const cJSON *leaf)
{
    return is(leaf, "decision", "deny");
}

static bool add_use(struct cv_report_sum *s, const cJSON *leaf)
{
    static const char *const keys[] = {"actor", "entry"};
    const char *values[] = {who(leaf), text(leaf, "entry")};
    const char *kind = kind_of(leaf);
    cJSON *item;

    if (kind == NULL || is_denied(leaf)) {
        return true;
    }
    item = item_of(s, s->uses, keys, values, 2);
    if (item == NULL) {
        return count(s->out, "uses_omitted", 1);
    }
    return count(item, kind, 1) && stamp(item, leaf);
}

/* What policy denied; apart from it, what was refused for another reason. */
static bool add_denial(struct cv_report_sum *s, const cJSON *leaf)
{
    const bool refused = cv_leaves_is_refused(leaf);
    const char *const keys[] = {"actor", "action", "entry",
                                refused ? "error" : "because"};
    const char *values[] = {who(leaf), text(leaf, "action"),
                            text(leaf, "entry"),
                            text(leaf, refused ? "error" : "details.because")};
    const cJSON *several = cv_output_table_at(leaf, "details.count");
    cJSON *item;

    if (!is_denied(leaf)) {
        return true;
    }
    item = item_of(s, refused ? s->refusals : s->denials, keys, values, 4);
    if (item == NULL) {
        return count(s->out, refused ? "refusals_omitted" : "denials_omitted",
                     1);
    }
    return count(item, "count",
                 cJSON_IsNumber(several) ? several->valuedouble : 1) &&
           stamp(item, leaf);
}

/* ---- one by one ---- */

static size_t list_nr(const char *list)
{
    size_t i = 0;

    while (strcmp(lists[i], list) != 0) {
        i++;
    }
    return i;
}

/* Adds what a reader wants to know of a leaf; what is beyond a list's length is
 * counted. */
static bool add_leaf(struct cv_report_sum *s, const char *list,
                     const cJSON *leaf, cJSON **out)
{
    static const struct {
        const char *key, *path;
    } members[] = {
        {"time", "time"},
        {"action", "action"},
        {"actor", "actor.user"},
        {"entry", "entry"},
        {"outcome", "outcome"},
        {"error", "error"},
        {"reason", "reason"},
        {"ticket", "ticket"},
        {"offer", "details.offer"},
        {"because", "details.because"},
        {"not_after", "details.not_after"},
        {"for_action", "details.for_action"},
        {"method", "details.method"},
        {"request", "details.request"},
        {"old_name", "details.old_name"},
        {"new_name", "details.new_name"},
        {"signer", "details.signer"},
    };
    cJSON *array = cJSON_GetObjectItemCaseSensitive(s->out, list);
    cJSON *item;
    char omitted[64];
    bool ok;

    if (++s->listed[list_nr(list)] > CV_REPORT_SUM_ITEMS) {
        (void)snprintf(omitted, sizeof(omitted), "%s_omitted", list);
        return count(s->out, omitted, 1);
    }
    item = cJSON_CreateObject();
    ok = cv_json_add_item(
        item, "seq",
        cJSON_Duplicate(cJSON_GetObjectItemCaseSensitive(leaf, "seq"), true));
    for (size_t i = 0; i < sizeof(members) / sizeof(members[0]); i++) {
        const char *t = cv_output_table_text(leaf, members[i].path);

        ok = cv_json_add_str(item, members[i].key, t) && ok;
    }
    if (!ok || !cJSON_AddItemToArray(array, item)) {
        cJSON_Delete(item);
        return false;
    }
    if (out != NULL) {
        *out = item;
    }
    return true;
}

/* An export and how it ended: its outcome comes a little later. */
static bool add_export(struct cv_report_sum *s, const cJSON *leaf)
{
    static const char *const keys[] = {"op"};
    const char *values[] = {text(leaf, "op")};
    const cJSON *list = cJSON_GetObjectItemCaseSensitive(s->out, "exports");
    cJSON *item = NULL;
    struct slot *slot;

    if (!is(leaf, "action", "export") || is_denied(leaf)) {
        return true;
    }
    slot = find(s, list, keys, values, 1);
    if (!is(leaf, "phase", "decision")) {
        return slot->item == NULL ||
               (cv_json_add_str(slot->item, "outcome", text(leaf, "outcome")) &&
                cv_json_add_str(slot->item, "error",
                                cv_output_table_text(leaf, "error")));
    }
    if (!add_leaf(s, "exports", leaf, &item) ||
        !(item == NULL || cv_json_add_str(item, "op", values[0]))) {
        return false;
    }
    if (item != NULL && slot->item == NULL && s->used < SLOTS - 1) {
        *slot = (struct slot){list, item};
        s->used++;
    }
    return true;
}

static bool is_change(const cJSON *leaf)
{
    static const char *const actions[] = {
        "policy.apply", "import", "fetch",  "fetch.service", "remove",
        "edit",         "renew",  "rotate", "revoke",        "admin"};

    for (size_t i = 0; i < sizeof(actions) / sizeof(actions[0]); i++) {
        if (is(leaf, "action", actions[i])) {
            return is(leaf, "phase", "outcome");
        }
    }
    return false;
}

static bool is_event(const cJSON *leaf)
{
    static const char *const actions[] = {"log", "clock", "journal",
                                          "gc-destroy", "broker"};

    for (size_t i = 0; i < sizeof(actions) / sizeof(actions[0]); i++) {
        if (is(leaf, "action", actions[i])) {
            return true;
        }
    }
    return false;
}

static bool add(struct cv_report_sum *s, const cJSON *leaf)
{
    bool ok = add_use(s, leaf) && add_denial(s, leaf) && add_export(s, leaf);

    if (ok && cJSON_IsTrue(cv_output_table_at(leaf, "details.break_glass")) &&
        !is(leaf, "phase", "outcome")) {
        ok = add_leaf(s, "break_glass", leaf, NULL);
    }
    if (ok && is(leaf, "action", "approve") && is(leaf, "phase", "outcome")) {
        ok = add_leaf(s, "approvals", leaf, NULL);
    }
    if (ok && is_change(leaf)) {
        ok = add_leaf(s, "changes", leaf, NULL);
    }
    return ok && (!is_event(leaf) || add_leaf(s, "events", leaf, NULL));
}

enum cv_status cv_report_sum_add(struct cv_report_sum *s, struct cv_bytes leaf,
                                 struct cv_err *err)
{
    cJSON *tree = NULL;
    enum cv_status status = cv_json_parse(NULL, leaf, &tree, err);

    if (status == CV_OK && !add(s, tree)) {
        status = no_memory(err);
    }
    cJSON_Delete(tree);
    return status;
}

enum cv_status cv_report_sum_entries(struct cv_report_sum *s,
                                     const cJSON *entries, int64_t now_s,
                                     struct cv_err *err)
{
    cJSON *list = cJSON_GetObjectItemCaseSensitive(s->out, "expiring");
    const cJSON *entry;

    cJSON_ArrayForEach(entry, entries)
    {
        const char *until = text(entry, "not_after");
        int64_t ends_s = 0;
        cJSON *copy;

        if (until[0] == '\0' || cv_clock_parse(until, &ends_s, NULL) != CV_OK ||
            ends_s > now_s + SOON_S) {
            continue;
        }
        copy = cJSON_Duplicate(entry, true);
        if (!cv_json_add_bool(copy, "expired", ends_s <= now_s) ||
            !cJSON_AddItemToArray(list, copy)) {
            cJSON_Delete(copy);
            return no_memory(err);
        }
    }
    return CV_OK;
}
