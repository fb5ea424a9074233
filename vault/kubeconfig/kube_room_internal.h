/* The status of a cv_arena_alloc or cv_arena_copy that gave NULL. */
#ifndef CERTVAULT_KUBECONFIG_KUBE_ROOM_INTERNAL_H
#define CERTVAULT_KUBECONFIG_KUBE_ROOM_INTERNAL_H

#include "vault/base/err.h"

CV_MUST_USE static inline enum cv_status
cv_kube_room_failed(const struct cv_err *err)
{
    return err != NULL ? err->status : CV_INTERNAL;
}

#endif
