/* The store of a backup, opened in the stage. */
#include "vault/broker/restore_internal.h"

#include "policy/policy.h"
#include "vault/audit/logkey_token.h"
#include "vault/base/file.h"
#include "vault/base/json.h"
#include "vault/base/limits.h"
#include "vault/broker/change_internal.h"
#include "vault/broker/rotate.h"
#include "vault/broker/signer.h"
#include "vault/store/store_entry.h"
#include "vault/store/store_journal.h"
#include "vault/store/store_policy.h"
#include "vault/store/store_request.h"
#include "vault/store/store_slot.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define SHOWN 100 /* names in a report; more are counted */

static enum cv_status newer(struct cv_err *err, const char *what)
{
    enum cv_status s =
        cv_fail(err, CV_INTEGRITY,
                "the backup has %s that this certvault cannot read", what);

    cv_err_hint(err, "use the version that made it, or a newer one");
    return s;
}

/* Is it the store that the log belongs to? */
static enum cv_status check_belongs(struct cv_restore *r,
                                    struct cv_store *store, struct cv_err *err)
{
    struct cv_buf stored, own;
    enum cv_status s;

    cv_buf_init(&stored, NULL, CV_LIMIT_NOTE);
    cv_buf_init(&own, NULL, CV_LIMIT_NOTE);
    cv_note_key_text(&r->key, &own);
    s = cv_store_meta_get(store, "log_key", &stored, err);
    if (s == CV_OK &&
        (strcmp(cv_buf_text(&stored), cv_buf_text(&own)) != 0 ||
         strcmp(cv_store_vault_id(store), r->head.vault_id) != 0)) {
        s = cv_fail(err, CV_INTEGRITY,
                    "the backup's parts are of different vaults");
    }
    cv_buf_wipe(&stored);
    cv_buf_wipe(&own);
    return s;
}

/* The log's key is not in the backup where it is on a token: the folder gets
 * the line that says which (vault/audit/logkey_token.h). */
static enum cv_status take_log_key(struct cv_restore *r, struct cv_store *store,
                                   cJSON *report, struct cv_err *err)
{
    struct cv_buf uri;
    enum cv_status s = cv_signer_forget(store, err);

    if (s != CV_OK || r->head.sizes[CV_ARCHIVE_SEALED] > 0) {
        return s;
    }
    cv_buf_init(&uri, NULL, CV_LIMIT_TOKEN_URI + 1);
    s = cv_store_meta_get(store, CV_ROTATE_TOKEN, &uri, NULL);
    if (s != CV_OK || uri.len == 0) {
        s = cv_fail(err, CV_INTEGRITY,
                    "the backup has no key of the log, and names no token that "
                    "has it");
        cv_err_hint(err, "take another backup");
    } else if (!cv_json_add_str(report, "log_key", cv_buf_text(&uri))) {
        s = cv_fail(err, CV_INTERNAL, "memory is gone");
    } else if (!r->o->dry_run) {
        s = cv_logkey_token_restore(r->stage, &r->key, cv_buf_text(&uri), err);
    }
    cv_buf_wipe(&uri);
    return s;
}

/* A backup is one moment: the leaf that permitted it was written under the
 * policy that its store has in force. */
static enum cv_status check_floor(const struct cv_restore *r,
                                  const struct cv_store_policy *row,
                                  struct cv_err *err)
{
    enum cv_status s;

    if (r->policy.version == -1 ||
        (row->version == r->policy.version &&
         strcmp(row->sha256, r->policy.sha256) == 0)) {
        return CV_OK;
    }
    s = cv_fail(err, CV_INTEGRITY,
                "the backup's store is not the one of its log: version %lld "
                "of the policy is in force, the record ends with %lld",
                (long long)row->version, (long long)r->policy.version);
    cv_err_hint(err, "take another backup");
    return s;
}

static enum cv_status check_policy(const struct cv_restore *r,
                                   struct cv_store *store, cJSON *about,
                                   struct cv_err *err)
{
    struct cv_store_policy *row = NULL;
    struct cv_policy *policy = NULL;
    enum cv_status s = cv_store_policy_current(store, &row, err);

    if (s != CV_OK) {
        return s == CV_NOT_FOUND
                   ? cv_fail(err, CV_INTEGRITY, "the backup has no policy")
                   : s;
    }
    (void)cv_json_add_int(about, "policy_version", row->version);
    s = check_floor(r, row, err);
    if (s == CV_OK &&
        cv_policy_parse(
            (struct cv_bytes){(const uint8_t *)row->text, strlen(row->text)},
            &policy, NULL, NULL) != CV_OK) {
        s = newer(err, "a policy");
    }
    cv_policy_free(policy);
    cv_store_policy_free(row);
    return s;
}

static enum cv_status add_slot(void *context, const char *id, const char *doc,
                               struct cv_err *err)
{
    cJSON *record = NULL;
    enum cv_status s = cv_json_parse(
        NULL, (struct cv_bytes){(const uint8_t *)doc, strlen(doc)}, &record,
        err);
    const cJSON *kind = cJSON_GetObjectItemCaseSensitive(record, "kind");

    (void)id;
    if (s == CV_OK && cJSON_IsString(kind)) {
        (void)cJSON_AddItemToArray(context,
                                   cJSON_CreateString(kind->valuestring));
    }
    cJSON_Delete(record);
    return s;
}

/* The ops of those about tokens into `context`. */
static enum cv_status look_at_row(void *context, const char *op,
                                  const char *action, const char *doc,
                                  int64_t created, struct cv_err *err)
{
    cJSON *row = NULL;
    enum cv_status s = cv_json_parse(
        NULL, (struct cv_bytes){(const uint8_t *)doc, strlen(doc)}, &row, err);

    (void)created;
    if (s == CV_OK && !cv_change_is_known(action, row)) {
        s = newer(err, "an unfinished change");
    }
    if (s == CV_OK && cJSON_HasObjectItem(row, "kind")) {
        (void)cJSON_AddItemToArray(context, cJSON_CreateString(op));
    }
    cJSON_Delete(row);
    return s;
}

/* What an old copy says of a token is old: keys that were made since would be
 * destroyed as nobody's. So nothing is: the rows go, what is on the token
 * stays, and the record counts them. */
static enum cv_status drop_rows(struct cv_store *store, const cJSON *ops,
                                struct cv_err *err)
{
    const cJSON *op;
    enum cv_status s = cv_store_begin(store, err);

    cJSON_ArrayForEach(op, ops)
    {
        if (s == CV_OK) {
            s = cv_store_journal_remove(store, op->valuestring, err);
        }
    }
    if (s == CV_OK) {
        return cv_store_commit(store, err);
    }
    cv_store_rollback(store);
    return s;
}

static enum cv_status check_journal(const struct cv_restore *r,
                                    struct cv_store *store, struct cv_err *err)
{
    cJSON *ops = cJSON_CreateArray();
    enum cv_status s = cv_store_journal_list(store, look_at_row, ops, err);

    if (s == CV_OK && cJSON_GetArraySize(ops) > 0 && !r->o->dry_run) {
        s = drop_rows(store, ops, err);
    }
    cJSON_Delete(ops);
    return s;
}

/* Entries. */

static enum cv_status
add_token(void *context, const struct cv_store_entry *entry, struct cv_err *err)
{
    cJSON *doc = NULL;
    const cJSON *uri;
    enum cv_status s = cv_json_parse(
        NULL,
        (struct cv_bytes){(const uint8_t *)entry->doc, strlen(entry->doc)},
        &doc, err);

    uri = cJSON_GetObjectItemCaseSensitive(doc, "token_uri");
    if (s == CV_OK && cJSON_IsString(uri) &&
        cJSON_GetArraySize(context) < SHOWN) {
        (void)cJSON_AddItemToArray(context,
                                   cJSON_CreateString(uri->valuestring));
    }
    cJSON_Delete(doc);
    return s;
}

struct lost {
    struct cv_store *backup;
    cJSON *names;
};

static enum cv_status
look_for(void *context, const struct cv_store_entry *entry, struct cv_err *err)
{
    struct lost *lost = context;
    struct cv_store_entry *same = NULL;
    enum cv_status s =
        cv_store_entry_by_id(lost->backup, entry->entry_id, false, &same, NULL);

    (void)err;
    cv_store_entry_free(same);
    if (s == CV_NOT_FOUND && cJSON_GetArraySize(lost->names) < SHOWN) {
        (void)cJSON_AddItemToArray(lost->names,
                                   cJSON_CreateString(entry->name));
    }
    return CV_OK;
}

static enum cv_status count(struct cv_restore *r, struct cv_store *store,
                            cJSON *report, cJSON *about, struct cv_err *err)
{
    cJSON *slots = cJSON_AddArrayToObject(about, "slots");
    cJSON *tokens = cJSON_AddArrayToObject(about, "tokens");
    struct lost lost = {store, cJSON_AddArrayToObject(report, "entries_lost")};
    struct cv_store_filter all;
    uint64_t n = 0;
    enum cv_status s = cv_store_entry_count(store, &n, err);

    cv_store_entry_filter_init(&all);
    (void)cv_json_add_int(about, "entries", (int64_t)n);
    if (s == CV_OK) {
        s = cv_store_slot_list(store, add_slot, slots, err);
    }
    if (s == CV_OK) {
        s = cv_store_entry_list(store, &all, add_token, tokens, err);
    }
    if (s == CV_OK && r->existing != NULL) {
        s = cv_store_entry_list(r->existing->store, &all, look_for, &lost, err);
    }
    return s;
}

/* Requests for approval. What was approved when the backup was made may have
 * been used since: it must not be used a second time. */
static enum cv_status keep_request(void *context,
                                   const struct cv_store_request *row,
                                   struct cv_err *err)
{
    cJSON *id = cJSON_CreateString(row->id);

    if (id == NULL || !cJSON_AddItemToArray(context, id)) {
        cJSON_Delete(id);
        return cv_fail(err, CV_INTERNAL, "memory is gone");
    }
    return CV_OK;
}

static enum cv_status close_request(struct cv_store *store, const char *id,
                                    struct cv_err *err)
{
    struct cv_store_request *row = NULL;
    struct cv_buf text;
    cJSON *doc = NULL;
    enum cv_store_request_state from;
    enum cv_status s = cv_store_request_by_id(store, id, &row, err);

    cv_buf_init(&text, NULL, CV_STORE_DOC_MAX);
    if (s == CV_OK) {
        s = cv_json_parse(
            NULL,
            (struct cv_bytes){(const uint8_t *)row->doc, strlen(row->doc)},
            &doc, err);
    }
    if (s == CV_OK) {
        from = row->state;
        row->state = CV_STORE_REQUEST_EXPIRED;
        if (cJSON_HasObjectItem(doc, "state")) {
            cJSON_DeleteItemFromObjectCaseSensitive(doc, "state");
            (void)cv_json_add_str(doc, "state",
                                  cv_store_request_word(row->state));
        }
        cv_json_write(doc, CV_JSON_COMPACT, &text);
        row->doc = cv_buf_text(&text);
        s = cv_buf_status(&text, "a request", err);
        if (s == CV_OK) {
            s = cv_store_request_move(store, row, from, err);
        }
    }
    cJSON_Delete(doc);
    cv_store_request_free(row);
    cv_buf_wipe(&text);
    return s;
}

static enum cv_status close_requests(struct cv_restore *r,
                                     struct cv_store *store, struct cv_err *err)
{
    cJSON *ids = cJSON_CreateArray();
    const cJSON *id;
    enum cv_status s =
        cv_store_request_list(store, false, keep_request, ids, err);

    r->requests = (uint64_t)cJSON_GetArraySize(ids);
    if (s == CV_OK && r->requests > 0 && !r->o->dry_run) {
        s = cv_store_begin(store, err);
        cJSON_ArrayForEach(id, ids)
        {
            s = s == CV_OK ? close_request(store, id->valuestring, err) : s;
        }
        if (s == CV_OK) {
            s = cv_store_commit(store, err);
        } else {
            cv_store_rollback(store);
        }
    }
    cJSON_Delete(ids);
    return s;
}

/* Whoever closed the store last left nothing behind that is not in the file. */
static enum cv_status check_wal(const struct cv_restore *r, struct cv_err *err)
{
    struct stat st;

    return fstatat(r->stage, "vault.db-wal", &st, AT_SYMLINK_NOFOLLOW) == -1 ||
                   st.st_size == 0
               ? CV_OK
               : cv_fail(err, CV_IO,
                         "the store could not be written into its file");
}

static enum cv_status sync_store(struct cv_restore *r, struct cv_err *err)
{
    int fd = -1;
    enum cv_status s = check_wal(r, err);

    if (s == CV_OK) {
        s = cv_file_open(r->stage, "vault.db", O_RDWR, &fd, err);
    }

    if (s == CV_OK && fsync(fd) != 0) {
        s = cv_fail_errno(err, CV_IO, "cannot write vault.db");
    }
    cv_file_close(&fd);
    (void)unlinkat(r->stage, "vault.db-wal", 0);
    (void)unlinkat(r->stage, "vault.db-shm", 0);
    return s;
}

enum cv_status cv_restore_store(struct cv_restore *r, cJSON *report,
                                cJSON *about, struct cv_err *err)
{
    struct cv_store *store = NULL;
    enum cv_status s = cv_store_open(r->stage_path, r->stage, &store, err);

    if (s == CV_OK) {
        s = check_belongs(r, store, err);
    }
    if (s == CV_OK) {
        s = cv_store_check(store, err);
    }
    if (s == CV_OK) {
        s = cv_restore_left(r, store, report, err);
    }
    if (s == CV_OK) {
        s = take_log_key(r, store, report, err);
    }
    if (s == CV_OK) {
        s = check_policy(r, store, about, err);
    }
    if (s == CV_OK) {
        s = check_journal(r, store, err);
    }
    if (s == CV_OK) {
        s = close_requests(r, store, err);
    }
    if (s == CV_OK) {
        s = count(r, store, report, about, err);
    }
    cv_store_close(store); /* all of it is in the one file then */
    return s == CV_OK && !r->o->dry_run ? sync_store(r, err) : s;
}
