/* Completion scripts, made of the table of commands. They complete commands,
 * flags, files and words; names of entries they do not: asking for those would
 * leave a record at every press of Tab. */
#ifndef CERTVAULT_CLI_COMPLETE_H
#define CERTVAULT_CLI_COMPLETE_H

#include "vault/base/buf.h"

/* Each appends a script that a shell can source. */
void cv_complete_bash(struct cv_buf *out);
void cv_complete_zsh(struct cv_buf *out);
void cv_complete_fish(struct cv_buf *out);

#endif
