/* Asking after the sinks of the record. */
#include "vault/broker/broker_internal.h"
#include "vault/broker/sink.h"

static enum cv_status add(struct cv_broker *b, struct cv_reply *reply,
                          struct cv_err *err)
{
    cJSON *out = cv_reply_parameters(reply);

    return cv_json_add_int(out, "size", (int64_t)cv_sink_size(b)) &&
                   cv_json_add_item(out, "sinks", cv_sink_status(b))
               ? CV_OK
               : cv_fail(err, CV_INTERNAL, "memory is gone");
}

CV_BROKER_METHOD(audit_send)
{
    struct cv_broker *b = context;
    const struct cv_json_field fields[] = {CV_BROKER_ASK_FIELDS};
    struct cv_ask ask;
    enum cv_status s = cv_broker_audit_begin(b, parameters, &ask,
                                             CV_BROKER_FIELDS(fields), err);

    if (s == CV_OK) {
        s = cv_sink_hurry(b, err);
    }
    return s == CV_OK ? add(b, reply, err) : s;
}

/* How far they are; as Status, it is not decided. */
CV_BROKER_METHOD(audit_sinks)
{
    struct cv_broker *b = context;
    enum cv_status s =
        cv_json_read(parameters, "AuditSinks", NULL, 0, true, err);

    if (s == CV_OK) {
        s = cv_broker_enter(b, err);
    }
    if (s == CV_OK) {
        cv_broker_leave(b);
        s = add(b, reply, err);
    }
    return s;
}
