/* AuditArchive, AuditArchiveRead, AuditArchiveEnd: the oldest records go to the
 * caller, and then off the disk.
 *
 * The caller gets the log's frames piece by piece, each checked on the way;
 * when it has them on its disk, read back, it names their digest. Then the
 * leaves that carry the changes of the log's key that go, the one that says
 * what is archived, a checkpoint over it, audit/archived, the
 * hole in the log. Cut off before audit/archived is there, nothing happened,
 * and nobody can make it happen later (its opening is gone with this process);
 * after that, whoever opens the log next goes on (cv_archived_finish). */
#include "vault/broker/archiving_internal.h"

#include "vault/audit/archived.h"
#include "vault/base/clock.h"
#include "vault/broker/backup_internal.h"
#include "vault/broker/proving_internal.h"
#include "vault/broker/signer.h"
#include "vault/broker/sink.h"
#include "vault/store/store_journal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct cv_archiving {
    struct cv_caller *caller;
    struct cv_ask ask;
    char reason[CV_LIMIT_REASON + 1], ticket[CV_LIMIT_TICKET + 1];
    struct cv_archived_copy copy;
    int64_t asked_ms;
    bool whole; /* all of it was read, the digest is known */
};

void cv_archiving_drop(struct cv_broker *b)
{
    if (b->archiving != NULL) {
        cv_archived_copy_free(&b->archiving->copy);
    }
    free(b->archiving);
    b->archiving = NULL;
}

static cJSON *details_of(const struct cv_archiving *a, const char *because)
{
    const struct cv_archived *now = &a->copy.now;
    cJSON *details = cJSON_CreateObject();

    (void)cv_json_add_str(details, "method", "AuditArchive");
    (void)cv_json_add_int(details, "size", (int64_t)a->copy.before);
    (void)cv_json_add_str(details, "because", because);
    if (because == NULL) {
        (void)cv_json_add_str(details, "digest", now->digest);
    }
    return details;
}

/* Tells how it ended, and lets go of it. Not entered. */
static void end(struct cv_broker *b, enum cv_status s, const char *because)
{
    cJSON *details = details_of(b->archiving, because);

    cv_ask_outcome_now(&b->archiving->ask, s, details);
    cJSON_Delete(details);
    cv_archiving_drop(b);
}

void cv_archiving_left(struct cv_broker *b, struct cv_caller *caller)
{
    struct cv_caller *before = b->caller;

    if (b->archiving != NULL && b->archiving->caller == caller) {
        b->caller = caller;
        end(b, CV_FAILED, "its reader left before it was whole");
        b->caller = before;
    }
}

/* ---- what may be archived ---- */

static enum cv_status too_young(const char *until, int64_t per_s,
                                struct cv_err *err)
{
    char from[CV_CLOCK_TEXT_LEN];
    int64_t at = 0;
    enum cv_status s = cv_clock_parse(until, &at, err);

    if (s != CV_OK || at + per_s < cv_clock_now_s()) {
        return s;
    }
    cv_fail(err, CV_INVALID,
            "a limit of the policy counts %lld s back, and would miss records "
            "up to %s",
            (long long)per_s, until);
    cv_err_hint(err, "from %s on it would not",
                cv_clock_format(at + per_s + 1, from));
    return CV_INVALID;
}

enum cv_status cv_archiving_allows(struct cv_broker *b, int64_t per_s,
                                   struct cv_err *err)
{
    struct cv_archived gone;
    enum cv_status s = cv_archived_read(b->vault->dir, &gone, err);

    if (s == CV_OK && gone.tree.size > 0 && per_s > 0) {
        s = too_young(gone.until, per_s, err);
    }
    return s;
}

static int64_t longest(const struct cv_broker *b)
{
    return b->policy == NULL ? 0 : cv_policy_longest_per_s(b->policy);
}

/* May be archived under a limit that counts `per_s` back? What is of a time
 * that is yet to come may be of any time. */
static enum cv_status is_past(const char *time, int64_t per_s,
                              struct cv_err *err)
{
    int64_t at = 0;
    enum cv_status s = cv_clock_parse(time, &at, err);

    if (s != CV_OK || at <= cv_clock_now_s()) {
        return s == CV_OK ? too_young(time, per_s, err) : s;
    }
    cv_fail(err, CV_INVALID,
            "one of these records says that it is of %s, which is yet to come: "
            "the machine's clock was ahead",
            time);
    cv_err_hint(err, "nobody can say whether a limit of the policy counts it "
                     "still: archive only what is before it, or while the "
                     "policy has no limits");
    return CV_INVALID;
}

/* The last one of them, by what it says of its time. */
static enum cv_status check_time(struct cv_broker *b, uint64_t seq,
                                 struct cv_err *err)
{
    int64_t per_s = longest(b);
    cJSON *tree = NULL;
    struct cv_buf leaf;
    enum cv_status s;

    cv_buf_init(&leaf, NULL, CV_LIMIT_LEAF);
    s = cv_query_record(b->vault->dir, seq, &leaf, err);
    if (s == CV_OK && per_s > 0) {
        s = cv_json_parse(NULL, cv_buf_bytes(&leaf), &tree, err);
        if (s == CV_OK) {
            s = is_past(cv_entry_text(tree, "time"), per_s, err);
        }
    }
    cJSON_Delete(tree);
    cv_buf_wipe(&leaf);
    return s;
}

static enum cv_status found_row(void *context, const char *op,
                                const char *action, const char *doc,
                                int64_t created, struct cv_err *err)
{
    (void)op;
    (void)action;
    (void)doc;
    (void)created;
    (void)err;
    *(bool *)context = true;
    return CV_OK;
}

/* What was begun finds its decision in the log. Entered. */
static enum cv_status check_journal(struct cv_broker *b, struct cv_err *err)
{
    bool any = false;
    enum cv_status s =
        cv_store_journal_list(b->vault->store, found_row, &any, err);

    if (s == CV_OK && any) {
        s = cv_fail(err, CV_BUSY, "a change is not finished");
        cv_err_hint(err, "certvault status says which; then try again");
    }
    return s;
}

/* A sink that is behind would never get them. */
static enum cv_status check_sinks(struct cv_broker *b, uint64_t before,
                                  struct cv_err *err)
{
    cJSON *list = cv_sink_status(b);
    const cJSON *item;
    enum cv_status s = CV_OK;

    cJSON_ArrayForEach(item, list)
    {
        const cJSON *seq = cJSON_GetObjectItemCaseSensitive(item, "seq");

        if (s == CV_OK && cJSON_IsNumber(seq) &&
            seq->valuedouble < (double)before) {
            s = cv_fail(err, CV_BUSY,
                        "the sink %s has the records before %.0f only",
                        cv_entry_text(item, "name"), seq->valuedouble);
            cv_err_hint(err, "certvault audit send hands on what it has not; "
                             "a sink that is not wanted any more is taken out "
                             "of the configuration");
        }
    }
    cJSON_Delete(list);
    return s;
}

/* Not entered; `p` has a checkpoint over all that there is. */
static enum cv_status plan(struct cv_broker *b, const struct cv_proving *p,
                           uint64_t wanted, struct cv_archived_copy *c,
                           struct cv_err *err)
{
    uint64_t before = wanted - wanted % CV_ARCHIVED_EVERY;
    enum cv_status s = cv_archived_copy_begin(b->vault->dir, before, c, err);

    if (s != CV_OK) {
        return s;
    }
    if (wanted > p->checkpoint.size) {
        cv_fail(err, CV_NOT_FOUND, "the last checkpoint is over %llu records",
                (unsigned long long)p->checkpoint.size);
        cv_err_hint(err, "only what was signed is archived: certvault audit "
                         "checkpoint signs what is there");
        return CV_NOT_FOUND;
    }
    if (before <= c->first) {
        cv_fail(err, CV_INVALID,
                before < CV_ARCHIVED_EVERY
                    ? "records are archived by the %d: there are none below "
                      "that"
                    : "records are archived by the %d: all below that are",
                CV_ARCHIVED_EVERY);
        cv_err_state(err, "the log begins with record %llu",
                     (unsigned long long)c->first);
        return CV_INVALID;
    }
    s = check_time(b, before - 1, err);
    if (s == CV_OK) {
        s = check_sinks(b, before, err);
    }
    return s == CV_OK ? cv_archived_can(b->vault->dir, err) : s;
}

/* ---- the methods ---- */

static enum cv_status begin(struct cv_broker *b, struct cv_ask *ask,
                            const struct cv_archived_copy *c,
                            struct cv_err *err)
{
    cJSON *details = cJSON_CreateObject();
    struct cv_archiving *a;
    enum cv_status s = check_journal(b, err);

    (void)cv_json_add_str(details, "method", "AuditArchive");
    (void)cv_json_add_int(details, "size", (int64_t)c->before);
    if (s == CV_OK) {
        s = cv_ask_decide(ask, NULL, details, err);
    }
    cJSON_Delete(details);
    if (s == CV_OK) {
        s = cv_broker_commit(b, err);
    }
    if (s != CV_OK) {
        return s;
    }
    a = calloc(1, sizeof(*a));
    if (a == NULL) {
        return cv_fail(err, CV_INTERNAL, "memory is gone");
    }
    a->caller = b->caller;
    a->ask = *ask;
    a->ask.parameters = NULL;
    if (ask->reason != NULL) {
        (void)snprintf(a->reason, sizeof(a->reason), "%s", ask->reason);
        a->ask.reason = a->reason;
    }
    if (ask->ticket != NULL) {
        (void)snprintf(a->ticket, sizeof(a->ticket), "%s", ask->ticket);
        a->ask.ticket = a->ticket;
    }
    a->copy = *c;
    a->asked_ms = cv_clock_boot_ms();
    b->archiving = a;
    return CV_OK;
}

static enum cv_status only_one(struct cv_broker *b, struct cv_err *err)
{
    enum cv_status s;

    if (b->archiving == NULL) {
        return CV_OK;
    }
    if (b->archiving->caller == b->caller ||
        cv_clock_boot_ms() - b->archiving->asked_ms >
            (int64_t)CV_LIMIT_BACKUP_IDLE_S * 1000) {
        end(b, CV_FAILED, "another was begun in its place");
        return CV_OK;
    }
    s = cv_fail(err, CV_BUSY, "another archive is being written");
    cv_err_hint(err, "try again when it is done");
    return s;
}

/* Nobody's archive ends for who may make none. */
static enum cv_status may(struct cv_broker *b, struct cv_ask *ask,
                          struct cv_err *err)
{
    enum cv_status s = cv_broker_enter(b, err);

    if (s == CV_OK) {
        s = cv_ask_check(ask, NULL, NULL, err);
        cv_broker_leave(b);
    }
    return s == CV_OK ? only_one(b, err) : s;
}

CV_BROKER_METHOD(audit_archive)
{
    struct cv_broker *b = context;
    int64_t before = -1;
    const struct cv_json_field fields[] = {
        {"before", CV_JSON_INT, true, &before, 0},
        CV_BROKER_ASK_FIELDS,
    };
    cJSON *out = cv_reply_parameters(reply);
    struct cv_proving p = {0};
    struct cv_archived_copy copy = {0};
    struct cv_ask ask;
    enum cv_status s = cv_ask_begin(b, CV_ACTION_ADMIN, parameters, &ask, err);

    cv_buf_init(&p.note, NULL, CV_LIMIT_NOTE);
    if (s == CV_OK) {
        s = cv_json_read(parameters, "AuditArchive", CV_BROKER_FIELDS(fields),
                         true, err);
    }
    if (s == CV_OK && before < 0) {
        s = cv_fail(err, CV_INVALID, "before is negative");
    }
    if (s == CV_OK) {
        s = may(b, &ask, err);
    }
    /* The record of the cut must be signed, too: not asked for at its end. */
    if (s == CV_OK) {
        s = cv_signer_need(b, reply, err);
    }
    if (s == CV_OK) {
        s = cv_proving_begin(b, &p, err);
    }
    if (s == CV_OK) {
        s = plan(b, &p, (uint64_t)before, &copy, err);
    }
    cv_proving_free(&p);
    if (s == CV_OK) {
        s = cv_broker_enter(b, err);
    }
    if (s == CV_OK) {
        s = begin(b, &ask, &copy, err);
        cv_broker_leave(b);
    }
    if (s != CV_OK) {
        cv_ask_refused(&ask, err);
        return s;
    }
    (void)cv_json_add_int(out, "first", (int64_t)copy.first);
    (void)cv_json_add_int(out, "before", (int64_t)copy.before);
    (void)cv_json_add_int(out, "audit_seq", ask.seq);
    return CV_OK;
}

static enum cv_status has_begun(struct cv_broker *b, struct cv_err *err)
{
    if (b->archiving == NULL || b->archiving->caller != b->caller) {
        return cv_fail(err, CV_INVALID, "no archive was begun here");
    }
    b->archiving->asked_ms = cv_clock_boot_ms();
    return CV_OK;
}

CV_BROKER_METHOD(audit_archive_read)
{
    struct cv_broker *b = context;
    cJSON *out = cv_reply_parameters(reply);
    struct cv_archived_copy *c;
    struct cv_buf piece;
    enum cv_status s =
        cv_json_read(parameters, "AuditArchiveRead", NULL, 0, true, err);

    if (s == CV_OK) {
        s = has_begun(b, err);
    }
    if (s != CV_OK) {
        return s;
    }
    c = &b->archiving->copy;
    cv_buf_init(&piece, NULL, CV_LIMIT_BACKUP_STEP);
    s = cv_archived_copy_next(c, &piece, err);
    if (s == CV_OK && piece.len == 0 && !b->archiving->whole) {
        b->archiving->whole = true;
        cv_archived_copy_end(c);
    }
    if (s == CV_OK && (!cv_json_add_base64(out, "data", cv_buf_bytes(&piece)) ||
                       !cv_json_add_int(out, "next", (int64_t)c->at.seq))) {
        s = cv_fail(err, CV_INTERNAL, "memory is gone");
    }
    cv_buf_wipe(&piece);
    if (s != CV_OK) {
        end(b, s, "it could not be read");
    }
    return s;
}

/* What was read must be what was signed: by the tiles, whose root is the
 * checkpoint's. */
static enum cv_status is_signed(const struct cv_proving *p,
                                const struct cv_archived *now,
                                struct cv_err *err)
{
    uint8_t root[CV_TREE_HASH];
    struct cv_proof proof;
    struct cv_tree tree = now->tree;
    enum cv_status s = cv_proof_make_consistency(&p->source, p->checkpoint.size,
                                                 tree.size, &proof, err);

    if (s == CV_OK) {
        cv_tree_root(&tree, root);
        s = cv_proof_check_consistency(tree.size, p->checkpoint.size, root,
                                       p->checkpoint.root, &proof, err);
    }
    return cv_proving_distrust(s, err);
}

/* Entered: nothing that was looked at before may be otherwise now. */
static enum cv_status look_again(struct cv_broker *b,
                                 const struct cv_archived_copy *c,
                                 struct cv_err *err)
{
    int64_t per_s = longest(b);
    struct cv_archived gone;
    enum cv_status s = cv_archived_read(b->vault->dir, &gone, err);

    if (s == CV_OK && gone.tree.size != c->first) {
        s = cv_fail(err, CV_BUSY, "records were archived meanwhile");
    }
    if (s == CV_OK && cv_backup_is_read(b)) {
        s = cv_fail(err, CV_BUSY, "a backup is being written, of all records");
        cv_err_hint(err, "run it again when that is done");
    }
    if (s == CV_OK) {
        s = check_journal(b, err);
    }
    if (s == CV_OK) {
        s = check_sinks(b, c->before, err);
    }
    return s == CV_OK && per_s > 0 ? is_past(c->latest, per_s, err) : s;
}

/* Not entered: the key may be on a token. What the leaf will say, by the log's
 * key: it must not be enough that somebody put that leaf there. */
static enum cv_status sign_cut(struct cv_broker *b, struct cv_archived *now,
                               struct cv_note_key *key, struct cv_err *err)
{
    struct cv_buf text, line;
    enum cv_status s;

    *key = b->vault->log_key;
    cv_buf_init(&text, NULL, CV_LIMIT_NOTE);
    cv_buf_init(&line, NULL, CV_LIMIT_NOTE);
    cv_archived_draw(now);
    cv_archived_statement(now, key->name, &text);
    s = cv_buf_status(&text, "what is archived", err);
    if (s == CV_OK) {
        s = cv_signer_line(b, key, false, &text, &line, err);
    }
    if (s == CV_OK) {
        s = cv_archived_take_line(now, key, cv_buf_text(&line), err);
    }
    cv_buf_wipe(&line);
    cv_buf_wipe(&text);
    return s;
}

/* Entered. Whoever has a key of before goes on by the changes of keys: what
 * goes of them is said once more, in the same commit as what is archived. */
static enum cv_status carry(struct cv_broker *b, const struct cv_carried *c,
                            struct cv_err *err)
{
    enum cv_status s = CV_OK;

    for (size_t i = 0; s == CV_OK && i < c->n; i++) {
        cJSON *details = cv_carried_details(&c->items[i]);

        s = details == NULL
                ? cv_fail(err, CV_INTERNAL, "memory is gone")
                : cv_broker_event_queue(b, "admin", NULL, details, err);
        cJSON_Delete(details);
    }
    return s;
}

/* Entered. The leaf that says what is archived, durable; its number. It is
 * signed by the key that the log has where that leaf is. */
static enum cv_status tell(struct cv_broker *b, struct cv_archived_copy *c,
                           const struct cv_note_key *key, struct cv_err *err)
{
    struct cv_archived *now = &c->now;
    cJSON *details;
    char commitment[2 * crypto_hash_sha256_BYTES + 1];
    enum cv_status s;

    if (b->vault->rotating || !cv_rotation_is_same(key, &b->vault->log_key)) {
        s = cv_fail(err, CV_BUSY, "the log's key is being changed");
        cv_err_hint(err, "certvault audit checkpoint, then archive again");
        return s;
    }
    s = carry(b, &c->changes, err);
    if (s != CV_OK) {
        return s;
    }
    details = cJSON_CreateObject();
    cv_archived_commitment(now, commitment);
    (void)cv_json_add_str(details, "commitment", commitment);
    (void)cv_json_add_str(details, "method", CV_ARCHIVED_METHOD);
    (void)cv_json_add_str(details, "signature", now->signature);
    (void)cv_json_add_int(details, "size", (int64_t)now->tree.size);
    (void)cv_json_add_str(details, "digest", now->digest);
    (void)cv_json_add_str(details, "until", now->until);
    s = cv_broker_event_now(b, "admin", NULL, details, err);
    cJSON_Delete(details);
    if (s == CV_OK) {
        now->seq = cv_log_size(b->vault->log) - 1;
    }
    return s;
}

/* Not entered. A checkpoint over that leaf: then it was not written by somebody
 * without the log's key. */
static enum cv_status sign_it(struct cv_broker *b,
                              const struct cv_archived *now, struct cv_err *err)
{
    struct cv_checkpoint last;
    enum cv_status s;

    cv_broker_checkpoint(b);
    s = cv_checkpoint_read(b->vault->dir, &b->vault->log_key, &last, NULL, NULL,
                           err);
    if (s == CV_OK && last.size <= now->seq) {
        s = cv_signer_failed(b, now->seq + 1, err);
        if (s == CV_OK) {
            s = cv_fail(err, CV_IO, "no checkpoint over it could be made");
        }
        cv_err_hint(err, "certvault audit checkpoint, then archive again");
    }
    return s == CV_OK ? cv_checkpoint_sync(b->vault->dir, err) : s;
}

/* Was it put in its place although that failed? Then whoever writes next takes
 * the records away. */
static bool is_there(struct cv_broker *b, const struct cv_archived *now)
{
    struct cv_archived there;

    return cv_archived_read(b->vault->dir, &there, NULL) != CV_OK ||
           there.tree.size == now->tree.size;
}

/* Entered. *done: it has happened, whatever fails then. */
static enum cv_status cut(struct cv_broker *b, const struct cv_archived *now,
                          bool *done, struct cv_err *err)
{
    enum cv_status s = cv_archived_write(b->vault->dir, now, err);

    if (s != CV_OK && is_there(b, now)) {
        *done = true;
        cv_err_state(err, "the records may be archived: keep the copy");
        cv_err_hint(err, "certvault audit status says where the log begins");
    }
    if (s == CV_OK) {
        *done = true;
        s = cv_archived_finish(b->vault->dir, err);
        if (s != CV_OK) {
            cv_err_state(err, "the records are archived; what is left of them "
                              "goes when the vault is next opened");
        }
    }
    return s;
}

static enum cv_status finish(struct cv_broker *b, bool *done,
                             struct cv_err *err)
{
    struct cv_archived_copy *c = &b->archiving->copy;
    struct cv_proving p = {0};
    struct cv_note_key key;
    enum cv_status s;

    cv_buf_init(&p.note, NULL, CV_LIMIT_NOTE);
    s = cv_proving_begin(b, &p, err);
    if (s == CV_OK) {
        s = is_signed(&p, &c->now, err);
    }
    cv_proving_free(&p);
    if (s == CV_OK) {
        s = sign_cut(b, &c->now, &key, err);
    }
    if (s == CV_OK) {
        s = cv_broker_enter(b, err);
    }
    if (s == CV_OK) {
        s = look_again(b, c, err);
        if (s == CV_OK) {
            s = tell(b, c, &key, err);
        }
        cv_broker_leave(b);
    }
    if (s == CV_OK) {
        s = sign_it(b, &c->now, err);
    }
    if (s == CV_OK) {
        s = cv_broker_enter(b, err);
    }
    if (s == CV_OK) {
        s = look_again(b, c, err);
        if (s == CV_OK) {
            s = cut(b, &c->now, done, err);
        }
        cv_broker_leave(b);
    }
    return s;
}

CV_BROKER_METHOD(audit_archive_end)
{
    struct cv_broker *b = context;
    const char *hex = NULL;
    const struct cv_json_field fields[] = {
        {"digest", CV_JSON_STRING, true, &hex, 2 * crypto_hash_sha256_BYTES},
    };
    cJSON *out = cv_reply_parameters(reply);
    bool done = false;
    enum cv_status s = cv_json_read(parameters, "AuditArchiveEnd",
                                    CV_BROKER_FIELDS(fields), true, err);

    if (s == CV_OK) {
        s = has_begun(b, err);
    }
    if (s != CV_OK) {
        return s;
    }
    if (!b->archiving->whole ||
        strcmp(hex, b->archiving->copy.now.digest) != 0) {
        end(b, CV_INTEGRITY, "what was read back is not what was sent");
        return cv_fail(err, CV_INTEGRITY,
                       "what was read back is not what was sent");
    }
    s = finish(b, &done, err);
    if (s != CV_OK && !done) {
        cv_err_state(err, "nothing was archived; the copy that was made of it "
                          "may be deleted");
    }
    (void)cv_json_add_int(out, "before", (int64_t)b->archiving->copy.before);
    (void)cv_json_add_str(out, "until", b->archiving->copy.now.until);
    end(b, s, s == CV_OK || done ? NULL : "it was not taken out of the log");
    return s;
}
