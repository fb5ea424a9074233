/* Metrics: numbers for whoever watches the broker. Nothing of it is decided or
 * recorded, as with Status; entries are told of to those alone who may list
 * them, and no helper or token is asked. */
#include "vault/audit/log.h"
#include "vault/base/clock.h"
#include "vault/broker/anchor.h"
#include "vault/broker/freeze.h"
#include "vault/broker/module_internal.h"
#include "vault/broker/sink.h"
#include "vault/store/store_entry.h"
#include "vault/store/store_request.h"

#include <string.h>

static enum cv_status no_memory(struct cv_err *err)
{
    return cv_fail(err, CV_INTERNAL, "memory is gone");
}

void cv_broker_metrics_count(struct cv_broker *b, bool permit,
                             enum cv_action action)
{
    b->decisions[permit ? 1 : 0][action]++;
}

static enum cv_status add_decisions(const struct cv_broker *b, cJSON *out,
                                    struct cv_err *err)
{
    static const char *const words[] = {"deny", "permit"};
    cJSON *all = cJSON_AddObjectToObject(out, "decisions");

    for (size_t i = 0; i < 2; i++) {
        cJSON *one = cJSON_AddObjectToObject(all, words[i]);

        for (int a = 0; a < CV_ACTION_COUNT; a++) {
            if (b->decisions[i][a] > 0 &&
                !cv_json_add_int(one, cv_action_name((enum cv_action)a),
                                 (int64_t)b->decisions[i][a])) {
                return no_memory(err);
            }
        }
    }
    return CV_OK;
}

/* What expires when. */
struct expiry {
    cJSON *items;
    struct cv_decide_list *shown;
    int64_t now_s;
    int64_t next_s; /* the first that is still valid ends; -1: none */
    bool wanted;    /* each of them, not only the next */
};

static enum cv_status add_entry(struct expiry *x, const cJSON *doc,
                                const struct cv_store_entry *row,
                                struct cv_err *err)
{
    char until[CV_CLOCK_TEXT_LEN];
    cJSON *item = cJSON_CreateObject();

    if (!cv_json_add_str(item, "name", row->name) ||
        !cv_json_add_str(item, "location", cv_entry_text(doc, "location")) ||
        !cv_json_add_str(item, "state", cv_entry_text(doc, "state")) ||
        !cv_json_add_str(item, "not_after",
                         cv_clock_format(row->not_after, until)) ||
        !cv_json_add_int(item, "seconds", row->not_after - x->now_s) ||
        !cJSON_AddItemToArray(x->items, item)) {
        cJSON_Delete(item);
        return no_memory(err);
    }
    return CV_OK;
}

static enum cv_status look_at(void *context, const struct cv_store_entry *row,
                              struct cv_err *err)
{
    struct expiry *x = context;
    struct cv_entry_subject subject;
    cJSON *doc = NULL;
    enum cv_status s = cv_json_parse(
        NULL, (struct cv_bytes){(const uint8_t *)row->doc, strlen(row->doc)},
        &doc, err);

    if (s != CV_OK) {
        return s;
    }
    cv_entry_subject_fill(doc, &subject);
    if (cv_decide_list_shows(x->shown, &subject.entry)) {
        int64_t left = row->not_after - x->now_s;

        if (left > 0 && (x->next_s == -1 || left < x->next_s)) {
            x->next_s = left;
        }
        s = x->wanted ? add_entry(x, doc, row, err) : CV_OK;
    }
    cJSON_Delete(doc);
    return s;
}

/* Who may list nothing is told of nothing, without a denial. */
static enum cv_status add_expiry(struct cv_broker *b, bool wanted, cJSON *out,
                                 struct cv_err *err)
{
    const struct cv_peer *peer = &b->caller->peer;
    struct cv_decide_request rq = {
        .subject = {.uid = peer->uid,
                    .gid = peer->gid,
                    .gids = peer->groups,
                    .n_gids = peer->n_groups},
        .action = CV_ACTION_LIST,
        .mode =
            (enum cv_decide_mode)(CV_DECIDE_MODE_EXEC + (int)b->options->mode),
        .now_s = cv_clock_now_s(),
    };
    struct expiry x = {.now_s = rq.now_s, .next_s = -1, .wanted = wanted};
    struct cv_decide_result result;
    struct cv_store_filter filter;
    enum cv_status s;

    cv_anchor_fact(b, &rq);
    if (wanted) {
        x.items = cJSON_AddArrayToObject(out, "expiry");
        if (x.items == NULL) {
            return no_memory(err);
        }
    }
    if (cv_decide_list_new(b->policy, &rq, &x.shown, &result, NULL) != CV_OK) {
        return CV_OK;
    }
    cv_store_entry_filter_init(&filter);
    s = cv_store_entry_list(b->vault->store, &filter, look_at, &x, err);
    cv_decide_list_free(x.shown);
    if (s == CV_OK && x.next_s != -1 &&
        !cv_json_add_int(out, "next_expiry_s", x.next_s)) {
        s = no_memory(err);
    }
    return s;
}

static enum cv_status count_open(void *context,
                                 const struct cv_store_request *row,
                                 struct cv_err *err)
{
    int64_t *open = context;

    (void)err;
    *open +=
        row->state == CV_STORE_REQUEST_OPEN && row->expires > cv_clock_now_s()
            ? 1
            : 0;
    return CV_OK;
}

/* Entered. */
static enum cv_status fill(struct cv_broker *b, bool entries, cJSON *out,
                           struct cv_err *err)
{
    cJSON *log = NULL;
    uint64_t n_entries = 0;
    int64_t open = 0;
    enum cv_status s = cv_store_entry_count(b->vault->store, &n_entries, err);

    if (s == CV_OK) {
        s = cv_store_request_list(b->vault->store, false, count_open, &open,
                                  err);
    }
    if (s == CV_OK) {
        s = cv_log_status(b->vault->log, &log, err);
    }
    if (s == CV_OK && (!cv_anchor_add(b, log) || !cv_signer_add(b, log))) {
        cJSON_Delete(log);
        s = no_memory(err);
    }
    if (s != CV_OK) {
        return s;
    }
    if (!cv_json_add_str(out, "vault_id", b->vault->id) ||
        !cv_json_add_str(out, "version", CV_VERSION) ||
        !cv_json_add_bool(out, "locked", !cv_broker_is_open(b)) ||
        !cv_json_add_item(out, "log", log) ||
        !cv_json_add_int(out, "entries", (int64_t)n_entries) ||
        !cv_json_add_int(out, "approvals_pending", open) ||
        !cv_json_add_int(out, "grants", (int64_t)b->grants.n) ||
        !cv_json_add_item(out, "modules", cv_module_status(b)) ||
        !cv_json_add_item(out, "sinks", cv_sink_status(b)) ||
        !cv_freeze_add(b, out)) {
        return no_memory(err);
    }
    s = add_decisions(b, out, err);
    return s == CV_OK ? add_expiry(b, entries, out, err) : s;
}

CV_BROKER_METHOD(metrics)
{
    struct cv_broker *b = context;
    bool entries = true;
    const struct cv_json_field fields[] = {
        {"entries", CV_JSON_BOOL, false, &entries, 0},
    };
    cJSON *out = cJSON_AddObjectToObject(cv_reply_parameters(reply), "metrics");
    enum cv_status s = cv_json_read(parameters, "Metrics",
                                    CV_BROKER_FIELDS(fields), true, err);

    if (s == CV_OK) {
        s = cv_broker_enter(b, err);
    }
    if (s == CV_OK) {
        s = fill(b, entries, out, err);
        cv_broker_leave(b);
    }
    return s;
}
