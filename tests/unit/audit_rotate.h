/* The log of a test gets another key. */
#ifndef CERTVAULT_TESTS_AUDIT_ROTATE_H
#define CERTVAULT_TESTS_AUDIT_ROTATE_H

#include "audit_test.h"

#define AUDIT_ROTATE_OP "0123456789abcdef0123456789abcdef"

/* Draws another key of the log and appends the leaf that both sign. */
void audit_rotate_leaf(const struct audit_vault *v, struct cv_log *log);

/* The rest too: the checkpoint of both, and the key is the log's. */
void audit_rotate(struct audit_vault *v, struct cv_log *log);

#endif
