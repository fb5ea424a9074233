#include "vault/broker/names_internal.h"

#include "vault/base/file.h"
#include "vault/base/limits.h"
#include "vault/base/name.h"
#include "vault/wire/client.h"
#include "vault/wire/serve.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define INTERFACE CV_NAMES_INTERFACE
#define ZONE_FOLDER "/usr/share/zoneinfo"
#define ZONE_LEN CV_KIB(64)
#define USER_MS 2000
#define RESOLVE_MS 10000

#define LOOKUP_LEN CV_NAMES_ROOM

static enum cv_status user(void *context, const cJSON *parameters,
                           struct cv_reply *reply, struct cv_err *err)
{
    int64_t uid = -1;
    const struct cv_json_field fields[] = {
        {"uid", CV_JSON_INT, true, &uid, 0},
    };
    struct passwd pw, *found = NULL;
    char *room = malloc(LOOKUP_LEN);
    enum cv_status s = cv_json_read(parameters, "User", fields, 1, true, err);

    (void)context;
    if (s == CV_OK && room != NULL && uid >= 0 && uid < (int64_t)UINT32_MAX &&
        getpwuid_r((uid_t)uid, &pw, room, LOOKUP_LEN, &found) == 0 &&
        found != NULL &&
        !cv_json_add_str(cv_reply_parameters(reply), "name", pw.pw_name)) {
        s = cv_fail(err, CV_INTERNAL, "memory is gone");
    }
    free(room);
    return s;
}

static void add_user(cJSON *out, const char *name, char *room)
{
    struct passwd pw, *found = NULL;

    if (getpwnam_r(name, &pw, room, LOOKUP_LEN, &found) == 0 && found != NULL) {
        (void)cv_json_add_int(out, name, pw.pw_uid);
    }
}

static void add_group(cJSON *out, const char *name, char *room)
{
    struct group gr, *found = NULL;

    if (getgrnam_r(name, &gr, room, LOOKUP_LEN, &found) == 0 && found != NULL) {
        (void)cv_json_add_int(out, name, gr.gr_gid);
    }
}

/* A zone's file, from the system's folder alone. */
static void add_zone(cJSON *out, const char *name, char *room)
{
    char path[300];
    struct cv_buf data;
    int fd = -1;

    (void)room;
    if (cv_name_check(name, NULL) != CV_OK ||
        snprintf(path, sizeof(path), "%s/%s", ZONE_FOLDER, name) >=
            (int)sizeof(path) ||
        cv_file_open_input(path, &fd, NULL) != CV_OK) {
        return;
    }
    cv_buf_init(&data, NULL, ZONE_LEN);
    if (cv_file_read(fd, name, &data, NULL) == CV_OK) {
        (void)cv_json_add_base64(out, name, cv_buf_bytes(&data));
    }
    cv_buf_wipe(&data);
    cv_file_close(&fd);
}

static enum cv_status look_up(const cJSON *list, cJSON *out, char *room,
                              void (*add)(cJSON *, const char *, char *),
                              struct cv_err *err)
{
    const cJSON *item;

    if (out == NULL) {
        return cv_fail(err, CV_INTERNAL, "memory is gone");
    }
    cJSON_ArrayForEach(item, list)
    {
        if (!cJSON_IsString(item)) {
            return cv_fail(err, CV_INVALID, "a name is not a string");
        }
        add(out, item->valuestring, room);
    }
    return CV_OK;
}

static enum cv_status resolve(void *context, const cJSON *parameters,
                              struct cv_reply *reply, struct cv_err *err)
{
    const cJSON *users = NULL, *groups = NULL, *zones = NULL;
    const struct cv_json_field fields[] = {
        {"users", CV_JSON_ARRAY, false, &users, 0},
        {"groups", CV_JSON_ARRAY, false, &groups, 0},
        {"zones", CV_JSON_ARRAY, false, &zones, 0},
    };
    cJSON *out = cv_reply_parameters(reply);
    char *room = malloc(LOOKUP_LEN);
    enum cv_status s =
        cv_json_read(parameters, "Resolve", fields, 3, true, err);

    (void)context;
    if (s == CV_OK && room == NULL) {
        s = cv_fail(err, CV_INTERNAL, "memory is gone");
    }
    if (s == CV_OK) {
        s = look_up(users, cJSON_AddObjectToObject(out, "users"), room,
                    add_user, err);
    }
    if (s == CV_OK) {
        s = look_up(groups, cJSON_AddObjectToObject(out, "groups"), room,
                    add_group, err);
    }
    if (s == CV_OK) {
        s = look_up(zones, cJSON_AddObjectToObject(out, "zones"), room,
                    add_zone, err);
    }
    free(room);
    return s;
}

void cv_names_serve(int socket)
{
    static const struct cv_method methods[] = {
        {"User", user, false},
        {"Resolve", resolve, false},
        {"Members", cv_names_members_serve, false},
    };
    static const struct cv_interface iface = {
        .name = INTERFACE,
        .description = "interface " INTERFACE "\n",
        .methods = methods,
        .n_methods = sizeof(methods) / sizeof(methods[0]),
    };

    (void)!cv_serve_loop(&iface, NULL, socket, RESOLVE_MS, NULL);
}

void cv_names_unknown(uid_t uid, char out[CV_NAMES_LEN])
{
    (void)snprintf(out, CV_NAMES_LEN, "uid:%u", (unsigned)uid);
}

enum cv_status cv_names_user(struct cv_channel *ch, uid_t uid,
                             char out[CV_NAMES_LEN])
{
    struct cv_message reply = {0};
    const char *name = NULL;
    const struct cv_json_field fields[] = {
        {"name", CV_JSON_STRING, false, &name, CV_NAMES_LEN - 1},
    };
    cJSON *parameters = cJSON_CreateObject();
    enum cv_status s;

    cv_names_unknown(uid, out);
    if (!cv_json_add_int(parameters, "uid", uid)) {
        cJSON_Delete(parameters);
        return cv_fail(NULL, CV_INTERNAL, "memory is gone");
    }
    s = cv_client_call(ch, INTERFACE ".User", parameters, 0, USER_MS, &reply,
                       NULL);
    if (s == CV_OK &&
        cv_json_read(reply.tree, "User", fields, 1, true, NULL) == CV_OK &&
        name != NULL &&
        cv_name_is_printable(
            (struct cv_bytes){(const uint8_t *)name, strlen(name)})) {
        (void)snprintf(out, CV_NAMES_LEN, "%s", name);
    }
    cv_message_free(&reply);
    return s;
}

enum cv_status cv_names_resolve(struct cv_channel *ch, const cJSON *users,
                                const cJSON *groups, const cJSON *zones,
                                struct cv_message *reply, struct cv_err *err)
{
    cJSON *parameters = cJSON_CreateObject();

    memset(reply, 0, sizeof(*reply));
    if (parameters == NULL ||
        !cv_json_add_item(parameters, "users", cJSON_Duplicate(users, true)) ||
        !cv_json_add_item(parameters, "groups",
                          cJSON_Duplicate(groups, true)) ||
        !cv_json_add_item(parameters, "zones", cJSON_Duplicate(zones, true))) {
        cJSON_Delete(parameters);
        return cv_fail(err, CV_INTERNAL, "memory is gone");
    }
    return cv_client_call(ch, INTERFACE ".Resolve", parameters, 0, RESOLVE_MS,
                          reply, err);
}
