#include "vault/kubeconfig/kube_file_internal.h"

#include "vault/base/json.h"
#include "vault/base/limits.h"
#include "vault/base/name.h"
#include "vault/kubeconfig/kube_room_internal.h"
#include "vault/kubeconfig/kubeconfig.h"
#include "vault/yaml/yaml.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const char *cv_kube_file_name_fault(const char *name)
{
    size_t len = strlen(name);
    if (len > CV_KUBECONFIG_NAME_MAX) {
        return "too long";
    }
    return cv_name_is_printable((struct cv_bytes){(const uint8_t *)name, len})
               ? NULL
               : "holds characters that cannot be shown";
}

/* Text of a scalar; NULL where it is none. */
static enum cv_status text_of(struct cv_arena *arena, const cJSON *value,
                              const char **out, struct cv_err *err)
{
    char digits[32];
    *out = NULL;
    if (value == NULL || cJSON_IsNull(value)) {
        return CV_OK;
    }
    if (cJSON_IsString(value)) {
        *out = value->valuestring[0] != '\0' ? value->valuestring : NULL;
        return CV_OK;
    }
    double number = cJSON_IsNumber(value) ? value->valuedouble : 0.5;
    /* JSON's numbers lie within 2^53 either way. */
    if (number != (double)(int64_t)number) {
        return cv_fail(err, CV_INVALID, "must be a text");
    }
    (void)snprintf(digits, sizeof(digits), "%.0f", number);
    *out = cv_arena_copy(arena, digits, strlen(digits), err);
    return *out != NULL ? CV_OK : cv_kube_room_failed(err);
}

void cv_kube_file_prefix(const struct cv_kube_file_list *in, size_t item,
                         const char *key, struct cv_err *err)
{
    cv_err_prefix(err, "%s[%zu].%s.%s", in->key, item, in->part, key);
}

enum cv_status cv_kube_file_refuse(const struct cv_kube_file_list *in,
                                   size_t item, const char *key,
                                   const char *why, struct cv_err *err)
{
    return cv_fail(err, CV_INVALID, "%s[%zu].%s.%s: %s", in->key, item,
                   in->part, key, why);
}

enum cv_status cv_kube_file_text(struct cv_arena *arena,
                                 const struct cv_kube_file_list *in,
                                 size_t item, const char *key, const char **out,
                                 struct cv_err *err)
{
    const cJSON *value =
        cJSON_GetObjectItemCaseSensitive(in->items[item].body, key);
    enum cv_status st = text_of(arena, value, out, err);
    if (st != CV_OK) {
        cv_kube_file_prefix(in, item, key, err);
    }
    return st;
}

bool cv_kube_file_has(const struct cv_kube_file_list *in, size_t item,
                      const char *key)
{
    const cJSON *value =
        cJSON_GetObjectItemCaseSensitive(in->items[item].body, key);
    if (value == NULL || cJSON_IsNull(value) || cJSON_IsFalse(value) ||
        (cJSON_IsString(value) && value->valuestring[0] == '\0')) {
        return false;
    }
    bool container = cJSON_IsObject(value) || cJSON_IsArray(value);
    return !container || value->child != NULL;
}

static int by_name(const void *a, const void *b, void *list)
{
    const struct cv_kube_file_item *items =
        ((const struct cv_kube_file_list *)list)->items;
    size_t x = *(const size_t *)a;
    size_t y = *(const size_t *)b;
    int order = strcmp(items[x].name, items[y].name);
    return order != 0 ? order : (x < y ? -1 : x > y);
}

static enum cv_status sort(struct cv_arena *arena,
                           struct cv_kube_file_list *list, struct cv_err *err)
{
    list->by_name =
        cv_arena_alloc(arena, (list->n + 1) * sizeof(*list->by_name), err);
    if (list->by_name == NULL) {
        return cv_kube_room_failed(err);
    }
    for (size_t i = 0; i < list->n; i++) {
        list->by_name[i] = i;
    }
    qsort_r(list->by_name, list->n, sizeof(*list->by_name), by_name, list);
    for (size_t i = 1; i < list->n; i++) {
        size_t item = list->by_name[i];
        if (strcmp(list->items[list->by_name[i - 1]].name,
                   list->items[item].name) == 0) {
            return cv_fail(err, CV_INVALID, "%s[%zu].name: it was given before",
                           list->key, item);
        }
    }
    return CV_OK;
}

size_t cv_kube_file_find(const struct cv_kube_file_list *list, const char *name)
{
    size_t low = 0;
    size_t high = list->n;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        size_t item = list->by_name[middle];
        int order = strcmp(name, list->items[item].name);
        if (order == 0) {
            return item;
        }
        low = order > 0 ? middle + 1 : low;
        high = order > 0 ? high : middle;
    }
    return list->n;
}

static enum cv_status read_item(struct cv_arena *arena,
                                const struct cv_kube_file_list *list, size_t i,
                                const cJSON *item,
                                struct cv_kube_file_item *out,
                                struct cv_err *err)
{
    if (!cJSON_IsObject(item)) {
        return cv_fail(err, CV_INVALID, "%s[%zu]: must be an object", list->key,
                       i);
    }
    enum cv_status st = text_of(
        arena, cJSON_GetObjectItemCaseSensitive(item, "name"), &out->name, err);
    if (st != CV_OK) {
        cv_err_prefix(err, "%s[%zu].name", list->key, i);
        return st;
    }
    const char *why =
        out->name != NULL ? cv_kube_file_name_fault(out->name) : "missing";
    if (why != NULL) {
        return cv_fail(err, CV_INVALID, "%s[%zu].name: %s", list->key, i, why);
    }
    const cJSON *body = cJSON_GetObjectItemCaseSensitive(item, list->part);
    if (body != NULL && !cJSON_IsNull(body) && !cJSON_IsObject(body)) {
        return cv_fail(err, CV_INVALID, "%s[%zu].%s: must be an object",
                       list->key, i, list->part);
    }
    out->body = cJSON_IsObject(body) ? body : NULL;
    return CV_OK;
}

static enum cv_status read_list(struct cv_arena *arena, const cJSON *root,
                                struct cv_kube_file_list *list,
                                struct cv_err *err)
{
    const cJSON *array = cJSON_GetObjectItemCaseSensitive(root, list->key);
    if (array != NULL && !cJSON_IsNull(array) && !cJSON_IsArray(array)) {
        return cv_fail(err, CV_INVALID, "%s: must be a list", list->key);
    }
    size_t n = cJSON_IsArray(array) ? (size_t)cJSON_GetArraySize(array) : 0;
    if (n > CV_LIMIT_KUBECONFIG_ITEMS) {
        return cv_fail(err, CV_INVALID, "%s: more than %d of them", list->key,
                       CV_LIMIT_KUBECONFIG_ITEMS);
    }
    list->items = cv_arena_alloc(arena, (n + 1) * sizeof(*list->items), err);
    if (list->items == NULL) {
        return cv_kube_room_failed(err);
    }
    list->n = n;
    size_t i = 0;
    for (const cJSON *c = array != NULL ? array->child : NULL; c != NULL;
         c = c->next) {
        enum cv_status st = read_item(arena, list, i, c, &list->items[i], err);
        if (st != CV_OK) {
            return st;
        }
        i++;
    }
    return sort(arena, list, err);
}

/* A member of the document that, where it is there, must be this word. */
static enum cv_status check_word(const cJSON *root, const char *key,
                                 const char *word, struct cv_err *err)
{
    const cJSON *value = cJSON_GetObjectItemCaseSensitive(root, key);
    if (value == NULL || cJSON_IsNull(value) ||
        (cJSON_IsString(value) && strcmp(value->valuestring, word) == 0)) {
        return CV_OK;
    }
    return cv_fail(err, CV_INVALID, "%s: a kubeconfig's is %s", key, word);
}

static enum cv_status read_root(struct cv_arena *arena, const cJSON *root,
                                struct cv_kube_file *out, struct cv_err *err)
{
    if (!cJSON_IsObject(root)) {
        return cv_fail(err, CV_INVALID, "not a kubeconfig: no mapping");
    }
    enum cv_status st = check_word(root, "kind", "Config", err);
    if (st == CV_OK) {
        st = check_word(root, "apiVersion", "v1", err);
    }
    if (st == CV_OK) {
        st = read_list(arena, root, &out->clusters, err);
    }
    if (st == CV_OK) {
        st = read_list(arena, root, &out->users, err);
    }
    if (st == CV_OK) {
        st = read_list(arena, root, &out->contexts, err);
    }
    if (st == CV_OK) {
        st = text_of(arena,
                     cJSON_GetObjectItemCaseSensitive(root, "current-context"),
                     &out->current, err);
        if (st != CV_OK) {
            cv_err_prefix(err, "current-context");
        }
    }
    return st;
}

enum cv_status cv_kube_file_parse(struct cv_arena *arena, struct cv_bytes text,
                                  struct cv_kube_file *out, struct cv_err *err)
{
    cJSON *root = NULL;
    *out = (struct cv_kube_file){
        .clusters = {.key = "clusters", .part = "cluster"},
        .users = {.key = "users", .part = "user"},
        .contexts = {.key = "contexts", .part = "context"},
    };
    enum cv_status st = cv_yaml_parse(arena, text, &root, NULL, NULL, err);
    return st == CV_OK ? read_root(arena, root, out, err) : st;
}
