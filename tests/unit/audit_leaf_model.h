/* What a leaf says, a second time: checked and built as a tree, member after
 * member in no order, as the log was written before it had a pen (pen.c). What
 * the canonical writer of vault/base makes of the tree is what cv_leaf_write
 * must write, byte by byte. */
#ifndef CERTVAULT_TESTS_UNIT_AUDIT_LEAF_MODEL_H
#define CERTVAULT_TESTS_UNIT_AUDIT_LEAF_MODEL_H

#include "vault/audit/leaf.h"

/* NULL: the leaf is not valid. The caller frees it. */
cJSON *audit_leaf_model_build(const struct cv_leaf *leaf);

/* Makes a leaf out of `size` bytes of any kind, and writes it both ways. NULL:
 * both refuse it, or write the same, and the log's reader takes it where they
 * wrote it. Else what differs. *valid (may be NULL): it was written. */
const char *audit_leaf_model_compare(const uint8_t *data, size_t size,
                                     bool *valid);

#endif
