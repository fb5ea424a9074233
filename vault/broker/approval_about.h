/* A request for approval together with the entry that it is about, and who may
 * have to do with it: what asking and answering share. */
#ifndef CERTVAULT_BROKER_APPROVAL_ABOUT_H
#define CERTVAULT_BROKER_APPROVAL_ABOUT_H

#include "vault/broker/approval.h"

/* Zero it; cv_approval_about_free also after a failure. */
struct cv_approval_about {
    struct cv_store_request *row;
    cJSON *doc;
    struct cv_store_entry *entry_row;
    cJSON *entry; /* NULL: it is about none */
};

void cv_approval_about_free(struct cv_approval_about *a);

/* CV_NOT_FOUND: there is no such request (a->row is NULL), or its entry is
 * gone. CV_INTEGRITY. */
CV_MUST_USE enum cv_status cv_approval_about_load(struct cv_broker *b,
                                                  const char *id,
                                                  struct cv_approval_about *a,
                                                  struct cv_err *err);

/* The second half of it, for a->doc: the entry as it is now, under whatever
 * name; or as it would be. */
CV_MUST_USE enum cv_status cv_approval_about_entry(struct cv_broker *b,
                                                   struct cv_approval_about *a,
                                                   struct cv_err *err);

/* Is it the caller's own? */
bool cv_approval_is_own(const struct cv_ask *ask,
                        const struct cv_approval_about *a);

/* Would the caller's approval, signed, count for the request's rule? */
bool cv_approval_counts(const struct cv_ask *ask,
                        const struct cv_approval_about *a);

/* Asked without anything said: what wants a reason will get one, and what is
 * counted or waits will be then. Nobody looks through a broken glass unseen. */
bool cv_approval_may_see(const struct cv_ask *ask,
                         const struct cv_approval_about *a);

/* JSON shape `Request`, with the text that a signed approval signs. NULL when
 * memory is gone. */
cJSON *cv_approval_whole_view(const struct cv_broker *b,
                              const struct cv_approval_about *a);

#endif
