/* Keys for the log that are being made on tokens: what the store says of them,
 * until they are the log's or gone. */
#include "vault/broker/signer.h"

#include "vault/audit/logkey_token.h"
#include "vault/broker/held_internal.h"
#include "vault/broker/module_internal.h"
#include "vault/broker/rotate.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

/* In the store: "<CKA_ID in hex> <URI of the token>", one a line. */
#define PENDING "log_key_making"
#define ROW_MAX (CV_LIMIT_TOKEN_URI + 64)
#define ROWS 16

struct row {
    char id[33];
    char uri[CV_LIMIT_TOKEN_URI + 1];
};

/* ---- the rows ---- */

/* Begins `out`; empty: there are none. */
static enum cv_status read_rows(struct cv_store *store, struct cv_buf *out,
                                struct cv_err *err)
{
    struct cv_err why;
    enum cv_status s;

    cv_err_init(&why);
    cv_buf_init(out, NULL, ROWS * ROW_MAX);
    s = cv_store_meta_get(store, PENDING, out, &why);
    if (s != CV_OK && s != CV_NOT_FOUND) {
        *err = why;
        return s;
    }
    return CV_OK;
}

/* Takes one from *at on, which is moved behind it. False: there is none. */
static bool next_row(const char **at, struct row *out)
{
    while (**at != '\0') {
        const char *line = *at;
        const size_t len = strcspn(line, "\n"), id = strcspn(line, " \n");

        *at += len + (line[len] == '\n');
        if (id < len && id < sizeof(out->id) &&
            len - id - 1 < sizeof(out->uri)) {
            (void)snprintf(out->id, sizeof(out->id), "%.*s", (int)id, line);
            (void)snprintf(out->uri, sizeof(out->uri), "%.*s",
                           (int)(len - id - 1), line + id + 1);
            return true;
        }
    }
    return false;
}

static void add_row(struct cv_buf *rows, const char *id, const char *uri)
{
    cv_buf_add_format(rows, "%s%s %s", rows->len > 0 ? "\n" : "", id, uri);
}

/* Entered. The row with that id, or (`uri`) those of the tokens that it
 * covers. */
static enum cv_status drop_those(struct cv_store *store, const char *id,
                                 const char *uri, struct cv_err *err)
{
    struct cv_buf rows, left;
    const char *at;
    struct row row;
    enum cv_status s = read_rows(store, &rows, err);

    cv_buf_init(&left, NULL, ROWS * ROW_MAX);
    at = cv_buf_text(&rows);
    while (s == CV_OK && next_row(&at, &row)) {
        if (uri != NULL ? !cv_held_uri_covers(uri, row.uri)
                        : strcmp(row.id, id) != 0) {
            add_row(&left, row.id, row.uri);
        }
    }
    if (s == CV_OK) {
        s = cv_buf_status(&left, "the log's key", err);
    }
    if (s == CV_OK && left.len != rows.len) {
        s = cv_store_meta_put(store, PENDING, cv_buf_text(&left), err);
    }
    cv_buf_wipe(&left);
    cv_buf_wipe(&rows);
    return s;
}

static enum cv_status drop(struct cv_store *store, const char *id,
                           struct cv_err *err)
{
    return drop_those(store, id, NULL, err);
}

enum cv_status cv_signer_give_up(struct cv_broker *b, const char *uri,
                                 struct cv_err *err)
{
    return drop_those(b->vault->store, NULL, uri, err);
}

enum cv_status cv_signer_count(struct cv_broker *b, const char *uri, int64_t *n,
                               struct cv_err *err)
{
    struct cv_buf rows;
    const char *at;
    struct row row;
    enum cv_status s = read_rows(b->vault->store, &rows, err);

    *n = 0;
    at = cv_buf_text(&rows);
    while (s == CV_OK && next_row(&at, &row)) {
        *n += cv_held_uri_covers(uri, row.uri);
    }
    cv_buf_wipe(&rows);
    return s;
}

static enum cv_status too_many(struct cv_err *err)
{
    enum cv_status s =
        cv_fail(err, CV_BUSY,
                "keys that earlier changes of the log's key were cut off with "
                "may still be on %d tokens",
                ROWS);

    cv_err_state(err, "nothing was changed");
    cv_err_hint(err, "certvault doctor names them; each goes at its token's "
                     "next login (certvault token login URI), and is given up "
                     "where that token is gone for good (certvault token lost "
                     "URI)");
    return s;
}

enum cv_status cv_signer_token(struct cv_broker *b, const char *uri, char *out,
                               struct cv_err *err)
{
    struct cv_module_token token;
    const char *query = strchr(uri, '?');
    enum cv_status s = cv_module_token(b, uri, &token, NULL, err);

    if (s != CV_OK) {
        return s;
    }
    /* It is kept, and told to all: no way to a PIN. */
    if (query == NULL || strchr(token.uri, '?') != NULL ||
        strcasestr(query, "pin") != NULL ||
        strlen(token.uri) + strlen(query) > CV_LIMIT_TOKEN_URI) {
        query = "";
    }
    (void)snprintf(out, CV_LIMIT_TOKEN_URI + 1, "%s%s", token.uri, query);
    return CV_OK;
}

enum cv_status cv_signer_plan(struct cv_broker *b, const char *uri,
                              const struct cv_signer_key *key,
                              struct cv_err *err)
{
    struct cv_buf rows;
    const char *at;
    struct row row;
    size_t n = 0;
    enum cv_status s = read_rows(b->vault->store, &rows, err);

    at = cv_buf_text(&rows);
    while (s == CV_OK && next_row(&at, &row)) {
        n++;
    }
    if (s == CV_OK && n >= ROWS) {
        s = too_many(err);
    }
    if (s == CV_OK) {
        add_row(&rows, key->id, uri);
        s = cv_buf_status(&rows, "the log's key", err);
    }
    if (s == CV_OK) {
        s = cv_store_meta_put(b->vault->store, PENDING, cv_buf_text(&rows),
                              err);
    }
    cv_buf_wipe(&rows);
    return s;
}

enum cv_status cv_signer_unplan(struct cv_broker *b,
                                const struct cv_signer_key *key,
                                struct cv_err *err)
{
    return drop(b->vault->store, key->id, err);
}

enum cv_status cv_signer_left(struct cv_store *store, cJSON *uris,
                              struct cv_err *err)
{
    struct cv_buf rows;
    const char *at;
    struct row row;
    enum cv_status s = read_rows(store, &rows, err);

    at = cv_buf_text(&rows);
    while (s == CV_OK && next_row(&at, &row)) {
        cJSON *uri = cJSON_CreateString(row.uri);

        if (uri == NULL || !cJSON_AddItemToArray(uris, uri)) {
            cJSON_Delete(uri);
            s = cv_fail(err, CV_INTERNAL, "memory is gone");
        }
    }
    cv_buf_wipe(&rows);
    return s;
}

enum cv_status cv_signer_forget(struct cv_store *store, struct cv_err *err)
{
    struct cv_buf rows;
    enum cv_status s = read_rows(store, &rows, err);

    if (s == CV_OK && rows.len > 0) {
        s = cv_store_meta_put(store, PENDING, "", err);
    }
    cv_buf_wipe(&rows);
    return s;
}

/* ---- is it the log's ---- */

/* Is `id` (hex) the one in a URI that cv_uri_add_key wrote ("id=%AB%CD")? */
static bool has_id(const char *uri, const char *id)
{
    const char *at = strstr(uri, "id=%");
    size_t i = 0;

    if (at == NULL) {
        return false;
    }
    for (at += 3; at[0] == '%' && id[i] != '\0'; at += 3, i += 2) {
        if (strncasecmp(at + 1, id + i, 2) != 0) {
            return false;
        }
    }
    return id[i] == '\0' && at[0] != '%';
}

/* CV_OK: `is` is known. A key is destroyed for a `false`: what could not be
 * read is no such answer. */
static enum cv_status has_key(struct cv_vault *v, bool next, const char *id,
                              bool *is, struct cv_err *err)
{
    const struct cv_note_key *key = next ? &v->next_key : &v->log_key;
    struct cv_buf uri;
    struct cv_err why;
    enum cv_status s;

    cv_err_init(&why);
    cv_buf_init(&uri, NULL, CV_LIMIT_TOKEN_URI + 1);
    s = cv_logkey_token_uri(v->dir, next, key, &uri, &why);
    *is = s == CV_OK && has_id(cv_buf_text(&uri), id);
    cv_buf_wipe(&uri);
    if (s != CV_OK && s != CV_NOT_FOUND) {
        *err = why;
        return s;
    }
    return CV_OK;
}

/* What the store says of it counts too: audit/log.key may be gone. */
static enum cv_status is_stored(struct cv_vault *v, const char *id, bool *is,
                                struct cv_err *err)
{
    struct cv_buf uri;
    struct cv_err why;
    enum cv_status s;

    cv_err_init(&why);
    cv_buf_init(&uri, NULL, CV_LIMIT_TOKEN_URI + 1);
    s = cv_store_meta_get(v->store, CV_ROTATE_TOKEN, &uri, &why);
    *is = s == CV_OK && has_id(cv_buf_text(&uri), id);
    cv_buf_wipe(&uri);
    if (s != CV_OK && s != CV_NOT_FOUND) {
        *err = why;
        return s;
    }
    return CV_OK;
}

static enum cv_status is_used(struct cv_vault *v, const char *id, bool *is,
                              struct cv_err *err)
{
    enum cv_status s = has_key(v, false, id, is, err);

    if (s == CV_OK && !*is && v->rotating) {
        s = has_key(v, true, id, is, err);
    }
    if (s == CV_OK && !*is) {
        s = is_stored(v, id, is, err);
    }
    return s;
}

enum cv_status cv_signer_settle(struct cv_vault *v, struct cv_err *err)
{
    struct cv_buf rows;
    const char *at;
    struct row row;
    bool is = false;
    enum cv_status s = read_rows(v->store, &rows, err);

    at = cv_buf_text(&rows);
    while (s == CV_OK && next_row(&at, &row)) {
        s = is_stored(v, row.id, &is, err);
        if (s == CV_OK && is) {
            s = drop(v->store, row.id, err);
        }
    }
    cv_buf_wipe(&rows);
    return s;
}

/* ---- taking them away ---- */

/* Not entered. Those that nobody uses, into `out`, which it begins; the rows of
 * others go. What cannot be read is left as it is. */
static void find_unused(struct cv_broker *b, struct cv_buf *out)
{
    struct cv_vault *v = b->vault;
    struct cv_buf rows;
    const char *at;
    struct cv_err err;
    struct row row;

    cv_err_init(&err);
    cv_buf_init(out, NULL, ROWS * ROW_MAX);
    if (cv_broker_enter(b, &err) != CV_OK) {
        return;
    }
    if (read_rows(v->store, &rows, &err) == CV_OK) {
        at = cv_buf_text(&rows);
        while (next_row(&at, &row)) {
            bool used = false;
            enum cv_status s = is_used(v, row.id, &used, &err);

            if (s == CV_OK && used) {
                (void)!drop(v->store, row.id, &err);
            } else if (s == CV_OK) {
                add_row(out, row.id, row.uri);
            }
        }
    }
    cv_buf_wipe(&rows);
    cv_broker_leave(b);
}

static void tell(struct cv_broker *b, const char *uri, enum cv_status s)
{
    cJSON *details = cJSON_CreateObject();

    (void)cv_json_add_str(details, "method", "AuditKeyRotate");
    (void)cv_json_add_str(details, "token", uri);
    cv_broker_event(b, "admin", s, details);
    cJSON_Delete(details);
}

/* Is this the token of the row, and not another of its label? */
static bool is_token(const struct row *row, const struct cv_module_token *token)
{
    const size_t len = strcspn(row->uri, "?");

    return strstr(row->uri, ";serial=") != NULL ||
           strncmp(row->uri, "pkcs11:serial=", 14) == 0 ||
           (strcspn(token->uri, "?") == len &&
            memcmp(row->uri, token->uri, len) == 0);
}

static bool has_object(const cJSON *objects, const char *id)
{
    const cJSON *object;

    cJSON_ArrayForEach(object, objects)
    {
        if (strcasecmp(cv_entry_text(object, "id"), id) == 0) {
            return true;
        }
    }
    return false;
}

/* Is anything of that key on its token? */
static enum cv_status look(struct cv_broker *b, const struct row *row,
                           bool *there, struct cv_err *err)
{
    const cJSON *objects = NULL;
    const struct cv_json_field fields[] = {
        {"objects", CV_JSON_ARRAY, true, &objects, 0},
    };
    struct cv_message reply = {0};
    cJSON *p = cJSON_CreateObject();
    enum cv_status s;

    if (!cv_json_add_str(p, "token", row->uri)) {
        cJSON_Delete(p);
        return cv_fail(err, CV_INTERNAL, "memory is gone");
    }
    s = cv_module_call(b, row->uri, "Objects", p, 0, &reply, err);
    if (s == CV_OK) {
        s = cv_json_read(reply.tree, "Objects", fields, 1, true, err);
    }
    *there = s == CV_OK && has_object(objects, row->id);
    cv_message_free(&reply);
    return s;
}

/* Before it is destroyed: a leaf that says so. */
static enum cv_status record(struct cv_broker *b, const char *uri,
                             struct cv_err *err)
{
    cJSON *details = cJSON_CreateObject();
    enum cv_status s = cv_broker_enter(b, err);

    if (s == CV_OK) {
        s = cv_json_add_str(details, "method", "AuditKeyRotate") &&
                    cv_json_add_str(details, "object", "key") &&
                    cv_json_add_str(details, "token_uri", uri)
                ? cv_broker_event_now(b, "gc-destroy", NULL, details, err)
                : cv_fail(err, CV_INTERNAL, "memory is gone");
        cv_broker_leave(b);
    }
    cJSON_Delete(details);
    return s;
}

static enum cv_status take_away(struct cv_broker *b, const struct row *row,
                                const char *uri, struct cv_err *err)
{
    struct cv_signer_key key;
    enum cv_status s = record(b, uri, err);

    if (s != CV_OK) {
        return s;
    }
    cv_signer_name(b->vault->log_key.name, &key);
    (void)snprintf(key.id, sizeof(key.id), "%s", row->id);
    return cv_signer_undo(b, row->uri, &key, err);
}

/* The row stays where nothing was found, and the token may be another. */
static void destroy(struct cv_broker *b, const struct row *row)
{
    struct cv_module_token token;
    struct cv_err err;
    bool there = false;
    enum cv_status s;

    cv_err_init(&err);
    if (cv_module_token(b, row->uri, &token, NULL, &err) != CV_OK ||
        (token.login_required && !token.logged_in)) {
        return;
    }
    s = look(b, row, &there, &err);
    if (s == CV_OK && !there && !is_token(row, &token)) {
        return;
    }
    if (there) {
        s = take_away(b, row, token.uri, &err);
    }
    if (s == CV_OK) {
        s = cv_broker_enter(b, &err);
    }
    if (s == CV_OK) {
        s = drop(b->vault->store, row->id, &err);
        cv_broker_leave(b);
    }
    if (s != CV_OK || there) {
        tell(b, token.uri, s);
    }
}

enum cv_status cv_signer_lock(struct cv_broker *b, int *lock,
                              struct cv_err *err)
{
    struct cv_held held = {.broker = b, .lock = -1};
    enum cv_status s = cv_held_wait_lock(&held, err);

    *lock = held.lock;
    return s;
}

/* Whoever makes such a key has the lock until it is the log's: what is unused
 * while we have it was cut off. */
void cv_signer_clean(struct cv_broker *b)
{
    struct cv_held held = {.broker = b, .lock = -1};
    struct cv_buf rows;
    const char *at;
    struct cv_err err;
    struct row row;

    if (b->vault == NULL) {
        return;
    }
    cv_err_init(&err);
    find_unused(b, &rows);
    if (rows.len > 0 && cv_held_try_lock(&held, &err) == CV_OK) {
        cv_buf_wipe(&rows);
        find_unused(b, &rows);
        at = cv_buf_text(&rows);
        while (next_row(&at, &row)) {
            destroy(b, &row);
        }
    }
    cv_buf_wipe(&rows);
    cv_held_close(&held);
}

/* ---- telling ---- */

bool cv_signer_add_pending(struct cv_broker *b, cJSON *items)
{
    struct cv_buf rows;
    const char *at;
    struct cv_err err;
    struct row row;
    bool ok = true;

    cv_err_init(&err);
    if (read_rows(b->vault->store, &rows, &err) == CV_OK) {
        at = cv_buf_text(&rows);
        while (ok && next_row(&at, &row)) {
            cJSON *item = cJSON_CreateObject();

            ok = cv_json_add_str(item, "kind", "log-key") &&
                 cv_json_add_str(item, "id", row.id) &&
                 cv_json_add_str(item, "token_uri", row.uri) &&
                 cJSON_AddItemToArray(items, item);
            if (!ok) {
                cJSON_Delete(item);
            }
        }
    }
    cv_buf_wipe(&rows);
    return ok;
}
