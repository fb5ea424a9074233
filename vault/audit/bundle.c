#include "vault/audit/bundle_internal.h"

#include "vault/base/json.h"
#include "vault/base/limits.h"

#include <stdlib.h>
#include <string.h>

struct cv_bytes cv_bundle_text(const struct cv_record *record, const char *key)
{
    return cv_canon_string(cv_canon_get(&record->all, key));
}

bool cv_bundle_is_in(struct cv_bytes text, const cJSON *list)
{
    const cJSON *item;

    cJSON_ArrayForEach(item, list)
    {
        if (text.len > 0 && cJSON_IsString(item) &&
            cv_record_is(text, item->valuestring)) {
            return true;
        }
    }
    return false;
}

/* Names and ids are spelt as they are. */
bool cv_bundle_matches(const struct cv_record *record, const char *entry,
                       const cJSON *ids)
{
    return entry == NULL ||
           cv_record_is(cv_bundle_text(record, "entry"), entry) ||
           cv_bundle_is_in(cv_bundle_text(record, "entry_id"), ids);
}

bool cv_bundle_is_about(struct cv_bytes leaf, const char *entry,
                        const cJSON *ids)
{
    struct cv_record record;

    return cv_record_read(leaf, &record) == NULL &&
           cv_bundle_matches(&record, entry, ids);
}

static bool is_policy(const struct cv_bundle_policy *one, uint64_t version,
                      struct cv_bytes sha256)
{
    return one->version == version && cv_record_is(sha256, one->sha256);
}

static enum cv_status add_policy(struct cv_bundle_policies *p, uint64_t version,
                                 struct cv_bytes sha256, struct cv_err *err)
{
    struct cv_bundle_policy *grown;

    if (p->n == CV_LIMIT_BUNDLE_POLICIES) {
        return cv_fail(err, CV_INVALID,
                       "the records name more than %d policies",
                       CV_LIMIT_BUNDLE_POLICIES);
    }
    grown = realloc(p->items, (p->n + 1) * sizeof *p->items);
    if (grown == NULL) {
        return cv_fail(err, CV_INTERNAL, "memory is gone");
    }
    p->items = grown;
    p->last = p->n++;
    p->items[p->last].version = version;
    memcpy(p->items[p->last].sha256, sha256.data, 64);
    p->items[p->last].sha256[64] = '\0';
    return CV_OK;
}

static bool is_hex(struct cv_bytes text)
{
    for (size_t i = 0; i < text.len; i++) {
        if (strchr("0123456789abcdef", text.data[i]) == NULL ||
            text.data[i] == '\0') {
            return false;
        }
    }
    return text.len == 64;
}

enum cv_status cv_bundle_policy(struct cv_bundle_policies *p,
                                const struct cv_record *record,
                                struct cv_err *err)
{
    struct cv_bytes value = cv_canon_get(&record->all, "policy"), sha256;
    struct cv_canon policy;
    uint64_t version = 0;

    if (value.len == 0) {
        return CV_OK;
    }
    if (!cv_canon_scan(value, &policy) ||
        !cv_canon_uint(cv_canon_get(&policy, "version"), &version)) {
        return cv_fail(err, CV_INTEGRITY, "a record's policy is none");
    }
    sha256 = cv_canon_string(cv_canon_get(&policy, "sha256"));
    if (!is_hex(sha256)) {
        return cv_fail(err, CV_INTEGRITY, "a record's policy has no hash");
    }
    /* Mostly it is that of the record before. */
    if (p->n > 0 && is_policy(&p->items[p->last], version, sha256)) {
        return CV_OK;
    }
    for (size_t i = 0; i < p->n; i++) {
        if (is_policy(&p->items[i], version, sha256)) {
            p->last = i;
            return CV_OK;
        }
    }
    return add_policy(p, version, sha256, err);
}

void cv_bundle_policies_free(struct cv_bundle_policies *p)
{
    free(p->items);
    *p = (struct cv_bundle_policies){0};
}

/* The maker's look. */

struct cv_bundle_survey {
    struct cv_tiles_reader *reader;
    uint64_t first, end, at;
    bool counting; /* the second time */
    const char *entry;
    cJSON *ids; /* NULL: not wanted */
    uint64_t matching;
    struct cv_bundle_policies policies;
};

static enum cv_status add_id(cJSON *ids, struct cv_bytes id, struct cv_err *err)
{
    char text[CV_LIMIT_NAME + 1];
    cJSON *item;

    if (id.len == 0 || id.len >= sizeof text || cv_bundle_is_in(id, ids)) {
        return CV_OK;
    }
    if (cJSON_GetArraySize(ids) == CV_LIMIT_BUNDLE_IDS) {
        return cv_fail(err, CV_INVALID, "more than %d entries bore this name",
                       CV_LIMIT_BUNDLE_IDS);
    }
    memcpy(text, id.data, id.len);
    text[id.len] = '\0';
    item = cJSON_CreateString(text);
    if (item == NULL || !cJSON_AddItemToArray(ids, item)) {
        cJSON_Delete(item);
        return cv_fail(err, CV_INTERNAL, "memory is gone");
    }
    return CV_OK;
}

static enum cv_status read_record(struct cv_bytes leaf, uint64_t seq,
                                  struct cv_record *out, struct cv_err *err)
{
    const char *wrong = cv_record_follow(leaf, seq, NULL, out);

    return wrong == NULL ? CV_OK
                         : cv_fail(err, CV_INTEGRITY, "record %llu: %s",
                                   (unsigned long long)seq, wrong);
}

static enum cv_status look(void *ctx, uint64_t seq, struct cv_bytes leaf,
                           struct cv_err *err)
{
    struct cv_bundle_survey *y = ctx;
    struct cv_record record;
    enum cv_status status = read_record(leaf, seq, &record, err);

    if (status == CV_OK) {
        status = cv_bundle_policy(&y->policies, &record, err);
    }
    if (status == CV_OK && y->entry != NULL &&
        cv_record_is(cv_bundle_text(&record, "entry"), y->entry)) {
        status = add_id(y->ids, cv_bundle_text(&record, "entry_id"), err);
    }
    return status;
}

/* When all ids are known. */
static enum cv_status count(void *ctx, uint64_t seq, struct cv_bytes leaf,
                            struct cv_err *err)
{
    struct cv_bundle_survey *y = ctx;

    (void)seq;
    (void)err;
    y->matching += cv_bundle_is_about(leaf, y->entry, y->ids) ? 1 : 0;
    return CV_OK;
}

enum cv_status cv_bundle_survey_tell(struct cv_bundle_survey *y,
                                     cJSON *manifest, struct cv_err *err)
{
    cJSON *list = cJSON_AddArrayToObject(manifest, "policies"), *ids = y->ids;
    bool ok = list != NULL;

    for (size_t i = 0; ok && i < y->policies.n; i++) {
        cJSON *one = cJSON_CreateObject();

        ok = cv_json_add_int(one, "version",
                             (int64_t)y->policies.items[i].version) &&
             cv_json_add_str(one, "sha256", y->policies.items[i].sha256) &&
             cJSON_AddItemToArray(list, one);
        if (!ok) {
            cJSON_Delete(one);
        }
    }
    if (ok && y->entry != NULL) {
        y->ids = NULL;
        ok = cv_json_add_item(manifest, "entry_ids", ids) &&
             cv_json_add_int(manifest, "matching", (int64_t)y->matching);
    }
    return ok ? CV_OK : cv_fail(err, CV_INTERNAL, "memory is gone");
}

enum cv_status cv_bundle_survey_new(struct cv_tiles_reader *reader,
                                    uint64_t first, uint64_t end,
                                    const char *entry, const char *entry_id,
                                    struct cv_bundle_survey **out,
                                    struct cv_err *err)
{
    struct cv_bundle_survey *y = calloc(1, sizeof *y);
    enum cv_status status = CV_OK;

    *out = NULL;
    if (y == NULL) {
        return cv_fail(err, CV_INTERNAL, "memory is gone");
    }
    y->reader = reader;
    y->first = y->at = first;
    y->end = end;
    y->entry = entry;
    if (entry != NULL) {
        y->ids = cJSON_CreateArray();
        status = y->ids != NULL ? CV_OK
                                : cv_fail(err, CV_INTERNAL, "memory is gone");
    }
    if (status == CV_OK && entry != NULL && entry_id != NULL) {
        status = add_id(
            y->ids,
            (struct cv_bytes){(const uint8_t *)entry_id, strlen(entry_id)},
            err);
    }
    if (status != CV_OK) {
        cv_bundle_survey_free(y);
        return status;
    }
    *out = y;
    return CV_OK;
}

enum cv_status cv_bundle_survey_step(struct cv_bundle_survey *y, bool *done,
                                     struct cv_err *err)
{
    uint64_t to = (y->at / CV_BUNDLE_SURVEY_STEP + 1) * CV_BUNDLE_SURVEY_STEP;
    enum cv_status status;

    to = to < y->end ? to : y->end;
    status =
        cv_tiles_each(y->reader, y->at, to, y->counting ? count : look, y, err);
    y->at = to;
    *done = to == y->end && (y->counting || y->entry == NULL);
    if (to == y->end && !*done) {
        y->counting = true;
        y->at = y->first;
    }
    return status;
}

void cv_bundle_survey_free(struct cv_bundle_survey *y)
{
    if (y != NULL) {
        cJSON_Delete(y->ids);
        cv_bundle_policies_free(&y->policies);
        free(y);
    }
}
