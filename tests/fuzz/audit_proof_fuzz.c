/* Proof files. One that is taken is, byte for byte, the one that we write for
 * what it says. */
#include "vault/audit/tlogproof.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct cv_bytes file = {data, size};
    struct cv_tlogproof said;
    struct cv_buf again, extra;

    if (cv_tlogproof_read(file, &said, NULL) != CV_OK) {
        return 0;
    }
    cv_buf_init(&again, NULL, 2 * (size_t)CV_LIMIT_PROOF);
    cv_buf_init(&extra, NULL, CV_LIMIT_PROOF);
    if (said.extra.len > 0 &&
        cv_tlogproof_record(file, &extra, NULL) != CV_OK) {
        abort();
    }
    if (cv_tlogproof_write(cv_buf_bytes(&extra), said.index, &said.proof,
                           said.note, &again, NULL) != CV_OK ||
        again.len != size || memcmp(again.data, data, size) != 0) {
        abort();
    }
    cv_buf_wipe(&extra);
    cv_buf_wipe(&again);
    return 0;
}
