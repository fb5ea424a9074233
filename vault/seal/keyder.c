#include "vault/seal/keyder_internal.h"

/* Reads tag and length. Multi-byte tags do not occur in what is read here. */
static bool head(struct cv_bytes from, uint8_t *tag, size_t *head_len,
                 size_t *len)
{
    size_t n, i;

    if (from.len < 2 || (from.data[0] & 0x1f) == 0x1f) {
        return false;
    }
    *tag = from.data[0];
    n = from.data[1];
    if (n < 0x80) {
        *head_len = 2;
        *len = n;
    } else {
        n -= 0x80;
        if (n == 0 || n > 3 || from.len < 2 + n) {
            return false;
        }
        *len = 0;
        for (i = 0; i < n; i++) {
            *len = *len << 8 | from.data[2 + i];
        }
        /* the shortest form alone */
        if (*len < 0x80 || (n > 1 && *len >> (8 * (n - 1)) == 0)) {
            return false;
        }
        *head_len = 2 + n;
    }
    return *len <= from.len - *head_len;
}

/* Takes the next element, of `tag` or (-1) of any. */
static bool take(struct cv_bytes *from, int tag, struct cv_bytes *whole,
                 struct cv_bytes *inner)
{
    size_t head_len, len;
    uint8_t found;

    if (!head(*from, &found, &head_len, &len) || (tag >= 0 && found != tag)) {
        return false;
    }
    whole->data = from->data;
    whole->len = head_len + len;
    inner->data = from->data + head_len;
    inner->len = len;
    from->data += head_len + len;
    from->len -= head_len + len;
    return true;
}

int cv_keyder_tag(struct cv_bytes from)
{
    return from.len == 0 ? -1 : from.data[0];
}

bool cv_keyder_take(struct cv_bytes *from, uint8_t tag, struct cv_bytes *inner)
{
    struct cv_bytes whole;

    return take(from, tag, &whole, inner);
}

bool cv_keyder_take_whole(struct cv_bytes *from, uint8_t tag,
                          struct cv_bytes *whole)
{
    struct cv_bytes inner;

    return take(from, tag, whole, &inner);
}

bool cv_keyder_skip(struct cv_bytes *from)
{
    struct cv_bytes whole, inner;

    return take(from, -1, &whole, &inner);
}

bool cv_keyder_take_uint(struct cv_bytes *from, struct cv_bytes *value)
{
    struct cv_bytes at = *from, v;

    if (!cv_keyder_take(&at, DER_INTEGER, &v) || v.len == 0 ||
        (v.data[0] & 0x80) != 0 ||
        (v.len > 1 && v.data[0] == 0 && (v.data[1] & 0x80) == 0)) {
        return false;
    }
    if (v.data[0] == 0) {
        v.data++;
        v.len--;
    }
    *value = v;
    *from = at;
    return true;
}

bool cv_keyder_take_small(struct cv_bytes *from, uint8_t value)
{
    struct cv_bytes at = *from, v;

    if (!cv_keyder_take(&at, DER_INTEGER, &v) || v.len != 1 ||
        v.data[0] != value) {
        return false;
    }
    *from = at;
    return true;
}

bool cv_keyder_take_bits(struct cv_bytes *from, struct cv_bytes *value)
{
    struct cv_bytes at = *from, v;

    if (!cv_keyder_take(&at, DER_BIT_STRING, &v) || v.len == 0 ||
        v.data[0] != 0) {
        return false;
    }
    value->data = v.data + 1;
    value->len = v.len - 1;
    *from = at;
    return true;
}
