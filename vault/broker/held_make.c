/* Keys that are born on a token, and keys that were there before: generate,
 * install, adopt. */
#include "vault/base/clock.h"
#include "vault/base/encode.h"
#include "vault/base/name.h"
#include "vault/broker/held_internal.h"

#include <sodium.h>
#include <stdio.h>
#include <string.h>

#define SPKI_MAX CV_KIB(4)

static enum cv_status no_memory(struct cv_err *err)
{
    return cv_fail(err, CV_INTERNAL, "memory is gone");
}

static void digest_hex(struct cv_bytes data, char out[65])
{
    uint8_t digest[crypto_hash_sha256_BYTES];

    (void)crypto_hash_sha256(digest, data.data, data.len);
    (void)sodium_bin2hex(out, 65, digest, sizeof(digest));
}

enum cv_status cv_held_generated(cJSON *doc, const char *spki,
                                 struct cv_err *err)
{
    cJSON *key = cJSON_GetObjectItemCaseSensitive(doc, "key");
    cJSON *ref = cJSON_GetObjectItemCaseSensitive(doc, "key_ref");
    struct cv_buf der;
    char hex[65];
    enum cv_status s;

    cv_buf_init(&der, NULL, SPKI_MAX);
    s = cv_decode_base64(spki, strlen(spki), false, "the public key", &der,
                         err);
    if (s == CV_OK && der.len == 0) {
        s = cv_fail(err, CV_INTEGRITY, "the token gave no public key");
    }
    if (s == CV_OK) {
        digest_hex(cv_buf_bytes(&der), hex);
        cJSON_DeleteItemFromObjectCaseSensitive(key, "spki_sha256");
        cJSON_DeleteItemFromObjectCaseSensitive(ref, "spki");
        if (!cv_json_add_str(key, "spki_sha256", hex) ||
            !cv_json_add_str(ref, "spki", spki)) {
            s = no_memory(err);
        }
    }
    cv_buf_wipe(&der);
    return s;
}

/* generate */

struct generate {
    const char *name, *token, *alg;
    const cJSON *labels;
    bool dry_run;
};

static const struct alg {
    const char *name, *type;
    int bits;
} algs[] = {
    {"p256", "EC", 256},
    {"p384", "EC", 384},
    {"rsa2048", "RSA", 2048},
};

static const struct alg *find_alg(const char *name)
{
    for (size_t i = 0; i < sizeof(algs) / sizeof(algs[0]); i++) {
        if (strcmp(algs[i].name, name) == 0) {
            return &algs[i];
        }
    }
    return NULL;
}

/* An entry without certificate and clusters: `install` brings them. */
static cJSON *pending_doc(const struct cv_held *held, const struct generate *g,
                          const char *by)
{
    const struct alg *alg = find_alg(g->alg);
    uint8_t random[16];
    char id[CV_ENTRY_ID_LEN], label[CV_ENTRY_LABEL_LEN], none[65];
    char now[CV_CLOCK_TEXT_LEN];
    cJSON *doc = cJSON_CreateObject();
    cJSON *source, *key;

    randombytes_buf(random, sizeof(random));
    (void)sodium_bin2hex(id, sizeof(id), random, sizeof(random));
    cv_entry_token_label(held->broker->vault->id, id, label);
    digest_hex((struct cv_bytes){(const uint8_t *)"", 0}, none);
    (void)cv_clock_format(cv_clock_now_s(), now);
    if (!cv_json_add_str(doc, "entry_id", id) ||
        !cv_json_add_str(doc, "name", g->name) ||
        !cv_json_add_item(doc, "labels",
                          g->labels != NULL ? cJSON_Duplicate(g->labels, true)
                                            : cJSON_CreateObject()) ||
        (source = cJSON_AddObjectToObject(doc, "source")) == NULL ||
        !cv_json_add_str(source, "kind", "token") ||
        !cv_entry_token_place(
            doc, cv_entry_token_make_ref(held->uri, id, NULL, label)) ||
        !cv_entry_token_set(doc, "pending", "born", false) ||
        (key = cJSON_AddObjectToObject(doc, "key")) == NULL ||
        !cv_json_add_str(key, "type", alg->type) ||
        !cv_json_add_int(key, "bits", alg->bits) ||
        cJSON_AddArrayToObject(doc, "contexts") == NULL ||
        !cv_json_add_str(doc, "ca_set", none) ||
        !cv_json_add_bool(doc, "exportable", false) ||
        !cv_json_add_str(doc, "created", now) ||
        !cv_json_add_str(doc, "updated", now) ||
        cv_entry_note(doc, "generate", by, cv_clock_now_s(), NULL) != CV_OK) {
        cJSON_Delete(doc);
        return NULL;
    }
    return doc;
}

/* Entered. */
static enum cv_status name_is_free(struct cv_broker *b, const char *name,
                                   struct cv_err *err)
{
    struct cv_store_entry *row = NULL;
    struct cv_err missing;
    enum cv_status s;

    cv_err_init(&missing);
    s = cv_store_entry_by_name(b->vault->store, name, false, &row, &missing);
    cv_store_entry_free(row);
    if (s == CV_OK) {
        s = cv_fail(err, CV_EXISTS, "there is an entry %s already", name);
        cv_err_state(err, "nothing was changed");
        return s;
    }
    if (s != CV_NOT_FOUND) {
        *err = missing;
        return s;
    }
    return CV_OK;
}

/* Entered. */
static enum cv_status generate_begin(struct cv_held *held,
                                     struct cv_held_change *change,
                                     struct cv_err *err)
{
    struct cv_broker *b = held->broker;
    struct cv_ask *ask = change->ask;
    const cJSON *doc = change->doc;
    const char *name = cv_entry_text(doc, "name");
    cJSON *details = cv_entry_details_taken(doc);
    cJSON *leaky = cJSON_Duplicate(doc, true);
    enum cv_status s = name_is_free(b, name, err);

    if (s == CV_OK) {
        s = cv_held_check_free(b, doc, err);
    }
    s = s == CV_OK ? cv_ask_decide(ask, doc, details, err)
                   : cv_ask_tell(ask, doc, NULL, s, err);
    if (s == CV_OK && cv_entry_token_set(leaky, "pending", "born", true)) {
        change->may_leak = cv_ask_would_quietly(ask, leaky);
    }
    if (s == CV_OK) {
        s = cv_held_begin(held, CV_HELD_GENERATE, change, 1, err);
    }
    cJSON_Delete(leaky);
    cJSON_Delete(details);
    return s;
}

static enum cv_status generate_on_token(struct cv_held *held, const char *alg,
                                        bool may_leak, cJSON *doc, bool *told,
                                        struct cv_err *err)
{
    const cJSON *ref = cv_entry_token_ref(doc);
    struct cv_message reply;
    const char *spki = NULL;
    const cJSON *findings = NULL;
    const struct cv_json_field fields[] = {
        {"spki", CV_JSON_STRING, true, &spki, SPKI_MAX},
        {"findings", CV_JSON_OBJECT, true, &findings, 0},
    };
    cJSON *p = cJSON_CreateObject();
    bool leaky, came;
    enum cv_status s;

    (void)cv_json_add_str(p, "token", held->uri);
    (void)cv_json_add_str(p, "alg", alg);
    (void)cv_json_add_str(p, "id", cv_entry_text(ref, "id"));
    (void)cv_json_add_str(p, "label", cv_entry_text(ref, "label"));
    (void)cv_json_add_bool(p, "allow_leaky", may_leak);
    s = cv_held_call(held, "Generate", p, &reply, told, err);
    came = s == CV_OK;
    if (s == CV_OK) {
        s = cv_json_read(reply.tree, "Generate", fields, 2, false, err);
    }
    if (s == CV_OK) {
        s = cv_held_generated(doc, spki, err);
    }
    if (s == CV_OK) {
        leaky =
            cJSON_IsTrue(cJSON_GetObjectItemCaseSensitive(findings, "leaky"));
        if (!cv_entry_token_set(doc, "pending", "born", leaky)) {
            s = no_memory(err);
        } else if (leaky && !may_leak) {
            s = cv_fail(err, CV_DENIED,
                        "the token lets its keys out, and policy does not "
                        "permit a leaky key");
            cv_err_state(err, "the key was destroyed again");
        }
    }
    if (came && s != CV_OK && cv_held_destroy(held, ref, NULL) != CV_OK) {
        *told = false;
    }
    cv_message_free(&reply);
    return s;
}

static enum cv_status run_generate(struct cv_held *held, struct cv_ask *ask,
                                   const struct generate *g, cJSON *doc,
                                   struct cv_err *err)
{
    struct cv_broker *b = held->broker;
    struct cv_held_change change = {.ask = ask,
                                    .ref = cv_entry_token_ref(doc),
                                    .doc = doc,
                                    .any_way = true};
    bool told = true;
    enum cv_status s = cv_held_lock(held, err);

    if (s == CV_OK) {
        s = cv_broker_enter(b, err);
    }
    if (s != CV_OK) {
        return s;
    }
    s = g->dry_run ? cv_ask_check(ask, doc, NULL, err)
                   : generate_begin(held, &change, err);
    cv_broker_leave(b);
    if (s != CV_OK || g->dry_run) {
        return s;
    }
    s = generate_on_token(held, g->alg, change.may_leak, doc, &told, err);
    return cv_held_finish(held, &change, 1, s, told, err);
}

static enum cv_status read_generate(const cJSON *parameters, struct generate *g,
                                    struct cv_err *err)
{
    const struct cv_json_field fields[] = {
        {"name", CV_JSON_STRING, true, &g->name, CV_LIMIT_NAME},
        {"token", CV_JSON_STRING, false, &g->token, CV_HELD_URI},
        {"alg", CV_JSON_STRING, true, &g->alg, 16},
        {"labels", CV_JSON_OBJECT, false, &g->labels, 0},
        {"dry_run", CV_JSON_BOOL, false, &g->dry_run, 0},
        CV_BROKER_ASK_FIELDS,
    };
    enum cv_status s = cv_json_read(parameters, "Generate",
                                    CV_BROKER_FIELDS(fields), true, err);

    if (s == CV_OK) {
        s = cv_name_check(g->name, err);
    }
    if (s == CV_OK) {
        s = cv_entry_check_labels(g->labels, err);
    }
    if (s == CV_OK && find_alg(g->alg) == NULL) {
        s = cv_fail(err, CV_INVALID, "keys are p256, p384 or rsa2048");
    }
    return s;
}

/* A key that waits for its certificate: its public half again, for another
 * request. */
static enum cv_status find_pending(struct cv_ask *ask, const char *name,
                                   bool dry_run, cJSON **doc,
                                   struct cv_err *err)
{
    struct cv_store_entry *row = NULL;
    enum cv_status s = cv_broker_enter(ask->broker, err);

    if (s != CV_OK) {
        return s;
    }
    s = cv_broker_load_entry(ask->broker, name, false, &row, doc, err);
    if (s == CV_OK && strcmp(cv_entry_text(*doc, "state"), "pending") != 0) {
        s = cv_fail(err, CV_EXISTS, "%s has a certificate already", name);
        cv_err_state(err, "nothing was done");
    }
    if (s != CV_OK) {
        s = cv_ask_tell(ask, *doc, name, s, err);
    } else {
        s = dry_run ? cv_ask_check(ask, *doc, NULL, err)
                    : cv_ask_decide(ask, *doc, NULL, err);
    }
    if (s == CV_OK && !dry_run) {
        s = cv_ask_outcome(ask, CV_OK, NULL, err);
    }
    if (s == CV_OK && !dry_run) {
        s = cv_broker_commit(ask->broker, err);
    }
    cv_broker_leave(ask->broker);
    cv_store_entry_free(row);
    return s;
}

CV_BROKER_METHOD(generate)
{
    struct cv_broker *b = context;
    struct cv_held held = {.lock = -1};
    struct generate g = {0};
    struct cv_ask ask;
    cJSON *doc = NULL, *out = cv_reply_parameters(reply);
    enum cv_status s = cv_ask_begin(b, CV_ACTION_IMPORT, parameters, &ask, err);

    if (s == CV_OK) {
        s = read_generate(parameters, &g, err);
    }
    if (s == CV_OK && g.token == NULL) {
        s = find_pending(&ask, g.name, g.dry_run, &doc, err);
    } else if (s == CV_OK) {
        s = cv_held_may_be(&ask, g.name, g.labels, "born", err);
    }
    if (s == CV_OK && g.token != NULL) {
        s = cv_held_open(b, g.token, reply, &held, err);
    }
    if (s == CV_OK && g.token != NULL) {
        doc = pending_doc(&held, &g, cv_broker_user(b));
        s = doc != NULL ? run_generate(&held, &ask, &g, doc, err)
                        : no_memory(err);
    }
    if (s == CV_OK &&
        (!cv_json_add_item(out, "entry", cv_entry_view(doc)) ||
         !cv_json_add_str(out, "spki",
                          cv_entry_text(cv_entry_token_ref(doc), "spki")))) {
        s = no_memory(err);
    }
    if (s != CV_OK) {
        cv_ask_refused(&ask, err);
    }
    ask.doc = NULL;
    cJSON_Delete(doc);
    cv_held_close(&held);
    return s;
}
