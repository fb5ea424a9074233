/* What the audit tests share: a vault's folder with a log key, leaves, and the
 * signing that the token process does in the program. */
#ifndef CERTVAULT_TESTS_AUDIT_TEST_H
#define CERTVAULT_TESTS_AUDIT_TEST_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "vault/audit/checkpoint.h"
#include "vault/audit/leaf.h"
#include "vault/audit/log.h"
#include "vault/audit/logkey.h"

struct audit_vault {
    char path[128];
    int fd;
    struct cv_note_key key;
};

/* For cmocka's group setup. */
int audit_test_start(void **state);

/* A folder under /tmp with audit/, a key and an empty log. */
void audit_test_vault(struct audit_vault *v);
void audit_test_remove(struct audit_vault *v);

/* Its log, open for writing. */
struct cv_log *audit_test_open(const struct audit_vault *v);

/* A leaf of the given phase; the caller frees it. `op` NULL: a new one. */
cJSON *audit_test_leaf(enum cv_leaf_phase phase, const char *op,
                       const char *action, const char *entry, uint64_t nr);

/* Appends such a leaf of an export. */
enum cv_status audit_test_append(struct cv_log *log, enum cv_leaf_phase phase,
                                 const char *op, const char *entry,
                                 uint64_t nr);

/* Appends `n` leaves (permit and outcome by turns) and commits them. */
void audit_test_fill(struct cv_log *log, unsigned n);

/* Makes a checkpoint of all that is durable. */
void audit_test_checkpoint(struct audit_vault *v, struct cv_log *log);

/* The signature line that the token process would give. */
void audit_test_sign(struct audit_vault *v, struct cv_bytes text, char *out,
                     size_t out_len);

/* The whole of a file beneath the vault, on the heap, and back. */
uint8_t *audit_test_read(const struct audit_vault *v, const char *name,
                         size_t *len);
void audit_test_write(const struct audit_vault *v, const char *name,
                      const void *data, size_t len);

/* Where frame `n` of the log's bytes begins; `len` behind the last. */
size_t audit_test_frame(const uint8_t *log, size_t len, unsigned n);

#endif
