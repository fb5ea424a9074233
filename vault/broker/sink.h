/* Sinks: copies of the record's leaves for whoever collects logs (syslog,
 * journald, a command, HTTP), as the configuration lists them (`audit.sinks`).
 *
 * Nothing waits for them, and nothing that is released depends on them. The log
 * itself is the queue: each sink has a cursor in it. */
#ifndef CERTVAULT_BROKER_SINK_H
#define CERTVAULT_BROKER_SINK_H

#include <stdbool.h>

struct cv_broker;

/* Hands on what the log has that sinks have not, as far as that goes without
 * waiting; called when the broker has nothing else to do. Not entered. True
 * while it wants to be called again within a second. Does nothing in a private
 * broker, or where no sinks are configured. */
bool cv_sink_tick(struct cv_broker *b);

/* Keeps the cursors and lets the sinks go, without waiting for them. */
void cv_sink_end(struct cv_broker *b);

#endif
