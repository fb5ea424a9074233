/* adopt: an entry over a key that a token holds already; nothing is written
 * there. install: the certificate of a key that was born here. */
#include "vault/base/clock.h"
#include "vault/broker/held_internal.h"

#include <stdlib.h>
#include <string.h>

static enum cv_status no_memory(struct cv_err *err)
{
    return cv_fail(err, CV_INTERNAL, "memory is gone");
}

static const cJSON *key_of(const cJSON *identity)
{
    return cJSON_GetObjectItemCaseSensitive(identity, "key");
}

static enum cv_status find_key(struct cv_held *held, const char *uri,
                               struct cv_message *reply, const cJSON **key,
                               struct cv_err *err)
{
    const struct cv_json_field fields[] = {
        {"key", CV_JSON_OBJECT, true, key, 0},
    };
    cJSON *p = cJSON_CreateObject();
    enum cv_status s;

    (void)cv_json_add_str(p, "uri", uri);
    s = cv_held_call(held, "FindKey", p, reply, NULL, err);
    return s == CV_OK
               ? cv_json_read(reply->tree, "FindKey", fields, 1, false, err)
               : s;
}

/* What is known of it is known before it is: whether it may be adopted, be it
 * after approvals, or another day. Adopting is what uses those up. */
static enum cv_status may_adopt(struct cv_ask *ask, const char *name,
                                bool *permitted, struct cv_err *err)
{
    cJSON *doc = cJSON_CreateObject();
    enum cv_status s = CV_OK;

    if (!cv_json_add_str(doc, "name", name) ||
        !cv_json_add_str(doc, "provenance", "adopted") ||
        !cv_json_add_bool(doc, "leaky", false)) {
        s = no_memory(err);
    }
    if (s == CV_OK) {
        s = cv_broker_enter(ask->broker, err);
    }
    if (s == CV_OK) {
        ask->preview = true;
        s = cv_ask_decide(ask, doc, NULL, err);
        if (s == CV_OK) {
            s = cv_broker_commit(ask->broker, err);
            *permitted = s == CV_OK;
        }
        cv_broker_leave(ask->broker);
    }
    ask->doc = NULL;
    cJSON_Delete(doc);
    return s;
}

CV_BROKER_METHOD(key_find)
{
    struct cv_broker *b = context;
    const char *name = NULL, *uri = NULL;
    const struct cv_json_field fields[] = {
        {"name", CV_JSON_STRING, true, &name, CV_LIMIT_NAME},
        {"uri", CV_JSON_STRING, true, &uri, CV_HELD_URI},
        CV_BROKER_ASK_FIELDS,
    };
    bool permitted = false;
    struct cv_held held = {.lock = -1};
    struct cv_message answer = {0};
    const cJSON *key = NULL;
    cJSON *out = cv_reply_parameters(reply);
    struct cv_ask ask;
    enum cv_status s = cv_ask_begin(b, CV_ACTION_IMPORT, parameters, &ask, err);

    if (s == CV_OK) {
        s = cv_json_read(parameters, "KeyFind", CV_BROKER_FIELDS(fields), true,
                         err);
    }
    if (s == CV_OK) {
        s = may_adopt(&ask, name, &permitted, err);
    }
    if (s == CV_OK) {
        s = cv_held_open(b, uri, reply, &held, err);
    }
    if (s == CV_OK) {
        s = find_key(&held, uri, &answer, &key, err);
    }
    if (s == CV_OK) {
        const char *pem = cv_entry_text(answer.tree, "certificate");

        if (!cv_json_add_str(out, "certificate", pem[0] != '\0' ? pem : NULL) ||
            !cv_json_add_str(out, "spki", cv_entry_text(key, "spki")) ||
            !cv_json_add_str(out, "token_uri", held.uri)) {
            s = no_memory(err);
        }
    }
    if (permitted) {
        cv_ask_outcome_now(&ask, s, NULL);
    } else if (s != CV_OK) {
        cv_ask_refused(&ask, err);
    }
    cv_message_free(&answer);
    cv_held_close(&held);
    return s;
}

struct adopt {
    const char *name, *uri;
    const cJSON *identity, *labels;
    bool dry_run;
};

static enum cv_status read_adopt(const cJSON *parameters, struct adopt *a,
                                 struct cv_err *err)
{
    const struct cv_json_field fields[] = {
        {"name", CV_JSON_STRING, true, &a->name, CV_LIMIT_NAME},
        {"uri", CV_JSON_STRING, true, &a->uri, CV_HELD_URI},
        {"identity", CV_JSON_OBJECT, true, &a->identity, 0},
        {"labels", CV_JSON_OBJECT, false, &a->labels, 0},
        {"dry_run", CV_JSON_BOOL, false, &a->dry_run, 0},
        CV_BROKER_ASK_FIELDS,
    };

    return cv_json_read(parameters, "Adopt", CV_BROKER_FIELDS(fields), true,
                        err);
}

/* The key that the URI names must be the certificate's. */
static enum cv_status match(const struct cv_held *held, const cJSON *key,
                            const cJSON *identity, cJSON **ref,
                            struct cv_err *err)
{
    const char *spki = cv_entry_text(key, "spki");
    const char *label = cv_entry_text(key, "label");

    if (spki[0] == '\0' ||
        strcmp(spki, cv_entry_text(key_of(identity), "spki")) != 0) {
        enum cv_status s = cv_fail(
            err, CV_INVALID, "the certificate is not that of the token's key");

        cv_err_state(err, "nothing was stored");
        cv_err_hint(err, "give the key's own certificate with --cert");
        return s;
    }
    *ref = cv_entry_token_make_ref(held->uri, cv_entry_text(key, "id"), spki,
                                   label[0] != '\0' ? label : NULL);
    return *ref != NULL ? CV_OK : no_memory(err);
}

/* Entered. Nothing was done on the token: a change of the store like others. */
static enum cv_status adopt_store(struct cv_broker *b, struct cv_take *t,
                                  bool dry_run, struct cv_err *err)
{
    struct cv_ask *ask = &t->ask;
    cJSON *details = cv_entry_details_taken(t->doc);
    enum cv_status s;

    (void)cv_json_add_bool(
        details, "leaky",
        cJSON_IsTrue(cJSON_GetObjectItemCaseSensitive(t->doc, "leaky")));
    cv_take_check_free(b, t, 1);
    s = t->err.status;
    if (s != CV_OK) {
        *err = t->err;
    }
    if (s == CV_OK) {
        s = cv_held_check_free(b, t->doc, err);
    }
    if (s == CV_OK) {
        s = dry_run ? cv_ask_check(ask, t->doc, details, err)
                    : cv_ask_decide(ask, t->doc, details, err);
    }
    if (s == CV_OK && !dry_run) {
        s = cv_change_intend(&ask, 1, err);
        if (s == CV_OK) {
            s = cv_held_store(
                &(struct cv_held_change){.ask = ask, .doc = t->doc}, 1, err);
            s = cv_change_end(&ask, 1, s, NULL, err);
        }
    }
    cJSON_Delete(details);
    return s;
}

static enum cv_status adopt_key(struct cv_held *held, struct cv_take *t,
                                const struct adopt *a, struct cv_err *err)
{
    struct cv_message answer = {0};
    const cJSON *key = NULL;
    cJSON *ref = NULL;
    bool leaky = false;
    enum cv_status s = find_key(held, a->uri, &answer, &key, err);

    if (s == CV_OK) {
        s = match(held, key, a->identity, &ref, err);
    }
    cv_message_free(&answer);
    if (s == CV_OK) {
        s = cv_held_examine(held, ref, &leaky, err);
    }
    if (s != CV_OK) {
        cJSON_Delete(ref);
        return s;
    }
    return cv_entry_token_place(t->doc, ref) &&
                   cv_entry_token_set(t->doc, "ready", "adopted", leaky)
               ? CV_OK
               : no_memory(err);
}

static enum cv_status run_adopt(struct cv_broker *b, struct cv_ask *ask,
                                const struct adopt *a, const cJSON *parameters,
                                const cJSON *source, struct cv_reply *reply,
                                struct cv_err *err)
{
    struct cv_held held = {.lock = -1};
    struct cv_take *t = calloc(1, sizeof(*t));
    enum cv_status s = t != NULL ? CV_OK : no_memory(err);

    if (s == CV_OK) {
        s = cv_held_may_be(ask, a->name, a->labels, "adopted", err);
    }
    if (s == CV_OK) {
        s = cv_held_open(b, a->uri, reply, &held, err);
    }
    /* Whoever is about to destroy the key has looked whose it is already. */
    if (s == CV_OK) {
        s = cv_held_wait_lock(&held, err);
    }
    if (s == CV_OK) {
        t->identity = a->identity;
        t->name = a->name;
        t->origin = (struct cv_entry_origin){.source = source,
                                             .labels = a->labels,
                                             .provenance = "adopted",
                                             .now_s = cv_clock_now_s()};
        cv_take_prepare(b, CV_ACTION_IMPORT, parameters, t, 1);
        s = t->err.status;
        if (s != CV_OK) {
            *err = t->err;
        }
    }
    if (s == CV_OK) {
        t->ask = *ask;
        t->ask.doc = t->doc;
        s = adopt_key(&held, t, a, err);
    }
    if (s == CV_OK) {
        s = cv_broker_enter(b, err);
    }
    if (s == CV_OK) {
        s = adopt_store(b, t, a->dry_run, err);
        cv_broker_leave(b);
        ask->seq = t->ask.seq;
    }
    if (s == CV_OK && !cv_json_add_item(cv_reply_parameters(reply), "entry",
                                        cv_entry_view(t->doc))) {
        s = no_memory(err);
    }
    cv_take_free(t, 1);
    cv_held_close(&held);
    return s;
}

CV_BROKER_METHOD(adopt)
{
    struct cv_broker *b = context;
    struct adopt a = {0};
    struct cv_ask ask;
    cJSON *source = cJSON_CreateObject();
    enum cv_status s = cv_ask_begin(b, CV_ACTION_IMPORT, parameters, &ask, err);

    (void)cv_json_add_str(source, "kind", "token");
    if (s == CV_OK) {
        s = read_adopt(parameters, &a, err);
    }
    if (s == CV_OK) {
        s = run_adopt(b, &ask, &a, parameters, source, reply, err);
    }
    if (s != CV_OK) {
        cv_ask_refused(&ask, err);
    }
    cJSON_Delete(source);
    return s;
}

/* install */

struct install {
    const char *name;
    const cJSON *identity;
    bool dry_run;
    struct cv_store_entry *row;
    cJSON *doc;
};

/* The members that the identity brings, in the place of the entry's. */
static enum cv_status fill(struct install *in, const char *by,
                           struct cv_err *err)
{
    static const char *const keys[] = {"certificate", "contexts", "ca_set",
                                       "notes"};
    bool leaky =
        cJSON_IsTrue(cJSON_GetObjectItemCaseSensitive(in->doc, "leaky"));
    char now[CV_CLOCK_TEXT_LEN];
    bool ok = true;

    for (size_t i = 0; ok && i < sizeof(keys) / sizeof(keys[0]); i++) {
        const cJSON *item =
            cJSON_GetObjectItemCaseSensitive(in->identity, keys[i]);

        cJSON_DeleteItemFromObjectCaseSensitive(in->doc, keys[i]);
        ok = item == NULL ||
             cv_json_add_item(in->doc, keys[i], cJSON_Duplicate(item, true));
    }
    cJSON_DeleteItemFromObjectCaseSensitive(in->doc, "updated");
    if (!ok ||
        !cv_entry_token_set(in->doc, "ready",
                            cv_entry_text(in->doc, "provenance"), leaky) ||
        !cv_json_add_str(in->doc, "updated",
                         cv_clock_format(cv_clock_now_s(), now))) {
        return no_memory(err);
    }
    return cv_entry_note(in->doc, "install", by, cv_clock_now_s(), err);
}

static enum cv_status load_pending(struct cv_broker *b, struct install *in,
                                   struct cv_err *err)
{
    enum cv_status s;

    cv_store_entry_free(in->row);
    cJSON_Delete(in->doc);
    in->row = NULL;
    in->doc = NULL;
    s = cv_broker_load_entry(b, in->name, false, &in->row, &in->doc, err);
    if (s != CV_OK) {
        return s;
    }
    if (strcmp(cv_entry_text(in->doc, "state"), "pending") != 0) {
        s = cv_fail(err, CV_EXISTS, "%s has a certificate already", in->name);
        cv_err_state(err, "nothing was changed");
        cv_err_hint(err, "install is for keys that generate made");
        return s;
    }
    if (strcmp(cv_entry_text(key_of(in->doc), "spki_sha256"),
               cv_entry_text(key_of(in->identity), "spki_sha256")) != 0) {
        s = cv_fail(err, CV_INVALID,
                    "the certificate is for another key than "
                    "the one that was generated");
        cv_err_state(err, "nothing was changed");
        return s;
    }
    return CV_OK;
}

/* A second time in the place of the first. Who may not is told so before he is
 * asked for a PIN. */
static enum cv_status load(struct cv_ask *ask, struct install *in,
                           struct cv_err *err)
{
    enum cv_status s = load_pending(ask->broker, in, err);

    return cv_ask_tell(ask, in->doc, in->name, s, err);
}

/* Entered. */
static enum cv_status install_store(struct cv_ask *ask, struct install *in,
                                    struct cv_err *err)
{
    struct cv_store_entry *other = NULL;
    struct cv_err missing;
    cJSON *details = cv_entry_details_taken(in->doc);
    enum cv_status s;

    cv_err_init(&missing);
    s = cv_store_entry_by_identity(ask->broker->vault->store, in->row->spki,
                                   cv_entry_text(in->doc, "ca_set"), false,
                                   &other, &missing);
    if (s == CV_OK && strcmp(other->entry_id, in->row->entry_id) != 0) {
        s = cv_fail(err, CV_EXISTS,
                    "the vault holds this identity already, as %s",
                    other->name);
    } else {
        s = s == CV_NOT_FOUND ? CV_OK : s;
    }
    cv_store_entry_free(other);
    if (s == CV_OK) {
        s = in->dry_run ? cv_ask_check(ask, in->doc, details, err)
                        : cv_ask_decide(ask, in->doc, details, err);
    }
    if (s == CV_OK && !in->dry_run) {
        s = cv_change_intend(&ask, 1, err);
        if (s == CV_OK) {
            s = cv_held_store(
                &(struct cv_held_change){.ask = ask, .doc = in->doc}, 1, err);
            s = cv_change_end(&ask, 1, s, NULL, err);
        }
    }
    cJSON_Delete(details);
    return s;
}

static enum cv_status run_install(struct cv_broker *b, struct cv_ask *ask,
                                  struct install *in, struct cv_reply *reply,
                                  struct cv_err *err)
{
    struct cv_held held = {.lock = -1};
    cJSON *notes;
    enum cv_status s = cv_entry_check_identity(in->identity, err);

    if (s == CV_OK) {
        s = load(ask, in, err);
    }
    if (s == CV_OK) {
        s = cv_held_open(b, cv_entry_token_uri(in->doc), reply, &held, err);
    }
    if (s == CV_OK) {
        s = cv_held_examine(&held, cv_entry_token_ref(in->doc), NULL, err);
    }
    if (s == CV_OK) {
        s = cv_broker_enter(b, err);
    }
    if (s == CV_OK) {
        /* It may have been renamed or removed meanwhile: as it is now. */
        s = load(ask, in, err);
        ask->doc = in->doc;
        if (s == CV_OK) {
            s = fill(in, cv_broker_user(b), err);
        }
        if (s == CV_OK) {
            s = install_store(ask, in, err);
        }
        cv_broker_leave(b);
    }
    if (s == CV_OK && !in->dry_run) {
        /* The entry has them; beside the key they are a convenience. */
        notes = cv_held_put_certificates(&held, in->doc);
        (void)cv_json_add_item(cv_reply_parameters(reply), "notes", notes);
    }
    if (s == CV_OK && !cv_json_add_item(cv_reply_parameters(reply), "entry",
                                        cv_entry_view(in->doc))) {
        s = no_memory(err);
    }
    cv_held_close(&held);
    return s;
}

CV_BROKER_METHOD(install)
{
    struct cv_broker *b = context;
    struct install in = {0};
    const struct cv_json_field fields[] = {
        {"name", CV_JSON_STRING, true, &in.name, CV_LIMIT_NAME},
        {"identity", CV_JSON_OBJECT, true, &in.identity, 0},
        {"dry_run", CV_JSON_BOOL, false, &in.dry_run, 0},
        CV_BROKER_ASK_FIELDS,
    };
    struct cv_ask ask;
    enum cv_status s = cv_ask_begin(b, CV_ACTION_IMPORT, parameters, &ask, err);

    if (s == CV_OK) {
        s = cv_json_read(parameters, "Install", CV_BROKER_FIELDS(fields), true,
                         err);
    }
    if (s == CV_OK) {
        s = run_install(b, &ask, &in, reply, err);
    }
    if (s != CV_OK) {
        cv_ask_refused(&ask, err);
    }
    cv_store_entry_free(in.row);
    cJSON_Delete(in.doc);
    return s;
}
