#include "cli/prompt.h"

#include "cli/interrupt.h"
#include "vault/base/file.h"
#include "vault/base/limits.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define ROUNDS 3

static int open_terminal(const struct cv_cli *cli)
{
    return cli->no_input ? -1 : open("/dev/tty", O_RDWR | O_CLOEXEC | O_NOCTTY);
}

bool cv_prompt_possible(const struct cv_cli *cli)
{
    int fd = open_terminal(cli);
    bool possible = fd >= 0;

    cv_file_close(&fd);
    return possible;
}

static void say(int fd, const char *text)
{
    struct cv_buf b;

    cv_buf_init(&b, NULL, CV_KIB(8));
    cv_output_escape(&b, text);
    if (cv_buf_status(&b, "a question", NULL) == CV_OK) {
        (void)!cv_file_write(fd, cv_buf_bytes(&b), "", NULL);
    }
    cv_buf_wipe(&b);
}

/* What an interrupt says while a question stands. */
static void tell_unanswered(const struct cv_cli *cli)
{
    struct cv_err err;
    struct cv_buf words;

    cv_err_init(&err);
    (void)cv_fail(&err, CV_INTERRUPTED,
                  "interrupted, and the question was not answered");
    cv_err_state(&err, "%s",
                 cli->unasked != NULL ? cli->unasked : "nothing was done");
    cv_buf_init(&words, NULL, CV_KIB(4));
    cv_output_error_words(&cli->out, &err, &words);
    if (cv_buf_status(&words, "an error", NULL) == CV_OK) {
        cv_interrupt_ask(words.data, words.len);
    }
    cv_buf_wipe(&words);
}

void cv_prompt_begin(struct cv_cli *cli)
{
    cv_output_progress_end(&cli->out);
    tell_unanswered(cli);
}

void cv_prompt_end(void)
{
    cv_interrupt_ask(NULL, 0);
}

/* Reads up to the line's end, a byte at a time so that nothing is read ahead.
 * *len is `size` + 1 where the line was longer. False at the terminal's end. */
static bool read_line(int fd, char *line, size_t size, size_t *len)
{
    char c = '\0';

    *len = 0;
    for (;;) {
        ssize_t n = read(fd, &c, 1);

        if (n == -1 && errno == EINTR) {
            continue;
        }
        if (n != 1) {
            c = '\0';
            return false;
        }
        if (c == '\n' || c == '\r') {
            return true;
        }
        if (*len < size) {
            line[(*len)++] = c;
        } else {
            *len = size + 1;
        }
        c = '\0';
    }
}

static enum cv_status read_hidden(int fd, const char *question,
                                  struct cv_arena *arena, struct cv_bytes *out,
                                  struct cv_err *err)
{
    char *line = cv_arena_alloc(arena, CV_LIMIT_PASSPHRASE + 1, err);
    struct termios before, hidden;
    size_t len = 0;
    bool whole;

    if (line == NULL) {
        return err->status;
    }
    if (tcgetattr(fd, &before) != 0) {
        return cv_fail_errno(err, CV_LOCKED, "the terminal cannot be used");
    }
    hidden = before;
    hidden.c_lflag &= ~(tcflag_t)(ECHO | ECHONL);
    hidden.c_lflag |= ICANON | ISIG;
    /* Stopped here, the program would leave the terminal without echo. */
    hidden.c_cc[VSUSP] = _POSIX_VDISABLE;
    cv_interrupt_guard(fd, &before);
    (void)tcsetattr(fd, TCSAFLUSH, &hidden);
    say(fd, question);
    whole = read_line(fd, line, CV_LIMIT_PASSPHRASE, &len);
    (void)tcsetattr(fd, TCSAFLUSH, &before);
    cv_interrupt_unguard();
    (void)!write(fd, "\n", 1);
    if (!whole || len == 0) {
        return cv_fail(err, CV_INVALID, "nothing was typed");
    }
    if (len > CV_LIMIT_PASSPHRASE) {
        return cv_fail(err, CV_INVALID, "more than %d bytes were typed",
                       CV_LIMIT_PASSPHRASE);
    }
    *out = (struct cv_bytes){(const uint8_t *)line, len};
    return CV_OK;
}

enum cv_status cv_prompt_secret(struct cv_cli *cli, const char *question,
                                struct cv_arena *arena, struct cv_bytes *out,
                                struct cv_err *err)
{
    int fd = open_terminal(cli);
    struct cv_err local;
    enum cv_status s;

    cv_err_init(&local);
    if (fd == -1) {
        s = cv_fail(err, CV_LOCKED, "%s",
                    cli->no_input
                        ? "a secret is wanted and --no-input forbids asking"
                        : "a secret is wanted and there is no terminal to ask "
                          "on");
        cv_err_hint(err, "give it with --passphrase-file FILE or --key-file "
                         "FILE");
        return s;
    }
    cv_prompt_begin(cli);
    s = read_hidden(fd, question, arena, out, err ? err : &local);
    cv_prompt_end();
    cv_file_close(&fd);
    return s;
}

enum cv_status cv_prompt_new(struct cv_cli *cli, struct cv_arena *arena,
                             struct cv_bytes *out, struct cv_err *err)
{
    *out = (struct cv_bytes){NULL, 0};
    for (int i = 0; i < ROUNDS; i++) {
        struct cv_bytes again = {NULL, 0};
        enum cv_status s =
            cv_prompt_secret(cli, "New passphrase: ", arena, out, err);

        if (s == CV_OK) {
            s = cv_prompt_secret(cli, "The same again: ", arena, &again, err);
        }
        if (s == CV_LOCKED) {
            cv_err_hint(err, "give the new passphrase with "
                             "--new-passphrase-file FILE");
        }
        if (s != CV_OK) {
            return s;
        }
        if (cv_bytes_equal(*out, again)) {
            return CV_OK;
        }
        cv_output_warn(&cli->out, "these two differ");
    }
    return cv_fail(err, CV_INVALID, "the two passphrases differ");
}

enum cv_status cv_prompt_confirm(struct cv_cli *cli, struct cv_err *err,
                                 const char *fmt, ...)
{
    char question[512], answer[8];
    struct termios settings;
    size_t len = 0;
    enum cv_status s;
    va_list ap;
    int fd;

    if (cli->yes) {
        return CV_OK;
    }
    va_start(ap, fmt);
    (void)vsnprintf(question, sizeof(question), fmt, ap);
    va_end(ap);
    fd = open_terminal(cli);
    if (fd == -1) {
        s = cv_fail(err, CV_USAGE,
                    "this asks for a yes, and nobody can be "
                    "asked");
        cv_err_state(err, "nothing was done");
        cv_err_hint(err, "add --yes");
        return s;
    }
    cv_prompt_begin(cli);
    if (tcgetattr(fd, &settings) == 0) {
        cv_interrupt_guard(fd, &settings); /* its line is ended, too */
    }
    say(fd, question);
    say(fd, " [y/N] ");
    if (!read_line(fd, answer, sizeof(answer) - 1, &len)) {
        len = 0;
    }
    cv_interrupt_unguard();
    cv_prompt_end();
    cv_file_close(&fd);
    if ((len == 1 && (answer[0] == 'y' || answer[0] == 'Y')) ||
        (len == 3 && memcmp(answer, "yes", 3) == 0)) {
        return CV_OK;
    }
    s = cv_fail(err, CV_FAILED, "not confirmed");
    cv_err_state(err, "nothing was done");
    return s;
}
