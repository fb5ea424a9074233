/* The index of the log, as the broker keeps it: brought up by whoever asks. */
#include "vault/audit/index.h"
#include "vault/base/manager.h"
#include "vault/broker/broker_internal.h"
#include "vault/broker/meanwhile.h"

/* A question reads so much of the log's end by itself: about 500 leaves. */
#define SLACK CV_KIB(320)

static void tell(struct cv_broker *b, const char *because)
{
    cJSON *details = cJSON_CreateObject();

    (void)cv_json_add_str(details, "because", because);
    cv_broker_event(b, "log", CV_INTEGRITY, details);
    cJSON_Delete(details);
}

void cv_broker_index_distrust(struct cv_broker *b)
{
    tell(b, "the index was damaged: it is made again");
    (void)!cv_index_remove(b->vault->dir, NULL);
}

static void tell_state(struct cv_broker *b, enum cv_index_state state)
{
    if (state == CV_INDEX_FOREIGN) {
        tell(b, "the index was of another log: it was made again");
    } else if (state == CV_INDEX_DAMAGED) {
        tell(b, "the index was damaged: it was made again");
    }
}

enum cv_status cv_broker_index(struct cv_broker *b, struct cv_err *err)
{
    struct cv_index_told told = {0};
    bool first = true, serving = false;
    enum cv_status s = CV_OK;

    /* Somebody else's question does it: this one reads what is not there. */
    if (b->indexing) {
        return CV_OK;
    }
    b->indexing = true;
    do {
        s = cv_index_update(b->vault->dir, SLACK, &told, err);
        if (s == CV_OK && first) {
            tell_state(b, told.state);
            serving = !told.done && cv_meanwhile_begin(b);
        }
        first = false;
        cv_manager_feed(true);
        if (serving) {
            cv_meanwhile_turn(b);
        }
    } while (s == CV_OK && !told.done);
    if (serving) {
        cv_meanwhile_end(b);
    }
    b->indexing = false;
    return s;
}

bool cv_broker_index_may(struct cv_broker *b)
{
    if (b->options->mode != CV_BROKER_SERVICE) {
        return true; /* nobody else waits */
    }
    if (!cv_meanwhile_begin(b)) {
        return false;
    }
    cv_meanwhile_end(b);
    return true;
}

enum cv_status cv_broker_index_for(struct cv_broker *b, int64_t seq,
                                   struct cv_err *err)
{
    return seq > CV_INDEX_STEP && cv_broker_index_may(b)
               ? cv_broker_index(b, err)
               : CV_OK;
}
