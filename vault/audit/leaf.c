#include "vault/audit/leaf_internal.h"

#include "vault/audit/details_internal.h"
#include "vault/audit/pen_internal.h"
#include "vault/base/clock.h"
#include "vault/base/json.h"

#include <sodium.h>
#include <stdio.h>
#include <string.h>

#define WORD 64  /* longest of our own words */
#define HINT 256 /* longest hint kept */
#define USER 256
#define RULE 256
#define GIDS_MAX 1024

void cv_leaf_init(struct cv_leaf *leaf)
{
    memset(leaf, 0, sizeof *leaf);
    leaf->time_s = -1;
    leaf->mono_ms = -1;
    leaf->loginuid = -1;
    leaf->policy_version = -1;
}

void cv_leaf_new_op(char out[CV_LEAF_OP + 1])
{
    uint8_t random[CV_LEAF_OP / 2];

    randombytes_buf(random, sizeof random);
    sodium_bin2hex(out, CV_LEAF_OP + 1, random, sizeof random);
}

static enum cv_status wrong(const char *member, struct cv_err *err)
{
    return cv_fail(err, CV_INVALID, "audit record, %s: missing or not valid",
                   member);
}

static bool is_outcome(const char *word)
{
    static const char *const words[] = {"ok", "failed", "aborted", "unknown"};

    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++) {
        if (strcmp(words[i], word) == 0) {
            return true;
        }
    }
    return false;
}

/* What one member by itself does not tell. */
static enum cv_status check(const struct cv_leaf *l, struct cv_err *err)
{
    if (l->action == NULL || !cv_details_is_action(l->action)) {
        return wrong("action", err);
    }
    if (l->phase == CV_LEAF_DECISION && l->decision == CV_LEAF_NONE) {
        return wrong("decision", err);
    }
    if (l->phase == CV_LEAF_OUTCOME &&
        (l->outcome == NULL || l->decision == CV_LEAF_DENY)) {
        return wrong("outcome", err);
    }
    if (l->outcome != NULL && !is_outcome(l->outcome)) {
        return wrong("outcome", err);
    }
    if (l->n_gids > GIDS_MAX) {
        return wrong("gids", err);
    }
    return l->details == NULL ? CV_OK
                              : cv_details_check(l->action, l->details, err);
}

static void put_text(struct cv_pen *pen, const char *key, const char *text,
                     size_t max)
{
    if (text != NULL) {
        cv_pen_key(pen, key);
        cv_pen_text(pen, text, max);
    }
}

static void put_required(struct cv_pen *pen, const char *key, const char *text,
                         size_t max)
{
    cv_pen_key(pen, key);
    if (text == NULL || text[0] == '\0') {
        cv_pen_refuse(pen);
        return;
    }
    cv_pen_text(pen, text, max);
}

static void put_word(struct cv_pen *pen, const char *key, const char *word)
{
    if (word != NULL) {
        cv_pen_key(pen, key);
        cv_pen_word(pen, word);
    }
}

static void put_hex(struct cv_pen *pen, const char *key, const char *text,
                    size_t digits)
{
    if (text != NULL) {
        cv_pen_key(pen, key);
        cv_pen_hex(pen, text, digits);
    }
}

static void put_uint(struct cv_pen *pen, const char *key, int64_t value)
{
    cv_pen_key(pen, key);
    cv_pen_uint(pen, (uint64_t)value);
}

/* What cannot be told who it is from: shown for what it is worth. */
static void put_hint(struct cv_pen *pen, const char *key, const char *text)
{
    char clean[HINT + 1];
    size_t len = 0;

    if (text == NULL || text[0] == '\0') {
        return;
    }
    for (; text[len] != '\0' && len < HINT; len++) {
        uint8_t c = (uint8_t)text[len];

        clean[len] = c < 0x20 || c >= 0x7f ? '?' : text[len];
    }
    clean[len] = '\0';
    put_text(pen, key, clean, HINT);
}

static void put_gids(struct cv_pen *pen, const struct cv_leaf *l)
{
    cv_pen_key(pen, "gids");
    cv_pen_open(pen, '[');
    if (l->has_gid) {
        cv_pen_uint(pen, l->gid);
    }
    for (size_t i = 0; i < l->n_gids; i++) {
        if (!l->has_gid || l->gids[i] != l->gid) {
            cv_pen_uint(pen, l->gids[i]);
        }
    }
    cv_pen_close(pen, ']');
}

static void put_actor(struct cv_pen *pen, const struct cv_leaf *l)
{
    char user[32];

    cv_pen_key(pen, "actor");
    cv_pen_open(pen, '{');
    put_gids(pen, l);
    cv_pen_key(pen, "hints");
    cv_pen_open(pen, '{');
    put_hint(pen, "exe", l->exe);
    if (l->loginuid >= 0) {
        put_uint(pen, "loginuid", l->loginuid);
    }
    put_hint(pen, "tty", l->tty);
    cv_pen_close(pen, '}');
    if (l->pid > 0) {
        put_uint(pen, "pid", l->pid);
    }
    put_uint(pen, "uid", l->uid);
    if (l->user == NULL) {
        (void)snprintf(user, sizeof user, "uid:%lu", (unsigned long)l->uid);
    }
    put_text(pen, "user", l->user == NULL ? user : l->user, USER);
    cv_pen_close(pen, '}');
}

static void put_broker(struct cv_pen *pen, const struct cv_leaf *l)
{
    cv_pen_key(pen, "broker");
    cv_pen_open(pen, '{');
    put_required(pen, "host", l->host, HINT);
    put_required(pen, "mode", l->mode, WORD);
    put_text(pen, "version", l->version == NULL ? CV_VERSION : l->version,
             WORD);
    cv_pen_close(pen, '}');
}

static void put_policy(struct cv_pen *pen, const struct cv_leaf *l)
{
    if (l->policy_version < 0) {
        return;
    }
    cv_pen_key(pen, "policy");
    cv_pen_open(pen, '{');
    cv_pen_key(pen, "sha256");
    cv_pen_hex(pen, l->policy_sha256, 64);
    put_uint(pen, "version", l->policy_version);
    cv_pen_close(pen, '}');
}

static void put_rules(struct cv_pen *pen, const struct cv_leaf *l)
{
    cv_pen_key(pen, "rules");
    cv_pen_open(pen, '[');
    for (size_t i = 0; i < l->n_rules; i++) {
        cv_pen_text(pen, l->rules[i], RULE);
    }
    cv_pen_close(pen, ']');
}

/* The members from "action" to "error". */
static void put_first_half(struct cv_pen *pen, const struct cv_leaf *l)
{
    static const char *const verdicts[] = {NULL, "permit", "deny"};

    put_word(pen, "action", l->action);
    put_actor(pen, l);
    put_text(pen, "boot", l->boot == NULL ? cv_clock_boot_id() : l->boot, WORD);
    put_broker(pen, l);
    put_text(pen, "context", l->context, CV_LIMIT_URL);
    put_word(pen, "decision", verdicts[l->decision]);
    cv_pen_key(pen, "details");
    cv_details_write(pen, l->details);
    put_text(pen, "entry", l->entry, CV_LIMIT_NAME);
    put_hex(pen, "entry_id", l->entry_id, 32);
    if (l->status != CV_OK) {
        put_word(pen, "error", cv_err_code_name(l->status));
    }
}

/* Those from "mono_ms" to "v". */
static void put_second_half(struct cv_pen *pen, const struct cv_leaf *l,
                            const struct cv_leaf_place *place)
{
    static const char *const phases[] = {"decision", "outcome", "event"};
    char time[CV_CLOCK_TEXT_LEN];

    put_uint(pen, "mono_ms", l->mono_ms < 0 ? cv_clock_boot_ms() : l->mono_ms);
    cv_pen_key(pen, "op");
    cv_pen_hex(pen, l->op, CV_LEAF_OP);
    put_word(pen, "outcome", l->outcome);
    put_word(pen, "phase", phases[l->phase]);
    put_policy(pen, l);
    if (place != NULL) {
        cv_pen_key(pen, "prev");
        cv_pen_base64(pen, place->prev);
    }
    put_text(pen, "reason", l->reason, CV_LIMIT_REASON);
    put_rules(pen, l);
    if (place != NULL) {
        cv_pen_key(pen, "seq");
        cv_pen_uint(pen, place->seq);
    }
    put_hex(pen, "spki", l->spki, 64);
    put_text(pen, "ticket", l->ticket, CV_LIMIT_TICKET);
    put_word(
        pen, "time",
        cv_clock_format(l->time_s < 0 ? cv_clock_now_s() : l->time_s, time));
    if (place != NULL) {
        put_uint(pen, "v", CV_LEAF_VERSION);
    }
}

enum cv_status cv_leaf_write(const struct cv_leaf *leaf,
                             const struct cv_leaf_place *place,
                             struct cv_buf *out, struct cv_err *err)
{
    enum cv_status status = check(leaf, err);
    struct cv_pen pen;

    if (status != CV_OK) {
        return status;
    }
    cv_pen_begin(&pen, out);
    cv_pen_open(&pen, '{');
    put_first_half(&pen, leaf);
    put_second_half(&pen, leaf, place);
    cv_pen_close(&pen, '}');
    cv_pen_end(&pen);
    if (pen.wrong != NULL) {
        return wrong(pen.wrong, err);
    }
    return cv_buf_status(out, "an audit record", err);
}

enum cv_status cv_leaf_build(const struct cv_leaf *leaf, cJSON **out,
                             struct cv_err *err)
{
    struct cv_arena *arena = cv_json_use(NULL);
    struct cv_buf text;
    enum cv_status status;

    (void)cv_json_use(arena);
    *out = NULL;
    cv_buf_init(&text, NULL, CV_LIMIT_LEAF);
    status = cv_leaf_write(leaf, NULL, &text, err);
    if (status == CV_OK) {
        status = cv_json_parse(arena, cv_buf_bytes(&text), out, err);
    }
    cv_buf_wipe(&text);
    return status;
}
