#include "vault/audit/sha256_internal.h"

#include <sodium.h>
#include <string.h>

void cv_sha256_plain(uint8_t first, struct cv_bytes data, uint8_t out[32])
{
    crypto_hash_sha256_state s;

    crypto_hash_sha256_init(&s);
    crypto_hash_sha256_update(&s, &first, 1);
    if (data.len > 0) {
        crypto_hash_sha256_update(&s, data.data, data.len);
    }
    crypto_hash_sha256_final(&s, out);
}

#if defined(__x86_64__)

#include <cpuid.h>
#include <immintrin.h>

#define CV_SHA_TARGET __attribute__((target("sha,sse4.1,ssse3")))

static const uint32_t round_keys[64] = {
    0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1,
    0x923f82a4, 0xab1c5ed5, 0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3,
    0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174, 0xe49b69c1, 0xefbe4786,
    0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da,
    0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147,
    0x06ca6351, 0x14292967, 0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13,
    0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85, 0xa2bfe8a1, 0xa81a664b,
    0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070,
    0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a,
    0x5b9cca4f, 0x682e6ff3, 0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208,
    0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2};

bool cv_sha256_is_fast(void)
{
    unsigned a, b, c, d;

    if (!__get_cpuid(1, &a, &b, &c, &d) || !(c & bit_SSE4_1) ||
        !(c & bit_SSSE3)) {
        return false;
    }
    return __get_cpuid_count(7, 0, &a, &b, &c, &d) && (b & (1u << 29));
}

/* The state in the order that the instructions want: ABEF and CDGH. */
struct state {
    __m128i abef;
    __m128i cdgh;
};

#define LOAD(p) _mm_loadu_si128((const __m128i *)(const void *)(p))

/* Words 4i..4i+3 of the schedule, out of the sixteen before them. */
#define NEXT(m, i)                                                             \
    m[(i)&3] = _mm_sha256msg2_epu32(                                           \
        _mm_add_epi32(_mm_sha256msg1_epu32(m[(i)&3], m[((i) + 1) & 3]),        \
                      _mm_alignr_epi8(m[((i) + 3) & 3], m[((i) + 2) & 3], 4)), \
        m[((i) + 3) & 3])

#define FOUR_ROUNDS(s, m, i)                                              \
    do {                                                                  \
        __m128i w_ = _mm_add_epi32(m[(i)&3], LOAD(round_keys + 4 * (i))); \
        (s).cdgh = _mm_sha256rnds2_epu32((s).cdgh, (s).abef, w_);         \
        w_ = _mm_shuffle_epi32(w_, 0x0e);                                 \
        (s).abef = _mm_sha256rnds2_epu32((s).abef, (s).cdgh, w_);         \
    } while (0)

#define NEXT_FOUR(s, m, i)    \
    do {                      \
        NEXT(m, i);           \
        FOUR_ROUNDS(s, m, i); \
    } while (0)

CV_SHA_TARGET static struct state block(struct state s, const uint8_t *data)
{
    const __m128i big_endian =
        _mm_set_epi64x(0x0c0d0e0f08090a0bLL, 0x0405060700010203LL);
    const struct state before = s;
    __m128i m[4];

    for (int i = 0; i < 4; i++) {
        m[i] = _mm_shuffle_epi8(LOAD(data + 16 * i), big_endian);
    }
    FOUR_ROUNDS(s, m, 0);
    FOUR_ROUNDS(s, m, 1);
    FOUR_ROUNDS(s, m, 2);
    FOUR_ROUNDS(s, m, 3);
    NEXT_FOUR(s, m, 4);
    NEXT_FOUR(s, m, 5);
    NEXT_FOUR(s, m, 6);
    NEXT_FOUR(s, m, 7);
    NEXT_FOUR(s, m, 8);
    NEXT_FOUR(s, m, 9);
    NEXT_FOUR(s, m, 10);
    NEXT_FOUR(s, m, 11);
    NEXT_FOUR(s, m, 12);
    NEXT_FOUR(s, m, 13);
    NEXT_FOUR(s, m, 14);
    NEXT_FOUR(s, m, 15);
    s.abef = _mm_add_epi32(s.abef, before.abef);
    s.cdgh = _mm_add_epi32(s.cdgh, before.cdgh);
    return s;
}

CV_SHA_TARGET static void put_digest(struct state s, uint8_t out[32])
{
    uint32_t x[8];
    static const int order[8] = {3, 2, 7, 6, 1, 0, 5, 4}; /* A..H */

    _mm_storeu_si128((__m128i *)(void *)x, s.abef);
    _mm_storeu_si128((__m128i *)(void *)(x + 4), s.cdgh);
    for (int i = 0; i < 8; i++) {
        uint32_t w = __builtin_bswap32(x[order[i]]);

        memcpy(out + 4 * i, &w, 4);
    }
}

CV_SHA_TARGET void cv_sha256_fast(uint8_t first, struct cv_bytes data,
                                  uint8_t out[32])
{
    struct state s = {
        _mm_set_epi32(0x6a09e667, (int)0xbb67ae85, 0x510e527f, (int)0x9b05688c),
        _mm_set_epi32(0x3c6ef372, (int)0xa54ff53a, 0x1f83d9ab, 0x5be0cd19)};
    uint8_t last[128] = {0};
    size_t at = 0, fill = 1, blocks;
    uint64_t bits = __builtin_bswap64(((uint64_t)data.len + 1) * 8);

    last[0] = first;
    if (data.len >= 63) { /* the first block holds the odd byte */
        memcpy(last + 1, data.data, 63);
        s = block(s, last);
        memset(last, 0, sizeof last);
        for (at = 63; data.len - at >= 64; at += 64) {
            s = block(s, data.data + at);
        }
        fill = 0;
    }
    if (data.len > at) {
        memcpy(last + fill, data.data + at, data.len - at);
    }
    fill += data.len - at;
    last[fill++] = 0x80;
    blocks = fill > 56 ? 2 : 1;
    memcpy(last + 64 * blocks - 8, &bits, 8);
    for (size_t i = 0; i < blocks; i++) {
        s = block(s, last + 64 * i);
    }
    put_digest(s, out);
}

#else

bool cv_sha256_is_fast(void)
{
    return false;
}

void cv_sha256_fast(uint8_t first, struct cv_bytes data, uint8_t out[32])
{
    cv_sha256_plain(first, data, out);
}

#endif

void cv_sha256_prefixed(uint8_t first, struct cv_bytes data, uint8_t out[32])
{
    static int fast = -1; /* the same answer whoever asks first */
    int f = __atomic_load_n(&fast, __ATOMIC_RELAXED);

    if (f < 0) {
        f = cv_sha256_is_fast();
        __atomic_store_n(&fast, f, __ATOMIC_RELAXED);
    }
    if (f) {
        cv_sha256_fast(first, data, out);
    } else {
        cv_sha256_plain(first, data, out);
    }
}
