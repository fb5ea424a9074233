/* P16: a log of 5,000 records, changed at random: every change is found. */
#include "audit_test.h"
#include "tests/unit/full.h"

#include "vault/audit/verify.h"

#include <sodium.h>
#include <stdlib.h>
#include <string.h>

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
        return "append what was there before";
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
            if (strcmp(kind, "append what was there before") != 0 ||
                strcmp(text_at(report, "tail"), "torn") != 0) {
                fail_msg("round %u: %s is not found", i, kind);
            }
        }
        cJSON_Delete(report);
        if (strcmp(kind, "append what was there before") != 0) {
            assert_int_equal(try_open(&v), CV_INTEGRITY);
        }
    }
    cv_buf_wipe(&out);
    free(f.bytes);
    audit_test_remove(&v);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_mutations),
    };

    return cmocka_run_group_tests(tests, audit_test_start, NULL);
}
