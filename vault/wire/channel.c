#include "vault/wire/channel.h"

#include "vault/base/limits.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define READ_SIZE ((size_t)8192)

/* A message, or the rest of one, that the other end did not take yet. */
struct piece {
    struct piece *next;
    struct cv_arena *arena; /* NULL: on the heap */
    struct cv_buf text;
    size_t done; /* of it */
};

struct cv_channel {
    int fd;
    int watched;
    size_t ceiling;
    struct cv_arena *arena; /* holds `in` when that is secret */
    struct cv_buf in;       /* bytes read and not yet taken */
    size_t searched;        /* of them, known to hold no NUL */
    void (*turn)(void *context, int timeout_ms);
    void *context; /* its */
    bool queues;
    struct piece *first, *last; /* to be sent */
    size_t unsent;              /* bytes of them */
    int *stalled_ms;            /* that others waited: its owner's */
    int own_stalled_ms;         /* else since all was sent last */
};

enum cv_status cv_channel_new(int fd, size_t ceiling, struct cv_channel **out,
                              struct cv_err *err)
{
    int flags = fcntl(fd, F_GETFL);
    struct cv_channel *ch = calloc(1, sizeof(*ch));

    *out = NULL;
    if (ch == NULL || flags == -1 ||
        fcntl(fd, F_SETFL, flags | O_NONBLOCK) == -1) {
        free(ch);
        (void)close(fd);
        return cv_fail_errno(err, CV_INTERNAL, "cannot set up a connection");
    }
    ch->fd = fd;
    ch->watched = -1;
    ch->ceiling = ceiling;
    cv_buf_init(&ch->in, NULL, ceiling + 1);
    *out = ch;
    return CV_OK;
}

static void drop_piece(struct cv_channel *ch)
{
    struct piece *p = ch->first;

    ch->unsent -= p->text.len - p->done;
    ch->first = p->next;
    if (ch->first == NULL) {
        ch->last = NULL;
    }
    cv_buf_wipe(&p->text);
    cv_arena_free(p->arena);
    free(p);
}

void cv_channel_free(struct cv_channel *ch)
{
    if (ch == NULL) {
        return;
    }
    while (ch->first != NULL) {
        drop_piece(ch);
    }
    cv_buf_wipe(&ch->in);
    cv_arena_free(ch->arena);
    (void)close(ch->fd);
    free(ch);
}

int cv_channel_fd(const struct cv_channel *ch)
{
    return ch->fd;
}

void cv_channel_meanwhile(struct cv_channel *ch,
                          void (*turn)(void *context, int timeout_ms),
                          void *context)
{
    ch->turn = turn;
    ch->context = context;
}

void cv_channel_queue(struct cv_channel *ch, int *stalled_ms)
{
    ch->queues = true;
    ch->stalled_ms = stalled_ms != NULL ? stalled_ms : &ch->own_stalled_ms;
}

size_t cv_channel_unsent(const struct cv_channel *ch)
{
    return ch->unsent;
}

size_t cv_channel_held(const struct cv_channel *ch)
{
    return ch->in.size + ch->unsent;
}

bool cv_channel_has_begun(const struct cv_channel *ch)
{
    return ch->in.len > 0;
}

void cv_channel_watch(struct cv_channel *ch, int fd)
{
    ch->watched = fd;
}

/* What is left of `timeout_ms` since `start`; -1 stays -1. */
static int left_ms(int timeout_ms, const struct timespec *start)
{
    struct timespec now;
    long long gone;

    if (timeout_ms < 0) {
        return -1;
    }
    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    gone = (now.tv_sec - start->tv_sec) * 1000LL +
           (now.tv_nsec - start->tv_nsec) / 1000000;
    return gone >= timeout_ms ? 0 : timeout_ms - (int)gone;
}

static enum cv_status wait_for(const struct cv_channel *ch, short what,
                               int timeout_ms, const struct timespec *start,
                               struct cv_err *err)
{
    struct pollfd p[2] = {{.fd = ch->fd, .events = what},
                          {.fd = ch->watched, .events = POLLRDHUP}};

    for (;;) {
        int left = left_ms(timeout_ms, start);
        int n = poll(p, 2, ch->turn != NULL ? 0 : left);

        if (n > 0 && p[0].revents != 0) {
            return CV_OK;
        }
        if (n > 0) {
            return cv_fail(err, CV_UNAVAILABLE,
                           "who asked for this does not wait for it any more");
        }
        if (n == 0 && ch->turn != NULL && left != 0) {
            ch->turn(ch->context, left);
            continue;
        }
        if (n == 0) {
            return cv_fail(err, CV_BUSY,
                           "the other program did not answer in time");
        }
        if (errno != EINTR) {
            return cv_fail_errno(err, CV_INTERNAL, "cannot wait for a socket");
        }
    }
}

/* One send(2) of what is left of `bytes`; *full: the other end takes no more
 * now. */
static enum cv_status send_some(struct cv_channel *ch, struct cv_bytes bytes,
                                size_t *done, bool *full, struct cv_err *err)
{
    ssize_t n =
        send(ch->fd, bytes.data + *done, bytes.len - *done, MSG_NOSIGNAL);

    *full = n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK);
    if (n >= 0) {
        *done += (size_t)n;
    } else if (!*full && errno != EINTR) {
        return cv_fail_errno(err, CV_UNAVAILABLE, "the other program is gone");
    }
    return CV_OK;
}

static enum cv_status send_all(struct cv_channel *ch, struct cv_bytes bytes,
                               int timeout_ms, struct cv_err *err)
{
    struct timespec start;
    enum cv_status s = CV_OK;
    size_t done = 0;
    bool full;

    (void)clock_gettime(CLOCK_MONOTONIC, &start);
    while (s == CV_OK && done < bytes.len) {
        s = send_some(ch, bytes, &done, &full, err);
        if (s == CV_OK && full) {
            s = wait_for(ch, POLLOUT, timeout_ms, &start, err);
        }
    }
    return s;
}

enum cv_status cv_channel_flush(struct cv_channel *ch, struct cv_err *err)
{
    bool full = false;

    while (ch->first != NULL && !full) {
        struct piece *p = ch->first;
        size_t before = p->done;
        enum cv_status s =
            send_some(ch, cv_buf_bytes(&p->text), &p->done, &full, err);

        if (s != CV_OK) {
            return s;
        }
        ch->unsent -= p->done - before;
        if (p->done == p->text.len) {
            drop_piece(ch);
        }
    }
    if (ch->first == NULL) {
        ch->own_stalled_ms = 0;
    }
    return CV_OK;
}

/* Waits until no more is kept than may be. */
static enum cv_status make_room(struct cv_channel *ch, int timeout_ms,
                                struct cv_err *err)
{
    struct timespec start;
    enum cv_status s = CV_OK;

    if (timeout_ms == -1 || timeout_ms > CV_LIMIT_STALL_MS - *ch->stalled_ms) {
        timeout_ms = CV_LIMIT_STALL_MS - *ch->stalled_ms;
    }
    (void)clock_gettime(CLOCK_MONOTONIC, &start);
    while (s == CV_OK && ch->unsent > CV_LIMIT_UNSENT) {
        s = wait_for(ch, POLLOUT, timeout_ms, &start, err);
        if (s == CV_OK) {
            s = cv_channel_flush(ch, err);
        }
    }
    *ch->stalled_ms += timeout_ms - left_ms(timeout_ms, &start);
    return s;
}

/* Takes text and arena of a message, of which nothing is sent yet. */
static enum cv_status queue(struct cv_channel *ch, struct cv_buf *text,
                            struct cv_arena **arena, int timeout_ms,
                            struct cv_err *err)
{
    struct piece *p = calloc(1, sizeof(*p));
    enum cv_status s;

    if (p == NULL) {
        return cv_fail(err, CV_INTERNAL, "memory is gone");
    }
    p->text = *text;
    p->arena = *arena;
    cv_buf_init(text, NULL, 0);
    *arena = NULL;
    if (ch->last != NULL) {
        ch->last->next = p;
    } else {
        ch->first = p;
    }
    ch->last = p;
    ch->unsent += p->text.len;
    s = cv_channel_flush(ch, err);
    return s == CV_OK ? make_room(ch, timeout_ms, err) : s;
}

enum cv_status cv_channel_send(struct cv_channel *ch, const cJSON *message,
                               bool secret, int timeout_ms, struct cv_err *err)
{
    struct cv_arena *arena = NULL;
    struct cv_buf text;
    enum cv_status s = CV_OK;

    if (secret) {
        s = cv_arena_new(CV_LIMIT_SECRET_ARENA, &arena, err);
        if (s != CV_OK) {
            return s;
        }
    }
    cv_buf_init(&text, arena, CV_LIMIT_FRAME);
    cv_json_write(message, CV_JSON_COMPACT, &text);
    cv_buf_add_char(&text, '\0');
    s = cv_buf_status(&text, "a message", err);
    if (s == CV_OK) {
        s = ch->queues ? queue(ch, &text, &arena, timeout_ms, err)
                       : send_all(ch, cv_buf_bytes(&text), timeout_ms, err);
    }
    cv_buf_wipe(&text);
    cv_arena_free(arena);
    return s;
}

/* With nothing read yet, the memory for what comes is chosen. */
static enum cv_status begin_read(struct cv_channel *ch, bool secret,
                                 struct cv_err *err)
{
    enum cv_status s;

    if (ch->in.len > 0 || (ch->arena != NULL) == secret) {
        return CV_OK;
    }
    cv_buf_wipe(&ch->in);
    cv_arena_free(ch->arena);
    ch->arena = NULL;
    if (secret) {
        s = cv_arena_new(CV_LIMIT_SECRET_ARENA, &ch->arena, err);
        if (s != CV_OK) {
            return s;
        }
    }
    cv_buf_init(&ch->in, ch->arena, ch->ceiling + 1);
    return CV_OK;
}

/* One read(2). *again: nothing was there; *closed: nothing more will be. */
static enum cv_status read_some(struct cv_channel *ch, bool *again,
                                bool *closed, struct cv_err *err)
{
    size_t want = ch->in.len < READ_SIZE ? READ_SIZE : ch->in.len;
    size_t space = ch->ceiling + 1 - ch->in.len;
    uint8_t *room;
    ssize_t n;

    *again = *closed = false;
    want = want < space ? want : space;
    if (want == 0) {
        return cv_fail(err, CV_INVALID, "a message is longer than %zu bytes",
                       ch->ceiling);
    }
    room = cv_buf_room(&ch->in, want);
    if (room == NULL) {
        return cv_buf_status(&ch->in, "a message", err);
    }
    n = recv(ch->fd, room, want, 0);
    if (n > 0) {
        cv_buf_took(&ch->in, (size_t)n);
    } else if (n == 0) {
        *closed = true;
    } else if (errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR) {
        *again = true;
    } else if (errno == ECONNRESET) {
        *closed = true;
    } else {
        return cv_fail_errno(err, CV_UNAVAILABLE, "cannot read from a socket");
    }
    return CV_OK;
}

/* The length of the first frame without its NUL, or -1: not whole yet. */
static ssize_t first_frame(struct cv_channel *ch)
{
    const uint8_t *end;

    if (ch->in.len == ch->searched) {
        return -1;
    }
    end = memchr(ch->in.data + ch->searched, '\0', ch->in.len - ch->searched);
    if (end == NULL) {
        ch->searched = ch->in.len;
        return -1;
    }
    return end - ch->in.data;
}

/* Moves what lies behind the first frame into memory of its own, so that the
 * frame's arena can go to the message made of it. */
static enum cv_status split_rest(struct cv_channel *ch, size_t frame_len,
                                 struct cv_buf *frame, struct cv_arena **arena,
                                 struct cv_err *err)
{
    struct cv_arena *next = NULL;
    struct cv_buf rest;
    enum cv_status s;

    /* Locked memory costs system calls: none is made for nothing. */
    if (ch->arena != NULL && ch->in.len > frame_len + 1) {
        s = cv_arena_new(CV_LIMIT_SECRET_ARENA, &next, err);
        if (s != CV_OK) {
            return s;
        }
    }
    cv_buf_init(&rest, next, ch->ceiling + 1);
    cv_buf_add(&rest, ch->in.data + frame_len + 1, ch->in.len - frame_len - 1);
    s = cv_buf_status(&rest, "a message", err);
    if (s != CV_OK) {
        cv_buf_wipe(&rest);
        cv_arena_free(next);
        return s;
    }
    *frame = ch->in;
    *arena = ch->arena;
    ch->in = rest;
    ch->arena = next;
    ch->searched = 0;
    return CV_OK;
}

enum cv_status cv_channel_next(struct cv_channel *ch, struct cv_message *out,
                               struct cv_err *err)
{
    ssize_t len = first_frame(ch);
    struct cv_bytes text;
    struct cv_buf frame;
    enum cv_status s;

    memset(out, 0, sizeof(*out));
    if (len < 0) {
        return CV_OK;
    }
    s = split_rest(ch, (size_t)len, &frame, &out->arena, err);
    if (s != CV_OK) {
        return s;
    }
    text = (struct cv_bytes){frame.data, (size_t)len};
    s = cv_json_parse(out->arena, text, &out->tree, err);
    cv_buf_wipe(&frame);
    if (s == CV_OK && !cJSON_IsObject(out->tree)) {
        s = cv_fail(err, CV_INVALID, "a message is not a JSON object");
    }
    if (s != CV_OK) {
        cv_message_free(out);
    }
    return s;
}

enum cv_status cv_channel_read(struct cv_channel *ch,
                               struct cv_channel_look *out, struct cv_err *err)
{
    size_t before = ch->in.len;
    enum cv_status s = begin_read(ch, true, err);

    memset(out, 0, sizeof(*out));
    if (s == CV_OK) {
        s = read_some(ch, &out->nothing, &out->closed, err);
    }
    out->seen = s == CV_OK ? ch->in.len - before : 0;
    return s;
}

enum cv_status cv_channel_fill(struct cv_channel *ch, bool *closed,
                               struct cv_err *err)
{
    struct cv_channel_look look;
    enum cv_status s = cv_channel_read(ch, &look, err);

    *closed = look.closed;
    return s;
}

enum cv_status cv_channel_peek(const struct cv_channel *ch,
                               struct cv_buf *scratch, size_t size,
                               struct cv_channel_look *out, struct cv_err *err)
{
    uint8_t *room = cv_buf_room(scratch, size);
    ssize_t n;

    memset(out, 0, sizeof(*out));
    if (room == NULL) {
        return cv_buf_status(scratch, "a message", err);
    }
    n = recv(ch->fd, room, size, MSG_PEEK);
    if (n > 0) {
        out->seen = (size_t)n;
        out->whole = memchr(room, '\0', (size_t)n) != NULL;
        cv_buf_took(scratch, (size_t)n);
        cv_buf_drop(scratch, (size_t)n);
    } else if (n == 0 || errno == ECONNRESET) {
        out->closed = true;
    } else if (errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR) {
        out->nothing = true;
    } else {
        return cv_fail_errno(err, CV_UNAVAILABLE, "cannot read from a socket");
    }
    return CV_OK;
}

enum cv_status cv_channel_recv(struct cv_channel *ch, bool secret,
                               int timeout_ms, struct cv_message *out,
                               struct cv_err *err)
{
    struct timespec start;
    bool again = false, closed = false;
    enum cv_status s = begin_read(ch, secret, err);

    memset(out, 0, sizeof(*out));
    (void)clock_gettime(CLOCK_MONOTONIC, &start);
    while (s == CV_OK) {
        s = cv_channel_next(ch, out, err);
        if (s != CV_OK || out->tree != NULL) {
            return s;
        }
        if (closed && ch->in.len > 0) {
            return cv_fail(err, CV_UNAVAILABLE,
                           "the other program ended in the middle of a "
                           "message");
        }
        if (closed) {
            return CV_OK;
        }
        if (again) {
            s = wait_for(ch, POLLIN, timeout_ms, &start, err);
        }
        if (s == CV_OK) {
            s = read_some(ch, &again, &closed, err);
        }
    }
    return s;
}
