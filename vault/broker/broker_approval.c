/* Request, Requests, Approve, Deny. */
#include "vault/broker/broker_internal.h"

static enum cv_status not_there(struct cv_err *err)
{
    return cv_fail(err, CV_UNAVAILABLE, "this broker has no approvals yet");
}

CV_BROKER_METHOD(request)
{
    (void)context;
    (void)parameters;
    (void)reply;
    return not_there(err);
}

CV_BROKER_METHOD(requests)
{
    (void)context;
    (void)parameters;
    (void)reply;
    return not_there(err);
}

CV_BROKER_METHOD(approve)
{
    (void)context;
    (void)parameters;
    (void)reply;
    return not_there(err);
}

CV_BROKER_METHOD(deny)
{
    (void)context;
    (void)parameters;
    (void)reply;
    return not_there(err);
}
