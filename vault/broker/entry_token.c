/* Documents of entries whose key lies on a token. What finds the key again (a
 * KeyRef of io.certvault.Module) is their member `key_ref`, which lists do not
 * show. */
#include "vault/broker/entry.h"

#include <stdio.h>
#include <string.h>

bool cv_entry_token_has(const cJSON *doc)
{
    return strcmp(cv_entry_text(doc, "location"), "token") == 0;
}

const cJSON *cv_entry_token_ref(const cJSON *doc)
{
    return cJSON_GetObjectItemCaseSensitive(doc, "key_ref");
}

const char *cv_entry_token_uri(const cJSON *doc)
{
    return cv_entry_text(cv_entry_token_ref(doc), "token");
}

cJSON *cv_entry_token_make_ref(const char *token, const char *id,
                               const char *spki, const char *label)
{
    cJSON *ref = cJSON_CreateObject();

    if (cv_json_add_str(ref, "token", token) &&
        cv_json_add_str(ref, "id", id) && cv_json_add_str(ref, "spki", spki) &&
        cv_json_add_str(ref, "label", label)) {
        return ref;
    }
    cJSON_Delete(ref);
    return NULL;
}

/* The URI of one key: the token's, and behind its path the key's id. */
static bool add_uri(cJSON *doc, const cJSON *ref)
{
    const char *token = cv_entry_text(ref, "token");
    const char *id = cv_entry_text(ref, "id");
    size_t path = strcspn(token, "?");
    struct cv_buf uri;
    bool ok;

    cv_buf_init(&uri, NULL, CV_LIMIT_TOKEN_URI + 256);
    cv_buf_add(&uri, token, path);
    cv_buf_add_str(&uri, strcmp(token, "pkcs11:") == 0 ? "id=" : ";id=");
    for (; id[0] != '\0' && id[1] != '\0'; id += 2) {
        cv_buf_add_format(&uri, "%%%.2s", id);
    }
    cv_buf_add_str(&uri, ";type=private");
    cv_buf_add_str(&uri, token + path);
    ok = cv_buf_status(&uri, "a key's URI", NULL) == CV_OK &&
         cv_json_add_str(doc, "token_uri", cv_buf_text(&uri));
    cv_buf_wipe(&uri);
    return ok;
}

static void drop(cJSON *doc, const char *key)
{
    cJSON_DeleteItemFromObjectCaseSensitive(doc, key);
}

bool cv_entry_token_place(cJSON *doc, cJSON *ref)
{
    drop(doc, "location");
    drop(doc, "token_uri");
    drop(doc, "key_ref");
    return cv_json_add_item(doc, "key_ref", ref) &&
           cv_json_add_str(doc, "location", "token") && add_uri(doc, ref);
}

bool cv_entry_token_set(cJSON *doc, const char *state, const char *provenance,
                        bool leaky)
{
    /* What is given may be what the document says now. */
    cJSON *new_state = cJSON_CreateString(state);
    cJSON *new_provenance = cJSON_CreateString(provenance);
    bool ok;

    drop(doc, "state");
    drop(doc, "provenance");
    drop(doc, "leaky");
    ok = cv_json_add_item(doc, "state", new_state);
    return cv_json_add_item(doc, "provenance", new_provenance) && ok &&
           cv_json_add_bool(doc, "leaky", leaky);
}

void cv_entry_token_label(const char *vault_id, const char *entry_id,
                          char out[CV_ENTRY_LABEL_LEN])
{
    (void)snprintf(out, CV_ENTRY_LABEL_LEN, "certvault:%.8s:%.32s", vault_id,
                   entry_id);
}
