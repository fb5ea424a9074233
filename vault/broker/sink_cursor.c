/* audit/sinks: where each sink is. Derived: without it they begin anew. */
#include "vault/broker/sink_internal.h"

#include "vault/audit/tree.h"
#include "vault/base/clock.h"
#include "vault/base/encode.h"
#include "vault/base/file.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#define PATH "audit/sinks"
#define FILE_MAX CV_KIB(64)

void cv_sink_cursor_hash(struct cv_bytes leaf, char out[CV_SINK_PREV])
{
    uint8_t hash[CV_TREE_HASH];
    struct cv_buf text;

    cv_tree_leaf(leaf, hash);
    cv_buf_init(&text, NULL, CV_SINK_PREV);
    cv_encode_base64((struct cv_bytes){hash, sizeof(hash)}, &text);
    (void)snprintf(out, CV_SINK_PREV, "%s", cv_buf_text(&text));
    cv_buf_wipe(&text);
}

static struct cv_sink *find(struct cv_sinks *all, const char *name)
{
    for (size_t i = 0; i < all->n; i++) {
        if (strcmp(all->sink[i].o->name, name) == 0) {
            return &all->sink[i];
        }
    }
    return NULL;
}

static bool read_one(const cJSON *item, struct cv_sinks *all)
{
    const char *name = NULL, *prev = NULL;
    int64_t seq = -1, offset = -1, gap = 0;
    const struct cv_json_field fields[] = {
        {"name", CV_JSON_STRING, true, &name, CV_LIMIT_URL},
        {"offset", CV_JSON_INT, true, &offset, 0},
        {"seq", CV_JSON_INT, true, &seq, 0},
        {"gap", CV_JSON_INT, false, &gap, 0},
        {"prev", CV_JSON_STRING, false, &prev, CV_SINK_PREV - 1},
    };
    struct cv_sink *s;

    if (cv_json_read(item, PATH, fields, sizeof(fields) / sizeof(fields[0]),
                     true, NULL) != CV_OK ||
        seq < 0 || offset < 0 || gap < 0 || gap > seq) {
        return false;
    }
    s = find(all, name);
    if (s != NULL) {
        s->place.at = (struct cv_query_cursor){(uint64_t)offset, (uint64_t)seq};
        s->place.gap = (uint64_t)gap;
        (void)snprintf(s->place.prev, sizeof(s->place.prev), "%s",
                       prev != NULL ? prev : "");
    }
    return true;
}

static void read_all(const cJSON *root, struct cv_sinks *all)
{
    const cJSON *list = NULL, *item;
    int64_t version = 0;
    const struct cv_json_field fields[] = {
        {"sinks", CV_JSON_ARRAY, true, &list, 0},
        {"v", CV_JSON_INT, true, &version, 0},
    };

    if (cv_json_read(root, PATH, fields, 2, true, NULL) != CV_OK ||
        version != 1) {
        return;
    }
    cJSON_ArrayForEach(item, list)
    {
        if (!read_one(item, all)) {
            return;
        }
    }
}

void cv_sink_cursor_load(struct cv_broker *b, struct cv_sinks *all)
{
    struct cv_buf text;
    cJSON *root = NULL;
    int fd = -1;

    cv_buf_init(&text, NULL, FILE_MAX);
    if (cv_file_open(b->vault->dir, PATH, O_RDONLY, &fd, NULL) == CV_OK &&
        cv_file_read(fd, PATH, &text, NULL) == CV_OK &&
        cv_json_parse(NULL, cv_buf_bytes(&text), &root, NULL) == CV_OK) {
        read_all(root, all);
    }
    cJSON_Delete(root);
    cv_file_close(&fd);
    cv_buf_wipe(&text);
}

static bool add_one(cJSON *list, const struct cv_sink *s)
{
    const struct cv_sink_place *p = &s->place;
    cJSON *item = cJSON_CreateObject();

    if (!cv_json_add_str(item, "name", s->o->name) ||
        !cv_json_add_int(item, "offset", (int64_t)p->at.offset) ||
        !cv_json_add_int(item, "seq", (int64_t)p->at.seq) ||
        !cv_json_add_str(item, "prev", p->prev[0] != '\0' ? p->prev : NULL) ||
        (p->gap > 0 && !cv_json_add_int(item, "gap", (int64_t)p->gap)) ||
        !cJSON_AddItemToArray(list, item)) {
        cJSON_Delete(item);
        return false;
    }
    return true;
}

/* What is not configured any more is forgotten: a sink that comes back is a new
 * one. */
void cv_sink_cursor_store(struct cv_broker *b, struct cv_sinks *all)
{
    cJSON *root = cJSON_CreateObject(), *list = cJSON_CreateArray();
    bool ok = list != NULL && cv_json_add_int(root, "v", 1);
    struct cv_buf text;

    for (size_t i = 0; i < all->n; i++) {
        ok = ok && add_one(list, &all->sink[i]);
    }
    ok = cv_json_add_item(root, "sinks", list) && ok;
    cv_buf_init(&text, NULL, FILE_MAX);
    if (ok) {
        cv_json_write(root, CV_JSON_COMPACT, &text);
        cv_buf_add_char(&text, '\n');
        ok = cv_buf_status(&text, PATH, NULL) == CV_OK &&
             cv_file_replace(b->vault->dir, PATH, cv_buf_bytes(&text), 0,
                             NULL) == CV_OK;
    }
    for (size_t i = 0; ok && i < all->n; i++) {
        all->sink[i].changed = false;
    }
    all->stored_ms = cv_clock_boot_ms();
    cJSON_Delete(root);
    cv_buf_wipe(&text);
}
