/* Reading the record in pieces.
 *
 * A report or a bundle is begun by one request (AuditReport, AuditBundle),
 * which is decided, counted and recorded; its pieces (AuditExport,
 * AuditBundleRead) are part of that, and are given for nothing else: on the
 * same connection, of the records that it is about, each once, in their order,
 * and not for ever. Each piece is held against the policy of its moment by the
 * rule that permitted the beginning; where that no longer does, it ends. */
#ifndef CERTVAULT_BROKER_READING_H
#define CERTVAULT_BROKER_READING_H

#include "vault/broker/broker_internal.h"

enum cv_reading_kind { CV_READING_REPORT, CV_READING_BUNDLE };

struct cv_reading;

/* `ask` was permitted, and its caller may now read the records first to end - 1
 * in pieces. It takes the place of what the connection read before. CV_INTERNAL
 * where memory is gone. */
CV_MUST_USE enum cv_status cv_reading_begin(const struct cv_ask *ask,
                                            enum cv_reading_kind kind,
                                            uint64_t first, uint64_t end,
                                            struct cv_err *err);

/* Not entered. May b->caller have the records from..end-1, or some of the first
 * of them? CV_INVALID: it began no such thing, or these are not the next of it;
 * CV_BUSY, CV_DENIED: policy no longer permits it. What is refused is recorded;
 * reason and ticket are those of the beginning. */
CV_MUST_USE enum cv_status cv_reading_go_on(struct cv_broker *b,
                                            enum cv_reading_kind kind,
                                            const cJSON *parameters,
                                            int64_t from, int64_t end,
                                            struct cv_err *err);

/* It has those below `next`. */
void cv_reading_took(struct cv_broker *b, uint64_t next);

/* The connection goes. */
void cv_reading_left(struct cv_caller *caller);

#endif
