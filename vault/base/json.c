#include "vault/base/json.h"

#include "vault/base/base_internal.h"

#include <stdatomic.h>
#include <stdlib.h>

/* Every piece that cJSON gets has this in front, so that it can be freed on any
 * thread and whichever arena is in use then. */
union piece {
    bool in_arena;
    max_align_t align;
};

static atomic_bool started;
static _Thread_local struct cv_arena *current;
/* Where an allocation that fails says why, while cv_json_parse runs. */
static _Thread_local struct cv_err *current_err;

static void *make(size_t len)
{
    union piece *p = NULL;
    if (len > SIZE_MAX - sizeof(*p)) {
        return NULL;
    }
    if (current != NULL) {
        p = cv_arena_alloc(current, sizeof(*p) + len, current_err);
    } else {
        p = malloc(sizeof(*p) + len);
    }
    if (p == NULL) {
        return NULL;
    }
    p->in_arena = current != NULL;
    return p + 1;
}

static void unmake(void *ptr)
{
    if (ptr == NULL) {
        return;
    }
    union piece *p = (union piece *)ptr - 1;
    if (!p->in_arena) {
        free(p);
    }
}

void cv_json_start(void)
{
    cJSON_Hooks hooks = {make, unmake};
    cJSON_InitHooks(&hooks);
    atomic_store(&started, true);
}

struct cv_arena *cv_json_use(struct cv_arena *arena)
{
    if (arena != NULL && !atomic_load(&started)) {
        abort();
    }
    struct cv_arena *before = current;
    current = arena;
    return before;
}

enum cv_status cv_json_parse(struct cv_arena *arena, struct cv_bytes text,
                             cJSON **out, struct cv_err *err)
{
    *out = NULL;
    if (!atomic_load(&started)) {
        return cv_fail(err, CV_INTERNAL, "cv_json_start was not called");
    }
    enum cv_status status = cv_json_check_text(text, err);
    if (status != CV_OK) {
        return status;
    }
    /* What the walk took and cJSON does not is memory, unless an arena said
     * otherwise. */
    struct cv_err why;
    cv_err_init(&why);
    cv_fail(&why, CV_INTERNAL, "out of memory");
    struct cv_arena *before = cv_json_use(arena);
    current_err = &why;
    *out = cJSON_ParseWithLengthOpts((const char *)text.data, text.len, NULL,
                                     false);
    current_err = NULL;
    (void)cv_json_use(before);
    if (*out != NULL) {
        return CV_OK;
    }
    if (err != NULL) {
        *err = why;
    }
    return why.status;
}
