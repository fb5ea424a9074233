/* Any files as a bundle, in a folder in memory: parts of name, length and
 * bytes. Whatever they are, the checker answers, and says why it refuses. */
#include "vault/audit/bundle.h"
#include "vault/base/json.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* That of the policy which init writes. */
#define POLICY                                        \
    "policies/0-11a86489b50a2cce0042fa5c0e46977a7bb4" \
    "9e71a3787066022dab5656660f77.yaml"

static const char *const names[] = {
    "manifest.json", "log.vkey",   "checkpoint.after",    "checkpoint.before",
    "records.jsonl", "README.txt", "proofs/3.tlog-proof", "proofs/x",
    "more",          POLICY,
};
#define NAMES (sizeof names / sizeof names[0])

static int folder = -1;
static char path[] = "/dev/shm/cv-fuzz-XXXXXX";

static void empty(void)
{
    for (size_t i = 0; i < NAMES; i++) {
        (void)unlinkat(folder, names[i], 0);
    }
}

static void clean(void)
{
    empty();
    (void)unlinkat(folder, "proofs", AT_REMOVEDIR);
    (void)unlinkat(folder, "policies", AT_REMOVEDIR);
    (void)rmdir(path);
}

static void start(void)
{
    cv_arena_allow_unlocked();
    if (cv_arena_start(NULL) != CV_OK || mkdtemp(path) == NULL) {
        abort();
    }
    cv_json_start();
    folder = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (folder < 0 || mkdirat(folder, "proofs", 0700) != 0 ||
        mkdirat(folder, "policies", 0700) != 0) {
        abort();
    }
    (void)atexit(clean);
}

static void put(const char *name, const uint8_t *data, size_t size)
{
    int fd = openat(folder, name, O_WRONLY | O_CREAT | O_TRUNC, 0600);

    if (fd < 0 || write(fd, data, size) != (ssize_t)size) {
        abort();
    }
    (void)close(fd);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct cv_bundle_options options = {0};
    cJSON *report = NULL;
    struct cv_err err;
    enum cv_status status;

    if (folder < 0) {
        start();
    }
    while (size >= 3) {
        size_t len = (size_t)data[1] << 8 | data[2];

        len = len > size - 3 ? size - 3 : len;
        put(names[data[0] % NAMES], data + 3, len);
        data += 3 + len;
        size -= 3 + len;
    }
    cv_err_init(&err);
    status = cv_bundle_check(folder, &options, &report, &err);
    if ((status == CV_OK) != (report != NULL) ||
        (status != CV_OK && err.text[0] == '\0')) {
        abort();
    }
    cJSON_Delete(report);
    empty();
    return 0;
}
