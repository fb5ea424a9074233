/* Policy first: what is said before a token is asked for anything. */
#include "vault/base/name.h"
#include "vault/broker/held_internal.h"

static enum cv_status no_memory(struct cv_err *err)
{
    return cv_fail(err, CV_INTERNAL, "memory is gone");
}

/* As far as it is known. */
static enum cv_status make_doc(const char *name, const cJSON *labels,
                               const char *provenance, cJSON **out,
                               struct cv_err *err)
{
    enum cv_status s = cv_name_check(name, err);

    *out = NULL;
    if (s == CV_OK) {
        s = cv_entry_check_labels(labels, err);
    }
    if (s != CV_OK) {
        return s;
    }
    *out = cJSON_CreateObject();
    return cv_json_add_str(*out, "name", name) &&
                   cv_json_add_str(*out, "provenance", provenance) &&
                   cv_json_add_bool(*out, "leaky", false) &&
                   (labels == NULL ||
                    cv_json_add_item(*out, "labels",
                                     cJSON_Duplicate(labels, true)))
               ? CV_OK
               : no_memory(err);
}

enum cv_status cv_held_may_be(struct cv_ask *ask, const char *name,
                              const cJSON *labels, const char *provenance,
                              struct cv_err *err)
{
    cJSON *doc;
    enum cv_status s = make_doc(name, labels, provenance, &doc, err);

    if (s == CV_OK) {
        s = cv_ask_tell(ask, doc, NULL, CV_OK, err);
    }
    ask->doc = NULL;
    cJSON_Delete(doc);
    return s;
}

/* Entered. */
static enum cv_status any_way(struct cv_ask *ask, cJSON *doc,
                              struct cv_err *err)
{
    struct cv_ask trial = *ask;

    if (!cv_entry_token_set(doc, "ready", "unwrapped", false)) {
        return no_memory(err);
    }
    if (cv_ask_would_now(&trial, doc, NULL) != CV_DENIED) {
        return CV_OK;
    }
    return cv_entry_token_set(doc, "ready", "imported", false)
               ? cv_ask_tell(ask, doc, NULL, CV_OK, err)
               : no_memory(err);
}

enum cv_status cv_held_may_go(struct cv_ask *ask, cJSON *doc,
                              struct cv_err *err)
{
    enum cv_status s = cv_broker_enter(ask->broker, err);

    if (s == CV_OK) {
        s = any_way(ask, doc, err);
        cv_broker_leave(ask->broker);
    }
    return s;
}

enum cv_status cv_held_may_go_as(struct cv_ask *ask, const char *name,
                                 const cJSON *labels, struct cv_err *err)
{
    cJSON *doc;
    enum cv_status s;

    if (name == NULL) {
        return cv_ask_could(ask, err);
    }
    s = make_doc(name, labels, "unwrapped", &doc, err);
    if (s == CV_OK) {
        s = cv_held_may_go(ask, doc, err);
    }
    ask->doc = NULL;
    cJSON_Delete(doc);
    return s;
}
