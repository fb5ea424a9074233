#include "pkcs11/notes.h"

#include <stdio.h>
#include <string.h>

void cv_notes_add(struct cv_notes *notes, const char *fmt, ...)
{
    va_list args;
    size_t i;

    if (notes == NULL || notes->n == CV_NOTES_MAX) {
        return;
    }
    va_start(args, fmt);
    (void)vsnprintf(notes->text[notes->n], CV_NOTES_LEN, fmt, args);
    va_end(args);
    for (i = 0; i < notes->n; i++) {
        if (strcmp(notes->text[i], notes->text[notes->n]) == 0) {
            return;
        }
    }
    notes->n++;
}

void cv_notes_leave(struct cv_notes *notes)
{
    if (notes != NULL) {
        notes->left = true;
    }
}

bool cv_notes_has(const struct cv_notes *notes, const char *part)
{
    size_t i;

    for (i = 0; i < notes->n; i++) {
        if (strstr(notes->text[i], part) != NULL) {
            return true;
        }
    }
    return false;
}

cJSON *cv_notes_json(const struct cv_notes *notes)
{
    cJSON *list = cJSON_CreateArray();
    size_t i;

    for (i = 0; list != NULL && i < notes->n; i++) {
        cJSON *item = cJSON_CreateString(notes->text[i]);

        if (item == NULL || !cJSON_AddItemToArray(list, item)) {
            cJSON_Delete(item);
            cJSON_Delete(list);
            return NULL;
        }
    }
    return list;
}
