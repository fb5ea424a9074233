#include "vault/broker/rotate.h"

#include "vault/audit/logkey_token.h"
#include "vault/audit/rotation.h"
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

static enum cv_status make_details(struct cv_broker *b,
                                   const struct cv_rotation *r, cJSON *details,
                                   struct cv_err *err)
{
    struct cv_buf text, old_line, new_line;
    enum cv_status s;

    cv_buf_init(&text, NULL, CV_LIMIT_NOTE);
    cv_buf_init(&old_line, NULL, CV_LIMIT_NOTE);
    cv_buf_init(&new_line, NULL, CV_LIMIT_NOTE);
    cv_rotation_text(r, &text);
    s = cv_buf_status(&text, "a key's rotation", err);
    if (s == CV_OK) {
        s = cv_signer_line(b, &r->from, false, &text, &old_line, err);
    }
    if (s == CV_OK) {
        s = cv_signer_line(b, &r->to, true, &text, &new_line, err);
    }
    if (s == CV_OK) {
        s = cv_rotation_details(r, cv_buf_text(&old_line),
                                cv_buf_text(&new_line), details, err);
    }
    cv_buf_wipe(&new_line);
    cv_buf_wipe(&old_line);
    cv_buf_wipe(&text);
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

/* Written down before the token is asked, so that a key which nobody uses is
 * found again (signer.h). */
static enum cv_status on_token(struct cv_broker *b, const char *uri,
                               struct cv_signer_key *made,
                               struct cv_note_key *to, struct cv_err *err)
{
    const struct cv_note_key *now = &b->vault->log_key;
    enum cv_status s;

    cv_signer_name(now->name, made);
    s = cv_signer_pending(b, uri, made, err);
    if (s == CV_OK) {
        s = cv_signer_make(b, uri, now->name, made, err);
    }
    if (s == CV_OK && same(&made->key, now)) {
        s = cv_fail(err, CV_INVALID, "that is the log's key already");
        cv_err_state(err, "nothing was changed");
    }
    if (s == CV_OK) {
        s = cv_broker_policy_sign_not_with(b, &made->key, err);
    }
    if (s == CV_OK) {
        *to = made->key;
        s = cv_logkey_token_next(b->vault->dir, to, made->uri, err);
    }
    return s;
}

/* It did not come to a leaf: nothing is left of the key that was made. Whether
 * it was is not known where the token's process ended over it. */
static void take_back(struct cv_broker *b, const char *uri,
                      const struct cv_signer_key *made, struct cv_err *err)
{
    struct cv_err own;

    cv_err_init(&own);
    cv_logkey_next_drop(b->vault->dir);
    if (uri == NULL) {
        return;
    }
    if (cv_signer_undo(b, uri, made, &own) != CV_OK) {
        cv_err_state(err, "the log's key is the one that it was; what is left "
                          "of the new one goes at the token's next login");
        return;
    }
    (void)!cv_signer_pending(b, NULL, NULL, &own);
}

enum cv_status cv_rotate_begin(struct cv_ask *ask, const char *uri,
                               struct cv_err *err)
{
    struct cv_broker *b = ask->broker;
    struct cv_vault *v = b->vault;
    struct cv_rotation r = {.from = v->log_key};
    struct cv_signer_key made = {.made = false};
    cJSON *details;
    enum cv_status s;

    if (v->rotating) {
        return busy(err);
    }
    details = cJSON_CreateObject();
    s = uri != NULL
            ? on_token(b, uri, &made, &r.to, err)
            : cv_logkey_next_create(v->dir, v->log_key.name, &r.to, err);
    if (s == CV_OK) {
        s = make_details(b, &r, details, err);
    }
    if (s == CV_OK) {
        s = cv_ask_outcome(ask, CV_OK, details, err);
    }
    if (s != CV_OK) {
        take_back(b, uri, &made, err);
    }
    cJSON_Delete(details);
    return s;
}
