/* Hashes for tables in memory (FNV-1a, and the finisher of SplitMix64). They
 * only spread: whatever they find is compared in full, and nobody but who
 * writes the policy chooses what lies in the tables. */
#ifndef CERTVAULT_POLICY_HASH_INTERNAL_H
#define CERTVAULT_POLICY_HASH_INTERNAL_H

#include <stddef.h>
#include <stdint.h>

#define CV_HASH_BEGIN UINT64_C(0xcbf29ce484222325)

static inline uint64_t cv_hash_byte(uint64_t h, uint8_t byte)
{
    return (h ^ byte) * UINT64_C(0x100000001b3);
}

static inline uint64_t cv_hash_mix(uint64_t h)
{
    h = (h ^ (h >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    h = (h ^ (h >> 27)) * UINT64_C(0x94d049bb133111eb);
    return h ^ (h >> 31);
}

/* A C string, unfinished: more can be put behind it. */
static inline uint64_t cv_hash_more(uint64_t h, const char *text)
{
    for (; *text != '\0'; text++)
        h = cv_hash_byte(h, (uint8_t)*text);
    return h;
}

static inline uint64_t cv_hash_text(const char *text)
{
    return cv_hash_mix(cv_hash_more(CV_HASH_BEGIN, text));
}

#endif
