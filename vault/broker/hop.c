#include "vault/broker/hop_internal.h"

#include "vault/base/clock.h"

#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define META_CA "hop_ca"
#define META_PORT "relay_port"
#define META_MAX CV_KIB(64)

static enum cv_status no_memory(struct cv_err *err)
{
    return cv_fail(err, CV_INTERNAL, "memory is gone");
}

static enum cv_status load_ca(struct cv_broker *b, cJSON **out,
                              struct cv_err *err)
{
    struct cv_buf text;
    enum cv_status s;

    *out = NULL;
    cv_buf_init(&text, NULL, META_MAX);
    s = cv_store_meta_get(b->vault->store, META_CA, &text, err);
    if (s == CV_OK) {
        s = cv_json_parse(NULL, cv_buf_bytes(&text), out, err);
    }
    if (s == CV_OK && !cv_json_add_str(*out, "vault_id", b->vault->id)) {
        cJSON_Delete(*out);
        *out = NULL;
        s = no_memory(err);
    }
    cv_buf_wipe(&text);
    return s;
}

/* Entered. Two brokers that want it at once must not both make one. */
static enum cv_status store_ca(struct cv_broker *b, const cJSON *made,
                               struct cv_err *err)
{
    cJSON *there = NULL;
    struct cv_buf text;
    enum cv_status s = load_ca(b, &there, err);

    cJSON_Delete(there);
    if (s != CV_NOT_FOUND) {
        return s;
    }
    cv_buf_init(&text, NULL, META_MAX);
    cv_json_write(made, CV_JSON_COMPACT, &text);
    s = cv_buf_status(&text, "the relay's CA", err);
    if (s == CV_OK) {
        s = cv_store_meta_put(b->vault->store, META_CA, cv_buf_text(&text),
                              err);
    }
    cv_buf_wipe(&text);
    return s;
}

/* The key of it leaves the token process sealed. */
static enum cv_status make_ca(struct cv_broker *b, struct cv_err *err)
{
    const char *text[4];
    const struct cv_json_field fields[] = {
        {"certificate", CV_JSON_TEXT, true, &text[0], CV_LIMIT_PEM},
        {"entry_id", CV_JSON_STRING, true, &text[1], CV_STORE_ID},
        {"spki_sha256", CV_JSON_STRING, true, &text[2], CV_STORE_HASH},
        {"sealed", CV_JSON_STRING, true, &text[3], CV_LIMIT_SEALED * 2},
    };
    struct cv_message answer = {0};
    cJSON *details = cJSON_CreateObject();
    enum cv_status s = cv_broker_token(b, "HopCreate", NULL, 0, &answer, err);

    if (s == CV_OK) {
        s = cv_json_read(answer.tree, "HopCreate", CV_BROKER_FIELDS(fields),
                         true, err);
    }
    if (s == CV_OK) {
        s = cv_broker_enter(b, err);
    }
    if (s == CV_OK) {
        (void)cv_json_add_str(details, "method", "HopCreate");
        s = cv_broker_event_now(b, "broker", NULL, details, err);
        if (s == CV_OK) {
            s = store_ca(b, answer.tree, err);
        }
        cv_broker_leave(b);
    }
    cJSON_Delete(details);
    cv_message_free(&answer);
    return s;
}

enum cv_status cv_hop_ca(struct cv_broker *b, cJSON **out, struct cv_err *err)
{
    struct cv_arena *before = cv_json_use(NULL);
    enum cv_status s = load_ca(b, out, err);

    if (s == CV_NOT_FOUND) {
        s = make_ca(b, err);
        if (s == CV_OK) {
            s = load_ca(b, out, err);
        }
    }
    (void)cv_json_use(before);
    return s;
}

enum cv_status cv_hop_ca_pem(struct cv_broker *b, struct cv_reply *reply,
                             char **pem, struct cv_err *err)
{
    cJSON *ca = NULL;
    enum cv_status s = load_ca(b, &ca, err);

    *pem = NULL;
    if (s == CV_NOT_FOUND) {
        s = cv_broker_need_open(b, reply, err);
        if (s == CV_OK) {
            s = cv_hop_ca(b, &ca, err);
        }
    }
    if (s == CV_OK) {
        *pem = strdup(cv_entry_text(ca, "certificate"));
        s = *pem != NULL ? CV_OK : no_memory(err);
    }
    cJSON_Delete(ca);
    return s;
}

static enum cv_status load_port(struct cv_broker *b, int64_t *port,
                                struct cv_err *err)
{
    struct cv_buf text;
    enum cv_status s;

    cv_buf_init(&text, NULL, 16);
    s = cv_store_meta_get(b->vault->store, META_PORT, &text, err);
    if (s == CV_OK) {
        *port = strtol(cv_buf_text(&text), NULL, 10);
        if (*port < 1 || *port > 65535) {
            s = cv_fail(err, CV_INTEGRITY, "the vault's port is none");
        }
    }
    cv_buf_wipe(&text);
    return s;
}

enum cv_status cv_hop_port(struct cv_broker *b, int64_t *port,
                           struct cv_err *err)
{
    char text[16];
    enum cv_status s;

    if (b->options->relay.port != 0) {
        *port = b->options->relay.port;
        return CV_OK;
    }
    s = load_port(b, port, err);
    if (s != CV_NOT_FOUND) {
        return s;
    }
    s = cv_broker_enter(b, err);
    if (s != CV_OK) {
        return s;
    }
    s = load_port(b, port, err);
    if (s == CV_NOT_FOUND) {
        *port = HOP_PORT_FIRST + (int64_t)randombytes_uniform(HOP_PORT_COUNT);
        (void)snprintf(text, sizeof(text), "%d", (int)*port);
        s = cv_store_meta_put(b->vault->store, META_PORT, text, err);
    }
    cv_broker_leave(b);
    return s;
}

enum cv_status cv_hop_mint(struct cv_broker *b, const struct cv_grant *g,
                           cJSON *out, struct cv_err *err)
{
    const char *certificate = NULL, *secret = NULL;
    const struct cv_json_field fields[] = {
        {"certificate", CV_JSON_TEXT, true, &certificate, CV_LIMIT_PEM},
        {"secret", CV_JSON_STRING, true, &secret, CV_LIMIT_PEM},
    };
    struct cv_message answer = {0};
    cJSON *p;
    enum cv_status s;

    if (cv_clock_boot_ms() >= g->ends_ms) {
        s = cv_fail(err, CV_EXPIRED,
                    "the grant ended before anything could be done with it");
        cv_err_hint(err, "ask for a longer one with --for");
        return s;
    }
    /* A certificate has whole seconds, the grant ends between two of them: it
     * is the grant that ends what goes on. */
    p = cJSON_CreateObject();
    if (!cv_json_add_str(p, "grant", g->id) ||
        !cv_json_add_int(p, "uid", (int64_t)g->who.peer.uid) ||
        !cv_json_add_str(p, "entry", g->entry) ||
        !cv_json_add_int(p, "not_after", g->ends_s + 1)) {
        cJSON_Delete(p);
        return no_memory(err);
    }
    s = cv_broker_token(b, "HopMint", p, CV_CLIENT_SECRET_OUT, &answer, err);
    if (s == CV_OK) {
        s = cv_json_read(answer.tree, "HopMint", CV_BROKER_FIELDS(fields), true,
                         err);
    }
    if (s == CV_OK && (!cv_json_add_str(out, "certificate", certificate) ||
                       !cv_json_add_str(out, "secret", secret))) {
        s = no_memory(err);
    }
    cv_message_free(&answer);
    return s;
}

static void forget(struct cv_broker *b, const char *id)
{
    struct cv_message answer = {0};
    struct cv_arena *before;
    cJSON *p, *list;

    if (b->token.channel == NULL) {
        return;
    }
    before = cv_json_use(NULL);
    p = cJSON_CreateObject();
    list = cJSON_AddArrayToObject(p, "grants");
    if (id != NULL) {
        (void)cJSON_AddItemToArray(list, cJSON_CreateString(id));
    }
    (void)!cv_broker_token(b, "HopForget", p, 0, &answer, NULL);
    cv_message_free(&answer);
    (void)cv_json_use(before);
}

void cv_hop_forget(struct cv_broker *b, const struct cv_grant *g)
{
    forget(b, g->id);
}

void cv_hop_touch(struct cv_broker *b)
{
    forget(b, NULL);
}

enum cv_status cv_hop_public(struct cv_broker *b, const char *chain, cJSON *out,
                             struct cv_err *err)
{
    const char *spki = NULL;
    const struct cv_json_field fields[] = {
        {"spki", CV_JSON_STRING, true, &spki, CV_LIMIT_CERT_DER},
    };
    struct cv_message answer = {0};
    cJSON *p = cJSON_CreateObject();
    enum cv_status s;

    if (!cv_json_add_str(p, "certificate", chain)) {
        cJSON_Delete(p);
        return no_memory(err);
    }
    s = cv_broker_token(b, "HopPublic", p, 0, &answer, err);
    if (s == CV_OK) {
        s = cv_json_read(answer.tree, "HopPublic", CV_BROKER_FIELDS(fields),
                         true, err);
    }
    if (s == CV_OK && !cv_json_add_str(out, "spki", spki)) {
        s = no_memory(err);
    }
    cv_message_free(&answer);
    return s;
}
