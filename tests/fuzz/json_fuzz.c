/* What the strict walk takes, cJSON takes too; and what was read is written in
 * each style such that it reads back as the same document. */
#include "vault/base/json.h"
#include "vault/base/limits.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static void must(bool ok)
{
    if (!ok) {
        abort();
    }
}

static void write_again(const cJSON *tree, enum cv_json_style style,
                        struct cv_buf *out)
{
    cv_buf_init(out, NULL, CV_MIB(64));
    cv_json_write(tree, style, out);
}

/* Reads `text` back and writes it as `style`: must be what `want` holds. */
static void must_read_back(struct cv_bytes text, enum cv_json_style style,
                           struct cv_bytes want)
{
    cJSON *tree = NULL;
    struct cv_buf again;
    must(cv_json_parse(NULL, text, &tree, NULL) == CV_OK);
    write_again(tree, style, &again);
    must(again.status == CV_OK);
    must(cv_bytes_equal(cv_buf_bytes(&again), want));
    cv_buf_wipe(&again);
    cJSON_Delete(tree);
}

static void look_at(const cJSON *tree)
{
    struct cv_buf canonical;
    struct cv_buf compact;
    struct cv_buf pretty;
    write_again(tree, CV_JSON_CANONICAL, &canonical);
    write_again(tree, CV_JSON_COMPACT, &compact);
    write_again(tree, CV_JSON_PRETTY, &pretty);
    must(compact.status == CV_OK && pretty.status == CV_OK);
    struct cv_bytes text = cv_buf_bytes(&compact);
    must_read_back(text, CV_JSON_COMPACT, text);
    must_read_back(cv_buf_bytes(&pretty), CV_JSON_COMPACT, text);
    if (canonical.status == CV_OK) {
        struct cv_bytes sorted = cv_buf_bytes(&canonical);
        must_read_back(sorted, CV_JSON_COMPACT, sorted);
        must_read_back(text, CV_JSON_CANONICAL, sorted);
    }
    for (size_t i = 0; i < text.len; i++) {
        must(text.data[i] >= 0x20 && text.data[i] < 0x7f);
    }
    cv_buf_wipe(&canonical);
    cv_buf_wipe(&compact);
    cv_buf_wipe(&pretty);
}

/* A table reads whatever there is. */
static void read_table(const cJSON *tree)
{
    const char *a = NULL;
    const char *b = NULL;
    int64_t c = 0;
    const cJSON *d = NULL;
    const struct cv_json_field fields[] = {
        {"a", CV_JSON_STRING, true, &a, 0},
        {"b", CV_JSON_TEXT, false, &b, 5},
        {"c", CV_JSON_INT, false, &c, 0},
        {"d", CV_JSON_ANY, false, &d, 0},
    };
    struct cv_err e;
    cv_err_init(&e);
    enum cv_status status = cv_json_read(tree, "it", fields, 4, true, &e);
    must(status == CV_OK || status == CV_INVALID);
    must(status != CV_OK || (a != NULL && (b == NULL || strlen(b) <= 5)));
    must(cv_json_to_err(tree, &e) != CV_OK);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    static bool started;
    if (!started) {
        must(cv_arena_start(NULL) == CV_OK);
        cv_arena_allow_unlocked();
        cv_json_start();
        started = true;
    }
    /* Arenas take longer, so that they have a share of the runs only. */
    struct cv_arena *arena = NULL;
    if (len % 16 == 15) {
        must(cv_arena_new(CV_MIB(16), &arena, NULL) == CV_OK);
    }
    cJSON *tree = NULL;
    struct cv_bytes text = {data, len};
    enum cv_status status = cv_json_parse(arena, text, &tree, NULL);
    must(status == CV_OK || status == CV_INVALID);
    must((status == CV_OK) == (tree != NULL));
    if (tree != NULL) {
        look_at(tree);
        read_table(tree);
    }
    cJSON_Delete(tree);
    cv_arena_free(arena);
    return 0;
}
