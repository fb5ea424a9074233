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

CV_SHA_TARGET static inline void load_block(const uint8_t *data, __m128i m[4])
{
    const __m128i big_endian =
        _mm_set_epi64x(0x0c0d0e0f08090a0bLL, 0x0405060700010203LL);

    for (int i = 0; i < 4; i++) {
        m[i] = _mm_shuffle_epi8(LOAD(data + 16 * i), big_endian);
    }
}

CV_SHA_TARGET static inline struct state sum(struct state a, struct state b)
{
    return (struct state){_mm_add_epi32(a.abef, b.abef),
                          _mm_add_epi32(a.cdgh, b.cdgh)};
}

CV_SHA_TARGET static struct state block(struct state s, const uint8_t *data)
{
    const struct state before = s;
    __m128i m[4];

    load_block(data, m);
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
    return sum(s, before);
}

#define BOTH_ROUNDS(i)        \
    do {                      \
        FOUR_ROUNDS(s, m, i); \
        FOUR_ROUNDS(t, n, i); \
    } while (0)
#define BOTH_NEXT(i)    \
    do {                \
        NEXT(m, i);     \
        NEXT(n, i);     \
        BOTH_ROUNDS(i); \
    } while (0)

/* One block of each of two texts: an instruction waits long for the one before
 * it, and the other text's fit in between. */
CV_SHA_TARGET static void block_of_two(struct state both[2], const uint8_t *a,
                                       const uint8_t *b)
{
    struct state s = both[0], t = both[1];
    __m128i m[4], n[4];

    load_block(a, m);
    load_block(b, n);
    BOTH_ROUNDS(0);
    BOTH_ROUNDS(1);
    BOTH_ROUNDS(2);
    BOTH_ROUNDS(3);
    BOTH_NEXT(4);
    BOTH_NEXT(5);
    BOTH_NEXT(6);
    BOTH_NEXT(7);
    BOTH_NEXT(8);
    BOTH_NEXT(9);
    BOTH_NEXT(10);
    BOTH_NEXT(11);
    BOTH_NEXT(12);
    BOTH_NEXT(13);
    BOTH_NEXT(14);
    BOTH_NEXT(15);
    both[0] = sum(s, both[0]);
    both[1] = sum(t, both[1]);
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

/* The blocks of first || data || padding. */
struct text {
    const uint8_t *data; /* behind the first block */
    size_t whole;        /* blocks of nothing but data */
    size_t n;            /* blocks */
    bool has_head; /* the first one is there: else there is only the end */
    uint8_t head[64];
    uint8_t tail[128];
};

static void split(struct text *t, uint8_t first, struct cv_bytes data)
{
    uint64_t bits = __builtin_bswap64(((uint64_t)data.len + 1) * 8);
    size_t fill = 0, at = 0, last;

    memset(t->tail, 0, sizeof t->tail);
    t->data = data.data;
    t->whole = 0;
    t->has_head = data.len >= 63;
    if (t->has_head) {
        t->head[0] = first;
        memcpy(t->head + 1, data.data, 63);
        t->data += 63;
        t->whole = (data.len - 63) / 64;
        at = 63 + 64 * t->whole;
    } else {
        t->tail[fill++] = first;
    }
    if (data.len > at) {
        memcpy(t->tail + fill, data.data + at, data.len - at);
    }
    fill += data.len - at;
    t->tail[fill++] = 0x80;
    last = fill > 56 ? 2 : 1;
    memcpy(t->tail + 64 * last - 8, &bits, 8);
    t->n = (t->has_head ? 1 : 0) + t->whole + last;
}

static const uint8_t *block_at(const struct text *t, size_t i)
{
    if (t->has_head) {
        if (i == 0) {
            return t->head;
        }
        i--;
    }
    return i < t->whole ? t->data + 64 * i : t->tail + 64 * (i - t->whole);
}

CV_SHA_TARGET static struct state begin(void)
{
    return (struct state){
        _mm_set_epi32(0x6a09e667, (int)0xbb67ae85, 0x510e527f, (int)0x9b05688c),
        _mm_set_epi32(0x3c6ef372, (int)0xa54ff53a, 0x1f83d9ab, 0x5be0cd19)};
}

CV_SHA_TARGET static void finish(struct state s, const struct text *t,
                                 size_t from, uint8_t out[32])
{
    for (size_t i = from; i < t->n; i++) {
        s = block(s, block_at(t, i));
    }
    put_digest(s, out);
}

CV_SHA_TARGET void cv_sha256_fast(uint8_t first, struct cv_bytes data,
                                  uint8_t out[32])
{
    struct text t;

    split(&t, first, data);
    finish(begin(), &t, 0, out);
}

CV_SHA_TARGET void cv_sha256_fast_two(uint8_t first,
                                      const struct cv_bytes two[2],
                                      uint8_t *const out[2])
{
    struct text a, b;
    struct state both[2] = {begin(), begin()};
    size_t i = 0;

    split(&a, first, two[0]);
    split(&b, first, two[1]);
    for (; i < a.n && i < b.n; i++) {
        block_of_two(both, block_at(&a, i), block_at(&b, i));
    }
    finish(both[0], &a, i, out[0]);
    finish(both[1], &b, i, out[1]);
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

void cv_sha256_fast_two(uint8_t first, const struct cv_bytes two[2],
                        uint8_t *const out[2])
{
    cv_sha256_plain(first, two[0], out[0]);
    cv_sha256_plain(first, two[1], out[1]);
}

#endif

static bool is_fast(void)
{
    static int fast = -1; /* the same answer whoever asks first */
    int f = __atomic_load_n(&fast, __ATOMIC_RELAXED);

    if (f < 0) {
        f = cv_sha256_is_fast();
        __atomic_store_n(&fast, f, __ATOMIC_RELAXED);
    }
    return f != 0;
}

void cv_sha256_prefixed(uint8_t first, struct cv_bytes data, uint8_t out[32])
{
    if (is_fast()) {
        cv_sha256_fast(first, data, out);
    } else {
        cv_sha256_plain(first, data, out);
    }
}

void cv_sha256_prefixed_two(uint8_t first, const struct cv_bytes two[2],
                            uint8_t *const out[2])
{
    if (is_fast()) {
        cv_sha256_fast_two(first, two, out);
    } else {
        cv_sha256_plain(first, two[0], out[0]);
        cv_sha256_plain(first, two[1], out[1]);
    }
}
