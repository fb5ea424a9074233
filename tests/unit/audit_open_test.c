/* How much of a long log an opening reads: its end, whatever was archived and
 * however often the log's key was changed since. And what it takes for granted
 * then was signed. */
#include "audit_rotate.h"

#include "vault/audit/archived.h"
#include "vault/audit/archived_internal.h"
#include "vault/audit/state_internal.h"
#include "vault/audit/tiles_internal.h"
#include "vault/audit/wal_internal.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define BATCH 3000
#define BATCHES 5
/* What an opening may read of it: what is behind the last frontier, at most
 * twice their distance, and a little of everything else. */
#define MOST (2 * (uint64_t)CV_STATE_STEP + CV_MIB(1))

/* What this process has read so far, by the kernel's word. */
static uint64_t read_so_far(void)
{
    static const char name[] = "rchar: ";
    FILE *f = fopen("/proc/self/io", "re");
    char line[80];

    assert_non_null(f);
    assert_non_null(fgets(line, sizeof line, f));
    assert_int_equal(fclose(f), 0);
    assert_int_equal(strncmp(line, name, strlen(name)), 0);
    return strtoull(line + strlen(name), NULL, 10);
}

/* What an opening reads: a broker's first one, which knows of nothing yet. */
static uint64_t cost(const struct audit_vault *v)
{
    const struct cv_tree none = {.size = 0};
    uint64_t before = read_so_far(), after;
    struct cv_log *log = NULL;

    assert_int_equal(cv_log_open_again(v->fd, &none, &log, NULL), CV_OK);
    after = read_so_far();

    cv_log_close(log);
    return after - before;
}

static void publish(struct audit_vault *v, struct cv_log *log)
{
    audit_test_checkpoint(v, log);
    assert_int_equal(cv_tiles_update(v->fd, cv_log_size(log), NULL), CV_OK);
}

/* A log of several MiB, grown by and by. */
static struct cv_log *grow(struct audit_vault *v)
{
    struct cv_log *log;

    audit_test_vault(v);
    log = audit_test_open(v);
    for (int i = 0; i < BATCHES; i++) {
        audit_test_fill(log, BATCH);
        publish(v, log);
    }
    assert_true(cv_log_bytes(log) > 2 * MOST);
    return log;
}

/* The leaf of an archive, as the broker has it. */
static void tell(struct cv_log *log, struct cv_archived *a)
{
    cJSON *leaf = audit_test_leaf(CV_LEAF_EVENT, NULL, "admin", NULL, 1);
    cJSON *details = cJSON_CreateObject();
    char commitment[2 * crypto_hash_sha256_BYTES + 1];

    cv_archived_commitment(a, commitment);
    assert_non_null(
        cJSON_AddStringToObject(details, "method", CV_ARCHIVED_METHOD));
    assert_non_null(
        cJSON_AddNumberToObject(details, "size", (double)a->tree.size));
    assert_non_null(cJSON_AddStringToObject(details, "digest", a->digest));
    assert_non_null(cJSON_AddStringToObject(details, "until", a->until));
    assert_non_null(cJSON_AddStringToObject(details, "commitment", commitment));
    assert_non_null(
        cJSON_AddStringToObject(details, "signature", a->signature));
    cJSON_DeleteItemFromObject(leaf, "details");
    assert_true(cJSON_AddItemToObject(leaf, "details", details));
    assert_int_equal(cv_log_append(log, leaf, &a->seq, NULL), CV_OK);
    assert_int_equal(cv_log_commit(log, NULL), CV_OK);
    cJSON_Delete(leaf);
}

/* What an archive of the first records says, signed by the key of now. */
static struct cv_archived prepare(struct audit_vault *v, uint64_t before)
{
    struct cv_archived_copy c;
    struct cv_buf out, text;
    char line[1024];

    assert_int_equal(cv_archived_copy_begin(v->fd, before, &c, NULL), CV_OK);
    do {
        cv_buf_init(&out, NULL, CV_KIB(64));
        assert_int_equal(cv_archived_copy_next(&c, &out, NULL), CV_OK);
        cv_buf_wipe(&out);
    } while (!cv_archived_copy_is_done(&c));
    cv_archived_copy_end(&c);
    cv_buf_init(&text, NULL, CV_LIMIT_NOTE);
    cv_archived_draw(&c.now);
    cv_archived_statement(&c.now, v->key.name, &text);
    audit_test_sign(v, cv_buf_bytes(&text), line, sizeof line);
    cv_buf_wipe(&text);
    assert_int_equal(cv_archived_take_line(&c.now, &v->key, line, NULL), CV_OK);
    return c.now;
}

static void archive(struct audit_vault *v, struct cv_log *log, uint64_t before)
{
    struct cv_archived a = prepare(v, before);

    tell(log, &a);
    publish(v, log);
    assert_int_equal(cv_archived_write(v->fd, &a, NULL), CV_OK);
    assert_int_equal(cv_archived_finish(v->fd, NULL), CV_OK);
}

static void rotate(struct audit_vault *v, struct cv_log *log)
{
    audit_rotate(v, log);
    assert_int_equal(cv_tiles_update(v->fd, cv_log_size(log), NULL), CV_OK);
}

static void test_its_end_alone(void **state)
{
    struct audit_vault v;
    struct cv_log *log = grow(&v);

    (void)state;
    cv_log_close(log);
    assert_in_range(cost(&v), 1, MOST);
    log = audit_test_open(&v);
    archive(&v, log, 512);
    cv_log_close(log);
    assert_in_range(cost(&v), 1, MOST);
    for (int i = 0; i < 2; i++) {
        log = audit_test_open(&v);
        rotate(&v, log);
        audit_test_fill(log, 400);
        publish(&v, log);
        cv_log_close(log);
        (void)cost(&v); /* the first one learns who signed what */
        assert_in_range(cost(&v), 1, MOST);
    }
    /* Leaves that the tiles have not yet. */
    log = audit_test_open(&v);
    audit_test_fill(log, 300);
    audit_test_checkpoint(&v, log);
    audit_test_fill(log, 10);
    cv_log_close(log);
    assert_in_range(cost(&v), 1, MOST);
    audit_test_remove(&v);
}

/* No frontier where one would be needed: written all at once, restored. */
static void test_frontiers_are_made_again(void **state)
{
    struct audit_vault v;
    struct cv_log *log = grow(&v);

    (void)state;
    cv_log_close(log);
    assert_int_equal(unlinkat(v.fd, "audit/state", 0), 0);
    assert_true(cost(&v) > MOST);
    assert_in_range(cost(&v), 1, MOST);
    audit_test_remove(&v);
}

static void refuses(const struct audit_vault *v)
{
    struct cv_log *log = NULL;
    struct cv_err err;

    cv_err_init(&err);
    assert_int_equal(cv_log_open(v->fd, CV_LOG_WRITE, &log, &err),
                     CV_INTEGRITY);
    assert_non_null(strstr(err.text, "not signed by the log's key"));
}

static void put(const struct audit_vault *v, const char *text)
{
    audit_test_write(v, CV_ARCHIVED_PLACES, text, strlen(text));
}

/* Where frame `seq` begins. */
static uint64_t offset_of(const struct audit_vault *v, uint64_t seq,
                          const struct cv_archived *a)
{
    size_t len;
    uint8_t *bytes = audit_test_read(v, "audit/log", &len);
    size_t at = a->offset;

    at +=
        audit_test_frame(bytes + at, len - at, (unsigned)(seq - a->tree.size));
    free(bytes);
    return at;
}

static void name(const struct audit_vault *v, uint64_t told_at, uint64_t told,
                 uint64_t change_at, uint64_t change)
{
    char text[256];

    (void)snprintf(text, sizeof text,
                   "{\"records\":[{\"offset\":%llu,\"seq\":%llu},"
                   "{\"offset\":%llu,\"seq\":%llu}],\"v\":1}\n",
                   (unsigned long long)told_at, (unsigned long long)told,
                   (unsigned long long)change_at, (unsigned long long)change);
    put(v, text);
}

/* Record `seq` again under number `as`, which has as many digits, over what is
 * at byte `at`. */
static void put_record(const struct audit_vault *v, uint64_t seq_at,
                       uint64_t seq, uint64_t as, uint64_t at)
{
    char from[40], to[40];
    struct cv_buf frame;
    size_t len, begun;
    uint8_t *bytes = audit_test_read(v, "audit/log", &len), *place;
    uint8_t *leaf = bytes + seq_at + CV_WAL_HEADER;
    size_t leaf_len = bytes[seq_at] | (size_t)bytes[seq_at + 1] << 8;

    (void)snprintf(from, sizeof from, "\"seq\":%llu,", (unsigned long long)seq);
    (void)snprintf(to, sizeof to, "\"seq\":%llu,", (unsigned long long)as);
    assert_int_equal(strlen(from), strlen(to));
    place = memmem(leaf, leaf_len, from, strlen(from));
    assert_non_null(place);
    memcpy(place, to, strlen(to));
    cv_buf_init(&frame, NULL, CV_KIB(16));
    begun = cv_wal_begin(&frame);
    cv_buf_add(&frame, leaf, leaf_len);
    cv_wal_end(&frame, begun);
    memcpy(place, from, strlen(from));
    memcpy(bytes + at, frame.data, frame.len);
    audit_test_write(v, "audit/log", bytes, len);
    cv_buf_wipe(&frame);
    free(bytes);
}

/* A key that was given up signs the record of an archive: whatever the file
 * says of where the changes of keys are. */
static void test_a_key_of_before(void **state)
{
    struct audit_vault v;
    struct cv_log *log = grow(&v);
    struct cv_archived real, a;
    uint64_t change, at, told_at;

    (void)state;
    archive(&v, log, 512);
    assert_int_equal(cv_archived_read(v.fd, &real, NULL), CV_OK);
    a = prepare(&v, 1024);
    rotate(&v, log);
    change = cv_log_size(log) - 1;
    tell(log, &a);
    audit_test_fill(log, 400);
    publish(&v, log);
    cv_log_close(log);
    log = audit_test_open(&v);
    cv_log_close(log);
    assert_int_equal(cv_archived_write(v.fd, &a, NULL), CV_OK);
    refuses(&v);
    at = offset_of(&v, change, &real);
    told_at = offset_of(&v, change + 1, &real);
    name(&v, told_at, change + 1, at, change);
    refuses(&v);
    /* The record before the change, by its number alone. */
    a.seq = change - 1;
    assert_int_equal(cv_archived_write(v.fd, &a, NULL), CV_OK);
    name(&v, told_at, change - 1, at, change);
    refuses(&v);
    /* And in the log, where no opening reads. */
    put_record(&v, told_at, change + 1, change - 1, offset_of(&v, 2000, &real));
    name(&v, offset_of(&v, 2000, &real), change - 1, at, change);
    assert_int_equal(cv_log_open(v.fd, CV_LOG_WRITE, &log, NULL), CV_INTEGRITY);
    audit_test_remove(&v);
}

/* Another tree, in which both leaves have the same place. */
static void spoil_tiles(const struct audit_vault *v)
{
    char path[80];
    uint64_t size, offset;
    uint8_t *hashes;
    size_t len;

    assert_int_equal(cv_tiles_mark(v->fd, &size, &offset, NULL), CV_OK);
    (void)snprintf(path, sizeof path, "audit/tile/1/000.p/%llu",
                   (unsigned long long)size / 256);
    hashes = audit_test_read(v, path, &len);
    hashes[3 * CV_TREE_HASH] ^= 1;
    audit_test_write(v, path, hashes, len);
    free(hashes);
}

/* What it says of places is not so, or the leaves there are others: it is not
 * believed, and what is true is found out in the log. */
static void test_nothing_of_it_is_believed(void **state)
{
    static const char *const texts[] = {
        "",
        "{}\n",
        "{\"records\":[],\"v\":1}\n",
        "{\"records\":[{\"offset\":8,\"seq\":9}],\"v\":1}\n",
        "{\"records\":[{\"offset\":-8,\"seq\":-9}],\"v\":1}\n",
        "{\"records\":[{\"offset\":8}],\"v\":1}\n",
        "{\"records\":[{\"offset\":1,\"seq\":9007199254740991}],\"v\":1}\n",
    };
    struct audit_vault v;
    struct cv_log *log = grow(&v);
    uint8_t *known, *now;
    size_t len, now_len;

    (void)state;
    archive(&v, log, 512);
    rotate(&v, log);
    audit_test_fill(log, 400); /* else both are behind the full tiles */
    publish(&v, log);
    cv_log_close(log);
    (void)cost(&v);
    known = audit_test_read(&v, CV_ARCHIVED_PLACES, &len);
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        put(&v, texts[i]);
        assert_true(cost(&v) > MOST);
        now = audit_test_read(&v, CV_ARCHIVED_PLACES, &now_len);
        assert_int_equal(now_len, len);
        assert_memory_equal(now, known, len);
        free(now);
    }
    assert_in_range(cost(&v), 1, MOST);
    spoil_tiles(&v);
    assert_true(cost(&v) > MOST);
    free(known);
    audit_test_remove(&v);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_its_end_alone),
        cmocka_unit_test(test_frontiers_are_made_again),
        cmocka_unit_test(test_a_key_of_before),
        cmocka_unit_test(test_nothing_of_it_is_believed),
    };

    return cmocka_run_group_tests(tests, audit_test_start, NULL);
}
