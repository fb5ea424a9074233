#include "vault/broker/tiling.h"

#include "vault/base/manager.h"

enum cv_status cv_tiling_run(uint64_t at, uint64_t size, cv_tiling_fn *fn,
                             void *context, struct cv_err *err)
{
    enum cv_status s;

    do {
        at = at < size && size - at > CV_TILING_STEP ? at + CV_TILING_STEP
                                                     : size;
        s = fn(context, at, err);
        cv_manager_feed(true);
    } while (s == CV_OK && at < size);
    return s;
}
