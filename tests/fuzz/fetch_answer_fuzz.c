/* What the cloud answers: the first line is the status, headers follow up to an
 * empty line, the rest is the body. Read as an error, as clusters, as what an
 * Content-Type, a Retry-After and a time may be. What is told of an error is
 * one printable line without the secret that was sent. */
#include "vault/base/json.h"
#include "vault/base/limits.h"
#include "vault/base/name.h"
#include "vault/fetch/api_error.h"
#include "vault/fetch/cluster.h"

#include <stdlib.h>
#include <string.h>

#define SECRET "hunter2-secret"

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

static void check_text(const char *text)
{
    struct cv_bytes bytes = {(const uint8_t *)text, strlen(text)};

    if (strstr(text, SECRET) != NULL || !cv_name_is_printable(bytes)) {
        abort();
    }
}

static void read_error(const struct cv_http_answer *a)
{
    const struct cv_api_error_masks masks = {.text = {SECRET}, .n = 1};
    const struct cv_api_error_about about = {
        .what = "it", .host = "h", .permission = "p", .keys = true};
    struct cv_api_error e;
    struct cv_err err;

    cv_api_error_read(a, &masks, 0, &e);
    cv_err_init(&err);
    if (cv_api_error_fail(&e, &about, &err) == CV_OK) {
        abort();
    }
    check_text(err.text);
    check_text(err.hint);
    check_text(err.request_id);
}

static void read_clusters(struct cv_bytes body)
{
    struct cv_cluster_list list;
    cJSON *tree = NULL;

    if (cv_json_parse(NULL, body, &tree, NULL) != CV_OK) {
        return;
    }
    if (cv_cluster_read_list(tree, &list, NULL) == CV_OK) {
        for (size_t i = 0; i < list.n; i++) {
            cJSON *json = cv_cluster_to_json(&list.item[i]);

            if (json == NULL ||
                cv_cluster_check_id(list.item[i].id, NULL) != CV_OK) {
                abort();
            }
            cJSON_Delete(json);
        }
        cv_cluster_list_free(&list);
    }
    cJSON_Delete(tree);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct cv_http_answer a = {.end = CV_HTTP_ANSWERED, .status = 500};
    const uint8_t *empty = memmem(data, size, "\n\n", 2);
    struct cv_buf body;

    start();
    if (empty == NULL) {
        return 0;
    }
    a.head = (struct cv_bytes){data, (size_t)(empty - data) + 1};
    cv_buf_init(&body, NULL, CV_LIMIT_HTTP_BODY);
    cv_buf_add(&body, empty + 2, size - a.head.len - 1);
    a.body = cv_buf_bytes(&body);
    if (size > 0 && data[0] >= '4' && data[0] <= '5') {
        a.status = (data[0] - '0') * 100 + (size > 2 ? data[2] % 32 : 0);
    }
    (void)cv_http_answer_is_json(&a);
    read_error(&a);
    read_clusters(a.body);
    cv_buf_wipe(&body);
    return 0;
}
