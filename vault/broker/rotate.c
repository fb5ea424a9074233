#include "vault/broker/rotate.h"

#include "vault/audit/rotation.h"
#include "vault/base/limits.h"
#include "vault/broker/broker_internal.h"

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

static enum cv_status put_in_store(struct cv_vault *v,
                                   const struct cv_note_key *key,
                                   struct cv_err *err)
{
    struct cv_buf text;
    enum cv_status s;

    cv_buf_init(&text, NULL, CV_LIMIT_NOTE);
    cv_note_key_text(key, &text);
    s = cv_buf_status(&text, "the log's key", err);
    if (s == CV_OK) {
        s = cv_store_meta_put(v->store, "log_key", cv_buf_text(&text), err);
    }
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
            s = put_in_store(v, &next, err);
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

/* The seed passes through to the token process, which signs. */
static enum cv_status sign(struct cv_broker *b, const struct cv_note_key *key,
                           bool next, const struct cv_buf *text,
                           struct cv_buf *lines, struct cv_err *err)
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
        cv_buf_add(lines, line, strcspn(line, "\n"));
        s = cv_buf_status(lines, "a signature", err);
    }
    cv_message_free(&reply);
    return s;
}

enum cv_status cv_rotate_sign(struct cv_broker *b, const struct cv_buf *text,
                              struct cv_buf *lines, struct cv_err *err)
{
    const struct cv_note_key key = b->vault->log_key;
    enum cv_status s = sign(b, &key, false, text, lines, err);

    if (s == CV_OK && b->vault->rotating) {
        const struct cv_note_key next = b->vault->next_key;

        cv_buf_add_char(lines, '\n');
        s = sign(b, &next, true, text, lines, err);
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
        s = sign(b, &r->from, false, &text, &old_line, err);
    }
    if (s == CV_OK) {
        s = sign(b, &r->to, true, &text, &new_line, err);
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

enum cv_status cv_rotate_begin(struct cv_ask *ask, struct cv_err *err)
{
    struct cv_vault *v = ask->broker->vault;
    struct cv_rotation r = {.from = v->log_key};
    cJSON *details;
    enum cv_status s;

    if (v->rotating) {
        s = cv_fail(err, CV_BUSY, "the log's key is being changed already");
        cv_err_hint(err, "the next checkpoint ends that: certvault audit "
                         "checkpoint");
        return s;
    }
    details = cJSON_CreateObject();
    s = cv_logkey_next_create(v->dir, v->log_key.name, &r.to, err);
    if (s == CV_OK) {
        s = make_details(ask->broker, &r, details, err);
    }
    if (s == CV_OK) {
        s = cv_ask_outcome(ask, CV_OK, details, err);
    }
    if (s != CV_OK) {
        cv_logkey_next_drop(v->dir);
    }
    cJSON_Delete(details);
    return s;
}
