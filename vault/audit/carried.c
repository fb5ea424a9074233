#include "vault/audit/carried.h"

#include "vault/audit/details.h"
#include "vault/audit/record_internal.h"
#include "vault/base/json.h"
#include "vault/base/limits.h"

#include <stdlib.h>
#include <string.h>

#define MARK "\"" CV_CARRIED_METHOD "\""

static enum cv_status no_carrier(struct cv_err *err)
{
    return cv_fail(err, CV_NOT_FOUND, "it carries no change of the log's key");
}

static enum cv_status join(const cJSON *pieces, struct cv_buf *out,
                           struct cv_err *err)
{
    const cJSON *piece;

    cJSON_ArrayForEach(piece, pieces)
    {
        if (cJSON_IsString(piece)) {
            cv_buf_add(out, piece->valuestring, strlen(piece->valuestring));
        }
    }
    return out->status == CV_OK && out->len > 0
               ? CV_OK
               : cv_fail(err, CV_INTEGRITY,
                         "a record carries another that is none");
}

/* The leaf that this one carries. */
static enum cv_status unpack(struct cv_bytes leaf, struct cv_buf *out,
                             struct cv_err *err)
{
    struct cv_record record;
    struct cv_canon details;
    struct cv_bytes said;
    cJSON *tree = NULL;
    enum cv_status s;

    if (memmem(leaf.data, leaf.len, MARK, sizeof MARK - 1) == NULL ||
        cv_record_read(leaf, &record) != NULL ||
        !cv_record_is(record.action, "admin") ||
        !cv_record_is(record.phase, "event")) {
        return no_carrier(err);
    }
    said = cv_canon_get(&record.all, "details");
    if (said.len == 0 || !cv_canon_scan(said, &details) ||
        !cv_record_is(cv_canon_string(cv_canon_get(&details, "method")),
                      CV_CARRIED_METHOD)) {
        return no_carrier(err);
    }
    s = cv_json_parse(NULL, said, &tree, err);
    if (s == CV_OK) {
        s = join(cJSON_GetObjectItemCaseSensitive(tree, "leaf"), out, err);
    }
    cJSON_Delete(tree);
    return s == CV_INVALID ? CV_INTEGRITY : s;
}

static enum cv_status insert(struct cv_carried *c,
                             const struct cv_carried_one *one,
                             struct cv_bytes leaf, struct cv_err *err)
{
    struct cv_carried_one *grown;
    size_t at = c->n;

    while (at > 0 && c->items[at - 1].seq > one->seq) {
        at--;
    }
    if (at > 0 && c->items[at - 1].seq == one->seq) {
        struct cv_carried_one *there = &c->items[at - 1];

        there->met = there->met || one->met;
        return memcmp(there->hash, one->hash, sizeof there->hash) == 0
                   ? CV_OK
                   : cv_fail(err, CV_INTEGRITY,
                             "the log has two different records %llu that "
                             "change its key",
                             (unsigned long long)one->seq);
    }
    grown = realloc(c->items, (c->n + 1) * sizeof *grown);
    if (grown == NULL) {
        return cv_fail(err, CV_INTERNAL, "memory is gone");
    }
    c->items = grown;
    memmove(grown + at + 1, grown + at, (c->n - at) * sizeof *grown);
    grown[at] = *one;
    c->n++;
    grown[at].leaf = malloc(leaf.len);
    if (grown[at].leaf == NULL) {
        return cv_fail(err, CV_INTERNAL, "memory is gone");
    }
    memcpy(grown[at].leaf, leaf.data, leaf.len);
    grown[at].len = leaf.len;
    return CV_OK;
}

static enum cv_status take(struct cv_carried *c, struct cv_bytes leaf, bool met,
                           struct cv_err *err)
{
    struct cv_carried_one one = {.met = met};
    enum cv_status s = cv_rotation_leaf(leaf, &one.seq, &one.change, err);

    if (s != CV_OK) {
        return s;
    }
    cv_tree_leaf(leaf, one.hash);
    return insert(c, &one, leaf, err);
}

enum cv_status cv_carried_take(struct cv_carried *c, struct cv_bytes leaf,
                               struct cv_err *err)
{
    struct cv_buf inner;
    enum cv_status s = take(c, leaf, true, err);

    if (s != CV_NOT_FOUND) {
        return s;
    }
    cv_buf_init(&inner, NULL, CV_LIMIT_LEAF);
    s = unpack(leaf, &inner, err);
    if (s == CV_OK) {
        s = take(c, cv_buf_bytes(&inner), false, err);
        if (s == CV_NOT_FOUND) {
            s = cv_fail(err, CV_INTEGRITY,
                        "a record carries another that changes no key");
        }
    }
    cv_buf_wipe(&inner);
    return s;
}

/* Leaves are ASCII: a piece may end anywhere. */
cJSON *cv_carried_details(const struct cv_carried_one *one)
{
    cJSON *details = cJSON_CreateObject();
    cJSON *pieces = cJSON_AddArrayToObject(details, "leaf");
    bool ok = cv_json_add_str(details, "method", CV_CARRIED_METHOD);

    for (size_t at = 0; ok && at < one->len; at += CV_DETAILS_TEXT) {
        char text[CV_DETAILS_TEXT + 1] = {0};
        size_t left = one->len - at;
        cJSON *piece;

        memcpy(text, one->leaf + at,
               left < CV_DETAILS_TEXT ? left : CV_DETAILS_TEXT);
        piece = cJSON_CreateString(text);
        ok = piece != NULL && cJSON_AddItemToArray(pieces, piece);
        if (!ok) {
            cJSON_Delete(piece);
        }
    }
    if (!ok) {
        cJSON_Delete(details);
        return NULL;
    }
    return details;
}

void cv_carried_free(struct cv_carried *c)
{
    for (size_t i = 0; i < c->n; i++) {
        free(c->items[i].leaf);
    }
    free(c->items);
    *c = (struct cv_carried){NULL, 0};
}
