/* Sinks that are commands: a child of the spawner starts the one that the
 * configuration names, once for each batch, with the leaves as lines on its
 * standard input and nothing else. Exit code 0: it has taken them all; any
 * other, or CV_LIMIT_SINK_SEND_S without an end: none of them, and they come
 * again.
 *
 * It serves Deliver of io.certvault.Intake (vault/wire). What the broker sends
 * chooses among the configured commands and names nothing. */
#ifndef CERTVAULT_BROKER_SINK_COMMAND_H
#define CERTVAULT_BROKER_SINK_COMMAND_H

struct cv_spawner_options;

/* Serves until `socket` (taken) closes. */
void cv_sink_command_serve(const struct cv_spawner_options *options,
                           int socket);

#endif
