/* What the store tests share. */
#ifndef CERTVAULT_TESTS_STORE_TEST_H
#define CERTVAULT_TESTS_STORE_TEST_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "vault/store/store_entry.h"

#define STORE_TEST_ID "0123456789abcdef0123456789abcdef"

struct store_folder {
    char path[128];
    int fd;
};

int store_test_start(void **state);

/* An empty folder, and its end with all that is in it. */
void store_test_folder(struct store_folder *f);
void store_test_remove(struct store_folder *f);

/* A new store in the folder, and one that is there. */
struct cv_store *store_test_create(const struct store_folder *f);
struct cv_store *store_test_open(const struct store_folder *f);

/* Entry number `nr`: its texts live as long as `room`. */
struct store_test_room {
    char entry_id[33], name[64], spki[65], ca_set[65], labels[128], doc[512];
    char body[8192];
    uint8_t sealed[600];
};
struct cv_store_entry store_test_entry(struct store_test_room *room,
                                       unsigned nr);

/* Is this anywhere in one of the folder's files? */
bool store_test_holds(const struct store_folder *f, const void *needle,
                      size_t len);

/* A file of the folder whole, and back. */
uint8_t *store_test_read(const struct store_folder *f, const char *name,
                         size_t *len);
void store_test_write(const struct store_folder *f, const char *name,
                      const void *data, size_t len);

#endif
