/* Any bytes as a leaf: written by the pen and, by way of a tree, by the
 * canonical writer; both refuse it, or write the same, which the log's reader
 * takes. */
#include "../unit/audit_leaf_model.h"

#include "vault/base/json.h"

#include <stdio.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static bool started;
    const char *differs;

    if (!started) {
        cv_arena_allow_unlocked();
        if (cv_arena_start(NULL) != CV_OK) {
            abort();
        }
        cv_json_start();
        started = true;
    }
    differs = audit_leaf_model_compare(data, size, NULL);
    if (differs != NULL) {
        (void)fprintf(stderr, "%s\n", differs);
        abort();
    }
    return 0;
}
