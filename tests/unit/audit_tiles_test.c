/* Tiles: written in one go or in many, they are the same files; proofs out of
 * them are those of RFC 6962; what is damaged is found, what is missing is made
 * again. */
#include "audit_test.h"
#include "full.h"

#include "vault/audit/tile.h"
#include "vault/audit/tiles.h"

#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define HASH CV_TREE_HASH
#define MANY 66000 /* more than 256 * 256: three levels */

static uint8_t (*hashes)[HASH];

/* Told, and given back by CV_SEED. */
static unsigned seed_of(void)
{
    const char *given = getenv("CV_SEED");
    unsigned seed = given != NULL ? (unsigned)strtoul(given, NULL, 10)
                                  : (unsigned)time(NULL);

    print_message("CV_SEED=%u\n", seed);
    return seed;
}

static uint64_t drawn;

/* A number below `n`; xorshift64, which a seed repeats. */
static uint64_t draw(uint64_t n)
{
    drawn ^= drawn << 13;
    drawn ^= drawn >> 7;
    drawn ^= drawn << 17;
    return drawn % n;
}

static struct cv_bytes record(uint64_t i, char text[40])
{
    int len = snprintf(text, 40, "{\"record\":%llu}", (unsigned long long)i);

    return (struct cv_bytes){(const uint8_t *)text, (size_t)len};
}

static int start(void **state)
{
    char text[40];

    hashes = calloc(MANY, HASH);
    if (hashes == NULL) {
        return -1;
    }
    for (uint64_t i = 0; i < MANY; i++) {
        cv_tree_leaf(record(i, text), hashes[i]);
    }
    return audit_test_start(state);
}

static int end(void **state)
{
    (void)state;
    free(hashes);
    return 0;
}

/* Goes on with the records up to `size`. */
static void grow(const struct audit_vault *v, uint64_t size)
{
    struct cv_tiles *t;
    char text[40];

    assert_int_equal(cv_tiles_open(v->fd, false, &t, NULL), CV_OK);
    for (uint64_t i = cv_tiles_at(t); i < size; i++) {
        assert_int_equal(cv_tiles_add(t, record(i, text), NULL), CV_OK);
    }
    assert_int_equal(cv_tiles_finish(t, NULL), CV_OK);
    cv_tiles_free(t);
}

static void check_size(const struct audit_vault *v, uint64_t size,
                       uint64_t there)
{
    struct cv_tiles_reader *r = calloc(1, sizeof *r);
    struct cv_proof_source source;
    uint8_t want[HASH], got[HASH];
    uint64_t said = 0;

    assert_non_null(r);
    *r = (struct cv_tiles_reader){.vault = v->fd, .size = size};
    source = cv_tiles_source(r);
    assert_int_equal(cv_tiles_size(v->fd, &said, NULL), CV_OK);
    assert_int_equal(said, there);
    cv_tree_root_of(hashes[0], size, want);
    assert_int_equal(cv_proof_root(&source, size, got, NULL), CV_OK);
    assert_memory_equal(want, got, HASH);
    free(r);
}

static void check_root(const struct audit_vault *v, uint64_t size)
{
    check_size(v, size, size);
}

static bool is_there(const struct audit_vault *v, const char *name)
{
    struct stat st;

    return fstatat(v->fd, name, &st, 0) == 0;
}

static void test_in_steps(void **state)
{
    static const uint64_t steps[] = {1,   2,   255, 256,   257,   511,   512,
                                     600, 601, 999, 65535, 65536, 65537, MANY};
    struct audit_vault v;

    (void)state;
    audit_test_vault(&v);
    for (size_t i = 0; i < sizeof steps / sizeof steps[0]; i++) {
        grow(&v, steps[i]);
        check_root(&v, steps[i]);
    }
    assert_true(is_there(&v, "audit/tile/0/256"));
    assert_true(is_there(&v, "audit/tile/0/257.p/208"));
    assert_true(is_there(&v, "audit/tile/entries/257.p/208"));
    assert_true(is_there(&v, "audit/tile/1/000"));
    assert_true(is_there(&v, "audit/tile/1/001.p/1"));
    assert_true(is_there(&v, "audit/tile/2/000.p/1"));
    /* What was partial once is gone. */
    assert_false(is_there(&v, "audit/tile/0/000.p"));
    assert_false(is_there(&v, "audit/tile/0/002.p"));
    assert_false(is_there(&v, "audit/tile/entries/003.p"));
    assert_false(is_there(&v, "audit/tile/1/000.p"));
    audit_test_remove(&v);
}

static void test_random_steps(void **state)
{
    unsigned rounds = cv_full_run() ? 400 : 20;

    (void)state;
    drawn = seed_of() + UINT64_C(88172645463325252);
    for (unsigned i = 0; i < rounds; i++) {
        struct audit_vault v;
        uint64_t size = 0;

        audit_test_vault(&v);
        for (uint64_t k = draw(6) + 1; k > 0; k--) {
            size += draw(300) + 1;
            grow(&v, size);
        }
        check_root(&v, size);
        audit_test_remove(&v);
    }
}

static void check_proofs(struct cv_tiles_reader *r, uint64_t size,
                         uint64_t index)
{
    struct cv_proof_source source = cv_tiles_source(r);
    uint8_t root[HASH], old[HASH];
    struct cv_proof p;

    cv_tree_root_of(hashes[0], size, root);
    cv_tree_root_of(hashes[0], index, old);
    assert_int_equal(cv_proof_make_inclusion(&source, size, index, &p, NULL),
                     CV_OK);
    assert_int_equal(
        cv_proof_check_inclusion(index, size, hashes[index], &p, root, NULL),
        CV_OK);
    assert_int_equal(cv_proof_make_consistency(&source, size, index, &p, NULL),
                     CV_OK);
    assert_int_equal(
        cv_proof_check_consistency(index, size, old, root, &p, NULL), CV_OK);
}

static void test_proofs(void **state)
{
    struct cv_tiles_reader *r = calloc(1, sizeof *r);
    struct audit_vault v;
    struct cv_buf text;
    char want[40];

    (void)state;
    assert_non_null(r);
    audit_test_vault(&v);
    grow(&v, MANY);
    *r = (struct cv_tiles_reader){.vault = v.fd, .size = MANY};
    drawn = seed_of() + UINT64_C(88172645463325252);
    for (int i = 0; i < 60; i++) {
        uint64_t size = draw(MANY) + 1;

        check_proofs(r, size, draw(size));
    }
    check_proofs(r, MANY, 0);
    check_proofs(r, MANY, MANY - 1);
    check_proofs(r, 1, 0);
    for (uint64_t i = 0; i < MANY; i += 4711) {
        struct cv_bytes bytes = record(i, want);

        cv_buf_init(&text, NULL, 100);
        assert_int_equal(cv_tiles_record(r, i, &text, NULL), CV_OK);
        assert_int_equal(text.len, bytes.len);
        assert_memory_equal(text.data, bytes.data, bytes.len);
        cv_buf_wipe(&text);
    }
    free(r);
    audit_test_remove(&v);
}

/* A tile that is gone or cut fails what needs it; one that was changed gives
 * another root, so that no proof verifies. */
static void test_damage(void **state)
{
    struct cv_tiles_reader *r = calloc(1, sizeof *r);
    struct cv_proof_source source;
    uint8_t root[HASH], got[HASH], *bytes, *full;
    struct audit_vault v;
    size_t len;

    (void)state;
    assert_non_null(r);
    audit_test_vault(&v);
    grow(&v, 700);
    cv_tree_root_of(hashes[0], 700, root);
    source = cv_tiles_source(r);
    bytes = audit_test_read(&v, "audit/tile/0/002.p/188", &len);
    assert_int_equal(len, 188 * HASH);

    /* A full one beside a partial one is nobody's. */
    full = audit_test_read(&v, "audit/tile/0/000", &len);
    audit_test_write(&v, "audit/tile/0/002", full, len);
    free(full);
    *r = (struct cv_tiles_reader){.vault = v.fd, .size = 700};
    assert_int_equal(cv_proof_root(&source, 700, got, NULL), CV_OK);
    assert_memory_equal(root, got, HASH);
    assert_int_equal(unlinkat(v.fd, "audit/tile/0/002", 0), 0);

    len = 188 * HASH;
    bytes[77] ^= 1;
    audit_test_write(&v, "audit/tile/0/002.p/188", bytes, len);
    *r = (struct cv_tiles_reader){.vault = v.fd, .size = 700};
    assert_int_equal(cv_proof_root(&source, 700, got, NULL), CV_OK);
    assert_memory_not_equal(root, got, HASH);

    audit_test_write(&v, "audit/tile/0/002.p/188", bytes, len - 1);
    *r = (struct cv_tiles_reader){.vault = v.fd, .size = 700};
    assert_int_equal(cv_proof_root(&source, 700, got, NULL), CV_INTEGRITY);

    assert_int_equal(unlinkat(v.fd, "audit/tile/0/002.p/188", 0), 0);
    *r = (struct cv_tiles_reader){.vault = v.fd, .size = 700};
    assert_int_equal(cv_proof_root(&source, 700, got, NULL), CV_INTEGRITY);

    /* The writer begins anew, and all is well again. */
    grow(&v, 701);
    check_root(&v, 701);
    free(bytes);
    free(r);
    audit_test_remove(&v);
}

/* Partial tiles are not synced: after a power failure, of which the other boot
 * id tells, nobody relies on them, and they are made again. */
static void test_after_a_power_failure(void **state)
{
    static const char other[] = "{\"boot\":\"another\",\"size\":700}\n";
    struct audit_vault v;
    uint64_t size = 0;

    (void)state;
    audit_test_vault(&v);
    grow(&v, 700);
    audit_test_write(&v, "audit/tiles.last", (const uint8_t *)other,
                     sizeof other - 1);
    audit_test_write(&v, "audit/tile/0/002.p/188", (const uint8_t *)"", 0);
    assert_int_equal(cv_tiles_size(v.fd, &size, NULL), CV_OK);
    assert_int_equal(size, 512);
    check_size(&v, 512, 512);
    grow(&v, 700);
    check_root(&v, 700);
    /* What was left of another width goes too. */
    audit_test_write(&v, "audit/tile/0/002.p/3", (const uint8_t *)"x", 1);
    assert_int_equal(unlinkat(v.fd, "audit/tiles.last", 0), 0);
    grow(&v, 701);
    check_root(&v, 701);
    assert_false(is_there(&v, "audit/tile/0/002.p/3"));
    assert_false(is_there(&v, "audit/tile/0/002.p/188"));
    grow(&v, 768);
    assert_false(is_there(&v, "audit/tile/0/002.p"));
    assert_false(is_there(&v, "audit/tile/entries/002.p"));
    check_root(&v, 768);
    audit_test_remove(&v);
}

/* From a log of leaves, as a broker does it. */
static void test_update(void **state)
{
    struct audit_vault v;
    struct cv_log *log;
    struct cv_err err;
    uint64_t size = 0;
    unsigned n = 0;

    (void)state;
    cv_err_init(&err);
    audit_test_vault(&v);
    assert_int_equal(cv_log_open(v.fd, CV_LOG_WRITE, &log, NULL), CV_OK);
    for (int i = 0; i < 4; i++) {
        struct cv_tiles_reader *r = calloc(1, sizeof *r);
        struct cv_proof_source source;
        uint8_t want[HASH], got[HASH];

        assert_non_null(r);
        audit_test_fill(log, 90);
        n += 90;
        assert_int_equal(cv_tiles_update(v.fd, n, &err), CV_OK);
        *r = (struct cv_tiles_reader){.vault = v.fd, .size = n};
        source = cv_tiles_source(r);
        cv_tree_root(cv_log_tree(log), want);
        assert_int_equal(cv_proof_root(&source, n, got, NULL), CV_OK);
        assert_memory_equal(want, got, HASH);
        free(r);
    }
    assert_int_equal(cv_tiles_update(v.fd, n + 1, NULL), CV_INTEGRITY);
    /* Less than there is: nothing to do. */
    assert_int_equal(cv_tiles_update(v.fd, 5, NULL), CV_OK);
    assert_int_equal(cv_tiles_size(v.fd, &size, NULL), CV_OK);
    assert_int_equal(size, n);
    audit_test_write(&v, "audit/tile/0/000", "x", 1);
    assert_int_equal(cv_tiles_rebuild(v.fd, n, &err), CV_OK);
    assert_int_equal(cv_tiles_size(v.fd, &size, NULL), CV_OK);
    assert_int_equal(size, n);
    assert_true(is_there(&v, "audit/tile/0/001.p/104"));
    cv_log_close(log);
    audit_test_remove(&v);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_in_steps),
        cmocka_unit_test(test_random_steps),
        cmocka_unit_test(test_proofs),
        cmocka_unit_test(test_damage),
        cmocka_unit_test(test_after_a_power_failure),
        cmocka_unit_test(test_update),
    };

    return cmocka_run_group_tests(tests, start, end);
}
