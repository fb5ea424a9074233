/* What a caller has: a profile (p), a regions.yaml (r), an endpoint (e) or a
 * whole Cloud (c), told by the first byte. What is taken as an endpoint is
 * taken again in its own spelling; what is taken as a key can stand in a
 * header. */
#include "vault/base/json.h"
#include "vault/fetch/credentials.h"
#include "vault/fetch/profile.h"
#include "vault/fetch/region.h"
#include "vault/fetch/region_file.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void start(void)
{
    static bool started;

    if (!started) {
        if (cv_arena_start(NULL) != CV_OK) {
            abort();
        }
        cv_arena_allow_unlocked();
        cv_json_start();
        started = true;
    }
}

static void endpoint(const char *text)
{
    struct cv_origin one, two;

    if (cv_origin_parse(text, CV_ORIGIN_TYPED, "it", &one, NULL) != CV_OK) {
        return;
    }
    if (cv_origin_parse(one.url, CV_ORIGIN_TYPED, "it", &two, NULL) != CV_OK ||
        strcmp(one.url, two.url) != 0 || strcmp(one.host, two.host) != 0 ||
        strncmp(one.url, "https://", 8) != 0 ||
        strpbrk(one.url + 8, "/@?# \r\n") != NULL) {
        abort();
    }
}

static void cloud(const char *text, struct cv_arena *arena)
{
    struct cv_bytes bytes = {(const uint8_t *)text, strlen(text)};
    struct cv_credentials c;
    struct cv_region_ends ends;
    struct cv_cloud read;
    cJSON *tree = NULL;

    if (cv_json_parse(arena, bytes, &tree, NULL) != CV_OK ||
        cv_cloud_read(tree, &read, NULL) != CV_OK) {
        return;
    }
    if (cv_credentials_find(&read, arena, &c, NULL) == CV_OK &&
        c.kind == CV_CREDENTIALS_KEYS &&
        (!cv_credentials_is_token(c.ak) || !cv_credentials_is_token(c.sk))) {
        abort();
    }
    if (cv_region_find(CV_REGION_CCE, &read, read.region, NULL, &ends, NULL) ==
            CV_OK &&
        (ends.n < 1 || ends.n > CV_REGION_ENDS)) {
        abort();
    }
    if (cv_region_find(CV_REGION_IAM, &read, read.region, NULL, &ends, NULL) ==
            CV_OK &&
        ends.n < 1) {
        abort();
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct cv_arena *arena = NULL;
    struct cv_region_entry list;
    struct cv_profile p;
    char *text;

    start();
    if (size < 1 || cv_arena_new(CV_MIB(16), &arena, NULL) != CV_OK) {
        return 0;
    }
    text = cv_arena_copy(arena, data + 1, size - 1, NULL);
    if (text == NULL) {
        abort();
    }
    switch (data[0]) {
    case 'p':
        (void)!cv_profile_read(text, arena, &p, NULL);
        break;
    case 'r':
        (void)!cv_region_file_find(text, "CCE", "r-1", &list, NULL);
        break;
    case 'e':
        endpoint(text);
        break;
    default:
        cloud(text, arena);
        break;
    }
    cv_arena_free(arena);
    return 0;
}
