/* Telling people: the command that the configuration names (`notify`), started
 * by the spawner with the JSON of one event on its standard input.
 *
 * Nothing waits for it: it may take CV_LIMIT_NOTIFY_S seconds, then it is
 * killed; CV_LIMIT_NOTIFY_RUNNING run at a time, CV_LIMIT_NOTIFY_QUEUE wait;
 * what is too much is dropped, and the record says how many. It is a courtesy:
 * nothing depends on whether it arrives. */
#ifndef CERTVAULT_BROKER_NOTIFY_H
#define CERTVAULT_BROKER_NOTIFY_H

#include "vault/base/json.h"

#include <stdbool.h>

struct cv_broker;

/* `event`: "request", "approved", "denied", "break-glass", "freeze",
 * "unfreeze", "conflict" (an anchor's). `about` (may be NULL) is copied; it
 * holds nothing secret. Where no command is configured nothing happens. */
void cv_notify_event(struct cv_broker *b, const char *event,
                     const cJSON *about);

/* Entered. The same, once what is queued is durable; cv_notify_release then
 * says so, cv_notify_forget that it was not. */
void cv_notify_later(struct cv_broker *b, const char *event,
                     const cJSON *about);
void cv_notify_release(struct cv_broker *b);
void cv_notify_forget(struct cv_broker *b);

/* Starts what waits, ends what takes too long; called when the broker has
 * nothing else to do. True while there is something. */
bool cv_notify_tick(struct cv_broker *b);

/* The child's side: becomes `command`, with `socket` as its standard input and
 * nothing else. Returns never. */
_Noreturn void cv_notify_run(const char *command, int socket);

/* Forgets what waits; what runs is left to its end. */
void cv_notify_end(struct cv_broker *b);

#endif
