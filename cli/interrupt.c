#include "cli/interrupt.h"

#include <limits.h>
#include <signal.h>
#include <stddef.h>
#include <string.h>
#include <unistd.h>

static const int caught[] = {SIGINT, SIGTERM, SIGHUP};
#define N_CAUGHT (sizeof(caught) / sizeof(caught[0]))

static volatile sig_atomic_t guarded_fd = -1;
static struct termios guarded;
/* What is said: of a call, and of a question that stands. */
struct words {
    char text[4096];
    volatile sig_atomic_t n;
};

static struct words call, question;

static char dropped[PATH_MAX];
static volatile sig_atomic_t drops = 0;

/* Only what signal-safety(7) lists. */
static void end_now(int number)
{
    const struct words *said = question.n > 0 ? &question : &call;

    if (guarded_fd >= 0) {
        (void)tcsetattr(guarded_fd, TCSANOW, &guarded);
        (void)!write(guarded_fd, "\n", 1);
    }
    if (said->n > 0) {
        (void)!write(STDERR_FILENO, said->text, (size_t)said->n);
    }
    if (drops) {
        (void)rmdir(dropped);
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

static void keep(struct words *w, const void *text, size_t len)
{
    w->n = 0;
    if (len > 0 && len <= sizeof(w->text)) {
        memcpy(w->text, text, len);
        w->n = (sig_atomic_t)len;
    }
}

void cv_interrupt_say(const void *text, size_t len)
{
    keep(&call, text, len);
}

void cv_interrupt_ask(const void *text, size_t len)
{
    keep(&question, text, len);
}

void cv_interrupt_drop_folder(const char *path)
{
    drops = 0;
    if (path != NULL && strlen(path) < sizeof(dropped)) {
        memcpy(dropped, path, strlen(path) + 1);
        drops = 1;
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
