/* Reading a PIN from where it lies. */
#ifndef CERTVAULT_CLI_PIN_SOURCE_H
#define CERTVAULT_CLI_PIN_SOURCE_H

#include "cli/cli.h"

/* Reads from any source but tty. CV_IO, CV_INVALID (empty, too long, more than
 * one line), CV_NOT_FOUND, CV_FAILED (the command). */
CV_MUST_USE enum cv_status cv_pin_source_read(struct cv_cli *cli,
                                              const char *source,
                                              struct cv_arena *arena,
                                              struct cv_bytes *out,
                                              struct cv_err *err);

/* At the very start of the program, before it closes what it was not given:
 * keeps the descriptors that sources of the form fd:N in `argv` name. Returns
 * the highest descriptor that must stay open. */
int cv_pin_source_hold(int argc, char *const *argv);

/* Does the RFC 7512 URI `pattern` fit the token whose own URI is `uri`? Each of
 * token, manufacturer, model and serial that it has must be the same; it must
 * have one. */
bool cv_pin_source_fits(const char *pattern, const char *uri);

/* The same for a pattern that may have none of them, and fits all then. */
bool cv_pin_source_allows(const char *pattern, const char *uri);

/* The path of a pin-source=file: in `uri`, in the run's memory; NULL: none. */
const char *cv_pin_source_of_uri(struct cv_cli *cli, const char *uri);

#endif
