/* A connection's bytes as heads and bodies, whole and cut up: both must come to
 * the same. The first byte says which side sends and how it is cut. */
#include "vault/relay/http1.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* What was made of a stream, folded into numbers. */
struct result {
    uint64_t sum;
    size_t messages;
    size_t taken; /* up to the end of the last whole head or body */
    bool bad;
};

static void fold(struct result *out, const void *data, size_t len)
{
    const uint8_t *p = data;

    for (size_t i = 0; i < len; i++) {
        out->sum = (out->sum ^ p[i]) * 0x100000001b3U;
    }
}

static void fold_head(struct result *out, const struct cv_head *h)
{
    for (size_t i = 0; i < h->n_headers; i++) {
        fold(out, h->headers[i].name.at, h->headers[i].name.len);
        fold(out, ":", 1);
        fold(out, h->headers[i].value.at, h->headers[i].value.len);
    }
    fold(out, h->method.at, h->method.len);
    fold(out, h->target.at, h->target.len);
    fold(out, h->host.at, h->host.len);
    fold(out, h->upgrade.at, h->upgrade.len);
    fold(out, &h->status, sizeof(h->status));
    fold(out, &h->framing, sizeof(h->framing));
    fold(out, &h->length, sizeof(h->length));
    fold(out, &h->keep_alive, sizeof(h->keep_alive));
}

/* What a head must never be, whatever was sent. */
static void judge(const struct cv_head *h, enum cv_http1_side side)
{
    if (side == CV_HTTP1_REQUESTS &&
        (h->target.len == 0 || h->target.at[0] != '/' || h->host.len == 0 ||
         h->framing == CV_HTTP1_TO_END ||
         cv_slice_names(h->method, "CONNECT") ||
         (h->upgrade.len > 0 && h->framing != CV_HTTP1_NONE))) {
        abort();
    }
    if (cv_http1_find(h, "content-length") != NULL &&
        cv_http1_find(h, "transfer-encoding") != NULL) {
        abort();
    }
}

struct stream {
    struct cv_http1 reader;
    struct cv_http1_body body;
    bool in_body;
};

/* Takes what it can of one piece; returns how much. */
static size_t step(struct stream *s, const uint8_t *data, size_t len,
                   struct result *out)
{
    size_t used = 0;
    struct cv_bytes piece;

    if (s->in_body) {
        if (cv_http1_body_take(&s->body, data, len, &used, &piece, NULL) ==
            CV_HTTP1_BROKEN) {
            out->bad = true;
        }
        fold(out, piece.data, piece.len);
    } else {
        switch (cv_http1_feed(&s->reader, data, len, &used, NULL)) {
        case CV_HTTP1_BAD:
            out->bad = true;
            break;
        case CV_HTTP1_HEAD:
            judge(&s->reader.head, s->reader.side);
            fold_head(out, &s->reader.head);
            cv_http1_body_begin(&s->body, &s->reader.head);
            cv_http1_drop(&s->reader);
            out->messages++;
            s->in_body = true;
            break;
        default:
            break;
        }
    }
    if (s->in_body && s->body.ended) {
        s->in_body = false;
    }
    return used;
}

static struct result run(const uint8_t *data, size_t size, size_t piece,
                         enum cv_http1_side side)
{
    struct result out = {0xcbf29ce484222325U, 0, 0, false};
    struct stream s;

    memset(&s, 0, sizeof(s));
    cv_http1_init(&s.reader, side);
    while (out.taken < size && !out.bad) {
        size_t len = size - out.taken < piece ? size - out.taken : piece;
        uint8_t *copy = malloc(len);

        if (copy == NULL) {
            abort();
        }
        memcpy(copy, data + out.taken, len);
        size_t at = 0;
        while (at < len && !out.bad) {
            at += step(&s, copy + at, len - at, &out);
        }
        free(copy);
        out.taken += at;
    }
    if (out.bad) {
        out.taken = 0; /* where it was noticed may differ */
    }
    cv_http1_drop(&s.reader);
    return out;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const size_t pieces[] = {1, 2, 3, 5, 8, 13, 40, 100};

    if (size < 2 || size > CV_KIB(256)) {
        return 0;
    }
    enum cv_http1_side side =
        (data[0] & 1) != 0 ? CV_HTTP1_ANSWERS : CV_HTTP1_REQUESTS;
    size_t piece = pieces[(data[0] >> 1) % (sizeof(pieces) / sizeof(*pieces))];
    struct result a = run(data + 1, size - 1, size, side);
    struct result b = run(data + 1, size - 1, piece, side);
    if (a.sum != b.sum || a.messages != b.messages || a.taken != b.taken ||
        a.bad != b.bad) {
        abort();
    }
    return 0;
}
