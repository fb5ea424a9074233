/* One anchor as the configuration names it (`audit.anchors`):
 *
 *     file:/abs/path            notes, appended to a file
 *     command:/abs/path         started with the note on its standard input
 *     git:/abs/repository       a commit on a branch of a local repository
 *     token:PKCS11-URI          a data object on a token
 *     witness:URL#VKEY          a C2SP tlog-witness; its key is of type 0x04.
 *                               Behind an https URL may stand ?ca=/abs/path, a
 *                               PEM file: who is trusted instead of the
 *                               system's authorities. What the witness signed
 *                               is believed by its key alone */
#ifndef CERTVAULT_BROKER_ANCHOR_CONFIG_H
#define CERTVAULT_BROKER_ANCHOR_CONFIG_H

#include "vault/audit/note.h"
#include "vault/base/limits.h"

enum cv_anchor_config_kind {
    CV_ANCHOR_FILE,
    CV_ANCHOR_COMMAND,
    CV_ANCHOR_GIT,
    CV_ANCHOR_TOKEN,
    CV_ANCHOR_WITNESS
};

struct cv_anchor_config {
    enum cv_anchor_config_kind kind;
    char target[CV_LIMIT_ANCHOR + 1]; /* the path, URI or URL */
    char ca[CV_LIMIT_ANCHOR + 1];     /* a witness'; "": the system's */
    struct cv_note_key witness;       /* a witness' */
};

/* "file", "command", "git", "token", "witness". */
const char *cv_anchor_config_word(enum cv_anchor_config_kind kind);

/* Reads one. CV_CONFIG, with the form as its hint. */
CV_MUST_USE enum cv_status cv_anchor_config_parse(const char *text,
                                                  struct cv_anchor_config *out,
                                                  struct cv_err *err);

#endif
