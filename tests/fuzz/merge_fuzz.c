/* Any text as the user's kubeconfig, changed and changed back: each change
 * reads as what was meant, and what was put in and taken out leaves the
 * document as it was. */
#include "cli/merge_text.h"
#include "vault/base/limits.h"
#include "vault/yaml/yaml.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char *const lists[] = {"clusters", "contexts", "users"};

static bool is_kubeconfig(const cJSON *tree)
{
    if (!cJSON_IsObject(tree)) {
        return false;
    }
    for (size_t i = 0; i < 3; i++) {
        const cJSON *list = cJSON_GetObjectItemCaseSensitive(tree, lists[i]);

        if (list != NULL && !cJSON_IsArray(list) && !cJSON_IsNull(list)) {
            return false;
        }
    }
    return true;
}

static cJSON *parse(struct cv_arena *arena, struct cv_bytes text)
{
    cJSON *tree = NULL;

    if (cv_yaml_parse(arena, text, &tree, NULL, NULL, NULL) != CV_OK) {
        return NULL;
    }
    return is_kubeconfig(tree) ? tree : NULL;
}

static cJSON *new_item(void)
{
    cJSON *item = cJSON_CreateObject(), *body = cJSON_CreateObject();

    if (!cv_json_add_str(item, "name", "x y: #z") ||
        !cv_json_add_str(body, "server", "https://127.0.0.1:1/-/a") ||
        !cv_json_add_item(item, "cluster", body)) {
        abort();
    }
    return item;
}

/* One edit; the tree that the new text reads as, NULL where it was refused. */
static cJSON *edit(struct cv_arena *arena, struct cv_bytes text,
                   const struct cv_merge_edit *e, struct cv_buf *out)
{
    cJSON *tree = parse(arena, text);

    cv_buf_init(out, arena, CV_LIMIT_KUBECONFIG * 2);
    if (tree == NULL ||
        cv_merge_text(arena, text, tree, e, 1, out, NULL) != CV_OK) {
        return NULL;
    }
    tree = parse(arena, cv_buf_bytes(out));
    if (tree == NULL) {
        abort();
    }
    return tree;
}

static void check(struct cv_arena *arena, struct cv_bytes text, uint8_t how)
{
    const char *list = lists[how % 3];
    const cJSON *before = parse(arena, text), *items;
    struct cv_merge_edit e = {list, -1, new_item()};
    struct cv_buf in, out;
    cJSON *tree;
    int n;

    if (before == NULL) {
        return;
    }
    items = cJSON_GetObjectItemCaseSensitive(before, list);
    n = cJSON_GetArraySize(items);
    if (n > 0 && (how & 0x80) != 0) {
        e.index = (how >> 2) % n;
        e.item = (how & 0x40) != 0 ? e.item : NULL;
        (void)edit(arena, text, &e, &out);
        return;
    }
    tree = edit(arena, text, &e, &in);
    if (tree == NULL) {
        return;
    }
    items = cJSON_GetObjectItemCaseSensitive(tree, list);
    if (cJSON_GetArraySize(items) != n + 1) {
        abort();
    }
    e.index = n;
    e.item = NULL;
    tree = edit(arena, cv_buf_bytes(&in), &e, &out);
    if (n > 0 && (tree == NULL || !cJSON_Compare(tree, before, true))) {
        abort();
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static bool started;
    struct cv_arena *arena = NULL, *used;

    if (!started) {
        cv_arena_allow_unlocked();
        if (cv_arena_start(NULL) != CV_OK) {
            abort();
        }
        cv_json_start();
        started = true;
    }
    if (size < 2 || size > CV_KIB(64) ||
        cv_arena_new(CV_LIMIT_SECRET_ARENA, &arena, NULL) != CV_OK) {
        return 0;
    }
    used = cv_json_use(arena);
    check(arena, (struct cv_bytes){data + 1, size - 1}, data[0]);
    (void)cv_json_use(used);
    cv_arena_free(arena);
    return 0;
}
