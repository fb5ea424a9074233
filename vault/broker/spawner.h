/* The one that starts programs for the broker.
 *
 * Sandboxes are inherited: a broker that locked itself down could start nothing
 * that needs more than it has itself. So it forks this small process before. It
 * knows a fixed table of programs, takes a number, starts that program with one
 * end of a socket pair as descriptor 3 (the relay: of two pairs, 3 and 4), and
 * passes the other end back. It reads
 * no names, paths or arguments from the broker, and ends when the broker does.
 *
 * This is the only place where a descriptor is passed. */
#ifndef CERTVAULT_BROKER_SPAWNER_H
#define CERTVAULT_BROKER_SPAWNER_H

#include "vault/base/err.h"

#include <stdbool.h>

enum cv_spawner_program {
    CV_SPAWNER_TOKEN,  /* libexec/certvault/token */
    CV_SPAWNER_MODULE, /* the same with --pkcs11: one PKCS#11 module */
    CV_SPAWNER_INTAKE, /* libexec/certvault/intake */
    CV_SPAWNER_NAMES,  /* a child of the spawner itself: user and group names,
                          time zones (vault/broker/names.h) */
    CV_SPAWNER_RELAY,  /* libexec/certvault/relay; has two sockets */
    CV_SPAWNER_COUNT
};

/* What every program that it starts is started with; nothing of it comes from a
 * client. */
struct cv_spawner_options {
    bool allow_unlocked; /* memory that cannot be locked is accepted */
    /* For module processes alone: variables beside the fixed ones ("HOME=..."),
     * ended by NULL, NULL: none; and the text that they find as descriptor 4
     * (cli/module_config.h), NULL: none. */
    char **environment;
    char *modules;
};

struct cv_spawner;

/* Forks the spawner. Call it before any sandbox is entered and any thread is
 * started. `options` are borrowed for the call. CV_CONFIG (programs not found
 * beside this one), CV_INTERNAL. */
CV_MUST_USE enum cv_status
cv_spawner_start(const struct cv_spawner_options *options,
                 struct cv_spawner **out, struct cv_err *err);

/* Closes the socket to it, at which it ends, and waits for it; it waits for
 * what it started (their sockets must be closed by then). NULL is fine. */
void cv_spawner_free(struct cv_spawner *sp);

/* Asks for a program that will be wanted soon, without waiting: it starts while
 * the caller does something else, and cv_spawner_run then has it at once. What
 * fails is told there. */
void cv_spawner_prepare(struct cv_spawner *sp, enum cv_spawner_program program);

/* Starts a program; *fd is the socket to it, the caller's to close.
 * CV_UNAVAILABLE. Blocks until it runs. */
CV_MUST_USE enum cv_status cv_spawner_run(struct cv_spawner *sp,
                                          enum cv_spawner_program program,
                                          int *fd, struct cv_err *err);

/* As cv_spawner_run for a program that may have to be ended by force; *child
 * is what cv_spawner_kill knows it by. Not for what was prepared. */
CV_MUST_USE enum cv_status cv_spawner_run_child(struct cv_spawner *sp,
                                                enum cv_spawner_program program,
                                                int *fd, uint32_t *child,
                                                struct cv_err *err);

/* Starts the relay. fds[0] is the socket for orders (its descriptor 3), fds[1]
 * the one for what it asks (its descriptor 4); both are -1 on failure. As
 * cv_spawner_run_child. */
CV_MUST_USE enum cv_status cv_spawner_run_relay(struct cv_spawner *sp,
                                                int fds[2], uint32_t *child,
                                                struct cv_err *err);

/* Ends it at once (SIGKILL), whatever it is doing; nothing happens where it has
 * ended. Does not wait. */
void cv_spawner_kill(struct cv_spawner *sp, uint32_t child);

#endif
