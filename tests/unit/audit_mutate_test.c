/* P16: a log of 5,000 records, changed at random: every change is found. */
#include "audit_test.h"
#include "tests/unit/full.h"

#include "vault/audit/tiles.h"
#include "vault/audit/verify.h"

#include <fcntl.h>
#include <ftw.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static struct cv_log *open_log(const struct audit_vault *v)
{
    struct cv_log *log = NULL;
    struct cv_err err;

    cv_err_init(&err);
    if (cv_log_open(v->fd, CV_LOG_WRITE, &log, &err) != CV_OK) {
        fail_msg("%s", err.text);
    }
    return log;
}

static const cJSON *at(const cJSON *o, const char *key)
{
    return cJSON_GetObjectItemCaseSensitive(o, key);
}

static const char *text_at(const cJSON *o, const char *key)
{
    assert_true(cJSON_IsString(at(o, key)));
    return at(o, key)->valuestring;
}

static enum cv_status try_open(const struct audit_vault *v)
{
    struct cv_log *log = NULL;
    enum cv_status status = cv_log_open(v->fd, CV_LOG_WRITE, &log, NULL);

    cv_log_close(log);
    return status;
}

#define MUTATED 5000 /* records of the log that is mutated (P16) */

struct frames {
    uint8_t *bytes;
    size_t len;
    size_t at[MUTATED + 1];
};

static void take(struct cv_buf *out, const struct frames *f, unsigned from,
                 unsigned to)
{
    cv_buf_add(out, f->bytes + f->at[from], f->at[to] - f->at[from]);
}

/* The round's own numbers: told, and given back by CV_SEED. */
static uint64_t random_state;

static unsigned draw(size_t below)
{
    random_state = random_state * UINT64_C(6364136223846793005) + 1442695041;
    return (unsigned)((random_state >> 33) % below);
}

static uint64_t pick_seed(void)
{
    const char *given = getenv("CV_SEED");
    uint64_t seed = (uint64_t)randombytes_random();

    if (given != NULL) {
        seed = strtoull(given, NULL, 10);
    }
    print_message("CV_SEED=%llu\n", (unsigned long long)seed);
    return seed;
}

/* The one kind of change after which the log may read as torn. */
static const char appended[] = "append what was there before";

/* Makes one random change; its kind. */
static const char *mutate(const struct frames *f, struct cv_buf *out)
{
    unsigned a = draw(MUTATED);
    unsigned b = draw(MUTATED);
    size_t byte = draw(f->len);

    cv_buf_wipe(out);
    switch (draw(7)) {
    case 0:
        cv_buf_add(out, f->bytes, f->len);
        out->data[byte] ^= (uint8_t)(1 << draw(8));
        return "flip";
    case 1:
        take(out, f, 0, a);
        take(out, f, a + 1, MUTATED);
        return "drop";
    case 2:
        if (a == b) {
            b = a == 0 ? 1 : a - 1;
        }
        if (a > b) {
            unsigned c = a;

            a = b;
            b = c;
        }
        take(out, f, 0, a);
        take(out, f, b, b + 1);
        take(out, f, a + 1, b);
        take(out, f, a, a + 1);
        take(out, f, b + 1, MUTATED);
        return "swap";
    case 3:
        take(out, f, 0, a);
        take(out, f, b, b + 1);
        take(out, f, a, MUTATED);
        return "insert";
    case 4:
        take(out, f, 0, a);
        return "truncate at a record";
    case 5:
        cv_buf_add(out, f->bytes, byte);
        return "truncate anywhere";
    default:
        cv_buf_add(out, f->bytes, f->len);
        cv_buf_add(out, f->bytes + byte,
                   f->len - byte > 5000 ? 5000 : f->len - byte);
        return appended;
    }
}

static void test_mutations(void **state)
{
    unsigned rounds = cv_full_run() ? 1000 : 50;
    static struct frames f;
    struct audit_vault v;
    struct cv_log *log;
    struct cv_buf out;

    (void)state;
    random_state = pick_seed();
    audit_test_vault(&v);
    log = open_log(&v);
    audit_test_fill(log, MUTATED);
    audit_test_checkpoint(&v, log);
    cv_log_close(log);
    f.bytes = audit_test_read(&v, "audit/log", &f.len);
    for (unsigned i = 0; i <= MUTATED; i++) {
        f.at[i] = audit_test_frame(f.bytes + (i == 0 ? 0 : f.at[i - 1]), f.len,
                                   i == 0 ? 0 : 1) +
                  (i == 0 ? 0 : f.at[i - 1]);
    }
    assert_int_equal(f.at[MUTATED], f.len);
    cv_buf_init(&out, NULL, 2 * f.len + 100000);
    for (unsigned i = 0; i < rounds; i++) {
        const char *kind = mutate(&f, &out);
        cJSON *report = NULL;

        assert_int_equal(out.status, CV_OK);
        audit_test_write(&v, "audit/log", out.data, out.len);
        if (cv_verify_log(v.fd, NULL, &report, NULL) != CV_INTEGRITY) {
            /* What was appended may be a torn end: told, and no harm. */
            if (kind != appended ||
                strcmp(text_at(report, "tail"), "torn") != 0) {
                fail_msg("round %u: %s is not found", i, kind);
            }
        }
        cJSON_Delete(report);
        if (kind != appended) {
            assert_int_equal(try_open(&v), CV_INTEGRITY);
        }
    }
    cv_buf_wipe(&out);
    free(f.bytes);
    audit_test_remove(&v);
}

/* The files of the tiles, beneath the vault. */
static char tile_paths[64][160];
static size_t n_tiles;
static size_t root_len;

static int take_path(const char *path, const struct stat *st, int kind,
                     struct FTW *place)
{
    (void)st;
    (void)place;
    if (kind == FTW_F) {
        assert_true(n_tiles < sizeof tile_paths / sizeof tile_paths[0]);
        (void)snprintf(tile_paths[n_tiles++], sizeof tile_paths[0], "%s",
                       path + root_len + 1);
    }
    return 0;
}

/* Spoils one file of the tiles at random, in `bytes` (len + 1 of room). */
static const char *spoil(uint8_t *bytes, size_t *len)
{
    size_t place = draw(*len);

    switch (draw(4)) {
    case 0:
        bytes[place] ^= (uint8_t)(1 << draw(8));
        return "flip";
    case 1:
        *len = place;
        return "truncate";
    case 2:
        memmove(bytes + place, bytes + place + 1, *len - place - 1);
        (*len)--;
        return "drop a byte";
    default:
        memmove(bytes + place + 1, bytes + place, *len - place);
        bytes[place] = (uint8_t)draw(256);
        (*len)++;
        return "insert a byte";
    }
}

static void tiles_are_found(const struct audit_vault *v, unsigned round,
                            const char *kind, const char *path)
{
    struct cv_err err;
    cJSON *report = NULL;
    const cJSON *first;

    cv_err_init(&err);
    if (cv_verify_log(v->fd, NULL, &report, &err) != CV_INTEGRITY) {
        fail_msg("round %u: %s of %s is not found", round, kind, path);
    }
    first = at(report, "errors")->child;
    assert_string_equal(text_at(first, "what"), "tiles");
    assert_non_null(strstr(err.hint, "audit rebuild"));
    cJSON_Delete(report);
}

static void test_tile_mutations(void **state)
{
    unsigned rounds = cv_full_run() ? 1000 : 50;
    struct audit_vault v;
    struct cv_log *log;
    char folder[192];
    cJSON *report = NULL;

    (void)state;
    random_state = pick_seed();
    audit_test_vault(&v);
    log = open_log(&v);
    audit_test_fill(log, MUTATED);
    audit_test_checkpoint(&v, log);
    cv_log_close(log);
    assert_int_equal(cv_tiles_update(v.fd, MUTATED, NULL), CV_OK);
    assert_int_equal(cv_verify_log(v.fd, NULL, &report, NULL), CV_OK);
    assert_int_equal(at(report, "tiles")->valuedouble, MUTATED);
    cJSON_Delete(report);
    n_tiles = 0;
    root_len = strlen(v.path);
    (void)snprintf(folder, sizeof folder, "%s/audit/tile", v.path);
    assert_int_equal(nftw(folder, take_path, 16, FTW_PHYS), 0);
    /* Bundles and hashes: 19 whole ones of each and what is left, one above. */
    assert_int_equal(n_tiles, 20 + 20 + 1);
    (void)snprintf(tile_paths[n_tiles++], sizeof tile_paths[0], "audit/tiles");
    for (unsigned i = 0; i < rounds; i++) {
        const char *path = tile_paths[draw(n_tiles)];
        size_t len, was;
        uint8_t *good = audit_test_read(&v, path, &len);
        uint8_t *bad = malloc(len + 1);
        const char *kind;

        assert_non_null(bad);
        memcpy(bad, good, len);
        was = len;
        kind = spoil(bad, &len);
        audit_test_write(&v, path, bad, len);
        /* What was put in may be what was there, or white space in JSON. */
        if ((len != was || memcmp(bad, good, len) != 0) &&
            strcmp(path, "audit/tiles") != 0) {
            tiles_are_found(&v, i, kind, path);
        } else if (strcmp(path, "audit/tiles") != 0) {
            print_message("round %u: nothing was changed\n", i);
        } else if (cv_verify_log(v.fd, NULL, &report, NULL) == CV_OK) {
            assert_int_equal(at(report, "tiles")->valuedouble, MUTATED);
            cJSON_Delete(report);
        } else {
            cJSON_Delete(report);
        }
        if (i % 10 == 0) {
            assert_int_equal(unlinkat(v.fd, path, 0), 0);
            if (strcmp(path, "audit/tiles") != 0) {
                tiles_are_found(&v, i, "taking away", path);
            }
        }
        audit_test_write(&v, path, good, was);
        free(good);
        free(bad);
    }
    assert_int_equal(cv_verify_log(v.fd, NULL, &report, NULL), CV_OK);
    cJSON_Delete(report);
    audit_test_remove(&v);
}

static struct cv_bytes read_note(const struct audit_vault *v)
{
    size_t len;
    uint8_t *data = audit_test_read(v, "audit/checkpoint", &len);

    return (struct cv_bytes){data, len};
}

static enum cv_status verify_against(const struct audit_vault *v,
                                     struct cv_bytes note, const char *anchored)
{
    const struct cv_verify_options options = {.checkpoint = note};
    cJSON *report = NULL;
    enum cv_status status = cv_verify_log(v->fd, &options, &report, NULL);

    assert_string_equal(text_at(report, "anchored"), anchored);
    cJSON_Delete(report);
    return status;
}

/* P16, H70: a log cut back to where an older checkpoint was, with that
 * checkpoint: whole by itself. Only who kept a later one sees it. */
static void test_older_checkpoint(void **state)
{
    struct audit_vault v;
    struct cv_log *log;
    struct cv_bytes older, later;
    uint8_t *bytes;
    size_t len;

    (void)state;
    audit_test_vault(&v);
    log = open_log(&v);
    audit_test_fill(log, 3000);
    audit_test_checkpoint(&v, log);
    older = read_note(&v);
    bytes = audit_test_read(&v, "audit/log", &len);
    audit_test_fill(log, 2000);
    audit_test_checkpoint(&v, log);
    later = read_note(&v);
    cv_log_close(log);
    assert_int_equal(verify_against(&v, older, "file"), CV_OK);
    assert_int_equal(verify_against(&v, later, "file"), CV_OK);
    audit_test_write(&v, "audit/log", bytes, len);
    assert_int_equal(verify_against(&v, (struct cv_bytes){NULL, 0}, "none"),
                     CV_INTEGRITY); /* the checkpoint beside it is the later */
    audit_test_write(&v, "audit/checkpoint", older.data, older.len);
    (void)unlinkat(v.fd, "audit/state", 0);
    assert_int_equal(verify_against(&v, (struct cv_bytes){NULL, 0}, "none"),
                     CV_OK);
    print_message("cut back to an older checkpoint: without an anchor nothing "
                  "is found\n");
    assert_int_equal(verify_against(&v, older, "file"), CV_OK);
    assert_int_equal(verify_against(&v, later, "none"), CV_INTEGRITY);
    print_message("cut back to an older checkpoint: found by the one that was "
                  "kept\n");
    free(bytes);
    free((void *)(uintptr_t)older.data);
    free((void *)(uintptr_t)later.data);
    audit_test_remove(&v);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_mutations),
        cmocka_unit_test(test_tile_mutations),
        cmocka_unit_test(test_older_checkpoint),
    };

    return cmocka_run_group_tests(tests, audit_test_start, NULL);
}
