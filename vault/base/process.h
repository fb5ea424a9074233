/* Starting programs, and what a process does to itself first.
 *
 * A program is started with nothing of ours but what the call names: standard
 * streams as given, one socket as descriptor 3, extra descriptors from 4 up,
 * an environment made from scratch, a session of its own (the terminal's
 * Ctrl-C reaches the command line alone). */
#ifndef CERTVAULT_BASE_PROCESS_H
#define CERTVAULT_BASE_PROCESS_H

#include "vault/base/err.h"

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

/* The socket that a program is started with. */
#define CV_PROCESS_SOCKET 3
/* The first of the further descriptors it may be given. */
#define CV_PROCESS_EXTRA 4
#define CV_PROCESS_EXTRA_MAX 4

struct cv_process_start {
    const char *path;                /* absolute */
    char *const *argv;               /* NULL-terminated, argv[0] included */
    char *const *environment;        /* NULL-terminated; NULL: none */
    int socket;                      /* becomes descriptor 3; -1 (or 0): none */
    int extra[CV_PROCESS_EXTRA_MAX]; /* become 4..; -1 (or 0) ends the list */
    bool keep_stderr;                /* else /dev/null, as stdout always is */
    bool keep_stdin;                 /* else /dev/null */
};

/* Starts it, with signals as a new program expects them (none blocked, none
 * ignored). The descriptors named stay the caller's, to be closed by it. On
 * success *pid is the child's, to be waited for. CV_UNAVAILABLE when it cannot
 * be started (execve's error is told through a pipe, so it is known here). */
CV_MUST_USE enum cv_status cv_process_start(const struct cv_process_start *s,
                                            pid_t *pid, struct cv_err *err);

/* Waits for a child, blocking; its exit status, or 128 + signal. -1 on error
 * (no such child). */
int cv_process_wait(pid_t pid);

/* At the very start of a program: descriptors 0 to 2 are open, all from
 * `keep` + 1 up are closed, umask 077, SIGPIPE ignored, core size 0,
 * undumpable, libsodium started, cJSON's allocator set. Exits 1 when that
 * fails. */
void cv_process_begin(int keep);

/* A pair of connected stream sockets, close-on-exec. CV_INTERNAL; both are -1
 * then. */
CV_MUST_USE enum cv_status cv_process_pair(int pair[2], struct cv_err *err);

/* Writes the absolute path of `name` (such as "libexec/certvault/token") in the
 * installation that this program belongs to: beside the folder that holds the
 * program's own file, or, for a program in libexec/certvault, two above it.
 * CV_CONFIG when that cannot be told. Asks /proc, so call it before the
 * sandbox closes. */
CV_MUST_USE enum cv_status cv_process_path(const char *name, char *out,
                                           size_t out_len, struct cv_err *err);

/* Long enough for what cv_process_identity writes. */
#define CV_PROCESS_IDENTITY 96

/* Writes what tells the program file at `path` from any other that was or will
 * be there (device, inode, size, time of change); "" where there is none. For
 * two programs to see that they are of one installation. */
void cv_process_identity(const char *path, char out[CV_PROCESS_IDENTITY]);

#endif
