#include "policy/pattern_internal.h"

#include <stdlib.h>
#include <string.h>

/* The instructions that are alive at one place of the text, each once. */
struct set {
    size_t n;
    uint16_t list[CV_PATTERN_SIZE];
    bool has[CV_PATTERN_SIZE];
};

static void set_clear(struct set *s, size_t n)
{
    s->n = 0;
    memset(s->has, 0, n);
}

/* Adds instruction `first` and all that can be reached from it without a byte.
 * Each instruction is pushed at most once, so the stack cannot overflow. */
static void set_add(struct set *s, const struct cv_pattern *p, size_t first,
                    bool at_begin, bool at_end)
{
    uint16_t stack[CV_PATTERN_SIZE];
    size_t depth = 0;
    size_t next[2] = {first, first};
    size_t n_next = 1;

    for (;;) {
        for (size_t i = 0; i < n_next; i++) {
            if (!s->has[next[i]]) {
                s->has[next[i]] = true;
                stack[depth++] = (uint16_t)next[i];
            }
        }
        if (depth == 0)
            return;
        size_t at = stack[--depth];
        const struct cv_pattern_step *step = &p->steps[at];
        next[0] = (size_t)((ptrdiff_t)at + step->x);
        next[1] = (size_t)((ptrdiff_t)at + step->y);
        n_next = 0;
        switch ((enum cv_pattern_op)step->op) {
        case CV_PATTERN_SPLIT:
            n_next = 2;
            break;
        case CV_PATTERN_JUMP:
            n_next = 1;
            break;
        case CV_PATTERN_BEGIN:
            n_next = at_begin ? 1 : 0;
            break;
        case CV_PATTERN_END:
            n_next = at_end ? 1 : 0;
            break;
        default:
            s->list[s->n++] = (uint16_t)at;
            break;
        }
    }
}

static bool step_takes(const struct cv_pattern *p,
                       const struct cv_pattern_step *step, uint8_t byte)
{
    switch ((enum cv_pattern_op)step->op) {
    case CV_PATTERN_CHAR:
        return step->c == byte;
    case CV_PATTERN_ANY:
        return true;
    case CV_PATTERN_CLASS:
        return (p->classes[step->c][byte >> 3] >> (byte & 7) & 1) != 0;
    default:
        return false;
    }
}

bool cv_pattern_matches(const struct cv_pattern *pattern, const char *text,
                        size_t len)
{
    struct set sets[2];
    struct set *now = &sets[0];
    struct set *then = &sets[1];

    set_clear(now, pattern->n);
    set_add(now, pattern, 0, true, len == 0);
    for (size_t i = 0; i < len && now->n > 0; i++) {
        set_clear(then, pattern->n);
        for (size_t k = 0; k < now->n; k++) {
            size_t at = now->list[k];
            if (step_takes(pattern, &pattern->steps[at], (uint8_t)text[i]))
                set_add(then, pattern, at + 1, false, i + 1 == len);
        }
        struct set *swap = now;
        now = then;
        then = swap;
    }
    for (size_t k = 0; k < now->n; k++) {
        if (pattern->steps[now->list[k]].op == CV_PATTERN_DONE)
            return true;
    }
    return false;
}

size_t cv_pattern_size(const struct cv_pattern *pattern)
{
    return pattern->n;
}

void cv_pattern_free(struct cv_pattern *pattern)
{
    if (pattern == NULL)
        return;
    free(pattern->classes);
    free(pattern);
}
