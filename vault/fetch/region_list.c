#include "vault/fetch/region_list.h"

#include <string.h>

enum cv_status cv_region_list_add(struct cv_region_ends *out, const char *list,
                                  enum cv_origin_reach reach, const char *what,
                                  struct cv_err *err)
{
    while (*list != '\0') {
        char one[CV_LIMIT_URL];
        size_t len = strcspn(list, ",");
        size_t skip = strspn(list, " ");
        size_t end = len;

        while (end > skip && list[end - 1] == ' ') {
            end--;
        }
        if (end > skip && end - skip < sizeof(one) && out->n < CV_REGION_ENDS) {
            enum cv_status s;

            memcpy(one, list + skip, end - skip);
            one[end - skip] = '\0';
            s = cv_origin_parse(one, reach, what, &out->origin[out->n], err);
            if (s != CV_OK) {
                return s;
            }
            out->n++;
        } else if (end > skip) {
            return cv_fail(err, CV_USAGE,
                           "%s: more than %d endpoints, or one "
                           "that is too long",
                           what, CV_REGION_ENDS);
        }
        list += len + (list[len] == ',' ? 1 : 0);
    }
    return CV_OK;
}
