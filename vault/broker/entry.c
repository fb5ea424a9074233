#include "vault/broker/entry.h"

#include "vault/base/clock.h"
#include "vault/base/name.h"

#include <stdio.h>
#include <string.h>

#define HISTORY_MAX 100

const char *cv_entry_text(const cJSON *doc, const char *key)
{
    const cJSON *item = cJSON_GetObjectItemCaseSensitive(doc, key);

    return cJSON_IsString(item) ? item->valuestring : "";
}

static enum cv_status out_of_memory(struct cv_err *err)
{
    return cv_fail(err, CV_INTERNAL, "memory is gone");
}

static bool is_hex(const char *text, size_t len)
{
    return strlen(text) == len && strspn(text, "0123456789abcdef") == len;
}

enum cv_status cv_entry_check_labels(const cJSON *labels, struct cv_err *err)
{
    const cJSON *item;
    int n = 0;

    cJSON_ArrayForEach(item, labels)
    {
        enum cv_status s;

        if (!cJSON_IsString(item)) {
            return cv_fail(err, CV_INVALID, "a label's value is not a string");
        }
        s = cv_name_check_label(item->string, item->valuestring, err);
        if (s != CV_OK) {
            return s;
        }
        if (++n > CV_LIMIT_LABELS) {
            return cv_fail(err, CV_INVALID, "more than %d labels",
                           CV_LIMIT_LABELS);
        }
    }
    return CV_OK;
}

static enum cv_status check_contexts(const cJSON *contexts, struct cv_err *err)
{
    const cJSON *item;
    int n = cJSON_GetArraySize(contexts);

    if (n < 1 || n > CV_LIMIT_CONTEXTS) {
        return cv_fail(err, CV_INVALID, "an identity has %d contexts", n);
    }
    cJSON_ArrayForEach(item, contexts)
    {
        const char *text[6] = {NULL};
        bool is_default = false, insecure = false;
        const struct cv_json_field fields[] = {
            {"name", CV_JSON_STRING, true, &text[0], 0},
            {"cluster", CV_JSON_STRING, true, &text[1], 0},
            {"server", CV_JSON_STRING, true, &text[2], 0},
            {"ca", CV_JSON_TEXT, false, &text[3], CV_LIMIT_PEM},
            {"tls_server_name", CV_JSON_STRING, false, &text[4], 0},
            {"namespace", CV_JSON_STRING, false, &text[5], 0},
            {"verify", CV_JSON_STRING, true, &text[5], 8},
            {"insecure", CV_JSON_BOOL, false, &insecure, 0},
            {"default", CV_JSON_BOOL, false, &is_default, 0},
        };
        enum cv_status s =
            cv_json_read(item, "a context", fields, 9, true, err);

        if (s != CV_OK) {
            return s;
        }
    }
    return CV_OK;
}

/* The form alone: intake is another program, and may be a broken one. */
enum cv_status cv_entry_check_identity(const cJSON *identity,
                                       struct cv_err *err)
{
    const char *entry_id, *ca_set, *spki, *pem, *text;
    const cJSON *key, *certificate, *contexts, *notes, *any;
    int64_t bits;
    const struct cv_json_field fields[] = {
        {"entry_id", CV_JSON_STRING, true, &entry_id, 32},
        {"suffix", CV_JSON_STRING, true, &text, 0},
        {"key", CV_JSON_OBJECT, true, &key, 0},
        {"certificate", CV_JSON_OBJECT, true, &certificate, 0},
        {"contexts", CV_JSON_ARRAY, true, &contexts, 0},
        {"ca_set", CV_JSON_STRING, true, &ca_set, 64},
        {"sealed", CV_JSON_STRING, false, &text, CV_LIMIT_SEALED * 2},
        {"digest", CV_JSON_STRING, false, &text, 64},
        {"notes", CV_JSON_ARRAY, false, &notes, 0},
    };
    const struct cv_json_field key_fields[] = {
        {"type", CV_JSON_STRING, true, &text, 16},
        {"bits", CV_JSON_INT, true, &bits, 0},
        {"spki_sha256", CV_JSON_STRING, true, &spki, 64},
        {"spki", CV_JSON_STRING, false, &text, CV_LIMIT_CERT_DER},
    };
    const struct cv_json_field certificate_fields[] = {
        {"subject", CV_JSON_STRING, true, &text, CV_LIMIT_PEM},
        {"issuer", CV_JSON_STRING, true, &text, CV_LIMIT_PEM},
        {"serial", CV_JSON_STRING, true, &text, 256},
        {"not_before", CV_JSON_STRING, true, &text, 32},
        {"not_after", CV_JSON_STRING, true, &text, 32},
        {"pem", CV_JSON_TEXT, true, &pem, CV_LIMIT_PEM},
        {"groups", CV_JSON_ARRAY, false, &any, 0},
    };
    enum cv_status s =
        cv_json_read(identity, "an identity", fields, 9, true, err);

    if (s == CV_OK) {
        s = cv_json_read(key, "its key", key_fields, 4, true, err);
    }
    if (s == CV_OK) {
        s = cv_json_read(certificate, "its certificate", certificate_fields, 7,
                         true, err);
    }
    if (s == CV_OK &&
        (!is_hex(entry_id, 32) || !is_hex(ca_set, 64) || !is_hex(spki, 64))) {
        s = cv_fail(err, CV_INVALID, "an identity's digests are not hex");
    }
    return s == CV_OK ? check_contexts(contexts, err) : s;
}

static bool copy(cJSON *to, const cJSON *from, const char *key)
{
    const cJSON *item = cJSON_GetObjectItemCaseSensitive(from, key);

    return item == NULL ||
           cv_json_add_item(to, key, cJSON_Duplicate(item, true));
}

static void drop_member(cJSON *object, const char *key)
{
    cJSON_DeleteItemFromObjectCaseSensitive(object, key);
}

/* Whoever needs the whole of it keeps it in the KeyRef. */
static bool drop_spki(cJSON *doc)
{
    drop_member(cJSON_GetObjectItemCaseSensitive(doc, "key"), "spki");
    return true;
}

static bool add_time(cJSON *doc, const char *key, int64_t now_s)
{
    char text[CV_CLOCK_TEXT_LEN];

    cJSON_DeleteItemFromObjectCaseSensitive(doc, key);
    return cv_json_add_str(doc, key, cv_clock_format(now_s, text));
}

enum cv_status cv_entry_from_identity(const cJSON *identity, const char *name,
                                      const struct cv_entry_origin *origin,
                                      cJSON **out, struct cv_err *err)
{
    cJSON *doc;
    enum cv_status s = cv_entry_check_identity(identity, err);

    *out = NULL;
    if (s == CV_OK) {
        s = cv_entry_check_labels(origin->labels, err);
    }
    if (s == CV_OK) {
        s = cv_name_check(name, err);
    }
    if (s != CV_OK) {
        return s;
    }
    doc = cJSON_CreateObject();
    if (doc == NULL || !copy(doc, identity, "entry_id") ||
        !cv_json_add_str(doc, "name", name) ||
        !cv_json_add_item(doc, "labels",
                          origin->labels != NULL
                              ? cJSON_Duplicate(origin->labels, true)
                              : cJSON_CreateObject()) ||
        !cv_json_add_item(doc, "source",
                          cJSON_Duplicate(origin->source, true)) ||
        !cv_json_add_str(doc, "location", "sealed") ||
        !cv_json_add_str(doc, "state", "ready") ||
        !cv_json_add_str(doc, "provenance", origin->provenance) ||
        !cv_json_add_bool(doc, "leaky", false) || !copy(doc, identity, "key") ||
        !drop_spki(doc) || !copy(doc, identity, "certificate") ||
        !copy(doc, identity, "contexts") || !copy(doc, identity, "ca_set") ||
        !copy(doc, identity, "notes") ||
        !cv_json_add_bool(doc, "exportable", origin->exportable) ||
        !add_time(doc, "created", origin->now_s) ||
        !add_time(doc, "updated", origin->now_s)) {
        cJSON_Delete(doc);
        return out_of_memory(err);
    }
    *out = doc;
    return CV_OK;
}

cJSON *cv_entry_view(const cJSON *doc)
{
    cJSON *view = cJSON_Duplicate(doc, true);
    cJSON *context;

    if (view == NULL) {
        return NULL;
    }
    drop_member(view, "ca_set");
    drop_member(view, "history");
    drop_member(view, "key_ref");
    drop_member(cJSON_GetObjectItemCaseSensitive(view, "certificate"), "pem");
    cJSON_ArrayForEach(context,
                       cJSON_GetObjectItemCaseSensitive(view, "contexts"))
    {
        drop_member(context, "ca");
    }
    return view;
}

cJSON *cv_entry_body(const cJSON *doc)
{
    cJSON *body = cJSON_CreateObject();
    cJSON *ca = cJSON_AddObjectToObject(body, "ca");
    const cJSON *context;
    bool ok = cv_json_add_str(
        body, "chain",
        cv_entry_text(cJSON_GetObjectItemCaseSensitive(doc, "certificate"),
                      "pem"));

    cJSON_ArrayForEach(context,
                       cJSON_GetObjectItemCaseSensitive(doc, "contexts"))
    {
        const char *pem = cv_entry_text(context, "ca");

        ok = ok && (pem[0] == '\0' ||
                    cv_json_add_str(ca, cv_entry_text(context, "name"), pem));
    }
    if (ok && copy(body, doc, "ca_set") && copy(body, doc, "history") &&
        copy(body, doc, "key_ref")) {
        return body;
    }
    cJSON_Delete(body);
    return NULL;
}

enum cv_status cv_entry_join(cJSON *doc, const cJSON *body, struct cv_err *err)
{
    const cJSON *ca = cJSON_GetObjectItemCaseSensitive(body, "ca");
    cJSON *context;
    cJSON *certificate = cJSON_GetObjectItemCaseSensitive(doc, "certificate");
    /* A key that was made here has none yet. */
    bool ok = certificate == NULL ||
              cv_json_add_str(certificate, "pem", cv_entry_text(body, "chain"));

    cJSON_ArrayForEach(context,
                       cJSON_GetObjectItemCaseSensitive(doc, "contexts"))
    {
        const char *pem = cv_entry_text(ca, cv_entry_text(context, "name"));

        ok = ok && (pem[0] == '\0' || cv_json_add_str(context, "ca", pem));
    }
    return ok && copy(doc, body, "ca_set") && copy(doc, body, "history") &&
                   copy(doc, body, "key_ref")
               ? CV_OK
               : out_of_memory(err);
}

cJSON *cv_entry_view_whole(const cJSON *doc)
{
    cJSON *view = cv_entry_view(doc);
    cJSON *body = cv_entry_body(doc);

    drop_member(body, "ca_set");
    drop_member(body, "key_ref");
    while (view != NULL && body != NULL && body->child != NULL) {
        cJSON *item = cJSON_DetachItemViaPointer(body, body->child);

        (void)cv_json_add_item(view, item->string, item);
    }
    cJSON_Delete(body);
    return view;
}

void cv_entry_subject_fill(const cJSON *doc, struct cv_entry_subject *out)
{
    const cJSON *item;
    size_t n = 0;

    memset(out, 0, sizeof(*out));
    cJSON_ArrayForEach(item, cJSON_GetObjectItemCaseSensitive(doc, "labels"))
    {
        if (n < CV_LIMIT_LABELS && cJSON_IsString(item)) {
            out->keys[n] = item->string;
            out->values[n++] = item->valuestring;
        }
    }
    out->entry.name = cv_entry_text(doc, "name");
    out->entry.keys = out->keys;
    out->entry.values = out->values;
    out->entry.n_labels = n;
    out->entry.provenance = cv_entry_text(doc, "provenance");
    out->entry.leaky =
        cJSON_IsTrue(cJSON_GetObjectItemCaseSensitive(doc, "leaky"));
}

enum cv_status cv_entry_rename(cJSON *doc, const char *name, int64_t now_s,
                               struct cv_err *err)
{
    enum cv_status s = cv_name_check(name, err);
    cJSON *item;

    if (s != CV_OK) {
        return s;
    }
    item = cJSON_CreateString(name);
    if (item == NULL ||
        !cJSON_ReplaceItemInObjectCaseSensitive(doc, "name", item) ||
        !add_time(doc, "updated", now_s)) {
        return out_of_memory(err);
    }
    return CV_OK;
}

enum cv_status cv_entry_label(cJSON *doc, const cJSON *set, const cJSON *remove,
                              int64_t now_s, struct cv_err *err)
{
    cJSON *labels = cJSON_GetObjectItemCaseSensitive(doc, "labels");
    const cJSON *item;
    enum cv_status s = cv_entry_check_labels(set, err);

    if (s != CV_OK) {
        return s;
    }
    cJSON_ArrayForEach(item, remove)
    {
        if (!cJSON_IsString(item)) {
            return cv_fail(err, CV_INVALID, "a label's key is not a string");
        }
        drop_member(labels, item->valuestring);
    }
    cJSON_ArrayForEach(item, set)
    {
        drop_member(labels, item->string);
        if (!cv_json_add_str(labels, item->string, item->valuestring)) {
            return out_of_memory(err);
        }
    }
    if (cJSON_GetArraySize(labels) > CV_LIMIT_LABELS) {
        return cv_fail(err, CV_INVALID, "more than %d labels", CV_LIMIT_LABELS);
    }
    return add_time(doc, "updated", now_s) ? CV_OK : out_of_memory(err);
}

enum cv_status cv_entry_note(cJSON *doc, const char *what, const char *by,
                             int64_t now_s, struct cv_err *err)
{
    cJSON *history = cJSON_GetObjectItemCaseSensitive(doc, "history");
    cJSON *line = cJSON_CreateObject();

    if (history == NULL) {
        history = cJSON_AddArrayToObject(doc, "history");
    }
    if (line == NULL || !add_time(line, "time", now_s) ||
        !cv_json_add_str(line, "what", what) ||
        !cv_json_add_str(line, "by", by) ||
        !cJSON_AddItemToArray(history, line)) {
        cJSON_Delete(line);
        return out_of_memory(err);
    }
    while (cJSON_GetArraySize(history) > HISTORY_MAX) {
        cJSON_DeleteItemFromArray(history, 0);
    }
    return CV_OK;
}
