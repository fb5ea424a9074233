/* Any bytes as a backup, as they are and with a digest that fits. What is taken
 * must be what we write for its head, and as long as that says. */
#include "vault/broker/archive.h"

#include "vault/base/json.h"

#include <sodium.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int file = -1;

struct seen {
    uint64_t sizes[CV_ARCHIVE_PARTS];
    int last;
};

static enum cv_status each(void *context, enum cv_archive_part part,
                           struct cv_bytes bytes, struct cv_err *err)
{
    struct seen *seen = context;

    (void)err;
    if ((int)part < seen->last || bytes.len == 0) {
        abort();
    }
    seen->last = (int)part;
    seen->sizes[part] += bytes.len;
    return CV_OK;
}

static void try_it(const uint8_t *data, size_t size)
{
    uint8_t digest[CV_ARCHIVE_DIGEST];
    struct cv_archive_head head;
    struct seen seen = {.last = 0};
    struct cv_buf again;

    if (ftruncate(file, 0) != 0 ||
        pwrite(file, data, size, 0) != (ssize_t)size) {
        abort();
    }
    if (cv_archive_read(file, &head, NULL, each, &seen, digest, NULL) !=
        CV_OK) {
        return;
    }
    cv_buf_init(&again, NULL, 65536);
    cv_archive_write_head(&head, &again);
    if (cv_archive_size(&head) != size ||
        memcmp(seen.sizes, head.sizes, sizeof(seen.sizes)) != 0 ||
        again.status != CV_OK || again.len > size ||
        memcmp(again.data, data, again.len) != 0 ||
        memcmp(digest, data + size - sizeof(digest), sizeof(digest)) != 0) {
        abort();
    }
    cv_buf_wipe(&again);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    uint8_t *whole;

    if (file < 0) {
        cv_arena_allow_unlocked();
        file = memfd_create("archive", 0);
        if (file < 0 || cv_arena_start(NULL) != CV_OK) {
            abort();
        }
        cv_json_start();
    }
    try_it(data, size);
    whole = malloc(size + CV_ARCHIVE_DIGEST);
    if (whole == NULL) {
        abort();
    }
    if (size > 0) {
        memcpy(whole, data, size);
    }
    (void)crypto_hash_sha256(whole + size, data, size);
    try_it(whole, size + CV_ARCHIVE_DIGEST);
    free(whole);
    return 0;
}
