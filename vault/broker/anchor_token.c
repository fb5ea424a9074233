/* One checkpoint to a token: the note itself, in a data object that needs no
 * PIN (pkcs11/data.h). It is looked at before it is changed: what lies there is
 * signed by the log's key, and outlives a disk that was put back. */
#include "vault/broker/anchor_internal.h"

#include "vault/base/clock.h"
#include "vault/base/encode.h"
#include "vault/broker/module_internal.h"

#include <sodium.h>
#include <string.h>

/* One object for each log, by its origin, as git's branches are: its key may
 * become another one. */
static void name_of(const struct cv_broker *b, struct cv_buf *out)
{
    const char *origin = b->vault->log_key.name;
    uint8_t hash[crypto_hash_sha256_BYTES];

    (void)crypto_hash_sha256(hash, (const uint8_t *)origin, strlen(origin));
    cv_encode_hex((struct cv_bytes){hash, 8}, out);
}

/* Calls Anchor, with the note or (NULL) only to read; `before` gets what lay
 * there. */
static enum cv_status call(struct cv_broker *b, const struct cv_anchor_one *a,
                           const char *note, struct cv_buf *before,
                           struct cv_err *err)
{
    const char *text = NULL;
    const struct cv_json_field fields[] = {
        {"before", CV_JSON_STRING, true, &text, CV_LIMIT_ATTRIBUTE * 2},
    };
    struct cv_message reply = {0};
    struct cv_arena *old = cv_json_use(NULL);
    cJSON *p = cJSON_CreateObject();
    struct cv_buf id;
    enum cv_status s;

    cv_buf_init(&id, NULL, 32);
    name_of(b, &id);
    if (!cv_json_add_str(p, "token", a->config.target) ||
        !cv_json_add_str(p, "id", cv_buf_text(&id)) ||
        !cv_json_add_str(p, "value", note)) {
        cJSON_Delete(p);
        s = cv_fail(err, CV_INTERNAL, "memory is gone");
    } else {
        s = cv_module_call(b, a->config.target, "Anchor", p, 0, &reply, err);
    }
    if (s == CV_OK) {
        s = cv_json_read(reply.tree, "Anchor", CV_BROKER_FIELDS(fields), true,
                         err);
    }
    if (s == CV_OK) {
        s = cv_decode_base64(text, strlen(text), false, "what the token has",
                             before, err);
    }
    cv_message_free(&reply);
    cv_buf_wipe(&id);
    (void)cv_json_use(old);
    return s;
}

void cv_anchor_token_start(struct cv_broker *b, struct cv_anchor_one *a)
{
    struct cv_anchor_found there;
    struct cv_buf before, ignored;
    struct cv_err err;
    bool found = false;
    enum cv_status s;

    cv_err_init(&err);
    cv_buf_init(&before, NULL, CV_LIMIT_ATTRIBUTE);
    cv_buf_init(&ignored, NULL, CV_LIMIT_ATTRIBUTE);
    s = call(b, a, NULL, &before, &err);
    if (s == CV_OK) {
        cv_anchor_find(b, cv_buf_bytes(&before), &there);
        s = cv_anchor_compare(b, &there, &a->run.what, &err);
        found = s == CV_INTEGRITY;
    }
    if (s == CV_OK) {
        s = call(b, a, cv_buf_text(&a->run.note), &ignored, &err);
    }
    if (s == CV_OK) {
        cv_anchor_done(b, a, cv_clock_now_s());
    } else if (found) {
        cv_err_prefix(&err, "the token has a checkpoint that this log does "
                            "not continue");
        cv_anchor_conflicts(b, a, cv_anchor_found_size(&there), err.text);
    } else {
        cv_anchor_failed(b, a, err.text);
    }
    cv_buf_wipe(&before);
    cv_buf_wipe(&ignored);
    cv_anchor_run_stop(b, a, false);
}
