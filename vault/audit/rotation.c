#include "vault/audit/rotation.h"

#include "vault/audit/archived.h"
#include "vault/audit/carried.h"
#include "vault/audit/logkey.h"
#include "vault/audit/query_internal.h"
#include "vault/base/json.h"
#include "vault/base/limits.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define DASH "\xe2\x80\x94 " /* U+2014 */
#define MARK "\"new_log_key\""

void cv_rotation_text(const struct cv_rotation *r, struct cv_buf *out)
{
    cv_buf_add_format(out, "certvault log key rotation\n%s\n", r->to.name);
    cv_note_key_text(&r->from, out);
    cv_buf_add_char(out, '\n');
    cv_note_key_text(&r->to, out);
    cv_buf_add_char(out, '\n');
}

static enum cv_status check_one(const struct cv_note_key *key,
                                struct cv_bytes text, const char *line,
                                struct cv_err *err)
{
    struct cv_bytes signed_text;
    struct cv_buf note;
    enum cv_status status;

    cv_buf_init(&note, NULL, CV_LIMIT_NOTE);
    status = cv_note_join(text, line, &note, err);
    if (status == CV_OK) {
        status = cv_note_open(cv_buf_bytes(&note), key, 1, &signed_text, err);
    }
    cv_buf_wipe(&note);
    return status == CV_INVALID ? CV_INTEGRITY : status;
}

static enum cv_status check(const struct cv_rotation *r, const char *old_line,
                            const char *new_line, struct cv_err *err)
{
    struct cv_buf text;
    enum cv_status status;

    if (strcmp(r->from.name, r->to.name) != 0 ||
        memcmp(r->from.public_key, r->to.public_key,
               sizeof r->from.public_key) == 0) {
        return cv_fail(err, CV_INTEGRITY, "no other key of the same log");
    }
    cv_buf_init(&text, NULL, CV_LIMIT_NOTE);
    cv_rotation_text(r, &text);
    status = cv_buf_status(&text, "a key's rotation", err);
    if (status == CV_OK) {
        status = check_one(&r->from, cv_buf_bytes(&text), old_line, err);
    }
    if (status == CV_OK) {
        status = check_one(&r->to, cv_buf_bytes(&text), new_line, err);
    }
    cv_buf_wipe(&text);
    return status;
}

static bool add_key(cJSON *details, const char *name,
                    const struct cv_note_key *key)
{
    struct cv_buf text;
    bool ok;

    cv_buf_init(&text, NULL, CV_LIMIT_NOTE);
    cv_note_key_text(key, &text);
    ok = text.status == CV_OK &&
         cv_json_add_str(details, name, cv_buf_text(&text));
    cv_buf_wipe(&text);
    return ok;
}

/* What is behind the name in a signature line. */
static bool add_line(cJSON *details, const char *name, const char *line)
{
    char value[256];
    const char *blank = strrchr(line, ' ');
    size_t len = blank == NULL ? 0 : strcspn(blank + 1, "\n");

    if (len == 0 || len >= sizeof value) {
        return false;
    }
    memcpy(value, blank + 1, len);
    value[len] = '\0';
    return cv_json_add_str(details, name, value);
}

enum cv_status cv_rotation_details(const struct cv_rotation *r,
                                   const char *old_line, const char *new_line,
                                   cJSON *details, struct cv_err *err)
{
    enum cv_status status = check(r, old_line, new_line, err);

    if (status == CV_OK && (!add_key(details, "old_log_key", &r->from) ||
                            !add_key(details, "new_log_key", &r->to) ||
                            !add_line(details, "old_signature", old_line) ||
                            !add_line(details, "new_signature", new_line))) {
        status = cv_fail(err, CV_INTERNAL, "out of memory");
    }
    return status;
}

static enum cv_status read_tree(const cJSON *tree, struct cv_rotation *out,
                                struct cv_err *err)
{
    const char *from = NULL, *to = NULL, *old_sig = NULL, *new_sig = NULL;
    const struct cv_json_field fields[] = {
        {"old_log_key", CV_JSON_STRING, true, &from, CV_LIMIT_NOTE},
        {"new_log_key", CV_JSON_STRING, true, &to, CV_LIMIT_NOTE},
        {"old_signature", CV_JSON_STRING, true, &old_sig, 256},
        {"new_signature", CV_JSON_STRING, true, &new_sig, 256},
    };
    char lines[2][CV_NOTE_NAME + 300];

    if (cv_json_read(tree, "a key's rotation", fields, 4, false, err) !=
            CV_OK ||
        cv_note_key_parse(from, &out->from, err) != CV_OK ||
        cv_note_key_parse(to, &out->to, err) != CV_OK) {
        return CV_INTEGRITY;
    }
    (void)snprintf(lines[0], sizeof lines[0], DASH "%s %s", out->from.name,
                   old_sig);
    (void)snprintf(lines[1], sizeof lines[1], DASH "%s %s", out->to.name,
                   new_sig);
    return check(out, lines[0], lines[1], err);
}

enum cv_status cv_rotation_read(struct cv_bytes details,
                                struct cv_rotation *out, struct cv_err *err)
{
    struct cv_canon members;
    cJSON *tree = NULL;
    enum cv_status status;

    memset(out, 0, sizeof *out);
    if (details.len == 0 || !cv_canon_scan(details, &members) ||
        cv_canon_get(&members, "new_log_key").len == 0) {
        return cv_fail(err, CV_NOT_FOUND, "not about the log's key");
    }
    status = cv_json_parse(NULL, details, &tree, err);
    if (status == CV_OK) {
        status = read_tree(tree, out, err);
    }
    cJSON_Delete(tree);
    if (status != CV_OK) {
        memset(out, 0, sizeof *out);
        cv_err_prefix(err, "the log's new key");
        return CV_INTEGRITY;
    }
    return CV_OK;
}

bool cv_rotation_is_same(const struct cv_note_key *a,
                         const struct cv_note_key *b)
{
    return strcmp(a->name, b->name) == 0 &&
           memcmp(a->public_key, b->public_key, sizeof a->public_key) == 0;
}

static enum cv_status add_link(struct cv_rotation_chain *c,
                               const struct cv_rotation *r, struct cv_err *err)
{
    struct cv_note_key *grown;

    if (c->n > CV_LIMIT_LOG_KEYS) {
        return cv_fail(err, CV_INVALID, "more than %d changes of the log's key",
                       CV_LIMIT_LOG_KEYS);
    }
    grown = realloc(c->keys, (c->n + 2) * sizeof *grown);
    if (grown == NULL) {
        return cv_fail(err, CV_INTERNAL, "memory is gone");
    }
    c->keys = grown;
    if (c->n == 0) {
        grown[c->n++] = r->from;
    }
    grown[c->n++] = r->to;
    return CV_OK;
}

enum cv_status cv_rotation_leaf(struct cv_bytes leaf, uint64_t *seq,
                                struct cv_rotation *out, struct cv_err *err)
{
    struct cv_record record;

    if (memmem(leaf.data, leaf.len, MARK, sizeof MARK - 1) == NULL ||
        cv_record_read(leaf, &record) != NULL ||
        !cv_record_is(record.action, "admin") ||
        !cv_record_is(record.phase, "outcome")) {
        return cv_fail(err, CV_NOT_FOUND, "not about the log's key");
    }
    *seq = record.seq;
    return cv_rotation_read(cv_canon_get(&record.all, "details"), out, err);
}

enum cv_status cv_rotation_chain_take(struct cv_rotation_chain *c,
                                      struct cv_bytes leaf, struct cv_err *err)
{
    struct cv_rotation r;
    uint64_t seq = 0;
    enum cv_status status = cv_rotation_leaf(leaf, &seq, &r, err);

    if (status == CV_OK && c->n > 0 &&
        !cv_rotation_is_same(&c->keys[c->n - 1], &r.from)) {
        status = cv_fail(err, CV_INTEGRITY,
                         "record %llu gives another key's place away",
                         (unsigned long long)seq);
    }
    return status == CV_OK ? add_link(c, &r, err) : status;
}

enum cv_status cv_rotation_chain_open(const struct cv_rotation_chain *c,
                                      struct cv_bytes note,
                                      struct cv_checkpoint *out, size_t *by,
                                      struct cv_err *err)
{
    for (size_t i = c->n; i > 0; i--) {
        if (cv_checkpoint_open(note, &c->keys[i - 1], out, NULL) == CV_OK) {
            if (by != NULL) {
                *by = i - 1;
            }
            return CV_OK;
        }
    }
    return cv_fail(err, CV_INTEGRITY, "signed by no key that the log had");
}

void cv_rotation_chain_free(struct cv_rotation_chain *c)
{
    free(c->keys);
    *c = (struct cv_rotation_chain){NULL, 0};
}

static bool add_item(cJSON *items, const struct cv_note_key *key,
                     uint64_t since, uint64_t until)
{
    cJSON *item = cJSON_CreateObject();
    bool ok = add_key(item, "vkey", key) &&
              cv_json_add_int(item, "since", (int64_t)since) &&
              (until == 0 || cv_json_add_int(item, "until", (int64_t)until)) &&
              cv_json_add_bool(item, "current", until == 0);

    if (!ok || !cJSON_AddItemToArray(items, item)) {
        cJSON_Delete(item);
        return false;
    }
    return true;
}

static enum cv_status list_one(void *ctx, const struct cv_query_cursor *at,
                               struct cv_bytes leaf, struct cv_err *err)
{
    struct cv_record record;
    enum cv_status status = cv_carried_take(ctx, leaf, err);

    return status == CV_OK          ? cv_query_check(at, leaf, &record, err)
           : status == CV_NOT_FOUND ? CV_OK
                                    : status;
}

/* They are a chain to the key of now; also where the last change is recorded
 * and its checkpoint is still to come. */
static enum cv_status check_chain(const struct cv_carried *c, int vault,
                                  const struct cv_note_key *now,
                                  struct cv_err *err)
{
    for (size_t i = 1; i < c->n; i++) {
        if (!cv_rotation_is_same(&c->items[i - 1].change.to,
                                 &c->items[i].change.from)) {
            return cv_fail(err, CV_INTEGRITY,
                           "record %llu gives another key's place away",
                           (unsigned long long)c->items[i].seq);
        }
    }
    if (c->n == 0 || cv_rotation_is_same(&c->items[c->n - 1].change.to, now) ||
        (cv_rotation_is_same(&c->items[c->n - 1].change.from, now) &&
         cv_logkey_next_is_there(vault))) {
        return CV_OK;
    }
    return cv_fail(err, CV_INTEGRITY,
                   "the log's key is not the one that its last change of "
                   "keys gives");
}

static enum cv_status tell(const struct cv_carried *c, uint64_t begins,
                           const struct cv_note_key *now, cJSON *items,
                           struct cv_err *err)
{
    uint64_t since = c->n > 0 && c->items[0].seq < begins ? 0 : begins;
    bool ok = true;

    for (size_t i = 0; ok && i < c->n; i++) {
        const struct cv_carried_one *one = &c->items[i];

        ok = add_item(items, &one->change.from, since, one->seq + 1);
        since = one->seq + 1;
        now = &one->change.to;
    }
    return ok && add_item(items, now, since, 0)
               ? CV_OK
               : cv_fail(err, CV_INTERNAL, "out of memory");
}

enum cv_status cv_rotation_list(int vault, const struct cv_note_key *now,
                                cJSON *items, struct cv_err *err)
{
    struct cv_query_cursor from = {0, 0};
    struct cv_carried changes = {0};
    struct cv_archived gone;
    enum cv_status status = cv_archived_read(vault, &gone, err);

    if (status == CV_OK) {
        status = cv_query_scan(vault, &from, list_one, &changes, err);
    }
    if (status == CV_OK) {
        status = check_chain(&changes, vault, now, err);
    }
    if (status == CV_OK) {
        status = tell(&changes, gone.tree.size, now, items, err);
    }
    cv_carried_free(&changes);
    return status;
}
