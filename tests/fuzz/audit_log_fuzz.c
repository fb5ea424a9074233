/* Any bytes as audit/log: opened, verified and asked, in a folder in memory.
 * What one of them takes, the others must take too. */
#include "vault/audit/log.h"
#include "vault/audit/query.h"
#include "vault/audit/verify.h"
#include "vault/base/json.h"

#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int vault = -1;
static char path[] = "/dev/shm/cv-fuzz-XXXXXX";

static void clean(void)
{
    (void)unlinkat(vault, "audit/log", 0);
    (void)unlinkat(vault, "audit", AT_REMOVEDIR);
    (void)rmdir(path);
}

static void start(void)
{

    cv_arena_allow_unlocked();
    if (cv_arena_start(NULL) != CV_OK || mkdtemp(path) == NULL) {
        abort();
    }
    cv_json_start();
    vault = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (vault < 0 || mkdirat(vault, "audit", 0700) != 0) {
        abort();
    }
    (void)atexit(clean);
}

static void put(const uint8_t *data, size_t size)
{
    int fd = openat(vault, "audit/log", O_WRONLY | O_CREAT | O_TRUNC, 0600);

    if (fd < 0 || write(fd, data, size) != (ssize_t)size) {
        abort();
    }
    (void)close(fd);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct cv_log *log = NULL;
    struct cv_query_filter all;
    cJSON *report = NULL, *items = NULL;
    enum cv_status opened, verified;

    if (vault < 0) {
        start();
    }
    put(data, size);
    opened = cv_log_open(vault, CV_LOG_READ, &log, NULL);
    verified = cv_verify_log(vault, NULL, &report, NULL);
    cv_query_init(&all);
    if (opened == CV_OK) {
        /* verify looks at more, but not at less */
        if (verified != CV_OK && verified != CV_INTEGRITY) {
            abort();
        }
        if (cv_query_items(vault, &all, &items, NULL) != CV_OK ||
            (uint64_t)cJSON_GetArraySize(items) != cv_log_size(log)) {
            abort();
        }
    } else if (verified == CV_OK) {
        abort();
    }
    cJSON_Delete(items);
    cJSON_Delete(report);
    cv_log_close(log);
    return 0;
}
