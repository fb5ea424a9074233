#include "vault/fetch/http.h"

#include "vault/base/clock.h"
#include "vault/fetch/http_internal.h"

#include <malloc.h>
#include <openssl/crypto.h>
#include <poll.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>

#define POLL_MS 250
#define CONNECTIONS 8 /* where the server speaks HTTP/1.1 only */

struct cv_http {
    struct cv_http_shared shared;
    CURLM *multi;
    struct cv_http_slot *slots; /* HTTP_SLOTS of them, opened as needed */
    size_t n_slots;
    size_t active;
    int64_t scanned_ms;
    int watch; /* the caller's socket; 0: none, or nothing to be told by it */
};

/* ---- libcurl's memory, wiped as it is freed ---- */

static void wiping_free(void *p)
{
    if (p != NULL) {
        sodium_memzero(p, malloc_usable_size(p));
        free(p);
    }
}

/* realloc would leave the old bytes behind where it moves them. */
static void *wiping_realloc(void *p, size_t len)
{
    size_t old = p == NULL ? 0 : malloc_usable_size(p);
    void *q;

    if (p != NULL && len <= old && len > old / 2) {
        return p;
    }
    q = malloc(len);
    if (q != NULL && p != NULL) {
        memcpy(q, p, old < len ? old : len);
        wiping_free(p);
    }
    return q;
}

enum cv_status cv_http_start_libcrypto(struct cv_err *err)
{
    if (OPENSSL_init_crypto(OPENSSL_INIT_NO_LOAD_CONFIG, NULL) != 1) {
        return cv_fail(err, CV_INTERNAL, "libcrypto does not start");
    }
    return CV_OK;
}

enum cv_status cv_http_start(struct cv_err *err)
{
    static bool started;

    if (started) {
        return CV_OK;
    }
    if (cv_http_start_libcrypto(err) != CV_OK) {
        return CV_INTERNAL;
    }
    if (curl_global_init_mem(CURL_GLOBAL_DEFAULT, malloc, wiping_free,
                             wiping_realloc, strdup, calloc) != CURLE_OK) {
        return cv_fail(err, CV_INTERNAL, "libcurl does not start");
    }
    started = true;
    return CV_OK;
}

/* ---- a client ---- */

static enum cv_status take_proxy(struct cv_http_shared *shared,
                                 const char *proxy, struct cv_err *err)
{
    struct cv_origin parsed;
    enum cv_origin_reach form = CV_ORIGIN_METADATA; /* http:// */

    if (proxy != NULL && *proxy != '\0') {
        if (strncasecmp(proxy, "https://", 8) == 0) {
            form = CV_ORIGIN_TYPED;
        }
        if (cv_origin_parse(proxy, form, "--proxy", &parsed, err) != CV_OK) {
            cv_err_hint(err, "write it as http://host:port");
            return CV_USAGE;
        }
        proxy = parsed.url;
    } else {
        proxy = "";
    }
    shared->proxy = strdup(proxy);
    return shared->proxy != NULL ? CV_OK
                                 : cv_fail(err, CV_INTERNAL, "out of memory");
}

static enum cv_status take_config(struct cv_http *http,
                                  const struct cv_http_config *c,
                                  struct cv_err *err)
{
    struct cv_http_shared *shared = &http->shared;

    shared->origin = *c->origin;
    http->watch = c->watch;
    shared->connect_ms =
        c->connect_ms > 0 ? c->connect_ms : CV_LIMIT_HTTP_CONNECT_S * 1000;
    shared->total_ms =
        c->total_ms > 0 ? c->total_ms : CV_LIMIT_HTTP_TOTAL_S * 1000;
    if (c->ca_pem != NULL) {
        shared->ca_pem = strdup(c->ca_pem);
        if (shared->ca_pem == NULL) {
            return cv_fail(err, CV_INTERNAL, "out of memory");
        }
        shared->ca_len = strlen(shared->ca_pem);
    }
    return take_proxy(shared, c->proxy, err);
}

enum cv_status cv_http_new(const struct cv_http_config *config,
                           struct cv_http **out, struct cv_err *err)
{
    struct cv_http *http = calloc(1, sizeof(*http));
    enum cv_status s = CV_INTERNAL;

    *out = NULL;
    if (http == NULL) {
        return cv_fail(err, CV_INTERNAL, "out of memory");
    }
    http->slots = calloc(HTTP_SLOTS, sizeof(*http->slots));
    http->multi = curl_multi_init();
    if (http->slots == NULL || http->multi == NULL) {
        cv_http_free(http);
        return cv_fail(err, CV_INTERNAL, "out of memory");
    }
    s = take_config(http, config, err);
    if (s != CV_OK) {
        cv_http_free(http);
        return s;
    }
    (void)curl_multi_setopt(http->multi, CURLMOPT_PIPELINING,
                            (long)CURLPIPE_MULTIPLEX);
    (void)curl_multi_setopt(http->multi, CURLMOPT_MAX_HOST_CONNECTIONS,
                            (long)CONNECTIONS);
    *out = http;
    return CV_OK;
}

static void drop_slot(struct cv_http *http, struct cv_http_slot *s)
{
    if (s->busy) {
        (void)curl_multi_remove_handle(http->multi, s->easy);
        s->busy = false;
        http->active--;
    }
}

void cv_http_free(struct cv_http *http)
{
    if (http == NULL) {
        return;
    }
    for (size_t i = 0; i < http->n_slots; i++) {
        drop_slot(http, &http->slots[i]);
        cv_http_slot_close(&http->slots[i]);
    }
    curl_multi_cleanup(http->multi);
    free(http->slots);
    free(http->shared.ca_pem);
    free(http->shared.proxy);
    free(http);
}

void cv_http_forget(struct cv_http *http)
{
    for (size_t i = 0; i < http->n_slots; i++) {
        if (!http->slots[i].busy) {
            cv_http_slot_forget(&http->slots[i]);
        }
    }
}

/* ---- the loop ---- */

static struct cv_http_slot *free_slot(struct cv_http *http, size_t parallel,
                                      struct cv_err *err)
{
    for (size_t i = 0; i < http->n_slots && i < parallel; i++) {
        if (!http->slots[i].busy) {
            return &http->slots[i];
        }
    }
    if (http->n_slots >= parallel ||
        cv_http_slot_open(&http->slots[http->n_slots], &http->shared, err) !=
            CV_OK) {
        return NULL;
    }
    return &http->slots[http->n_slots++];
}

static enum cv_status start(struct cv_http *http, struct cv_http_slot *s,
                            const struct cv_http_request *r, int64_t limit_ms,
                            struct cv_err *err)
{
    enum cv_status st = cv_http_slot_begin(s, &http->shared, r, err);

    if (st != CV_OK) {
        return st;
    }
    s->started_ms = cv_clock_boot_ms();
    s->limit_ms =
        limit_ms < http->shared.total_ms ? limit_ms : http->shared.total_ms;
    if (curl_multi_add_handle(http->multi, s->easy) != CURLM_OK) {
        return cv_fail(err, CV_INTERNAL, "libcurl does not take a request");
    }
    s->busy = true;
    http->active++;
    return CV_OK;
}

/* An ended transfer, if there is one. */
static struct cv_http_slot *take_ended(struct cv_http *http, CURLcode *code)
{
    CURLMsg *m;
    int left;

    while ((m = curl_multi_info_read(http->multi, &left)) != NULL) {
        struct cv_http_slot *s = NULL;

        if (m->msg == CURLMSG_DONE &&
            curl_easy_getinfo(m->easy_handle, CURLINFO_PRIVATE, &s) ==
                CURLE_OK &&
            s != NULL) {
            *code = m->data.result;
            drop_slot(http, s);
            return s;
        }
    }
    return NULL;
}

/* A transfer that has taken too long, if there is one. libcurl's own limits do
 * not tell an answer that never began from one that never ends. */
static struct cv_http_slot *take_late(struct cv_http *http, bool *slow)
{
    int64_t now = cv_clock_boot_ms();

    if (now - http->scanned_ms < POLL_MS / 2) {
        return NULL;
    }
    for (size_t i = 0; i < http->n_slots; i++) {
        struct cv_http_slot *s = &http->slots[i];
        curl_off_t first = 0;

        if (!s->busy) {
            continue;
        }
        (void)curl_easy_getinfo(s->easy, CURLINFO_STARTTRANSFER_TIME_T, &first);
        if (s->begun_ms == 0 && (s->lines > 0 || first > 0)) {
            s->begun_ms = now;
        }
        *slow = s->begun_ms != 0 && now - s->begun_ms > HTTP_ANSWER_MS;
        if (*slow || now - s->started_ms > s->limit_ms) {
            drop_slot(http, s);
            return s;
        }
    }
    http->scanned_ms = now;
    return NULL;
}

/* Has whoever asked hung up? */
static bool is_alone(const struct cv_http *http)
{
    struct pollfd p = {.fd = http->watch, .events = POLLRDHUP};

    return http->watch > 0 && poll(&p, 1, 0) > 0 &&
           (p.revents & (POLLRDHUP | POLLHUP | POLLERR)) != 0;
}

/* Waits until something comes in, or the caller hangs up. */
static void wait_for_something(struct cv_http *http, int64_t wait_ms)
{
    struct curl_waitfd caller = {.fd = http->watch, .events = CURL_WAIT_POLLIN};

    if (wait_ms > POLL_MS || wait_ms < 0) {
        wait_ms = POLL_MS;
    }
    (void)curl_multi_poll(http->multi, &caller, http->watch > 0 ? 1 : 0,
                          (int)wait_ms, NULL);
    if (caller.revents != 0 && !is_alone(http)) {
        http->watch = 0; /* it says something: that can wait */
    }
}

/* Any transfer under way, dropped because nobody waits for it any more. */
static struct cv_http_slot *take_forlorn(struct cv_http *http)
{
    for (size_t i = 0; is_alone(http) && i < http->n_slots; i++) {
        if (http->slots[i].busy) {
            drop_slot(http, &http->slots[i]);
            return &http->slots[i];
        }
    }
    return NULL;
}

/* Waits for and takes one ended transfer; NULL when none ended in time. */
static struct cv_http_slot *step(struct cv_http *http, int64_t wait_ms,
                                 struct cv_http_answer *a)
{
    CURLcode code = CURLE_OK;
    struct cv_http_slot *s = take_ended(http, &code);
    bool slow = false;
    int running;

    if (s == NULL) {
        (void)curl_multi_perform(http->multi, &running);
        s = take_ended(http, &code);
    }
    if (s == NULL) {
        s = take_late(http, &slow);
        code = CURLE_OPERATION_TIMEDOUT;
    }
    if (s == NULL) {
        wait_for_something(http, wait_ms);
        s = take_forlorn(http);
        code = CURLE_ABORTED_BY_CALLBACK;
    }
    if (s == NULL) {
        return NULL;
    }
    cv_http_slot_end(s, code, a);
    if (slow) {
        a->end = CV_HTTP_CUT;
        a->why = "the answer came too slowly";
    }
    return s;
}

void cv_http_send(struct cv_http *http, const struct cv_http_request *request,
                  int64_t limit_ms, struct cv_http_answer *out)
{
    struct cv_http_slot *s = free_slot(http, 1, NULL);

    *out = (struct cv_http_answer){.end = CV_HTTP_LOCAL, .memory = CV_INTERNAL};
    http->shared.blocked = false;
    if (s != NULL) {
        out->memory = start(http, s, request, limit_ms, NULL);
    }
    if (s == NULL || out->memory != CV_OK) {
        return;
    }
    while (step(http, POLL_MS, out) == NULL) {
        /* step() waits */
    }
}

/* Starts what can be started. *wait_ms: when `next` wants to be asked again;
 * *more: it may have more. */
static enum cv_status fill(struct cv_http *http, const struct cv_http_batch *b,
                           int64_t *wait_ms, bool *more, struct cv_err *err)
{
    *wait_ms = POLL_MS;
    /* Many at once fill packets and wake both ends less often than each
     * request by itself. */
    if (http->active > b->parallel / 4) {
        return CV_OK;
    }
    while (*more && http->active < b->parallel) {
        struct cv_http_request r = {.method = NULL};
        struct cv_http_slot *s = free_slot(http, b->parallel, err);
        size_t tag = 0;
        enum cv_status st;

        if (s == NULL) {
            return CV_INTERNAL;
        }
        st = b->next(b->context, &r, &tag, wait_ms);
        if (st == CV_BUSY) {
            return CV_OK;
        }
        if (st != CV_OK) {
            *more = false;
            return CV_OK;
        }
        s->tag = tag;
        st = start(http, s, &r, http->shared.total_ms, err);
        if (st != CV_OK) {
            return st;
        }
    }
    return CV_OK;
}

enum cv_status cv_http_run(struct cv_http *http, const struct cv_http_batch *b,
                           struct cv_err *err)
{
    bool more = true, go_on = true;
    int64_t wait_ms = 0;
    enum cv_status st = CV_OK;

    if (b->parallel < 1 || b->parallel > HTTP_SLOTS) {
        return cv_fail(err, CV_INTERNAL, "a batch of no or too many requests");
    }
    http->shared.blocked = false;
    while (go_on) {
        struct cv_http_answer a;
        struct cv_http_slot *s;

        st = fill(http, b, &wait_ms, &more, err);
        if (st == CV_OK && is_alone(http)) {
            st = cv_fail(err, CV_UNAVAILABLE, "whoever asked has hung up");
        }
        if (st != CV_OK || (!more && http->active == 0)) {
            break;
        }
        s = step(http, wait_ms, &a);
        if (s != NULL) {
            go_on = b->done(b->context, s->tag, &a);
            cv_http_slot_clear(s);
        }
    }
    for (size_t i = 0; i < http->n_slots; i++) {
        drop_slot(http, &http->slots[i]);
        cv_http_slot_forget(&http->slots[i]);
    }
    return st;
}
