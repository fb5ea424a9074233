#include "cli/witnesses.h"
#include "cli/config.h"
#include "cli/output_table.h"

#include <string.h>

enum cv_status cv_witnesses_add(struct cv_cli *cli, cJSON *parameters,
                                struct cv_err *err)
{
    cJSON *list = cJSON_AddArrayToObject(parameters, "witnesses");
    const cJSON *tree = NULL, *item;
    enum cv_status s = cv_config_load(cli, &tree, err);

    if (s != CV_OK) {
        return s;
    }
    cJSON_ArrayForEach(item, cv_output_table_at(tree, "audit.anchors"))
    {
        const char *text = cJSON_GetStringValue(item);
        const char *key = text != NULL && strncmp(text, "witness:", 8) == 0
                              ? strchr(text, '#')
                              : NULL;

        if (key != NULL &&
            !cJSON_AddItemToArray(list, cJSON_CreateString(key + 1))) {
            return cv_fail(err, CV_INTERNAL, "memory is gone");
        }
    }
    return list != NULL ? CV_OK : cv_fail(err, CV_INTERNAL, "memory is gone");
}

void cv_witnesses_cell(const cJSON *report, struct cv_buf *out)
{
    const cJSON *item;

    cJSON_ArrayForEach(item,
                       cJSON_GetObjectItemCaseSensitive(report, "witnesses"))
    {
        cv_buf_add_str(out, out->len > 0 ? ", " : "");
        cv_output_table_cell(cv_output_table_at(item, "name"), out);
        cv_buf_add_str(out, " at ");
        cv_output_table_cell(cv_output_table_at(item, "size"), out);
        cv_buf_add_str(out, " records, ");
        cv_output_table_cell(cv_output_table_at(item, "time"), out);
    }
}
