#include "vault/audit/state_internal.h"

#include "vault/base/encode.h"
#include "vault/base/file.h"
#include "vault/base/json.h"

#include <fcntl.h>
#include <string.h>

#define STATE_PATH "audit/state"
#define FILE_MAX CV_KIB(16)

static enum cv_status damaged(struct cv_err *err)
{
    cv_fail(err, CV_INTEGRITY, "%s is damaged", STATE_PATH);
    cv_err_hint(err, "it is derived from the log: run `certvault audit "
                     "verify`; if it finds nothing else, remove the file");
    return CV_INTEGRITY;
}

static bool read_hash(const cJSON *item, uint8_t out[CV_TREE_HASH])
{
    return cJSON_IsString(item) &&
           cv_decode_base64_exact(item->valuestring, "a hash", out,
                                  CV_TREE_HASH, NULL) == CV_OK;
}

bool cv_state_read_frontier(const cJSON *object, struct cv_frontier *out)
{
    int64_t offset = -1, size = -1;
    const cJSON *range = NULL, *item;
    const char *prev = NULL;
    const struct cv_json_field fields[] = {
        {"offset", CV_JSON_INT, true, &offset, 0},
        {"prev", CV_JSON_STRING, true, &prev, 0},
        {"range", CV_JSON_ARRAY, true, &range, 0},
        {"size", CV_JSON_INT, true, &size, 0},
    };

    if (cv_json_read(object, STATE_PATH, fields, 4, true, NULL) != CV_OK ||
        offset <= 0 || size <= 0 ||
        cv_decode_base64_exact(prev, "prev", out->prev, CV_TREE_HASH, NULL) !=
            CV_OK) {
        return false;
    }
    out->offset = (uint64_t)offset;
    out->tree.size = (uint64_t)size;
    cJSON_ArrayForEach(item, range)
    {
        if (out->tree.n == CV_TREE_DEPTH ||
            !read_hash(item, out->tree.nodes[out->tree.n++])) {
            return false;
        }
    }
    return cv_tree_shape_ok(out->tree.size, out->tree.n);
}

static bool read_state(const cJSON *root, struct cv_state *out)
{
    int64_t version = 0;
    const cJSON *frontiers = NULL, *item;
    const struct cv_json_field fields[] = {
        {"frontiers", CV_JSON_ARRAY, true, &frontiers, 0},
        {"v", CV_JSON_INT, true, &version, 0},
    };

    if (cv_json_read(root, STATE_PATH, fields, 2, true, NULL) != CV_OK ||
        version != 1) {
        return false;
    }
    cJSON_ArrayForEach(item, frontiers)
    {
        if (out->n == CV_STATE_FRONTIERS ||
            !cv_state_read_frontier(item, &out->at[out->n])) {
            return false;
        }
        out->n++;
    }
    return out->n == 1 ||
           (out->n == 2 && out->at[0].offset < out->at[1].offset &&
            out->at[0].tree.size < out->at[1].tree.size);
}

enum cv_status cv_state_read(int vault, struct cv_state *out,
                             struct cv_err *err)
{
    struct cv_buf text;
    cJSON *root = NULL;
    int fd = -1;
    enum cv_status status = cv_file_open(vault, STATE_PATH, O_RDONLY, &fd, err);

    memset(out, 0, sizeof *out);
    if (status != CV_OK) {
        return status;
    }
    cv_buf_init(&text, NULL, FILE_MAX);
    status = cv_file_read(fd, STATE_PATH, &text, err);
    cv_file_close(&fd);
    if (status == CV_OK) {
        status = cv_json_parse(NULL, cv_buf_bytes(&text), &root, err);
    }
    if (status == CV_INVALID || (status == CV_OK && !read_state(root, out))) {
        memset(out, 0, sizeof *out);
        status = damaged(err);
    }
    cJSON_Delete(root);
    cv_buf_wipe(&text);
    return status;
}

cJSON *cv_state_frontier(const struct cv_frontier *f)
{
    cJSON *object = cJSON_CreateObject(), *range = cJSON_CreateArray();
    bool ok = cv_json_add_int(object, "offset", (int64_t)f->offset) &&
              cv_json_add_base64(object, "prev",
                                 (struct cv_bytes){f->prev, CV_TREE_HASH}) &&
              cv_json_add_int(object, "size", (int64_t)f->tree.size);

    for (unsigned i = 0; i < f->tree.n && ok; i++) {
        struct cv_buf b;
        cJSON *text;

        cv_buf_init(&b, NULL, 64);
        cv_encode_base64((struct cv_bytes){f->tree.nodes[i], CV_TREE_HASH}, &b);
        text = cJSON_CreateString(cv_buf_text(&b));
        ok = b.status == CV_OK && text != NULL && range != NULL &&
             cJSON_AddItemToArray(range, text);
        if (!ok) {
            cJSON_Delete(text);
        }
        cv_buf_wipe(&b);
    }
    ok = cv_json_add_item(object, "range", range) && ok;
    if (!ok) {
        cJSON_Delete(object);
        return NULL;
    }
    return object;
}

static bool add_frontier(cJSON *array, const struct cv_frontier *f)
{
    cJSON *object = cv_state_frontier(f);

    if (object == NULL || !cJSON_AddItemToArray(array, object)) {
        cJSON_Delete(object);
        return false;
    }
    return true;
}

static enum cv_status write_state(int vault, const struct cv_state *state,
                                  struct cv_err *err)
{
    struct cv_buf text;
    cJSON *root = cJSON_CreateObject(), *array = cJSON_CreateArray();
    bool ok = array != NULL && cv_json_add_int(root, "v", 1);
    enum cv_status status;

    for (unsigned i = 0; i < state->n && ok; i++) {
        ok = add_frontier(array, &state->at[i]);
    }
    ok = cv_json_add_item(root, "frontiers", array) && ok;
    cv_buf_init(&text, NULL, FILE_MAX);
    if (ok) {
        cv_json_write(root, CV_JSON_CANONICAL, &text);
        cv_buf_add_char(&text, '\n');
        status = cv_buf_status(&text, STATE_PATH, err);
    } else {
        status = cv_fail(err, CV_INTERNAL, "out of memory");
    }
    if (status == CV_OK) {
        status =
            cv_file_replace(vault, STATE_PATH, cv_buf_bytes(&text), 0600, err);
    }
    cv_buf_wipe(&text);
    cJSON_Delete(root);
    return status;
}

/* The oldest goes. */
static void add_newest(struct cv_state *state, const struct cv_frontier *f)
{
    if (state->n == CV_STATE_FRONTIERS) {
        state->at[0] = state->at[1];
        state->n = 1;
    }
    state->at[state->n++] = *f;
}

enum cv_status cv_state_write(int vault, struct cv_state *state,
                              const struct cv_frontier *frontier,
                              struct cv_err *err)
{
    struct cv_state next = *state;
    uint64_t last = next.n > 0 ? next.at[next.n - 1].offset : 0;
    enum cv_status status;

    if (frontier->offset < last + CV_STATE_STEP) {
        return CV_OK;
    }
    add_newest(&next, frontier);
    status = write_state(vault, &next, err);
    if (status == CV_OK) {
        *state = next;
    }
    return status;
}

void cv_state_pass(struct cv_state *way, uint64_t begin,
                   const struct cv_frontier *f)
{
    uint64_t last = way->n > 0 ? way->at[way->n - 1].offset : begin;

    if (f->offset >= last + CV_STATE_STEP) {
        add_newest(way, f);
    }
}

void cv_state_mend(int vault, struct cv_state *state,
                   const struct cv_state *way, uint64_t size)
{
    const struct cv_frontier *better = cv_state_pick(way, size),
                             *there = cv_state_pick(state, size),
                             *last =
                                 state->n > 0 ? &state->at[state->n - 1] : NULL;
    struct cv_state next = {.n = 0};

    if (better == NULL ||
        (there != NULL && better->offset < there->offset + CV_STATE_STEP)) {
        return;
    }
    add_newest(&next, better);
    if (last != NULL && last->tree.size > better->tree.size &&
        last->offset >= better->offset + CV_STATE_STEP) {
        add_newest(&next, last);
    }
    if (write_state(vault, &next, NULL) == CV_OK) {
        *state = next;
    }
}

const struct cv_frontier *cv_state_pick(const struct cv_state *state,
                                        uint64_t size)
{
    for (unsigned i = state->n; i-- > 0;) {
        if (state->at[i].offset + CV_STATE_STEP <= size) {
            return &state->at[i];
        }
    }
    return NULL;
}
