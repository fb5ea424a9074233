#include "vault/broker/slot_file_internal.h"

#include "vault/store/store_slot.h"

#include <string.h>

/* The slot that a key file opens, by its path; `id` before others. */
static const cJSON *slot_of_file(const cJSON *slots, const cJSON *key,
                                 const char *id)
{
    const char *path = cv_entry_text(key, "path");
    const cJSON *slot, *found = NULL;

    if (path[0] == '\0' || strcmp(cv_entry_text(key, "kind"), "file") != 0) {
        return NULL;
    }
    cJSON_ArrayForEach(slot, slots)
    {
        if (strcmp(cv_entry_text(slot, "path"), path) == 0 &&
            (found == NULL || strcmp(cv_entry_text(slot, "id"), id) == 0)) {
            found = slot;
        }
    }
    return found;
}

enum cv_status cv_slot_file_is_free(const cJSON *slots, const cJSON *key,
                                    const char *id, struct cv_err *err)
{
    const cJSON *slot = slot_of_file(slots, key, id);
    const char *have;
    enum cv_status s;

    if (slot == NULL || strcmp(cv_entry_text(slot, "id"), id) == 0) {
        return CV_OK;
    }
    have = cv_entry_text(slot, "id");
    s = cv_fail(err, CV_EXISTS, "that key file is slot %s's already", have);
    cv_err_state(err, "nothing was changed");
    cv_err_hint(err,
                "name another file; where a new key is in this one: slot "
                "change %s --key file:...",
                have);
    return s;
}

enum cv_status cv_slot_file_is_new(struct cv_broker *b, const cJSON *slots,
                                   const char *id, const cJSON *key,
                                   struct cv_err *err)
{
    const cJSON *slot = slot_of_file(slots, key, id);
    char opened[CV_STORE_SLOT_ID + 1];
    cJSON *alone, *copy;
    enum cv_status s;

    if (slot == NULL) {
        return CV_OK;
    }
    alone = cJSON_CreateArray();
    copy = cJSON_Duplicate(slot, true);
    if (!cJSON_AddItemToArray(alone, copy)) {
        cJSON_Delete(copy);
        s = cv_fail(err, CV_INTERNAL, "memory is gone");
    } else {
        s = cv_broker_open_by_secret(b, alone, key, opened, sizeof(opened),
                                     err);
    }
    cJSON_Delete(alone);
    if (s != CV_OK && s != CV_AUTH) {
        return s;
    }
    cv_err_init(err);
    if (s == CV_AUTH) {
        return CV_OK;
    }
    s = cv_fail(err, CV_EXISTS,
                "slot %s is opened by the key in that file already", id);
    cv_err_state(err, "nothing was changed");
    cv_err_hint(err, "name another file; or keep this one elsewhere, put a new "
                     "key in its place, and open by the old: --key-file OLD");
    return s;
}
