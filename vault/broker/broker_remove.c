/* rm: all of the entries named, or none. */
#include "vault/broker/held_internal.h"
#include "vault/store/store_entry.h"

#include <stdlib.h>
#include <string.h>

/* A token that keys are destroyed on, as the entries' URIs mean it. */
struct place {
    char *uri;
    struct cv_held held;
};

struct removal {
    size_t n, n_rows; /* all; those whose rows alone go: first in `list` */
    bool keep_key, destroy_key;
    struct cv_ask *asks;
    struct cv_ask **list;  /* all; those with their keys last */
    struct place **places; /* of those, by their place in `list` */
    cJSON **docs;
    struct place *place; /* as many as are wanted */
    size_t n_places;
};

/* What was read of the entries, and decided. */
static void removal_forget(struct removal *r)
{
    for (size_t i = 0; r->docs != NULL && i < r->n; i++) {
        cJSON_Delete(r->docs[i]);
    }
    free(r->docs);
    free(r->asks);
    free(r->list);
    free(r->places);
    r->docs = NULL;
    r->asks = NULL;
    r->list = NULL;
    r->places = NULL;
    r->n = r->n_rows = 0;
}

static void removal_free(struct removal *r)
{
    removal_forget(r);
    for (size_t i = 0; i < r->n_places; i++) {
        cv_held_close(&r->place[i].held);
        free(r->place[i].uri);
    }
    free(r->place);
    r->place = NULL;
    r->n_places = 0;
}

/* Is the key on a token, and to be destroyed with the entry? One that was there
 * before the entry was stays, unless it is said; of one that is lost there is
 * nothing to destroy. */
static bool goes_with_key(const struct removal *r, const cJSON *doc)
{
    return cv_entry_token_has(doc) && !r->keep_key &&
           strcmp(cv_entry_text(doc, "state"), "lost") != 0 &&
           (r->destroy_key ||
            strcmp(cv_entry_text(doc, "provenance"), "adopted") != 0);
}

/* Before it is known which of them there are. */
static enum cv_status check_names(const cJSON *names, struct cv_err *err)
{
    char shown[CV_LIMIT_NAME + 1];
    const cJSON *item, *before;

    cJSON_ArrayForEach(item, names)
    {
        if (!cJSON_IsString(item)) {
            return cv_fail(err, CV_INVALID, "a name is not a text");
        }
        for (before = names->child; before != item; before = before->next) {
            if (strcmp(before->valuestring, item->valuestring) != 0) {
                continue;
            }
            (void)cv_fail(err, CV_INVALID, "%s is named twice",
                          cv_err_quote(shown, sizeof(shown), item->valuestring,
                                       strlen(item->valuestring)));
            cv_err_state(err, "nothing was removed");
            return CV_INVALID;
        }
    }
    return CV_OK;
}

/* Entered. There is no entry `name`, the r->docs[at] to be: who may not remove
 * one of those before it is told of that one, as where this one is there. */
static enum cv_status tell_missing(struct removal *r, size_t at,
                                   const char *name, struct cv_err *err)
{
    enum cv_status s = CV_NOT_FOUND;

    for (size_t i = 0; i < at && s == CV_NOT_FOUND; i++) {
        s = cv_ask_tell(&r->asks[i], r->docs[i], NULL, s, err);
    }
    return s == CV_NOT_FOUND ? cv_ask_tell(&r->asks[at], NULL, name, s, err)
                             : s;
}

static struct place *place_of(const struct removal *r, const cJSON *doc)
{
    for (size_t i = 0; i < r->n_places; i++) {
        if (strcmp(r->place[i].uri, cv_entry_token_uri(doc)) == 0) {
            return &r->place[i];
        }
    }
    return NULL;
}

/* Those without their keys first. */
static void sort(struct removal *r)
{
    size_t at = 0;

    for (int with_key = 0; with_key < 2; with_key++) {
        for (size_t i = 0; i < r->n; i++) {
            if (goes_with_key(r, r->docs[i]) == (with_key == 1)) {
                r->places[at] = place_of(r, r->docs[i]);
                r->list[at++] = &r->asks[i];
            }
        }
        r->n_rows = with_key == 0 ? at : r->n_rows;
    }
}

static enum cv_status removal_load(struct cv_broker *b, const cJSON *names,
                                   const cJSON *parameters, struct removal *r,
                                   struct cv_err *err)
{
    const cJSON *item;
    size_t i = 0;
    int n = cJSON_GetArraySize(names);
    enum cv_status s;

    if (n < 1 || n > CV_LIMIT_BATCH) {
        return cv_fail(err, CV_INVALID, "from 1 to %d names at a time",
                       CV_LIMIT_BATCH);
    }
    s = check_names(names, err);
    if (s != CV_OK) {
        return s;
    }
    r->n = (size_t)n;
    r->asks = calloc(r->n, sizeof(*r->asks));
    r->list = calloc(r->n, sizeof(struct cv_ask *));
    r->places = calloc(r->n, sizeof(struct place *));
    r->docs = calloc(r->n, sizeof(cJSON *));
    if (r->asks == NULL || r->list == NULL || r->places == NULL ||
        r->docs == NULL) {
        return cv_fail(err, CV_INTERNAL, "memory is gone");
    }
    cJSON_ArrayForEach(item, names)
    {
        struct cv_store_entry *row;

        s = cv_ask_begin(b, CV_ACTION_REMOVE, parameters, &r->asks[i], err);
        if (s == CV_OK) {
            s = cv_broker_load_entry(b, item->valuestring, false, &row,
                                     &r->docs[i], err);
            cv_store_entry_free(row);
            s = s == CV_NOT_FOUND ? tell_missing(r, i, item->valuestring, err)
                                  : s;
        }
        if (s != CV_OK) {
            return s;
        }
        r->asks[i].doc = r->docs[i];
        i++;
    }
    sort(r);
    return CV_OK;
}

static enum cv_status remove_rows(struct cv_broker *b, struct removal *r,
                                  struct cv_err *err)
{
    struct cv_store *store = b->vault->store;
    enum cv_status s = cv_store_begin(store, err);

    for (size_t i = 0; i < r->n_rows && s == CV_OK; i++) {
        s = cv_store_entry_remove(
            store, cv_entry_text(r->list[i]->doc, "entry_id"), err);
    }
    if (s == CV_OK) {
        s = cv_change_done(r->list, r->n_rows, err);
    }
    if (s == CV_OK) {
        s = cv_store_commit(store, err);
    }
    if (s != CV_OK) {
        cv_store_rollback(store);
    }
    return s;
}

static enum cv_status decide_row(struct cv_ask *ask, struct cv_err *err)
{
    cJSON *details = NULL;
    enum cv_status s;

    if (cv_entry_token_has(ask->doc)) {
        details = cJSON_CreateObject();
        (void)cv_json_add_bool(details, "key_kept", true);
        (void)cv_json_add_str(details, "token_uri",
                              cv_entry_text(ask->doc, "token_uri"));
    }
    s = cv_ask_decide(ask, ask->doc, details, err);
    cJSON_Delete(details);
    return s;
}

/* Entered. May all of it be, by what is there and by policy? */
static enum cv_status check_all(struct cv_broker *b, struct removal *r,
                                struct cv_err *err)
{
    enum cv_status s = CV_OK;

    for (size_t i = 0; i < r->n && s == CV_OK; i++) {
        s = cv_ask_check(&r->asks[i], r->docs[i], NULL, err);
        if (s == CV_OK) {
            cv_ask_suppose(&r->asks[i]);
        }
    }
    cv_ask_suppose_end(b);
    for (size_t i = r->n_rows; i < r->n && s == CV_OK; i++) {
        s = cv_held_remove_check(b, r->list[i]->doc, r->docs, r->n, err);
    }
    return s;
}

/* Entered. Decides, and queues the leaves. */
static enum cv_status decide_all(struct removal *r, struct cv_err *err)
{
    enum cv_status s = CV_OK;

    for (size_t i = 0; i < r->n && s == CV_OK; i++) {
        s = i < r->n_rows
                ? decide_row(r->list[i], err)
                : cv_held_remove_decide(r->list[i], r->list[i]->doc, err);
        if (s != CV_OK) {
            cv_change_drop(r->list, i, s);
        }
    }
    return s;
}

/* Entered. The journal's rows, then all of the leaves durable. */
static enum cv_status intend(struct cv_broker *b, struct removal *r,
                             struct cv_err *err)
{
    enum cv_status s = cv_change_put_rows(r->list, r->n_rows, err);
    bool told = s != CV_OK;

    for (size_t i = r->n_rows; i < r->n && s == CV_OK; i++) {
        struct cv_ask *ask = r->list[i];

        s = cv_held_put_rows(
            &r->places[i]->held, CV_HELD_REMOVE,
            &(struct cv_held_change){.ask = ask,
                                     .ref = cv_entry_token_ref(ask->doc),
                                     .doc = ask->doc},
            1, err);
        told = s != CV_OK;
    }
    if (s == CV_OK) {
        s = cv_broker_commit(b, err);
    }
    if (s != CV_OK) {
        for (size_t i = 0; i < r->n; i++) {
            cv_change_drop_rows(&r->list[i], 1);
        }
        /* The decisions are queued: told with their outcome, or not at all. */
        if (told) {
            cv_err_state(err, "nothing was changed");
            cv_change_drop(r->list, r->n, s);
        }
    }
    return s;
}

/* Entered. Every one is decided before any is removed. */
static enum cv_status remove_all(struct cv_broker *b, struct removal *r,
                                 bool dry_run, struct cv_err *err)
{
    enum cv_status s = check_all(b, r, err), end;

    if (s != CV_OK || dry_run) {
        return s;
    }
    s = decide_all(r, err);
    if (s == CV_OK) {
        s = intend(b, r, err);
    }
    if (s != CV_OK || r->n_rows == 0) {
        return s;
    }
    s = remove_rows(b, r, err);
    end = cv_change_end(r->list, r->n_rows, s, NULL, err);
    if (end != CV_OK && r->n_rows < r->n) {
        /* No key was touched yet, and none is. */
        (void)!cv_change_end(r->list + r->n_rows, r->n - r->n_rows, end, NULL,
                             NULL);
        cv_err_state(err, s == CV_OK
                              ? "those without a key to destroy were removed, "
                                "their outcome is recorded at the next start; "
                                "no key was destroyed, the rest stay"
                              : "nothing was removed, and no key destroyed");
    }
    return end;
}

static enum cv_status add_place(struct cv_broker *b, struct removal *r,
                                const cJSON *doc, struct cv_reply *reply,
                                struct cv_err *err)
{
    struct place *more, *p;
    enum cv_status s;

    if (place_of(r, doc) != NULL) {
        return CV_OK;
    }
    more = reallocarray(r->place, r->n_places + 1, sizeof(*more));
    if (more == NULL) {
        return cv_fail(err, CV_INTERNAL, "memory is gone");
    }
    r->place = more;
    p = &more[r->n_places];
    memset(p, 0, sizeof(*p));
    p->held.lock = -1;
    p->uri = strdup(cv_entry_token_uri(doc));
    if (p->uri == NULL) {
        return cv_fail(err, CV_INTERNAL, "memory is gone");
    }
    r->n_places++;
    s = cv_held_open(b, p->uri, reply, &p->held, err);
    if (s == CV_NOT_FOUND || s == CV_UNAVAILABLE) {
        /* "Not found" is for an entry that is not there: this one is. */
        s = CV_UNAVAILABLE;
        if (err != NULL) {
            err->status = s;
        }
        cv_err_state(err, "nothing was removed");
        cv_err_hint(err, "put the token back; where it is gone for good: rm "
                         "--keep-key, or certvault token lost");
    }
    return s;
}

/* Not entered. All their tokens are there, and logged in. */
static enum cv_status open_tokens(struct cv_broker *b, struct removal *r,
                                  struct cv_reply *reply, struct cv_err *err)
{
    enum cv_status s = CV_OK;
    size_t i;

    for (i = r->n_rows; i < r->n && s == CV_OK; i++) {
        s = add_place(b, r, r->list[i]->doc, reply, err);
    }
    for (; i < r->n && s == CV_LOCKED; i++) {
        cv_module_need_also(b, cv_entry_token_uri(r->list[i]->doc), reply);
    }
    /* One lock is for all tokens. */
    for (i = 0; i < r->n_places && s == CV_OK; i++) {
        s = i == 0 ? cv_held_lock(&r->place[i].held, err)
                   : cv_held_snapshot(&r->place[i].held, err);
    }
    return s;
}

/* Of several, the key of list[at] could not be destroyed. */
static void tell_which(const struct removal *r, size_t at, struct cv_err *err)
{
    char state[CV_ERR_STATE_LEN];

    memcpy(state, err->state, sizeof(state));
    cv_err_prefix(err, "%s", cv_entry_text(r->list[at]->doc, "name"));
    cv_err_state(err, "%s%s%zu of %zu were removed before it, %zu stay", state,
                 state[0] != '\0' ? "; " : "", at, r->n, r->n - at - 1);
}

/* Not entered, and all is decided. One after the other: the token takes its
 * time. Where one cannot be destroyed the rest stay. */
static enum cv_status remove_keys(struct cv_broker *b, struct removal *r,
                                  struct cv_err *err)
{
    enum cv_status s = CV_OK;
    size_t i;

    for (i = r->n_rows; i < r->n && s == CV_OK; i++) {
        /* None behind a freeze that came meanwhile. */
        s = cv_freeze_check(r->list[i], err);
        if (s != CV_OK) {
            cv_err_state(err, "%zu of %zu were removed before that", i, r->n);
            break;
        }
        s = cv_held_remove_key(&r->places[i]->held, r->list[i], r->list[i]->doc,
                               err);
        if (s != CV_OK && r->n > 1) {
            tell_which(r, i, err);
        }
    }
    if (s != CV_OK && i < r->n && cv_broker_enter(b, NULL) == CV_OK) {
        (void)!cv_change_end(r->list + i, r->n - i, s, NULL, NULL);
        cv_broker_leave(b);
    }
    return s;
}

/* Others were served while the tokens were opened. */
static enum cv_status check_places(const struct removal *r, struct cv_err *err)
{
    for (size_t i = r->n_rows; i < r->n; i++) {
        if (r->places[i] == NULL) {
            return cv_fail(err, CV_BUSY,
                           "%s was changed by somebody else just now",
                           cv_entry_text(r->list[i]->doc, "name"));
        }
    }
    return CV_OK;
}

/* Entered. Nobody is asked for a PIN who would be denied. */
static enum cv_status tell_denied(struct removal *r, struct cv_err *err)
{
    enum cv_status s = CV_OK;

    for (size_t i = 0; i < r->n && s == CV_OK; i++) {
        s = cv_ask_tell(&r->asks[i], r->docs[i], NULL, s, err);
    }
    return s;
}

/* A denial among them is told of, or counted, already. */
static void take_told(const struct removal *r, const struct cv_err *err,
                      struct cv_ask *ask)
{
    ask->seq = err->audit_seq;
    for (size_t i = 0; r->asks != NULL && i < r->n; i++) {
        ask->told = ask->told || r->asks[i].told;
        ask->counted = ask->counted || r->asks[i].counted;
    }
}

/* Entered, and left. Where a token is wanted it is logged in to without the
 * vault's lock, and what was read before is read again. */
static enum cv_status run(struct cv_broker *b, const cJSON *names,
                          const cJSON *parameters, struct removal *r,
                          bool dry_run, struct cv_reply *reply,
                          struct cv_err *err)
{
    enum cv_status s = removal_load(b, names, parameters, r, err);

    if (s == CV_OK && r->n_rows < r->n && !dry_run) {
        s = tell_denied(r, err);
        cv_broker_leave(b);
        if (s != CV_OK) {
            return s;
        }
        s = open_tokens(b, r, reply, err);
        removal_forget(r);
        if (s == CV_OK) {
            s = cv_broker_enter(b, err);
        }
        if (s != CV_OK) {
            return s;
        }
        s = removal_load(b, names, parameters, r, err);
        s = s == CV_OK ? check_places(r, err) : s;
    }
    if (s == CV_OK) {
        s = remove_all(b, r, dry_run, err);
    }
    cv_broker_leave(b);
    return s == CV_OK && !dry_run ? remove_keys(b, r, err) : s;
}

static enum cv_status show_removed(const struct removal *r,
                                   struct cv_reply *reply, struct cv_err *err)
{
    cJSON *items = cJSON_AddArrayToObject(cv_reply_parameters(reply), "items");

    for (size_t i = 0; i < r->n; i++) {
        cJSON *view = cv_entry_view(r->docs[i]);

        if (view == NULL || !cJSON_AddItemToArray(items, view)) {
            cJSON_Delete(view);
            return cv_fail(err, CV_INTERNAL, "memory is gone");
        }
    }
    return CV_OK;
}

CV_BROKER_METHOD(remove)
{
    struct cv_broker *b = context;
    const cJSON *names = NULL;
    bool dry_run = false;
    struct removal r = {0};
    const struct cv_json_field fields[] = {
        {"names", CV_JSON_ARRAY, true, &names, 0},
        {"keep_key", CV_JSON_BOOL, false, &r.keep_key, 0},
        {"destroy_key", CV_JSON_BOOL, false, &r.destroy_key, 0},
        {"dry_run", CV_JSON_BOOL, false, &dry_run, 0},
        CV_BROKER_ASK_FIELDS,
    };
    struct cv_ask ask;
    enum cv_status s = cv_ask_begin(b, CV_ACTION_REMOVE, parameters, &ask, err);

    if (s == CV_OK) {
        s = cv_json_read(parameters, "Remove", CV_BROKER_FIELDS(fields), true,
                         err);
    }
    if (s == CV_OK) {
        s = cv_broker_enter(b, err);
    }
    if (s == CV_OK) {
        s = run(b, names, parameters, &r, dry_run, reply, err);
    }
    if (s == CV_OK) {
        s = show_removed(&r, reply, err);
    }
    if (s != CV_OK) {
        take_told(&r, err, &ask);
        cv_ask_refused(&ask, err);
    }
    removal_free(&r);
    return s;
}
