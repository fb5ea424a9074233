#include "vault/broker/prompt.h"

#include <stdlib.h>
#include <string.h>

/* Who asks whom: a caller that is gone is noticed by the loop, later. */
static void tell(struct cv_caller *caller, bool granted)
{
    struct cv_arena *before = cv_json_use(NULL);
    cJSON *parameters = cJSON_CreateObject();

    if (!cv_json_add_bool(parameters, "granted", granted)) {
        cJSON_Delete(parameters);
        parameters = NULL;
    }
    (void)!cv_reply_late(caller->channel, parameters, NULL);
    (void)cv_json_use(before);
}

/* Takes the first in the row that is the caller's (NULL: anybody's) and about
 * `subject` (NULL: anything). NULL: there is none. The subject is freed. */
static struct cv_prompt_wait *
take(struct cv_prompt *p, const struct cv_caller *caller, const char *subject)
{
    for (struct cv_prompt_wait **at = &p->first; *at != NULL;
         at = &(*at)->next) {
        struct cv_prompt_wait *w = *at;

        if ((caller == NULL || w->caller == caller) &&
            (subject == NULL || strcmp(w->subject, subject) == 0)) {
            *at = w->next;
            w->caller->prompt = NULL;
            return w;
        }
    }
    return NULL;
}

static void wait_free(struct cv_prompt_wait *w)
{
    free(w->subject);
    free(w);
}

static struct cv_prompt_wait *first_about(const struct cv_prompt *p,
                                          const char *subject)
{
    for (struct cv_prompt_wait *w = p->first; w != NULL; w = w->next) {
        if (strcmp(w->subject, subject) == 0) {
            return w;
        }
    }
    return NULL;
}

bool cv_prompt_is_held(const struct cv_prompt *p,
                       const struct cv_caller *caller, const char *subject)
{
    const struct cv_prompt_wait *w = first_about(p, subject);

    return w != NULL && w->caller != caller;
}

enum cv_status cv_prompt_ask(struct cv_prompt *p, struct cv_caller *caller,
                             const char *subject, bool *granted,
                             struct cv_err *err)
{
    struct cv_prompt_wait **end = &p->first;
    struct cv_prompt_wait *w;

    cv_prompt_left(p, caller);
    w = calloc(1, sizeof(*w));
    if (w != NULL) {
        w->subject = strdup(subject);
    }
    if (w == NULL || w->subject == NULL) {
        free(w);
        return cv_fail(err, CV_INTERNAL, "memory is gone");
    }
    w->caller = caller;
    w->holds = first_about(p, subject) == NULL;
    while (*end != NULL) {
        end = &(*end)->next;
    }
    *end = w;
    caller->prompt = w;
    *granted = w->holds;
    return CV_OK;
}

size_t cv_prompt_waiting(const struct cv_prompt *p)
{
    size_t n = 0;

    for (const struct cv_prompt_wait *w = p->first; w != NULL; w = w->next) {
        n += w->holds ? 0 : 1;
    }
    return n;
}

void cv_prompt_done(struct cv_prompt *p, const char *subject)
{
    struct cv_prompt_wait *w;

    while ((w = take(p, NULL, subject)) != NULL) {
        if (!w->holds) {
            tell(w->caller, false);
        }
        wait_free(w);
    }
}

void cv_prompt_left(struct cv_prompt *p, struct cv_caller *caller)
{
    struct cv_prompt_wait *w = take(p, caller, NULL);
    struct cv_prompt_wait *next;

    if (w == NULL) {
        return;
    }
    next = w->holds ? first_about(p, w->subject) : NULL;
    if (next != NULL) {
        next->holds = true;
        tell(next->caller, true);
    }
    wait_free(w);
}
