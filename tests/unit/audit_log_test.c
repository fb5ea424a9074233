/* The log: appending, what makes a leaf durable, faults, torn tails, many
 * writers. System calls are wrapped by the linker (audit.cmake), so that they
 * can be counted and made to fail. */
#include "audit_test.h"
#include "tests/unit/full.h"

#include "vault/audit/log_internal.h"
#include "vault/base/file.h"
#include "vault/base/json.h"
#include "vault/base/limits.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

ssize_t __real_pwrite(int fd, const void *data, size_t len, off_t at);
ssize_t __wrap_pwrite(int fd, const void *data, size_t len, off_t at);
int __real_fdatasync(int fd);
int __wrap_fdatasync(int fd);
int __real_ftruncate(int fd, off_t len);
int __wrap_ftruncate(int fd, off_t len);

static struct {
    int writes, syncs, truncates;
    int write_errno; /* of the next write, after `partial` bytes */
    size_t partial;
    int sync_errno; /* of the next fdatasync */
    int interrupts; /* writes that say EINTR first */
    const struct audit_vault *unlink_at_sync;
    char order[16]; /* what came: w, s */
} calls;

static void note(char what)
{
    size_t n = strlen(calls.order);

    if (n + 1 < sizeof calls.order) {
        calls.order[n] = what;
    }
}

ssize_t __wrap_pwrite(int fd, const void *data, size_t len, off_t at)
{
    calls.writes++;
    note('w');
    if (calls.interrupts > 0) {
        calls.interrupts--;
        errno = EINTR;
        return -1;
    }
    if (calls.partial > 0) {
        size_t n = calls.partial < len ? calls.partial : len;

        calls.partial = 0;
        return __real_pwrite(fd, data, n, at);
    }
    if (calls.write_errno != 0) {
        errno = calls.write_errno;
        calls.write_errno = 0;
        return -1;
    }
    return __real_pwrite(fd, data, len, at);
}

int __wrap_fdatasync(int fd)
{
    calls.syncs++;
    note('s');
    if (calls.unlink_at_sync != NULL) {
        (void)unlinkat(calls.unlink_at_sync->fd, "audit/log", 0);
        calls.unlink_at_sync = NULL;
    }
    if (calls.sync_errno != 0) {
        errno = calls.sync_errno;
        calls.sync_errno = 0;
        return -1;
    }
    return __real_fdatasync(fd);
}

int __wrap_ftruncate(int fd, off_t len)
{
    calls.truncates++;
    return __real_ftruncate(fd, len);
}

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

static enum cv_status try_open(const struct audit_vault *v,
                               enum cv_log_mode mode)
{
    struct cv_log *log = NULL;
    struct cv_err err;
    enum cv_status status;

    cv_err_init(&err);
    status = cv_log_open(v->fd, mode, &log, &err);
    assert_int_equal(status == CV_OK, log != NULL);
    assert_int_equal(err.status, status);
    cv_log_close(log);
    return status;
}

static enum cv_status append_one(struct cv_log *log, uint64_t *seq)
{
    cJSON *leaf = audit_test_leaf(CV_LEAF_DECISION, NULL, "export", "prod", 1);
    enum cv_status status = cv_log_append(log, leaf, seq, NULL);

    cJSON_Delete(leaf);
    return status;
}

static size_t size_of(const struct audit_vault *v, const char *name)
{
    struct stat st;

    assert_int_equal(fstatat(v->fd, name, &st, 0), 0);
    return (size_t)st.st_size;
}

static void test_modes(void **state)
{
    struct audit_vault v;
    struct stat st;

    (void)state;
    audit_test_vault(&v);
    assert_int_equal(fstatat(v.fd, "audit", &st, 0), 0);
    assert_int_equal(st.st_mode & 07777, 0700);
    assert_int_equal(fstatat(v.fd, "audit/log", &st, 0), 0);
    assert_int_equal(st.st_mode & 07777, 0600);
    assert_int_equal(fstatat(v.fd, "audit/log.key", &st, 0), 0);
    assert_int_equal(st.st_mode & 07777, 0600);
    assert_int_equal(try_open(&v, CV_LOG_CREATE), CV_EXISTS);
    assert_int_equal(try_open(&v, CV_LOG_READ), CV_OK);
    assert_int_equal(try_open(&v, CV_LOG_WRITE), CV_OK);
    assert_int_equal(fchmodat(v.fd, "audit", 0755, 0), 0);
    assert_int_equal(try_open(&v, CV_LOG_WRITE), CV_CONFIG);
    assert_int_equal(fchmodat(v.fd, "audit", 0700, 0), 0);
    assert_int_equal(fchmodat(v.fd, "audit/log", 0640, 0), 0);
    assert_int_equal(try_open(&v, CV_LOG_WRITE), CV_CONFIG);
    assert_int_equal(fchmodat(v.fd, "audit/log", 0600, 0), 0);
    assert_int_equal(unlinkat(v.fd, "audit/log", 0), 0);
    assert_int_equal(try_open(&v, CV_LOG_WRITE), CV_INTEGRITY);
    assert_int_equal(try_open(&v, CV_LOG_READ), CV_INTEGRITY);
    assert_int_equal(symlinkat("/dev/null", v.fd, "audit/log"), 0);
    assert_int_equal(try_open(&v, CV_LOG_WRITE), CV_CONFIG);
    assert_int_equal(unlinkat(v.fd, "audit/log", 0), 0);
    assert_int_equal(mkfifoat(v.fd, "audit/log", 0600), 0);
    assert_int_equal(try_open(&v, CV_LOG_WRITE), CV_CONFIG);
    assert_int_equal(unlinkat(v.fd, "audit/log", 0), 0);
    assert_int_equal(unlinkat(v.fd, "audit/key.pub", 0), 0);
    assert_int_equal(try_open(&v, CV_LOG_READ), CV_NOT_FOUND);
    audit_test_remove(&v);
}

static void test_append(void **state)
{
    struct audit_vault v;
    struct cv_log *log;
    uint8_t root[32], again[32];
    uint64_t seq = 99;

    (void)state;
    audit_test_vault(&v);
    log = open_log(&v);
    assert_int_equal(append_one(log, &seq), CV_OK);
    assert_int_equal(seq, 0);
    assert_int_equal(append_one(log, &seq), CV_OK);
    assert_int_equal(seq, 1);
    assert_int_equal(size_of(&v, "audit/log"), 0); /* nothing yet */
    assert_int_equal(cv_log_size(log), 0);
    assert_int_equal(cv_log_refresh(log, NULL), CV_INTERNAL);
    cv_log_discard(log);
    assert_int_equal(cv_log_commit(log, NULL), CV_OK);
    assert_int_equal(size_of(&v, "audit/log"), 0);
    audit_test_fill(log, 50);
    assert_int_equal(cv_log_size(log), 50);
    cv_tree_root(cv_log_tree(log), root);
    cv_log_close(log);
    log = open_log(&v);
    assert_int_equal(cv_log_size(log), 50);
    cv_tree_root(cv_log_tree(log), again);
    assert_memory_equal(root, again, 32);
    assert_int_equal(append_one(log, &seq), CV_OK);
    assert_int_equal(seq, 50);
    cv_log_close(log); /* never committed */
    log = open_log(&v);
    assert_int_equal(cv_log_size(log), 50);
    cv_log_close(log);
    cv_log_close(NULL);
    audit_test_remove(&v);
}

/* However many leaves: one write, then one fdatasync, before commit returns. */
static void test_one_sync(void **state)
{
    struct audit_vault v;
    struct cv_log *log;

    (void)state;
    audit_test_vault(&v);
    log = open_log(&v);
    for (int i = 0; i < 500; i++) {
        assert_int_equal(append_one(log, NULL), CV_OK);
    }
    memset(&calls, 0, sizeof calls);
    assert_int_equal(cv_log_commit(log, NULL), CV_OK);
    assert_string_equal(calls.order, "ws");
    memset(&calls, 0, sizeof calls);
    assert_int_equal(cv_log_commit(log, NULL), CV_OK);
    assert_int_equal(calls.writes + calls.syncs, 0);
    assert_int_equal(append_one(log, NULL), CV_OK);
    calls.interrupts = 3;
    calls.partial = 10;
    assert_int_equal(cv_log_commit(log, NULL), CV_OK);
    assert_string_equal(calls.order, "wwwwws");
    cv_log_close(log);
    assert_int_equal(try_open(&v, CV_LOG_READ), CV_OK);
    audit_test_remove(&v);
}

static void test_bad_leaves(void **state)
{
    struct audit_vault v;
    struct cv_log *log;
    char big[CV_LIMIT_LEAF + 10];
    cJSON *leaf;
    uint64_t seq = 0;

    (void)state;
    audit_test_vault(&v);
    log = open_log(&v);
    assert_int_equal(append_one(log, NULL), CV_OK);
    leaf = audit_test_leaf(CV_LEAF_DECISION, NULL, "export", "prod", 1);
    memset(big, 'x', sizeof big);
    big[sizeof big - 1] = '\0';
    assert_true(cv_json_add_str(leaf, "zz", big));
    assert_int_equal(cv_log_append(log, leaf, NULL, NULL), CV_INVALID);
    cJSON_Delete(leaf);
    leaf = audit_test_leaf(CV_LEAF_DECISION, NULL, "export", "prod", 1);
    assert_true(cv_json_add_str(leaf, "zz", "del \x7f"));
    assert_int_equal(cv_log_append(log, leaf, NULL, NULL), CV_INVALID);
    cJSON_Delete(leaf);
    leaf = audit_test_leaf(CV_LEAF_DECISION, NULL, "export", "prod", 1);
    assert_true(cv_json_add_item(leaf, "zz", cJSON_CreateNumber(0.5)));
    assert_int_equal(cv_log_append(log, leaf, NULL, NULL), CV_INVALID);
    cJSON_Delete(leaf);
    leaf = audit_test_leaf(CV_LEAF_DECISION, NULL, "export", "prod", 1);
    /* numbered twice: the second number counts */
    assert_int_equal(cv_log_append(log, leaf, &seq, NULL), CV_OK);
    assert_int_equal(cv_log_append(log, leaf, &seq, NULL), CV_OK);
    assert_int_equal(seq, 2);
    cJSON_Delete(leaf);
    assert_int_equal(cv_log_commit(log, NULL), CV_OK);
    assert_int_equal(cv_log_size(log), 3);
    cv_log_close(log);
    assert_int_equal(cv_log_open(v.fd, CV_LOG_READ, &log, NULL), CV_OK);
    assert_int_equal(append_one(log, NULL), CV_IO);
    cv_log_close(log);
    audit_test_remove(&v);
}

/* P2: what may happen to the file under a broker's hands. */
enum fault {
    UNLINKED,
    RENAMED,
    REPLACED,
    REPLACED_FIFO,
    REPLACED_NULL,
    CUT_BY_ONE,
    CUT_TO_NOTHING,
    GREW,
    FAULTS
};

static void do_fault(const struct audit_vault *v, enum fault fault)
{
    size_t len;
    uint8_t *bytes = audit_test_read(v, "audit/log", &len);
    int fd = openat(v->fd, "audit/log", O_RDWR);

    assert_true(fd >= 0);
    switch (fault) {
    case CUT_BY_ONE:
        assert_int_equal(__real_ftruncate(fd, (off_t)len - 1), 0);
        break;
    case CUT_TO_NOTHING:
        assert_int_equal(__real_ftruncate(fd, 0), 0);
        break;
    case GREW:
        assert_int_equal(__real_pwrite(fd, "x", 1, (off_t)len), 1);
        break;
    default:
        assert_int_equal(renameat(v->fd, "audit/log", v->fd, "audit/moved"), 0);
        break;
    }
    if (fault == UNLINKED) {
        assert_int_equal(unlinkat(v->fd, "audit/moved", 0), 0);
    } else if (fault == REPLACED) {
        audit_test_write(v, "audit/log", bytes, len);
    } else if (fault == REPLACED_FIFO) {
        assert_int_equal(mkfifoat(v->fd, "audit/log", 0600), 0);
    } else if (fault == REPLACED_NULL) {
        assert_int_equal(symlinkat("/dev/null", v->fd, "audit/log"), 0);
    }
    (void)close(fd);
    free(bytes);
}

static void mend(const struct audit_vault *v, const uint8_t *bytes, size_t len)
{
    (void)unlinkat(v->fd, "audit/log", 0);
    (void)unlinkat(v->fd, "audit/moved", 0);
    audit_test_write(v, "audit/log", bytes, len);
}

/* Once it is noticed by the refresh, once by the commit alone. */
static void fault_once(enum fault fault, bool refresh)
{
    struct audit_vault v;
    struct cv_log *log;
    struct cv_err err;
    uint8_t *bytes;
    size_t len;
    enum cv_status status;

    cv_err_init(&err);
    audit_test_vault(&v);
    log = open_log(&v);
    audit_test_fill(log, 7);
    bytes = audit_test_read(&v, "audit/log", &len);
    do_fault(&v, fault);
    if (refresh) {
        status = cv_log_refresh(log, &err);
        /* What somebody added may be a torn end, which is no reason to stop;
         * that it is not this log's is seen when it is read. */
        assert_int_equal(status, fault == GREW ? CV_OK : CV_IO);
    }
    if (!refresh || fault != GREW) {
        memset(&calls, 0, sizeof calls);
        status = append_one(log, NULL);
        status = status == CV_OK ? cv_log_commit(log, &err) : status;
        assert_int_equal(status, CV_IO);
        assert_int_equal(cv_log_size(log), 7);
        assert_false(cv_log_alive(log));
        assert_int_equal(append_one(log, NULL), CV_IO);
        assert_int_equal(cv_log_commit(log, NULL), CV_IO);
        assert_int_equal(cv_log_refresh(log, NULL), CV_IO);
        assert_int_equal(calls.writes, 0); /* not even tried */
        assert_true(err.hint[0] != '\0');
    }
    cv_log_close(log);
    mend(&v, bytes, len);
    log = open_log(&v); /* goes on without a restart */
    audit_test_fill(log, 2);
    assert_int_equal(cv_log_size(log), 9);
    cv_log_close(log);
    free(bytes);
    audit_test_remove(&v);
}

static void test_faults(void **state)
{
    (void)state;
    for (int fault = 0; fault < FAULTS; fault++) {
        fault_once((enum fault)fault, true);
        fault_once((enum fault)fault, false);
    }
}

/* Unlinked after the first look at the file: the second one sees it. */
static void test_unlinked_meanwhile(void **state)
{
    struct audit_vault v;
    struct cv_log *log;

    (void)state;
    audit_test_vault(&v);
    log = open_log(&v);
    audit_test_fill(log, 3);
    assert_int_equal(append_one(log, NULL), CV_OK);
    memset(&calls, 0, sizeof calls);
    calls.unlink_at_sync = &v;
    assert_int_equal(cv_log_commit(log, NULL), CV_IO);
    assert_string_equal(calls.order, "ws");
    assert_int_equal(cv_log_size(log), 3);
    assert_false(cv_log_alive(log));
    cv_log_close(log);
    audit_test_remove(&v);
}

static void test_write_errors(void **state)
{
    static const int numbers[] = {ENOSPC, EDQUOT, EIO, EROFS};
    struct audit_vault v;
    struct cv_log *log;

    (void)state;
    audit_test_vault(&v);
    log = open_log(&v);
    audit_test_fill(log, 3);
    for (size_t i = 0; i < 3 * sizeof numbers / sizeof numbers[0]; i++) {
        size_t before = size_of(&v, "audit/log");
        struct cv_err err;

        cv_err_init(&err);
        memset(&calls, 0, sizeof calls);
        assert_int_equal(append_one(log, NULL), CV_OK);
        if (i % 3 == 2) {
            calls.sync_errno = numbers[i / 3];
        } else {
            calls.write_errno = numbers[i / 3];
            calls.partial = i % 3 == 1 ? 100 : 0;
        }
        assert_int_equal(cv_log_commit(log, &err), CV_IO);
        assert_int_equal(err.native, numbers[i / 3]);
        assert_true(strstr(err.state, "nothing was released") != NULL);
        assert_int_equal(calls.syncs, i % 3 == 2 ? 1 : 0);
        /* never again on this descriptor */
        assert_false(cv_log_alive(log));
        assert_int_equal(cv_log_commit(log, NULL), CV_IO);
        assert_int_equal(calls.syncs, i % 3 == 2 ? 1 : 0);
        assert_int_equal(size_of(&v, "audit/log"), before);
        cv_log_close(log);
        log = open_log(&v);
        assert_int_equal(cv_log_torn(log), 0);
        assert_int_equal(cv_log_size(log), 3);
    }
    cv_log_close(log);
    audit_test_remove(&v);
}

/* A log that died is opened again: what was durable by its word is there, cut
 * off behind the last checkpoint or not. */
static void test_open_again(void **state)
{
    struct audit_vault v;
    struct cv_log *log, *again = NULL;
    struct cv_tree known;
    uint8_t *bytes;
    size_t len;

    (void)state;
    audit_test_vault(&v);
    log = open_log(&v);
    audit_test_fill(log, 3);
    audit_test_checkpoint(&v, log);
    audit_test_fill(log, 4);
    known = *cv_log_tree(log);
    cv_log_close(log);
    bytes = audit_test_read(&v, "audit/log", &len);
    for (unsigned n = 3; n < 7; n++) {
        size_t torn = n % 2 == 0 ? 9 : 0;

        audit_test_write(&v, "audit/log", bytes,
                         audit_test_frame(bytes, len, n) + torn);
        /* Who knows no better takes it for a torn end. */
        assert_int_equal(try_open(&v, CV_LOG_WRITE), CV_OK);
        assert_int_equal(cv_log_open_again(v.fd, &known, &again, NULL),
                         CV_INTEGRITY);
        assert_null(again);
    }
    /* So many leaves, but others. */
    audit_test_write(&v, "audit/log", bytes, audit_test_frame(bytes, len, 6));
    log = open_log(&v);
    audit_test_fill(log, 2);
    cv_log_close(log);
    assert_int_equal(cv_log_open_again(v.fd, &known, &again, NULL),
                     CV_INTEGRITY);
    audit_test_write(&v, "audit/log", bytes, len);
    assert_int_equal(cv_log_open_again(v.fd, &known, &again, NULL), CV_OK);
    audit_test_fill(again, 2);
    cv_log_close(again);
    assert_int_equal(cv_log_open_again(v.fd, &known, &again, NULL), CV_OK);
    assert_int_equal(cv_log_size(again), 9);
    cv_log_close(again);
    free(bytes);
    audit_test_remove(&v);
}

static void test_refresh(void **state)
{
    struct audit_vault v;
    struct cv_log *a, *b;
    size_t len;
    uint8_t *bytes;

    (void)state;
    audit_test_vault(&v);
    a = open_log(&v);
    b = open_log(&v);
    audit_test_fill(a, 6);
    assert_int_equal(cv_log_size(b), 0);
    assert_int_equal(cv_log_refresh(b, NULL), CV_OK);
    assert_int_equal(cv_log_size(b), 6);
    audit_test_fill(b, 2);
    assert_int_equal(cv_log_refresh(a, NULL), CV_OK);
    assert_int_equal(cv_log_size(a), 8);
    /* Both know of a torn end; one replaces it by leaves of the same length:
     * the other must not cut them off. */
    bytes = audit_test_read(&v, "audit/log", &len);
    audit_test_write(&v, "audit/log", bytes,
                     audit_test_frame(bytes, len, 7) + 100);
    cv_log_close(a);
    cv_log_close(b);
    a = open_log(&v);
    b = open_log(&v);
    assert_int_equal(cv_log_torn(a), 100);
    assert_int_equal(cv_log_torn(b), 100);
    assert_int_equal(append_one(b, NULL), CV_OK);
    assert_int_equal(cv_log_commit(b, NULL), CV_OK);
    a->torn = size_of(&v, "audit/log") - a->done.offset;
    assert_int_equal(cv_log_refresh(a, NULL), CV_OK);
    assert_int_equal(cv_log_torn(a), 0);
    assert_int_equal(cv_log_size(a), 8);
    assert_int_equal(append_one(a, NULL), CV_OK);
    assert_int_equal(cv_log_commit(a, NULL), CV_OK);
    cv_log_close(a);
    cv_log_close(b);
    a = open_log(&v);
    assert_int_equal(cv_log_size(a), 9);
    cv_log_close(a);
    free(bytes);
    audit_test_remove(&v);
}

/* Somebody else's continuation, well-formed but of another log. */
static void test_refresh_foreign(void **state)
{
    struct audit_vault v, w;
    struct cv_log *log, *other;
    size_t len, other_len;
    uint8_t *bytes, *others;

    (void)state;
    audit_test_vault(&v);
    audit_test_vault(&w);
    log = open_log(&v);
    other = open_log(&w);
    audit_test_fill(log, 3);
    audit_test_fill(other, 4);
    bytes = audit_test_read(&v, "audit/log", &len);
    others = audit_test_read(&w, "audit/log", &other_len);
    bytes = realloc(bytes, len + other_len);
    assert_non_null(bytes);
    memcpy(bytes + len, others + audit_test_frame(others, other_len, 3),
           other_len - audit_test_frame(others, other_len, 3));
    audit_test_write(&v, "audit/log", bytes,
                     len + other_len - audit_test_frame(others, other_len, 3));
    assert_int_equal(cv_log_refresh(log, NULL), CV_INTEGRITY);
    assert_false(cv_log_alive(log));
    free(bytes);
    free(others);
    cv_log_close(log);
    cv_log_close(other);
    audit_test_remove(&v);
    audit_test_remove(&w);
}

static void lock(const struct audit_vault *v, int *fd)
{
    *fd = openat(v->fd, "lock", O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (*fd < 0 || flock(*fd, LOCK_EX) != 0) {
        _exit(3);
    }
}

/* One of many writers: per transaction lock, refresh, append, commit. */
static void write_many(const struct audit_vault *v, unsigned n)
{
    struct cv_log *log = NULL;
    int fd;

    lock(v, &fd);
    if (cv_log_open(v->fd, CV_LOG_WRITE, &log, NULL) != CV_OK) {
        _exit(4);
    }
    (void)close(fd);
    for (unsigned i = 0; i < n; i++) {
        uint64_t seq = 0;

        lock(v, &fd);
        if (cv_log_refresh(log, NULL) != CV_OK) {
            _exit(5);
        }
        for (unsigned j = 0; j <= i % 3; j++) {
            if (append_one(log, &seq) != CV_OK) {
                _exit(6);
            }
        }
        if (cv_log_commit(log, NULL) != CV_OK || cv_log_size(log) != seq + 1) {
            _exit(7);
        }
        (void)close(fd);
    }
    _exit(0);
}

#define WRITERS 8

/* P17: many processes, some killed at any instruction: one chain, no number
 * twice, none left out. */
static void test_many_writers(void **state)
{
    bool full = cv_full_run();
    unsigned each = full ? 500 : 60;
    struct audit_vault v;
    struct cv_log *log;
    pid_t pids[WRITERS];

    (void)state;
    audit_test_vault(&v);
    for (int i = 0; i < WRITERS; i++) {
        pids[i] = fork();
        assert_true(pids[i] >= 0);
        if (pids[i] == 0) {
            write_many(&v, each);
        }
    }
    for (int i = 0; i < WRITERS; i++) {
        int wait_status = 0;

        if (i % 4 == 3) { /* somewhere in the middle of its work */
            while (size_of(&v, "audit/log") < (size_t)i * 20000) {
            }
            (void)kill(pids[i], SIGKILL);
        }
        assert_int_equal(waitpid(pids[i], &wait_status, 0), pids[i]);
        if (i % 4 != 3) {
            assert_true(WIFEXITED(wait_status));
            assert_int_equal(WEXITSTATUS(wait_status), 0);
        }
    }
    log = open_log(&v);
    assert_true(cv_log_size(log) >= (uint64_t)(WRITERS - 2) * each * 2);
    cv_log_close(log);
    audit_test_remove(&v);
}

/* base64 has '+' too, as has what stands between the key's parts. */
static void test_many_keys(void **state)
{
    struct cv_arena *arena = NULL;
    struct cv_bytes seed;

    (void)state;
    assert_int_equal(cv_arena_new(CV_MIB(1), &arena, NULL), CV_OK);
    for (int i = 0; i < 20; i++) {
        struct audit_vault v;

        audit_test_vault(&v);
        assert_int_equal(cv_logkey_read_seed(v.fd, &v.key, arena, &seed, NULL),
                         CV_OK);
        audit_test_remove(&v);
    }
    cv_arena_free(arena);
}

/* What a new vault has: a name that must be one, and one key. */
static void test_key(void **state)
{
    struct audit_vault v;
    struct cv_note_key key;
    struct cv_arena *arena = NULL;
    struct cv_bytes seed;
    size_t len;
    uint8_t *bytes;

    (void)state;
    audit_test_vault(&v);
    assert_int_equal(cv_logkey_create(v.fd, "other", &key, NULL), CV_EXISTS);
    assert_int_equal(cv_logkey_read(v.fd, &key, NULL), CV_OK);
    assert_memory_equal(&key, &v.key, sizeof key);
    assert_int_equal(cv_arena_new(65536, &arena, NULL), CV_OK);
    assert_int_equal(cv_logkey_read_seed(v.fd, &key, arena, &seed, NULL),
                     CV_OK);
    assert_true(cv_arena_owns(arena, seed.data));
    key.public_key[0] ^= 1;
    assert_int_equal(cv_logkey_read_seed(v.fd, &key, arena, &seed, NULL),
                     CV_INTEGRITY);
    assert_null(seed.data);
    bytes = audit_test_read(&v, "audit/log.key", &len);
    assert_memory_equal(bytes, "PRIVATE+KEY+certvault.example/test+", 35);
    bytes[len - 5] ^= 1;
    audit_test_write(&v, "audit/log.key", bytes, len);
    free(bytes);
    assert_int_equal(cv_logkey_read_seed(v.fd, &v.key, arena, &seed, NULL),
                     CV_INTEGRITY);
    audit_test_write(&v, "audit/key.pub", "garbage\n", 8);
    assert_int_equal(cv_logkey_read(v.fd, &key, NULL), CV_INTEGRITY);
    assert_int_equal(try_open(&v, CV_LOG_WRITE), CV_INTEGRITY);
    assert_int_equal(unlinkat(v.fd, "audit/key.pub", 0), 0);
    assert_int_equal(cv_logkey_read(v.fd, &key, NULL), CV_NOT_FOUND);
    assert_int_equal(unlinkat(v.fd, "audit/log.key", 0), 0);
    assert_int_equal(cv_logkey_create(v.fd, "has blank", &key, NULL),
                     CV_INVALID);
    assert_int_equal(cv_logkey_create(v.fd, "a+b", &key, NULL), CV_INVALID);
    assert_int_equal(cv_logkey_create(v.fd, "", &key, NULL), CV_INVALID);
    assert_int_equal(faccessat(v.fd, "audit/log.key", F_OK, 0), -1);
    cv_arena_free(arena);
    audit_test_remove(&v);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_modes),
        cmocka_unit_test(test_append),
        cmocka_unit_test(test_one_sync),
        cmocka_unit_test(test_bad_leaves),
        cmocka_unit_test(test_faults),
        cmocka_unit_test(test_unlinked_meanwhile),
        cmocka_unit_test(test_write_errors),
        cmocka_unit_test(test_open_again),
        cmocka_unit_test(test_refresh),
        cmocka_unit_test(test_refresh_foreign),
        cmocka_unit_test(test_many_writers),
        cmocka_unit_test(test_many_keys),
        cmocka_unit_test(test_key),
    };

    return cmocka_run_group_tests(tests, audit_test_start, NULL);
}
