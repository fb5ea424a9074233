/* What changes that were cut off may have left on tokens. A restore forgets it,
 * because nothing on a token is destroyed by what an old copy says; so it says
 * where that may be. */
#include "vault/broker/restore_internal.h"

#include "vault/base/json.h"
#include "vault/broker/signer.h"
#include "vault/store/store_journal.h"

#include <string.h>

#define SHOWN 100 /* tokens in a report */

struct left {
    cJSON *uris;
    uint64_t n; /* changes */
};

static enum cv_status add(struct left *left, const char *uri,
                          struct cv_err *err)
{
    const cJSON *item;
    cJSON *one;

    left->n++;
    cJSON_ArrayForEach(item, left->uris)
    {
        if (strcmp(item->valuestring, uri) == 0) {
            return CV_OK;
        }
    }
    if (cJSON_GetArraySize(left->uris) >= SHOWN) {
        return CV_OK;
    }
    one = cJSON_CreateString(uri);
    if (one == NULL || !cJSON_AddItemToArray(left->uris, one)) {
        cJSON_Delete(one);
        return cv_fail(err, CV_INTERNAL, "memory is gone");
    }
    return CV_OK;
}

/* A row about a token has a kind, and the key with its token's URI. */
static enum cv_status add_row(void *context, const char *op, const char *action,
                              const char *doc, int64_t created,
                              struct cv_err *err)
{
    cJSON *row = NULL;
    const cJSON *uri;
    enum cv_status s = cv_json_parse(
        NULL, (struct cv_bytes){(const uint8_t *)doc, strlen(doc)}, &row, err);

    (void)op;
    (void)action;
    (void)created;
    uri = cJSON_GetObjectItemCaseSensitive(
        cJSON_GetObjectItemCaseSensitive(row, "key"), "token");
    if (s == CV_OK && cJSON_HasObjectItem(row, "kind") && cJSON_IsString(uri)) {
        s = add(context, uri->valuestring, err);
    }
    cJSON_Delete(row);
    return s;
}

static enum cv_status look_in(struct cv_store *store, struct left *left,
                              struct cv_err *err)
{
    cJSON *keys = cJSON_CreateArray();
    const cJSON *uri;
    enum cv_status s = cv_signer_left(store, keys, err);

    cJSON_ArrayForEach(uri, keys)
    {
        s = s == CV_OK ? add(left, uri->valuestring, err) : s;
    }
    cJSON_Delete(keys);
    return s == CV_OK ? cv_store_journal_list(store, add_row, left, err) : s;
}

enum cv_status cv_restore_left(struct cv_restore *r, struct cv_store *store,
                               cJSON *report, struct cv_err *err)
{
    struct left left = {.uris = cJSON_AddArrayToObject(report, "tokens_left")};
    enum cv_status s = look_in(store, &left, err);

    if (s == CV_OK && r->existing != NULL) {
        s = look_in(r->existing->store, &left, err);
    }
    r->unfinished = left.n;
    return s;
}
