/* What doctor asks: how things stand on the tokens. */
#include "vault/broker/held_internal.h"

#include <stdio.h>
#include <string.h>

struct looking {
    cJSON *tokens;
    cJSON *servers; /* names of entries whose server had several keys */
    int64_t lost;
};

static bool has_text(const cJSON *list, const char *text)
{
    const cJSON *item;

    cJSON_ArrayForEach(item, list)
    {
        if (strcmp(item->valuestring, text) == 0) {
            return true;
        }
    }
    return false;
}

/* The URI of a key without what tells it from the token's other keys. */
static void cut_key(char *uri)
{
    char *id = strstr(uri, ";id=");

    if (id != NULL) {
        *id = '\0';
    }
}

static enum cv_status look_at_servers(struct looking *l,
                                      const struct cv_store_entry *row,
                                      const cJSON *doc, struct cv_err *err)
{
    const cJSON *c;

    cJSON_ArrayForEach(c, cJSON_GetObjectItemCaseSensitive(doc, "contexts"))
    {
        if (cJSON_GetArraySize(
                cJSON_GetObjectItemCaseSensitive(c, "server_keys")) > 1 &&
            !has_text(l->servers, row->name) &&
            !cJSON_AddItemToArray(l->servers, cJSON_CreateString(row->name))) {
            return cv_fail(err, CV_INTERNAL, "memory is gone");
        }
    }
    return CV_OK;
}

static enum cv_status look_at(void *context, const struct cv_store_entry *row,
                              struct cv_err *err)
{
    struct looking *l = context;
    char uri[CV_LIMIT_URL + 1];
    cJSON *doc = NULL;
    enum cv_status s;

    if (strstr(row->doc, "\"location\":\"token\"") == NULL &&
        strstr(row->doc, "\"server_keys\"") == NULL) {
        return CV_OK;
    }
    s = cv_json_parse(
        NULL, (struct cv_bytes){(const uint8_t *)row->doc, strlen(row->doc)},
        &doc, err);
    if (s == CV_OK) {
        s = look_at_servers(l, row, doc, err);
    }
    if (s != CV_OK || strcmp(cv_entry_text(doc, "location"), "token") != 0) {
        cJSON_Delete(doc);
        return s;
    }
    (void)snprintf(uri, sizeof(uri), "%s", cv_entry_text(doc, "token_uri"));
    cut_key(uri);
    l->lost += strcmp(cv_entry_text(doc, "state"), "lost") == 0;
    cJSON_Delete(doc);
    return has_text(l->tokens, uri) ||
                   cJSON_AddItemToArray(l->tokens, cJSON_CreateString(uri))
               ? CV_OK
               : cv_fail(err, CV_INTERNAL, "memory is gone");
}

CV_BROKER_METHOD(health)
{
    struct cv_broker *b = context;
    cJSON *out = cv_reply_parameters(reply);
    struct looking l = {.tokens = cJSON_AddArrayToObject(out, "tokens"),
                        .servers = cJSON_AddArrayToObject(out, "servers")};
    struct cv_store_filter all;
    struct cv_held_rows rows = {0};
    cJSON *pending;
    enum cv_status s = cv_json_read(parameters, "Health", NULL, 0, true, err);

    if (s == CV_OK) {
        s = cv_broker_enter(b, err);
        if (s == CV_OK) {
            cv_broker_leave(b);
        }
    }
    cv_store_entry_filter_init(&all);
    if (s == CV_OK) {
        s = cv_store_entry_list(b->vault->store, &all, look_at, &l, err);
    }
    if (s == CV_OK) {
        s = cv_held_rows(b, NULL, &rows, err);
    }
    pending = s == CV_OK ? cv_held_rows_view(&rows) : NULL;
    if (s == CV_OK &&
        (!cv_json_add_item(out, "pending", pending) ||
         !cv_signer_add_pending(b, pending) ||
         !cv_json_add_int(out, "lost", l.lost) ||
         !cv_json_add_item(out, "log_key", cv_signer_health(b)))) {
        s = cv_fail(err, CV_INTERNAL, "memory is gone");
    }
    cv_held_rows_free(&rows);
    return s;
}
