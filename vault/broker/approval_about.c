#include "vault/broker/approval_about.h"

#include <string.h>

void cv_approval_about_free(struct cv_approval_about *a)
{
    cv_store_request_free(a->row);
    cJSON_Delete(a->doc);
    cv_store_entry_free(a->entry_row);
    cJSON_Delete(a->entry);
}

enum cv_status cv_approval_about_entry(struct cv_broker *b,
                                       struct cv_approval_about *a,
                                       struct cv_err *err)
{
    const char *id = cv_entry_text(a->doc, "entry_id");
    const cJSON *subject = cJSON_GetObjectItemCaseSensitive(a->doc, "subject");
    enum cv_status s;

    if (id[0] == '\0') {
        a->entry = subject != NULL ? cJSON_Duplicate(subject, true) : NULL;
        return subject == NULL || a->entry != NULL
                   ? CV_OK
                   : cv_fail(err, CV_INTERNAL, "memory is gone");
    }
    s = cv_store_entry_by_id(b->vault->store, id, false, &a->entry_row, err);
    if (s == CV_OK) {
        s = cv_json_parse(NULL,
                          (struct cv_bytes){(const uint8_t *)a->entry_row->doc,
                                            strlen(a->entry_row->doc)},
                          &a->entry, err);
    }
    return s;
}

enum cv_status cv_approval_about_load(struct cv_broker *b, const char *id,
                                      struct cv_approval_about *a,
                                      struct cv_err *err)
{
    struct cv_err local;
    enum cv_status s;

    cv_err_init(&local);
    s = cv_store_request_by_id(b->vault->store, id, &a->row, &local);
    if (s == CV_OK) {
        s = cv_approval_doc(a->row, &a->doc, &local);
    }
    if (s == CV_OK) {
        s = cv_approval_about_entry(b, a, &local);
        if (s == CV_NOT_FOUND) {
            s = cv_fail(&local, CV_NOT_FOUND,
                        "the entry of the request %s is not there any more",
                        a->row->id);
        }
    } else if (s == CV_NOT_FOUND) {
        cv_err_hint(&local, "certvault requests --all lists them");
    }
    if (s != CV_OK && err != NULL) {
        *err = local;
    }
    return s;
}

bool cv_approval_counts(const struct cv_ask *ask,
                        const struct cv_approval_about *a)
{
    const struct cv_peer *peer = &ask->caller->peer;
    const struct cv_decide_approval approval = {
        .uid = peer->uid,
        .gid = peer->gid,
        .gids = peer->groups,
        .n_gids = peer->n_groups,
        .is_signed = true,
    };

    return cv_decide_may_approve(ask->broker->policy,
                                 cv_entry_text(a->doc, "rule"), &approval);
}

bool cv_approval_is_own(const struct cv_ask *ask,
                        const struct cv_approval_about *a)
{
    return a->row->uid == (int64_t)ask->caller->peer.uid;
}

bool cv_approval_may_see(const struct cv_ask *ask,
                         const struct cv_approval_about *a)
{
    struct cv_ask trial = *ask;

    if (cv_approval_is_own(ask, a)) {
        return true;
    }
    trial.reason = trial.reason != NULL ? trial.reason : "-";
    trial.dry_run = true;
    trial.preview = true;
    return cv_approval_counts(ask, a) &&
           cv_ask_would_now(&trial, a->entry, NULL) == CV_OK &&
           !trial.result.break_glass;
}

cJSON *cv_approval_whole_view(const struct cv_broker *b,
                              const struct cv_approval_about *a)
{
    cJSON *view = cv_approval_view(a->row, a->doc);
    struct cv_buf text;

    cv_buf_init(&text, NULL, CV_KIB(16));
    cv_approval_text(b, a->row, a->doc, &text);
    if (cv_buf_status(&text, "a request", NULL) != CV_OK ||
        !cv_json_add_str(view, "text", cv_buf_text(&text))) {
        cJSON_Delete(view);
        view = NULL;
    }
    cv_buf_wipe(&text);
    return view;
}
