/* clusters, fetch. */
#include "cli/call.h"
#include "cli/check.h"
#include "cli/cloud.h"
#include "cli/cmd.h"
#include "cli/config.h"
#include "cli/config_rules.h"
#include "cli/entry_view.h"
#include "cli/place.h"
#include "vault/base/clock.h"
#include "vault/base/limits.h"

#include <string.h>

#define SOONEST_S (15 * 60)
#define LATEST_S ((int64_t)1827 * 86400)
#define CLUSTER_NAME_LEN 253

static const struct cv_output_column cluster_columns[] = {
    {"NAME", "name", NULL, NULL},
    {"CLUSTER ID", "cluster_id", NULL, NULL},
    {"PHASE", "phase", NULL, NULL},
    {"VERSION", "version", NULL, NULL},
    {"CATEGORY", "category", NULL, NULL},
    {"ENTRIES", "entries", NULL, NULL},
};

static const struct cv_output_view cluster_view = {
    .kind = "ClusterList",
    .name = "cluster_id",
    .columns = cluster_columns,
    .n_columns = sizeof(cluster_columns) / sizeof(cluster_columns[0]),
    .none = "no clusters",
};

/* Calls `method` with `parameters` (the heap's, taken) and the caller's cloud
 * material, which lives in an arena; *answer belongs to the run. */
static enum cv_status call_cloud(struct cv_cli *cli, const char *method,
                                 const struct cv_args *args, cJSON *parameters,
                                 const char *progress, const cJSON **answer,
                                 struct cv_err *err)
{
    struct cv_call call = {.method = method, .parameters = parameters};
    struct cv_arena *arena = NULL;
    struct cv_message reply;
    cJSON *cloud = NULL;
    enum cv_status s = cv_arena_new(CV_LIMIT_SECRET_ARENA, &arena, err);

    if (s == CV_OK) {
        s = cv_cloud_gather(cli, args, arena, &cloud, err);
    }
    if (s == CV_OK && !cv_json_add_item(parameters, "cloud", cloud)) {
        s = cv_fail(err, CV_INTERNAL, "memory is gone");
    }
    if (s != CV_OK) {
        cJSON_Delete(parameters);
        cv_arena_free(arena);
        return s;
    }
    call.arena = arena;
    cv_output_progress(&cli->out, "%s", progress);
    s = cv_call_run(cli, &call, &reply, err);
    cv_output_progress_end(&cli->out);
    cv_arena_free(arena);
    if (s == CV_OK) {
        *answer = cv_cli_keep(cli, reply.tree, err);
        s = *answer != NULL ? CV_OK : CV_INTERNAL;
    }
    return s;
}

/* The names of the entries that came from the cluster `id`. */
static cJSON *held_of(const cJSON *entries, const char *id)
{
    cJSON *names = cJSON_CreateArray();
    const cJSON *entry;

    cJSON_ArrayForEach(entry, entries)
    {
        const char *of = cv_output_table_text(entry, "source.cluster_id");
        const char *name = cv_output_table_text(entry, "name");

        if (of != NULL && id != NULL && name != NULL && strcmp(of, id) == 0) {
            (void)cJSON_AddItemToArray(names, cJSON_CreateString(name));
        }
    }
    return names;
}

/* What of it is in the vault, as far as the caller may list entries. */
static enum cv_status mark_held(struct cv_cli *cli, const cJSON *clusters,
                                struct cv_err *err)
{
    const cJSON *entries = NULL;
    cJSON *cluster;
    struct cv_err denied;
    enum cv_status s;

    if (clusters == NULL || clusters->child == NULL ||
        cJSON_GetObjectItemCaseSensitive(clusters->child, "entries") != NULL) {
        return CV_OK;
    }
    cv_err_init(&denied);
    s = cv_call_items(cli, "List", cv_cli_parameters(cli), &entries, &denied);
    if (s != CV_OK) {
        cv_output_note(&cli->out, "which are in the vault is not known: %s",
                       denied.text);
        return CV_OK;
    }
    cJSON_ArrayForEach(cluster, clusters)
    {
        if (!cv_json_add_item(cluster, "entries",
                              held_of(entries, cv_output_table_text(
                                                   cluster, "cluster_id")))) {
            return cv_fail(err, CV_INTERNAL, "memory is gone");
        }
    }
    return CV_OK;
}

CV_CMD(cloud_clusters)
{
    cJSON *parameters;
    const cJSON *answer;
    enum cv_status s = cv_cloud_check(args, err);

    if (s != CV_OK) {
        return s;
    }
    parameters = cv_cli_parameters(cli);
    if (!cv_json_add_bool(parameters, "as_service",
                          cv_args_has(args, "as-service"))) {
        cJSON_Delete(parameters);
        return cv_fail(err, CV_INTERNAL, "memory is gone");
    }
    s = call_cloud(cli, "Clusters", args, parameters,
                   "asking the cloud for its clusters...", &answer, err);
    if (s == CV_OK) {
        s = mark_held(cli, cJSON_GetObjectItemCaseSensitive(answer, "items"),
                      err);
    }
    return s == CV_OK
               ? cv_output_table_list(
                     &cli->out, &cluster_view,
                     cJSON_GetObjectItemCaseSensitive(answer, "items"), err)
               : s;
}

/* How long the certificate shall last: days, or until when. */
struct validity {
    bool has_days;
    int64_t days;
    char until[CV_CLOCK_TEXT_LEN]; /* "": not given */
};

static enum cv_status read_until(const char *text, const char *api,
                                 struct validity *v, struct cv_err *err)
{
    int64_t now = cv_clock_now_s(), until = 0;
    enum cv_status s =
        cv_check_time(text, "expire-at", false, now, &until, err);

    if (s != CV_OK) {
        return s;
    }
    if (api != NULL && strcmp(api, "autopilot") == 0) {
        return cv_fail(err, CV_USAGE,
                       "--api autopilot takes --duration, not --expire-at");
    }
    if (until < now + SOONEST_S || until > now + LATEST_S) {
        return cv_fail(err, CV_USAGE,
                       "--expire-at must lie 15 minutes to five years ahead");
    }
    (void)cv_clock_format(until, v->until);
    return CV_OK;
}

/* Without a flag: the configuration's default, else one day. */
static enum cv_status default_days(struct cv_cli *cli, struct validity *v,
                                   struct cv_err *err)
{
    const cJSON *tree;
    enum cv_status s = cv_config_load(cli, &tree, err);

    v->has_days = true;
    v->days = 1;
    if (s != CV_OK) {
        return s;
    }
    return cv_config_rules_days(tree, &v->days, NULL, err);
}

static enum cv_status read_validity(struct cv_cli *cli,
                                    const struct cv_args *args,
                                    struct validity *v, struct cv_err *err)
{
    const char *days = cv_args_value(args, "duration");
    const char *until = cv_args_value(args, "expire-at");
    const char *api = cv_args_value(args, "api");

    memset(v, 0, sizeof(*v));
    if (days != NULL && until != NULL) {
        return cv_fail(err, CV_USAGE,
                       "--duration and --expire-at exclude each other");
    }
    if (api != NULL && strcmp(api, "v3-get") == 0) {
        return days == NULL && until == NULL
                   ? CV_OK
                   : cv_fail(err, CV_USAGE,
                             "--api v3-get leaves the validity to the cloud");
    }
    if (until != NULL) {
        return read_until(until, api, v, err);
    }
    if (days != NULL) {
        v->has_days = true;
        return cv_check_days(days, &v->days, err);
    }
    return default_days(cli, v, err);
}

static enum cv_status check_fetch(const struct cv_args *args,
                                  struct cv_err *err)
{
    const char *id = cv_args_value(args, "cluster-id");
    const char *cluster = cv_args_value(args, "cluster");
    const char *name = cv_args_value(args, "name");
    enum cv_status s;

    if ((id == NULL) == (cluster == NULL)) {
        return cv_fail(err, CV_USAGE,
                       "fetch wants either --cluster-id or --cluster");
    }
    s = cv_check_cluster(id, err);
    if (s == CV_OK) {
        s = cv_check_shown(cluster, "cluster", CLUSTER_NAME_LEN, err);
    }
    if (s == CV_OK && name != NULL) {
        s = cv_check_template(name, false, err);
    }
    return s == CV_OK ? cv_cloud_check(args, err) : s;
}

static cJSON *fetch_parameters(struct cv_cli *cli, const struct cv_args *args,
                               const struct validity *v, cJSON *labels,
                               const char *to)
{
    cJSON *p = cv_cli_parameters(cli);
    bool ok =
        cv_json_add_item(p, "labels", labels) &&
        cv_json_add_str(p, "cluster_id", cv_args_value(args, "cluster-id")) &&
        cv_json_add_str(p, "cluster", cv_args_value(args, "cluster")) &&
        cv_json_add_str(p, "name", cv_args_value(args, "name")) &&
        cv_json_add_str(p, "to", to) &&
        cv_json_add_bool(p, "exportable", cv_args_has(args, "exportable")) &&
        cv_json_add_bool(p, "dry_run", cli->dry_run) &&
        cv_json_add_bool(p, "as_service", cv_args_has(args, "as-service")) &&
        (!v->has_days || cv_json_add_int(p, "duration", v->days)) &&
        cv_json_add_str(p, "expire_at", v->until[0] ? v->until : NULL);

    if (!ok) {
        cJSON_Delete(p);
        p = NULL;
    }
    return p;
}

/* Each item holds the entry that was made, or why one was not. */
static enum cv_status show_entries(struct cv_cli *cli, const cJSON *items,
                                   struct cv_err *err)
{
    cJSON *entries = cv_cli_keep(cli, cJSON_CreateArray(), err);
    const cJSON *item;

    if (entries == NULL) {
        return CV_INTERNAL;
    }
    cJSON_ArrayForEach(item, items)
    {
        const cJSON *entry = cJSON_GetObjectItemCaseSensitive(item, "entry");
        cJSON *copy = cJSON_Duplicate(entry ? entry : item, true);

        if (copy == NULL || !cJSON_AddItemToArray(entries, copy)) {
            cJSON_Delete(copy);
            return cv_fail(err, CV_INTERNAL, "memory is gone");
        }
    }
    return cv_output_table_list(&cli->out, &cv_entry_view_list, entries, err);
}

static void tell_notes(struct cv_cli *cli, const cJSON *notes)
{
    const cJSON *note;

    cJSON_ArrayForEach(note, notes)
    {
        if (cJSON_IsString(note)) {
            cv_output_note(&cli->out, "%s", note->valuestring);
        }
    }
}

CV_CMD(cloud_fetch)
{
    struct validity validity;
    cJSON *labels = NULL, *parameters;
    const char *to = NULL;
    const cJSON *answer;
    enum cv_status s = check_fetch(args, err);

    if (s == CV_OK) {
        s = read_validity(cli, args, &validity, err);
    }
    if (s == CV_OK) {
        s = cv_check_labels(args, false, &labels, err);
    }
    if (s == CV_OK) {
        s = cv_place_read(cli, args, &to, err);
    }
    if (s != CV_OK) {
        cJSON_Delete(labels);
        return s;
    }
    parameters = fetch_parameters(cli, args, &validity, labels, to);
    if (parameters == NULL) {
        return cv_fail(err, CV_INTERNAL, "memory is gone");
    }
    s = call_cloud(cli, "Fetch", args, parameters,
                   "asking CCE for a certificate...", &answer, err);
    if (s != CV_OK) {
        return s;
    }
    tell_notes(cli, cJSON_GetObjectItemCaseSensitive(answer, "notes"));
    if (cli->dry_run) {
        cv_output_note(&cli->out, "nothing was fetched; it would be:");
    }
    return show_entries(cli, cJSON_GetObjectItemCaseSensitive(answer, "items"),
                        err);
}
