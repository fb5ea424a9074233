#include "vault/broker/signer.h"

#include "vault/audit/checkpoint.h"
#include "vault/audit/logkey_token.h"
#include "vault/base/clock.h"
#include "vault/base/encode.h"
#include "vault/broker/backup_internal.h"
#include "vault/broker/module_internal.h"

#include <stdio.h>
#include <string.h>

#define SIGNATURE_LEN 64
#define PAUSE_MS 2000
#define PAUSE_MAX_MS 60000
#define TIMES                                                      \
    20 /* a token that hangs is not to hold all up again and again \
        */

static const struct cv_note_key *key_of(const struct cv_broker *b, bool next)
{
    return next ? &b->vault->next_key : &b->vault->log_key;
}

/* CV_NOT_FOUND: it is in its file, as others are. */
static enum cv_status where(const struct cv_broker *b, bool next,
                            struct cv_buf *uri, struct cv_err *err)
{
    cv_buf_init(uri, NULL, CV_LIMIT_TOKEN_URI + 1);
    return cv_logkey_token_uri(b->vault->dir, next, key_of(b, next), uri, err);
}

/* ---- signing ---- */

/* A restore has it sealed until the vault is opened, which is asked for where a
 * checkpoint is. */
bool cv_signer_is_gone(const struct cv_broker *b)
{
    return !cv_logkey_is_there(b->vault->dir) &&
           !cv_backup_is_log_key_sealed(b);
}

static enum cv_status gone(struct cv_err *err)
{
    enum cv_status s = cv_fail(err, CV_NOT_FOUND,
                               "the log's key is gone: there is no "
                               "audit/log.key");

    cv_err_state(err, "records are written; no checkpoint is signed");
    cv_err_hint(err, "put that file back, from a copy of the folder or from a "
                     "backup that is restored elsewhere; docs/operations.md "
                     "has what to do where there is none");
    return s;
}

/* The seed passes through to the token process, which signs. */
static enum cv_status by_seed(struct cv_broker *b,
                              const struct cv_note_key *key, bool next,
                              const struct cv_buf *text, struct cv_buf *out,
                              struct cv_err *err)
{
    const char *line = NULL;
    const struct cv_json_field fields[] = {
        {"line", CV_JSON_TEXT, true, &line, CV_LIMIT_NOTE},
    };
    struct cv_message reply = {0};
    struct cv_arena *arena = NULL, *before;
    struct cv_bytes seed;
    cJSON *p;
    enum cv_status s = cv_arena_new(CV_KIB(64), &arena, err);

    if (s == CV_OK) {
        s = next ? cv_logkey_next_seed(b->vault->dir, key, arena, &seed, err)
                 : cv_logkey_read_seed(b->vault->dir, key, arena, &seed, err);
    }
    if (s == CV_OK) {
        before = cv_json_use(arena);
        p = cJSON_CreateObject();
        if (!cv_json_add_str(p, "name", key->name) ||
            !cv_json_add_base64(p, "secret", seed) ||
            !cv_json_add_str(p, "text", cv_buf_text(text))) {
            s = cv_fail(err, CV_INTERNAL, "memory is gone");
        } else {
            s = cv_broker_token(b, "SignNote", p, CV_CLIENT_SECRET_IN, &reply,
                                err);
        }
        (void)cv_json_use(before);
    }
    cv_arena_free(arena);
    if (s == CV_OK) {
        s = cv_json_read(reply.tree, "SignNote", fields, 1, true, err);
    }
    if (s == CV_OK) {
        cv_buf_add(out, line, strcspn(line, "\n"));
        s = cv_buf_status(out, "a signature", err);
    }
    cv_message_free(&reply);
    return s;
}

/* The module's process signs with that key and no other. */
static enum cv_status by_token(struct cv_broker *b,
                               const struct cv_note_key *key, const char *uri,
                               const struct cv_buf *text, struct cv_buf *out,
                               struct cv_err *err)
{
    const char *given = NULL;
    const struct cv_json_field fields[] = {
        {"signature", CV_JSON_STRING, true, &given, 128},
    };
    uint8_t signature[SIGNATURE_LEN];
    struct cv_message reply = {0};
    struct cv_arena *before = cv_json_use(NULL);
    cJSON *p = cJSON_CreateObject();
    enum cv_status s;

    if (!cv_json_add_str(p, "uri", uri) ||
        !cv_json_add_base64(
            p, "public_key",
            (struct cv_bytes){key->public_key, sizeof(key->public_key)}) ||
        !cv_json_add_str(p, "text", cv_buf_text(text))) {
        cJSON_Delete(p);
        s = cv_fail(err, CV_INTERNAL, "memory is gone");
    } else {
        s = cv_module_call(b, uri, "LogSign", p, 0, &reply, err);
    }
    if (s == CV_OK) {
        s = cv_json_read(reply.tree, "LogSign", fields, 1, true, err);
    }
    if (s == CV_OK) {
        s = cv_decode_base64_exact(given, "the token's signature", signature,
                                   sizeof(signature), err);
    }
    cv_message_free(&reply);
    (void)cv_json_use(before);
    if (s == CV_OK) {
        cv_note_line(key, signature, out);
        out->len -= out->len > 0; /* its LF */
        s = cv_buf_status(out, "a signature", err);
    }
    return s;
}

enum cv_status cv_signer_line_at(struct cv_broker *b,
                                 const struct cv_note_key *key, const char *uri,
                                 const struct cv_buf *text, struct cv_buf *line,
                                 struct cv_err *err)
{
    enum cv_status s = by_token(b, key, uri, text, line, err);

    if (s != CV_OK) {
        cv_err_prefix(err, "the log's key on the token");
    }
    return s;
}

enum cv_status cv_signer_line(struct cv_broker *b,
                              const struct cv_note_key *key, bool next,
                              const struct cv_buf *text, struct cv_buf *line,
                              struct cv_err *err)
{
    struct cv_buf uri;
    struct cv_err why;
    enum cv_status s;

    cv_err_init(&why);
    cv_buf_init(&uri, NULL, CV_LIMIT_TOKEN_URI + 1);
    s = cv_logkey_token_uri(b->vault->dir, next, key, &uri, &why);
    if (s == CV_OK) {
        s = cv_signer_line_at(b, key, cv_buf_text(&uri), text, line, err);
    } else if (s == CV_NOT_FOUND && !next && cv_signer_is_gone(b)) {
        s = gone(err);
    } else if (s == CV_NOT_FOUND) {
        s = by_seed(b, key, next, text, line, err);
    } else {
        *err = why;
    }
    cv_buf_wipe(&uri);
    return s;
}

/* ---- is the token there ---- */

static enum cv_status absent(struct cv_err *err)
{
    enum cv_status s = cv_fail(err, CV_UNAVAILABLE,
                               "the token with the log's key is not there");

    cv_err_state(err, "records are written; no checkpoint is signed, by no "
                      "other key either");
    cv_err_hint(err, "put it back; certvault token list shows what there is");
    return s;
}

static enum cv_status locked(struct cv_err *err)
{
    enum cv_status s =
        cv_fail(err, CV_LOCKED, "the token with the log's key is locked");

    cv_err_state(err, "records are written; checkpoints wait");
    cv_err_hint(err, "certvault audit checkpoint asks for its PIN; where an "
                     "agent or the service runs, certvault token login does");
    return s;
}

static enum cv_status need_one(struct cv_broker *b, bool next, bool also,
                               struct cv_reply *reply, struct cv_err *err)
{
    struct cv_buf uri;
    enum cv_status s = where(b, next, &uri, err);

    if (s == CV_NOT_FOUND) {
        cv_err_init(err);
        s = CV_OK;
    } else if (s == CV_OK && also) {
        cv_module_need_also(b, cv_buf_text(&uri), reply);
    } else if (s == CV_OK) {
        s = cv_module_need_login(b, cv_buf_text(&uri), reply, err);
        s = s == CV_NOT_FOUND ? absent(err) : s;
    }
    cv_buf_wipe(&uri);
    return s;
}

enum cv_status cv_signer_need(struct cv_broker *b, struct cv_reply *reply,
                              struct cv_err *err)
{
    struct cv_err own;
    enum cv_status s;

    if (b->vault == NULL) {
        return CV_OK;
    }
    s = need_one(b, false, false, reply, err);
    if (b->vault->rotating && s == CV_OK) {
        s = need_one(b, true, false, reply, err);
    } else if (b->vault->rotating && s == CV_LOCKED) {
        cv_err_init(&own);
        (void)!need_one(b, true, true, reply, &own);
    }
    if (s == CV_OK) {
        cv_signer_ready(b);
    }
    return s;
}

enum cv_status cv_signer_need_over(struct cv_broker *b, uint64_t size,
                                   struct cv_reply *reply, struct cv_err *err)
{
    struct cv_checkpoint last;

    if (b->vault != NULL &&
        cv_checkpoint_read(b->vault->dir, &b->vault->log_key, &last, NULL, NULL,
                           NULL) == CV_OK &&
        last.size >= size) {
        return CV_OK;
    }
    return cv_signer_need(b, reply, err);
}

bool cv_signer_is_open(struct cv_broker *b)
{
    bool open = true;

    for (int next = 0; next < 1 + (int)b->vault->rotating; next++) {
        struct cv_module_token token;
        struct cv_buf uri;
        enum cv_status s = where(b, next == 1, &uri, NULL);

        open = open && (s == CV_NOT_FOUND ||
                        (s == CV_OK && b->modules != NULL &&
                         cv_module_token(b, cv_buf_text(&uri), &token, NULL,
                                         NULL) == CV_OK &&
                         (token.logged_in || !token.login_required)));
        cv_buf_wipe(&uri);
    }
    return open;
}

bool cv_signer_is_slow(const struct cv_broker *b)
{
    bool slow = false;

    for (int next = 0; next < 1 + (int)b->vault->rotating && !slow; next++) {
        struct cv_buf uri;

        slow = where(b, next == 1, &uri, NULL) != CV_NOT_FOUND;
        cv_buf_wipe(&uri);
    }
    return slow;
}

/* Without asking anybody. A private broker does not log in for this, and one
 * that was locked does not either. */
static enum cv_status look(struct cv_broker *b, const char *uri,
                           struct cv_err *err)
{
    const bool logs_in =
        b->options->mode != CV_BROKER_EXEC && !b->locked_by_hand;
    struct cv_module_token token;
    enum cv_status s;

    if (b->modules == NULL && b->options->mode != CV_BROKER_SERVICE) {
        return locked(err);
    }
    s = cv_module_token(b, uri, &token, NULL, err);
    if (s == CV_NOT_FOUND) {
        return absent(err);
    }
    if (s != CV_OK || token.logged_in || !token.login_required) {
        return s;
    }
    s = logs_in ? cv_module_need_login(b, uri, NULL, err) : CV_LOCKED;
    return s == CV_LOCKED ? locked(err) : s;
}

static enum cv_status look_at_all(struct cv_broker *b, struct cv_err *err)
{
    enum cv_status s = CV_OK;

    for (int next = 0; next < 1 + (int)b->vault->rotating && s == CV_OK;
         next++) {
        struct cv_buf uri;

        s = where(b, next == 1, &uri, err);
        if (s == CV_OK) {
            s = look(b, cv_buf_text(&uri), err);
        } else if (s == CV_NOT_FOUND) {
            cv_err_init(err);
            s = CV_OK;
        }
        cv_buf_wipe(&uri);
    }
    return s;
}

bool cv_signer_may(struct cv_broker *b)
{
    const int64_t now = cv_clock_boot_ms();
    struct cv_err err;
    enum cv_status s;

    if (b->signer.why.status != CV_OK && now < b->signer.next_ms) {
        return false;
    }
    cv_err_init(&err);
    s = look_at_all(b, &err);
    /* Another broker may have given the log another key since. */
    if (s == CV_INTEGRITY && cv_vault_enter(b->vault, NULL) == CV_OK) {
        cv_vault_leave(b->vault);
        cv_err_init(&err);
        s = look_at_all(b, &err);
    }
    if (s != CV_OK) {
        cv_signer_ended(b, s, &err, cv_clock_boot_ms() - now);
    }
    return s == CV_OK;
}

bool cv_signer_waits(const struct cv_broker *b)
{
    return b->signer.why.status != CV_OK &&
           (b->modules != NULL || b->options->mode == CV_BROKER_SERVICE);
}

void cv_signer_ended(struct cv_broker *b, enum cv_status s,
                     const struct cv_err *err, int64_t took_ms)
{
    struct cv_signer *g = &b->signer;

    if (s == CV_OK) {
        cv_err_init(&g->why);
        g->pause_ms = 0;
        return;
    }
    g->why = *err;
    g->why.status = s;
    g->pause_ms = g->pause_ms == 0 ? PAUSE_MS : 2 * g->pause_ms;
    if (g->pause_ms > PAUSE_MAX_MS) {
        g->pause_ms = PAUSE_MAX_MS;
    }
    g->next_ms =
        cv_clock_boot_ms() +
        (TIMES * took_ms > g->pause_ms ? TIMES * took_ms : g->pause_ms);
}

void cv_signer_ready(struct cv_broker *b)
{
    b->signer.next_ms = 0;
    b->signer.pause_ms = 0;
}

enum cv_status cv_signer_failed(struct cv_broker *b, uint64_t size,
                                struct cv_err *err)
{
    struct cv_checkpoint last;

    if (b->signer.why.status == CV_OK ||
        (cv_checkpoint_read(b->vault->dir, &b->vault->log_key, &last, NULL,
                            NULL, NULL) == CV_OK &&
         last.size >= size)) {
        return CV_OK;
    }
    *err = b->signer.why;
    return err->status;
}

/* ---- telling ---- */

static cJSON *describe(struct cv_broker *b, struct cv_buf *uri,
                       enum cv_status *on_token)
{
    cJSON *o = cJSON_CreateObject();
    struct cv_err err;
    bool ok, none;

    cv_err_init(&err);
    *on_token = where(b, false, uri, &err);
    none = *on_token == CV_NOT_FOUND && cv_signer_is_gone(b);
    ok = cv_json_add_str(o, "location",
                         none                 ? "gone"
                         : *on_token == CV_OK ? "token"
                                              : "file") &&
         (*on_token != CV_OK ||
          cv_json_add_str(o, "token_uri", cv_buf_text(uri)));
    if (none) {
        (void)gone(&err);
    } else {
        err = b->signer.why;
    }
    if (ok && err.status != CV_OK) {
        ok = cv_json_add_str(o, "error", err.text);
    }
    if (!ok) {
        cJSON_Delete(o);
        return NULL;
    }
    return o;
}

bool cv_signer_add(struct cv_broker *b, cJSON *status)
{
    const cJSON *last = cJSON_GetObjectItemCaseSensitive(status, "checkpoint");
    const double size =
        cJSON_GetNumberValue(cJSON_GetObjectItemCaseSensitive(status, "size"));
    const double covered =
        cJSON_IsObject(last)
            ? cJSON_GetNumberValue(
                  cJSON_GetObjectItemCaseSensitive(last, "size"))
            : 0;
    struct cv_buf uri;
    enum cv_status on_token;
    cJSON *o = describe(b, &uri, &on_token);
    bool ok = cv_json_add_int(o, "waiting", (int64_t)(size - covered));

    /* Another broker has signed since this one could not. */
    if (size <= covered) {
        cJSON_DeleteItemFromObjectCaseSensitive(o, "error");
    }
    cv_buf_wipe(&uri);
    return cv_json_add_item(status, "log_key", o) && ok;
}

/* Is the key that is logged in to the log's? */
static bool is_there(struct cv_broker *b, const char *uri, struct cv_err *err)
{
    struct cv_message found = {0};
    struct cv_buf spki;
    const cJSON *key;
    const char *text;
    cJSON *p = cJSON_CreateObject();
    bool is;
    enum cv_status s = CV_INTERNAL;

    if (!cv_json_add_str(p, "uri", uri)) {
        cJSON_Delete(p);
        return false;
    }
    s = cv_module_call(b, uri, "FindKey", p, 0, &found, err);
    key = cJSON_GetObjectItemCaseSensitive(found.tree, "key");
    text = cv_entry_text(key, "spki");
    cv_buf_init(&spki, NULL, CV_LIMIT_KEY_DER);
    is = s == CV_OK &&
         cv_decode_base64(text, strlen(text), false, "the key", &spki, err) ==
             CV_OK &&
         spki.len > 32 &&
         memcmp(spki.data + spki.len - 32, b->vault->log_key.public_key, 32) ==
             0;
    cv_buf_wipe(&spki);
    cv_message_free(&found);
    if (s == CV_OK && !is) {
        cv_fail(err, CV_INTEGRITY,
                "another key is in the place of the log's key");
    }
    return is;
}

cJSON *cv_signer_health(struct cv_broker *b)
{
    struct cv_module_token token;
    const char *word = "other";
    struct cv_buf uri;
    struct cv_err err;
    enum cv_status on_token, s;
    cJSON *o = describe(b, &uri, &on_token);

    cv_err_init(&err);
    if (on_token == CV_OK && o != NULL) {
        s = cv_module_token(b, cv_buf_text(&uri), &token, NULL, &err);
        if (s == CV_NOT_FOUND || s == CV_UNAVAILABLE) {
            word = "absent";
            (void)absent(&err);
        } else if (s == CV_OK && token.login_required && !token.logged_in) {
            word = "locked";
        } else if (s == CV_OK && is_there(b, cv_buf_text(&uri), &err)) {
            word = "ready";
        }
        (void)cv_json_add_str(o, "token", word);
        if (err.status != CV_OK) {
            cJSON_DeleteItemFromObjectCaseSensitive(o, "error");
            (void)cv_json_add_str(o, "error", err.text);
        }
    }
    cv_buf_wipe(&uri);
    return o;
}
