/* Tiles of many leaves at once, made step by step: what was made stays made,
 * and whoever watches the broker sees it live (vault/base/manager.h). */
#ifndef CERTVAULT_BROKER_TILING_H
#define CERTVAULT_BROKER_TILING_H

#include "vault/base/err.h"

#include <stdint.h>

/* Leaves whose tiles are made in one step. */
#define CV_TILING_STEP 65536

/* Brings them up to the first `size` leaves. */
typedef enum cv_status cv_tiling_fn(void *context, uint64_t size,
                                    struct cv_err *err);

/* From `at` leaves to `size`, at least one step; the watchdog is fed after
 * each. What `fn` fails with ends it. */
CV_MUST_USE enum cv_status cv_tiling_run(uint64_t at, uint64_t size,
                                         cv_tiling_fn *fn, void *context,
                                         struct cv_err *err);

#endif
