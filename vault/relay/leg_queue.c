#include "vault/relay/leg_internal.h"

#include <stdlib.h>
#include <string.h>

struct cv_leg_piece {
    struct cv_leg_piece *next;
    size_t from, to;
    uint8_t data[CV_LEG_PIECE];
};

static void free_pieces(struct cv_leg_piece *p)
{
    while (p != NULL) {
        struct cv_leg_piece *next = p->next;

        free(p);
        p = next;
    }
}

/* Pieces for `len` bytes; NULL: memory is gone (or none are wanted). */
static struct cv_leg_piece *make_pieces(size_t len, struct cv_leg_piece **last)
{
    struct cv_leg_piece *first = NULL, **at = &first;

    for (size_t n = 0; n < len; n += CV_LEG_PIECE) {
        struct cv_leg_piece *p = malloc(sizeof(*p));

        if (p == NULL) {
            free_pieces(first);
            return NULL;
        }
        p->next = NULL;
        p->from = p->to = 0;
        *at = p;
        at = &p->next;
        *last = p;
    }
    return first;
}

static size_t put(struct cv_leg_piece *p, const uint8_t *data, size_t len)
{
    size_t room = CV_LEG_PIECE - p->to;
    size_t n = len < room ? len : room;

    memcpy(p->data + p->to, data, n);
    p->to += n;
    return n;
}

bool cv_leg_queue_add(struct cv_leg_queue *q, const uint8_t *data, size_t len)
{
    size_t room = q->last != NULL ? CV_LEG_PIECE - q->last->to : 0;
    size_t now = len < room ? len : room;
    struct cv_leg_piece *more = NULL, *last = NULL;

    if (len > now) {
        more = make_pieces(len - now, &last);
        if (more == NULL) {
            return false;
        }
    }
    if (now > 0) {
        (void)put(q->last, data, now);
    }
    for (struct cv_leg_piece *p = more; p != NULL; p = p->next) {
        now += put(p, data + now, len - now);
    }
    if (more != NULL) {
        *(q->last != NULL ? &q->last->next : &q->first) = more;
        q->last = last;
    }
    q->len += len;
    return true;
}

struct cv_bytes cv_leg_queue_first(const struct cv_leg_queue *q)
{
    const struct cv_leg_piece *p = q->first;

    return (struct cv_bytes){p->data + p->from, p->to - p->from};
}

void cv_leg_queue_took(struct cv_leg_queue *q, size_t len)
{
    struct cv_leg_piece *p = q->first;

    p->from += len;
    q->len -= len;
    if (p->from == p->to) {
        q->first = p->next;
        if (q->first == NULL) {
            q->last = NULL;
        }
        free(p);
    }
}

void cv_leg_queue_drop(struct cv_leg_queue *q)
{
    free_pieces(q->first);
    *q = (struct cv_leg_queue){NULL, NULL, 0};
}
