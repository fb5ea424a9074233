#include "vault/audit/archived_internal.h"
#include "vault/audit/query_internal.h"
#include "vault/audit/tiles_internal.h"
#include "vault/base/file.h"
#include "vault/base/json.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#define FILE_MAX CV_KIB(32)
#define MARK "\"new_log_key\""

/* ---- the file ---- */

static bool read_place(const cJSON *item, struct cv_query_cursor *out)
{
    int64_t offset = -1, seq = -1;
    const struct cv_json_field fields[] = {
        {"offset", CV_JSON_INT, true, &offset, 0},
        {"seq", CV_JSON_INT, true, &seq, 0},
    };

    if (cv_json_read(item, CV_ARCHIVED_PLACES, fields, 2, true, NULL) !=
            CV_OK ||
        offset < 0 || seq < 0) {
        return false;
    }
    *out = (struct cv_query_cursor){(uint64_t)offset, (uint64_t)seq};
    return true;
}

static bool read_tree(const cJSON *root, struct cv_archived_places *out)
{
    const cJSON *records = NULL, *item;
    int64_t version = 0;
    const struct cv_json_field fields[] = {
        {"records", CV_JSON_ARRAY, true, &records, 0},
        {"v", CV_JSON_INT, true, &version, 0},
    };

    if (cv_json_read(root, CV_ARCHIVED_PLACES, fields, 2, true, NULL) !=
            CV_OK ||
        version != 1) {
        return false;
    }
    cJSON_ArrayForEach(item, records)
    {
        if (out->n == sizeof out->at / sizeof *out->at ||
            !read_place(item, &out->at[out->n]) ||
            (out->n > 0 && out->at[out->n].seq <= out->at[out->n - 1].seq)) {
            return false;
        }
        out->n++;
    }
    return true;
}

static bool read_places(int vault, struct cv_archived_places *out)
{
    struct cv_buf text;
    cJSON *root = NULL;
    int fd = -1;
    bool good =
        cv_file_open(vault, CV_ARCHIVED_PLACES, O_RDONLY, &fd, NULL) == CV_OK;

    out->n = 0;
    cv_buf_init(&text, NULL, FILE_MAX);
    good = good && cv_file_read(fd, CV_ARCHIVED_PLACES, &text, NULL) == CV_OK &&
           cv_json_parse(NULL, cv_buf_bytes(&text), &root, NULL) == CV_OK &&
           read_tree(root, out);
    cJSON_Delete(root);
    cv_buf_wipe(&text);
    cv_file_close(&fd);
    return good;
}

static bool add_place(cJSON *records, const struct cv_query_cursor *at)
{
    cJSON *item = cJSON_CreateObject();

    if (cv_json_add_int(item, "offset", (int64_t)at->offset) &&
        cv_json_add_int(item, "seq", (int64_t)at->seq) &&
        cJSON_AddItemToArray(records, item)) {
        return true;
    }
    cJSON_Delete(item);
    return false;
}

void cv_archived_places_write(int vault, const struct cv_archived_places *p)
{
    cJSON *root = cJSON_CreateObject(), *records = cJSON_CreateArray();
    struct cv_buf text;
    bool ok = true;

    for (size_t i = 0; ok && i < p->n; i++) {
        ok = add_place(records, &p->at[i]);
    }
    ok = cv_json_add_item(root, "records", records) && ok &&
         cv_json_add_int(root, "v", 1);
    cv_buf_init(&text, NULL, FILE_MAX);
    if (ok) {
        cv_json_write(root, CV_JSON_CANONICAL, &text);
        cv_buf_add_char(&text, '\n');
    }
    if (ok && text.status == CV_OK) {
        (void)!cv_file_replace_unsynced(vault, CV_ARCHIVED_PLACES,
                                        cv_buf_bytes(&text), 0600, NULL);
    }
    cv_buf_wipe(&text);
    cJSON_Delete(root);
}

/* ---- what is there ---- */

struct look {
    const struct cv_archived *a;
    const struct cv_checkpoint *last;
    struct cv_archived_watch watch;
    struct cv_tiles_reader tiles; /* full ones alone: they outlive a crash */
    uint64_t offset;              /* behind what these have */
    struct cv_tree tree;          /* over it, and what was read behind it */
    uint8_t root[CV_TREE_HASH];   /* of the tiles */
};

/* The tree of the tiles, of which nothing is known yet. */
static bool begin(struct look *l, int vault)
{
    struct cv_proof_source source = cv_tiles_source(&l->tiles);

    l->tiles.vault = vault;
    if (cv_tiles_mark(vault, &l->tiles.size, &l->offset, NULL) != CV_OK ||
        l->tiles.size < l->a->tree.size || l->tiles.size > l->last->size ||
        cv_proof_frontier(&source, l->tiles.size, &l->tree, NULL) != CV_OK) {
        return false;
    }
    cv_tree_root(&l->tree, l->root);
    return true;
}

/* Is this leaf that one of the tiles' tree? */
static bool is_in_tree(struct look *l, struct cv_bytes leaf, uint64_t seq)
{
    struct cv_proof_source source = cv_tiles_source(&l->tiles);
    uint8_t hash[CV_TREE_HASH];
    struct cv_proof proof;

    cv_tree_leaf(leaf, hash);
    return cv_proof_make_inclusion(&source, l->tiles.size, seq, &proof, NULL) ==
               CV_OK &&
           cv_proof_check_inclusion(seq, l->tiles.size, hash, &proof, l->root,
                                    NULL) == CV_OK;
}

/* The leaves at the places that the tiles have. */
static bool look_there(struct look *l, int vault,
                       const struct cv_archived_places *p)
{
    struct cv_query_reader reader;
    bool good = cv_query_reader_open(vault, &reader, NULL) == CV_OK;

    for (size_t i = 0; good && i < p->n && p->at[i].seq < l->tiles.size; i++) {
        struct cv_record record;
        struct cv_bytes leaf;

        good = p->at[i].offset >= l->a->offset &&
               cv_query_reader_leaf(&reader, &p->at[i], &leaf, &record, NULL) ==
                   CV_OK &&
               is_in_tree(l, leaf, p->at[i].seq);
        if (good) {
            cv_archived_watch_take(&l->watch, l->a, leaf);
        }
    }
    cv_query_reader_close(&reader);
    return good;
}

static enum cv_status take_end(void *ctx, const struct cv_query_cursor *at,
                               struct cv_bytes leaf, struct cv_err *err)
{
    struct look *l = ctx;
    uint8_t hash[CV_TREE_HASH];

    (void)err;
    if (l->tree.size == l->last->size) {
        return CV_QUERY_STOP;
    }
    cv_tree_leaf(leaf, hash);
    cv_tree_append(&l->tree, hash);
    if (at->seq == l->a->seq ||
        memmem(leaf.data, leaf.len, MARK, sizeof MARK - 1) != NULL) {
        cv_archived_watch_take(&l->watch, l->a, leaf);
    }
    return CV_OK;
}

/* The leaves behind the tiles. With them the tree must be the signed one: that
 * says of the tiles, too, that they are right. */
static bool look_behind(struct look *l, int vault)
{
    struct cv_query_cursor at = {l->offset, l->tiles.size};
    uint8_t root[CV_TREE_HASH];
    enum cv_status status = cv_query_scan(vault, &at, take_end, l, NULL);

    cv_tree_root(&l->tree, root);
    return (status == CV_OK || status == CV_QUERY_STOP) &&
           l->tree.size == l->last->size &&
           memcmp(root, l->last->root, sizeof root) == 0;
}

/* All that leads there must be known: a change whose checkpoint is still to
 * come is looked for in the log. */
static bool leads_to(const struct look *l, const struct cv_note_key *now)
{
    const struct cv_rotation_chain *c = &l->watch.chain;

    return c->n > 0 && cv_rotation_is_same(&c->keys[c->n - 1], now) &&
           cv_archived_watch_is_good(&l->watch, l->a, now);
}

bool cv_archived_places_hold(int vault, const struct cv_archived *a,
                             const struct cv_note_key *now,
                             const struct cv_checkpoint *last)
{
    struct look *l = calloc(1, sizeof *l);
    struct cv_archived_places *p = calloc(1, sizeof *p);
    bool good = l != NULL && p != NULL && read_places(vault, p);

    if (good) {
        l->a = a;
        l->last = last;
        good = begin(l, vault) && look_there(l, vault, p) &&
               look_behind(l, vault) && leads_to(l, now);
    }
    if (l != NULL) {
        cv_archived_watch_free(&l->watch);
    }
    free(p);
    free(l);
    return good;
}
