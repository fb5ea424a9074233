/* Rules into a seccomp program. Such a program may only jump forward, and a
 * conditional jump reaches 255 instructions: a node of the search tree is
 * therefore followed by what is below it, and a node that would have to reach
 * further goes by way of a jump that reaches anywhere. */
#include "vault/base/sandbox_internal.h"

#include <errno.h>
#include <linux/audit.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#define X32_BIT UINT32_C(0x40000000)
#define NEAR 255U

/* Calls from `first` to the next range's: the rules of that one call, or none.
 */
struct range {
    uint32_t first;
    const struct cv_sandbox_rule *rules;
    size_t n;
};

struct program {
    struct sock_filter *out;
    size_t n;
    uint32_t other;
    const struct range *ranges;
};

static void put(struct program *p, uint16_t code, uint32_t k, uint8_t jt,
                uint8_t jf)
{
    if (p->n < CV_SANDBOX_FILTER) {
        p->out[p->n] = (struct sock_filter){code, jt, jf, k};
    }
    p->n++;
}

static void put_load(struct program *p, size_t offset)
{
    put(p, BPF_LD | BPF_W | BPF_ABS, (uint32_t)offset, 0, 0);
}

static void put_return(struct program *p, uint32_t action)
{
    put(p, BPF_RET | BPF_K, action, 0, 0);
}

/* Passes on when half of an argument is as wanted, else jumps over the rest of
 * its condition. */
static void put_half(struct program *p, size_t offset, uint32_t mask,
                     uint32_t value, uint8_t over)
{
    put_load(p, offset);
    put(p, BPF_ALU | BPF_AND | BPF_K, mask, 0, 0);
    put(p, BPF_JMP | BPF_JEQ | BPF_K, value, 0, over);
}

#if __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "the halves of an argument lie the other way round here"
#endif

static uint32_t return_of(enum cv_sandbox_action action)
{
    static const uint32_t returns[] = {
        [CV_SANDBOX_ALLOW] = SECCOMP_RET_ALLOW,
        [CV_SANDBOX_REFUSE] = SECCOMP_RET_ERRNO | EPERM,
        [CV_SANDBOX_ABSENT] = SECCOMP_RET_ERRNO | ENOSYS,
        [CV_SANDBOX_KILL] = SECCOMP_RET_KILL_PROCESS,
    };

    return returns[action];
}

static void put_condition(struct program *p, const struct cv_sandbox_rule *r)
{
    size_t low =
        offsetof(struct seccomp_data, args) + r->argument * sizeof(uint64_t);

    put_half(p, low, (uint32_t)r->mask, (uint32_t)r->value, 4);
    put_half(p, low + sizeof(uint32_t), (uint32_t)(r->mask >> 32),
             (uint32_t)(r->value >> 32), 1);
    put_return(p, return_of(r->action));
}

/* What becomes of the calls of one range. */
static void put_range(struct program *p, const struct range *r)
{
    for (size_t i = 0; i < r->n; i++) {
        if (r->rules[i].mask == 0) {
            put_return(p, return_of(r->rules[i].action));
            return;
        }
        put_condition(p, &r->rules[i]);
    }
    put_return(p, p->other);
}

/* The node before what lies at `node` + 1 and further: from `k` up the second
 * part holds, which begins at the end. */
static void patch(struct program *p, size_t node, uint32_t k)
{
    size_t over = p->n - node - 1;

    if (over <= NEAR) {
        if (node < CV_SANDBOX_FILTER) {
            p->out[node].jt = (uint8_t)over;
            p->out[node].k = k;
        }
        return;
    }
    put(p, 0, 0, 0, 0);
    if (p->n > CV_SANDBOX_FILTER) {
        return;
    }
    memmove(&p->out[node + 2], &p->out[node + 1], over * sizeof(*p->out));
    p->out[node].k = k;
    p->out[node].jt = 0;
    p->out[node].jf = 1;
    p->out[node + 1] =
        (struct sock_filter){BPF_JMP | BPF_JA, 0, 0, (uint32_t)over};
}

static void put_ranges(struct program *p, size_t from, size_t to)
{
    size_t middle = from + (to - from) / 2, node = p->n;

    if (to - from == 1) {
        put_range(p, &p->ranges[from]);
        return;
    }
    put(p, BPF_JMP | BPF_JGE | BPF_K, 0, 0, 0);
    put_ranges(p, from, middle);
    patch(p, node, p->ranges[middle].first);
    put_ranges(p, middle, to);
}

/* Conditions first; the strictest rule without one before milder ones. */
static int by_number(const void *a, const void *b)
{
    const struct cv_sandbox_rule *x = a, *y = b;

    if (x->number != y->number) {
        return x->number < y->number ? -1 : 1;
    }
    if ((x->mask == 0) != (y->mask == 0)) {
        return x->mask == 0 ? 1 : -1;
    }
    return (int)y->action - (int)x->action;
}

/* The same for all calls of both? */
static bool alike(const struct range *a, const struct range *b)
{
    if (a->n == 0 || b->n == 0) {
        return a->n == b->n;
    }
    return a->rules[0].mask == 0 && b->rules[0].mask == 0 &&
           a->rules[0].action == b->rules[0].action;
}

static void add_range(struct range *ranges, size_t *n, struct range r)
{
    /* one that begins where the one before it began takes its place */
    if (*n > 0 && ranges[*n - 1].first == r.first) {
        --*n;
    }
    if (*n == 0 || !alike(&ranges[*n - 1], &r)) {
        ranges[(*n)++] = r;
    }
}

/* Every call there could be, in ranges; those between what has rules have
 * none. */
static size_t split(const struct cv_sandbox_rule *rules, size_t n,
                    struct range *ranges)
{
    size_t count = 0;

    add_range(ranges, &count, (struct range){0, NULL, 0});
    for (size_t i = 0, next; i < n; i = next) {
        uint32_t number = (uint32_t)rules[i].number;

        for (next = i + 1; next < n && rules[next].number == rules[i].number;) {
            next++;
        }
        add_range(ranges, &count, (struct range){number, &rules[i], next - i});
        add_range(ranges, &count, (struct range){number + 1, NULL, 0});
    }
    return count;
}

size_t cv_sandbox_filter(uint32_t audit_arch, uint32_t other,
                         struct cv_sandbox_rule *rules, size_t n,
                         struct sock_filter out[CV_SANDBOX_FILTER])
{
    struct range ranges[2 * CV_SANDBOX_RULES + 1];
    struct program p = {out, 0, other, ranges};

    if (n > CV_SANDBOX_RULES) {
        return 0;
    }
    qsort(rules, n, sizeof(*rules), by_number);
    put_load(&p, offsetof(struct seccomp_data, arch));
    put(&p, BPF_JMP | BPF_JEQ | BPF_K, audit_arch, 1, 0);
    put_return(&p, SECCOMP_RET_KILL_PROCESS);
    put_load(&p, offsetof(struct seccomp_data, nr));
    if (audit_arch == AUDIT_ARCH_X86_64) {
        /* What has all bits set is no call: a tracer took it away. */
        put(&p, BPF_JMP | BPF_JGE | BPF_K, X32_BIT, 0, 2);
        put(&p, BPF_JMP | BPF_JEQ | BPF_K, UINT32_MAX, 1, 0);
        put_return(&p, SECCOMP_RET_KILL_PROCESS);
    }
    put_ranges(&p, 0, split(rules, n, ranges));
    return p.n <= CV_SANDBOX_FILTER ? p.n : 0;
}
