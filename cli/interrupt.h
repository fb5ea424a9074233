/* Ctrl-C and its kin.
 *
 * SIGINT, SIGTERM and SIGHUP end the program at once with 128 + their number,
 * after the terminal got its echo back. A private broker sees its socket close
 * and ends cleanly by itself; what it had begun it finishes. What this program
 * must not leave half done is done between hold and release. */
#ifndef CERTVAULT_CLI_INTERRUPT_H
#define CERTVAULT_CLI_INTERRUPT_H

#include <stddef.h>
#include <termios.h>

/* Installs the handlers. */
void cv_interrupt_begin(void);

/* From now on an interrupt gives the terminal `fd` its `settings` back. */
void cv_interrupt_guard(int fd, const struct termios *settings);

/* No longer. */
void cv_interrupt_unguard(void);

/* From now on an interrupt writes this to standard error first (a copy; what is
 * longer than 4 KiB is not written). `len` 0: nothing any more. */
void cv_interrupt_say(const void *text, size_t len);

/* The same while a question stands that this program asked: it comes before
 * what cv_interrupt_say was given, which holds again afterwards (`len` 0). */
void cv_interrupt_ask(const void *text, size_t len);

/* From now on an interrupt removes this folder, if nothing is in it (a copy; a
 * path that is too long is not taken). NULL: no longer. */
void cv_interrupt_drop_folder(const char *path);

/* Puts interrupts off until release; the two nest not. */
void cv_interrupt_hold(void);
void cv_interrupt_release(void);

#endif
