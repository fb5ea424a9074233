/* A file that `audit archive` wrote: the log's frames, one behind the other
 * (docs/formats.md, "Archived records"). What is read out of it is believed by
 * nobody: the broker holds it against the log's hashes. Blocking: files. */
#ifndef CERTVAULT_CLI_LOG_ARCHIVE_H
#define CERTVAULT_CLI_LOG_ARCHIVE_H

#include "vault/base/buf.h"

#include <cJSON.h>

/* Adds record `seq` out of the file to `parameters`, as "record". CV_NOT_FOUND:
 * it is not there, and which ones are; CV_INVALID: it is no such file;
 * CV_INTEGRITY: what is there is no record; CV_IO. */
CV_MUST_USE enum cv_status cv_log_archive_add(const char *path, int64_t seq,
                                              cJSON *parameters,
                                              struct cv_err *err);

#endif
