#include "cli/intake_offline.h"

#include "cli/intake_compose.h"
#include "cli/intake_file.h"
#include "cli/intake_merge.h"
#include "cli/intake_seal.h"
#include "vault/base/clock.h"
#include "vault/base/encode.h"
#include "vault/base/limits.h"
#include "vault/kubeconfig/strip.h"
#include "vault/wire/interface.h"

#include <stdlib.h>
#include <string.h>

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

static enum cv_status no_memory(struct cv_err *err)
{
    return cv_fail(err, CV_INTERNAL, "memory is gone");
}

/* ---- Read ---- */

struct reading {
    const char *name;
    const char **contexts;
    size_t n_contexts;
    bool all; /* no contexts were named */
    struct cv_intake_seal_target target;
    struct cv_arena *arena;
    struct cv_intake_file file;
    struct cv_kubeconfig *found;
};

static enum cv_status read_contexts(const cJSON *list, struct reading *r,
                                    struct cv_err *err)
{
    size_t n = (size_t)cJSON_GetArraySize(list);
    const cJSON *item;

    r->all = list == NULL;
    if (n > CV_LIMIT_KUBECONFIG_ITEMS) {
        return cv_fail(err, CV_USAGE, "too many contexts are named");
    }
    r->contexts = calloc(n + 1, sizeof(*r->contexts));
    if (r->contexts == NULL) {
        return no_memory(err);
    }
    cJSON_ArrayForEach(item, list)
    {
        if (!cJSON_IsString(item)) {
            return cv_fail(err, CV_USAGE, "a context's name is no text");
        }
        r->contexts[r->n_contexts++] = item->valuestring;
    }
    return CV_OK;
}

static enum cv_status read_request(const cJSON *parameters, struct reading *r,
                                   struct cv_err *err)
{
    const cJSON *contexts = NULL, *target = NULL;
    const struct cv_json_field fields[] = {
        {"name", CV_JSON_STRING, false, &r->name, 0},
        {"contexts", CV_JSON_ARRAY, false, &contexts, 0},
        {"target", CV_JSON_OBJECT, true, &target, 0},
    };
    enum cv_status s =
        cv_json_read(parameters, "Read", fields, COUNT(fields), true, err);

    if (s == CV_OK) {
        s = cv_intake_seal_read_target(target, &r->target, err);
    }
    return s != CV_OK ? s : read_contexts(contexts, r, err);
}

/* Everything that is no client key, and stays where it is. */
static bool add_left(cJSON *reply, const struct cv_kubeconfig *k)
{
    cJSON *list = cJSON_AddArrayToObject(reply, "left");

    for (size_t i = 0; list != NULL && i < k->n_left; i++) {
        cJSON *item = cJSON_CreateObject();

        if (!cv_json_add_str(item, "user", k->left[i].user) ||
            !cv_json_add_str(item, "why", k->left[i].why) ||
            !cJSON_AddItemToArray(list, item)) {
            cJSON_Delete(item);
            return false;
        }
    }
    return list != NULL;
}

static enum cv_status answer_read(cJSON *reply, const struct reading *r,
                                  struct cv_err *err)
{
    enum cv_status s = cv_intake_seal_identities(reply, "identities", r->found,
                                                 &r->target, r->arena, err);

    if (s == CV_OK &&
        (!add_left(reply, r->found) ||
         !cv_json_add_hex(
             reply, "digest",
             (struct cv_bytes){r->file.digest, sizeof(r->file.digest)}) ||
         !cv_json_add_bool(reply, "strippable",
                           cv_intake_file_replaceable(&r->file)))) {
        s = no_memory(err);
    }
    return s;
}

static enum cv_status read_file(void *context, const cJSON *parameters,
                                struct cv_reply *reply, struct cv_err *err)
{
    struct reading r = {.name = NULL};
    struct cv_kubeconfig_want want = {.now_s = cv_clock_now_s()};
    enum cv_status s = read_request(parameters, &r, err);

    (void)context;
    r.file.fd = -1;
    if (s == CV_OK) {
        s = cv_arena_new(CV_LIMIT_SECRET_ARENA, &r.arena, err);
    }
    if (s == CV_OK) {
        s = cv_intake_file_read(CV_INTAKE_OFFLINE_INPUT, r.name, false, r.arena,
                                &r.file, err);
    }
    if (s == CV_OK) {
        want.contexts = r.all ? NULL : r.contexts;
        want.n_contexts = r.n_contexts;
        s = cv_kubeconfig_read(r.arena, cv_buf_bytes(&r.file.text), &want,
                               &r.found, err);
    }
    if (s == CV_OK) {
        s = answer_read(cv_reply_parameters(reply), &r, err);
    }
    cv_intake_file_close(&r.file);
    free(r.contexts);
    cv_arena_free(r.arena);
    return s;
}

/* ---- Strip ---- */

struct stripping {
    const char *name;
    uint8_t digest[32];
    uint8_t (*spki)[32];
    size_t n;
    struct cv_arena *arena;
    struct cv_intake_file file;
    struct cv_buf text;
    struct cv_strip_result result;
};

static enum cv_status read_digests(const cJSON *list, struct stripping *st,
                                   struct cv_err *err)
{
    size_t n = (size_t)cJSON_GetArraySize(list);
    const cJSON *item;
    enum cv_status s = CV_OK;

    if (n < 1 || n > CV_LIMIT_KUBECONFIG_ITEMS) {
        return cv_fail(err, CV_USAGE, "no key is named, or too many");
    }
    st->spki = calloc(n, sizeof(*st->spki));
    if (st->spki == NULL) {
        return no_memory(err);
    }
    cJSON_ArrayForEach(item, list)
    {
        s = cv_decode_hex_exact(cJSON_GetStringValue(item), "a key's digest",
                                st->spki[st->n++], 32, err);
        if (s != CV_OK) {
            break;
        }
    }
    return s;
}

static enum cv_status read_strip(const cJSON *parameters, struct stripping *st,
                                 struct cv_err *err)
{
    const char *digest = NULL;
    const cJSON *spki = NULL;
    const struct cv_json_field fields[] = {
        {"name", CV_JSON_STRING, true, &st->name, 0},
        {"digest", CV_JSON_STRING, true, &digest, 64},
        {"spki", CV_JSON_ARRAY, true, &spki, 0},
    };
    enum cv_status s =
        cv_json_read(parameters, "Strip", fields, COUNT(fields), true, err);

    if (s == CV_OK) {
        s = cv_decode_hex_exact(digest, "the file's digest", st->digest,
                                sizeof(st->digest), err);
    }
    return s != CV_OK ? s : read_digests(spki, st, err);
}

static enum cv_status strip_it(struct stripping *st, struct cv_err *err)
{
    enum cv_status s = cv_intake_file_read(CV_INTAKE_OFFLINE_INPUT, st->name,
                                           true, st->arena, &st->file, err);

    if (s == CV_OK &&
        memcmp(st->file.digest, st->digest, sizeof(st->digest)) != 0) {
        s = cv_fail(err, CV_INVALID, "the file has changed meanwhile");
        cv_err_state(err, "nothing was taken out of it");
    }
    if (s == CV_OK) {
        /* two blanks where there was one can make it longer */
        cv_buf_init(&st->text, st->arena, CV_LIMIT_KUBECONFIG * 2);
        s = cv_strip_keys(st->arena, cv_buf_bytes(&st->file.text),
                          (const uint8_t(*)[32])st->spki, st->n, &st->text,
                          &st->result, err);
    }
    return s != CV_OK ? s
                      : cv_intake_file_replace(&st->file,
                                               cv_buf_bytes(&st->text), err);
}

static enum cv_status strip(void *context, const cJSON *parameters,
                            struct cv_reply *reply, struct cv_err *err)
{
    struct stripping st = {.name = NULL};
    enum cv_status s = read_strip(parameters, &st, err);

    (void)context;
    st.file.fd = -1;
    if (s == CV_OK) {
        s = cv_arena_new(CV_LIMIT_SECRET_ARENA, &st.arena, err);
    }
    if (s == CV_OK) {
        s = strip_it(&st, err);
    }
    if (s == CV_OK && !cv_json_add_int(cv_reply_parameters(reply), "left_keys",
                                       (int64_t)st.result.left)) {
        s = no_memory(err);
    }
    cv_intake_file_close(&st.file);
    free(st.spki);
    cv_arena_free(st.arena);
    return s;
}

static const struct cv_method methods[] = {
    {"Read", read_file, false},
    {"Strip", strip, false},
    {"Merge", cv_intake_merge, false},
    {"Compose", cv_intake_compose, false},
    {"RequestInfo", cv_intake_compose_request, false},
    {"RequestFinish", cv_intake_compose_finish, false},
};

const struct cv_interface cv_intake_offline = {
    .name = CV_INTERFACE_INTAKE,
    .description = cv_interface_intake,
    .methods = methods,
    .n_methods = COUNT(methods),
};
