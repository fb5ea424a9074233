/* What a person should know although it is no failure: lines of text, up to a
 * fixed number. Nothing here is secret, nothing on the heap. */
#ifndef CERTVAULT_PKCS11_NOTES_H
#define CERTVAULT_PKCS11_NOTES_H

#include "vault/base/json.h"

#define CV_NOTES_MAX 24
#define CV_NOTES_LEN 160

struct cv_notes {
    size_t n;
    char text[CV_NOTES_MAX][CV_NOTES_LEN];
    bool left; /* after a failure: of what was made, something may be there */
};

/* Says so; NULL is passed over. */
void cv_notes_leave(struct cv_notes *notes);

/* Adds a line, cut at CV_NOTES_LEN - 1 bytes; one that is there already, one
 * too many, and notes NULL are passed over. */
void cv_notes_add(struct cv_notes *notes, const char *fmt, ...) CV_PRINTF(2, 3);

/* Has it a line that holds `part`? */
bool cv_notes_has(const struct cv_notes *notes, const char *part);

/* An array of strings, made where cv_json_use says; NULL: memory is gone. */
cJSON *cv_notes_json(const struct cv_notes *notes);

#endif
