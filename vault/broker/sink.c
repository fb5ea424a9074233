#include "vault/broker/sink_internal.h"

#include "vault/audit/archived.h"
#include "vault/audit/log.h"
#include "vault/base/clock.h"
#include "vault/base/file.h"
#include "vault/wire/interface.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

/* A batch that is not full waits so long for more. */
#define PACE_MS 200
#define STORE_MS 3000
#define LOOK_MS 1000
/* What is passed over in one go, so that others are not kept waiting. */
#define SKIP_STEP CV_MIB(4)
/* How much of a name the record is told. */
#define NAME_TOLD 200

/* ---- coming and going ---- */

static void let_go(struct cv_sink *s)
{
    cv_channel_free(s->channel);
    s->channel = NULL;
    s->asked = false;
    s->n_marks = 0;
}

static void failed(struct cv_sink *s, const char *why)
{
    int64_t wait_s =
        s->failures < 6 ? (int64_t)1 << s->failures : CV_LIMIT_SINK_RETRY_S;

    s->failures++;
    s->retry_ms = cv_clock_boot_ms() + wait_s * 1000;
    (void)cv_err_quote(s->error, sizeof(s->error), why, strlen(why));
}

static struct cv_sinks *make(const struct cv_spawner_options *o)
{
    struct cv_sinks *all = calloc(1, sizeof(*all));

    if (all != NULL) {
        all->lock = -1;
        all->sink = calloc(o->n_sinks, sizeof(*all->sink));
        all->n = all->sink != NULL ? o->n_sinks : 0;
    }
    for (size_t i = 0; all != NULL && i < all->n; i++) {
        all->sink[i].o = &o->sinks[i];
    }
    return all;
}

/* NULL: there is nothing to be done here. */
static struct cv_sinks *wanted(struct cv_broker *b)
{
    const struct cv_spawner_options *o = &b->options->programs;

    if (o->n_sinks == 0 || b->vault == NULL || b->vault->log == NULL ||
        (b->options->mode == CV_BROKER_EXEC &&
         (b->sinks == NULL || !b->sinks->hurried))) {
        return NULL;
    }
    if (b->sinks == NULL) {
        b->sinks = make(o);
    }
    return b->sinks;
}

/* Is it this broker that hands on? */
static bool is_ours(struct cv_broker *b, struct cv_sinks *all)
{
    int64_t now = cv_clock_boot_ms();

    if (all->lock == -1 &&
        (all->looked_ms == 0 || now - all->looked_ms >= LOOK_MS)) {
        all->looked_ms = now;
        if (cv_file_open(b->vault->dir, "audit/sinks.lock", O_RDWR | O_CREAT,
                         &all->lock, NULL) != CV_OK ||
            cv_file_lock(all->lock, 0, "audit/sinks", NULL) != CV_OK) {
            cv_file_close(&all->lock);
        }
    }
    if (all->lock != -1 && !all->loaded) {
        cv_sink_cursor_load(b, all);
        all->loaded = true;
        all->stored_ms = now;
    }
    return all->lock != -1;
}

/* Beside an agent others write; what they wrote counts once this broker has
 * read it under the vault's lock. */
static void look_at_log(struct cv_broker *b, struct cv_sinks *all)
{
    int64_t now = cv_clock_boot_ms();
    struct stat st;

    if (b->options->mode == CV_BROKER_SERVICE ||
        now - all->looked_ms < LOOK_MS ||
        fstatat(b->vault->dir, "audit/log", &st, AT_SYMLINK_NOFOLLOW) == -1) {
        return;
    }
    all->looked_ms = now;
    /* The time alone does not tell: files that change again within a tick of
     * the kernel's clock keep theirs. */
    if ((st.st_mtim.tv_sec != all->changed.tv_sec ||
         st.st_mtim.tv_nsec != all->changed.tv_nsec ||
         cv_log_is_behind(b->vault->log)) &&
        cv_broker_enter(b, NULL) == CV_OK) {
        all->changed = st.st_mtim;
        cv_broker_leave(b);
    }
}

/* ---- answers ---- */

static void forget_gap(struct cv_sink *s, size_t *taken)
{
    if (s->with_gap && *taken > 0) {
        s->place.gap = 0;
        (*taken)--;
    }
}

/* `taken` of what was sent is the sink's. */
static void go_on(struct cv_sink *s, size_t taken)
{
    if (taken == 0) {
        return;
    }
    if (s->n_marks == CV_LIMIT_SINK_UNSURE) {
        memmove(s->marks, s->marks + 1,
                (CV_LIMIT_SINK_UNSURE - 1) * sizeof(s->marks[0]));
        s->n_marks--;
    }
    s->marks[s->n_marks++] = s->place;
    s->changed = true;
    forget_gap(s, &taken);
    if (taken > 0) {
        s->place.at = s->after[taken - 1];
        (void)snprintf(s->place.prev, sizeof(s->place.prev), "%s",
                       taken == s->n ? s->last : "");
    }
}

/* The connection was reset: what was sent over it last comes again. */
static void go_back(struct cv_sink *s)
{
    if (s->n_marks > 0) {
        s->place = s->marks[0];
        s->n_marks = 0;
        s->changed = true;
    }
}

static void take_answer(struct cv_sink *s, struct cv_message *m)
{
    const char *error = NULL;
    int64_t taken = -1;
    bool fresh = false, lost = false, more;
    const struct cv_json_field fields[] = {
        {"taken", CV_JSON_INT, true, &taken, 0},
        {"fresh", CV_JSON_BOOL, true, &fresh, 0},
        {"lost", CV_JSON_BOOL, true, &lost, 0},
        {"error", CV_JSON_STRING, false, &error, 0},
    };
    struct cv_err err;
    enum cv_status st;

    cv_err_init(&err);
    st = cv_client_answer(m, &more, &err);
    if (st == CV_OK) {
        st = cv_json_read(m->tree, "Deliver", fields, 4, true, &err);
    }
    s->asked = false;
    if (st != CV_OK || taken < 0 ||
        (size_t)taken > s->n + (s->with_gap ? 1 : 0)) {
        let_go(s);
        failed(s, st != CV_OK ? err.text : "its process answers nonsense");
        return;
    }
    if (fresh) {
        s->n_marks = 0;
    }
    go_on(s, (size_t)taken);
    if (lost) {
        go_back(s);
    }
    if (error != NULL) {
        failed(s, error);
    } else {
        s->failures = 0;
        s->error[0] = '\0';
    }
}

/* What its process says, if anything. */
static void listen(struct cv_broker *b, struct cv_sink *s)
{
    struct cv_message m = {0};
    struct cv_err err;
    bool closed = false;
    enum cv_status st;

    cv_err_init(&err);
    st = cv_channel_fill(s->channel, &closed, &err);
    if (st == CV_OK) {
        st = cv_channel_next(s->channel, &m, &err);
    }
    if (st == CV_OK && m.tree != NULL && s->asked) {
        take_answer(s, &m);
    } else if (st != CV_OK || closed) {
        bool asked = s->asked;

        let_go(s);
        if (asked) {
            failed(s, "its process ended");
        }
    } else if (s->asked && cv_clock_boot_ms() >= s->until_ms) {
        cv_spawner_kill(b->spawner, s->child);
        let_go(s);
        failed(s, "no answer in time");
    }
    cv_message_free(&m);
}

/* ---- batches ---- */

struct batch {
    struct cv_sink *s;
    const struct cv_query_cursor *at;
    uint64_t size; /* leaves that are durable */
    cJSON *list;
    const cJSON *last;
    size_t bytes;
};

/* Does the log go on behind what the sink has as it did when it got that? */
static bool follows(const struct cv_sink *s, struct cv_bytes leaf)
{
    cJSON *tree = NULL;
    bool ok;

    if (s->checked || s->place.prev[0] == '\0') {
        return true;
    }
    ok = cv_json_parse(NULL, leaf, &tree, NULL) == CV_OK &&
         strcmp(cv_entry_text(tree, "prev"), s->place.prev) == 0;
    cJSON_Delete(tree);
    return ok;
}

static bool add_record(cJSON *list, uint64_t seq, struct cv_bytes text,
                       bool gap)
{
    cJSON *item = cJSON_CreateObject();
    char *copy = strndup((const char *)text.data, text.len);
    bool ok = copy != NULL && cv_json_add_int(item, "seq", (int64_t)seq) &&
              cv_json_add_str(item, "text", copy) &&
              (!gap || cv_json_add_bool(item, "gap", true)) &&
              cJSON_AddItemToArray(list, item);

    if (!ok) {
        cJSON_Delete(item);
    }
    free(copy);
    return ok;
}

static enum cv_status collect(void *context, uint64_t seq, struct cv_bytes leaf,
                              struct cv_err *err)
{
    struct batch *x = context;
    struct cv_sink *s = x->s;

    if (seq >= x->size || s->n == CV_LIMIT_SINK_BATCH ||
        (s->n > 0 && x->bytes + leaf.len > CV_LIMIT_SINK_BATCH_BYTES)) {
        return CV_BUSY; /* enough */
    }
    if (s->n == 0 && !follows(s, leaf)) {
        return cv_fail(err, CV_INTEGRITY, "another log");
    }
    if (!add_record(x->list, seq, leaf, false)) {
        return cv_fail(err, CV_INTERNAL, "memory is gone");
    }
    if (s->n > 0) {
        s->after[s->n - 1] = *x->at;
    }
    s->n++;
    x->bytes += leaf.len;
    return CV_OK;
}

static bool add_gap(struct cv_sink *s, cJSON *list)
{
    uint64_t to = s->place.at.seq, from = to - s->place.gap;
    char text[160];
    int n = snprintf(text, sizeof(text),
                     "{\"gap\":{\"count\":%llu,\"from\":%llu,\"to\":%llu}}",
                     (unsigned long long)s->place.gap, (unsigned long long)from,
                     (unsigned long long)to - 1);

    s->with_gap = s->place.gap > 0;
    return !s->with_gap ||
           add_record(list, from,
                      (struct cv_bytes){(const uint8_t *)text, (size_t)n},
                      true);
}

static void tell_gap(struct cv_broker *b, const struct cv_sink *s,
                     uint64_t count);

/* What it has not and is archived (it is new, or was put back) is a gap, as
 * what was skipped is. */
static enum cv_status leave_archived(struct cv_broker *b, struct cv_sink *s,
                                     struct cv_query_cursor *at,
                                     struct cv_err *err)
{
    struct cv_archived gone;
    enum cv_status st = cv_archived_read(b->vault->dir, &gone, err);
    uint64_t count;

    if (st != CV_OK || s->place.at.seq >= gone.tree.size) {
        return st;
    }
    count = gone.tree.size - s->place.at.seq;
    s->skipped_from = s->place.at.seq;
    s->place.gap += count;
    s->gaps += count;
    s->place.at = *at = (struct cv_query_cursor){gone.offset, gone.tree.size};
    s->place.prev[0] = '\0';
    s->n_marks = 0;
    s->changed = true;
    tell_gap(b, s, count);
    return CV_OK;
}

/* Fills `list` with what is next. CV_INTEGRITY: the log is not as it was. */
static enum cv_status fill(struct cv_broker *b, struct cv_sink *s, cJSON *list,
                           struct cv_err *err)
{
    struct cv_query_cursor at = s->place.at;
    struct batch x = {
        .s = s, .at = &at, .size = cv_log_size(b->vault->log), .list = list};
    enum cv_status st;

    st = leave_archived(b, s, &at, err);
    if (st != CV_OK) {
        return st;
    }
    s->n = 0;
    if (!add_gap(s, list)) {
        return cv_fail(err, CV_INTERNAL, "memory is gone");
    }
    st = cv_query_follow(b->vault->dir, &at, collect, &x, err);
    if (st != CV_OK && st != CV_BUSY) {
        return st;
    }
    if (s->n > 0) {
        const char *text = cv_entry_text(
            cJSON_GetArrayItem(list, cJSON_GetArraySize(list) - 1), "text");

        s->checked = true;
        s->after[s->n - 1] = at;
        cv_sink_cursor_hash(
            (struct cv_bytes){(const uint8_t *)text, strlen(text)}, s->last);
    }
    return CV_OK;
}

static enum cv_status start(struct cv_broker *b, struct cv_sink *s,
                            struct cv_err *err)
{
    int fd;
    enum cv_status st;

    if (s->channel != NULL) {
        return CV_OK;
    }
    st = cv_spawner_run_child(b->spawner,
                              s->o->command != NULL ? CV_SPAWNER_COMMAND
                                                    : CV_SPAWNER_SINK,
                              &fd, &s->child, err);
    if (st == CV_OK) {
        st = cv_channel_new(fd, CV_LIMIT_FRAME_CLIENT, &s->channel, err);
    }
    if (st == CV_OK) {
        cv_channel_queue(s->channel, NULL);
    }
    return st;
}

static enum cv_status send_batch(struct cv_sink *s, cJSON *list,
                                 struct cv_err *err)
{
    cJSON *message = cJSON_CreateObject(), *p = cJSON_CreateObject();
    bool ok = cv_json_add_str(p, "sink", s->o->text) &&
              cv_json_add_str(p, "ca_pem", s->o->ca_pem);
    enum cv_status st;

    ok = cv_json_add_item(p, "records", list) && ok;
    ok = ok &&
         cv_json_add_str(message, "method", CV_INTERFACE_INTAKE ".Deliver");
    ok = cv_json_add_item(message, "parameters", p) && ok;
    st = ok ? cv_channel_send(s->channel, message, false, 0, err)
            : cv_fail(err, CV_INTERNAL, "memory is gone");
    cJSON_Delete(message);
    return st;
}

static void hand_on(struct cv_broker *b, struct cv_sink *s)
{
    cJSON *list = cJSON_CreateArray();
    struct cv_err err;
    enum cv_status st;

    cv_err_init(&err);
    st = fill(b, s, list, &err);
    if (st == CV_INTEGRITY && !s->checked && s->place.at.seq > 0) {
        /* Restored, or another's: all that there is is new to the sink. */
        cJSON_Delete(list);
        s->place = (struct cv_sink_place){0};
        s->changed = true;
        return;
    }
    if (st == CV_OK && cJSON_GetArraySize(list) == 0) {
        cJSON_Delete(list);
        return;
    }
    if (st == CV_OK) {
        st = start(b, s, &err);
    }
    if (st == CV_OK) {
        st = send_batch(s, list, &err);
        list = NULL;
    }
    cJSON_Delete(list);
    if (st != CV_OK) {
        let_go(s);
        failed(s, err.text);
        return;
    }
    s->asked = true;
    s->asked_ms = cv_clock_boot_ms();
    s->until_ms = s->asked_ms + (int64_t)CV_LIMIT_SINK_S * 1000;
}

/* ---- skipping ahead ---- */

struct skip {
    uint64_t seq, offset; /* as far as both */
    const struct cv_query_cursor *at;
    size_t bytes;
};

static enum cv_status pass(void *context, uint64_t seq, struct cv_bytes leaf,
                           struct cv_err *err)
{
    struct skip *x = context;

    (void)err;
    if ((seq >= x->seq && x->at->offset >= x->offset) || x->bytes > SKIP_STEP) {
        return CV_BUSY;
    }
    x->bytes += leaf.len;
    return CV_OK;
}

static bool is_too_far(const struct cv_broker *b, const struct cv_sink *s)
{
    uint64_t size = cv_log_size(b->vault->log),
             bytes = cv_log_bytes(b->vault->log);

    return size > s->place.at.seq + s->o->behind ||
           bytes > s->place.at.offset + CV_LIMIT_SINK_BEHIND_BYTES;
}

static void tell_gap(struct cv_broker *b, const struct cv_sink *s,
                     uint64_t count)
{
    cJSON *details = cJSON_CreateObject();
    char name[NAME_TOLD];

    (void)cv_err_quote(name, sizeof(name), s->o->name, strlen(s->o->name));
    if (cv_json_add_str(details, "sink", name) &&
        cv_json_add_int(details, "from", (int64_t)s->skipped_from) &&
        cv_json_add_int(details, "to", (int64_t)s->place.at.seq - 1) &&
        cv_json_add_int(details, "count", (int64_t)count)) {
        cv_broker_event(b, "sink", CV_BUSY, details);
    }
    cJSON_Delete(details);
}

/* Half of what it may be behind is left over, so that it is not to be done
 * again at once. */
static void skip(struct cv_broker *b, struct cv_sink *s)
{
    uint64_t size = cv_log_size(b->vault->log),
             bytes = cv_log_bytes(b->vault->log), step;
    struct cv_query_cursor at = s->place.at;
    struct skip x = {
        .at = &at,
        .seq = size > s->o->behind / 2 ? size - s->o->behind / 2 : 0,
        .offset = bytes > CV_LIMIT_SINK_BEHIND_BYTES / 2
                      ? bytes - CV_LIMIT_SINK_BEHIND_BYTES / 2
                      : 0,
    };
    struct cv_err err;
    enum cv_status st;

    if (!s->skipping) {
        s->skipping = true;
        s->skipped_from = s->place.at.seq;
    }
    cv_err_init(&err);
    st = cv_query_follow(b->vault->dir, &at, pass, &x, &err);
    if (st != CV_OK && st != CV_BUSY) {
        s->skipping = false;
        if (st == CV_INTEGRITY && !s->checked && s->place.at.seq > 0) {
            s->place = (struct cv_sink_place){0};
        } else {
            failed(s, err.text);
        }
        return;
    }
    /* Kept with the place: who is cut off in the middle still tells of it. */
    step = at.seq - s->place.at.seq;
    s->place.gap += step;
    s->gaps += step;
    s->place.at = at;
    s->place.prev[0] = '\0';
    s->n_marks = 0;
    s->changed = true;
    if (at.seq < x.seq || at.offset < x.offset) {
        return; /* more of it next time */
    }
    s->skipping = false;
    tell_gap(b, s, at.seq - s->skipped_from);
}

/* ---- the turn ---- */

static uint64_t lag_of(const struct cv_broker *b, const struct cv_sink *s)
{
    uint64_t size = cv_log_size(b->vault->log);

    return size > s->place.at.seq ? size - s->place.at.seq : 0;
}

/* True while it wants another within a second. */
static bool take_turn(struct cv_broker *b, struct cv_sink *s)
{
    int64_t now = cv_clock_boot_ms();
    uint64_t lag;

    if (s->channel != NULL) {
        listen(b, s);
    }
    lag = lag_of(b, s);
    if (!s->asked && (lag > 0 || s->place.gap > 0) && now >= s->retry_ms) {
        if (s->skipping || is_too_far(b, s)) {
            skip(b, s);
        } else if (b->sinks->hurried || lag >= CV_LIMIT_SINK_BATCH ||
                   now - s->asked_ms >= PACE_MS) {
            hand_on(b, s);
        }
    }
    if (s->channel != NULL && s->asked) {
        if (cv_channel_flush(s->channel, NULL) != CV_OK) {
            let_go(s);
            failed(s, "its process ended");
        } else if (b->loop != NULL) {
            cv_loop_wake(b->loop, cv_channel_fd(s->channel),
                         cv_channel_unsent(s->channel) > 0);
        }
    }
    return s->asked || s->changed || lag > 0;
}

bool cv_sink_tick(struct cv_broker *b)
{
    struct cv_sinks *all = wanted(b);
    struct cv_arena *before;
    bool busy = b->options->mode == CV_BROKER_AGENT, changed = false;

    if (all == NULL) {
        return false;
    }
    before = cv_json_use(NULL);
    if (is_ours(b, all)) {
        look_at_log(b, all);
        for (size_t i = 0; i < all->n; i++) {
            busy = take_turn(b, &all->sink[i]) || busy;
            changed = changed || all->sink[i].changed;
        }
        if (changed && cv_clock_boot_ms() - all->stored_ms >= STORE_MS) {
            cv_sink_cursor_store(b, all);
        }
    } else {
        busy = true;
    }
    (void)cv_json_use(before);
    return busy;
}

/* ---- for others ---- */

enum cv_status cv_sink_hurry(struct cv_broker *b, struct cv_err *err)
{
    const struct cv_spawner_options *o = &b->options->programs;
    enum cv_status s = CV_OK;

    if (o->n_sinks == 0) {
        s = cv_fail(err, CV_CONFIG, "no sinks are configured");
        cv_err_hint(err, "audit: {sinks: [...]} in the configuration");
        return s;
    }
    if (b->sinks == NULL) {
        b->sinks = make(o);
    }
    if (b->sinks == NULL || b->sinks->n == 0) {
        return cv_fail(err, CV_INTERNAL, "memory is gone");
    }
    b->sinks->looked_ms = 0;
    if (!is_ours(b, b->sinks)) {
        s = cv_fail(err, CV_BUSY,
                    "another broker of this vault hands the "
                    "record on");
        cv_err_hint(err, "certvault status shows how far it is");
        return s;
    }
    b->sinks->hurried = b->options->mode == CV_BROKER_EXEC;
    for (size_t i = 0; i < b->sinks->n; i++) {
        b->sinks->sink[i].failures = 0;
        b->sinks->sink[i].retry_ms = 0;
        b->sinks->sink[i].error[0] = '\0';
    }
    return CV_OK;
}

static const char *state_of(const struct cv_broker *b, const struct cv_sink *s)
{
    return b->sinks->lock == -1 ? "elsewhere"
           : s->failures > 0    ? "failing"
           : s->skipping        ? "skipping"
           : s->asked           ? "sending"
                                : "idle";
}

static bool add_status(const struct cv_broker *b, const struct cv_sink *s,
                       cJSON *list)
{
    cJSON *item = cJSON_CreateObject();

    if (!cv_json_add_str(item, "name", s->o->name) ||
        !cv_json_add_int(item, "seq", (int64_t)s->place.at.seq) ||
        !cv_json_add_int(item, "lag", (int64_t)lag_of(b, s)) ||
        !cv_json_add_str(item, "state", state_of(b, s)) ||
        !cv_json_add_int(item, "failures", (int64_t)s->failures) ||
        !cv_json_add_str(item, "error", s->failures > 0 ? s->error : NULL) ||
        !cv_json_add_int(item, "gaps", (int64_t)s->gaps) ||
        !cJSON_AddItemToArray(list, item)) {
        cJSON_Delete(item);
        return false;
    }
    return true;
}

cJSON *cv_sink_status(struct cv_broker *b)
{
    const struct cv_spawner_options *o = &b->options->programs;
    cJSON *list = cJSON_CreateArray();
    bool ok = list != NULL;

    if (b->vault == NULL || o->n_sinks == 0) {
        return list;
    }
    if (b->sinks == NULL) {
        b->sinks = make(o);
    }
    /* A private broker looks where they are, and lets them be. */
    if (b->sinks != NULL && b->sinks->lock == -1) {
        cv_sink_cursor_load(b, b->sinks);
    }
    for (size_t i = 0; ok && b->sinks != NULL && i < b->sinks->n; i++) {
        ok = add_status(b, &b->sinks->sink[i], list);
    }
    if (!ok) {
        cJSON_Delete(list);
        list = NULL;
    }
    return list;
}

uint64_t cv_sink_size(const struct cv_broker *b)
{
    return b->vault != NULL && b->vault->log != NULL
               ? cv_log_size(b->vault->log)
               : 0;
}

void cv_sink_end(struct cv_broker *b)
{
    struct cv_sinks *all = b->sinks;
    bool changed = false;

    if (all == NULL) {
        return;
    }
    for (size_t i = 0; i < all->n; i++) {
        changed = changed || all->sink[i].changed;
        let_go(&all->sink[i]);
    }
    if (changed && all->lock != -1 && b->vault != NULL) {
        cv_sink_cursor_store(b, all);
    }
    cv_file_close(&all->lock);
    free(all->sink);
    free(all);
    b->sinks = NULL;
}
