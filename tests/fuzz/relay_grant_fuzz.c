/* A grant as the broker (or who took its place) may send it. */
#include "vault/relay/grant.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void judge(const struct cv_grant *g)
{
    const struct cv_grant_upstream *up = &g->upstream;
    size_t path = strlen(up->path);

    if (!cv_grant_is_id(g->id) || up->host[0] == '\0' || up->port < 1 ||
        up->port > 65535 || up->spki.len == 0 || up->algorithms[0] == NULL ||
        strncmp(up->server, "https://", 8) != 0 ||
        strpbrk(up->authority, " \r\n/@") != NULL ||
        strpbrk(up->path, " \r\n?#%") != NULL ||
        (path > 0 && (up->path[0] != '/' || up->path[path - 1] == '/')) ||
        (up->verify == CV_GRANT_PIN && up->pins[0] == NULL) ||
        (g->verbs != NULL && g->verbs[0] == NULL)) {
        abort();
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static bool started;
    struct cv_bytes text = {data, size};
    struct cv_grant *g = NULL;
    cJSON *tree = NULL;

    if (!started) {
        cv_arena_allow_unlocked();
        if (cv_arena_start(NULL) != CV_OK) {
            abort();
        }
        cv_json_start();
        started = true;
    }
    if (cv_json_parse(NULL, text, &tree, NULL) != CV_OK) {
        return 0;
    }
    if (cv_grant_parse(tree, &g, NULL) == CV_OK) {
        judge(g);
        cv_grant_unref(cv_grant_ref(g));
    } else if (g != NULL) {
        abort();
    }
    cv_grant_unref(g);
    cJSON_Delete(tree);
    return 0;
}
