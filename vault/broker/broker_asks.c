/* io.certvault.Door: what the relay asks. It holds no key and has no say: a
 * signature is made for a grant that lives, of the form that a TLS handshake
 * has, and each ask that is refused is a record. */
#include "vault/base/clock.h"
#include "vault/base/encode.h"
#include "vault/broker/agent.h"
#include "vault/broker/grant_internal.h"
#include "vault/broker/held_internal.h"
#include "vault/broker/sign_internal.h"
#include "vault/wire/interface.h"

#include <stdio.h>
#include <string.h>

#define TLS13_BLANKS 64
#define TLS13_CONTEXT "TLS 1.3, client CertificateVerify"
/* Digests are shorter, and so is no handshake. */
#define TLS12_MIN 97
#define WORDS_MAX 300
#define PATH_MAX_SHOWN 256
/* Keys of one context's servers that are remembered. */
#define SERVER_KEYS 8

static const cJSON *none(const cJSON *parameters)
{
    static const cJSON empty = {.type = cJSON_Object};

    return parameters != NULL ? parameters : &empty;
}

static bool is_id(const char *id)
{
    return strlen(id) == CV_GRANT_ID_LEN - 1 &&
           strspn(id, "0123456789abcdef") == CV_GRANT_ID_LEN - 1;
}

static enum cv_status refused(struct cv_err *err, const char *why)
{
    enum cv_status s = cv_fail(err, CV_DENIED, "%s", why);

    cv_err_state(err, "nothing was done; the denial is recorded");
    return s;
}

/* An ask that is nobody's: recorded as the relay's own. */
static void begin_unknown(struct cv_broker *b, struct cv_caller *relay,
                          struct cv_ask *ask)
{
    memset(ask, 0, sizeof(*ask));
    b->caller = relay;
    ask->broker = b;
    ask->caller = relay;
    ask->action = CV_ACTION_USE;
    ask->seq = -1;
    cv_leaf_new_op(ask->op);
}

/* The grant that an ask names, and the ask as its user's. */
static enum cv_status begin_ask(struct cv_broker *b, struct cv_caller *relay,
                                const char *id, struct cv_grant **grant,
                                struct cv_ask *ask, struct cv_err *err)
{
    *grant = cv_grant_find(&b->grants, id, cv_clock_boot_ms());
    if (*grant == NULL) {
        begin_unknown(b, relay, ask);
        return refused(err, "there is no such grant: it has ended");
    }
    cv_grant_ask(b, *grant, ask);
    return CV_OK;
}

/* Sign */

/* The token process looks closer; what cannot be a handshake's does not come so
 * far. */
static bool has_form(const char *purpose, const char *base64)
{
    uint8_t head[TLS13_BLANKS + sizeof(TLS13_CONTEXT)];
    size_t len = strlen(base64);
    struct cv_buf data;
    bool ok;

    cv_buf_init(&data, NULL, CV_LIMIT_SIGN_DATA);
    memset(head, ' ', TLS13_BLANKS);
    memcpy(head + TLS13_BLANKS, TLS13_CONTEXT, sizeof(TLS13_CONTEXT));
    ok = cv_decode_base64(base64, len, false, "data", &data, NULL) == CV_OK;
    if (strcmp(purpose, "tls13-client") == 0) {
        ok = ok &&
             (data.len == sizeof(head) + 32 || data.len == sizeof(head) + 48) &&
             memcmp(data.data, head, sizeof(head)) == 0;
    } else {
        /* ClientHello, and a length whose first byte is 0 */
        ok = ok && strcmp(purpose, "tls12-client") == 0 &&
             data.len >= TLS12_MIN && data.data[0] == 1 && data.data[1] == 0;
    }
    cv_buf_wipe(&data);
    return ok;
}

static bool has_algorithm(const struct cv_grant *g, const char *algorithm)
{
    const cJSON *item;

    cJSON_ArrayForEach(
        item, cJSON_GetObjectItemCaseSensitive(
                  cJSON_GetObjectItemCaseSensitive(g->order, "upstream"),
                  "algorithms"))
    {
        if (strcmp(item->valuestring, algorithm) == 0) {
            return true;
        }
    }
    return false;
}

static enum cv_status check_sign(const struct cv_sign *sign, struct cv_err *err)
{
    uint8_t digest[32];

    if (strcmp(sign->purpose, "tls13-client") != 0 &&
        strcmp(sign->purpose, "tls12-client") != 0) {
        return refused(err, "the relay signs nothing but TLS handshakes");
    }
    if (!has_algorithm(sign->grant, sign->algorithm)) {
        return refused(err, "the key does not sign by that algorithm");
    }
    if (!has_form(sign->purpose, sign->data)) {
        return refused(err, "what is to be signed is not of a TLS handshake");
    }
    if (cv_decode_base64_exact(sign->server_spki, "the server's key", digest,
                               sizeof(digest), NULL) != CV_OK) {
        return refused(err, "the server's key is not told");
    }
    return CV_OK;
}

/* What the leaf of a refusal says beside what was asked. */
static cJSON *refusal_details(const char *id, const struct cv_err *err)
{
    cJSON *details = cJSON_CreateObject();

    if (is_id(id)) {
        (void)cv_json_add_str(details, "grant", id);
    }
    (void)cv_json_add_str(details, "method", "relay");
    (void)cv_json_add_str(details, "because", err->text);
    return details;
}

static void sign_begin(struct cv_broker *b, const cJSON *parameters,
                       struct cv_together_call *call)
{
    struct cv_sign *sign = (struct cv_sign *)call;
    struct cv_caller *relay = call->caller;
    const char *id = "";
    const struct cv_json_field fields[] = {
        {"grant", CV_JSON_STRING, true, &id, CV_LIMIT_URL},
        {"purpose", CV_JSON_STRING, true, &sign->purpose, 32},
        {"algorithm", CV_JSON_STRING, true, &sign->algorithm, 32},
        {"data", CV_JSON_STRING, true, &sign->data,
         CV_LIMIT_SIGN_DATA * 4 / 3 + 4},
        {"server_spki", CV_JSON_STRING, true, &sign->server_spki, 64},
        {"server", CV_JSON_STRING, true, &sign->server, WORDS_MAX},
    };

    call->ask = &sign->ask;
    begin_unknown(b, relay, &sign->ask);
    sign->call.status =
        cv_json_read(none(parameters), "Sign", CV_BROKER_FIELDS(fields), true,
                     &sign->call.err);
    if (sign->call.status == CV_OK) {
        sign->call.status =
            begin_ask(b, relay, id, &sign->grant, &sign->ask, &sign->call.err);
    }
    if (sign->call.status == CV_OK) {
        sign->call.caller = &sign->grant->who;
        sign->name = sign->grant->entry;
        sign->call.status = check_sign(sign, &sign->call.err);
    }
    if (sign->call.status != CV_OK) {
        if (sign->grant != NULL) {
            sign->grant->refused++;
        }
        call->details = refusal_details(id, &sign->call.err);
    }
}

const struct cv_together_kind cv_broker_asks_sign_kind = {
    .method = CV_INTERFACE_DOOR ".Sign",
    .door = true,
    .size = sizeof(struct cv_sign),
    .begin = sign_begin,
    .look = cv_sign_look,
    .decide = cv_sign_decide,
    .end = cv_sign_end,
};

/* Is this key among those that the context's server had? Adds it. True: it was
 * not, and others were. */
static bool add_server_key(cJSON *doc, const char *context, const char *spki,
                           bool *added)
{
    cJSON *item, *keys = NULL;
    const cJSON *key;
    int n = 0;

    cJSON_ArrayForEach(item, cJSON_GetObjectItemCaseSensitive(doc, "contexts"))
    {
        if (strcmp(cv_entry_text(item, "name"), context) == 0) {
            keys = cJSON_GetObjectItemCaseSensitive(item, "server_keys");
            keys = keys != NULL ? keys
                                : cJSON_AddArrayToObject(item, "server_keys");
        }
    }
    *added = false;
    cJSON_ArrayForEach(key, keys)
    {
        n++;
        if (cJSON_IsString(key) && strcmp(key->valuestring, spki) == 0) {
            return false;
        }
    }
    if (keys != NULL) {
        if (n == SERVER_KEYS) {
            cJSON_DeleteItemFromArray(keys, 0);
        }
        *added = cJSON_AddItemToArray(keys, cJSON_CreateString(spki));
    }
    return *added && n > 0;
}

/* Entered. */
static enum cv_status store_server_key(struct cv_broker *b,
                                       struct cv_sign *sign, struct cv_ask *ask,
                                       struct cv_err *err)
{
    struct cv_store_entry *row = NULL;
    cJSON *doc = NULL, *details = cJSON_CreateObject();
    bool added = false, changed;
    enum cv_status s =
        cv_broker_load_entry(b, sign->name, false, &row, &doc, err);

    changed = s == CV_OK &&
              add_server_key(doc, ask->context, sign->server_spki, &added);
    if (changed) {
        (void)cv_json_add_str(details, "grant", sign->grant->id);
        (void)cv_json_add_str(details, "server", sign->server);
        (void)cv_json_add_str(details, "server_spki", sign->server_spki);
        (void)cv_json_add_str(details, "because",
                              "the server has another key than before");
        s = cv_ask_event(ask, details, err);
        if (s == CV_OK) {
            s = cv_broker_commit(b, err);
        }
        if (s == CV_OK) {
            s = cv_entry_note(doc, "the server has another key than before",
                              sign->call.caller->user, cv_clock_now_s(), err);
        }
    }
    if (s == CV_OK && added) {
        s = cv_held_update(b, row, doc, err);
    }
    cv_store_entry_free(row);
    cJSON_Delete(doc);
    cJSON_Delete(details);
    return s;
}

/* The answer is on its way. What a server's key was is kept with the entry:
 * another one is told of, though its certificate verified. */
static void remember_server(struct cv_broker *b, struct cv_sign *sign)
{
    struct cv_arena *before = cv_json_use(NULL);
    cJSON *copy = cJSON_Duplicate(sign->doc, true);
    struct cv_ask ask;
    struct cv_err err;
    bool added = false;

    cv_err_init(&err);
    (void)add_server_key(copy, sign->grant->context, sign->server_spki, &added);
    cJSON_Delete(copy);
    if (added && cv_broker_enter(b, &err) == CV_OK) {
        cv_grant_ask(b, sign->grant, &ask);
        (void)!store_server_key(b, sign, &ask, &err);
        cv_broker_leave(b);
    }
    (void)cv_json_use(before);
}

static CV_BROKER_METHOD(asks_sign_run)
{
    struct cv_broker *b = context;
    struct cv_sign *sign = (struct cv_sign *)b->together;
    enum cv_status s;

    (void)parameters;
    if (sign == NULL) {
        return cv_fail(err, CV_INTERNAL, "memory is gone");
    }
    s = cv_sign_make(b, sign, reply, err);
    if (s == CV_OK) {
        sign->grant->signatures++;
        remember_server(b, sign);
    } else if (s == CV_DENIED && sign->doc != NULL) {
        cv_grant_look_again(b);
    }
    return s;
}

/* Request */

struct words {
    const char *id, *audit_id, *verb, *group, *resource, *subresource,
        *namespace, *name, *path, *upgrade, *why;
};

static bool add(cJSON *to, const char *key, const char *text)
{
    return text == NULL || text[0] == '\0' || cv_json_add_str(to, key, text);
}

static cJSON *request_details(const struct words *w)
{
    cJSON *out = cJSON_CreateObject();

    if (add(out, "grant", w->id) && add(out, "audit_id", w->audit_id) &&
        add(out, "verb", w->verb) && add(out, "group", w->group) &&
        add(out, "resource", w->resource) &&
        add(out, "subresource", w->subresource) &&
        add(out, "namespace", w->namespace) && add(out, "object", w->name) &&
        add(out, "path", w->path) && add(out, "upgrade", w->upgrade) &&
        add(out, "because", w->why)) {
        return out;
    }
    cJSON_Delete(out);
    return NULL;
}

/* A request through the relay. */
struct door_request {
    struct cv_together_call call;
    struct cv_grant *grant; /* NULL: refused */
    bool permit;
    struct cv_ask ask;
};

static void request_begin(struct cv_broker *b, const cJSON *parameters,
                          struct cv_together_call *call)
{
    struct door_request *rq = (struct door_request *)call;
    struct cv_caller *relay = call->caller;
    struct words w = {.id = ""};
    const struct cv_json_field fields[] = {
        {"grant", CV_JSON_STRING, true, &w.id, CV_LIMIT_URL},
        {"audit_id", CV_JSON_STRING, true, &w.audit_id, 64},
        {"verb", CV_JSON_STRING, true, &w.verb, 64},
        {"group", CV_JSON_STRING, true, &w.group, WORDS_MAX},
        {"resource", CV_JSON_STRING, true, &w.resource, WORDS_MAX},
        {"subresource", CV_JSON_STRING, true, &w.subresource, WORDS_MAX},
        {"namespace", CV_JSON_STRING, true, &w.namespace, WORDS_MAX},
        {"name", CV_JSON_STRING, true, &w.name, WORDS_MAX},
        {"path", CV_JSON_STRING, true, &w.path, PATH_MAX_SHOWN},
        {"upgrade", CV_JSON_STRING, false, &w.upgrade, WORDS_MAX},
        {"permit", CV_JSON_BOOL, true, &rq->permit, 0},
        {"why", CV_JSON_STRING, false, &w.why, WORDS_MAX},
    };

    call->ask = &rq->ask;
    begin_unknown(b, relay, &rq->ask);
    rq->call.status =
        cv_json_read(none(parameters), "Request", CV_BROKER_FIELDS(fields),
                     true, &rq->call.err);
    if (rq->call.status == CV_OK) {
        rq->call.status =
            begin_ask(b, relay, w.id, &rq->grant, &rq->ask, &rq->call.err);
    }
    if (rq->call.status != CV_OK) {
        call->details = refusal_details(w.id, &call->err);
        return;
    }
    call->caller = &rq->grant->who;
    rq->call.details = request_details(&w);
    if (rq->call.details == NULL) {
        rq->call.status = cv_fail(&rq->call.err, CV_INTERNAL, "memory is gone");
    }
}

static void request_decide(struct cv_broker *b, struct cv_together_call *call)
{
    struct door_request *rq = (struct door_request *)call;

    (void)b;
    call->status =
        rq->permit
            ? cv_ask_event(&rq->ask, call->details, &call->err)
            : cv_ask_deny(&rq->ask, CV_DENIED, call->details, &call->err);
}

static void request_end(struct cv_broker *b, struct cv_together_call *call)
{
    (void)b;
    (void)call;
}

const struct cv_together_kind cv_broker_asks_request_kind = {
    .method = CV_INTERFACE_DOOR ".Request",
    .door = true,
    .size = sizeof(struct door_request),
    .begin = request_begin,
    .decide = request_decide,
    .end = request_end,
};

static CV_BROKER_METHOD(asks_request_run)
{
    struct cv_broker *b = context;
    struct door_request *rq = (struct door_request *)b->together;
    enum cv_status s;

    (void)parameters;
    if (cv_broker_together_is_refused(b->together, &s, err)) {
        return s;
    }
    if (rq->permit) {
        rq->grant->requests++;
    } else {
        rq->grant->refused++;
    }
    return cv_json_add_int(cv_reply_parameters(reply), "audit_seq", rq->ask.seq)
               ? CV_OK
               : cv_fail(err, CV_INTERNAL, "memory is gone");
}

/* What it tells */

static CV_BROKER_METHOD(asks_strangers)
{
    struct cv_broker *b = context;
    int64_t uid = -1, count = 0;
    const char *why = NULL;
    const struct cv_json_field fields[] = {
        {"uid", CV_JSON_INT, false, &uid, 0},
        {"count", CV_JSON_INT, true, &count, 0},
        {"why", CV_JSON_STRING, true, &why, WORDS_MAX},
    };
    struct cv_caller who = {.peer = {.loginuid = -1}};
    cJSON *details = NULL;
    enum cv_status s = cv_json_read(parameters, "Strangers",
                                    CV_BROKER_FIELDS(fields), true, err);

    (void)reply;
    if (b->agent != NULL) {
        cv_agent_overlook(b->agent);
    }
    if (s == CV_OK && (count < 0 || uid < -1 || uid > UINT32_MAX - 1)) {
        s = cv_fail(err, CV_INVALID, "Strangers: no such count or uid");
    }
    if (s != CV_OK) {
        return s;
    }
    details = cJSON_CreateObject();
    who.peer.uid = (uid_t)uid;
    (void)snprintf(who.user, sizeof(who.user), "uid:%lld", (long long)uid);
    (void)cv_json_add_str(details, "method", "relay");
    (void)cv_json_add_int(details, "denials", count);
    (void)cv_json_add_str(details, "because", why);
    b->caller = uid >= 0 ? &who : NULL;
    cv_broker_event(b, "broker", CV_DENIED, details);
    b->caller = NULL;
    cJSON_Delete(details);
    return CV_OK;
}

static CV_BROKER_METHOD(asks_refused)
{
    struct cv_broker *b = context;
    struct cv_caller *relay = b->caller;
    const char *id = "", *server = NULL, *why = NULL;
    const struct cv_json_field fields[] = {
        {"grant", CV_JSON_STRING, true, &id, CV_LIMIT_URL},
        {"server", CV_JSON_STRING, true, &server, WORDS_MAX},
        {"why", CV_JSON_STRING, true, &why, WORDS_MAX},
    };
    struct cv_grant *grant;
    struct cv_ask ask;
    cJSON *details;
    enum cv_status s = cv_json_read(parameters, "Refused",
                                    CV_BROKER_FIELDS(fields), true, err);

    (void)reply;
    if (s == CV_OK) {
        s = begin_ask(b, relay, id, &grant, &ask, err);
    }
    if (s != CV_OK) {
        return s;
    }
    if (!cv_denials_take(&ask, CV_REMOTE)) {
        details = cJSON_CreateObject();
        (void)cv_json_add_str(details, "grant", id);
        (void)cv_json_add_str(details, "server", server);
        (void)cv_json_add_str(details, "because", why);
        cv_ask_event_later(&ask, CV_REMOTE, details);
        cJSON_Delete(details);
    }
    b->caller = relay;
    return CV_OK;
}

static CV_BROKER_METHOD(asks_alive)
{
    struct cv_broker *b = context;
    const struct cv_json_field fields[] = {
        {"clients", CV_JSON_INT, true, &b->relay.clients, 0},
        {"requests", CV_JSON_INT, true, &b->relay.requests, 0},
    };

    (void)reply;
    b->relay.alive_ms = cv_clock_boot_ms();
    return cv_json_read(parameters, "Alive", CV_BROKER_FIELDS(fields), true,
                        err);
}

static const struct cv_method methods[] = {
    {"Sign", cv_broker_asks_sign_run, false},
    {"Request", cv_broker_asks_request_run, false},
    {"Strangers", cv_broker_asks_strangers, false},
    {"Refused", cv_broker_asks_refused, false},
    {"Alive", cv_broker_asks_alive, false},
};

const struct cv_interface cv_broker_door_interface = {
    .name = CV_INTERFACE_DOOR,
    .description = cv_interface_door,
    .methods = methods,
    .n_methods = sizeof(methods) / sizeof(methods[0]),
};
