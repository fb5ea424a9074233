#include "vault/kubeconfig/der_internal.h"

#include <string.h>

#define CONSTRUCTED 0x20
#define CLASS 0xc0
#define HIGH_TAG 0x1f
#define DEPTH 32
#define LENGTH_BYTES 3 /* contents up to 16 MiB */

bool cv_der_next(struct cv_bytes *in, uint8_t *tag, struct cv_bytes *content)
{
    if (in->len < 2 || (in->data[0] & HIGH_TAG) == HIGH_TAG) {
        return false;
    }
    size_t head = 2;
    size_t len = in->data[1];
    if (len >= 0x80) {
        size_t n = len & 0x7f;
        if (n == 0 || n > LENGTH_BYTES || in->len < 2 + n) {
            return false;
        }
        len = 0;
        for (size_t i = 0; i < n; i++) {
            len = len << 8 | in->data[2 + i];
        }
        if (len < 0x80 || in->data[2] == 0) {
            return false;
        }
        head += n;
    }
    if (len > in->len - head) {
        return false;
    }
    *tag = in->data[0];
    *content = (struct cv_bytes){in->data + head, len};
    *in = (struct cv_bytes){in->data + head + len, in->len - head - len};
    return true;
}

bool cv_der_at(struct cv_bytes in, uint8_t tag)
{
    return in.len > 0 && in.data[0] == tag;
}

bool cv_der_take(struct cv_bytes *in, uint8_t tag, struct cv_bytes *content)
{
    uint8_t found = 0;
    return cv_der_at(*in, tag) && cv_der_next(in, &found, content);
}

static bool integer_is_minimal(struct cv_bytes c)
{
    if (c.len == 0) {
        return false;
    }
    bool high = c.len > 1 && (c.data[1] & 0x80) != 0;
    return c.len == 1 ||
           !((c.data[0] == 0 && !high) || (c.data[0] == 0xff && high));
}

bool cv_der_take_uint(struct cv_bytes *in, struct cv_bytes *magnitude)
{
    struct cv_bytes c;
    if (!cv_der_take(in, CV_DER_INTEGER, &c) || !integer_is_minimal(c) ||
        (c.data[0] & 0x80) != 0) {
        return false;
    }
    bool padded = c.len > 1 && c.data[0] == 0;
    *magnitude = (struct cv_bytes){c.data + padded, c.len - padded};
    return true;
}

bool cv_der_take_version(struct cv_bytes *in, uint8_t value)
{
    struct cv_bytes c = {0};
    return cv_der_take_uint(in, &c) && c.len == 1 && c.data[0] == value;
}

bool cv_der_take_bits(struct cv_bytes *in, uint8_t tag, struct cv_bytes *out)
{
    struct cv_bytes c;
    if (!cv_der_take(in, tag, &c) || c.len < 1 || c.data[0] != 0) {
        return false;
    }
    *out = (struct cv_bytes){c.data + 1, c.len - 1};
    return true;
}

static bool bits_are_strict(struct cv_bytes c)
{
    if (c.len == 0 || c.data[0] > 7 || (c.len == 1 && c.data[0] != 0)) {
        return false;
    }
    uint8_t spare = (uint8_t)((1U << c.data[0]) - 1);
    return c.len == 1 || (c.data[c.len - 1] & spare) == 0;
}

static bool oid_is_strict(struct cv_bytes c)
{
    if (c.len == 0 || (c.data[c.len - 1] & 0x80) != 0) {
        return false;
    }
    for (size_t i = 0; i < c.len; i++) {
        bool first = i == 0 || (c.data[i - 1] & 0x80) == 0;
        if (first && c.data[i] == 0x80) {
            return false;
        }
    }
    return true;
}

/* Is a primitive element of a universal type what DER says? */
static bool primitive_is_strict(uint8_t tag, struct cv_bytes c)
{
    switch (tag) {
    case 0x01: /* BOOLEAN */
        return c.len == 1 && (c.data[0] == 0 || c.data[0] == 0xff);
    case CV_DER_INTEGER:
    case 0x0a: /* ENUMERATED */
        return integer_is_minimal(c);
    case CV_DER_BIT_STRING:
        return bits_are_strict(c);
    case CV_DER_NULL:
        return c.len == 0;
    case CV_DER_OID:
        return oid_is_strict(c);
    case 0x00: /* end of contents: indefinite lengths */
    case 0x08: /* EXTERNAL */
    case 0x10: /* SEQUENCE and SET are constructed */
    case 0x11:
        return false;
    default:
        return true;
    }
}

bool cv_der_check(struct cv_bytes der)
{
    struct cv_bytes open[DEPTH]; /* what is left of each level */
    size_t depth = 1;
    uint8_t tag = 0;
    struct cv_bytes content;
    open[0] = der;
    while (depth > 0) {
        struct cv_bytes *in = &open[depth - 1];
        if (in->len == 0) {
            depth--;
            continue;
        }
        if (!cv_der_next(in, &tag, &content) || (depth == 1 && in->len > 0)) {
            return false;
        }
        bool universal = (tag & CLASS) == 0;
        if ((tag & CONSTRUCTED) != 0) {
            /* Of the universal types only SEQUENCE and SET may be. */
            if ((universal && tag != 0x30 && tag != 0x31) || depth == DEPTH) {
                return false;
            }
            open[depth++] = content;
        } else if (universal && !primitive_is_strict(tag, content)) {
            return false;
        }
    }
    return der.len > 0;
}

void cv_der_put(struct cv_buf *out, uint8_t tag, struct cv_bytes content)
{
    uint8_t head[2 + LENGTH_BYTES] = {tag};
    size_t n = 0;
    if (content.len >= 0x80) {
        for (size_t rest = content.len; rest > 0; rest >>= 8) {
            n++;
        }
        if (n > LENGTH_BYTES) {
            out->status = CV_INVALID;
            return;
        }
        head[1] = (uint8_t)(0x80 | n);
        for (size_t i = 0; i < n; i++) {
            head[2 + i] = (uint8_t)(content.len >> 8 * (n - 1 - i));
        }
    } else {
        head[1] = (uint8_t)content.len;
    }
    cv_buf_add(out, head, 2 + n);
    cv_buf_add(out, content.data, content.len);
}

/* Appends an element whose content is `first` and then `bytes`. */
static void put_led(struct cv_buf *out, uint8_t tag, uint8_t first,
                    struct cv_bytes bytes)
{
    struct cv_buf content;
    cv_buf_init(&content, out->arena, bytes.len + 1);
    cv_buf_add_char(&content, (char)first);
    cv_buf_add(&content, bytes.data, bytes.len);
    if (content.status != CV_OK) {
        out->status = content.status;
    } else {
        cv_der_put(out, tag, cv_buf_bytes(&content));
    }
    cv_buf_wipe(&content);
}

void cv_der_put_uint(struct cv_buf *out, struct cv_bytes magnitude)
{
    if (magnitude.len > 0 && (magnitude.data[0] & 0x80) == 0) {
        cv_der_put(out, CV_DER_INTEGER, magnitude);
    } else {
        put_led(out, CV_DER_INTEGER, 0, magnitude);
    }
}

void cv_der_put_bits(struct cv_buf *out, uint8_t tag, struct cv_bytes bytes)
{
    put_led(out, tag, 0, bytes);
}
