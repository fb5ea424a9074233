#include "vault/audit/archived.h"
#include "vault/audit/log_internal.h"
#include "vault/audit/reserve.h"
#include "vault/base/json.h"

#include <string.h>

static bool add_last(cJSON *object, const struct cv_checkpoint *last,
                     int64_t age_s)
{
    cJSON *c = cJSON_CreateObject();
    bool ok = cv_json_add_int(c, "size", (int64_t)last->size) &&
              cv_json_add_int(c, "age_s", age_s);

    return cv_json_add_item(object, "checkpoint", c) && ok;
}

/* Where it begins; what cannot be read `audit verify` tells. */
static bool add_archived(const struct cv_log *log, cJSON *object)
{
    struct cv_archived gone;
    cJSON *o;
    bool ok;

    if (cv_archived_read(log->vault, &gone, NULL) != CV_OK ||
        gone.tree.size == 0) {
        return true;
    }
    o = cJSON_CreateObject();
    ok = cv_json_add_int(o, "before", (int64_t)gone.tree.size) &&
         cv_json_add_str(o, "until", gone.until) &&
         cv_json_add_str(o, "digest", gone.digest);
    return cv_json_add_item(object, "archived", o) && ok;
}

enum cv_status cv_log_status(const struct cv_log *log, cJSON **out,
                             struct cv_err *err)
{
    struct cv_checkpoint last;
    struct cv_err why;
    int64_t age_s = 0;
    enum cv_status status = CV_NOT_FOUND;
    cJSON *object;
    bool ok;

    *out = NULL;
    cv_err_init(&why);
    if (log->has_key) {
        status = cv_checkpoint_read(log->vault, &log->key, &last, NULL, &age_s,
                                    &why);
    }
    if (status != CV_OK && status != CV_NOT_FOUND) {
        return cv_log_give(err, &why);
    }
    object = cJSON_CreateObject();
    ok = cv_json_add_str(object, "log", CV_LOG_PATH) &&
         cv_json_add_int(object, "size", (int64_t)log->done.tree.size) &&
         (status == CV_OK
              ? add_last(object, &last, age_s)
              : cv_json_add_item(object, "checkpoint", cJSON_CreateNull())) &&
         cv_json_add_int(object, "reserve",
                         (int64_t)cv_reserve_size(log->vault)) &&
         (status == CV_OK || log->done.tree.size == 0 ||
          cv_json_add_str(object, "warning", CV_LOG_BARE)) &&
         cv_json_add_bool(object, "tight", log->tight) &&
         cv_json_add_str(object, "anchored", "none") &&
         add_archived(log, object);
    if (!ok) {
        cJSON_Delete(object);
        return cv_fail(err, CV_INTERNAL, "out of memory");
    }
    *out = object;
    return CV_OK;
}
