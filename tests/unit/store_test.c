#include "store_test.h"

#include "vault/base/file.h"
#include "vault/base/json.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

int store_test_start(void **state)
{
    (void)state;
    cv_arena_allow_unlocked();
    if (cv_arena_start(NULL) != CV_OK) {
        return -1;
    }
    cv_json_start();
    (void)umask(022); /* modes must not depend on it */
    return 0;
}

void store_test_folder(struct store_folder *f)
{
    const char *where = getenv("CV_STORE_TEST_FOLDER");

    (void)snprintf(f->path, sizeof f->path, "%s/cv-store-XXXXXX",
                   where == NULL ? "/tmp" : where);
    assert_non_null(mkdtemp(f->path));
    assert_int_equal(cv_file_open_folder(f->path, &f->fd, NULL), CV_OK);
}

static void each_file(const struct store_folder *f,
                      void (*fn)(const struct store_folder *, const char *,
                                 void *),
                      void *ctx)
{
    DIR *dir = opendir(f->path);
    const struct dirent *entry;

    assert_non_null(dir);
    while ((entry = readdir(dir)) != NULL) {
        if (entry->d_name[0] != '.') {
            fn(f, entry->d_name, ctx);
        }
    }
    (void)closedir(dir);
}

static void remove_one(const struct store_folder *f, const char *name,
                       void *ctx)
{
    (void)ctx;
    if (unlinkat(f->fd, name, 0) != 0) {
        assert_int_equal(unlinkat(f->fd, name, AT_REMOVEDIR), 0);
    }
}

void store_test_remove(struct store_folder *f)
{
    each_file(f, remove_one, NULL);
    cv_file_close(&f->fd);
    assert_int_equal(rmdir(f->path), 0);
}

struct cv_store *store_test_create(const struct store_folder *f)
{
    struct cv_store *store = NULL;
    struct cv_err err;

    cv_err_init(&err);
    if (cv_store_create(f->path, f->fd, STORE_TEST_ID, &store, &err) != CV_OK) {
        fail_msg("%s", err.text);
    }
    return store;
}

struct cv_store *store_test_open(const struct store_folder *f)
{
    struct cv_store *store = NULL;
    struct cv_err err;

    cv_err_init(&err);
    if (cv_store_open(f->path, f->fd, &store, &err) != CV_OK) {
        fail_msg("%s", err.text);
    }
    return store;
}

struct cv_store_entry store_test_entry(struct store_test_room *r, unsigned nr)
{
    struct cv_store_entry e;
    uint64_t x = nr;

    memset(&e, 0, sizeof e);
    (void)snprintf(r->entry_id, sizeof r->entry_id, "%032x", nr);
    (void)snprintf(r->name, sizeof r->name, "%s-%05u",
                   nr % 2 == 0 ? "prod" : "test", nr);
    (void)snprintf(r->spki, sizeof r->spki, "%064x", nr * 2654435761U);
    (void)snprintf(r->ca_set, sizeof r->ca_set, "%064x", nr / 3);
    (void)snprintf(r->labels, sizeof r->labels,
                   "{\"env\":\"%s\",\"team\":\"t%u\"}",
                   nr % 2 == 0 ? "prod" : "test", nr % 100);
    (void)snprintf(r->doc, sizeof r->doc,
                   "{\"note\":\"entry %u\",\"pad\":\"%0400u\"}", nr, nr);
    (void)snprintf(r->body, sizeof r->body, "{\"body\":\"%06000u\"}", nr);
    for (size_t i = 0; i < sizeof r->sealed; i++) {
        x = x * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
        r->sealed[i] = (uint8_t)(x >> 56);
    }
    e.entry_id = r->entry_id;
    e.name = r->name;
    e.spki = r->spki;
    e.ca_set = r->ca_set;
    e.labels = r->labels;
    e.doc = r->doc;
    e.body = r->body;
    e.sealed = (struct cv_bytes){r->sealed, sizeof r->sealed};
    e.not_after = 1790000000 + (int64_t)nr;
    e.created = 1700000000;
    e.updated = 1700000001;
    return e;
}

uint8_t *store_test_read(const struct store_folder *f, const char *name,
                         size_t *len)
{
    struct stat st;
    int fd = openat(f->fd, name, O_RDONLY | O_CLOEXEC);
    uint8_t *data;

    assert_true(fd >= 0);
    assert_int_equal(fstat(fd, &st), 0);
    *len = (size_t)st.st_size;
    data = malloc(*len + 1);
    assert_non_null(data);
    assert_int_equal(read(fd, data, *len), (ssize_t)*len);
    (void)close(fd);
    return data;
}

void store_test_write(const struct store_folder *f, const char *name,
                      const void *data, size_t len)
{
    int fd =
        openat(f->fd, name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

    assert_true(fd >= 0);
    assert_int_equal(write(fd, data, len), (ssize_t)len);
    (void)close(fd);
}

struct needle {
    const void *data;
    size_t len;
    bool found;
};

static void look_in(const struct store_folder *f, const char *name, void *ctx)
{
    struct needle *needle = ctx;
    size_t len;
    uint8_t *data = store_test_read(f, name, &len);

    needle->found =
        needle->found || memmem(data, len, needle->data, needle->len) != NULL;
    free(data);
}

bool store_test_holds(const struct store_folder *f, const void *needle,
                      size_t len)
{
    struct needle n = {needle, len, false};

    each_file(f, look_in, &n);
    return n.found;
}
