#include "cli/interrupt.h"

#include <signal.h>
#include <stddef.h>
#include <string.h>
#include <unistd.h>

static const int caught[] = {SIGINT, SIGTERM, SIGHUP};
#define N_CAUGHT (sizeof(caught) / sizeof(caught[0]))

static volatile sig_atomic_t guarded_fd = -1;
static struct termios guarded;
static char words[4096];
static volatile sig_atomic_t n_words;

/* Only what signal-safety(7) lists. */
static void end_now(int number)
{
    if (guarded_fd >= 0) {
        (void)tcsetattr(guarded_fd, TCSANOW, &guarded);
        (void)!write(guarded_fd, "\n", 1);
    }
    if (n_words > 0) {
        (void)!write(STDERR_FILENO, words, (size_t)n_words);
    }
    _exit(128 + number);
}

void cv_interrupt_begin(void)
{
    struct sigaction act = {.sa_handler = end_now};

    (void)sigfillset(&act.sa_mask);
    for (size_t i = 0; i < N_CAUGHT; i++) {
        struct sigaction before;

        /* nohup and its kin have a say. */
        if (sigaction(caught[i], NULL, &before) == 0 &&
            before.sa_handler != SIG_IGN) {
            (void)sigaction(caught[i], &act, NULL);
        }
    }
}

void cv_interrupt_guard(int fd, const struct termios *settings)
{
    guarded = *settings;
    guarded_fd = fd;
}

void cv_interrupt_unguard(void)
{
    guarded_fd = -1;
}

void cv_interrupt_say(const void *text, size_t len)
{
    n_words = 0;
    if (len > 0 && len <= sizeof(words)) {
        memcpy(words, text, len);
        n_words = (sig_atomic_t)len;
    }
}

static void mask(int how)
{
    sigset_t set;

    (void)sigemptyset(&set);
    for (size_t i = 0; i < N_CAUGHT; i++) {
        (void)sigaddset(&set, caught[i]);
    }
    (void)sigprocmask(how, &set, NULL);
}

void cv_interrupt_hold(void)
{
    mask(SIG_BLOCK);
}

void cv_interrupt_release(void)
{
    mask(SIG_UNBLOCK);
}
