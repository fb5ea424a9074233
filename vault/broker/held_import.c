/* A key's way onto a token: import and fetch with --to token. */
#include "vault/broker/held_internal.h"

#include <stdlib.h>
#include <string.h>

static enum cv_status no_memory(struct cv_err *err)
{
    return cv_fail(err, CV_INTERNAL, "memory is gone");
}

/* Is one of the ways permitted in which a token takes keys? Asked before the
 * token is: whoever may not have it there need not know what the token can. */
static enum cv_status check_ways(struct cv_ask *ask, cJSON *doc,
                                 struct cv_err *err)
{
    struct cv_ask trial = *ask;
    enum cv_status s;

    if (!cv_entry_token_set(doc, "ready", "unwrapped", false)) {
        return no_memory(err);
    }
    s = cv_ask_would_now(&trial, doc, NULL);
    if (s == CV_OK) {
        return s;
    }
    if (!cv_entry_token_set(doc, "ready", "imported", false)) {
        return no_memory(err);
    }
    /* One that others can still approve is better than one that is denied. */
    if (s == CV_BUSY && !cv_ask_would(ask, doc) &&
        !cv_entry_token_set(doc, "ready", "unwrapped", false)) {
        return no_memory(err);
    }
    return cv_ask_check(ask, doc, NULL, err);
}

enum cv_status cv_held_may(struct cv_held *held, struct cv_ask *ask, cJSON *doc,
                           const char *type, int bits, struct cv_err *err)
{
    char way[16] = "";
    enum cv_status s = cv_broker_enter(held->broker, err);

    if (s == CV_OK) {
        s = check_ways(ask, doc, err);
        cv_broker_leave(held->broker);
    }
    if (s == CV_OK) {
        s = cv_held_accepts(held, type, bits, way, err);
    }
    if (s == CV_OK && !cv_entry_token_set(doc, "ready", way, false)) {
        s = no_memory(err);
    }
    return s;
}

/* A token is asked once for each kind of key. */
static const struct cv_take *same_kind(const struct cv_take *takes, size_t i)
{
    const cJSON *key = cJSON_GetObjectItemCaseSensitive(takes[i].doc, "key");

    for (size_t k = 0; k < i; k++) {
        const cJSON *other =
            cJSON_GetObjectItemCaseSensitive(takes[k].doc, "key");

        if (strcmp(cv_entry_text(key, "type"), cv_entry_text(other, "type")) ==
                0 &&
            cJSON_Compare(cJSON_GetObjectItemCaseSensitive(key, "bits"),
                          cJSON_GetObjectItemCaseSensitive(other, "bits"),
                          true)) {
            return &takes[k];
        }
    }
    return NULL;
}

enum cv_status cv_held_may_all(struct cv_held *held, struct cv_take *takes,
                               size_t n, struct cv_err *err)
{
    enum cv_status s = CV_OK;

    for (size_t i = 0; i < n && s == CV_OK; i++) {
        struct cv_take *t = &takes[i];
        const struct cv_take *like = same_kind(takes, i);
        const cJSON *key = cJSON_GetObjectItemCaseSensitive(t->doc, "key");
        const cJSON *bits = cJSON_GetObjectItemCaseSensitive(key, "bits");

        if (like == NULL) {
            s = cv_held_may(held, &t->ask, t->doc, cv_entry_text(key, "type"),
                            bits->valueint, err);
            continue;
        }
        s = cv_broker_enter(held->broker, err);
        if (s == CV_OK) {
            s = check_ways(&t->ask, t->doc, err);
            cv_broker_leave(held->broker);
        }
        if (s == CV_OK && !cv_entry_token_set(
                              t->doc, "ready",
                              cv_entry_text(like->doc, "provenance"), false)) {
            s = no_memory(err);
        }
    }
    return s;
}

/* What is taken together. */
struct batch {
    struct cv_held *held;
    struct cv_take *takes;
    struct cv_held_change *changes;
    size_t n;
    size_t came;  /* the token said of so many that it has them */
    bool refused; /* something answered no: nothing of it may be kept */
};

static cJSON *import_parameters(const struct batch *b, size_t i)
{
    const struct cv_held *held = b->held;
    const struct cv_take *t = &b->takes[i];
    const cJSON *key = cJSON_GetObjectItemCaseSensitive(t->doc, "key");
    const cJSON *ref = cv_entry_token_ref(t->doc);
    const cJSON *certificate =
        cJSON_GetObjectItemCaseSensitive(t->doc, "certificate");
    cJSON *p = cJSON_CreateObject();
    cJSON *sealed = cJSON_AddObjectToObject(p, "key");

    if (cv_json_add_str(sealed, "vault_id", held->broker->vault->id) &&
        cv_json_add_str(sealed, "entry_id",
                        cv_entry_text(t->doc, "entry_id")) &&
        cv_json_add_str(sealed, "spki_sha256",
                        cv_entry_text(key, "spki_sha256")) &&
        cv_json_add_str(sealed, "certificate",
                        cv_entry_text(certificate, "pem")) &&
        cv_json_add_str(sealed, "sealed",
                        cv_entry_text(t->identity, "sealed")) &&
        cv_json_add_str(p, "token", held->uri) &&
        cv_json_add_str(p, "id", cv_entry_text(ref, "id")) &&
        cv_json_add_str(p, "label", cv_entry_text(ref, "label")) &&
        cv_held_add_certificates(p, t->doc) &&
        cv_json_add_bool(p, "allow_leaky", b->changes[i].may_leak) &&
        cv_json_add_bool(p, "more", i + 1 < b->n)) {
        return p;
    }
    cJSON_Delete(p);
    return NULL;
}

/* What the token made of it, into the document. */
static enum cv_status read_result(const cJSON *answer, struct cv_take *t,
                                  struct cv_err *err)
{
    const char *way = NULL;
    const cJSON *findings = NULL, *notes = NULL, *item;
    cJSON *kept;
    const struct cv_json_field fields[] = {
        {"way", CV_JSON_STRING, true, &way, 15},
        {"findings", CV_JSON_OBJECT, true, &findings, 0},
        {"notes", CV_JSON_ARRAY, false, &notes, 0},
    };
    enum cv_status s =
        cv_json_read(answer, "Import", CV_BROKER_FIELDS(fields), true, err);
    bool leaky;

    if (s != CV_OK) {
        return s;
    }
    leaky = cJSON_IsTrue(cJSON_GetObjectItemCaseSensitive(findings, "leaky"));
    if (!cv_entry_token_set(t->doc, "ready", way, leaky)) {
        return no_memory(err);
    }
    kept = cJSON_GetObjectItemCaseSensitive(t->doc, "notes");
    cJSON_ArrayForEach(item, notes)
    {
        cJSON *copy = cJSON_Duplicate(item, true);

        if (kept != NULL && !cJSON_AddItemToArray(kept, copy)) {
            cJSON_Delete(copy);
        }
    }
    return CV_OK;
}

/* Entered. What policy would make of it, whatever it comes to be. */
static enum cv_status foresee(const struct cv_take *t,
                              struct cv_held_change *change, struct cv_err *err)
{
    static const char *const ways[] = {"unwrapped", "imported"};
    const char *provenance = cv_entry_text(t->doc, "provenance");
    cJSON *copy = cJSON_Duplicate(t->doc, true);
    bool ok = cv_entry_token_set(copy, "ready", provenance, true);

    change->may_leak = ok && cv_ask_would_quietly(&t->ask, copy);
    change->any_way = true;
    for (size_t i = 0; i < 2 && ok; i++) {
        for (int leaky = 0; leaky <= (change->may_leak ? 1 : 0); leaky++) {
            ok = ok && cv_entry_token_set(copy, "ready", ways[i], leaky == 1);
            change->any_way =
                change->any_way && ok && cv_ask_would_quietly(&t->ask, copy);
        }
    }
    cJSON_Delete(copy);
    return ok ? CV_OK : no_memory(err);
}

/* Entered. All of them are asked about before one is recorded as permitted. */
static enum cv_status check_all(struct batch *b, struct cv_err *err)
{
    struct cv_broker *broker = b->held->broker;
    enum cv_status s;

    cv_take_check_free(broker, b->takes, b->n);
    s = cv_take_first_refused(b->takes, b->n, err);
    for (size_t i = 0; i < b->n && s == CV_OK; i++) {
        struct cv_take *t = &b->takes[i];

        s = cv_held_check_free(broker, t->doc, err);
        if (s == CV_OK && !t->decided && b->n > 1) {
            s = cv_ask_check(&t->ask, t->doc, NULL, err);
            if (s == CV_OK) {
                cv_ask_suppose(&t->ask);
            }
        }
    }
    cv_ask_suppose_end(broker);
    return s;
}

/* Entered. Those before the i-th were decided, and nothing comes of them. */
static void drop(struct batch *b, size_t n, enum cv_status s)
{
    for (size_t k = 0; k < n; k++) {
        cv_change_drop(&(struct cv_ask *){&b->takes[k].ask}, 1, s);
    }
}

/* Entered. Decided, in the journal, durable. */
static enum cv_status intend(struct batch *b, bool *begun, struct cv_err *err)
{
    enum cv_status s = check_all(b, err);

    for (size_t i = 0; i < b->n && s == CV_OK; i++) {
        struct cv_take *t = &b->takes[i];

        if (!t->decided) {
            cJSON *details = cv_entry_details_taken(t->doc);

            s = cv_ask_decide(&t->ask, t->doc, details, err);
            cJSON_Delete(details);
            if (s != CV_OK) {
                drop(b, i, s);
            }
        }
        /* By the rule that gave it: so not before it is given. */
        if (s == CV_OK && (s = foresee(t, &b->changes[i], err)) != CV_OK) {
            drop(b, t->decided ? i : i + 1, s);
        }
    }
    if (s != CV_OK) {
        return s;
    }
    *begun = true;
    return cv_held_begin(b->held, CV_HELD_IMPORT, b->changes, b->n, err);
}

/* Is what came of it still what policy permits? */
static enum cv_status still_permitted(struct cv_take *t, struct cv_err *err)
{
    enum cv_status s;

    if (cv_ask_would_quietly(&t->ask, t->doc)) {
        return CV_OK;
    }
    s = cv_fail(err, CV_DENIED, "policy does not permit a key that is %s%s",
                cv_entry_text(t->doc, "provenance"),
                cJSON_IsTrue(cJSON_GetObjectItemCaseSensitive(t->doc, "leaky"))
                    ? " and leaky"
                    : "");
    cv_err_state(err, "the key was destroyed again; nothing is left");
    return s;
}

static enum cv_status make(struct batch *b, size_t i, bool *told,
                           struct cv_err *err)
{
    struct cv_take *t = &b->takes[i];
    struct cv_message reply = {0};
    enum cv_status s = cv_held_call(b->held, "Import", import_parameters(b, i),
                                    &reply, told, err);

    b->came += s == CV_OK ? 1 : 0;
    b->refused = s != CV_OK && reply.tree != NULL;
    if (s == CV_OK) {
        s = read_result(reply.tree, t, err);
        if (s == CV_OK) {
            s = still_permitted(t, err);
        }
        b->refused = s != CV_OK;
    }
    cv_message_free(&reply);
    return s;
}

/* Before what was made is destroyed: no recovery makes an entry of it, and the
 * record says what goes. */
static void tell_back(struct batch *b)
{
    struct cv_broker *broker = b->held->broker;
    struct cv_err err;
    enum cv_status s;

    cv_err_init(&err);
    if (cv_broker_enter(broker, &err) != CV_OK) {
        return;
    }
    s = cv_held_turn_back(b->held, CV_HELD_IMPORT, b->changes, b->n, &err);
    for (size_t i = 0; i < b->came && s == CV_OK; i++) {
        cJSON *details = cJSON_CreateObject();

        (void)cv_json_add_str(details, "cut_op", b->takes[i].ask.op);
        (void)cv_json_add_str(details, "object", "key");
        s = cv_broker_event_now(broker, "gc-destroy", b->takes[i].doc, details,
                                &err);
        cJSON_Delete(details);
    }
    cv_broker_leave(broker);
}

/* One was refused, so that all are: those that are there go again. What cannot
 * be destroyed now is at the token's next login (*told false). */
static void take_back(struct batch *b, bool *told)
{
    tell_back(b);
    for (size_t i = 0; i < b->came; i++) {
        struct cv_err err;
        enum cv_status s;

        cv_err_init(&err);
        s = cv_held_destroy(b->held, b->changes[i].ref, &err);
        if (s != CV_OK && s != CV_NOT_FOUND) {
            *told = false;
        }
    }
}

static enum cv_status make_all(struct batch *b, bool *told, struct cv_err *err)
{
    enum cv_status s = CV_OK;
    size_t i;

    for (i = 0; i < b->n && s == CV_OK; i++) {
        s = make(b, i, told, err);
    }
    if (s == CV_OK) {
        return s;
    }
    if (b->n > 1) {
        cv_err_prefix(err, "%s", b->takes[i - 1].name);
    }
    if (b->refused) {
        take_back(b, told);
    }
    return s;
}

static enum cv_status place(struct cv_held *held, struct cv_take *t,
                            struct cv_err *err)
{
    char label[CV_ENTRY_LABEL_LEN];
    const char *id = cv_entry_text(t->doc, "entry_id");
    const char *spki = cv_entry_text(
        cJSON_GetObjectItemCaseSensitive(t->identity, "key"), "spki");

    if (spki[0] == '\0' || cv_entry_text(t->identity, "sealed")[0] == '\0') {
        return cv_fail(err, CV_INVALID, "the identity came without its key");
    }
    cv_entry_token_label(held->broker->vault->id, id, label);
    return cv_entry_token_place(
               t->doc, cv_entry_token_make_ref(held->uri, id, spki, label))
               ? CV_OK
               : no_memory(err);
}

/* Up to the first key's leaving for the token; *begun: the journal has them. */
static enum cv_status begin(struct batch *b, bool *begun, struct cv_err *err)
{
    enum cv_status s = CV_OK;

    for (size_t i = 0; i < b->n && s == CV_OK; i++) {
        s = place(b->held, &b->takes[i], err);
        b->changes[i] = (struct cv_held_change){
            .ask = &b->takes[i].ask,
            .ref = cv_entry_token_ref(b->takes[i].doc),
            .doc = b->takes[i].doc,
        };
    }
    if (s == CV_OK) {
        s = cv_held_lock(b->held, err);
    }
    if (s == CV_OK) {
        s = cv_broker_enter(b->held->broker, err);
    }
    if (s == CV_OK) {
        s = intend(b, begun, err);
        cv_broker_leave(b->held->broker);
    }
    return s;
}

enum cv_status cv_held_rehearse(struct cv_held *held, struct cv_take *takes,
                                size_t n, struct cv_err *err)
{
    struct batch b = {.held = held, .takes = takes, .n = n};
    enum cv_status s = CV_OK;

    for (size_t i = 0; i < n && s == CV_OK; i++) {
        s = place(held, &takes[i], err);
        /* The key's own URI will have an id that is not drawn yet. */
        cJSON_DeleteItemFromObjectCaseSensitive(takes[i].doc, "token_uri");
        if (s == CV_OK &&
            !cv_json_add_str(takes[i].doc, "token_uri", held->uri)) {
            s = no_memory(err);
        }
    }
    if (s == CV_OK) {
        s = cv_broker_enter(held->broker, err);
    }
    if (s == CV_OK) {
        s = check_all(&b, err);
        cv_broker_leave(held->broker);
    }
    return s;
}

enum cv_status cv_held_take(struct cv_held *held, struct cv_take *takes,
                            size_t n, struct cv_err *err)
{
    struct batch b = {.held = held, .takes = takes, .n = n};
    bool told = true, begun = false;
    enum cv_status s;

    b.changes = calloc(n, sizeof(*b.changes));
    if (b.changes == NULL) {
        return no_memory(err);
    }
    s = begin(&b, &begun, err);
    if (s == CV_OK) {
        s = make_all(&b, &told, err);
        s = cv_held_finish(held, b.changes, n, s, told, err);
    } else if (takes[0].decided && !begun) {
        /* One that was decided before has its outcome all the same. */
        cv_ask_outcome_now(&takes[0].ask, s, NULL);
    }
    free(b.changes);
    return s;
}
