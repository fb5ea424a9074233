#include "vault/base/utf8.h"

static bool is_tail(uint8_t byte)
{
    return (byte & 0xc0) == 0x80;
}

size_t cv_utf8_next(const uint8_t *text, size_t len, uint32_t *point)
{
    if (len == 0) {
        return 0;
    }
    uint8_t first = text[0];
    if (first < 0x80) {
        *point = first;
        return 1;
    }
    size_t n = first >= 0xf0 ? 4 : first >= 0xe0 ? 3 : 2;
    /* 0x80..0xc1 cannot begin one (0xc0, 0xc1: overlong), nor can what would
     * lie above U+10FFFF. */
    if (first < 0xc2 || first > 0xf4 || len < n) {
        return 0;
    }
    uint32_t value = first & (0x7fU >> n);
    for (size_t i = 1; i < n; i++) {
        if (!is_tail(text[i])) {
            return 0;
        }
        value = value << 6 | (text[i] & 0x3fU);
    }
    static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
    if (value < least[n] || value > 0x10ffff ||
        (value >= 0xd800 && value <= 0xdfff)) {
        return 0;
    }
    *point = value;
    return n;
}

bool cv_utf8_is_text(struct cv_bytes text)
{
    size_t at = 0;

    while (at < text.len) {
        uint32_t point = 0;
        size_t n = cv_utf8_next(text.data + at, text.len - at, &point);

        if (n == 0 || point == 0) {
            return false;
        }
        at += n;
    }
    return true;
}

bool cv_utf8_is_shown(uint32_t point)
{
    if (point < 0x20 || (point >= 0x7f && point <= 0x9f)) {
        return false;
    }
    return point != 0x061c && point != 0x200e && point != 0x200f &&
           !(point >= 0x2028 && point <= 0x202e) &&
           !(point >= 0x2066 && point <= 0x2069);
}
