/* Logins that were begun and have not succeeded. A row is durable before a
 * token is given a PIN and goes when the PIN was right: one that is there says
 * that the last login failed, or that nobody knows how it ended. Nothing is
 * secret in it.
 *
 * `token` is the token's identity: what it says of its manufacturer, model and
 * serial number, joined by the caller (printable, up to CV_STORE_PIN_TOKEN
 * bytes). */
#ifndef CERTVAULT_STORE_STORE_PIN_H
#define CERTVAULT_STORE_STORE_PIN_H

#include "vault/store/store.h"

#define CV_STORE_PIN_TOKEN 256

struct cv_store_pin {
    int64_t attempts; /* logins since the last good one, 1 and up */
    int64_t begun;    /* when the first of them was, and the last; seconds */
    int64_t last;
};

/* CV_NOT_FOUND: the last login was good, or there was none. */
CV_MUST_USE enum cv_status cv_store_pin_get(struct cv_store *store,
                                            const char *token,
                                            struct cv_store_pin *out,
                                            struct cv_err *err);

/* Makes the row or replaces it. CV_INVALID: `token`. */
CV_MUST_USE enum cv_status cv_store_pin_put(struct cv_store *store,
                                            const char *token,
                                            const struct cv_store_pin *pin,
                                            struct cv_err *err);

/* Takes it away; CV_OK too where there is none. */
CV_MUST_USE enum cv_status cv_store_pin_remove(struct cv_store *store,
                                               const char *token,
                                               struct cv_err *err);

/* Called for each, in the order of their tokens; as with cv_store_entry_fn. */
typedef enum cv_status cv_store_pin_fn(void *ctx, const char *token,
                                       const struct cv_store_pin *pin,
                                       struct cv_err *err);
CV_MUST_USE enum cv_status cv_store_pin_list(struct cv_store *store,
                                             cv_store_pin_fn *fn, void *ctx,
                                             struct cv_err *err);

#endif
