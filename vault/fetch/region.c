#include "vault/fetch/region.h"

#include "vault/fetch/region_file.h"
#include "vault/fetch/region_list.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

struct row {
    const char *id;
    bool own_iam; /* has an IAM host of its own */
};

/* As the vendor's SDKs 3.1.211 have them. */
static const struct row table[CV_REGION_COUNT] = {
    {"cn-north-1", true},      {"cn-north-2", true},
    {"cn-north-4", true},      {"cn-north-9", true},
    {"cn-north-11", false},    {"cn-north-12", true},
    {"cn-south-1", true},      {"cn-south-2", true},
    {"cn-south-4", false},     {"cn-east-2", true},
    {"cn-east-3", true},       {"cn-east-4", true},
    {"cn-east-5", true},       {"cn-southwest-2", true},
    {"ap-southeast-1", true},  {"ap-southeast-2", true},
    {"ap-southeast-3", true},  {"ap-southeast-4", true},
    {"ap-southeast-5", false}, {"af-south-1", true},
    {"af-north-1", false},     {"sa-brazil-1", true},
    {"la-south-2", true},      {"la-north-2", true},
    {"na-mexico-1", true},     {"ru-northwest-2", false},
    {"ru-moscow-1", true},     {"tr-west-1", true},
    {"ae-ad-1", true},         {"me-east-1", true},
    {"eu-west-0", true},       {"eu-west-101", false},
    {"my-kualalumpur-1", true}};

/* The one region of the table on another domain. */
#define EU_ID "eu-west-101"
#define EU_CCE "cce.eu-west-101.myhuaweicloud.eu"
#define EU_IAM "iam.eu-west-101.myhuaweicloud.eu"

#define COMMON_IAM "iam.myhuaweicloud.com"

const char *cv_region_at(size_t i)
{
    return i < CV_REGION_COUNT ? table[i].id : NULL;
}

static const struct row *find_row(const char *region)
{
    for (size_t i = 0; region != NULL && i < CV_REGION_COUNT; i++) {
        if (strcmp(table[i].id, region) == 0) {
            return &table[i];
        }
    }
    return NULL;
}

enum cv_status cv_region_check(const char *region, struct cv_err *err)
{
    size_t len = strlen(region);
    bool good = len >= 1 && len <= 64 && isalnum((unsigned char)region[0]);

    for (size_t i = 0; good && i < len; i++) {
        good = isalnum((unsigned char)region[i]) || region[i] == '-' ||
               region[i] == '_';
    }
    if (!good) {
        return cv_fail(err, CV_USAGE, "the region is no region's name");
    }
    return CV_OK;
}

static enum cv_status from_variable(enum cv_region_service service,
                                    const struct cv_cloud *cloud,
                                    const char *region,
                                    struct cv_region_ends *out,
                                    struct cv_err *err)
{
    char name[128];
    const char *value;
    int n;

    if (region == NULL) {
        return CV_OK;
    }
    n = snprintf(name, sizeof(name), "HUAWEICLOUD_SDK_REGION_%s_%s",
                 service == CV_REGION_CCE ? "CCE" : "IAM", region);
    if (n < 0 || (size_t)n >= sizeof(name)) {
        return cv_fail(err, CV_USAGE, "the region is no region's name");
    }
    for (char *p = name; *p != '\0'; p++) {
        *p = *p == '-' ? '_' : (char)toupper((unsigned char)*p);
    }
    value = cv_cloud_env(cloud, name);
    return value == NULL
               ? CV_OK
               : cv_region_list_add(out, value, CV_ORIGIN_TYPED, name, err);
}

static enum cv_status from_file(enum cv_region_service service,
                                const struct cv_cloud *cloud,
                                const char *region, struct cv_region_ends *out,
                                struct cv_err *err)
{
    struct cv_region_entry list = {.n = 0};
    enum cv_status s = CV_OK;

    if (cloud->regions == NULL || region == NULL) {
        return CV_OK;
    }
    s = cv_region_file_find(cloud->regions,
                            service == CV_REGION_CCE ? "CCE" : "IAM", region,
                            &list, err);
    for (size_t i = 0; s == CV_OK && i < list.n; i++) {
        s = cv_region_list_add(out, list.url[i], CV_ORIGIN_TABLE,
                               "regions.yaml", err);
    }
    for (size_t i = 0; s == CV_OK && i < out->n; i++) {
        /* an address was written by the caller, no name server had a say */
        if (cv_origin_is_address(&out->origin[i])) {
            out->origin[i].reach = CV_ORIGIN_TYPED;
        }
    }
    return s;
}

static enum cv_status from_table(enum cv_region_service service,
                                 const struct row *row,
                                 struct cv_region_ends *out, struct cv_err *err)
{
    char host[128];

    if (strcmp(row->id, EU_ID) == 0) {
        (void)snprintf(host, sizeof(host), "%s",
                       service == CV_REGION_CCE ? EU_CCE : EU_IAM);
    } else if (service == CV_REGION_IAM && !row->own_iam) {
        (void)snprintf(host, sizeof(host), "%s", COMMON_IAM);
    } else {
        (void)snprintf(host, sizeof(host), "%s.%s.myhuaweicloud.com",
                       service == CV_REGION_CCE ? "cce" : "iam", row->id);
    }
    return cv_region_list_add(out, host, CV_ORIGIN_TABLE,
                              "the table of regions", err);
}

static enum cv_status find_cce(const struct cv_cloud *cloud, const char *region,
                               struct cv_region_ends *out, struct cv_err *err)
{
    const struct row *row = find_row(region);
    enum cv_status s;

    if (cloud->endpoint != NULL) {
        return cv_region_list_add(out, cloud->endpoint, CV_ORIGIN_TYPED,
                                  "--endpoint", err);
    }
    s = from_variable(CV_REGION_CCE, cloud, region, out, err);
    if (s == CV_OK && out->n == 0) {
        s = from_file(CV_REGION_CCE, cloud, region, out, err);
    }
    if (s == CV_OK && out->n == 0 && row != NULL) {
        s = from_table(CV_REGION_CCE, row, out, err);
    }
    if (s == CV_OK && out->n == 0) {
        char name[80];

        if (region == NULL) {
            s = cv_fail(err, CV_USAGE,
                        "neither a region nor an endpoint is "
                        "named");
        } else {
            s = cv_fail(
                err, CV_USAGE, "the region %s is not in the table",
                cv_err_quote(name, sizeof(name), region, strlen(region)));
        }
        cv_err_hint(err, "give --region, or --endpoint (and --iam-endpoint) "
                         "for a cloud of another operator");
    }
    return s;
}

/* Is CCE asked where the table says? Then IAM may be too. */
static bool cce_is_table(const struct cv_cloud *cloud, const struct row *row)
{
    struct cv_region_ends asked = {.n = 0}, known = {.n = 0};

    return row != NULL && find_cce(cloud, row->id, &asked, NULL) == CV_OK &&
           from_table(CV_REGION_CCE, row, &known, NULL) == CV_OK &&
           strcmp(asked.origin[0].url, known.origin[0].url) == 0;
}

static enum cv_status find_iam(const struct cv_cloud *cloud, const char *region,
                               const char *profile_iam,
                               struct cv_region_ends *out, struct cv_err *err)
{
    const struct row *row = find_row(region);
    const char *variable = cv_cloud_env(cloud, "HUAWEICLOUD_SDK_IAM_ENDPOINT");
    enum cv_status s;

    if (cloud->iam_endpoint != NULL) {
        return cv_region_list_add(out, cloud->iam_endpoint, CV_ORIGIN_TYPED,
                                  "--iam-endpoint", err);
    }
    if (variable != NULL) {
        return cv_region_list_add(out, variable, CV_ORIGIN_TYPED,
                                  "HUAWEICLOUD_SDK_IAM_ENDPOINT", err);
    }
    s = from_variable(CV_REGION_IAM, cloud, region, out, err);
    if (s == CV_OK && out->n == 0 && profile_iam != NULL) {
        s = cv_region_list_add(out, profile_iam, CV_ORIGIN_TYPED,
                               "iam_endpoint of the profile", err);
    }
    if (s == CV_OK && out->n == 0) {
        s = from_file(CV_REGION_IAM, cloud, region, out, err);
    }
    if (s == CV_OK && out->n == 0 && cce_is_table(cloud, row)) {
        s = from_table(CV_REGION_IAM, row, out, err);
    }
    if (s == CV_OK && out->n == 0) {
        s = cv_fail(err, CV_USAGE, "no IAM endpoint is named for this cloud");
        cv_err_hint(err, "give --iam-endpoint; with AK/SK, or a token, and "
                         "--project-id none is needed");
    }
    return s;
}

enum cv_status cv_region_find(enum cv_region_service service,
                              const struct cv_cloud *cloud, const char *region,
                              const char *profile_iam,
                              struct cv_region_ends *out, struct cv_err *err)
{
    enum cv_status s = region == NULL ? CV_OK : cv_region_check(region, err);

    memset(out, 0, sizeof(*out));
    if (s != CV_OK) {
        return s;
    }
    return service == CV_REGION_CCE
               ? find_cce(cloud, region, out, err)
               : find_iam(cloud, region, profile_iam, out, err);
}
