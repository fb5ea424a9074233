/* Running the user's own command in our place, as a shell would have.
 *
 * It is in our process group and on our terminal: Ctrl-C and Ctrl-\ reach it
 * from the terminal itself, and while it runs they do not end us. When it stops
 * (Ctrl-Z, reading in the background) we stop too, so that the shell sees a
 * stopped job; continued, it goes on with us. A signal that somebody sends to
 * us alone (kill) is handed on to it. It gets the descriptors, umask and signal
 * dispositions that we were started with. */
#ifndef CERTVAULT_CLI_FOREGROUND_H
#define CERTVAULT_CLI_FOREGROUND_H

#include "vault/base/err.h"

#include <stdbool.h>
#include <stdint.h>

/* Before cv_process_begin: notes what a command is to be given back. */
void cv_foreground_remember(void);

/* From here to cv_foreground_run signals wait, so that what was made meanwhile
 * is removed again: cv_foreground_interrupted tells whether one came. */
void cv_foreground_hold(void);

/* The signal that came since and would have ended us; 0: none. */
int cv_foreground_interrupted(void);

/* What ended while the command ran. */
enum cv_foreground_end {
    CV_FOREGROUND_NOTHING,
    CV_FOREGROUND_TIME,  /* the time is over */
    CV_FOREGROUND_EARLY, /* somebody ended the grant */
    CV_FOREGROUND_LOST   /* the broker is gone */
};

struct cv_foreground {
    const char *const *argv; /* NULL-terminated; NULL: no command, just wait for
                                a signal or the end of the time */
    const char *(*environment)[2]; /* {name, value}, set before it runs; ends
                                      with a NULL name */
    int broker;                    /* its socket */
    int64_t seconds;               /* until the time is over */
    void *context;
    void (*ended)(void *context, enum cv_foreground_end how); /* once */
    /* Every other second: asks the broker, without waiting, whether the grant
     * lives. False: it is gone. */
    bool (*ask)(void *context);
    /* The broker has said something, or hung up. */
    enum cv_foreground_end (*hear)(void *context);
};

/* Runs it to its end. *code: the command's own, 128 + the signal that ended it,
 * 126 (not runnable) or 127 (not found); without a command 0. CV_INTERNAL;
 * without a command CV_UNAVAILABLE when it ended before its time. */
CV_MUST_USE enum cv_status cv_foreground_run(const struct cv_foreground *f,
                                             int *code, struct cv_err *err);

#endif
