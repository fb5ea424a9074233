/* C2SP signed notes: a text, an empty line, signature lines.
 *
 *     <text, each line ended by LF>
 *     <empty line>
 *     U+2014 SP <key name> SP base64(key id[4] || signature) LF
 *
 * Verifier keys are the C2SP texts <name>+<hex key id>+base64(type || key);
 * the key id is the beginning of SHA-256(name || LF || type || key). Known are
 * Ed25519 (0x01) and the Ed25519 cosignature/v1 of witnesses (0x04). Signing is
 * the token process's: here a finished line is put under the text.
 *
 * Nothing here blocks. */
#ifndef CERTVAULT_AUDIT_NOTE_H
#define CERTVAULT_AUDIT_NOTE_H

#include "vault/base/buf.h"

#define CV_NOTE_NAME 200      /* bytes of a key name */
#define CV_NOTE_SIGNATURES 64 /* lines in a note */

enum cv_note_type { CV_NOTE_ED25519 = 0x01, CV_NOTE_COSIGNATURE = 0x04 };

struct cv_note_key {
    char name[CV_NOTE_NAME + 1];
    enum cv_note_type type;
    uint8_t id[4];
    uint8_t public_key[32];
};

/* Can a key have this name? CV_INVALID: empty, too long, with a blank, a
 * control character, '+', or not UTF-8. */
CV_MUST_USE enum cv_status cv_note_check_name(const char *name,
                                              struct cv_err *err);

/* A key from its parts. CV_INVALID: cv_note_check_name; the type. */
CV_MUST_USE enum cv_status cv_note_key_make(const char *name,
                                            enum cv_note_type type,
                                            const uint8_t public_key[32],
                                            struct cv_note_key *out,
                                            struct cv_err *err);

/* A key from its text (without line end). CV_INVALID: form, type, or the key id
 * is not the key's. */
CV_MUST_USE enum cv_status cv_note_key_parse(const char *vkey,
                                             struct cv_note_key *out,
                                             struct cv_err *err);

/* Appends the key's text, without line end. */
void cv_note_key_text(const struct cv_note_key *key, struct cv_buf *out);

/* Checks form and signatures of `note`. Of its lines those that none of `keys`
 * (name and id) made are passed over; one of a known key that does not verify,
 * or none that verifies is CV_INTEGRITY, as is any break of the form. *text
 * (with its last LF) is borrowed from `note`. */
CV_MUST_USE enum cv_status cv_note_open(struct cv_bytes note,
                                        const struct cv_note_key *keys,
                                        size_t n_keys, struct cv_bytes *text,
                                        struct cv_err *err);

/* Is `text` fit to be signed: UTF-8, no control character but LF, ends with LF.
 * CV_INVALID. */
CV_MUST_USE enum cv_status cv_note_check_text(struct cv_bytes text,
                                              struct cv_err *err);

/* Appends the signature line, with its LF, for a `signature` of 64 bytes that
 * `key` (Ed25519) made elsewhere. It is not checked: open the note for that. */
void cv_note_line(const struct cv_note_key *key, const uint8_t signature[64],
                  struct cv_buf *out);

/* Appends text, empty line and the finished signature `line` (with or without
 * its LF; or several) to `out`. CV_INVALID when the line has not the form. The
 * signature is not checked: open the note for that. */
CV_MUST_USE enum cv_status cv_note_join(struct cv_bytes text, const char *line,
                                        struct cv_buf *out, struct cv_err *err);

#endif
