/* What freeze.c and freeze_set.c share. */
#ifndef CERTVAULT_BROKER_FREEZE_INTERNAL_H
#define CERTVAULT_BROKER_FREEZE_INTERNAL_H

#include "vault/broker/broker_internal.h"

#define CV_FREEZE_KEY "frozen"
#define CV_FREEZE_VALUE CV_KIB(4)

/* *f becomes what the store's fact says; "" is no freeze. */
void cv_freeze_take(struct cv_freeze *f, const char *value);

#endif
