#include "vault/wire/message.h"

void cv_message_free(struct cv_message *m)
{
    if (m->arena == NULL) {
        cJSON_Delete(m->tree);
    }
    cv_arena_free(m->arena);
    m->arena = NULL;
    m->tree = NULL;
}
