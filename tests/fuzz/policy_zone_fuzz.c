/* A time zone file from bytes; what is taken tells sensible offsets. */
#include "policy/zone.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const int64_t times[] = {0, 253402300799, 1795428000, 4078429200,
                                    1, 951782400};
    struct cv_zone *z;
    if (cv_zone_parse((struct cv_bytes){data, size}, &z, NULL) != CV_OK)
        return 0;
    for (size_t i = 0; i < sizeof(times) / sizeof(times[0]); i++) {
        unsigned minute;
        unsigned day;
        int32_t offset = cv_zone_offset(z, times[i]);
        cv_zone_local(z, times[i], &minute, &day);
        if (offset < -93599 || offset > 93599 || minute >= 24 * 60 || day > 6)
            abort();
    }
    cv_zone_free(z);
    return 0;
}
