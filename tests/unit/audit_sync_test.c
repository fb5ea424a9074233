/* P7: a sync that fails is fatal. The log, its checkpoints and the tiles put
 * files and folders on the disk by so many syncs; each of them fails once, with
 * EIO. The call that it belongs to must fail; nothing is synced again by the
 * descriptor that it failed on (the kernel forgets what it could not write, and
 * says yes the second time); and what is opened anew has every leaf that was
 * called durable before, and goes on. */
#include "audit_test.h"

#include "vault/audit/tiles.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define MOST 200

int __real_fsync(int fd);
int __real_fdatasync(int fd);
int __real_close(int fd);
int __wrap_fsync(int fd);
int __wrap_fdatasync(int fd);
int __wrap_close(int fd);

static struct {
    unsigned n, fail_at; /* 0: none fails */
    int bad;             /* the descriptor it failed on; -1: closed, or none */
    unsigned again;      /* syncs of that */
    bool on_log, on_folder;
} syncs;

static bool fails(int fd)
{
    struct stat st;

    syncs.again += fd == syncs.bad ? 1 : 0;
    if (++syncs.n != syncs.fail_at) {
        return false;
    }
    assert_int_equal(fstat(fd, &st), 0);
    syncs.on_folder = S_ISDIR(st.st_mode);
    syncs.bad = fd;
    errno = EIO;
    return true;
}

int __wrap_fsync(int fd)
{
    return fails(fd) ? -1 : __real_fsync(fd);
}

int __wrap_fdatasync(int fd)
{
    bool failed = fails(fd);

    syncs.on_log = syncs.on_log || failed;
    return failed ? -1 : __real_fdatasync(fd);
}

int __wrap_close(int fd)
{
    syncs.bad = fd == syncs.bad ? -1 : syncs.bad;
    return __real_close(fd);
}

static void arm(unsigned at)
{
    memset(&syncs, 0, sizeof syncs);
    syncs.fail_at = at;
    syncs.bad = -1;
}

static enum cv_status append_some(struct cv_log *log, unsigned n)
{
    enum cv_status s = CV_OK;

    for (unsigned i = 0; i < n && s == CV_OK; i++) {
        cJSON *leaf =
            audit_test_leaf(CV_LEAF_DECISION, NULL, "export", "prod", i);

        s = cv_log_append(log, leaf, NULL, NULL);
        cJSON_Delete(leaf);
    }
    return s;
}

/* `both`: with leaves of its own, by one commit. */
static enum cv_status checkpoint(struct audit_vault *v, struct cv_log *log,
                                 bool both)
{
    struct cv_buf text;
    char line[512];
    enum cv_status s;

    cv_buf_init(&text, NULL, 4096);
    s = both ? append_some(log, 2) : CV_OK;
    if (s == CV_OK) {
        s = cv_checkpoint_begin(log, &text, NULL);
    }
    if (s == CV_OK) {
        audit_test_sign(v, cv_buf_bytes(&text), line, sizeof line);
        s = both ? cv_checkpoint_commit(log, cv_buf_bytes(&text), line, NULL)
                 : cv_checkpoint_finish(log, cv_buf_bytes(&text), line, NULL);
    }
    cv_buf_wipe(&text);
    return s;
}

/* A broker's work until something fails. *released: leaves that were called
 * durable. */
static enum cv_status work(struct audit_vault *v, struct cv_log *log,
                           uint64_t *released)
{
    enum cv_status s = CV_OK;

    for (int step = 0; step < 8 && s == CV_OK; step++) {
        switch (step % 4) {
        case 0:
            s = append_some(log, step == 0 ? 3 : 150);
            s = s == CV_OK ? cv_log_commit(log, NULL) : s;
            break;
        case 1:
            s = checkpoint(v, log, false);
            break;
        case 2:
            s = cv_tiles_update(v->fd, cv_log_size(log), NULL);
            break;
        default:
            s = checkpoint(v, log, true);
            break;
        }
        *released = s == CV_OK ? cv_log_size(log) : *released;
    }
    return s;
}

static struct cv_log *open_log(const struct audit_vault *v)
{
    struct cv_log *log = NULL;
    struct cv_err err;

    cv_err_init(&err);
    if (cv_log_open(v->fd, CV_LOG_WRITE, &log, &err) != CV_OK) {
        fail_msg("sync %u: %s", syncs.fail_at, err.text);
    }
    cv_log_stay(log);
    return log;
}

/* *more: there was such a sync; `kinds` counts of what. */
static void fail_one(unsigned at, bool *more, unsigned kinds[3])
{
    struct audit_vault v;
    struct cv_log *log;
    uint64_t released = 0;
    enum cv_status s;

    audit_test_vault(&v);
    log = open_log(&v);
    arm(at);
    s = work(&v, log, &released);
    *more = syncs.n >= at;
    if (*more) {
        assert_int_equal(s, CV_IO);
        assert_int_equal(syncs.n, at); /* and nothing after it */
        kinds[syncs.on_log ? 0 : syncs.on_folder ? 1 : 2]++;
        if (syncs.on_log) {
            /* Dead: nothing is written or synced by it any more. */
            assert_false(cv_log_alive(log));
            assert_int_equal(cv_log_commit(log, NULL), CV_IO);
            assert_int_equal(cv_log_refresh(log, NULL), CV_IO);
            assert_int_equal(cv_log_append(log, NULL, NULL, NULL), CV_IO);
        }
        assert_int_equal(syncs.again, 0);
    } else {
        assert_int_equal(s, CV_OK);
    }
    cv_log_close(log);
    assert_int_equal(syncs.bad, -1); /* it was closed */
    arm(0);
    log = open_log(&v);
    assert_true(cv_log_size(log) >= released);
    assert_int_equal(work(&v, log, &released), CV_OK);
    cv_log_close(log);
    log = open_log(&v);
    assert_true(cv_log_size(log) >= released);
    cv_log_close(log);
    audit_test_remove(&v);
}

static void test_each_sync_fails_once(void **state)
{
    unsigned kinds[3] = {0, 0, 0};
    bool more = true;
    unsigned at = 0;

    (void)state;
    while (more && at < MOST) {
        fail_one(++at, &more, kinds);
    }
    print_message("%u syncs: %u of the log, %u of folders, %u of other files\n",
                  at - 1, kinds[0], kinds[1], kinds[2]);
    assert_true(at < MOST);
    assert_true(kinds[0] >= 3 && kinds[1] >= 3 && kinds[2] >= 3);
}

/* The log is made by syncs too: one that was not is no log. */
static void test_each_sync_of_the_making(void **state)
{
    bool more = true;

    (void)state;
    for (unsigned at = 1; more; at++) {
        struct audit_vault v;
        struct cv_log *log = NULL;
        enum cv_status s;

        audit_test_vault(&v);
        assert_int_equal(unlinkat(v.fd, "audit/log", 0), 0);
        arm(at);
        s = cv_log_open(v.fd, CV_LOG_CREATE, &log, NULL);
        more = syncs.n >= at;
        assert_int_equal(s, more ? CV_IO : CV_OK);
        assert_int_equal(log == NULL, more);
        assert_int_equal(syncs.again, 0);
        assert_int_equal(syncs.bad, -1);
        assert_true(more || syncs.n >= 3);
        cv_log_close(log);
        audit_test_remove(&v);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_each_sync_fails_once),
        cmocka_unit_test(test_each_sync_of_the_making),
    };

    return cmocka_run_group_tests_name("audit_sync", tests, audit_test_start,
                                       NULL);
}
