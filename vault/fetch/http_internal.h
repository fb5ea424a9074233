/* One request under way: an easy handle and the memory of its answer. */
#ifndef CERTVAULT_FETCH_HTTP_INTERNAL_H
#define CERTVAULT_FETCH_HTTP_INTERNAL_H

#include "vault/base/buf.h"
#include "vault/fetch/http.h"

#include <curl/curl.h>

#define HTTP_SLOTS 100
#define HTTP_HEADERS 256     /* lines of one answer */
#define HTTP_INTERIM 8       /* 1xx answers before it */
#define HTTP_ANSWER_MS 20000 /* an answer that has begun must end within */

struct cv_http_slot {
    CURL *easy;
    struct curl_slist *headers; /* kept: most of it is the same next time */
    struct cv_arena *arena;
    struct cv_buf head;
    struct cv_buf body;
    struct cv_buf large; /* stands in for `body`, on the heap */
    bool is_large;
    size_t tag;
    bool busy;
    bool head_ended;
    bool delimited;
    unsigned lines;
    unsigned interim;
    const char *why; /* the rule that the answer broke */
    int64_t started_ms;
    int64_t begun_ms; /* the answer's first byte was seen; 0: not yet */
    int64_t limit_ms;
    const bool *blocked; /* of the client: an address was refused */
};

/* What all slots of a client share. */
struct cv_http_shared {
    struct cv_origin origin;
    char *ca_pem; /* NULL: the system's */
    size_t ca_len;
    char *proxy; /* "" : none */
    int64_t connect_ms;
    int64_t total_ms;
    bool blocked;
};

/* Makes the handle with all that never changes. CV_INTERNAL. */
CV_MUST_USE enum cv_status cv_http_slot_open(struct cv_http_slot *s,
                                             struct cv_http_shared *shared,
                                             struct cv_err *err);

/* Frees; a zeroed slot is fine. The handle must be out of its multi handle. */
void cv_http_slot_close(struct cv_http_slot *s);

/* Sets the request on the handle. CV_INTERNAL, CV_INVALID, CV_UNAVAILABLE. */
CV_MUST_USE enum cv_status
cv_http_slot_begin(struct cv_http_slot *s, const struct cv_http_shared *shared,
                   const struct cv_http_request *r, struct cv_err *err);

/* The transfer ended with `code`; fills *out, which borrows from the slot. */
void cv_http_slot_end(struct cv_http_slot *s, CURLcode code,
                      struct cv_http_answer *out);

/* Wipes the answer; keeps the handle, memory of common size, and the request's
 * headers for the next one. */
void cv_http_slot_clear(struct cv_http_slot *s);

/* Wipes the request's headers too. */
void cv_http_slot_forget(struct cv_http_slot *s);

#endif
