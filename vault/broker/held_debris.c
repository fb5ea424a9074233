/* What a cut off import may have left besides its key. */
#include "vault/broker/held_recover_internal.h"

#include <string.h>
#include <strings.h>

static enum cv_status no_memory(struct cv_err *err)
{
    return cv_fail(err, CV_INTERNAL, "memory is gone");
}

/* The ids of all keys that entries have on this token, and the row's own. */
static enum cv_status add_known(void *context, const struct cv_store_entry *row,
                                struct cv_err *err)
{
    /* Keys that were put there by us have their entry's id. */
    cJSON *known = cJSON_CreateObject();

    if (cv_json_add_str(known, "id", row->entry_id) &&
        cJSON_AddItemToArray(context, known)) {
        return CV_OK;
    }
    cJSON_Delete(known);
    return no_memory(err);
}

static enum cv_status find_debris(struct cv_held_recovery *r,
                                  struct cv_message *reply,
                                  const cJSON **objects, struct cv_err *err)
{
    struct cv_store_filter all;
    const struct cv_json_field fields[] = {
        {"objects", CV_JSON_ARRAY, true, objects, 0},
    };
    cJSON *p = cJSON_CreateObject();
    cJSON *known = cJSON_AddArrayToObject(p, "known");
    enum cv_status s;

    *reply = (struct cv_message){0};
    cv_store_entry_filter_init(&all);
    s = cv_store_entry_list(r->held.broker->vault->store, &all, add_known,
                            known, err);
    if (s == CV_OK &&
        (!cv_json_add_str(p, "token", r->held.uri) ||
         !cv_json_add_item(p, "snapshot",
                           cJSON_Duplicate(cJSON_GetObjectItemCaseSensitive(
                                               r->keys->row->json, "snapshot"),
                                           true)))) {
        s = no_memory(err);
    }
    if (s != CV_OK) {
        cJSON_Delete(p);
        return s;
    }
    s = cv_held_call(&r->held, "Debris", p, reply, NULL, err);
    return s == CV_OK
               ? cv_json_read(reply->tree, "Debris", fields, 1, true, err)
               : s;
}

/* Is it of a kind that the row's command makes? Nobody marks data, or a key of
 * another type, for us. */
static bool is_our_kind(const struct cv_held_recovery_key *key,
                        const cJSON *object)
{
    const char *class = cv_entry_text(object, "class");
    const char *type = cv_entry_text(object, "key_type");
    const char *wanted = cv_entry_text(
        cJSON_GetObjectItemCaseSensitive(key->doc, "key"), "type");
    bool pair =
        strcmp(class, "private-key") == 0 || strcmp(class, "public-key") == 0;

    if (pair && type[0] != '\0' && wanted[0] != '\0') {
        return strcasecmp(type, wanted) == 0;
    }
    return strcmp(class, "data") != 0 && strcmp(class, "other") != 0;
}

/* Could it be what a cut off import of ours left? What has another's id or
 * label is another's. */
static bool is_ours(const struct cv_held_recovery *r,
                    const struct cv_held_recovery_key *key, const cJSON *object)
{
    const char *id = cv_entry_text(object, "id");
    const char *label = cv_entry_text(object, "label");
    char ours[CV_ENTRY_LABEL_LEN];

    cv_entry_token_label(r->held.broker->vault->id, "", ours);
    return strncmp(label, ours, strlen(ours)) == 0 ||
           (label[0] == '\0' &&
            (id[0] == '\0' || strcmp(id, cv_entry_text(key->ref, "id")) == 0));
}

static bool is_debris(const struct cv_held_recovery *r, const cJSON *object)
{
    for (size_t i = 0; i < r->n; i++) {
        if (is_ours(r, &r->keys[i], object) &&
            is_our_kind(&r->keys[i], object)) {
            return true;
        }
    }
    return false;
}

static cJSON *debris_row(const struct cv_held_recovery *r, const cJSON *objects)
{
    cJSON *row = cJSON_CreateObject();
    cJSON *list = cJSON_AddArrayToObject(row, "objects");
    const cJSON *object;
    bool ok =
        cv_json_add_bool(row, "done", false) &&
        cv_json_add_str(row, "kind", CV_HELD_DEBRIS) &&
        cv_json_add_str(row, "cut_op", r->keys->row->op) &&
        cv_json_add_str(row, "login", r->held.broker->held_login) &&
        cv_json_add_item(row, "key", cJSON_Duplicate(r->keys->ref, true)) &&
        cv_json_add_item(row, "snapshot",
                         cJSON_Duplicate(cJSON_GetObjectItemCaseSensitive(
                                             r->keys->row->json, "snapshot"),
                                         true));

    cJSON_ArrayForEach(object, objects)
    {
        cJSON *item;

        if (!is_debris(r, object)) {
            continue;
        }
        item = cJSON_CreateObject();
        if (!cv_json_add_str(item, "class", cv_entry_text(object, "class")) ||
            !cv_json_add_str(item, "digest", cv_entry_text(object, "digest")) ||
            !cJSON_AddItemToArray(list, item)) {
            cJSON_Delete(item);
            ok = false;
        }
    }
    if (ok && cJSON_GetArraySize(list) > 0) {
        return row;
    }
    cJSON_Delete(row);
    return NULL;
}

/* What else is there since: told, and kept for a later login. */
enum cv_status cv_held_debris_find(struct cv_held_recovery *r,
                                   struct cv_err *err)
{
    struct cv_broker *b = r->held.broker;
    char op[CV_LEAF_OP + 1];
    struct cv_message reply;
    const cJSON *objects = NULL;
    cJSON *row = NULL, *details = cJSON_CreateObject();
    enum cv_status s = find_debris(r, &reply, &objects, err);

    if (s == CV_OK) {
        row = debris_row(r, objects);
    }
    cv_message_free(&reply);
    if (row != NULL) {
        cv_leaf_new_op(op);
        (void)cv_json_add_str(details, "cut_op", r->keys->row->op);
        (void)cv_json_add_str(details, "cut_action", r->keys->row->action);
        (void)cv_json_add_bool(details, "finished", false);
        (void)cv_json_add_int(
            details, "items",
            cJSON_GetArraySize(
                cJSON_GetObjectItemCaseSensitive(row, "objects")));
        s = cv_broker_enter(b, err);
        if (s == CV_OK) {
            s = cv_held_put_row(b, op, "journal", row, err);
            if (s == CV_OK) {
                s = cv_broker_event_now(b, "journal", r->keys->doc, details,
                                        err);
            }
            cv_broker_leave(b);
        }
    }
    cJSON_Delete(row);
    cJSON_Delete(details);
    return s;
}

static bool has_digest(const cJSON *objects, const char *digest)
{
    const cJSON *object;

    cJSON_ArrayForEach(object, objects)
    {
        if (strcmp(cv_entry_text(object, "digest"), digest) == 0) {
            return true;
        }
    }
    return false;
}

static enum cv_status destroy_debris(struct cv_held_recovery *r,
                                     const cJSON *object, struct cv_err *err)
{
    const char *digest = cv_entry_text(object, "digest");
    struct cv_message reply;
    cJSON *p;
    enum cv_status s = cv_held_recover_tell(
        r, r->keys, cv_entry_text(object, "class"), digest, err);

    if (s != CV_OK) {
        return s;
    }
    p = cJSON_CreateObject();
    (void)cv_json_add_str(p, "token", r->held.uri);
    (void)cv_json_add_str(p, "digest", digest);
    s = cv_held_call(&r->held, "DestroyDebris", p, &reply, NULL, err);
    cv_message_free(&reply);
    return s == CV_NOT_FOUND ? CV_OK : s;
}

/* Told at an earlier login: destroyed where it is still what it was. */
enum cv_status cv_held_debris_end(struct cv_held_recovery *r,
                                  struct cv_err *err)
{
    const cJSON *told =
        cJSON_GetObjectItemCaseSensitive(r->keys->row->json, "objects");
    const cJSON *there = NULL, *object;
    struct cv_message reply;
    enum cv_status s;

    if (strcmp(cv_entry_text(r->keys->row->json, "login"),
               r->held.broker->held_login) == 0) {
        return CV_OK;
    }
    s = find_debris(r, &reply, &there, err);
    cJSON_ArrayForEach(object, told)
    {
        if (s == CV_OK && has_digest(there, cv_entry_text(object, "digest"))) {
            s = destroy_debris(r, object, err);
        }
    }
    cv_message_free(&reply);
    return s == CV_OK ? cv_held_recover_settle(r, CV_HELD_END_SILENT, err) : s;
}
