/* The DER reader: what it takes, and that what it refuses stays untaken. Each
 * case is copied to memory of its own size, so that a byte read behind it is
 * seen. */
#include "tests/unit/seal_test.h"

#include "vault/seal/keyder_internal.h"

enum ask { SEQUENCE, WHOLE, ANY, UINT, ZERO, BITS };

static const struct {
    enum ask ask;
    const char *der;  /* hex */
    const char *want; /* hex; NULL: refused */
    size_t left;      /* bytes behind it */
} cases[] = {
    {SEQUENCE, "3000", "", 0},
    {SEQUENCE, "3002aabb", "aabb", 0},
    {SEQUENCE, "3001aabb", "aa", 1},
    {WHOLE, "3002aabb", "3002aabb", 0},
    {WHOLE, "3002aabbcc", "3002aabb", 1},
    {ANY, "a0020500", "", 0},
    {ANY, "04", NULL, 0},
    {SEQUENCE, "", NULL, 0},
    {SEQUENCE, "30", NULL, 0},
    {SEQUENCE, "3001", NULL, 0},
    {SEQUENCE, "3002aa", NULL, 0},
    {SEQUENCE, "307f00", NULL, 0},
    {SEQUENCE, "3081", NULL, 0},
    {SEQUENCE, "308180", NULL, 0},
    {SEQUENCE, "308100", NULL, 0}, /* short lengths are short */
    {SEQUENCE, "30810100", NULL, 0},
    {SEQUENCE, "30817f", NULL, 0},
    {SEQUENCE, "30820001aa", NULL, 0}, /* no leading zeros */
    {SEQUENCE, "30820080", NULL, 0},
    {SEQUENCE, "308300ffff", NULL, 0},
    {SEQUENCE, "3083ffffff", NULL, 0},
    {SEQUENCE, "308400000001aa", NULL, 0},
    {SEQUENCE, "3084ffffffff", NULL, 0},
    {SEQUENCE, "3088ffffffffffffffff", NULL, 0},
    {SEQUENCE, "30ff", NULL, 0},
    {SEQUENCE, "30800000", NULL, 0}, /* no indefinite length */
    {SEQUENCE, "3100", NULL, 0},
    {SEQUENCE, "0400", NULL, 0},
    {ANY, "1f0100", NULL, 0}, /* no tags of several bytes */
    {ANY, "bf810100", NULL, 0},
    {UINT, "020100", "", 0},
    {UINT, "020101", "01", 0},
    {UINT, "02017f", "7f", 0},
    {UINT, "02020080", "80", 0},
    {UINT, "0203008000", "8000", 0},
    {UINT, "0200", NULL, 0},
    {UINT, "020180", NULL, 0}, /* negative */
    {UINT, "0201ff", NULL, 0},
    {UINT, "0202ff01", NULL, 0},
    {UINT, "02020001", NULL, 0}, /* a zero too many */
    {UINT, "02020000", NULL, 0},
    {UINT, "0203000080", NULL, 0},
    {UINT, "030101", NULL, 0},
    {ZERO, "020100", "", 0},
    {ZERO, "020101", NULL, 0},
    {ZERO, "02020000", NULL, 0},
    {ZERO, "0200", NULL, 0},
    {ZERO, "040100", NULL, 0},
    {BITS, "030100", "", 0},
    {BITS, "030200aa", "aa", 0},
    {BITS, "030201aa", NULL, 0}, /* not whole bytes */
    {BITS, "0300", NULL, 0},
    {BITS, "040200aa", NULL, 0},
};

static size_t unhex(const char *hex, uint8_t *out)
{
    size_t n = strlen(hex) / 2;

    assert_int_equal(cv_decode_hex_exact(hex, "a case", out, n, NULL), CV_OK);
    return n;
}

static bool take(enum ask ask, struct cv_bytes *from, struct cv_bytes *out)
{
    switch (ask) {
    case SEQUENCE:
        return cv_keyder_take(from, DER_SEQUENCE, out);
    case WHOLE:
        return cv_keyder_take_whole(from, DER_SEQUENCE, out);
    case ANY:
        return cv_keyder_skip(from);
    case UINT:
        return cv_keyder_take_uint(from, out);
    case ZERO:
        return cv_keyder_take_small(from, 0);
    default:
        return cv_keyder_take_bits(from, out);
    }
}

static void test_cases(void **state)
{
    size_t i;

    (void)state;
    for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        uint8_t want[32], *der = malloc(strlen(cases[i].der) / 2 + 1);
        size_t n = unhex(cases[i].der, der);
        struct cv_bytes from, out = {NULL, 0};
        uint8_t *exact = malloc(n == 0 ? 1 : n);

        assert_true(der != NULL && exact != NULL);
        memcpy(exact, der, n);
        from = (struct cv_bytes){exact, n};
        assert_int_equal(cv_keyder_tag(from), n == 0 ? -1 : der[0]);
        if (take(cases[i].ask, &from, &out) != (cases[i].want != NULL)) {
            fail_msg("case %zu: %s", i, cases[i].der);
        }
        if (cases[i].want == NULL) {
            assert_ptr_equal(from.data, exact);
            assert_int_equal(from.len, n);
        } else {
            assert_int_equal(from.len, cases[i].left);
            assert_ptr_equal(from.data, exact + n - cases[i].left);
            assert_int_equal(out.len, unhex(cases[i].want, want));
            assert_true(out.len == 0 || memcmp(out.data, want, out.len) == 0);
        }
        free(exact);
        free(der);
    }
}

/* Lengths about each change of form. */
static void test_lengths(void **state)
{
    static const size_t lens[] = {0,   1,   127, 128,   129,  255,
                                  256, 257, 300, 65535, 65536};
    size_t i;

    (void)state;
    for (i = 0; i < sizeof(lens) / sizeof(lens[0]); i++) {
        const size_t n = lens[i];
        uint8_t head[5] = {0x30, (uint8_t)n};
        size_t h = n < 128 ? 2 : n < 256 ? 3 : n < 65536 ? 4 : 5;
        struct cv_bytes from, out = {NULL, 0};
        uint8_t *der = calloc(1, h + n);
        size_t j;

        assert_non_null(der);
        if (h > 2) {
            head[1] = (uint8_t)(0x80 + h - 2);
            for (j = 2; j < h; j++) {
                head[j] = (uint8_t)(n >> (8 * (h - 1 - j)));
            }
        }
        memcpy(der, head, h);
        from = (struct cv_bytes){der, h + n};
        assert_true(cv_keyder_take(&from, DER_SEQUENCE, &out));
        assert_int_equal(out.len, n);
        assert_int_equal(from.len, 0);
        if (n > 0) {
            from = (struct cv_bytes){der, h + n - 1};
            assert_false(cv_keyder_take(&from, DER_SEQUENCE, &out));
        }
        free(der);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_cases),
        cmocka_unit_test(test_lengths),
    };

    return cmocka_run_group_tests(tests, setup, NULL);
}
