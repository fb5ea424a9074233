/* p11-kit's .module files: two, one after the other, as the system's and the
 * package's are. What the first says stays. */
#include "pkcs11/module_internal.h"
#include "vault/base/limits.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct cv_module_file file = {{NULL}};
    char *first[CV_MODULE_KEYS];
    size_t half = size / 2;

    if (cv_module_file_parse("one", (struct cv_bytes){data, half}, &file,
                             NULL) == CV_OK) {
        memcpy(first, file.values, sizeof(first));
        (void)!cv_module_file_parse(
            "two", (struct cv_bytes){data + half, size - half}, &file, NULL);
        for (size_t i = 0; i < CV_MODULE_KEYS; i++) {
            if (first[i] != NULL && first[i] != file.values[i])
                abort();
            if (file.values[i] != NULL && strpbrk(file.values[i], "\n") != NULL)
                abort();
        }
        (void)cv_module_file_enabled(&file, "certvault");
    }
    cv_module_file_wipe(&file);
    return 0;
}
