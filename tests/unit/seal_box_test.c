/* Sealing and opening: what vectors cannot show (other lengths, every byte
 * changed, failures of memory, the sealing half's own refusals). */
#include "tests/unit/seal_test.h"

#include "vault/seal/box_internal.h"

struct fixture {
    struct cv_arena *arena;
    struct cv_box_pair pair;
    struct cv_box_binding binding;
};

static void begin(struct fixture *f)
{
    uint8_t *secret;

    f->arena = new_arena();
    secret = cv_arena_alloc(f->arena, CV_BOX_KEY_LEN, NULL);
    (void)crypto_box_keypair(f->pair.public_key, secret);
    f->pair.secret_key = secret;
    randombytes_buf(&f->binding, sizeof(f->binding));
}

static void end(struct fixture *f)
{
    cv_arena_free(f->arena);
}

static struct cv_bytes random_key(struct fixture *f, size_t len)
{
    uint8_t *p = cv_arena_alloc(f->arena, len, NULL);

    assert_non_null(p);
    randombytes_buf(p, len);
    return (struct cv_bytes){p, len};
}

static void seal(struct fixture *f, struct cv_bytes key, struct cv_buf *out)
{
    struct cv_err e;

    cv_err_init(&e);
    cv_buf_init(out, NULL, CV_LIMIT_SEALED);
    assert_ok(
        cv_box_seal(f->pair.public_key, &f->binding, key, f->arena, out, &e),
        &e);
}

static enum cv_status open_box(struct fixture *f, struct cv_bytes sealed,
                               struct cv_bytes *der, struct cv_err *e)
{
    struct cv_arena *arena = new_arena();
    enum cv_status s;

    cv_err_init(e);
    s = cv_box_open(&f->pair, &f->binding, sealed, arena, der, e);
    if (s == CV_OK) {
        der->data =
            (const uint8_t *)cv_arena_copy(f->arena, der->data, der->len, NULL);
    }
    cv_arena_free(arena);
    return s;
}

static void test_lengths(void **state)
{
    /* on both sides of each end of a block, and the longest */
    const size_t lens[] = {1,   48,   179,  180,   181,
                           256, 1217, 4096, 16383, CV_LIMIT_KEY_DER};
    struct fixture f;
    size_t i;

    (void)state;
    for (i = 0; i < sizeof(lens) / sizeof(lens[0]); i++) {
        struct cv_bytes key, found;
        struct cv_buf sealed;
        struct cv_err e;

        begin(&f);
        key = random_key(&f, lens[i]);
        seal(&f, key, &sealed);
        assert_true(sealed.len <= CV_LIMIT_SEALED);
        assert_int_equal((sealed.len - 1 - crypto_box_SEALBYTES) % BOX_BLOCK,
                         0);
        assert_ok(open_box(&f, cv_buf_bytes(&sealed), &found, &e), &e);
        assert_true(cv_bytes_equal(key, found));
        cv_buf_wipe(&sealed);
        end(&f);
    }
}

/* Keys of one kind have one length on disk, whatever theirs. */
static void test_length_is_hidden(void **state)
{
    struct fixture f;
    struct cv_buf a, b;

    (void)state;
    begin(&f);
    seal(&f, random_key(&f, 1190), &a);
    seal(&f, random_key(&f, 1193), &b);
    assert_int_equal(a.len, b.len);
    cv_buf_wipe(&a);
    cv_buf_wipe(&b);
    end(&f);
}

static void test_never_the_same(void **state)
{
    struct fixture f;
    struct cv_bytes key;
    struct cv_buf a, b;

    (void)state;
    begin(&f);
    key = random_key(&f, 100);
    seal(&f, key, &a);
    seal(&f, key, &b);
    assert_false(cv_bytes_equal(cv_buf_bytes(&a), cv_buf_bytes(&b)));
    cv_buf_wipe(&a);
    cv_buf_wipe(&b);
    end(&f);
}

static void test_every_byte(void **state)
{
    struct cv_bytes found;
    struct cv_buf sealed;
    struct fixture f;
    struct cv_err e;
    size_t i;

    (void)state;
    begin(&f);
    seal(&f, random_key(&f, 300), &sealed);
    for (i = 0; i < sealed.len; i++) {
        const uint8_t bit = (uint8_t)(1U << (i % 8));

        sealed.data[i] ^= bit;
        /* X25519 ignores the last bit of a public key, but the nonce is made
         * of it */
        assert_int_equal(open_box(&f, cv_buf_bytes(&sealed), &found, &e),
                         CV_INTEGRITY);
        sealed.data[i] ^= bit;
    }
    assert_ok(open_box(&f, cv_buf_bytes(&sealed), &found, &e), &e);
    cv_buf_wipe(&sealed);
    end(&f);
}

static void test_every_length(void **state)
{
    struct cv_bytes found, cut;
    struct cv_buf sealed;
    struct fixture f;
    struct cv_err e;

    (void)state;
    begin(&f);
    seal(&f, random_key(&f, 50), &sealed);
    cut = cv_buf_bytes(&sealed);
    while (cut.len-- > 0) {
        assert_int_equal(open_box(&f, cut, &found, &e), CV_INTEGRITY);
        assert_null(found.data);
    }
    cv_buf_wipe(&sealed);
    end(&f);
}

/* Each thing that a box is bound to, and its own text for each. */
static void test_bindings(void **state)
{
    static const char *const texts[3] = {"vault", "entry", "certificate"};
    struct cv_bytes found;
    struct cv_buf sealed;
    struct fixture f;
    struct cv_err e;
    size_t i;

    (void)state;
    begin(&f);
    seal(&f, random_key(&f, 50), &sealed);
    for (i = 0; i < sizeof(f.binding); i++) {
        uint8_t *at = (uint8_t *)&f.binding + i;

        *at ^= 0x10;
        assert_int_equal(open_box(&f, cv_buf_bytes(&sealed), &found, &e),
                         CV_INTEGRITY);
        assert_non_null(strstr(e.text, texts[i / 16 < 2 ? i / 16 : 2]));
        assert_true(e.hint[0] != '\0');
        *at ^= 0x10;
    }
    cv_buf_wipe(&sealed);
    end(&f);
}

static void test_another_key(void **state)
{
    struct fixture f, g;
    struct cv_bytes found;
    struct cv_buf sealed;
    struct cv_err e;

    (void)state;
    begin(&f);
    begin(&g);
    g.binding = f.binding;
    seal(&f, random_key(&f, 50), &sealed);
    assert_int_equal(open_box(&g, cv_buf_bytes(&sealed), &found, &e),
                     CV_INTEGRITY);
    cv_buf_wipe(&sealed);
    end(&f);
    end(&g);
}

static void test_newer_version_has_a_hint(void **state)
{
    struct cv_bytes found;
    struct cv_buf sealed;
    struct fixture f;
    struct cv_err e;

    (void)state;
    begin(&f);
    seal(&f, random_key(&f, 50), &sealed);
    sealed.data[0] = 2;
    assert_int_equal(open_box(&f, cv_buf_bytes(&sealed), &found, &e),
                     CV_INTEGRITY);
    assert_non_null(strstr(e.text, "version 2"));
    assert_non_null(strstr(e.hint, "newer"));
    cv_buf_wipe(&sealed);
    end(&f);
}

static void test_seal_refuses(void **state)
{
    /* points of small order (RFC 7748 section 6.1): a box to them would be
     * readable by all */
    static const uint8_t zero[CV_BOX_KEY_LEN], one[CV_BOX_KEY_LEN] = {1};
    struct cv_bytes key, none = {NULL, 0};
    struct cv_buf out;
    struct fixture f;
    struct cv_err e;

    (void)state;
    begin(&f);
    cv_err_init(&e);
    cv_buf_init(&out, NULL, CV_LIMIT_SEALED);
    key = random_key(&f, CV_LIMIT_KEY_DER + 1);
    assert_int_equal(
        cv_box_seal(f.pair.public_key, &f.binding, key, f.arena, &out, &e),
        CV_INVALID);
    assert_int_equal(
        cv_box_seal(f.pair.public_key, &f.binding, none, f.arena, &out, &e),
        CV_INVALID);
    key.len = 50;
    assert_int_equal(cv_box_seal(zero, &f.binding, key, f.arena, &out, &e),
                     CV_INVALID);
    assert_int_equal(cv_box_seal(one, &f.binding, key, f.arena, &out, &e),
                     CV_INVALID);
    assert_int_equal(out.len, 0);
    cv_buf_wipe(&out);
    end(&f);
}

/* What was framed is not left in the caller's arena. */
static void test_seal_leaves_nothing(void **state)
{
    struct cv_arena *scratch = NULL;
    struct cv_bytes key;
    struct cv_buf out;
    struct fixture f;
    const uint8_t *first;
    size_t i;

    (void)state;
    begin(&f);
    assert_int_equal(cv_arena_new(CV_KIB(8), &scratch, NULL), CV_OK);
    first = cv_arena_alloc(scratch, 16, NULL);
    key = random_key(&f, 50);
    cv_buf_init(&out, NULL, CV_LIMIT_SEALED);
    assert_int_equal(
        cv_box_seal(f.pair.public_key, &f.binding, key, scratch, &out, NULL),
        CV_OK);
    for (i = 0; i < cv_arena_used(scratch); i++) {
        assert_int_equal(first[i], 0);
    }
    cv_buf_wipe(&out);
    cv_arena_free(scratch);
    end(&f);
}

static void test_ceilings(void **state)
{
    struct cv_arena *small = NULL;
    struct cv_bytes key, found;
    struct cv_buf out, sealed;
    struct fixture f;
    struct cv_err e;

    (void)state;
    begin(&f);
    cv_err_init(&e);
    key = random_key(&f, 500);
    cv_buf_init(&out, NULL, 100);
    assert_int_equal(
        cv_box_seal(f.pair.public_key, &f.binding, key, f.arena, &out, &e),
        CV_INVALID);
    assert_int_equal(out.len, 0);
    cv_buf_wipe(&out);
    assert_int_equal(cv_arena_new(256, &small, NULL), CV_OK);
    assert_int_equal(
        cv_box_seal(f.pair.public_key, &f.binding, key, small, &out, &e),
        CV_INVALID);
    seal(&f, key, &sealed);
    assert_int_equal(cv_box_open(&f.pair, &f.binding, cv_buf_bytes(&sealed),
                                 small, &found, &e),
                     CV_INVALID);
    assert_null(found.data);
    /* without an error object too */
    assert_int_not_equal(cv_box_open(&f.pair, &f.binding, cv_buf_bytes(&sealed),
                                     small, &found, NULL),
                         CV_OK);
    cv_buf_wipe(&out);
    cv_buf_wipe(&sealed);
    cv_arena_free(small);
    end(&f);
}

static void test_digest(void **state)
{
    /* FIPS 180-2: SHA-256("abc") */
    static const uint8_t want[CV_BOX_DIGEST_LEN] = {
        0xba, 0x78, 0x16, 0xbf, 0x8f, 0x01, 0xcf, 0xea, 0x41, 0x41, 0x40,
        0xde, 0x5d, 0xae, 0x22, 0x23, 0xb0, 0x03, 0x61, 0xa3, 0x96, 0x17,
        0x7a, 0x9c, 0xb4, 0x10, 0xff, 0x61, 0xf2, 0x00, 0x15, 0xad};
    uint8_t found[CV_BOX_DIGEST_LEN];

    (void)state;
    cv_box_digest(TEXT("abc"), found);
    assert_memory_equal(found, want, sizeof(want));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_lengths),
        cmocka_unit_test(test_length_is_hidden),
        cmocka_unit_test(test_never_the_same),
        cmocka_unit_test(test_every_byte),
        cmocka_unit_test(test_every_length),
        cmocka_unit_test(test_bindings),
        cmocka_unit_test(test_another_key),
        cmocka_unit_test(test_newer_version_has_a_hint),
        cmocka_unit_test(test_seal_refuses),
        cmocka_unit_test(test_seal_leaves_nothing),
        cmocka_unit_test(test_ceilings),
        cmocka_unit_test(test_digest),
    };

    return cmocka_run_group_tests(tests, setup, NULL);
}
