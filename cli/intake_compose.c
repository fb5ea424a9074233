#include "cli/intake_compose.h"

#include "cli/intake_file.h"
#include "cli/intake_offline.h"
#include "vault/base/clock.h"
#include "vault/base/encode.h"
#include "vault/base/limits.h"
#include "vault/kubeconfig/compose.h"
#include "vault/kubeconfig/request.h"

#include <sodium.h>
#include <string.h>

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

static enum cv_status no_memory(struct cv_err *err)
{
    return cv_fail(err, CV_INTERNAL, "memory is gone");
}

static struct cv_bytes text_bytes(const char *text)
{
    return (struct cv_bytes){(const uint8_t *)text,
                             text != NULL ? strlen(text) : 0};
}

static enum cv_status answer(cJSON *reply, const struct cv_identity *id,
                             struct cv_err *err)
{
    uint8_t entry[16];
    cJSON *item = cv_identity_to_json(id);

    randombytes_buf(entry, sizeof(entry));
    return cv_json_add_item(reply, "identity", item) &&
                   cv_json_add_hex(item, "entry_id",
                                   (struct cv_bytes){entry, sizeof(entry)})
               ? CV_OK
               : no_memory(err);
}

enum cv_status cv_intake_compose(void *context, const cJSON *parameters,
                                 struct cv_reply *reply, struct cv_err *err)
{
    const char *certificate = NULL, *ca = NULL;
    struct cv_compose_parts parts = {.now_s = cv_clock_now_s()};
    const struct cv_json_field fields[] = {
        {"certificate", CV_JSON_TEXT, true, &certificate, CV_LIMIT_PEM},
        {"server", CV_JSON_STRING, false, &parts.server, 0},
        {"ca", CV_JSON_TEXT, false, &ca, CV_LIMIT_PEM},
    };
    struct cv_intake_file file = {.fd = -1};
    struct cv_arena *arena = NULL;
    struct cv_identity id;
    enum cv_status s =
        cv_json_read(parameters, "Compose", fields, COUNT(fields), true, err);

    (void)context;
    parts.certificate = text_bytes(certificate);
    parts.ca = text_bytes(ca);
    if (s == CV_OK) {
        s = cv_arena_new(CV_LIMIT_SECRET_ARENA, &arena, err);
    }
    /* The kubeconfig may hold keys, which stay in the arena. */
    if (s == CV_OK && parts.server == NULL) {
        s = cv_intake_file_read(CV_INTAKE_OFFLINE_INPUT, NULL, false, arena,
                                &file, err);
        parts.clusters = cv_buf_bytes(&file.text);
    }
    if (s == CV_OK) {
        s = cv_compose_identity(arena, &parts, &id, err);
    }
    if (s == CV_OK) {
        s = answer(cv_reply_parameters(reply), &id, err);
    }
    cv_intake_file_close(&file);
    cv_arena_free(arena);
    return s;
}

static enum cv_status decode(const char *text, const char *what,
                             struct cv_buf *out, struct cv_err *err)
{
    cv_buf_init(out, NULL, CV_KIB(64));
    return cv_decode_base64(text, strlen(text), false, what, out, err);
}

enum cv_status cv_intake_compose_request(void *context, const cJSON *parameters,
                                         struct cv_reply *reply,
                                         struct cv_err *err)
{
    const char *subject = NULL, *spki = NULL;
    const struct cv_json_field fields[] = {
        {"subject", CV_JSON_STRING, true, &subject, CV_REQUEST_SUBJECT_MAX},
        {"spki", CV_JSON_STRING, false, &spki, CV_KIB(16)},
    };
    struct cv_buf key, info;
    enum cv_status s = cv_json_read(parameters, "RequestInfo", fields,
                                    COUNT(fields), true, err);

    (void)context;
    if (s == CV_OK && spki == NULL) {
        return cv_request_check(subject, err);
    }
    if (s != CV_OK) {
        return s;
    }
    cv_buf_init(&info, NULL, CV_KIB(32));
    s = decode(spki, "the public key", &key, err);
    if (s == CV_OK) {
        s = cv_request_info(subject, cv_buf_bytes(&key), &info, err);
    }
    if (s == CV_OK && !cv_json_add_base64(cv_reply_parameters(reply), "info",
                                          cv_buf_bytes(&info))) {
        s = no_memory(err);
    }
    cv_buf_wipe(&key);
    cv_buf_wipe(&info);
    return s;
}

enum cv_status cv_intake_compose_finish(void *context, const cJSON *parameters,
                                        struct cv_reply *reply,
                                        struct cv_err *err)
{
    const char *info = NULL, *algorithm = NULL, *signature = NULL;
    const struct cv_json_field fields[] = {
        {"info", CV_JSON_STRING, true, &info, CV_KIB(64)},
        {"algorithm", CV_JSON_STRING, true, &algorithm, 32},
        {"signature", CV_JSON_STRING, true, &signature, CV_KIB(8)},
    };
    struct cv_buf body, signed_by, pem;
    enum cv_status s = cv_json_read(parameters, "RequestFinish", fields,
                                    COUNT(fields), true, err);

    (void)context;
    if (s != CV_OK) {
        return s;
    }
    cv_buf_init(&signed_by, NULL, CV_KIB(8));
    cv_buf_init(&pem, NULL, CV_KIB(64));
    s = decode(info, "the request", &body, err);
    if (s == CV_OK) {
        s = cv_decode_base64(signature, strlen(signature), false,
                             "the signature", &signed_by, err);
    }
    if (s == CV_OK) {
        s = cv_request_finish(cv_buf_bytes(&body), algorithm,
                              cv_buf_bytes(&signed_by), &pem, err);
    }
    if (s == CV_OK && !cv_json_add_str(cv_reply_parameters(reply), "request",
                                       cv_buf_text(&pem))) {
        s = no_memory(err);
    }
    cv_buf_wipe(&body);
    cv_buf_wipe(&signed_by);
    cv_buf_wipe(&pem);
    return s;
}
