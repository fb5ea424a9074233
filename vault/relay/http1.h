/* HTTP/1.1 (RFC 9112), read strictly and incrementally.
 *
 * What two readers could understand differently is refused, not mended:
 * request smuggling lives on the difference. Refused are line ends other than
 * CRLF, blanks before a colon, folded lines, control characters, bytes over
 * 0x7e in requests (RFC 9110 section 5.5: obs-text; passed on in answers),
 * Content-Length twice or with Transfer-Encoding, a Transfer-Encoding other
 * than "chunked", targets that are not origin-form (absolute-form, authority,
 * `*`), CONNECT and TRACE, no Host or two, an Upgrade that Connection does not
 * name or the other way round, protocols other than SPDY/3.1 and websocket, an
 * upgrade with a body, Connection naming a header that frames or routes the
 * message, Expect other than 100-continue.
 *
 * However the bytes are cut into pieces, the result is the same.
 *
 * A reader has one block of memory from the first byte of a head until
 * cv_http1_drop; none while idle. Slices of a head lie in that block. */
#ifndef CERTVAULT_RELAY_HTTP1_H
#define CERTVAULT_RELAY_HTTP1_H

#include "vault/base/buf.h"
#include "vault/base/limits.h"
#include "vault/relay/slice.h"

enum cv_http1_framing {
    CV_HTTP1_NONE,    /* no body */
    CV_HTTP1_LENGTH,  /* `length` bytes, at least one */
    CV_HTTP1_CHUNKED, /* RFC 9112 section 7.1 */
    CV_HTTP1_TO_END   /* an answer's: until the connection is closed */
};

struct cv_header {
    struct cv_slice name;  /* as sent */
    struct cv_slice value; /* without blanks around */
};

/* The head of a message, in whichever version of HTTP it came (a request over
 * h2 can be put into the same form). */
struct cv_head {
    struct cv_slice method; /* requests */
    struct cv_slice target; /* origin-form: path and query */
    struct cv_slice host;   /* Host or :authority, not yet compared */
    int status;             /* answers: 100 to 599 */
    int minor;              /* HTTP/1.minor: 0 or 1 */
    enum cv_http1_framing framing;
    uint64_t length;           /* CV_HTTP1_LENGTH */
    bool keep_alive;           /* the connection lives on behind the body */
    bool expect_continue;      /* the client waits for 100 before its body */
    struct cv_slice upgrade;   /* the protocol that is asked for (or, with 101,
                                  taken); len 0: none */
    struct cv_header *headers; /* all lines in their order, also those that are
                                  told above */
    size_t n_headers;
};

enum cv_http1_side { CV_HTTP1_REQUESTS, CV_HTTP1_ANSWERS };

enum cv_http1_state {
    CV_HTTP1_MORE, /* all was taken, the head is not complete */
    CV_HTTP1_HEAD, /* `head` is complete; what is behind was not taken */
    CV_HTTP1_BAD   /* `answer` and `err` say why; nothing more is read */
};

struct cv_http1_block;

struct cv_http1 {
    enum cv_http1_side side;
    enum cv_http1_state state;
    bool answers_head;   /* answers: the request was HEAD, so none has a body */
    struct cv_head head; /* valid with CV_HTTP1_HEAD until cv_http1_drop */
    int answer; /* with CV_HTTP1_BAD: 400, 431, or 503 (memory); for an answer
                   of the server 502 */
    struct cv_http1_block *block; /* the head's bytes and header table */
};

void cv_http1_init(struct cv_http1 *r, enum cv_http1_side side);

/* Takes bytes of a head: *used says how many. `err` is filled with
 * CV_HTTP1_BAD (CV_INVALID; CV_REMOTE for answers; CV_INTERNAL: memory) and
 * never shows what was sent. Again with CV_HTTP1_HEAD or _BAD: nothing is taken
 * and the same is returned. */
CV_MUST_USE enum cv_http1_state cv_http1_feed(struct cv_http1 *r,
                                              const void *data, size_t len,
                                              size_t *used, struct cv_err *err);

/* Has no byte of a head been taken yet? A connection may be closed between two
 * messages without loss. */
bool cv_http1_is_idle(const struct cv_http1 *r);

/* Forgets the head and frees its memory: the next one can come. Also at the
 * end; after CV_HTTP1_BAD too. */
void cv_http1_drop(struct cv_http1 *r);

/* The first header of that name; NULL: none. */
const struct cv_header *cv_http1_find(const struct cv_head *head,
                                      const char *name);

/* Is a header of an answer not to be passed on: hop-by-hop (RFC 9110 section
 * 7.6.1), framing, or named by one of the head's Connection lines? */
bool cv_http1_is_hop(const struct cv_head *head, struct cv_slice name);

/* Is `host` 127.0.0.1:PORT or localhost:PORT (any case), the listener's own
 * two names? Everything else is another's page that was pointed at us. */
bool cv_http1_is_host(struct cv_slice host, int port);

/* A body's way from the bytes of the connection to those of the content. */
struct cv_http1_body {
    enum cv_http1_framing framing;
    int step;         /* within a chunk */
    uint64_t left;    /* bytes to come of the body or chunk */
    unsigned counted; /* bytes of this line or of the trailers */
    bool ended;
};

enum cv_http1_piece {
    CV_HTTP1_PIECE, /* *piece is content; `used` bytes were taken; go on. Where
                       it was the last, `ended` is true already */
    CV_HTTP1_WAIT,  /* all was taken, nothing more is in it */
    CV_HTTP1_END,   /* the body is complete; what is behind was not taken */
    CV_HTTP1_BROKEN /* its framing is wrong; `err` says how */
};

void cv_http1_body_begin(struct cv_http1_body *b, const struct cv_head *head);

/* Takes bytes of a body. *piece lies within `data`. Chunk extensions (at most
 * CV_LIMIT_RELAY_CHUNK_LINE bytes a line) and trailers
 * (CV_LIMIT_RELAY_TRAILERS) are checked and dropped. CV_HTTP1_TO_END never ends
 * here: the connection's end is its end. */
CV_MUST_USE enum cv_http1_piece
cv_http1_body_take(struct cv_http1_body *b, const void *data, size_t len,
                   size_t *used, struct cv_bytes *piece, struct cv_err *err);

/* Writing. A text with a CR, LF or NUL in it, or a name that is no token, is
 * not written: `out` fails with CV_INVALID, as if its ceiling were met. */

/* "METHOD prefix+target HTTP/1.1" and Host. */
void cv_http1_put_request(struct cv_buf *out, struct cv_slice method,
                          const char *prefix, struct cv_slice target,
                          const char *host);
/* "HTTP/1.1 200 OK" */
void cv_http1_put_status(struct cv_buf *out, int status);
void cv_http1_put_header(struct cv_buf *out, struct cv_slice name,
                         struct cv_slice value);
void cv_http1_put_length(struct cv_buf *out, uint64_t length);
/* The empty line. */
void cv_http1_put_end(struct cv_buf *out);

/* The line in front of a chunk of `len` bytes (not 0), into `out`; returns its
 * length. CV_HTTP1_CHUNK_END goes behind each chunk, CV_HTTP1_LAST_CHUNK behind
 * the last. */
#define CV_HTTP1_CHUNK_LINE 20
#define CV_HTTP1_CHUNK_END "\r\n"
#define CV_HTTP1_LAST_CHUNK "0\r\n\r\n"
size_t cv_http1_chunk_line(char out[CV_HTTP1_CHUNK_LINE], size_t len);

/* The reason phrase; "" for one that is not known. */
const char *cv_http1_reason(int status);

#endif
