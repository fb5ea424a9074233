#include "cli/config_schema.h"

#include <stdio.h>
#include <string.h>

enum kind {
    TEXT,   /* a string */
    SCALAR, /* a string or a number */
    TEXTS,  /* a list of strings */
    MAP,    /* any keys, strings behind them */
    OBJECT, /* the keys that the table has for it */
    OBJECTS /* a list of such objects */
};

struct key {
    const char *path; /* "socket.path"; "regions.id" for each of a list */
    enum kind kind;
    bool later; /* known; used by a later version */
};

static const struct key keys[] = {
    {"vault", TEXT, false},
    {"socket", OBJECT, true},
    {"socket.path", TEXT, true},
    {"socket.mode", SCALAR, true},
    {"socket.group", TEXT, true},
    {"modules", OBJECTS, false},
    {"modules.name", TEXT, false},
    {"modules.path", TEXT, false},
    {"modules.reserved", TEXT, false},
    {"modules.env", MAP, false},
    {"pin", MAP, false},
    {"cloud", OBJECT, false},
    {"cloud.profile", TEXT, false},
    {"cloud.endpoint", TEXT, false},
    {"cloud.iam_endpoint", TEXT, false},
    {"cloud.ca_file", TEXT, false},
    {"regions", OBJECTS, false},
    {"regions.id", TEXT, false},
    {"regions.endpoint", TEXT, false},
    {"regions.endpoints", TEXTS, false},
    {"policy", OBJECT, true},
    {"policy.signers", TEXTS, true},
    {"audit", OBJECT, true},
    {"audit.sinks", TEXTS, true},
    {"audit.anchors", TEXTS, true},
    {"notify", MAP, true},
    {"relay", OBJECT, true},
    {"relay.port", SCALAR, true},
    {"relay.idle", SCALAR, true},
    {"relay.pool", SCALAR, true},
    {"defaults", OBJECT, false},
    {"defaults.to", TEXT, false},
    {"defaults.duration", SCALAR, false},
    {"defaults.location", TEXT, false},
};

static const struct key *find(const char *path)
{
    for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++) {
        if (strcmp(keys[i].path, path) == 0) {
            return &keys[i];
        }
    }
    return NULL;
}

static bool all_texts(const cJSON *list)
{
    const cJSON *item;

    cJSON_ArrayForEach(item, list)
    {
        if (!cJSON_IsString(item)) {
            return false;
        }
    }
    return true;
}

static bool fits(const struct key *key, const cJSON *value)
{
    switch (key->kind) {
    case TEXT:
        return cJSON_IsString(value);
    case SCALAR:
        return cJSON_IsString(value) || cJSON_IsNumber(value);
    case TEXTS:
        return cJSON_IsArray(value) && all_texts(value);
    case MAP:
        return cJSON_IsObject(value) && all_texts(value);
    case OBJECT:
        return cJSON_IsObject(value);
    default:
        return cJSON_IsArray(value);
    }
}

static enum cv_status refuse(const char *path, const char *why,
                             struct cv_err *err)
{
    char shown[80];
    enum cv_status s =
        cv_fail(err, CV_CONFIG, "%s: %s",
                cv_err_quote(shown, sizeof(shown), path, strlen(path)), why);

    cv_err_hint(err, "certvault-config(5) lists the keys");
    return s;
}

/* Checks the members of `object`, whose own path is `prefix`. Objects nest two
 * deep at most, because the table does. */
static enum cv_status check(const cJSON *object, const char *prefix,
                            struct cv_err *err)
{
    const cJSON *item, *one;
    enum cv_status s = CV_OK;

    cJSON_ArrayForEach(item, object)
    {
        char path[80];
        const struct key *key;
        int n = snprintf(path, sizeof(path), "%s%s%s", prefix,
                         prefix[0] ? "." : "", item->string);

        /* A dot parts the keys of the table, none has one. */
        key = n > 0 && (size_t)n < sizeof(path) &&
                      strchr(item->string, '.') == NULL
                  ? find(path)
                  : NULL;
        if (key == NULL) {
            return refuse(path, "no such key", err);
        }
        if (cJSON_IsNull(item)) {
            continue;
        }
        if (!fits(key, item)) {
            return refuse(path, "not of the right type", err);
        }
        if (key->kind == OBJECT) {
            s = check(item, path, err);
        }
        for (one = key->kind == OBJECTS ? item->child : NULL;
             one != NULL && s == CV_OK; one = one->next) {
            s = cJSON_IsObject(one)
                    ? check(one, path, err)
                    : refuse(path, "not a list of mappings", err);
        }
        if (s != CV_OK) {
            return s;
        }
    }
    return CV_OK;
}

enum cv_status cv_config_schema_check(const cJSON *tree, struct cv_err *err)
{
    return check(tree, "", err);
}

void cv_config_schema_later(const cJSON *tree,
                            void (*each)(void *context, const char *key),
                            void *context)
{
    const cJSON *item;

    cJSON_ArrayForEach(item, tree)
    {
        const struct key *key = find(item->string);

        if (key != NULL && key->later) {
            each(context, key->path);
        }
    }
}
