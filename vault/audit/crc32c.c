#include "vault/audit/crc32c_internal.h"

#include <stdbool.h>
#include <string.h>

/* By four bits: a table of 16, small enough to be read. */
uint32_t cv_crc32c_plain(struct cv_bytes data)
{
    static const uint32_t table[16] = {
        0x00000000, 0x105ec76f, 0x20bd8ede, 0x30e349b1, 0x417b1dbc, 0x5125dad3,
        0x61c69362, 0x7198540d, 0x82f63b78, 0x92a8fc17, 0xa24bb5a6, 0xb21572c9,
        0xc38d26c4, 0xd3d3e1ab, 0xe330a81a, 0xf36e6f75};
    uint32_t crc = 0xffffffff;

    for (size_t i = 0; i < data.len; i++) {
        crc ^= data.data[i];
        crc = crc >> 4 ^ table[crc & 15];
        crc = crc >> 4 ^ table[crc & 15];
    }
    return ~crc;
}

#if defined(__x86_64__)

__attribute__((target("sse4.2"))) static uint32_t go_on(uint64_t crc,
                                                        struct cv_bytes data)
{
    size_t i = 0;

    for (; data.len - i >= 8; i += 8) {
        uint64_t word;

        memcpy(&word, data.data + i, 8);
        crc = __builtin_ia32_crc32di(crc, word);
    }
    for (; i < data.len; i++) {
        crc = __builtin_ia32_crc32qi((uint32_t)crc, data.data[i]);
    }
    return ~(uint32_t)crc;
}

/* Two at once: an instruction waits for the one before it, and the other
 * text's fits in between. */
__attribute__((target("sse4.2"))) static void
two_by_instruction(const struct cv_bytes two[2], uint32_t out[2])
{
    const uint8_t *a = two[0].data, *b = two[1].data;
    size_t left[2] = {two[0].len, two[1].len};
    uint64_t crc[2] = {0xffffffff, 0xffffffff};

    for (; left[0] >= 8 && left[1] >= 8; left[0] -= 8, left[1] -= 8) {
        uint64_t word[2];

        memcpy(&word[0], a, 8);
        memcpy(&word[1], b, 8);
        crc[0] = __builtin_ia32_crc32di(crc[0], word[0]);
        crc[1] = __builtin_ia32_crc32di(crc[1], word[1]);
        a += 8;
        b += 8;
    }
    out[0] = go_on(crc[0], (struct cv_bytes){a, left[0]});
    out[1] = go_on(crc[1], (struct cv_bytes){b, left[1]});
}

void cv_crc32c_two(const struct cv_bytes two[2], uint32_t out[2])
{
    if (__builtin_cpu_supports("sse4.2")) {
        two_by_instruction(two, out);
        return;
    }
    out[0] = cv_crc32c_plain(two[0]);
    out[1] = cv_crc32c_plain(two[1]);
}

uint32_t cv_crc32c_of(struct cv_bytes data)
{
    if (__builtin_cpu_supports("sse4.2")) {
        return go_on(0xffffffff, data);
    }
    return cv_crc32c_plain(data);
}

#else

void cv_crc32c_two(const struct cv_bytes two[2], uint32_t out[2])
{
    out[0] = cv_crc32c_plain(two[0]);
    out[1] = cv_crc32c_plain(two[1]);
}

uint32_t cv_crc32c_of(struct cv_bytes data)
{
    return cv_crc32c_plain(data);
}

#endif
