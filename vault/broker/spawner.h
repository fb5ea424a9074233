/* The one that starts programs for the broker.
 *
 * Sandboxes are inherited: a broker that locked itself down could start nothing
 * that needs more than it has itself. So it forks this small process before. It
 * knows a fixed table of programs, takes a number, starts that program with one
 * end of a socket pair as descriptor 3 (the relay: of two pairs, 3 and 4), and
 * passes the other end back. It reads
 * no names, paths or arguments from the broker, and ends when the broker does.
 *
 * In a service intake and relay run under a user of their own, which this one
 * cannot become: then it connects to the sockets at which a service manager
 * starts them, and passes the connected descriptors back.
 *
 * This is the only place where a descriptor is passed. */
#ifndef CERTVAULT_BROKER_SPAWNER_H
#define CERTVAULT_BROKER_SPAWNER_H

#include "vault/base/err.h"
#include "vault/base/limits.h"

#include <stdbool.h>

enum cv_spawner_program {
    CV_SPAWNER_TOKEN,  /* libexec/certvault/token */
    CV_SPAWNER_MODULE, /* the same with --pkcs11: one PKCS#11 module */
    CV_SPAWNER_INTAKE, /* libexec/certvault/intake */
    CV_SPAWNER_NAMES,  /* a child of the spawner itself: user and group names,
                          time zones (vault/broker/names.h) */
    CV_SPAWNER_RELAY,  /* libexec/certvault/relay; has two sockets */
    CV_SPAWNER_SINK,   /* libexec/certvault/intake again, for a sink of the
                          record (sink.h) */
    /* From here on: children without a program of their own. */
    CV_SPAWNER_SETTINGS, /* a child of the spawner itself: what the
                            configuration says now (vault/broker/settings.h) */
    CV_SPAWNER_SSHSIG,   /* likewise: checks a signature (sshsig.h) */
    CV_SPAWNER_COMMAND,  /* likewise: runs the commands that are sinks
                            (sink_command.h) */
    /* And from here on: what may not be ended at once. */
    CV_SPAWNER_NOTIFY, /* likewise: becomes the notify command (notify.h) */
    CV_SPAWNER_ANCHOR, /* likewise: a checkpoint to a place (anchor_place.h)
                        */
    CV_SPAWNER_COUNT
};

/* A sink of the record, as the configuration has it. */
struct cv_spawner_sink {
    char *text;      /* the whole of it */
    char *name;      /* without parameters */
    char *ca_pem;    /* NULL: none was named */
    char *command;   /* absolute; NULL: intake hands it on */
    uint64_t behind; /* records that it may be behind */
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
    /* The folder with intake.sock, relay-orders.sock and relay-asks.sock, at
     * which these programs are to be had; NULL: they are started here. */
    const char *helpers_at;
    /* What is told of events (vault/broker/notify.h), absolute; NULL: nothing.
     */
    const char *notify;
    /* Where checkpoints go (vault/broker/anchor_config.h), checked, ended by
     * NULL; NULL: nowhere. */
    char **anchors;
    /* For each of them the text of its PEM file, or NULL: none was named. */
    char *anchor_cas[CV_LIMIT_ANCHORS];
    /* Copies of the record; of those that are commands, what is started. */
    struct cv_spawner_sink *sinks;
    size_t n_sinks;
    /* Run in children of the spawner, forked for it, with what was in memory
     * when the spawner was. NULL: there is nothing to be asked.
     * Serves io.certvault.Settings on `socket` until that closes. */
    void (*settings)(void *context, int socket);
    /* Writes the text for module processes as it is now; false: it cannot be
     * had, and the old one stays. */
    bool (*modules_now)(void *context, int fd);
    void *context;
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
 * is what cv_spawner_kill knows it by. */
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

/* Has the text for module processes read again, for those that are started from
 * now on. *changed: it is another. CV_CONFIG: it cannot be had, and the old one
 * stays; CV_UNAVAILABLE. */
CV_MUST_USE enum cv_status cv_spawner_reload(struct cv_spawner *sp,
                                             bool *changed, struct cv_err *err);

/* Is it dead? Looks without waiting. Nothing can be started any more then: the
 * broker ends, so that whoever watches it starts it anew. */
bool cv_spawner_look(struct cv_spawner *sp);

/* The socket whose other end closes with it, to be watched for that alone. */
int cv_spawner_lifeline(const struct cv_spawner *sp);

/* Ends it at once (SIGKILL), whatever it is doing; nothing happens where it has
 * ended, and to what was not started here: its service manager sees to that.
 * Does not wait. */
void cv_spawner_kill(struct cv_spawner *sp, uint32_t child);

#endif
