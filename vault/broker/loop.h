/* The broker's connections and its clock.
 *
 * One epoll(7) over the listening socket and all callers; requests are answered
 * one after the other. Each caller's uid and groups are read from the kernel
 * when it connects, the hints when it first asks for something.
 *
 * A loop that many users share keeps each of them to ceilings of his own
 * (CV_LIMIT_UID_*): connections (more are told to try later), requests a second
 * (more are answered late), bytes held for messages that are begun and answers
 * that are not taken, and how much of one is done before others have their
 * turn. Where all connections are taken, whoever has most of them loses the one
 * that was silent longest to whoever has fewer, and who was silent for 10 s his
 * only one to a user who has none. Nobody waits for a client that
 * sends or reads slowly, however few users there are. */
#ifndef CERTVAULT_BROKER_LOOP_H
#define CERTVAULT_BROKER_LOOP_H

#include "vault/base/peer.h"
#include "vault/broker/names.h"
#include "vault/wire/serve.h"

/* One connection. */
struct cv_caller {
    struct cv_channel *channel;
    struct cv_peer peer;
    char user[CV_NAMES_LEN]; /* for the record; "" until it is asked for */
    bool hinted;             /* the peer's hints are read */
    bool greeted;            /* Hello was answered */
    int64_t last_ms;         /* when it last said something */
    bool broken;             /* to be dropped (of those attached, by anybody) */
    struct cv_prompt_wait *prompt; /* it asks a human, or waits to (prompt.h) */
    struct cv_reading *reading;    /* of the record, in pieces (reading.h) */
    size_t grants; /* that end with it: it is never dropped for being quiet */
    /* Not NULL: it was brought in by the program itself (cv_loop_attach), and
     * this is what it may ask. It counts for nobody. */
    const struct cv_interface *iface;
};

struct cv_loop;

/* One request that is answered together with others. */
struct cv_loop_request {
    struct cv_caller *caller;
    struct cv_message message;
    bool failed; /* its answer could not be sent: the connection is closed */
};

/* What a request takes away, and so whom it bars while it has to stay. */
enum cv_loop_ends {
    CV_LOOP_ENDS_NOTHING = 0,
    CV_LOOP_ENDS_OWN, /* of its own user's; what is attached is barred too */
    CV_LOOP_ENDS_ALL  /* of anybody's */
};

struct cv_loop_hooks {
    const struct cv_interface *iface;
    /* Called before the first wait with what cv_loop_attach wants, which stays
     * until cv_loop_run returns. NULL: nobody wants to know. */
    void (*begun)(void *context, struct cv_loop *loop);
    /* The context handed to a method: who calls, and what, is set before. */
    void *(*enter)(void *context, struct cv_caller *caller,
                   const struct cv_message *request);
    bool shared; /* by many users, each with ceilings of his own */
    /* Is this uid served at all? */
    bool (*admits)(void *context, const struct cv_peer *peer);
    /* May this request of this caller wait until all that came at the same time
     * is read? Such requests are answered by `together`, `n` (at most
     * CV_LIMIT_TOGETHER) at a time and in their order. What one caller sent is
     * never overtaken by what it sent later. */
    bool (*waits)(void *context, const struct cv_caller *caller,
                  const struct cv_message *request);
    void (*together)(void *context, struct cv_loop_request *requests, size_t n);
    /* May this request be answered while another's answer is waited for
     * (cv_loop_wait)? Others stay until that is there. NULL: none may. */
    bool (*meanwhile)(void *context, const struct cv_caller *caller,
                      const struct cv_message *request);
    /* The same while the loop is held (cv_loop_hold). NULL: none may. */
    bool (*beside)(void *context, const struct cv_caller *caller,
                   const struct cv_message *request);
    /* Does this request take something away (a lock, the end of uses), if its
     * caller may do so; may this one give something away? From the moment that
     * one of the former has to stay because the loop is held, none of the
     * latter that it bars is answered before it. It is the first that is
     * answered afterwards, whatever its user asked besides. NULL (both): there
     * are none. */
    enum cv_loop_ends (*ends)(void *context, const struct cv_caller *caller,
                              const struct cv_message *request);
    bool (*gives)(void *context, const struct cv_caller *caller,
                  const struct cv_message *request);
    /* Called when nothing else is to be done, at least each second while it
     * returns true. */
    bool (*idle)(void *context);
    /* Called with each connection that goes, while it is still whole. NULL:
     * nobody wants to know. */
    void (*left)(void *context, struct cv_caller *caller);
    /* For how long at most (ms; -1: for ever) a loop with a listener may wait
     * now, with so many callers; 0 ends it. NULL: for ever. */
    int64_t (*rest)(void *context, size_t n_callers);
    /* SIGHUP came. NULL: it is as it was before the loop. */
    void (*hangup)(void *context);
    /* Called when `watch` can be read; the loop then goes on. */
    void (*watched)(void *context);
    int watch; /* -1: none */
    /* When its other end closes, a turn is made at once, and `idle` and `rest`
     * can look; -1: none. */
    int lifeline;
    void *context;
};

/* Serves the connected socket `fd` (taken), or, where it is -1, whoever
 * connects to `listener` (borrowed), until the one connection closes or SIGTERM
 * or SIGINT comes. Both ends are CV_OK. */
CV_MUST_USE enum cv_status cv_loop_run(const struct cv_loop_hooks *hooks,
                                       int fd, int listener,
                                       struct cv_err *err);

/* Takes the connected socket `fd` (on failure too) of a program of ours and
 * serves `iface` on it: it is not asked whether it is admitted, does not keep
 * the loop running, and is never dropped for being quiet. `hooks->left` tells
 * when it goes. *out is borrowed until then. CV_BUSY, CV_INTERNAL. */
CV_MUST_USE enum cv_status cv_loop_attach(struct cv_loop *loop, int fd,
                                          const struct cv_interface *iface,
                                          struct cv_caller **out,
                                          struct cv_err *err);

/* For a method that waits for `fd` on behalf of `caller`, whose request is
 * being answered: between cv_loop_wait and cv_loop_wait_end each turn serves
 * the others, as far as hooks->meanwhile lets them; `caller` stays, and has no
 * other request answered. One at a time: false where one waits already, or this
 * loop does not do such a thing (only one that is shared does). `fd` may be
 * closed meanwhile. A turn ends at `fd` at the latest, or after `timeout_ms`
 * (-1: never). hooks->enter and hooks->idle are called: who uses this gives
 * back what they set. Once the loop was told to end, `fd` has 20 s: then it is
 * shut down, and cv_loop_wait_was_cut is true. */
bool cv_loop_wait(struct cv_loop *loop, struct cv_caller *caller, int fd);
void cv_loop_wait_turn(struct cv_loop *loop, int timeout_ms);
void cv_loop_wait_end(struct cv_loop *loop);
bool cv_loop_wait_was_cut(const struct cv_loop *loop);

/* For a call of a token's process, wherever it is made: between cv_loop_hold
 * and cv_loop_hold_end each turn answers what hooks->beside lets it, of callers
 * whose own request is not being answered. Nobody is dropped, what is attached
 * is not looked at, and no configuration read: whatever the one who holds it
 * has pointers to stays. False where it is held or waited already, or is no
 * loop that is shared. Turns end as those of cv_loop_wait_turn; hooks->idle is
 * called and sees cv_loop_is_held. */
bool cv_loop_hold(struct cv_loop *loop, int fd);
void cv_loop_hold_turn(struct cv_loop *loop, int timeout_ms);
void cv_loop_hold_end(struct cv_loop *loop);
bool cv_loop_is_held(const struct cv_loop *loop);

/* From now on a turn ends when `fd` can be read (`room`: or written) too, so
 * that hooks->idle is called and can look at it; closing it ends that. For what
 * answers the broker itself while it goes on. */
void cv_loop_wake(struct cv_loop *loop, int fd, bool room);

/* Has it ended, so that `hooks->left` tells of callers that did not go by
 * themselves? */
bool cv_loop_is_over(const struct cv_loop *loop);

/* Makes the listening socket at `path` with `mode`. A socket that is there and
 * that nobody serves is replaced; one that is served: CV_BUSY. Whatever else
 * lies there: CV_CONFIG. CV_INTERNAL. */
CV_MUST_USE enum cv_status cv_loop_listen(const char *path, mode_t mode,
                                          int *listener, struct cv_err *err);

#endif
