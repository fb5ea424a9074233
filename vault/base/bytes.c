#include "vault/base/arena.h"

#include <sodium.h>

bool cv_bytes_equal(struct cv_bytes a, struct cv_bytes b)
{
    if (a.len != b.len) {
        return false;
    }
    return a.len == 0 || sodium_memcmp(a.data, b.data, a.len) == 0;
}
