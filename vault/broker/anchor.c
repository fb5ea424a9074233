#include "vault/broker/anchor_internal.h"

#include "vault/audit/anchored.h"
#include "vault/audit/tiles.h"
#include "vault/base/clock.h"
#include "vault/base/encode.h"
#include "vault/broker/anchor_place.h"
#include "vault/broker/notify.h"

#include <poll.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Leaves whose tiles are made in one turn. */
#define STEP 8192

/* How long the end of a private broker waits for a file. */
#define LAST_MS 5000

/* ---- what there is ---- */

/* By its text without a parameter: who is trusted for the way there says
 * nothing of what it knows. */
static void make_id(const char *text, const struct cv_anchor_config *c,
                    char out[17])
{
    uint8_t hash[crypto_hash_sha256_BYTES];
    const char *end = c->ca[0] != '\0' ? strchr(text, '?') : NULL;
    const char *rest = end != NULL ? strchr(end, '#') : NULL;
    crypto_hash_sha256_state h;

    end = rest != NULL ? end : text + strlen(text);
    (void)crypto_hash_sha256_init(&h);
    (void)crypto_hash_sha256_update(&h, (const uint8_t *)text,
                                    (size_t)(end - text));
    if (rest != NULL) {
        (void)crypto_hash_sha256_update(&h, (const uint8_t *)rest,
                                        strlen(rest));
    }
    (void)crypto_hash_sha256_final(&h, hash);
    (void)sodium_bin2hex(out, 17, hash, 8);
}

/* What a witness said is believed by its signature alone. */
static void load_witness(struct cv_broker *b, struct cv_anchor_one *a)
{
    struct cv_anchored found;

    a->time_s = 0;
    a->size = 0;
    if (cv_anchored_read(b->vault->dir, &b->vault->log_key, &a->config.witness,
                         1, &found, NULL) == CV_OK &&
        found.n == 1) {
        a->size = found.at[0].size;
        a->time_s = found.at[0].time_s;
        memcpy(a->root, found.at[0].root, sizeof(a->root));
    }
}

static void take_last(struct cv_broker *b, struct cv_anchors *all)
{
    cv_buf_wipe(&all->note);
    if (cv_checkpoint_read(b->vault->dir, &b->vault->log_key, &all->last,
                           &all->note, NULL, NULL) != CV_OK) {
        cv_buf_wipe(&all->note);
    }
}

struct cv_anchors *cv_anchors_of(struct cv_broker *b)
{
    char *const *texts = b->options->programs.anchors;
    struct cv_anchors *all = b->anchors;

    if (texts == NULL || b->vault == NULL || all != NULL) {
        return b->vault != NULL ? all : NULL;
    }
    all = calloc(1, sizeof(*all));
    if (all == NULL) {
        return NULL;
    }
    for (; all->n < CV_LIMIT_ANCHORS && texts[all->n] != NULL; all->n++) {
        struct cv_anchor_one *a = &all->at[all->n];

        a->run.fd = -1;
        a->ca_pem = b->options->programs.anchor_cas[all->n];
        if (cv_anchor_config_parse(texts[all->n], &a->config, NULL) != CV_OK) {
            break; /* the configuration was checked when it was read */
        }
        make_id(texts[all->n], &a->config, a->id);
    }
    cv_buf_init(&all->note, NULL, CV_LIMIT_NOTE);
    b->anchors = all;
    cv_anchor_state_load(b, all);
    for (size_t i = 0; i < all->n; i++) {
        if (all->at[i].config.kind == CV_ANCHOR_WITNESS) {
            load_witness(b, &all->at[i]);
        }
    }
    return all;
}

bool cv_anchor_is_split(struct cv_broker *b)
{
    const struct cv_anchors *all = cv_anchors_of(b);

    for (size_t i = 0; all != NULL && i < all->n; i++) {
        if (all->at[i].conflict) {
            return true;
        }
    }
    return false;
}

bool cv_anchor_last(struct cv_broker *b, struct cv_anchor_state *out)
{
    const struct cv_anchors *all = cv_anchors_of(b);
    const int64_t now = cv_clock_now_s();
    bool found = false;

    memset(out, 0, sizeof(*out));
    if (cv_anchor_is_split(b)) {
        return false;
    }
    for (size_t i = 0; all != NULL && i < all->n; i++) {
        const struct cv_anchor_one *a = &all->at[i];
        int64_t age = now > a->time_s ? now - a->time_s : 0;

        /* A time that has not come yet says nothing of an age. */
        if (a->time_s == 0 || a->time_s > now + CV_LIMIT_ANCHOR_SKEW_S ||
            (found && age >= out->age_s)) {
            continue;
        }
        found = true;
        out->size = a->size;
        out->age_s = age;
        (void)snprintf(out->kind, sizeof(out->kind), "%s",
                       cv_anchor_config_word(a->config.kind));
    }
    return found;
}

void cv_anchor_fact(struct cv_broker *b, struct cv_decide_request *rq)
{
    struct cv_anchor_state last;

    if (b->policy != NULL && cv_policy_anchor_age(b->policy) > 0) {
        rq->anchored = cv_anchor_last(b, &last);
        rq->anchor_age_s = last.age_s;
    }
}

/* ---- comparing ---- */

/* Makes more of the tiles that comparing needs, up to `to`; false: they are not
 * all there yet. Damaged ones hold nobody up. */
static bool bring_up(struct cv_broker *b, uint64_t to)
{
    const uint64_t all = to;
    uint64_t at = 0;

    if (cv_tiles_size(b->vault->dir, &at, NULL) != CV_OK) {
        at = 0;
    }
    if (at >= to || cv_vault_enter(b->vault, NULL) != CV_OK) {
        return at >= to;
    }
    if (to - at > STEP) {
        to = at + STEP;
    }
    if (cv_tiles_update(b->vault->dir, to, NULL) != CV_OK) {
        to = all;
    }
    cv_vault_leave(b->vault);
    return to == all;
}

enum cv_status cv_anchor_prove(struct cv_broker *b, uint64_t size,
                               const struct cv_checkpoint *now,
                               struct cv_proof *proof,
                               uint8_t root[CV_TREE_HASH], struct cv_err *err)
{
    struct cv_tiles_reader *reader = calloc(1, sizeof(*reader));
    struct cv_proof_source source;
    enum cv_status s;

    if (reader == NULL) {
        return cv_fail(err, CV_BUSY, "memory is gone");
    }
    reader->vault = b->vault->dir;
    s = cv_tiles_size(b->vault->dir, &reader->size, NULL);
    source = cv_tiles_source(reader);
    if (s == CV_OK && reader->size < now->size) {
        s = CV_BUSY;
    }
    if (s == CV_OK) {
        s = cv_proof_root(&source, size, root, NULL);
    }
    if (s == CV_OK) {
        s = cv_proof_make_consistency(&source, now->size, size, proof, NULL);
    }
    /* So the root is what our log had then, whatever lies in the tiles. */
    if (s == CV_OK) {
        s = cv_proof_check_consistency(size, now->size, root, now->root, proof,
                                       NULL);
    }
    free(reader);
    return s == CV_OK ? s
                      : cv_fail(err, CV_BUSY, "the tiles are not there yet");
}

/* The log as it is now, signed or not. */
static enum cv_status log_now(struct cv_broker *b, struct cv_checkpoint *out,
                              struct cv_err *err)
{
    enum cv_status s = cv_vault_enter(b->vault, err);

    if (s == CV_OK) {
        out->size = cv_log_size(b->vault->log);
        cv_tree_root(cv_log_tree(b->vault->log), out->root);
        cv_vault_leave(b->vault);
    }
    return s;
}

enum cv_status cv_anchor_reaches(struct cv_broker *b, uint64_t size,
                                 struct cv_err *err)
{
    struct cv_checkpoint now = {.size = 0};

    if (log_now(b, &now, NULL) != CV_OK) {
        return cv_fail(err, CV_BUSY, "the log cannot be looked at");
    }
    return size <= now.size
               ? CV_OK
               : cv_fail(err, CV_INTEGRITY,
                         "it covers %llu records, and the log has %llu",
                         (unsigned long long)size,
                         (unsigned long long)now.size);
}

/* A checkpoint that is newer than our last: of another broker of this vault
 * perhaps, or of the log that this one has taken the place of. */
static enum cv_status continues_newer(struct cv_broker *b,
                                      const struct cv_checkpoint *then,
                                      struct cv_err *err)
{
    struct cv_checkpoint now = {.size = 0};
    enum cv_status s = cv_anchor_reaches(b, then->size, err);

    if (s != CV_OK) {
        return s;
    }
    if (log_now(b, &now, NULL) != CV_OK || !bring_up(b, now.size)) {
        return cv_fail(err, CV_BUSY, "the tiles are not there yet");
    }
    return cv_anchor_continues(b, then, &now, err);
}

enum cv_status cv_anchor_continues(struct cv_broker *b,
                                   const struct cv_checkpoint *then,
                                   const struct cv_checkpoint *now,
                                   struct cv_err *err)
{
    uint8_t root[CV_TREE_HASH];
    struct cv_proof proof;
    enum cv_status s;

    if (then->size > now->size) {
        return continues_newer(b, then, err);
    }
    if (then->size == now->size) {
        memcpy(root, now->root, sizeof(root));
    } else if (then->size == 0) {
        return CV_OK;
    } else {
        s = cv_anchor_prove(b, then->size, now, &proof, root, err);
        if (s != CV_OK) {
            return s;
        }
    }
    return memcmp(root, then->root, sizeof(root)) == 0
               ? CV_OK
               : cv_fail(err, CV_INTEGRITY,
                         "of the first %llu records it has another root",
                         (unsigned long long)then->size);
}

struct finding {
    const struct cv_note_key *key;
    struct cv_anchor_found *out;
};

/* One note of our origin; what is none is passed over. */
static void find_one(void *ctx, struct cv_bytes note, size_t head)
{
    const struct finding *f = ctx;
    struct cv_anchor_found *out = f->out;
    struct cv_checkpoint c;

    if (cv_checkpoint_open(note, f->key, &c, NULL) == CV_OK) {
        if (!out->is_signed || c.size >= out->newest.size) {
            out->newest = c;
            out->is_signed = true;
        }
    } else if (cv_checkpoint_parse((struct cv_bytes){note.data, head}, &c,
                                   NULL) == CV_OK &&
               strcmp(c.origin, f->key->name) == 0 && c.size > out->claimed) {
        out->claimed = c.size;
    }
}

void cv_anchor_find(const struct cv_broker *b, struct cv_bytes text,
                    struct cv_anchor_found *out)
{
    struct finding f = {&b->vault->log_key, out};

    memset(out, 0, sizeof(*out));
    cv_anchored_notes(text, f.key->name, find_one, &f);
}

uint64_t cv_anchor_found_size(const struct cv_anchor_found *found)
{
    return found->is_signed && found->newest.size > found->claimed
               ? found->newest.size
               : found->claimed;
}

enum cv_status cv_anchor_compare(struct cv_broker *b,
                                 const struct cv_anchor_found *found,
                                 const struct cv_checkpoint *now,
                                 struct cv_err *err)
{
    enum cv_status s = CV_OK;

    if (found->is_signed && found->newest.size > 0) {
        s = cv_anchor_continues(b, &found->newest, now, err);
    }
    /* Of a smaller one, by a key that we had before, nothing can be told. */
    if (s == CV_OK && found->claimed > now->size) {
        s = cv_anchor_reaches(b, found->claimed, err);
    }
    return s;
}

enum cv_status cv_anchor_open(struct cv_broker *b, struct cv_err *err)
{
    struct cv_anchors *all = cv_anchors_of(b);
    enum cv_status s = CV_OK;

    if (all == NULL) {
        return CV_OK;
    }
    take_last(b, all);
    for (size_t i = 0; s == CV_OK && i < all->n; i++) {
        struct cv_anchor_one *a = &all->at[i];
        struct cv_anchor_found found;
        struct cv_buf tail;

        /* A broker that stays begins by asking each of them. */
        a->wanted = b->options->mode != CV_BROKER_EXEC && all->note.len > 0;
        if (a->config.kind != CV_ANCHOR_FILE) {
            continue;
        }
        cv_buf_init(&tail, NULL, CV_ANCHOR_PLACE_TAIL);
        if (cv_anchor_place_tail(a->config.target, &tail, NULL) == CV_OK &&
            tail.len > 0) {
            cv_anchor_find(b, cv_buf_bytes(&tail), &found);
            s = cv_anchor_compare(b, &found, &all->last, err);
        }
        cv_buf_wipe(&tail);
        if (s == CV_INTEGRITY) {
            cv_err_prefix(err,
                          "the log was rolled back or replaced: the "
                          "checkpoint in %s",
                          a->config.target);
            cv_err_state(err, "nothing was changed");
            cv_err_hint(err,
                        "put the newer copy of the vault back; where it was "
                        "restored on purpose, move that file away");
        } else {
            s = CV_OK;
        }
    }
    return s;
}

/* ---- how a run ended ---- */

static void say(struct cv_broker *b, const struct cv_anchor_one *a,
                enum cv_status status, uint64_t size, const char *why)
{
    cJSON *details = cJSON_CreateObject();

    (void)cv_json_add_str(details, "anchor",
                          cv_anchor_config_word(a->config.kind));
    (void)cv_json_add_str(details, "place",
                          a->config.kind == CV_ANCHOR_WITNESS
                              ? a->config.witness.name
                              : a->config.target);
    (void)cv_json_add_int(details, "size", (int64_t)size);
    (void)cv_json_add_str(details, "because", why);
    cv_broker_event(b, "log", status, details);
    if (status == CV_INTEGRITY) {
        cv_notify_event(b, "conflict", details);
    }
    cJSON_Delete(details);
}

static void pace(struct cv_anchor_one *a)
{
    int64_t rest = CV_LIMIT_ANCHOR_S;

    for (unsigned i = 0; i < a->failures && rest < CV_LIMIT_ANCHOR_REST_S;
         i++) {
        rest *= 2;
    }
    if (rest > CV_LIMIT_ANCHOR_REST_S) {
        rest = CV_LIMIT_ANCHOR_REST_S;
    }
    a->next_ms = cv_clock_boot_ms() + rest * 1000;
}

/* Another broker of this vault may have written meanwhile. */
static void save(struct cv_broker *b, const struct cv_anchor_one *changed)
{
    struct cv_anchors *all = b->anchors;
    const struct cv_anchor_one keep = *changed;

    cv_anchor_state_load(b, all);
    all->at[changed - all->at] = keep;
    cv_anchor_state_save(b, all);
}

void cv_anchor_done(struct cv_broker *b, struct cv_anchor_one *a,
                    int64_t time_s)
{
    bool told = a->told || a->conflict;

    a->size = a->run.what.size;
    memcpy(a->root, a->run.what.root, sizeof(a->root));
    a->time_s = time_s;
    a->conflict = a->told = false;
    a->why[0] = '\0';
    a->failures = 0;
    pace(a);
    save(b, a);
    if (told) {
        say(b, a, CV_OK, a->size, "it is reached again");
    }
}

static void note_why(struct cv_anchor_one *a, const char *why)
{
    (void)cv_err_quote(a->why, sizeof(a->why), why, strlen(why));
}

void cv_anchor_failed(struct cv_broker *b, struct cv_anchor_one *a,
                      const char *why)
{
    bool told = a->told || a->conflict;

    note_why(a, why);
    a->told = a->wanted = true;
    a->failures++;
    pace(a);
    save(b, a);
    if (!told) {
        say(b, a, CV_REMOTE, a->run.what.size, a->why);
    }
}

void cv_anchor_conflicts(struct cv_broker *b, struct cv_anchor_one *a,
                         uint64_t size, const char *why)
{
    bool told = a->conflict;

    note_why(a, why);
    a->conflict = a->told = true;
    /* Who asked during the run means a later checkpoint. */
    a->wanted = a->asked;
    save(b, a);
    if (!told) {
        say(b, a, CV_INTEGRITY, size, a->why);
    }
}

/* ---- the queue ---- */

void cv_anchor_checkpoint(struct cv_broker *b, struct cv_bytes note)
{
    struct cv_anchors *all = cv_anchors_of(b);
    struct cv_checkpoint c;

    if (all == NULL ||
        cv_checkpoint_open(note, &b->vault->log_key, &c, NULL) != CV_OK) {
        return;
    }
    cv_buf_wipe(&all->note);
    cv_buf_add(&all->note, note.data, note.len);
    all->last = c;
    for (size_t i = 0; i < all->n; i++) {
        all->at[i].wanted = true;
    }
}

/* Those who are reached over a network, or are slow, are for brokers that stay;
 * a private one has `audit anchor` for that. */
static bool is_due(const struct cv_broker *b, const struct cv_anchor_one *a,
                   int64_t now)
{
    return a->wanted && !cv_anchor_run_is_on(a) &&
           (a->asked || (b->options->mode != CV_BROKER_EXEC && !a->conflict &&
                         now >= a->next_ms));
}

/* A policy that wants anchors of an age gets them while nothing happens, too.
 */
static void refresh(struct cv_broker *b, struct cv_anchors *all)
{
    const int64_t wanted =
        b->policy != NULL ? cv_policy_anchor_age(b->policy) : 0;
    const int64_t now = cv_clock_now_s();

    for (size_t i = 0; wanted > 0 && i < all->n; i++) {
        struct cv_anchor_one *a = &all->at[i];

        a->wanted = a->wanted || now - a->time_s >= wanted / 2;
    }
}

bool cv_anchor_tick(struct cv_broker *b)
{
    struct cv_anchors *all = cv_anchors_of(b);
    const int64_t now = cv_clock_boot_ms();
    bool busy = false;

    if (all == NULL || all->note.len == 0) {
        return false;
    }
    if (b->options->mode != CV_BROKER_EXEC) {
        refresh(b, all);
    }
    for (size_t i = 0; i < all->n; i++) {
        struct cv_anchor_one *a = &all->at[i];

        if (cv_anchor_run_is_on(a)) {
            cv_anchor_run_go_on(b, a);
        }
        if (is_due(b, a, now)) {
            if (!bring_up(b, all->last.size) ||
                cv_checkpoint_sync(b->vault->dir, NULL) != CV_OK) {
                return true;
            }
            cv_anchor_run_start(b, a, i);
        }
        busy = busy || cv_anchor_run_is_on(a) ||
               (a->wanted && b->options->mode != CV_BROKER_EXEC);
    }
    return busy || (b->options->mode != CV_BROKER_EXEC && b->policy != NULL &&
                    cv_policy_anchor_age(b->policy) > 0);
}

/* ---- asking ---- */

void cv_anchor_ask(struct cv_broker *b)
{
    struct cv_anchors *all = cv_anchors_of(b);

    if (all == NULL) {
        return;
    }
    take_last(b, all);
    for (size_t i = 0; i < all->n && all->note.len > 0; i++) {
        all->at[i].wanted = all->at[i].asked = true;
    }
}

/* How one of them stands. */
static const char *state_of(const struct cv_anchor_one *a)
{
    return cv_anchor_run_is_on(a) || a->asked ? "running"
           : a->conflict                      ? "conflict"
           : a->told                          ? "failed"
           : a->time_s != 0                   ? "ok"
                                              : "never";
}

static bool add_one(cJSON *list, const struct cv_anchor_one *a)
{
    const int64_t now = cv_clock_now_s();
    cJSON *o = cJSON_CreateObject();

    if (cv_json_add_str(o, "kind", cv_anchor_config_word(a->config.kind)) &&
        cv_json_add_str(o, "place",
                        a->config.kind == CV_ANCHOR_WITNESS
                            ? a->config.witness.name
                            : a->config.target) &&
        cv_json_add_str(o, "state", state_of(a)) &&
        (a->time_s == 0 ||
         (cv_json_add_int(o, "size", (int64_t)a->size) &&
          cv_json_add_int(o, "age_s",
                          now > a->time_s ? now - a->time_s : 0))) &&
        cv_json_add_str(o, "message", a->why[0] != '\0' ? a->why : NULL) &&
        cJSON_AddItemToArray(list, o)) {
        return true;
    }
    cJSON_Delete(o);
    return false;
}

bool cv_anchor_add_list(struct cv_broker *b, cJSON *out)
{
    const struct cv_anchors *all = cv_anchors_of(b);
    cJSON *list = cJSON_AddArrayToObject(out, "anchors");

    for (size_t i = 0; all != NULL && i < all->n; i++) {
        if (!add_one(list, &all->at[i])) {
            return false;
        }
    }
    return list != NULL;
}

bool cv_anchor_add(struct cv_broker *b, cJSON *status)
{
    struct cv_anchor_state last;
    bool is = cv_anchor_last(b, &last), ok;
    cJSON *o;

    cJSON_DeleteItemFromObjectCaseSensitive(status, "anchored");
    ok = cv_json_add_str(status, "anchored",
                         cv_anchor_is_split(b) ? "conflict"
                         : is                  ? last.kind
                                               : "none");
    if (cv_anchors_of(b) != NULL) {
        ok = ok && cv_json_add_bool(status, "conflict", cv_anchor_is_split(b));
    }
    if (is) {
        o = cJSON_AddObjectToObject(status, "anchor");
        ok = ok && cv_json_add_int(o, "size", (int64_t)last.size) &&
             cv_json_add_int(o, "age_s", last.age_s);
    }
    return ok && cv_anchor_add_list(b, status);
}

/* ---- the end ---- */

/* A file is near and fast: it has the checkpoint before the command ends. */
static void put_last(struct cv_broker *b, struct cv_anchors *all)
{
    const int64_t until = cv_clock_boot_ms() + LAST_MS;

    for (size_t i = 0; i < all->n; i++) {
        struct cv_anchor_one *a = &all->at[i];

        if (a->config.kind != CV_ANCHOR_FILE || !a->wanted || a->conflict ||
            cv_anchor_run_is_on(a)) {
            continue;
        }
        cv_anchor_run_start(b, a, i);
        while (cv_anchor_run_is_on(a) && cv_clock_boot_ms() < until) {
            struct pollfd p = {.fd = a->run.fd, .events = POLLIN};

            (void)poll(&p, 1, 100);
            cv_anchor_run_go_on(b, a);
        }
    }
}

void cv_anchor_end(struct cv_broker *b)
{
    struct cv_anchors *all = b->anchors;

    if (all == NULL) {
        return;
    }
    if (b->vault != NULL && all->note.len > 0 &&
        cv_checkpoint_sync(b->vault->dir, NULL) == CV_OK) {
        put_last(b, all);
        /* What went wrong is in the record. */
        if (b->n_waiting > 0) {
            (void)cv_broker_flush(b, true);
        }
    }
    for (size_t i = 0; i < all->n; i++) {
        cv_anchor_run_stop(b, &all->at[i], false);
    }
    cv_buf_wipe(&all->note);
    free(all);
    b->anchors = NULL;
}
