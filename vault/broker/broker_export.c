/* export: the one way in which a key leaves. */
#include "vault/broker/freeze.h"
#include "vault/broker/proving_internal.h"
#include "vault/broker/together_internal.h"

#include "vault/store/store_entry.h"
#include "vault/wire/interface.h"

#include <string.h>

struct export
{
    struct cv_together_call call;
    struct cv_ask ask;
    const char *name, *context;
    bool dry_run, tty, receipt;
    struct cv_store_entry *row;
    cJSON *doc;
};

static enum cv_status read_export(const cJSON *parameters, struct export *x,
                                  struct cv_err *err)
{
    const struct cv_json_field fields[] = {
        {"name", CV_JSON_STRING, true, &x->name, CV_LIMIT_NAME},
        {"context", CV_JSON_STRING, false, &x->context, CV_LIMIT_URL},
        {"dry_run", CV_JSON_BOOL, false, &x->dry_run, 0},
        {"tty", CV_JSON_BOOL, false, &x->tty, 0},
        {"receipt", CV_JSON_BOOL, false, &x->receipt, 0},
        CV_BROKER_ASK_FIELDS,
    };

    return cv_json_read(parameters, "Export", CV_BROKER_FIELDS(fields), true,
                        err);
}

/* An entry that was not taken in as exportable is never exported, whatever the
 * policy says: nobody is asked to approve it either. */
enum cv_status cv_broker_check_exportable(const cJSON *doc, struct cv_err *err)
{
    enum cv_status s;

    if (cJSON_IsTrue(cJSON_GetObjectItemCaseSensitive(doc, "exportable"))) {
        return CV_OK;
    }
    s = cv_fail(err, CV_DENIED, "the entry %s is not exportable",
                cv_entry_text(doc, "name"));
    cv_err_state(err, "nothing was released; the denial is recorded");
    cv_err_hint(err, "%s",
                cv_entry_token_has(doc)
                    ? "its key is on a token, which does not give it back"
                    : "only an entry fetched or imported with --exportable can "
                      "be exported");
    return s;
}

/* Entered: what is decided on is what there is now. */
static enum cv_status load(struct export *x, struct cv_err *err)
{
    enum cv_status s = cv_broker_load_entry(x->ask.broker, x->name, true,
                                            &x->row, &x->doc, err);

    x->ask.doc = x->doc;
    if (s == CV_OK) {
        s = cv_entry_check_context(x->doc, x->context, err);
    }
    if (s == CV_OK) {
        s = cv_broker_check_exportable(x->doc, err);
    }
    x->ask.context = x->context;
    if (s != CV_OK) {
        s = cv_ask_tell(&x->ask, x->doc, x->name, s, err);
        x->ask.context = NULL;
    }
    return s;
}

/* Entered. */
static enum cv_status decide_loaded(struct cv_broker *b, struct export *x,
                                    struct cv_err *err)
{
    cJSON *details;
    enum cv_status s = cv_ask_check(&x->ask, x->doc, NULL, err);

    if (s == CV_OK && x->dry_run) {
        details = cJSON_CreateObject();
        (void)cv_json_add_bool(details, "dry_run", true);
        cv_ask_event_later(&x->ask, CV_OK, details);
        cJSON_Delete(details);
        return CV_OK;
    }
    /* Asked first, so that a wrong turn at the lock leaves no permit. */
    if (s == CV_OK) {
        s = cv_broker_need_open(b, NULL, err);
    }
    if (s == CV_OK && x->receipt && !cv_signer_is_open(b)) {
        s = cv_fail(err, CV_LOCKED, "the log's key is wanted, for the receipt");
    }
    if (s != CV_OK) {
        return s;
    }
    details = cv_entry_details_released(x->doc);
    s = cv_ask_decide(&x->ask, x->doc, details, err);
    cJSON_Delete(details);
    return s;
}

static void begin(struct cv_broker *b, const cJSON *parameters,
                  struct cv_together_call *call)
{
    static const cJSON none = {.type = cJSON_Object};
    const cJSON *p = parameters != NULL ? parameters : &none;
    struct export *x = (struct export *)call;

    call->ask = &x->ask;
    call->status = cv_ask_begin(b, CV_ACTION_EXPORT, p, &x->ask, &call->err);
    if (call->status == CV_OK) {
        call->status = read_export(p, x, &call->err);
    }
}

static void decide(struct cv_broker *b, struct cv_together_call *call)
{
    struct export *x = (struct export *)call;

    call->status = load(x, &call->err);
    if (call->status == CV_OK) {
        call->status = decide_loaded(b, x, &call->err);
    }
}

static void end(struct cv_broker *b, struct cv_together_call *call)
{
    struct export *x = (struct export *)call;

    (void)b;
    cv_store_entry_free(x->row);
    cJSON_Delete(x->doc);
}

const struct cv_together_kind cv_broker_export_kind = {
    .method = CV_INTERFACE_BROKER ".Export",
    .size = sizeof(struct export),
    .begin = begin,
    .decide = decide,
    .end = end,
};

static enum cv_status release(struct cv_broker *b, const struct export *x,
                              struct cv_reply *reply, struct cv_err *err)
{
    const char *key = NULL; /* base64 of PEM, as kubeconfigs hold it */
    const struct cv_json_field fields[] = {
        {"secret", CV_JSON_STRING, true, &key, CV_LIMIT_PEM},
    };
    struct cv_message answer = {0};
    cJSON *out = cv_reply_parameters(reply);
    cJSON *config = NULL, *p = cJSON_CreateObject();
    enum cv_status s;

    if (!cv_json_add_item(p, "key", cv_broker_sealed(b, x->row, x->doc))) {
        cJSON_Delete(p);
        return cv_fail(err, CV_INTERNAL, "memory is gone");
    }
    s = cv_broker_token(b, "Export", p, CV_CLIENT_SECRET_OUT, &answer, err);
    if (s == CV_OK) {
        s = cv_json_read(answer.tree, "Export", fields, 1, true, err);
    }
    if (s == CV_OK) {
        s = cv_entry_kubeconfig(x->doc, x->context, key, &config, err);
    }
    if (s == CV_OK && (!cv_json_add_item(out, "kubeconfig", config) ||
                       !cv_json_add_item(out, "entry", cv_entry_view(x->doc)) ||
                       !cv_json_add_int(out, "audit_seq", x->ask.seq))) {
        s = cv_fail(err, CV_INTERNAL, "memory is gone");
    }
    cv_message_free(&answer);
    return s;
}

/* The leaf is durable. */
static enum cv_status give(struct cv_broker *b, struct export *x,
                           struct cv_reply *reply, struct cv_err *err)
{
    enum cv_status s = CV_OK;

    /* Before the key is opened: both are given, or neither. */
    if (x->receipt) {
        s = cv_proving_receipt(&x->ask, "nothing was released",
                               cv_reply_parameters(reply), err);
    }
    /* A freeze may have come while the log's token signed for the receipt. */
    if (s == CV_OK) {
        s = cv_freeze_check(&x->ask, err);
    }
    if (s == CV_OK) {
        s = release(b, x, reply, err);
    }
    /* A key that is out is out, whether the answer arrives or not: so the
     * outcome is told after it was sent. A private broker ends next, and
     * records it together with its checkpoint. */
    if (s == CV_OK) {
        s = cv_reply_send(reply, err);
    }
    cv_ask_outcome_later(&x->ask, s, NULL);
    x->call.released = b->options->mode != CV_BROKER_EXEC;
    return s;
}

CV_BROKER_METHOD(export)
{
    struct cv_broker *b = context;
    struct export *x = (struct export *)b->together;
    enum cv_status s;

    (void)parameters;
    if (cv_broker_together_is_refused(b->together, &s, err)) {
        if (s != CV_LOCKED) {
            return s;
        }
        /* Asked again, for what is to be told of the slots. */
        s = cv_broker_need_open(b, reply, err);
        if (s == CV_OK && x->receipt) {
            s = cv_signer_need(b, reply, err);
        }
        return s != CV_OK
                   ? s
                   : cv_fail(err, CV_BUSY, "the vault is open only now: again");
    }
    if (!x->dry_run) {
        return give(b, x, reply, err);
    }
    (void)cv_json_add_item(cv_reply_parameters(reply), "entry",
                           cv_entry_view(x->doc));
    return CV_OK;
}
