#include "vault/broker/tally.h"

#include "vault/audit/archived.h"
#include "vault/audit/query.h"
#include "vault/base/clock.h"
#include "vault/base/json.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SLOTS_AT_FIRST 64

/* Times are on the axis of this boot's CLOCK_BOOTTIME, in milliseconds; those
 * of earlier boots are negative, most of the time. */
struct bucket {
    uid_t uid;
    char *rule;
    int64_t *at; /* rising */
    size_t n, room;
};

struct waiting {
    struct bucket *bucket;
    uint64_t seq;
    int64_t at;
};

struct cv_tally {
    struct bucket **slots; /* open addressing; a power of two of them */
    size_t n_slots, n_buckets;
    struct waiting *waiting; /* queued, not yet seen in the log */
    size_t n_waiting, room_waiting;
    struct cv_query_cursor cursor;
    int64_t back_s; /* how far back it counts; < 0: not at all yet */
    bool past;      /* it counts as of: */
    uint64_t end;   /* this record, of */
    int64_t now_s, now_ms;
    char boot[64];   /* whose axis that is */
    int64_t from_ms; /* of before that it may not know all */
};

struct cv_tally *cv_tally_new(void)
{
    struct cv_tally *t = calloc(1, sizeof(*t));

    if (t != NULL) {
        t->slots = calloc(SLOTS_AT_FIRST, sizeof(*t->slots));
        t->n_slots = SLOTS_AT_FIRST;
        t->back_s = -1;
        if (t->slots == NULL) {
            free(t);
            return NULL;
        }
    }
    return t;
}

/* Forgets all that was counted; the room stays. */
static void forget(struct cv_tally *t)
{
    for (size_t i = 0; i < t->n_slots; i++) {
        if (t->slots[i] != NULL) {
            free(t->slots[i]->rule);
            free(t->slots[i]->at);
            free(t->slots[i]);
            t->slots[i] = NULL;
        }
    }
    t->n_buckets = 0;
    t->n_waiting = 0;
    t->cursor = (struct cv_query_cursor){0, 0};
    t->back_s = -1;
}

void cv_tally_free(struct cv_tally *t)
{
    if (t != NULL) {
        forget(t);
        free(t->slots);
        free(t->waiting);
        free(t);
    }
}

static size_t hash_of(uid_t uid, const char *rule)
{
    uint64_t h = 0xcbf29ce484222325U ^ uid;

    h *= 0x100000001b3U;
    for (; *rule != '\0'; rule++) {
        h = (h ^ (unsigned char)*rule) * 0x100000001b3U;
    }
    return (size_t)(h ^ (h >> 32));
}

/* The place of a bucket, or the empty one where it would be. */
static struct bucket **place_of(struct bucket **slots, size_t n, uid_t uid,
                                const char *rule)
{
    size_t i = hash_of(uid, rule) & (n - 1);

    while (slots[i] != NULL &&
           (slots[i]->uid != uid || strcmp(slots[i]->rule, rule) != 0)) {
        i = (i + 1) & (n - 1);
    }
    return &slots[i];
}

static bool grow(struct cv_tally *t)
{
    size_t n = t->n_slots * 2;
    struct bucket **more = calloc(n, sizeof(struct bucket *));

    if (more == NULL) {
        return false;
    }
    for (size_t i = 0; i < t->n_slots; i++) {
        struct bucket *b = t->slots[i];

        if (b != NULL) {
            *place_of(more, n, b->uid, b->rule) = b;
        }
    }
    free(t->slots);
    t->slots = more;
    t->n_slots = n;
    return true;
}

static struct bucket *bucket_of(struct cv_tally *t, uid_t uid, const char *rule)
{
    struct bucket **at = place_of(t->slots, t->n_slots, uid, rule);
    struct bucket *b = *at;

    if (b != NULL) {
        return b;
    }
    if (2 * (t->n_buckets + 1) > t->n_slots) {
        if (!grow(t)) {
            return NULL;
        }
        at = place_of(t->slots, t->n_slots, uid, rule);
    }
    b = calloc(1, sizeof(*b));
    if (b != NULL) {
        b->uid = uid;
        b->rule = strdup(rule);
    }
    if (b == NULL || b->rule == NULL) {
        free(b);
        return NULL;
    }
    *at = b;
    t->n_buckets++;
    return b;
}

/* In its place: leaves come in order, but clocks are set. What is too old to
 * count goes when room is wanted. */
static bool add_time(struct bucket *b, int64_t at, int64_t oldest)
{
    size_t i;

    if (b->n == b->room) {
        size_t old = 0;

        while (old < b->n && b->at[old] <= oldest) {
            old++;
        }
        if (old > 0) {
            b->n -= old;
            memmove(b->at, b->at + old, b->n * sizeof(*b->at));
        }
    }
    if (b->n == b->room) {
        size_t room = b->room == 0 ? 8 : 2 * b->room;
        int64_t *more = reallocarray(b->at, room, sizeof(*more));

        if (more == NULL) {
            return false;
        }
        b->at = more;
        b->room = room;
    }
    for (i = b->n; i > 0 && b->at[i - 1] > at; i--) {
        b->at[i] = b->at[i - 1];
    }
    b->at[i] = at;
    b->n++;
    return true;
}

void cv_tally_enter(struct cv_tally *t)
{
    t->n_waiting = 0;
}

/* Reading leaves */

static bool has(struct cv_bytes leaf, const char *text)
{
    return memmem(leaf.data, leaf.len, text, strlen(text)) != NULL;
}

struct reading {
    struct cv_tally *t;
    int64_t now_s, now_ms;
    const char *boot; /* whose axis it is */
    uint64_t end;     /* the first leaf that is not looked at */
    bool ended;       /* and it came */
    uint64_t n;       /* leaves that were, of at most so many ... */
    uint64_t most;    /* ... in one go */
    size_t bytes;     /* theirs */
};

/* When it was, on that boot's axis. */
static int64_t time_of(const struct reading *r, const char *boot,
                       int64_t mono_ms, int64_t time_s)
{
    int64_t at = r->now_ms - (r->now_s - time_s) * 1000;

    if (strcmp(boot, r->boot) == 0 && strcmp(boot, "unknown") != 0) {
        at = mono_ms;
    }
    return at < r->now_ms ? at : r->now_ms;
}

static enum cv_status count_leaf(const struct reading *r, const cJSON *leaf,
                                 struct cv_err *err)
{
    const char *boot = NULL, *time = NULL;
    const cJSON *actor = NULL, *rules = NULL, *details = NULL, *rule;
    int64_t mono_ms = 0, time_s = 0, uid = -1, at, oldest;
    const struct cv_json_field fields[] = {
        {"boot", CV_JSON_STRING, true, &boot, 64},
        {"time", CV_JSON_STRING, true, &time, 64},
        {"mono_ms", CV_JSON_INT, true, &mono_ms, 0},
        {"actor", CV_JSON_OBJECT, true, &actor, 0},
        {"rules", CV_JSON_ARRAY, true, &rules, 0},
        {"details", CV_JSON_OBJECT, true, &details, 0},
    };
    const struct cv_json_field who[] = {
        {"uid", CV_JSON_INT, true, &uid, 0},
    };
    struct bucket *b;
    enum cv_status s =
        cv_json_read(leaf, "an audit record", fields,
                     sizeof(fields) / sizeof(fields[0]), false, err);

    if (s == CV_OK) {
        s = cv_json_read(actor, "an actor", who, 1, false, err);
    }
    if (s == CV_OK) {
        s = cv_clock_parse(time, &time_s, err);
    }
    if (s != CV_OK) {
        return s;
    }
    rule = cJSON_GetArrayItem(rules, 0);
    at = time_of(r, boot, mono_ms, time_s);
    oldest = r->now_ms - r->t->back_s * 1000;
    if (!cJSON_IsString(rule) || uid < 0 || at <= oldest ||
        cJSON_IsTrue(cJSON_GetObjectItemCaseSensitive(details, "uncounted"))) {
        return CV_OK;
    }
    b = bucket_of(r->t, (uid_t)uid, rule->valuestring);
    return b != NULL && add_time(b, at, oldest)
               ? CV_OK
               : cv_fail(err, CV_INTERNAL, "memory is gone");
}

static enum cv_status read_leaf(void *context, uint64_t seq,
                                struct cv_bytes leaf, struct cv_err *err)
{
    struct reading *r = context;
    struct cv_arena *before;
    cJSON *tree = NULL;
    enum cv_status s;

    if (seq >= r->end) {
        r->ended = true;
        return CV_BUSY;
    }
    if (r->n >= r->most || r->bytes >= CV_TALLY_STEP_BYTES) {
        return CV_BUSY;
    }
    r->n++;
    r->bytes += r->most == UINT64_MAX ? 0 : leaf.len;
    /* Quotes in texts are escaped: these are members. */
    if (!has(leaf, "\"phase\":\"decision\"") ||
        !has(leaf, "\"decision\":\"permit\"")) {
        return CV_OK;
    }
    before = cv_json_use(NULL);
    s = cv_json_parse(NULL, leaf, &tree, err);
    if (s == CV_OK) {
        s = count_leaf(r, tree, err);
    }
    cJSON_Delete(tree);
    (void)cv_json_use(before);
    return s;
}

/* What the log has is counted there. */
static void drop_seen(struct cv_tally *t)
{
    size_t kept = 0;

    for (size_t i = 0; i < t->n_waiting; i++) {
        if (t->waiting[i].seq >= t->cursor.seq) {
            t->waiting[kept++] = t->waiting[i];
        }
    }
    t->n_waiting = kept;
}

enum cv_status cv_tally_catch_up(struct cv_tally *t, int vault, int64_t back_s,
                                 struct cv_err *err)
{
    struct reading r = {
        .t = t,
        .now_s = cv_clock_now_s(),
        .now_ms = cv_clock_boot_ms(),
        .boot = cv_clock_boot_id(),
        .end = UINT64_MAX,
        .most = UINT64_MAX,
    };
    enum cv_status s;

    if (back_s > t->back_s) {
        /* What waits belongs to buckets that go: it is of this commit, and
         * nobody asks for a longer time in the middle of one. */
        if (t->n_waiting > 0) {
            return cv_fail(err, CV_INTERNAL, "limits changed in a commit");
        }
        forget(t);
        t->back_s = back_s;
    }
    s = cv_query_follow(vault, &t->cursor, read_leaf, &r, err);
    if (s != CV_OK) {
        forget(t); /* half of it counts too little */
        return s;
    }
    drop_seen(t);
    return CV_OK;
}

/* As of the leaf `tree`: its time, and from when on the log has all. */
static enum cv_status as_of(struct cv_tally *t, int vault, const cJSON *tree,
                            struct cv_err *err)
{
    const char *time = NULL, *boot = NULL;
    const struct cv_json_field fields[] = {
        {"boot", CV_JSON_STRING, true, &boot, sizeof(t->boot) - 1},
        {"time", CV_JSON_STRING, true, &time, 64},
        {"mono_ms", CV_JSON_INT, true, &t->now_ms, 0},
    };
    struct cv_archived gone;
    int64_t until_s = 0;
    enum cv_status s =
        cv_json_read(tree, "an audit record", fields, 3, false, err);

    if (s == CV_OK) {
        (void)snprintf(t->boot, sizeof(t->boot), "%s", boot);
        s = cv_clock_parse(time, &t->now_s, err);
    }
    if (s == CV_OK) {
        s = cv_archived_read(vault, &gone, err);
    }
    if (s == CV_OK && gone.tree.size > 0) {
        s = cv_clock_parse(gone.until, &until_s, err);
        t->from_ms = t->now_ms - (t->now_s - until_s) * 1000;
    }
    return s;
}

enum cv_status cv_tally_before(int vault, uint64_t seq, int64_t back_s,
                               struct cv_tally **out, struct cv_err *err)
{
    struct cv_tally *t = cv_tally_new();
    struct cv_arena *before = cv_json_use(NULL);
    cJSON *tree = NULL;
    struct cv_buf leaf;
    enum cv_status s = CV_OK;

    *out = NULL;
    cv_buf_init(&leaf, NULL, CV_LIMIT_LEAF);
    if (t == NULL) {
        s = cv_fail(err, CV_INTERNAL, "memory is gone");
    } else {
        t->past = true;
        t->end = seq;
        t->back_s = back_s;
        t->from_ms = INT64_MIN;
        s = cv_query_record(vault, seq, &leaf, err);
    }
    if (s == CV_OK) {
        s = cv_json_parse(NULL, cv_buf_bytes(&leaf), &tree, err);
    }
    if (s == CV_OK) {
        s = as_of(t, vault, tree, err);
    }
    cJSON_Delete(tree);
    (void)cv_json_use(before);
    cv_buf_wipe(&leaf);
    if (s != CV_OK) {
        cv_tally_free(t);
        return s;
    }
    *out = t;
    return CV_OK;
}

enum cv_status cv_tally_read(struct cv_tally *t, int vault, bool *done,
                             struct cv_err *err)
{
    struct reading r = {
        .t = t,
        .now_s = t->now_s,
        .now_ms = t->now_ms,
        .boot = t->boot,
        .end = t->end,
        .most = CV_TALLY_STEP,
    };
    struct cv_err why;
    enum cv_status s;

    cv_err_init(&why);
    s = cv_query_follow(vault, &t->cursor, read_leaf, &r, &why);
    /* A callback ended it: at the record itself, or for this time. */
    *done = r.ended || s == CV_OK;
    if (s == CV_BUSY) {
        return CV_OK;
    }
    if (s != CV_OK && err != NULL) {
        *err = why;
    }
    return s;
}

enum cv_status cv_tally_queued(struct cv_tally *t, uid_t uid, const char *rule,
                               uint64_t seq, struct cv_err *err)
{
    struct bucket *b = bucket_of(t, uid, rule);

    if (b != NULL && t->n_waiting == t->room_waiting) {
        size_t room = t->room_waiting == 0 ? 64 : 2 * t->room_waiting;
        struct waiting *more = reallocarray(t->waiting, room, sizeof(*more));

        if (more != NULL) {
            t->waiting = more;
            t->room_waiting = room;
        }
    }
    if (b == NULL || t->n_waiting == t->room_waiting) {
        return cv_fail(err, CV_INTERNAL, "memory is gone");
    }
    t->waiting[t->n_waiting++] = (struct waiting){b, seq, cv_clock_boot_ms()};
    return CV_OK;
}

/* No leaf has that number. */
#define SUPPOSED UINT64_MAX

void cv_tally_suppose(struct cv_tally *t, uid_t uid, const char *rule)
{
    (void)!cv_tally_queued(t, uid, rule, SUPPOSED, NULL);
}

void cv_tally_suppose_end(struct cv_tally *t)
{
    size_t kept = 0;

    for (size_t i = 0; i < t->n_waiting; i++) {
        if (t->waiting[i].seq != SUPPOSED) {
            t->waiting[kept++] = t->waiting[i];
        }
    }
    t->n_waiting = kept;
}

/* The time of the n-th youngest (from 0) of a bucket and what waits for it;
 * what waits is younger than what the log has. */
static int64_t nth_youngest(const struct cv_tally *t, const struct bucket *b,
                            uint64_t n)
{
    for (size_t i = t->n_waiting; i-- > 0;) {
        if (t->waiting[i].bucket == b && n-- == 0) {
            return t->waiting[i].at;
        }
    }
    return n < b->n ? b->at[b->n - 1 - n] : INT64_MIN;
}

bool cv_tally_used(const struct cv_tally *t, uid_t uid, const char *rule,
                   int64_t per_s, uint64_t count, uint64_t *used,
                   int64_t *free_in_s)
{
    const struct bucket *b = *place_of(t->slots, t->n_slots, uid, rule);
    int64_t now = t->past ? t->now_ms : cv_clock_boot_ms();
    int64_t begin = now - per_s * 1000;

    *used = 0;
    *free_in_s = 0;
    if (per_s > t->back_s || (t->past && begin < t->from_ms)) {
        return false;
    }
    if (b == NULL) {
        return true;
    }
    for (size_t i = b->n; i > 0 && b->at[i - 1] > begin; i--) {
        ++*used;
    }
    for (size_t i = 0; i < t->n_waiting; i++) {
        *used += t->waiting[i].bucket == b ? 1 : 0;
    }
    if (*used >= count && count > 0) {
        int64_t left = nth_youngest(t, b, count - 1) + per_s * 1000 - now;

        *free_in_s = left > 1000 ? (left + 999) / 1000 : 1;
    }
    return true;
}
