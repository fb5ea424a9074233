/* Helpers that the command line starts as the caller, without network or vault:
 * certvaultd --offline and intake --offline. */
#ifndef CERTVAULT_CLI_OFFLINE_H
#define CERTVAULT_CLI_OFFLINE_H

#include "cli/cli.h"
#include "vault/wire/client.h"

enum cv_offline_program {
    CV_OFFLINE_BROKER, /* policy, configuration, the log */
    CV_OFFLINE_INTAKE  /* kubeconfigs */
};

struct cv_offline;

/* Starts it. `input` (a file or folder; -1: none) becomes its descriptor 4 and
 * stays the caller's. CV_UNAVAILABLE, CV_CONFIG. */
CV_MUST_USE enum cv_status cv_offline_start(enum cv_offline_program program,
                                            const struct cv_cli *cli, int input,
                                            struct cv_offline **out,
                                            struct cv_err *err);

/* The same with descriptors 4 and 5. */
CV_MUST_USE enum cv_status
cv_offline_start_with(enum cv_offline_program program, const struct cv_cli *cli,
                      int input, int second, struct cv_offline **out,
                      struct cv_err *err);

/* One call; `method` without the interface's name, `parameters` taken (NULL:
 * memory was gone). *reply is the caller's to free, on failure too. */
CV_MUST_USE enum cv_status
cv_offline_call(struct cv_offline *o, const char *method, cJSON *parameters,
                struct cv_message *reply, struct cv_err *err);

/* The same for what carries secrets, both ways: `parameters` live in an arena,
 * and so does the answer. */
CV_MUST_USE enum cv_status
cv_offline_secret(struct cv_offline *o, const char *method, cJSON *parameters,
                  struct cv_message *reply, struct cv_err *err);

/* The same as a stream of answers. */
CV_MUST_USE enum cv_status
cv_offline_stream(struct cv_offline *o, const char *method, cJSON *parameters,
                  cv_client_each *each, void *context, struct cv_err *err);

/* Ends it and waits. NULL is fine. */
void cv_offline_free(struct cv_offline *o);

/* Starts, calls once, ends; *answer belongs to the run. */
CV_MUST_USE enum cv_status
cv_offline_once(struct cv_cli *cli, const char *method, cJSON *parameters,
                const cJSON **answer, struct cv_err *err);

/* Reads the public text file `path` ("-": standard input) into `out`, at most
 * its ceiling; it must be UTF-8 text whose control characters are line feeds
 * and tabs alone, as what takes it over the socket wants it. CV_NOT_FOUND,
 * CV_INVALID (with the line). */
CV_MUST_USE enum cv_status cv_offline_text(struct cv_cli *cli, const char *path,
                                           struct cv_buf *out,
                                           struct cv_err *err);

/* The same of what is to be proved true: a checkpoint, a proof, a record. What
 * none of these can hold (control characters but line feeds, no UTF-8) is
 * CV_INTEGRITY: it does not verify. */
CV_MUST_USE enum cv_status cv_offline_claim(struct cv_cli *cli,
                                            const char *path,
                                            struct cv_buf *out,
                                            struct cv_err *err);

#endif
