/* vault/broker/ledger.h: a PIN that failed is never tried again by a program.
 * The token here has three tries, may lie about them, and may end the process
 * that asks it. */
#include "store_test.h"
#include "tests/unit/full.h"

#include "vault/broker/ledger.h"

#include <dirent.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#define CARD "maker|card|0001"
#define TRIES 3

static struct store_folder folder;
static int *tries_left; /* shared with the processes that log in */

static int setup(void **state)
{
    (void)state;
    store_test_folder(&folder);
    tries_left = mmap(NULL, sizeof(*tries_left), PROT_READ | PROT_WRITE,
                      MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    assert_true(tries_left != MAP_FAILED);
    *tries_left = TRIES;
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    (void)munmap(tries_left, sizeof(*tries_left));
    store_test_remove(&folder);
    return 0;
}

enum behaviour { RIGHT, WRONG, CRASH, GONE };

/* What a broker does: asks, tells the token the PIN. */
static enum cv_status login(const struct cv_ledger_wish *wish,
                            enum behaviour token)
{
    struct cv_ledger_attempt attempt;
    enum cv_status s = cv_ledger_begin(folder.fd, wish, &attempt, NULL);

    if (s == CV_OK) {
        switch (token) {
        case RIGHT:
            *tries_left = TRIES;
            cv_ledger_finish(&attempt, CV_LEDGER_GOOD);
            break;
        case GONE:
            cv_ledger_finish(&attempt, CV_LEDGER_UNTRIED);
            break;
        case CRASH:
            (void)__atomic_sub_fetch(tries_left, 1, __ATOMIC_SEQ_CST);
            (void)kill(getpid(), SIGKILL);
            break;
        default:
            (void)__atomic_sub_fetch(tries_left, 1, __ATOMIC_SEQ_CST);
            cv_ledger_finish(&attempt, CV_LEDGER_NOT_GOOD);
            s = CV_FAILED;
        }
    }
    return s;
}

static const struct cv_ledger_wish program = {.token = CARD, .uri = "pkcs11:"};
static const struct cv_ledger_wish person = {
    .token = CARD, .uri = "pkcs11:", .human = true, .anew = true};

static void test_wrong_once(void **state)
{
    struct cv_ledger_wish typed = person;

    (void)state;
    assert_int_equal(login(&program, WRONG), CV_FAILED);
    assert_int_equal(login(&program, RIGHT), CV_AUTH);
    /* Typed, but nobody said that it is to be tried again. */
    typed.anew = false;
    assert_int_equal(login(&typed, RIGHT), CV_AUTH);
    /* A program cannot say so. */
    typed = person;
    typed.human = false;
    assert_int_equal(login(&typed, RIGHT), CV_AUTH);
    assert_int_equal(*tries_left, TRIES - 1);
    assert_int_equal(login(&person, RIGHT), CV_OK);
    assert_int_equal(login(&program, RIGHT), CV_OK);
}

/* A person mistypes it too: with a token that tells, the token's flags decide;
 * with one that does not, who goes on must know. */
static void test_blind(void **state)
{
    struct cv_ledger_wish typed = person;

    (void)state;
    assert_int_equal(login(&person, WRONG), CV_FAILED);
    assert_int_equal(login(&person, WRONG), CV_FAILED);
    assert_int_equal(login(&person, RIGHT), CV_AUTH);
    typed.told = true;
    assert_int_equal(login(&typed, WRONG), CV_FAILED);
    typed.told = false;
    typed.despite = 2;
    assert_int_equal(login(&typed, RIGHT), CV_AUTH);
    typed.despite = 3;
    assert_int_equal(login(&typed, RIGHT), CV_OK);
}

/* A token that was not there costs nothing, and forgives nothing. */
static void test_untried(void **state)
{
    (void)state;
    assert_int_equal(login(&program, GONE), CV_OK);
    assert_int_equal(login(&program, WRONG), CV_FAILED);
    assert_int_equal(login(&person, GONE), CV_OK);
    assert_int_equal(login(&program, RIGHT), CV_AUTH);
}

static void test_tokens_apart(void **state)
{
    struct cv_ledger_wish other = program;

    (void)state;
    other.token = "maker|card|0002";
    assert_int_equal(login(&program, WRONG), CV_FAILED);
    assert_int_equal(login(&other, RIGHT), CV_OK);
}

static void test_look(void **state)
{
    struct cv_err err;

    (void)state;
    cv_err_init(&err);
    assert_int_equal(cv_ledger_look(folder.fd, CARD, "pkcs11:", &err), CV_OK);
    assert_int_equal(login(&program, WRONG), CV_FAILED);
    assert_int_equal(cv_ledger_look(folder.fd, CARD, "pkcs11:x", &err),
                     CV_AUTH);
    assert_non_null(strstr(err.hint, "token login 'pkcs11:x'"));
    assert_int_equal(cv_ledger_attempts(folder.fd, CARD), 1);
    assert_int_equal(login(&person, RIGHT), CV_OK);
    assert_int_equal(cv_ledger_attempts(folder.fd, CARD), 0);
}

/* Before there is a vault there is no `token login`: who types the PIN goes on,
 * a program does not. */
static void test_first(void **state)
{
    struct cv_ledger_wish first = program;

    (void)state;
    first.first = true;
    assert_int_equal(login(&first, WRONG), CV_FAILED);
    assert_int_equal(login(&first, RIGHT), CV_AUTH);
    first.human = true;
    assert_int_equal(login(&first, WRONG), CV_FAILED);
    assert_int_equal(login(&first, RIGHT), CV_OK);
}

/* A row that cannot be read says that nobody knows. */
static void test_damaged(void **state)
{
    static const char *const texts[] = {
        "", "{}", "nonsense",
        "{\"token\":\"another\",\"attempts\":1,\"begun\":1,\"last\":1}"};
    struct dirent *item;
    char name[300] = "";
    DIR *dir;

    (void)state;
    assert_int_equal(login(&program, WRONG), CV_FAILED);
    dir = opendir(folder.path);
    assert_non_null(dir);
    while ((item = readdir(dir)) != NULL) {
        if (strncmp(item->d_name, "login-", 6) == 0) {
            (void)snprintf(name, sizeof(name), "%s", item->d_name);
        }
    }
    (void)closedir(dir);
    assert_int_equal(strlen(name), 6 + 32);
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        store_test_write(&folder, name, texts[i], strlen(texts[i]));
        assert_int_equal(login(&program, RIGHT), CV_AUTH);
    }
    assert_int_equal(login(&person, RIGHT), CV_OK);
    assert_int_equal(login(&program, RIGHT), CV_OK);
}

static void run(unsigned n, enum behaviour token)
{
    pid_t pids[8];

    for (unsigned i = 0; i < n; i++) {
        pids[i] = fork();
        if (pids[i] == 0) {
            _exit(login(&program, token) == CV_OK ? 0 : 1);
        }
    }
    for (unsigned i = 0; i < n; i++) {
        assert_int_equal(waitpid(pids[i], NULL, 0), pids[i]);
    }
}

/* P11: whatever programs do, the token has two tries left. */
static void test_never_burnt(void **state)
{
    unsigned rounds = cv_full_run() ? 1000 : 40;

    (void)state;
    for (unsigned i = 0; i < rounds; i++) {
        *tries_left = TRIES;
        switch (i % 4) {
        case 0:
            run(1, WRONG);
            run(1, WRONG);
            break;
        case 1:
            run(1, CRASH);
            run(2, WRONG);
            break;
        case 2:
            run(8, WRONG);
            break;
        default:
            run(8, CRASH);
        }
        assert_int_equal(*tries_left, TRIES - 1);
        assert_int_equal(login(&person, RIGHT), CV_OK);
        assert_int_equal(login(&program, RIGHT), CV_OK);
    }
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_wrong_once),   TEST(test_blind),       TEST(test_untried),
        TEST(test_tokens_apart), TEST(test_look),        TEST(test_first),
        TEST(test_damaged),      TEST(test_never_burnt),
    };

    return cmocka_run_group_tests(tests, store_test_start, NULL);
}
