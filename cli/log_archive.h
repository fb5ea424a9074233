/* A file that `audit archive` wrote: the log's frames, one behind the other
 * (docs/formats.md, "Archived records"). What is read out of it is believed by
 * nobody: a proof shows whether it was in the log. Blocking: files. */
#ifndef CERTVAULT_CLI_LOG_ARCHIVE_H
#define CERTVAULT_CLI_LOG_ARCHIVE_H

#include "vault/base/buf.h"

/* Appends record `seq` out of the file. CV_NOT_FOUND: it is not there, and
 * which ones are; CV_INVALID: it is no such file; CV_IO. */
CV_MUST_USE enum cv_status cv_log_archive_find(const char *path, int64_t seq,
                                               struct cv_buf *out,
                                               struct cv_err *err);

#endif
