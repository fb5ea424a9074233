#include "vault/base/encode.h"

#include <sodium.h>

#define VARIANT sodium_base64_VARIANT_ORIGINAL

void cv_encode_base64(struct cv_bytes data, struct cv_buf *out)
{
    size_t len = SIZE_MAX;
    if (data.len < SIZE_MAX / 2) {
        len = sodium_base64_encoded_len(data.len, VARIANT) - 1;
    }
    char *p = (char *)cv_buf_room(out, len);
    if (p != NULL && len > 0) {
        sodium_bin2base64(p, len + 1, data.data, data.len, VARIANT);
        cv_buf_took(out, len);
    }
}

void cv_encode_hex(struct cv_bytes data, struct cv_buf *out)
{
    size_t len = data.len > SIZE_MAX / 2 ? SIZE_MAX : data.len * 2;
    char *p = (char *)cv_buf_room(out, len);
    if (p != NULL && len > 0) {
        sodium_bin2hex(p, len + 1, data.data, data.len);
        cv_buf_took(out, len);
    }
}
