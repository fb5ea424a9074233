/* However many tiles are to be made, the service's manager hears that it lives
 * after every step of a size that is fixed. */
#include "vault/base/manager.h"
#include "vault/broker/tiling.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cmocka.h>

static int manager = -1;

struct made {
    uint64_t at, fails_at;
    size_t n;
};

/* Notices about the watchdog since the last look; nothing else may come. */
static size_t fed(void)
{
    char text[64];
    size_t n = 0;
    ssize_t got;

    while ((got = recv(manager, text, sizeof(text), MSG_DONTWAIT)) >= 0) {
        assert_int_equal(got, (ssize_t)strlen("WATCHDOG=1"));
        assert_memory_equal(text, "WATCHDOG=1", (size_t)got);
        n++;
    }
    assert_int_equal(errno, EAGAIN);
    return n;
}

static enum cv_status step(void *context, uint64_t size, struct cv_err *err)
{
    struct made *m = context;

    /* The one before is told of before the next begins. */
    assert_int_equal(fed(), m->n > 0);
    assert_true(size <= m->at || size - m->at <= CV_TILING_STEP);
    if (size == m->fails_at) {
        return cv_fail(err, CV_IO, "no room");
    }
    m->at = size;
    m->n++;
    return CV_OK;
}

static void each_step_is_told(void **state)
{
    static const struct {
        uint64_t at, size;
        size_t steps;
    } cases[] = {
        {0, 0, 1},
        {0, 1, 1},
        {0, CV_TILING_STEP, 1},
        {0, CV_TILING_STEP + 1, 2},
        {5, CV_TILING_STEP + 5, 1},
        {5, 40 * (uint64_t)CV_TILING_STEP, 40},
        {9, 9, 1},
        {9, 3, 1}, /* of a log that was put back */
        {UINT64_MAX - 1, UINT64_MAX, 1},
        {UINT64_MAX - CV_TILING_STEP - 1, UINT64_MAX, 2},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct made m = {.at = cases[i].at, .fails_at = UINT64_MAX - 5};

        assert_int_equal(
            cv_tiling_run(cases[i].at, cases[i].size, step, &m, NULL), CV_OK);
        assert_int_equal(fed(), 1);
        assert_int_equal(m.n, cases[i].steps);
        assert_int_equal(m.at, cases[i].size);
    }
}

static void a_step_that_fails_is_the_last(void **state)
{
    struct made m = {.fails_at = 2 * CV_TILING_STEP};
    struct cv_err err;

    (void)state;
    cv_err_init(&err);
    assert_int_equal(
        cv_tiling_run(0, 5 * (uint64_t)CV_TILING_STEP, step, &m, &err), CV_IO);
    assert_int_equal(m.at, CV_TILING_STEP);
    assert_int_equal(m.n, 1);
    assert_int_equal(fed(), 1);
}

static int start(void **state)
{
    struct sockaddr_un sa = {.sun_family = AF_UNIX};
    char name[64];
    int len = snprintf(name, sizeof(name), "@cv-tiling-%ld", (long)getpid());

    (void)state;
    memcpy(sa.sun_path + 1, name + 1, (size_t)len - 1);
    manager = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    return manager != -1 &&
                   bind(manager, (const struct sockaddr *)&sa,
                        (socklen_t)(offsetof(struct sockaddr_un, sun_path) +
                                    (size_t)len)) == 0 &&
                   cv_manager_open(name, "3600000000", NULL, NULL) == CV_OK
               ? 0
               : -1;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_step_is_told),
        cmocka_unit_test(a_step_that_fails_is_the_last),
    };

    return cmocka_run_group_tests(tests, start, NULL);
}
