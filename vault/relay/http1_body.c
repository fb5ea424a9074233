#include "vault/relay/http1_internal.h"

#include <stdint.h>
#include <string.h>

#define SIZE_DIGITS 15 /* hex: 60 bits */

enum {
    SIZE,      /* digits of a chunk's size; `counted` of them so far */
    EXTENSION, /* behind a ';' */
    SIZE_LF,
    DATA, /* `left` bytes */
    DATA_CR,
    DATA_LF,
    LINE,  /* the first byte of a trailer line, or of the last line */
    NAME,  /* a trailer's name */
    VALUE, /* its value */
    VALUE_LF,
    LAST_LF
};

void cv_http1_body_begin(struct cv_http1_body *b, const struct cv_head *head)
{
    memset(b, 0, sizeof(*b));
    b->framing = head->framing;
    b->step = SIZE;
    b->left = head->framing == CV_HTTP1_LENGTH ? head->length : 0;
    b->ended = head->framing == CV_HTTP1_NONE;
}

static bool is_text(char c)
{
    return c == '\t' || (c >= ' ' && c <= '~');
}

/* A digit of the size, or what ends it. `counted` counts the digits. */
static const char *take_size(struct cv_http1_body *b, char c)
{
    static const char digits[] = "0123456789abcdef";
    char small = c >= 'A' && c <= 'F' ? (char)(c - 'A' + 'a') : c;
    const char *digit = c != '\0' ? strchr(digits, small) : NULL;

    if (digit != NULL) {
        b->left = b->left * 16 + (uint64_t)(digit - digits);
        return ++b->counted <= SIZE_DIGITS ? NULL : "a chunk is too large";
    }
    if (b->counted == 0 || (c != '\r' && c != ';')) {
        return "a chunk's size is wrong";
    }
    b->step = c == '\r' ? SIZE_LF : EXTENSION;
    return NULL;
}

static const char *take_extension(struct cv_http1_body *b, char c)
{
    if (c == '\r') {
        b->step = SIZE_LF;
        return NULL;
    }
    if (!is_text(c)) {
        return "a chunk's extension has a wrong character";
    }
    return ++b->counted <= CV_LIMIT_RELAY_CHUNK_LINE
               ? NULL
               : "a chunk's extensions are too long";
}

static const char *take_trailer(struct cv_http1_body *b, char c)
{
    if (++b->counted > CV_LIMIT_RELAY_TRAILERS) {
        return "its trailers are too long";
    }
    switch (b->step) {
    case LINE:
        if (c == '\r') {
            b->step = LAST_LF;
            return NULL;
        }
        b->step = NAME;
        return cv_http1_is_tchar(c) ? NULL : "a trailer's name is wrong";
    case NAME:
        if (c == ':') {
            b->step = VALUE;
            return NULL;
        }
        return cv_http1_is_tchar(c) ? NULL : "a trailer's name is wrong";
    default:
        if (c == '\r') {
            b->step = VALUE_LF;
            return NULL;
        }
        return is_text(c) ? NULL : "a trailer has a wrong character";
    }
}

/* The byte that must come at this step, and the step behind it. */
static const char *take_fixed(struct cv_http1_body *b, char c)
{
    char want = b->step == DATA_CR ? '\r' : '\n';

    if (c != want) {
        return "a line of its framing does not end in CRLF";
    }
    switch (b->step) {
    case SIZE_LF:
        b->step = b->left > 0 ? DATA : LINE;
        b->counted = 0;
        return NULL;
    case DATA_CR:
        b->step = DATA_LF;
        return NULL;
    case DATA_LF:
        b->step = SIZE;
        return NULL;
    case VALUE_LF:
        b->step = LINE;
        return NULL;
    default: /* LAST_LF */
        b->ended = true;
        return NULL;
    }
}

/* One byte that is not content. */
static const char *take_byte(struct cv_http1_body *b, char c)
{
    switch (b->step) {
    case SIZE:
        return take_size(b, c);
    case EXTENSION:
        return take_extension(b, c);
    case LINE:
    case NAME:
    case VALUE:
        return take_trailer(b, c);
    default:
        return take_fixed(b, c);
    }
}

/* Content, from `data` on. */
static enum cv_http1_piece take_content(struct cv_http1_body *b,
                                        const uint8_t *data, size_t len,
                                        size_t *used, struct cv_bytes *piece)
{
    bool counted = b->framing != CV_HTTP1_TO_END;

    piece->data = data;
    piece->len = counted && b->left < len ? (size_t)b->left : len;
    *used += piece->len;
    if (counted) {
        b->left -= piece->len;
        if (b->left == 0) {
            b->ended = b->framing == CV_HTTP1_LENGTH;
            b->step = DATA_CR;
        }
    }
    return CV_HTTP1_PIECE;
}

enum cv_http1_piece cv_http1_body_take(struct cv_http1_body *b,
                                       const void *data, size_t len,
                                       size_t *used, struct cv_bytes *piece,
                                       struct cv_err *err)
{
    const uint8_t *bytes = data;

    *used = 0;
    piece->data = NULL;
    piece->len = 0;
    while (!b->ended && *used < len) {
        if (b->framing != CV_HTTP1_CHUNKED || b->step == DATA) {
            return take_content(b, bytes + *used, len - *used, used, piece);
        }
        const char *fault = take_byte(b, (char)bytes[*used]);
        if (fault != NULL) {
            (void)cv_fail(err, CV_INVALID, "the body is wrong: %s", fault);
            return CV_HTTP1_BROKEN;
        }
        (*used)++;
    }
    return b->ended ? CV_HTTP1_END : CV_HTTP1_WAIT;
}
