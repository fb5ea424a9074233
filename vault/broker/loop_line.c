/* The lines in which users' connections wait for their turn. */
#include "vault/broker/loop_internal.h"

void cv_loop_line_stand(struct cv_loop *l, struct cv_loop_seat *seat)
{
    struct cv_loop_account *a = seat->account;

    if (seat->in_line) {
        return;
    }
    seat->in_line = true;
    seat->next = NULL;
    if (a->last != NULL) {
        a->last->next = seat;
    } else {
        a->first = seat;
    }
    a->last = seat;
    cv_loop_line_busy(l, a);
}

void cv_loop_line_busy(struct cv_loop *l, struct cv_loop_account *a)
{
    if (a->is_busy) {
        return;
    }
    a->is_busy = true;
    a->next_busy = NULL;
    if (l->busy_last != NULL) {
        l->busy_last->next_busy = a;
    } else {
        l->busy = a;
    }
    l->busy_last = a;
    l->n_busy++;
}

static void leave_busy(struct cv_loop *l, struct cv_loop_account *a)
{
    struct cv_loop_account *before = NULL;

    if (!a->is_busy) {
        return;
    }
    for (struct cv_loop_account *at = l->busy; at != a; at = at->next_busy) {
        before = at;
    }
    if (before != NULL) {
        before->next_busy = a->next_busy;
    } else {
        l->busy = a->next_busy;
    }
    l->busy_last = l->busy_last == a ? before : l->busy_last;
    l->n_busy--;
    a->is_busy = false;
}

void cv_loop_line_press(struct cv_loop *l, struct cv_loop_seat *seat)
{
    struct cv_loop_account *a = seat->account;

    cv_loop_line_leave(seat);
    seat->in_line = true;
    seat->next = a->first;
    a->first = seat;
    a->last = a->last != NULL ? a->last : seat;
    leave_busy(l, a);
    a->is_busy = true;
    a->next_busy = l->busy;
    l->busy = a;
    l->busy_last = l->busy_last != NULL ? l->busy_last : a;
    l->n_busy++;
}

struct cv_loop_account *cv_loop_line_account(struct cv_loop *l)
{
    struct cv_loop_account *a = l->busy;

    if (a != NULL) {
        l->busy = a->next_busy;
        l->busy_last = l->busy != NULL ? l->busy_last : NULL;
        l->n_busy--;
        a->is_busy = false;
    }
    return a;
}

struct cv_loop_seat *cv_loop_line_next(struct cv_loop_account *a)
{
    struct cv_loop_seat *seat = a->first;

    if (seat != NULL) {
        a->first = seat->next;
        a->last = a->first != NULL ? a->last : NULL;
        seat->in_line = false;
    }
    return seat;
}

void cv_loop_line_leave(struct cv_loop_seat *seat)
{
    struct cv_loop_seat *before = NULL;

    if (!seat->in_line) {
        return;
    }
    for (struct cv_loop_seat *at = seat->account->first; at != seat;
         at = at->next) {
        before = at;
    }
    if (before != NULL) {
        before->next = seat->next;
    } else {
        seat->account->first = seat->next;
    }
    if (seat->account->last == seat) {
        seat->account->last = before;
    }
    seat->in_line = false;
}
