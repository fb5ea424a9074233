/* What is remembered of anchors: audit/anchors, canonical JSON
 *
 *     {"anchors":[{"conflict":..,"id":..,"root":..,"size":..,"time":..,
 *                  "why":..},..],"v":1} LF
 *
 * and audit/cosigned/<key id>: checkpoints with a witness' line. All of it is
 * derived: without it, each anchor is asked anew what it has. */
#include "vault/broker/anchor_internal.h"

#include "vault/base/encode.h"
#include "vault/base/file.h"

#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#define STATE "audit/anchors"
#define COSIGNED "audit/cosigned"
#define STATE_MAX CV_KIB(64)

static bool add_one(cJSON *list, const struct cv_anchor_one *a)
{
    cJSON *o = cJSON_CreateObject();

    if (cv_json_add_str(o, "id", a->id) &&
        cv_json_add_int(o, "size", (int64_t)a->size) &&
        cv_json_add_int(o, "time", a->time_s) &&
        cv_json_add_base64(o, "root",
                           (struct cv_bytes){a->root, sizeof(a->root)}) &&
        cv_json_add_bool(o, "conflict", a->conflict) &&
        cv_json_add_str(o, "why", a->why) && cJSON_AddItemToArray(list, o)) {
        return true;
    }
    cJSON_Delete(o);
    return false;
}

void cv_anchor_state_save(struct cv_broker *b, const struct cv_anchors *all)
{
    struct cv_arena *before = cv_json_use(NULL);
    cJSON *state = cJSON_CreateObject();
    cJSON *list = cJSON_AddArrayToObject(state, "anchors");
    struct cv_buf text;
    bool ok = cv_json_add_int(state, "v", 1);

    cv_buf_init(&text, NULL, STATE_MAX);
    for (size_t i = 0; ok && i < all->n; i++) {
        ok = add_one(list, &all->at[i]);
    }
    if (ok) {
        cv_json_write(state, CV_JSON_CANONICAL, &text);
        cv_buf_add_char(&text, '\n');
        if (text.status == CV_OK) {
            (void)!cv_file_replace(b->vault->dir, STATE, cv_buf_bytes(&text), 0,
                                   NULL);
        }
    }
    cv_buf_wipe(&text);
    cJSON_Delete(state);
    (void)cv_json_use(before);
}

/* How far a witness is, its signature says (cv_anchored_read). */
static bool load_size(struct cv_anchor_one *a, int64_t size, int64_t time_s,
                      const char *root)
{
    if (a->config.kind == CV_ANCHOR_WITNESS) {
        return true;
    }
    if (cv_decode_base64_exact(root, "root", a->root, sizeof(a->root), NULL) !=
        CV_OK) {
        return false;
    }
    a->size = (uint64_t)size;
    a->time_s = time_s;
    return true;
}

static void load_one(const cJSON *item, struct cv_anchors *all)
{
    const char *id = NULL, *root = NULL, *why = NULL;
    int64_t size = 0, time_s = 0;
    bool conflict = false;
    const struct cv_json_field fields[] = {
        {"id", CV_JSON_STRING, true, &id, 16},
        {"size", CV_JSON_INT, true, &size, 0},
        {"time", CV_JSON_INT, true, &time_s, 0},
        {"root", CV_JSON_STRING, true, &root, 64},
        {"conflict", CV_JSON_BOOL, true, &conflict, 0},
        {"why", CV_JSON_STRING, true, &why, CV_ANCHOR_WHY},
    };

    if (cv_json_read(item, STATE, CV_BROKER_FIELDS(fields), true, NULL) !=
            CV_OK ||
        size < 0 || time_s < 0) {
        return;
    }
    for (size_t i = 0; i < all->n; i++) {
        struct cv_anchor_one *a = &all->at[i];

        if (strcmp(a->id, id) == 0 && load_size(a, size, time_s, root)) {
            a->conflict = conflict;
            memcpy(a->why, why, strlen(why) + 1);
            a->told = why[0] != '\0';
        }
    }
}

void cv_anchor_state_load(struct cv_broker *b, struct cv_anchors *all)
{
    struct cv_arena *before = cv_json_use(NULL);
    struct cv_buf text;
    cJSON *state = NULL;
    const cJSON *item;
    int fd = -1;

    cv_buf_init(&text, NULL, STATE_MAX);
    if (cv_file_open(b->vault->dir, STATE, O_RDONLY, &fd, NULL) == CV_OK &&
        cv_file_read(fd, STATE, &text, NULL) == CV_OK &&
        cv_json_parse(NULL, cv_buf_bytes(&text), &state, NULL) == CV_OK) {
        cJSON_ArrayForEach(item,
                           cJSON_GetObjectItemCaseSensitive(state, "anchors"))
        {
            load_one(item, all);
        }
    }
    cJSON_Delete(state);
    cv_file_close(&fd);
    cv_buf_wipe(&text);
    (void)cv_json_use(before);
}

enum cv_status cv_anchor_state_keep(struct cv_broker *b,
                                    const struct cv_anchor_one *a,
                                    struct cv_bytes cosigned,
                                    struct cv_err *err)
{
    struct cv_buf name;
    enum cv_status s;

    (void)mkdirat(b->vault->dir, COSIGNED, 0700);
    cv_buf_init(&name, NULL, 64);
    cv_buf_add_str(&name, COSIGNED "/");
    cv_encode_hex(
        (struct cv_bytes){a->config.witness.id, sizeof(a->config.witness.id)},
        &name);
    s = cv_file_replace(b->vault->dir, cv_buf_text(&name), cosigned, 0, err);
    cv_buf_wipe(&name);
    return s;
}
