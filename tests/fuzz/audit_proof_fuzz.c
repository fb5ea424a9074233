/* Proof files. One that is taken, and that has no extra line, is the one that
 * we write for it. */
#include "vault/audit/tlogproof.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct cv_bytes file = {data, size};
    struct cv_tlogproof said;
    struct cv_buf again;

    if (cv_tlogproof_read(file, &said, NULL) != CV_OK) {
        return 0;
    }
    cv_buf_init(&again, NULL, 2 * (size_t)CV_TLOGPROOF_LEN);
    if (cv_tlogproof_write(said.index, &said.proof, said.note, &again, NULL) !=
            CV_OK ||
        (memmem(data, size, "\nextra ", 7) == NULL &&
         (again.len != size || memcmp(again.data, data, size) != 0))) {
        abort();
    }
    cv_buf_wipe(&again);
    return 0;
}
