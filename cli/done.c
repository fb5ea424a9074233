#include "cli/done.h"

#include "cli/output_table.h"

enum cv_status cv_done_print(struct cv_cli *cli, const char *kind,
                             const char *name, const cJSON *object, bool ok,
                             struct cv_err *err)
{
    const struct cv_output_view view = {.kind = kind, .name = name};

    if (!ok || object == NULL) {
        return cv_fail(err, CV_INTERNAL, "memory is gone");
    }
    return cli->out.format == CV_OUTPUT_TABLE
               ? CV_OK
               : cv_output_table_object(&cli->out, &view, object, err);
}
