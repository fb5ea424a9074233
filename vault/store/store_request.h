/* Requests for approval: who wants what, and who consented. A row is what the
 * broker made of it as JSON; the store looks at its id, its key and its state
 * alone. Nothing secret may be in it. */
#ifndef CERTVAULT_STORE_STORE_REQUEST_H
#define CERTVAULT_STORE_STORE_REQUEST_H

#include "vault/store/store.h"

#define CV_STORE_REQUEST_ID 12  /* hex digits */
#define CV_STORE_REQUEST_KEY 64 /* hex digits: SHA-256 of what is asked for */

enum cv_store_request_state {
    CV_STORE_REQUEST_OPEN = 0,
    CV_STORE_REQUEST_APPROVED,
    CV_STORE_REQUEST_DENIED,
    CV_STORE_REQUEST_USED,
    CV_STORE_REQUEST_EXPIRED,
    CV_STORE_REQUEST_WITHDRAWN,
    CV_STORE_REQUEST_STATES
};

/* "open", "approved", "denied", "used", "expired", "withdrawn". */
const char *cv_store_request_word(enum cv_store_request_state state);

struct cv_store_request {
    const char *id;
    const char *key;
    int64_t uid; /* who asks */
    int64_t created;
    int64_t expires;
    enum cv_store_request_state state;
    const char *doc; /* JSON */
};

/* Adds one. CV_EXISTS: the id is taken. CV_INVALID. */
CV_MUST_USE enum cv_status
cv_store_request_put(struct cv_store *store, const struct cv_store_request *row,
                     struct cv_err *err);

/* Writes `state` and `doc` of a row that is in state `from`: in any other it is
 * left alone, and that is CV_NOT_FOUND. So of two who want to use it up one
 * fails, whatever happens in between. */
CV_MUST_USE enum cv_status
cv_store_request_move(struct cv_store *store,
                      const struct cv_store_request *row,
                      enum cv_store_request_state from, struct cv_err *err);

/* By id; or the newest open or approved one of this uid and key. *out is a
 * copy, freed with cv_store_request_free; NULL on failure. CV_NOT_FOUND. */
CV_MUST_USE enum cv_status cv_store_request_by_id(struct cv_store *store,
                                                  const char *id,
                                                  struct cv_store_request **out,
                                                  struct cv_err *err);
CV_MUST_USE enum cv_status
cv_store_request_by_key(struct cv_store *store, int64_t uid, const char *key,
                        struct cv_store_request **out, struct cv_err *err);
void cv_store_request_free(struct cv_store_request *row);

/* Called for each, oldest first, as with cv_store_entry_fn; without `all` only
 * for those that are open or approved. */
typedef enum cv_status cv_store_request_fn(void *ctx,
                                           const struct cv_store_request *row,
                                           struct cv_err *err);
CV_MUST_USE enum cv_status cv_store_request_list(struct cv_store *store,
                                                 bool all,
                                                 cv_store_request_fn *fn,
                                                 void *ctx, struct cv_err *err);

/* How many are open or approved; of `uid` alone unless it is -1. Those whose
 * time is over count until somebody looks at them. */
CV_MUST_USE enum cv_status cv_store_request_count(struct cv_store *store,
                                                  int64_t uid, uint64_t *out,
                                                  struct cv_err *err);

/* How many `uid` filed since then, whatever became of them. */
CV_MUST_USE enum cv_status cv_store_request_since(struct cv_store *store,
                                                  int64_t uid, int64_t since,
                                                  uint64_t *out,
                                                  struct cv_err *err);

/* Removes those that ended, whatever way, and were filed before `before`. */
CV_MUST_USE enum cv_status cv_store_request_prune(struct cv_store *store,
                                                  int64_t before,
                                                  struct cv_err *err);

#endif
