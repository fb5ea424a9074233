/* Many writers (P17): processes that append to one log under the vault's lock
 * and are killed at random leave one chain, without a gap or a number twice. */
#include "audit_test.h"
#include "full.h"

#include "vault/audit/verify.h"
#include "vault/base/json.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define WRITERS 16

/* Appended and told as durable, by each: what a killed one said stays. */
static uint64_t *told;

static uint64_t drawn;

static unsigned draw(unsigned n)
{
    drawn = drawn * UINT64_C(6364136223846793005) + 1442695040888963407u;
    return (unsigned)(drawn >> 33) % n;
}

static void append(const struct audit_vault *v, struct cv_log **log, int lock,
                   bool stays)
{
    bool alive = true;

    if (flock(lock, LOCK_EX) != 0) {
        _exit(2);
    }
    if (*log == NULL) {
        alive = cv_log_open(v->fd, CV_LOG_WRITE, log, NULL) == CV_OK;
        if (alive && stays) {
            cv_log_stay(*log);
        }
    } else {
        alive = cv_log_refresh(*log, NULL) == CV_OK;
    }
    if (!alive) {
        _exit(3);
    }
    audit_test_fill(*log, 1);
    ++*told;
    (void)flock(lock, LOCK_UN);
}

/* Until it was done `n` times, over all who took this place. */
static void write_on(const struct audit_vault *v, unsigned me, uint64_t n)
{
    struct cv_log *log = NULL;
    int lock = openat(v->fd, "lock", O_RDWR | O_CREAT | O_CLOEXEC, 0600);

    for (told += me; *told < n;) {
        append(v, &log, lock, me % 3 == 0);
    }
    _exit(0);
}

static void test_killed_at_random(void **state)
{
    const uint64_t each = cv_full_run() ? 500 : 25;
    const unsigned kills = cv_full_run() ? 400 : 40;
    const char *given = getenv("CV_SEED");
    const struct timespec moment = {0, 3000000};
    struct audit_vault v;
    struct cv_log *log = NULL;
    pid_t pids[WRITERS] = {0};
    cJSON *report = NULL;
    struct cv_err err;
    uint64_t all = 0;
    unsigned left = WRITERS, killed = 0;

    (void)state;
    cv_err_init(&err);
    audit_test_vault(&v);
    drawn = given != NULL ? strtoull(given, NULL, 10) : (uint64_t)time(NULL);
    print_message("CV_SEED=%llu\n", (unsigned long long)drawn);
    while (left > 0) {
        left = 0;
        for (unsigned i = 0; i < WRITERS; i++) {
            int status = 0;

            if (pids[i] > 0 && waitpid(pids[i], &status, WNOHANG) == pids[i]) {
                pids[i] = 0;
                if (WIFEXITED(status)) {
                    assert_int_equal(WEXITSTATUS(status), 0);
                }
            }
            if (pids[i] == 0 && told[i] < each) {
                pids[i] = fork();
                assert_true(pids[i] >= 0);
                if (pids[i] == 0) {
                    write_on(&v, i, each);
                }
            }
            left += pids[i] > 0;
        }
        if (killed < kills && left > 0) {
            unsigned one = draw(WRITERS);

            if (pids[one] > 0 && kill(pids[one], SIGKILL) == 0) {
                killed++;
            }
        }
        (void)nanosleep(&moment, NULL);
    }
    for (unsigned i = 0; i < WRITERS; i++) {
        all += told[i];
    }
    assert_true(all >= each * WRITERS);
    assert_int_equal(cv_log_open(v.fd, CV_LOG_WRITE, &log, &err), CV_OK);
    /* One that was killed between its commit and telling of it has one more. */
    assert_true(cv_log_size(log) >= all && cv_log_size(log) <= all + killed);
    print_message("%llu records, %u writers killed\n",
                  (unsigned long long)cv_log_size(log), killed);
    assert_int_equal(cv_verify_log(v.fd, NULL, &report, &err), CV_OK);
    cJSON_Delete(report);
    cv_log_close(log);
    audit_test_remove(&v);
}

static int start(void **state)
{
    told = mmap(NULL, WRITERS * sizeof *told, PROT_READ | PROT_WRITE,
                MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    return told == MAP_FAILED ? -1 : audit_test_start(state);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_killed_at_random)};

    return cmocka_run_group_tests(tests, start, NULL);
}
