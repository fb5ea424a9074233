/* completion: scripts for bash, zsh and fish, made of the table of commands. */
#include "cli/cli.h"
#include "cli/cmd.h"
#include "cli/complete.h"
#include "vault/base/limits.h"

#include <string.h>

CV_CMD(completion)
{
    const char *shell = args->operands[0];
    struct cv_buf out;
    enum cv_status s;

    cv_buf_init(&out, NULL, CV_KIB(256));
    if (strcmp(shell, "bash") == 0) {
        cv_complete_bash(&out);
    } else if (strcmp(shell, "zsh") == 0) {
        cv_complete_zsh(&out);
    } else if (strcmp(shell, "fish") == 0) {
        cv_complete_fish(&out);
    } else {
        s = cv_fail(err, CV_USAGE, "completion knows bash, zsh and fish");
        return s;
    }
    return cv_output_write_buf(&cli->out, &out, err);
}
