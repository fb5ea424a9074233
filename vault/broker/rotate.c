#include "vault/broker/rotate.h"

#include "vault/audit/logkey_token.h"
#include "vault/audit/rotation.h"
#include "vault/base/file.h"
#include "vault/base/limits.h"
#include "vault/broker/broker_internal.h"
#include "vault/broker/policies_internal.h"

#include "vault/audit/checkpoint.h"

#include <string.h>

static bool same(const struct cv_note_key *a, const struct cv_note_key *b)
{
    return strcmp(a->name, b->name) == 0 &&
           memcmp(a->public_key, b->public_key, sizeof a->public_key) == 0;
}

static void use(struct cv_vault *v, const struct cv_note_key *key)
{
    v->log_key = *key;
    cv_log_use_key(v->log, key);
}

/* Where it is, too: backups have the store, and not audit/log.key. */
enum cv_status cv_rotate_store(struct cv_vault *v,
                               const struct cv_note_key *key,
                               struct cv_err *err)
{
    struct cv_buf text, uri;
    struct cv_err why;
    enum cv_status s;

    cv_err_init(&why);
    cv_buf_init(&text, NULL, CV_LIMIT_NOTE);
    cv_buf_init(&uri, NULL, CV_LIMIT_TOKEN_URI + 1);
    cv_note_key_text(key, &text);
    s = cv_buf_status(&text, "the log's key", err);
    if (s == CV_OK) {
        s = cv_logkey_token_uri(v->dir, false, key, &uri, &why);
        if (s == CV_OK || s == CV_NOT_FOUND) {
            s = cv_store_meta_put(v->store, CV_ROTATE_TOKEN, cv_buf_text(&uri),
                                  err);
        } else {
            *err = why;
        }
    }
    if (s == CV_OK) {
        s = cv_store_meta_put(v->store, "log_key", cv_buf_text(&text), err);
    }
    cv_buf_wipe(&uri);
    cv_buf_wipe(&text);
    return s;
}

/* Another broker changed it: the log says so, and audit/key.pub. */
static enum cv_status notice(struct cv_vault *v, struct cv_err *err)
{
    const struct cv_note_key *said = cv_log_rotated(v->log);
    struct cv_note_key now;
    enum cv_status s;

    if (said == NULL || same(said, &v->log_key)) {
        return CV_OK;
    }
    s = cv_logkey_read(v->dir, &now, err);
    if (s == CV_OK && same(&now, said)) {
        use(v, &now);
    }
    return s;
}

/* Has the next key signed the last checkpoint, or is it the log's already? */
static enum cv_status is_taken(struct cv_vault *v,
                               const struct cv_note_key *next, bool *taken,
                               struct cv_err *err)
{
    struct cv_checkpoint c;
    struct cv_note_key now;
    enum cv_status s = cv_logkey_read(v->dir, &now, err);

    *taken = s == CV_OK &&
             (same(&now, next) ||
              cv_checkpoint_read(v->dir, next, &c, NULL, NULL, NULL) == CV_OK);
    return s;
}

enum cv_status cv_rotate_look(struct cv_vault *v, struct cv_err *err)
{
    struct cv_note_key next;
    struct cv_err why;
    const struct cv_note_key *said = cv_log_rotated(v->log);
    bool taken = false;
    enum cv_status s;

    cv_err_init(&why);
    v->rotating = false;
    s = cv_logkey_next_read(v->dir, &next, &why);
    if (s == CV_NOT_FOUND) {
        return notice(v, err);
    }
    if (s == CV_INTEGRITY) { /* it was being removed */
        cv_logkey_next_drop(v->dir);
        return notice(v, err);
    }
    if (s != CV_OK) {
        *err = why;
        return s;
    }
    s = is_taken(v, &next, &taken, err);
    if (s == CV_OK && taken) {
        s = cv_logkey_next_take(v->dir, &next, err);
        if (s == CV_OK) {
            s = cv_rotate_store(v, &next, err);
        }
        if (s == CV_OK) {
            s = cv_signer_settle(v, err);
        }
        if (s == CV_OK) {
            cv_logkey_next_drop(v->dir);
            use(v, &next);
        }
    } else if (s == CV_OK && said != NULL && same(said, &next)) {
        v->rotating = true;
        v->next_key = next;
    } else if (s == CV_OK) {
        cv_logkey_next_drop(v->dir);
    }
    return s;
}

enum cv_status cv_rotate_sign(struct cv_broker *b, const struct cv_buf *text,
                              struct cv_buf *lines, struct cv_err *err)
{
    const struct cv_note_key key = b->vault->log_key;
    enum cv_status s = cv_signer_line(b, &key, false, text, lines, err);

    if (s == CV_OK && b->vault->rotating) {
        const struct cv_note_key next = b->vault->next_key;

        cv_buf_add_char(lines, '\n');
        s = cv_signer_line(b, &next, true, text, lines, err);
    }
    return s;
}

static enum cv_status busy(struct cv_err *err)
{
    enum cv_status s =
        cv_fail(err, CV_BUSY, "the log's key is being changed already");

    cv_err_hint(err, "the next checkpoint ends that: certvault audit "
                     "checkpoint");
    return s;
}

/* ---- a change, with the vault's lock free ---- */

/* From here on whoever ends knows which key may be on the token. */
static enum cv_status plan(struct cv_broker *b, struct cv_rotate_change *c,
                           struct cv_err *err)
{
    enum cv_status s = cv_broker_enter(b, err);

    if (s != CV_OK) {
        return s;
    }
    c->keys.from = b->vault->log_key;
    if (b->vault->rotating) {
        s = busy(err);
    } else if (c->uri != NULL) {
        cv_signer_name(c->keys.from.name, &c->made);
        s = cv_signer_plan(b, c->token, &c->made, err);
        if (s != CV_OK) {
            c->made.id[0] = '\0';
        }
    }
    cv_broker_leave(b);
    return s;
}

static enum cv_status check_made(struct cv_broker *b,
                                 const struct cv_rotate_change *c,
                                 struct cv_err *err)
{
    enum cv_status s;

    if (same(&c->keys.to, &c->keys.from)) {
        s = cv_fail(err, CV_INVALID, "that is the log's key already");
        cv_err_state(err, "nothing was changed");
        return s;
    }
    s = cv_broker_enter(b, err);
    if (s == CV_OK) {
        s = cv_broker_policy_sign_not_with(b, &c->keys.to, err);
        cv_broker_leave(b);
    }
    return s;
}

static enum cv_status make(struct cv_broker *b, struct cv_rotate_change *c,
                           struct cv_err *err)
{
    const char *origin = c->keys.from.name;
    enum cv_status s;

    if (c->uri == NULL) {
        s = cv_arena_new(CV_KIB(64), &c->arena, err);
        return s == CV_OK ? cv_logkey_next_draw(origin, c->arena, &c->file,
                                                &c->keys.to, err)
                          : s;
    }
    s = cv_signer_make(b, c->uri, origin, &c->made, err);
    if (s == CV_OK) {
        c->keys.to = c->made.key;
        s = check_made(b, c, err);
    }
    return s;
}

/* A secret in a file signs when it is there: cv_rotate_begin. */
static enum cv_status sign_unlocked(struct cv_broker *b,
                                    struct cv_rotate_change *c,
                                    struct cv_err *err)
{
    enum cv_status s;

    cv_rotation_text(&c->keys, &c->text);
    s = cv_buf_status(&c->text, "a key's rotation", err);
    if (s == CV_OK) {
        s = cv_signer_line(b, &c->keys.from, false, &c->text, &c->old_line,
                           err);
    }
    if (s == CV_OK && c->uri != NULL) {
        s = cv_signer_line_at(b, &c->keys.to, c->made.uri, &c->text,
                              &c->new_line, err);
    }
    return s;
}

/* The log's key is in no file that it was in, where another broker changed it
 * meanwhile. */
static bool is_changed(struct cv_broker *b, const struct cv_rotate_change *c)
{
    bool is = false;

    if (cv_broker_enter(b, NULL) == CV_OK) {
        is = b->vault->rotating || !same(&b->vault->log_key, &c->keys.from);
        cv_broker_leave(b);
    }
    return is;
}

bool cv_rotate_is_lost(struct cv_broker *b, const struct cv_rotate_change *c,
                       struct cv_err *err)
{
    struct cv_err own;
    bool lost = false;

    cv_err_init(&own);
    if (cv_broker_enter(b, &own) == CV_OK) {
        lost = !b->vault->rotating && same(&b->vault->log_key, &c->keys.from);
        cv_broker_leave(b);
    }
    if (lost && c->uri != NULL && c->made.made) {
        cv_err_state(err, "the log's key is the one that it was; the new one "
                          "is on the token, and goes at the next token login "
                          "there");
    } else if (!lost && c->queued) {
        cv_err_state(err, "which key the log has is not known yet: certvault "
                          "audit key says it when the log can be read");
    }
    return lost;
}

enum cv_status cv_rotate_prepare(struct cv_broker *b, const char *uri,
                                 struct cv_rotate_change *c, struct cv_err *err)
{
    enum cv_status s = CV_OK;

    memset(c, 0, sizeof(*c));
    c->uri = uri;
    c->lock = -1;
    cv_buf_init(&c->file, NULL, 0);
    cv_buf_init(&c->text, NULL, CV_LIMIT_NOTE);
    cv_buf_init(&c->old_line, NULL, CV_LIMIT_NOTE);
    cv_buf_init(&c->new_line, NULL, CV_LIMIT_NOTE);
    if (uri != NULL) {
        s = cv_signer_lock(b, &c->lock, err);
    }
    if (s == CV_OK && uri != NULL) {
        s = cv_signer_token(b, uri, c->token, err);
    }
    if (s == CV_OK) {
        s = plan(b, c, err);
    }
    if (s == CV_OK) {
        s = make(b, c, err);
    }
    if (s == CV_OK) {
        s = sign_unlocked(b, c, err);
        s = s == CV_INTEGRITY && is_changed(b, c) ? busy(err) : s;
    }
    return s;
}

static enum cv_status write_next(struct cv_broker *b,
                                 struct cv_rotate_change *c, struct cv_err *err)
{
    const int dir = b->vault->dir;
    enum cv_status s;

    if (c->uri != NULL) {
        return cv_logkey_token_next(dir, &c->keys.to, c->made.uri, err);
    }
    s = cv_logkey_next_write(dir, &c->file, err);
    return s == CV_OK ? cv_signer_line(b, &c->keys.to, true, &c->text,
                                       &c->new_line, err)
                      : s;
}

enum cv_status cv_rotate_begin(struct cv_ask *ask, struct cv_rotate_change *c,
                               struct cv_err *err)
{
    struct cv_broker *b = ask->broker;
    struct cv_vault *v = b->vault;
    cJSON *details;
    enum cv_status s;

    if (v->rotating || !same(&v->log_key, &c->keys.from)) {
        return busy(err);
    }
    details = cJSON_CreateObject();
    s = write_next(b, c, err);
    if (s == CV_OK) {
        s = cv_rotation_details(&c->keys, cv_buf_text(&c->old_line),
                                cv_buf_text(&c->new_line), details, err);
    }
    if (s == CV_OK) {
        s = cv_ask_outcome(ask, CV_OK, details, err);
    }
    if (s != CV_OK) {
        cv_logkey_next_drop(v->dir);
    }
    c->queued = s == CV_OK;
    cJSON_Delete(details);
    return s;
}

static void unplan(struct cv_broker *b, const struct cv_rotate_change *c)
{
    struct cv_err own;

    cv_err_init(&own);
    if (cv_broker_enter(b, &own) == CV_OK) {
        (void)!cv_signer_unplan(b, &c->made, &own);
        cv_broker_leave(b);
    }
}

/* Nothing is left of the key that was made. Whether it was is not known where
 * the token's process ended over it. */
static void take_back(struct cv_broker *b, const struct cv_rotate_change *c,
                      struct cv_err *err)
{
    struct cv_err own;

    cv_err_init(&own);
    if (cv_signer_undo(b, c->token, &c->made, &own) != CV_OK) {
        cv_err_state(err, "the log's key is the one that it was; what is left "
                          "of the new one goes at the token's next login");
        return;
    }
    unplan(b, c);
}

void cv_rotate_end(struct cv_broker *b, struct cv_rotate_change *c,
                   struct cv_err *err)
{
    if (!c->queued && c->made.id[0] != '\0') {
        take_back(b, c, err);
    } else if (c->made.id[0] != '\0' && !c->made.made) {
        unplan(b, c); /* it was on the token before */
    }
    cv_file_close(&c->lock);
    cv_buf_wipe(&c->new_line);
    cv_buf_wipe(&c->old_line);
    cv_buf_wipe(&c->text);
    cv_buf_wipe(&c->file);
    cv_arena_free(c->arena);
}
