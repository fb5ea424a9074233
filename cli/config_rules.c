#include "cli/config_rules.h"

#include "cli/days.h"
#include "cli/module_setting.h"
#include "cli/pin_kind.h"
#include "cli/place_word.h"
#include "vault/base/limits.h"
#include "vault/base/name.h"
#include "vault/broker/policy_signer.h"
#include "vault/fetch/region_entry.h"
#include "vault/fetch/region_list.h"

#include <stdio.h>
#include <string.h>

static const cJSON *member(const cJSON *object, const char *name)
{
    const cJSON *item = cJSON_GetObjectItemCaseSensitive(object, name);

    return item != NULL && !cJSON_IsNull(item) ? item : NULL;
}

/* What a reader found wrong with `node` is the configuration's fault. */
static enum cv_status blame(enum cv_status s, const char *path,
                            const cJSON *node, const cJSON **bad,
                            struct cv_err *err)
{
    if (s == CV_OK || s == CV_INTERNAL) {
        return s;
    }
    if (bad != NULL) {
        *bad = node;
    }
    cv_err_prefix(err, "%s", path);
    if (err != NULL) {
        err->status = CV_CONFIG;
    }
    return CV_CONFIG;
}

static enum cv_status refuse(const char *path, const char *why,
                             const cJSON *node, const cJSON **bad,
                             struct cv_err *err)
{
    enum cv_status s = cv_fail(err, CV_CONFIG, "%s", why);

    cv_err_hint(err, "certvault-config(5) lists the keys");
    return blame(s, path, node, bad, err);
}

static enum cv_status check_vault(const cJSON *tree, const cJSON **bad,
                                  struct cv_err *err)
{
    const cJSON *vault = member(tree, "vault");

    return vault == NULL || vault->valuestring[0] == '/'
               ? CV_OK
               : refuse("vault", "not an absolute path", vault, bad, err);
}

static enum cv_status check_signers(const cJSON *tree, const cJSON **bad,
                                    struct cv_err *err)
{
    const cJSON *node = NULL;
    enum cv_status s = cv_policy_signer_check(
        member(member(tree, "policy"), "signers"), &node, err);

    return blame(s, "policy.signers", node, bad, err);
}

static enum cv_status check_modules(const cJSON *tree, const cJSON **bad,
                                    struct cv_err *err)
{
    const cJSON *list = member(tree, "modules"), *item, *other;
    struct cv_module_setting one, two;
    enum cv_status s;

    if (cJSON_GetArraySize(list) > CV_LIMIT_MODULES) {
        return refuse("modules", "more than 64", list, bad, err);
    }
    cJSON_ArrayForEach(item, list)
    {
        one = (struct cv_module_setting){.name = NULL};
        s = cv_module_setting_read(item, &one, err);
        if (s != CV_OK) {
            return blame(s, "modules", item, bad, err);
        }
        for (other = list->child; other != item; other = other->next) {
            two = (struct cv_module_setting){.name = NULL};
            if (cv_module_setting_read(other, &two, NULL) == CV_OK &&
                strcmp(one.name, two.name) == 0) {
                return refuse("modules", "two of the same name", item, bad,
                              err);
            }
        }
    }
    return CV_OK;
}

static enum cv_status check_pins(const cJSON *tree, const cJSON **bad,
                                 struct cv_err *err)
{
    const cJSON *item;

    cJSON_ArrayForEach(item, member(tree, "pin"))
    {
        enum cv_status s = cv_place_word_uri(item->string, "a key of it", err);

        if (s == CV_OK) {
            s = cv_pin_kind_check(item->valuestring, err);
        }
        if (s != CV_OK) {
            return blame(s, "pin", item, bad, err);
        }
    }
    return CV_OK;
}

/* ---- the cloud ---- */

static enum cv_status check_file(const cJSON *cloud, const char *name,
                                 const cJSON **bad, struct cv_err *err)
{
    const cJSON *item = member(cloud, name);
    const char *text = cJSON_GetStringValue(item);
    char path[32];
    bool ok;

    if (text == NULL) {
        return CV_OK;
    }
    (void)snprintf(path, sizeof(path), "cloud.%s", name);
    if (strncmp(text, "credential:", 11) == 0) {
        ok = cv_name_check(text + 11, NULL) == CV_OK &&
             strchr(text + 11, '/') == NULL;
    } else {
        ok = text[strncmp(text, "file:", 5) == 0 ? 5 : 0] == '/';
    }
    return ok ? CV_OK
              : refuse(path, "neither an absolute path nor credential:NAME",
                       item, bad, err);
}

/* Endpoints parted by commas, one at least. */
static enum cv_status read_ends(const char *text, enum cv_origin_reach reach,
                                struct cv_err *err)
{
    struct cv_region_ends ends = {.n = 0};
    enum cv_status s = cv_region_list_add(&ends, text, reach, "it", err);

    return s == CV_OK && ends.n == 0 ? cv_fail(err, CV_USAGE, "it is empty")
                                     : s;
}

static enum cv_status check_end(const cJSON *cloud, const char *name,
                                const char *path, const cJSON **bad,
                                struct cv_err *err)
{
    const cJSON *item = member(cloud, name);

    return item == NULL
               ? CV_OK
               : blame(read_ends(item->valuestring, CV_ORIGIN_TYPED, err), path,
                       item, bad, err);
}

static enum cv_status check_regions(const cJSON *tree, const cJSON **bad,
                                    struct cv_err *err)
{
    const cJSON *item;

    cJSON_ArrayForEach(item, member(tree, "regions"))
    {
        struct cv_region_entry entry = {.n = 0};
        enum cv_status s = cv_region_entry_read(item, NULL, &entry, err);

        if (s == CV_OK && entry.n == 0) {
            s = cv_fail(err, CV_INVALID, "a region without an endpoint");
        }
        for (size_t i = 0; i < entry.n && s == CV_OK; i++) {
            s = read_ends(entry.url[i], CV_ORIGIN_TABLE, err);
        }
        if (s != CV_OK) {
            return blame(s, "regions", item, bad, err);
        }
    }
    return CV_OK;
}

static enum cv_status check_cloud(const cJSON *tree, const cJSON **bad,
                                  struct cv_err *err)
{
    const cJSON *cloud = member(tree, "cloud");
    enum cv_status s = check_file(cloud, "profile", bad, err);

    if (s == CV_OK) {
        s = check_file(cloud, "ca_file", bad, err);
    }
    if (s == CV_OK) {
        s = check_end(cloud, "endpoint", "cloud.endpoint", bad, err);
    }
    if (s == CV_OK) {
        s = check_end(cloud, "iam_endpoint", "cloud.iam_endpoint", bad, err);
    }
    return s == CV_OK ? check_regions(tree, bad, err) : s;
}

/* ---- defaults ---- */

enum cv_status cv_config_rules_days(const cJSON *tree, int64_t *days,
                                    const cJSON **bad, struct cv_err *err)
{
    const cJSON *item = member(member(tree, "defaults"), "duration");
    char digits[32];
    const char *text = cJSON_GetStringValue(item);

    if (item == NULL) {
        return CV_OK;
    }
    if (text == NULL) {
        (void)snprintf(digits, sizeof(digits), "%.17g", item->valuedouble);
        text = digits;
    }
    return cv_days_read(text, days)
               ? CV_OK
               : refuse("defaults.duration", "1 to 1827 whole days, or -1",
                        item, bad, err);
}

static enum cv_status check_defaults(const cJSON *tree, const cJSON **bad,
                                     struct cv_err *err)
{
    static const char *const paths[] = {"defaults.to", "defaults.location"};
    const cJSON *defaults = member(tree, "defaults");
    int64_t days;

    for (size_t i = 0; i < 2; i++) {
        const cJSON *item = member(defaults, strchr(paths[i], '.') + 1);
        const char *uri;
        bool asks;
        enum cv_status s =
            item == NULL
                ? CV_OK
                : cv_place_word_read(item->valuestring, "it", &uri, &asks, err);

        if (s != CV_OK) {
            return blame(s, paths[i], item, bad, err);
        }
    }
    return cv_config_rules_days(tree, &days, bad, err);
}

enum cv_status cv_config_rules_check(const cJSON *tree, const cJSON **bad,
                                     struct cv_err *err)
{
    static enum cv_status (*const checks[])(const cJSON *, const cJSON **,
                                            struct cv_err *) = {
        check_vault, check_signers, check_modules,
        check_pins,  check_cloud,   check_defaults};
    enum cv_status s = CV_OK;

    for (size_t i = 0; i < sizeof(checks) / sizeof(checks[0]) && s == CV_OK;
         i++) {
        s = checks[i](tree, bad, err);
    }
    return s;
}
