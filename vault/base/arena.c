#include "vault/base/arena.h"

#include "vault/base/limits.h"

#include <errno.h>
#include <pthread.h>
#include <sodium.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

/* libsodium puts a region's end at a page's end and a canary before its start.
 * A size of whole pages less the canary's 16 bytes wastes nothing, and a
 * multiple of 16 keeps the start aligned. */
#define ALIGN 16U
#define PAGE 4096U
#define FIRST_CHUNK (CV_KIB(16) - ALIGN)
#define LARGEST_CHUNK CV_MIB(1)

struct chunk {
    struct chunk *next;
    uint8_t *data;
    size_t size;
    size_t used;
    pid_t locked_by; /* a forked process does not inherit the lock */
};

struct cv_arena {
    struct chunk *chunks; /* the newest, which is filled, first */
    size_t ceiling;
    size_t used;
    size_t next_size;
};

static atomic_bool unlocked_allowed;

/* Chunks of arenas that were freed, for those to come: mapping, guarding,
 * locking and unmapping one costs more than most messages do. They are wiped,
 * out of reach, and stay locked. Of the sizes that arenas begin with. */
#define SPARE 4
#define SPARE_SIZES 3

static struct {
    pthread_mutex_t lock;
    struct chunk *chunks[SPARE_SIZES][SPARE];
    size_t n[SPARE_SIZES];
} spare = {.lock = PTHREAD_MUTEX_INITIALIZER};

/* Which of those sizes; SPARE_SIZES where it is none. */
static size_t spare_size(size_t size)
{
    size_t i = 0;
    while (i < SPARE_SIZES && size != (CV_KIB(16) << i) - ALIGN) {
        i++;
    }
    return i;
}

enum cv_status cv_arena_start(struct cv_err *err)
{
    if (sodium_init() < 0) {
        return cv_fail(err, CV_INTERNAL, "libsodium does not start");
    }
    return CV_OK;
}

void cv_arena_allow_unlocked(void)
{
    atomic_store(&unlocked_allowed, true);
}

enum cv_status cv_arena_new(size_t ceiling, struct cv_arena **out,
                            struct cv_err *err)
{
    *out = calloc(1, sizeof(**out));
    if (*out == NULL) {
        return cv_fail(err, CV_INTERNAL, "out of memory");
    }
    (*out)->ceiling = ceiling;
    (*out)->next_size = FIRST_CHUNK;
    return CV_OK;
}

static struct chunk *take_spare(size_t which)
{
    struct chunk *c = NULL;
    if (which == SPARE_SIZES) {
        return NULL;
    }
    (void)pthread_mutex_lock(&spare.lock);
    if (spare.n[which] > 0) {
        c = spare.chunks[which][--spare.n[which]];
    }
    (void)pthread_mutex_unlock(&spare.lock);
    return c;
}

/* Wiped and out of reach; false where it cannot be kept. */
static bool keep_spare(struct chunk *c)
{
    size_t which = spare_size(c->size);
    if (which == SPARE_SIZES) {
        return false;
    }
    sodium_memzero(c->data, c->used);
    if (sodium_mprotect_noaccess(c->data) != 0) {
        return false;
    }
    (void)pthread_mutex_lock(&spare.lock);
    bool kept = spare.n[which] < SPARE;
    if (kept) {
        spare.chunks[which][spare.n[which]++] = c;
    }
    (void)pthread_mutex_unlock(&spare.lock);
    return kept;
}

static void unmap_chunk(struct chunk *c)
{
    sodium_free(c->data); /* wipes, checks the canary, unlocks */
    free(c);
}

static void free_chunk(struct chunk *c)
{
    if (!keep_spare(c)) {
        unmap_chunk(c);
    }
}

void cv_arena_free(struct cv_arena *arena)
{
    if (arena == NULL) {
        return;
    }
    for (struct chunk *c = arena->chunks; c != NULL;) {
        struct chunk *next = c->next;
        free_chunk(c);
        c = next;
    }
    free(arena);
}

/* sodium_malloc locks but does not say whether it could; locking again what is
 * locked does nothing. The system call itself, because the sanitizers make
 * mlock() an empty function. */
static enum cv_status check_locked(struct chunk *c, struct cv_err *err)
{
    pid_t self = getpid();
    if (c->locked_by == self) {
        return CV_OK;
    }
    if (syscall(SYS_mlock, c->data, c->size) == 0) {
        c->locked_by = self;
        return CV_OK;
    }
    if (atomic_load(&unlocked_allowed)) {
        return CV_OK;
    }
    cv_fail_errno(err, CV_UNAVAILABLE, "memory for secrets cannot be locked");
    cv_err_hint(err,
                "raise the limit (LimitMEMLOCK= in the unit, ulimit -l) or "
                "give --allow-unlocked");
    return CV_UNAVAILABLE;
}

/* What is spare counts against the limit of locked memory. */
static bool drop_spare(void)
{
    struct chunk *c = NULL;
    for (size_t i = 0; i < SPARE_SIZES && c == NULL; i++) {
        c = take_spare(i);
    }
    if (c != NULL) {
        unmap_chunk(c);
    }
    return c != NULL;
}

static struct chunk *map_chunk(size_t size, struct cv_err *err)
{
    struct chunk *c = calloc(1, sizeof(*c));
    if (c == NULL) {
        (void)cv_fail(err, CV_INTERNAL, "out of memory");
        return NULL;
    }
    c->size = size;
    c->data = sodium_malloc(size);
    if (c->data == NULL) {
        free(c);
        (void)cv_fail(err, CV_INTERNAL, "out of memory for secrets");
        return NULL;
    }
    return c;
}

/* A spare chunk, or NULL. */
static struct chunk *reuse_chunk(size_t size)
{
    struct chunk *c = take_spare(spare_size(size));
    if (c != NULL && sodium_mprotect_readwrite(c->data) != 0) {
        unmap_chunk(c);
        return NULL;
    }
    if (c != NULL) {
        c->next = NULL;
        c->used = 0;
    }
    return c;
}

static enum cv_status new_chunk(size_t size, struct chunk **out,
                                struct cv_err *err)
{
    struct chunk *c = reuse_chunk(size);
    if (c == NULL) {
        c = map_chunk(size, err);
    }
    if (c == NULL) {
        return CV_INTERNAL;
    }
    enum cv_status status = check_locked(c, err);
    while (status != CV_OK && drop_spare()) {
        status = check_locked(c, err);
    }
    if (status != CV_OK) {
        unmap_chunk(c);
        return status;
    }
    *out = c;
    return CV_OK;
}

/* A chunk that has `len` bytes free, at the head of the list when pieces to
 * come should go there too. */
static struct chunk *room_for(struct cv_arena *a, size_t len,
                              struct cv_err *err)
{
    struct chunk *head = a->chunks;
    if (head != NULL && head->size - head->used >= len) {
        return head;
    }
    bool alone = len > a->next_size / 2;
    size_t size = a->next_size;
    if (alone) {
        size = (len + ALIGN + PAGE - 1) / PAGE * PAGE - ALIGN;
    }
    struct chunk *c = NULL;
    if (new_chunk(size, &c, err) != CV_OK || c == NULL) {
        return NULL;
    }
    if (alone && head != NULL) {
        c->next = head->next;
        head->next = c;
        return c;
    }
    c->next = head;
    a->chunks = c;
    if (a->next_size < LARGEST_CHUNK - ALIGN) {
        a->next_size = (a->next_size + ALIGN) * 2 - ALIGN;
    }
    return c;
}

static size_t round_up(size_t len)
{
    return len == 0 ? ALIGN : (len + ALIGN - 1) / ALIGN * ALIGN;
}

/* Is there still room for `len` more under the ceiling? */
static bool fits(const struct cv_arena *a, size_t len)
{
    return len <= SIZE_MAX - CV_MIB(1) && a->used <= a->ceiling &&
           round_up(len) <= a->ceiling - a->used;
}

static enum cv_status too_much(const struct cv_arena *a, struct cv_err *err)
{
    return cv_fail(err, CV_INVALID,
                   "more than %zu bytes of secret memory for one message",
                   a->ceiling);
}

void *cv_arena_alloc(struct cv_arena *arena, size_t len, struct cv_err *err)
{
    if (!fits(arena, len)) {
        too_much(arena, err);
        return NULL;
    }
    size_t whole = round_up(len);
    struct chunk *c = room_for(arena, whole, err);
    if (c == NULL) {
        return NULL;
    }
    uint8_t *p = c->data + c->used;
    c->used += whole;
    arena->used += whole;
    memset(p, 0, whole);
    return p;
}

char *cv_arena_copy(struct cv_arena *arena, const void *data, size_t len,
                    struct cv_err *err)
{
    if (len == SIZE_MAX) {
        too_much(arena, err);
        return NULL;
    }
    char *p = cv_arena_alloc(arena, len + 1, err);
    if (p != NULL && len > 0) {
        memcpy(p, data, len);
    }
    return p;
}

static bool holds(const struct chunk *c, const void *ptr)
{
    uintptr_t p = (uintptr_t)ptr;
    uintptr_t start = (uintptr_t)c->data;
    return p >= start && p - start < c->size;
}

/* Wipes a piece; gives its room back where that is simple. */
static void give_back(struct cv_arena *a, uint8_t *ptr, size_t len)
{
    size_t whole = round_up(len);
    struct chunk **link = &a->chunks;
    while (*link != NULL && !holds(*link, ptr)) {
        link = &(*link)->next;
    }
    struct chunk *c = *link;
    sodium_memzero(ptr, whole);
    if (c == NULL || ptr + whole != c->data + c->used) {
        return;
    }
    c->used -= whole;
    a->used -= whole;
    if (c->used == 0 && c != a->chunks) {
        *link = c->next;
        free_chunk(c);
    }
}

/* Lengthens the newest piece of a chunk in its place. */
static bool lengthen(struct cv_arena *a, const uint8_t *ptr, size_t len,
                     size_t more)
{
    struct chunk *c = a->chunks;
    while (c != NULL && !holds(c, ptr)) {
        c = c->next;
    }
    if (c == NULL || ptr + len != c->data + c->used ||
        c->size - c->used < more) {
        return false;
    }
    memset(c->data + c->used, 0, more);
    c->used += more;
    a->used += more;
    return true;
}

void *cv_arena_grow(struct cv_arena *arena, void *ptr, size_t len,
                    size_t new_len, struct cv_err *err)
{
    if (ptr == NULL) {
        return cv_arena_alloc(arena, new_len, err);
    }
    if (!fits(arena, new_len)) {
        too_much(arena, err);
        return NULL;
    }
    size_t old = round_up(len);
    if (round_up(new_len) == old ||
        lengthen(arena, ptr, old, round_up(new_len) - old)) {
        return ptr;
    }
    uint8_t *p = cv_arena_alloc(arena, new_len, err);
    if (p != NULL) {
        memcpy(p, ptr, len);
        give_back(arena, ptr, len);
    }
    return p;
}

bool cv_arena_owns(const struct cv_arena *arena, const void *ptr)
{
    if (arena == NULL) {
        return false;
    }
    for (const struct chunk *c = arena->chunks; c != NULL; c = c->next) {
        if (holds(c, ptr)) {
            return true;
        }
    }
    return false;
}

size_t cv_arena_used(const struct cv_arena *arena)
{
    return arena->used;
}
