#include "vault/relay/http1_internal.h"

#include <stdalign.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define FIRST_SIZE 2048

/* The bytes of a head as they come; behind them, once it is complete, its
 * table of headers. */
struct cv_http1_block {
    size_t len;
    size_t size;
    size_t lines; /* line ends so far */
    size_t line;  /* where the line that is being read begins */
    char bytes[];
};

void cv_http1_init(struct cv_http1 *r, enum cv_http1_side side)
{
    memset(r, 0, sizeof(*r));
    r->side = side;
}

bool cv_http1_is_idle(const struct cv_http1 *r)
{
    return r->state == CV_HTTP1_MORE && r->block == NULL;
}

void cv_http1_drop(struct cv_http1 *r)
{
    free(r->block);
    r->block = NULL;
    r->state = CV_HTTP1_MORE;
    r->answer = 0;
    memset(&r->head, 0, sizeof(r->head));
}

static enum cv_http1_state refuse(struct cv_http1 *r, int answer)
{
    r->state = CV_HTTP1_BAD;
    r->answer = r->side == CV_HTTP1_REQUESTS ? answer : 502;
    return r->state;
}

/* Room for `len` more bytes, and for `table` bytes behind them. */
static bool grow(struct cv_http1 *r, size_t len, size_t table)
{
    size_t used = r->block != NULL ? r->block->len : 0;
    size_t have = r->block != NULL ? r->block->size : 0;
    size_t size = have > 0 ? have : FIRST_SIZE;

    while (size < used + len) {
        size *= 2;
    }
    if (size + table <= have) {
        return true;
    }
    struct cv_http1_block *block =
        realloc(r->block, sizeof(*block) + size + table);
    if (block == NULL) {
        return false;
    }
    if (r->block == NULL) {
        block->len = block->lines = block->line = 0;
    }
    block->size = size;
    r->block = block;
    return true;
}

/* What no head may hold, whatever its lines say. */
static const char *byte_fault(enum cv_http1_side side, unsigned char before,
                              unsigned char c)
{
    if (before == '\r' && c != '\n') {
        return "a carriage return without a line feed";
    }
    if (c == '\n') {
        return before == '\r' ? NULL : "a line feed without a carriage return";
    }
    if ((c < 0x20 && c != '\t' && c != '\r') || c == 0x7f) {
        return "a control character";
    }
    return c > 0x7e && side == CV_HTTP1_REQUESTS ? "a byte that is not ASCII"
                                                 : NULL;
}

enum scan { SCAN_MORE, SCAN_DONE, SCAN_LONG, SCAN_BAD };

/* Looks at each byte once: is it fit to be in a head, is the head complete? */
static enum scan scan(struct cv_http1 *r, const char *data, size_t len,
                      size_t *used, const char **fault)
{
    struct cv_http1_block *b = r->block;

    for (size_t i = 0; i < len; i++) {
        unsigned char before =
            b->len > 0 ? (unsigned char)b->bytes[b->len - 1] : '\0';

        *fault = byte_fault(r->side, before, (unsigned char)data[i]);
        if (*fault != NULL) {
            return SCAN_BAD;
        }
        if (b->len >= CV_LIMIT_RELAY_HEAD) {
            return SCAN_LONG;
        }
        b->bytes[b->len++] = data[i];
        if (data[i] != '\n') {
            continue;
        }
        bool empty = b->len - b->line == 2;
        b->line = b->len;
        if (empty) {
            *used = i + 1;
            return SCAN_DONE;
        }
        if (++b->lines > CV_LIMIT_RELAY_HEADERS + 1) {
            return SCAN_LONG;
        }
    }
    *used = len;
    return SCAN_MORE;
}

static enum cv_http1_state complete(struct cv_http1 *r, struct cv_err *err)
{
    size_t n = r->block->lines;

    if (!grow(r, 0, n * sizeof(struct cv_header) + alignof(max_align_t))) {
        (void)cv_fail(err, CV_INTERNAL, "no memory for a head");
        return refuse(r, 503);
    }
    char *behind = r->block->bytes + r->block->len;
    behind += alignof(max_align_t) - (uintptr_t)behind % alignof(max_align_t);
    struct cv_slice bytes = {r->block->bytes, r->block->len};
    if (cv_http1_read_head(bytes, r->side, r->answers_head,
                           (struct cv_header *)(void *)behind, &r->head,
                           err) != CV_OK) {
        return refuse(r, 400);
    }
    r->state = CV_HTTP1_HEAD;
    return r->state;
}

enum cv_http1_state cv_http1_feed(struct cv_http1 *r, const void *data,
                                  size_t len, size_t *used, struct cv_err *err)
{
    enum cv_status status =
        r->side == CV_HTTP1_REQUESTS ? CV_INVALID : CV_REMOTE;
    const char *fault = NULL;

    *used = 0;
    if (r->state != CV_HTTP1_MORE || len == 0) {
        return r->state;
    }
    /* One byte more than the ceiling tells that it is passed. */
    size_t room = CV_LIMIT_RELAY_HEAD + 1;
    if (r->block != NULL) {
        room -= r->block->len;
    }
    if (!grow(r, len < room ? len : room, 0)) {
        (void)cv_fail(err, CV_INTERNAL, "no memory for a head");
        return refuse(r, 503);
    }
    switch (scan(r, data, len, used, &fault)) {
    case SCAN_MORE:
        return r->state;
    case SCAN_LONG:
        *used = len;
        (void)cv_fail(err, status,
                      "the head is over %zu bytes or %d header lines",
                      (size_t)CV_LIMIT_RELAY_HEAD, CV_LIMIT_RELAY_HEADERS);
        return refuse(r, 431);
    case SCAN_BAD:
        *used = len;
        (void)cv_fail(err, status, "the head has %s", fault);
        return refuse(r, 400);
    default:
        return complete(r, err);
    }
}

const struct cv_header *cv_http1_find(const struct cv_head *head,
                                      const char *name)
{
    for (size_t i = 0; i < head->n_headers; i++) {
        if (cv_slice_names(head->headers[i].name, name)) {
            return &head->headers[i];
        }
    }
    return NULL;
}

bool cv_http1_is_hop(const struct cv_head *head, struct cv_slice name)
{
    static const char *const hops[] = {
        "connection",        "keep-alive",     "proxy-connection",
        "transfer-encoding", "content-length", "te",
        "trailer",           "upgrade",        "proxy-authenticate",
        "http2-settings",    "alt-svc"};

    for (size_t i = 0; i < sizeof(hops) / sizeof(hops[0]); i++) {
        if (cv_slice_names(name, hops[i])) {
            return true;
        }
    }
    for (size_t i = 0; i < head->n_headers; i++) {
        struct cv_slice list = head->headers[i].value;
        struct cv_slice element;

        if (!cv_slice_names(head->headers[i].name, "connection")) {
            continue;
        }
        while (cv_http1_element(&list, &element)) {
            if (cv_slice_same(element, name)) {
                return true;
            }
        }
    }
    return false;
}
