/* Sinks: copies of the record's leaves for whoever collects logs (syslog,
 * journald, a command, HTTP), as the configuration lists them (`audit.sinks`,
 * cli/sink_target.h).
 *
 * Nothing waits for them, and nothing that is released depends on them. The log
 * itself is the queue: each sink has a cursor in it, kept in audit/sinks
 * (docs/formats.md), and is handed durable leaves alone, in their order. A
 * process of its own for each sink (intake, or the commands' child of the
 * spawner) speaks to the other end; it gets a batch, answers what of it was
 * taken, and gets the next; so one that hangs keeps nobody waiting.
 *
 * At least once: after a crash, or when a connection was reset, what may not
 * have arrived comes again. A sink that is too far behind skips ahead; the gap
 * is counted, recorded (event `sink`) and told in the stream itself.
 *
 * Of several brokers of one vault, one at a time hands on (audit/sinks.lock).
 * A service and an agent do while they live; a private broker only when it is
 * asked to (AuditSend). */
#ifndef CERTVAULT_BROKER_SINK_H
#define CERTVAULT_BROKER_SINK_H

#include "vault/base/json.h"

#include <stdbool.h>

struct cv_broker;

/* Hands on what the log has that sinks have not, as far as that goes without
 * waiting; called when the broker has nothing else to do. Not entered. True
 * while it wants to be called again within a second. Does nothing in a private
 * broker that was not asked, or where no sinks are configured. */
bool cv_sink_tick(struct cv_broker *b);

/* From now on, in a private broker too; and those that failed are tried again
 * at once. CV_CONFIG: no sinks are configured; CV_BUSY: another broker of this
 * vault hands them on. */
CV_MUST_USE enum cv_status cv_sink_hurry(struct cv_broker *b,
                                         struct cv_err *err);

/* An array of {"name", "seq" (the next), "lag" (records), "state" (idle,
 * sending, failing, skipping, elsewhere), "error"?, "failures", "gaps" (records
 * skipped since the start)}. NULL when memory is gone. */
cJSON *cv_sink_status(struct cv_broker *b);

/* Leaves that sinks may have by now. */
uint64_t cv_sink_size(const struct cv_broker *b);

/* Keeps the cursors and lets the sinks go, without waiting for them. */
void cv_sink_end(struct cv_broker *b);

#endif
