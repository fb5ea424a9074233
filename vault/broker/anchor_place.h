/* Anchors that are reached by files and programs: the child's side.
 *
 * A broker in its sandbox writes nowhere but in its vault. So a child of the
 * spawner, forked for one checkpoint, writes it to a file, starts a command or
 * `git`, answers and ends:
 *
 *     -> <number of the anchor> LF <note>             then the writing end
 * closes
 *     <- "ok" LF, "kept" LF  or  "failed " <why> LF   then what was there
 * before
 *
 * "kept": nothing was written, for what is there says that it is as new.
 *
 * What was there before (files and repositories: the last notes) is for the
 * broker to compare its log with; nobody here reads it. */
#ifndef CERTVAULT_BROKER_ANCHOR_PLACE_H
#define CERTVAULT_BROKER_ANCHOR_PLACE_H

#include "vault/base/buf.h"

/* As much of the end of a file is looked at. */
#define CV_ANCHOR_PLACE_TAIL CV_KIB(16)

/* Appends the end of the file at `path` to `tail`; a file that is not there is
 * an empty one. CV_IO, CV_CONFIG (not a regular file). */
CV_MUST_USE enum cv_status
cv_anchor_place_tail(const char *path, struct cv_buf *tail, struct cv_err *err);

/* Appends the note that a git: anchor at `path` has of the log `origin`;
 * nothing where it has none yet. Starts git, and is for a program that waits
 * for nothing else meanwhile: it takes SIGALRM for as long. CV_IO. */
CV_MUST_USE enum cv_status cv_anchor_place_git(const char *path,
                                               const char *origin,
                                               struct cv_buf *note,
                                               struct cv_err *err);

/* Serves one request on `socket`; `anchors` are the configuration's texts,
 * ended by NULL. Returns when it is answered. */
void cv_anchor_place_serve(char *const *anchors, int socket);

#endif
