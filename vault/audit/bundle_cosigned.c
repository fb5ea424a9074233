/* What witnesses have signed of the log of a bundle. */
#include "vault/audit/anchored.h"
#include "vault/audit/bundle_internal.h"

#include "vault/audit/proof.h"
#include "vault/base/clock.h"
#include "vault/base/encode.h"
#include "vault/base/json.h"
#include "vault/base/limits.h"

#include <stdio.h>
#include <string.h>

enum cv_status cv_bundle_hashes(const cJSON *list, uint8_t out[][CV_TREE_HASH],
                                unsigned most, unsigned *n, struct cv_err *err)
{
    const cJSON *item;

    *n = 0;
    cJSON_ArrayForEach(item, list)
    {
        if (*n == most ||
            cv_decode_base64_exact(cJSON_GetStringValue(item), "a hash",
                                   out[*n], CV_TREE_HASH, NULL) != CV_OK) {
            return cv_fail(err, CV_INTEGRITY,
                           "manifest.json: a hash is none, or one too many");
        }
        (*n)++;
    }
    return CV_OK;
}

/* The name of a file: a key's id. */
static bool is_id(const char *name)
{
    return strlen(name) == 8 && strspn(name, "0123456789abcdef") == 8;
}

static bool is_known(const struct cv_bundle_cosigned *w, const char *name)
{
    for (size_t i = 0; i < w->n; i++) {
        if (strcmp(w->at[i].name, name) == 0) {
            return true;
        }
    }
    return false;
}

/* A line of a witness that is believed is verified; there may be others. */
static enum cv_status read_witness(const struct cv_bundle_signed *by,
                                   struct cv_bytes note,
                                   struct cv_bundle_cosigned_one *one,
                                   struct cv_err *err)
{
    for (size_t i = 0; i < by->n_witnesses && one->witness[0] == '\0'; i++) {
        enum cv_status s =
            cv_anchored_time(note, &by->witnesses[i], &one->time_s, err);

        if (s == CV_OK) {
            memcpy(one->witness, by->witnesses[i].name, sizeof one->witness);
        } else if (s != CV_NOT_FOUND) {
            return s;
        }
    }
    return CV_OK;
}

/* Does it go on from the bundle's end? */
static enum cv_status check_later(const struct cv_bundle_signed *by,
                                  const struct cv_checkpoint *c,
                                  const cJSON *consistency, struct cv_err *err)
{
    struct cv_proof proof = {0};
    enum cv_status s;

    if (c->size <= by->after->size) {
        return consistency == NULL
                   ? CV_OK
                   : cv_fail(err, CV_INTEGRITY, "a proof that proves nothing");
    }
    s = cv_bundle_hashes(consistency, proof.hash, CV_PROOF_HASHES, &proof.n,
                         err);
    return s == CV_OK ? cv_proof_check_consistency(by->after->size, c->size,
                                                   by->after->root, c->root,
                                                   &proof, err)
                      : s;
}

static enum cv_status read_note(const struct cv_bundle_signed *by,
                                struct cv_bundle_cosigned_one *one,
                                struct cv_err *err)
{
    struct cv_buf note;
    char path[32];
    enum cv_status s;

    (void)snprintf(path, sizeof path, "cosigned/%s", one->name);
    cv_buf_init(&note, NULL, CV_LIMIT_NOTE);
    s = cv_bundle_read(by->dir, path, &note, err);
    if (s == CV_OK) {
        s = cv_bundle_keys_open(by->keys, by->own, cv_buf_bytes(&note), &one->c,
                                err);
    }
    if (s == CV_OK) {
        s = read_witness(by, cv_buf_bytes(&note), one, err);
    }
    cv_buf_wipe(&note);
    return s;
}

static enum cv_status take_item(const struct cv_bundle_signed *by,
                                const cJSON *item, struct cv_bundle_cosigned *w,
                                struct cv_err *err)
{
    struct cv_bundle_cosigned_one *one = &w->at[w->n];
    const char *name = NULL;
    const cJSON *consistency = NULL;
    int64_t size = -1;
    const struct cv_json_field fields[] = {
        {"name", CV_JSON_STRING, true, &name, 64},
        {"size", CV_JSON_INT, true, &size, 0},
        {"consistency", CV_JSON_ARRAY, false, &consistency, 0},
    };
    enum cv_status s = cv_json_read(
        item, "manifest.json: a cosigned checkpoint", fields, 3, true, err);

    if (s == CV_OK && (!is_id(name) || is_known(w, name))) {
        s = cv_fail(err, CV_INTEGRITY, "a name that is none, or there twice");
    }
    if (s != CV_OK) {
        return s;
    }
    memcpy(one->name, name, sizeof one->name);
    s = read_note(by, one, err);
    if (s == CV_OK &&
        (one->c.size != (uint64_t)size || one->c.size < by->first)) {
        s = cv_fail(err, CV_INTEGRITY,
                    "not of the size in manifest.json, or "
                    "of before the range");
    }
    if (s == CV_OK) {
        s = check_later(by, &one->c, consistency, err);
    }
    if (s != CV_OK) {
        cv_err_prefix(err, "cosigned/%s", one->name);
        return s;
    }
    w->n++;
    return CV_OK;
}

static enum cv_status take_name(void *ctx, const char *name, struct cv_err *err)
{
    return is_known(ctx, name)
               ? CV_OK
               : cv_fail(err, CV_INTEGRITY,
                         "cosigned holds what manifest.json does not list");
}

enum cv_status cv_bundle_cosigned_read(const struct cv_bundle_signed *by,
                                       const cJSON *list,
                                       struct cv_bundle_cosigned *out,
                                       struct cv_err *err)
{
    const cJSON *item;
    enum cv_status s = CV_OK;

    if (list == NULL) {
        return CV_OK;
    }
    if (cJSON_GetArraySize(list) > CV_BUNDLE_COSIGNED) {
        return cv_fail(err, CV_INTEGRITY, "manifest.json: too many witnesses");
    }
    cJSON_ArrayForEach(item, list)
    {
        s = take_item(by, item, out, err);
        if (s != CV_OK) {
            return s;
        }
    }
    return cv_bundle_names(by->dir, "cosigned", CV_BUNDLE_COSIGNED, take_name,
                           out, err);
}

enum cv_status cv_bundle_cosigned_meet(const struct cv_bundle_cosigned *w,
                                       const struct cv_tree *tree,
                                       struct cv_err *err)
{
    uint8_t root[CV_TREE_HASH];

    for (size_t i = 0; i < w->n; i++) {
        if (w->at[i].c.size != tree->size) {
            continue;
        }
        cv_tree_root(tree, root);
        if (memcmp(root, w->at[i].c.root, sizeof root) != 0) {
            return cv_fail(err, CV_INTEGRITY,
                           "cosigned/%s: a witness has seen another log of "
                           "%llu records",
                           w->at[i].name, (unsigned long long)tree->size);
        }
    }
    return CV_OK;
}

cJSON *cv_bundle_cosigned_json(const struct cv_bundle_cosigned *w)
{
    cJSON *list = cJSON_CreateArray();
    bool ok = list != NULL;

    for (size_t i = 0; ok && i < w->n; i++) {
        char time[CV_CLOCK_TEXT_LEN];
        cJSON *o;

        if (w->at[i].witness[0] == '\0') {
            continue;
        }
        o = cJSON_CreateObject();
        ok = cv_json_add_str(o, "name", w->at[i].witness) &&
             cv_json_add_int(o, "size", (int64_t)w->at[i].c.size) &&
             cv_json_add_str(o, "time",
                             cv_clock_format(w->at[i].time_s, time)) &&
             cJSON_AddItemToArray(list, o);
        if (!ok) {
            cJSON_Delete(o);
        }
    }
    if (!ok) {
        cJSON_Delete(list);
        list = NULL;
    }
    return list;
}
