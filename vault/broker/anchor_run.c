/* Sending one checkpoint to one anchor that is reached by the spawner's child
 * (anchor_place.h), and telling the other kinds apart. */
#include "vault/broker/anchor_internal.h"

#include "vault/base/clock.h"
#include "vault/base/file.h"
#include "vault/broker/anchor_place.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>

/* The child ends by itself before. */
#define GRACE_S 5

static void start_place(struct cv_broker *b, struct cv_anchor_one *a,
                        size_t number)
{
    struct cv_anchor_run *r = &a->run;
    struct cv_buf request;
    struct cv_err err;
    ssize_t sent = -1;

    cv_err_init(&err);
    if (cv_spawner_run_child(b->spawner, CV_SPAWNER_ANCHOR, &r->fd, &r->child,
                             &err) != CV_OK) {
        r->fd = -1;
        cv_anchor_failed(b, a, err.text);
        return;
    }
    r->until_ms =
        cv_clock_boot_ms() + (int64_t)(CV_LIMIT_ANCHOR_RUN_S + GRACE_S) * 1000;
    cv_buf_init(&request, NULL, CV_LIMIT_NOTE + 32);
    cv_buf_init(&r->in, NULL, CV_LIMIT_NOTE + CV_KIB(32));
    cv_buf_add_format(&request, "%zu\n", number);
    cv_buf_add(&request, r->note.data, r->note.len);
    if (request.status == CV_OK) {
        sent =
            send(r->fd, request.data, request.len, MSG_DONTWAIT | MSG_NOSIGNAL);
    }
    if (sent != (ssize_t)request.len) {
        cv_anchor_failed(b, a, "what writes it does not listen");
    } else {
        (void)shutdown(r->fd, SHUT_WR);
    }
    cv_buf_wipe(&request);
}

/* What came in so far; false: the child has said all. */
static bool take(struct cv_anchor_run *r)
{
    char piece[4096];
    ssize_t n;

    for (;;) {
        n = recv(r->fd, piece, sizeof(piece), MSG_DONTWAIT);
        if (n > 0) {
            cv_buf_add(&r->in, piece, (size_t)n);
        } else if (n == 0 || (errno != EINTR && errno != EAGAIN)) {
            return false;
        } else if (errno == EAGAIN) {
            return true;
        }
    }
}

/* Nothing was written. So it is one of ours, compared by now, that must lie
 * there: what only says that it is as new would say so for ever. */
static void conclude_kept(struct cv_broker *b, struct cv_anchor_one *a,
                          const struct cv_anchor_found *before)
{
    if (before->is_signed && before->newest.size >= a->run.what.size) {
        cv_anchor_done(b, a, cv_clock_now_s());
    } else {
        cv_anchor_failed(b, a,
                         "what lies there is no checkpoint of this log, "
                         "and says that it is newer: nothing was "
                         "written");
    }
}

/* "ok", "kept" or "failed ...", then what was there before. */
static void conclude(struct cv_broker *b, struct cv_anchor_one *a)
{
    struct cv_buf *in = &a->run.in;
    const uint8_t *end = in->len > 0 ? memchr(in->data, '\n', in->len) : NULL;
    struct cv_anchor_found before;
    struct cv_bytes rest;
    char why[CV_ANCHOR_WHY + 1];
    struct cv_err err;
    enum cv_status s = CV_OK;

    cv_err_init(&err);
    if (end == NULL || in->status != CV_OK) {
        cv_anchor_failed(b, a, "what writes it ended without an answer");
        return;
    }
    rest = (struct cv_bytes){end + 1, in->len - (size_t)(end + 1 - in->data)};
    cv_anchor_find(b, rest, &before);
    s = cv_anchor_compare(b, &before, &a->run.what, &err);
    if (s == CV_INTEGRITY) {
        cv_err_prefix(&err, "a checkpoint lies there that this log does not "
                            "continue");
        cv_anchor_conflicts(b, a, cv_anchor_found_size(&before), err.text);
    } else if (s != CV_OK) {
        cv_anchor_failed(b, a, err.text);
    } else if (memcmp(in->data, "ok\n", 3) == 0) {
        cv_anchor_done(b, a, cv_clock_now_s());
    } else if (in->len >= 5 && memcmp(in->data, "kept\n", 5) == 0) {
        conclude_kept(b, a, &before);
    } else {
        const size_t word = sizeof("failed");

        (void)cv_err_quote(why, sizeof(why), (const char *)in->data + word,
                           (size_t)(end - in->data) > word
                               ? (size_t)(end - in->data) - word
                               : 0);
        cv_anchor_failed(b, a, why);
    }
}

void cv_anchor_run_start(struct cv_broker *b, struct cv_anchor_one *a,
                         size_t number)
{
    struct cv_anchors *all = b->anchors;
    struct cv_anchor_run *r = &a->run;

    /* Who asks while this runs means a later checkpoint. */
    a->wanted = a->asked = false;
    r->what = all->last;
    r->old = a->size;
    r->repeated = false;
    cv_buf_init(&r->note, NULL, CV_LIMIT_NOTE);
    cv_buf_add(&r->note, all->note.data, all->note.len);
    if (a->config.kind == CV_ANCHOR_WITNESS) {
        cv_anchor_witness_start(b, a);
    } else if (a->config.kind == CV_ANCHOR_TOKEN) {
        cv_anchor_token_start(b, a);
    } else {
        start_place(b, a, number);
    }
}

bool cv_anchor_run_is_on(const struct cv_anchor_one *a)
{
    return a->run.fd != -1 || a->run.channel != NULL;
}

void cv_anchor_run_stop(struct cv_broker *b, struct cv_anchor_one *a,
                        bool force)
{
    struct cv_anchor_run *r = &a->run;

    if (force && r->fd != -1) {
        cv_spawner_kill(b->spawner, r->child);
    }
    cv_file_close(&r->fd);
    cv_channel_free(r->channel);
    r->channel = NULL;
    cv_buf_wipe(&r->note);
    cv_buf_wipe(&r->in);
}

void cv_anchor_run_go_on(struct cv_broker *b, struct cv_anchor_one *a)
{
    if (a->run.channel != NULL) {
        cv_anchor_witness_go_on(b, a);
    } else if (a->run.fd != -1 && !take(&a->run)) {
        conclude(b, a);
        cv_anchor_run_stop(b, a, false);
    } else if (a->run.fd != -1 && cv_clock_boot_ms() >= a->run.until_ms) {
        cv_anchor_run_stop(b, a, true);
        cv_anchor_failed(b, a, "it takes too long");
    }
}
