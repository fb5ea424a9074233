#include "vault/broker/jump.h"

#include "vault/base/clock.h"
#include "vault/broker/broker_internal.h"

#include <string.h>

/* NULL: it went as it should. */
static const char *what(const struct cv_log_moment *last, int64_t last_s,
                        int64_t now_s)
{
    int64_t drift;

    if (now_s < last_s) {
        return "the clock went back";
    }
    if (last->mono_ms < 0 || strcmp(last->boot, cv_clock_boot_id()) != 0) {
        return NULL;
    }
    drift = (now_s - last_s) - (cv_clock_boot_ms() - last->mono_ms) / 1000;
    return drift > CV_JUMP_S || drift < -CV_JUMP_S ? "the clock was set" : NULL;
}

static void tell(struct cv_broker *b, const char *because, const char *before,
                 int64_t now_s)
{
    struct cv_arena *arena = cv_json_use(NULL);
    struct cv_caller *caller = b->caller;
    cJSON *details = cJSON_CreateObject();
    char after[CV_CLOCK_TEXT_LEN];

    (void)cv_json_add_str(details, "before", before);
    (void)cv_json_add_str(details, "after", cv_clock_format(now_s, after));
    (void)cv_json_add_str(details, "because", because);
    b->caller = NULL; /* it is nobody's doing */
    cv_broker_event(b, "clock", CV_OK, details);
    b->caller = caller;
    cJSON_Delete(details);
    (void)cv_json_use(arena);
}

void cv_jump_look(struct cv_broker *b)
{
    const struct cv_log_moment *last = cv_log_last_moment(b->vault->log);
    const uint64_t size = cv_log_size(b->vault->log);
    const int64_t now_s = cv_clock_now_s();
    const char *because;
    int64_t last_s = 0;

    /* With so many leaves waiting one more would want a commit first. */
    if (last->time[0] == '\0' || b->jump.told == size ||
        b->n_waiting >= CV_BROKER_WAITING_EVENTS ||
        cv_clock_parse(last->time, &last_s, NULL) != CV_OK) {
        return;
    }
    because = what(last, last_s, now_s);
    if (because != NULL) {
        b->jump.told = size;
        tell(b, because, last->time, now_s);
    }
}
