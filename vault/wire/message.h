/* A message and the memory that it lives in. */
#ifndef CERTVAULT_WIRE_MESSAGE_H
#define CERTVAULT_WIRE_MESSAGE_H

#include "vault/base/json.h"

/* One JSON object that came over a channel. */
struct cv_message {
    struct cv_arena *arena; /* NULL: the tree is on the heap */
    cJSON *tree;            /* an object; NULL: none */
};

/* Frees, wiping what was secret; an empty or zeroed message is fine. */
void cv_message_free(struct cv_message *m);

#endif
