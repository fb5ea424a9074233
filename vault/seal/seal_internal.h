/* Small things that the files of this folder share. */
#ifndef CERTVAULT_SEAL_SEAL_INTERNAL_H
#define CERTVAULT_SEAL_SEAL_INTERNAL_H

#include "vault/base/arena.h"

/* The status of a failure whose function gave NULL instead of one. */
static inline enum cv_status seal_failed(const struct cv_err *err)
{
    return err != NULL ? err->status : CV_INTERNAL;
}

#endif
