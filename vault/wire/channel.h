/* Varlink frames over a stream socket: one JSON object, one NUL byte
 * (varlink.org, "Protocol"). A channel is one end of one connection.
 *
 * What comes in is kept in an arena, whole message by whole message, because
 * nobody can tell beforehand whether it carries a secret; only where the caller
 * knows that an answer holds none (a long list, say) is it read on the heap.
 *
 * Threads: a channel belongs to one thread. */
#ifndef CERTVAULT_WIRE_CHANNEL_H
#define CERTVAULT_WIRE_CHANNEL_H

#include "vault/wire/message.h"

struct cv_channel;

/* Takes the connected socket `fd` (on failure too) and makes it non-blocking;
 * no message that comes in may be longer than `ceiling` bytes. CV_INTERNAL. */
CV_MUST_USE enum cv_status cv_channel_new(int fd, size_t ceiling,
                                          struct cv_channel **out,
                                          struct cv_err *err);

/* Closes the socket, wipes what was read and not taken. NULL is fine. */
void cv_channel_free(struct cv_channel *ch);

int cv_channel_fd(const struct cv_channel *ch);

/* While this channel waits, `fd` is watched too (-1: none): when its other end
 * hangs up, the wait ends with CV_UNAVAILABLE. For whoever waits on behalf of
 * somebody else. */
void cv_channel_watch(struct cv_channel *ch, int fd);

/* While this channel waits, `turn` is called again and again for at most
 * `timeout_ms` (-1: for ever), and waits for the channel's descriptor itself
 * among what else it looks after. NULL: it waits as ever. */
void cv_channel_meanwhile(struct cv_channel *ch,
                          void (*turn)(void *context, int timeout_ms),
                          void *context);

/* From now on cv_channel_send waits for nobody: what the other end does not
 * take at once is kept, and goes out by cv_channel_flush. Only where more than
 * CV_LIMIT_UNSENT bytes are kept does it wait for room, for CV_LIMIT_STALL_MS
 * in all: then it is CV_BUSY. What was waited is added to *stalled_ms, which
 * several channels may share and whose owner takes it down again (borrowed; as
 * long as the channel); NULL: each counts for itself, from the last time that
 * all was sent. */
void cv_channel_queue(struct cv_channel *ch, int *stalled_ms);

/* Bytes that are kept for the other end. */
size_t cv_channel_unsent(const struct cv_channel *ch);

/* Sends what the other end takes now. CV_UNAVAILABLE. */
CV_MUST_USE enum cv_status cv_channel_flush(struct cv_channel *ch,
                                            struct cv_err *err);

/* Writes `message` and its NUL; `secret`: its text is built in an arena. Waits
 * at most `timeout_ms` (-1: for ever) for the other end to take it. CV_BUSY
 * (timeout), CV_UNAVAILABLE (the other end is gone), CV_INVALID (too long),
 * CV_INTERNAL. */
CV_MUST_USE enum cv_status cv_channel_send(struct cv_channel *ch,
                                           const cJSON *message, bool secret,
                                           int timeout_ms, struct cv_err *err);

/* Waits for a whole message. The caller frees *out. An end of the stream
 * between two messages is CV_OK with out->tree NULL. `secret`: read it into an
 * arena. CV_BUSY (timeout), CV_UNAVAILABLE (cut in the middle), CV_INVALID (too
 * long, not JSON, not an object). */
CV_MUST_USE enum cv_status cv_channel_recv(struct cv_channel *ch, bool secret,
                                           int timeout_ms,
                                           struct cv_message *out,
                                           struct cv_err *err);

/* What there is in the socket. */
struct cv_channel_look {
    size_t seen;  /* bytes */
    bool whole;   /* a message ends among them */
    bool nothing; /* there is nothing now, and may be later */
    bool closed;  /* there is nothing, and never will be */
};

/* For a loop over many channels: reads some of what is there without waiting,
 * into an arena; out->whole is not told. CV_INVALID (too long),
 * CV_UNAVAILABLE. */
CV_MUST_USE enum cv_status cv_channel_read(struct cv_channel *ch,
                                           struct cv_channel_look *out,
                                           struct cv_err *err);

/* The same. *closed tells that the other end sent all it will. */
CV_MUST_USE enum cv_status cv_channel_fill(struct cv_channel *ch, bool *closed,
                                           struct cv_err *err);

/* Looks at up to `size` bytes in the socket, by way of `scratch` (an empty
 * buffer in an arena, left empty and wiped): who has many clients takes nothing
 * of a message into memory before its end is there. CV_UNAVAILABLE, and as
 * cv_buf_room. */
CV_MUST_USE enum cv_status cv_channel_peek(const struct cv_channel *ch,
                                           struct cv_buf *scratch, size_t size,
                                           struct cv_channel_look *out,
                                           struct cv_err *err);

/* Memory that it holds now, in bytes: what was read and not taken, what is
 * kept for the other end. */
size_t cv_channel_held(const struct cv_channel *ch);

/* Is a part of a message, or a whole one, read and not taken? */
bool cv_channel_has_begun(const struct cv_channel *ch);

/* Takes the next whole message out of what was read; out->tree is NULL where
 * there is none yet. CV_INVALID (not JSON, not an object). */
CV_MUST_USE enum cv_status cv_channel_next(struct cv_channel *ch,
                                           struct cv_message *out,
                                           struct cv_err *err);

#endif
