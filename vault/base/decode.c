/* The reading half of encode.h. */
#include "vault/base/encode.h"

#include <sodium.h>
#include <string.h>

#define VARIANT sodium_base64_VARIANT_ORIGINAL

/* How many bytes `text` stands for, if it is base64. */
static size_t decoded_len(const char *text, size_t len, bool blanks)
{
    size_t n = 0;
    for (size_t i = 0; i < len; i++) {
        char c = text[i];
        bool blank = c == ' ' || c == '\t' || c == '\r' || c == '\n';
        n += c != '=' && !(blank && blanks);
    }
    return n / 4 * 3 + n % 4 * 3 / 4;
}

/* libsodium 1.0.18 takes bytes from 0x80 up for digits. */
static bool is_ascii(const char *text, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        if ((unsigned char)text[i] >= 0x80) {
            return false;
        }
    }
    return true;
}

enum cv_status cv_decode_base64(const char *text, size_t len, bool blanks,
                                const char *what, struct cv_buf *out,
                                struct cv_err *err)
{
    size_t most = decoded_len(text, len, blanks);
    uint8_t *p = cv_buf_room(out, most);
    if (p == NULL) {
        return cv_buf_status(out, what, err);
    }
    size_t n = 0;
    /* libsodium searches `ignore` with strchr, which finds a NUL in every
     * string. */
    if (len > 0 &&
        (memchr(text, '\0', len) != NULL || !is_ascii(text, len) ||
         sodium_base642bin(p, most, text, len, blanks ? " \t\r\n" : NULL, &n,
                           NULL, VARIANT) != 0)) {
        sodium_memzero(p, most);
        return cv_fail(err, CV_INVALID, "%s: not base64", what);
    }
    cv_buf_took(out, n);
    return CV_OK;
}

enum cv_status cv_decode_base64_exact(const char *text, const char *what,
                                      void *out, size_t len, struct cv_err *err)
{
    size_t n = 0;
    if (text == NULL ||
        strlen(text) + 1 != sodium_base64_encoded_len(len, VARIANT) ||
        !is_ascii(text, strlen(text)) ||
        sodium_base642bin(out, len, text, strlen(text), NULL, &n, NULL,
                          VARIANT) != 0 ||
        n != len) {
        sodium_memzero(out, len);
        return cv_fail(err, CV_INVALID, "%s: not %zu bytes of base64", what,
                       len);
    }
    return CV_OK;
}

enum cv_status cv_decode_hex_exact(const char *text, const char *what,
                                   void *out, size_t len, struct cv_err *err)
{
    size_t n = 0;
    /* libsodium takes capitals too; ids and digests have one spelling. */
    if (text == NULL || strlen(text) != len * 2 ||
        strspn(text, "0123456789abcdef") != len * 2 ||
        sodium_hex2bin(out, len, text, len * 2, NULL, &n, NULL) != 0 ||
        n != len) {
        sodium_memzero(out, len);
        return cv_fail(err, CV_INVALID, "%s: not %zu bytes of lower-case hex",
                       what, len);
    }
    return CV_OK;
}
