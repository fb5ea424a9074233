/* What the files of the loop share: seats, in which callers sit, and accounts,
 * one for each user who has any. */
#ifndef CERTVAULT_BROKER_LOOP_INTERNAL_H
#define CERTVAULT_BROKER_LOOP_INTERNAL_H

#include "vault/base/limits.h"
#include "vault/broker/loop.h"

#include <signal.h>

#define CV_LOOP_ACCOUNT_HASH 256

struct cv_loop_seat {
    struct cv_caller caller; /* first: a caller's address is its seat's */
    struct cv_loop_account *account;
    struct cv_loop_seat *next; /* in its account's line */
    struct cv_loop_seat *next_leaving, *next_attached;
    size_t at;              /* in the loop's table */
    bool in_line, leaving;  /* in that line; in the list of those that go */
    bool wants_room;        /* epoll tells when an answer can go on */
    bool hung_up;           /* its caller sends nothing more */
    unsigned looks;         /* in vain, since its message began */
    bool is_long;           /* of that message much lies in the kernel */
    int64_t begun_ms;       /* a message began then and is not whole; 0: none */
    int64_t unsent_ms;      /* an answer waits since then, or since a part of it
                               was taken; 0: none */
    struct cv_message kept; /* a request that waits for another's end */
    bool is_kept;           /* it stands among those who wait for that end */
    enum cv_loop_ends ends; /* what it takes away */
    bool is_answered;       /* its request is being answered */
    struct cv_loop_seat *next_kept;
    size_t charged; /* bytes that its account counts for it */
};

struct cv_loop_account {
    struct cv_loop_account *next;      /* of the same hash */
    struct cv_loop_account *next_busy; /* in the loop's list */
    uid_t uid;
    bool is_limited, is_busy;
    size_t n;          /* connections */
    size_t n_ends;     /* of them with `ends` */
    size_t bytes;      /* held for them */
    int64_t tokens;    /* thousandths of a request */
    int64_t filled_ms; /* when tokens were last added */
    int stalled_ms;    /* that all others waited for it to take an answer */
    struct cv_loop_seat *first, *last; /* those with something to be read */
};

struct cv_loop {
    const struct cv_loop_hooks *hooks;
    int listener;
    int epoll;
    bool single; /* one connection, with which it ends */
    bool over;   /* it serves nobody any more, and drops all callers */
    bool deaf;   /* it has no room for more, and does not listen for a while */
    struct cv_loop_seat **seats;
    size_t n_seats, size_seats;
    struct cv_loop_seat *attached; /* of them */
    size_t n_attached;
    size_t most; /* that it can have */
    size_t bytes, most_bytes;
    struct cv_loop_seat *leaving;
    struct cv_loop_account own; /* of what is attached, or the only one */
    struct cv_loop_account *accounts[CV_LOOP_ACCOUNT_HASH];
    struct cv_loop_account *busy, *busy_last; /* those with a line */
    size_t n_busy;
    struct cv_loop_account *serving; /* whose turn it is: not among these */
    int waited_fd;
    bool held; /* as cv_loop_hold says; waited_fd is then whose answer it is */
    size_t n_ends, n_ends_all;    /* seats with `ends`; of anybody's things */
    int64_t meanwhile_ms;         /* how long those who are late wait then */
    int64_t ended_ms;             /* it was told to end then; 0: it was not */
    bool cut;                     /* what was waited for then was cut off */
    sigset_t while_waiting;       /* signals that are blocked then */
    struct cv_loop_seat *waiting; /* its request's answer is waited for */
    struct cv_loop_seat *kept, *kept_last; /* who waits for that, in order */
    int64_t swept_ms;
    struct cv_arena *arena; /* of `scratch` */
    struct cv_buf scratch;  /* what is looked at */
    struct cv_loop_request gathered[CV_LIMIT_TOGETHER];
    size_t n_gathered;
};

/* loop.c */

/* Takes `fd`. A connection that is not admitted is closed without a word: its
 * uid is nobody whom this broker serves. `iface`: it is attached. */
CV_MUST_USE enum cv_status cv_loop_add(struct cv_loop *l, int fd,
                                       const struct cv_interface *iface,
                                       struct cv_err *err);

/* Not while a turn is served. */
void cv_loop_drop(struct cv_loop *l, struct cv_loop_seat *seat);

/* Those that somebody else connected. */
size_t cv_loop_clients(const struct cv_loop *l);

/* epoll_ctl(2). */
void cv_loop_watch(struct cv_loop *l, int how, int fd, uint32_t events,
                   void *what);

/* What epoll is to tell of a seat; `how` as of epoll_ctl(2). */
void cv_loop_watch_seat(struct cv_loop *l, struct cv_loop_seat *seat, int how);

/* One wait for at most `timeout` ms (-1: for ever), and what comes of it.
 * *wait_ms: what those who are late may wait after it; *busy: what hooks->idle
 * said. CV_INTERNAL. */
CV_MUST_USE enum cv_status cv_loop_turn(struct cv_loop *l, int timeout,
                                        int64_t *wait_ms, bool *busy,
                                        struct cv_err *err);

/* Was it told to end? */
bool cv_loop_is_ending(void);

/* loop_wait.c: who has to wait until the request that is waited for has its
 * answer. */

/* Behind those that do so already; where it stands it stays. */
void cv_loop_wait_keep(struct cv_loop *l, struct cv_loop_seat *seat);

void cv_loop_wait_forget(struct cv_loop *l, struct cv_loop_seat *seat);

/* Its kept request is one that ends something; or is answered now, or gone. */
void cv_loop_wait_ends(struct cv_loop *l, struct cv_loop_seat *seat,
                       enum cv_loop_ends ends);

/* Is there one that what this seat's caller may be given does not overtake? */
bool cv_loop_wait_is_barred(const struct cv_loop *l,
                            const struct cv_loop_seat *seat);

/* loop_accept.c */

/* What it can have: as the table of ceilings says, unless the limits that it
 * was started with are narrower. */
void cv_loop_accept_limits(struct cv_loop *l);

/* Takes those who knock. */
void cv_loop_accept(struct cv_loop *l);

/* Listens, or does not for a while. */
void cv_loop_accept_listen(struct cv_loop *l, bool listens);

/* loop_line.c: who has something to be read, user by user. */

/* Behind the others of its account; where it stands already it stays. */
void cv_loop_line_stand(struct cv_loop *l, struct cv_loop_seat *seat);

/* Before all others, its account too. */
void cv_loop_line_press(struct cv_loop *l, struct cv_loop_seat *seat);

/* The account stands behind the others that are busy. */
void cv_loop_line_busy(struct cv_loop *l, struct cv_loop_account *a);

/* Takes the first of these; NULL: there is none. */
struct cv_loop_account *cv_loop_line_account(struct cv_loop *l);

/* Takes the first out of its line; NULL: there is none. */
struct cv_loop_seat *cv_loop_line_next(struct cv_loop_account *a);

void cv_loop_line_leave(struct cv_loop_seat *seat);

/* loop_account.c */

/* The account of `uid`, made where there is none; NULL: memory is gone. */
struct cv_loop_account *cv_loop_account_of(struct cv_loop *l, uid_t uid);

/* May it ask one more now? Takes that from what it may ask. */
bool cv_loop_account_take(struct cv_loop_account *a, int64_t now_ms);

/* In how many ms it may, at the earliest; 0: now. */
int64_t cv_loop_account_late(struct cv_loop_account *a, int64_t now_ms);

/* Counts what the seat holds now. */
void cv_loop_account_charge(struct cv_loop *l, struct cv_loop_seat *seat);

/* May a message of this seat that is not whole yet take more memory? Beyond the
 * ceilings one message of each user may, the one that began first. */
bool cv_loop_account_has_room(const struct cv_loop *l,
                              const struct cv_loop_seat *seat);

/* Frees those that have no connection and could ask as much as anybody;
 * `all`: whatever they have. */
void cv_loop_account_sweep(struct cv_loop *l, int64_t now_ms, bool all);

/* loop_read.c */

enum cv_loop_read {
    CV_LOOP_READ_MESSAGE, /* there is one */
    CV_LOOP_READ_NONE,    /* there is none, epoll will tell */
    CV_LOOP_READ_HELD,    /* there is no memory for it now */
    CV_LOOP_READ_END      /* there will be none any more */
};

/* Takes the next whole message of a client. Of one that is not whole nothing is
 * read, unless it is long. What cannot be a message fails, as cv_channel_next
 * does: the connection is to be closed. */
CV_MUST_USE enum cv_status cv_loop_read(struct cv_loop *l,
                                        struct cv_loop_seat *seat,
                                        struct cv_message *out,
                                        enum cv_loop_read *what,
                                        struct cv_err *err);

#endif
