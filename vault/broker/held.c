#include "vault/broker/held_internal.h"

#include "vault/base/file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <time.h>

#define LOCK_NAME "tokens.lock"
#define LOCK_WAIT_MS 30000

static enum cv_status no_memory(struct cv_err *err)
{
    return cv_fail(err, CV_INTERNAL, "memory is gone");
}

void cv_held_close(struct cv_held *held)
{
    cv_file_close(&held->lock);
    cJSON_Delete(held->snapshot);
    held->snapshot = NULL;
}

static bool is_true(const cJSON *object, const char *key)
{
    return cJSON_IsTrue(cJSON_GetObjectItemCaseSensitive(object, key));
}

enum cv_status cv_held_call(struct cv_held *held, const char *method,
                            cJSON *parameters, struct cv_message *reply,
                            bool *told, struct cv_err *err)
{
    enum cv_status s;

    *reply = (struct cv_message){0};
    if (told != NULL) {
        *told = true;
    }
    if (parameters == NULL) {
        return no_memory(err);
    }
    s = cv_module_call(held->broker, held->uri, method, parameters, 0, reply,
                       err);
    /* A failure that could not take back what it made is no end either. */
    if (told != NULL) {
        *told = s == CV_OK ||
                (reply->tree != NULL && !is_true(reply->tree, "left"));
    }
    return s;
}

static enum cv_status find(struct cv_held *held, const char *uri,
                           struct cv_err *err)
{
    struct cv_module_token token;
    cJSON *raw = NULL;
    enum cv_status s = cv_module_token(held->broker, uri, &token, &raw, err);

    if (s == CV_OK) {
        cv_module_remember(held->broker, token.uri, uri);
        (void)snprintf(held->uri, sizeof(held->uri), "%s", token.uri);
        (void)snprintf(held->label, sizeof(held->label), "%s", token.label);
        if (is_true(raw, "write_protected")) {
            s = cv_fail(err, CV_INVALID, "the token is write protected");
        } else if (!is_true(raw, "initialized")) {
            s = cv_fail(err, CV_INVALID, "the token is not initialised");
        }
    }
    cJSON_Delete(raw);
    return s;
}

enum cv_status cv_held_open(struct cv_broker *b, const char *uri,
                            struct cv_reply *reply, struct cv_held *out,
                            struct cv_err *err)
{
    enum cv_status s = CV_OK;

    memset(out, 0, sizeof(*out));
    out->broker = b;
    out->lock = -1;
    if (b->vault == NULL) {
        s = cv_broker_enter(b, err);
    }
    if (s == CV_OK) {
        s = find(out, uri, err);
    }
    if (s == CV_OK) {
        s = cv_module_need_login(b, out->uri, reply, err);
    }
    if (s == CV_OK) {
        s = cv_held_recover(b, out->uri, err);
    }
    return s;
}

enum cv_status cv_held_snapshot(struct cv_held *held, struct cv_err *err)
{
    struct cv_message reply = {0};
    const cJSON *objects = NULL;
    const struct cv_json_field fields[] = {
        {"objects", CV_JSON_ARRAY, true, &objects, 0},
    };
    cJSON *p = cJSON_CreateObject();
    enum cv_status s;

    (void)cv_json_add_str(p, "token", held->uri);
    s = cv_held_call(held, "Snapshot", p, &reply, NULL, err);
    if (s == CV_OK) {
        s = cv_json_read(reply.tree, "Snapshot", fields, 1, true, err);
    }
    if (s == CV_OK) {
        cJSON_Delete(held->snapshot);
        held->snapshot = cJSON_Duplicate(objects, true);
        s = held->snapshot != NULL ? CV_OK : no_memory(err);
    }
    cv_message_free(&reply);
    return s;
}

static enum cv_status take_lock(struct cv_held *held, int wait_ms,
                                struct cv_err *err)
{
    const struct timespec pause = {.tv_nsec = 20 * 1000000};
    int waited_ms = 0;
    enum cv_status s = cv_file_open(held->broker->vault->dir, LOCK_NAME,
                                    O_RDWR | O_CREAT, &held->lock, err);

    while (s == CV_OK && flock(held->lock, LOCK_EX | LOCK_NB) == -1) {
        if (errno != EWOULDBLOCK || waited_ms >= wait_ms) {
            s = cv_fail_errno(err, CV_BUSY,
                              "another command is at work on a token");
            cv_err_state(err, "nothing was done");
            cv_file_close(&held->lock);
            return s;
        }
        (void)nanosleep(&pause, NULL);
        waited_ms += 20;
    }
    return s;
}

enum cv_status cv_held_wait_lock(struct cv_held *held, struct cv_err *err)
{
    return take_lock(held, LOCK_WAIT_MS, err);
}

enum cv_status cv_held_lock(struct cv_held *held, struct cv_err *err)
{
    enum cv_status s = cv_held_wait_lock(held, err);

    return s == CV_OK ? cv_held_snapshot(held, err) : s;
}

enum cv_status cv_held_try_lock(struct cv_held *held, struct cv_err *err)
{
    return take_lock(held, 0, err);
}

enum cv_status cv_held_accepts(struct cv_held *held, const char *type, int bits,
                               char way[16], struct cv_err *err)
{
    struct cv_message reply = {0};
    const char *found = NULL;
    const struct cv_json_field fields[] = {
        {"way", CV_JSON_STRING, true, &found, 15},
    };
    cJSON *p = cJSON_CreateObject();
    enum cv_status s;

    (void)cv_json_add_str(p, "token", held->uri);
    (void)cv_json_add_str(p, "key_type", type);
    (void)cv_json_add_int(p, "bits", bits);
    s = cv_held_call(held, "Accepts", p, &reply, NULL, err);
    if (s == CV_OK) {
        s = cv_json_read(reply.tree, "Accepts", fields, 1, true, err);
    }
    if (s == CV_OK) {
        (void)snprintf(way, 16, "%s", found);
    }
    cv_message_free(&reply);
    return s;
}

enum cv_status cv_held_examine(struct cv_held *held, const cJSON *ref,
                               bool *leaky, struct cv_err *err)
{
    return cv_held_examine_told(held, ref, leaky, NULL, err);
}

enum cv_status cv_held_examine_told(struct cv_held *held, const cJSON *ref,
                                    bool *leaky, bool *told, struct cv_err *err)
{
    struct cv_message reply = {0};
    const cJSON *findings = NULL;
    const struct cv_json_field fields[] = {
        {"findings", CV_JSON_OBJECT, true, &findings, 0},
    };
    cJSON *p = cJSON_CreateObject();
    enum cv_status s;

    (void)cv_json_add_item(p, "key", cJSON_Duplicate(ref, true));
    s = cv_held_call(held, "Examine", p, &reply, told, err);
    if (s == CV_OK) {
        s = cv_json_read(reply.tree, "Examine", fields, 1, false, err);
    }
    if (s == CV_OK && leaky != NULL) {
        *leaky = is_true(findings, "leaky");
    }
    cv_message_free(&reply);
    return s;
}

enum cv_status cv_held_destroy(struct cv_held *held, const cJSON *ref,
                               struct cv_err *err)
{
    struct cv_message reply = {0};
    cJSON *p = cJSON_CreateObject();
    enum cv_status s;

    /* A key whose public half is not known yet is known by id and label. */
    if (cJSON_HasObjectItem(ref, "spki")) {
        (void)cv_json_add_item(p, "key", cJSON_Duplicate(ref, true));
    } else {
        (void)cv_json_add_str(p, "token", cv_entry_text(ref, "token"));
        (void)cv_json_add_str(p, "id", cv_entry_text(ref, "id"));
        (void)cv_json_add_str(p, "label", cv_entry_text(ref, "label"));
    }
    s = cv_held_call(held, "Destroy", p, &reply, NULL, err);
    cv_message_free(&reply);
    return s;
}

/* What goes on beside the key: the chain, and the CA of the context that is
 * used by default. */
bool cv_held_add_certificates(cJSON *p, const cJSON *doc)
{
    const cJSON *certificate =
        cJSON_GetObjectItemCaseSensitive(doc, "certificate");
    const cJSON *contexts = cJSON_GetObjectItemCaseSensitive(doc, "contexts");
    const cJSON *context;
    const char *ca = NULL;

    cJSON_ArrayForEach(context, contexts)
    {
        const char *pem = cv_entry_text(context, "ca");

        if (pem[0] != '\0' &&
            (ca == NULL || cJSON_IsTrue(cJSON_GetObjectItemCaseSensitive(
                               context, "default")))) {
            ca = pem;
        }
    }
    return cv_json_add_str(p, "certificates",
                           cv_entry_text(certificate, "pem")) &&
           cv_json_add_str(p, "ca", ca);
}

cJSON *cv_held_put_certificates(struct cv_held *held, const cJSON *doc)
{
    const cJSON *ref = cv_entry_token_ref(doc);
    struct cv_message reply;
    cJSON *notes = NULL, *p = cJSON_CreateObject();

    (void)cv_json_add_item(p, "key", cJSON_Duplicate(ref, true));
    (void)cv_json_add_str(p, "label", cv_entry_text(ref, "label"));
    (void)cv_held_add_certificates(p, doc);
    if (cv_held_call(held, "PutCertificates", p, &reply, NULL, NULL) == CV_OK) {
        notes = cJSON_DetachItemFromObjectCaseSensitive(reply.tree, "notes");
        notes = notes != NULL ? cJSON_Duplicate(notes, true) : NULL;
    }
    cv_message_free(&reply);
    return notes != NULL ? notes : cJSON_CreateArray();
}

static enum cv_status not_known(const struct cv_held *held, size_t n,
                                enum cv_status s, struct cv_err *err)
{
    cv_err_state(err, "whether the token has the key%s is not known yet",
                 n == 1 ? "" : "s");
    cv_err_hint(err,
                "the next login finds it out, and finishes or undoes it: "
                "certvault token login '%s'",
                held->uri);
    return s;
}

/* Entered. Each outcome with what came of its key. */
static enum cv_status tell_stored(const struct cv_held_change *changes,
                                  size_t n, struct cv_err *err)
{
    enum cv_status s = CV_OK;

    for (size_t i = 0; i < n && s == CV_OK; i++) {
        struct cv_ask *ask = changes[i].ask;
        cJSON *details = cv_entry_details_came(changes[i].doc);

        s = cv_change_end(&ask, 1, CV_OK, details, err);
        cJSON_Delete(details);
    }
    return s;
}

static enum cv_status tell_failed(const struct cv_held_change *changes,
                                  size_t n, enum cv_status s,
                                  struct cv_err *err)
{
    struct cv_ask **asks = calloc(n, sizeof(struct cv_ask *));

    if (asks == NULL) {
        return s;
    }
    for (size_t i = 0; i < n; i++) {
        asks[i] = changes[i].ask;
    }
    s = cv_change_end(asks, n, s, NULL, err);
    free(asks);
    return s;
}

/* Entered. */
static enum cv_status finish(const struct cv_held_change *changes, size_t n,
                             enum cv_status s, struct cv_err *err)
{
    if (s != CV_OK) {
        return tell_failed(changes, n, s, err);
    }
    s = cv_held_store(changes, n, err);
    if (s != CV_OK) {
        cv_err_state(err, "the token has %s; the entr%s made at its next login",
                     n == 1 ? "the key" : "the keys",
                     n == 1 ? "y is" : "ies are");
        return s;
    }
    return tell_stored(changes, n, err);
}

enum cv_status cv_held_finish(struct cv_held *held,
                              const struct cv_held_change *changes, size_t n,
                              enum cv_status s, bool told, struct cv_err *err)
{
    struct cv_err record;

    if (!told) {
        return not_known(held, n, s, err);
    }
    cv_err_init(&record);
    if (cv_broker_enter(held->broker, &record) != CV_OK) {
        if (s == CV_OK) {
            s = record.status;
            *err = record;
        }
        return not_known(held, n, s, err);
    }
    s = finish(changes, n, s, err);
    cv_broker_leave(held->broker);
    return s;
}
