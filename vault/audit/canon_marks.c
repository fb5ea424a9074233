#include "vault/audit/canon_internal.h"

#include <string.h>

#if defined(__SSE2__)

#include <emmintrin.h>

/* Sixty-four bytes: where quotes are; and *odd collects what is no printable
 * ASCII or a backslash. Signed: what is beyond ASCII is less than a blank. */
static inline uint64_t look(const uint8_t *p, __m128i *odd)
{
    uint64_t quotes = 0;

    for (unsigned i = 0; i < 64; i += 16) {
        __m128i c = _mm_loadu_si128((const __m128i *)(const void *)(p + i));
        __m128i bad = _mm_or_si128(_mm_cmplt_epi8(c, _mm_set1_epi8(' ')),
                                   _mm_cmpeq_epi8(c, _mm_set1_epi8(0x7f)));

        bad = _mm_or_si128(bad, _mm_cmpeq_epi8(c, _mm_set1_epi8('\\')));
        *odd = _mm_or_si128(*odd, bad);
        quotes |= (uint64_t)(unsigned)_mm_movemask_epi8(
                      _mm_cmpeq_epi8(c, _mm_set1_epi8('"')))
                  << i;
    }
    return quotes;
}

/* The text's next bytes; where less than 64 are left, filled up with blanks. */
static inline const uint8_t *next(struct cv_bytes text, size_t at,
                                  uint8_t last[64])
{
    if (text.len - at >= 64) {
        return text.data + at;
    }
    memset(last, ' ', 64);
    memcpy(last, text.data + at, text.len - at);
    return last;
}

size_t cv_canon_marks(struct cv_bytes text, uint16_t marks[CV_CANON_MARKS])
{
    __m128i odd = _mm_setzero_si128();
    uint8_t last[64];
    size_t n = 0;

    for (size_t at = 0; at < text.len; at += 64) {
        uint64_t quotes = look(next(text, at, last), &odd);

        if (n > CV_CANON_MARKS - 64) {
            return CV_CANON_ODD;
        }
        for (; quotes != 0; quotes &= quotes - 1) {
            marks[n++] = (uint16_t)(at + (unsigned)__builtin_ctzll(quotes));
        }
    }
    return _mm_movemask_epi8(odd) == 0 ? n : CV_CANON_ODD;
}

#else

size_t cv_canon_marks(struct cv_bytes text, uint16_t marks[CV_CANON_MARKS])
{
    size_t n = 0;

    for (size_t at = 0; at < text.len; at++) {
        uint8_t c = text.data[at];

        if (c < 0x20 || c >= 0x7f || c == '\\' ||
            (c == '"' && n == CV_CANON_MARKS)) {
            return CV_CANON_ODD;
        }
        if (c == '"') {
            marks[n++] = (uint16_t)at;
        }
    }
    return n;
}

#endif
