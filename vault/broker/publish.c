#include "vault/broker/publish.h"

#include "vault/broker/broker_internal.h"

#include "vault/audit/checkpoint.h"
#include "vault/audit/kept.h"
#include "vault/audit/tiles.h"
#include "vault/broker/anchor.h"
#include "vault/broker/sink.h"

#include <string.h>

/* Leaves whose tiles are made in one go: some tens of milliseconds. */
#define STEP 8192

/* The size in a note that was checked before it was stored. */
static uint64_t size_of(struct cv_bytes note)
{
    const uint8_t *end = memmem(note.data, note.len, "\n\n", 2);
    struct cv_checkpoint c;

    if (end == NULL ||
        cv_checkpoint_parse(
            (struct cv_bytes){note.data, (size_t)(end - note.data) + 1}, &c,
            NULL) != CV_OK) {
        return 0;
    }
    return c.size;
}

/* Makes the tiles of the next leaves. True while there are more. */
static bool bring_up(struct cv_broker *b)
{
    uint64_t at = 0, to = b->publish_size;

    if (to == 0 || b->vault == NULL ||
        cv_vault_enter(b->vault, NULL) != CV_OK) {
        b->publish_size = 0;
        return false;
    }
    if (cv_tiles_size(b->vault->dir, &at, NULL) != CV_OK) {
        at = 0;
    }
    if (to > at && to - at > STEP) {
        to = at + STEP;
    }
    if (at >= to || cv_tiles_update(b->vault->dir, to, NULL) != CV_OK ||
        to == b->publish_size) {
        b->publish_size = 0;
    }
    cv_vault_leave(b->vault);
    return b->publish_size > 0;
}

void cv_publish_checkpoint(struct cv_broker *b, struct cv_bytes note)
{
    b->publish_size = size_of(note);
    (void)bring_up(b);
    if (b->vault != NULL) {
        cv_kept_add(b->vault->dir, note);
    }
    cv_anchor_checkpoint(b, note);
}

void cv_publish_stored(struct cv_broker *b)
{
    struct cv_checkpoint c;
    struct cv_buf note;

    cv_buf_init(&note, NULL, CV_LIMIT_NOTE);
    if (b->vault != NULL &&
        cv_checkpoint_read(b->vault->dir, &b->vault->log_key, &c, &note, NULL,
                           NULL) == CV_OK) {
        cv_publish_checkpoint(b, cv_buf_bytes(&note));
    }
    cv_buf_wipe(&note);
}

bool cv_publish_tick(struct cv_broker *b)
{
    bool more = bring_up(b);

    more = cv_anchor_tick(b) || more;
    return cv_sink_tick(b) || more;
}

void cv_publish_end(struct cv_broker *b)
{
    b->publish_size = 0;
    cv_sink_end(b);
    cv_anchor_end(b);
}
