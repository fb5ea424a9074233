/* Reading from a client who may be slow, idle or hostile.
 *
 * Memory for secrets is locked, and there is little of it: ten thousand begun
 * messages would take all. So a message stays in the kernel, which charges it
 * to who sent it, until its end is seen there. Only one that is longer than is
 * looked at, or that may be in so many pieces that the kernel takes no more of
 * it, is read before that, against the ceilings of its user. */
#include "vault/base/clock.h"
#include "vault/broker/loop_internal.h"

#define LOOK CV_KIB(16)
/* The kernel takes some 278 pieces, of a byte each perhaps, and after a quarter
 * of them tells the sender to wait; then nothing more is told of him. */
#define PIECES 64

/* *go_on: the message is to be read, whole or long. */
static enum cv_status look(struct cv_loop *l, struct cv_loop_seat *seat,
                           enum cv_loop_read *what, bool *go_on,
                           struct cv_err *err)
{
    struct cv_channel_look seen;
    enum cv_status s =
        cv_channel_peek(seat->caller.channel, &l->scratch, LOOK, &seen, err);

    *go_on = false;
    if (s != CV_OK) {
        return s;
    }
    if (seen.closed) {
        *what = CV_LOOP_READ_END;
    } else if (seen.nothing) {
        *what = CV_LOOP_READ_NONE;
    } else {
        *go_on = seen.whole || seen.seen == LOOK ||
                 (seen.seen >= PIECES && seat->looks > 0);
        seat->looks++;
        seat->is_long = seen.seen >= PIECES;
        *what = seen.whole ? CV_LOOP_READ_MESSAGE : CV_LOOP_READ_NONE;
    }
    return CV_OK;
}

/* Reads until a message is whole, or nothing is there. `whole`: one is in the
 * socket, and what it takes is given back at once. */
static enum cv_status take(struct cv_loop *l, struct cv_loop_seat *seat,
                           bool whole, struct cv_message *out,
                           enum cv_loop_read *what, struct cv_err *err)
{
    struct cv_channel *ch = seat->caller.channel;
    struct cv_channel_look seen = {0};
    enum cv_status s = CV_OK;

    *what = CV_LOOP_READ_NONE;
    while (s == CV_OK && !seen.nothing && !seen.closed) {
        if (!whole && !cv_loop_account_has_room(l, seat)) {
            *what = CV_LOOP_READ_HELD;
            return CV_OK;
        }
        s = cv_channel_read(ch, &seen, err);
        cv_loop_account_charge(l, seat);
        if (s == CV_OK) {
            s = cv_channel_next(ch, out, err);
        }
        if (s == CV_OK && out->tree != NULL) {
            *what = CV_LOOP_READ_MESSAGE;
            return CV_OK;
        }
    }
    if (s == CV_OK && seen.closed) {
        *what = CV_LOOP_READ_END;
    }
    return s;
}

enum cv_status cv_loop_read(struct cv_loop *l, struct cv_loop_seat *seat,
                            struct cv_message *out, enum cv_loop_read *what,
                            struct cv_err *err)
{
    struct cv_channel *ch = seat->caller.channel;
    enum cv_status s = cv_channel_next(ch, out, err);
    bool go_on = true;

    *what = CV_LOOP_READ_MESSAGE;
    if (s == CV_OK && out->tree == NULL) {
        *what = CV_LOOP_READ_NONE;
        if (!cv_channel_has_begun(ch)) {
            s = look(l, seat, what, &go_on, err);
        }
        if (s == CV_OK && go_on) {
            s = take(l, seat, *what == CV_LOOP_READ_MESSAGE, out, what, err);
        }
    }
    if (s != CV_OK || *what == CV_LOOP_READ_MESSAGE) {
        seat->looks = 0;
        seat->begun_ms = 0;
        seat->is_long = false;
    } else if (seat->begun_ms == 0 &&
               (seat->looks > 0 || cv_channel_has_begun(ch))) {
        seat->begun_ms = cv_clock_boot_ms();
    }
    cv_loop_account_charge(l, seat);
    return s;
}
